"""How many directions carry what a network has learned: spectra of activations and weights, usable alone.

Axes: N rows, D features, K = min(N, D) values of a spectrum. Each function of a spectrum takes values >= 0
in any order and sees only their shares p_i = v_i / Σ v, so scale, rotation and the order of rows and
columns leave it unchanged. Spectra come from the smaller Gram matrix in float64: N·D·K + K³ operations.
"""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.hooks import hooked
from grokscope.models.base import Neurons
from grokscope.sources import Source
from grokscope.trace import Quantity

PROBE_ROWS = 1024
TINY = torch.finfo(torch.float64).tiny
_SHARE = (0.0, 1.0)
_POSITIVE = (0.0, float("inf"))


# Spectra.


def centred(features_ND: Tensor) -> Tensor:
    """Rows minus their mean, (N, D), float64; a constant column of numbers becomes exactly 0."""
    x = features_ND.detach().double()
    if not len(x):
        return x
    constant = (x == x[0]).all(0) & x[0].isfinite()
    return torch.where(constant, 0.0, x - x.mean(0))  # the mean of equal numbers can miss them by rounding


def covariance_eigenvalues(features_ND: Tensor) -> Tensor:
    """Eigenvalues of the covariance of the columns, falling, (K,), float64.

    cov = Xcᵀ Xc / N with Xc of :func:`centred`; NaN throughout where X is not finite. Adding a vector
    to all rows changes nothing. P points around a circle of radius r have r²/2 twice, and 0.
    """
    return _gram_eigenvalues(centred(features_ND)) / len(features_ND)


def singular_values(weight_MN: Tensor) -> Tensor:
    """Singular values, falling, (K,), float64; those below about 1e-8 of the largest are rounding.

    Square roots of the Gram's eigenvalues. An orthogonal matrix has ones alone.
    """
    return _gram_eigenvalues(weight_MN.detach().double()).sqrt()


def _gram_eigenvalues(x_ND: Tensor) -> Tensor:
    gram = x_ND @ x_ND.T if len(x_ND) < x_ND.shape[1] else x_ND.T @ x_ND
    if not bool(gram.isfinite().all()):  # eigvalsh refuses what a diverged network gives
        return torch.full_like(gram[0], torch.nan)
    return torch.linalg.eigvalsh(gram).flip(0).clamp_min(0.0)


def shares(values_K: Tensor) -> Tensor:
    """p_i = v_i / Σ v, (K,), float64, in [0, 1]; zeros where all values are 0, NaN where one is not finite."""
    v = values_K.double()
    return v / v.sum().clamp_min(TINY)


def spectral_entropy(values_K: Tensor) -> Tensor:
    """H = −Σ p_i ln p_i in nats, a scalar in [0, ln K].

    0 for one direction, ln K for K equal ones, 0.5623 for 1 to 3. [Roy & Vetterli 2007; DeMoss et al. 2024,
    Eq. 15, both on singular values]
    """
    return torch.special.entr(shares(values_K)).sum()


def normalised_entropy(values_K: Tensor) -> Tensor:
    """H̃ = H / ln K, a scalar in [0, 1]; 0 for K = 1. [2604.13123, on eigenvalues of the covariance]

    There an earlier version has 0.61 as the value that is crossed before generalisation; MLPs cross it
    without generalising. K values count, whether they are 0 or not: fewer rows than columns make K the rows.
    """
    return (spectral_entropy(values_K) / max(math.log(max(len(values_K), 1)), TINY)).clamp_max(1.0)


def effective_rank(values_K: Tensor) -> Tensor:
    """e^H, a scalar in [1, K], or 0 where all values are 0.

    On singular values the effective rank of Roy & Vetterli 2007; on eigenvalues of the covariance of an
    embedding the effective dimension of Liu et al. 2022, Fig. 7: 2 for a circle.
    """
    return torch.where(values_K.double().sum() == 0, 0.0, spectral_entropy(values_K).exp())


def top_share(values_K: Tensor, top: int = 1) -> Tensor:
    """Σ of the ``top`` largest shares, a scalar in [0, 1]; 1/K for equal values and top = 1."""
    return shares(values_K).sort(descending=True).values[:top].sum().clamp_max(1.0)


def participation_ratio(values_K: Tensor) -> Tensor:
    """(Σ v)² / Σ v² = 1 / Σ p², a scalar in [1, K], or 0 where all values are 0; never above e^H.

    K for K equal values, 1.6 for 1 to 3.
    """
    p = shares(values_K)
    return p.sum() / p.square().sum().clamp_min(TINY)


