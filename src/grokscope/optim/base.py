"""How weights move: one update of S members at once, on flat buffers (S, P)."""

from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from grokscope.sources import Source
from grokscope.spec import Spec


class Optimizer(Spec):
    """An update rule. ``lr`` and ``weight_decay`` may differ per member, so they arrive as (S, 1)."""

    lr: float = Field(default=1e-3, gt=0.0)
    """Learning rate; must be > 0."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Weight decay; how it enters is the rule's own. Must be >= 0."""
    warmup: int = Field(default=0, ge=0)
    """Linear warm-up: update t = 0, 1, … uses lr · min(t / warmup, 1). The first update of a warm-up
    moves nothing, as in the code of both Power et al. and Nanda et al."""

    buffers: ClassVar[tuple[str, ...]] = ()
    """Names of the state tensors, each shaped like the parameters."""
    sources: ClassVar[tuple[Source, ...]] = ()

    def start(self, theta_SP: Tensor) -> dict[str, Tensor]:
        """Zero state."""
        return {name: torch.zeros_like(theta_SP) for name in self.buffers}

    def rate(self, step: int) -> float:
        """The warm-up factor of update number ``step``."""
        return min(step / self.warmup, 1.0) if self.warmup else 1.0

    @abstractmethod
    def update(
        self, theta: Tensor, grad: Tensor, state: dict[str, Tensor], step: int, lr: Tensor, weight_decay: Tensor
    ) -> None:
        """One step in place.

        Args:
            theta, grad: (S, P).
            state: the buffers, (S, P) each, changed in place.
            step: updates done before this one.
            lr: (S, 1), warm-up included.
            weight_decay: (S, 1).
        """
