"""What a forecast is given besides the curves, and what it gives."""

from dataclasses import dataclass, field
from typing import Literal

from grokscope.trace import Trace


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
    towards: Literal["generalises", "does not", "neither"] = "neither"
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
    """5 % quantile of t_test, given that it generalises; None where no interval is given."""
    t_median: int | None = None
    t_high: int | None = None
    """95 % quantile of t_test."""
    method: str = ""
    """Which forecaster spoke, and from what."""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Forecasts:
    """The answer and those that refused, with their reasons."""

    best: Forecast | None
    skipped: dict[str, str] = field(default_factory=dict)


def known(trace: Trace, at: int | None) -> Trace:
    """The trace as it was at a step; all of it, without hindsight, where none is given."""
    last = max((trace.final_step(member) for member in trace.members()), default=-1)
    return trace.prefix(last if at is None else at)
