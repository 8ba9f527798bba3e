"""What the training loss and the log-probabilities say by themselves."""

import math
from typing import ClassVar

import numpy as np
from pydantic import Field

from grokscope.curves.base import START, AfterMemorising, Curve, Rows, evenly_in_log, rows, seen, seen_arrays, thinned
from grokscope.measures import dynamics
from grokscope.sources import Source
from grokscope.trace import Quantity, Trace

_POSITIVE = (0.0, float("inf"))
_ANY = (-float("inf"), float("inf"))
FEW = 8
"""Fewer looks than this have no spectrum and no autocorrelation (ours)."""


class SpectralSignature(Curve):
    """Activity, mobility and complexity of the training loss over its first steps. [Notsawo et al. 2023]

    :func:`grokscope.measures.dynamics.spectral_signature` of the loss from the first look to step t,
    evenly resampled in steps by linear interpolation; the last value is that of the looks within the
    first ``steps`` steps, the paper's window. A straight line between looks has no oscillation: unless the
    clock looks at every step, mobility and complexity fall short. From 8 looks on. O(n log n) at each of
    them, n ≤ steps.
    """

    kind: ClassVar[str] = "spectral-signature"
    reads: ClassVar[tuple[str, ...]] = ("train/loss",)
    wants: ClassVar[str] = "been looked at 8 times in its first steps"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/train_activity", "loss²", _POSITIVE, "variance of the early training loss around its line"),
        Quantity("curve/train_mobility", "1/step", _POSITIVE, "mean frequency of the early training loss, radians"),
        Quantity(
            "curve/train_complexity", "1/step", _POSITIVE, "mean frequency of the slope of the early loss, radians"
        ),
        Quantity("curve/train_hjorth", "1", _POSITIVE, "complexity over mobility of the early loss: 1 for a pure sine"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("notsawo2023predicting", "spectral signature"),)

    steps: int = Field(default=400, ge=2)
    """Length of the window; the paper takes the first 400."""
    spacing: float = Field(default=1.0, gt=0.0)
    """Steps between two samples."""
    degree: int = Field(default=1, ge=0)
    """Of the polynomial that is taken out; the paper does not say how it de-trends."""

    def __call__(self, trace: Trace, member: int) -> Rows:
        """Four numbers a look, until the window is full."""
        steps, losses = seen(trace, "train/loss", member)
        steps = steps[steps - steps[:1] <= self.steps]
        keys = [quantity.key for quantity in self.quantities]
        found: Rows = []
        for end in range(FEW, len(steps) + 1):
            even = dynamics.evenly(steps[:end], losses[:end], self.spacing)
            if len(even) >= FEW:
                s = dynamics.spectral_signature(even, self.spacing, self.degree)
                found += rows([steps[end - 1]], {key: [value] for key, value in zip(keys, s, strict=True)})
        return found


class Oscillation(Curve):
    """How the training loss swings over the last looks, and whether it slows down. [Howe 2026, osc(train CE)]

    ``curve/oscillation`` is :func:`grokscope.measures.dynamics.oscillation` of the loss;
    ``curve/lag_1`` is :func:`grokscope.measures.dynamics.autocorrelation` of ln loss less its straight
    line (ours). Both of the last ``window`` looks from step 10 on, thinned to even spacing in log step
    (:func:`grokscope.curves.base.thinned`), so that a lag is a constant factor in steps and a clock that
    zooms in does not pass for a system that slows down. From 8 looks on.
    """

    kind: ClassVar[str] = "oscillation"
    reads: ClassVar[tuple[str, ...]] = ("train/loss",)
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/oscillation", "loss", _POSITIVE, "spread of the training loss around its line, last looks"),
        Quantity("curve/lag_1", "1", (-1.0, 1.0), "correlation of the log training loss with itself a look before"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("howe2026capability", "oscillation of the training loss"),)

    window: int = Field(default=50, ge=FEW)
    """Looks."""

    def __call__(self, trace: Trace, member: int) -> Rows:
        """Two numbers a look."""
        steps, losses = seen(trace, "train/loss", member)
        steps, losses = steps[steps >= START], losses[steps >= START]
        found: Rows = []
        for end in range(FEW, len(steps) + 1):
            last = slice(max(0, end - self.window), end)
            even = losses[last][thinned(steps[last])]
            if len(even) < FEW:
                continue
            positive = even[even > 0]
            lag = dynamics.autocorrelation(dynamics.detrend(np.log(positive))) if len(positive) >= FEW else math.nan
            values = {"curve/oscillation": [dynamics.oscillation(even, self.window)], "curve/lag_1": [lag]}
            found += rows([steps[end - 1]], values)
        return found


