"""Truths for sweep/refine.py: borders are found exactly, with a part of the cells."""

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.sweeps.grid import Cell
from grokscope.sweeps.refine import COARSE, filled, stride, ticks, wanted

Truth = Callable[[Cell], str | None]


def _explore(shape: tuple[int, ...], truth: Truth, ordered: tuple[bool, ...] = ()) -> dict[Cell, str | None]:
    """Ask for cells until none is wanted."""
    ordered = ordered or (True,) * len(shape)
    known: dict[Cell, str | None] = {}
    for _ in range(100):
        missing = wanted(shape, ordered, known)
        assert not missing & known.keys()
        if not missing:
            return known
        known |= {cell: truth(cell) for cell in missing}
    raise AssertionError("it never ends")


def _wrong(shape: tuple[int, ...], truth: Truth, known: dict[Cell, str | None], ordered: tuple[bool, ...] = ()) -> int:
    whole = filled(shape, ordered or (True,) * len(shape), known)
    return sum(whole[cell] != truth(cell) for cell in itertools.product(*map(range, shape)))


FIELDS: dict[str, Truth] = {
    "line": lambda c: "a" if 16 * c[0] + 11 * c[1] < 190 else "b",
    "corner": lambda c: "a" if c[0] < 6 and c[1] < 9 else "b",
    "three": lambda c: "a" if c[0] < 7 else "b" if c[1] < 8 else "c",
    "curve": lambda c: "a" if c[0] * (c[1] + 1) < 40 else "b",
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("n", [16, 24, 32])
def test_a_border_is_found_exactly_with_a_third_of_the_cells_at_most(name: str, n: int) -> None:
    scale = n / 16
    truth: Truth = lambda c: FIELDS[name](tuple(int(i / scale) for i in c))  # noqa: E731
    known = _explore((n, n), truth)
    assert _wrong((n, n), truth, known) == 0
    assert len(known) <= 0.35 * n * n


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 24), st.integers(3, 24), st.floats(-3, 3), st.floats(-20, 40))
def test_any_half_plane_is_found_exactly(rows: int, columns: int, slope: float, offset: float) -> None:
    truth: Truth = lambda c: "above" if c[1] > slope * c[0] + offset else "below"  # noqa: E731
    known = _explore((rows, columns), truth)
    seen = {truth(cell) for cell in known}
    missed = len({truth(c) for c in itertools.product(range(rows), range(columns))} - seen)
    assert missed or _wrong((rows, columns), truth, known) == 0


def test_a_diagram_of_one_label_takes_the_coarse_grid_alone() -> None:
    known = _explore((33, 17), lambda c: "a")
    assert len(known) == len(ticks(33, stride(33))) * len(ticks(17, stride(17))) < 50
    assert _wrong((33, 17), lambda c: "a", known) == 0


def test_labels_without_any_order_take_nearly_every_cell() -> None:
    """The noise control: of a chessboard hardly anything can be left out."""
    known = _explore((12, 12), lambda c: "ab"[(c[0] + c[1]) % 2])
    assert len(known) > 0.85 * 144


@pytest.mark.parametrize("name", FIELDS)
def test_both_sides_of_every_border_that_is_drawn_were_known(name: str) -> None:
    known = _explore((16, 16), FIELDS[name])
    whole = filled((16, 16), (True, True), known)
    for cell in whole:
        for other in ((cell[0] + 1, cell[1]), (cell[0], cell[1] + 1)):
            if other in whole and whole[cell] != whole[other]:
                assert cell in known
                assert other in known


def test_disagreement_counts_as_a_border() -> None:
    truth: Truth = lambda c: "a" if c[0] < 8 else None if c[0] == 8 else "b"  # noqa: E731
    known = _explore((17, 17), truth)
    assert all((8, j) in known for j in range(17))
    assert _wrong((17, 17), truth, known) == 0


def test_a_category_is_taken_whole_and_each_of_its_values_has_its_own_border() -> None:
    truth: Truth = lambda c: "a" if c[1] < 4 + 5 * c[0] else "b"  # noqa: E731
    ordered = (False, True)
    known = _explore((3, 32), truth, ordered)
    assert {cell[0] for cell in known} == {0, 1, 2}
    assert _wrong((3, 32), truth, known, ordered) == 0
    assert len(known) < 40


def test_three_axes() -> None:
    truth: Truth = lambda c: "a" if sum(c) < 20 else "b"  # noqa: E731
    known = _explore((16, 16, 9), truth)
    assert _wrong((16, 16, 9), truth, known) == 0
    assert len(known) < 0.5 * 16 * 16 * 9


def test_what_is_smaller_than_a_box_can_be_missed_and_that_is_the_price() -> None:
    island: Truth = lambda c: "b" if c == (9, 9) else "a"  # noqa: E731
    known = _explore((16, 16), island)
    assert _wrong((16, 16), island, known) == 1


@pytest.mark.parametrize("length", range(1, 70))
def test_the_coarse_grid_is_the_coarsest_that_leaves_so_many_boxes(length: int) -> None:
    step = stride(length)
    assert math.log2(step).is_integer()
    assert step == 1 or (length - 1) // step >= COARSE
    assert (length - 1) // (2 * step) < COARSE
    places = ticks(length, step)
    assert places[0] == 0
    assert places[-1] == length - 1
    assert set(places) <= set(ticks(length, max(1, step // 2)))
