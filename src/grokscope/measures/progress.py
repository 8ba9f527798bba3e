"""The Fourier functions as measures: what is seen while training, and what needs the finished model."""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from grokscope.measures import fourier
from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.sources import Source
from grokscope.trace import Quantity

_SHARE = (0.0, 1.0)
_LOSS = (0.0, float("inf"))


class FourierSparsity(Measure):
    """How few frequencies carry the embedding, the readout and the logits."""

    kind: ClassVar[str] = "fourier-sparsity"
    needs: ClassVar[frozenset[str]] = frozenset({"cyclic group", "embedding", "linear readout"})
    cost: ClassVar[float] = 0.15
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("fourier/gini_embedding", "1", _SHARE, "Gini of the Fourier components of W_E"),
        Quantity("fourier/gini_neuron_logit", "1", _SHARE, "Gini of the Fourier components of W_L = W_U W_out"),
        Quantity("fourier/embedding_power", "share", _SHARE, "embedding power per frequency", array=True),
        Quantity("fourier/logit_coefficients", "nats", (-float("inf"), float("inf")), "c_k per frequency", array=True),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("nanda2023progress", "Sec. 5.1"),
        Source("hurley2009sparsity", "Table I"),
    )

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two Ginis and two spectra."""
        with torch.no_grad():
            embedding = snapshot.network.embedding_PD()
            readout = snapshot.network.neuron_to_logit_HC()
            assert embedding is not None  # by ``needs``
            assert readout is not None
            mean_PP = _mean_over_sums(snapshot)
            return {
                "fourier/gini_embedding": fourier.fourier_gini(embedding).item(),
                "fourier/gini_neuron_logit": fourier.fourier_gini(readout.T).item(),
                "fourier/embedding_power": float32(fourier.power(embedding)),
                "fourier/logit_coefficients": float32(fourier.logit_coefficients(mean_PP)),
            }


class KeyFrequencies(Measure):
    """Restricted and excluded loss, variance explained and the circle, at the finished model's key frequencies.

    Key frequencies taken from an unfinished model are polluted by neurons that have not settled, so
    they are taken once, from the final one. The values are therefore hindsight: no forecast sees them.
    """

    kind: ClassVar[str] = "key-frequencies"
    needs: ClassVar[frozenset[str]] = frozenset({"cyclic group", "embedding", "neurons"})
    cost: ClassVar[float] = 1.3
    every: ClassVar[int] = 2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("fourier/restricted_loss", "nats", _LOSS, "loss of the key frequencies alone, all pairs", True),
        Quantity("fourier/excluded_loss", "nats", _LOSS, "training loss without the key frequencies", True),
        Quantity("fourier/variance_explained", "share", _SHARE, "logit variance in Σ c_k cos w_k(a+b−c)", True),
        Quantity("fourier/key_frequencies", "1", (1.0, float("inf")), "the key frequencies", True, array=True),
        Quantity(
            "fourier/circle", "weight", (-float("inf"), float("inf")), "embedding on key planes", True, array=True
        ),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("nanda2023progress", "Sec. 5.1, App. C"),)

    min_share: float = Field(default=0.02, ge=0.0, lt=1.0)
    """Share of neurons a frequency needs to be key; 0 is the paper's own rule."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Values of one look, judged by ``snapshot.final``."""
        final = snapshot.final
        assert final is not None  # the loop asks only when the run is finished
        keys, plane = self.keys(final), _embedding(final)
        with torch.no_grad():
            grid = _grid(snapshot)
            mean_PP = _mean_over_sums(snapshot)
            rows = snapshot.split.rows["train"]
            logits, sums = snapshot.answer_logits_NC[rows], snapshot.split.answers_N[rows]
            circles = [fourier.circle(_embedding(snapshot), plane, k) for k in keys]
            no_circle = torch.empty(0, len(plane), 2)  # a dead or diverged network has no key frequency
            return {
                "fourier/restricted_loss": fourier.restricted_loss(mean_PP, keys).item(),
                "fourier/excluded_loss": fourier.excluded_loss(logits, sums, mean_PP, keys).item(),
                "fourier/variance_explained": fourier.variance_explained(grid, mean_PP, keys).item(),
                "fourier/key_frequencies": np.array(keys, dtype=np.int64),
                "fourier/circle": float32(torch.stack(circles) if circles else no_circle),
            }

    def keys(self, final: Snapshot) -> list[int]:
        """Key frequencies of the finished model, strongest in the embedding first."""
        if "key frequencies" not in final._cache:
            keys = fourier.key_frequencies(neuron_grid(final), self.min_share)
            with torch.no_grad():
                power = fourier.power(_embedding(final))
            final._cache["key frequencies"] = torch.tensor(sorted(keys, key=lambda k: -power[k - 1]))
        return final._cache["key frequencies"].tolist()


def neuron_grid(snapshot: Snapshot) -> Tensor:
    """What the named neurons put out where the answer is read, ``neurons_GGH[a, b]``, for a table of all pairs."""
    neurons, g = snapshot.activations(snapshot.network.neurons), snapshot.task.elements
    read = neurons.reshape(len(neurons), -1, neurons.shape[-1])
    return read[:, snapshot.encoding.answer_row if read.shape[1] > 1 else 0].reshape(g, g, -1)


def float32(tensor: Tensor) -> np.ndarray:
    """How arrays are kept: float32, on the CPU; what float32 cannot hold is infinite."""
    return tensor.detach().float().cpu().numpy()


def _grid(snapshot: Snapshot) -> Tensor:
    p = snapshot.task.elements
    return snapshot.answer_logits_NC.reshape(p, p, p)


def _mean_over_sums(snapshot: Snapshot) -> Tensor:
    if "mean over sums" not in snapshot._cache:
        snapshot._cache["mean over sums"] = fourier.mean_over_sums(_grid(snapshot))
    return snapshot._cache["mean over sums"]


def _embedding(snapshot: Snapshot) -> Tensor:
    embedding = snapshot.network.embedding_PD()
    assert embedding is not None  # by ``needs``
    return embedding.detach()
