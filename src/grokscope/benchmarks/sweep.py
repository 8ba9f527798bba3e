"""``grokscope bench sweep``: a phase diagram against the same cells one by one in a plain loop."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from grokscope import machine
from grokscope.benchmarks.notebook import Notebook
from grokscope.benchmarks.timing import Spread, in_turns
from grokscope.catalog import SMALL_MLP
from grokscope.experiment import Experiment
from grokscope.sweeps.diagram import make_sweep, sweep
from grokscope.sweeps.engines import EngineName
from grokscope.training.engine import cores
from grokscope.training.memory import keep_freed_memory, threads

EXPERIMENT = SMALL_MLP.with_overrides({"budget": 2000})
OVER = ("optimizer.weight_decay=log(0.03,3,10)", "task.train_fraction=lin(0.2,0.65,10)")
"""Weight decay against the share of pairs that is trained on."""
MEMBERS = 2


def bench_sweep(
    experiment: Experiment = EXPERIMENT,
    over: Sequence[str] = OVER,
    members: int = MEMBERS,
    engine: EngineName = "auto",
    rounds: int = 7,
    tell: Callable[[str], None] = lambda _: None,
    store: Path | None = None,
    command: str = "grokscope bench sweep",
) -> dict[str, Any]:
    """Run a diagram, and time the plain loop's step on each training set of it before and after.

    The plain loop takes each member alone, to its budget, on one thread or all cores, whichever is faster for
    it, and computes the held-out loss in each step, as published loops do. It would take far longer than
    the diagram, so its time is its step's, times the steps. It never stops early; beside that ratio stands the
    one for as many steps as our members took, which stopped once they had generalised.

    The sweep is kept where a ``store`` is given.

    Returns:
        ``{"machine", "sweep", "cells", "members", "engine", "seconds", "members_per_s", "steps", "plain_seconds",
        "ratio", "plain_seconds_same_steps", "ratio_same_steps", "plain_ms_per_step", "labels"}``
    """
    keep_freed_memory()
    planned = make_sweep(experiment, over, members)
    cells = {shape.train_rows: planned.at(shape.members[0].cell) for shape in planned.plans(planned.cells())}
    tell("the plain loop, before")
    before = _plain(cells, rounds)
    tell("the diagram")
    with tempfile.TemporaryDirectory() if store is None else nullcontext(store) as where:
        begin = time.perf_counter()
        found = sweep(experiment, over, members, store=where, engine=engine, progress=False, command=command)
        seconds = time.perf_counter() - begin
        told, rows = found.summary(), found.rows
        at = {row.cell: planned.at(row.cell) for row in rows}
    tell("the plain loop, after")
    after = _plain(cells, rounds)
    plain = {size: min(before[size], after[size], key=lambda spread: spread.median) for size in cells}
    sizes = {cell: one.task.divide(one.seeds).size("train") for cell, one in at.items()}
    whole = sum(plain[sizes[row.cell]].median * at[row.cell].budget for row in rows) / 1e3
    same = sum(plain[sizes[row.cell]].median * row.steps for row in rows) / 1e3
    return {
        "machine": {"cpu": machine.cpu(), "units": machine.vector_units(), "cores": cores()} | machine.versions(),
        "sweep": found.name,
        "experiment": experiment.name,
        "budget": experiment.budget,
        "over": list(over),
        "cells": told["cells"],
        "members": told["members"],
        "engine": told["engine"],
        "seconds": round(seconds, 1),
        "members_per_s": round(len(rows) / seconds, 3),
        "steps": sum(row.steps for row in rows),
        "plain_seconds": round(whole),
        "ratio": round(whole / seconds, 2),
        "plain_seconds_same_steps": round(same),
        "ratio_same_steps": round(same / seconds, 2),
        "plain_ms_per_step": {size: spread.round().median for size, spread in plain.items()},
        "labels": dict(Counter(row.label for row in rows)),
    }


def _plain(cells: dict[int, Experiment], rounds: int) -> dict[int, Spread]:
    """The plain loop's step for each training size, on the better of one thread and all cores."""
    found: dict[int, Spread] = {}
    for on in sorted({1, cores()}):
        with threads(on):
            books = [Notebook(one, test_every_step=True) for one in cells.values()]
            for size, times in zip(cells, in_turns([book.step for book in books], rounds), strict=True):
                spread = Spread.of(times)
                if size not in found or spread.median < found[size].median:
                    found[size] = spread
    return found
