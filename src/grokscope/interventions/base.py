"""What we change on purpose, by its place in the step: objective -> gradient -> (optimizer) -> weights."""

from typing import ClassVar

from torch import Tensor

from grokscope.sources import Source
from grokscope.spec import Spec


class Intervention(Spec):
    """A change to the step of every member. Override one of the three places; the others do nothing.

    At its identity setting a run is bit-identical to one without it (a contract).
    """

    sources: ClassVar[tuple[Source, ...]] = ()

    @property
    def identity(self) -> bool:
        """Whether this setting changes nothing."""
        return False

    def start(self, theta_SP: Tensor) -> dict[str, Tensor]:
        """State per member, (S, …) each, from the first weights; saved with checkpoints."""
        return {}

    def logits(self, logits_NRV: Tensor) -> Tensor:
        """Objective: the logits that the loss sees, for one member."""
        return logits_NRV

    def gradient(self, grad_SP: Tensor, theta_SP: Tensor, state: dict[str, Tensor], step: int) -> None:
        """Gradient: change ``grad_SP`` in place before the optimizer."""

    def weights(self, theta_SP: Tensor, state: dict[str, Tensor], step: int) -> None:
        """Weights: change ``theta_SP`` in place after the optimizer."""
