"""The local learning coefficient by SGLD, with what says whether to believe it; usable alone.

Axes: C chains, T draws, P parameters. The loss is a function of one vector of weights; see
:func:`grokscope.measures.curvature.flat_loss` for one of any ``nn.Module``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.curvature import FlatLoss, snapshot_loss, some_rows
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.spec import Spec
from grokscope.trace import Quantity

BatchLoss = Callable[[Tensor, torch.Generator], Tensor]
"""The loss of a mini-batch that is drawn from the generator."""
_POSITIVE = (0.0, float("inf"))


class Sampler(Spec):
    """How SGLD walks; an estimate is only comparable with others of the same settings.

    The defaults are ours: the paper tunes ε and γ by model, and so must you.
    """

    chains: int = Field(default=4, ge=1)
    """C."""
    burn_in: int = Field(default=50, ge=0)
    """Draws left out of each chain."""
    draws: int = Field(default=100, ge=4)
    """T, draws of each chain that count."""
    step: float = Field(default=1e-5, gt=0.0)
    """ε of SGLD, in weight²."""
    localization: float = Field(default=100.0, ge=0.0)
    """γ, in 1/weight²."""


@dataclass(frozen=True)
class LearningCoefficient:
    """An estimate of λ and its diagnostics."""

    losses_CT: Tensor
    """L at every draw after burn-in, float64."""
    start: float
    """L at the weights that are asked about."""
    n_beta: float

    @property
    def per_chain_C(self) -> Tensor:
        """λ̂ of each chain alone, nβ(mean_t L − L(w*))."""
        return self.n_beta * (self.losses_CT.mean(1) - self.start)

    @property
    def value(self) -> float:
        """λ̂ = nβ(E[L(w)] − L(w*)). [Lau et al. 2023, Sec. 4]"""
        return self.per_chain_C.mean().item()

    @property
    def diverged(self) -> bool:
        """Whether a chain has left the finite numbers; then the value is infinite or NaN and the rest NaN."""
        return not bool(self.losses_CT.isfinite().all())

    @property
    def negative(self) -> float:
        """Share of chains with λ̂ < 0, in [0, 1]."""
        return math.nan if self.diverged else (self.per_chain_C < 0).double().mean().item()

    @property
    def r_hat(self) -> float:
        """Split R̂ of the losses."""
        return split_r_hat(self.losses_CT)

    @property
    def effective_draws(self) -> float:
        """How many independent draws the losses are worth."""
        return effective_size(self.losses_CT)

    @property
    def error(self) -> float:
        """Standard error of λ̂ from the spread of the losses and their effective number."""
        return self.n_beta * self.losses_CT.std().item() / self.effective_draws**0.5

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons not to believe the value; empty where there is none (limits as in Vehtari et al. 2019, Sec. 4)."""
        if self.diverged:
            return ("a chain has diverged: smaller steps, or more localization",)
        found = []
        if self.negative:
            count = int((self.per_chain_C < 0).sum())
            found.append(f"{count} of {len(self.losses_CT)} chains are negative: θ* is no minimum")
        if self.r_hat > 1.01:
            found.append(f"R-hat {self.r_hat:.3f} > 1.01: the chains have not mixed")
        if self.effective_draws < 100 * len(self.losses_CT):
            found.append(f"{self.effective_draws:.0f} effective draws < 100 per chain")
        return tuple(found)


def sgld(
    loss: FlatLoss,
    theta_P: Tensor,
    n_beta: float,
    sampler: Sampler,
    generator: torch.Generator,
    minibatch: BatchLoss | None = None,
) -> Tensor:
    """Losses (C, T) along chains from θ*, float64, each draw w ← w − ε/2 (nβ ∇L(w) + γ(w − θ*)) + N(0, ε).

    Its target is exp(−nβ L(w) − γ/2 ‖w − θ*‖²) [Lau et al. 2023, Sec. 4]; steps of finite size
    widen it: along curvature k = nβ h + γ the variance is 1/(k(1 − εk/4)) instead of 1/k, and from
    εk ≥ 4 on the chain diverges. Cost: C · (burn_in + T) forward and backward passes.

    Args:
        loss: of all the data.
        theta_P: θ*.
        n_beta: nβ, examples times inverse temperature.
        sampler: C, T, burn-in, ε and γ.
        generator: of noise and mini-batches, shared by the chains one after another.
        minibatch: where given, gradients and recorded losses are those of fresh mini-batches.
    """
    target: BatchLoss = minibatch or (lambda w, _: loss(w))
    losses = torch.empty(sampler.chains, sampler.draws, dtype=torch.float64)
    start = theta_P.detach()
    for chain in range(sampler.chains):
        w = start
        for draw in range(-sampler.burn_in, sampler.draws):
            leaf = w.detach().requires_grad_()
            with torch.enable_grad():
                value = target(leaf, generator)
                (slope,) = torch.autograd.grad(value, leaf)
            if draw >= 0:
                losses[chain, draw] = value.item()
            noise = torch.randn(start.shape, dtype=torch.float64, generator=generator).to(start)
            drift = n_beta * slope + sampler.localization * (w - start)
            w = w - 0.5 * sampler.step * drift + sampler.step**0.5 * noise
    return losses


