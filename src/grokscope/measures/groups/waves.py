"""Waves of neurons over ℤ_P, and the clock and the pizza. Axes as in :mod:`grokscope.measures.groups`."""

import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures import fourier
from grokscope.measures.base import Snapshot
from grokscope.measures.spectrum import TINY
from grokscope.models.base import Network
from grokscope.models.mlp import MLPNetwork

# Waves of neurons [Gromov 2023; He et al. 2026]: each ends with one frequency and with phases that add up.


def frequency_power(weight_PH: Tensor) -> Tensor:
    """A_k² of every column, (K, H): power of cos and sin at frequency k = 1 … K; the constant is left out."""
    p = len(weight_PH)
    rows_PH = (fourier.basis(p) @ weight_PH.detach().double().cpu()).square()
    power = torch.zeros(p // 2 + 1, rows_PH.shape[1], dtype=torch.float64)
    return power.index_add_(0, fourier.frequency_of_row(p), rows_PH)[1:]


def inverse_participation(weight_PH: Tensor, r: float = 2.0) -> Tensor:
    """IPR_r = Σ_k (A_k²)^r / (Σ_k A_k²)^r of every neuron, (H,), in [K^(1−r), 1]; 0 for one without waves.

    1 for a pure wave; for r = 2 about 2 / (K + 1) for noise. Unchanged by a → a + c. [He et al. 2026;
    Gromov 2023 counts k and −k apart, so that for odd P his is 2^(1−r) times this: 1/2 for a pure wave]
    """
    power_KH = frequency_power(weight_PH)
    return (power_KH / power_KH.sum(0).clamp_min(TINY)).pow(r).sum(0)


def phase(weight_PH: Tensor, frequency_H: Tensor) -> Tensor:
    """φ of each column's part A cos(2πka/P + φ) at its own frequency k, (H,), in [−π, π]."""
    p, weight = len(weight_PH), weight_PH.detach().double().cpu()
    turn = 2 * torch.pi * (torch.arange(p)[:, None] * frequency_H % p).double() / p
    return torch.atan2(-(weight * turn.sin()).sum(0), (weight * turn.cos()).sum(0))


def phase_differences(first_PH: Tensor, second_PH: Tensor, output_PH: Tensor) -> Tensor:
    """D = φ_out − φ_first − φ_second of every neuron at the frequency of its inputs, (H,), in [−π, π].

    0 in Gromov's analytic network, where W¹ = cos(wa + φ_1), cos(wb + φ_2) and W² = cos(wq + φ_1 + φ_2).
    With one embedding for both operands it is D* = φ_out − 2φ_in of He et al. The frequency is the
    strongest of both inputs together, P/2 excepted, which has no phase. NaN for neurons with less than
    1e-6 of the strongest one's power, in or out (ours). P >= 3; O(P²·H).
    """
    p = len(first_PH)
    inputs_KH, outputs_KH = frequency_power(first_PH) + frequency_power(second_PH), frequency_power(output_PH)
    frequency_H = inputs_KH[: (p - 1) // 2].argmax(0) + 1
    angle = phase(output_PH, frequency_H) - phase(first_PH, frequency_H) - phase(second_PH, frequency_H)
    alive = torch.ones_like(frequency_H, dtype=torch.bool)
    for power_H in (inputs_KH.sum(0), outputs_KH.sum(0)):
        alive &= power_H > fourier.DEAD * power_H.max()
    return torch.where(alive, torch.atan2(angle.sin(), angle.cos()), torch.nan)


def phase_misalignment(differences_H: Tensor) -> Tensor:
    """Mean |sin D| over the neurons that have a phase, a scalar in [0, 1]: 0 aligned, 2/π ≈ 0.64 for random phases.

    It cannot tell D = 0 from D = π. [He et al. 2026, |sin D*|]
    """
    return differences_H.sin().abs().nanmean()


def phase_alignment(differences_H: Tensor) -> Tensor:
    """Mean cos D over the neurons that have a phase, a scalar in [−1, 1]: 1 aligned, about 0 for random phases.

    It tells D = 0 from D = π. (ours)
    """
    return differences_H.cos().nanmean()


# Clock or pizza [Zhong et al. 2023].


def distance_irrelevance(correct_PP: Tensor) -> Tensor:
    """q = mean_d std_{a−b=d}(L) / std(L) of the correct logits L[a, b] = logits[a, b, a+b], a scalar in [0, 1].

    0 where they depend on a − b alone, as |cos(w(a−b)/2)| of the pizza does; 1 where a − b does not matter.
    Zhong et al. report 0.17 for a pizza and 0.85 for a clock. Noise has nearly 1, so a high value is no
    sign of a clock by itself; 0 where all are equal. O(P²). [Zhong et al. 2023, Def. 4.2 and code]
    """
    p, a = len(correct_PP), torch.arange(len(correct_PP))
    lines_DP = correct_PP.detach().double().cpu()[a, (a - torch.arange(p)[:, None]) % p]
    return lines_DP.std(1, correction=0).mean() / lines_DP.std(correction=0).clamp_min(TINY)


def gradient_symmetricity(first_QD: Tensor, second_QD: Tensor) -> Tensor:
    """s_g = mean over triples (a, b, c) of cos(∂Q_abc/∂E_a, ∂Q_abc/∂E_b), a scalar in [−1, 1].

    Q are logits and E the embeddings of the operands. 1 where they enter by their sum alone, as in a
    pizza; about 0 for gradients in random directions. Zhong et al. report 0.99 for a pizza and 0.33 for
    a clock, of 100 random triples. [Zhong et al. 2023, Def. 4.1 and code]
    """
    return F.cosine_similarity(first_QD.double(), second_QD.double(), dim=1).mean()


def embedding_gradients(snapshot: Snapshot, triples: int = 100, seed: int = 42) -> tuple[Tensor, Tensor] | None:
    """∂Q_abc/∂E_a and ∂Q_abc/∂E_b for random triples, both (Q, D); None without a shared embedding ``W_E``.

    One backward pass serves P // 2 triples, because their operands are drawn all different (a ≠ b too:
    ours); two passes over 56 rows give 100 triples for P = 113. The rows of the table must be all (a, b).
    """
    network, encoding, p = snapshot.network, snapshot.encoding, snapshot.task.elements
    weight = dict(network.named_parameters()).get("W_E")
    if weight is None or p < 2:
        return None
    start, generator = encoding.answers.start, torch.Generator().manual_seed(seed)  # answers are elements
    first, second = [], []
    for _ in range(-(-triples // (p // 2))):
        a, b = torch.randperm(p, generator=generator)[: p // 2 * 2].view(2, -1)
        c = torch.randint(p, a.shape, generator=generator)
        leaf = weight.detach().requires_grad_()
        with torch.enable_grad():
            logits = torch.func.functional_call(network, {"W_E": leaf}, (encoding.tokens_NL[a * p + b],))
            wanted = logits[torch.arange(len(a)), encoding.answer_row, start + c]
            gradient = torch.autograd.grad(wanted.sum(), leaf)[0]
        first.append(gradient[start + a])
        second.append(gradient[start + b])
    return torch.cat(first)[:triples], torch.cat(second)[:triples]


def input_weights(network: Network) -> tuple[Tensor, Tensor] | None:
    """What either operand adds to each neuron, two (P, H), for an MLP with one hidden layer; None for others."""
    if not isinstance(network, MLPNetwork) or network.spec.layers != 1:
        return None
    first, second = network.W[0].chunk(2)
    return (first, second) if network.W_E is None else (network.W_E @ first, network.W_E @ second)
