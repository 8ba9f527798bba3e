"""Series as they are drawn: thinned so that nothing is hidden, means with a band, arrays, runs side by side."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grokscope.server.reading import read_series
from grokscope.trace import Floats, Steps

Indices = NDArray[np.int64]
FEWEST = 10
"""Points of a chart at least."""
TINY = 1e-300
"""Losses below count as this in a mean of logarithms."""


def cuts(first: int, last: int, buckets: int) -> Steps:
    """Borders of at most so many buckets of steps, equally wide on a log(1 + step) axis.

    Bucket i holds the steps s with cuts[i] ≤ s < cuts[i + 1]; together they hold first to last.
    """
    inner = np.expm1(np.linspace(np.log1p(first), np.log1p(last), buckets + 1)[1:-1])
    whole = np.ceil(inner).astype(np.int64)
    return np.unique(np.concatenate([[first], whole[(whole > first) & (whole <= last)], [last + 1]]))


def keep(values: Floats) -> list[int]:
    """Places of a bucket's lowest and highest finite value and of its first and last one that is not finite."""
    finite = np.flatnonzero(np.isfinite(values))
    bad = np.flatnonzero(~np.isfinite(values))
    kept = {int(finite[np.argmin(values[finite])]), int(finite[np.argmax(values[finite])])} if len(finite) else set()
    return sorted(kept | ({int(bad[0]), int(bad[-1])} if len(bad) else set()))


def thin(steps: Steps, values: Floats, points: int) -> tuple[Steps, Floats]:
    """At most ``points`` of a series, no spike and no stretch of NaN hidden.

    Of each bucket (:func:`cuts`) the points of :func:`keep` are kept, and the first and last of the series.

    Args:
        steps: (T,), rising.
        values: (T,), NaN and infinity included.
        points: at least :data:`FEWEST`; a shorter series is returned as it is.
    """
    if len(steps) <= points:
        return steps, values
    buckets = _buckets(points, bool(np.isfinite(values).all()))
    edges = np.searchsorted(steps, cuts(int(steps[0]), int(steps[-1]), buckets))
    chosen = {0, len(steps) - 1}
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        chosen.update(start + i for i in keep(values[start:end]))
    kept = np.array(sorted(chosen))
    return steps[kept], values[kept]


def thin_stored(db: sqlite3.Connection, key: int, member: int, points: int) -> tuple[Steps, Floats]:
    """What :func:`thin` gives of a series in a database, of which only what is drawn leaves it.

    A quarter of a second for a million points; a bucket with a value that is not finite is read as a whole.
    """
    where = "FROM scalar WHERE member=? AND key=?"
    row = db.execute(f"SELECT COUNT(*), COUNT(value), MIN(step), MAX(step) {where}", (member, key)).fetchone()
    count, known, first, last = row
    if count <= points:
        return read_series(db, key, member)
    low, high = db.execute(f"SELECT MIN(value), MAX(value) {where}", (member, key)).fetchone()
    clean = known == count and bool(np.isfinite([low, high]).all())
    found: dict[int, float | None] = {}
    edges = cuts(first, last, _buckets(points, clean)).tolist()
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        found.update(_bucket(db, (member, key, start, end), clean))
    ends = f"SELECT step, value {where} AND step IN (?, ?)"
    found.update(db.execute(ends, (member, key, first, last)).fetchall())
    steps = sorted(found)
    return np.array(steps, dtype=np.int64), np.array([found[s] for s in steps], dtype=np.float64)


def _bucket(db: sqlite3.Connection, where: tuple[int, int, int, int], clean: bool) -> dict[int, float | None]:
    of = "FROM scalar WHERE member=? AND key=? AND step>=? AND step<?"
    if clean:
        rows = [db.execute(f"SELECT step, {which}(value) {of}", where).fetchone() for which in ("MIN", "MAX")]
        return {step: value for step, value in rows if step is not None}
    rows = db.execute(f"SELECT step, value {of} ORDER BY step", where).fetchall()
    return {rows[i][0]: rows[i][1] for i in keep(np.array([v for _, v in rows], dtype=np.float64))} if rows else {}


