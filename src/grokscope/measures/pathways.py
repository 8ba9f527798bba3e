"""Routing pathways of a mixture of experts: which experts a sample takes, layer by layer. [Li, Fan & Zhou 2025]

Plain functions of any router's logits. Axes: N samples, L layers, T tokens of a sample, E experts, D width
of the stream; leading axes are free where a shape begins with "…". Gates are routing weights, which
sum to 1 over the experts.

The paper finds that pathways of samples of one domain are close at first, drift apart while the samples are
memorised and come together again afterwards, mostly in shallow layers; pairs across domains show no
trend. Its correlations rest on at most 10 checkpoints.
"""

from collections.abc import Sequence
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor, nn

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.hooks import Inputs, captured, first_tensor, widened
from grokscope.models.moe import MixtureBlock, MixtureNetwork
from grokscope.models.stream import Group, Stream
from grokscope.sources import Source
from grokscope.trace import Quantity

THRESHOLD = 0.7
"""Share of the routing weight that a layer's part of a pathway holds; the paper finds 0.5 to 0.8 alike."""
ROUNDING = 1e-6  # gates of float32 sum to 1 within this


def gates(logits_E: Tensor, active: int | None = None) -> Tensor:
    """Routing weights (…, E) of router logits (…, E): softmax, over the ``active`` largest logits if given.

    Experts that a token does not use have 0. Adding a constant to a token's logits changes nothing. Half
    precision is taken as float32: shares in 8 bits add up to 1 within a hundredth only.
    """
    logits_E = widened(logits_E)
    if active is None or active >= logits_E.shape[-1]:
        return torch.softmax(logits_E, -1)
    top = logits_E.topk(active, -1)
    return torch.zeros_like(logits_E).scatter(-1, top.indices, torch.softmax(top.values, -1))


def mean_gates(logits_TE: Tensor, active: int | None = None) -> Tensor:
    """:func:`gates` averaged over the tokens of a sample, (…, T, E) to (…, E). [Sec. 4.1]"""
    return gates(logits_TE, active).mean(-2)


# Pathways and their distance.


def pathway(gates_LE: Tensor, threshold: float = THRESHOLD) -> str:
    """The experts of each layer that hold the routing weight, such as ``3,1,5-0-2,4``. [Sec. 4.1]

    Experts by falling weight (the lower number first where equal), as many as it takes for their sum to
    reach ``threshold``; layers joined by "-".
    """
    shares = gates_LE.detach().double().cpu().numpy()
    order = np.argsort(-shares, axis=-1, kind="stable")
    held = np.take_along_axis(shares, order, -1).cumsum(-1)
    kept = (held < threshold - ROUNDING).sum(-1) + 1
    return "-".join(",".join(map(str, order_E[:k])) for order_E, k in zip(order.tolist(), kept.tolist(), strict=True))


def edit_distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Levenshtein distance: fewest insertions, deletions and substitutions that turn a into b.

    Of strings, as in the paper, it counts characters, so expert 12 for 13 is one edit and 12 for 3 two;
    of tuples it counts their items. A metric; at least the difference and at most the larger of the
    lengths. ``edit_distance("kitten", "sitting")`` is 3. O(|a| |b|).
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def edit_distances(paths: Sequence[str]) -> NDArray[np.int64]:
    """:func:`edit_distance` of every pair, (N, N), symmetric with a diagonal of 0.

    All pairs of distinct strings at once, one cell of the table after another: O(n² · S²) for n distinct
    strings of up to S characters.
    """
    names, place_N = np.unique(np.array(paths), return_inverse=True)
    lengths = np.array([len(name) for name in names])
    longest = int(lengths.max(initial=0))
    codes = np.array([[*map(ord, name), *[0] * (longest - len(name))] for name in names]).reshape(len(names), longest)
    of_a, of_b = np.triu_indices(len(names))
    a, b = codes[of_a].T, codes[of_b].T
    ends_a, ends_b = lengths[of_a], lengths[of_b]
    row = np.tile(np.arange(longest + 1)[:, None], len(of_a))
    found_pairs = row[ends_b, np.arange(len(of_a))]
    for i in range(longest):
        above, row = row, np.empty_like(row)
        row[0] = i + 1
        for j in range(longest):
            row[j + 1] = np.minimum(np.minimum(above[j + 1], row[j]) + 1, above[j] + (a[i] != b[j]))
        found_pairs = np.where(ends_a == i + 1, row[ends_b, np.arange(len(of_a))], found_pairs)
    found = np.zeros((len(names), len(names)), dtype=np.int64)
    found[of_a, of_b] = found[of_b, of_a] = found_pairs
    return found[place_N][:, place_N]


