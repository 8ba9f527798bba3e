"""Truths for measures/adversarial.py: linear classifiers, whose worst case is known exactly."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.measures.adversarial import accuracy_under_attack, ascend, attack, between

UNBOUNDED = (-torch.inf, torch.inf)


def _linear(inputs: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """w, b of f = w·x + b, points and the answers (1 where f ≥ 0) of two logits (−f/2, f/2)."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(inputs, dtype=torch.float64, generator=generator)
    x = torch.rand(200, inputs, dtype=torch.float64, generator=generator)
    b = 1e-3 - (x @ w).median()  # no point lies on the border
    return w, b, x, (x @ w + b >= 0).long()


def _logits(w: Tensor, b: Tensor, x: Tensor) -> Tensor:
    f = x @ w + b
    return torch.stack([-f, f], 1) / 2


@pytest.mark.parametrize(("step_size", "steps"), [(0.03, 1), (0.01, 10), (0.004, 8), (1.0, 3)])
def test_the_worst_margin_of_a_linear_classifier_is_less_by_radius_times_the_l1_norm(
    step_size: float, steps: int
) -> None:
    w, b, x, y = _linear(20)
    sign = 2 * y - 1
    moved = attack(lambda z: _logits(w, b, z), x, y, 0.03, step_size, steps, UNBOUNDED)
    torch.testing.assert_close(sign * (moved @ w + b), sign * (x @ w + b) - 0.03 * w.abs().sum())


@pytest.mark.parametrize("radius", [0.0, 0.01, 0.05, 0.3])
def test_accuracy_under_attack_of_a_linear_classifier_is_the_share_of_larger_margins(radius: float) -> None:
    w, b, x, y = _linear(20)
    expected = (((2 * y - 1) * (x @ w + b)) > radius * w.abs().sum()).double().mean().item()
    found = accuracy_under_attack(lambda z: _logits(w, b, z), x, y, radius, max(radius, 1e-3), 3, UNBOUNDED)
    assert found == expected
    assert radius > 0 or expected == 1.0


def test_too_few_steps_go_only_as_far_as_they_are_long() -> None:
    w, b, x, y = _linear(7)
    moved = attack(lambda z: _logits(w, b, z), x, y, 0.5, 0.01, 3, UNBOUNDED)
    torch.testing.assert_close((moved - x).abs(), torch.full_like(x, 0.03))


def test_it_stays_in_the_ball_and_in_the_bounds() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 4)).double()
    x, y = torch.rand(100, 6, dtype=torch.float64), torch.randint(4, (100,))
    moved = attack(network, x, y, 0.2, 0.05, 10)
    assert ((moved - x).abs() <= 0.2 + 1e-12).all()
    assert ((moved >= 0) & (moved <= 1)).all()
    assert F.cross_entropy(network(moved), y) > F.cross_entropy(network(x), y) + 0.01
    assert all(p.grad is None for p in network.parameters())
    assert not moved.requires_grad
    assert torch.equal(
        ascend(lambda z: z.sum(1), x, 0.2, 0.2, 1, (0.0, 0.9)), (x + 0.2).clamp(max=0.9).maximum(x - 0.2).clamp(max=0.9)
    )


def test_each_point_is_attacked_as_if_it_were_alone() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    x, y = torch.rand(8, 5, dtype=torch.float64), torch.randint(3, (8,))
    alone = torch.cat([attack(network, x[i : i + 1], y[i : i + 1], 0.1, 0.02, 10) for i in range(8)])
    torch.testing.assert_close(attack(network, x, y, 0.1, 0.02, 10), alone)


def test_the_border_of_a_linear_classifier_is_found_between_points_of_two_answers() -> None:
    w, b, x, y = _linear(20)
    border, crossed = between(lambda z: _logits(w, b, z), x[:100], x[100:], halvings=40)
    assert torch.equal(crossed, y[:100] != y[100:])
    torch.testing.assert_close((border @ w + b)[crossed], torch.zeros(int(crossed.sum()), dtype=torch.float64))
    assert torch.equal(border[~crossed], x[:100][~crossed])
