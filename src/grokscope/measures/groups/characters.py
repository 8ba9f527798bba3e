"""A group's irreps and cosets in logits, embeddings and neurons. Axes as in :mod:`grokscope.measures.groups`."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures.hooks import widened
from grokscope.measures.irreps import Group
from grokscope.measures.spectrum import TINY

# Logits as a combination of characters χ_ρ(a b c⁻¹) [Chughtai et al. 2023]. For ℤ_P they are the cos w_k(a+b−c).


def mean_over_products(logits_GGG: Tensor, group: Group) -> Tensor:
    """mean_GG[g, c] = (1/G) Σ_{a·b = g} logits[a, b, c], float64; O(G³). For ℤ_P that of sums."""
    g = group.order
    totals = torch.zeros(g, logits_GGG.shape[2], dtype=torch.float64)
    return totals.index_add_(0, group.table_GG.flatten(), logits_GGG.flatten(0, 1).double().cpu()) / g


def character_coefficients(mean_GG: Tensor, group: Group) -> Tensor:
    """c_ρ = ⟨logits, χ_ρ(a b c⁻¹) / ‖χ_ρ(a b c⁻¹)‖⟩, (I,), in units of logits; O(G² + I·G).

    The waves of different irreps are orthogonal over all (a, b, c). Logits A χ_ρ(a b c⁻¹) have c_ρ =
    A √(⟨χ, χ⟩ G³) and no other. [Chughtai et al. 2023; over ℤ_P Nanda et al. 2023]
    """
    return group.characters_IG @ _over_quotients(mean_GG, group) / group.characters_IG.norm(dim=1)


def variance_shares(logits_GGG: Tensor, mean_GG: Tensor, group: Group) -> Tensor:
    """Share of the logits' variance in each irrep's wave, c_ρ² / ‖L − mean(L)‖², (I,), each and their sum in [0, 1].

    The trivial irrep is the mean and has 0. Noise has about 1 / G³ each, and a trained network is expected
    above 0.85 in sum. [Chughtai et al. 2023]
    """
    centre, logits = mean_GG.mean(), widened(logits_GGG)
    total = (logits - centre.to(logits)).square().sum(dtype=torch.float64)
    shares_I = character_coefficients(mean_GG - centre, group).square() / total.clamp_min(TINY).cpu()
    return shares_I.clamp_max(1.0)


def character_similarity(logits_GGG: Tensor, group: Group) -> Tensor:
    """Mean over (a, b) of cos(logits[a, b] − mean over c, χ_ρ(a b c⁻¹) over c), (I,), in [−1, 1]; O(G³).

    1 where one irrep alone writes all logits, up to a number per row; 0 for the trivial one, about 0 for
    noise. [Chughtai et al. 2023, code: logit trace similarity]
    """
    rows = logits_GGG.double()
    rows = F.normalize(rows - rows.mean(-1, keepdim=True), dim=-1)
    sums = _over_quotients(mean_over_products(rows, group), group)
    return (group.characters_IG @ sums / (group.order * group.characters_IG.norm(dim=1))).clamp(-1.0, 1.0)


def _over_quotients(mean_GG: Tensor, group: Group) -> Tensor:
    """Σ over g c⁻¹ = h of mean[g, c], (G,)."""
    zeros = torch.zeros(group.order, dtype=torch.float64)
    return zeros.index_add_(0, group.quotients_GG.flatten(), mean_GG.double().cpu().flatten())


def character_part(mean_GG: Tensor, group: Group, keys: list[int]) -> Tensor:
    """The part of the logits that is a combination of χ_ρ(a b c⁻¹) of the key irreps, a table over (a · b, c); O(G²).

    The algorithm's own prediction of the logits, and narrower than :func:`keep_irreps`: one number for each irrep.
    Over ℤ_P it is Σ_k A_k cos w_k(a+b−c). It has the share of :func:`variance_shares` of the logits' variance.
    [Chughtai et al. 2023, Sec. 5.1]
    """
    scales = group.characters_IG[keys].square().sum(1) * group.order
    amounts = group.characters_IG[keys] @ _over_quotients(mean_GG, group) / scales
    return (amounts @ group.characters_IG[keys])[group.quotients_GG]


def keep_irreps(mean_GG: Tensor, group: Group, keys: list[int]) -> Tensor:
    """The part of the logits that is entries of ρ(a · b) for the key irreps, a table over (a · b, c); O(G³).

    For ℤ_P the part in cos w_k(a+b) and sin w_k(a+b). Over all irreps it is ``mean_GG`` itself.
    """
    return group.projectors_IGG[keys].sum(0) @ mean_GG.double()


def restricted_loss(mean_GG: Tensor, group: Group, keys: list[int]) -> Tensor:
    """Cross-entropy on all pairs of the logits reduced to the key irreps, in nats.

    Kept part plus the mean over inputs of what is left, as for ℤ_P [Nanda et al. 2023]. Chughtai et al.
    reduce the embeddings of their MLP and compute the logits anew; in the logits it can be had of any
    network (ours). ln G where the keys hold nothing.

    Args:
        mean_GG: of :func:`mean_over_products`; such logits depend on a · b only, so the table suffices.
        keys: numbers of irreps in ``group.irreps``, of the finished model.
    """
    kept = keep_irreps(mean_GG, group, keys)
    return F.cross_entropy(kept + (mean_GG - kept).mean(0), torch.arange(group.order))


def excluded_loss(
    logits_NG: Tensor, products_N: Tensor, answers_N: Tensor, mean_GG: Tensor, group: Group, keys: list[int]
) -> Tensor:
    """Cross-entropy on some rows with the key irreps taken out of their logits, in nats.

    Falls while the network memorises and rises as it comes to rely on the irreps; at least about ln G when
    it does so entirely. [Nanda et al. 2023, Sec. 5.1, for irreps Chughtai et al. 2023; in the logits: ours]

    Args:
        logits_NG: logits of the rows, usually of training.
        products_N: their a · b.
        answers_N: their answers; other than the products for random labels.
        mean_GG: of :func:`mean_over_products`, over all pairs.
        group: the group.
        keys: what is taken out.
    """
    rest = logits_NG.double().cpu() - keep_irreps(mean_GG, group, keys)[products_N.cpu()]
    return F.cross_entropy(rest, answers_N.cpu())


def embedding_shares(weight_GD: Tensor, group: Group) -> Tensor:
    """Share of a map from the elements in the entries of each ρ(g), ‖P_ρ W‖² / ‖W‖², (I,), summing to 1.

    O(G²·(I + D)). Not centred: a constant is the trivial irrep. White noise has D_ρ² / (⟨χ, χ⟩ G) on average.
    All 0 for a map that is 0. Unchanged by g → h g and by rotation of the columns. [Chughtai et al. 2023, code:
    percent of embedding]
    """
    weight = weight_GD.detach().double().cpu()
    return _energies(weight, group) / weight.square().sum().clamp_min(TINY)


def neuron_shares(neurons_GGH: Tensor, group: Group) -> Tensor:
    """Share of the hidden layer in the entries of ρ(a), of ρ(b) and of ρ(a · b), (3, I), each in [0, 1].

    Of h[a, b] over all pairs the power of its projection on those functions, over Σ h². Not centred: the trivial
    irrep is the mean over pairs and has the same share in all three rows; the other 3(I − 1) parts are orthogonal,
    and with the trivial one counted once they sum to at most 1. Neurons cos(wa)·cos(wb) over ℤ_P have ½ in ρ(a · b)
    of w and the other half in ρ(a · b⁻¹); white noise has D_ρ² / (⟨χ, χ⟩ G²) everywhere; all 0 for dead neurons.
    Renaming by (a, b) → (ha, bk) changes nothing. O(G²·(H + I)). [Chughtai et al. 2023, and code: percent of hidden]

    Args:
        neurons_GGH: post-activations, ``neurons_GGH[a, b]``; the paper's are those of one hidden layer.
        group: whose elements a and b are.
    """
    g, h = group.order, neurons_GGH.shape[2]
    sums = torch.zeros(3, g, h, dtype=torch.float64, device=neurons_GGH.device)  # given a, given b, given a · b
    total = torch.zeros((), dtype=torch.float64, device=neurons_GGH.device)
    table = group.table_GG.to(neurons_GGH.device)
    for a, row_GH in enumerate(neurons_GGH.detach()):  # one a at a time: the whole in float64 may be large
        row = row_GH.double()
        sums[0, a] = row.sum(0)
        sums[1] += row
        sums[2].index_add_(0, table[a], row)
        total += row.flatten() @ row.flatten()
    energies = torch.stack([_energies(one.cpu(), group) for one in sums])
    return (energies / (g * total.cpu().clamp_min(TINY))).clamp_max(1.0)


def _energies(values_GD: Tensor, group: Group) -> Tensor:
    """‖P_ρ V‖² = Σ P_ρ ∘ V Vᵀ for each irrep, (I,)."""
    return (group.projectors_IGG * (values_GD @ values_GD.T)).sum((1, 2)).clamp_min(0.0)


def subgroups(group: Group) -> list[Tensor]:
    """Every subgroup as a mask (G,), smallest first: the cyclic ones, and what they generate with each other.

    30 of S_4, 156 of S_5, 59 of A_5; of Z_n one for each divisor of n. O(subgroups² · G²).
    """
    table = group.table_GG.numpy()

    def closed(mask: np.ndarray) -> np.ndarray:
        while True:
            members = np.flatnonzero(mask)
            wider = mask.copy()
            wider[table[np.ix_(members, members)]] = True
            if wider.sum() == mask.sum():
                return mask
            mask = wider

    cyclic = {closed(np.isin(np.arange(group.order), (0, g))).tobytes() for g in range(group.order)}
    found, front = set(cyclic), cyclic
    while front:
        masks = [(np.frombuffer(one, bool), np.frombuffer(other, bool)) for one in front for other in cyclic]
        front = {closed(one | other).tobytes() for one, other in masks} - found
        found |= front
    ordered = sorted((np.frombuffer(one, bool) for one in found), key=lambda mask: (mask.sum(), mask.tobytes()))
    return [torch.from_numpy(mask.copy()) for mask in ordered]


def coset_concentration(values_GH: Tensor, group: Group, masks: list[Tensor]) -> Tensor:
    """min_H C_H(f) of every column f, (H,), with C_H(f) = Σ_gH var(f on gH) / var(f), over both sides' cosets.

    0 for a function that is constant on the left or the right cosets of one of the subgroups, at most 1 if G is
    among them, whose only coset is G; noise has about |G| / |H|. NaN for constants. Variances are those of the
    population, and the trivial subgroup must not be among the masks, since every function is constant on its
    cosets. O(subgroups · G · H). [Stander et al. 2023, Sec. 6.1]
    """
    values, found = values_GH.detach().double().cpu(), []
    total = values.var(0, correction=0)
    for mask in masks:
        members = mask.nonzero()[:, 0]
        for cosets_GM in (group.table_GG[:, members], group.table_GG[members].T):  # each coset |H| times
            within = values[cosets_GM].var(1, correction=0).sum(0) / len(members)
            found.append(within / total)
    return torch.stack(found).amin(0)


def key_irreps(shares_I: Tensor, min_share: float = 0.05) -> list[int]:
    """The irreps that hold at least ``min_share`` of the logits' variance, largest first.

    NaN shares are none. (ours; Chughtai et al. name the key irreps of a run by hand, and in later code take those
    whose :func:`character_similarity` is above 0.05)
    """
    order = shares_I.argsort(descending=True, stable=True).tolist()
    return [i for i in order if float(shares_I[i]) >= min_share]
