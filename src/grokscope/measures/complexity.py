"""How short a description of the weights is: what a lossless compressor leaves of coarse weights, usable alone.

A network's complexity is the size of the shortest file that gives back weights whose loss is within ε of
its own [DeMoss et al. 2024]. What is found is a bound from above: of the coarse weights that a grid of
steps Δ and rank shares τ offers, the smallest file. Nothing is drawn. Sizes are bytes; P is the number
of weights.
"""

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.curvature import flat_loss
from grokscope.measures.spectrum import probe_rows
from grokscope.sources import Source
from grokscope.trace import Quantity

COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "bz2": lambda data: bz2.compress(data, 9),
    "lzma": lambda data: lzma.compress(data, preset=6),
    "zlib": lambda data: zlib.compress(data, 9),
}
"""Lossless compressors of the standard library by name; bz2 is the paper's. Their empty files take 14,
32 and 8 bytes, so sizes of small networks compare within one compressor alone."""


def quantised(weights: Tensor, step: float) -> Tensor:
    """round(θ/Δ), whole numbers of the same shape, int64; θ̂ = Δ · round(θ/Δ) misses θ by at most Δ/2.

    Args:
        weights: finite, any shape; step: Δ > 0, in units of weight. 0.26 in steps of 0.1 is 3.

    Raises:
        ValueError: weights or steps that are not finite, a step that is not above 0, numbers beyond int64.
    """
    if not 0 < step < math.inf:
        raise ValueError(f"step must be above 0 and finite, got {step}.")
    whole = (weights.detach().double() / step).round()
    if not bool((whole.abs() < 2.0**63).all()):
        raise ValueError(f"weights in steps of {step} must be finite and fit into 64 bits.")
    return whole.long()


def low_rank(weight_MN: Tensor, share: float) -> tuple[Tensor, Tensor] | None:
    """Factors (M, k) and (k, N) of the best rank-k weight, float64; None where they are not shorter than it.

    k = min{k : Σ_{i≤k} σ_i / Σ σ ≥ τ}, taken only if k < MN/(M + N), as the paper has it; each factor
    gets √σ (ours), so that one step Δ suits both. Cost: one SVD.

    Args:
        weight_MN: finite; share: τ in (0, 1]; 1 keeps all directions that are not rounding.

    Raises:
        ValueError: weights that are not finite.
    """
    if not bool(weight_MN.isfinite().all()):
        raise ValueError("weights must be finite.")
    u, s, vt = torch.linalg.svd(weight_MN.detach().double(), full_matrices=False)
    s = torch.where(s > 1e-12 * s[:1], s, 0.0)  # zeros of a singular matrix come back as rounding
    total = s.sum()
    if total == 0:
        return None
    rank = min(int((s.cumsum(0) < share * total * (1 - 1e-12)).sum()) + 1, len(s))
    rows, columns = weight_MN.shape
    if rank * (rows + columns) >= rows * columns:
        return None
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vt[:rank]


def packed(values: Sequence[Tensor]) -> bytes:
    """Whole numbers as bytes, each tensor in the smallest of int8, 16, 32 and 64 that holds it, little-endian."""
    parts = []
    for tensor in values:
        largest = int(tensor.abs().max()) if tensor.numel() else 0
        kind = next(k for k in ("<i1", "<i2", "<i4", "<i8") if largest <= np.iinfo(k).max)
        parts.append(tensor.cpu().numpy().astype(kind).tobytes())
    return b"".join(parts)


def compressed_sizes(data: bytes) -> dict[str, int]:
    """Bytes that each of :data:`COMPRESSORS` needs for the same data, > 0; a few dozen for constant data."""
    return {name: len(compress(data)) for name, compress in COMPRESSORS.items()}


@dataclass(frozen=True)
class Coarse:
    """Coarse weights and their file."""

    weights: tuple[Tensor, ...]
    """θ̂, shaped as the weights, float64."""
    data: bytes
    """The whole numbers behind them, not yet compressed."""


def coarse(weights: Sequence[Tensor], step: float, share: float = 1.0) -> Coarse:
    """Weights of fewer digits and directions. [DeMoss et al. 2024]

    Matrices become :func:`low_rank` factors where those are shorter; then all is :func:`quantised` in one Δ.

    Args:
        weights: finite tensors of any shapes; step: Δ; share: τ of the spectrum that is kept; at 1 no
            factors are made.
    """
    return _rounded(_factored(weights, share), step)


def _factored(weights: Sequence[Tensor], share: float) -> list[tuple[Tensor, ...]]:
    return [(low_rank(w, share) if w.dim() == 2 and share < 1.0 else None) or (w,) for w in weights]


def _rounded(parts: Sequence[tuple[Tensor, ...]], step: float) -> Coarse:
    whole = [[quantised(x, step) for x in part] for part in parts]
    back = [[step * n.double() for n in numbers] for numbers in whole]
    found = tuple(b[0] if len(b) == 1 else b[0] @ b[1] for b in back)
    return Coarse(found, packed([n for numbers in whole for n in numbers]))


