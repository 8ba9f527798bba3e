"""The two-gate rule: something forms (content), and the weights can still get there (viability).

    alarm = first look at which, for SUSTAIN looks on end,
            at least QUORUM indicators are beyond their thresholds   (content)
            and softmax has not collapsed, and ‖θ‖ falls or θ turns   (viability)
    t_test ≈ m · t_alarm

Either gate alone is known to cry wolf: the commutator defect also grows in runs that never generalise, and the norm
falls wherever weight decay is large. Thresholds and the multiples m are calibrated on runs of known outcome, the
directions are the papers'. [Xu 2026a; Wang et al. 2026; Howe 2026 for two gates and multiples]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grokscope.forecast.base import Gates
from grokscope.forecast.content import RISES, Indicator, indicators
from grokscope.forecast.first_passage import Refusal
from grokscope.forecast.signals import finite, turns
from grokscope.trace import Floats, Steps, Trace

DIRECTIONS = RISES | {"fall": 1.0, "turn": 1.0}
QUORUM = 2
"""Indicators that must agree; where only these many are there, all of them."""
SUSTAIN = 3
"""Looks on end."""
COLLAPSED = 0.5
"""Share of rows without a gradient from which nothing is viable (ours)."""
FALLS = 0.02
"""Fall of ln ‖θ‖² over the last e-fold of steps that counts as one (ours)."""
TURNS = 5.0
"""Degrees over the last doubling of steps that count as turning (ours)."""


@dataclass(frozen=True)
class Course:
    """What both gates read, over the looks since t_train."""

    content: Mapping[str, Indicator]
    viability: Mapping[str, Indicator]
    """fall: of ln ‖θ‖² over the last e-fold of steps; turn: degrees that θ has gone further away from the weights that
    memorised over the last doubling; collapse: share of rows whose softmax is 1 to the last bit."""

    def looks(self) -> Steps:
        """Every step at which an indicator was seen, rising."""
        return np.unique(np.concatenate([one.steps for one in self.content.values()] or [np.array([], dtype=int)]))

    def viable(self, looks: Steps) -> NDArray[np.bool_]:
        """At which of these steps the second gate is open."""
        fall, turn, collapse = (self._viability(name, looks) for name in ("fall", "turn", "collapse"))
        return ((fall >= FALLS) | (turn >= TURNS)) & ~(collapse >= COLLAPSED)

    def beyond(self, looks: Steps, thresholds: Mapping[str, float]) -> dict[str, NDArray[np.bool_]]:
        """At which of these steps each indicator is past its threshold."""
        known = {name: one for name, one in self.content.items() if name in thresholds}
        return {name: DIRECTIONS[name] * one.at(looks) > thresholds[name] for name, one in known.items()}

    def _viability(self, name: str, looks: Steps) -> Floats:
        one = self.viability.get(name)
        return np.full(len(looks), np.nan) if one is None else one.at(looks)


def course(trace: Trace, start: int, at: int, member: int = 0) -> Course:
    """Both gates' series from t_train to ``at``; nothing later is read."""
    found = {}
    steps, norms = finite(trace, "norm/weights", member, at)
    keep = (steps >= start) & (norms > 0)
    steps, squares = steps[keep], 2 * np.log(norms[keep])
    if len(steps):
        before = np.searchsorted(steps, steps / np.e)
        found["fall"] = Indicator(steps, squares[before] - squares)
    away = turns(trace, start, at, member)
    if away:
        at_steps, degrees = (np.array(part) for part in zip(*away, strict=True))
        half = np.searchsorted(at_steps, at_steps / 2, side="right") - 1
        found["turn"] = Indicator(at_steps, degrees - np.where(half >= 0, degrees[half], 0.0))
    steps, shares = finite(trace, "precision/softmax_collapse", member, at)
    if (steps >= start).any():
        found["collapse"] = Indicator(steps[steps >= start], shares[steps >= start])
    return Course(indicators(trace, start, at, member), found)


def gates(seen: Course, at: int, numbers: Mapping[str, Any], quorum: int = QUORUM) -> Gates | Refusal:
    """The two-gate rule at a step, from what was seen until then."""
    thresholds: Mapping[str, float] = numbers.get("thresholds", {})
    names = tuple(name for name in seen.content if name in thresholds)
    if len(names) < quorum:
        return Refusal(
            f"{len(names)} of the indicators {', '.join(RISES)} can be read, {quorum} must agree; grokscope.Monitor "
            "with a probe takes them"
        )
    first = alarm(seen, thresholds, quorum)
    multiples = numbers.get("multiples")
    expected = None
    if first is not None and multiples:
        low, middle, high = (round(first * multiples[which]) for which in ("low", "median", "high"))
        expected = (low, middle, high)
    now = np.array([at])
    past = tuple(name for name, is_past in seen.beyond(now, thresholds).items() if is_past[0])
    return Gates(past, names, bool(seen.viable(now)[0]), first, expected)


def alarm(seen: Course, thresholds: Mapping[str, float], quorum: int = QUORUM) -> int | None:
    """The step at which both gates have been open for SUSTAIN looks on end; None where they never were."""
    looks = seen.looks()
    past = seen.beyond(looks, thresholds)
    if len(past) < quorum or len(looks) < SUSTAIN:
        return None
    both = (np.sum(list(past.values()), axis=0) >= quorum) & seen.viable(looks)
    held = np.lib.stride_tricks.sliding_window_view(both, SUSTAIN).all(1)
    return int(looks[int(held.argmax()) + SUSTAIN - 1]) if held.any() else None


def sustained(one: Indicator, sign: float) -> float:
    """The highest level that an indicator, in its expected direction, has kept for SUSTAIN looks; −∞ where none."""
    values = sign * one.values[np.isfinite(one.values)]
    if len(values) < SUSTAIN:
        return -np.inf
    return float(np.lib.stride_tricks.sliding_window_view(values, SUSTAIN).min(1).max())
