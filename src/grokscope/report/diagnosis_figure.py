"""A diagnosis as a picture: curves on the log's own steps, the phase ribbon, and the forecast's bracket."""

import io
import re
from warnings import catch_warnings, simplefilter

import numpy as np
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from grokscope.diagnosis import Diagnosis
from grokscope.report import look
from grokscope.report.curves import FLOOR, axis_offset
from grokscope.report.figures import INK, frame, place, power, ribbon, style, tint

FARTHEST = 100.0
"""Multiples of the last step up to which the axis shows a forecast."""
SOFT = look.PAGE["faint"].light
WIDE, NARROW = 9.4, 4.6
"""Inches; the narrow one is for telephones, so that its words can be read there."""
DIGIT = 6.0
"""Points that a digit takes."""


def svg_of_diagnosis(found: Diagnosis, width: float = WIDE) -> str:
    """Inline SVG for a page; empty where there is no loss and no accuracy."""
    with style(f"diagnosis {width}"):
        figure = _figure(found, width)
        if figure is None:
            return ""
        return inline(figure, str(found.advice))


def inline(figure: Figure, says: str) -> str:
    """A figure as an element of a page, in the page's own text colour; ``says`` is what it is read out as."""
    out = io.StringIO()
    with catch_warnings():
        simplefilter("ignore", UserWarning)  # a glyph that our fonts lack, and the browser's may have
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S).replace(INK, "currentColor")
    svg = re.sub(r'<svg([^>]*?) width="[^"]+"', r'<svg\1 width="100%"', svg, count=1)
    svg = re.sub(r'<svg([^>]*?) height="[^"]+"', r"<svg\1", svg, count=1)
    svg = re.sub(r'(xmlns:xlink|xmlns)="[^"]*" ?', "", svg).replace("xlink:href", "href")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(says)}"', 1)


def _figure(found: Diagnosis, width: float = WIDE) -> Figure | None:
    have = set(found.trace.keys())
    rows = [kind for kind in ("loss", "accuracy") if have & {f"train/{kind}", f"test/{kind}"}]
    if not rows or found.phases.events.last_step < 0:
        return None
    figure = Figure(figsize=(width, 1.0 + 2.1 * len(rows)), facecolor="none")
    every = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.75 / width, right=1 - 0.14 / width, top=0.87, hspace=0.14)
    figure.subplots_adjust(bottom=0.13 if len(rows) > 1 else 0.2)
    offset, last = axis_offset([found.phases]), found.phases.events.last_step
    ahead = found.forecast
    end = last
    if (
        ahead is not None
        and ahead.t_median is not None
        and found.advice.verdict in ("keep training", "cannot tell yet")
    ):
        end = round(min(max(ahead.t_high or ahead.t_median, last), FARTHEST * max(last, 1)))
    for axes, kind in zip(every, rows, strict=True):
        frame(axes, INK, offset, end)
        thin(axes)
        tint(axes, found.phases, offset)
        _curves(axes, found, kind, offset)
        axes.tick_params(labelbottom=axes is every[-1])
        for anomaly in found.phases.anomalies:
            a, b = place(np.array([anomaly.start, max(anomaly.end, anomaly.start + 1)]), offset)
            axes.axvspan(a, b, facecolor="none", edgecolor=look.ANOMALY.light, hatch="////", lw=0, alpha=0.5)
    ribbon(every[0], found.phases, offset, figure)
    if end > last and ahead is not None:
        _bracket(every[-1], found, offset, last, end)
    every[-1].set_xlabel(f"{'optimizer step' if found.setting.unit == 'step' else 'epoch'}", color=INK, alpha=0.7)
    return figure


