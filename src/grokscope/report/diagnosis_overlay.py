"""Several diagnoses in one picture: held-out curves on one step axis, both events marked, each line named."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from grokscope.diagnosis import Diagnosis
from grokscope.report import look
from grokscope.report.curves import FLOOR, axis_offset
from grokscope.report.diagnosis_figure import NARROW, WIDE, inline, thin
from grokscope.report.figures import INK, frame, place, power, style
from grokscope.trace import Floats, Steps

MOST_NAMED = 12
"""Runs up to which each line has its name beside it; of more, the table above the page's parts has the names."""
ROOM = {WIDE: (1.85, 22), NARROW: (1.2, 13)}
"""Inches beside the axes of a figure of that width, and the characters of a name that fit there."""
LINE = 15.0
"""Points from one name to the next."""
LEADER = {"relpos": (0, 0.5), "shrinkA": 3, "shrinkB": 0}
"""From the middle of a name's left side to the edge of the axes."""


@dataclass(frozen=True)
class Line:
    """One run's held-out curve."""

    name: str
    tone: str
    """The custom property that colours it: the verdict's."""
    found: Diagnosis
    steps: Steps
    values: Floats


@dataclass(frozen=True)
class Overlay:
    """The picture and what it leaves out."""

    svg: str
    narrow: str
    """The same for telephones."""
    kind: str
    """accuracy or loss."""
    unit: str
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]
    """Runs that have no such curve, or count something else."""

    @property
    def named(self) -> bool:
        """Does each line have its name beside it?"""
        return len(self.lines) <= MOST_NAMED


def overlay(runs: Sequence[tuple[str, str, Diagnosis]]) -> Overlay | None:
    """Held-out accuracy of some (name, tone, diagnosis), or loss where more runs have it; None for less than two lines.

    Of runs that count steps and runs that count epochs the more numerous are drawn.
    """
    sets = {
        (kind, unit): [line for run in runs if (line := _line(*run, kind, unit)) is not None]
        for unit in ("step", "epoch")
        for kind in ("accuracy", "loss")
    }
    (kind, unit), lines = max(sets.items(), key=lambda pair: len(pair[1]))  # of two alike, the first
    if len(lines) < 2:
        return None
    drawn = {id(line.found) for line in lines}
    left_out = tuple(name for name, _, found in runs if id(found) not in drawn)
    drawings = []
    for width in (WIDE, NARROW):
        with style(f"overlay {width}"):
            says = f"Held-out {kind} of {len(lines)} runs: {sentence(lines)}"
            drawings.append(_toned(inline(_figure(lines, kind, unit, width), says), lines))
    return Overlay(drawings[0], drawings[1], kind, unit, tuple(lines), left_out)


def sentence(runs: Sequence[Line]) -> str:
    """How many generalised, and when."""
    steps = sorted(line.found.phases.events.t_test for line in runs if line.found.phases.events.t_test is not None)
    n, unit = look.count(len(runs)), runs[0].found.setting.unit
    if not steps:
        return f"none of {n} runs has generalised."
    some = f"all {n} runs" if len(steps) == len(runs) else f"{look.count(len(steps))} of {n} runs"
    if steps[0] == steps[-1]:
        return f"{some} generalised, at {unit} {look.step(steps[0])}."
    return f"{some} generalised, between {unit} {look.step(steps[0])} and {look.step(steps[-1])}."


def short(names: Sequence[str], longest: int = ROOM[WIDE][1]) -> list[str]:
    """Names without the folders and words that all of them begin with, cut to what fits beside a line.

    >>> short(["runs/wd 0.1", "runs/wd 1"])
    ['0.1', '1']
    """
    parts = [re.findall(r"[^ /]*[ /]*", name)[:-1] for name in names]
    shared = 0
    while all(len(own) > shared + 1 for own in parts) and len({own[shared] for own in parts}) == 1:
        shared += 1
    own = ["".join(words[shared:]) for words in parts]
    half = longest // 2
    return [name if len(name) <= longest else f"{name[: longest - half - 1]}…{name[-half:]}" for name in own]


