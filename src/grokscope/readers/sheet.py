"""A run on its way in: columns as they stand in the log, rows in the order of the log.

A column is two flat arrays (number of the row, value), so five million rows of a few columns fit.
"""

import math
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from grokscope.errors import BadInput
from grokscope.readers.files import MAX_COLUMNS, MAX_RUNS, Budget, plain, shown
from grokscope.trace import Floats, Steps

MISSING = frozenset({"", "null", "none", "na", "n/a", "-", "--"})
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")


@dataclass
class Column:
    """One column: the rows that hold a number, and the numbers."""

    rows: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    texts: int = 0
    """Cells that are there but are no number."""
    percent: int = 0
    """Cells that were written with a percent sign."""

    def numbers(self) -> tuple[Steps, Floats]:
        """Rows and values as arrays."""
        return np.array(self.rows, dtype=np.int64), np.array(self.values, dtype=np.float64)


@dataclass
class Sheet:
    """One run of a log, before its columns have a meaning."""

    name: str
    format: str
    path: Path
    budget: Budget
    columns: dict[str, Column] = field(default_factory=dict)
    rows: int = 0
    clock: "array[int] | None" = None
    """The step of each row, where the format has one beside the columns (event files, metric stores)."""
    settings: dict[str, float | int | str | bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    def add(self, cells: Iterable[tuple[str, object]], step: int | None = None, *, comma: bool = False) -> None:
        """One row; ``step`` where the format has a clock of its own, ``comma`` where 0,5 is a half."""
        row, points = self.rows, 0
        self.rows += 1
        if step is not None:
            self.clock = array("q") if self.clock is None else self.clock
            self.clock.append(step)
        for name, cell in cells:
            if cell is None:
                continue
            column = self.columns.get(name)
            if column is None:
                column = self._column(name)
            try:  # the short way for what nearly all cells are
                value = cell if type(cell) is float else float(cell) if type(cell) is str and "_" not in cell else None
            except ValueError:
                value = None
            if value is None:
                if isinstance(cell, str) and cell.strip().lower() in MISSING:
                    continue
                value = number(cell, comma=comma)
                column.percent += value is not None and isinstance(cell, str) and cell.rstrip().endswith("%")
            if value is None:
                column.texts += 1
                continue
            column.rows.append(row)
            column.values.append(value)
            points += 1
        self.budget.spend(self.path, rows=1, points=points)

    def _column(self, name: str) -> Column:
        if len(self.columns) >= MAX_COLUMNS:
            raise BadInput(
                f"{shown(self.path)} has more than {MAX_COLUMNS:,} columns: keep those of loss and accuracy."
            )
        return self.columns.setdefault(name, Column())


@dataclass
class Sheets:
    """The runs of one file, by what its rows say."""

    name: str
    format: str
    path: Path
    budget: Budget
    found: dict[tuple[str, ...], Sheet] = field(default_factory=dict)

    def of(self, run: tuple[str, ...] = ()) -> Sheet:
        """The sheet of the run that a row names; the file's only one where rows name none."""
        sheet = self.found.get(run)
        if sheet is None:
            if len(self.found) >= MAX_RUNS:
                raise BadInput(f"{shown(self.path)} holds more than {MAX_RUNS:,} runs: split it, or drop that column.")
            sheet = self.found[run] = Sheet(self.name, self.format, self.path, self.budget)
        return sheet

    def all(self) -> list[Sheet]:
        """Every run, named by what tells it from the others."""
        told = [i for i in range(max(map(len, self.found), default=0)) if len({r[i : i + 1] for r in self.found}) > 1]
        for run, sheet in self.found.items():
            marks = [plain(run[i]) for i in told if i < len(run) and run[i]]
            sheet.name = " ".join([self.name, *marks]) if marks else self.name
        return list(self.found.values())


def number(cell: object, *, comma: bool = False) -> float | None:
    """A cell as a number, NaN and infinities included; None where it is none (words, truth values, lists).

    >>> number("-inf"), number("98.5%"), number("1e3"), number("=1+1"), number("1_0"), number(True)
    (-inf, 98.5, 1000.0, None, None, None)
    >>> number("0,25", comma=True)
    0.25
    """
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    if isinstance(cell, str):
        text = cell.strip().removesuffix("%").rstrip()
        if comma and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        if "_" in text or not text.isascii() or len(text) > 400:
            return None
        cell = text
    try:
        return float(cell)
    except ValueError:
        return None
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if isinstance(cell, int) and cell > 0 else -math.inf
