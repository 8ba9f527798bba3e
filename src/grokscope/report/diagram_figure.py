"""Still figures of a sweep by matplotlib: the map of labels for a README, and for a page without scripts."""

import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from grokscope.errors import BadInput
from grokscope.report import diagram_words as words
from grokscope.report import look
from grokscope.report.diagram_data import Findings, Spot, axis_data, short, written
from grokscope.report.figures import INK, LIGHT, style
from grokscope.sweeps.folder import SweepFolder
from grokscope.sweeps.results import DIVERGED, FAILED

LEFT_OUT = 0.32
"""Strength of the colour of a cell whose label is taken from its neighbours."""
COLOUR_WORDS = {"grokking": "green", "comprehension": "teal", "memorization": "amber", "confusion": "grey"}


def png_of_diagram(folder: SweepFolder, path: Path, dpi: int = 160) -> Path:
    """The map of labels as a PNG, the sentence above it.

    Args:
        folder: the sweep, finished or not.
        path: of the PNG; its folders are made where they are missing.
        dpi: dots per inch; the figure is 8 inches wide.

    Raises:
        BadInput: nothing has ended yet, or the file cannot be written.
    """
    return _save(folder, Path(path), dpi)


def svg_of_diagram(folder: SweepFolder, path: Path) -> Path:
    """The map of labels as an SVG with its own background, the sentence above it.

    Raises:
        BadInput: nothing has ended yet, or the file cannot be written.
    """
    return _save(folder, Path(path), None)


def still(found: Findings) -> str:
    """The map as inline SVG for the page, in the reader's text colour and on no background."""
    with style(found.name):
        figure = _figure(found, INK, heading=False)
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S).replace(INK, "currentColor")
    svg = re.sub(r'<svg([^>]*?) width="[^"]+"', r'<svg\1 width="100%"', svg, count=1)
    svg = re.sub(r'<svg([^>]*?) height="[^"]+"', r"<svg\1", svg, count=1)
    svg = re.sub(r'(xmlns:xlink|xmlns)="[^"]*" ?', "", svg).replace("xlink:href", "href")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(words.sentence(found))}"', 1)


def _save(folder: SweepFolder, path: Path, dpi: int | None) -> Path:
    found = Findings(folder)
    if not found.cells:
        raise BadInput(f"no member of sweep {found.name} has ended yet, so there is nothing to draw.")
    with style(found.name):
        figure = _figure(found, LIGHT["ink"], heading=True)
        figure.set_facecolor(LIGHT["paper"])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if dpi is None:
                figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
            else:
                figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})
        except OSError as error:
            raise BadInput(f"cannot write {str(path)!r} ({error.strerror}); choose another file.") from None
    return path


def _figure(found: Findings, ink: str, heading: bool) -> Figure:
    grid = _slice(found)
    rows, columns = len(grid), len(grid[0])
    inch, tall = _inch(columns), _tall(rows, columns)
    above, below = (0.75 if heading else 0.12), 0.85
    figure = Figure(figsize=(8.0, tall + above + below))
    FigureCanvasAgg(figure)
    height = tall + above + below
    axes = figure.add_axes((1.25 / 8.0, below / height, columns * inch / 8.0, tall / height))
    axes.set_facecolor("none")
    figure.patch.set_alpha(1.0 if heading else 0.0)
    if heading:
        figure.text(
            *(0.02, 1 - 0.12 / height, words.sentence(found)),
            fontsize=10.5,
            fontweight="bold",
            wrap=True,
            ha="left",
            va="top",
            color=ink,
            parse_math=False,
        )
    _cells(axes, grid, ink)
    _ticks(axes, found, rows, columns, ink)
    figure.text(1.25 / 8.0, 0.1 / height, _key(found, grid), fontsize=8, color=ink, alpha=0.75, parse_math=False)
    return figure


