"""Before generalisation: not memorised yet, structurally blocked, or what the forecast says."""

from collections.abc import Sequence

import numpy as np

from grokscope.advice.base import Advice
from grokscope.forecast import Evidence, Forecast, Gates, Setting
from grokscope.forecast.signals import FEWEST, finite, turns
from grokscope.phases import Phases
from grokscope.trace import Trace

LIKELY = 0.5
"""Probability from which it says that generalisation is likely (ours)."""
UNLIKELY = 0.1
"""Probability under which generalisation is called unlikely within the forecast's horizon (ours)."""
LONG = 20.0
"""Multiples of t_train that a plateau must have lasted before unlikely means blocked (ours)."""
STILL = 0.02
"""A norm or loss that moves by less than this, in log, per doubling of steps stands still (ours)."""
TURNED = 2.0
"""Degrees that the weights may turn over the later half of the steps and still stand still (ours)."""
NEAR_CHANCE = 0.05
"""Share of the way from chance to 1 within which held-out accuracy has not left chance (ours)."""
PATIENCE = 4.0
"""Multiples of t_train before a training without any drive is called blocked (ours)."""


def not_yet_memorised(trace: Trace, phases: Phases, setting: Setting) -> Advice | None:
    """There is no t_train yet."""
    if phases.events.t_train is not None:
        return None
    last = phases.events.last_step
    steps, accuracy = finite(trace, "train/accuracy", phases.member, last)
    if len(accuracy):
        says = f"training accuracy is {accuracy[-1]:.1%} at step {steps[-1]:,}: the training rows are not known yet"
        key, value = "train/accuracy", float(accuracy[-1])
    else:
        steps, losses = finite(trace, "train/loss", phases.member, last)
        if not len(losses):
            return Advice("cannot tell yet", "there is neither training loss nor training accuracy to read.")
        says = f"the training loss is {losses[-1]:.3g} at step {steps[-1]:,}: the training rows are not known yet"
        key, value = "train/loss", float(losses[-1])
    tell = "Whether it generalises late can be asked once training accuracy reaches 99 %."
    return Advice("cannot tell yet", f"{says}.", (Evidence(key, says, value),), tell)


def undriven(trace: Trace, phases: Phases, setting: Setting, forecast: Forecast | None) -> Advice | None:
    """No weight decay, and neither norm, direction nor held-out loss moves: nothing would take it elsewhere."""
    events = phases.events
    if setting.weight_decay != 0 or events.t_train is None:
        return None
    last, start = events.last_step, max(events.t_train, 1)
    if last < PATIENCE * start or (forecast is not None and forecast.p_generalise >= LIKELY):
        return None
    moved = _moved(trace, "norm/weights", start, phases)
    if moved is None or abs(moved) > STILL or _turned(trace, start, phases):
        return None
    says = f"weight decay is 0 and ‖θ‖ changes by {abs(moved):.1%} per doubling of steps"
    return Advice(
        "structurally blocked",
        f"{says}; without a pull away from the memorising weights more steps change little.",
        (Evidence("norm/weights", says, abs(moved), "does not"),),
        "Weight decay (0.1 to 1 with AdamW), more training data or a smaller initial scale would.",
    )


def at_chance(trace: Trace, phases: Phases, setting: Setting, forecast: Forecast | None) -> Advice | None:
    """Held-out accuracy has not left chance for ``LONG`` times t_train, and all that could move stands still.

    So look trainings on random answers, and those on so few rows that nothing follows for the others.
    """
    events = phases.events
    if events.t_train is None or setting.chance is None or (forecast is not None and forecast.p_generalise >= LIKELY):
        return None
    last, start = events.last_step, max(events.t_train, 1)
    steps, accuracy = finite(trace, "test/accuracy", phases.member, last)
    plateau = accuracy[steps >= start]
    if last < LONG * start or len(plateau) < FEWEST:
        return None
    best = float(plateau.max() - setting.chance) / (1 - setting.chance)
    loss, norm = (_moved(trace, key, start, phases) for key in ("test/loss", "norm/weights"))
    if best > NEAR_CHANCE or loss is None or norm is None:
        return None
    if loss < -STILL or abs(norm) > STILL or _turned(trace, start, phases):
        return None
    lasted = f"for {last / start:.0f} times as long as learning the training rows took"
    near = f"held-out accuracy has stayed within {NEAR_CHANCE:.0%} of chance {lasted} (at most {plateau.max():.1%})"
    still = f"‖θ‖ changes by {abs(norm):.1%} per doubling of steps"
    course = f"the held-out loss by {loss:+.1%}"
    evidence = (
        Evidence("test/accuracy", near, best, "does not"),
        Evidence("norm/weights", still, abs(norm), "does not"),
        Evidence("test/loss", f"{course} per doubling of steps", loss, "does not"),
    )
    return Advice(
        "structurally blocked",
        f"{near}; {still}, {course}.",
        evidence,
        "A control on shuffled answers tells whether anything follows from these rows; if it looks the same, nothing "
        "that the model can use does. More data would change it.",
    )


