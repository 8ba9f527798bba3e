"""What to do now. Reads phases and forecast, never the other way round; every rule cites the quantity it read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grokscope.forecast import Evidence, Forecast, Setting
from grokscope.forecast.signals import finite, turns
from grokscope.phases import EventRule, Phases
from grokscope.trace import Trace

Verdict = Literal[
    "keep training",
    "cannot tell yet",
    "structurally blocked",
    "numerical fault",
    "generalised",
    "losing generalisation",
]
VERDICTS: tuple[Verdict, ...] = (
    "keep training",
    "cannot tell yet",
    "structurally blocked",
    "numerical fault",
    "generalised",
    "losing generalisation",
)
STOPS: frozenset[Verdict] = frozenset(VERDICTS[2:])
"""Verdicts after which more of the same training is of no use."""

LIKELY = 0.5
"""Probability from which it says that generalisation is likely (ours)."""
UNLIKELY = 0.1
"""Probability under which generalisation is called unlikely within the forecast's horizon (ours)."""
LONG = 20.0
"""Multiples of t_train that a plateau must have lasted before unlikely means blocked (ours)."""
COLLAPSED = 0.5
"""Share of training rows without a gradient that is a numerical fault (ours)."""
LOST = 0.3
"""Fall of held-out accuracy from its best, as a share of the way from chance to 1, that is a loss (ours)."""
STILL = 0.02
"""A norm or loss that moves by less than this, in log, per e-fold of steps stands still (ours)."""
PATIENCE = 4.0
"""Multiples of t_train before a training without any drive is called blocked (ours)."""


@dataclass(frozen=True)
class Advice:
    """One verdict, what it means in a sentence, and what it rests on."""

    verdict: Verdict
    text: str
    """What to do and why, with numbers."""
    evidence: tuple[Evidence, ...] = ()
    would_tell: str = ""
    """What would change or decide the answer."""

    @property
    def stop(self) -> bool:
        """Whether more steps of the same training are of no use."""
        return self.verdict in STOPS

    def __str__(self) -> str:
        return f"{self.verdict}: {self.text}" + (f" {self.would_tell}" if self.would_tell else "")


def advise(
    trace: Trace,
    phases: Phases,
    setting: Setting,
    forecast: Forecast | None,
    rule: EventRule | None = None,
    before: Forecast | None = None,
) -> Advice:
    """The advice at the end of a trace: the first rule that applies, of faults, events and forecast, speaks.

    Args:
        trace: up to now.
        phases: of the same trace and member.
        setting: what is known besides the curves.
        forecast: or None where nobody could give one.
        rule: thresholds of the events.
        before: the forecast made at half as many steps; a verdict that ends a training needs both.
    """
    chosen, member = rule or EventRule(), phases.member
    for found in (
        _fault(trace, phases),
        _lost(trace, phases, setting, chosen),
        _done(phases),
        _not_yet_memorised(trace, phases, setting),
        _undriven(trace, phases, setting, forecast),
    ):
        if found is not None:
            return found
    return _by_forecast(trace, phases, setting, forecast, before, member)


def _fault(trace: Trace, phases: Phases) -> Advice | None:
    steps, losses = trace.series("train/loss", phases.member)
    if len(losses) and not np.isfinite(losses[-1]):
        first = int(steps[np.nonzero(~np.isfinite(losses))[0][0]])
        said = Evidence("train/loss", f"the training loss is {losses[-1]} since step {first:,}", None, "does not")
        return Advice(
            "numerical fault",
            f"the training loss is not finite since step {first:,}.",
            (said,),
            "Go back to a checkpoint before it; a smaller learning rate, clipping or higher precision may help.",
        )
    steps, shares = finite(trace, "precision/softmax_collapse", phases.member, phases.events.last_step)
    if len(shares) and shares[-1] >= COLLAPSED and phases.events.t_test is None:
        says = f"for {shares[-1]:.0%} of training rows the softmax is 1 to the last bit, so their gradient is 0"
        return Advice(
            "numerical fault",
            f"softmax collapse: {says}.",
            (Evidence("precision/softmax_collapse", says, float(shares[-1]), "does not"),),
            "A softmax in float64, StableMax, weight decay or a temperature lets learning go on.",
        )
    return None


