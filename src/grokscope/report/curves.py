"""Curves as they are drawn: the member that stands for all, the median and its band, the step axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.phases import Phases
from grokscope.trace import Floats, Steps, Trace

FLOOR = 1e-12
"""Losses at or below this are drawn here: a logarithm has no zero."""
SMALL = 8
"""Up to this many members the band goes from the lowest to the highest; above it holds the middle half."""


@dataclass(frozen=True)
class Median:
    """Median over members on the union of their looks.

    ``low`` and ``high`` bound the band; ``n`` counts the members that were still running.
    """

    steps: Steps
    values: Floats
    low: Floats
    high: Floats
    n: Steps


def representative(phases: Sequence[Phases], ended: Mapping[int, Any]) -> Phases | None:
    """The member whose segments tint the plots: the (upper) median by t_test, else by t_train, else the first.

    Members in which the finished model was read back come first, as only they have Nanda's segments.
    """
    tested = [p for p in phases if p.events.t_test is not None]
    trained = [p for p in phases if p.events.t_train is not None]
    pool = tested or trained or list(phases)
    pool = [p for p in pool if p.member in ended] or pool
    if not pool:
        return None
    ordered = sorted(pool, key=lambda p: (p.events.t_test or 0, p.events.t_train or 0, p.member))
    return ordered[len(ordered) // 2] if tested or trained else ordered[0]


def axis_offset(phases: Sequence[Phases]) -> int:
    """c of the step axis log(step + c): step 0 stays on the axis and the first decade does not fill it.

    The largest of 1, 2, 5, 10, … up to a tenth of the first t_train (a hundredth of the run where
    nothing was memorised): steps that matter are on an ordinary logarithm.
    """
    trained = [p.events.t_train for p in phases if p.events.t_train is not None]
    last = max((p.events.last_step for p in phases), default=0)
    bound = min(trained) / 10 if trained else last / 100
    nice = [m * 10**e for e in range(9) for m in (1, 2, 5)]
    return max((c for c in nice if c <= bound), default=1)


def finite(trace: Trace, key: str, member: int) -> tuple[Steps, Floats]:
    """One member's series up to the look before its first NaN or infinity."""
    steps, values = trace.series(key, member)
    bad = np.flatnonzero(~np.isfinite(values))
    end = bad[0] if len(bad) else len(values)
    return steps[:end], values[:end]


def median(trace: Trace, key: str, members: Sequence[int], log: bool, settled: frozenset[int]) -> Median | None:
    """The median over members, and its band.

    Between its own looks a member is interpolated in log step (and in log value where ``log``); before
    its first look it does not count. After its last look it does not count either, except for the
    ``settled``: members that generalised and were stopped for it. Leaving those out would leave only the
    slow ones and make the median fall back when a fast one stops, so they count at their last value.
    """
    series = {m: finite(trace, key, m) for m in members}
    series = {m: s for m, s in series.items() if len(s[0])}
    if not series:
        return None
    grid = np.unique(np.concatenate([steps for steps, _ in series.values()]))
    table, running = [], np.zeros(len(grid), dtype=np.int64)
    for member, (steps, values) in series.items():
        heights = np.log(np.maximum(values, FLOOR)) if log else values
        row = np.interp(np.log1p(grid), np.log1p(steps), heights)
        row[grid < steps[0]] = np.nan
        if member not in settled:
            row[grid > steps[-1]] = np.nan
        running += (grid >= steps[0]) & (grid <= steps[-1])
        table.append(row)
    rows = np.array(table)
    edges = (0, 100) if len(series) <= SMALL else (25, 75)
    low, middle, high = np.nanpercentile(rows, (edges[0], 50, edges[1]), axis=0)
    if log:
        low, middle, high = np.exp(low), np.exp(middle), np.exp(high)
    return Median(grid, middle, low, high, running)


def settled(ended: Mapping[int, Mapping[str, Any]]) -> frozenset[int]:
    """Members that were stopped because they had generalised."""
    return frozenset(m for m, done in ended.items() if done.get("reason") == "generalised")


def edges(steps: Sequence[int]) -> list[float]:
    """Borders of the cells of looks: half way between neighbours in log step; the ends are the looks."""
    if len(steps) == 1:
        return [steps[0] - 0.5, steps[0] + 0.5]
    logs = np.log1p(np.array(steps, dtype=np.float64))
    inner = np.expm1((logs[1:] + logs[:-1]) / 2)
    return [float(steps[0]), *inner.tolist(), float(steps[-1])]
