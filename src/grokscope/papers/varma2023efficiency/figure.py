"""The figure of Varma et al. 2023."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from grokscope.papers.base import Observation
from grokscope.papers.drawing import ACCENT, SECOND, SOFT, THIRD, columns, label_corner, lines
from grokscope.papers.varma2023efficiency.studies import SIMULATED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Accuracy after ungrokking by size and decay; its course; the norm that a logit takes; the simulation."""
    axes = figure.subplots(1, 4)
    runs, toy = seen["networks"], seen["simulation"]
    words: list[tuple[str, str]] = []
    for i, (decay, colour) in enumerate(zip(runs[0]["decays"], (ACCENT, SECOND), strict=True)):
        each = [columns(o["sizes"], [row[i] for row in o["ungrokked"]]) for o in runs]
        lines(axes[0], each, colour, marker="o", ms=3)
        lines(axes[1], [o["curves"][i] for o in runs], colour)
        words.append((f"weight decay {decay:g}", colour))
    lines(axes[0], [columns(o["scratch_sizes"], o["scratch"]) for o in runs], SOFT, ls=":", marker="s", ms=3)
    axes[0].set_title(f"a + b mod {runs[0]['p']}, n = {len(runs)}", fontsize=9)
    _log_sizes(axes[0], [*runs[0]["sizes"][::2], runs[0]["scratch_sizes"][-1]], "final test accuracy")
    label_corner(axes[0], [*words, ("drawn weights", SOFT)])
    axes[1].set_title(f"grokked, then on {runs[0]['sizes'][0]} pairs", fontsize=9)
    axes[1].set(xscale="log", xlim=(5, None), xlabel="step", ylabel="test accuracy", ylim=(-0.03, 1.05))
    label_corner(axes[1], words, "upper right")
    kinds = (("mem", "random labels", SECOND), ("gen", "generalising", ACCENT))
    for kind, _, colour in kinds:
        lines(axes[2], [o[kind] for o in runs], colour, marker="o", ms=3)
    label_corner(axes[2], [(word, colour) for _, word, colour in kinds])
    axes[2].set_title(f"efficiency, n = {len(runs)}", fontsize=9)
    _log_sizes(axes[2], [row[0] for row in runs[0]["mem"][::2]], "parameter norm for a logit of 1")
    for name, colour in zip(SIMULATED, (ACCENT, SOFT, SECOND, THIRD), strict=True):
        lines(axes[3], [o[name] for o in toy], colour, ls="--" if name == "no C_gen" else "-")
    axes[3].set(xscale="log", xlabel="time (rate times steps)", ylabel="probability of the right answer")
    axes[3].set(ylim=(-0.03, 1.45), yticks=(0, 0.5, 1))
    axes[3].set_title(f"simulated, other questions, n = {len(toy)}", fontsize=9)
    label_corner(axes[3], list(zip(SIMULATED, (ACCENT, SOFT, SECOND, THIRD), strict=True)))


def _log_sizes(axes: "Axes", sizes: Sequence[float], about: str) -> None:
    axes.set(xscale="log", xlabel="training pairs", ylabel=about)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.set_xticks([], minor=True)
