"""Values as the lab's curves have them: accuracies as shares, perplexity as its logarithm."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from grokscope.readers.names import Meaning
from grokscope.trace import Floats

SLACK = 1e-6
"""Rounding above 1 that is still a share; it stays as it is."""
SHARES = ("accuracy", "error")


@dataclass(frozen=True)
class Read:
    """Values on their way into a curve."""

    values: Floats
    note: str = ""
    refused: str | None = None
    """Why they are no values of that curve."""


def extent(values: Floats) -> tuple[float, float]:
    """Smallest and largest finite value; (0, 0) where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def percent_of(shares: Mapping[str, tuple[Floats, bool]]) -> frozenset[str]:
    """Which of a run's accuracy columns are in percent, given their values and whether the log says so itself.

    A column that passes 1 is in percent, and then so is each other column that the log does not mark: the
    test accuracy of a run that has not grokked may stay below one percent.
    """
    marked = {name for name, (_, said) in shares.items() if said}
    beyond = {name for name, (values, _) in shares.items() if extent(values)[1] > 1 + SLACK}
    spread = beyond - marked and all(extent(values)[1] <= 100 + SLACK for values, _ in shares.values())
    return frozenset(shares if spread else marked | beyond)


def as_read(values: Floats, what: Meaning, *, percent: bool = False) -> Read:
    """The values of a column as those of its curve; NaN and infinities stay what they are.

    accuracy a → a, or a / 100 where it is in percent; error e → 1 − e, likewise; perplexity P → ln P.
    """
    low, high = extent(values)
    if what.quantity in SHARES:
        if low < -SLACK or high > 100 + SLACK:
            return Read(values, refused=f"is no {what.quantity}: it goes from {low:.6g} to {high:.6g}")
        shares = values / 100 if percent else values
        if what.quantity == "error":
            kind = "an error rate in percent" if percent else "an error rate"
            return Read(1 - shares, f"is {kind}: its accuracy is one minus it")
        return Read(shares, "is in percent and was divided by 100" if percent else "")
    if what.quantity == "perplexity":
        if (values <= 0).any():
            return Read(values, refused=f"is no perplexity: it goes down to {low:.6g}")
        return Read(np.log(values), "is a perplexity: the loss is its natural logarithm")
    return Read(values)
