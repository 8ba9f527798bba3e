"""Where a diagram's labels change: found with a part of its cells.

A coarse grid first; between neighbours on it that disagree the middle, and again, down to single cells; at
last the border is walked, until both cells of every pair of neighbours with different labels are known.
Nothing here trains: a function of the labels known so far.
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
    grid = [ticks(*axis) for axis in zip(shape, steps, ordered, strict=True)]
    if missing := {cell for cell in itertools.product(*grid) if cell not in labels}:
        return missing
    while any(step > 1 for step in steps):
        steps = [max(1, step // 2) for step in steps]
        finer = [ticks(*axis) for axis in zip(shape, steps, ordered, strict=True)]
        if missing := _middles(grid, finer, ordered, labels):
            return missing
        grid = finer
    return _along_the_border(shape, ordered, labels)


def filled(shape: Sequence[int], ordered: Sequence[bool], labels: Mapping[Cell, str | None]) -> dict[Cell, str | None]:
    """A label for every cell of a diagram that is done: its own, or that of the nearest known corner.

    Where :func:`wanted` is empty no cell that was left out has a neighbour of another label.
    """
    known = dict(labels)
    for cell in itertools.product(*map(range, shape)):
        if cell not in known:
            known[cell] = labels[_nearest_corner(cell, shape, ordered, labels)]
    return known


def _middles(
    grid: Sequence[Sequence[int]],
    finer: Sequence[Sequence[int]],
    ordered: Sequence[bool],
    labels: Mapping[Cell, str | None],
) -> set[Cell]:
    """Cells of the finer grid between two neighbours of this one that are known and do not agree."""
    found: set[Cell] = set()
    for axis in (k for k, has in enumerate(ordered) if has):
        for low, high in itertools.pairwise(grid[axis]):
            between = [place for place in finer[axis] if low < place < high]
            if not between:
                continue
            others = [places if k != axis else (low,) for k, places in enumerate(grid)]
            for cell in itertools.product(*others):
                ends = cell, (*cell[:axis], high, *cell[axis + 1 :])
                middle = (*cell[:axis], between[len(between) // 2], *cell[axis + 1 :])
                if middle not in labels and all(e in labels for e in ends) and _differ(*(labels[e] for e in ends)):
                    found.add(middle)
    return found


def _differ(one: str | None, other: str | None) -> bool:
    return one is None or one != other


def _along_the_border(shape: Sequence[int], ordered: Sequence[bool], labels: Mapping[Cell, str | None]) -> set[Cell]:
    """The unknown ones of neighbours whose labels, known or guessed, differ.

    Those beside a known cell first; where both are guessed one of the two, because what it turns out to
    be may move the border away from the other.
    """
    guess = filled(shape, ordered, labels)
    unknown: list[tuple[Cell, Cell]] = []
    beside: set[Cell] = set()
    for cell in itertools.product(*map(range, shape)):
        for other in _next(cell, shape, ordered):
            if _differ(guess[cell], guess[other]):
                pair = [one for one in (cell, other) if one not in labels]
                if len(pair) == 1:
                    beside.update(pair)
                elif pair:
                    unknown.append((cell, other))
    if beside:
        return beside
    chosen: set[Cell] = set()
    for cell, other in unknown:
        if other not in chosen:
            chosen.add(cell)
    return chosen


def _next(cell: Cell, shape: Sequence[int], ordered: Sequence[bool]) -> Iterator[Cell]:
    """The following cell along each axis that has an order."""
    for axis, has in enumerate(ordered):
        if has and cell[axis] + 1 < shape[axis]:
            yield (*cell[:axis], cell[axis] + 1, *cell[axis + 1 :])


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
