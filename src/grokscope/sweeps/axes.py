"""What a diagram varies: a field and its values, linear, logarithmic or one after the other."""

import math
import re
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.spec import Spec, build, flatten, parse_assignment

Value = bool | int | float | str | None
_RANGE = re.compile(r"(lin|log)\((.*)\)\s*")


class Axis(Spec):
    """One axis of a diagram."""

    field: str
    """Dotted field of the experiment, such as ``optimizer.weight_decay``."""
    values: tuple[Value, ...]
    """What it takes, in the order of the axis, no value twice."""
    scale: Literal["linear", "log", "category"]
    """How the axis is drawn; values of a category have no order and nothing between them."""

    @model_validator(mode="after")
    def _some_values(self) -> "Axis":
        if not self.values:
            raise ValueError(f"axis {self.field}: at least one value is needed")
        if len(set(map(repr, self.values))) < len(self.values):
            raise ValueError(f"axis {self.field}: a value stands twice in {list(self.values)}")
        return self

    def __len__(self) -> int:
        return len(self.values)


def parse_axis(text: str, experiment: Experiment) -> Axis:
    """``FIELD=log(0.01,10,16)``, ``FIELD=lin(0.2,0.8,16)`` or ``FIELD=a,b,c``: ends included, so many values.

    Of a whole-numbered field the values are rounded, and each is taken once. A list of numbers is drawn
    linearly, or on a log axis where all steps are factors.

    Raises:
        BadInput: no such field, no number where one is needed, an empty range, a value the field does not allow.
    """
    field, _, given = text.partition("=")
    field, given = field.strip(), given.strip()
    if not field or not given:
        raise BadInput(f"--over takes FIELD=log(low,high,n), FIELD=lin(low,high,n) or FIELD=a,b,c, got {text!r}.")
    if field == "seed" or field.startswith("streams"):
        raise BadInput(f"{field} is no axis: seeds are the members of a cell; use --members N.")
    experiment.with_overrides({field: flatten(experiment.to_dict()).get(field)})  # tells an unknown name
    found = _RANGE.fullmatch(given)
    axis = _range(field, found[1], found[2], experiment) if found else _list(field, given)
    for value in axis.values:
        experiment.with_overrides({field: value})
    return axis


def _range(field: str, scale: str, inside: str, experiment: Experiment) -> Axis:
    now = flatten(experiment.to_dict()).get(field)
    if isinstance(now, bool | str | list | dict):
        raise BadInput(f"axis {field} is no number but {now!r}: give its values, --over {field}=a,b,c.")
    parts = [part.strip() for part in inside.split(",")]
    try:
        low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
        _, _, _ = parts
    except (ValueError, IndexError):
        raise BadInput(
            f"axis {field}: {scale}(low,high,n) takes two numbers and a count, got {scale}({inside})."
        ) from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise BadInput(f"axis {field}: the ends must be finite numbers, got {scale}({inside}).")
    if count < 1 or (count > 1 and not low < high):
        raise BadInput(f"axis {field}: the range is empty; low < high and n >= 1, got {scale}({inside}).")
    if scale == "log" and low <= 0:
        raise BadInput(f"axis {field}: a log axis needs low > 0, got {low:g}; use lin({inside}) or a larger low.")
    numbers = np.geomspace(low, high, count) if scale == "log" else np.linspace(low, high, count)
    if isinstance(now, int):
        return Axis(field=field, values=tuple(dict.fromkeys(round(float(x)) for x in numbers)), scale=_drawn(scale))
    return Axis(field=field, values=tuple(float(f"{x:.6g}") for x in numbers), scale=_drawn(scale))


def _drawn(scale: str) -> Literal["linear", "log"]:
    return "log" if scale == "log" else "linear"


def _list(field: str, given: str) -> Axis:
    _, values = parse_assignment(f"{field}={given if given.startswith('[') else f'[{given}]'}")
    if not isinstance(values, list) or any(isinstance(v, dict | list) for v in values):
        raise BadInput(f"axis {field}: values must be numbers, words or true/false, got {given!r}.")
    values = [_number(v) if isinstance(v, str) else v for v in values]
    return build(Axis, {"field": field, "values": tuple(values), "scale": _scale(values)})


def _number(word: str) -> float | str:
    """1e-3 is a word to YAML."""
    try:
        return float(word)
    except ValueError:
        return word


def _scale(values: list[Any]) -> Literal["linear", "log", "category"]:
    """Numbers that rise are an axis, by factors a logarithmic one; anything else is a category."""
    if len(values) < 2 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return "category"
    if any(b <= a for a, b in zip(values, values[1:], strict=False)):
        return "category"
    factors = [b / a for a, b in zip(values, values[1:], strict=False)] if values[0] > 0 else []
    return "log" if len(factors) > 1 and max(factors) < 1.5 * min(factors) and min(factors) > 1.5 else "linear"
