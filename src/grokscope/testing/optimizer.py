"""The contract of an optimizer."""

import torch
from torch import Tensor

from grokscope.optim import Optimizer
from grokscope.testing.base import check_spec, close, hold


def check_optimizer(optimizer: Optimizer) -> None:
    """An update that treats members one by one and rests at learning rate 0.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    check_spec(optimizer)
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(3, 10, dtype=torch.float64, generator=generator)
    grads = torch.randn(5, 3, 10, dtype=torch.float64, generator=generator)
    lr = torch.tensor([[1e-3], [1e-2], [3e-2]], dtype=torch.float64)
    decay = torch.tensor([[0.0], [0.1], [1.0]], dtype=torch.float64)
    state = optimizer.start(theta)
    hold(set(state) == set(optimizer.buffers), optimizer, f"start must give the buffers {optimizer.buffers}")
    for name, buffer in state.items():
        hold(buffer.shape == theta.shape, optimizer, f"{name} must be shaped like theta, got {tuple(buffer.shape)}")
        hold(buffer.data_ptr() != theta.data_ptr(), optimizer, f"{name} must not share memory with theta")
    together = _descend(optimizer, theta, grads, lr, decay)
    hold(not torch.equal(together, theta), optimizer, "five updates move nothing")
    hold(torch.equal(together, _descend(optimizer, theta, grads, lr, decay)), optimizer, "one start, two outcomes")
    for i in range(3):
        one = slice(i, i + 1)
        alone = _descend(optimizer, theta[one], grads[:, one], lr[one], decay[one])
        hold(close(together[one], alone), optimizer, "stacked members differ from members one by one")
    hold(
        torch.equal(_descend(optimizer, theta, grads, lr * 0, decay), theta),
        optimizer,
        "learning rate 0 must leave the parameters exactly as they are",
    )
    broken = grads.clone()
    broken[:, 0] = float("nan")
    after = _descend(optimizer, theta, broken, lr, decay)
    hold(torch.equal(after[1:], together[1:]), optimizer, "a member that diverges touches the others")
    first = _descend(optimizer, theta, grads[:1], lr, decay * 0)
    downhill = ((first - theta) * grads[0]).sum(1)
    hold(bool((downhill < 0).all()), optimizer, "the first update without decay must go against the gradient")
    _check_warmup(optimizer)


def _descend(optimizer: Optimizer, theta: Tensor, grads: Tensor, lr: Tensor, decay: Tensor) -> Tensor:
    """Theta after one update per gradient; the inputs must come through unchanged."""
    theta, inputs = theta.clone(), (grads.clone(), lr.clone(), decay.clone())
    state = optimizer.start(theta)
    for step, grad in enumerate(inputs[0]):
        optimizer.update(theta, grad, state, step, inputs[1], inputs[2])
    for name, before, after in zip(("gradient", "lr", "weight_decay"), (grads, lr, decay), inputs, strict=True):
        hold(torch.equal(before.nan_to_num(), after.nan_to_num()), optimizer, f"update changes its {name}")
    return theta


def _check_warmup(optimizer: Optimizer) -> None:
    warm, cold = optimizer.with_overrides({"warmup": 10}), optimizer.with_overrides({"warmup": 0})
    rates = [warm.rate(step) for step in range(12)]
    hold(all(cold.rate(step) == 1.0 for step in range(3)), optimizer, "without warm-up the rate must be 1")
    hold(rates[0] == 0.0, optimizer, "the first update of a warm-up must move nothing")
    hold(rates == sorted(rates) and rates[10] == rates[11] == 1.0, optimizer, "a warm-up must rise to 1 and stay")
