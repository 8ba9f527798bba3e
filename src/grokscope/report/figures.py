"""Still figures by matplotlib: a small SVG for notebooks, a PNG for papers and READMEs.

Drawn on their own canvas: neither pyplot's state nor the reader's rcParams are touched.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import escape
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import blended_transform_factory

from grokscope.errors import BadInput
from grokscope.phases import Phases
from grokscope.record import Record
from grokscope.report import look, panels, story
from grokscope.report.curves import FLOOR, axis_offset, finite, median, representative, settled
from grokscope.trace import Floats

INK = "#010203"
"""Stands for the reader's own text colour; becomes ``currentColor`` in an SVG."""
Named = tuple[str, Floats, Floats, str, float]
"""A line as it is named: words, x, y, colour, opacity."""
LIGHT = {name: colour.light for name, colour in look.PAGE.items()}


def svg_of_run(record: Record, heading: bool = True) -> str:
    """Loss and accuracy with the ribbon as inline HTML for a notebook, on no background of its own.

    Args:
        record: the run, finished or not.
        heading: put the sentence above.
    """
    title = f'<p style="margin:0 0 4px;font-weight:600">{escape(record.sentence())}</p>' if heading else ""
    if panels.picture(record) is None:
        return f'<div class="grokscope-run">{title}</div>'
    with style(record.name):
        figure = _figure(record, (9.0, 4.4), dark_ink=INK, restricted=False)
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S).replace(INK, "currentColor")
    svg = re.sub(r'<svg([^>]*?) width="[^"]+"', r'<svg\1 width="100%"', svg, count=1)
    svg = re.sub(r'<svg([^>]*?) height="[^"]+"', r'<svg\1 style="max-width:860px"', svg, count=1)
    svg = re.sub(r'(xmlns:xlink|xmlns)="[^"]*" ?', "", svg).replace("xlink:href", "href")  # inline, so HTML's own names
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(record.sentence())}"', 1)
    return f'<div class="grokscope-run">{title}{svg}</div>'


def png_of_run(record: Record, path: Path, dpi: int = 160) -> Path:
    """A figure for a README: accuracy of all members with the delay, and losses with the restricted loss.

    Args:
        record: the run.
        path: of the PNG; its folders are made where they are missing.
        dpi: dots per inch; the figure is 10 inches wide.

    Raises:
        BadInput: nothing was seen yet, or the file cannot be written.
    """
    path = Path(path)
    if panels.picture(record) is None:
        raise BadInput(f"run {record.name} holds no loss yet, so there is nothing to draw.")
    with style(record.name):
        figure = _figure(record, (10.0, 5.8), dark_ink=LIGHT["ink"], restricted=True)
        figure.set_facecolor(LIGHT["paper"])
        figure.suptitle(
            record.sentence(),
            x=0.075,
            y=0.975,
            ha="left",
            va="top",
            fontsize=13,
            fontweight="bold",
            color=LIGHT["ink"],
            parse_math=False,
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            FigureCanvasAgg(figure).print_figure(str(path), dpi=dpi, format="png")
        except OSError as error:
            raise BadInput(f"cannot write the figure {str(path)!r} ({error.strerror}); choose another file.") from None
    return path


def _figure(record: Record, size: tuple[float, float], dark_ink: str, restricted: bool) -> Figure:
    figure = Figure(figsize=size, facecolor="none")
    top = 0.84 if restricted else 0.88
    grid = figure.add_gridspec(
        2,
        1,
        height_ratios=(1, 1.15) if restricted else (1.9, 1),
        hspace=0.12,
        left=0.075,
        right=0.985,
        top=top,
        bottom=0.11,
    )
    first, second = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    accuracy, loss = (first, second) if restricted else (second, first)
    offset, last = axis_offset(record.phases), max(p.events.last_step for p in record.phases)
    shown = representative(record.phases, record.ended)
    for axes in (first, second):
        frame(axes, dark_ink, offset, last)
        tint(axes, shown, offset)
    first.tick_params(labelbottom=False)
    second.set_xlabel("optimizer step", color=dark_ink, alpha=0.7)
    ribbon(first, shown, offset, figure)
    _losses(loss, record, shown, offset, dark_ink, restricted)
    _accuracies(accuracy, record, offset, dark_ink)
    return figure


def _losses(axes: Axes, record: Record, shown: Phases | None, offset: int, ink: str, restricted: bool) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: power(y)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("loss (nats)", color=ink, alpha=0.7)
    drawn: list[Named] = []
    for split, alpha in (("train", 0.45), ("test", 1.0)):
        line = _crowd(axes, record, f"{split}/loss", offset, ink, alpha, log=True)
        if line is not None:
            drawn.append((split, *line, ink, 0.6 if split == "train" else 1.0))
    if restricted and shown is not None:
        steps, values = finite(record.trace, "fourier/restricted_loss", shown.member)
        if len(steps):
            x, y = place(steps, offset), np.maximum(values, FLOOR)
            axes.plot(x, y, color=LIGHT["restricted"], lw=2)
            drawn.append(("restricted", x, y, LIGHT["restricted"], 1.0))
    chance = story.chance_loss(record)
    if chance is not None:
        axes.axhline(chance, color=ink, alpha=0.35, lw=0.8, ls=":")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.06)  # room for a name above the highest line
    for i in range(len(drawn)):
        _name(axes, drawn, i)


