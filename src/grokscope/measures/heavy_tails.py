"""Tails of weights' spectra: power laws, the edge that noise has, and what stands beyond it, usable alone.

W is (M, N) in either order; below N ≥ M are its larger and smaller side, and λ the M eigenvalues of
WᵀW / N. All from one matrix: no data. [Martin & Mahoney 2018; Prakash & Martin 2025]
"""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.spectrum import singular_values
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.trace import Quantity

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POSITIVE = (0.0, float("inf"))


class PowerLaw(NamedTuple):
    """A tail p(x) ∝ x^−α for x ≥ xmin."""

    alpha: float
    """> 1; NaN where there are too few values."""
    xmin: float
    distance: float
    """Kolmogorov–Smirnov, in [0, 1]."""
    tail: int
    """Values ≥ xmin."""


def power_law(values_K: Tensor, least: int = 5) -> PowerLaw:
    """The tail's exponent by maximum likelihood, xmin where the fit is closest. [Clauset et al. 2007, Eqs. 3.1, 3.9]

    α = 1 + n / Σ ln(x_i / xmin) over the n values ≥ xmin; among all values as xmin that leave n ≥ ``least``
    the one with the smallest largest distance between the tail's distribution and 1 − (x/xmin)^(1−α).
    Scaling the values leaves α. NaN where none is left or one is not finite. Its standard error is (α − 1)/√n at a
    given xmin, and a little more with the search: 13 % of α − 1 with 60 values, so small matrices say little. Cost:
    K² operations.

    Args:
        values_K: >= 0, any order; zeros are left out; least: values a tail must have, at least 2.
    """
    x = values_K.detach().double()
    nothing = PowerLaw(float("nan"), float("nan"), float("nan"), 0)
    if not bool(x.isfinite().all()):
        return nothing
    x = x[x > 0].sort().values
    starts = torch.arange(len(x) - least + 1) if len(x) >= least else torch.arange(0)
    starts = starts[x[starts] < x[-1]] if len(starts) else starts  # a tail of equal values has no exponent
    starts = starts[torch.cat([torch.ones(1, dtype=torch.bool), x[starts].diff() > 0])] if len(starts) else starts
    if not len(starts):
        return nothing
    logs = x.log()
    counts = (len(x) - starts).double()
    suffix = logs.flip(0).cumsum(0).flip(0)
    alphas = 1 + counts / (suffix[starts] - counts * logs[starts])
    place = torch.arange(len(x)) - starts[:, None]  # (S, K): how many of the tail are below
    model = 1 - torch.exp((1 - alphas[:, None]) * (logs - logs[starts][:, None]))
    gaps = torch.maximum((place / counts[:, None] - model).abs(), ((place + 1) / counts[:, None] - model).abs())
    distances = torch.where(place >= 0, gaps, 0.0).max(1).values
    best = int(distances.argmin())
    return PowerLaw(alphas[best].item(), x[starts[best]].item(), distances[best].item(), int(counts[best]))


def eigenvalues(weight_MN: Tensor) -> Tensor:
    """λ of WᵀW/N, falling, (M,), float64, ≥ 0; exactly 0 where they are under M·ε of the largest.

    Those are rounding, and a power law would be fitted to it. A matrix of rank r has r others. NaN throughout where
    W is not finite.
    """
    values = singular_values(weight_MN).square() / max(weight_MN.shape)
    rounding = len(values) * torch.finfo(torch.float64).eps * values.amax()
    return torch.where(values <= rounding, 0.0, values)


def noise_edge(variance: float, larger: int, smaller: int) -> float:
    """λ₊ = σ²(1 + √(M/N))², where the spectrum of WᵀW/N ends for independent elements. [Marchenko & Pastur 1967]

    4σ² for a square matrix; as M/N goes to 0, σ².

    Args:
        variance: σ² ≥ 0 of the elements; larger, smaller: N ≥ M ≥ 1.

    Raises:
        ValueError: the sides are in another order.
    """
    if not larger >= smaller >= 1:
        raise ValueError(f"larger must be at least smaller, and that at least 1, got {larger} and {smaller}.")
    return variance * (1 + (smaller / larger) ** 0.5) ** 2


def beyond_edge(weight_MN: Tensor, margin: float = 3.0) -> int:
    """How many eigenvalues of WᵀW/N are above λ₊(1 + margin · M^(−2/3)), 0 … M.

    σ² is the variance of W's elements (ours; the authors fit the bulk); M^(−2/3) is the width of the largest
    eigenvalue's fluctuations [Tracy & Widom 1994], so that a matrix of independent normal elements has none. A
    planted direction of strength s (W + s·uvᵀ with unit u, v) is one where s² exceeds about σ²√(MN) by a margin.
    Scale and transposition leave the number. Cost: N·M² + M³.

    Raises:
        ValueError: weights that are not finite, or no element.
    """
    w = weight_MN.detach().double()
    if not w.numel() or not bool(w.isfinite().all()):
        raise ValueError("weights must be finite, and at least one.")
    smaller, larger = sorted(w.shape)
    edge = noise_edge(w.var(correction=0).item(), larger, smaller) * (1 + margin * smaller ** (-2 / 3))
    floor = torch.finfo(torch.float64).tiny  # a constant 0 has no eigenvalue above its edge
    return int((eigenvalues(w) > max(edge, floor)).sum())


