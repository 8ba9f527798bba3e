"""The norm's first-passage law: generalisation waits until weight decay has brought the norm down.

    t_test − t_train ≈ (1 / r) · ln(V_mem / V★),   r = 2κηλ,   V = ‖θ‖²

V_mem is V at t_train, V★ the level at which it generalises, κ the share of weight decay's own rate at which the norm
falls under AdamW. [Truong et al. 2026, first passage] The law's second condition is a direction: the weights must also
have turned away from those that memorised by an angle α★ of about 53° ± 8°, and the norm comes down about four times
as fast as the direction turns. So t_test is the later of two passages, V ≤ V★ and α ≥ α★.

Ours: r is fitted to the trace (κ is then r / (2ηλ)) instead of carried over from another architecture, because it
differs twofold between them; V★ / V_mem and α★ are calibrated on runs of known outcome, and so is the interval; α is
drawn on at its present rate per e-fold of steps. On our small networks V at t_test is often above V_mem, so that the
direction alone decides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.forecast.base import TOO_EARLY, Evidence, Forecast, Setting
from grokscope.forecast.signals import FEWEST, WINDOW, finite, turns
from grokscope.measures.dynamics import contraction_constant, fit_contraction, slope
from grokscope.phases import Events
from grokscope.trace import Trace

ANGLE = 52.8
"""Mean angle at generalisation over twelve settings, in degrees; its standard deviation is :data:`ANGLE_SPREAD`."""
ANGLE_SPREAD = 7.9
PAPERS = {"low": ANGLE - 1.645 * ANGLE_SPREAD, "median": ANGLE, "high": ANGLE + 1.645 * ANGLE_SPREAD}
"""α★ at 5, 50 and 95 % by the paper's mean and standard deviation, where nothing was calibrated."""
LOOKS = 8
"""Looks since memorising that a rate is read from (ours)."""


@dataclass(frozen=True)
class Refusal:
    """Why a forecaster does not speak."""

    because: str


def delay(v_mem: float, v_star: float, kappa: float, lr: float, weight_decay: float) -> float:
    """t_test − t_train in steps of the law as printed; 0 where V_mem is below V★ already.

    With the paper's κ = 0.252, V★ = 2501, η = 10⁻³, λ = 1: V_mem = 4000 gives 932 steps, 8000 gives 2307.
    """
    return max(0.0, math.log(v_mem / v_star) / (2 * kappa * lr * weight_decay))


