"""What a diagram found: a row for each member, and a summary of each cell."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from grokscope.phases import Phases, RegimeRule, regime
from grokscope.record import Record
from grokscope.sweeps.grid import Cell, Sweep

DIVERGED = "diverged"
"""Label of a member whose training loss became NaN: a finding, not a fault."""
FAILED = "failed"
"""Label of a member without a finding: its worker died again and again, or its run could not be begun."""


@dataclass(frozen=True)
class Row:
    """What one member did."""

    cell: Cell
    seed: int
    label: str
    """Of Liu's four, or :data:`DIVERGED`, or :data:`FAILED`."""
    regime: str | None
    """Of Huang's four."""
    t_train: int | None
    t_test: int | None
    delay: int | None
    ratio: float | None
    censored: bool
    """The run ended before the test event."""
    steps: int
    train_accuracy: float | None
    test_accuracy: float | None
    test_loss: float | None
    run: str
    """Folder of its run, below the sweep's."""
    member: int
    """Its number in that run."""
    note: str = ""
    """Why it failed."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"cell": list(self.cell)}

    @classmethod
    def of_failure(cls, cell: Cell, seed: int, run: str, member: int, note: str) -> "Row":
        """A member without a finding, and why."""
        return cls(cell, seed, FAILED, None, None, None, None, None, True, 0, None, None, None, run, member, note)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Row":
        """The inverse of :meth:`to_dict`."""
        return cls(**{**data, "cell": tuple(data["cell"])})


@dataclass(frozen=True)
class CellSummary:
    """A cell of the diagram: what its members agree on."""

    cell: Cell
    n: int
    """Members that have ended."""
    label: str
    """The commonest; of equally common ones the first in the order of the rows."""
    disagreement: float
    """Share of the members with another label, in [0, 1)."""
    regime: str | None
    """The commonest of Huang's four; None where that is none of them."""
    t_train: float | None
    """Median over the members, censored ones counted as later than any; None where it is censored itself."""
    t_test: float | None
    delay: float | None
    censored: int
    """Members that ended before the test event."""
    failed: int
    train_accuracy: float | None
    """Median at the end, of those that are numbers."""
    test_accuracy: float | None


def row_of(record: Record, phases: Phases, cell: Cell, run: str) -> Row:
    """One member's row from its run."""
    ended = record.ended.get(phases.member, {})
    last = record.trace.last(phases.member)
    diverged = ended.get("reason") == "diverged"
    e, chance = phases.events, record.experiment.task.chance
    return Row(
        cell=cell,
        seed=record.members[phases.member].seed,
        label=DIVERGED if diverged else phases.label,
        regime=None if diverged else regime(e, last.get("test/accuracy"), chance, RegimeRule()),
        t_train=e.t_train,
        t_test=e.t_test,
        delay=e.delay,
        ratio=e.ratio,
        censored=e.censored,
        steps=e.last_step,
        train_accuracy=last.get("train/accuracy"),
        test_accuracy=last.get("test/accuracy"),
        test_loss=last.get("test/loss"),
        run=run,
        member=phases.member,
        note=str(ended.get("note") or "") if diverged else "",
    )


def summarise(sweep: Sweep, rows: Sequence[Row]) -> dict[Cell, CellSummary]:
    """The cells that have a row, in the order of the grid."""
    by_cell: dict[Cell, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.cell, row.seed)):
        by_cell.setdefault(row.cell, []).append(row)
    return {cell: _summary(cell, by_cell[cell]) for cell in sweep.cells() if cell in by_cell}


def border_labels(cells: Mapping[Cell, CellSummary]) -> dict[Cell, str | None]:
    """What refinement goes by: None where members disagree, or one has no finding."""
    return {cell: None if found.disagreement or found.failed else found.label for cell, found in cells.items()}


def _summary(cell: Cell, rows: Sequence[Row]) -> CellSummary:
    labels = Counter(row.label for row in rows)
    label, most = labels.most_common(1)[0]
    regimes = Counter(row.regime for row in rows)
    good = [row for row in rows if row.label != FAILED]
    return CellSummary(
        cell=cell,
        n=len(rows),
        label=label,
        disagreement=1 - most / len(rows),
        regime=regimes.most_common(1)[0][0],
        t_train=_median([row.t_train for row in good]),
        t_test=_median([row.t_test for row in good]),
        delay=_median([row.delay for row in good]),
        censored=sum(row.censored for row in good),
        failed=len(rows) - len(good),
        train_accuracy=_middle([row.train_accuracy for row in good]),
        test_accuracy=_middle([row.test_accuracy for row in good]),
    )


def _median(steps: Sequence[int | None]) -> float | None:
    """The median with None as later than any; None where the median is."""
    if not steps:
        return None
    middle = statistics.median(float("inf") if step is None else float(step) for step in steps)
    return middle if middle < float("inf") else None


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.median(known) if known else None
