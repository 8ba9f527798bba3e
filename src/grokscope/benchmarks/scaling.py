"""``grokscope bench scaling``: time and memory of a step against one size at a time, with fitted exponents."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope import machine
from grokscope.benchmarks.cases import CASES, NANDA
from grokscope.benchmarks.timing import Spread, in_turns
from grokscope.experiment import Experiment
from grokscope.training.engine import cores
from grokscope.training.members import Lane
from grokscope.training.memory import keep_freed_memory, member_bytes, threads

BASE = NANDA.with_overrides({"task.modulus": 59, "model.width": 64, "model.hidden": 256})
"""What the sizes are varied around; small enough that the largest takes a second a step."""
TINY = next(case.experiment for case in CASES if case.name == "tiny-11")


@dataclass(frozen=True)
class Axis:
    """One size and its values. ``tail`` values at the upper end are fitted: small sizes cost what calls cost."""

    name: str
    unit: str
    values: tuple[int, ...]
    at: Callable[[int], Experiment]
    members: bool = False
    threads: bool = False
    tail: int = 3


AXES: tuple[Axis, ...] = (
    Axis("modulus", "p", (23, 43, 83, 113, 157, 223), lambda p: BASE.with_overrides({"task.modulus": p})),
    Axis(
        "width",
        "d_model",
        (32, 64, 128, 256, 512),
        lambda d: BASE.with_overrides({"model.width": d, "model.hidden": 4 * d}),
    ),
    Axis("layers", "blocks", (1, 2, 3, 4, 6, 8), lambda n: BASE.with_overrides({"model.layers": n}), tail=4),
    Axis("members", "tiny networks in one lane", (1, 4, 16, 64, 256, 1024), lambda s: TINY, members=True),
    Axis("threads", "cores", tuple(range(1, cores() + 1)), lambda n: NANDA, threads=True, tail=cores()),
)


def scaling(rounds: int = 5, tell: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Time a step at every value of every axis.

    Returns:
        ``{"machine", "base", "axes": [{"name", "unit", "values", "ms_per_step", "bytes", "exponent",
        "exponent_error", "bytes_exponent"}]}``. A step is one of all members of the lane; bytes are those
        that the engine predicts for it; the exponents are slopes of the last ``fitted`` points in logs.
    """
    keep_freed_memory()
    axes = []
    for axis in AXES:
        tell(axis.name)
        spreads, memory = [], []
        for value in axis.values:
            experiment, count = axis.at(value), value if axis.members else 1
            with threads(value if axis.threads else 1):
                lane = Lane(list(enumerate(experiment.members(count))))
                spreads.append(Spread.of(in_turns([lane.step], rounds)[0]).round())
            memory.append(count * member_bytes(experiment))
        exponent, error = slope(axis.values[-axis.tail :], [s.median for s in spreads][-axis.tail :])
        axes.append(
            {
                "name": axis.name,
                "unit": axis.unit,
                "values": list(axis.values),
                "ms_per_step": [s.median for s in spreads],
                "low": [s.low for s in spreads],
                "high": [s.high for s in spreads],
                "bytes": memory,
                "fitted": axis.tail,
                "exponent": exponent,
                "exponent_error": error,
                "bytes_exponent": slope(axis.values[-axis.tail :], memory[-axis.tail :])[0],
            }
        )
    about = {"cpu": machine.cpu(), "units": machine.vector_units(), "cores": cores()} | machine.versions()
    return {"machine": about, "base": BASE.task.symbol, "axes": axes}


def slope(x: tuple[int, ...], y: list[float] | list[int]) -> tuple[float | None, float | None]:
    """Slope of log y over log x by least squares, and its standard error; None where there are too few points."""
    if len(x) < 2:
        return None, None
    u, v = np.log(np.array(x, dtype=float)), np.log(np.array(y, dtype=float))
    du = u - u.mean()
    found = float((du * v).sum() / (du**2).sum())
    left = v - v.mean() - found * du
    error = math.sqrt(float((left**2).sum()) / (len(x) - 2) / float((du**2).sum())) if len(x) > 2 else None
    return round(found, 2), None if error is None else round(error, 2)
