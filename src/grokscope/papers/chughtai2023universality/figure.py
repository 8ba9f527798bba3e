"""The figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.papers.base import Observation
from grokscope.papers.chughtai2023universality.studies import SPARSE
from grokscope.papers.drawing import (
    ACCENT,
    SECOND,
    SOFT,
    TEST,
    THIRD,
    TRAIN,
    dots,
    label_corner,
    label_ends,
    lines,
    over_steps,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """What the key irreps explain by group, the losses over training, and which irreps each seed has."""
    found = seen["universality"]
    explain, losses, which = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    names = list(found[0]["arms"])
    shown = (("embedding", ACCENT, "embeddings"), ("neurons", THIRD, "neurons"), ("logits", SECOND, "logits"))
    for i, name in enumerate(names):
        for offset, (key, colour, _) in zip((-0.25, 0.0, 0.25), shown, strict=True):
            dots(explain, i + offset, [o["arms"][name][key] for o in found], colour, bar=0.1)
    dots(explain, len(names), [o["random"]["logits_all"] for o in found], SECOND, bar=0.1)
    explain.axhline(0.85, color=SOFT, lw=0.8, ls=":")
    labels = [name.removesuffix(" MLP") for name in names]
    explain.set_xticks(range(len(names) + 1), [*labels, "random\nlabels"], fontsize=7)
    explain.set(ylabel="share in the key irreps", ylim=(-0.03, 1.05))
    label_corner(explain, [(word, colour) for _, colour, word in shown], "lower left")
    explain.set_title(f"what they explain, n = {len(found)}", fontsize=9)
    drawn = [name for name in names if "test/loss/curve" in found[0]["arms"][name]]
    ends = []
    for key, colour, word in (
        ("train/loss", TRAIN, "train"),
        ("test/loss", TEST, "test"),
        ("key_irreps/restricted_loss", ACCENT, "key irreps\nalone"),
        ("key_irreps/excluded_loss", SECOND, "without\nthem (train)"),
    ):
        line = lines(losses, [o["arms"][drawn[0]][f"{key}/curve"] for o in found], colour, width=1.5)
        ends.append((line, word, colour))
    over_steps(losses, "loss (nats)", f"{drawn[0].removesuffix(' MLP')}, n = {len(found)}")
    losses.set(yscale="log", ylim=(1e-7, 60))
    label_ends(losses, ends)
    first = next(name for name in names if name[0] in SPARSE)
    table = np.array([o["arms"][first]["similarity"][1:] for o in found])
    which.imshow(table, aspect="auto", cmap="Greys", vmin=0, vmax=0.6, interpolation="none")
    which.set_yticks(range(len(found)), [str(o["seed"]) for o in found], fontsize=7)
    which.set(xlabel="irrep", ylabel="seed", xticks=range(4, table.shape[1], 5))
    which.set_xticklabels([str(i + 1) for i in range(4, table.shape[1], 5)])
    which.set_title(f"logit similarity, {first.removesuffix(' MLP')}, 0 to 0.6", fontsize=9)