def thin(axes: Axes) -> None:
    """Leave out each tick of the steps whose number would touch the one before."""
    low, high = axes.get_xlim()
    scale = axes.bbox.width * 72 / axes.figure.dpi / (high - low)  # points
    kept: list[float] = []
    edge = -np.inf
    for x in axes.xaxis.get_major_locator()():
        half = 0.5 * DIGIT * len(axes.xaxis.get_major_formatter()(x))
        if (x - low) * scale - half > edge + DIGIT:
            kept.append(float(x))
            edge = (x - low) * scale + half
    axes.xaxis.set_major_locator(FixedLocator(kept))


def _curves(axes: Axes, found: Diagnosis, kind: str, offset: int) -> None:
    log = kind == "loss"
    axes.set_ylabel("loss" if log else "accuracy", color=INK, alpha=0.7)
    named = []
    for split, alpha in (("train", 0.45), ("test", 1.0)):
        steps, values = found.trace.series(f"{split}/{kind}", found.phases.member)
        known = np.isfinite(values) & (values > 0 if log else True)
        if known.any():
            x, y = place(steps[known], offset), np.maximum(values[known], FLOOR) if log else values[known]
            axes.plot(x, y, color=INK, alpha=alpha, lw=2 if split == "test" else 1.5, marker="." if len(x) < 12 else "")
            named.append(("train" if split == "train" else "held out", x[-1], y[-1], 0.6 if split == "train" else 1.0))
    if log and named:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: power(y)))
        axes.yaxis.set_minor_locator(NullLocator())
    elif not log:
        axes.set_ylim(-0.04, 1.08)
        axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
        if found.setting.chance:
            axes.axhline(found.setting.chance, color=INK, alpha=0.35, lw=0.8, ls=":")
    low = axes.transData.inverted
    heights = [axes.transData.transform((0, y))[1] for _, _, y, _ in named]
    near = len(heights) > 1 and abs(heights[0] - heights[1]) < 14
    for i, (name, x, y, alpha) in enumerate(named):
        above = (not near and y <= 0.9) or (near and heights[i] == max(heights) and i == int(np.argmax(heights)))
        right = low().transform((axes.bbox.x1, 0))[0] - x < 0.1 * np.diff(axes.get_xlim())[0]
        axes.annotate(
            name,
            (x, y),
            (-4 if right else 4, 4 if above else -4),
            textcoords="offset points",
            ha="right" if right else "left",
            va="bottom" if above else "top",
            color=INK,
            alpha=alpha,
        )


def _bracket(axes: Axes, found: Diagnosis, offset: int, last: int, end: int) -> None:
    """The interval of t_test in grey, its median as a tick."""
    ahead = found.forecast
    if ahead is None or ahead.t_median is None or ahead.t_low is None:
        return
    a, m, b = (float(place(min(max(t, last), end), offset)) for t in (ahead.t_low, ahead.t_median, ahead.t_high or end))
    y = 0.5 if axes.get_yscale() == "linear" else float(np.sqrt(np.prod(axes.get_ylim())))
    axes.plot([a, b], [y, y], color=SOFT, lw=1.4)
    axes.plot([a, m, b], [y, y, y], color=SOFT, lw=0, marker="|", markersize=9, markeredgewidth=1.4)
    said = (f"{ahead.p_generalise:.0%} by {look.step(ahead.horizon)};", f"expected near {look.step(ahead.t_median)}")
    if axes.bbox.width / axes.figure.dpi < NARROW:
        axes.annotate("\n".join(said), (b, y), (0, 7), textcoords="offset points", ha="right", color=SOFT, fontsize=9)
    else:
        where = ((a + b) / 2, y)
        axes.annotate(" ".join(said), where, (0, 7), textcoords="offset points", ha="center", color=SOFT, fontsize=9)
    axes.axvline(float(place(last, offset)), color=INK, alpha=0.3, lw=0.8)


def png_of_diagnosis(found: Diagnosis, path: str, dpi: int = 160) -> None:
    """The same picture as a file, on white."""
    with style("diagnosis"):
        figure = _figure(found)
        if figure is not None:
            figure.set_facecolor("white")
            FigureCanvasAgg(figure).print_figure(path, dpi=dpi, format="png")
