"""The fitted forecaster: a logistic model of the signals, and a multiplicative interval for t_test.

    P(t_test ≤ H · at) = σ(w · z + b),      ln(t_test / at) = u · z + c + q

z are the signals of :mod:`grokscope.forecast.signals`, standardised; q are quantiles of the residuals on systems that
were held out of the fit, wide enough that the interval is to hold t_test in :data:`~grokscope.forecast.base.INTERVAL`
of the trainings of a further system. The numbers lie in ``calibration.json`` and are made by
``python benchmarks/forecast.py``, which also scores them. There is a model for each set of groups of signals that
logs usually have; the first that a trace can fill speaks.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from grokscope.forecast.base import TOO_EARLY, Evidence, Forecast, Setting
from grokscope.forecast.first_passage import Refusal
from grokscope.forecast.signals import FEWEST, GROUPS, words

SETS: tuple[tuple[str, ...], ...] = (
    ("weights", "direction", "logits", "content", "validation"),
    ("weights", "direction", "logits", "content"),
    ("weights", "direction", "logits", "validation"),
    ("weights", "direction", "logits"),
    ("weights", "validation"),
    ("validation",),
    ("weights",),
)
"""Those that say most first: what the monitor sees with and without validation, then what logs hold.

The training loss and the age of the plateau are in none: with them, forecasts of unseen systems were worse.
"""


def name(groups: Sequence[str]) -> str:
    """A set's name in the calibration."""
    return "+".join(groups)


def inputs(groups: Sequence[str]) -> list[str]:
    """The signals of a set, in order."""
    return [signal for group in groups for signal in GROUPS[group]]


@cache
def calibration() -> dict[str, Any]:
    """The numbers that ship with the package."""
    text = (resources.files("grokscope.forecast") / "calibration.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def fitted(
    seen: Mapping[str, float],
    setting: Setting,
    at: int,
    numbers: Mapping[str, Any],
    train_only: bool = False,
    sets: Sequence[Sequence[str]] = SETS,
) -> Forecast | Refusal:
    """The forecast of the first model whose signals are there.

    Args:
        seen: signals at ``at``.
        setting: for the budget.
        at: the step they were read at.
        numbers: as :func:`calibration` gives them.
        train_only: leave validation out even where it is there.
        sets: of signals, in the order in which they are tried.
    """
    if not seen:
        return Refusal(TOO_EARLY)
    for groups in sets:
        wanted = inputs(groups)
        if (train_only and "validation" in groups) or not set(wanted) <= set(seen):
            continue
        model = numbers["models"].get(name(groups))
        if model is None:
            continue
        z = [(seen[s] - m) / d for s, m, d in zip(wanted, model["mean"], model["deviation"], strict=True)]
        z = [max(-FAR, min(FAR, one)) for one in z]
        score = model["bias"] + sum(w * one for w, one in zip(model["weights"], z, strict=True))
        p = 1 / (1 + math.exp(-max(-50.0, min(50.0, score))))
        centre = model["time_bias"] + sum(w * one for w, one in zip(model["time_weights"], z, strict=True))
        low, middle, high = (
            min(round(at * math.exp(max(0.0, min(30.0, centre + q)))), 2**62) for q in model["quantiles"]
        )
        horizon = int(numbers["horizon"] * at)
        parts = sorted(zip(wanted, model["weights"], z, strict=True), key=lambda part: -abs(part[1] * part[2]))
        evidence = tuple(
            Evidence(s, words(s, seen[s]), seen[s], "generalises" if w * one > 0 else "does not")
            for s, w, one in parts[:4]
        )
        return Forecast(at, p, horizon, low, middle, high, f"fitted on {', '.join(groups)}", evidence)
    return Refusal(
        f"neither {FEWEST} looks at the weight norm since memorising nor held-out loss and accuracy; "
        "the training loss alone does not tell"
    )


FAR = 4.0
"""A signal further than so many deviations from the calibration's mean counts as that far (ours)."""