def distance_within(distances_NN: ArrayLike, groups_N: ArrayLike) -> float:
    """D_path: mean distance of the pairs of different samples in one group, ≥ 0; NaN without such a pair."""
    return _mean_of_pairs(distances_NN, groups_N, same=True)


def distance_across(distances_NN: ArrayLike, groups_N: ArrayLike) -> float:
    """Mean distance of the pairs of samples in different groups, ≥ 0: the control. NaN without such a pair."""
    return _mean_of_pairs(distances_NN, groups_N, same=False)


def _mean_of_pairs(distances_NN: ArrayLike, groups_N: ArrayLike, same: bool) -> float:
    distances, groups = np.asarray(distances_NN, dtype=np.float64), np.asarray(groups_N)
    wanted = np.triu((groups[:, None] == groups) == same, 1)
    return float(distances[wanted].mean()) if wanted.any() else float("nan")


def memorised_since(losses_TN: ArrayLike, epsilon: float = 2.0, delta: float = 0.05) -> NDArray[np.int64]:
    """t* of each sample, (N,): the first look from which on ℓ_i(t) ≤ ε and |ℓ_i(t) − ℓ_i(end)| ≤ δ; −1 if none.

    The paper averages D_path over the samples that are memorised. It takes the finished run, so it is
    hindsight; a single look of a loss above ε later on makes t* later. Losses in nats.
    """
    losses = np.asarray(losses_TN, dtype=np.float64)
    good = (losses <= epsilon) & (np.abs(losses - losses[-1]) <= delta)
    since = np.logical_and.accumulate(good[::-1])[::-1]
    return np.where(since.any(0), since.argmax(0), -1).astype(np.int64)


# Consistency of one sample's pathway.


def layer_cosines(gates_LE: Tensor, routers_LED: Tensor) -> Tensor:
    """cos(e_ℓ, e_{ℓ+1}) of neighbouring layers' expert embeddings, (…, L − 1), in [−1, 1]. [Sec. 4.2]

    e_ℓ = Σ_k g_ℓ(k) v_k^ℓ, with v_k^ℓ the vector (D,) whose product with the stream is expert k's logit.
    """
    e_LD = torch.einsum("...le,led->...ld", gates_LE.double(), routers_LED.double())
    return torch.cosine_similarity(e_LD[..., :-1, :], e_LD[..., 1:, :], dim=-1)


def erraticness(cosines_L: Tensor, epsilon: float = 1e-8) -> Tensor:
    """C_i = 1 − mean_ℓ cos_ℓ / (max_ℓ cos_ℓ + 1e-8), (…,): the formula of Sec. 4.2, larger is more erratic.

    The text calls this consistency; its Table 1 correlates "pathway consistency" with accuracy at +0.92
    to +0.99, which must be the other sign, :func:`consistency`.
    In [0, ∞) while some cosine is positive. It says nothing of two layers, whose one cosine is divided by
    itself (always 0), nor where all cosines are negative (the divisor turns the sign), and where they are
    about 0 it has no bounds (routers of noise reach ± 10): see the plain mean of :func:`layer_cosines`.
    NaN for one layer.
    """
    return 1.0 - cosines_L.mean(-1) / (_largest(cosines_L) + epsilon)


