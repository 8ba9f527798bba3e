"""Truths for optim/: torch's own optimizers, step by step."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from grokscope.errors import BadInput
from grokscope.optim import SGD, AdamW, Optimizer
from grokscope.spec import build

STEPS = 50
REORDERED = 1e-12  # float64, 50 steps; the same products in another order


def _slope(theta: Tensor) -> Tensor:
    """Gradient of a function with steep and flat directions and one that bends."""
    return theta * torch.logspace(-3, 2, theta.shape[-1], dtype=torch.float64) + torch.sin(3 * theta)


def _start() -> Tensor:
    return torch.randn(1, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _ours(optimizer: Optimizer) -> Tensor:
    theta = _start()
    state = optimizer.start(theta)
    decay = torch.full((1, 1), optimizer.weight_decay, dtype=torch.float64)
    for step in range(STEPS):
        lr = torch.full((1, 1), optimizer.lr * optimizer.rate(step), dtype=torch.float64)
        optimizer.update(theta, _slope(theta), state, step, lr, decay)
    return theta


def _torchs(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], warmup: int = 0) -> Tensor:
    parameter = nn.Parameter(_start())
    optimizer = make([parameter])
    lr = optimizer.param_groups[0]["lr"]
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = lr * min(step / warmup, 1.0) if warmup else lr
        parameter.grad = _slope(parameter.detach())
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("weight_decay", [0.0, 1.0])
@pytest.mark.parametrize("betas", [(0.9, 0.98), (0.9, 0.999), (0.0, 0.5)])
@pytest.mark.parametrize("eps", [1e-8, 1e-2])
def test_adamw_is_torchs(weight_decay: float, betas: tuple[float, float], eps: float) -> None:
    ours = _ours(AdamW(lr=1e-2, weight_decay=weight_decay, betas=betas, eps=eps))
    theirs = _torchs(lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=weight_decay, betas=betas, eps=eps))
    torch.testing.assert_close(ours, theirs, rtol=REORDERED, atol=REORDERED)
    assert not torch.allclose(ours, _start(), atol=1e-2)


def test_adamw_without_decay_is_adam() -> None:
    ours = _ours(AdamW(lr=1e-2, weight_decay=0.0))
    theirs = _torchs(lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.9, 0.98)))
    torch.testing.assert_close(ours, theirs, rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_sgd_is_torchs(momentum: float, weight_decay: float) -> None:
    ours = _ours(SGD(lr=1e-3, momentum=momentum, weight_decay=weight_decay))
    theirs = _torchs(lambda p: torch.optim.SGD(p, lr=1e-3, momentum=momentum, weight_decay=weight_decay))
    torch.testing.assert_close(ours, theirs, rtol=REORDERED, atol=REORDERED)


def test_warmup_is_a_linear_rise_of_the_rate() -> None:
    ours = _ours(AdamW(lr=1e-2, warmup=10))
    theirs = _torchs(lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=1.0, betas=(0.9, 0.98)), warmup=10)
    torch.testing.assert_close(ours, theirs, rtol=REORDERED, atol=REORDERED)
    assert [AdamW(warmup=4).rate(step) for step in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_first_adam_step_has_the_size_of_the_rate_whatever_the_gradient() -> None:
    optimizer = AdamW(lr=1e-2, weight_decay=0.0)
    theta = torch.zeros(1, 4, dtype=torch.float64)
    grad = torch.tensor([[1e3, -1.0, 1e-3, -1e-5]], dtype=torch.float64)
    optimizer.update(theta, grad, optimizer.start(theta), 0, torch.tensor([[1e-2]]), torch.zeros(1, 1))
    torch.testing.assert_close(theta, -1e-2 * grad.sign(), rtol=2e-3, atol=0)  # eps / |grad| = 1e-3 at 1e-5


def test_decay_without_gradient_is_a_power_law() -> None:
    optimizer = AdamW(lr=1e-2, weight_decay=0.5)
    theta = _start()
    state = optimizer.start(theta)
    lr, decay = (torch.full((1, 1), x, dtype=torch.float64) for x in (1e-2, 0.5))
    for step in range(100):
        optimizer.update(theta, torch.zeros_like(theta), state, step, lr, decay)
    torch.testing.assert_close(theta, _start() * (1 - 0.005) ** 100, rtol=REORDERED, atol=0)


@pytest.mark.parametrize("fields", [{"lr": 0}, {"weight_decay": -1}, {"betas": [0.9, 1.0]}, {"eps": 0}, {"warmup": -1}])
def test_a_setting_outside_its_range_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=next(iter(fields))):
        build(AdamW, fields)
