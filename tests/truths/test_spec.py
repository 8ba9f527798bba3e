"""Truths for spec.py: what is written is what is read, and a mistake is one line that helps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.errors import BadInput
from grokscope.models import MODELS, Transformer
from grokscope.optim import OPTIMIZERS, SGD, AdamW
from grokscope.spec import build, choose, dump_yaml, find_class, kind_of, load_yaml, parse_assignment
from grokscope.tasks import TASKS, ModularArithmetic, PermutationGroup
from grokscope.tasks.modular import OPERATIONS

positive = st.floats(min_value=1e-12, max_value=1e12)


@given(
    lr=positive, weight_decay=st.floats(0, 1e6), beta=st.floats(0, 1, exclude_max=True), warmup=st.integers(0, 10**9)
)
def test_yaml_gives_back_any_optimizer(lr: float, weight_decay: float, beta: float, warmup: int) -> None:
    spec = AdamW(lr=lr, weight_decay=weight_decay, betas=(beta, 1 - 2**-20), warmup=warmup)
    again = choose(load_yaml(dump_yaml(spec.to_dict()), "here"), OPTIMIZERS, "optimizer")
    assert again == spec
    assert again.hash() == spec.hash()


@given(fraction=st.floats(0, 1, exclude_min=True, exclude_max=True), operation=st.sampled_from(OPERATIONS))
def test_yaml_gives_back_any_task(fraction: float, operation: str) -> None:
    spec = choose({"kind": "modular", "operation": operation, "modulus": 97, "train_fraction": fraction}, TASKS, "task")
    assert choose(load_yaml(dump_yaml(spec.to_dict()), "here"), TASKS, "task") == spec


def test_hashes_are_the_same_on_every_machine() -> None:
    assert Transformer().hash() == "62a5901a799e"
    assert AdamW().hash() == "d6a66c976d69"
    assert ModularArithmetic().hash() == "7dfa605c9c57"


def test_a_hash_depends_on_every_field_and_not_on_how_a_number_is_written() -> None:
    assert AdamW(weight_decay=1).hash() == AdamW(weight_decay=1.0).hash()
    default = AdamW()
    changed = [
        AdamW(lr=2e-3),
        AdamW(weight_decay=2),
        AdamW(betas=(0.9, 0.99)),
        AdamW(eps=1e-7),
        AdamW(warmup=1),
        SGD(lr=1e-3),
    ]
    assert len({spec.hash() for spec in [default, *changed]}) == len(changed) + 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("0.5", 0.5), ("3", 3), ("true", True), ("null", None), ("[1, 2]", [1, 2]), ("adamw", "adamw")],
)
def test_a_flag_is_read_as_yaml_and_1e3_is_a_number(text: str, value: object) -> None:
    path, got = parse_assignment(f"a.b={text}")
    assert (path, got) == ("a.b", value)
    assert type(got) is type(value)


@pytest.mark.parametrize("text", ["lr", "=3", "a=[1"])
def test_a_flag_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_assignment(text)


def test_yaml_floats_without_a_dot_are_numbers_in_a_field() -> None:
    assert build(AdamW, load_yaml("lr: 1e-3\nbetas: [0.9, 98e-2]", "here")).betas == (0.9, 0.98)


def _message(kind: str, **fields: object) -> str:
    with pytest.raises(BadInput) as caught:
        choose({"kind": kind, **fields}, (*TASKS, *MODELS, *OPTIMIZERS), "thing")
    return str(caught.value)


def test_an_error_names_the_field_what_was_got_what_is_allowed_and_the_nearest() -> None:
    assert "thing.lr" in (line := _message("adamw", lr=-1))
    assert "-1" in line
    assert "greater than 0" in line
    assert "did you mean 'modulus'" in _message("modular", modulos=7)
    assert "'unordered'" in _message("modular", split="unorderd")
    assert "did you mean 'modular'" in _message("modula")
    assert "next prime is 13" in _message("modular", operation="div", modulus=12)
    assert "for example width 32" in _message("transformer", width=30, heads=4)
    assert "[0, 1)" in _message("adamw", betas=[0.9, 1.0])
    assert "degree" in (line := _message("permutations", degree=7))
    assert "7" in line


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("adamw", {"lr": 0}),
        ("modula", {}),
        ("modular", {"x": 1}),
        ("os:getcwd", {}),
        ("no.module:X", {}),
        ("adamw:", {}),
    ],
)
def test_every_mistake_is_one_line(kind: str, fields: dict[str, object]) -> None:
    assert "\n" not in _message(kind, **fields)


def test_a_class_is_found_by_kind_and_by_module_and_name() -> None:
    assert find_class("modular", TASKS, "task") is ModularArithmetic
    by_path = choose({"kind": "grokscope.tasks.groups:PermutationGroup", "degree": 3}, (), "task")
    assert by_path == PermutationGroup(degree=3)


class Strange(SGD):
    """An optimizer that lives outside the package."""

    kind = "sgd"


def test_the_kind_of_a_strangers_class_is_its_address() -> None:
    assert kind_of(SGD) == "sgd"
    assert kind_of(Strange) == f"{__name__}:Strange"
    assert choose(Strange(momentum=0.5).to_dict(), OPTIMIZERS, "optimizer") == Strange(momentum=0.5)


def test_an_override_replaces_one_field_and_is_validated() -> None:
    assert AdamW().with_overrides({"lr": 0.1}) == AdamW(lr=0.1)
    with pytest.raises(BadInput, match="did you mean 'warmup'"):
        AdamW().with_overrides({"warmpu": 3})
    with pytest.raises(BadInput, match="greater than 0"):
        AdamW().with_overrides({"lr": -1})


def test_a_spec_is_frozen_and_knows_equality_by_class() -> None:
    with pytest.raises(ValueError, match="frozen"):
        AdamW().lr = 1.0  # type: ignore[misc]
    assert SGD() != Strange()
    assert len({SGD(), SGD(), SGD(momentum=0.5)}) == 2


@pytest.mark.parametrize("text", ["- 1\n- 2", "just words", "a: [1"])
def test_a_file_that_holds_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        load_yaml(text, "file.yaml")
