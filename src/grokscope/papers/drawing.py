"""What the papers' figures share: colours by name, seeds faint under their median, words beside what they name.

A curve is a list of (x, y) pairs, one pair a look, as studies observe it (``[[step, value], ...]``);
None and NaN are gaps. Labels are placed by the axes' limits and scales, so set those first.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Corner = Literal["upper left", "upper right", "lower left", "lower right"]

TRAIN, TEST = "#9a9ea8", "#15171c"
ACCENT, SECOND, THIRD, FOURTH = "#3a76d2", "#c4552d", "#0b8f8c", "#e0a03a"
SOFT = "#5d626e"
FAINT = 0.25
SIZE = 8.0
"""Opacity of a single seed, and the labels' size in points."""


def points(curve: Any) -> Floats:
    """A curve of pairs as an (L, 2) array; None becomes NaN."""
    return np.array(curve, dtype=float).reshape(-1, 2)


def columns(x: ArrayLike, y: Any) -> Floats:
    """A curve from its x's and y's, cut to the shorter of the two, as an (L, 2) array; None becomes NaN."""
    along, values = np.array(x, dtype=float), np.array(y, dtype=float)
    count = min(len(along), len(values))
    return np.column_stack([along[:count], values[:count]])


def median(curves: Sequence[Any]) -> Floats:
    """The median over seeds at every x that one of them has, (L, 2): linear between a seed's looks.

    Where less than half of the seeds are seen (the others have stopped, or not begun) there is no median.
    """
    known = [line[np.isfinite(line).all(1)] for line in map(points, curves)]
    known = [line for line in known if len(line)]
    if not known:
        return np.empty((0, 2))
    x_L = np.unique(np.concatenate([line[:, 0] for line in known]))
    values_SL = np.stack([np.interp(x_L, line[:, 0], line[:, 1], left=np.nan, right=np.nan) for line in known])
    enough_L = 2 * np.isfinite(values_SL).sum(0) >= len(known)
    return np.column_stack([x_L[enough_L], np.nanmedian(values_SL[:, enough_L], axis=0)])


def lines(
    axes: "Axes", curves: Sequence[Any], colour: str, *, strong: int | None = None, width: float = 2.0, **style: Any
) -> Floats:
    """Draw each seed's curve faint and their median strong, or the seed ``strong`` in place of the median.

    The strong line, (L, 2), is given back for a label to be put beside it. ``style`` goes to the plot call of both
    (``ls=":"``, ``drawstyle="steps-mid"``), markers to the strong one alone.
    """
    line = median(curves) if strong is None else points(curves[strong])
    marks = {key: style.pop(key) for key in ("marker", "ms", "mfc") if key in style}
    if len(curves) > 1:
        for i, single in enumerate(map(points, curves)):
            if i != strong:
                axes.plot(*single.T, color=colour, lw=0.8, alpha=FAINT, **style)
    axes.plot(*line.T, color=colour, lw=width, **marks, **style)
    return line


def dots(axes: "Axes", at: float, values: Sequence[float | None], colour: str, *, bar: float = 0.2) -> None:
    """One faint dot a seed over a place of the x axis, and a bar ``bar`` to either side at their median."""
    known = [value for value in values if value is not None]
    axes.plot([at] * len(known), known, "o", color=colour, alpha=0.5, ms=5, lw=0)
    if known:
        axes.plot([at - bar, at + bar], [float(np.median(known))] * 2, color=colour, lw=2)


def mark(axes: "Axes", steps: Sequence[float | None], colour: str = SOFT) -> None:
    """A dotted vertical line at the median of the steps that are known; none where it happened to less than half."""
    known = [step for step in steps if step is not None]
    if known and 2 * len(known) >= len(steps):
        axes.axvline(float(np.median(known)), color=colour, lw=0.8, ls=":")


def over_steps(axes: "Axes", about: str, title: str, *, log: bool = True, left: float | None = None) -> None:
    """Name the axes of a panel over training: steps (logarithmic from 1 on, with 0 to their left; or plain) and what.

    To be called once the lines are drawn, since ``left``, the first step shown, ends the axis's own scaling.
    """
    if log:
        axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set(xlabel="step", ylabel=about)
    axes.set_title(title, fontsize=9)
    axes.set_xlim(left=left)


