"""What finite precision and the logits' scale do to learning, usable alone.

Axes: M predictions, V logits each. All are O(M·V) or O(parameters).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.spectrum import TINY
from grokscope.sources import Source
from grokscope.trace import Quantity

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SHARE = (0.0, 1.0)
_ANY = (-float("inf"), float("inf"))


# Softmax collapse.


def softmax_collapse(logits_MV: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """Share of predictions with Σ_j exp(z_j − max z) == 1 in ``precision``, a scalar in [0, 1].

    There the largest term absorbs the others. Where it is the wanted one a plain log-softmax gives a loss of
    exactly 0, and the gradient at its logit too; those at the others, exp(z_j − max z), stay.
    One rival collapses at a margin of 24 ln 2 = 16.6 in float32 and 53 ln 2 = 36.7 in float64.
    Unchanged by a constant added to a row. NaN where a largest logit is not finite.
    [Prieto et al. 2025, code]
    """
    z = logits_MV.detach().to(precision)
    return _share_of(1.0, (z - z.amax(-1, keepdim=True)).exp().sum(-1))


def zero_losses(losses_M: Tensor) -> Tensor:
    """Share of losses that are exactly 0, a scalar in [0, 1]; NaN where a loss is NaN.

    Such a row no longer pulls at the wanted logit. [Prieto et al. 2025]
    """
    return _share_of(0.0, losses_M.detach())


def _share_of(value: float, found_M: Tensor) -> Tensor:
    return torch.where(found_M.isnan(), torch.nan, (found_M == value).double()).mean()


# Logits.


def logit_scale(logits_MV: Tensor) -> Tensor:
    """mean_m ‖z_m‖, a scalar >= 0 in nats; k times the logits have k times the scale. [Howe 2026, code]

    √V for normal noise of variance 1. A constant added to a row changes it, though no probability.
    """
    return logits_MV.detach().double().norm(dim=-1).mean()


def confidence(logits_MV: Tensor) -> Tensor:
    """mean_m max_j softmax(z_m)_j, a scalar in [1/V, 1]; 1/V for equal logits. [Howe 2026, code]

    Unchanged by a constant added to a row; NaN where a largest logit is not finite.
    """
    return torch.softmax(logits_MV.detach().double(), -1).amax(-1).mean()


def margins(logits_MV: Tensor, targets_M: Tensor) -> Tensor:
    """z_y − max_{j≠y} z_j of each prediction, (M,), in nats; positive where it is right, 0 where two lead.

    k times the logits have k times the margins; a constant added to a row changes none. ∞ for V = 1.
    """
    z, y = logits_MV.detach().double(), targets_M[:, None]
    return z.gather(1, y)[:, 0] - z.scatter(1, y, -torch.inf).amax(1)


def margin_quantiles(margins_M: Tensor, at: Sequence[float] = QUANTILES) -> Tensor:
    """Quantiles of M ≥ 1 margins, linear between neighbours, (len(at),), rising with ``at``; in nats.

    0 … 100 in steps of 1 have the 5 % quantile 5. NaN where a margin is. Cost: a sort.
    """
    return torch.quantile(margins_M.double(), torch.tensor(at, dtype=torch.float64, device=margins_M.device))


# Updates.


def alignment(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """cos(−g, θ) over all parameters together, a scalar in [−1, 1]; 0 where either is 0.

    Near 1 the step does little but scale the weights: naive loss minimisation. For a network that is
    homogeneous of degree L, −g·θ = −L Σ_j z_j ∂ℓ/∂z_j. [Prieto et al. 2025]
    """
    dots = [(w.detach().double() * g.double()).sum() for w, g in zip(weights, gradients, strict=True)]
    cosine = -torch.stack(dots).sum() / (_norm(weights) * _norm(gradients)).clamp_min(TINY)
    return cosine.clamp(-1.0, 1.0)  # rounding can carry it beyond


def split_update(
    before: Sequence[Tensor], after: Sequence[Tensor], lr: float, weight_decay: float
) -> tuple[list[Tensor], list[Tensor]]:
    """A step as its decay −lr·wd·θ and the rest, tensor by tensor, float64.

    For decoupled decay (AdamW) and for decay in plain gradient descent; the two add up to after − before.
    """
    decay = [-lr * weight_decay * b.detach().double() for b in before]
    rest = [a.detach().double() - b.detach().double() - d for a, b, d in zip(after, before, decay, strict=True)]
    return decay, rest


def decay_share(decay: Sequence[Tensor], rest: Sequence[Tensor]) -> Tensor:
    """‖decay‖ / (‖decay‖ + ‖rest‖) of a step's two parts, a scalar in [0, 1]; ½ in balance, 0 without both (ours)."""
    size = _norm(decay)
    return size / (size + _norm(rest)).clamp_min(TINY)


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([t.detach().double().square().sum() for t in tensors]).sum().sqrt()


