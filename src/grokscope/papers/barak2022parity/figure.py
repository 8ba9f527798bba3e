"""The figure of Barak et al. 2022."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grokscope.papers.base import Observation
from grokscope.papers.drawing import (
    ACCENT,
    SECOND,
    SOFT,
    TEST,
    THIRD,
    TRAIN,
    label_corner,
    label_ends,
    lines,
    mark,
    over_steps,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Plateaus; what moves meanwhile in one neuron; convergence times by n; few points again and again."""
    plateau, hidden, scaling, grokking = figure.subplots(1, 4)
    names = {"relu": ("ReLU MLP", TEST), "sine": ("sine neuron", ACCENT), "polynet": ("PolyNet", SECOND),
             "wide": ("wide z^k", TRAIN)}  # fmt: skip
    for key, (_, colour) in names.items():
        curves = [_up_to_one(one[f"{key}_curve"], one[f"{key}_shown"]) for one in seen["plateau"]]
        lines(plateau, curves, colour, width=1.6)
    plateau.set_xlim(0, 1.02)
    plateau.set(xlabel="step / convergence time", ylabel="accuracy on fresh points", ylim=(0.42, 1.03))
    plateau.set_title(f"online, median trials, n = {len(seen['plateau'])}", fontsize=9)
    label_corner(plateau, list(names.values()), "upper left")

    one = seen["hidden"][0]
    lines(hidden, [one["relevant"]], SECOND)
    lines(hidden, [one["irrelevant"]], SOFT)
    over_steps(hidden, "mean |w_t − w_0|", "a sine neuron, one seed's median trial", log=False)
    right = hidden.twinx()
    lines(right, [one["accuracy"]], TEST, width=1.2)
    right.set_ylim(0.42, 1.03)
    right.set_yticks([0.5, 1.0])
    label_corner(hidden, [("relevant weights", SECOND), ("the others", SOFT), ("accuracy (right)", TEST)])

    ends = []
    for key, colour in (("1", SOFT), ("2", ACCENT), ("3", SECOND), ("4", THIRD)):
        tables: list[Any] = [one["times"][key] for one in seen["scaling"] if key in one["times"]]
        if tables:
            ends.append((lines(scaling, tables, colour, marker="o", ms=3), f"k = {key}", colour))
    if any(len(line) for line, _, _ in ends):
        scaling.set(xscale="log", yscale="log")
    scaling.set(xlabel="bits n", ylabel="steps to no error, median")
    scaling.set_title(f"ReLU MLP, n = {len(seen['scaling'])} seeds", fontsize=9)
    ticks = [n for n, _ in seen["scaling"][0]["times"]["2"]]
    scaling.set_xticks(ticks, [str(n) for n in ticks])
    scaling.minorticks_off()
    label_ends(scaling, ends)

    words = {"train": ("train", TRAIN), "test": ("test", TEST), "bare": ("test, no decay", SECOND)}
    for key, (_, colour) in words.items():
        lines(grokking, [one[key] for one in seen["grokking"]], colour)
    over_steps(grokking, "accuracy", f"few points, n = {len(seen['grokking'])}", left=10)
    grokking.set_ylim(0.42, 1.03)
    for event, colour in (("t_train", TRAIN), ("t_test", TEST)):
        mark(grokking, [one[event] for one in seen["grokking"]], colour)
    label_corner(grokking, list(words.values()))


def _up_to_one(curve: Any, steps: float | None) -> list[list[float]]:
    """A curve with its steps in units of a convergence time; nothing where there is none."""
    return [[step / steps, value] for step, value in curve] if steps else []