def _accuracies(axes: Axes, record: Record, offset: int, ink: str) -> None:
    axes.set_ylim(-0.04, 1.08)
    axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.set_ylabel("accuracy", color=ink, alpha=0.7)
    for split, alpha in (("train", 0.45), ("test", 1.0)):
        _crowd(axes, record, f"{split}/accuracy", offset, ink, alpha, log=False)
    found = panels.delay(record)
    if found:
        a, b = np.log10(found["from"] + offset), np.log10(found["to"] + offset)
        ends = [a] if found["open"] else [a, b]
        axes.vlines(ends, 0.44, 0.56, color=ink, alpha=0.75, lw=1.2)
        style = {"arrowstyle": "->" if found["open"] else "-", "color": ink, "alpha": 0.75, "lw": 1.2}
        axes.annotate("", (b, 0.5), (a, 0.5), arrowprops={**style, "shrinkA": 0, "shrinkB": 0})
        axes.text((a + b) / 2, 0.54, found["text"], color=ink, ha="center", va="bottom", fontsize=10, fontweight="bold")


def _crowd(
    axes: Axes, record: Record, key: str, offset: int, ink: str, alpha: float, log: bool
) -> tuple[Floats, Floats] | None:
    """Members faint, band, median; returns the median's line as drawn."""
    members = [p.member for p in record.phases]
    for m in members:
        steps, values = finite(record.trace, key, m)
        shown = np.maximum(values, FLOOR) if log else values
        axes.plot(place(steps, offset), shown, color=ink, alpha=alpha * (0.3 if len(members) < 12 else 0.12), lw=0.8)
    middle = median(record.trace, key, members, log, settled(record.ended))
    if middle is None:
        return None
    x, y = place(middle.steps, offset), np.maximum(middle.values, FLOOR) if log else middle.values
    if len(members) > 1:
        axes.fill_between(x, middle.low, middle.high, color=LIGHT["band"], alpha=0.13 * alpha, lw=0)
    axes.plot(x, y, color=ink, alpha=alpha, lw=2 if alpha == 1 else 1.5)
    return x, y


