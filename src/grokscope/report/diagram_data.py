"""A sweep as its page draws it: what is known of every cell, every member, and where both come from."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from grokscope.phases import LABELS, REGIMES
from grokscope.report import look
from grokscope.report.tables import SHORT_FIELDS
from grokscope.sweeps.axes import Axis, Value
from grokscope.sweeps.folder import SweepFolder
from grokscope.sweeps.grid import Cell
from grokscope.sweeps.refine import filled, wanted
from grokscope.sweeps.results import DIVERGED, FAILED, CellSummary, Row, border_labels, summarise

State = Literal["measured", "waiting", "left out", "unplanned"]
"""measured: a member has ended; waiting: planned, none has ended; left out: by refinement, which is done."""

REGIME_COLOURS = {
    "progression": look.SEGMENTS["cleanup"],
    "ungrokking": look.SEGMENTS["memorization"],
    "semi-grokking": look.SEGMENTS["circuit formation"],
    "grokking": look.SEGMENTS["generalised"],
}
QUANTITIES: tuple[dict[str, Any], ...] = (
    {"key": "label", "name": "label", "kind": "names", "about": "what the members did, after Liu et al. 2022"},
    {
        "key": "regime",
        "name": "regime",
        "kind": "names",
        "about": "what the members did, after Huang et al. 2024",
    },
    {"key": "delay", "name": "delay", "kind": "steps", "about": "steps from memorising to generalising"},
    {"key": "t_train", "name": "memorised at", "kind": "steps", "about": "step of the train event, t_train"},
    {"key": "t_test", "name": "generalised at", "kind": "steps", "about": "step of the test event, t_test"},
    {"key": "test_accuracy", "name": "test accuracy", "kind": "share", "about": "on held-out rows at the end"},
    {
        "key": "train_accuracy",
        "name": "train accuracy",
        "kind": "share",
        "about": "on trained rows at the end",
    },
)
"""What the map can show; the numbers are medians over a cell's members."""
CELL_FIELDS = (
    *("state", "label", "disagreement", "regime", "t_train", "t_test", "delay", "train_accuracy", "test_accuracy"),
    *("n", "censored", "failed", "planned"),
)
ROW_FIELDS = (
    *("cell", "seed", "label", "regime", "t_train", "t_test", "delay", "ratio", "censored", "steps"),
    *("train_accuracy", "test_accuracy", "test_loss", "run", "member", "note"),
)


@dataclass(frozen=True)
class Spot:
    """One cell as it is drawn."""

    cell: Cell
    state: State
    label: str | None
    """Of its members; of its neighbours where it was left out, None where these do not agree or nothing is known."""
    found: CellSummary | None
    planned: int
    """Members that are to end in it."""


class Findings:
    """What a sweep's folder holds at this moment, read once."""

    def __init__(self, folder: SweepFolder) -> None:
        self.name = folder.name
        self.sweep = folder.sweep()
        self.meta = folder.meta()
        self.rows: list[Row] = sorted(folder.rows(), key=lambda row: (row.cell, row.seed))
        self.cells = summarise(self.sweep, self.rows)
        self.planned = Counter(cell for cells in folder.planned().values() for cell in cells)
        guesses = self._guesses()
        self.spots = [self._spot(cell, guesses) for cell in self.sweep.cells()]

    @property
    def members(self) -> int:
        """Members that are planned."""
        return sum(self.planned.values())

    @property
    def left_out(self) -> int:
        """Cells that refinement did without."""
        return sum(spot.state == "left out" for spot in self.spots)

    def opening(self) -> Cell:
        """The cell that is open at first: of those that grok the one with the longest delay, else one with a row."""
        grok = [c for c in self.cells.values() if c.label == "grokking" and c.delay is not None]
        if grok:
            return max(grok, key=lambda c: c.delay or 0.0).cell
        return next(iter(self.cells), tuple(0 for _ in self.sweep.axes))

    def _guesses(self) -> dict[Cell, str | None]:
        """Labels of the cells that a finished refinement left out; nothing as long as it wants more cells."""
        if not self.cells or not self.meta.get("refine"):
            return {}
        labels = border_labels(self.cells)
        ordered = [axis.scale != "category" for axis in self.sweep.axes]
        if wanted(self.sweep.shape, ordered, labels):
            return {}
        return filled(self.sweep.shape, ordered, labels)

    def _spot(self, cell: Cell, guesses: dict[Cell, str | None]) -> Spot:
        planned = self.planned[cell]
        if found := self.cells.get(cell):
            return Spot(cell, "measured", found.label, found, planned)
        if planned:
            return Spot(cell, "waiting", None, None, planned)
        if cell in guesses:
            return Spot(cell, "left out", guesses[cell], None, 0)
        return Spot(cell, "unplanned", None, None, 0)


def payload(found: Findings, live: bool, base: str) -> dict[str, Any]:
    """All that the page's script draws from, as plain data; a number that is not finite is None.

    Cells are in the order of the grid, the last axis fastest.
    """
    steps = [s for row in found.rows for s in (row.t_train, row.t_test, row.steps) if s]
    fields = {axis.field for axis in found.sweep.axes}
    return {
        "sweep": found.name,
        "live": live,
        "base": base.rstrip("/"),
        "axes": [axis_data(axis) for axis in found.sweep.axes],
        "opening": list(found.opening()),
        "members": found.sweep.members,
        "budget": None if "budget" in fields else found.sweep.experiment.budget,
        "steps": [min(steps), max(steps)] if steps else None,
        "quantities": list(QUANTITIES),
        "names": {"label": [*LABELS, DIVERGED, FAILED], "regime": list(REGIMES)},
        "inkOn": {"memorization": look.INK_ON["memorization"], "ungrokking": look.INK_ON["memorization"]},
        "cellFields": CELL_FIELDS,
        "cells": [_cell_data(spot) for spot in found.spots],
        "rowFields": ROW_FIELDS,
        "rows": [[plain(getattr(row, name)) for name in ROW_FIELDS] for row in found.rows],
    }


def axis_data(axis: Axis) -> dict[str, Any]:
    """An axis with its values as they are written."""
    return {
        "field": axis.field,
        "name": short(axis.field),
        "scale": axis.scale,
        "values": [plain(value) for value in axis.values],
        "names": [written(value) for value in axis.values],
    }


def short(field: str) -> str:
    """A field as words: ``optimizer.weight_decay`` is ``weight decay``, ``optimizer.kind`` is ``optimizer``."""
    field = field.removesuffix(".kind")
    return SHORT_FIELDS.get(field, field.rsplit(".", 1)[-1].replace("_", " "))


def written(value: Value) -> str:
    """A value of an axis as words: three digits that matter, ``true``, ``none``."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return look.number(value).replace("-", "−")


def plain(value: Any) -> Any:
    """The value, or None for a float that is not finite: JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell_data(spot: Spot) -> list[Any]:
    c = spot.found
    if c is None:
        return [spot.state, spot.label, None, None, None, None, None, None, None, 0, 0, 0, spot.planned]
    known = (c.disagreement, c.regime, c.t_train, c.t_test, c.delay, c.train_accuracy, c.test_accuracy)
    return [spot.state, c.label, *map(plain, known), c.n, c.censored, c.failed, spot.planned]
