"""The shape of what a network has learned: parallelograms, circles and classes, usable alone.

Axes: P elements, D features, N rows, C classes; Q unordered pairs of elements, M parallelograms: two
different pairs with the same answer. Everything is float64.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures import fourier
from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.spectrum import PROBE_ROWS, TINY, centred, hidden, probe_rows
from grokscope.sources import Source
from grokscope.trace import Quantity

NEAR = 0.01
"""A parallelogram exists when its mean squared gap is less than this. [Liu et al. 2022, code]"""
_SHARE = (0.0, 1.0)
_POSITIVE = (0.0, float("inf"))


# Parallelograms [Liu et al. 2022]. In an embedding on a circle E_i + E_j has the length of cos(w(i − j)/2):
# equal sums are no equal vectors, so a network that has learned addition mod p by circles has few of them.


def unordered_pairs(operands_N2: Tensor, answers_N: Tensor, train_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of a commutative table as pairs i <= j: pairs (Q, 2), answers (Q,), whether one order is trained on (Q,).

    Addition of 10 numbers has 55 pairs. ``train_N`` are row numbers.
    """
    low, high = operands_N2.min(1).values, operands_N2.max(1).values
    size = int(high.max()) + 1
    codes_Q, pair_N = torch.unique(low * size + high, return_inverse=True)
    answers_Q = torch.zeros_like(codes_Q).scatter_(0, pair_N, answers_N)
    train_Q = torch.zeros_like(codes_Q, dtype=torch.bool)
    train_Q[pair_N[train_N]] = True
    return torch.stack([codes_Q // size, codes_Q % size], 1), answers_Q, train_Q


def parallelograms(answers_Q: Tensor) -> Tensor:
    """P_0: all that can exist, each as two different pairs with one answer, (M, 2) numbers of pairs.

    M = Σ_s n_s (n_s − 1) / 2 with n_s pairs of answer s: 70 for addition of 0 … 9. The degenerate
    i + i = m + n counts, as in the paper's code.
    """
    found = [rows[torch.triu_indices(len(rows), len(rows), 1)].T for rows in _groups(answers_Q)]
    return torch.cat(found) if found else torch.empty(0, 2, dtype=torch.long)


def gaps(embedding_PD: Tensor, pairs_Q2: Tensor, answers_Q: Tensor) -> Tensor:
    """‖E_i + E_j − E_m − E_n‖² of each of :func:`parallelograms`, in its order, (M,); O(M·min(D, P))."""
    e = embedding_PD.detach().double()
    if e.shape[1] > len(e):  # lengths do not change in a basis of the P rows alone
        e = torch.linalg.qr(e.T, mode="r").R.T
    sums_QD = e[pairs_Q2].sum(1)
    found = [F.pdist(sums_QD[rows]).square() for rows in _groups(answers_Q)]
    return torch.cat(found) if found else torch.empty(0, dtype=torch.float64)


def _groups(answers_Q: Tensor) -> list[Tensor]:
    """Numbers of the pairs of each answer that two or more pairs have."""
    order = answers_Q.argsort(stable=True)
    return [rows for rows in order.split(torch.bincount(answers_Q).tolist()) if len(rows) > 1]


def standardised(embedding_PD: Tensor) -> Tensor:
    """Each column with mean 0 and (unbiased) standard deviation 1, (P, D); a constant column becomes 0."""
    e = centred(embedding_PD)
    return torch.where((e == 0).all(0), 0.0, e / e.std(0).clamp_min(TINY))


def existing(embedding_PD: Tensor, pairs_Q2: Tensor, answers_Q: Tensor, near: float = NEAR) -> Tensor:
    """Whether each of :func:`parallelograms` exists, (M,): mean over D of its standardised squared gap < ``near``.

    Constant columns do not count (ours: in the code one of them leaves none); where all are constant none exists.
    """
    e = standardised(embedding_PD)
    return gaps(e, pairs_Q2, answers_Q) / e.any(0).sum() < near


def rqi(embedding_PD: Tensor, pairs_Q2: Tensor, answers_Q: Tensor, near: float = NEAR) -> Tensor:
    """Representation quality index |P(R)| / |P_0|, the share of parallelograms that exist, a scalar in [0, 1].

    1 for E_k = u + k·v and addition; about 0 for noise (0.04 in one dimension). Unchanged by translation
    and by scaling of a column. 0 where nothing can exist, NaN where the embedding is not finite.
    [Liu et al. 2022, code]
    """
    if not bool(embedding_PD.isfinite().all()):
        return torch.tensor(torch.nan, dtype=torch.float64)
    return _share_of(existing(embedding_PD, pairs_Q2, answers_Q, near))


def _share_of(exist_M: Tensor) -> Tensor:
    return exist_M.double().sum() / max(len(exist_M), 1)


def predicted_accuracy(exist_M: Tensor, corners_M2: Tensor, train_Q: Tensor) -> Tensor:
    """Acc^ = (|train| + test pairs that an existing parallelogram links to a train pair) / Q, in [0, 1].

    What a decoder that knows the training pairs alone must get right. 1 where all parallelograms exist
    and every answer is trained on; the train share where none exists. [Liu et al. 2022]

    Args:
        exist_M: of :func:`existing`.
        corners_M2: of :func:`parallelograms`.
        train_Q: whether a pair is trained on.
    """
    first, second = corners_M2[exist_M].unbind(1)
    right_Q = train_Q.clone()
    right_Q[first[train_Q[second]]] = True
    right_Q[second[train_Q[first]]] = True
    return right_Q.double().mean()


def effective_loss(embedding_PD: Tensor, pairs_Q2: Tensor, answers_Q: Tensor, train_Q: Tensor) -> Tensor:
    """ℓ_eff = ℓ_0 / Z_0, the attraction between pairs of equal answers, a scalar >= 0.

    ℓ_0 is the mean squared gap of the parallelograms whose both pairs are trained on, P_0(D), and
    Z_0 = Σ_k ‖E_k‖² of the centred embedding (the paper's is centred already). 0 for E_k = u + k·v and
    addition, and where there is no such parallelogram; about 4/P for noise. Unchanged by translation, rotation
    and scale. [Liu et al. 2022, Sec. 3.2]
    """
    e = embedding_PD.detach().double()
    both_M = train_Q[parallelograms(answers_Q)].all(1)
    gap = gaps(e, pairs_Q2, answers_Q)[both_M]
    return gap.sum() / max(len(gap), 1) / centred(e).square().sum().clamp_min(TINY)


def equations(pairs_Q2: Tensor, answers_Q: Tensor, elements: int) -> Tensor:
    """Parallelograms as equations E_i + E_j − E_m − E_n = 0, one a row, (M, P); (0, 3, 1, 2) is [1, −1, −1, 1]."""
    counts_QP = F.one_hot(pairs_Q2, elements).sum(1).double()
    first, second = parallelograms(answers_Q).unbind(1)
    return counts_QP[first] - counts_QP[second]


def degrees_of_freedom(equations_MP: Tensor) -> int:
    """n_0, the nullity of the equations, 0 … P: what they leave free in one dimension of an embedding.

    2 (translation and scale) means that the linear embedding is the only one; P without equations.
    Eigenvalues of AᵀA under 1e-8 count as 0. [Liu et al. 2022, code]
    """
    return int((torch.linalg.eigvalsh(equations_MP.T @ equations_MP) < 1e-8).sum())


# Circles.


def circularity(embedding_PD: Tensor, components: int = 4) -> Tensor:
    """How far the first principal components are single waves over ℤ_P, a scalar in [0, 1].

    Mean over the components v of max_k 2/(P Σ v²) |Σ_j v_j e^{2πi jk/P}|², the share of power at frequency k.
    1 for a circle, and for several of different radius; about 0.08 for noise and P = 113; 0 for a point.
    Components with less than 1e-6 of the first one's variance are left out (ours: they are rounding; the
    paper has four). Circles of equal radius share their components, which lowers it. The paper calls 0.995
    and more circular. NaN where the embedding is not finite. O(P²·D + P³). [Zhong et al. 2023, Def. B.1]
    """
    e = centred(embedding_PD)
    gram = e @ e.T
    if not bool(gram.isfinite().all()):
        return torch.tensor(torch.nan, dtype=torch.float64)
    if len(e) < 2:
        return torch.tensor(0.0, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0)[:components], vectors.flip(1)[:, :components]
    living = values > fourier.DEAD * values[0]
    power_PK = (fourier.basis(len(e)).to(e.device) @ vectors).square()
    power_FK = torch.zeros(len(e) // 2 + 1, power_PK.shape[1], dtype=torch.float64, device=e.device)
    power_FK.index_add_(0, fourier.frequency_of_row(len(e)).to(e.device), power_PK)
    return (torch.where(living, power_FK[1:].amax(0), 0.0).sum() / living.sum().clamp_min(1)).clamp_max(1.0)


# Classes.


def class_means(features_ND: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the C classes that occur: means (C, D), sizes (C,), and the class of each row, 0 … C − 1, (N,)."""
    x = features_ND.detach().double()
    _, class_N = torch.unique(labels_N, return_inverse=True)
    sizes = torch.bincount(class_N).double()
    sums = torch.zeros(len(sizes), x.shape[1], dtype=torch.float64, device=x.device).index_add_(0, class_N, x)
    return sums / sizes[:, None], sizes, class_N


def separation_ratio(features_ND: Tensor, labels_N: Tensor) -> Tensor:
    """ILDR = mean_{c<c'} ‖μ_c − μ_c'‖² / mean_c mean_{i in c} ‖h_i − μ_c‖², a scalar >= 0.

    The paper takes up to 1500 held-out rows, since training rows separate as soon as they are memorised,
    and as its sign 2.5 times the value at step 3000. Noise and n rows a class score 2 / (n − 1); unchanged by
    translation, rotation and scale. Huge where no row leaves its mean (the paper adds 1e-8 below), NaN for a
    single class. N·D + C²·D operations. [Golwala 2026, Sec. 2.3.1]
    """
    means_CD, sizes, class_N = class_means(features_ND, labels_N)
    away_N = (features_ND.detach().double() - means_CD[class_N]).square().sum(1)
    scatter = torch.zeros_like(sizes).index_add_(0, class_N, away_N) / sizes
    return F.pdist(means_CD).square().mean() / scatter.mean().clamp_min(TINY)


def cosine_gap(features_ND: Tensor, labels_N: Tensor) -> Tensor:
    """Mean cosine of two rows of one class minus that of two rows of different classes, a scalar in [−2, 2].

    1 for C orthogonal directions, C / (C − 1) for a simplex, about 0 for noise. From sums of unit vectors,
    N·D operations: no pair of rows is formed. A row of zeros has cosine 0 with all. NaN where no two rows
    share a class, or all do. Unchanged by rotation and by the length of each row. [Howe 2026, code]
    """
    x = features_ND.detach().double()
    unit = x / x.norm(dim=1, keepdim=True).clamp_min(TINY)
    means_CD, sizes, _ = class_means(unit, labels_N)
    sums = means_CD * sizes[:, None]
    same = sums.square().sum() - unit.square().sum()
    different = sums.sum(0).square().sum() - sums.square().sum()
    pairs = sizes.square().sum()
    alike, unlike = pairs - len(x), len(x) ** 2 - pairs
    return torch.where((alike > 0) & (unlike > 0), same / alike - different / unlike, torch.nan)


def within_class_collapse(features_ND: Tensor, labels_N: Tensor) -> Tensor:
    """NC1 = tr(Σ_W Σ_B⁺) / C, a scalar >= 0: scatter within classes in units of that between them.

    Σ_W = mean_i (h_i − μ_c)(h_i − μ_c)ᵀ, Σ_B = mean_c (μ_c − μ)(μ_c − μ)ᵀ with μ the mean of the class means.
    0 when every row sits on its class mean, infinite when all means coincide, as a single one does. Unchanged by
    translation, rotation and scale, and by any invertible map where Σ_B has full rank. From a C x C eigenproblem,
    N·D·C operations. [Papyan et al. 2020, NC1]
    """
    means_CD, _, class_N = class_means(features_ND, labels_N)
    rest_ND = features_ND.detach().double() - means_CD[class_N]
    m_CD = centred(means_CD)
    gram = m_CD @ m_CD.T
    if not bool(gram.isfinite().all()):
        return torch.tensor(torch.nan, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(gram)
    kept = values > 1e-12 * values.max()  # centring leaves at least one that is rounding
    if not bool(kept.any()):
        return torch.tensor(torch.inf, dtype=torch.float64)
    # With the eigenvectors q of the Gram M Mᵀ, Σ_B⁺ = C Σ_k (Mᵀq_k)(Mᵀq_k)ᵀ / λ_k².
    along_NK = rest_ND @ (m_CD.T @ vectors[:, kept])
    return (along_NK.square().sum(0) / values[kept].square()).sum() / len(rest_ND)


def class_means_geometry(features_ND: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """NC2, two scalars >= 0: std_c / mean_c of ‖μ_c − μ‖, and mean_{c<c'} of |cos(μ_c − μ, μ_c' − μ) + 1/(C − 1)|.

    Both are 0 when the class means form a simplex, as far apart as C directions can be. In D >> C dimensions
    means of noise nearly do: the second is about √(2/(πD)). NaN where all means coincide, as a single one
    does. Unchanged by translation, rotation and scale. [Papyan et al. 2020, NC2]
    """
    m_CD = centred(class_means(features_ND, labels_N)[0])
    length = m_CD.norm(dim=1)
    if not bool(length.any()):
        return length.new_tensor(torch.nan), length.new_tensor(torch.nan)
    unit = m_CD / length[:, None].clamp_min(TINY)
    c = len(unit)
    first, second = torch.triu_indices(c, c, 1, device=unit.device)
    cosine = (unit @ unit.T)[first, second]
    return length.std(correction=0) / length.mean().clamp_min(TINY), (cosine + 1 / max(c - 1, 1)).abs().mean()


# Measures.


class Parallelograms(Measure):
    """Parallelograms of the embedding: how many exist, what they predict, and how hard they pull.

    For tasks whose answer does not depend on the order of two operands. Liu et al. have addition without
    modulus; two pairs with the same answer are the natural generalisation (ours). Random labels are
    looked at with the true answers.
    """

    kind: ClassVar[str] = "parallelograms"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding", "commutative task"})
    cost: ClassVar[float] = 1.1
    every: ClassVar[int] = 4
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("parallelograms/rqi", "share", _SHARE, "share of the possible parallelograms that exist"),
        Quantity("parallelograms/predicted_accuracy", "share", _SHARE, "pairs they and the training pairs answer"),
        Quantity("parallelograms/effective_loss", "1", _POSITIVE, "mean squared gap of trained ones over Σ‖E‖²"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("liu2022effective", "Sec. 3"),)

    near: float = Field(default=NEAR, gt=0.0)
    """Mean squared gap, in standard deviations of the embedding, under which a parallelogram exists."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Three scalars; NaN where the embedding is not finite."""
        task, embedding = snapshot.task, snapshot.network.embedding_PD()
        assert embedding is not None  # by ``needs``
        if not bool(embedding.isfinite().all()):
            return {quantity.key: float("nan") for quantity in self.quantities}
        table, train = task.table, snapshot.split.rows["train"]
        pairs, answers, train_Q = unordered_pairs(table.operands_NK, table.answers_N, train)
        exist = existing(embedding, pairs, answers, self.near)
        return {
            "parallelograms/rqi": _share_of(exist).item(),
            "parallelograms/predicted_accuracy": predicted_accuracy(exist, parallelograms(answers), train_Q).item(),
            "parallelograms/effective_loss": effective_loss(embedding, pairs, answers, train_Q).item(),
        }


class Circularity(Measure):
    """How far the embedding's first four principal components are single waves."""

    kind: ClassVar[str] = "circularity"
    needs: ClassVar[frozenset[str]] = frozenset({"cyclic group", "embedding"})
    cost: ClassVar[float] = 0.1
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("embedding/circularity", "share", _SHARE, "power of the first components in one frequency each"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("zhong2023clock", "Def. B.1"),)

    def __call__(self, snapshot: Snapshot) -> Values:
        """One scalar."""
        embedding = snapshot.network.embedding_PD()
        assert embedding is not None  # by ``needs``
        return {"embedding/circularity": circularity(embedding).item()}


class Separation(Measure):
    """Separation of the answers in the last hidden layer, on training and on held-out rows.

    The ratio of noise is 2 / (n − 1) for n rows a class, so the two splits compare only at equal n. Golwala 2026
    and Howe 2026 take held-out rows alone; at most ``rows`` of each split are looked at.
    """

    kind: ClassVar[str] = "separation"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    cost: ClassVar[float] = 0.55
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("separation/*_ratio", "1", _POSITIVE, "squared distance of class means over that to one's own"),
        Quantity("separation/*_cosine_gap", "1", (-2.0, 2.0), "cosine within classes minus that between classes"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("golwala2026ildr", "Sec. 2.3.1, ILDR"),
        Source("howe2026capability", "cosine gap"),
    )

    rows: int = Field(default=PROBE_ROWS, ge=2)
    """Rows of each split that are looked at, at most."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """``separation/<split>_ratio`` and ``separation/<split>_cosine_gap`` for train and test."""
        values: dict[str, float] = {}
        for split in ("train", "test"):
            layer, answers = _last_layer(snapshot, split, self.rows)
            values[f"separation/{split}_ratio"] = separation_ratio(layer, answers).item()
            values[f"separation/{split}_cosine_gap"] = cosine_gap(layer, answers).item()
        return values


class NeuralCollapse(Measure):
    """Neural collapse of the last hidden layer on training rows: NC1 and NC2."""

    kind: ClassVar[str] = "neural-collapse"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    cost: ClassVar[float] = 0.45
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("collapse/within_class", "1", _POSITIVE, "NC1, tr(Σ_W Σ_B⁺) / C"),
        Quantity("collapse/norm_spread", "1", _POSITIVE, "NC2, relative spread of the class means' norms"),
        Quantity("collapse/angle_spread", "1", (0.0, 2.0), "NC2, distance of their cosines from −1/(C − 1)"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("papyan2020prevalence", "NC1 and NC2"),)

    rows: int = Field(default=PROBE_ROWS, ge=2)
    """Training rows that are looked at, at most."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Three scalars."""
        layer, answers = _last_layer(snapshot, "train", self.rows)
        norms, angles = class_means_geometry(layer, answers)
        return {
            "collapse/within_class": within_class_collapse(layer, answers).item(),
            "collapse/norm_spread": norms.item(),
            "collapse/angle_spread": angles.item(),
        }


def _last_layer(snapshot: Snapshot, split: str, limit: int) -> tuple[Tensor, Tensor]:
    layer = hidden(snapshot, split, limit)[snapshot.network.neurons]
    return layer, snapshot.split.answers_N[probe_rows(snapshot, split, limit)]
