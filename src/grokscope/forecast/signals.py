"""What a trace says at one moment, as numbers without units: the inputs of the fitted forecaster.

Time counts as multiples of t_train, and slopes are per e-fold of steps, so that nothing depends on how long a
step is or whether the log counts steps or epochs. All are read from the looks up to one step. Except where the name
begins with ``test/``, they are read from training rows and weights alone. Windows and floors are ours.
"""

import math
from collections.abc import Mapping

import numpy as np

from grokscope.forecast.content import Indicator, indicators
from grokscope.measures.dynamics import angle, slope
from grokscope.phases import Events
from grokscope.trace import Floats, Steps, Trace

FEWEST = 4
"""Looks that a slope needs."""
WINDOW = 0.5
"""A slope is taken over the looks since at·WINDOW, but not before t_train."""
LEAST_LOSS = 1e-9
"""A loss below this counts as this: float32 cannot tell it from 0."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "curves": ("age", "train/level", "train/slope", "train/wobble"),
    "weights": ("norm/fall", "norm/slope"),
    "direction": ("turn", "turn/slope"),
    "logits": ("scale/slope", "confidence"),
    "content": ("content/rank", "content/defect", "content/surprise", "content/gap"),
    "validation": ("test/share", "test/slope", "test/loss", "test/fall"),
}
"""Signals that need the same quantities; a forecaster takes or leaves a group as a whole. Curves are scored alone."""


def signals(
    trace: Trace,
    events: Events,
    at: int,
    chance: float | None,
    member: int = 0,
    content: Mapping[str, Indicator] | None = None,
) -> dict[str, float]:
    """The signals of one member at step ``at``, as many as the trace has the quantities for.

    ========== ====================================================================================
    age        ln(at / t_train)
    train/…    level: ln train loss; slope: d ln(train loss) / d ln(step); wobble: standard deviation about it
    norm/…     fall: ln(V / V at t_train), V = ‖θ‖²; slope: d ln V / d ln(step)
    turn       angle between the weights and those at t_train, in quarter turns; slope per e-fold of steps
    scale/…    slope: d ln(logit norm) / d ln(step);  confidence: mean largest probability, train rows
    content/…  the indicators of :mod:`grokscope.forecast.content` (``content``, where they are known already)
    test/…     share: (accuracy − chance) / (1 − chance); slope per e-fold; loss: ln of it; fall: ln(loss / its peak)
    ========== ====================================================================================

    Empty where the training rows are not known yet at ``at``.
    """
    start = events.t_train
    if start is None or at <= start:
        return {}
    start = max(start, 1)
    found = {"age": math.log(at / start)}

    def put(name: str, value: float) -> None:
        if math.isfinite(value):
            found[name] = value

    def recent(key: str, log: bool) -> tuple[Floats, Floats, float]:
        """ln step and values of the window, and the last value."""
        steps, values = finite(trace, key, member, at)
        values = np.log(np.maximum(values, LEAST_LOSS)) if log else values
        inside = steps >= max(start, at * WINDOW)
        if inside.sum() < FEWEST:  # sparse looks: the last few since memorising
            inside = (steps >= start) & (np.arange(len(steps)) >= len(steps) - FEWEST)
        last = float(values[-1]) if len(values) else math.nan
        return np.log(np.maximum(steps[inside], 1)), values[inside], last

    x, y, last = recent("train/loss", log=True)
    put("train/level", last)
    if len(x) >= FEWEST:
        steep = slope(x, y)
        put("train/slope", steep)
        put("train/wobble", float(np.std(y - steep * x)))
    x, y, last = recent("norm/weights", log=True)
    steps, values = finite(trace, "norm/weights", member, at)
    if (steps <= start).any() and len(x) >= FEWEST:
        put("norm/fall", 2 * (last - math.log(max(float(values[steps <= start][-1]), LEAST_LOSS))))
        put("norm/slope", 2 * slope(x, y))
    turned = turns(trace, start, at, member)
    if len(turned) >= FEWEST:
        put("turn", turned[-1][1] / 90)
        window = [(s, d) for s, d in turned if s >= at * WINDOW] or turned
        window = window if len(window) >= FEWEST else turned[-FEWEST:]
        put("turn/slope", slope([math.log(max(s, 1)) for s, _ in window], [d / 90 for _, d in window]))
    x, y, _ = recent("logits/scale", log=True)
    if len(x) >= FEWEST:
        put("scale/slope", slope(x, y))
        put("confidence", recent("logits/confidence", log=False)[2])
    for name, one in (indicators(trace, start, at, member) if content is None else content).items():
        put(f"content/{name}", one.upto(at))
    if chance is not None:
        x, y, last = recent("test/accuracy", log=False)
        put("test/share", (last - chance) / (1 - chance))
        if len(x) >= FEWEST:
            put("test/slope", slope(x, y) / (1 - chance))
    steps, losses = finite(trace, "test/loss", member, at)
    if len(losses):
        put("test/loss", math.log(max(float(losses[-1]), LEAST_LOSS)))
        put("test/fall", math.log(max(float(losses[-1]), LEAST_LOSS) / max(float(losses.max()), LEAST_LOSS)))
    return found


def turns(trace: Trace, since: int, at: int, member: int = 0) -> list[tuple[int, float]]:
    """(step, degrees) between the weights then and those of the first look at or after ``since``, from sketches."""
    looks = [(s, v) for s, v in trace.arrays("dynamics/weight_sketch", member) if since <= s <= at]
    return [(s, angle(looks[0][1], v)) for s, v in looks[1:]] if looks else []


def finite(trace: Trace, key: str, member: int, at: int) -> tuple[Steps, Floats]:
    """The finite looks of a scalar up to a step."""
    steps, values = trace.series(key, member)
    seen = np.isfinite(values) & (steps <= at)
    return steps[seen], values[seen]


def words(name: str, value: float) -> str:
    """A signal as a person reads it."""
    doubled = math.exp(value * math.log(2)) - 1
    per = f"{'rises' if doubled > 0 else 'falls'} by {abs(doubled):.2g} of itself per doubling of steps"
    return {
        "age": f"training has gone on {math.exp(min(value, 50)):.3g} times as long as learning the training rows took",
        "train/level": f"the training loss is {math.exp(value):.2g}",
        "train/slope": f"the training loss {per}",
        "train/wobble": f"the training loss wobbles by a factor of {math.exp(min(value, 50)):.2g} about its course",
        "norm/fall": f"‖θ‖² is {math.exp(min(value, 50)):.2g} times what it was when the training rows were learned",
        "norm/slope": f"‖θ‖² {per}",
        "turn": f"the weights have turned by {90 * value:.0f}° since the training rows were learned",
        "turn/slope": f"the weights turn by {90 * value * math.log(2):.1f}° per doubling of steps",
        "scale/slope": f"the size of the logits {per}",
        "confidence": f"the mean largest probability on training rows is {value:.3f}",
        "content/rank": f"effective rank (last hidden layer): {math.exp(min(value, 50)):.2g} times its first then",
        "content/defect": f"the commutator defect is {math.exp(min(value, 50)):.3g} times its first since then",
        "content/surprise": f"the training rows' probabilities move so that {value:.0%} cannot be foretold from before",
        "content/gap": f"the updates' spectral gap is {math.exp(min(value, 50)):.2g} times its first since then",
        "test/share": f"held-out accuracy is {value:.1%} of the way from chance to 1",
        "test/slope": f"held-out accuracy moves by {value * math.log(2):+.1%} of that way per doubling of steps",
        "test/loss": f"the held-out loss is {math.exp(min(value, 50)):.3g}",
        "test/fall": f"the held-out loss is {math.exp(min(value, 50)):.2g} of its peak",
    }[name]
