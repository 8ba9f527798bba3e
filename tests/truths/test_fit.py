"""Truths for measures/fit.py and the snapshot: plain loops over rows, and exact counts."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from grokscope.measures import Fit, Snapshot
from grokscope.models import MLP, Model, Network, Transformer
from grokscope.objectives import MSE, CrossEntropy, Objective
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic, Task

TASK = ModularArithmetic(modulus=11, train_fraction=0.4)
MODELS: Sequence[Model] = (
    Transformer(width=8, heads=2, hidden=16, init_scale=4.0),
    Transformer(width=8, heads=2, hidden=16, sequence="equation", init_scale=4.0),
    MLP(hidden=16, init_scale=4.0),
)


def snapshot(model: Model, task: Task = TASK, objective: Objective | None = None, seed: int = 0) -> Snapshot:
    seeds = Seeds(seed)
    network = model.build(task, seeds.generator("init"))
    encoding = model.encode(task, task.table)
    return Snapshot(0, network, task, task.divide(seeds), encoding, objective or CrossEntropy())


@pytest.mark.parametrize("objective", [CrossEntropy(), MSE()], ids=lambda o: o.kind)
@pytest.mark.parametrize(
    ("model", "labels"), [*((model, "true") for model in MODELS), (MODELS[0], "random"), (MODELS[2], "random")]
)
def test_loss_and_accuracy_are_those_of_a_loop_over_rows(model: Model, objective: Objective, labels: str) -> None:
    look = snapshot(model, TASK.with_overrides({"labels": labels}), objective)
    values = Fit()(look)
    for split, rows in look.split.rows.items():
        right, losses = 0, []
        for row in rows.tolist():
            logits_RV = look.network(look.encoding.tokens_NL[row : row + 1])[0]
            wanted = look.encoding.targets_NR[row].clone()
            wanted[0] = look.split.answers_N[row] + look.encoding.answers.start
            right += all(int(z.argmax()) == int(w) for z, w in zip(logits_RV, wanted, strict=True))
            losses += [objective.per_token(logits_RV, wanted).detach()]
        assert values[f"{split}/accuracy"] == right / len(rows)
        assert values[f"{split}/loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-12)


class Answers(Network):
    """Right on the first ``right`` rows, wrong on all others."""

    def __init__(self, right: int) -> None:
        super().__init__()
        self.right = right

    def forward(self, tokens_NL: Tensor) -> Tensor:
        sums = (tokens_NL[:, 0] + tokens_NL[:, 1]) % 11
        place = tokens_NL[:, 0] * 11 + tokens_NL[:, 1]
        answer = torch.where(place < self.right, sums, (sums + 1) % 11)
        return torch.nn.functional.one_hot(answer, 11).float()[:, None]

    def initialise(self, generator: torch.Generator) -> None: ...


@pytest.mark.parametrize("right", [0, 1, 60, 120, 121])
def test_accuracy_is_an_exact_count_over_n(right: int) -> None:
    encoding = MLP().encode(TASK, TASK.table)
    look = Snapshot(0, Answers(right), TASK, TASK.divide(Seeds(0)), encoding, CrossEntropy())
    values = Fit()(look)
    correct = {split: int((rows < right).sum()) for split, rows in look.split.rows.items()}
    assert sum(correct.values()) == right
    for split, count in correct.items():
        assert values[f"{split}/accuracy"] == count / look.split.size(split)


def test_a_row_that_is_not_a_number_is_wrong_and_of_equal_logits_the_first_counts() -> None:
    look = snapshot(MODELS[2])
    look._cache["logits"] = torch.full((121, 1, 11), torch.nan)
    values = Fit()(look)
    assert values["train/accuracy"] == values["test/accuracy"] == 0.0
    assert math.isnan(values["train/loss"])
    look._cache["logits"] = torch.zeros(121, 1, 11)
    for split, rows in look.split.rows.items():
        assert Fit()(look)[f"{split}/accuracy"] == (look.split.answers_N[rows] == 0).double().mean().item()
        assert Fit()(look)[f"{split}/loss"] == pytest.approx(math.log(11), rel=1e-6)


def test_an_equation_is_right_only_when_both_tokens_are() -> None:
    look = snapshot(MODELS[1])
    both, first = torch.zeros(121, 2, 152), torch.zeros(121, 2, 152)
    targets = look.targets_NR
    both.scatter_(2, targets[..., None], 1.0)
    first[:, :1] = both[:, :1]
    first[:, 1, 5] = 1.0  # not <eos>
    for logits, accuracy in ((both, 1.0), (first, 0.0)):
        look._cache["logits"] = logits
        assert Fit()(look)["test/accuracy"] == accuracy


def test_gradients_of_a_snapshot_are_those_of_backward_and_leave_grad_alone() -> None:
    look = snapshot(MODELS[0])
    found = look.gradients("train")
    assert all(parameter.grad is None for parameter in look.network.parameters())
    rows = look.split.rows["train"]
    look.objective(look.network(look.encoding.tokens_NL[rows]), look.targets_NR[rows]).backward()
    for name, parameter in look.network.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-12, atol=1e-14)


def test_activations_of_a_snapshot_are_the_hidden_layer() -> None:
    look = snapshot(MODELS[2])
    network = look.network
    pairs = TASK.table.operands_NK
    want = torch.relu(network.W[0][pairs[:, 0]] + network.W[0][11 + pairs[:, 1]] + network.b[0])
    torch.testing.assert_close(look.activations(network.neurons), want.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(look.logits_NRV[:, 0], (want @ network.W[1] + network.b[1]).detach())
