"""What a network on a group has learned: irreps in its logits and weights, waves in its neurons, clock or pizza.

Plain functions, usable alone. Axes: G elements (also answers), I irreps of a :class:`Group`, N rows, P = G for
ℤ_P, K = P // 2 frequencies, H neurons, Q triples. Logits are a grid ``logits_GGG[a, b, c]``; as for addition in
:mod:`grokscope.measures.fourier`, what depends on a · b alone lives in the table ``mean_GG[a · b, c]``.
"""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures import fourier
from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.hooks import widened
from grokscope.measures.irreps import Group, find_group
from grokscope.measures.progress import float32, neuron_grid
from grokscope.measures.spectrum import TINY
from grokscope.models.base import Network
from grokscope.models.mlp import MLPNetwork
from grokscope.sources import Source
from grokscope.trace import Quantity

_SHARE = (0.0, 1.0)
_LOSS = (0.0, float("inf"))


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


# Measures.


class Irreps(Measure):
    """How much of logits and embedding each irrep of the task's group holds, and the loss without it.

    For tasks that are a group's product: Z_n, D_n, and S_n or A_n with n <= 6. On another task it has no values.
    Arrays are in the order of ``find_group(task.group_table).irreps``, the trivial one first.
    """

    kind: ClassVar[str] = "irreps"
    needs: ClassVar[frozenset[str]] = frozenset({"group"})
    cost: ClassVar[float] = 5.4
    every: ClassVar[int] = 4
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("irreps/variance_explained", "share", _SHARE, "logit variance in all χ_ρ(a b c⁻¹)"),
        Quantity("irreps/variance", "share", _SHARE, "logit variance in χ_ρ(a b c⁻¹), per irrep", array=True),
        Quantity("irreps/similarity", "1", (-1.0, 1.0), "cosine of logits and χ_ρ(a b c⁻¹), per irrep", array=True),
        Quantity("irreps/excluded_loss", "nats", _LOSS, "training loss without one irrep, per irrep", array=True),
        Quantity("irreps/embedding", "share", _SHARE, "share of the embedding, per irrep", array=True),
        Quantity("irreps/neurons", "share", _SHARE, "share of the neurons in ρ(a), ρ(b), ρ(ab), per irrep", array=True),
        Quantity("irreps/neurons_product", "share", _SHARE, "share of the neurons in ρ(ab), per irrep", array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("nanda2023progress", "Sec. 5.1"),
        Source("chughtai2023toy", "logits by characters"),
    )

    def __call__(self, snapshot: Snapshot) -> Values:
        """Values of one look; embedding and neurons only where the network has an embedding and names neurons."""
        group = _group(snapshot)
        assert group is not None  # by ``needs``
        with torch.no_grad():
            grid, mean = _grid(snapshot, group), _mean(snapshot, group)
            shares = variance_shares(grid, mean, group)
            rows = snapshot.split.rows["train"]
            logits, answers = snapshot.answer_logits_NC[rows], snapshot.split.answers_N[rows]
            products = snapshot.task.table.answers_N[rows.cpu()]
            every = range(len(group.irreps))
            excluded = [excluded_loss(logits, products, answers, mean, group, [i]) for i in every]
            values: dict[str, float | np.ndarray] = {
                "irreps/variance_explained": shares.sum().item(),
                "irreps/variance": float32(shares),
                "irreps/similarity": float32(character_similarity(grid, group)),
                "irreps/excluded_loss": float32(torch.stack(excluded)),
            }
            embedding = snapshot.network.embedding_PD()
            if embedding is not None:
                values["irreps/embedding"] = float32(embedding_shares(embedding, group))
            if snapshot.network.neurons:
                neurons = _neuron_shares(snapshot, group)
                values["irreps/neurons"] = float32(_together(neurons))
                values["irreps/neurons_product"] = float32(neurons[2])
        return values


class KeyIrreps(Measure):
    """Restricted and excluded loss and variance explained, at the irreps that the finished model relies on.

    For tasks that are a group's product: Z_n, D_n, and S_n or A_n with n <= 6. On another task it has no values.
    """

    kind: ClassVar[str] = "key-irreps"
    needs: ClassVar[frozenset[str]] = frozenset({"group"})
    cost: ClassVar[float] = 2.9
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("key_irreps/restricted_loss", "nats", _LOSS, "loss of the key irreps alone, all pairs", True),
        Quantity("key_irreps/excluded_loss", "nats", _LOSS, "training loss without the key irreps", True),
        Quantity("key_irreps/variance_explained", "share", _SHARE, "logit variance in their characters", True),
        Quantity("key_irreps/neurons", "share", _SHARE, "share of the neurons in their ρ(a), ρ(b), ρ(ab)", True),
        Quantity("key_irreps/neurons_product", "share", _SHARE, "share of the neurons in their ρ(ab)", True),
        Quantity("key_irreps/irreps", "1", (0.0, float("inf")), "their numbers, largest first", True, array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("nanda2023progress", "Sec. 5.1"),
        Source("chughtai2023toy", "restricted and excluded loss"),
    )

    min_share: float = Field(default=0.05, gt=0.0, le=1.0)
    """Share of the final logits' variance that a key irrep holds."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Values of one look, judged by ``snapshot.final``; those of neurons where the network names them."""
        final, group = snapshot.final, _group(snapshot)
        assert group is not None  # by ``needs``
        assert final is not None  # the loop asks only when the run is finished
        with torch.no_grad():
            neurons = _neuron_shares(snapshot, group) if snapshot.network.neurons else None  # its pass has the logits
            keys = key_irreps(variance_shares(_grid(final, group), _mean(final, group), group), self.min_share)
            mean, rows = _mean(snapshot, group), snapshot.split.rows["train"]
            logits, answers = snapshot.answer_logits_NC[rows], snapshot.split.answers_N[rows]
            products = snapshot.task.table.answers_N[rows.cpu()]
            shares = variance_shares(_grid(snapshot, group), mean, group)
            values: dict[str, float | np.ndarray] = {
                "key_irreps/restricted_loss": restricted_loss(mean, group, keys).item(),
                "key_irreps/excluded_loss": excluded_loss(logits, products, answers, mean, group, keys).item(),
                "key_irreps/variance_explained": shares[keys].sum().item(),
                "key_irreps/irreps": np.array(keys, dtype=np.int64),
            }
            if neurons is not None:
                values["key_irreps/neurons"] = _together(neurons)[keys].sum().item()
                values["key_irreps/neurons_product"] = neurons[2, keys].sum().item()
        return values