def _slice(found: Findings) -> list[list[Spot]]:
    """The cells of the first two axes, at the opening cell's place on the others; one row for a single axis."""
    at = found.opening()
    spots = {spot.cell: spot for spot in found.spots}
    if len(at) == 1:
        return [[spots[(i,)] for i in range(len(found.sweep.axes[0]))]]
    down, across = (range(len(axis)) for axis in found.sweep.axes[:2])
    return [[spots[(i, j, *at[2:])] for j in across] for i in down]


def _cells(axes: Axes, grid: list[list[Spot]], ink: str) -> None:
    rows, columns = len(grid), len(grid[0])
    colours = np.zeros((rows, columns, 4))
    marks: dict[str, list[tuple[int, int]]] = {}
    for r, line in enumerate(grid):
        for c, spot in enumerate(line):
            if spot.label in look.LABELS:
                strength = 1.0 if spot.state == "measured" else LEFT_OUT
                colours[r, c] = (*to_rgb(look.LABELS[spot.label].light), strength)
            for mark in _marks(spot):
                marks.setdefault(mark, []).append((c, r))
    axes.imshow(colours, origin="lower", aspect="auto", interpolation="nearest")
    if max(rows, columns) <= 20:
        axes.vlines(np.arange(-0.5, columns), -0.5, rows - 0.5, color=LIGHT["paper"], lw=0.8)
        axes.hlines(np.arange(-0.5, rows), -0.5, columns - 0.5, color=LIGHT["paper"], lw=0.8)
    hatches = {
        "censored": ("///", ink, 0.22),
        "left out": (".", ink, 0.45),
        "diverged": ("////", look.ANOMALY.light, 1.0),
    }
    for mark, (hatch, colour, strength) in hatches.items():
        if places := marks.get(mark):
            path = Outline.make_compound_path(*(_square(c, r) for c, r in places))
            axes.add_patch(
                PathPatch(path, facecolor="none", edgecolor=colour, alpha=strength, hatch=hatch, lw=0, clip_on=True)
            )
    size = min(4.5, 90.0 / max(rows, columns))
    for c, r in marks.get("failed", []):
        axes.plot(c, r, "x", color=look.ANOMALY.light, ms=size + 2, mew=2, zorder=4)
    for c, r in marks.get("disagree", []):
        axes.plot(c + 0.34, r - 0.32, "o", color="white", mec=ink, ms=size, mew=0.8, zorder=4)
    _borders(axes, grid, ink)
    _names(axes, grid)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(-0.5, rows - 0.5)


def _marks(spot: Spot) -> Iterable[str]:
    if spot.state == "left out":
        yield "left out"
    if spot.found is None:
        return
    if spot.label == DIVERGED:
        yield "diverged"
    elif spot.label != FAILED and 2 * spot.found.censored > spot.found.n - spot.found.failed:
        yield "censored"
    if spot.found.failed:
        yield "failed"
    elif spot.found.disagreement:
        yield "disagree"


def _square(c: int, r: int) -> Outline:
    corners = [(c - 0.5, r - 0.5), (c + 0.5, r - 0.5), (c + 0.5, r + 0.5), (c - 0.5, r + 0.5), (c - 0.5, r - 0.5)]
    return Outline(np.array(corners), closed=True)


def _borders(axes: Axes, grid: list[list[Spot]], ink: str) -> None:
    """Lines between cells of different labels; dotted where one of the two was not measured."""
    for r, line in enumerate(grid):
        for c, spot in enumerate(line):
            beside = [(grid[r][c + 1], [c + 0.5] * 2, [r - 0.5, r + 0.5])] if c + 1 < len(line) else []
            above = [(grid[r + 1][c], [c - 0.5, c + 0.5], [r + 0.5] * 2)] if r + 1 < len(grid) else []
            for other, x, y in beside + above:
                if spot.label and other.label and spot.label != other.label:
                    firm = spot.state == other.state == "measured"
                    axes.plot(x, y, color=ink, lw=1.5 if firm else 1.0, ls="-" if firm else ":", zorder=3)


