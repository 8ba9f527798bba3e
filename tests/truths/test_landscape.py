"""Truths for measures/curvature.py, llc.py and landscape.py: quadratics, dense twins, singular models."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokscope.errors import BadInput
from grokscope.measures import Measure, curvature, landscape, llc
from grokscope.models import MLP, Model, Transformer
from grokscope.objectives import MSE
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.testing import check_measure, small_snapshot

EXACT = 1e-10  # float64 sums of at most 1e4 terms of order 1


def _stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=_stream(seed))


def _symmetric(p: int, seed: int = 0) -> Tensor:
    a = _random(p, p, seed=seed)
    return a + a.T


def _quadratic(A: Tensor, b: Tensor | None = None) -> curvature.FlatLoss:
    slope = torch.zeros(len(A), dtype=torch.float64) if b is None else b
    return lambda theta: 0.5 * theta @ A @ theta + slope @ theta


def _net(*layers: nn.Module, seed: int = 0) -> nn.Module:
    module = nn.Sequential(*layers).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=_stream(seed + parameter.numel()))
    return module


def _tanh() -> tuple[curvature.FlatLoss, Tensor]:
    """A small network on fixed data: not quadratic."""
    module = _net(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return curvature.flat_loss(module, nn.functional.mse_loss, _random(9, 3), _random(9, 2, seed=1))


def _dense(loss: curvature.FlatLoss, theta: Tensor) -> Tensor:
    return torch.autograd.functional.hessian(loss, theta)  # type: ignore[no-untyped-call]


# A module as a function of one vector, and its derivatives.


def test_flat_loss_is_the_loss_of_the_module_and_leaves_it_alone() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    inputs, targets = _random(9, 3), _random(9, 2, seed=1)
    buffers = {name: b.clone() for name, b in module.named_buffers()}
    loss, theta = curvature.flat_loss(module, nn.functional.mse_loss, inputs, targets)
    slope = curvature.gradient(loss, theta)
    assert all(torch.equal(b, buffers[name]) for name, b in module.named_buffers())
    want = nn.functional.mse_loss(module(inputs), targets)
    torch.testing.assert_close(loss(theta), want, rtol=EXACT, atol=0)
    slopes = torch.autograd.grad(want, list(module.parameters()))
    torch.testing.assert_close(slope, torch.cat([s.flatten() for s in slopes]), rtol=EXACT, atol=EXACT)
    assert all(p.grad is None for p in module.parameters())


def test_hessian_products_are_those_of_the_dense_matrix() -> None:
    loss, theta = _tanh()
    dense, product = _dense(loss, theta), curvature.hessian_product(loss, theta)
    for seed in range(3):
        v = _random(len(theta), seed=seed)
        torch.testing.assert_close(product(v), dense @ v, rtol=1e-9, atol=1e-9)
    A, b = _symmetric(5), _random(5)
    torch.testing.assert_close(curvature.hessian_product(_quadratic(A, b), b)(b), A @ b, rtol=EXACT, atol=EXACT)
    assert not curvature.hessian_product(lambda w: b @ w, b)(b).any()  # a linear loss has no curvature
    torch.testing.assert_close(curvature.gradient(_quadratic(A, b), theta[:5]), A @ theta[:5] + b, rtol=EXACT, atol=0)


@pytest.mark.parametrize(
    "model",
    [
        Transformer(width=4, heads=2, hidden=6, activation="gelu"),
        Transformer(width=4, heads=2, hidden=6, layers=2, activation="gelu", norm="pre", sequence="equation"),
        MLP(hidden=6, activation="quadratic"),
    ],
)
def test_hessian_products_of_our_networks_are_differences_of_gradients(model: Model) -> None:
    base = small_snapshot()
    task = ModularArithmetic(modulus=13, train_fraction=0.5)  # large enough for lookups in tables
    network = model.build(task, Seeds(0).generator("init"))
    encoding, split = model.encode(task, task.table), task.divide(Seeds(0))
    rows = split.rows["train"]
    for objective in (base.objective, MSE()):
        targets = encoding.targets(split.answers_N)[rows]
        loss, theta = curvature.flat_loss(network, objective, encoding.tokens_NL[rows], targets)
        v, h = _random(len(theta)) / len(theta) ** 0.5, 1e-5
        ahead, behind = (curvature.gradient(loss, theta + s * h * v) for s in (1, -1))
        product = curvature.hessian_product(loss, theta)(v)
        torch.testing.assert_close(product, (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-7)


# Eigenvalues and trace.


def test_lanczos_is_the_dense_eigensolver() -> None:
    A = _symmetric(12)
    values, vectors, residuals = curvature.lanczos(lambda v: A @ v, _random(12, seed=1), 50)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(A).flip(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(A @ vectors, vectors * values, rtol=1e-8, atol=1e-8)
    assert residuals.max() < 1e-8
    turn = torch.linalg.qr(_random(12, 12, seed=2)).Q
    turned = curvature.lanczos(lambda v: turn @ A @ turn.T @ v, _random(12, seed=1), 50)[0]
    torch.testing.assert_close(turned, values, rtol=1e-9, atol=1e-9)


def test_lanczos_finds_both_ends_first_and_its_residual_norms_bound_the_error() -> None:
    exact = torch.cat([torch.linspace(0, 1, 195, dtype=torch.float64), torch.tensor([-2.0, 2.0, 3.0, 5.0, 9.0])])
    turn = torch.linalg.qr(_random(200, 200)).Q
    A = turn @ torch.diag(exact) @ turn.T
    values, vectors, residuals = curvature.lanczos(lambda v: A @ v, _random(200, seed=1), 20)
    assert values[0].item() == pytest.approx(9.0, rel=1e-6)
    assert values[-1].item() == pytest.approx(-2.0, rel=1e-3)
    torch.testing.assert_close((A @ vectors - vectors * values).norm(dim=0), residuals, rtol=1e-6, atol=1e-9)
    nearest = (values[:, None] - exact).abs().min(1).values
    assert bool((nearest <= residuals + 1e-9).all())


def test_lanczos_stops_where_no_direction_is_left() -> None:
    A = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0, 1.0], dtype=torch.float64))
    values, vectors, _ = curvature.lanczos(lambda v: A @ v, torch.ones(5, dtype=torch.float64), 20)
    torch.testing.assert_close(values, torch.tensor([3.0, 1.0], dtype=torch.float64), rtol=1e-9, atol=0)
    assert vectors.shape == (5, 2)
    assert curvature.lanczos(torch.zeros_like, torch.ones(5, dtype=torch.float64), 20)[0].tolist() == [0.0]


def test_lanczos_says_nan_where_a_product_is_not_finite_and_sees_one_direction() -> None:
    values, vectors, residuals = curvature.lanczos(lambda v: math.inf * v, _random(5), 4)
    assert values.isnan().all()
    assert residuals.isnan().all()
    assert vectors.shape == (5, len(values))
    one = curvature.lanczos(lambda v: 3.0 * v, torch.ones(1, dtype=torch.float64), 4)
    assert one[0].tolist() == [3.0]
    single = curvature.lanczos(lambda v: 3.0 * v, _random(300).float(), 4)  # rounding of float32 is no direction
    torch.testing.assert_close(single[0], torch.tensor([3.0], dtype=torch.float64), rtol=1e-6, atol=0)


def test_hutchinson_is_exact_for_a_diagonal_and_has_the_variance_of_the_theorem() -> None:
    diagonal, A = _random(12), _symmetric(12)
    trace, error = curvature.hutchinson(lambda v: diagonal * v, diagonal, 3, _stream())
    assert trace == pytest.approx(diagonal.sum().item(), rel=1e-12)
    assert error == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(curvature.hutchinson(lambda v: diagonal * v, diagonal, 1, _stream())[1])
    assert curvature.hutchinson(lambda v: diagonal * v, diagonal, 2, _stream())[1] == pytest.approx(0.0, abs=1e-12)
    probes = 4000
    trace, error = curvature.hutchinson(lambda v: A @ v, diagonal, probes, _stream(1))
    want = math.sqrt(2 * (A.square().sum() - A.diagonal().square().sum()).item() / probes)
    assert error == pytest.approx(want, rel=0.1)  # a standard deviation of 4000 draws is known to about 2 %
    assert abs(trace - A.trace().item()) < 4 * want
    assert curvature.hutchinson(lambda v: A @ v, diagonal, probes, _stream(1)) == (trace, error)


def test_sharpness_is_the_closed_form_of_a_quadratic() -> None:
    A, b, rho = _symmetric(6), _random(6, seed=1), 0.3
    want = rho * b.norm() + rho**2 / 2 * (b @ A @ b) / b.square().sum()
    nothing = torch.zeros(6, dtype=torch.float64)
    assert curvature.sharpness(_quadratic(A, b), nothing, rho) == pytest.approx(want.item(), rel=1e-10)
    assert curvature.sharpness(_quadratic(A), nothing, rho) == 0.0  # at a minimum there is no uphill
    eye = torch.eye(6, dtype=torch.float64)
    at = _random(6, seed=2)
    want = ((at.norm() + rho) ** 2 - at.norm() ** 2) / 2
    assert curvature.sharpness(_quadratic(eye), at, rho) == pytest.approx(want.item(), rel=1e-10)
    turn = torch.linalg.qr(_random(6, 6, seed=3)).Q
    turned = curvature.sharpness(_quadratic(turn @ A @ turn.T, turn @ b), turn @ at, rho)
    assert turned == pytest.approx(curvature.sharpness(_quadratic(A, b), at, rho), rel=1e-9)


# Slices.


@pytest.mark.parametrize("axis", [0, -1])
def test_a_direction_has_filters_as_long_as_the_modules_and_no_biases(axis: int) -> None:
    module = _net(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 5))
    direction = curvature.filter_direction(module, _stream(), axis)
    parts = direction.split([p.numel() for p in module.parameters()])
    for part, p in zip(parts, module.parameters(), strict=True):
        if p.dim() < 2:
            assert not part.any()
            continue
        filters, theirs = (x.movedim(axis, 0).flatten(1).norm(dim=1) for x in (part.view(p.shape), p.detach()))
        torch.testing.assert_close(filters, theirs, rtol=EXACT, atol=0)
    torch.testing.assert_close(direction, curvature.filter_direction(module, _stream(), axis), rtol=0, atol=0)
    assert (direction - curvature.filter_direction(module, _stream(1), axis)).norm() > 0.1


@pytest.mark.parametrize("axis", [0, -1])
def test_a_slice_does_not_see_how_relu_layers_share_their_scale(axis: int) -> None:
    inputs, targets, at = _random(9, 3), _random(9, 2, seed=1), torch.linspace(-1, 1, 5)
    slices = []
    for c in (1.0, 10.0):
        module = _net(nn.Linear(3, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False))
        with torch.no_grad():
            for p, scale in zip(module.parameters(), (c, 1 / c), strict=True):
                p.mul_(scale)
        loss, theta = curvature.flat_loss(module, nn.functional.mse_loss, inputs, targets)
        slices.append(curvature.loss_slice(loss, theta, curvature.filter_direction(module, _stream(), axis), at))
    torch.testing.assert_close(slices[0], slices[1], rtol=1e-9, atol=1e-12)


def test_slices_of_a_quadratic_are_parabolas() -> None:
    A, theta, d, e = _symmetric(6), _random(6), _random(6, seed=1), _random(6, seed=2)
    at = torch.linspace(-1, 2, 7, dtype=torch.float64)
    loss = _quadratic(A)
    want = loss(theta) + at * (d @ A @ theta) + at.square() / 2 * (d @ A @ d)
    torch.testing.assert_close(curvature.loss_slice(loss, theta, d, at), want, rtol=EXACT, atol=EXACT)
    plane = curvature.loss_plane(loss, theta, d, e, at)
    for i, a in enumerate(at):
        for j, b in enumerate(at):
            torch.testing.assert_close(plane[i, j], loss(theta + a * d + b * e), rtol=EXACT, atol=EXACT)


# The local learning coefficient.


def _bowl(h: Tensor) -> curvature.FlatLoss:
    return lambda w: 0.5 * (h * w) @ w


USUAL = llc.Sampler(chains=4, burn_in=200, draws=2000, step=2e-3, localization=0.0)


def _coefficient(
    loss: curvature.FlatLoss,
    theta: Tensor,
    n_beta: float = 100.0,
    minibatch: llc.BatchLoss | None = None,
    **settings: float,
) -> llc.LearningCoefficient:
    generator = Seeds(0).generator("measure", "llc")
    sampler = USUAL.with_overrides(settings)
    return llc.learning_coefficient(loss, theta, n_beta, sampler, generator, minibatch)


def test_on_a_quadratic_it_is_the_closed_form_of_finite_steps_and_localisation() -> None:
    h = torch.tensor([0.3, 0.5, 0.8, 1.0, 1.5, 2.0], dtype=torch.float64)
    n_beta, step, gamma = 100.0, 2e-3, 20.0
    found = _coefficient(_bowl(h), torch.zeros_like(h), localization=gamma)
    k = n_beta * h + gamma
    want = (0.5 * n_beta * h / k / (1 - step * k / 4)).sum().item()  # a linear recursion has a Gaussian end
    assert found.error < 0.1
    assert abs(found.value - want) < 4 * found.error
    assert found.flags == ()
    assert found.r_hat < 1.01


def test_on_a_quadratic_it_is_half_the_dimension() -> None:
    ones = torch.ones(6, dtype=torch.float64)
    found = _coefficient(_bowl(ones), 0 * ones)
    # finite steps of εk = 0.2 add 5 %; the rest is what 8 000 correlated draws leave open
    assert found.value == pytest.approx(3.0 * 1.05, rel=0.06)
    some = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    flat = _coefficient(_bowl(some), 0 * some, draws=1500)
    assert flat.value == pytest.approx(1.0 * 1.05, rel=0.1)  # directions without curvature do not count


def test_on_a_quartic_it_is_a_quarter_of_the_dimension() -> None:
    found = _coefficient(lambda w: w.pow(4).sum(), torch.zeros(6, dtype=torch.float64))
    # exact at every nβ by the virial theorem; finite steps add about 3 %, the draws leave 5 % open
    assert found.value == pytest.approx(1.5, rel=0.12)
    assert found.value < 2.0 < 3.0  # a quadratic of six directions has 3


def _reduced_rank(M: int, H: int, N: int, r: int) -> float:
    """λ of y = BAx with A: H x M, B: N x H at true rank r. [Aoyagi & Watanabe 2005, Main Theorem]"""
    if N + r <= M + H and M + r <= N + H and H + r <= M + N:
        odd = (M + H + N + r) % 2
        return (odd - (H + r) ** 2 - M**2 - N**2 + 2 * (H + r) * (M + N) + 2 * M * N) / 8
    if N + r > M + H:
        return (H * M - H * r + N * r) / 2
    if M + r > N + H:
        return (H * N - H * r + M * r) / 2
    return M * N / 2


@pytest.mark.parametrize("rank", [1, 2])
def test_on_reduced_rank_regression_it_is_the_known_coefficient(rank: int) -> None:
    M, H, N = 3, 2, 4
    A, B = torch.zeros(H, M, dtype=torch.float64), torch.zeros(N, H, dtype=torch.float64)
    for i in range(rank):  # true map with singular values 1, hidden units beyond the rank at zero
        A[i, i] = B[i, i] = 1.0
    theta, truth = torch.cat([A.flatten(), B.flatten()]), B @ A

    def loss(w: Tensor) -> Tensor:  # the expected loss for inputs N(0, 1)
        return 0.5 * (w[H * M :].view(N, H) @ w[: H * M].view(H, M) - truth).square().sum()

    want = _reduced_rank(M, H, N, rank)
    assert want == {1: 4.0, 2: 5.0}[rank]
    found = _coefficient(loss, theta, n_beta=200.0, step=5e-4, localization=1.0, burn_in=500, draws=2500)
    # up to εk/4 = 5 % too much from finite steps; localisation and finite nβ take at most as much; draws leave 5 %
    assert found.value == pytest.approx(want, rel=0.12)
    assert found.value < 0.5 * len(theta) * 0.85  # far from d/2 = 7, of a regular model


def test_where_many_hidden_units_write_nothing_it_is_half_the_outputs() -> None:
    want = _reduced_rank(1, 4, 1, 0)  # ½(a · b)² with a and b in ℝ⁴: half of one output, for eight weights
    assert want == 0.5

    def exact(n_beta: float, gamma: float) -> float:
        """Mean of nβu²/2: u = a · b of Gaussians of variance 1/γ has density ∝ (1 + γ|u|) e^{−γ|u|}."""
        u = torch.linspace(0.0, 20 / gamma, 200_001, dtype=torch.float64)
        density = (1 + gamma * u) * torch.exp(-gamma * u - n_beta * u.square() / 2)
        return (torch.trapezoid(n_beta * u.square() / 2 * density) / torch.trapezoid(density)).item()

    assert exact(1e6, 10.0) == pytest.approx(want, rel=1e-3)
    found = _coefficient(
        lambda w: 0.5 * (w[:4] @ w[4:]).square(),
        torch.zeros(8, dtype=torch.float64),
        n_beta=300.0,
        step=1e-3,
        localization=10.0,
        burn_in=500,
        draws=2000,
    )
    assert found.value == pytest.approx(exact(300.0, 10.0), rel=0.12)  # finite steps add 5 %, the draws leave 7 % open
    assert exact(300.0, 10.0) == pytest.approx(want, rel=0.2)  # what localisation takes


def test_the_true_coefficients_of_small_models_are_those_of_their_monomials() -> None:
    assert _reduced_rank(1, 1, 1, 0) == 0.5  # a²b²
    assert _reduced_rank(1, 1, 3, 0) == 0.5  # a²|b|², b in ℝ³
    assert _reduced_rank(2, 1, 3, 0) == 1.0  # |a|²|b|², a in ℝ²
    for M, H, N in ((3, 2, 4), (4, 3, 3), (2, 5, 3), (5, 2, 2)):
        assert _reduced_rank(M, H, N, 0) == _reduced_rank(N, H, M, 0)  # the transposed model
        full = min(M, H, N)
        if full == H:  # of full rank it is regular: half the dimension of the matrices of rank H
            assert _reduced_rank(M, H, N, H) == H * (M + N - H) / 2


def test_a_chain_is_its_recursion() -> None:
    sampler = llc.Sampler(chains=2, burn_in=3, draws=5, step=1e-2, localization=7.0)
    start, n_beta, h = _random(3), 4.0, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    got = llc.sgld(_bowl(h), start, n_beta, sampler, _stream(5))
    stream, want = _stream(5), []
    for _ in range(2):
        w, seen = start, []
        for _ in range(8):
            seen.append((0.5 * h * w * w).sum().item())
            noise = torch.randn(3, dtype=torch.float64, generator=stream)
            w = w - 1e-2 / 2 * (n_beta * h * w + 7.0 * (w - start)) + math.sqrt(1e-2) * noise
        want.append(seen[3:])
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), rtol=EXACT, atol=0)


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"step": 0.0}, {"chains": 0}, {"draws": 3}, {"localization": -1.0}, {"burn_in": -1}):
        with pytest.raises(BadInput):
            USUAL.with_overrides(wrong)


def test_the_error_is_that_of_a_mean_of_independent_draws() -> None:
    found = llc.LearningCoefficient(2.0 + 0.1 * _random(4, 2000), 1.5, 10.0)
    assert found.value == pytest.approx(5.0, abs=0.05)
    assert found.error == pytest.approx(10.0 * 0.1 / math.sqrt(8000), rel=0.1)
    assert found.negative == 0.0
    half = llc.LearningCoefficient(torch.stack([torch.zeros(9), torch.ones(9)]).double(), 0.5, 10.0)
    assert half.negative == 0.5
    assert half.per_chain_C.tolist() == [-5.0, 5.0]


def test_a_constant_in_the_loss_changes_nothing_and_a_minibatch_of_everything_neither() -> None:
    theta = torch.zeros(3, dtype=torch.float64)
    loss = _bowl(torch.ones_like(theta))
    want = _coefficient(loss, theta, draws=50, burn_in=0)
    shifted = _coefficient(lambda w: loss(w) + 5.0, theta, draws=50, burn_in=0)
    assert shifted.value == pytest.approx(want.value, rel=1e-9)
    whole = _coefficient(loss, theta, draws=50, burn_in=0, minibatch=lambda w, _: loss(w))
    assert torch.equal(whole.losses_CT, want.losses_CT)
    assert theta.abs().max() == 0.0


def test_gradient_noise_of_minibatches_does_not_shift_a_wide_minimum() -> None:
    theta = torch.zeros(4, dtype=torch.float64)
    loss = _bowl(torch.ones_like(theta))

    def noisy(w: Tensor, generator: torch.Generator) -> Tensor:  # unbiased: a random slope of mean zero
        return loss(w) + 0.05 * torch.randn(4, dtype=torch.float64, generator=generator) @ w

    found = _coefficient(loss, theta, minibatch=noisy)
    added = 2e-3 / 4 * (100 * 0.05) ** 2  # share of noise in a step that is the gradient's: ε/4 (nβσ)²
    assert found.value == pytest.approx(2.0 * 1.05 * (1 + added), rel=0.08)


def test_a_place_that_is_no_minimum_gives_a_negative_value_and_is_flagged() -> None:
    found = _coefficient(_bowl(torch.ones(4).double()), 3 * torch.ones(4).double(), draws=200)
    assert found.value < 0
    assert found.flags[0] == "4 of 4 chains are negative: θ* is no minimum"


def test_steps_that_are_too_large_and_chains_that_are_too_short_are_flagged() -> None:
    theta = torch.zeros(4, dtype=torch.float64)
    loss = _bowl(torch.ones_like(theta))
    diverged = _coefficient(loss, theta, step=0.1, draws=400)  # εk = 10 > 4
    assert diverged.flags == ("a chain has diverged: smaller steps, or more localization",)
    assert not math.isfinite(diverged.value)
    assert all(math.isnan(x) for x in (diverged.r_hat, diverged.effective_draws, diverged.error, diverged.negative))
    short = _coefficient(loss, theta, step=1e-5, burn_in=0, draws=200)
    assert any("R-hat" in flag for flag in short.flags)
    assert any("effective draws" in flag for flag in short.flags)


def test_split_r_hat_is_its_formula_and_sees_chains_that_disagree() -> None:
    values = _random(3, 50).cumsum(1)
    halves = [np.asarray(part) for chain in values for part in (chain[:25], chain[25:])]
    within = np.mean([half.var(ddof=1) for half in halves])
    between = 25 * np.var([half.mean() for half in halves], ddof=1)
    want = math.sqrt((24 / 25 * within + between / 25) / within)
    assert llc.split_r_hat(values) == pytest.approx(want, rel=1e-12)
    assert llc.split_r_hat(3 * values + 7) == pytest.approx(want, rel=1e-9)
    noise = _random(4, 4000)
    assert llc.split_r_hat(noise) < 1.002
    assert llc.split_r_hat(noise + torch.arange(4)[:, None]) > 1.5
    assert llc.split_r_hat(torch.linspace(0, 1, 100)[None]) > 1.5  # one chain that drifts
    assert llc.split_r_hat(torch.ones(2, 10)) == 1.0
    assert llc.split_r_hat(torch.arange(2.0)[:, None].expand(2, 10)) == math.inf
    for few in (torch.ones(2, 3), torch.ones(2, 0), torch.full((2, 9), math.nan)):
        assert math.isnan(llc.split_r_hat(few))
        assert math.isnan(llc.effective_size(few))


def test_effective_size_is_that_of_autoregressive_chains() -> None:
    noise = _random(4, 20_000)
    assert llc.effective_size(noise) == pytest.approx(80_000, rel=0.05)
    for phi in (0.9, -0.5):  # the second is worth more than its draws
        chain = torch.empty_like(noise)
        chain[:, 0] = noise[:, 0] / math.sqrt(1 - phi**2)
        for t in range(1, 20_000):
            chain[:, t] = phi * chain[:, t - 1] + noise[:, t]
        assert llc.effective_size(chain) == pytest.approx(80_000 * (1 - phi) / (1 + phi), rel=0.15)
    alternating = torch.ones(2, 100) * (-1.0) ** torch.arange(100)
    assert llc.effective_size(alternating) == pytest.approx(200 * math.log10(200))  # its bound
    assert llc.effective_size(2 * chain + 5) == pytest.approx(llc.effective_size(chain), rel=1e-6)
    assert llc.effective_size(noise + 10 * torch.arange(4)[:, None]) < 20  # four chains, four places
    assert llc.effective_size(torch.ones(2, 10)) == 20.0


# Order of steps.


def test_the_defect_of_quadratics_is_the_bracket_at_every_step_size() -> None:
    A, B, a, b, theta = _symmetric(6), _symmetric(6, 1), _random(6), _random(6, seed=1), _random(6, seed=2)
    first, second = _quadratic(A, a), _quadratic(B, b)
    g_a, g_b = A @ theta + a, B @ theta + b
    want = ((B @ g_a - A @ g_b).norm() / (g_a.norm() * g_b.norm())).item()
    assert landscape.commutator_bracket(first, second, theta) == pytest.approx(want, rel=1e-9)
    for step in (1e-3, 1.0):
        assert landscape.commutator_defect(first, second, theta, step) == pytest.approx(want, rel=1e-6)
    assert landscape.commutator_defect(second, first, theta) == pytest.approx(want, rel=1e-6)
    turn = torch.linalg.qr(_random(6, 6, seed=3)).Q
    turned = [_quadratic(turn @ X @ turn.T, turn @ x) for X, x in ((A, a), (B, b))]
    assert landscape.commutator_bracket(turned[0], turned[1], turn @ theta) == pytest.approx(want, rel=1e-9)


def test_the_defect_is_that_of_two_walks() -> None:
    loss, theta = _tanh()

    def other(w: Tensor) -> Tensor:
        return loss(w.roll(3))

    step = 0.05
    walks = []
    for one, two in ((loss, other), (other, loss)):
        middle = theta - step * curvature.gradient(one, theta)
        walks.append(middle - step * curvature.gradient(two, middle))
    sizes = [(step * curvature.gradient(x, theta)).norm() for x in (loss, other)]
    want = ((walks[0] - walks[1]).norm() / (sizes[0] * sizes[1] + 1e-12)).item()
    assert landscape.commutator_defect(loss, other, theta, step) == pytest.approx(want, rel=1e-8)
    limit = landscape.commutator_bracket(loss, other, theta)
    assert landscape.commutator_defect(loss, other, theta, 1e-5, least=0.0) == pytest.approx(limit, rel=1e-2)


def test_steps_commute_where_losses_are_equal_or_share_their_axes() -> None:
    loss, theta = _tanh()
    assert landscape.commutator_defect(loss, loss, theta) == 0.0
    assert landscape.commutator_bracket(loss, loss, theta) == 0.0
    diagonal = [_quadratic(torch.diag(_random(6, seed=s).abs())) for s in (0, 1)]
    assert landscape.commutator_defect(diagonal[0], diagonal[1], _random(6)) == pytest.approx(0.0, abs=1e-9)

    def flat(w: Tensor) -> Tensor:
        return 0.0 * w.sum()

    assert landscape.commutator_bracket(loss, flat, theta) == 0.0
    assert landscape.commutator_defect(loss, flat, theta) == 0.0
    assert math.isnan(landscape.commutator_bracket(loss, loss, math.nan * theta))
    assert math.isnan(landscape.commutator_defect(loss, loss, math.nan * theta))


def test_tiny_gradients_get_a_longer_step() -> None:
    A, B, theta = _symmetric(6), _symmetric(6, 1), _random(6)
    scale = 1e-5
    first, second = _quadratic(scale * A), _quadratic(scale * B)
    bracket = landscape.commutator_bracket(first, second, theta)
    g_a, g_b = (scale * (X @ theta).norm().item() for X in (A, B))
    eta = 1e-6 / min(g_a, g_b)
    want = bracket * eta**2 * g_a * g_b / (eta**2 * g_a * g_b + 1e-12)  # the paper's 1e-12 is felt here
    assert landscape.commutator_defect(first, second, theta) == pytest.approx(want, rel=1e-6)
    tiny = [_quadratic(1e-3 * scale * X) for X in (A, B)]  # which would ask for η = 1e2 and gets 1
    want = bracket * 1e-6 * g_a * g_b / (1e-6 * g_a * g_b + 1e-12)
    assert landscape.commutator_defect(tiny[0], tiny[1], theta) == pytest.approx(want, rel=1e-6)


def test_onset_needs_ten_times_the_baseline_and_twenty() -> None:
    steps = np.arange(6) * 100
    assert landscape.defect_onset(steps, np.array([1.0, 1.0, 1.0, 9.0, 19.0, 21.0])) == 500
    assert landscape.defect_onset(steps, np.array([3.0, 3.0, 3.0, 25.0, 31.0, 99.0])) == 400
    assert landscape.defect_onset(steps, np.array([0.0, 0.0, 0.0, 15.0, 20.0, 20.5])) == 500
    assert landscape.defect_onset(steps, np.array([9.0, 9.0, 9.0, 50.0, 80.0, 89.0])) is None
    assert landscape.defect_onset(steps[:0], np.empty(0)) is None
    assert landscape.defect_onset(np.arange(1000), 5.0 + np.random.default_rng(0).random(1000)) is None  # noise


# Updates.


def test_the_spectrum_of_updates_is_that_of_the_matrix() -> None:
    updates = _random(5, 40)
    want = torch.linalg.eigvalsh(updates @ updates.T).flip(0).sqrt()  # the roots of the Gram matrix
    got = landscape.update_spectrum(updates)
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)
    turn = torch.linalg.qr(_random(40, 40, seed=1)).Q
    torch.testing.assert_close(landscape.update_spectrum(updates.flip(0) @ turn), want, rtol=1e-8, atol=1e-8)
    assert landscape.update_gap(got) == pytest.approx((want[1] ** 2 - want[2] ** 2).item(), rel=1e-7)
    equal = landscape.update_spectrum(updates[:1].expand(4, -1))
    assert equal[0].item() == pytest.approx(2 * updates[0].norm().item(), rel=1e-9)
    assert landscape.update_edge(equal)[0] == 1  # rounding among the zeros is no edge
    assert landscape.update_gap(torch.tensor([5.0, 3.0])) == 9.0  # a window of two
    assert landscape.update_gap(torch.tensor([5.0])) == 0.0
    broken = landscape.update_spectrum(math.nan * updates)
    assert broken.isnan().all()
    for spectrum in (broken, torch.tensor([5.0])):
        assert math.isnan(landscape.update_edge(spectrum)[1])


def test_the_edge_is_where_the_spectrum_breaks_and_noise_has_none() -> None:
    assert landscape.update_edge(torch.tensor([8.0, 4.0, 0.5, 0.4])) == (2, 8.0)
    assert landscape.update_edge(torch.tensor([8.0, 0.0, 0.0])) == (1, math.inf)
    assert landscape.update_edge(torch.zeros(3)) == (1, 1.0)
    noise = _random(5, 10_000)
    assert landscape.update_edge(landscape.update_spectrum(noise))[1] < 1.1
    drift = noise + _random(10_000, seed=1)  # the same noise and one common direction
    k, ratio = landscape.update_edge(landscape.update_spectrum(drift))
    assert k == 1
    assert ratio > 2.0


# Noise and size of gradients.


def test_the_noise_scale_is_the_unbiased_variance_over_the_signal() -> None:
    gradients, rows = _random(7, 5), 4
    found = landscape.noise_scale(gradients, rows)
    trace = rows * gradients.var(0).sum().item()
    assert found.trace == pytest.approx(trace, rel=1e-9)
    signal = gradients.mean(0).square().sum().item() - trace / (7 * rows)
    assert found.signal == pytest.approx(signal, rel=1e-9)
    scaled = landscape.noise_scale(3 * gradients, rows)
    assert scaled.trace == pytest.approx(9 * found.trace, rel=1e-9)
    if found.signal > 0:
        assert scaled.scale == pytest.approx(found.scale, rel=1e-9)
    exact = landscape.noise_scale_of_norms(2.0 + 50.0 / 8, 2.0 + 50.0 / 512, 8, 512)  # their expectations
    assert exact.trace == pytest.approx(50.0, rel=1e-9)
    assert exact.scale == pytest.approx(25.0, rel=1e-9)
    one = landscape.noise_scale(gradients[:1], rows)
    assert math.isnan(one.trace)
    assert math.isnan(one.scale)
    assert landscape.NoiseScale(1.0, -0.5).scale == math.inf


def test_the_noise_scale_of_a_problem_is_what_it_was_made_with() -> None:
    p, batches, rows = 50, 200, 5
    signal = torch.zeros(p, dtype=torch.float64)
    signal[0] = 1.0
    examples = signal + _random(batches, rows, p)
    found = landscape.noise_scale(examples.mean(1), rows)
    assert found.trace == pytest.approx(p, rel=0.06)  # √(2/(p · 199)) = 1.4 %
    assert found.signal == pytest.approx(1.0, abs=0.3)  # 2/√1000 = 0.06 from the direction of the signal
    other = landscape.noise_scale(examples.view(40, 25, p).mean(1), 25)  # the same examples in larger batches
    assert other.scale == pytest.approx(found.scale, rel=0.3)
    noise = landscape.noise_scale((examples - signal).mean(1), rows)
    assert abs(noise.signal) < 0.05
    assert noise.scale > 20 * found.scale
    equal = landscape.noise_scale(signal.expand(4, -1), rows)
    assert equal.scale == pytest.approx(0.0, abs=1e-12)


def test_the_cosine_tells_growing_from_shrinking() -> None:
    theta = _random(6)
    decay, growth = (curvature.gradient(_quadratic(s * torch.eye(6, dtype=torch.float64)), theta) for s in (1, -1))
    assert landscape.cosine_to_weights(decay, theta) == pytest.approx(-1.0, rel=1e-12)
    assert landscape.cosine_to_weights(growth, theta) == pytest.approx(1.0, rel=1e-12)
    A = _symmetric(6)
    angular = curvature.gradient(lambda w: _quadratic(A)(w / w.norm()), theta)
    assert landscape.cosine_to_weights(angular, theta) == pytest.approx(0.0, abs=1e-10)
    assert landscape.cosine_to_weights(torch.zeros(6), theta) == 0.0
    assert math.isnan(landscape.cosine_to_weights(math.nan * theta, theta))
    for seed in range(200):  # rounding does not leave [−1, 1]
        v = _random(7, seed=seed)
        assert -1.0 <= landscape.cosine_to_weights(v, v) <= 1e-12 - 1.0
        assert 1.0 - 1e-12 <= landscape.cosine_to_weights(-v, v) <= 1.0
    assert abs(landscape.cosine_to_weights(_random(100_000), _random(100_000, seed=1))) < 0.015  # noise
    turn = torch.linalg.qr(_random(6, 6, seed=3)).Q
    g = _random(6, seed=4)
    want = landscape.cosine_to_weights(g, theta)
    assert landscape.cosine_to_weights(3 * turn @ g, turn @ theta / 7) == pytest.approx(want, rel=1e-9)


def test_second_differences_are_exact_for_parabolas() -> None:
    steps = np.array([0, 1, 3, 10, 11, 40])
    got = landscape.second_difference(steps, 3.0 * steps**2 - 5.0 * steps + 2.0)
    np.testing.assert_allclose(got, 6.0, rtol=1e-9)
    np.testing.assert_allclose(landscape.second_difference(steps, 7.0 - 2.0 * steps), 0.0, atol=1e-12)
    values = np.array([1.0, 4.0, 2.0, 8.0])
    np.testing.assert_allclose(landscape.second_difference(np.arange(4), values), [-5.0, 8.0])
    assert landscape.second_difference(np.arange(2), values[:2]).shape == (0,)
    noise = landscape.second_difference(np.arange(10_000), np.random.default_rng(0).standard_normal(10_000))
    assert noise.std() == pytest.approx(math.sqrt(6), rel=0.05)  # of v₂ − 2v₁ + v₀
    assert abs(noise.mean()) < 1e-3


# The measures.

MEASURES: list[Measure] = [
    landscape.GradientSize(),
    landscape.GradientNoise(batches=4, batch=4),
    landscape.CommutatorDefect(pairs=3, batch=8),
    landscape.CommutatorDefect(pairs=3, batch=8, form="bracket"),
    curvature.Curvature(rows=16, steps=6, probes=3),
    curvature.LossSlice(rows=16, points=5),
    llc.LocalLearning(chains=2, burn_in=2, draws=8, batch=8),
    llc.LocalLearning(chains=2, burn_in=2, draws=8),
]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.kind)
def test_the_measures_keep_their_contract(measure: Measure) -> None:
    check_measure(measure)


def _train_loss() -> tuple[curvature.FlatLoss, Tensor]:
    base = small_snapshot()
    rows = base.split.rows["train"]
    return curvature.flat_loss(base.network, base.objective, base.encoding.tokens_NL[rows], base.targets_NR[rows])


def test_curvature_of_a_network_is_that_of_its_dense_hessian() -> None:
    values = curvature.Curvature(steps=60, probes=200)(small_snapshot())
    loss, theta = _train_loss()
    dense = _dense(loss, theta)
    exact = torch.linalg.eigvalsh(dense)
    assert values["hessian/max"] == pytest.approx(exact[-1].item(), rel=1e-6)
    assert values["hessian/min"] == pytest.approx(exact[0].item(), rel=1e-3)
    assert abs(float(values["hessian/trace"]) - dense.trace().item()) < 4 * float(values["hessian/trace_error"])
    top = np.asarray(values["hessian/eigenvalues"])
    np.testing.assert_allclose(top, exact.flip(0)[:5].numpy(), rtol=1e-2)
    g = curvature.gradient(loss, theta)
    rise = loss(theta + 0.05 * g / g.norm()) - loss(theta)
    assert values["hessian/sharpness"] == pytest.approx(rise.item(), rel=1e-6)


def test_the_gradient_measure_is_the_gradient() -> None:
    loss, theta = _train_loss()
    g = curvature.gradient(loss, theta)
    values = landscape.GradientSize()(small_snapshot())
    assert values["gradient/norm"] == pytest.approx(g.norm().item(), rel=1e-9)
    assert values["gradient/cosine_weights"] == pytest.approx(landscape.cosine_to_weights(g, theta), rel=1e-9)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.kind)
@pytest.mark.parametrize("fill", [0.0, math.nan, math.inf], ids=["dead", "nan", "infinite"])
def test_a_dead_or_diverged_network_raises_nothing_and_passes_for_nothing(measure: Measure, fill: float) -> None:
    look = small_snapshot()
    with torch.no_grad():
        for parameter in look.network.parameters():
            parameter.fill_(fill)
    values = measure(look)
    assert set(values) == {quantity.key for quantity in measure.quantities}
    if fill != 0.0:
        assert all(np.isnan(value).all() for value in values.values()), values
    for key in {"gradient/norm", "gradient/cosine_weights", "noise/trace", "commutator/defect"} & set(values):
        assert fill != 0.0 or values[key] == 0.0


def test_noise_and_size_of_the_gradient_of_all_training_rows_fit_together() -> None:
    look = small_snapshot()
    assert len(look.split.rows["train"]) == 24
    noise = {k: float(v) for k, v in landscape.GradientNoise(batches=4, batch=6)(look).items()}
    norm = float(landscape.GradientSize()(look)["gradient/norm"])
    assert noise["noise/signal"] + noise["noise/trace"] / 24 == pytest.approx(norm**2, rel=1e-9)
    assert noise["noise/trace"] > 0
    other = landscape.GradientNoise(batches=4, batch=6)(small_snapshot(step=1))
    assert other["noise/trace"] != noise["noise/trace"]  # other mini-batches at another step


def test_the_measure_of_the_coefficient_is_the_function_with_n_over_log_n() -> None:
    loss, theta = _train_loss()
    sampler = llc.LocalLearning(chains=2, burn_in=2, draws=8)
    values = sampler(small_snapshot())
    generator = Seeds(0).generator("measure", "local-learning")
    found = llc.learning_coefficient(loss, theta, 24 / math.log(24), sampler, generator)
    assert values["llc/value"] == pytest.approx(found.value, rel=1e-9)
    assert values["llc/error"] == pytest.approx(found.error, rel=1e-9)
    assert values["llc/r_hat"] == pytest.approx(found.r_hat, rel=1e-9)
    assert values["llc/negative"] == found.negative


def test_a_slice_passes_through_the_network() -> None:
    loss, theta = _train_loss()
    values = np.asarray(curvature.LossSlice(points=3)(small_snapshot())["landscape/slice"])
    assert values[1] == pytest.approx(loss(theta).item(), rel=1e-6)
    look, generator = small_snapshot(), Seeds(0).generator("measure", "loss-slice")
    curvature.some_rows(look, 512, generator)  # the batch is drawn first
    direction = curvature.filter_direction(look.network, generator, output_axis=-1)
    assert values[0] == pytest.approx(loss(theta - direction).item(), rel=1e-6)
    assert values[2] == pytest.approx(loss(theta + direction).item(), rel=1e-6)
    assert len(set(values.tolist())) == 3


def test_the_two_forms_of_the_defect_agree_on_a_network() -> None:
    snapshot = small_snapshot(step=3)
    measures = [landscape.CommutatorDefect(form=form) for form in ("steps", "bracket")]
    found = [float(m(snapshot)["commutator/defect"]) for m in measures]
    assert found[0] == pytest.approx(found[1], rel=0.05)
    assert found[0] > 0
    other = landscape.CommutatorDefect()(small_snapshot(step=4))
    assert other["commutator/defect"] != found[0]  # other mini-batches at another step


def test_rows_are_drawn_of_the_training_rows_without_repetition() -> None:
    look = small_snapshot()
    train = look.split.rows["train"].tolist()
    rows = curvature.some_rows(look, 10, _stream()).tolist()
    assert len(set(rows)) == 10
    assert set(rows) < set(train)
    assert rows != curvature.some_rows(look, 10, _stream(1)).tolist()
    assert sorted(curvature.some_rows(look, 1000, _stream()).tolist()) == sorted(train)
    loss, theta = curvature.snapshot_loss(look, torch.tensor(rows))
    want = look.objective(look.logits_NRV[rows], look.targets_NR[rows])
    assert loss(theta).item() == pytest.approx(want.item(), rel=1e-9)


def test_what_is_drawn_is_a_matter_of_the_seed_alone() -> None:
    def take(seed: int) -> object:
        return curvature.Curvature(rows=8, seed=seed)(small_snapshot())["hessian/trace"]

    assert take(0) == take(0)
    assert take(0) != take(1)


def test_a_step_across_a_kink_hides_the_bracket():
    """L_A = x, L_B = max(x, 0) + y: no curvature, but a step of A takes B's slope away where 0 < x < η."""
    step = 1e-3
    theta = torch.tensor([step / 2, 0.0], dtype=torch.float64)

    def loss_a(t):
        return t[0]

    def loss_b(t):
        return t[0].relu() + t[1]

    away = theta + torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert landscape.commutator_defect(loss_a, loss_b, theta, step) == pytest.approx(1 / (step * 2**0.5), rel=1e-5)
    assert landscape.commutator_defect(loss_a, loss_b, away, step) == 0
    assert landscape.commutator_bracket(loss_a, loss_b, theta) == 0