def _lost(trace: Trace, phases: Phases, setting: Setting, rule: EventRule) -> Advice | None:
    chance = setting.chance or 0.0
    steps, accuracy = finite(trace, "test/accuracy", phases.member, phases.events.last_step)
    if len(accuracy) < rule.looks + 1:
        return None
    share = (accuracy - chance) / (1 - chance)
    best = int(share.argmax())
    late = share[-rule.looks :]
    fell = share[best] - late.max()
    if best < len(share) - rule.looks and share[best] >= 0.5 and fell >= LOST:
        says = (
            f"held-out accuracy was {accuracy[best]:.1%} at step {steps[best]:,} and is {accuracy[-1]:.1%} "
            f"at step {steps[-1]:,}"
        )
        return Advice(
            "losing generalisation",
            f"{says}.",
            (Evidence("test/accuracy", says, float(fell), "does not"),),
            f"Go back to a checkpoint near step {steps[best]:,}; weight decay, learning rate and data order are what "
            "usually changed it.",
        )
    return None


def _done(phases: Phases) -> Advice | None:
    events = phases.events
    if events.t_test is None:
        return None
    when = f"held-out accuracy generalised at step {events.t_test:,}"
    if events.t_train is not None and events.t_test > events.t_train:
        when += f", {events.t_test / max(events.t_train, 1):.3g} times as late as the training rows were known"
    return Advice("generalised", f"{when}.", (Evidence("test/accuracy", when, None, "generalises"),))


def _not_yet_memorised(trace: Trace, phases: Phases, setting: Setting) -> Advice | None:
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


def _undriven(trace: Trace, phases: Phases, setting: Setting, forecast: Forecast | None) -> Advice | None:
    """No weight decay, and neither norm, direction nor held-out loss moves: nothing would take it elsewhere."""
    events = phases.events
    if setting.weight_decay != 0 or events.t_train is None:
        return None
    last, start = events.last_step, max(events.t_train, 1)
    if last < PATIENCE * start or (forecast is not None and forecast.p_generalise >= LIKELY):
        return None
    steps, norms = finite(trace, "norm/weights", phases.member, last)
    late = steps >= max(start, last / 2)
    if late.sum() < 2:
        return None
    moved = abs(float(np.log(norms[late][-1] / max(norms[late][0], 1e-30)))) / np.log(2.0)
    turned = turns(trace, max(start, last // 2), last, phases.member)
    if moved > STILL or (turned and turned[-1][1] > 2.0):
        return None
    says = f"weight decay is 0 and ‖θ‖ changes by {moved:.1%} per doubling of steps"
    return Advice(
        "structurally blocked",
        f"{says}; without a pull away from the memorising weights more steps change little.",
        (Evidence("norm/weights", says, moved, "does not"),),
        "Weight decay (0.1 to 1 with AdamW), more training data or a smaller initial scale would.",
    )


def _by_forecast(
    trace: Trace,
    phases: Phases,
    setting: Setting,
    forecast: Forecast | None,
    before: Forecast | None,
    member: int,
) -> Advice:
    events, unit = phases.events, setting.unit
    since = f"the training rows are known since {unit} {events.t_train:,}, held-out accuracy is not there yet"
    if forecast is None:
        return Advice("cannot tell yet", f"{since}.", (), _wanted(trace, member))
    p = forecast.p_generalise
    within = f"{p:.0%} within {unit} {forecast.horizon:,}"
    if p >= LIKELY:
        eta = ""
        if forecast.t_median is not None and forecast.t_low is not None and forecast.t_high is not None:
            eta = f"; expected near {unit} {forecast.t_median:,} ({forecast.t_low:,} to {forecast.t_high:,})"
        text = f"delayed generalisation is likely ({within}){eta}."
        return Advice("keep training", text, forecast.evidence, "Do not stop early on a flat validation curve.")
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
