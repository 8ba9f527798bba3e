"""The figure of Žunkovič & Ilievski 2022."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from grokscope.papers.base import Observation
from grokscope.papers.drawing import ACCENT, SECOND, SOFT, TEST, THIRD, columns, label_corner, label_ends, lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Test errors near their vanishing; measured against predicted delays; P_G against dimension."""
    left, middle, right = figure.subplots(1, 3)
    near = [one["rows"] for one in seen["vanishing"] if one["rows"]]
    ends = []
    for i, colour in enumerate((TEST, ACCENT, SECOND, THIRD)):
        rows = [one[i] for one in near if i < len(one)]
        if rows:
            line = lines(left, [columns(row["left"], row["error"]) for row in rows], colour, strong=0, width=1.4)
            ends.append((line, f"{rows[0]['name']}: {rows[0]['slope']:.2f}", colour))
    left.set(xscale="log", yscale="log", xlabel="time before vanishing, t_ε − t", ylabel="test error")
    left.set_title(f"exponents, n = {len(seen['vanishing'])}", fontsize=9)
    label_ends(left, ends)

    for one in seen["line"]:
        for row, colour in zip(one["delays"], (TEST, SECOND), strict=True):
            printed = [value * (1 + row["l2"]) for value in row["predicted"]]
            middle.plot(printed, row["seen"], ".", color=colour, ms=2, alpha=0.4)
    middle.axline((0.1, 0.1), (1, 1), color=SOFT, lw=0.8)
    middle.set(xscale="log", yscale="log", xlabel="delay by eq. 8 as printed", ylabel="measured delay")
    middle.set_title("delay on the line", fontsize=9)
    label_corner(middle, [("λ₂ = 0", TEST), ("λ₂ = 1", SECOND)])

    ends = []
    names = {"plain": ("λ₁ = 0", TEST), "l2": ("more λ₂", SECOND), "l1": ("λ₁ = 0.1", ACCENT)}
    for key, (name, colour) in {**names, "dense": ("λ₁, diagonal", THIRD)}.items():
        tables = [[(row["dimension"], row[key]) for row in one["rows"]] for one in seen["probability"]]
        ends.append((lines(right, tables, colour, marker="o", ms=3), name, colour))
    right.set_yscale("log", nonpositive="mask")
    right.set(xlabel="dimension D", ylabel="probability to generalise", ylim=(1e-4, 1.6), xticks=[2, 4, 6, 8, 10])
    right.set_title("ball, ten samples, ε = 1.01", fontsize=9)
    label_ends(right, ends)
