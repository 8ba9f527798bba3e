"""Truths for measures/norms.py: roots of sums of squares, of the tensors they name."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from grokscope.measures import Norms, Snapshot
from grokscope.models import MLP, Model, Network, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic

TASK = ModularArithmetic(modulus=7, train_fraction=0.5)


def _look(model: Model) -> Snapshot:
    network = model.build(TASK, Seeds(0).generator("init"))
    return Snapshot(0, network, TASK, TASK.divide(Seeds(0)), model.encode(TASK, TASK.table), CrossEntropy())


@pytest.mark.parametrize(
    "model", [Transformer(layers=2, width=8, hidden=6), MLP(layers=2, hidden=5)], ids=lambda m: m.kind
)
def test_a_norm_is_the_root_of_the_sum_of_squares(model: Model) -> None:
    look = _look(model)
    values = Norms()(look)
    squares = {name: sum(x * x for x in p.flatten().tolist()) for name, p in look.network.named_parameters()}
    for name, square in squares.items():
        assert values[f"norm/{name}"] == pytest.approx(math.sqrt(square), rel=1e-12)
    assert values["norm/weights"] == pytest.approx(math.sqrt(sum(squares.values())), rel=1e-12)


@pytest.mark.parametrize(
    ("model", "readout"), [(Transformer(layers=2, width=8, hidden=6), "W_U"), (MLP(layers=2, hidden=5), "W.2")]
)
def test_the_last_layer_is_the_one_that_makes_the_logits(model: Model, readout: str) -> None:
    look = _look(model)
    values = Norms()(look)
    assert values["norm/last_layer"] == values[f"norm/{readout}"]
    with torch.no_grad():
        look.network.get_parameter(readout).zero_()
    assert Norms()(look)["norm/last_layer"] == 0.0
    spread = look.network(look.encoding.tokens_NL).std(dim=0)
    assert spread.max() == 0.0  # without it every row gives the same logits


class Shift(Network):
    """A network of one vector, without a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.b = torch.nn.Parameter(torch.tensor([3.0, 4.0]))

    def forward(self, tokens_NL: Tensor) -> Tensor:
        return self.b.expand(len(tokens_NL), 1, 2)

    def initialise(self, generator: torch.Generator) -> None: ...


def test_a_network_without_a_matrix_has_no_last_layer() -> None:
    values = Norms()(dataclasses.replace(_look(MLP(hidden=5)), network=Shift(), _cache={}))
    assert values["norm/weights"] == values["norm/b"] == 5.0
    assert math.isnan(values["norm/last_layer"])


def test_norms_scale_with_the_weights() -> None:
    model = Transformer(width=8, hidden=6)
    small, large = Norms()(_look(model)), Norms()(_look(model.with_overrides({"init_scale": 4.0})))
    assert all(large[key] == pytest.approx(4 * small[key], rel=1e-12) for key in small)
