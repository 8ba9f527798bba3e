"""Changes to the gradient before the optimizer sees it."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from grokscope.interventions.base import Intervention
from grokscope.sources import Source


class SlowGradient(Intervention):
    """Grokfast-EMA: amplifies the slow part of the gradient.

    h ← momentum · h + (1 − momentum) · g with h = g at the first step; g ← g + gain · h.
    """

    kind: ClassVar[str] = "slow-gradient"
    sources: ClassVar[tuple[Source, ...]] = (Source("lee2024grokfast", "Alg. 1, EMA"),)

    gain: float = Field(default=2.0, ge=0.0)
    """λ of the paper; 0 changes nothing."""
    momentum: float = Field(default=0.98, ge=0.0, lt=1.0)
    """α of the paper."""

    @property
    def identity(self) -> bool:
        """gain 0."""
        return self.gain == 0.0

    def start(self, theta_SP: Tensor) -> dict[str, Tensor]:
        """The filtered gradient, (S, P)."""
        return {"slow": theta_SP.new_zeros(theta_SP.shape)}

    def gradient(self, grad_SP: Tensor, theta_SP: Tensor, state: dict[str, Tensor], step: int) -> None:
        """Filter, then add."""
        if self.identity:
            return
        slow = state["slow"]
        slow.copy_(grad_SP) if step == 0 else slow.mul_(self.momentum).add_(grad_SP, alpha=1 - self.momentum)
        grad_SP.add_(slow, alpha=self.gain)
