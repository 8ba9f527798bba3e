"""Mending the order of a column: rows out of order, repeated steps, runs that were resumed.

A step that is smaller than the one before is either a row in the wrong place or the first row after a
resume from an earlier checkpoint. It is a resume where the rising stretch that begins there logs steps
again that were already logged, or passes evenly between them and beyond the last; then what the run had
logged from there on belongs to the abandoned branch, and the later lines replace it. Otherwise, and
where more than a quarter of the rows jump back, nothing is dropped and the rows are sorted.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grokscope.trace import Floats, Steps

MAX_RESUMES = 1_000
MAX_STEP = 2**53
"""Beyond it, steps that differ may be the same number."""


@dataclass
class Mended:
    """A column in the order of its steps, and what was done."""

    steps: Steps
    values: Floats
    sorted: int = 0
    """Rows that stood after a later step."""
    repeated: int = 0
    """Points replaced by a later line of the same step."""
    resumed: list[tuple[int, int]] = field(default_factory=list)
    """(row, step) at which the run goes on from an earlier step."""
    replaced: int = 0
    """Points of abandoned branches."""


def mend(rows: Steps, steps: Steps, values: Floats) -> Mended:
    """Sort, and let later lines win; ``rows`` rise, ``steps`` and ``values`` stand beside them.

    >>> mend(*(np.array(x) for x in ([0, 1, 2, 3], [0, 10, 20, 10], [1.0, 2.0, 3.0, 4.0]))).steps
    array([ 0, 10])
    """
    jumps = np.flatnonzero(np.diff(steps) < 0) + 1
    kept = np.arange(len(steps))
    done = Mended(steps, values)
    if len(jumps):
        if len(jumps) > max(1, len(steps) // 4) or len(jumps) > MAX_RESUMES:
            kept = np.argsort(steps, kind="stable")
            done.sorted = len(jumps)
        else:
            kept = _stretches(rows, steps, jumps, done)
    ordered = steps[kept]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, dtype=bool)
    done.repeated += int(len(ordered) - last.sum())
    done.steps, done.values = ordered[last], values[kept][last]
    return done


def _stretches(rows: Steps, steps: Steps, jumps: NDArray[np.intp], done: Mended) -> NDArray[np.intp]:
    """Indices in the order of their steps, abandoned branches left out."""
    kept = np.arange(jumps[0])
    for begin, end in zip(jumps, np.append(jumps[1:], len(steps)), strict=True):
        stretch = np.arange(begin, end)
        start = int(np.searchsorted(steps[kept], steps[begin], side="left"))
        overlapped = kept[start:]
        if len(overlapped) and _resumes(steps[overlapped], steps[stretch]):
            done.resumed.append((int(rows[begin]), int(steps[begin])))
            again = int(np.isin(steps[overlapped], steps[stretch]).sum())
            done.replaced += len(overlapped) - again
            done.repeated += again
            kept = np.concatenate([kept[:start], stretch])
        else:
            tail = np.concatenate([overlapped, stretch])
            done.sorted += bool(len(overlapped))
            kept = np.concatenate([kept[:start], tail[np.argsort(steps[tail], kind="stable")]])
    return kept


def _resumes(before: Steps, stretch: Steps) -> bool:
    """Does a rising stretch redo the steps that were logged before (from its first step on)?"""
    last = before[-1]
    inside = stretch[stretch <= last]
    if np.isin(inside, before).any():
        return True
    beyond = stretch[stretch > last]
    if len(inside) < 2 or not len(beyond):
        return False
    gaps = np.diff(np.append(inside, beyond[0]))
    return bool(gaps.max() <= 2 * np.median(np.diff(stretch)))


def whole_steps(numbers: Floats) -> tuple[Steps, NDArray[np.bool_], int]:
    """Counters as whole numbers: (steps, which rows have one, how many steps make a counted unit).

    Whole numbers stay as they are. Fractional ones (epochs of 0.25) are multiplied by the smallest power
    of ten that makes them whole, at most a million, and rounded. A row whose counter is missing, not
    finite, negative or beyond 2⁵³ has none.
    """
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(numbers) & (numbers >= 0) & (numbers <= MAX_STEP)
    good = numbers[usable]
    scale = 1
    while scale < 1_000_000 and not np.allclose(good * scale, np.round(good * scale), rtol=0, atol=1e-6):
        scale *= 10
    usable &= np.where(usable, numbers, 0) * scale <= MAX_STEP
    steps = np.zeros(len(numbers), dtype=np.int64)
    steps[usable] = np.round(numbers[usable] * scale).astype(np.int64)
    return steps, usable, scale
