"""What went wrong on the way: divergence, loss spikes after memorising, generalisation lost again."""

from dataclasses import dataclass

import numpy as np

from grokscope.phases.events import EventRule, Events
from grokscope.trace import Trace

SPIKE = 10.0
"""A spike is a train loss this many times its running minimum after t_train (ours)."""


@dataclass(frozen=True)
class Anomaly:
    """A stretch of steps that is not the story one hoped for."""

    name: str
    start: int
    end: int
    note: str


def find_anomalies(trace: Trace, member: int, events: Events, chance: float, rule: EventRule) -> list[Anomaly]:
    """All anomalies of one member, in order of start."""
    found = []
    steps, loss = trace.series("train/loss", member)
    bad = np.nonzero(~np.isfinite(loss))[0]
    if len(bad):
        found.append(Anomaly("divergence", int(steps[bad[0]]), int(steps[-1]), "training loss is not finite"))
    if events.t_train is not None:
        after = (steps >= events.t_train) & np.isfinite(loss)
        found += _stretches(
            "loss spike",
            steps[after],
            (loss[after] > SPIKE * np.minimum.accumulate(loss[after])) & (loss[after] > 1e-3),
            "training loss rose tenfold above its minimum",
        )
    if events.t_test is not None:
        steps, accuracy = trace.series("test/accuracy", member)
        after = steps >= events.t_test
        lost = accuracy[after] < rule.test_accuracy(chance)
        note = "test accuracy fell below its threshold again"
        found += _stretches("ungrokking", steps[after], lost, note, at_least=rule.looks)
    return sorted(found, key=lambda anomaly: anomaly.start)


def _stretches(name: str, steps: np.ndarray, bad: np.ndarray, note: str, at_least: int = 1) -> list[Anomaly]:
    """Runs of at least so many bad looks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    runs = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= at_least]
    return [Anomaly(name, int(steps[a]), int(steps[b - 1]), note) for a, b in runs]