def _buckets(points: int, clean: bool) -> int:
    """So many that two points of each, or four where values are not finite, and both ends fit."""
    return max(1, (max(points, FEWEST) - 2) // (2 if clean else 4))


@dataclass(frozen=True)
class Line:
    """One member's series for a band, and its t_test."""

    steps: Steps
    values: Floats
    t_test: int | None


def band(lines: Sequence[Line], align: str, points: int, log: bool) -> dict[str, Any]:
    """Mean ± standard deviation over members, on one axis that is even in log(1 + step).

    A member counts with its value at its last look so far, from its first look to its last and no further, so n
    falls where members end; it does not count while that value is not finite. Of losses the logarithms are
    averaged: the mean is the geometric one and the band is of factors. The deviation has n − 1 below it and is 0
    for a single member.

    Args:
        lines: one for each member.
        align: "step", or "t_test" for multiples of the member's own t_test; members without one are left out.
        points: of the axis, at most.
        log: average logarithms.
    """
    some = [line for line in lines if len(line.steps)]
    placed = [(x, line.values) for line in some if (x := _places(line, align)) is not None]
    axis = _axis([x for x, _ in placed], align, points)
    table = np.full((len(placed), len(axis)), np.nan)
    for row, (x, values) in zip(table, placed, strict=True):
        at = np.searchsorted(x, axis, side="right") - 1
        inside = (at >= 0) & (axis <= x[-1])
        row[inside] = values[at[inside]]
    table[~np.isfinite(table)] = np.nan
    table = np.log(np.maximum(table, TINY)) if log else table
    n = np.isfinite(table).sum(axis=0)
    axis, table, n = axis[n > 0], table[:, n > 0], n[n > 0]
    mean = np.nansum(table, axis=0) / n
    spread = np.sqrt(np.nansum((table - mean) ** 2, axis=0) / np.maximum(n - 1, 1))
    low, high = mean - spread, mean + spread
    if log:
        mean, low, high = np.exp(mean), np.exp(low), np.exp(high)
    return {
        "x": numbers(axis),
        "mean": numbers(mean),
        "low": numbers(low),
        "high": numbers(high),
        "n": n.tolist(),
        "align": align,
    }


def _axis(xs: Sequence[Floats], align: str, points: int) -> Floats:
    if not xs:
        return np.zeros(0)
    first, last = min(x[0] for x in xs), max(x[-1] for x in xs)
    if align == "step":
        grid = np.expm1(np.linspace(np.log1p(first), np.log1p(last), points))
        return np.unique(np.concatenate([[first], np.round(grid), [last]]))
    smallest = min(float(x[x > 0][0]) for x in xs if (x > 0).any())
    grid = np.geomspace(max(first, smallest), last, points)
    return np.unique(np.concatenate([[first], grid[1:-1], [last]]))


def _places(line: Line, align: str) -> Floats | None:
    if align == "step":
        return line.steps.astype(np.float64)
    return line.steps / max(line.t_test, 1) if line.t_test is not None else None


def difference(names: Sequence[str], configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The dotted fields in which flat descriptions differ, and the value of each; None where it has none."""
    fields = dict.fromkeys(field for config in configs for field in config if field != "about")
    values = {field: [config.get(field) for config in configs] for field in fields}
    return [{"field": f, "values": v} for f, v in values.items() if any(one != v[0] for one in v[1:])]


def numbers(values: Any) -> list[float | int | None]:
    """Plain numbers for JSON: six digits, whole numbers whole, None for NaN and infinity."""
    flat = np.asarray(values)
    if np.iscomplexobj(flat):
        flat = np.abs(flat)
    if flat.dtype.kind in "iub":
        return flat.astype(np.int64).tolist()
    return [_plain(v) for v in flat.astype(np.float64).tolist()]


def _plain(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.6g}")


def as_point_series(
    read: Callable[[str, int], tuple[Steps, Floats]], key: str, members: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Steps and values of a key, by member; members without a value are left out."""
    found = {}
    for member in members:
        steps, values = read(key, member)
        if len(steps):
            found[member] = {"step": steps.tolist(), "value": numbers(values)}
    return found
