"""What neurons say together and not alone: O-information under a Gaussian copula, usable alone.

Axes: S samples, n variables, H neurons. Everything is a function of a correlation matrix; natural
logarithms. [Rosas et al. 2019; Clauw et al. 2024, 2408.08944]
"""

from itertools import combinations
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.spectrum import centred, hidden
from grokscope.sources import Source
from grokscope.trace import Quantity

_ANY = (-float("inf"), float("inf"))


def normal_scores(samples_SN: Tensor) -> Tensor:
    """Each column with its values' ranks r (1 … S, equal values share the mean) as Φ⁻¹(r/(S + 1)), float64.

    Any rising function of a column gives the same scores, which is what makes a Gaussian copula of them.
    A constant column is 0, one that holds a NaN is NaN. Cost: a sort of each column.
    """
    x = samples_SN.detach().double().T.contiguous()
    ordered = x.sort(1).values
    below, upto = (torch.searchsorted(ordered, x, right=right) for right in (False, True))
    ranks = (below + 1 + upto).double() / 2
    scores = torch.special.ndtri(ranks / (x.shape[1] + 1))
    return torch.where(x.isnan().any(1, keepdim=True), torch.nan, scores).T


def correlations(samples_SN: Tensor, shrinkage: float = 1e-6) -> Tensor:
    """(1 − ε) R + ε I, (n, n), float64; a constant column is independent of all others.

    Unchanged by translation and by a positive scale of a column. Copies have 1 − ε.

    Args:
        samples_SN: S ≥ 1 values of each; shrinkage: ε, which keeps the information of exact copies finite.
    """
    x = centred(samples_SN)
    norms = x.norm(dim=0)
    x = x / torch.where(norms == 0, 1.0, norms)
    r = (1 - shrinkage) * (x.T @ x)
    return r.fill_diagonal_(1.0)


def o_information(correlation: Tensor) -> Tensor:
    """Ω = (n − 2) H(X) + Σ_i [H(X_i) − H(X_−i)] in nats of Gaussian variables, (…) of (…, n, n).

    From R alone: −ln det R − ½ Σ_i ln (R⁻¹)_ii. > 0 where redundancy dominates (copies), < 0 where
    synergy does (a sum and its terms), 0 for independent variables and for any two. The order of the variables
    does not matter. Three variables
    with equal correlation r have ½ ln[(1 + 2r) / ((1 − r)(1 + r)³)].
    XOR of bits, whose pairs are uncorrelated, is invisible to it: 0, not −ln 2. NaN where R is not finite.

    Args:
        correlation: positive definite; see :func:`correlations`.
    """
    factor, failed = torch.linalg.cholesky_ex(correlation)
    factor = torch.where(failed[..., None, None] == 0, factor, torch.nan)
    logdet = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -logdet - 0.5 * torch.cholesky_inverse(factor).diagonal(dim1=-2, dim2=-1).log().sum(-1)


class Multiplet(NamedTuple):
    """Some variables and their O-information."""

    members: tuple[int, ...]
    value: float


def extremes(correlation_NN: Tensor, largest: int = 10) -> tuple[Multiplet, Multiplet]:
    """The multiplets of 3 … ``largest`` variables with the lowest and the highest Ω, by exhaustive search.

    Clauw et al. start at 2, where Ω is always 0. Cost: 2ⁿ small factorisations, 968 for 10 variables.

    Args:
        correlation_NN: of n ≥ 3 variables; largest: at least 3.

    Raises:
        ValueError: fewer than 3 variables.
    """
    if min(largest, len(correlation_NN)) < 3:
        raise ValueError(f"multiplets have at least 3 variables, got {min(largest, len(correlation_NN))}.")
    low, high = Multiplet((), float("inf")), Multiplet((), -float("inf"))
    for size in range(3, min(largest, len(correlation_NN)) + 1):
        members = torch.tensor(list(combinations(range(len(correlation_NN)), size)))
        values = o_information(correlation_NN[members[:, :, None], members[:, None, :]])
        least, most = int(values.argmin()), int(values.argmax())
        if not values[least] >= low.value:
            low = Multiplet(tuple(members[least].tolist()), values[least].item())
        if not values[most] <= high.value:
            high = Multiplet(tuple(members[most].tolist()), values[most].item())
    return low, high