def consistency(cosines_L: Tensor, epsilon: float = 1e-8) -> Tensor:
    """1 − :func:`erraticness`, (…,): larger is smoother, as Table 1 must mean it; 1 where all cosines are one."""
    return cosines_L.mean(-1) / (_largest(cosines_L) + epsilon)


def _largest(cosines_L: Tensor) -> Tensor:
    return cosines_L.amax(-1) if cosines_L.shape[-1] else cosines_L.new_full(cosines_L.shape[:-1], float("nan"))


# Entropy and load.


def routing_entropy(gates_E: Tensor) -> Tensor:
    """−Σ_e g_e ln g_e / ln E, (…,): 0 for one expert, 1 for all alike.

    Divided by its largest value (ours; the paper does not say how it takes its entropy, which explains
    about 6 % of its accuracies). With a single expert it is 0.
    """
    experts = gates_E.shape[-1]
    return torch.special.entr(gates_E.double()).sum(-1) / max(float(np.log(experts)), 1e-30)


def load(logits_ME: Tensor, active: int) -> Tensor:
    """Share of the routed tokens that each expert receives, (…, M, E) to (…, E), summing to 1; even is 1/E.

    Each of M tokens goes to the ``active`` experts of largest logit. [Shazeer et al. 2017, Sec. 4]
    """
    chosen = torch.zeros_like(logits_ME, dtype=torch.float64).scatter(-1, logits_ME.topk(active, -1).indices, 1.0)
    return chosen.mean(-2) / active


def imbalance(load_E: Tensor) -> Tensor:
    """Squared coefficient of variation of the load, E Σ f² − 1, (…,): 0 if even, E − 1 if one has all.

    [Shazeer et al. 2017, Sec. 4]
    """
    return load_E.shape[-1] * load_E.double().square().sum(-1) - 1.0


# Routers' logits.


def logits_by_name(module: nn.Module, pattern: str, inputs: Inputs) -> list[Tensor]:
    """Logits of the routers of any module, in the module's order. One forward pass in eval mode, without gradient.

    For routers that are modules of their own, by name or regular expression, whose output is the logits (an
    ``nn.Linear`` to E) or begins with them (``"model.layers.[0-9]+.mlp.gate"`` of an OLMoE, which gives N·T rows:
    ``.unflatten(0, ids.shape)`` makes (N, T, E) of them). A router called twice gives its last output.

    Raises:
        ValueError: nothing is named so, or it is not called.
    """
    return [first_tensor(calls[-1]) for calls in captured(module, pattern, inputs).values()]


def router_logits(network: MixtureNetwork, tokens_NL: Tensor) -> list[Tensor]:
    """Logits of each block's router for each sample, L tensors of (N, T, E).

    T is every position up to the last one read, but in the last block the read ones alone: nothing else
    is computed there. The blocks' routers are no modules, so this goes through the network again,
    once per distinct value of the stream as its forward pass does, and adds one forward pass.
    """
    *first, last = _blocks(network)
    count, whole = len(tokens_NL), Group((max(network.read),), len(tokens_NL), False)
    x = Stream.of_embeddings(network.W_E, network.W_pos, network.slots, tokens_NL)
    between = x.prefixes.groups(range(max(network.read) + 1))
    found = []
    for block in first:
        attended = block.attend(x, between)
        logits = x.after(_routed(block, attended) @ block.W_R, between)
        found.append(logits.before(logits.values_RD, max(network.read), whole))
        x = x.after(block.mlp(attended), between)
    rows = last.attend(x, [Group(tuple(network.read), count, False)])
    found.append((_routed(last, rows) @ last.W_R).unflatten(0, (len(network.read), count)).transpose(0, 1))
    return found


def _blocks(network: MixtureNetwork) -> Sequence[MixtureBlock]:
    return cast(Sequence[MixtureBlock], network.blocks)


def _routed(block: MixtureBlock, attended_RD: Tensor) -> Tensor:
    """What a block's router sees of the stream after attention."""
    return (block.norm_attention if block.norm == "post" else block.norm_mlp)(attended_RD)


