"""Truths for measures/dynamics.py: sines, exponentials and linear systems planted by hand, naive twins, noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from grokscope.errors import BadInput
from grokscope.measures import dynamics
from grokscope.measures.dynamics import LogProbabilityQuantiles, WeightSketch
from grokscope.seeds import Seeds
from grokscope.testing import check_measure
from grokscope.testing.measure import small_snapshot

EXACT = 1e-9  # float64 sums of some thousand terms of order 1


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def _wave(looks: int, waves: int, amplitude: float = 1.0) -> np.ndarray:
    """Whole waves of mean square amplitude², even about the middle, so that no straight line is in them."""
    return amplitude * math.sqrt(2) * np.cos(2 * math.pi * waves * (np.arange(looks) + 0.5) / looks)


# Even spacing and trends.


def test_what_is_linear_between_looks_is_interpolated_exactly() -> None:
    steps = np.array([0, 1, 2, 4, 8, 16])
    np.testing.assert_allclose(dynamics.evenly(steps, 3.0 * steps + 1, 2), 3.0 * np.arange(0, 17, 2) + 1)
    values = _noise(5)
    np.testing.assert_array_equal(dynamics.evenly([0, 3, 6, 9, 12], values, 3), values)
    assert dynamics.evenly([], [], 2).shape == (0,)
    with pytest.raises(BadInput, match="spacing"):
        dynamics.evenly([0, 1], [1.0, 2.0], 0.0)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_diverged_series_has_no_value_and_raises_nothing(broken: float) -> None:
    steps, values = np.arange(40), np.append(np.ones(39), broken)
    numbers = [
        *dynamics.spectral_signature(values),
        dynamics.oscillation(values),
        dynamics.autocorrelation(values),
        dynamics.slope(steps, values),
        *dynamics.fit_contraction(steps, values),
        dynamics.angle(values, steps),
        dynamics.dmd_residual(values),
        dynamics.dmd_residual(np.full((40, 3), broken)),
        *dynamics.detrend(values),
    ]
    assert np.isnan(numbers).all()
    assert not np.isfinite(dynamics.plateau_slope(steps, values)) or math.isnan(broken)  # NaN looks are left out
    assert dynamics.slingshots(np.ones(40), values) == []


def test_tensors_of_any_precision_are_series_and_vectors() -> None:
    values = torch.arange(8.0).bfloat16().requires_grad_()
    assert dynamics.slope(range(8), values) == 1.0
    np.testing.assert_array_equal(dynamics.hankel(values, 8)[:, 0], np.arange(7.0, -1.0, -1.0))
    np.testing.assert_array_equal(dynamics.sketch(values, 4, 0), dynamics.sketch(range(8), 4, 0))


def test_no_looks_and_one_look_have_no_value_and_raise_nothing() -> None:
    for few in ([], [3.0]):
        numbers = [
            dynamics.oscillation(few),
            dynamics.autocorrelation(few),
            dynamics.slope(few, few),
            dynamics.plateau_slope(few, few),
            dynamics.contraction_rate(few, few),
            *dynamics.fit_contraction(few, few),
            dynamics.dmd_residual(few),
            *dynamics.dmd_residuals(few),
        ]
        assert np.isnan(numbers).all()
        assert dynamics.detrend(few).shape == (len(few),)
        assert dynamics.hankel(few, 5).shape == (5, 0)
        assert dynamics.slingshots(few, few) == []
    assert np.isnan(dynamics.spectral_signature([])).all()
    assert math.isnan(dynamics.angle([], []))
    assert np.isnan(dynamics.quantiles([], 3)).all()


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_a_polynomial_leaves_nothing_and_changes_nothing(degree: int) -> None:
    t = np.arange(50.0)
    polynomial = sum((k + 1) * (t / 10) ** k for k in range(degree + 1))
    np.testing.assert_allclose(dynamics.detrend(polynomial, degree), 0, atol=EXACT)
    noise = _noise(50)
    np.testing.assert_allclose(
        dynamics.detrend(noise + polynomial, degree), dynamics.detrend(noise, degree), atol=EXACT
    )
    np.testing.assert_allclose(dynamics.detrend(noise, 0), noise - noise.mean(), atol=EXACT)


# The spectral signature.


@pytest.mark.parametrize(("looks", "waves"), [(400, 7), (401, 7), (64, 1), (64, 31)])
@pytest.mark.parametrize("spacing", [1.0, 5.0])
def test_a_sine_has_its_own_frequency_and_complexity_one(looks: int, waves: int, spacing: float) -> None:
    seen = dynamics.spectral_signature(_wave(looks, waves, 3.0), spacing)
    omega = 2 * math.pi * waves / looks / spacing
    assert seen == pytest.approx((9.0, omega, omega, 1.0), rel=EXACT)


def test_two_waves_have_the_moments_of_their_sum() -> None:
    looks, first, second = 200, 3, 20
    seen = dynamics.spectral_signature(_wave(looks, first, 2.0) + _wave(looks, second, 1.0))
    a, b = 2 * math.pi * first / looks, 2 * math.pi * second / looks
    m0, m2, m4 = (4 * a**n + b**n for n in (0, 2, 4))
    mobility, complexity = math.sqrt(m2 / m0), math.sqrt(m4 / m2)
    assert seen == pytest.approx((m0, mobility, complexity, complexity / mobility), rel=EXACT)


def test_activity_is_the_variance_of_what_is_left() -> None:
    for looks in (99, 100):
        values = _noise(looks) + np.arange(looks)
        want = np.mean(dynamics.detrend(values) ** 2)
        assert dynamics.spectral_signature(values).activity == pytest.approx(want, rel=EXACT)


def test_the_signature_sees_neither_level_nor_trend_nor_direction_of_time() -> None:
    values = _noise(120)
    seen = dynamics.spectral_signature(values)
    for same in (values + 5.0, values + 0.3 * np.arange(120), -values, values[::-1]):
        assert dynamics.spectral_signature(same) == pytest.approx(seen, rel=1e-7)
    scaled = dynamics.spectral_signature(3 * values)
    assert scaled == pytest.approx((9 * seen[0], *seen[1:]), rel=EXACT)


def test_a_line_has_no_signature_and_noise_has_that_of_a_flat_spectrum() -> None:
    assert dynamics.spectral_signature(np.full(50, 2.3)) == (0, 0, 0, 0)
    for scale in (1e-6, 1.0, 1e6):
        assert dynamics.spectral_signature(scale * (2.3 + 0.1 * np.arange(50))) == (0, 0, 0, 0)
    flat = (1.0, math.pi / math.sqrt(3), math.pi * math.sqrt(3 / 5), 3 / math.sqrt(5))
    assert dynamics.spectral_signature(_noise(20_000)) == pytest.approx(flat, rel=0.03)


# Oscillation and correlation.


def test_oscillation_is_the_spread_around_a_line_of_the_last_looks() -> None:
    line = 4.0 - 0.2 * np.arange(80)
    assert dynamics.oscillation(line) == pytest.approx(0.0, abs=EXACT)
    noise = _noise(300, 50)
    spread = math.sqrt(np.mean([dynamics.oscillation(row) ** 2 for row in noise]))
    assert spread == pytest.approx(math.sqrt(1 - 2 / 50), rel=0.03)
    want = dynamics.oscillation(noise[0])
    assert dynamics.oscillation(np.concatenate([1e3 * _noise(30, seed=1), noise[0]])) == want
    assert dynamics.oscillation(noise[0] + line[:50]) == pytest.approx(want, rel=EXACT)
    assert math.isnan(dynamics.oscillation([1.0, 2.0]))
    assert math.isnan(dynamics.oscillation(noise[0], window=0))
    assert dynamics.oscillation(noise[0], window=20) == dynamics.oscillation(noise[0][-20:])
    assert dynamics.oscillation(3 * noise[0]) == pytest.approx(3 * want, rel=EXACT)


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_an_autoregressive_process_has_its_coefficient(phi: float) -> None:
    noise, x = _noise(20_000), [0.0]
    for e in noise:
        x.append(phi * x[-1] + e)
    assert dynamics.autocorrelation(x) == pytest.approx(phi, abs=0.03)
    assert dynamics.autocorrelation(x, 2) == pytest.approx(phi**2, abs=0.04)


def test_autocorrelation_is_a_loop_and_sees_neither_level_nor_scale() -> None:
    values = _noise(30)
    x = values - values.mean()
    want = sum(x[t] * x[t + 1] for t in range(29)) / sum(v * v for v in x)
    assert dynamics.autocorrelation(values) == pytest.approx(want, rel=EXACT)
    assert dynamics.autocorrelation(7 - 3 * values) == pytest.approx(want, rel=EXACT)
    assert dynamics.autocorrelation([1.0, -1.0] * 20) == pytest.approx(-39 / 40, rel=EXACT)
    assert dynamics.autocorrelation(values, 0) == pytest.approx(1.0)
    assert math.isnan(dynamics.autocorrelation(np.full(30, 0.1)))
    assert all(math.isnan(dynamics.autocorrelation(values, lag)) for lag in (-1, 30, 33))


# Slopes.


def test_slopes_of_lines_and_exponentials_are_theirs_at_uneven_steps() -> None:
    steps = np.array([0, 1, 5, 20, 100, 1000])
    assert dynamics.slope(steps, 3 - 0.5 * steps) == pytest.approx(-0.5, rel=EXACT)
    assert dynamics.plateau_slope(steps, 7 * np.exp(-0.003 * steps)) == pytest.approx(-0.003, rel=EXACT)
    assert dynamics.plateau_slope(steps, np.full(6, 1e-4)) == pytest.approx(0.0, abs=1e-15)
    once = dynamics.plateau_slope(steps, 7 * np.exp(-0.003 * steps) + 0.1)
    assert dynamics.plateau_slope(steps + 50, 21 * np.exp(-0.003 * steps) + 0.3) == pytest.approx(once, rel=EXACT)
    assert abs(dynamics.plateau_slope(np.arange(10_000), np.exp(_noise(10_000)))) < 4 * math.sqrt(12) / 10_000**1.5
    collapsed = [*(7 * np.exp(-0.003 * steps)), 0.0, 0.0]
    assert dynamics.plateau_slope([*steps, 2000, 3000], collapsed) == pytest.approx(-0.003, rel=EXACT)
    assert math.isnan(dynamics.slope([2, 2], [0, 1]))
    assert math.isnan(dynamics.plateau_slope([1, 2], [0.0, 0.0]))
    assert abs(dynamics.slope(np.arange(10_000), _noise(10_000))) < 4 * math.sqrt(12) / 10_000**1.5


def test_weight_decay_alone_contracts_at_twice_lr_times_decay() -> None:
    lr, decay, weights, squares = 1e-3, 1.0, _noise(100), []
    for _ in range(500):
        squares.append(weights @ weights)
        weights = weights * (1 - lr * decay)
    rate = dynamics.contraction_rate(np.arange(500), squares)
    assert rate == pytest.approx(-2 * math.log(1 - lr * decay), rel=EXACT)
    assert dynamics.contraction_constant(rate, lr, decay) == pytest.approx(1.0, rel=1e-3)
    assert dynamics.contraction_rate(np.arange(500), np.full(500, 3.0)) == pytest.approx(0.0, abs=1e-15)
    assert dynamics.contraction_rate(np.arange(500), np.exp(0.01 * np.arange(500))) < 0  # V rises
    assert dynamics.contraction_constant(0.004, 1e-3, 2.0) == 1.0
    assert math.isnan(dynamics.contraction_constant(rate, lr, 0.0))


@pytest.mark.parametrize(("rate", "floor"), [(0.002, 40.0), (0.01, 0.0), (0.0008, 500.0)])
def test_a_contraction_to_a_floor_is_found(rate: float, floor: float) -> None:
    steps = np.arange(0, 3000, 50)
    squares = floor + 900 * np.exp(-rate * steps)
    assert dynamics.contraction_rate(steps, squares, floor) == pytest.approx(rate, rel=1e-6)
    found, level = dynamics.fit_contraction(steps, squares)
    assert found == pytest.approx(rate, rel=1e-4)
    assert level == pytest.approx(floor, abs=0.1)
    again, scaled = dynamics.fit_contraction(steps + 700, 3 * squares)
    assert again == pytest.approx(found, rel=1e-4)
    assert scaled == pytest.approx(3 * level, abs=0.3)
    noisy, _ = dynamics.fit_contraction(steps, squares + _noise(60))
    assert noisy == pytest.approx(rate, rel=0.1)
    rising, ceiling = dynamics.fit_contraction(steps, 2000 - squares)
    assert rising == pytest.approx(rate, rel=1e-4)
    assert ceiling == pytest.approx(2000 - floor, abs=0.1)


def test_a_series_that_stands_still_contracts_at_no_rate() -> None:
    rate, level = dynamics.fit_contraction(np.arange(9), np.full(9, 3.0))
    assert math.isnan(rate)
    assert level == 3.0
    assert math.isnan(dynamics.fit_contraction([5, 5, 5], [1.0, 2.0, 3.0])[0])


# Direction.


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 30.0, 90.0, 179.0, 180.0])
def test_angles_are_what_they_were_drawn_with_whatever_the_lengths(degrees: float) -> None:
    turn = math.radians(degrees)
    plane = np.linalg.qr(_noise(50, 2))[0]
    u, v = plane[:, 0], plane @ [math.cos(turn), math.sin(turn)]
    assert dynamics.angle(3 * u, 0.2 * v) == pytest.approx(degrees, rel=1e-7, abs=1e-12)
    assert dynamics.angle(v, u) == pytest.approx(dynamics.angle(u, v), rel=1e-7, abs=1e-12)
    assert dynamics.angle(-u, v) == pytest.approx(180 - degrees, rel=1e-7, abs=1e-12)


def test_noise_is_at_right_angles_and_nothing_has_no_angle() -> None:
    assert dynamics.angle(_noise(100_000), _noise(100_000, seed=1)) == pytest.approx(90, abs=0.8)
    assert math.isnan(dynamics.angle(np.zeros(3), np.ones(3)))
    assert dynamics.angle([1e-200, 0.0], [1e-200, 1e-200]) == pytest.approx(45.0)  # squares would be 0
    assert dynamics.angle([1e200, 0.0], [1e200, 1e200]) == pytest.approx(45.0)  # and infinite
    assert dynamics.relative_change([3.0, 4.0], [3.0, 9.0]) == 1.0
    u, v = _noise(10_000), _noise(10_000, seed=1)
    assert dynamics.relative_change(7 * u, 7 * v) == pytest.approx(dynamics.relative_change(u, v), rel=EXACT)
    assert dynamics.relative_change(u, v) == pytest.approx(math.sqrt(2), rel=0.02)  # noise for noise
    assert dynamics.relative_change(u, u) == 0.0
    assert math.isnan(dynamics.relative_change([0.0], [1.0]))


def test_a_sketch_is_a_loop_of_signed_sums() -> None:
    vector, size = _noise(200), 16
    drawn = np.random.default_rng(5).integers(2 * size, size=200)
    want = np.zeros(size)
    for x, d in zip(vector, drawn, strict=True):
        want[d // 2] += x if d % 2 else -x
    np.testing.assert_allclose(dynamics.sketch(vector, size, 5), want, atol=EXACT)


def test_a_sketch_is_linear_and_right_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamics, "CHUNK", 64)  # the vectors take several pieces
    u, v, size = _noise(300), _noise(300, seed=1) + _noise(300), 32
    both = dynamics.sketch(2 * u - v, size, 3)
    np.testing.assert_allclose(both, 2 * dynamics.sketch(u, size, 3) - dynamics.sketch(v, size, 3), atol=EXACT)
    products = np.array([dynamics.sketch(u, size, s) @ dynamics.sketch(v, size, s) for s in range(600)])
    bound = ((u @ u) * (v @ v) + (u @ v) ** 2) / size
    assert abs(products.mean() - u @ v) < 4 * math.sqrt(bound / 600)
    assert 0.7 * bound < products.var() < 1.3 * bound
    assert not np.array_equal(dynamics.sketch(u, size, 0), dynamics.sketch(u, size, 1))


@pytest.mark.parametrize("degrees", [2.0, 50.0, 90.0])
def test_angles_of_sketches_are_those_of_the_vectors(degrees: float) -> None:
    u, turn = _noise(30_000), math.radians(degrees)
    across = _noise(30_000, seed=1)
    across -= across @ u / (u @ u) * u
    v = math.cos(turn) * u / np.linalg.norm(u) + math.sin(turn) * across / np.linalg.norm(across)
    seen = [dynamics.angle(dynamics.sketch(u, 4096, s), dynamics.sketch(v, 4096, s)) for s in range(5)]
    np.testing.assert_allclose(seen, degrees, rtol=0.05, atol=0.0)


# Hankel dynamic mode decomposition.


def test_quantiles_of_a_ramp_are_its_levels_in_any_order() -> None:
    ramp = np.arange(101.0)
    np.testing.assert_allclose(dynamics.quantiles(ramp), np.arange(5, 96, 5))
    values = _noise(200)
    shuffled = np.random.default_rng(1).permutation(values)
    np.testing.assert_array_equal(dynamics.quantiles(shuffled), dynamics.quantiles(values))
    np.testing.assert_allclose(dynamics.quantiles(2 * values + 3), 2 * dynamics.quantiles(values) + 3)


def test_hankel_columns_are_a_look_and_those_before_it() -> None:
    series = np.array([[1, 10], [2, 20], [3, 30], [4, 40]])
    want = [[2, 3, 4], [20, 30, 40], [1, 2, 3], [10, 20, 30]]
    np.testing.assert_array_equal(dynamics.hankel(series, 2), want)
    np.testing.assert_array_equal(dynamics.hankel([1, 2, 3], 3), [[3], [2], [1]])


def _linear(looks: int = 40, coordinates: int = 19) -> np.ndarray:
    """A damped rotation, a decay and a constant, mixed into many coordinates."""
    t = np.arange(looks)
    modes = [0.99**t * np.cos(0.4 * t), 0.99**t * np.sin(0.4 * t), 0.93**t, np.ones(looks)]
    return np.stack(modes, 1) @ _noise(4, coordinates)


def test_a_linear_system_leaves_no_residual() -> None:
    for coordinates in (1, 3, 19):
        assert dynamics.dmd_residual(_linear(coordinates=coordinates), energy=1.0) < 1e-6
        assert dynamics.dmd_residual(_linear(coordinates=coordinates)) < 0.15  # what the 99 % leave out
    assert dynamics.dmd_residual(_linear(), energy=1.0, rank=2) > 0.1  # four modes do not fit in two
    assert dynamics.dmd_residual(0.9 ** np.arange(40), energy=1.0) < 1e-6


def test_the_residual_is_that_of_its_formula() -> None:
    series = _linear() + 0.3 * _noise(40, 19)
    z = (series - series.mean(0)) / series.std(0)
    columns = [np.concatenate([z[t - d] for d in range(8)]) for t in range(7, 40)]
    x, y = np.stack(columns[:-1], 1), np.stack(columns[1:], 1)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    r = next(k for k in range(1, 11) if k == 10 or (s[:k] ** 2).sum() >= 0.99 * (s**2).sum())
    a = u[:, :r].T @ y @ vt[:r].T @ np.diag(1 / s[:r])
    want = np.linalg.norm(y - u[:, :r] @ a @ u[:, :r].T @ x) / np.linalg.norm(y)
    assert dynamics.dmd_residual(series) == pytest.approx(want, rel=EXACT)


def test_noise_is_no_linear_system_and_stillness_is_one() -> None:
    residuals = [dynamics.dmd_residual(_noise(40, 19, seed=s)) for s in range(20)]
    assert min(residuals) > 0.7
    assert np.mean(residuals) == pytest.approx(0.78, abs=0.02)
    assert max(residuals) <= 1.0
    assert dynamics.dmd_residual(np.full((40, 19), 0.1)) == 0.0
    assert math.isnan(dynamics.dmd_residual(_noise(9, 2)))
    assert math.isfinite(dynamics.dmd_residual(_noise(10, 2)))


def test_the_residual_sees_neither_scale_nor_level_nor_order_of_coordinates() -> None:
    series = _linear() + 0.1 * _noise(40, 19)
    want = dynamics.dmd_residual(series)
    scaled = series * np.linspace(0.1, 10, 19) - np.arange(19)
    assert dynamics.dmd_residual(scaled) == pytest.approx(want, rel=1e-7)
    assert dynamics.dmd_residual(series[:, ::-1]) == pytest.approx(want, rel=1e-7)
    still = np.concatenate([series, np.full((40, 1), 0.1)], 1)
    assert dynamics.dmd_residual(still) == pytest.approx(want, rel=1e-7)


def test_rolling_residuals_rise_where_the_law_changes() -> None:
    series = _linear(120, 5)
    series[60:] = _linear(60, 5) @ _noise(5, 5, seed=2)
    seen = dynamics.dmd_residuals(series, energy=1.0)
    assert np.isnan(seen[:39]).all()
    assert np.isfinite(seen[39:]).all()
    assert seen[50] == dynamics.dmd_residual(series[11:51], energy=1.0)
    noise = _noise(45, 19)  # full rank, so that every default is felt
    assert dynamics.dmd_residuals(noise)[-1] == dynamics.dmd_residual(noise[-40:])
    assert seen[39:60].max() < 1e-6
    assert seen[65:90].min() > 0.01


# Slingshots.


def _cycles(looks: int = 300, at: tuple[int, ...] = (80, 160, 240)) -> tuple[np.ndarray, np.ndarray]:
    """Norm that grows for 30 looks before each spike and is still otherwise; loss of 1e-2 with spikes of 1."""
    pace = np.zeros(looks)
    losses = 1e-2 * np.exp(0.1 * _noise(looks))
    for t in at:
        pace[t - 30 : t] = 0.01
        losses[t : t + 3] = [1.0, 0.5, 0.2]
    return np.exp(np.concatenate([[0.0], pace.cumsum()[:-1]])), losses


def test_planted_slingshots_are_found_at_their_spikes() -> None:
    norms, losses = _cycles()
    found = dynamics.slingshots(norms, losses)
    assert [cycle.spike for cycle in found] == [80, 160, 240]
    for cycle in found:
        assert cycle.growth_before == pytest.approx(math.exp(0.2) - 1, rel=1e-6)
        assert cycle.growth_after == pytest.approx(0.0, abs=1e-12)
    for scale in (1e-3, 5.0):
        np.testing.assert_allclose(dynamics.slingshots(scale * norms, losses), found, rtol=1e-12, atol=1e-12)


def test_half_a_cycle_is_none() -> None:
    norms, losses = _cycles()
    assert dynamics.slingshots(np.ones(300), losses) == []  # spikes alone
    assert dynamics.slingshots(norms, np.full(300, 1e-2)) == []  # growth alone
    assert dynamics.slingshots(np.exp(0.01 * np.arange(300)), losses) == []  # growth that never stops
    assert dynamics.slingshots(norms, 1e-5 * losses) == []  # spikes of a loss that is nothing
    assert dynamics.slingshots(norms, np.exp(0.5 * _noise(300))) == []  # noise
    assert dynamics.slingshots(norms[:81], losses[:81]) == []  # not over yet
    assert dynamics.slingshots(0 * norms, losses) == []  # no norm that could grow
    for window, count in ((1, 300), (20, 299)):
        with pytest.raises(BadInput, match="window"):
            dynamics.slingshots(norms[:count], losses, window)


def test_each_number_of_the_rule_of_slingshots_is_where_it_says() -> None:
    norms, losses = _cycles()
    height = losses[80] / np.median(losses[60:80])
    for spike, count in ((0.99 * height, 1), (1.01 * height, 0)):
        assert len(dynamics.slingshots(norms[:120], losses[:120], spike=spike)) == count
    assert len(dynamics.slingshots(norms[:120], losses[:120], least=1.01)) == 0
    before = norms[80] / norms[60] - 1
    for growth, count in ((0.99 * before, 1), (1.01 * before, 0)):
        assert len(dynamics.slingshots(norms[:120], losses[:120], growth=growth)) == count
    for pace, count in ((0.45, 1), (0.55, 0)):  # of the growth after the spike, as a share of that before
        after = norms.copy()
        after[80:] = norms[80] * (1 + pace * before * np.minimum(np.arange(220) / 20, 1))
        assert len(dynamics.slingshots(after[:120], losses[:120])) == count
    assert [cycle.spike for cycle in dynamics.slingshots(norms, losses, window=2, growth=0.005)] == [80, 160, 240]


# The two measures.


MEASURES = [LogProbabilityQuantiles(), LogProbabilityQuantiles(levels=3), WeightSketch(size=64)]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.kind)
def test_measures_keep_their_contract(measure: LogProbabilityQuantiles | WeightSketch) -> None:
    check_measure(measure)


def test_log_probability_quantiles_of_a_guess_are_all_its_logarithm() -> None:
    look = small_snapshot()
    with torch.no_grad():
        look.network.get_parameter("W_U").zero_()
    seen = LogProbabilityQuantiles()(look)["dynamics/log_probability"]
    np.testing.assert_allclose(seen, np.full(19, -math.log(8)), rtol=1e-6)  # 7 elements and "="


def test_log_probability_is_that_of_the_training_rows_alone() -> None:
    look = small_snapshot()
    rows = look.split.rows["train"]
    losses = look.objective.per_token(look.logits_NRV[rows, 0], look.targets_NR[rows, 0])
    seen = LogProbabilityQuantiles()(look)["dynamics/log_probability"]
    np.testing.assert_allclose(seen, np.quantile(-losses.numpy(), np.linspace(0.05, 0.95, 19)), rtol=1e-6)


def test_two_weight_sketches_know_the_angle_between_the_weights() -> None:
    look = small_snapshot()
    moved = replace(look, network=small_snapshot().network, _cache={})
    with torch.no_grad():
        for parameter in moved.network.parameters():
            noise = torch.randn(parameter.shape, generator=Seeds(1).generator("noise"), dtype=parameter.dtype)
            parameter.add_(0.2 * noise)
    flat = [torch.cat([p.flatten() for p in s.network.parameters()]).detach().numpy() for s in (look, moved)]
    seen = [WeightSketch()(s)["dynamics/weight_sketch"] for s in (look, moved)]
    assert dynamics.angle(*seen) == pytest.approx(dynamics.angle(*flat), rel=0.1)
    np.testing.assert_array_equal(seen[0], dynamics.sketch(flat[0], 4096, 0).astype(np.float32))