def _line(name: str, tone: str, found: Diagnosis, kind: str, unit: str) -> Line | None:
    steps, values = found.trace.series(f"test/{kind}", found.phases.member)
    known = np.isfinite(values) & (values > 0 if kind == "loss" else True)
    if not known.any() or found.setting.unit != unit:
        return None
    return Line(name, tone, found, steps[known], np.maximum(values[known], FLOOR) if kind == "loss" else values[known])


def _figure(lines: Sequence[Line], kind: str, unit: str, width: float) -> Figure:
    named = len(lines) <= MOST_NAMED
    room, longest = ROOM[width]
    tall = max(3.4, 1.1 + LINE / 72 * len(lines) if named else 3.4)
    figure = Figure(figsize=(width, tall), facecolor="none")
    axes = figure.subplots()
    side = room if named else 0.14
    figure.subplots_adjust(left=0.75 / width, right=1 - side / width, top=0.96, bottom=0.5 / tall)
    offset = axis_offset([line.found.phases for line in lines])
    frame(axes, INK, offset, max(int(line.steps[-1]) for line in lines))
    thin(axes)
    axes.set_xlabel("optimizer step" if unit == "step" else "epoch", color=INK, alpha=0.7)
    axes.set_ylabel(f"held-out {kind}", color=INK, alpha=0.7)
    if kind == "loss":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: power(y)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(-0.04, 1.08)
        axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    for i, line in enumerate(lines):
        x = place(line.steps, offset)
        dots = "." if len(x) < 12 else ""
        axes.plot(x, line.values, color=_mark(i), lw=1.8, alpha=1 if named else 0.6, marker=dots)
        for step, full in ((line.found.phases.events.t_train, False), (line.found.phases.events.t_test, True)):
            if step is not None:
                at = float(place(step, offset))
                y = float(np.interp(at, x, line.values))
                face = _mark(i) if full else PAPER
                axes.plot([at], [y], "o", ms=7, mec=_mark(i), mfc=face, mew=1.6, clip_on=False, zorder=3)
    if named:
        _names(axes, lines, short([line.name for line in lines], longest), offset)
    return figure


def _names(axes: Axes, lines: Sequence[Line], names: Sequence[str], offset: int) -> None:
    """Each name to the right of the axes, as near to its line's end as the others let it, with a thin line to it."""
    points = 72 / axes.figure.dpi
    ends = [
        (float(place(line.steps[-1], offset)), float(line.values[-1]), line.found.phases.events.t_test or np.inf, i)
        for i, line in enumerate(lines)
    ]
    heights = {i: float(axes.transData.transform((x, y))[1]) * points for x, y, _, i in ends}
    order = sorted(ends, key=lambda end: (-round(heights[end[3]]), end[2]))
    top, bottom = axes.bbox.y1 * points, axes.bbox.y0 * points
    spread = _apart([heights[i] for *_, i in order], bottom, top)
    right = axes.bbox.x1 * points
    edge = axes.get_xlim()[1]
    for (x, y, _, i), height in zip(order, spread, strict=True):
        axes.plot([x, edge], [y, y], color=_mark(i), alpha=0.45, lw=0.8)
        axes.annotate(
            names[i],
            (edge, y),
            (right + 18, height),
            xycoords="data",
            textcoords="figure points",
            annotation_clip=False,
            va="center",
            color=_mark(i),
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": _mark(i), "alpha": 0.45, "lw": 0.8, **LEADER},
        )


def _apart(heights: Sequence[float], low: float, high: float) -> list[float]:
    """Falling heights moved apart to LINE and kept between ``low`` and ``high`` where that fits."""
    found: list[float] = []
    for height in heights:
        found.append(min(height, found[-1] - LINE if found else high))
    if found and found[-1] < low:
        floor = low
        for i in range(len(found) - 1, -1, -1):
            found[i] = max(found[i], floor)
            floor = found[i] + LINE
    return found


PAPER = "#fedcba"
"""Stands for the page's own background."""


def _mark(i: int) -> str:
    """A colour that stands for that of line ``i``."""
    return f"#0e{i:04x}"


def _toned(svg: str, lines: Sequence[Line]) -> str:
    """The stand-ins as custom properties of the page, so that the picture follows its theme."""
    svg = svg.replace(PAPER, "var(--paper)")
    return re.sub(r"#0e([0-9a-f]{4})", lambda found: f"var(--{lines[int(found[1], 16)].tone})", svg)
