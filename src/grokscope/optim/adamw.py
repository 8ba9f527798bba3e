"""AdamW: Adam with decoupled weight decay."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from grokscope.optim.base import Optimizer
from grokscope.sources import Source


class AdamW(Optimizer):
    """θ ← θ − lr·wd·θ − lr · m̂ / (√v̂ + eps), with m̂, v̂ the bias-corrected moments.

    The same rule as torch.optim.AdamW (all parameters decay, biases too); wd = 0 is Adam.
    """

    kind: ClassVar[str] = "adamw"
    buffers: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")
    sources: ClassVar[tuple[Source, ...]] = (
        Source("loshchilov2017decoupled", "Alg. 2"),
        Source("kingma2014adam", "Alg. 1"),
    )

    weight_decay: float = Field(default=1.0, ge=0.0)
    """Decoupled decay rate; must be >= 0."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay of the moments, each in [0, 1); (0.9, 0.98) in the grokking papers."""
    eps: float = Field(default=1e-8, gt=0.0)
    """Added to √v̂."""

    def model_post_init(self, context: object) -> None:
        """Check the betas."""
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"betas must both be in [0, 1), got {list(self.betas)}")

    def update(
        self, theta: Tensor, grad: Tensor, state: dict[str, Tensor], step: int, lr: Tensor, weight_decay: Tensor
    ) -> None:
        """One step in place."""
        beta1, beta2 = self.betas
        m, v = state["first_moment"], state["second_moment"]
        m.mul_(beta1).add_(grad, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        denominator = v.sqrt().div_((1 - beta2 ** (step + 1)) ** 0.5).add_(self.eps)
        theta.mul_(1 - lr * weight_decay)
        theta.addcdiv_(m * (-lr / (1 - beta1 ** (step + 1))), denominator)