def _name(axes: Axes, drawn: list[Named], which: int) -> None:
    """A line's name at the place where the other lines are farthest from it and it is flattest."""
    name, x, y, colour, alpha = drawn[which]
    low, high = axes.get_xlim()
    inner = np.linspace(max(low, x[0]) + 0.08 * (high - low), min(high, x[-1]) - 0.08 * (high - low), 60)
    logs = np.interp(inner, x, np.log10(y))
    rivals = [np.interp(inner, line[1], np.log10(line[2])) for i, line in enumerate(drawn) if i != which]
    gaps = [np.abs(logs - other) for other in rivals] or [np.ones_like(logs)]
    best = int(np.argmax(np.minimum(np.min(gaps, axis=0), 1.5) - 6 * np.abs(np.gradient(logs))))
    above = all(other[best] < logs[best] for other in rivals)
    near = slice(max(best - 4, 0), best + 5)  # the name is as wide as this
    edge = logs[near].max() if above else logs[near].min()
    axes.annotate(
        name,
        (float(inner[best]), float(10**edge)),
        (0, 4 if above else -4),
        color=colour,
        alpha=alpha,
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=10,
    )


def ribbon(axes: Axes, shown: Phases | None, offset: int, figure: Figure) -> None:
    """The segments above the axes, named in words."""
    where = blended_transform_factory(axes.transData, axes.transAxes)
    canvas = FigureCanvasAgg(figure)
    width = axes.get_window_extent(canvas.get_renderer()).width
    low, high = axes.get_xlim()
    pixels = axes.get_window_extent(canvas.get_renderer()).height
    bottom, tall = 1 + 5 / pixels, 21 / pixels
    for s in shown.segments if shown else []:
        a, b = np.log10(s.start + offset), np.log10(s.end + offset)
        axes.fill_between(
            [a, b], bottom, bottom + tall, color=look.SEGMENTS[s.name].light, transform=where, clip_on=False, lw=0
        )
        text = axes.text(
            a + 7 / width * (high - low),
            bottom + tall / 2,
            s.name,
            transform=where,
            va="center_baseline",
            fontsize=9,
            fontweight="bold",
            color=look.INK_ON.get(s.name, "#ffffff"),
        )
        if text.get_window_extent(canvas.get_renderer()).width + 10 > (b - a) / (high - low) * width:
            text.set(x=(a + b) / 2, y=bottom + tall * 1.25, va="bottom", ha="center", color=look.SEGMENTS[s.name].light)


def tint(axes: Axes, shown: Phases | None, offset: int) -> None:
    """The segments behind the curves."""
    for s in shown.segments if shown else []:
        axes.axvspan(
            np.log10(s.start + offset), np.log10(s.end + offset), color=look.SEGMENTS[s.name].light, alpha=0.08, lw=0
        )


def frame(axes: Axes, ink: str, offset: int, last: int) -> None:
    """Steps from 0 to ``last`` on a shifted logarithm, without a box."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=ink, alpha=0.25)
    axes.set_xlim(np.log10(offset), np.log10(max(last, 1) + offset))
    ticks = [0] + [m * 10**e for e in range(8) for m in (1, 3) if 1.9 * offset <= m * 10**e <= last]
    axes.xaxis.set_major_locator(FixedLocator([float(np.log10(t + offset)) for t in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{round(10**x - offset):,}"))
    axes.tick_params(colors=ink, length=0, labelcolor=ink, which="both")
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_alpha(0.7)


def power(y: float) -> str:
    """A tick of a logarithmic axis."""
    exponent = round(np.log10(y))
    return f"{y:g}" if -2 <= exponent <= 3 else f"10{str(exponent).translate(look.SUPERSCRIPTS)}"


def place(steps: Any, offset: int) -> Any:
    """Where steps are on the axis."""
    return np.log10(np.asarray(steps, dtype=np.float64) + offset)


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in ("Inter", "DejaVu Sans") if name in known]


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Our fonts for the time of one figure; the reader's rcParams come back whatever happens."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": _fonts(),
                "font.size": 10,
                "svg.fonttype": "none",
                "svg.hashsalt": salt,
                "axes.unicode_minus": True,
            }
        )
        yield
