"""The figure of Humayun et al. 2024."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grokscope.papers.base import Observation
from grokscope.papers.drawing import ACCENT, SECOND, TEST, THIRD, TRAIN, label_corner, lines, mark, over_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Accuracy and local complexity along training; the same on random labels; accuracy from a large start."""
    accuracy, complexity, noise, start = figure.subplots(1, 4)
    both, large = seen["robustness"], seen["large-start"]

    def panel(axes: Any, many: Sequence[Observation], arm: str, curves: Sequence[tuple[str, str]]) -> None:
        for name, colour in curves:
            lines(axes, [one[f"{arm}_{name}_curve"] for one in many], colour, width=1.8)

    accuracies = (("train/accuracy", TRAIN), ("test/accuracy", TEST), ("test/attacked", ACCENT))
    places = (("around_border", SECOND), ("around_random", THIRD), ("around_test", TEST), ("around_train", TRAIN))
    panel(accuracy, both, "true", accuracies)
    panel(complexity, both, "true", places)
    panel(noise, both, "random", places)
    panel(start, large, "large", accuracies)
    for axes, about, title, many, arm in (
        (accuracy, "accuracy", "digits", both, "true"),
        (complexity, "local complexity (neurons)", "digits", both, "true"),
        (noise, "local complexity (neurons)", "random labels", both, "random"),
        (start, "accuracy", "first weights × 8", large, "large"),
    ):
        over_steps(axes, about, f"{title}, n = {len(many)} seeds", left=0)
        mark(axes, [one[f"{arm}_t_train"] for one in many])
        axes.set_ylim(0, None if about.startswith("local") else 1.03)
    names = [("around the border", SECOND), ("random points", THIRD), ("held-out", TEST), ("training", TRAIN)]
    label_corner(complexity, names, "upper left")
    words = [("train", TRAIN), ("held-out", TEST), ("held-out, attacked", ACCENT)]
    label_corner(accuracy, words, "lower right")
    label_corner(start, words, "upper left")
