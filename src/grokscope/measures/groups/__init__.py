"""What a network on a group has learned: irreps in its logits and weights, waves in its neurons, clock or pizza.

Plain functions, usable alone, and the measures that take them. Axes: G elements (also answers), I irreps of a
:class:`Group`, N rows, P = G for ℤ_P, K = P // 2 frequencies, H neurons, Q triples. Logits are a grid
``logits_GGG[a, b, c]``; as for addition in :mod:`grokscope.measures.fourier`, what depends on a · b alone lives in the
table ``mean_GG[a · b, c]``.
"""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.groups.characters import (
    character_coefficients,
    character_part,
    character_similarity,
    coset_concentration,
    embedding_shares,
    excluded_loss,
    keep_irreps,
    key_irreps,
    mean_over_products,
    neuron_shares,
    restricted_loss,
    subgroups,
    variance_shares,
)
from grokscope.measures.groups.waves import (
    distance_irrelevance,
    embedding_gradients,
    frequency_power,
    gradient_symmetricity,
    input_weights,
    inverse_participation,
    phase,
    phase_alignment,
    phase_differences,
    phase_misalignment,
)
from grokscope.measures.irreps import Group, find_group
from grokscope.measures.progress import float32, neuron_grid
from grokscope.sources import Source
from grokscope.trace import Quantity

__all__ = [
    "ClockPizza",
    "Irreps",
    "KeyIrreps",
    "NeuronWaves",
    "character_coefficients",
    "character_part",
    "character_similarity",
    "coset_concentration",
    "distance_irrelevance",
    "embedding_gradients",
    "embedding_shares",
    "excluded_loss",
    "frequency_power",
    "gradient_symmetricity",
    "input_weights",
    "inverse_participation",
    "keep_irreps",
    "key_irreps",
    "mean_over_products",
    "neuron_shares",
    "phase",
    "phase_alignment",
    "phase_differences",
    "phase_misalignment",
    "restricted_loss",
    "subgroups",
    "variance_shares",
]

_SHARE = (0.0, 1.0)
_LOSS = (0.0, float("inf"))


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
