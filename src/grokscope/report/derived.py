"""What the curves alone say, as small charts: each derived series of one member over the page's step axis."""

from typing import Any

import numpy as np

from grokscope.curves import read_curves
from grokscope.record import Record
from grokscope.report import look
from grokscope.report.curves import axis_offset
from grokscope.trace import Floats, Quantity, Steps

WIDTH, HEIGHT = 200.0, 48.0
"""Of a small chart, in its own units."""
WIDE = 1e3
"""Series that are all above zero and span more than this factor are drawn in log."""


def derived(record: Record, member: int) -> dict[str, Any] | None:
    """The charts of a member's curves that have values, and why others have none; None where there is no chart.

    Slingshots are single looks: they are named in a sentence instead of drawn.
    """
    found = read_curves(record.trace, record.members, members=[member])
    series = {key: found.series(key, member) for key in found.keys()}
    cards = [
        _card(found.quantities[key], *series[key], _scale(record))
        for key in found.quantities
        if key in series and len(series[key][0]) > 1 and not found.quantities[key].hindsight
    ]
    if not cards:
        return None
    cycles, _ = found.series("curve/slingshot", member)
    return {
        "seed": record.members[member].seed,
        "cards": cards,
        "tints": _tints(record, member),
        "cycles": ", ".join(look.step(s) for s in cycles.tolist()),
        "skipped": sorted(found.skipped.items()),
    }


def _card(quantity: Quantity, steps: Steps, values: Floats, scale: "_Axis") -> dict[str, Any]:
    """One chart as words and the points of a line."""
    log = bool(values.min() > 0 and values.max() > WIDE * values.min())
    heights = np.log(values) if log else values
    low, reach = float(heights.min()), float(np.ptp(heights))
    up = (heights - low) / reach if reach else np.full(len(heights), 0.5)
    top = HEIGHT - 2 - up * (HEIGHT - 4)
    return {
        "key": quantity.key,
        "name": quantity.key.removeprefix("curve/").replace("_", " "),
        "about": quantity.about,
        "unit": "" if quantity.unit == "1" else quantity.unit,
        "last": _number(values[-1]),
        "log": log,
        "said": f"{_number(values[0])} at step {look.step(steps[0])}, "
        f"{_number(values[-1])} at step {look.step(steps[-1])}; "
        f"from {_number(values.min())} to {_number(values.max())}",
        "line": " ".join(f"{scale(s):.1f},{y:.1f}" for s, y in zip(steps.tolist(), top.tolist(), strict=True)),
    }


def _number(value: float) -> str:
    return look.number(value).replace("-", "−")


class _Axis:
    """Steps to places on the page's axis, log(step + offset), of the whole run."""

    def __init__(self, offset: int, last: int) -> None:
        self.offset, self.low, self.high = offset, np.log(offset), np.log(max(last, 1) + offset)

    def __call__(self, step: float) -> float:
        return float((np.log(step + self.offset) - self.low) / (self.high - self.low)) * WIDTH


def _scale(record: Record) -> _Axis:
    return _Axis(axis_offset(record.phases), max((p.events.last_step for p in record.phases), default=0))


def _tints(record: Record, member: int) -> list[dict[str, Any]]:
    """The member's segments, behind every chart."""
    scale = _scale(record)
    segments = [s for p in record.phases if p.member == member for s in p.segments]
    ends = [(look.slug(s.name), scale(s.start), scale(s.end)) for s in segments]
    return [{"slug": name, "x": round(start, 1), "width": round(end - start, 1)} for name, start, end in ends]
