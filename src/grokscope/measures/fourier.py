"""The Fourier measures of Nanda et al. 2023 for addition mod p, each a pure function, usable alone.

Axes: P modulus (also answers), K = P // 2 frequencies, D embedding width, H neurons. Logits are a
grid ``logits_PPP[a, b, c]``. Everything that depends on a + b alone lives in the P x P table
``mean_PP[s, c]`` (mean of the logits over the P pairs with a + b = s), so a 2-D Fourier transform
of the P² x P logits is never formed: projections on cos w(a+b) and sin w(a+b) are two small products.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures.hooks import widened

DEAD = 1e-6
"""A neuron with less than this share of the strongest one's power has no frequency (ours): one that
fires at a single input has all frequencies alike, and rounding would choose among them."""


@lru_cache(maxsize=8)
def basis(p: int) -> Tensor:
    """Orthonormal real Fourier basis of ℝ^P, float64, one wave per row.

    Rows: 1/√P; then for k = 1 … P // 2 √(2/P)·cos(2πkx/P) and √(2/P)·sin(2πkx/P); for even P the
    last frequency has its cosine only, ±1/√P. [Nanda et al. 2023, code]
    """
    x = torch.arange(p, dtype=torch.float64)
    rows = [torch.ones(p, dtype=torch.float64)]
    for k in range(1, p // 2 + 1):
        rows.append(torch.cos(2 * torch.pi * k * x / p))
        if 2 * k != p:
            rows.append(torch.sin(2 * torch.pi * k * x / p))
    waves = torch.stack(rows)
    return waves / waves.norm(dim=1, keepdim=True)


@lru_cache(maxsize=8)
def frequency_of_row(p: int) -> Tensor:
    """Which frequency each row of :func:`basis` has: 0, 1, 1, 2, 2, …"""
    return (torch.arange(p) + 1) // 2


def power(weight_PD: Tensor) -> Tensor:
    """Share of the non-constant power at each frequency, (K,), in [0, 1] and summing to 1; all 0 for a constant.

    power_k = Σ_d (cos_k·W_d)² + (sin_k·W_d)², divided by the sum over k ≥ 1. White noise gives about
    1/K everywhere; one pure wave gives a single 1. Unchanged by a -> a + c. O(P²·D).
    """
    p = len(weight_PD)
    rows_P = (basis(p).to(weight_PD.device) @ weight_PD.double()).square().sum(1)
    power_K = torch.zeros(p // 2 + 1, dtype=torch.float64).index_add_(0, frequency_of_row(p), rows_P.cpu())[1:]
    return power_K / power_K.sum().clamp_min(torch.finfo(torch.float64).tiny)


def gini(values_N: Tensor) -> Tensor:
    """Gini coefficient of non-negative values, a scalar in [0, 1 − 1/N].

    With c sorted rising, G = 1 − 2 Σ_i c_(i)/‖c‖₁ · (N − i + ½)/N: 0 when all are equal, also to zero,
    1 − 1/N when one holds everything. [Hurley & Rickard 2009, Table I]
    """
    c = values_N.double().sort().values
    n = len(c)
    weight = (n - torch.arange(1, n + 1, dtype=torch.float64, device=c.device) + 0.5) / n
    total = c.sum()
    return torch.where(total == 0, 0.0, (1 - 2 * (c * weight).sum() / total).clamp_min(0.0))


def fourier_gini(weight_PD: Tensor) -> Tensor:
    """Gini of the norms of the P Fourier components of a map from ℤ_P, a scalar in [0, 1 − 1/P]; O(P²·D).

    Apply it to W_E, or to W_L transposed so that the answers are the rows. [Nanda et al. 2023, Sec. 5.1]
    """
    return gini((basis(len(weight_PD)).to(weight_PD.device) @ weight_PD.double()).norm(dim=1))


def mean_over_sums(logits_PPP: Tensor) -> Tensor:
    """mean_PP[s, c] = (1/P) Σ_a logits[a, s − a, c], float64; O(P³)."""
    p = len(logits_PPP)
    a = torch.arange(p, device=logits_PPP.device)
    sums = ((a[:, None] + a) % p).flatten()
    totals = torch.zeros(p, logits_PPP.shape[2], dtype=torch.float64, device=logits_PPP.device)
    return totals.index_add_(0, sums, logits_PPP.flatten(0, 1).double()) / p


def key_frequencies(neurons_PPH: Tensor, min_share: float = 0.02) -> list[int]:
    """The frequencies that the neurons have chosen, rising.

    Per neuron, centred over the inputs and 2-D Fourier transformed: its frequency is the k whose
    block {const, cos k, sin k}² holds the largest share of its power. [Nanda et al. 2023, code]
    The code keeps each frequency that any neuron has; we keep those of at least ``min_share`` of the
    living neurons (reconstruction: one stray neuron should not make a key frequency).

    Args:
        neurons_PPH: post-activations on the grid of inputs.
        min_share: in [0, 1); 0 is the paper's own rule.
    """
    p = len(neurons_PPH)
    best, share = neuron_frequencies(neurons_PPH)
    living = best[share > 0]
    counts = torch.bincount(living, minlength=p // 2 + 1)
    return [k for k in range(1, p // 2 + 1) if counts[k] > 0 and counts[k] >= min_share * len(living)]


def neuron_frequencies(neurons_PPH: Tensor) -> tuple[Tensor, Tensor]:
    """Each neuron's frequency (H,) in 1 … K and the share of its power in that frequency's block (H,), in [0, 1].

    The share is 1 for cos(wa)·cos(wb), 0.8 for a neuron of Gromov's network, below 0.05 for noise at P = 31.
    A neuron that never varies has share 0; float64, because in float32 the rounding of a constant neuron
    passes for a wave. P >= 2; O(P³·H).
    """
    p, _, h = neurons_PPH.shape
    waves = basis(p).to(neurons_PPH.device)
    power_PPH = (waves @ (waves @ neurons_PPH.double().flatten(1)).view(p, p, h)).square()
    power_PPH[0, 0] = 0.0  # centring
    total_H = power_PPH.sum((0, 1))
    shares = []
    for k in range(1, p // 2 + 1):
        rows = torch.cat([torch.zeros(1, dtype=torch.long), (frequency_of_row(p) == k).nonzero()[:, 0]])
        shares.append(power_PPH[rows][:, rows].sum((0, 1)))
    share_KH = torch.stack(shares) / total_H.clamp_min(1e-30)
    best = share_KH.max(0)
    return best.indices + 1, torch.where(total_H > DEAD * total_H.max().clamp_min(1e-30), best.values, 0.0)


def keep_frequencies(mean_PP: Tensor, keys: list[int]) -> Tensor:
    """The part of the logits that is cos w_k(a+b) and sin w_k(a+b) for the keys, as a table over (a+b, c)."""
    p = len(mean_PP)
    rows = basis(p)[torch.isin(frequency_of_row(p), torch.tensor(keys))].to(mean_PP.device)
    return rows.T @ (rows @ mean_PP)


def restricted_loss(mean_PP: Tensor, keys: list[int]) -> Tensor:
    """Cross-entropy on all pairs of the logits reduced to the key frequencies, in nats.

    L_restricted = Σ_{k in keys} projections on cos w_k(a+b), sin w_k(a+b), plus the mean over inputs
    of what is left (the bias correction). It falls while the circuit forms, before the test loss
    does. [Nanda et al. 2023, Sec. 5.1 and code, mode 'all']

    Args:
        mean_PP: of :func:`mean_over_sums`; such logits depend on a + b only, so the table suffices.
        keys: the key frequencies, of the finished model.
    """
    logits = keep_frequencies(mean_PP, keys) + mean_PP.mean(0)
    return F.cross_entropy(logits, torch.arange(len(mean_PP), device=mean_PP.device))


def excluded_loss(
    logits_NC: Tensor, sums_N: Tensor, mean_PP: Tensor, keys: list[int], answers_N: Tensor | None = None
) -> Tensor:
    """Cross-entropy on the training pairs with the key frequencies taken out, in nats.

    Falls while the network memorises, rises as it comes to rely on the circuit.
    [Nanda et al. 2023, Sec. 5.1; all keys together, no bias correction]

    Args:
        logits_NC: the training rows' logits; sums_N: their a + b mod P.
        mean_PP: of :func:`mean_over_sums`, over all pairs.
        keys: frequencies that are taken out.
        answers_N: what is wanted, where it is not the sum (random labels).
    """
    rest = logits_NC.double() - keep_frequencies(mean_PP, keys)[sums_N]
    return F.cross_entropy(rest, sums_N if answers_N is None else answers_N)


def logit_coefficients(mean_PP: Tensor) -> Tensor:
    """c_k = ⟨logits, cos w_k(a+b−c) / ‖cos w_k(a+b−c)‖⟩ for k = 1 … K, (K,). [Nanda et al. 2023, code]"""
    p = len(mean_PP)
    shift = (torch.arange(p)[:, None] - torch.arange(p)[None]) % p
    diagonal_P = torch.zeros(p, dtype=torch.float64).index_add_(0, shift.flatten(), mean_PP.double().cpu().flatten())
    cosines = torch.cos(2 * torch.pi * torch.arange(1, p // 2 + 1)[:, None].double() * torch.arange(p) / p)
    return (cosines @ diagonal_P) / cosines.square().sum(1).sqrt()


def variance_explained(logits_PPP: Tensor, mean_PP: Tensor, keys: list[int]) -> Tensor:
    """Share of the logits' variance that Σ_{k in keys} c_k cos w_k(a+b−c) explains, a scalar in [0, 1].

    R² = Σ_k c_k² / ‖L − mean(L)‖², the mean over all inputs and answers (the waves are orthonormal). 0 for
    constant logits; noise has about len(keys)/P³; O(P³).
    Nanda et al. report 0.95 for their main model.
    """
    c = logit_coefficients(mean_PP)[torch.tensor(keys, dtype=torch.long) - 1]
    logits = widened(logits_PPP)
    centre = logits.mean(dtype=torch.float64).to(logits.dtype)  # the residue of its rounding is 1e-15 of the sum
    total = (logits - centre).square().sum(dtype=torch.float64)
    return (c.square().sum() / total.clamp_min(torch.finfo(torch.float64).tiny)).clamp_max(1.0)


def circle(weight_PD: Tensor, plane_PD: Tensor, frequency: int) -> Tensor:
    """Coordinates (P, 2) of the rows of ``weight_PD`` in the plane that frequency spans in ``plane_PD``.

    The plane is spanned by cos_k·W and sin_k·W of ``plane_PD`` (usually the finished embedding),
    orthonormalised by QR; a circle there is the clock of the modular addition algorithm. The second
    coordinate is 0 where there is no plane: at frequency P/2 (no sine) and for D = 1.
    """
    p = len(weight_PD)
    waves = basis(p)[frequency_of_row(p) == frequency].to(plane_PD.device)
    axes = torch.linalg.qr((waves @ plane_PD.double()).T).Q
    return F.pad(weight_PD.double() @ axes, (0, 2 - axes.shape[1]))
