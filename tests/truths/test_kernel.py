"""Truths for measures/kernel.py: brute-force Jacobians, closed forms, and kernels made by hand."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from grokscope.measures import kernel
from grokscope.models import MLP, Model, Transformer
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.testing import check_measure, small_snapshot

EXACT = 1e-10  # float64 sums of at most 1e4 terms of order 1
TASK = ModularArithmetic(modulus=5, train_fraction=0.5)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _set(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.normal_(generator=generator)
    return module


def _net() -> nn.Module:
    return _set(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))


def _jacobian(module: nn.Module, inputs: Tensor, picks: Tensor | None = None) -> Tensor:
    """One backward pass for each number: of every output (N·C, P), or of one per example (N, P)."""
    rows = []
    for i, x in enumerate(inputs):
        outputs = module(x[None]).flatten()
        for output in outputs if picks is None else outputs[picks[i], None]:
            slopes = torch.autograd.grad(output, list(module.parameters()), retain_graph=True)
            rows.append(torch.cat([s.flatten() for s in slopes]))
    return torch.stack(rows)


class _Committee(nn.Module):
    """f(x) = α/N Σ_i φ(w_i·x), φ(h) = h + ε/2 h². [Kumar et al. 2023, Eq. 3]"""

    def __init__(self, weights: Tensor, alpha: float, epsilon: float) -> None:
        super().__init__()
        self.w = nn.Parameter(weights)
        self.alpha, self.epsilon = alpha, epsilon

    def forward(self, x: Tensor) -> Tensor:
        h = x @ self.w.T
        return self.alpha * (h + self.epsilon / 2 * h.square()).mean(1)


# The kernel itself.


def test_the_kernel_is_that_of_the_whole_jacobian_however_it_is_blocked() -> None:
    module, inputs = _net(), _random(5, 3)
    jacobian = _jacobian(module, inputs)
    every = jacobian @ jacobian.T
    picks = torch.tensor([0, 1, 1, 0, 1])
    chosen = _jacobian(module, inputs, picks)
    torch.testing.assert_close(chosen, jacobian.view(5, 2, -1)[torch.arange(5), picks], rtol=EXACT, atol=EXACT)
    for entries in (1, 2 * 26 * 2, 2**20):  # one row, two rows, all rows at once
        torch.testing.assert_close(kernel.ntk(module, inputs, entries=entries), every, rtol=EXACT, atol=EXACT)
        torch.testing.assert_close(
            kernel.ntk(module, inputs, picks, entries), chosen @ chosen.T, rtol=EXACT, atol=EXACT
        )


@pytest.mark.parametrize(
    "model",
    [
        Transformer(width=8, heads=2, hidden=6),
        Transformer(width=8, heads=2, hidden=6, layers=2, norm="pre", activation="gelu", sequence="equation"),
        MLP(hidden=6),
        MLP(hidden=6, layers=2, inputs="embedding", width=4),
    ],
)
def test_the_kernel_of_our_networks_is_that_of_the_whole_jacobian(model: Model) -> None:
    network = model.build(TASK, Seeds(0).generator("init"))
    encoding = model.encode(TASK, TASK.table)
    tokens = encoding.tokens_NL[3:15]
    picks = encoding.targets_NR[3:15, 0]
    chosen = _jacobian(network, tokens, picks)
    torch.testing.assert_close(kernel.ntk(network, tokens, picks), chosen @ chosen.T, rtol=EXACT, atol=EXACT)


def test_the_kernel_of_a_linear_map_is_the_gram_matrix_of_its_inputs() -> None:
    inputs = _random(6, 3)
    linear = _set(nn.Linear(3, 1, bias=False))
    torch.testing.assert_close(kernel.ntk(linear, inputs), inputs @ inputs.T, rtol=EXACT, atol=EXACT)


def test_the_kernel_of_a_committee_is_the_closed_form_of_its_two_moments() -> None:
    w, alpha, epsilon, inputs = _random(7, 4), 1.7, 0.3, _random(5, 4, seed=1)
    mean, moment = w.mean(0), w.T @ w / 7
    gram = inputs @ inputs.T
    linear = (inputs @ mean)[:, None] + inputs @ mean
    want = gram * (1 + epsilon * linear + epsilon**2 * inputs @ moment @ inputs.T) * alpha**2 / 7
    got = kernel.ntk(_Committee(w, alpha, epsilon), inputs)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=EXACT)


def test_the_kernel_does_not_see_the_order_of_neurons_and_scales_with_the_square_of_the_output() -> None:
    w, inputs = _random(7, 4), _random(5, 4, seed=1)
    want = kernel.ntk(_Committee(w, 1.0, 0.3), inputs)
    torch.testing.assert_close(kernel.ntk(_Committee(w.flip(0), 1.0, 0.3), inputs), want, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(kernel.ntk(_Committee(w, 3.0, 0.3), inputs), 9 * want, rtol=EXACT, atol=EXACT)


# Alignment and distance of kernels.


def test_alignment_is_one_for_multiples_and_has_kumars_form_for_labels() -> None:
    x, y = _random(6, 8), _random(6, seed=1)
    gram = x @ x.T
    assert kernel.alignment(gram, 3 * gram) == pytest.approx(1.0, rel=1e-12)
    want = (y @ gram @ y / (gram.norm() * y.square().sum())).item()
    assert kernel.alignment(gram, torch.outer(y, y)) == pytest.approx(want, rel=1e-12)
    identity = torch.eye(6, dtype=torch.float64)
    assert kernel.alignment(identity, torch.outer(y, y)) == pytest.approx(6**-0.5, rel=1e-12)
    assert kernel.alignment(torch.zeros(6, 6), gram) == 0.0


def test_centring_is_that_of_features_and_cka_ignores_what_it_should() -> None:
    x, z = _random(6, 8) + 5.0, _random(6, 3, seed=1)
    middle = x - x.mean(0)
    torch.testing.assert_close(kernel.centred(x @ x.T), middle @ middle.T, rtol=EXACT, atol=EXACT)
    first, second = x @ x.T, z @ z.T
    want = kernel.cka(first, second)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    turn = torch.linalg.qr(_random(8, 8, seed=2)).Q
    assert kernel.cka(2 * first + 7.0, second) == pytest.approx(want, rel=EXACT)
    assert kernel.cka((x @ turn) @ (x @ turn).T, second) == pytest.approx(want, rel=EXACT)
    assert kernel.cka(first[order][:, order], second[order][:, order]) == pytest.approx(want, rel=EXACT)


def test_cka_of_noise_is_what_width_and_examples_make_it() -> None:
    n, d = 400, 50
    x, y = _random(n, d), _random(n, d, seed=1)
    assert kernel.cka(x @ x.T, y @ y.T) == pytest.approx(d / (n + d), rel=0.1)  # fluctuates by about 1/d
    labels = torch.arange(n) % 5
    one_hot = torch.eye(5, dtype=torch.float64)[labels]
    torch.testing.assert_close(kernel.label_gram(labels), one_hot @ one_hot.T)
    assert kernel.cka(x @ x.T, kernel.label_gram(labels)) < 0.1
    planted = torch.cat([x, 20 * one_hot], 1)  # the same noise beside the labels
    assert kernel.cka(planted @ planted.T, kernel.label_gram(labels)) > 0.9


def test_kernel_distance_is_between_none_and_one() -> None:
    a, b = torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    a[0], b[1] = 1.0, 1.0
    first, second = torch.outer(a, a), torch.outer(b, b)
    assert kernel.kernel_distance(first, 5 * first) == pytest.approx(0.0, abs=1e-12)
    assert kernel.kernel_distance(first, second) == 1.0
    half = kernel.kernel_distance(first, torch.outer(a + b, a + b))
    assert half == pytest.approx(0.5, rel=1e-12)
    assert kernel.kernel_velocity(first, torch.outer(a + b, a + b), 10) == pytest.approx(0.05, rel=1e-12)


def test_alignment_keeps_its_range_at_every_scale_and_a_constant_kernel_has_none() -> None:
    for seed in range(30):
        x = _random(7, 3, seed=seed)
        for scale in (1e-100, 1.0, 1e100):
            gram = scale * x @ x.T
            assert 1 - 1e-12 < kernel.alignment(gram, gram) <= 1.0
            assert 0.0 <= kernel.kernel_distance(gram, 3 * gram) < 1e-12
    assert kernel.alignment(gram, -gram) == pytest.approx(-1.0, rel=1e-12)
    for n in range(2, 30):  # centring leaves rounding, whose alignment would be that of noise
        constant = torch.full((n, n), 0.1, dtype=torch.float64)
        assert not kernel.centred(constant).any()
        assert kernel.cka(constant, torch.eye(n)) == 0.0
    broken = torch.full((3, 3), torch.nan)
    for function in (kernel.alignment, kernel.cka, kernel.kernel_distance):
        assert math.isnan(function(broken, torch.eye(3)))


def test_velocity_wants_time_to_pass() -> None:
    assert kernel.kernel_velocity(torch.diag(torch.tensor([1.0, 0.0])), torch.eye(2), 0.5) == pytest.approx(2 - 2**0.5)
    with pytest.raises(ValueError, match="above 0"):
        kernel.kernel_velocity(torch.eye(2), torch.eye(2), 0)


# What a kernel makes easy.


def test_difficulty_is_the_quadratic_form_of_the_inverse() -> None:
    x, y = _random(5, 9), _random(5, 2, seed=1)
    gram = x @ x.T
    want = (y.T @ torch.linalg.inv(gram) @ y).trace().item()
    assert kernel.difficulty(gram, y) == pytest.approx(want, rel=1e-9)
    assert kernel.difficulty(4 * gram, y) == pytest.approx(want / 4, rel=1e-9)
    assert kernel.difficulty(2 * torch.eye(5), y[:, 0], 1.0) == pytest.approx(y[:, 0].square().sum().item() / 3)
    values, vectors = torch.linalg.eigh(gram)
    for k in (0, 4):
        assert kernel.difficulty(gram, vectors[:, k]) == pytest.approx(1 / values[k].item(), rel=1e-9)


def test_targets_in_the_null_space_are_infinitely_difficult_and_others_are_not() -> None:
    x = _random(6, 2)
    gram = x @ x.T  # rank 2 of 6
    inside = x @ _random(2, seed=1)
    want = (inside @ torch.linalg.pinv(gram, rtol=1e-10) @ inside).item()
    assert kernel.difficulty(gram, inside) == pytest.approx(want, rel=1e-8)
    assert kernel.difficulty(0.01 * gram, 1e6 * inside) == pytest.approx(1e14 * want, rel=1e-8)
    assert kernel.difficulty(gram, 1e-6 * _random(6, seed=2)) == math.inf
    assert kernel.difficulty(gram, _random(6, seed=2)) == math.inf
    assert kernel.difficulty(torch.zeros(3, 3), torch.ones(3)) == math.inf
    assert kernel.difficulty(gram, _random(6, seed=2), ridge=0.1) < math.inf
    assert kernel.difficulty(gram, torch.zeros(6)) == 0.0


def test_a_kernel_that_is_not_finite_raises_nothing_and_tells_nothing() -> None:
    broken = torch.eye(3)
    broken[0, 1] = torch.nan
    assert math.isnan(kernel.difficulty(broken, torch.ones(3)))
    assert math.isnan(kernel.effective_dimension(broken, 0.1))
    assert kernel.kernel_prediction(torch.ones(2, 3), broken, torch.ones(3)).isnan().tolist() == [True, True]
    with pytest.raises(ValueError, match="ridge"):
        kernel.effective_dimension(torch.eye(3), 0.0)


def test_effective_dimension_counts_eigenvalues_above_the_ridge() -> None:
    eye = torch.eye(6, dtype=torch.float64)
    assert kernel.effective_dimension(0.7 * eye, 0.7) == pytest.approx(3.0, rel=1e-12)
    x = _random(6, 2)
    gram = x @ x.T
    assert kernel.effective_dimension(gram, 1e-9) == pytest.approx(2.0, abs=1e-5)  # its rank
    assert kernel.effective_dimension(gram, 1e9) == pytest.approx(0.0, abs=1e-6)
    want = (gram @ torch.linalg.inv(gram + 0.3 * eye)).trace().item()
    assert kernel.effective_dimension(gram, 0.3) == pytest.approx(want, rel=1e-9)
    turn = torch.linalg.qr(_random(6, 6, seed=1)).Q
    assert kernel.effective_dimension(turn @ gram @ turn.T, 0.3) == pytest.approx(want, rel=1e-9)
    assert kernel.effective_dimension(5 * gram, 1.5) == pytest.approx(want, rel=1e-9)
    indefinite = torch.diag(torch.tensor([1.0, -1e-9]))  # below 0 by rounding
    assert kernel.effective_dimension(indefinite, 1e-9) == pytest.approx(1.0, rel=1e-6)


# The linearised model.


def test_kernel_prediction_ends_at_ridge_regression_and_starts_at_nothing() -> None:
    x, new, residual = _random(4, 6), _random(3, 6, seed=1), _random(4, 2, seed=2)
    gram, cross = x @ x.T, new @ x.T
    got = kernel.kernel_prediction(cross, gram, residual)
    torch.testing.assert_close(got, cross @ torch.linalg.solve(gram, residual), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(got, new @ torch.linalg.pinv(x) @ residual, rtol=1e-8, atol=1e-10)  # least norm
    ridge = kernel.kernel_prediction(cross, gram, residual[:, 0], ridge=0.5)
    eye = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(ridge, cross @ torch.linalg.solve(gram + 0.5 * eye, residual[:, 0]))
    assert not kernel.kernel_prediction(cross, gram, residual, time=0.0).any()
    torch.testing.assert_close(kernel.kernel_prediction(gram, gram, residual), residual, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.4])
def test_kernel_prediction_follows_gradient_flow(ridge: float) -> None:
    x, new, residual = _random(4, 6), _random(3, 6, seed=1), _random(4, seed=2)
    time, h = 0.2, 1e-5
    w = torch.zeros(6, dtype=torch.float64)  # the linear model itself, by small steps of gradient descent
    steps = 20_000
    gram = x.T @ x
    pull = x.T @ residual
    for _ in range(steps):
        w = w + time / steps * (pull - gram @ w - ridge * w)
    got = kernel.kernel_prediction(new @ x.T, x @ x.T, residual, time=time, ridge=ridge)
    torch.testing.assert_close(got, new @ w, rtol=1e-3, atol=1e-4)  # Euler steps of 1e-5
    later = kernel.kernel_prediction(x @ x.T, x @ x.T, residual, time + h, ridge)
    sooner = kernel.kernel_prediction(x @ x.T, x @ x.T, residual, time - h, ridge)
    now = kernel.kernel_prediction(x @ x.T, x @ x.T, residual, time, ridge)
    slope = x @ x.T @ (residual - now) - ridge * now
    torch.testing.assert_close((later - sooner) / (2 * h), slope, rtol=1e-6, atol=1e-6)


def test_a_kernel_of_low_rank_fits_what_it_can() -> None:
    x, residual = _random(5, 2), _random(5, seed=1)
    got = kernel.kernel_prediction(x @ x.T, x @ x.T, residual)
    torch.testing.assert_close(got, x @ torch.linalg.lstsq(x, residual[:, None]).solution[:, 0], rtol=1e-8, atol=1e-10)


def _moved(module: nn.Module, by: float) -> dict[str, Tensor]:
    """Move the weights; what they were."""
    start = {name: p.detach().clone() for name, p in module.named_parameters()}
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(by * torch.randn(p.shape, dtype=p.dtype, generator=generator))
    return start


@pytest.mark.parametrize("ours", [False, True])
def test_the_linearised_model_is_the_first_order_of_the_true_one(ours: bool) -> None:
    snapshot = small_snapshot()
    module = snapshot.network if ours else _net()
    inputs = snapshot.encoding.tokens_NL[:11] if ours else _random(5, 3)
    start = _moved(module, 0.1)
    now = {name: p.detach() for name, p in module.named_parameters()}
    h = 1e-5

    def at(t: float) -> Tensor:
        state = {name: start[name] + t * (now[name] - start[name]) for name in now}
        return functional_call(module, state, (inputs,)).detach()

    want = at(0.0) + (at(h) - at(-h)) / (2 * h)
    torch.testing.assert_close(kernel.linearised(module, start, inputs), want, rtol=1e-6, atol=1e-7)


class _Square(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w.square() * x


def test_richness_is_zero_for_a_linear_model_and_known_for_a_square() -> None:
    inputs = _random(5, 3)
    linear = _set(nn.Linear(3, 2))
    start = _moved(linear, 1.0)
    assert kernel.richness(linear, start, inputs) == pytest.approx(0.0, abs=1e-12)
    assert kernel.richness(linear, dict(linear.named_parameters()), inputs) == 0.0  # nothing has moved
    for delta in (0.01, 0.5, 2.0):
        square = _Square()
        with torch.no_grad():
            square.w.add_(delta)
        got = kernel.richness(square, {"w": torch.ones(1, dtype=torch.float64)}, inputs)
        assert got == pytest.approx(delta / (2 + delta), rel=1e-9)
    with torch.no_grad():
        square.w.fill_(torch.nan)
    assert math.isnan(kernel.richness(square, {"w": torch.ones(1, dtype=torch.float64)}, inputs))


# The measure.


def test_the_measure_keeps_its_contract() -> None:
    check_measure(kernel.TangentKernel(rows=8))
    check_measure(kernel.TangentKernel(rows=100, split="train"))


def test_the_measure_is_the_functions_on_its_probe_set() -> None:
    snapshot = small_snapshot()
    values = kernel.TangentKernel(rows=100)(snapshot)  # all test rows
    rows = snapshot.split.rows["test"]
    labels = snapshot.split.answers_N[rows]
    jacobian = _jacobian(snapshot.network, snapshot.encoding.tokens_NL[rows], labels)
    gram = jacobian @ jacobian.T
    ridge = 1e-3 * gram.trace().item() / len(rows)
    one_hot = torch.eye(7, dtype=torch.float64)[labels]
    torch.testing.assert_close(torch.tensor(values["ntk/gram"]), gram.float())
    assert values["ntk/mean"] == pytest.approx(gram.trace().item() / len(rows), rel=1e-9)
    assert values["ntk/label_cka"] == pytest.approx(kernel.cka(gram, one_hot @ one_hot.T), rel=1e-9)
    assert values["ntk/label_alignment"] == pytest.approx(kernel.alignment(gram, one_hot @ one_hot.T), rel=1e-9)
    assert values["ntk/effective_dimension"] == pytest.approx(kernel.effective_dimension(gram, ridge), rel=1e-9)
    assert values["ntk/difficulty"] == pytest.approx(kernel.difficulty(gram, one_hot, ridge), rel=1e-6)


def test_a_diverged_network_has_a_kernel_of_nothing_known() -> None:
    snapshot = small_snapshot()
    with torch.no_grad():
        for parameter in snapshot.network.parameters():
            parameter.fill_(torch.nan)
    values = kernel.TangentKernel(rows=8)(snapshot)
    scalars = [value for value in values.values() if isinstance(value, float)]
    assert len(scalars) >= 5
    assert all(math.isnan(value) for value in scalars)


def test_a_dead_network_has_no_kernel_and_raises_nothing() -> None:
    snapshot = small_snapshot()
    with torch.no_grad():
        for parameter in snapshot.network.parameters():
            parameter.zero_()
    values = kernel.TangentKernel(rows=8)(snapshot)
    assert values["ntk/mean"] == 0.0
    assert values["ntk/label_cka"] == 0.0
    assert values["ntk/effective_dimension"] == 0.0
    assert not math.isnan(float(values["ntk/difficulty"]))