class NeuronWaves(Measure):
    """How far each neuron is one wave, and whether its phases add up.

    Input waves and phases are those of an MLP with one hidden layer; of another network the outputs alone.
    """

    kind: ClassVar[str] = "neuron-waves"
    needs: ClassVar[frozenset[str]] = frozenset({"cyclic group", "linear readout"})
    cost: ClassVar[float] = 0.05
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("neurons/output_ipr", "1", _SHARE, "mean inverse participation ratio of output weights"),
        Quantity("neurons/input_ipr", "1", _SHARE, "mean inverse participation ratio of input weights"),
        Quantity("neurons/phase_misalignment", "1", _SHARE, "mean |sin(φ_out − φ_a − φ_b)|"),
        Quantity("neurons/phase_alignment", "1", (-1.0, 1.0), "mean cos(φ_out − φ_a − φ_b)"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("gromov2023arithmetic", "Eqs. 6-12, Fig. 5"),
        Source("he2026mechanism", "alignment of phases"),
    )

    def __call__(self, snapshot: Snapshot) -> Values:
        """One scalar, or four."""
        with torch.no_grad():
            readout = snapshot.network.neuron_to_logit_HC()
            assert readout is not None  # by ``needs``
            values = {"neurons/output_ipr": inverse_participation(readout.T).mean().item()}
            inputs = input_weights(snapshot.network)
            if inputs is not None and len(inputs[0]) >= 3:
                differences = phase_differences(*inputs, readout.T)
                values["neurons/input_ipr"] = inverse_participation(torch.cat(inputs, 1)).mean().item()
                values["neurons/phase_misalignment"] = phase_misalignment(differences).item()
                values["neurons/phase_alignment"] = phase_alignment(differences).item()
        return values


class ClockPizza(Measure):
    """Which algorithm adds: the clock, which multiplies circles, or the pizza, which averages them.

    Together with ``circularity``. Symmetricity is that of networks with one embedding ``W_E`` for both
    operands; one-hot inputs have none.
    """

    kind: ClassVar[str] = "clock-pizza"
    needs: ClassVar[frozenset[str]] = frozenset({"cyclic group", "embedding"})
    cost: ClassVar[float] = 0.2
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("algorithm/distance_irrelevance", "1", _SHARE, "spread of correct logits at equal a − b, over all"),
        Quantity("algorithm/gradient_symmetricity", "1", (-1.0, 1.0), "cosine of the gradients of both operands"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("zhong2023clock", "Defs. 4.1 and 4.2"),)

    triples: int = Field(default=100, ge=1)
    """Random (a, b, c) whose gradients are compared."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """One or two scalars."""
        p, table = snapshot.task.elements, snapshot.task.table
        logits = snapshot.answer_logits_NC
        correct = logits.gather(1, table.answers_N[:, None].to(logits.device)).view(p, p)
        values = {"algorithm/distance_irrelevance": distance_irrelevance(correct).item()}
        gradients = embedding_gradients(snapshot, self.triples)
        if gradients is not None:
            values["algorithm/gradient_symmetricity"] = gradient_symmetricity(*gradients).item()
        return values


def input_weights(network: Network) -> tuple[Tensor, Tensor] | None:
    """What either operand adds to each neuron, two (P, H), for an MLP with one hidden layer; None for others."""
    if not isinstance(network, MLPNetwork) or network.spec.layers != 1:
        return None
    first, second = network.W[0].chunk(2)
    return (first, second) if network.W_E is None else (network.W_E @ first, network.W_E @ second)


def _group(snapshot: Snapshot) -> Group | None:
    table = snapshot.task.group_table
    return None if table is None else find_group(table)


def _neuron_shares(snapshot: Snapshot, group: Group) -> Tensor:
    if "neuron shares" not in snapshot._cache:
        snapshot._cache["neuron shares"] = neuron_shares(neuron_grid(snapshot), group)
    return snapshot._cache["neuron shares"]


def _together(shares_3I: Tensor) -> Tensor:
    """The three kinds together, the trivial irrep counted once, (I,)."""
    return torch.cat([shares_3I[0, :1], shares_3I[:, 1:].sum(0)])


def _grid(snapshot: Snapshot, group: Group) -> Tensor:
    return snapshot.answer_logits_NC.reshape(group.order, group.order, group.order)


def _mean(snapshot: Snapshot, group: Group) -> Tensor:
    if "mean over products" not in snapshot._cache:
        snapshot._cache["mean over products"] = mean_over_products(_grid(snapshot, group), group)
    return snapshot._cache["mean over products"]
