"""The figure of Liu et al. 2022."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.papers.base import Observation
from grokscope.papers.drawing import (
    ACCENT,
    FOURTH,
    SECOND,
    SOFT,
    TEST,
    THIRD,
    TRAIN,
    columns,
    label_corner,
    label_ends,
    lines,
    over_steps,
)
from grokscope.papers.liu2022effective.studies import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Figs. 1 to 7 in small: learning, prediction, critical set, half-life, phases, dimension."""
    axes = figure.subplots(2, 3).ravel()
    _draw_learning(axes[0], seen["learning"])
    _draw_prediction(axes[1], seen["learning"])
    _draw_critical(axes[2], seen["nullity"], seen["learning"])
    _draw_half_life(axes[3], seen["learning"])
    _draw_phases(axes[4], seen["phases"])
    _draw_dimension(axes[5], seen["transformer"])


def _draw_learning(ax: "Axes", seen: Sequence[Observation]) -> None:
    words = (("train", TRAIN, "train"), ("test", TEST, "held out"), ("rqi", ACCENT, "RQI"))
    for key, colour, _ in words:
        lines(ax, [columns(one["curve"]["steps"], one["curve"][key]) for one in seen if one["curve"]], colour)
    over_steps(ax, "accuracy, RQI", f"45 of 55 pairs, n = {len(seen)}", left=0)
    label_corner(ax, [(word, colour) for _, colour, word in words])


def _draw_prediction(ax: "Axes", seen: Sequence[Observation]) -> None:
    members = [m for one in seen for m in one["members"] if m["predicted"] is not None]
    accuracy = [m["accuracy"] for m in members]
    ax.plot([0, 1], [0, 1], color=SOFT, lw=0.8)
    ax.plot([m["predicted_before"] for m in members], accuracy, "o", ms=3, mfc="none", color=SECOND)
    ax.plot([m["predicted"] for m in members], accuracy, "o", ms=3, color=ACCENT)
    label_corner(ax, [("from the last embedding", ACCENT), ("○ from the first", SECOND)], "lower right")
    ax.set(xlabel="predicted accuracy", ylabel="accuracy of all pairs", title=f"{len(members)} runs")


def _draw_critical(ax: "Axes", seen: Sequence[Observation], learned: Sequence[Observation]) -> None:
    lines(ax, [columns(one["fraction"], one["unique"]) for one in seen], ACCENT)
    fractions = [m["fraction"] for m in learned[0]["members"]]
    formed = [np.mean([o["members"][i]["formed"] is not None for o in learned]) for i in range(len(fractions))]
    ax.plot(fractions, formed, "o-", color=TEST, ms=3, lw=1.2)
    ax.axvline(0.4, color=SOFT, lw=0.8, ls=":")
    label_corner(ax, [("line unique", ACCENT)])
    label_corner(ax, [("RQI > 0.95", TEST), ("after training", TEST)], "lower right")
    ax.set(xlabel="train fraction", ylabel="share of train sets", title=f"critical train set, n = {len(seen)}")


def _draw_half_life(ax: "Axes", seen: Sequence[Observation]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    members = [m for one in seen for m in one["members"] if m["half_life"] is not None]
    both = [m for m in members if m["formed"] is not None]
    never = [m for m in members if m["formed"] is None]
    ax.plot([m["half_life"] for m in both], [m["formed"] for m in both], "o", ms=3, color=ACCENT)
    top = max((one["curve"]["steps"][-1] for one in seen if one["curve"]), default=1)
    ax.plot([m["half_life"] for m in never], [top] * len(never), "^", ms=4, mfc="none", color=SOFT)
    label_corner(ax, [("△ not within the budget", SOFT)], "lower right")
    ax.set(xscale="log", yscale="log", xlabel="half-life 1 / (λ₃η) (steps)", ylabel="steps until RQI > 0.95",
           title=f"{sum(len(one['members']) for one in seen)} runs")  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())


def _draw_phases(ax: "Axes", seen: Sequence[Observation]) -> None:
    from matplotlib.colors import ListedColormap

    lrs, decays = seen[0]["lrs"], seen[0]["decays"]
    grid = np.array([PHASES.index(one) for one in seen[0]["phase"]]).reshape(len(decays), len(lrs))
    colours = ListedColormap([THIRD, FOURTH, SECOND, TRAIN])
    ax.imshow(grid, cmap=colours, vmin=-0.5, vmax=3.5, origin="lower", aspect="auto")
    if grid.size <= 30:
        for (row, column), kind in np.ndenumerate(grid):
            same = sum(one["phase"][row * len(lrs) + column] == PHASES[kind] for one in seen)
            ax.text(column, row, f"{PHASES[kind][:4]}\n{same}/{len(seen)}", ha="center", va="center", fontsize=7,
                    color="#ffffff")  # fmt: skip
        ax.set_xticks(range(len(lrs)), [f"{lr:g}" for lr in lrs], fontsize=7)
        ax.set_yticks(range(len(decays)), [f"{decay:g}" for decay in decays])
    ax.set(xlabel="decoder learning rate", ylabel="decoder weight decay", title="first seed's phases (seeds alike)")


def _draw_dimension(ax: "Axes", seen: Sequence[Observation]) -> None:
    ends = []
    for labels, colour, word in (("true", ACCENT, "true\nanswers"), ("random", SECOND, "random")):
        ends.append(
            (lines(ax, [columns(o[labels]["steps"], o[labels]["dimension"]) for o in seen], colour), word, colour)
        )
    over_steps(ax, "effective dimension", f"transformer, n = {len(seen)}", left=0)
    ax.set_ylim(0, None)
    label_ends(ax, ends)
