"""A monitor's trace in a checkpoint, and taken back to an earlier step."""

from collections.abc import Mapping
from typing import Any

import torch

from grokscope.trace import Trace


def as_tensors(trace: Trace) -> dict[str, Any]:
    """What was seen of member 0, as lists and tensors, which ``torch.load`` takes with ``weights_only``."""
    scalars = {key: [part.tolist() for part in trace.series(key, 0)] for key in trace.keys()}
    arrays = {
        key: [(step, torch.from_numpy(array.copy())) for step, array in trace.arrays(key, 0)]
        for key in trace.array_keys()
    }
    return {"scalars": scalars, "arrays": arrays}


def fill(trace: Trace, state: Mapping[str, Any]) -> None:
    """Add what :func:`as_tensors` gave."""
    for key, (steps, values) in state["scalars"].items():
        for step, value in zip(steps, values, strict=True):
            trace.add(0, int(step), {key: value})
    for key, seen in state["arrays"].items():
        for step, array in seen:
            trace.add(0, int(step), {key: array.numpy()})


def forget_after(trace: Trace, step: int) -> None:
    """Leave in the trace what was seen up to and including a step."""
    kept = trace.prefix(step)
    trace._scalars, trace._arrays = kept._scalars, kept._arrays
