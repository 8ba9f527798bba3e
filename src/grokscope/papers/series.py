"""What the papers' observations share: a scalar over the steps, its value at a step, and few of its points."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grokscope.trace import Floats, Steps, Trace

Curve = tuple[Steps, Floats]
"""Steps, rising, and the values seen at them."""


def curve(trace: Trace, key: str, member: int = 0) -> Curve:
    """What was seen of one scalar of one member, where it is finite; both empty where nothing was."""
    steps, values = trace.series(key, member)
    known = np.isfinite(values)
    return steps[known], values[known]


def at(seen: Curve, step: float | None, between: Literal["linear", "before", "after"] = "linear") -> float | None:
    """The value at a step: linear between two looks, at the last look until it, or at the first look from it on.

    None without a step, before the first look for ``before``, beyond the last for the other two, and where the
    value is not finite.
    """
    steps, values = seen
    if step is None or not len(steps) or (between != "before" and step > steps[-1]):
        return None
    if between == "linear":
        return _finite(np.interp(step, steps, values))
    i = int(np.searchsorted(steps, step, "left" if between == "after" else "right")) - (between == "before")
    return _finite(values[i]) if i >= 0 else None


def last(seen: Curve) -> float | None:
    """The value at the last look; None where there is none or it is not finite."""
    return _finite(seen[1][-1]) if len(seen[1]) else None


def kept(count: int, most: int = 120, *, down: bool = False) -> NDArray[np.int64]:
    """Indices of at most ``most`` of ``count`` items, evenly apart, the first and the last among them.

    ``down`` takes the index before an exact place instead of the nearest one.
    """
    places = np.linspace(0, max(count - 1, 0), min(count, most))
    return np.unique((places if down else places.round()).astype(np.int64))


def pairs(seen: Curve, most: int = 120, form: str = ".4g", *, down: bool = False) -> list[list[float | None]]:
    """[step, value] of at most ``most`` looks (:func:`kept`), for a figure; None for what is not finite.

    ``form`` says how many digits are kept.
    """
    steps, values = seen
    chosen = kept(len(steps), most, down=down)
    return [[float(steps[i]), float(f"{values[i]:{form}}") if np.isfinite(values[i]) else None] for i in chosen]


def short(values: Iterable[float], form: str = ".5g") -> list[float]:
    """Plain numbers with as many digits as ``form`` keeps."""
    return [float(f"{float(value):{form}}") for value in values]


def over(number: float | None, by: float | None) -> float | None:
    """A ratio; None where one of the two did not happen, or for a division by 0."""
    return None if number is None or not by else number / by


def minus(number: float | None, by: float | None) -> float | None:
    """A difference; None where one of the two did not happen."""
    return None if number is None or by is None else number - by


def _finite(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