def ward_clusters(points_HS: Tensor, clusters: int) -> Tensor:
    """Labels 0 … clusters − 1 of H points, int64, by Ward's agglomeration. [Ward 1963; scikit-learn's default]

    The pair whose union adds least to the sum of squared distances to the means is joined, again and
    again; labels count clusters by their first point. Cost: H² per joining.

    Args:
        points_HS: rows are points, finite; clusters: at least 1, at most H.

    Raises:
        ValueError: as many clusters there cannot be, or points that are not finite.
    """
    if not 1 <= clusters <= len(points_HS):
        raise ValueError(f"clusters must be 1 … {len(points_HS)}, got {clusters}.")
    if not bool(points_HS.isfinite().all()):
        raise ValueError("points must be finite.")
    d = torch.cdist(points_HS.double(), points_HS.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    d.fill_diagonal_(torch.inf)
    count = len(d)
    sizes = torch.ones(count, dtype=torch.float64, device=d.device)
    labels = torch.arange(count)
    for _ in range(count - clusters):
        i, j = sorted(divmod(int(d.argmin()), count))
        both = sizes[i] + sizes[j]
        joined = ((sizes + sizes[i]) * d[i] + (sizes + sizes[j]) * d[j] - sizes * d[i, j]) / (sizes + both)
        joined[torch.isnan(joined)] = torch.inf  # distances to those that are gone
        joined[i] = torch.inf
        d[i], d[:, i] = joined, joined
        d[j], d[:, j] = torch.inf, torch.inf
        sizes[i] = both
        labels[labels == labels[j]] = labels[i].item()
    return torch.unique(labels, return_inverse=True)[1]


def binned(activations_SH: Tensor, bins: int = 10) -> Tensor:
    """Mean activation of each of ``bins`` clusters of neurons, (S, min(bins, H)), float64. [Clauw et al. 2024]"""
    x = activations_SH.detach().double()
    labels = ward_clusters(x.T, min(bins, x.shape[1])).to(x.device)
    member = torch.nn.functional.one_hot(labels).double()
    return x @ member / member.sum(0)


class OInformation(Measure):
    """Synergy and redundancy of groups of neurons in the last hidden layer, on a part of the training rows.

    NaN where the layer is not finite or has fewer than 3 neurons.

    Neurons are joined into ``bins`` by their activations; over all multiplets of bins the lowest Ω
    (synergy) and the highest (redundancy). An early fall of the lowest is claimed to announce
    generalisation; the authors ask for more tests.
    """

    kind: ClassVar[str] = "o-information"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    cost: ClassVar[float] = 9.0
    every: ClassVar[int] = 8
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("information/synergy", "nats", _ANY, "lowest O-information of a multiplet of neuron clusters"),
        Quantity("information/redundancy", "nats", _ANY, "highest O-information of a multiplet of neuron clusters"),
        Quantity("information/all", "nats", _ANY, "O-information of all neuron clusters together"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("clauw2024informationtheoretic", "O-information"),
        Source("rosas2019quantifying", "definition"),
    )

    rows: int = Field(default=512, ge=8)
    """Training rows that are looked at, at most."""
    bins: int = Field(default=10, ge=3, le=14)
    """Clusters of neurons; the search looks at 2^bins multiplets."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Three scalars; NaN where activations are not finite or there are under 3 neurons."""
        layer = hidden(snapshot, "train", self.rows)[snapshot.network.neurons]
        if layer.shape[1] < 3 or not bool(layer.isfinite().all()):
            return {quantity.key: float("nan") for quantity in self.quantities}
        r = correlations(normal_scores(binned(layer.cpu(), self.bins)))
        low, high = extremes(r, self.bins)
        return {
            "information/synergy": low.value,
            "information/redundancy": high.value,
            "information/all": o_information(r).item(),
        }
