"""Truths for tasks/: plain arithmetic, group axioms, and splits of the sizes that the papers print."""

import itertools

import pytest
import torch
from sympy.combinatorics import Permutation

from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic, PermutationGroup, Task
from grokscope.tasks.modular import OPERATIONS

PLAIN = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "x2+y2": lambda x, y: x * x + y * y,
    "x2+xy+y2": lambda x, y: x * x + x * y + y * y,
    "x2+xy+y2+x": lambda x, y: x * x + x * y + y * y + x,
    "x3+xy": lambda x, y: x * x * x + x * y,
    "x3+xy2+y": lambda x, y: x * x * x + x * y * y + y,
    "add-even-mul-odd": lambda x, y: x + y if x % 2 == 0 else x * y,
    "add-even-sub-odd": lambda x, y: x + y if x % 2 == 0 else x - y,
}


def _triples(task: Task) -> list[tuple[int, int, int]]:
    table = task.table
    return [(a, b, c) for (a, b), c in zip(table.operands_NK.tolist(), table.answers_N.tolist(), strict=True)]


@pytest.mark.parametrize("operation", PLAIN)
@pytest.mark.parametrize("p", [13, 12])
def test_an_operation_is_its_formula(operation: str, p: int) -> None:
    task = ModularArithmetic(operation=operation, modulus=p)
    assert _triples(task) == [(a, b, PLAIN[operation](a, b) % p) for a in range(p) for b in range(p)]


@pytest.mark.parametrize("p", [2, 3, 13, 97])
def test_division_is_the_inverse_of_multiplication(p: int) -> None:
    triples = _triples(ModularArithmetic(operation="div", modulus=p))
    assert all(q * y % p == x for x, y, q in triples)
    assert len(triples) == p * (p - 1) == len({(x, y) for x, y, _ in triples})


def test_the_mixed_operation_divides_by_odd_and_subtracts_even() -> None:
    triples = _triples(ModularArithmetic(operation="div-odd-sub-even", modulus=13))
    assert len(triples) == 13 * 13
    assert all(c * y % 13 == x if y % 2 else c == (x - y) % 13 for x, y, c in triples)


def test_every_operation_is_held_against_a_formula_here() -> None:
    assert {*PLAIN, "div", "div-odd-sub-even"} == set(OPERATIONS)


def _plain_permutations(degree: int) -> list[tuple[int, ...]]:
    return list(itertools.permutations(range(degree)))


