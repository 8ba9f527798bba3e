"""Truths for sources.py: whatever is cited can be looked up."""

import re

import pytest

from grokscope.experiment import Experiment
from grokscope.measures import MEASURES
from grokscope.models import MODELS
from grokscope.optim import OPTIMIZERS
from grokscope.phases import LabelRule
from grokscope.sources import BIBLIOGRAPHY, Source, bibtex
from grokscope.spec import Spec
from grokscope.tasks import TASKS


@pytest.mark.parametrize("cls", [*TASKS, *MODELS, *OPTIMIZERS, *MEASURES], ids=lambda cls: cls.__name__)
def test_every_source_of_a_shipped_class_is_in_the_bibliography(cls: type[Spec]) -> None:
    assert {source.key for source in cls.sources} <= set(BIBLIOGRAPHY)  # type: ignore[attr-defined]


def test_an_experiment_cites_the_rule_of_its_labels() -> None:
    assert {source.key for source in LabelRule.sources} == {"liu2022effective"}
    assert set(LabelRule.sources) <= set(Experiment().citations())


@pytest.mark.parametrize("key", BIBLIOGRAPHY)
def test_a_reference_is_complete_and_its_key_is_family_year_word(key: str) -> None:
    reference = BIBLIOGRAPHY[key]
    family = reference.authors.split(",")[0].lower()
    assert re.fullmatch(rf"{family}{reference.year}[a-z]+", key)
    assert reference.title
    assert re.fullmatch(r"\d{4}\.\d{4,5}", reference.arxiv)


def test_bibtex_names_each_paper_once_in_order_of_first_use() -> None:
    used = [Source("power2022grokking", "a"), Source("nanda2023progress"), Source("power2022grokking", "b")]
    text = bibtex(used)
    assert re.findall(r"@misc\{(\w+),", text) == ["power2022grokking", "nanda2023progress"]
    assert text.count("{") == text.count("}")


def test_a_citation_reads_as_a_sentence_does() -> None:
    assert str(Source("nanda2023progress", "Sec. 5.1")) == "Nanda et al. 2023, Sec. 5.1"
    assert str(Source("loshchilov2017decoupled")) == "Loshchilov and Hutter 2017"
    assert str(Source("gromov2023arithmetic")) == "Gromov 2023"
