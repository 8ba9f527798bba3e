"""Generalisation that was there and goes: ungrokking, and collapse after grokking."""

import numpy as np

from grokscope.advice.base import Advice
from grokscope.forecast import Evidence, Setting
from grokscope.forecast.signals import finite
from grokscope.phases import EventRule, Phases
from grokscope.trace import Trace

LOST = 0.3
"""Fall of held-out accuracy from its best, as a share of the way from chance to 1, that is a loss (ours)."""
LASTING = 0.05
"""Share of all steps that it must have been lost for: a spike of the loss takes it for less (ours)."""
BEST = 0.005
"""What is less than this under the best still counts as the best, so that the last such look is meant (ours)."""
SHRUNK = 0.98
"""Factor of ‖θ‖ under which the weights shrank (ours)."""
FITTED = 0.05
"""Training loss up to which the training rows are still fitted (ours)."""


def lost(trace: Trace, phases: Phases, setting: Setting, rule: EventRule) -> Advice | None:
    """Held-out accuracy, or where there is none a held-out loss that had generalised, is far from its best and stays.

    For ``rule.looks`` looks, and ``LASTING`` of all steps, none was within ``LOST`` of the best.
    """
    last, chance, key = phases.events.last_step, setting.chance or 0.0, "test/accuracy"
    steps, values = finite(trace, key, phases.member, last)
    share = (values - chance) / (1 - chance)
    if not len(values) and phases.events.t_test is not None:
        key = "test/loss"
        steps, values = finite(trace, key, phases.member, last)
        share = 1 - values / values[0]
    if len(share) < rule.looks + 1:
        return None
    best = int(np.flatnonzero(share >= share.max() - BEST)[-1])
    near = np.flatnonzero(share > share[best] - LOST)[-1]
    since = len(share) - 1 - int(near)
    if share[best] < 0.5 or since < rule.looks or steps[-1] - steps[near + 1] < LASTING * steps[-1]:
        return None
    what = "held-out accuracy" if key == "test/accuracy" else "held-out loss"
    was, now = (f"{v:.1%}" if key == "test/accuracy" else f"{v:.3g}" for v in (values[best], values[-1]))
    says = f"{what} was {was} at step {steps[best]:,} and is {now} at step {steps[-1]:,}"
    more, tell = _what_changed(trace, phases, int(steps[best]))
    evidence = (Evidence(key, says, float(share[best] - share[near + 1 :].max()), "does not"), *more)
    text = "; ".join([says, *(one.says for one in more)])
    return Advice(
        "losing generalisation",
        f"{text}.",
        evidence,
        f"{tell} Go back to a checkpoint near step {steps[best]:,}.",
    )


def _what_changed(trace: Trace, phases: Phases, since: int) -> tuple[list[Evidence], str]:
    """What else moved since generalisation was best, and what that speaks for."""
    last, member = phases.events.last_step, phases.member
    changes: dict[str, float] = {}
    found, loss = [], None
    for key, name in (("norm/weights", "‖θ‖"), ("train/loss", "the training loss")):
        steps, values = finite(trace, key, member, last)
        after = values[steps >= since]
        if len(after) and after[0] > 0:
            changes[key] = float(after[-1] / after[0])
            found.append(Evidence(key, f"{name} is {changes[key]:.2g} times what it was then", changes[key]))
        loss = float(after[-1]) if len(after) else None
    names = {"loss spike", "slingshot", "divergence"}
    spikes = [a for a in phases.anomalies if a.name in names and a.start >= since]
    shrank = changes["norm/weights"] < SHRUNK if "norm/weights" in changes else None
    fitted = loss is not None and loss <= FITTED
    if spikes and not shrank:
        found.append(Evidence("train/loss", f"the loss spiked at step {spikes[-1].start:,}", float(len(spikes))))
        return found, "Spikes of the loss speak for a smaller learning rate."
    if loss is None or (fitted and shrank is False):
        return found, "Weight decay, learning rate and training data are what usually changed."
    if fitted:
        why = (
            "Weights that shrink at the same fit speak" if shrank else "That the training rows are still fitted speaks"
        )
        return found, f"{why} for too little training data to ask for what was learned."
    if shrank is False:
        return found, "Training rows lost as well, by weights that do not shrink, speak for a smaller learning rate."
    return (
        found,
        "Training rows lost as well speak for less weight decay, or a smaller learning rate, which multiplies it.",
    )
