"""The figure of Nanda et al. 2023."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from grokscope.papers.base import Observation
from grokscope.papers.drawing import ACCENT, FOURTH, SECOND, SOFT, TEST, THIRD, TRAIN, dots, label_ends, lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"train": TRAIN, "test": TEST, "restricted": ACCENT, "excluded": SECOND}


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Four losses, the Gini of the embedding, and how far the restricted loss is when the test loss drops."""
    runs = seen["mainline"]
    losses, sparsity, leads = figure.subplots(1, 3, width_ratios=(1.5, 1.2, 1.0))
    ends = []
    for name, colour in COLOURS.items():
        ends.append((lines(losses, [o["curves"][name] for o in runs], colour, strong=0), name, colour))
    losses.set(xscale="log", yscale="log", xlim=(1, None), xlabel="step", ylabel="loss (nats)")
    losses.set_title(f"a + b mod {runs[0]['p']}, n = {len(runs)}", fontsize=9)
    _segments(losses, runs[0]["segments"])
    label_ends(losses, ends)
    ends = []
    for name, colour, word in (("gini", THIRD, "decay 1"), ("plain_gini", FOURTH, "none")):
        ends.append((lines(sparsity, [o[name] for o in runs], colour, strong=0), word, colour))
    sparsity.set(xlabel="step", ylabel="Gini of W_E (1)", ylim=(0, 1))
    sparsity.set_title("sparsity in the Fourier basis", fontsize=9)
    label_ends(sparsity, ends)
    readings = (("restricted_at_cleanup", "start of\ncleanup"), ("restricted_at_half", "half of\nits fall"))
    for place, (key, _) in enumerate(readings):
        dots(leads, place, [o[key] for o in runs], ACCENT)
    leads.axhline(0.5, color=SOFT, lw=0.8, ls=":")
    leads.set_xticks(range(len(readings)), [word for _, word in readings], fontsize=8)
    leads.set(xlim=(-0.6, 1.6), ylim=(0, 1), xlabel="test loss is at", ylabel="restricted log fall done (share)")


def _segments(axes: "Axes", segments: Mapping[str, tuple[int, int]]) -> None:
    """Dotted lines at the segments' ends, and their names upright between them."""
    for name, (start, end) in segments.items():
        axes.axvline(end, color=SOFT, lw=0.6, ls=":")
        middle = math.sqrt(max(start, 1) * end)
        axes.annotate(name, (middle, 0.03), xycoords=("data", "axes fraction"), ha="center", va="bottom", rotation=90,
                      fontsize=7, color=SOFT)  # fmt: skip
