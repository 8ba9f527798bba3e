"""Where a diagram's labels change: found with a part of its cells.

A coarse grid first; then every box whose corners do not agree is divided, down to single cells; at last
the border is walked, until no cell that was taken for granted has a neighbour of another label. Nothing here
trains: a function of the labels known so far.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from grokscope.sweeps.grid import Cell

COARSE = 3
"""Boxes along a long axis at the start, at least (ours): what is smaller than a box may be missed."""


def stride(length: int) -> int:
    """Cells from one of the coarse grid to the next: the largest power of two that leaves :data:`COARSE` boxes."""
    step = 1
    while (length - 1) // (2 * step) >= COARSE:
        step *= 2
    return step


def ticks(length: int, step: int, ordered: bool = True) -> list[int]:
    """Places of a grid of this step, both ends among them; all of them on an axis without order."""
    if not ordered:
        return list(range(length))
    return sorted({*range(0, length, step), length - 1})


def wanted(shape: Sequence[int], ordered: Sequence[bool], labels: Mapping[Cell, str | None]) -> set[Cell]:
    """The cells that must be known next and are not, the empty set when the diagram is done.

    Args:
        shape: values on each axis.
        ordered: whether an axis has an order; one without is taken whole.
        labels: of the cells known so far; None where their members disagree, which counts as a border.
    """
    steps = [stride(length) if has else 1 for length, has in zip(shape, ordered, strict=True)]
    while True:
        grid = [ticks(*axis) for axis in zip(shape, steps, ordered, strict=True)]
        if missing := _of_this_grid(grid, ordered, labels, coarsest=steps == _first(shape, ordered)):
            return missing
        if all(step == 1 for step in steps):
            return _along_the_border(shape, ordered, labels)
        steps = [max(1, step // 2) for step in steps]


def filled(shape: Sequence[int], ordered: Sequence[bool], labels: Mapping[Cell, str | None]) -> dict[Cell, str | None]:
    """A label for every cell of a diagram that is done: its own, or that of the nearest known corner.

    Where :func:`wanted` is empty all corners of a cell that was left out agree.
    """
    known = dict(labels)
    for cell in itertools.product(*map(range, shape)):
        if cell not in known:
            known[cell] = labels[_nearest_corner(cell, shape, ordered, labels)]
    return known


def _first(shape: Sequence[int], ordered: Sequence[bool]) -> list[int]:
    return [stride(length) if has else 1 for length, has in zip(shape, ordered, strict=True)]


def _of_this_grid(
    grid: Sequence[Sequence[int]], ordered: Sequence[bool], labels: Mapping[Cell, str | None], coarsest: bool
) -> set[Cell]:
    """Corners of this grid that are not known and lie in a box, or between corners, that do not agree."""
    missing: set[Cell] = set()
    for cell in itertools.product(*grid):
        if cell not in labels and (coarsest or not _agree(_around(cell, grid, ordered, labels))):
            missing.add(cell)
    return missing


def _around(
    cell: Cell, grid: Sequence[Sequence[int]], ordered: Sequence[bool], labels: Mapping[Cell, str | None]
) -> list[str | None]:
    """Labels of the nearest known cells: the corners of the smallest box of known ones that holds the cell."""
    at = [axis.index(i) for i, axis in zip(cell, grid, strict=True)]
    for reach in range(1, max(len(axis) for axis in grid) + 1):
        near = [
            axis[max(0, j - reach) : j + reach + 1] if has else [axis[j]]
            for j, axis, has in zip(at, grid, ordered, strict=True)
        ]
        found = [labels[other] for other in itertools.product(*near) if other in labels]
        if found:
            return found
    return []


def _agree(labels: Sequence[str | None]) -> bool:
    return bool(labels) and None not in labels and len(set(labels)) == 1


def _neighbours(cell: Cell, shape: Sequence[int], ordered: Sequence[bool]) -> Iterator[Cell]:
    """Cells one step away, corners too; along axes with an order."""
    ways = [(-1, 0, 1) if has else (0,) for has in ordered]
    for step in itertools.product(*ways):
        other = tuple(i + d for i, d in zip(cell, step, strict=True))
        if any(step) and all(0 <= i < length for i, length in zip(other, shape, strict=True)):
            yield other


def _along_the_border(shape: Sequence[int], ordered: Sequence[bool], labels: Mapping[Cell, str | None]) -> set[Cell]:
    """Cells that were taken for granted next to a known one of another label."""
    guess = filled(shape, ordered, labels)
    return {
        cell
        for cell in guess
        if cell not in labels
        and any(other in labels and labels[other] != guess[cell] for other in _neighbours(cell, shape, ordered))
    }


def _nearest_corner(
    cell: Cell, shape: Sequence[int], ordered: Sequence[bool], labels: Mapping[Cell, str | None]
) -> Cell:
    """The nearest known cell in the same category; of equally near ones the first."""
    for reach in range(1, max(shape) + 1):
        ranges = [
            range(max(0, i - reach), min(length, i + reach + 1)) if has else (i,)
            for i, length, has in zip(cell, shape, ordered, strict=True)
        ]
        near = [other for other in itertools.product(*ranges) if other in labels]
        if near:
            return min(near, key=lambda other: sum(abs(a - b) for a, b in zip(cell, other, strict=True)))
    raise ValueError("no cell of this category is known")
