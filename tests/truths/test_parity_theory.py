"""Truths for theory/parity.py: Fourier coefficients by enumeration, the learner by a naive twin, and a rule found."""

from itertools import combinations

import pytest
import torch

from grokscope.theory import parity
from grokscope.theory.parity import Net


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n", [3, 5, 9])
def test_majority_has_the_closed_form_at_every_order(n: int) -> None:
    x_BN = parity.cube(n)
    majority_B = x_BN.sum(1).sign()
    for order in range(1, n + 1):
        for chosen in list(combinations(range(n), order))[:3]:
            found = (majority_B * x_BN[:, list(chosen)].prod(1)).mean().abs().item()
            assert found == pytest.approx(parity.majority_coefficient(n, order), abs=1e-6)


def test_majority_coefficients_obey_parseval() -> None:
    from math import comb

    assert sum(comb(21, m) * parity.majority_coefficient(21, m) ** 2 for m in range(22)) == pytest.approx(1.0)


@pytest.mark.parametrize("k", [2, 4])
def test_the_gap_of_a_relu_neuron_with_signs_is_that_of_majority(k: int) -> None:
    n = 11
    w_TN = parity.signs((5, n), _generator())
    gradient = parity.population_gradient(parity.cube(n), k, w_TN, torch.zeros(5), "relu")
    found = parity.fourier_gap(gradient, k)
    torch.testing.assert_close(found, torch.full((5,), parity.majority_gap(n, k)), atol=1e-6, rtol=0)
    assert (gradient[:, :k].abs() - parity.majority_coefficient(n, k - 1) / 2).abs().max() < 1e-6
    odd = parity.population_gradient(parity.cube(n), 3, w_TN, torch.zeros(5), "relu")
    assert odd.abs().max() < 1e-6, "without a bias there is nothing at odd k"


def test_the_gap_falls_with_the_power_of_the_paper() -> None:
    for k in (2, 4):
        ratio = parity.majority_gap(2001, k) / parity.majority_gap(501, k)
        assert ratio == pytest.approx((2001 / 501) ** (-(k - 1) / 2), rel=0.02)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_gradient_of_a_sine_has_the_closed_form(k: int) -> None:
    start = parity.start(Net(width=1, activation="sine", readout=False), 8, 6, _generator(k))
    w_TN, b_T = start.w[:, 0], start.b[:, 0]
    whole = parity.population_gradient(parity.cube(8), k, w_TN, b_T, "sine")
    torch.testing.assert_close(parity.sine_gradient(w_TN, b_T, k).float(), whole, atol=1e-6, rtol=1e-3)
    assert (parity.fourier_gap(whole, k) > 0).all(), "tan w_i tan w_j < 1 at this start"


@pytest.mark.parametrize("activation", ["relu", "power", "sine", "zigzag"])
def test_slopes_are_derivatives(activation: parity.Activation) -> None:
    z = torch.randn(50, generator=_generator(), dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(parity.activate(z, activation).sum(), z)
    torch.testing.assert_close(parity.slope(z.detach(), activation), slope)
    with pytest.raises(ValueError, match="elementwise"):
        parity.slope(z, "product")


def test_one_neuron_of_a_periodic_kind_is_a_parity() -> None:
    """w = −½ on S and b = k/2 make a zigzag y itself; w = −π/2 and b = (k + 1) π/2 a sine."""
    x_BN = parity.cube(6)
    for k in (2, 3):
        y_B = x_BN[:, :k].prod(1)
        torch.testing.assert_close(parity.activate((k - x_BN[:, :k].sum(1)) / 2, "zigzag"), y_B)
        f_B = parity.activate(torch.pi / 2 * (k - x_BN[:, :k].sum(1)) + torch.pi / 2, "sine")
        torch.testing.assert_close(f_B, y_B, atol=1e-5, rtol=0)


@pytest.mark.parametrize("net", [Net(width=4), Net(width=3, activation="product"), Net(width=2, activation="power")])
def test_trials_do_not_meet(net: Net) -> None:
    """Three steps of two trials at once are those of each alone, written out with a loop and plain autograd."""
    draws = _generator(3)
    course = dict(parity.descend(net, 5, 2, 3, _generator(3), trials=2, batch=6, lr=0.1, every=1))
    parts = [part for part in parity.start(net, 5, 2, draws) if part is not None]
    batches = [parity.signs((2, 6, 5), draws) for _ in range(3)]
    for trial in range(2):
        theta = [part[trial].clone().requires_grad_() for part in parts]
        for x_TBN in batches:
            total = torch.zeros(())
            for x_N in x_TBN[trial]:
                z_H = theta[0] @ x_N + theta[1]
                if net.activation == "product":
                    f = z_H.prod()
                else:
                    h_H = z_H.relu() if net.activation == "relu" else z_H**3
                    f = theta[2] @ h_H + theta[3][0]
                total = total + (1 - x_N[:2].prod() * f).clamp_min(0)
            grads = torch.autograd.grad(total / 6, theta)
            theta = [(part - 0.1 * grad).detach().requires_grad_() for part, grad in zip(theta, grads, strict=True)]
        for found, wanted in zip([part for part in course[3] if part is not None], theta, strict=True):
            torch.testing.assert_close(found[trial], wanted.detach())


def test_a_rule_is_found_and_noise_is_not() -> None:
    net = Net(width=3, activation="product")
    found = {}
    for labels in ("parity", "random"):
        course = parity.descend(net, 8, 3, 600, _generator(), trials=8, batch=32, lr=0.1, every=20, labels=labels)
        found[labels] = parity.follow(course, net, 3, _generator(1), points=512, share=0.5)
    solved = [step for step in found["parity"].reached() if step is not None]
    assert len(solved) >= 4
    assert max(solved) == found["parity"].steps[-1] < 600, "stops where half have had no error"
    assert found["random"].steps[-1] == 600
    assert found["random"].reached() == [None] * 8
    assert found["parity"].error_LT[0].mean() == pytest.approx(0.5, abs=0.1)


def test_a_diverged_network_is_wrong_everywhere() -> None:
    net = Net(width=2)
    broken = parity.Weights(*(part * torch.nan for part in parity.start(net, 4, 3, _generator()) if part is not None))
    assert parity.error(net, broken, 2, 64, _generator()).tolist() == [1.0] * 3


def test_losses_and_limits() -> None:
    f, y = torch.tensor([0.5, -2.0]), torch.tensor([1.0, 1.0])
    assert parity.losses(f, y, "hinge").tolist() == [0.5, 3.0]
    assert parity.losses(f, y, "square").tolist() == [0.25, 9.0]
    torch.testing.assert_close(parity.losses(f, y, "cross-entropy"), torch.log1p(torch.exp(-f)))
    with pytest.raises(ValueError, match="at most 20"):
        parity.cube(21)
    with pytest.raises(ValueError, match="odd"):
        parity.majority_coefficient(10, 1)