def learning_coefficient(
    loss: FlatLoss,
    theta_P: Tensor,
    n_beta: float,
    sampler: Sampler,
    generator: torch.Generator,
    minibatch: BatchLoss | None = None,
) -> LearningCoefficient:
    """The local learning coefficient λ̂ = nβ(E_SGLD[L] − L(θ*)), in [0, P/2] at a minimum. [Lau et al. 2023]

    d/2 at a quadratic minimum of d directions, d/4 at a quartic one, less wherever it is more
    singular: λ is the exponent of the volume of almost as good weights. Localisation pulls it down,
    on a quadratic to Σ ½ nβh/(nβh + γ), and finite steps push it up by 1/(1 − εk/4) (:func:`sgld`).
    Negative where SGLD finds lower loss than θ* has: then θ* is no minimum and λ is not defined.
    The usual nβ is n/log n. Arguments and cost are those of :func:`sgld`.
    """
    losses = sgld(loss, theta_P, n_beta, sampler, generator, minibatch)
    with torch.no_grad():
        return LearningCoefficient(losses, loss(theta_P).item(), n_beta)


def split_r_hat(values_CT: Tensor) -> float:
    """Split R̂ of C chains, about 1 where they agree; of the values, not of their ranks. [Vehtari et al. 2019, Sec. 3]

    Each chain is cut in halves of n; √(((n − 1)/n W + B/n)/W) with W the mean variance within a half
    and B/n the variance of the halves' means. In [√((n − 1)/n), ∞]; 1 where nothing ever varies, NaN
    for fewer than 4 draws or a value that is not finite.
    """
    halves = _halves(values_CT)
    n = halves.shape[1]
    if n < 2 or not bool(halves.isfinite().all()):
        return float("nan")
    within, between = halves.var(1).mean(), halves.mean(1).var()
    if within == 0:
        return 1.0 if between == 0 else float("inf")
    return (((n - 1) / n * within + between) / within).sqrt().item()


def effective_size(values_CT: Tensor) -> float:
    """Independent draws that C chains of T are worth, in (0, C·T·log₁₀(C·T)]. [Vehtari et al. 2019, Sec. 3]

    C·T/τ with τ = 1 + 2 Σ ρ_t over Geyer's initial monotone sequence of pairs; ρ_t combines what is
    within the split chains and between them. An AR(1) process of coefficient φ has C·T(1 − φ)/(1 + φ).
    Chains that never vary are worth all their draws. NaN for fewer than 4 draws or a value that is not finite.
    """
    halves = _halves(values_CT)
    count, n = halves.shape
    if n < 2 or not bool(halves.isfinite().all()):
        return float("nan")
    centred = halves - halves.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, 2 * n)
    covariance = torch.fft.irfft(spectrum.abs().square(), 2 * n)[:, :n] / n
    within = covariance[:, 0].mean() * n / (n - 1)
    total = within * (n - 1) / n + halves.mean(1).var()
    if total == 0:
        return float(count * n)
    rho = 1 - (within - covariance.mean(0)) / total
    rho[0] = 1.0
    pairs = rho[: n - n % 2].view(-1, 2).sum(1)
    negative = (pairs < 0).nonzero()
    positive = pairs[: int(negative[0])] if len(negative) else pairs
    tau = 2 * positive.cummin(0).values.sum().item() - 1
    size = count * n
    return size / max(tau, 1 / torch.tensor(float(size)).log10().item())


def _halves(values_CT: Tensor) -> Tensor:
    """(2C, T // 2), float64; of an odd number of draws the middle one is left out."""
    half = values_CT.shape[1] // 2
    return torch.cat([values_CT[:, :half], values_CT[:, values_CT.shape[1] - half :]]).double()


class LocalLearning(Sampler, Measure):
    """The local learning coefficient of the training loss at the network's weights, with R̂ and effective draws.

    nβ is n/ln n for n training rows. Early in training the weights are at no minimum, and the estimate is
    negative or meaningless: read it together with ``llc/negative``, ``llc/r_hat`` and ``llc/effective_draws``.
    It depends on ``step`` and ``localization``, so only values of one setting compare.
    """

    kind: ClassVar[str] = "local-learning"
    cost: ClassVar[float] = 300.0
    every: ClassVar[int] = 16
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("llc/value", "1", (-float("inf"), float("inf")), "local learning coefficient, mean over chains"),
        Quantity("llc/error", "1", _POSITIVE, "its standard error from the draws"),
        Quantity("llc/r_hat", "1", _POSITIVE, "split R-hat of the losses; above 1.01 the chains have not mixed"),
        Quantity("llc/effective_draws", "draws", _POSITIVE, "independent draws that the chains are worth"),
        Quantity("llc/negative", "share", (0.0, 1.0), "chains whose estimate is negative"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("lau2023local", "SGLD estimator"),
        Source("vehtari2019rank", "split R-hat and effective draws"),
    )

    batch: int = Field(default=512, ge=1)
    """Rows of a mini-batch, or all training rows where these are fewer."""
    seed: int = 0
    """Draws noise and mini-batches, the same at every look."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """The estimate and four numbers to judge it by."""
        generator = Seeds(self.seed).generator("measure", self.kind)
        rows = snapshot.split.rows["train"]
        count = len(rows)
        loss, theta = snapshot_loss(snapshot, rows)

        def minibatch(w_P: Tensor, generator: torch.Generator) -> Tensor:
            return snapshot_loss(snapshot, some_rows(snapshot, self.batch, generator))[0](w_P)

        n_beta = count / max(math.log(count), 1.0)
        batches = minibatch if self.batch < count else None
        found = learning_coefficient(loss, theta, n_beta, self, generator, batches)
        return {
            "llc/value": found.value,
            "llc/error": found.error,
            "llc/r_hat": found.r_hat,
            "llc/effective_draws": found.effective_draws,
            "llc/negative": found.negative,
        }
