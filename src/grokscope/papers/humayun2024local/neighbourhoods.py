"""The measure of Humayun et al. 2024: linear regions and robustness around points."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from grokscope.measures import Measure, Snapshot
from grokscope.measures.adversarial import accuracy_under_attack, between
from grokscope.measures.base import Values
from grokscope.measures.regions import local_complexity
from grokscope.measures.spectrum import probe_rows
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.trace import Quantity

PLACES = ("train", "test", "random", "border")
"""Around which points neurons are counted; random points are uniform in the unit cube, as in the paper."""


class Neighbourhoods(Measure):
    """Local complexity around images, random points and the decision border, and accuracy under PGD."""

    kind: ClassVar[str] = "grokscope.papers.humayun2024local:Neighbourhoods"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    quantities: ClassVar[tuple[Quantity, ...]] = (
        *(
            Quantity(f"complexity/around_{place}", "neurons", (0.0, float("inf")), f"local complexity, {place}")
            for place in PLACES
        ),
        Quantity("train/attacked", "share", (0.0, 1.0), "training images answered right under attack"),
        Quantity("test/attacked", "share", (0.0, 1.0), "held-out images answered right under attack"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("humayun2024deep", "Sec. 2.2"),
        Source("madry2017towards", "Sec. 2.1"),
    )

    points: int = Field(default=1000, ge=2)
    """Points of each place at most, for local complexity."""
    radius: float = Field(default=0.05, gt=0.0)
    """r, in units of the pixels."""
    directions: int = Field(default=25, ge=1)
    """P."""
    epsilon: float = Field(default=0.1, gt=0.0)
    """Radius of the attack in the maximum norm, in units of the pixels."""
    step_size: float = Field(default=4 / 255, gt=0.0)
    """α of the attack."""
    attack_steps: int = Field(default=10, ge=1)
    """Steps of the attack."""
    images: int = Field(default=1797, ge=1)
    """Images of each split that are attacked, at most."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Six numbers."""
        network, encoding, answers_N = snapshot.network, snapshot.encoding, snapshot.split.answers_N
        images_ND = encoding.tokens_NL

        def logits(x_ND: Tensor) -> Tensor:
            return network(x_ND)[:, encoding.answer_row, encoding.answers]

        train, test = (images_ND[probe_rows(snapshot, split, self.points)] for split in ("train", "test"))
        drawn = torch.rand(train.shape, generator=Seeds(0).generator("measure", "points")).to(train)
        border, crossed = between(logits, train, train.roll(1, 0))
        values: dict[str, float] = {}
        for place, points in zip(PLACES, (train, test, drawn, border[crossed]), strict=True):
            generator = Seeds(0).generator("measure", "frames")
            found = local_complexity(network, points, generator, self.radius, self.directions) if len(points) else None
            count = float("nan") if found is None else found.sum(1).double().mean().item()
            values[f"complexity/around_{place}"] = count
        for split in ("train", "test"):
            rows = probe_rows(snapshot, split, self.images)
            share = accuracy_under_attack(
                logits, images_ND[rows], answers_N[rows], self.epsilon, self.step_size, self.attack_steps
            )
            values[f"{split}/attacked"] = share
        return values
