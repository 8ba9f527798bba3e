"""What gradients and steps say about the landscape: pure functions of losses and vectors, usable alone.

A loss is a function of one vector of weights; :func:`grokscope.measures.curvature.flat_loss` makes one
of any ``nn.Module``. Axes: P parameters, M mini-batches, W updates in a window, T looks. Curvature
itself and slices are in ``curvature.py``, the local learning coefficient in ``llc.py``. Xu 2026a is
arXiv 2602.16746, Xu 2026b is 2603.28964.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.curvature import FlatLoss, gradient, hessian_product, snapshot_loss, some_rows
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.trace import Floats, Quantity, Steps

_POSITIVE = (0.0, float("inf"))
_ANY = (-float("inf"), float("inf"))


def commutator_defect(
    loss_a: FlatLoss, loss_b: FlatLoss, theta_P: Tensor, step: float = 1e-3, least: float = 1e-6
) -> float:
    """D = ‖θ_AB − θ_BA‖ / (‖ηg_A‖ ‖ηg_B‖ + 10⁻¹²), ≥ 0, per weight: does the order of two steps matter? [Xu 2026a]

    θ_AB takes a plain gradient step on A, then one on B; θ_BA the other way round. Where a step would
    be shorter than ``least``, η grows to make it so, to 1 at most (the author's code for Dyck and SCAN).
    For quadratic losses it is ‖H_B g_A − H_A g_B‖/(‖g_A‖ ‖g_B‖) at every η; equal losses have 0. The
    difference is taken of gradients, η[(g_B − g_B′) − (g_A − g_A′)]: the same, but not rounded to the
    precision of the weights. Cost: four forward and backward passes.

    Args:
        loss_a: of one mini-batch; loss_b: of another; theta_P: where.
        step: η, not the learning rate of training; least: 0 keeps η as it is.
    """
    g_a, g_b = gradient(loss_a, theta_P), gradient(loss_b, theta_P)
    shortest = min(g_a.norm().item(), g_b.norm().item())
    if step * shortest < least:
        step = min(least / max(shortest, 1e-300), 1.0)
    after_a, after_b = gradient(loss_b, theta_P - step * g_a), gradient(loss_a, theta_P - step * g_b)
    apart = step * ((g_b - after_a) - (g_a - after_b)).norm()
    return (apart / ((step * g_a).norm() * (step * g_b).norm() + 1e-12)).item()


def commutator_bracket(loss_a: FlatLoss, loss_b: FlatLoss, theta_P: Tensor) -> float:
    """‖H_B g_A − H_A g_B‖ / (‖g_A‖ ‖g_B‖), ≥ 0, per weight: the defect as η goes to 0 (reconstruction).

    Two gradients and two products with a Hessian; 0 where a gradient is exactly zero, NaN where one is not finite.
    """
    g_a, g_b = gradient(loss_a, theta_P), gradient(loss_b, theta_P)
    bracket = hessian_product(loss_b, theta_P)(g_a) - hessian_product(loss_a, theta_P)(g_b)
    size = g_a.norm() * g_b.norm()
    return 0.0 if size == 0 else (bracket.norm() / size).item()


def defect_onset(steps_T: Steps, defects_T: Floats) -> int | None:
    """The first step whose defect is above 20 and above 10 times its baseline; None where there is none. [Xu 2026a]

    The baseline is the median of the first three, 0.1 at least. Runs that never generalise have such
    an onset too, by the author's own account: it is no forecast.
    """
    if not len(defects_T):
        return None
    baseline = max(float(np.median(defects_T[:3])), 0.1)
    late = np.flatnonzero((defects_T > 10 * baseline) & (defects_T > 20.0))
    return int(steps_T[late[0]]) if len(late) else None


def update_spectrum(updates_WP: Tensor) -> Tensor:
    """Singular values (W,) of the last W ≤ P updates θ_t − θ_{t−1}, falling, in weight, float64. [Xu 2026b]

    There of the attention weights alone, with windows of 3 and 5; any vectors do.

    The roots of the eigenvalues of their W x W Gram matrix, by the updates themselves: the matrix would
    leave rounding of 1e-8 of the largest. What is below P times the precision of float64 is 0. Unchanged by
    the order of the updates and by turning them. W equal updates of length l have √W l and zeros. All NaN
    where one is not finite. O(W²P).
    """
    updates = updates_WP.double()
    if not bool(updates.isfinite().all()):
        return torch.full((len(updates),), torch.nan, dtype=torch.float64, device=updates.device)
    sigma = torch.linalg.svdvals(updates)
    return sigma * (sigma > updates.shape[1] * torch.finfo(torch.float64).eps * sigma[0])


def update_gap(spectrum_W: Tensor) -> float:
    """g₂₃ = σ₂² − σ₃², ≥ 0, in weight²: what the second direction of the updates has over the third. [Xu 2026b]

    What is not there, σ₃ of a window of two, is 0.
    """
    squares = F.pad(spectrum_W.double(), (0, 3)).square()
    return (squares[1] - squares[2]).item()


def update_edge(spectrum_W: Tensor) -> tuple[int, float]:
    """k*, and R = σ_k*/σ_{k*+1} ≥ 1 there: where the updates' spectrum breaks. [Xu 2026b; k* is a reconstruction]

    k* in 1 … W − 1 is where the ratio of neighbours is largest. R is ∞ where the rest is exactly zero, 1 where
    all are, and NaN for a window of one or a spectrum that is not finite.
    """
    sigma = spectrum_W.double()
    if len(sigma) < 2 or not bool(sigma.isfinite().all()):
        return 1, math.nan
    ratios = torch.where(sigma[1:] > 0, sigma[:-1] / sigma[1:], torch.where(sigma[:-1] > 0, float("inf"), 1.0))
    k = int(ratios.argmax())
    return k + 1, ratios[k].item()


@dataclass(frozen=True)
class NoiseScale:
    """How noisy a gradient is."""

    trace: float
    """tr Σ, the variance of one example's gradient, summed over weights."""
    signal: float
    """‖G‖², the squared true gradient; unbiased, so it may fall below 0."""

    @property
    def scale(self) -> float:
        """B_simple = tr Σ/‖G‖², in examples; ∞ where the signal does not rise above zero, NaN where it is NaN."""
        if math.isnan(self.signal):
            return math.nan
        return self.trace / self.signal if self.signal > 0 else float("inf")


def noise_scale_of_norms(small_squared: float, big_squared: float, small: int, big: int) -> NoiseScale:
    """The noise scale from squared gradient norms at two batch sizes. [McCandlish et al. 2018, App. A.1, Eq. A.2]

    E‖G_B‖² = ‖G‖² + tr Σ/B for a batch of B, so two sizes give both, unbiased.

    Args:
        small_squared: mean of ‖G_B‖² over batches of ``small``; big_squared: of ``big`` > ``small`` examples.
    """
    signal = (big * big_squared - small * small_squared) / (big - small)
    return NoiseScale((small_squared - big_squared) / (1 / small - 1 / big), signal)


def noise_scale(gradients_MP: Tensor, rows: int) -> NoiseScale:
    """The noise scale from the gradients of M disjoint mini-batches of ``rows`` examples each; NaN for M = 1.

    :func:`noise_scale_of_norms` with their mean as the big batch. The trace is then
    rows · Σ_m ‖g_m − ḡ‖²/(M − 1), the usual unbiased variance. Scaling the loss leaves the scale;
    equal gradients have scale 0, gradients that are noise alone about ∞.
    """
    g = gradients_MP.double()
    if len(g) < 2:
        return NoiseScale(math.nan, math.nan)
    small, big = g.square().sum(1).mean().item(), g.mean(0).square().sum().item()
    return noise_scale_of_norms(small, big, rows, rows * len(g))


def cosine_to_weights(gradient_P: Tensor, theta_P: Tensor) -> float:
    """cos(−g, θ), in [−1, 1]: above 0 a step lengthens the weights, below 0 it shortens them.

    −1 for L = ½‖θ‖², 0 for a loss that does not see the length of θ, 0 where either is zero, NaN where one
    is not finite.
    """
    g, theta = gradient_P.double(), theta_P.double()
    lengths = g.norm(), theta.norm()
    if 0 in lengths:
        return 0.0
    return (-(g / lengths[0]) @ (theta / lengths[1])).clamp(-1.0, 1.0).item()


def second_difference(steps_T: Steps, values_T: Floats) -> Floats:
    """Second derivative by three looks that end at each, (T − 2,), in unit/step²; looks need not be even.

    2[(v₂ − v₁)/(s₂ − s₁) − (v₁ − v₀)/(s₁ − s₀)]/(s₂ − s₀): exact for parabolas, v₂ − 2v₁ + v₀ for looks
    one step apart. Of the gradient's norm it is a claimed early sign that nobody has confirmed.
    """
    steps, values = np.asarray(steps_T, dtype=np.float64), np.asarray(values_T, dtype=np.float64)
    slope = np.diff(values) / np.diff(steps)
    return 2 * np.diff(slope) / (steps[2:] - steps[:-2])


class GradientSize(Measure):
    """The full training gradient: its norm, and whether it lengthens the weights.

    Of the recorded norm, :func:`second_difference` gives the curvature in time.
    """

    kind: ClassVar[str] = "gradient"
    cost: ClassVar[float] = 1.2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("gradient/norm", "loss/weight", _POSITIVE, "Euclidean norm of the training loss's gradient"),
        Quantity("gradient/cosine_weights", "1", (-1.0, 1.0), "cosine of the negative gradient with the weights"),
    )

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two numbers."""
        slopes = snapshot.gradients("train")
        weights = {name: p.detach() for name, p in snapshot.network.named_parameters()}
        g, theta = (torch.cat([part[n].flatten() for n in weights]) for part in (slopes, weights))
        return {
            "gradient/norm": g.double().norm().item(),
            "gradient/cosine_weights": cosine_to_weights(g, theta),
        }


class GradientNoise(Measure):
    """The gradient noise scale of the training loss, from disjoint mini-batches drawn anew at every look."""

    kind: ClassVar[str] = "gradient-noise"
    cost: ClassVar[float] = 2.1
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("noise/scale", "examples", _POSITIVE, "gradient noise scale; infinite where noise hides the signal"),
        Quantity("noise/trace", "loss²/weight²", _POSITIVE, "variance of one example's gradient over all weights"),
        Quantity("noise/signal", "loss²/weight²", _ANY, "squared true gradient, unbiased"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("mccandlish2018empirical", "App. A.1"),)

    batches: int = Field(default=16, ge=2)
    """M, mini-batches."""
    batch: int = Field(default=64, ge=1)
    """Rows of each, or fewer where there are not enough training rows."""
    seed: int = 0
    """Draws the mini-batches."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Three numbers."""
        generator = Seeds(self.seed).generator("measure", self.kind, snapshot.step)
        rows = some_rows(snapshot, self.batches * self.batch, generator)
        each = max(1, len(rows) // self.batches)
        losses = [snapshot_loss(snapshot, part) for part in rows.split(each)[: self.batches]]
        found = noise_scale(torch.stack([gradient(loss, theta) for loss, theta in losses]), each)
        return {
            "noise/scale": max(found.scale, 0.0),
            "noise/trace": max(found.trace, 0.0),  # rounding, where all gradients are equal
            "noise/signal": found.signal,
        }


class CommutatorDefect(Measure):
    """The median commutator defect over pairs of mini-batches of training rows, drawn anew at every look."""

    kind: ClassVar[str] = "commutator-defect"
    cost: ClassVar[float] = 6.0
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("commutator/defect", "1/weight", _POSITIVE, "how far apart two gradient steps end in either order"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("xu2026lowdimensional", "commutator defect"),)

    pairs: int = Field(default=5, ge=1)
    """K pairs of mini-batches; the paper takes 9 for modular arithmetic and 5 elsewhere."""
    batch: int = Field(default=512, ge=1)
    """Rows of a mini-batch, at most half of the training rows."""
    form: Literal["steps", "bracket"] = "steps"
    """steps: two steps in either order, as the paper does. bracket: its limit for small steps."""
    step: float = Field(default=1e-3, gt=0.0)
    """η of steps."""
    seed: int = 0
    """Draws the mini-batches."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """One number."""
        generator = Seeds(self.seed).generator("measure", self.kind, snapshot.step)
        size = max(1, min(self.batch, len(snapshot.split.rows["train"]) // 2))
        found = []
        for _ in range(self.pairs):
            a, b = (snapshot_loss(snapshot, some_rows(snapshot, size, generator)) for _ in range(2))
            bracket = self.form == "bracket"
            defect = commutator_bracket(a[0], b[0], a[1]) if bracket else commutator_defect(a[0], b[0], a[1], self.step)
            found.append(defect)
        return {"commutator/defect": float(np.median(found))}