def _then(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(second[i] for i in first)


def _inverse(a: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a.index(i) for i in range(len(a)))


@pytest.mark.parametrize(
    ("operation", "plain"),
    [
        ("composition", lambda a, b: _then(a, b)),
        ("conjugation", lambda a, b: _then(_then(a, b), _inverse(a))),
        ("aba", lambda a, b: _then(_then(a, b), a)),
    ],
)
def test_a_permutation_task_is_plain_composition(operation: str, plain: object) -> None:
    elements = _plain_permutations(4)
    for a, b, c in _triples(PermutationGroup(operation=operation, degree=4)):
        assert elements[c] == plain(elements[a], elements[b])  # type: ignore[operator]


@pytest.mark.parametrize("operation", ["composition", "conjugation", "aba"])
def test_a_permutation_task_agrees_with_sympy(operation: str) -> None:
    elements = [
        Permutation(list(images)) for images in _plain_permutations(3)
    ]  # sympy too applies the left factor first
    for a, b, c in _triples(PermutationGroup(operation=operation, degree=3)):
        x, y = elements[a], elements[b]
        assert elements[c] == {"composition": x * y, "conjugation": x * y * ~x, "aba": x * y * x}[operation]


@pytest.mark.parametrize("task", [PermutationGroup(degree=4), ModularArithmetic(modulus=12)], ids=lambda t: t.symbol)
def test_a_group_table_obeys_the_axioms(task: Task) -> None:
    table = task.group_table
    assert table is not None
    ids = torch.arange(task.elements)
    assert torch.equal(table[table], table[:, table])  # (ab)c = a(bc)
    assert torch.equal(table[0], ids)
    assert torch.equal(table[:, 0], ids)
    assert torch.equal(table.sort(0).values, ids[:, None].expand_as(table))
    assert torch.equal(table.sort(1).values, ids.expand_as(table))


def test_only_a_group_has_a_group_table_and_only_addition_is_cyclic() -> None:
    groups = {op for op in OPERATIONS if ModularArithmetic(operation=op, modulus=7).group_table is not None}
    cyclic = {op for op in OPERATIONS if ModularArithmetic(operation=op, modulus=7).cyclic_order is not None}
    assert groups == cyclic == {"add"}
    assert PermutationGroup(operation="aba", degree=3).group_table is None
    assert ModularArithmetic(modulus=7, labels="random").cyclic_order is None


def test_sizes_are_those_of_the_papers() -> None:
    assert len(ModularArithmetic(operation="div", modulus=97).table.answers_N) == 97 * 96
    assert len(PermutationGroup(degree=5).table.answers_N) == 14_400
    split = ModularArithmetic(modulus=113, train_fraction=0.3).divide(Seeds(0))
    assert (split.size("train"), split.size("test")) == (3830, 8939)


@pytest.mark.parametrize(("task", "classes"), [(ModularArithmetic(modulus=97), 97), (PermutationGroup(degree=5), 120)])
def test_chance_is_one_in_the_number_of_answers(task: Task, classes: int) -> None:
    assert task.chance == 1 / classes == 1 / len(task.table.answers_N.unique())


def test_commutation_is_known() -> None:
    commutes = {op for op in OPERATIONS if ModularArithmetic(operation=op, modulus=11).commutative}
    assert commutes == {"add", "mul", "x2+y2", "x2+xy+y2"}
    assert not PermutationGroup(degree=3).commutative
    assert PermutationGroup(degree=2).commutative


def test_the_swap_baseline_has_its_closed_expectation() -> None:
    p, fraction, seeds = 31, 0.4, 30
    task = ModularArithmetic(modulus=p, train_fraction=fraction)
    found = [task.swap_baseline(task.divide(Seeds(seed))) or 0.0 for seed in range(seeds)]
    want = (1 - 1 / p) * int(fraction * p * p) / (p * p - 1)  # a diagonal row is its own swap
    standard_error = torch.tensor(found).std().item() / seeds**0.5
    assert abs(sum(found) / seeds - want) < 4 * standard_error
    assert abs(want - fraction) < 0.02


def test_the_swap_baseline_is_a_plain_count_and_vanishes_for_unordered_splits() -> None:
    task = ModularArithmetic(operation="mul", modulus=11, train_fraction=0.5)
    split = task.divide(Seeds(0))
    pairs = [tuple(pair) for pair in task.table.operands_NK.tolist()]
    train = {pairs[i] for i in split.rows["train"].tolist()}
    test = [pairs[i] for i in split.rows["test"].tolist()]
    assert task.swap_baseline(split) == sum((b, a) in train for a, b in test) / len(test)
    unordered = task.with_overrides({"split": "unordered"})
    assert unordered.swap_baseline(unordered.divide(Seeds(0))) == 0.0
    assert ModularArithmetic(operation="sub", modulus=11).swap_baseline(split) is None


def test_random_labels_are_uniform_and_their_own_stream() -> None:
    task = ModularArithmetic(modulus=97, labels="random")
    answers = task.divide(Seeds(0)).answers_N
    counts = torch.bincount(answers, minlength=97).double()
    chi_square = ((counts - 97) ** 2 / 97).sum().item()
    assert chi_square < 96 + 5 * (2 * 96) ** 0.5  # 96 degrees of freedom, five standard deviations
    agreement = (answers == task.table.answers_N).double().mean().item()
    assert abs(agreement - 1 / 97) < 5 * (1 / 97 / 97**2) ** 0.5
    assert torch.equal(answers, task.divide(Seeds(1, {"noise": 0})).answers_N)
    assert not torch.equal(answers, task.divide(Seeds(0, {"noise": 1})).answers_N)


def test_every_row_is_as_likely_to_be_trained_on() -> None:
    task = ModularArithmetic(modulus=5, train_fraction=0.4)
    draws = 600
    counts = torch.zeros(25)
    for seed in range(draws):
        counts[task.divide(Seeds(seed)).rows["train"]] += 1
    assert ((counts - 0.4 * draws).abs() < 5 * (draws * 0.4 * 0.6) ** 0.5).all()