def _moved(trace: Trace, key: str, start: int, phases: Phases) -> float | None:
    """Change of ln of a quantity per doubling of steps, over the later half; None where that is not seen."""
    last = phases.events.last_step
    steps, values = finite(trace, key, phases.member, last)
    late = (steps >= max(start, last / 2)) & (values > 0)
    if late.sum() < 2:
        return None
    doublings = np.log2(steps[late][-1] / steps[late][0])
    return float(np.log(values[late][-1] / values[late][0]) / doublings)


def _turned(trace: Trace, start: int, phases: Phases) -> bool:
    """Whether the weights were seen to turn over the later half."""
    last = phases.events.last_step
    found = turns(trace, max(start, last // 2), last, phases.member)
    return bool(found and found[-1][1] > TURNED)


def by_forecast(
    trace: Trace,
    phases: Phases,
    setting: Setting,
    forecast: Forecast | None,
    before: Forecast | None,
    gates: Gates | None,
    member: int,
) -> Advice:
    """What the forecast says; blocked where it, and the one before it, say so after ``LONG`` times t_train.

    An alarm of the two gates forbids to call it blocked: the two are then said to disagree.
    """
    events, unit = phases.events, setting.unit
    since = f"the training rows are known since {unit} {events.t_train:,}, held-out accuracy is not there yet"
    if forecast is None:
        evidence = () if gates is None else (gates.evidence(),)
        return Advice("cannot tell yet", f"{since}.", evidence, _wanted(trace, member))
    p = forecast.p_generalise
    within = f"{p:.0%} within {unit} {forecast.horizon:,}"
    if p >= LIKELY:
        eta = ""
        if forecast.t_median is not None and forecast.t_low is not None and forecast.t_high is not None:
            eta = f"; expected near {unit} {forecast.t_median:,} ({forecast.t_low:,} to {forecast.t_high:,})"
        text = f"delayed generalisation is likely ({within}){eta}."
        return Advice("keep training", text, forecast.evidence, "Do not stop early on a flat validation curve.")
    if p < UNLIKELY and gates is not None and gates.alarm is not None:
        text = f"{since} ({within}), but both gates have been open since {unit} {gates.alarm:,}: they disagree."
        return Advice("cannot tell yet", text, forecast.evidence, "More steps tell which of them is right.")
    if p < UNLIKELY:
        lasted = events.last_step / max(events.t_train or 1, 1)
        if before is not None and before.p_generalise < UNLIKELY and lasted >= LONG:
            text = (
                f"{since}, {lasted:.0f} times as long, and trainings that looked like this one, now and at half as "
                f"many steps, seldom generalised ({within})."
            )
            tell = "More data, more weight decay or another initial scale change it; more steps seldom do."
            return Advice("structurally blocked", text, forecast.evidence, tell)
        tell = f"It does not look like it so far; that it is blocked can be said from {LONG:.0f} times t_train on."
        return Advice("cannot tell yet", f"{since} ({within}).", forecast.evidence, tell)
    return Advice("cannot tell yet", f"{since} ({within}).", forecast.evidence, _wanted(trace, member))


def _wanted(trace: Trace, member: int) -> str:
    """Which quantities that were not there would tell more."""
    have: Sequence[str] = [*trace.keys(), *trace.array_keys()]
    missing = [
        what
        for key, what in (
            ("test/accuracy", "held-out accuracy"),
            ("norm/weights", "the weight norm"),
            ("dynamics/weight_sketch", "the direction of the weights (grokscope.Monitor keeps it)"),
        )
        if key not in have
    ]
    return f"What would tell more: {', '.join(missing)}." if missing else "More steps will tell."
