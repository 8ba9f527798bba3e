"""Truths for tasks/facts.py: every inferred row is two atomic rows, one after the other."""

import time

import pytest
import torch

from grokscope.errors import BadInput
from grokscope.models import MLP, Transformer
from grokscope.seeds import Seeds
from grokscope.tasks import TwoHop
from grokscope.tasks.facts import LOOKED_AT

SMALL = TwoHop(entities=40, relations=9, degree=5, inferred_ratio=2.0, ood_share=0.2, held_out=0.1)
Row = tuple[int, int, int, int]


def _rows(task: TwoHop, rows: range | torch.Tensor) -> list[Row]:
    """(h, r1, r2, t) of some rows of the table."""
    index = torch.as_tensor(list(rows))
    questions, answers = task.table.operands_NK[index], task.table.answers_N[index]
    return [(*question, answer) for question, answer in zip(questions.tolist(), answers.tolist(), strict=True)]


def _graph(task: TwoHop) -> dict[int, dict[int, int]]:
    """Tail by head and relation, read off the atomic rows."""
    none = task.entities + task.relations
    graph: dict[int, dict[int, int]] = {}
    for head, relation, second, tail in _rows(task, task.facts.atomic):
        assert second == none
        assert relation not in graph.setdefault(head, {})
        graph[head][relation] = tail
    return graph


def _behind(task: TwoHop, block: range) -> set[tuple[int, int]]:
    """(head, relation) of the atomic facts that a block's rows are made of."""
    graph = _graph(task)
    return {fact for h, r1, r2, _ in _rows(task, block) for fact in ((h, r1), (graph[h][r1], r2))}


def test_every_entity_has_different_relations_each_to_an_entity() -> None:
    graph = _graph(SMALL)
    assert sorted(graph) == list(range(40))
    assert all(len(facts) == 5 for facts in graph.values())
    assert {r for facts in graph.values() for r in facts} == set(range(40, 49))
    assert {t for facts in graph.values() for t in facts.values()} <= set(range(40))


def test_an_inferred_row_is_two_atomic_rows_one_after_the_other() -> None:
    graph, facts = _graph(SMALL), SMALL.facts
    for h, r1, r2, t in [*_rows(SMALL, facts.inferred), *_rows(SMALL, facts.ood)]:
        assert graph[graph[h][r1]][r2] == t


def test_the_blocks_hold_all_that_follows_from_two_facts_of_one_kind() -> None:
    graph, facts = _graph(SMALL), SMALL.facts
    known, strange = _behind(SMALL, facts.inferred), _behind(SMALL, facts.ood)
    assert known
    assert strange
    assert not known & strange
    two_hops = [((h, r1), (b, r2)) for h in graph for r1, b in graph[h].items() for r2 in graph[b]]
    assert len(facts.ood) == sum(first in strange and second in strange for first, second in two_hops)
    # a fact that nothing follows from in its own kind is in neither set, so the rest bounds the other count
    assert len(facts.inferred) == sum(first in known and second in known for first, second in two_hops)
    assert len(facts.inferred) + len(facts.ood) < len(two_hops) == 40 * 5 * 5
    assert [*facts.atomic, *facts.inferred, *facts.ood] == list(range(len(SMALL.table.answers_N)))


def test_splits_have_their_sizes_and_share_nothing() -> None:
    facts, split = SMALL.facts, SMALL.divide(Seeds(0))
    held = round(0.1 * len(facts.inferred))
    wanted = 200 + 2 * (200 - 40)  # all atomic facts, and φ for each in-distribution one
    assert {name: len(rows) for name, rows in split.rows.items()} == {
        "train": wanted,
        "test": held,
        "ood": len(facts.ood),
    }
    train, test, ood = (set(split.rows[name].tolist()) for name in ("train", "test", "ood"))
    assert set(facts.atomic) <= train <= {*facts.atomic, *facts.inferred}
    assert test <= set(facts.inferred)
    assert ood == set(facts.ood)
    assert not train & test