def feature_rank(features_ND: Tensor) -> int:
    """Numerical rank of the covariance of the columns, 0 … min(N − 1, D). [Fan et al. 2024, Sec. 3]

    #{λ_i > max(N, D) · eps · λ_max}, eps that of the features' dtype (the tolerance of
    torch.linalg.matrix_rank), λ in float64. With more rows the tolerance is larger, so ranks on
    different numbers of rows do not compare: in float32 and 1000 rows a direction needs 1e-4 of the
    largest variance. Half precision takes float32's eps (ours: with its own, 128 rows of bfloat16 would have
    no rank). 0 for constant features, and for those that are not finite.
    """
    values = covariance_eigenvalues(features_ND)
    if not len(values):
        return 0
    tolerance = max(features_ND.shape) * torch.finfo(torch.promote_types(features_ND.dtype, torch.float32)).eps
    return int((values > tolerance * values.max()).sum())


# Layers.


def tunnel_length(ranks: Sequence[float], below: float = 300.0) -> int:
    """How many layers have a rank under ``below``, 0 … L. [Fan et al. 2024, 300 for layers of width 400]"""
    return sum(rank < below for rank in ranks)


def linear_probe(
    train_ND: Tensor, answers_N: Tensor, test_MD: Tensor, answers_M: Tensor, ridge: float = 1e-6
) -> Tensor:
    """Accuracy on the test rows of a linear readout fitted on the training rows, a scalar in [0, 1].

    Ridge regression on one-hot answers with an intercept, W = (XcᵀXc + r·tr(XcᵀXc)/D · I)⁻¹ XcᵀY: N·D² + D³
    operations. Fan et al. 2024 train a fresh linear layer for a fixed number of steps instead; the
    closed form (ours) has no learning rate and draws nothing. One-hot features are read without fault;
    noise is read at chance, 1/C; a layer without variance gives the commonest answer. Unchanged by translation,
    rotation and scale. NaN where features are not finite or a set has no row.
    """
    if not len(train_ND) or not len(test_MD):
        return torch.tensor(torch.nan, dtype=torch.float64)
    x, mean = train_ND.detach().double(), train_ND.detach().double().mean(0)
    x = x - mean
    gram = x.T @ x
    if not bool(gram.isfinite().all()):
        return torch.tensor(torch.nan, dtype=torch.float64)
    classes = int(torch.cat([answers_N, answers_M]).max()) + 1
    wanted = torch.nn.functional.one_hot(answers_N, classes).double()
    gram.diagonal().add_((ridge * gram.trace() / len(gram)).clamp_min(TINY))
    weight = torch.linalg.solve(gram, x.T @ wanted)
    scores = (test_MD.detach().double() - mean) @ weight + wanted.mean(0)
    if not bool(scores.isfinite().all()):
        return torch.tensor(torch.nan, dtype=torch.float64)
    return (scores.argmax(1) == answers_M).double().mean()


# Measures.


