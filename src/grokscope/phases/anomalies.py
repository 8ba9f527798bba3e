"""What went wrong on the way: divergence, loss spikes and slingshots after memorising, generalisation lost again."""

from dataclasses import dataclass, replace

import numpy as np

from grokscope.measures.dynamics import slingshots
from grokscope.phases.events import EventRule, Events
from grokscope.trace import Floats, Steps, Trace

SPIKE = 10.0
"""A spike is a train loss this many times its running minimum after t_train (ours)."""
NORMS = ("norm/last_layer", "norm/weights")
"""Whose growth makes a spike a slingshot: the last layer's, as Thilak et al. have it, or else that of all weights."""


@dataclass(frozen=True)
class Anomaly:
    """A stretch of steps that is not the story one hoped for."""

    name: str
    start: int
    end: int
    note: str


def find_anomalies(trace: Trace, member: int, events: Events, chance: float, rule: EventRule) -> list[Anomaly]:
    """All anomalies of one member, in order of start.

    =========== ======================================================================================
    divergence  the training loss is not finite
    loss spike  after t_train the training loss is ``SPIKE`` times its minimum since, and above 1e-3
    slingshot   a loss spike that :func:`grokscope.measures.dynamics.slingshots` finds between growth and
                a plateau of the norm, on the looks as they are; without a norm it stays a loss spike
    ungrokking  for ``rule.looks`` looks or more after t_test the held-out rows fail the rule of t_test
    =========== ======================================================================================

    A spike may last some twenty steps: looks that are further apart miss it, and the slingshot with it, unless the
    trace has ``batch/loss_max``, the largest loss of a batch between two looks, as :class:`grokscope.Monitor` keeps it.
    """
    found = []
    steps, loss = trace.series("train/loss", member)
    bad = np.nonzero(~np.isfinite(loss))[0]
    if len(bad):
        found.append(Anomaly("divergence", int(steps[bad[0]]), int(steps[-1]), "training loss is not finite"))
    steps, loss = _highest(trace, member)
    if events.t_train is not None:
        after = (steps >= events.t_train) & np.isfinite(loss)
        spikes = _stretches(
            "loss spike",
            steps[after],
            (loss[after] > SPIKE * np.minimum.accumulate(loss[after])) & (loss[after] > 1e-3),
            "training loss rose tenfold above its minimum",
        )
        found += _told_apart(spikes, trace, member)
    if events.t_test is not None:
        what = "accuracy" if rule.test_loss is None else "loss"
        steps, values = trace.series(f"test/{what}", member)
        after = (steps >= events.t_test) & np.isfinite(values)
        passes = [rule.passes("test", value, value, chance) for value in values[after]]
        note = f"test {what} {'fell below' if rule.test_loss is None else 'rose above'} its threshold again"
        found += _stretches("ungrokking", steps[after], ~np.array(passes, dtype=bool), note, at_least=rule.looks)
    return sorted(found, key=lambda anomaly: anomaly.start)


def _told_apart(spikes: list[Anomaly], trace: Trace, member: int) -> list[Anomaly]:
    """Those spikes that end a growth of the norm, as slingshots."""
    key = next((key for key in NORMS if len(trace.series(key, member)[0])), None)
    if key is None:
        why = "; without the norm of the weights it cannot be told from a slingshot"
        return [replace(spike, note=spike.note + why) for spike in spikes]
    if not spikes:
        return []
    steps, losses, norms = _together(*_highest(trace, member), *trace.series(key, member))
    cycles = {int(steps[cycle.spike]): cycle for cycle in slingshots(norms, losses)}
    told = []
    for spike in spikes:
        own = [cycle for step, cycle in cycles.items() if spike.start <= step <= spike.end]
        if own:
            grew = f"{key} grew by {own[0].growth_before:.1%}, the training loss spiked, {key} then stood still"
            spike = replace(spike, name="slingshot", note=grew)
        told.append(spike)
    return told


def _highest(trace: Trace, member: int) -> tuple[Steps, Floats]:
    """The training loss at each look, or the largest of a batch since the look before where that is more."""
    steps, losses = trace.series("train/loss", member)
    own, peaks = trace.series("batch/loss_max", member)
    _, i, j = np.intersect1d(steps, own, return_indices=True)
    losses = losses.copy()
    losses[i] = np.fmax(losses[i], peaks[j])
    return steps, losses


def _together(steps: Steps, x: Floats, own: Steps, y: Floats) -> tuple[Steps, Floats, Floats]:
    """The looks at which both are finite and the second is above 0."""
    shared, i, j = np.intersect1d(steps, own, return_indices=True)
    alive = np.isfinite(x[i]) & (y[j] > 0) & np.isfinite(y[j])
    return shared[alive], x[i][alive], y[j][alive]


def _stretches(name: str, steps: np.ndarray, bad: np.ndarray, note: str, at_least: int = 1) -> list[Anomaly]:
    """Runs of at least so many bad looks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    runs = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= at_least]
    return [Anomaly(name, int(steps[a]), int(steps[b - 1]), note) for a, b in runs]
