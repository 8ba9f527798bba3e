"""Faults of the arithmetic: a loss that is no number, slingshots, softmax collapse."""

import numpy as np

from grokscope.advice.base import Advice
from grokscope.forecast import Evidence, Setting
from grokscope.forecast.signals import finite
from grokscope.phases import EventRule, Phases
from grokscope.trace import Trace

COLLAPSED = 0.5
"""Share of training rows without a gradient that is a numerical fault (ours)."""
ENDING = "A softmax in float64, a larger epsilon of Adam or a smaller learning rate ends slingshots."
EXPLODED = 10.0
"""Times the loss of a guess, or the first loss if that is more, above which a training has exploded (ours)."""
REPEATED = 2
"""Slingshots that are no accident (ours)."""


def not_finite(trace: Trace, phases: Phases) -> Advice | None:
    """The last training loss is NaN or infinite."""
    steps, losses = trace.series("train/loss", phases.member)
    if not len(losses) or np.isfinite(losses[-1]):
        return None
    first = int(steps[np.nonzero(~np.isfinite(losses))[0][0]])
    said = Evidence("train/loss", f"the training loss is {losses[-1]} since step {first:,}", None, "does not")
    return Advice(
        "numerical fault",
        f"the training loss is not finite since step {first:,}.",
        (said,),
        "Go back to a checkpoint before it; a smaller learning rate, clipping or higher precision may help.",
    )


def exploded(trace: Trace, phases: Phases, setting: Setting, rule: EventRule) -> Advice | None:
    """The last ``rule.looks`` training losses are far above that of a guess, −ln chance, and above the first."""
    steps, losses = finite(trace, "train/loss", phases.member, phases.events.last_step)
    if len(losses) <= rule.looks:
        return None
    guess = -float(np.log(setting.chance)) if setting.chance else 1.0
    bound = EXPLODED * max(guess, float(losses[0]))
    if losses[-rule.looks :].min() <= bound:
        return None
    below = np.flatnonzero(losses <= bound)
    since = steps[below[-1] + 1] if len(below) else steps[0]
    says = f"the training loss is {losses[-1]:.3g}, above {bound:.3g} since step {since:,}: worse than guessing"
    return Advice(
        "numerical fault",
        f"{says}.",
        (Evidence("train/loss", says, float(losses[-1]), "does not"),),
        "Go back to a checkpoint before it; a smaller learning rate, warm-up or clipping may help.",
    )


def slingshots(trace: Trace, phases: Phases) -> Advice | None:
    """``REPEATED`` slingshots, the last in the later half of the steps, and no generalisation: it need not end.

    Thilak et al. (2022) saw generalisation without weight decay come mostly at their onset.
    """
    found = [anomaly for anomaly in phases.anomalies if anomaly.name == "slingshot"]
    if len(found) < REPEATED or found[-1].end < phases.events.last_step / 2:
        return None
    starts = ", ".join(f"{one.start:,}" for one in found[-3:])
    says = f"{len(found)} slingshots, the last at step {starts}: {found[-1].note}"
    said = Evidence(found[-1].note.split(" ", 1)[0], says, float(len(found)))
    text = (
        f"{says}. They come of the optimizer and of rounding; generalisation may come with them, so go on or mend it."
    )
    return Advice("numerical fault", text, (said,), ENDING, ends=False)


def collapsed(trace: Trace, phases: Phases) -> Advice | None:
    """Most rows no longer pull: losses of exactly 0 where they were recorded, else a softmax that is 1."""
    last = phases.events.last_step
    zero, share = "precision/zero_losses", "precision/softmax_collapse"
    key = zero if len(finite(trace, zero, phases.member, last)[0]) else share
    _, shares = finite(trace, key, phases.member, last)
    if not len(shares) or shares[-1] < COLLAPSED:
        return None
    what = "the loss is exactly 0" if key == zero else "the softmax is 1 to the last bit"
    says = f"for {shares[-1]:.0%} of training rows {what}, so that nothing pulls at their right answer any more"
    return Advice(
        "numerical fault",
        f"softmax collapse: {says}.",
        (Evidence(key, says, float(shares[-1]), "does not"),),
        "A softmax in float64, StableMax, weight decay or a temperature lets learning go on.",
    )