def probe_rows(snapshot: Snapshot, split: str, limit: int) -> Tensor:
    """At most ``limit`` rows of a split, evenly spread: the same at every look of a run."""
    rows = snapshot.split.rows[split]
    return rows if len(rows) <= limit else rows[torch.arange(limit) * len(rows) // limit]


def hidden(snapshot: Snapshot, split: str, limit: int) -> dict[str, Tensor]:
    """Hidden layers' outputs (n, H) at the answer on :func:`probe_rows`, first layer to last, by name.

    One forward pass over n rows, whatever the number of layers. A layer that does not work row by row
    (the first ones of a transformer work on its table of prefixes) is left out.
    """
    prefix = f"hidden {split} {limit} "
    if known := {k.removeprefix(prefix): v for k, v in snapshot._cache.items() if k.startswith(prefix)}:
        return known
    network, rows = snapshot.network, probe_rows(snapshot, split, limit)
    names = [n for n, m in network.named_modules() if isinstance(m, Neurons) or n == network.neurons]
    seen: dict[str, list[Tensor]] = {name: [] for name in names}
    with hooked(network, {name: _keep(parts) for name, parts in seen.items()}), torch.no_grad():
        network(snapshot.encoding.tokens_NL[rows])
    per_row = {name: parts[0] for name, parts in seen.items() if len(parts) == 1 and len(parts[0]) == len(rows)}
    found = {n: h.reshape(len(rows), -1, h.shape[-1])[:, snapshot.encoding.answer_row] for n, h in per_row.items()}
    snapshot._cache.update({prefix + name: h for name, h in found.items()})
    return found


def _keep(kept: list[Tensor]) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(_module: nn.Module, _input: object, output: Tensor) -> None:
        kept.append(output)

    return hook


class RepresentationSpectrum(Measure):
    """Spectrum of the covariance of the last hidden layer on a fixed part of the training rows.

    With λ_i its eigenvalues and p_i their shares: e^H, H / ln K, p_1 and 1 / Σ p². Training rows alone,
    so a monitor may use it. Values at the moment of generalisation need not be those at the end: look at both.
    """

    kind: ClassVar[str] = "representation-spectrum"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    cost: ClassVar[float] = 1.3
    every: ClassVar[int] = 4
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("representation/effective_rank", "1", _POSITIVE, "e^H of the last hidden layer's spectrum"),
        Quantity("representation/spectral_entropy", "1", _SHARE, "H / ln K of the last hidden layer's spectrum"),
        Quantity("representation/top_share", "share", _SHARE, "variance in the first principal direction"),
        Quantity("representation/participation_ratio", "1", _POSITIVE, "(Σλ)² / Σλ² of the last hidden layer"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("demoss2024complexity", "effective rank"),)

    rows: int = Field(default=PROBE_ROWS, ge=2)
    """Training rows that are looked at, at most."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Four values of one spectrum."""
        layer = hidden(snapshot, "train", self.rows)[snapshot.network.neurons]
        return _of_spectrum("representation/", "effective_rank", covariance_eigenvalues(layer))


class EmbeddingSpectrum(Measure):
    """Spectrum of the covariance of the embedding over the task's elements.

    The effective dimension e^H rises and falls again while a circle forms. [Liu et al. 2022, Sec. 4.2]
    """

    kind: ClassVar[str] = "embedding-spectrum"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    cost: ClassVar[float] = 0.05
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("embedding/effective_dimension", "1", _POSITIVE, "e^H of the embedding's principal components"),
        Quantity("embedding/spectral_entropy", "1", _SHARE, "H / ln K of the embedding's principal components"),
        Quantity("embedding/top_share", "share", _SHARE, "variance in the embedding's first component"),
        Quantity("embedding/participation_ratio", "1", _POSITIVE, "(Σλ)² / Σλ² of the embedding"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("liu2022effective", "Sec. 4.2, Fig. 7"),)

    def __call__(self, snapshot: Snapshot) -> Values:
        """Four values of one spectrum."""
        embedding = snapshot.network.embedding_PD()
        assert embedding is not None  # by ``needs``
        return _of_spectrum("embedding/", "effective_dimension", covariance_eigenvalues(embedding))


class Layers(Measure):
    """Feature rank and linear probe of each hidden layer, and the length of the tunnel.

    A layer belongs to the tunnel where its rank is under ``tunnel`` of its width; Fan et al. have 300
    of 400 (the share is ours). The probe is fitted on training rows and judged on held-out ones. NaN for layers
    that are not finite.
    """

    kind: ClassVar[str] = "layers"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    cost: ClassVar[float] = 2.5
    every: ClassVar[int] = 4
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("layers/rank", "1", _POSITIVE, "numerical rank of each hidden layer", array=True),
        Quantity("layers/probe_accuracy", "share", _SHARE, "held-out rows a linear probe answers", array=True),
        Quantity("layers/tunnel_length", "1", _POSITIVE, "layers of low rank"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("fan2024deep", "rank, tunnel and probe per layer"),)

    rows: int = Field(default=PROBE_ROWS, ge=2)
    """Rows of each split that are looked at, at most."""
    tunnel: float = Field(default=0.75, gt=0.0, le=1.0)
    """Share of its width under which a layer's rank is low, in (0, 1]."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two arrays over layers, and a count."""
        train, test = (hidden(snapshot, split, self.rows) for split in ("train", "test"))
        answers, asked = (
            snapshot.split.answers_N[probe_rows(snapshot, split, self.rows)] for split in ("train", "test")
        )
        names = [name for name in train if name in test]
        ranks = [feature_rank(train[n]) if bool(train[n].isfinite().all()) else math.nan for n in names]
        probes = [linear_probe(train[name], answers, test[name], asked).item() for name in names]
        relative = [rank / train[name].shape[1] for rank, name in zip(ranks, names, strict=True)]
        tunnel = math.nan if any(map(math.isnan, ranks)) else float(tunnel_length(relative, self.tunnel))
        return {
            "layers/rank": np.array(ranks, dtype=np.float32),
            "layers/probe_accuracy": np.array(probes, dtype=np.float32),
            "layers/tunnel_length": tunnel,
        }


def _of_spectrum(prefix: str, rank: str, values_K: Tensor) -> dict[str, float]:
    return {
        f"{prefix}{rank}": effective_rank(values_K).item(),
        f"{prefix}spectral_entropy": normalised_entropy(values_K).item(),
        f"{prefix}top_share": top_share(values_K).item(),
        f"{prefix}participation_ratio": participation_ratio(values_K).item(),
    }
