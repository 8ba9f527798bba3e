"""The figure of Power et al. 2022."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    label_line,
    lines,
    over_steps,
)
from grokscope.papers.power2022grokking.studies import NUMBERS, PERMUTATIONS, correlation, medians
from grokscope.tasks import groups, modular

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"decay to origin": ACCENT, "decay to start": THIRD, "dropout": FOURTH, "full batch": SECOND}
LATE = 0.3
"""Arms below this accuracy at the end that have no colour of their own are named together."""


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Curves, steps by fraction and arms by fraction; operations by fraction, and sharpness against accuracy."""
    rows: Any = figure.subfigures(2, 1, height_ratios=(2, 3))
    above, below = rows
    curves, steps, arms = above.subplots(1, 3, width_ratios=(1, 1, 1.2))
    grid, sharp = below.subplots(1, 2, width_ratios=(1.3, 1))
    _draw_curves(curves, seen["delay"])
    _draw_steps(steps, seen["fractions"])
    _draw_arms(arms, seen["optimizers"])
    _draw_operations(grid, seen["operations"])
    _draw_sharpness(sharp, seen["optimizers"])
    for axes in (curves, steps, arms, sharp):
        axes.spines[["top", "right"]].set_visible(False)


def _draw_curves(axes: Any, seen: Sequence[Observation]) -> None:
    """Accuracies of the first operation."""
    axes.set_ylim(-0.03, 1.05)
    of = [next(iter(o["runs"].values())) for o in seen]
    for name, colour, height in (("train", TRAIN, 0.7), ("test", TEST, 0.5)):
        middle = lines(axes, [one[f"{name}_curve"] for one in of], colour)
        label_line(axes, middle, name, colour, height=height, side="left")
    over_steps(axes, "accuracy", f"a / b mod {seen[0]['p']}, {100 * seen[0]['fraction']:g} % given, n = {len(seen)}")


def _draw_steps(axes: Any, seen: Sequence[Observation]) -> None:
    """Steps to 99 % by fraction; the median only where the median run gets there."""
    from matplotlib.ticker import ScalarFormatter

    axes.set(yscale="log", xlabel="training share (%)", ylabel="steps to 99 %")
    shares, ends = [100 * f for f in seen[0]["fractions"]], []
    for key, colour, word in (("t_train", TRAIN, "train"), ("t_test", TEST, "test")):
        for o in seen:
            axes.plot(*columns(shares, [run[key] for run in o["runs"]]).T, color=colour, alpha=0.4, lw=0.8)
        found = [step if math.isfinite(step) else None for step in medians(seen, key)]
        middle = columns(shares, found)
        axes.plot(*middle.T, color=colour, lw=2, marker="o", ms=3)
        ends.append((middle, word, colour))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_title(f"division, steps by data, n = {len(seen)}", fontsize=9)
    axes.set_ylim(axes.get_ylim())  # which are known only now, and tell where a label belongs
    label_ends(axes, ends)


def _draw_arms(axes: Any, seen: Sequence[Observation]) -> None:
    """Best test accuracy of each arm by fraction; those that stay low are named inside."""
    axes.set(xlabel="training share (%)", ylabel="best test accuracy", ylim=(-0.03, 1.05))
    ends, low = [], []
    for arm in dict.fromkeys(run["arm"] for o in seen for run in o["runs"]):
        curves = [[(100 * r["fraction"], r["best"]) for r in o["runs"] if r["arm"] == arm] for o in seen]
        colour = COLOURS.get(arm, TRAIN)
        middle = lines(axes, curves, colour, width=2 if arm in COLOURS else 1, marker="o", ms=3)
        if arm in COLOURS or (len(middle) and middle[-1, 1] > LATE):
            ends.append((middle, arm, COLOURS.get(arm, SOFT)))
        else:
            low.append(arm)
    if low:
        word = "\n".join(["lowest:", *low])
        axes.text(0.995, 0.42, word, transform=axes.transAxes, ha="right", va="center", color=SOFT, fontsize=6.5)
    axes.set_title(f"Adam with one change, n = {len(seen)}", fontsize=9)
    axes.set_xlim(axes.get_xlim())
    label_ends(axes, ends, size=7)


def _draw_operations(axes: Any, seen: Sequence[Observation]) -> None:
    """Median best test accuracy by operation and fraction, with the median steps to 99 % where they are reached."""
    from matplotlib.colors import LinearSegmentedColormap

    shares = seen[0]["fractions"]
    names = [o for o in (*NUMBERS, *PERMUTATIONS) if f"{o}/ordered" in seen[0]["runs"]]
    of = [[o["runs"][f"{name}/ordered"] for o in seen] for name in names]
    accuracy = np.full((len(names), len(shares)), np.nan)
    for row, runs in enumerate(of):
        for column in range(len(runs[0]["best"])):
            accuracy[row, column] = value = float(np.median([run["best"][column] for run in runs]))
            steps = sorted(math.inf if run["steps"][column] is None else run["steps"][column] for run in runs)
            middle = steps[(len(steps) - 1) // 2]
            word = f"{value:.2f}" if math.isinf(middle) else f"{value:.2f} · {middle:.0f} steps"
            axes.text(column, row, word, ha="center", va="center", fontsize=7.5, color="white" if value > 0.6 else TEST)
    blues = LinearSegmentedColormap.from_list("accuracy", ["#eef1f6", ACCENT])
    axes.imshow(accuracy, cmap=blues, vmin=0, vmax=1, aspect="auto")
    symbols = {**modular.SYMBOLS, **{name: f"{word}, S{seen[0]['degree']}" for name, word in groups.SYMBOLS.items()}}
    symbols["div-odd-sub-even"] = "a / b, b odd; a − b, b even"
    axes.set_xticks(range(len(shares)), [f"{100 * share:g}" for share in shares])
    axes.set_yticks(range(len(names)), [symbols[name] for name in names], fontsize=8)
    axes.set_xticks(np.arange(len(shares) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor", color=axes.get_facecolor(), lw=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("training share (%)")
    axes.set_title(f"best test accuracy, mod {seen[0]['p']}, median of {len(seen)}", fontsize=9)


def _draw_sharpness(axes: Any, seen: Sequence[Observation]) -> None:
    """Every run of the arms that learned its training rows."""
    from matplotlib.ticker import NullFormatter

    runs = [run for o in seen for run in o["runs"] if run["sharpness"] > 0 and (run["train"] or 0.0) >= 0.99]
    for run in runs:
        axes.plot(run["sharpness"], run["final"], "o", ms=3.5, color=COLOURS.get(run["arm"], TRAIN), alpha=0.7)
    axes.set(xscale="log", xlabel="sharpness (nats)", ylabel="test accuracy at the end", ylim=(-0.03, 1.05))
    axes.xaxis.set_minor_formatter(NullFormatter())
    rho = correlation(seen, "final")
    axes.set_title(f"Spearman {'unknown' if rho is None else f'{rho:.2f}'}, {len(runs)} runs", fontsize=9)
    label_corner(axes, [*COLOURS.items(), ("other arms", SOFT)], "upper left", size=7)
