"""Truths for objectives.py: torch's losses, and where softmax collapses."""

import math

import pytest
import torch
from torch.nn import functional as F

from grokscope.objectives import MSE, CrossEntropy, Objective

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 2, 5, dtype=torch.float64, generator=GENERATOR)
TARGETS = torch.randint(5, (6, 2), generator=GENERATOR)


def test_cross_entropy_is_torchs() -> None:
    want = F.cross_entropy(LOGITS.flatten(0, 1), TARGETS.flatten())
    torch.testing.assert_close(CrossEntropy()(LOGITS, TARGETS), want, rtol=1e-15, atol=0)


def test_mse_is_torchs_on_one_hot_targets() -> None:
    want = F.mse_loss(LOGITS, F.one_hot(TARGETS, 5).double())
    torch.testing.assert_close(MSE()(LOGITS, TARGETS), want, rtol=1e-14, atol=0)


@pytest.mark.parametrize("objective", [CrossEntropy(), MSE()], ids=lambda o: o.kind)
def test_the_mean_is_over_rows_and_read_positions(objective: Objective) -> None:
    each = objective.per_token(LOGITS.flatten(0, 1), TARGETS.flatten())
    assert each.shape == (12,)
    torch.testing.assert_close(objective(LOGITS, TARGETS), each.mean(), rtol=1e-15, atol=0)


@pytest.mark.parametrize("objective", [CrossEntropy(), MSE()], ids=lambda o: o.kind)
def test_the_loss_of_a_constant_guess_is_known(objective: Objective) -> None:
    loss = objective(torch.zeros(6, 2, 113, dtype=torch.float64), TARGETS)
    assert loss.item() == pytest.approx(objective.uniform(113), rel=1e-6)  # uniform is kept in float32
    assert CrossEntropy().uniform(113) == pytest.approx(math.log(113), rel=1e-6)


def _loss_and_slope(margin: float, precision: str, logits: torch.dtype = torch.float32) -> tuple[float, float]:
    z = torch.tensor([[margin, 0.0]], dtype=logits, requires_grad=True)
    loss = CrossEntropy(softmax=precision).per_token(z, torch.tensor([0]))[0]
    (slope,) = torch.autograd.grad(loss, z)
    return loss.item(), slope[0, 0].item()


def test_softmax_collapses_in_float32_and_not_in_float64() -> None:
    margin = 25.0
    assert _loss_and_slope(margin, "float32") == (0.0, 0.0)
    loss, slope = _loss_and_slope(margin, "float64")
    assert loss == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-3)  # 1 + 1e-11 keeps 5 digits of 1e-11
    assert slope == pytest.approx(-math.exp(-margin), rel=1e-3)
    assert _loss_and_slope(40.0, "float64")[0] == 0.0


def test_the_loss_collapses_where_the_docstring_says() -> None:
    assert _loss_and_slope(15.0, "float32")[0] > 0 == _loss_and_slope(17.5, "float32")[0]
    assert _loss_and_slope(35.0, "float64")[0] > 0 == _loss_and_slope(38.0, "float64")[0]
    assert _loss_and_slope(85.0, "safe")[0] > 0 == _loss_and_slope(110.0, "safe")[0]


@pytest.mark.parametrize("margin", [-200.0, -20.0, 0.0, 0.3, 5.0, 25.0, 60.0, 85.0])
def test_the_safe_form_keeps_its_digits_in_float32(margin: float) -> None:
    loss, slope = _loss_and_slope(margin, "safe")
    want = math.log1p(math.exp(-margin)) if margin > -100 else -margin
    assert loss == pytest.approx(want, rel=1e-5)
    assert slope == pytest.approx(-1 / (1 + math.exp(margin)) if margin < 40 else -math.exp(-margin), rel=1e-5)


def test_the_safe_form_can_be_differentiated_twice_and_stacked() -> None:
    z, y = LOGITS.flatten(0, 1).clone().requires_grad_(), TARGETS.flatten()
    assert torch.autograd.gradcheck(lambda z: CrossEntropy().per_token(z, y), (z,))
    assert torch.autograd.gradgradcheck(lambda z: CrossEntropy().per_token(z, y), (z,))
    stacked = torch.func.vmap(CrossEntropy().per_token)(LOGITS, TARGETS)
    torch.testing.assert_close(stacked, CrossEntropy().per_token(z, y).view(6, 2), rtol=1e-15, atol=0)
    grads = torch.func.vmap(torch.func.grad(lambda z, y: CrossEntropy().per_token(z, y).sum()))(LOGITS, TARGETS)
    want = torch.autograd.grad(F.cross_entropy(z, y, reduction="sum"), z)[0].view(LOGITS.shape)
    torch.testing.assert_close(grads, want, rtol=1e-12, atol=1e-15)


def test_softmax_is_never_taken_below_the_precision_of_the_logits() -> None:
    assert _loss_and_slope(25.0, "float32", torch.float64)[0] > 0
    assert CrossEntropy().per_token(torch.zeros(1, 3, dtype=torch.bfloat16), torch.tensor([0])).dtype == torch.float32
    assert MSE().per_token(torch.zeros(1, 3, dtype=torch.bfloat16), torch.tensor([0])).dtype == torch.float32
