"""Memorisation in bits: what a network knows of the very rows that it was trained on, and how much it could hold.

Memorisation is saved code length. Row x costs −log₂ p(x) bits under a network and H(x) bits under a
reference that has not seen it; the difference is what the network holds of x. Axes: N rows, R read
positions, V tokens, S data sets of growing size. All in bits, unless named ``log_p``, which is in nats.

Capacity belongs to a learner (architecture, budget, precision), not to a parameter count: Morris et
al. report 3.51 ± 0.1 bits per parameter in bfloat16 and 3.83 ± 0.1 in float32, single networks 3.5 to
4.2, after 10⁶ steps. No constant of theirs is a default here: measure the capacity of the network at
hand on random labels. That grokking begins when the capacity is full is their reading of data set
*size* at convergence; Song & Ye 2026 find delayed generalisation in networks that are nowhere near full.
"""

import math
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from torch import Tensor

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.sources import Source
from grokscope.trace import Quantity

_SHARE = (0.0, 1.0)
_BITS = (0.0, float("inf"))
LAW = (1.34, -0.034, 33.14)
"""c₁, c₂ and c₃ of :func:`membership_law`."""


def log_probability(logits_NRV: Tensor, targets_NR: Tensor) -> Tensor:
    """ln p of each row's wanted tokens, summed over the read positions: (N,), nats, ≤ 0, float64.

    Σ_r log_softmax(logits_r)[target_r]. Uniform logits give −R ln V. O(N·R·V).
    """
    log_p = torch.log_softmax(logits_NRV.double(), -1)
    return log_p.gather(-1, targets_NR[..., None])[..., 0].sum(-1)


def dataset_bits(rows: int, vocabulary: int, length: int = 1) -> float:
    """Information in a uniform random data set, K_mem = N · S · log₂ V bits; ≥ 0.

    Of labels alone S is 1 and V the number of classes. 3830 labels of 113 classes are 26,121 bits.
    [Morris et al. 2025, Sec. 3; Song & Ye 2026]

    Args:
        rows: N ≥ 0; vocabulary: V ≥ 1; length: S ≥ 0.

    Raises:
        ValueError: a vocabulary below 1.
    """
    if vocabulary < 1:
        raise ValueError(f"vocabulary must be at least 1, got {vocabulary}.")
    return rows * length * math.log2(vocabulary)


def coding_gain(log_p_N: Tensor, log_reference_N: Tensor | float) -> Tensor:
    """log₂ p − log₂ p_ref of each row, (N,), bits of any sign.

    Its sum against the uniform reference is M_T = Σ log₂ V − CE₂ of Song & Ye 2026. Confidently wrong
    rows count against the others, so it may be negative without bound.
    """
    return (log_p_N - log_reference_N) / math.log(2)


def memorised_bits(log_p_N: Tensor, log_reference_N: Tensor | float) -> Tensor:
    """Unintended memorisation of each row, (N,), bits ≥ 0.

    mem_U(x) = H(x | θ) − H(x | θ, θ̂) with H(x | θ) ≈ −log₂ p_ref(x) and H(x | θ, θ̂) ≈
    −log₂ max{p(x), p_ref(x)}, hence max(0, :func:`coding_gain`): a coder that holds both never pays for
    the network's mistakes. [Morris et al. 2025]

    The reference θ is what can be known without the data: the uniform distribution for random labels
    (then nothing generalises, and this is all memorisation), a far larger model for natural data.
    Against the uniform reference and on data with structure it counts generalisation too.
    Data never learned (p = p_ref) have 0 bits; a row known by heart (p = 1) has −log₂ p_ref. A network
    that is right by luck scores too: noise of ±a bits around the reference leaves a/√(2π) per row.

    Args:
        log_p_N: ln p of the rows under the network, :func:`log_probability`.
        log_reference_N: ln p of the rows under the reference, or one number: −S ln V if uniform.
    """
    return coding_gain(log_p_N, log_reference_N).clamp_min(0.0)


class Capacity(NamedTuple):
    """A fit of min(K, C)."""

    bits: float
    """C."""
    beyond: int
    """Data sets larger than C. With 0 nothing was full, and C is only a lower bound."""
    error: float
    """Root mean square of memorised − min(K, C), in bits."""


def capacity(memorised_S: ArrayLike) -> float:
    """Capacity(L) = max over data sets X of mem(X, L(X)), bits. [Morris et al. 2025, Sec. 3]

    The largest Σ mem that was seen: a lower bound that only plateaus if the data sets are large enough
    and training long enough. ``capacity([10, 20, 24, 23])`` is 24; NaN where one of them is.

    Raises:
        ValueError: there is none.
    """
    memorised = np.asarray(memorised_S, dtype=np.float64)
    if not memorised.size:
        raise ValueError("a capacity wants at least one memorised value.")
    return float(memorised.max())