def _rooms(grid: list[list[Spot]]) -> dict[str, tuple[float, float, int, bool]]:
    """The largest rectangle of each label that has room for its name: its middle, its cells, whether some are pale."""
    rows, columns = len(grid), len(grid[0])
    inch, tall = _inch(columns), _tall(rows, columns) / rows
    room: dict[str, tuple[float, float, int, bool]] = {}
    heights = [0] * columns
    for r, line in enumerate(grid):
        for c, spot in enumerate(line):
            heights[c] = heights[c] + 1 if r and grid[r - 1][c].label == spot.label else 1
            name, high = spot.label, heights[c]
            for start in range(c, -1, -1):
                if name not in look.LABELS or line[start].label != name:
                    break
                high, wide = min(high, heights[start]), c - start + 1
                fits = wide * inch > 0.085 * len(name) + 0.1 and high * tall > 0.2
                if fits and wide * high > room.get(name, (0.0, 0.0, 0, False))[2]:
                    inside = (s for part in grid[r - high + 1 : r + 1] for s in part[start : c + 1])
                    pale = any(s.state != "measured" for s in inside)
                    room[name] = ((start + c) / 2, r - (high - 1) / 2, wide * high, pale)
    return room


def _names(axes: Axes, grid: list[list[Spot]]) -> None:
    """Each label once, where there is room for it."""
    for name, (x, y, _, pale) in _rooms(grid).items():
        colour = LIGHT["ink"] if pale else look.INK_ON.get(name, "white")
        text = axes.text(x, y, name, ha="center", va="center", color=colour, fontsize=9, weight="bold", zorder=5)
        if pale:
            text.set_bbox({"facecolor": LIGHT["paper"], "alpha": 0.85, "edgecolor": "none", "pad": 1.5})


def _inch(columns: int) -> float:
    """Width of a cell."""
    return min(1.25, 6.5 / columns)


def _tall(rows: int, columns: int) -> float:
    """Height of the map, in inches."""
    return min(max(rows * min(_inch(columns) * 0.7, 5.0 / rows), 0.5), 6.0)


def _ticks(axes: Axes, found: Findings, rows: int, columns: int, ink: str) -> None:
    drawn = [axis_data(axis) for axis in found.sweep.axes]
    across = drawn[0] if len(drawn) == 1 else drawn[1]
    every = max(1, -(-columns // 9))
    axes.set_xticks(range(0, columns, every), [name[:14] for name in across["names"][::every]], parse_math=False)
    axes.set_xlabel(across["name"] + (" (log)" if across["scale"] == "log" else ""), color=ink, parse_math=False)
    if len(drawn) == 1:
        axes.set_yticks([])
    else:
        every = max(1, -(-rows // 12))
        axes.set_yticks(range(0, rows, every), [name[:14] for name in drawn[0]["names"][::every]], parse_math=False)
        axes.set_ylabel(
            drawn[0]["name"] + (" (log)" if drawn[0]["scale"] == "log" else ""), color=ink, parse_math=False
        )
    axes.tick_params(colors=ink, labelsize=8.5, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _key(found: Findings, grid: list[list[Spot]]) -> str:
    """The marks in words, those that occur."""
    seen = {mark for line in grid for spot in line for mark in _marks(spot)}
    told = {
        "censored": "hatched: not generalised by the end",
        "left out": "pale, dotted: label taken from its neighbours",
        "disagree": "ring: members disagree",
        "diverged": "red hatch: diverged",
        "failed": "cross: failed members",
    }
    rest = zip(found.sweep.axes[2:], found.opening()[2:], strict=True)
    at = [f"{short(axis.field)} {written(axis.values[i])}" for axis, i in rest]
    here, direct = {spot.label for line in grid for spot in line}, _rooms(grid)
    parts = [f"{COLOUR_WORDS[name]}: {name}" for name in look.LABELS if name in here and name not in direct]
    parts += [text for mark, text in told.items() if mark in seen]
    return "; ".join(([f"at {', '.join(at)}"] if at else []) + parts)
