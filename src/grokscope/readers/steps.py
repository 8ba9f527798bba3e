"""Which step each row of a log is of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grokscope.errors import BadInput
from grokscope.readers.base import CURVES, Unit
from grokscope.readers.files import plain
from grokscope.readers.names import meaning, step_rank
from grokscope.readers.repair import MAX_STEP, whole_steps
from grokscope.readers.sheet import Column, Sheet
from grokscope.trace import Floats, Steps

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Clock:
    """The step of every row of one run."""

    steps: Steps
    """(rows,)"""
    has: Mask
    """(rows,) false where a row has no step."""
    unit: Unit
    source: str
    """What the steps were read from; empty where rows were counted."""
    column: str | None = None
    """The column that was used up as steps."""
    own: bool = False
    """The format has a step for every value, so curves may have been logged on different steps."""
    notes: tuple[str, ...] = ()

    def of(self, rows: Steps) -> tuple[Steps, Mask]:
        """Steps of some rows, and which of them have one."""
        return self.steps[rows], self.has[rows]


def clock_of(sheet: Sheet, mapped: str | None, unit: Unit | None) -> Clock:
    """The clock of a run: the mapped column, the format's own, the best known name, or the rows counted."""
    if mapped not in sheet.columns:
        mapped = None
    if mapped and not sheet.columns[mapped].values:
        raise BadInput(f"--map step={plain(mapped)}: that column holds no numbers; map a column of numbers.")
    if sheet.clock is not None:
        column = mapped or (_named(sheet, "epoch") if unit == "epoch" else None)
        return _own(sheet, column, unit)
    column = mapped or _named(sheet, unit) or _named(sheet, None)
    if column is None:
        return _rows_counted(sheet, unit, "no column of steps")
    return _counted(sheet, column, unit)


def _rows_counted(sheet: Sheet, unit: Unit | None, why: str) -> Clock:
    every = np.ones(sheet.rows, dtype=bool)
    return Clock(
        np.arange(sheet.rows, dtype=np.int64), every, unit or "step", "", notes=(f"{why}: rows are counted from 0",)
    )


def _named(sheet: Sheet, unit: Unit | None) -> str | None:
    """The column whose name is a counter's; one that covers the curves' rows goes before one with gaps."""
    found = []
    for name, column in sheet.columns.items():
        rank = step_rank(name)
        if rank is not None and column.values and unit in (None, rank[0]):
            found.append((rank[0] == "epoch", rank[1], name))
    if len(found) < 2:
        return found[0][2] if found else None
    curves = np.zeros(sheet.rows, dtype=bool)
    for name, column in sheet.columns.items():
        known = meaning(name)
        if known is not None and known.key in CURVES:
            curves[column.numbers()[0]] = True
    needed = max(int(curves.sum()), 1)
    covers = {name: float(curves[sheet.columns[name].numbers()[0]].sum()) / needed for _, _, name in found}
    best = max(covers.values())
    return min((entry for entry in found if covers[entry[2]] >= 0.5 * best), default=found[0])[2]


def _own(sheet: Sheet, column: str | None, unit: Unit | None) -> Clock:
    """The format's clock, or what a column says at each of its steps."""
    clock = np.array(sheet.clock, dtype=np.int64)
    has = (clock >= 0) & (clock <= MAX_STEP)
    notes = (f"{int((~has).sum())} rows with a negative or huge step left out",) if not has.all() else ()
    if column is None:
        return Clock(clock, has, unit or "step", "step", own=True, notes=notes)
    rows, values = sheet.columns[column].numbers()
    told = dict(zip(clock[rows].tolist(), values.tolist(), strict=True))
    numbers = np.array([told.get(step, np.nan) for step in clock.tolist()])
    return _rounded(column, numbers, unit, own=True, notes=notes)


def _counted(sheet: Sheet, column: str, unit: Unit | None) -> Clock:
    """The steps that stand in a column; a row that has none is of the step of the row before."""
    rows, values = sheet.columns[column].numbers()
    numbers = np.full(sheet.rows, np.nan)
    numbers[rows] = values
    notes: tuple[str, ...] = ()
    used = _used(sheet)
    if len(rows) < 0.1 * used.sum():
        return _rows_counted(sheet, unit, f"{plain(column)} stands in {len(rows)} of {int(used.sum())} rows")
    if len(rows) and len(rows) < sheet.rows and not sheet.columns[column].texts:
        there = np.zeros(sheet.rows, dtype=bool)
        there[rows] = True
        before = np.maximum.accumulate(np.where(there, np.arange(sheet.rows), -1))
        filled = ~there & (before >= 0) & used
        numbers[filled] = numbers[before[filled]]
        if filled.any():
            notes = (f"{int(filled.sum())} rows without {plain(column)} are of the step of the row before",)
    return _rounded(column, numbers, unit, notes=notes, used=used)


def _used(sheet: Sheet) -> Mask:
    """Rows that hold any number."""
    used = np.zeros(sheet.rows, dtype=bool)
    for column in sheet.columns.values():
        used[_rows(column)] = True
    return used


def _rows(column: Column) -> Steps:
    return np.frombuffer(column.rows, dtype=np.int64) if column.rows else np.zeros(0, dtype=np.int64)


def _rounded(
    column: str,
    numbers: Floats,
    unit: Unit | None,
    *,
    own: bool = False,
    notes: tuple[str, ...] = (),
    used: Mask | None = None,
) -> Clock:
    steps, has, scale = whole_steps(numbers)
    rank = step_rank(column)
    counts: Unit = unit or ("epoch" if rank is not None and rank[0] == "epoch" else "step")
    if scale > 1:
        counts = "step"
        notes += (f"{plain(column)} is fractional: one step is 1/{scale} of it",)
    lost = int((~has & (used if used is not None else True)).sum())
    if lost:
        notes += (f"{lost} {'rows' if lost > 1 else 'row'} without a usable {plain(column)} left out",)
    return Clock(steps, has, counts, plain(column, 120), column, own, notes)
