"""Diagrams: plan one, run it, go on with it, read it back."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import machine
from grokscope.catalog import find_experiment
from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.measures import Fit, Measure
from grokscope.spec import build
from grokscope.sweeps.axes import Axis, parse_axis
from grokscope.sweeps.bar import SweepBar
from grokscope.sweeps.engines import ENGINES, EngineName, here, on_ray, processes
from grokscope.sweeps.folder import SweepFolder
from grokscope.sweeps.grid import Batch, Cell, Shape, Sweep
from grokscope.sweeps.refine import filled, wanted
from grokscope.sweeps.results import DIVERGED, FAILED, CellSummary, Row, border_labels, summarise
from grokscope.sweeps.work import prepare
from grokscope.training.drive import stop_on_signal
from grokscope.training.engine import Plan, best_width, cores, find_device, room_for

if TYPE_CHECKING:
    import pandas as pd

MEASURED_SHAPES = 6
"""Shapes whose step is timed before a sweep; others are run as the one timed last (ours)."""
BATCHES_PER_CORE = 8
"""So many batches a core at least, where there are members enough: no core waits long for the last one (ours)."""
LARGEST_BATCH = 8
"""Members of a batch at most, where they do not share a lane (ours)."""


@dataclass(frozen=True)
class Estimate:
    """What a sweep is going to cost."""

    cells: int
    members: int
    batches: int
    lane: int
    """Members that take their steps together, at most."""
    bytes_per_lane: int
    """Memory predicted for the largest lane; each worker holds one."""
    ms_per_step: float
    """Measured, of a step and member, the largest of the shapes."""
    seconds_at_most: float
    """Every member running to its budget, without looking, on so many workers."""
    workers: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return dict(self.__dict__)


class Diagram:
    """A sweep in a store: ``.rows``, ``.cells()``, ``.to_pandas()``, ``.report("page.html")``."""

    def __init__(self, folder: SweepFolder) -> None:
        self.folder = folder
        self.sweep = folder.sweep()
        self._rows: list[Row] | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """Where it lives."""
        return self.folder.path

    @property
    def rows(self) -> list[Row]:
        """Every member that has ended."""
        if self._rows is None:
            self._rows = sorted(self.folder.rows(), key=lambda row: (row.cell, row.seed))
        return self._rows

    def cells(self) -> dict[Cell, CellSummary]:
        """What the members of each cell agree on."""
        return summarise(self.sweep, self.rows)

    def labels(self) -> dict[Cell, str | None]:
        """A label for every cell, of those that a refined diagram left out too; None where members disagree."""
        known = border_labels(self.cells())
        ordered = [axis.scale != "category" for axis in self.sweep.axes]
        return filled(self.sweep.shape, ordered, known) if known else {}

    def to_pandas(self) -> "pd.DataFrame":
        """One row per member: the fields of its cell, and what it did."""
        import pandas as pd

        rows = [self.sweep.values(row.cell) | row.to_dict() for row in self.rows]
        return pd.DataFrame(rows)

    def report(self, path: str | Path) -> Path:
        """Write the page."""
        from grokscope.report.diagram import write_diagram

        return write_diagram(self.folder, Path(path))

    def summary(self) -> dict[str, Any]:
        """What ``grokscope sweep --json`` prints."""
        meta = self.folder.meta()
        planned = sum(map(len, self.folder.planned().values()))
        return {
            "sweep": self.name,
            "status": meta.get("status"),
            "engine": meta.get("engine"),
            "cells": len({cell for cells in self.folder.planned().values() for cell in cells}),
            "cells_of_grid": len(list(self.sweep.cells())),
            "members": planned,
            "seconds": round(meta.get("seconds", 0.0), 3),
            "labels": dict(Counter(row.label for row in self.rows if row.label != FAILED)),
            "failed": [
                {"cell": self.sweep.values(row.cell), "seed": row.seed, "note": row.note, "run": row.run}
                for row in self.rows
                if row.label in (FAILED, DIVERGED)
            ],
        }

    def sentence(self) -> str:
        """What was found, in one sentence."""
        counts = Counter(row.label for row in self.rows)
        if not counts:
            return "Nothing has ended yet."
        parts = [f"{count} {label}" for label, count in counts.most_common()]
        told = self.summary()
        grid, left_out = told["cells_of_grid"], told["cells_of_grid"] - told["cells"]
        saved = f"; {left_out} of {grid} cells were left out, away from every border" if left_out else ""
        return f"{len(self.rows)} of {told['members']} members have ended: {', '.join(parts)}{saved}."

    def _repr_html_(self) -> str:
        from grokscope.report.diagram_data import Findings
        from grokscope.report.diagram_figure import still

        return still(Findings(self.folder))

    def __repr__(self) -> str:
        return f"Diagram({self.name}): {self.sentence()}"


def make_sweep(
    experiment: str | Path | Experiment | Mapping[str, Any],
    over: Sequence[str | Axis],
    members: int = 1,
    overrides: Mapping[str, Any] | None = None,
    measures: Sequence[str | Mapping[str, Any] | Measure] = (),
) -> Sweep:
    """The description of a diagram. It looks at loss and accuracy alone, unless more measures are named.

    Raises:
        BadInput: an axis that cannot be.
    """
    chosen = find_experiment(experiment)
    chosen = chosen.with_overrides(overrides) if overrides else chosen
    if not (overrides or {}).get("measures"):
        chosen = chosen.with_overrides({"measures": [Fit().to_dict()]})
    chosen = chosen.also_measuring(*measures) if measures else chosen
    axes = tuple(parse_axis(one, chosen) if isinstance(one, str) else one for one in over)
    return build(Sweep, {"experiment": chosen, "axes": axes, "members": members})


def estimate(sweep: Sweep, engine: EngineName = "auto", device: str = "auto", refine: bool = False) -> Estimate:
    """Cells, members, memory and time, from a step that is measured now; nothing is written.

    Raises:
        BadInput: it does not fit in memory.
    """
    where = find_device(device)
    planner = _Planner(sweep, where)
    found = planner.batches(_first_cells(sweep, refine))
    workers = 1 if engine == "here" else planner.workers
    members = sum(len(batch.members) for batch in found.batches)
    pairs = zip(found.batches, found.ms, strict=True)
    work = sum(ms * len(batch.members) * batch.experiment.budget for batch, ms in pairs)
    lane = max(len(lane) for batch in found.batches for lane in batch.lanes)
    return Estimate(
        cells=members // sweep.members,
        members=members,
        batches=len(found.batches),
        lane=lane,
        bytes_per_lane=max(found.bytes) * lane,
        ms_per_step=max(found.ms),
        seconds_at_most=work / 1e3 / min(workers, len(found.batches)),
        workers=workers,
    )


def sweep(
    experiment: str | Path | Experiment | Mapping[str, Any],
    over: Sequence[str | Axis],
    members: int = 1,
    *,
    overrides: Mapping[str, Any] | None = None,
    measures: Sequence[str | Mapping[str, Any] | Measure] = (),
    refine: bool = False,
    store: str | Path = "runs",
    engine: EngineName = "auto",
    device: str = "auto",
    ray_address: str | None = None,
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
    command: str = "",
) -> Diagram:
    """Run a diagram: every cell's members, or with ``refine`` those that find its borders.

    Args:
        experiment: a shipped name, a YAML file, ``package.module:NAME``, or an Experiment.
        over: axes, as text (:func:`parse_axis`) or as objects.
        members: seeds of each cell.
        overrides: dotted fields to change everywhere.
        measures: what to look at beside loss and accuracy.
        refine: a coarse grid first, then cells near a border only.
        store: folder of runs.
        engine: here, processes, ray; auto is a process per core, or this process on a GPU.
        device: auto, cpu or cuda.
        ray_address: of a cluster that runs already.
        checkpoint_seconds: at least this long between a run's checkpoints.
        progress: show a bar on standard error.
        command: what to print as the way to repeat it.

    Raises:
        BadInput: the request cannot be met; one line says why.
        KeyboardInterrupt: Ctrl-C; everything is saved, and :func:`go_on` continues it.
    """
    if engine not in ENGINES:
        raise BadInput(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}.")
    planned = make_sweep(experiment, over, members, overrides, measures)
    where = find_device(device)
    planner = _Planner(planned, where)
    first = planner.batches(_first_cells(planned, refine))  # before anything is written
    folder = SweepFolder.create(
        store,
        planned.experiment.name,
        planned,
        engine=_engine(engine, where),
        device=where,
        refine=refine,
        ray_address=ray_address,
        command=command,
        checkpoint_seconds=checkpoint_seconds,
        workers=planner.workers,
        versions=machine.versions(),
        machine={"cpu": machine.cpu(), "cores": cores()},
        git=machine.git(),
    )
    folder.plan_round(first.batches)
    return _drive(folder, planner, progress)


def go_on(name: str, *, store: str | Path = "runs", engine: EngineName | None = None, progress: bool = True) -> Diagram:
    """Continue a sweep that was interrupted or killed; what is done is not done again, what failed is tried again.

    Raises:
        BadInput: no such sweep, or another process runs it.
    """
    folder = SweepFolder.find(name, store)
    meta = folder.meta()
    if engine is not None:
        folder.write_meta(engine=_engine(engine, meta.get("device", "cpu")))
    for run in folder.planned():
        if any(row.label == FAILED for row in folder.rows_in(run)):
            folder.reopen(run)
    return _drive(folder, _Planner(folder.sweep(), find_device(meta.get("device", "cpu"))), progress)


def load_diagram(name: str, *, store: str | Path = "runs") -> Diagram:
    """A sweep that is in a store."""
    return Diagram(SweepFolder.find(name, store))


# How it is done.


@dataclass
class _Planned:
    batches: list[Batch]
    ms: list[float]
    """Of a step and member of each batch."""
    bytes: list[int]
    """Of a member of each batch."""


class _Planner:
    """Lanes and batches, from trial steps: each shape is timed once."""

    def __init__(self, sweep: Sweep, where: str) -> None:
        self.sweep, self.where = sweep, where
        self.known: dict[str, tuple[int, float, int]] = {}
        self.workers = 1 if where != "cpu" else cores()
        """How many may be at work at once, each with a lane in memory."""

    def batches(self, cells: Sequence[Cell]) -> _Planned:
        """The cells' members, cut into lanes and batches."""
        shapes = self.sweep.plans(cells)
        total = sum(len(shape.members) for shape in shapes)
        at_most = min(LARGEST_BATCH, max(1, total // (BATCHES_PER_CORE * cores())))
        found = _Planned([], [], [])
        for shape in shapes:
            width, ms, each = self._width(shape)
            new = shape.batches(width, max(width, at_most))
            found.batches += new
            found.ms += [ms] * len(new)
            found.bytes += [each] * len(new)
        return found

    def _width(self, shape: Shape) -> tuple[int, float, int]:
        key = shape.experiment.hash()
        if key not in self.known and len(self.known) >= MEASURED_SHAPES:
            return next(reversed(self.known.values()))
        if key not in self.known:
            members = shape.experiment.members(overrides=[dict(m.overrides) for m in shape.members])
            each, room = room_for(members[0], self.where)
            if self.where == "cpu":
                width, ms, _ = best_width(members, max(1, room // cores()))
            else:
                width, ms = room, 0.0
            self.workers = max(1, min(self.workers, room // width))
            self.known[key] = (width, ms, each)
        return self.known[key]


def _first_cells(sweep: Sweep, refine: bool) -> list[Cell]:
    if not refine:
        return list(sweep.cells())
    return sorted(wanted(sweep.shape, [axis.scale != "category" for axis in sweep.axes], {}))


def _engine(engine: EngineName, where: str) -> str:
    if engine != "auto":
        return engine
    return "processes" if where == "cpu" and cores() > 1 else "here"


def _drive(folder: SweepFolder, planner: _Planner, progress: bool) -> Diagram:
    """Round after round, until no cell is wanted."""
    meta = folder.meta()
    plan = Plan("stacked", (), 1, 1, meta.get("device", "cpu"), "the lanes were planned with the sweep")
    engines: dict[str, Callable[[SweepFolder, Callable[[], bool]], None]] = {
        "here": here,
        "processes": partial(processes, count=meta.get("workers")),
        "ray": partial(on_ray, address=meta.get("ray_address")),
    }
    run = engines[meta["engine"]]
    ordered = [axis.scale != "category" for axis in planner.sweep.axes]
    with folder.driving(), _timed(folder, meta.get("seconds", 0.0)), stop_on_signal() as stopping:
        while True:
            prepare(folder, plan, f"grokscope sweep --resume {folder.name}", meta["checkpoint_seconds"])
            with _watched(folder, progress):
                run(folder, stopping)
            if stopping():
                raise KeyboardInterrupt(folder.name)
            labels = border_labels(Diagram(folder).cells())
            missing = wanted(planner.sweep.shape, ordered, labels) if meta.get("refine") else set()
            if not missing:
                break
            folder.plan_round(planner.batches(sorted(missing)).batches)
    return Diagram(folder)


@contextmanager
def _timed(folder: SweepFolder, before: float) -> Iterator[None]:
    """Seconds and status in meta.json, however it ends."""
    begin, status = time.monotonic(), "interrupted"
    folder.write_meta(status="running")
    try:
        yield
        status = "finished"
    except KeyboardInterrupt:
        raise
    except BaseException:
        status = "failed"
        raise
    finally:
        folder.write_meta(status=status, seconds=before + time.monotonic() - begin)


@contextmanager
def _watched(folder: SweepFolder, progress: bool) -> Iterator[None]:
    """A bar that follows what the workers write."""
    if not progress:
        yield
        return
    over = threading.Event()
    with SweepBar(folder) as bar:
        watcher = threading.Thread(target=bar.follow, args=(over,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
