"""How members run: stacked, pooled over the cores, or looped here; chosen by measurement, then recorded."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.training.members import Lane

EngineName = Literal["auto", "stacked", "pooled", "looped"]
STACK_BELOW_MS = 0.5
"""On a CPU stacking pays below about half a millisecond a step (ours); above it the cache is lost."""

THREADS_ABOVE_MS = 5.0
"""A member alone uses all cores when one step is long enough to be shared (ours)."""


@dataclass(frozen=True)
class Plan:
    """How a run's members are divided over lanes, and on what they run."""

    engine: str
    lanes: tuple[tuple[int, ...], ...]
    workers: int
    threads: int
    device: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        """For meta.json, from which a resumed run takes the same plan."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Plan":
        """The inverse of :meth:`to_dict`."""
        return cls(**{**data, "lanes": tuple(tuple(lane) for lane in data["lanes"])})


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_device(device: str) -> str:
    """``auto`` is a GPU where there is one.

    Raises:
        BadInput: a device that this machine or this torch does not have.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind == "cpu":
        return "cpu"
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise BadInput(
                f"device {device!r} is not there: this torch {torch.__version__} sees no CUDA GPU; "
                f"use --device cpu or --device auto."
            )
        return device
    raise BadInput(f"device must be auto, cpu or cuda, got {device!r}.")


def make_plan(experiments: Sequence[Experiment], engine: EngineName = "auto", device: str = "auto") -> Plan:
    """Divide members over lanes.

    Members of a lane need equally many training rows, so stacking makes one lane per train size.
    """
    where = find_device(device)
    count = len(experiments)
    if engine not in ("auto", "stacked", "pooled", "looped"):
        raise BadInput(f"engine must be auto, stacked, pooled or looped, got {engine!r}.")
    choice, why = (engine, "asked for") if engine != "auto" else _choose(experiments, where)
    if choice == "stacked":
        sizes: dict[int, list[int]] = {}
        for number, experiment in enumerate(experiments):
            sizes.setdefault(experiment.task.divide(experiment.seeds).size("train"), []).append(number)
        return Plan("stacked", tuple(tuple(lane) for lane in sizes.values()), 1, 1, where, why)
    lanes = tuple((number,) for number in range(count))
    if choice == "pooled":
        return Plan("pooled", lanes, min(cores(), count), 1, where, why)
    threads = cores() if count == 1 and where == "cpu" and step_milliseconds(experiments[0]) > THREADS_ABOVE_MS else 1
    return Plan("looped", lanes, 1, threads, where, why)


def _choose(experiments: Sequence[Experiment], device: str) -> tuple[str, str]:
    if device != "cpu":
        return "stacked", "a GPU runs many members as one"
    if len(experiments) == 1:
        return "looped", "one member"
    milliseconds = step_milliseconds(experiments[0])
    found = f"a step takes {milliseconds:.2g} ms on one thread"
    if milliseconds < STACK_BELOW_MS:
        return "stacked", found
    return ("pooled", f"{found}, {cores()} cores") if cores() > 1 else ("looped", f"{found}, one core")


def step_milliseconds(experiment: Experiment, steps: int = 3) -> float:
    """Best of a few steps of one member on one thread; the member is thrown away."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        lane = Lane([(0, experiment)])
        times = []
        for _ in range(steps + 1):
            begin = time.perf_counter()
            lane.step()
            times.append(time.perf_counter() - begin)
        return 1e3 * min(times[1:])
    finally:
        torch.set_num_threads(threads)