def apart(wanted: Sequence[float], gap: float, low: float = -np.inf, high: float = np.inf) -> list[float]:
    """Places at least ``gap`` from each other and as near to those wanted as least squares can be, in their order.

    Neighbours that are too close form a block around the mean of what they want (pool adjacent violators);
    the whole is then moved into [low, high], at whose ends it may stick out where there is too little room.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[list[float]] = []  # sum and count of (wanted − rank · gap): these must not fall
    for rank, i in enumerate(order):
        blocks.append([wanted[i] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            above = blocks.pop()
            blocks[-1] = [blocks[-1][0] + above[0], blocks[-1][1] + above[1]]
    bases = [total / count for total, count in blocks for _ in range(int(count))]
    top = high - (len(wanted) - 1) * gap
    found = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        found[i] = max(min(bases[rank], top), low) + rank * gap
    return found


def label_ends(axes: "Axes", ends: Sequence[tuple[Any, str, str]], *, size: float = SIZE) -> None:
    """Write (curve, word, colour) to the right of the axes, each at the height of its curve's last point.

    Words that would overlap are pushed apart, and a thin line leads from a curve's end to a word that is not
    beside it. Points without a place on the axes (a gap, 0 on a masked log axis)
    are no ends.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    found, places = [], []
    for curve, word, colour in ends:
        line = points(curve)
        seen = np.isfinite(line).all(1) & np.isfinite(to_axes.transform(line)).all(1)
        if seen.any():
            found.append((line[seen][-1], word, colour))
            places.append(to_axes.transform(line[seen][-1]))
    if not found:
        return
    lines_of_text = max(word.count("\n") + 1 for _, word, _ in found)
    tall = axes.bbox.height * 72 / axes.figure.dpi  # before the layout, which changes it little
    gap = 1.25 * size * lines_of_text / tall
    heights = apart([float(np.clip(y, 0, 1)) for _, y in places], gap, 0.0, 1.0)
    for (end, word, colour), (x, y), height in zip(found, places, heights, strict=True):
        far = x < 0.97 or abs(y - height) > 0.6 * gap
        axes.annotate(
            word, tuple(end), (1.03, height), textcoords="axes fraction", color=colour, fontsize=size, va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": colour, "alpha": 0.5, "shrinkA": 1} if far else None,
            annotation_clip=False,
        )  # fmt: skip


def label_corner(
    axes: "Axes", words: Sequence[tuple[str, str]], corner: Corner = "upper left", *, size: float = SIZE
) -> None:
    """Write (word, colour) one below the other in a corner of the axes, on a ground that lines do not shine through."""
    up, left = corner.startswith("upper"), corner.endswith("left")
    for row, (word, colour) in enumerate(words):
        down = -4 - 1.3 * size * row if up else 4 + 1.3 * size * (len(words) - 1 - row)
        axes.annotate(
            word, (0 if left else 1, 1 if up else 0), (5 if left else -5, down), xycoords="axes fraction",
            textcoords="offset points", color=colour, fontsize=size, ha="left" if left else "right",
            va="top" if up else "bottom", path_effects=_halo(axes),
        )  # fmt: skip


def label_line(
    axes: "Axes", curve: Any, word: str, colour: str, *, height: float, side: Literal["left", "right"] = "right",
    up: float = 0.0, size: float = SIZE,
) -> None:  # fmt: skip
    """Write a word beside a curve where its value is nearest to ``height``, ``up`` points higher."""
    line = points(curve)
    line = line[np.isfinite(line).all(1)]
    if len(line):
        place = line[int(np.abs(line[:, 1] - height).argmin())]
        axes.annotate(
            word, tuple(place), (5 if side == "right" else -5, up), textcoords="offset points", color=colour,
            fontsize=size, ha="left" if side == "right" else "right", va="center", path_effects=_halo(axes),
        )  # fmt: skip


def _halo(axes: "Axes") -> list[Any]:
    """An edge in the ground's colour, so that a word stays readable over a line."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=axes.get_facecolor())]
