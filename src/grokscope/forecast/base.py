"""What a forecast is given besides the curves, and what it gives."""

from dataclasses import dataclass, field
from typing import Literal

from grokscope.trace import Trace

Towards = Literal["generalises", "does not", "neither"]


INTERVAL = 0.8
"""Share of trainings, each of a system that was not calibrated on, whose t_test the interval is to hold."""


TOO_EARLY = "the training rows are not known yet"


@dataclass(frozen=True)
class Setting:
    """What is known of a training besides its curves; None where nobody said."""

    chance: float | None = None
    """Accuracy of a guess, in [0, 1)."""
    lr: float | None = None
    """Learning rate."""
    weight_decay: float | None = None
    """Decoupled weight decay, before it is multiplied with the learning rate."""
    optimizer: str | None = None
    """adamw, adam, sgd, …, in lower case."""
    objective: str | None = None
    """cross-entropy, mse, …"""
    scheduled: bool | None = None
    """Whether the learning rate moves."""
    clipped: bool | None = None
    """Whether gradients or weights are clipped."""
    normalised: bool | None = None
    """Whether the network has LayerNorm, RMSNorm or BatchNorm."""
    budget: int | None = None
    """Step at which training ends, in the unit of the trace."""
    unit: Literal["step", "epoch"] = "step"
    """What the trace's steps count."""


@dataclass(frozen=True)
class Evidence:
    """One observation that an answer rests on."""

    measure: str
    """Key of the quantity, as in the trace, or the name of a derived one."""
    says: str
    """What it says, in words with numbers."""
    value: float | None = None
    towards: Towards = "neither"
    """Where it points."""


@dataclass(frozen=True)
class Forecast:
    """What comes next, from a trace up to ``at`` and nothing after it."""

    at: int
    """The last look that was used."""
    p_generalise: float
    """Probability that test accuracy generalises within the horizon, in [0, 1]."""
    horizon: int
    """Step until which the probability holds."""
    t_low: int | None = None
    """Lower end of an interval that holds t_test with :data:`INTERVAL`, given that it generalises; None without one."""
    t_median: int | None = None
    t_high: int | None = None
    """Its upper end."""
    method: str = ""
    """Which forecaster spoke, and from what."""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Gates:
    """The state of the two-gate rule (:mod:`grokscope.forecast.gates`) at one step."""

    content: tuple[str, ...]
    """Indicators beyond their thresholds."""
    of: tuple[str, ...]
    """Indicators that were there to ask."""
    viable: bool
    alarm: int | None
    """First step at which both gates had been open for a few looks on end."""
    expected: tuple[int, int, int] | None
    """t_test by the alarm: low, median, high multiples of its step; None without an alarm or multiples."""

    def evidence(self) -> Evidence:
        """In words."""
        names = f"{', '.join(self.content) or 'none'} of {', '.join(self.of)}"
        forms = f"beyond the thresholds of forming content: {names}"
        can = "the weights still move (norm or direction)" if self.viable else "the weights no longer move"
        rings = "both gates were never open together" if self.alarm is None else f"alarm since step {self.alarm:,}"
        after = ""
        if self.expected is not None:
            low, middle, high = self.expected
            after = f"; runs that rang like this generalised at {middle:,} ({low:,} to {high:,})"
        towards: Towards = "generalises" if self.alarm is not None else "neither"
        return Evidence("gates", f"{forms}; {can}; {rings}{after}", None, towards)


@dataclass(frozen=True)
class Forecasts:
    """The answer and those that refused, with their reasons."""

    best: Forecast | None
    skipped: dict[str, str] = field(default_factory=dict)
    gates: Gates | None = None
    """The two-gate rule's state, where its indicators are there."""


def known(trace: Trace, at: int | None) -> Trace:
    """The trace as it was at a step; all of it, without hindsight, where none is given."""
    last = max((trace.final_step(member) for member in trace.members()), default=-1)
    return trace.prefix(last if at is None else at)