def shuffled(weight_MN: Tensor, generator: torch.Generator) -> Tensor:
    """The same elements in random places, (M, N): what correlates them is gone, what is unusual in them stays."""
    order = torch.randperm(weight_MN.numel(), generator=generator).to(weight_MN.device)
    return weight_MN.detach().flatten()[order].view(weight_MN.shape)


def correlation_traps(weight_MN: Tensor, generator: torch.Generator, margin: float = 3.0) -> int:
    """:func:`beyond_edge` of the :func:`shuffled` matrix, 0 … M. [Prakash & Martin 2025, Sec. 3.2]

    0 for independent normal elements and for a planted dense direction, which shuffling destroys
    (:func:`beyond_edge` of W itself counts that); 1 for a mean far from 0; one for each element so large
    that w²/N alone is above the edge.

    Args:
        weight_MN: the matrix; generator: of the order, on the CPU; margin: in widths M^(−2/3), ours.
    """
    return beyond_edge(shuffled(weight_MN, generator), margin)


def matrices(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weight matrices by name; a stack of them gives each with its number.

    Of a convolution each place of the kernel has its matrix, outputs x inputs [Martin & Mahoney 2018]. Stacks of
    biases have two axes as well: what is called b, b_… or bias is left out.
    """
    for name, p in module.named_parameters():
        own = [part for part in name.split(".") if not part.isdigit()][-1:]
        if own and (own[0] in ("b", "bias") or own[0].startswith("b_")):
            continue
        if p.dim() == 2:
            yield name, p.detach()
        elif p.dim() > 2:
            kernel = isinstance(module.get_submodule(name.rpartition(".")[0]), CONVOLUTIONS)
            stack = p.detach().flatten(2).movedim(2, 0) if kernel else p.detach().reshape(-1, *p.shape[-2:])
            yield from ((f"{name}.{i}", w) for i, w in enumerate(stack))


class HeavyTails(Measure):
    """Exponent of each weight matrix's spectrum, its directions beyond the edge of noise, and correlation traps.

    α near 2 is reported where layers have learned well, α < 2 and traps where a network that had
    generalised fails again after very long training [Prakash & Martin 2025]. α is that of the eigenvalues of WᵀW; for
    singular values it is 2α − 1. It is missing for matrices with a side under ``least`` + 1, NaN for those of zeros
    alone, and noisy with a few dozen values. Spikes and traps are NaN where weights are not finite.
    """

    kind: ClassVar[str] = "heavy-tails"
    cost: ClassVar[float] = 1.0
    every: ClassVar[int] = 8
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("tails/alpha/*", "1", (1.0, float("inf")), "power-law exponent of each matrix's eigenvalues"),
        Quantity("tails/distance/*", "1", (0.0, 1.0), "Kolmogorov–Smirnov distance of that fit"),
        Quantity("tails/spikes/*", "1", _POSITIVE, "eigenvalues beyond the edge of noise"),
        Quantity("tails/traps/*", "1", _POSITIVE, "eigenvalues beyond it after the elements are shuffled"),
        Quantity("tails/traps_total", "1", _POSITIVE, "traps of all matrices"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("martin2018implicit", "heavy tails"),
        Source("clauset2007powerlaw", "maximum likelihood"),
        Source("prakash2025grokking", "Sec. 3, correlation traps"),
    )

    least: int = Field(default=5, ge=2)
    """Values that a tail must have."""
    margin: float = Field(default=3.0, ge=0.0)
    """How far above the edge of noise counts, in widths M^(−2/3)."""
    seed: int = 0
    """Draws the order of the shuffled elements, the same at every look."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Up to four numbers per matrix, and a sum."""
        values: dict[str, float] = {}
        traps = 0.0
        for name, weight in matrices(snapshot.network):
            generator = Seeds(self.seed).generator("measure", self.kind, name)
            if min(weight.shape) > self.least:
                fit = power_law(eigenvalues(weight), self.least)
                values[f"tails/alpha/{name}"], values[f"tails/distance/{name}"] = fit.alpha, fit.distance
            finite = bool(weight.isfinite().all())
            found = float(correlation_traps(weight, generator, self.margin)) if finite else float("nan")
            values[f"tails/spikes/{name}"] = float(beyond_edge(weight, self.margin)) if finite else float("nan")
            values[f"tails/traps/{name}"] = found
            traps += found
        return {**values, "tails/traps_total": traps}
