"""Truths for measures/progress.py: the Fourier functions, applied to the right parts of a network."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from grokscope.measures import FourierSparsity, KeyFrequencies, Norms, Snapshot, fourier, unmet
from grokscope.models import MLP, Model, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic, PermutationGroup, Task

ROUNDED = 1e-6  # arrays are kept in float32


def _look(model: Model, task: Task, seed: int = 0) -> Snapshot:
    network = model.build(task, Seeds(seed).generator("init"))
    return Snapshot(0, network, task, task.divide(Seeds(0)), model.encode(task, task.table), CrossEntropy())


def _planted(p: int = 13, frequencies: tuple[int, ...] = (2, 5), scale: float = 0.05) -> Snapshot:
    """The quadratic network that adds mod p with a few frequencies, by hand [2301.02679, Eqs. 6-12]."""
    k = torch.tensor(frequencies).repeat(100)
    task = ModularArithmetic(modulus=p, train_fraction=0.5)
    look = _look(MLP(activation="quadratic", bias=False, hidden=len(k), output_scale=scale), task)
    phase = 2 * math.pi * torch.rand(2, len(k), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turn = 2 * math.pi * torch.outer(torch.arange(p), k).double() / p
    with torch.no_grad():
        look.network.get_parameter("W.0").copy_(torch.cat([torch.cos(turn + phase[0]), torch.cos(turn + phase[1])]))
        look.network.get_parameter("W.1").copy_(torch.cos(-turn - phase.sum(0)).T)
    return replace(look, final=look)


@pytest.mark.parametrize("sequence", ["pair", "equation"])
def test_the_grid_is_a_by_b_by_c_at_the_answer(sequence: str) -> None:
    task = ModularArithmetic(modulus=7, train_fraction=0.5)
    model = Transformer(width=8, heads=2, hidden=16, sequence=sequence)
    look = _look(model, task)
    grid = torch.zeros(7, 7, 7, dtype=torch.float64)
    for row, (a, b) in enumerate(task.table.operands_NK.tolist()):
        with torch.no_grad():
            logits = look.network(look.encoding.tokens_NL[row : row + 1])[0, 0]
        grid[a, b] = logits[look.encoding.answers]
    mean = fourier.mean_over_sums(grid)
    coefficients = fourier.logit_coefficients(mean).numpy()
    values = FourierSparsity()(look)
    np.testing.assert_allclose(values["fourier/logit_coefficients"], coefficients, rtol=ROUNDED, atol=ROUNDED)
    late = KeyFrequencies()(replace(look, final=look))
    keys = [int(k) for k in late["fourier/key_frequencies"]]  # type: ignore[union-attr]
    rows = look.split.rows["train"]
    sums = task.table.answers_N
    assert late["fourier/restricted_loss"] == pytest.approx(fourier.restricted_loss(mean, keys).item(), rel=1e-10)
    excluded = fourier.excluded_loss(grid.flatten(0, 1)[rows], sums[rows], mean, keys).item()
    assert late["fourier/excluded_loss"] == pytest.approx(excluded, rel=1e-10)


def test_sparsity_is_that_of_the_embedding_and_of_the_readout() -> None:
    look = _look(Transformer(width=8, heads=2, hidden=16), ModularArithmetic(modulus=7, train_fraction=0.5))
    values = FourierSparsity()(look)
    w_e = look.network.get_parameter("W_E").detach()[:7]
    w_l = (look.network.get_parameter("blocks.0.W_out") @ look.network.get_parameter("W_U"))[:, :7].detach()
    assert values["fourier/gini_embedding"] == pytest.approx(fourier.fourier_gini(w_e).item(), rel=1e-12)
    assert values["fourier/gini_neuron_logit"] == pytest.approx(fourier.fourier_gini(w_l.T).item(), rel=1e-12)
    np.testing.assert_allclose(values["fourier/embedding_power"], fourier.power(w_e).numpy(), rtol=ROUNDED)


def test_a_planted_circuit_is_found_and_an_untrained_network_shows_none() -> None:
    look = _planted()
    values, sparse = KeyFrequencies()(look), FourierSparsity()(look)
    assert sorted(values["fourier/key_frequencies"].tolist()) == [2, 5]  # type: ignore[union-attr]
    assert values["fourier/restricted_loss"] < 0.5 < math.log(13) < values["fourier/excluded_loss"]
    assert values["fourier/variance_explained"] > 0.5
    assert sparse["fourier/gini_embedding"] > 0.6
    untrained = replace(_look(MLP(hidden=200), ModularArithmetic(modulus=13, train_fraction=0.5)), final=look)
    noise, blur = KeyFrequencies()(untrained), FourierSparsity()(untrained)
    assert noise["fourier/variance_explained"] < 0.2
    assert noise["fourier/restricted_loss"] > 0.9 * math.log(13)
    assert blur["fourier/gini_embedding"] < 0.15


def test_key_frequencies_are_those_of_the_finished_run_strongest_first() -> None:
    final = _planted(frequencies=(2, 5, 5))
    early = replace(_planted(frequencies=(1, 3, 3)), final=final)
    assert KeyFrequencies()(early)["fourier/key_frequencies"].tolist() == [5, 2]  # type: ignore[union-attr]


def test_random_labels_and_other_operations_and_layer_norm_are_skipped_with_a_reason() -> None:
    network = _look(Transformer(width=8, hidden=8), ModularArithmetic(modulus=7, train_fraction=0.5)).network
    for task in (
        ModularArithmetic(operation="mul", modulus=7),
        ModularArithmetic(modulus=7, labels="random"),
        PermutationGroup(degree=3),
    ):
        for measure in (FourierSparsity(), KeyFrequencies()):
            assert "cyclic" in (unmet(measure, task, network) or "")
        assert unmet(Norms(), task, network) is None
    add = ModularArithmetic(modulus=7)
    normed = Transformer(width=8, hidden=8, norm="post").skeleton(add)
    assert "linear" in (unmet(FourierSparsity(), add, normed) or "")
    assert unmet(KeyFrequencies(), add, normed) is None
    assert unmet(FourierSparsity(), add, network) is None


@pytest.mark.parametrize("fill", [0.0, float("nan")], ids=["dead", "diverged"])
def test_a_dead_or_diverged_network_has_no_key_frequency_and_raises_nothing(fill: float) -> None:
    look = _planted()
    with torch.no_grad():
        for parameter in look.network.parameters():
            parameter.fill_(fill)
    values = KeyFrequencies()(look)
    assert len(values["fourier/key_frequencies"]) == 0  # type: ignore[arg-type]
    assert values["fourier/circle"].shape == (0, 13, 2)  # type: ignore[union-attr]
    sparse = FourierSparsity()(look)
    for key in ("fourier/gini_embedding", "fourier/gini_neuron_logit"):
        assert sparse[key] == pytest.approx(fill, nan_ok=True)


def test_an_even_modulus_may_have_half_of_itself_as_a_key_frequency() -> None:
    values = KeyFrequencies()(_planted(p=8, frequencies=(1, 4)))
    assert sorted(values["fourier/key_frequencies"].tolist()) == [1, 4]  # type: ignore[union-attr]
    assert values["fourier/circle"].shape == (2, 8, 2)  # type: ignore[union-attr]
