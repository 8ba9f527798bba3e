"""Where in training one is: Nanda's three segments as an algorithm, and generic ones elsewhere.

The paper sets its boundaries by eye ("memorisation": train and excluded loss fall; "circuit
formation": excluded loss rises and restricted loss falls while test loss stays; "cleanup": test loss
falls, the norm falls, Gini jumps). Ours is a reconstruction of that as rules on three curves:

    start of cleanup   = the last look at which test loss has done less than DROP of its way, in log,
                         from its highest value before t_test down to its value at t_test
    start of formation = the look at which excluded loss is lowest, up to the start of cleanup
    end of cleanup     = t_test

A member that never generalises has no cleanup; if its excluded loss has risen by RISE nats above its
minimum the circuit is forming, else all of it is memorization.
"""

from dataclasses import dataclass

import numpy as np

from grokscope.phases.events import Events
from grokscope.trace import Floats, Steps, Trace

DROP = 0.1
"""Share of the log fall that starts cleanup (ours)."""
RISE = 1.0
"""Nats above its minimum that make a rise of the excluded loss (ours)."""

NAMES = ("memorization", "circuit formation", "cleanup", "plateau", "transition", "generalised")


@dataclass(frozen=True)
class Segment:
    """A stretch of training, in optimizer steps; ``end`` is where the next one starts."""

    name: str
    start: int
    end: int


def find_segments(trace: Trace, member: int, events: Events) -> list[Segment]:
    """Nanda's segments where the excluded loss was measured, generic ones elsewhere.

    Generic, from events and test loss alone: memorization until t_train, plateau until the test loss
    starts its last fall, transition until t_test, then generalised.
    """
    last = events.last_step
    if last < 0:
        return []
    fall = _start_of_fall(trace, member, events)
    bounds: list[tuple[str, int | None]]
    steps, excluded = _finite(trace, "fourier/excluded_loss", member)
    if len(steps):
        before = steps <= (last if fall is None else fall)
        lowest = int(steps[before][np.argmin(excluded[before])]) if before.any() else last
        if fall is None:
            rise = excluded[before][-1] - excluded[before].min() if before.any() else 0.0
            bounds = [("memorization", lowest if rise >= RISE else last), ("circuit formation", last)]
        else:
            bounds = [("memorization", lowest), ("circuit formation", fall), ("cleanup", events.t_test)]
    else:
        end = events.t_train if events.t_train is not None else last
        if fall is None:
            bounds = [("memorization", end), ("plateau", last)]
        else:
            bounds = [("memorization", min(end, fall)), ("plateau", fall), ("transition", events.t_test)]
    return _chain([*bounds, ("generalised", last)] if events.t_test is not None else bounds)


def _start_of_fall(trace: Trace, member: int, events: Events) -> int | None:
    """The last look before t_test at which the test loss has done less than DROP of its log fall."""
    if events.t_test is None:
        return None
    steps, loss = _finite(trace, "test/loss", member)
    until = steps <= events.t_test
    if not until.any():
        return events.t_test
    steps, logs = steps[until], np.log(np.maximum(loss[until], 1e-300))
    top = int(np.argmax(logs))
    high, low = logs[top], logs[-1]
    held = np.nonzero(logs >= high - DROP * (high - low))[0]
    return int(steps[held[-1]])


def _finite(trace: Trace, key: str, member: int) -> tuple[Steps, Floats]:
    steps, values = trace.series(key, member)
    known = np.isfinite(values)
    return steps[known], values[known]


def _chain(bounds: list[tuple[str, int | None]]) -> list[Segment]:
    segments, start = [], 0
    for name, end in bounds:
        if end is not None and end > start:
            segments.append(Segment(name, start, end))
            start = end
    return segments