@dataclass(frozen=True)
class Description:
    """The shortest file that one compressor found."""

    size: int
    """Bytes after compression."""
    step: float
    """Δ; 0 where no coarse weights would do and the weights' own bytes were compressed."""
    share: float
    """τ."""


def steps_from(weights: Sequence[Tensor], count: int) -> Iterator[float]:
    """``count`` powers of two, falling, from the first at which all weights round to 0: 2 first for a 1."""
    largest = max((w.detach().abs().max().item() for w in weights if w.numel()), default=0.0)
    first = np.ceil(np.log2(largest)) + 1 if largest > 0 else 0
    yield from (float(2.0 ** (first - i)) for i in range(count))


def description_lengths(
    weights: Sequence[Tensor],
    loss: Callable[[Sequence[Tensor]], float],
    tolerance: float,
    shares: Sequence[float] = (1.0, 0.99, 0.9),
    steps: int = 16,
) -> dict[str, Description]:
    """The shortest file with |L(θ̂) − L(θ)| < ε, by compressor. [DeMoss et al. 2024, Eqs. 7, 11, 14]

    The grid is ours, the paper searches it by Bayesian optimisation.

    For each τ, Δ falls by halves until the loss is close enough: a smaller Δ only adds digits. Where no
    pair will do, the weights' own bytes are compressed. Cost: up to steps · len(shares) losses, one SVD
    per matrix and τ < 1, and a few compressions. Weights of zeros alone take a few dozen bytes, and so
    do those of an untrained network whose loss is within ε of that of zeros.

    Args:
        weights: θ, finite tensors; loss: of such tensors (float64, same shapes); tolerance: ε > 0, in the
            loss's unit; the paper takes 1.

    Raises:
        ValueError: weights that are not finite.
    """
    base = loss([w.detach().double() for w in weights])
    offers: list[tuple[bytes, float, float]] = []
    for share in shares:
        parts = _factored(weights, share)
        for step in steps_from(weights, steps):
            found = _rounded(parts, step)
            if abs(loss(found.weights) - base) < tolerance:
                offers.append((found.data, step, share))
                break
    if not offers:
        offers = [(b"".join(w.detach().cpu().flatten().view(torch.uint8).numpy().tobytes() for w in weights), 0.0, 1.0)]
    sizes = [compressed_sizes(data) for data, _, _ in offers]
    best = {name: min(range(len(offers)), key=lambda i: sizes[i][name]) for name in COMPRESSORS}
    return {name: Description(sizes[i][name], offers[i][1], offers[i][2]) for name, i in best.items()}


def module_description(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
    tolerance: float,
    shares: Sequence[float] = (1.0, 0.99, 0.9),
    steps: int = 16,
) -> dict[str, Description]:
    """:func:`description_lengths` of a module's parameters under its loss on fixed data; it is left as it is."""
    at, theta = flat_loss(module, loss, inputs, targets)

    def of(weights: Sequence[Tensor]) -> float:
        with torch.no_grad():
            return at(torch.cat([w.flatten() for w in weights]).to(theta)).item()

    return description_lengths([p.detach() for p in module.parameters()], of, tolerance, shares, steps)


class DescriptionLength(Measure):
    """The shortest file of coarse weights whose training loss is within ``tolerance``, by three compressors.

    It rises while rows are memorised and falls with generalisation where weights are regularised; without
    that it stays high [DeMoss et al. 2024, with ε = 1; the default here is ours]. NaN where the weights are not
    finite. It costs tens of passes over a part of the training rows.
    """

    kind: ClassVar[str] = "description-length"
    cost: ClassVar[float] = 12.5
    every: ClassVar[int] = 8
    quantities: ClassVar[tuple[Quantity, ...]] = (
        *(
            Quantity(f"complexity/{name}", "bytes", (0.0, float("inf")), f"coarse weights compressed by {name}")
            for name in COMPRESSORS
        ),
        Quantity("complexity/step", "weight", (0.0, float("inf")), "step of the coarse weights that bz2 has shortest"),
        Quantity("complexity/rank_share", "share", (0.0, 1.0), "share of each spectrum that they keep"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("demoss2024complexity", "lossy compression"),)

    tolerance: float = Field(default=0.01, gt=0.0)
    """ε, in the loss's unit."""
    rows: int = Field(default=1024, ge=1)
    """Training rows that the loss is taken on, at most."""
    shares: tuple[float, ...] = (1.0, 0.99, 0.9)
    """τ that are tried, in (0, 1]; 1 makes no factors."""
    steps: int = Field(default=16, ge=1)
    """Steps Δ that are tried for each τ, each half the last."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Three sizes, and how the first was had."""
        if not all(bool(p.isfinite().all()) for p in snapshot.network.parameters()):
            return {quantity.key: float("nan") for quantity in self.quantities}
        rows = probe_rows(snapshot, "train", self.rows)
        found = module_description(
            snapshot.network,
            snapshot.objective,
            snapshot.encoding.tokens_NL[rows],
            snapshot.targets_NR[rows],
            self.tolerance,
            self.shares,
            self.steps,
        )
        values = {f"complexity/{name}": float(description.size) for name, description in found.items()}
        return {**values, "complexity/step": found["bz2"].step, "complexity/rank_share": found["bz2"].share}