def fit_capacity(dataset_bits_S: ArrayLike, memorised_S: ArrayLike) -> Capacity:
    """The C that makes memorised ≈ min(K, C) in least squares, exactly (ours); O(S²).

    The paper reads its plateaus off a plot. Between two neighbouring K the best C is the mean of what the
    larger data sets left behind, kept to that interval; the best of these is the best of all.
    K = 10, 20, 40, 80 with memorised 10, 20, 30, 30 give C = 30 with 2 sets beyond and error 0.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    order = np.argsort(np.asarray(dataset_bits_S, dtype=np.float64), kind="stable")
    if not len(order) or len(order) != np.size(memorised_S):
        raise ValueError(f"as many data sets as memorised values, got {len(order)} and {np.size(memorised_S)}.")
    k_S = np.asarray(dataset_bits_S, dtype=np.float64)[order]
    m_S = np.asarray(memorised_S, dtype=np.float64)[order]
    edges = np.concatenate([[0.0], k_S])
    candidates = [float(k_S[-1])]
    candidates += [float(np.clip(m_S[i:].mean(), edges[i], edges[i + 1])) for i in range(len(k_S))]
    errors = [float(np.sqrt(np.mean((m_S - np.minimum(k_S, c)) ** 2))) for c in candidates]
    best = int(np.argmin(errors))
    return Capacity(candidates[best], int((k_S > candidates[best]).sum()), errors[best])


def bits_per_parameter(capacity_bits: float, parameters: int) -> float:
    """α = C / parameters, ≥ 0. A result of the two, never an input: see the module's warning.

    30 bits in 8 parameters are 3.75.

    Raises:
        ValueError: fewer than one parameter.
    """
    if parameters < 1:
        raise ValueError(f"parameters must be at least 1, got {parameters}.")
    return capacity_bits / parameters


def saturation(data_bits: float, capacity_bits: float) -> float:
    """P_mem = K_mem / C, how often the data would fill the network; ≥ 0. [Song & Ye 2026]

    Below 1 all of it fits. It is a property of data and network, not of the step; how full a network is
    at a step is Σ :func:`memorised_bits` / C. 15 bits for a capacity of 30 are ½.

    Raises:
        ValueError: a capacity that is not above 0.
    """
    if not capacity_bits > 0:
        raise ValueError(f"a capacity must be above 0 bits, got {capacity_bits}.")
    return data_bits / capacity_bits


def _rates(members_N: Tensor, others_M: Tensor) -> tuple[Tensor, Tensor]:
    """True and false positive rates of "member if score ≥ c" for every c, from (0, 0) to (1, 1).

    NaN alone where a score is NaN or a side is empty.
    """
    if not len(members_N) or not len(others_M) or bool(members_N.isnan().any()) or bool(others_M.isnan().any()):
        return torch.full((1,), torch.nan, dtype=torch.float64), torch.full((1,), torch.nan, dtype=torch.float64)
    values, place = torch.unique(torch.cat([members_N, others_M]).double().cpu(), return_inverse=True)
    at = len(values) - place  # the largest score is the first to be called a member
    counts = (torch.bincount(part, minlength=len(values) + 1) for part in (at[: len(members_N)], at[len(members_N) :]))
    tpr, fpr = (count.cumsum(0).double() / count.sum() for count in counts)
    return tpr, fpr


def membership_f1(members_N: Tensor, others_M: Tensor) -> float:
    """F1 of telling members from others by a threshold on a score, as many of each: in [0, 1], chance ½.

    The threshold is the one that calls half of all rows members (TPR + FPR = 1; ties are broken by
    chance). There precision, recall, accuracy and 1 − equal error rate are one number.
    Reconstruction: the paper's law has the floor ½, which only such a threshold has; the threshold of
    largest F1 cannot fall below 2/3 (:func:`best_membership_f1`). [Morris et al. 2025]

    ``members`` 3, 2, 1 and ``others`` 2, 1, 0 score 2/3; equal scores ½; apart 1. Only the order of the
    scores matters. NaN where a score is NaN or a side is empty. O((N + M) log(N + M)).

    Args:
        members_N: larger where membership is likelier, such as :func:`log_probability` of training rows.
        others_M: the same of rows never trained on; N and M may differ, the classes weigh the same.
    """
    tpr, fpr = _rates(members_N, others_M)
    total = tpr + fpr
    if bool(total.isnan().any()):
        return float("nan")
    after = int((total >= 1.0).nonzero()[0])
    share = (1.0 - total[after - 1]) / (total[after] - total[after - 1])
    return float(tpr[after - 1] + share * (tpr[after] - tpr[after - 1]))


def best_membership_f1(members_N: Tensor, others_M: Tensor) -> float:
    """Largest F1 over all thresholds, 2 TPR / (1 + TPR + FPR), as many of each: in [2/3, 1].

    Chance is 2/3, by calling every row a member. It chooses its threshold on the rows that it judges. Only
    the order of the scores matters. NaN where a score is NaN or a side is empty.
    """
    tpr, fpr = _rates(members_N, others_M)
    return float((2 * tpr / (1 + tpr + fpr)).max())


def membership_law(data_bits_per_parameter: float) -> float:
    """F1(x) = ½ (1 + c₁ σ(c₂ (x − c₃))), x = N·S·log₂V / parameters, c = (1.34, −0.034, 33.14).

    Range (½, 1.006): it exceeds 1 below x = 1.4, where it was never fitted. Known values: 109.6 → .546,
    49.3 → .745, 12.1 → .950. [Morris et al. 2025]
    Reconstruction: as we found the law printed, in Capacity / |D| with c₃ = −33.14, it has the wrong limit;
    in data bits per parameter it gives the paper's own table.
    """
    slope, scale, centre = LAW
    sigmoid = 0.5 * (1 + math.tanh(0.5 * scale * (data_bits_per_parameter - centre)))
    return 0.5 * (1 + slope * sigmoid)


def extraction_rate(generated_NS: Tensor, wanted_NS: Tensor, prefix: int = 0) -> float:
    """Share of rows whose tokens after ``prefix`` are all generated as they are in the data, in [0, 1].

    Greedy decoding gives a whole row exactly if the largest logit is right at every position of one
    pass over the true tokens, so ``logits.argmax(-1)`` of such a pass will do for ``generated``.
    For one answer token it is accuracy. Extraction does not prove memorisation: compare held-out rows,
    which a network that generalises extracts as well. NaN for no rows. [Morris et al. 2025]

    Args:
        generated_NS, wanted_NS: tokens of the same shape; prefix: 0 ≤ prefix < S, tokens that are given.

    Raises:
        ValueError: the shapes differ, or the prefix leaves nothing to extract.
    """
    if generated_NS.shape != wanted_NS.shape:
        raise ValueError(f"generated and wanted differ in shape: {generated_NS.shape}, {wanted_NS.shape}.")
    if not 0 <= prefix < wanted_NS.shape[1]:
        raise ValueError(f"prefix must be at least 0 and leave a token of {wanted_NS.shape[1]}, got {prefix}.")
    return float((generated_NS == wanted_NS)[:, prefix:].all(1).double().mean())


class Memorization(Measure):
    """Bits of the training answers that the network holds, and whether it can tell them from held-out ones.

    Reference: uniform over the answers, log₂ classes bits a row (the operands are given, not
    remembered). On random labels ``train_bits`` is all memorisation; on a task with a rule it counts the rule as
    well. ``unintended_bits`` = N_train · (mean bits of a train row − mean bits of a held-out row),
    at least 0 (ours): what the network itself knows of rows it has not seen stands in for the paper's
    oracle, so it falls to 0 when the rule is found. On random labels held-out rows score a little by luck,
    by which it falls short there. Probabilities are the softmax of the logits; after training on another
    objective they are a poor code, and the bits a lower bound.
    """

    kind: ClassVar[str] = "memorization"
    cost: ClassVar[float] = 0.25
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("memorization/train_bits", "bits", _BITS, "Σ max(0, log₂ p·C) over training answers"),
        Quantity("memorization/train_share", "share", _SHARE, "training bits of N·log₂ C"),
        Quantity("memorization/test_share", "share", _SHARE, "held-out bits of N·log₂ C"),
        Quantity("memorization/unintended_bits", "bits", _BITS, "training bits beyond those of held-out rows"),
        Quantity("memorization/saturation", "1", _BITS, "P_mem, bits of the training labels over the capacity"),
        Quantity("memorization/fill", "1", _BITS, "training bits held over the capacity"),
        Quantity("memorization/membership_f1", "share", _SHARE, "F1 of telling train from test by loss; chance ½"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("morris2025how", "unintended memorisation"),
        Source("song2026model", "capacity and speeds"),
    )

    capacity: float | None = Field(default=None, gt=0.0)
    """C in bits, measured on random labels with this learner (:func:`fit_capacity`); saturation and fill need it."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Bits and shares of both splits, and the membership test between them."""
        row, classes = snapshot.encoding.answer_row, snapshot.task.classes
        at = slice(row, row + 1)
        log_p_N = log_probability(snapshot.logits_NRV[:, at], snapshot.targets_NR[:, at])
        bits_N = memorised_bits(log_p_N, -math.log(classes))
        train, test = snapshot.split.rows["train"], snapshot.split.rows["test"]
        full = dataset_bits(1, classes)
        held, unseen = bits_N[train].mean().item(), bits_N[test].mean().item()
        against = {}
        if self.capacity is not None:
            against["memorization/saturation"] = saturation(full * len(train), self.capacity)
            against["memorization/fill"] = held * len(train) / self.capacity
        return against | {
            "memorization/train_bits": held * len(train),
            "memorization/train_share": held / full,
            "memorization/test_share": unseen / full,
            "memorization/unintended_bits": max(held - unseen, 0.0) * len(train),
            "memorization/membership_f1": membership_f1(log_p_N[train], log_p_N[test]),
        }