class Pathways(Measure):
    """How alike the training rows' pathways are, how smooth, and how evenly the experts are used.

    ``samples`` training rows, the same at every look; two rows are of one group if they have one answer
    (ours: the paper's groups are domains, which a single operation has not). All sampled rows count, memorised or
    not, so that the set does not change with the step; see :func:`memorised_since` for the paper's.
    Gates are those that the network applies. Consistency is the median of the rows (ours: a mean would be
    that of a few rows whose cosines are about 0); it needs two layers and says something from three on.
    """

    kind: ClassVar[str] = "pathways"
    needs: ClassVar[frozenset[str]] = frozenset({"routers"})
    cost: ClassVar[float] = 0.1
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("pathways/distance_within", "edits", (0.0, float("inf")), "edit distance, rows of one answer"),
        Quantity("pathways/distance_across", "edits", (0.0, float("inf")), "edit distance, rows of two answers"),
        Quantity("pathways/distinct", "share", (0.0, 1.0), "different pathways per sampled row"),
        Quantity(
            "pathways/consistency", "1", (-float("inf"), float("inf")), "mean over max cosine of layers, median of rows"
        ),
        Quantity("pathways/layer_cosine", "1", (-1.0, 1.0), "mean cosine of neighbouring layers' experts"),
        Quantity("pathways/entropy", "share", (0.0, 1.0), "entropy of a row's mean gates, of ln experts"),
        Quantity("pathways/imbalance", "1", (0.0, float("inf")), "squared variation of the load, mean of layers"),
        Quantity("pathways/load", "share", (0.0, 1.0), "share of routed tokens, layers x experts", array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("shazeer2017outrageously", "Sec. 4"),
        Source("li2025grokking", "Sec. 4"),
    )

    samples: int = Field(default=128, ge=2)
    """Training rows; all of them if there are fewer."""
    threshold: float = Field(default=THRESHOLD, gt=0.0, le=1.0)
    """Share of the routing weight that a layer's part of a pathway holds."""
    seed: int = Field(default=0, ge=0)
    """Which training rows."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Distances, consistency, entropy and load; no consistency for one layer, no mean without a pair."""
        network = snapshot.network
        assert isinstance(network, MixtureNetwork)  # by ``needs``
        rows = self.rows(snapshot.split.rows["train"])
        blocks = _blocks(network)
        active = blocks[0].active
        with torch.no_grad():
            logits = router_logits(network, snapshot.encoding.tokens_NL[rows])
            gates_NLE = torch.stack([mean_gates(part, active) for part in logits], 1)
            routers_LED = torch.stack([block.W_R.T for block in blocks])
            load_LE = torch.stack([load(part.flatten(0, 1), active) for part in logits])
            cosines_NL = layer_cosines(gates_NLE, routers_LED)
        paths = [pathway(gates_LE, self.threshold) for gates_LE in gates_NLE]
        distances, answers = edit_distances(paths), snapshot.split.answers_N[rows].cpu().numpy()
        values: dict[str, float | NDArray[np.generic]] = {
            "pathways/distance_within": distance_within(distances, answers),
            "pathways/distance_across": distance_across(distances, answers),
            "pathways/distinct": len(set(paths)) / len(paths),
            "pathways/entropy": routing_entropy(gates_NLE).mean().item(),
            "pathways/imbalance": imbalance(load_LE).mean().clamp_min(0.0).item(),
            "pathways/load": load_LE.cpu().numpy().astype(np.float32),
        }
        if cosines_NL.shape[-1]:
            values["pathways/consistency"] = consistency(cosines_NL).quantile(0.5).item()
            values["pathways/layer_cosine"] = cosines_NL.mean().item()
        return {key: value for key, value in values.items() if not np.isnan(value).any()}

    def rows(self, train_M: Tensor) -> Tensor:
        """The sampled training rows, rising; global random state is not touched."""
        drawn = torch.randperm(len(train_M), generator=torch.Generator().manual_seed(self.seed))[: self.samples]
        return train_M[drawn.sort().values.to(train_M.device)]
