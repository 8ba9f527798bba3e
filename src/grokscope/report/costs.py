"""Figures of what things cost: time and memory of a step against one size at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from grokscope.report.figures import LIGHT, style
from grokscope.report.look import number
from grokscope.trace import Floats


def png_of_scaling(result: Mapping[str, Any], path: Path, dpi: int = 160) -> Path:
    """One panel per axis of ``grokscope bench scaling``: milliseconds with their spread and the fitted line, memory.

    Args:
        result: as the command prints it.
        path: of the PNG; its folders are made where they are missing.
        dpi: dots per inch; the figure is 11 inches wide.
    """
    axes = result["axes"]
    with style("scaling"):
        figure = Figure(figsize=(11.0, 3.9))
        FigureCanvasAgg(figure)
        figure.set_facecolor(LIGHT["paper"])
        figure.subplots_adjust(left=0.055, right=0.95, top=0.68, bottom=0.15, wspace=0.38)
        figure.suptitle(
            "What a step costs, against one size at a time",
            x=0.055,
            y=0.97,
            ha="left",
            va="top",
            fontsize=13,
            fontweight="bold",
            color=LIGHT["ink"],
        )
        for place, (panel, axis) in enumerate(zip(figure.subplots(1, len(axes)), axes, strict=True)):
            _panel(panel, axis, first=place == 0, last=place == len(axes) - 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi, metadata={"Software": None})
    return path


def _panel(panel: Axes, axis: Mapping[str, Any], first: bool, last: bool) -> None:
    x, ms = np.array(axis["values"], dtype=float), np.array(axis["ms_per_step"])
    panel.set_xscale("log")
    panel.set_yscale("log")
    spread = np.array([ms - np.array(axis["low"]), np.array(axis["high"]) - ms])
    panel.errorbar(x, ms, spread, fmt="o", ms=4.5, color=LIGHT["test"], ecolor=LIGHT["faint"], lw=1, zorder=3)
    if axis["exponent"] is not None:
        tail = slice(-axis["fitted"], None)
        middle = np.exp(np.log(ms[tail]).mean()) * (x[tail] / np.exp(np.log(x[tail]).mean())) ** axis["exponent"]
        panel.plot(x[tail], middle, color=LIGHT["accent"], lw=2.2, zorder=2, alpha=0.8)
    memory = panel.twinx()
    memory.set_yscale("log")
    mebibytes = np.array(axis["bytes"]) / 2**20
    memory.plot(x, mebibytes, color=LIGHT["excluded"], lw=1.2, ls=(0, (1, 1.5)))
    _sparse(memory, mebibytes, LIGHT["excluded"])
    if last:
        memory.set_ylabel("predicted MiB, dotted", fontsize=9, color=LIGHT["excluded"])
    panel.set_title(_heading(axis), loc="left", fontsize=9.5, color=LIGHT["ink"], linespacing=1.5)
    panel.set_xlabel(axis["unit"], fontsize=9, color=LIGHT["soft"])
    panel.xaxis.set_major_locator(FixedLocator(list(x if len(x) < 4 else x[:: max(1, len(x) // 3)])))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    panel.tick_params(colors=LIGHT["soft"], labelsize=8, length=2)
    _sparse(panel, ms, LIGHT["soft"])
    if first:
        panel.set_ylabel("milliseconds a step", fontsize=9, color=LIGHT["soft"])
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
        memory.spines[side].set_visible(False)
    memory.spines["bottom"].set_visible(False)
    panel.spines["bottom"].set_color(LIGHT["rule"])
    panel.grid(axis="y", color=LIGHT["rule"], lw=0.6)
    panel.set_axisbelow(True)
    panel.set_facecolor(LIGHT["paper"])


def _sparse(panel: Axes, values: Floats, colour: str) -> None:
    """Few labels on a log axis: powers of ten where there are two, else the ends of the data."""
    low, high = float(values.min()), float(values.max())
    panel.set_ylim(low / (high / low) ** 0.1 / 1.1, high * (high / low) ** 0.1 * 1.1)
    tens = [10.0**k for k in range(-6, 7) if low <= 10.0**k <= high]
    panel.yaxis.set_major_locator(FixedLocator(tens if len(tens) > 1 else sorted({low, high})))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v)))
    panel.tick_params(axis="y", colors=colour, labelsize=8, length=0)


def _heading(axis: Mapping[str, Any]) -> str:
    error = "" if axis["exponent_error"] is None else f" ± {axis['exponent_error']:.2f}"
    fitted = "" if axis["exponent"] is None else f"time, exponent {axis['exponent']:.2f}{error}"
    memory = "" if axis["bytes_exponent"] is None else f"memory, exponent {axis['bytes_exponent']:.2f}"
    return f"{axis['name']}\n{fitted}\n{memory}".replace("-", "−")
