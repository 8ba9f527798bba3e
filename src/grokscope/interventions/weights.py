"""Changes to the weights after each step."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from grokscope.interventions.base import Intervention
from grokscope.sources import Source


class HoldNorm(Intervention):
    """Pulls the Euclidean norm of all weights back to where it started, after each step.

    θ ← θ · (‖θ₀‖ / ‖θ‖)^strength. strength 1 is the constrained optimisation of Omnigrok (all
    parameters rescaled to the initial norm), with which train and test accuracy rise together.
    """

    kind: ClassVar[str] = "hold-norm"
    sources: ClassVar[tuple[Source, ...]] = (Source("liu2022omnigrok", "Fig. 7b"),)

    strength: float = Field(default=1.0, ge=0.0, le=1.0)
    """In [0, 1]; 0 changes nothing."""

    @property
    def identity(self) -> bool:
        """strength 0."""
        return self.strength == 0.0

    def start(self, theta_SP: Tensor) -> dict[str, Tensor]:
        """The norm to hold, (S, 1)."""
        return {"norm": theta_SP.norm(dim=1, keepdim=True)}

    def weights(self, theta_SP: Tensor, state: dict[str, Tensor], step: int) -> None:
        """One scale per member."""
        if not self.identity:
            theta_SP.mul_((state["norm"] / theta_SP.norm(dim=1, keepdim=True)) ** self.strength)
