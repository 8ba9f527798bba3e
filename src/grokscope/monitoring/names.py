"""Names that people log under, as the lab's keys: the readers' table, a row at a time."""

import math
from collections.abc import Mapping
from typing import Any

from grokscope.readers.names import Meaning, meaning, squash


def recognised(values: Mapping[str, Any], split: str = "") -> dict[str, float]:
    """The numbers of a row by the lab's keys; a number with a name that is in no table keeps it.

    Of several names of one key the preferred one is taken. A perplexity is read as a loss, an error rate as an
    accuracy, and an accuracy above 1 as percent. A curve whose name says no split is of ``split``: train, unless told.
    """
    found: dict[str, float] = {}
    best: dict[str, Meaning] = {}
    for name, value in values.items():
        number = _number(value)
        if number is None:
            continue
        means = meaning(name)
        if split and (means is None or means.key.startswith("train/")) and "tr" not in squash(name):
            means = meaning(f"{split}_{name}") or means
        if means is None:
            found[name] = number
        elif means.key not in best or means.rank < best[means.key].rank:
            best[means.key] = means
            found[means.key] = _as(means, number)
    return found


def _as(means: Meaning, number: float) -> float:
    if means.quantity in ("accuracy", "error") and (means.percent or number > 1.0):
        number /= 100
    if means.quantity == "error":
        return 1.0 - number
    if means.quantity == "perplexity":
        return math.log(number) if number > 0 else math.nan
    return number


def _number(value: Any) -> float | None:
    if isinstance(value, bool | str) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of several numbers, anything else
        return None
