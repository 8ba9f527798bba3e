"""What a curve is, and the looks it may use: those at or before the step it speaks of."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

import numpy as np

from grokscope.experiment import Experiment
from grokscope.measures.base import Values
from grokscope.measures.dynamics import evenly
from grokscope.phases import EventRule, find_events
from grokscope.sources import Source
from grokscope.spec import Spec
from grokscope.trace import Floats, Quantity, Steps, Trace

Rows = list[tuple[int, Values]]
START = 10
"""Windows of looks begin here (ours): the clock looks at every step before it, which in log step is far apart."""
CLOSE = 0.75
"""A gap of at least this share of the widest counts as equal to it (ours): steps are whole numbers."""


class Curve(Spec):
    """A pure function of what was seen of one member, look by look; needs no network and no data.

    A value at step t uses only looks at or before t, so a forecast may use it: on a prefix of the trace
    a curve has the values that it has on the whole. What needs later looks is declared as hindsight.
    Looks that are NaN or infinite count as not taken.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    """Keys of the trace; a member that lacks one is left out and the reason recorded."""
    wants: ClassVar[str] = "been looked at often enough"
    """What a member that has the keys may not yet have done for a value, in words."""
    quantities: ClassVar[tuple[Quantity, ...]] = ()
    sources: ClassVar[tuple[Source, ...]] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """The keys that this object reads."""
        return self.reads

    def of(self, experiment: Experiment) -> Self:
        """With fields that are empty filled from a member's experiment."""
        return self

    @abstractmethod
    def __call__(self, trace: Trace, member: int) -> Rows:
        """(step, values by key), steps rising; empty where there is nothing to say."""


class AfterMemorising(Curve):
    """A curve that begins when a member has memorised, of :func:`grokscope.phases.find_events`."""

    reads: ClassVar[tuple[str, ...]] = ("train/accuracy",)
    wants: ClassVar[str] = "memorised and been looked at often enough since"

    events: EventRule | None = None
    """Thresholds of t_train; empty for the experiment's."""

    @property
    def rule(self) -> EventRule:
        """The thresholds, the usual ones where none were given."""
        return self.events or EventRule()

    @property
    def needed(self) -> tuple[str, ...]:
        """The keys read; the train loss instead of the accuracy where the rule is about it."""
        of_loss = self.rule.train_loss is not None
        keys = ("train/loss" if of_loss and key == "train/accuracy" else key for key in self.reads)
        return tuple(dict.fromkeys(keys))

    def of(self, experiment: Experiment) -> Self:
        """With the experiment's thresholds."""
        return self if self.events else self.model_copy(update={"events": experiment.events})

    def memorised(self, trace: Trace, member: int) -> tuple[int, int] | None:
        """(t_train, the look at which it was known); None without one.

        The event asks for several looks in a row, so it is known only at the last of them, and
        nothing may be said of it before.
        """
        t_train = find_events(trace, member, 0.0, self.rule).t_train  # chance concerns the test event alone
        if t_train is None:
            return None
        looks = np.union1d(*(trace.series(f"train/{name}", member)[0] for name in ("loss", "accuracy")))
        return t_train, int(looks[np.searchsorted(looks, t_train) + self.rule.looks - 1])


def seen(trace: Trace, key: str, member: int) -> tuple[Steps, Floats]:
    """Steps (T,) and values (T,) of the looks that are finite."""
    steps, values = trace.series(key, member)
    known = np.isfinite(values)
    return steps[known], values[known]


def together(trace: Trace, keys: Iterable[str], member: int) -> tuple[Steps, list[Floats]]:
    """The steps at which all keys are finite, and each one's values there."""
    series = [seen(trace, key, member) for key in keys]
    steps = series[0][0]
    for own, _ in series[1:]:
        steps = np.intersect1d(steps, own)
    return steps, [values[np.searchsorted(own, steps)] for own, values in series]


def seen_arrays(trace: Trace, key: str, member: int) -> tuple[Steps, Floats]:
    """Steps (T,) and arrays (T, …) in float64 of the looks that are finite and shaped as the first one."""
    looks = [(s, a) for s, a in trace.arrays(key, member) if np.isfinite(a).all()]
    looks = [(s, a) for s, a in looks if a.shape == looks[0][1].shape]
    stacked = np.array([a for _, a in looks], dtype=np.float64)
    return np.array([s for s, _ in looks], dtype=np.int64), stacked


def evenly_in_log(steps_T: Steps, values_TQ: Floats, count: int) -> Floats:
    """``count`` ≥ 2 vectors (count, Q), evenly spaced in log(1 + step) from the first look to the last.

    By linear interpolation in log step. A run looked at by the clock changes little, since it looks evenly
    in log step; where the clock zoomed in, the sparser stretch is filled by straight lines.
    """
    x = np.log1p(steps_T.astype(np.float64))
    spacing = (x[-1] - x[0]) / (count - 1)
    return np.stack([evenly(x, column, spacing)[:count] for column in values_TQ.T], axis=1)


def thinned(steps_T: Steps) -> Steps:
    """Indices of looks about evenly spaced in log(1 + step): none invented, the last one always kept.

    The spacing is the widest gap, to a quarter: backwards from the last look, one is kept where at least
    that much lies between it and the one kept before. Interpolating would correlate looks that are not.
    """
    x = np.log1p(steps_T.astype(np.float64))
    gap = CLOSE * float(np.diff(x).max(initial=0.0))
    kept = [len(x) - 1]
    for i in range(len(x) - 2, -1, -1):
        if x[kept[-1]] - x[i] >= gap:
            kept.append(i)
    return np.array(kept[::-1], dtype=np.int64)


def rows(steps_T: Iterable[int], values: Mapping[str, Iterable[float]]) -> Rows:
    """Rows of the values that are finite; a look without any gives none."""
    columns = {key: list(column) for key, column in values.items()}
    found: Rows = []
    for i, step in enumerate(steps_T):
        known = {key: float(column[i]) for key, column in columns.items() if np.isfinite(column[i])}
        if known:
            found.append((int(step), known))
    return found