def test_a_large_ratio_takes_all_inferred_facts_but_the_held_out_ones() -> None:
    task = SMALL.with_overrides({"inferred_ratio": 100.0})
    split = task.divide(Seeds(0))
    assert {*split.rows["train"].tolist(), *split.rows["test"].tolist()} == {*task.facts.atomic, *task.facts.inferred}
    assert split.size("train") == task.train_rows == 200 + len(task.facts.inferred) - split.size("test")


def test_the_table_is_the_specs_alone_and_the_split_the_seeds() -> None:
    again = TwoHop(**SMALL.model_dump())
    assert torch.equal(again.table.operands_NK, SMALL.table.operands_NK)
    assert torch.equal(again.table.answers_N, SMALL.table.answers_N)
    other = SMALL.with_overrides({"graph_seed": 1})
    assert not torch.equal(other.table.answers_N[:200], SMALL.table.answers_N[:200])
    for name in ("train", "test"):
        assert not torch.equal(SMALL.divide(Seeds(1)).rows[name], SMALL.divide(Seeds(0)).rows[name])


def test_every_inferred_fact_is_as_likely_to_be_held_out() -> None:
    draws, inferred = 600, SMALL.facts.inferred
    counts = torch.zeros(len(SMALL.table.answers_N))
    for seed in range(draws):
        counts[SMALL.divide(Seeds(seed)).rows["test"]] += 1
    share = SMALL.held_rows / len(inferred)
    spread = (draws * share * (1 - share)) ** 0.5
    assert ((counts[inferred.start : inferred.stop] - share * draws).abs() < 5 * spread).all()
    assert counts.sum() == draws * SMALL.held_rows


def test_the_papers_sizes_come_out_in_seconds() -> None:
    start = time.perf_counter()
    task = TwoHop()
    split = task.divide(Seeds(0))
    assert time.perf_counter() - start < 10  # 0.2 s on an idle core
    facts = task.facts
    assert len(facts.atomic) == 40_000
    # 40,000 · 20 compositions; both facts are of one kind for 0.95² and 0.05² of them. The tails are
    # uniform, so in-degrees are Poisson(20): a bridge's facts may all be of one kind, hence 1 % and 25 %
    assert abs(len(facts.inferred) / (800_000 * 0.95**2) - 1) < 0.01
    assert abs(len(facts.ood) / (800_000 * 0.05**2) - 1) < 0.25
    assert split.size("train") == 40_000 + 9 * 38_000
    assert split.size("test") == LOOKED_AT < task.held_rows
    assert task.chance == 1 / 2000


def test_without_facts_out_of_distribution_there_is_no_such_split() -> None:
    task = SMALL.with_overrides({"ood_share": 0.0})
    assert set(task.divide(Seeds(0)).rows) == {"train", "test"}
    assert len(task.facts.inferred) == 40 * 5 * 5


def test_random_labels_answer_the_same_questions() -> None:
    task = SMALL.with_overrides({"labels": "random"})
    split, true = task.divide(Seeds(0)), SMALL.divide(Seeds(0))
    assert all(torch.equal(split.rows[name], true.rows[name]) for name in true.rows)
    agreement = (split.answers_N == true.answers_N).double().mean().item()
    assert agreement < 1 / 40 + 5 * (1 / 40 / len(true.answers_N)) ** 0.5


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"train_fraction": 0.5}, "inferred_ratio"),
        ({"degree": 10}, "at most relations, 9"),
        ({"split": "unordered"}, "ordered"),
    ],
)
def test_what_means_nothing_here_is_refused_in_one_line(fields: dict[str, object], line: str) -> None:
    with pytest.raises(BadInput, match=line) as caught:
        SMALL.with_overrides(fields)
    assert "\n" not in str(caught.value)


def test_a_graph_in_which_nothing_follows_is_refused() -> None:
    lonely = TwoHop(entities=2, relations=1, degree=1, ood_share=0.5, graph_seed=4)  # one fact, not a loop
    with pytest.raises(ValueError, match="follow"):
        _ = lonely.table


def test_models_of_pairs_refuse_rows_of_three() -> None:
    for model in (Transformer(), Transformer(sequence="equation"), MLP()):
        with pytest.raises(ValueError, match="operands"):
            model.check(SMALL)
    Transformer(sequence="operands").check(SMALL)