# Measures.


class SoftmaxCollapse(Measure):
    """Training predictions that a plain softmax can no longer tell from certain, and losses of exactly 0.

    The collapse is that of a softmax in ``precision``, whichever the run takes; the zeros are those of
    the run's own objective. All read positions count, and all tokens of the vocabulary.
    """

    kind: ClassVar[str] = "softmax-collapse"
    cost: ClassVar[float] = 0.15
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("precision/softmax_collapse", "share", _SHARE, "training predictions with Σ exp(z − max) == 1"),
        Quantity("precision/zero_losses", "share", _SHARE, "training predictions with a loss of exactly 0"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("prieto2025grokking", "softmax collapse"),)

    precision: Literal["float32", "float64"] = "float32"
    """Of the softmax that is judged."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two shares."""
        logits, targets = _train(snapshot)
        precision = torch.float32 if self.precision == "float32" else torch.float64
        return {
            "precision/softmax_collapse": softmax_collapse(logits, precision).item(),
            "precision/zero_losses": zero_losses(snapshot.objective.per_token(logits, targets)).item(),
        }


class LogitScale(Measure):
    """Size of the logits, confidence and margins on the training rows; Howe 2026 takes the first two on held-out ones.

    Under cross-entropy the scale of the logits is reported to carry most of what the norm of the weights does
    to the delay [Truong 2026].
    """

    kind: ClassVar[str] = "logit-scale"
    cost: ClassVar[float] = 0.15
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("logits/scale", "nats", (0.0, float("inf")), "mean Euclidean norm of a training row's logits"),
        Quantity("logits/confidence", "share", _SHARE, "mean largest probability on training rows"),
        Quantity("logits/margin_median", "nats", _ANY, "median training margin"),
        Quantity("logits/margin_quantiles", "nats", _ANY, "5, 25, 50, 75, 95 % of the training margins", array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("howe2026capability", "logit scale and confidence"),
        Source("truong2026what", "logit scale and delay"),
    )

    def __call__(self, snapshot: Snapshot) -> Values:
        """Three scalars and five quantiles."""
        logits, targets = _train(snapshot)
        quantiles = margin_quantiles(margins(logits, targets)).cpu().numpy()
        return {
            "logits/scale": logit_scale(logits).item(),
            "logits/confidence": confidence(logits).item(),
            "logits/margin_median": float(quantiles[QUANTILES.index(0.5)]),
            "logits/margin_quantiles": quantiles.astype(np.float32),
        }


class UpdateDirection(Measure):
    """Where the training gradient points: along the weights or away, and how it compares with weight decay.

    ``update/decay_share`` is ‖λθ‖ / (‖λθ‖ + ‖g‖), the share in a step of plain gradient descent with decay
    λ (ours); under cross-entropy it goes to 1 as the training rows are learned. An adaptive rule rescales g
    by a state that a checkpoint's weights do not hold: for its true share give two consecutive checkpoints
    to :func:`split_update`.
    """

    kind: ClassVar[str] = "update-direction"
    cost: ClassVar[float] = 1.2
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("update/along_weights", "1", (-1.0, 1.0), "cosine between −gradient and weights"),
        Quantity("update/decay_share", "share", _SHARE, "‖λθ‖ / (‖λθ‖ + ‖gradient‖)"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("prieto2025grokking", "naive loss minimisation"),)

    weight_decay: float = Field(default=1.0, ge=0.0)
    """λ of the share; must be >= 0."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two scalars."""
        gradients = snapshot.gradients("train")
        weights = [p.detach() for _, p in snapshot.network.named_parameters()]
        slopes = [gradients[name] for name, _ in snapshot.network.named_parameters()]
        return {
            "update/along_weights": alignment(weights, slopes).item(),
            "update/decay_share": decay_share([self.weight_decay * w.double() for w in weights], slopes).item(),
        }


def _train(snapshot: Snapshot) -> tuple[Tensor, Tensor]:
    """Training logits (M, V) and targets (M,), read positions one after the other."""
    rows = snapshot.split.rows["train"]
    return snapshot.logits_NRV[rows].flatten(0, 1), snapshot.targets_NR[rows].flatten()