class PlateauSlope(AfterMemorising):
    """How fast the training loss still falls once it is memorised.

    :func:`grokscope.measures.dynamics.plateau_slope` over the looks since t_train, the last ``window`` of
    them: c·e^{−rt} has −r. A least-squares line takes looks at any steps, so nothing is resampled. From 3 looks on.
    """

    kind: ClassVar[str] = "plateau-slope"
    reads: ClassVar[tuple[str, ...]] = ("train/accuracy", "train/loss")
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/plateau_slope", "1/step", _ANY, "slope of the log training loss since it was memorised"),
    )

    window: int = Field(default=20, ge=3)
    """Looks; 20 are a tenfold of steps on the usual clock (ours)."""

    def __call__(self, trace: Trace, member: int) -> Rows:
        """One number a look."""
        event = self.memorised(trace, member)
        if event is None:
            return []
        steps, losses = seen(trace, "train/loss", member)
        known = (steps >= event[0]) & (losses > 0)
        steps, losses = steps[known], losses[known]
        ends = [end for end in range(3, len(steps) + 1) if steps[end - 1] >= event[1]]
        slopes = [
            dynamics.plateau_slope(steps[max(0, e - self.window) : e], losses[max(0, e - self.window) : e])
            for e in ends
        ]
        return rows(steps[[e - 1 for e in ends]], {"curve/plateau_slope": slopes})


class DistributionResidual(Curve):
    """How much of the training log-probabilities' motion no linear map explains. [Wang, Ying & Kanamori 2026]

    :func:`grokscope.measures.dynamics.dmd_residual` of the quantiles ``dynamics/log_probability`` at the
    last ``window`` looks from step 10 on, resampled evenly in log step to as many
    (:func:`grokscope.curves.base.evenly_in_log`): a power law in the step is then what an exponential is
    in time. One singular value decomposition of (delays · Q, window) a look, milliseconds.
    """

    kind: ClassVar[str] = "dmd-residual"
    reads: ClassVar[tuple[str, ...]] = ("dynamics/log_probability",)
    wants: ClassVar[str] = "been looked at for a whole window"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/dmd_residual", "1", (0.0, 1.0), "share of the log-probabilities' motion that is not linear"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("wang2026distributional", "Hankel-DMD residual"),)

    window: int = Field(default=40, ge=4)
    """Looks; of the method's settings none is public, so these are ours."""
    delays: int = Field(default=8, ge=1)
    """Looks that a state holds."""
    energy: float = Field(default=0.99, gt=0.0, le=1.0)
    """Share of the squared singular values that is kept."""
    rank: int = Field(default=10, ge=1)
    """Singular values that are kept at most."""

    def __call__(self, trace: Trace, member: int) -> Rows:
        """One number a look, from the ``window``-th on."""
        steps, series = seen_arrays(trace, "dynamics/log_probability", member)
        late = steps >= START
        steps, series = steps[late], series[late].reshape(int(late.sum()), math.prod(series.shape[1:]))
        ends = range(self.window, len(steps) + 1)
        residuals = [
            dynamics.dmd_residual(
                evenly_in_log(steps[e - self.window : e], series[e - self.window : e], self.window),
                self.delays,
                self.energy,
                self.rank,
            )
            for e in ends
        ]
        return rows(steps[self.window - 1 :], {"curve/dmd_residual": residuals})