def first_passage(
    trace: Trace, events: Events, setting: Setting, at: int, calibration: Mapping[str, Any], member: int = 0
) -> Forecast | Refusal:
    """The law's forecast at a step, or why it does not hold here.

    It refuses schedules, clipping, normalisation layers, losses other than cross-entropy, optimizers other than AdamW,
    and trainings without weight decay, as its authors state; and where these are not known.
    """
    if reason := outside(events, setting, at):
        return Refusal(reason)
    start = events.t_train or 0
    steps, norms = finite(trace, "norm/weights", member, at)
    since = steps >= start
    if since.sum() < LOOKS:
        return Refusal(f"{since.sum()} looks at the weight norm since memorising; a rate needs {LOOKS}")
    x, v = steps[since], norms[since] ** 2
    half = x >= (x[0] + x[-1]) / 2
    slow = -slope(x[half], np.log(v[half])) if half.sum() > 2 else math.nan
    rate, floor = fit_contraction(x, v)
    if not (math.isfinite(slow) and slow > 0 and math.isfinite(rate)):
        return Refusal("the weight norm does not fall: the law has no clock to read")
    ratios = calibration["norm_ratio"]  # V at t_test over V_mem: 5 %, 50 %, 95 % of runs that generalised
    v_mem, now = float(v[0]), float(v[-1])
    times = [
        at + max(0.0, _until(now, ratio * v_mem, rate, floor, slow))
        for ratio in (ratios["high"], ratios["median"], ratios["low"])
    ]
    turned = turns(trace, start, at, member)
    stars: Mapping[str, float] = calibration.get("angle", PAPERS)
    if len(turned) >= FEWEST:
        grows = _turning(turned, at)
        if grows <= 0 and turned[-1][1] < stars["low"]:
            return Refusal(
                f"the weights have turned by {turned[-1][1]:.0f}° since memorising and turn no further: "
                f"{stars['low']:.0f}° or more, the law's second condition, are out of reach"
            )
        later = (at * math.exp(_efolds(stars[which] - turned[-1][1], grows)) for which in ("low", "median", "high"))
        times = [max(norm, direction) for norm, direction in zip(times, later, strict=True)]
    kappa = contraction_constant(rate, setting.lr or 0.0, setting.weight_decay or 0.0)
    evidence = [
        Evidence(
            "norm/weights",
            f"‖θ‖² has fallen to {now / v_mem:.0%} of its value at memorising, at a rate of {rate:.2g} a step "
            f"(κ = {kappa:.2f}); runs that generalised did so at {ratios['median']:.0%} "
            f"({ratios['low']:.0%} to {ratios['high']:.0%})",
            now / v_mem,
            "generalises",
        )
    ]
    if turned:
        degrees = turned[-1][1]
        far = degrees >= stars["low"]
        evidence.append(
            Evidence(
                "dynamics/weight_sketch",
                f"the weights have turned by {degrees:.0f}° since memorising; runs that generalised did so at "
                f"{stars['median']:.0f}° ({stars['low']:.0f}° to {stars['high']:.0f}°)",
                degrees,
                "generalises" if far else "neither",
            )
        )
    low, middle, high = (min(round(t), 10 * setting.budget if setting.budget else 2**62) for t in sorted(times))
    horizon = setting.budget or calibration["horizon"] * at
    share = float(np.clip((horizon - low) / max(high - low, 1), 0.0, 1.0))
    return Forecast(at, share, horizon, low, middle, high, _method(turned), tuple(evidence))


def outside(events: Events, setting: Setting, at: int) -> str | None:
    """Why the law does not apply; None where it does."""
    if events.t_train is None or at <= events.t_train:
        return TOO_EARLY
    if setting.unit != "step":
        return "the log counts epochs; the law needs optimizer steps"
    if setting.lr is None or setting.weight_decay is None or setting.optimizer is None:
        return "learning rate, weight decay or optimizer is not known; say them with --set lr=… weight_decay=…"
    if setting.optimizer != "adamw":
        return f"the law was measured under AdamW, this is {setting.optimizer}"
    if setting.weight_decay == 0:
        return "there is no weight decay, so nothing brings the norm down"
    if setting.objective not in (None, "cross-entropy"):
        return f"the law was measured under cross-entropy, this is {setting.objective}"
    for said, what in (
        (setting.scheduled, "the learning rate is scheduled"),
        (setting.clipped, "gradients or weights are clipped"),
        (setting.normalised, "the network has normalisation layers, which take the norm's meaning away"),
    ):
        if said:
            return f"{what}; the law does not cover that"
    return None


def _method(turned: list[tuple[int, float]]) -> str:
    conditions = (
        "norm and direction" if len(turned) >= FEWEST else "norm alone: the direction of the weights is not known"
    )
    return f"first passage of the weights ({conditions})"


def _turning(turned: list[tuple[int, float]], at: int) -> float:
    """Degrees per e-fold of steps, over the later half."""
    recent = [(step, angle) for step, angle in turned if step >= at * WINDOW]
    recent = recent if len(recent) >= FEWEST else turned[-FEWEST:]
    return slope([math.log(max(step, 1)) for step, _ in recent], [angle for _, angle in recent])


def _efolds(missing: float, grows: float) -> float:
    """E-folds of steps until so many degrees more; at most 30."""
    if missing <= 0:
        return 0.0
    return min(missing / grows, 30.0) if grows > 0 else 30.0


def _until(now: float, star: float, rate: float, floor: float, slow: float) -> float:
    """Steps until V passes V★: along the fitted curve where it gets there, at the present rate elsewhere."""
    if now <= star:
        return 0.0
    if floor < star:
        return math.log((now - floor) / (star - floor)) / rate if now > floor else 0.0
    return math.log(now / star) / slow
