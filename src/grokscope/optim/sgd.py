"""Gradient descent, with momentum where asked."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from grokscope.optim.base import Optimizer


class SGD(Optimizer):
    """g ← ∇ + wd·θ; b ← μ·b + g; θ ← θ − lr·b. The same rule as torch.optim.SGD (b starts at 0)."""

    kind: ClassVar[str] = "sgd"
    buffers: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: float = Field(default=0.0, ge=0.0, lt=1.0)
    """μ in [0, 1); 0 is plain gradient descent."""

    def update(
        self, theta: Tensor, grad: Tensor, state: dict[str, Tensor], step: int, lr: Tensor, weight_decay: Tensor
    ) -> None:
        """One step in place."""
        velocity = state["momentum"].mul_(self.momentum).add_(grad).add_(weight_decay * theta)
        theta.sub_(lr * velocity)
