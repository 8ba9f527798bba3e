"""What is minimised."""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.spec import Spec


class Objective(Spec):
    """A mean loss per read token, in the unit it declares."""

    unit: ClassVar[str] = "nats"

    @abstractmethod
    def per_token(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """The loss of each of M predictions, (M,)."""

    def __call__(self, logits_NRV: Tensor, targets_NR: Tensor) -> Tensor:
        """Mean over rows and read positions, a scalar."""
        return self.per_token(logits_NRV.flatten(0, -2), targets_NR.flatten()).mean()

    def uniform(self, classes: int) -> float:
        """The loss of a constant guess, for reference lines."""
        return 0.0


class CrossEntropy(Objective):
    """−log softmax(logits)[target], in nats; a uniform guess scores ln V.

    In float32 log-softmax returns exact zeros once the margin passes about 17 nats, and gradients
    with them (softmax collapse); float64 moves that point to about 37.
    """

    kind: ClassVar[str] = "cross-entropy"

    softmax_precision: Literal["float32", "float64"] = "float32"
    """Precision in which log-softmax is taken; never below that of the logits."""

    def per_token(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """(M,)"""
        wide = torch.float64 if self.softmax_precision == "float64" else torch.float32
        logits = logits_MV.to(torch.promote_types(wide, logits_MV.dtype))
        return F.cross_entropy(logits, targets_M, reduction="none")

    def uniform(self, classes: int) -> float:
        """ln classes."""
        return float(torch.tensor(float(classes)).log())


class MSE(Objective):
    """Mean over the V outputs of (output − one-hot target)²; answering 0 everywhere scores 1/V."""

    kind: ClassVar[str] = "mse"
    unit: ClassVar[str] = "squared error"

    def per_token(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        """(M,), without forming the one-hot matrix: (‖z‖² − 2 z_y + 1) / V."""
        z = logits_MV.float() if logits_MV.dtype in (torch.bfloat16, torch.float16) else logits_MV
        picked = z.gather(1, targets_M[:, None])[:, 0]
        return (z.square().sum(1) - 2 * picked + 1) / z.shape[1]

    def uniform(self, classes: int) -> float:
        """1 / classes, the loss of answering 0."""
        return 1.0 / classes


OBJECTIVES: tuple[type[Objective], ...] = (CrossEntropy, MSE)
