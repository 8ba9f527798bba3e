"""Truths for measures/fourier.py: orthonormal waves, naive twins p² long, and circuits planted by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures import fourier
from grokscope.models import MLP, Network
from grokscope.tasks import ModularArithmetic

EXACT = 1e-10  # float64 sums of up to p³ ≈ 1e3 … 1e6 terms of order 1
SIZES = [7, 11, 8, 12]


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _wave(p: int, k: int, phase: float = 0.0) -> Tensor:
    return torch.cos(2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p + phase)


# The basis and the spectrum of a map from Z_p.


@pytest.mark.parametrize("p", [2, 3, 7, 8, 113])
def test_the_basis_is_orthonormal_and_complete(p: int) -> None:
    waves = fourier.basis(p)
    torch.testing.assert_close(waves @ waves.T, torch.eye(p, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", SIZES)
def test_each_row_of_the_basis_has_the_frequency_that_fft_sees(p: int) -> None:
    spectrum = torch.fft.rfft(fourier.basis(p), dim=1).abs()
    assert torch.equal(spectrum.argmax(1), fourier.frequency_of_row(p))


@pytest.mark.parametrize("p", SIZES)
def test_power_is_that_of_fft(p: int) -> None:
    weight = _random(p, 5)
    spectrum = torch.fft.rfft(weight, dim=0).abs().square().sum(1)[1:]
    if p % 2:
        want = spectrum / spectrum.sum()
    else:  # rfft counts each frequency below p/2 once, but it stands for k and −k
        doubled = spectrum * torch.tensor([2.0] * (p // 2 - 1) + [1.0])
        want = doubled / doubled.sum()
    torch.testing.assert_close(fourier.power(weight), want, rtol=EXACT, atol=EXACT)


def test_one_wave_is_one_frequency_and_two_share_by_their_squares() -> None:
    column = _random(1, 4)
    one = fourier.power(_wave(13, 5, 0.7)[:, None] * column)
    assert one[4].item() == pytest.approx(1.0, abs=1e-12)
    assert len(one) == 6
    assert not fourier.power(torch.full((13, 4), 0.0)).any()
    two = fourier.power((3 * _wave(13, 2) + 4 * _wave(13, 6, 1.0))[:, None] * column + 10.0)
    assert two[1].item() == pytest.approx(9 / 25)
    assert two[5].item() == pytest.approx(16 / 25)


def test_noise_has_no_key_frequency() -> None:
    power = fourier.power(_random(113, 128))
    assert power.max() < 1.5 / 56
    assert power.min() > 0.5 / 56
    assert fourier.fourier_gini(_random(113, 128)) < 0.08  # chi of 128 varies by 6 %: Gini 0.035


def test_power_does_not_see_which_element_is_called_zero_nor_which_is_called_one() -> None:
    weight = _random(13, 6)
    a = torch.arange(13)
    torch.testing.assert_close(fourier.power(weight[(a + 4) % 13]), fourier.power(weight), rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(fourier.power(3.0 * weight + 7.0), fourier.power(weight), rtol=EXACT, atol=EXACT)
    scaled = fourier.power(weight[(5 * a) % 13])  # frequency k moves to 5 k mod 13, folded
    for k in range(1, 7):
        moved = min(5 * k % 13, 13 - 5 * k % 13)
        assert scaled[moved - 1].item() == pytest.approx(fourier.power(weight)[k - 1].item(), rel=EXACT)
    gini = fourier.fourier_gini(weight)
    torch.testing.assert_close(
        fourier.fourier_gini(weight @ torch.linalg.qr(_random(6, 6)).Q), gini, rtol=EXACT, atol=0
    )


# Gini.


@pytest.mark.parametrize("n", [2, 5, 113])
def test_gini_has_its_closed_forms(n: int) -> None:
    one_hot = torch.zeros(n, dtype=torch.float64)
    one_hot[n // 2] = 3.0
    ramp = torch.arange(1, n + 1, dtype=torch.float64)
    assert fourier.gini(torch.zeros(n)) == 0.0  # all equal
    assert fourier.gini(torch.full((n,), 0.1)) >= 0.0  # by rounding too
    assert fourier.gini(torch.full((n,), math.nan)).isnan()
    assert fourier.gini(torch.full((n,), 2.5)).item() == pytest.approx(0.0, abs=1e-12)
    assert fourier.gini(one_hot).item() == pytest.approx(1 - 1 / n, rel=1e-12)
    assert fourier.gini(ramp).item() == pytest.approx((n - 1) / (3 * n), rel=1e-12)


def test_gini_is_the_mean_difference_of_pairs_and_ignores_order_and_scale() -> None:
    c = _random(20).abs()
    pairs = (c[:, None] - c[None]).abs().sum() / (2 * 20 * c.sum())
    torch.testing.assert_close(fourier.gini(c), pairs, rtol=EXACT, atol=0)
    torch.testing.assert_close(fourier.gini(7 * c.flip(0)), pairs, rtol=EXACT, atol=0)


def test_fourier_gini_of_one_wave_is_that_of_a_one_hot() -> None:
    assert fourier.fourier_gini(_wave(13, 4)[:, None]).item() == pytest.approx(1 - 1 / 13, rel=1e-12)
    two = fourier.fourier_gini(_wave(13, 4, math.pi / 4)[:, None])  # as much cosine as sine
    assert two.item() == pytest.approx(1 - 2 / 13, rel=1e-12)


# Logits: the naive twins build every wave of Z_p² and project on it.


def _mean_by_loop(logits_PPP: Tensor) -> Tensor:
    p = len(logits_PPP)
    table = torch.zeros(p, p, dtype=torch.float64)
    for a in range(p):
        for b in range(p):
            table[(a + b) % p] += logits_PPP[a, b] / p
    return table


def _directions(p: int, keys: list[int]) -> list[Tensor]:
    """Unit vectors cos w_k(a+b) and sin w_k(a+b) over the p² pairs."""
    s = (torch.arange(p)[:, None] + torch.arange(p)[None]).flatten().double()
    waves = []
    for k in keys:
        waves += [torch.cos(2 * math.pi * k * s / p), torch.sin(2 * math.pi * k * s / p)]
    return [wave / wave.norm() for wave in waves if wave.norm() > 1e-6]  # the sine at p/2 is nothing


def _projected(logits_PPP: Tensor, keys: list[int]) -> Tensor:
    flat = logits_PPP.flatten(0, 1)
    return sum((torch.outer(u, u @ flat) for u in _directions(len(logits_PPP), keys)), torch.zeros_like(flat))


def _sums(p: int) -> Tensor:
    return ((torch.arange(p)[:, None] + torch.arange(p)[None]) % p).flatten()


def _keys(p: int) -> list[int]:
    return [1, 3] if p % 2 else [2, p // 2]


@pytest.mark.parametrize("p", SIZES)
def test_mean_over_sums_is_a_loop(p: int) -> None:
    logits = _random(p, p, p)
    torch.testing.assert_close(fourier.mean_over_sums(logits), _mean_by_loop(logits), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("p", SIZES)
def test_restricted_loss_is_that_of_the_projections_plus_the_mean_of_the_rest(p: int) -> None:
    logits, keys = 3 * _random(p, p, p), _keys(p)
    kept = _projected(logits, keys)
    bias = (logits.flatten(0, 1) - kept).mean(0)
    want = F.cross_entropy(kept + bias, _sums(p))
    got = fourier.restricted_loss(fourier.mean_over_sums(logits), keys)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=0)


@pytest.mark.parametrize("p", SIZES)
def test_excluded_loss_is_that_of_the_rest_on_the_training_rows(p: int) -> None:
    logits, keys = 3 * _random(p, p, p), _keys(p)
    rows = torch.randperm(p * p, generator=torch.Generator().manual_seed(1))[: p * p // 3]
    rest = logits.flatten(0, 1) - _projected(logits, keys)
    want = F.cross_entropy(rest[rows], _sums(p)[rows])
    mean = fourier.mean_over_sums(logits)
    got = fourier.excluded_loss(logits.flatten(0, 1)[rows], _sums(p)[rows], mean, keys)
    torch.testing.assert_close(got, want, rtol=EXACT, atol=0)
    labels = torch.randint(p, (len(rows),), generator=torch.Generator().manual_seed(2))  # random labels
    got = fourier.excluded_loss(logits.flatten(0, 1)[rows], _sums(p)[rows], mean, keys, labels)
    torch.testing.assert_close(got, F.cross_entropy(rest[rows], labels), rtol=EXACT, atol=0)


@pytest.mark.parametrize("p", SIZES)
def test_logit_coefficients_and_explained_variance_are_projections_on_p3_long_waves(p: int) -> None:
    logits, keys = _random(p, p, p) + 2.0, _keys(p)
    a, b, c = torch.meshgrid(*[torch.arange(p, dtype=torch.float64)] * 3, indexing="ij")
    waves = [torch.cos(2 * math.pi * k * (a + b - c) / p) for k in range(1, p // 2 + 1)]
    units = [wave / wave.norm() for wave in waves]
    want = torch.stack([(logits * unit).sum() for unit in units])
    mean = fourier.mean_over_sums(logits)
    torch.testing.assert_close(fourier.logit_coefficients(mean), want, rtol=EXACT, atol=EXACT)
    centred = logits - logits.mean()
    rest = centred - sum(want[k - 1] * units[k - 1] for k in keys)
    share = 1 - rest.square().sum() / centred.square().sum()
    torch.testing.assert_close(fourier.variance_explained(logits, mean, keys), share, rtol=1e-8, atol=1e-12)


def _clock(p: int, amplitudes: dict[int, float]) -> Tensor:
    """Logits Σ_k A_k cos w_k(a+b−c): the trained algorithm, drawn by hand."""
    a, b, c = torch.meshgrid(*[torch.arange(p, dtype=torch.float64)] * 3, indexing="ij")
    return sum((A * torch.cos(2 * math.pi * k * (a + b - c) / p) for k, A in amplitudes.items()), torch.zeros(p, p, p))


def test_a_clock_drawn_by_hand_has_exactly_the_values_it_was_drawn_with() -> None:
    p, amplitudes = 13, {2: 3.0, 5: 4.0}
    logits = _clock(p, amplitudes)
    mean = fourier.mean_over_sums(logits)
    want = torch.zeros(6, dtype=torch.float64)
    for k, amplitude in amplitudes.items():
        want[k - 1] = amplitude * math.sqrt(p**3 / 2)
    torch.testing.assert_close(fourier.logit_coefficients(mean), want, rtol=EXACT, atol=EXACT)
    assert fourier.variance_explained(logits, mean, [2, 5]).item() == pytest.approx(1.0, rel=1e-12)
    single = (logits + 100.0).float()
    assert 1 - 1e-5 < fourier.variance_explained(single, fourier.mean_over_sums(single), [2, 5]) <= 1.0
    half = logits.bfloat16()
    assert fourier.variance_explained(half, fourier.mean_over_sums(half), [2, 5]).item() == pytest.approx(1.0, abs=1e-3)
    assert fourier.variance_explained(0 * logits, 0 * mean, [2, 5]) == 0.0
    assert fourier.variance_explained(logits, mean, [2]).item() == pytest.approx(9 / 25, rel=1e-12)
    full = F.cross_entropy(logits.flatten(0, 1), _sums(p))
    torch.testing.assert_close(fourier.restricted_loss(mean, [2, 5]), full, rtol=EXACT, atol=0)
    excluded = fourier.excluded_loss(logits.flatten(0, 1), _sums(p), mean, [2, 5])
    assert excluded.item() == pytest.approx(math.log(p), rel=1e-12)  # nothing is left but a guess
    assert fourier.restricted_loss(mean, [1, 3]).item() == pytest.approx(math.log(p), rel=1e-12)


def test_losses_and_coefficients_do_not_see_which_element_is_called_zero_or_one() -> None:
    p, keys = 11, [1, 4]
    logits = _clock(p, {1: 1.0, 4: 2.0}) + 0.3 * _random(p, p, p)
    x = torch.arange(p)
    mean = fourier.mean_over_sums(logits)
    shifted = fourier.mean_over_sums(logits[(x + 3) % p][:, :, (x + 3) % p])  # a → a + 3, so a + b → a + b + 3
    for measure in (fourier.logit_coefficients, lambda m: fourier.restricted_loss(m, keys)):
        torch.testing.assert_close(measure(shifted), measure(mean), rtol=EXACT, atol=EXACT)
    u = 5 * x % p
    renamed = fourier.mean_over_sums(logits[u][:, u][:, :, u])
    moved = [min(5 * k % p, p - 5 * k % p) for k in keys]
    want = fourier.restricted_loss(mean, keys)
    torch.testing.assert_close(fourier.restricted_loss(renamed, moved), want, rtol=EXACT, atol=0)
    coefficients, old = fourier.logit_coefficients(renamed), fourier.logit_coefficients(mean)
    for k, m in zip(keys, moved, strict=True):
        assert coefficients[m - 1].item() == pytest.approx(old[k - 1].item(), rel=EXACT)


def test_noise_is_no_circuit() -> None:
    p = 31
    logits = _random(p, p, p)
    mean = fourier.mean_over_sums(logits)
    keys = fourier.key_frequencies(_random(p, p, 200, seed=1))
    assert fourier.variance_explained(logits, mean, keys) < 0.01
    assert fourier.restricted_loss(mean, keys) > math.log(p) - 0.05
    full = F.cross_entropy(logits.flatten(0, 1), _sums(p))
    excluded = fourier.excluded_loss(logits.flatten(0, 1), _sums(p), mean, keys)
    assert abs(excluded - full) < 0.05  # taking them out changes nothing
    assert fourier.neuron_frequencies(_random(p, p, 200, seed=1))[1].max() < 0.05
    control = fourier.mean_over_sums(_clock(p, {3: 5.0, 7: 5.0}) + logits)
    assert fourier.restricted_loss(control, [3, 7]) < 0.5  # the same noise over a circuit hides nothing


def test_without_key_frequencies_a_network_knows_only_its_bias() -> None:
    logits = 3 * _random(7, 7, 7)
    mean = fourier.mean_over_sums(logits)
    full = F.cross_entropy(logits.flatten(0, 1), _sums(7))
    want = F.cross_entropy(logits.flatten(0, 1).mean(0).expand(49, 7), _sums(7))
    torch.testing.assert_close(fourier.restricted_loss(mean, []), want, rtol=EXACT, atol=0)
    torch.testing.assert_close(
        fourier.excluded_loss(logits.flatten(0, 1), _sums(7), mean, []), full, rtol=EXACT, atol=0
    )
    assert fourier.variance_explained(logits, mean, []) == 0.0


# Neurons and circles.


def test_a_neuron_has_the_frequency_that_was_planted_and_a_constant_one_has_none() -> None:
    p = 13
    a, b = torch.meshgrid(torch.arange(p).double(), torch.arange(p).double(), indexing="ij")
    w = 2 * math.pi / p
    product = torch.cos(3 * w * a) * torch.cos(3 * w * b)
    mixed = 2 * torch.cos(4 * w * a) * torch.sin(4 * w * b) + torch.cos(1 * w * a)  # powers 4/4 and 1/2
    neurons = torch.stack([product + 5.0, mixed, torch.full((p, p), 0.3), torch.zeros(p, p)], -1)
    for dtype in (torch.float64, torch.float32):
        best, share = fourier.neuron_frequencies(neurons.to(dtype))
        assert best[:2].tolist() == [3, 4]
        torch.testing.assert_close(
            share.double(),
            torch.tensor([1.0, 2 / 3, 0.0, 0.0]).double(),
            rtol=0,
            atol=1e-6,  # float32 inputs
        )
        assert fourier.key_frequencies(neurons.to(dtype)) == [3, 4]


def test_frequencies_of_neurons_do_not_see_which_element_is_called_zero_nor_their_scale_and_level() -> None:
    neurons = _random(11, 11, 20)
    best, share = fourier.neuron_frequencies(neurons)
    moved = fourier.neuron_frequencies(3.0 * neurons.roll((2, 5), (0, 1)) - 7.0)
    assert torch.equal(moved[0], best)
    torch.testing.assert_close(moved[1], share, rtol=EXACT, atol=EXACT)


def test_a_neuron_far_fainter_than_the_strongest_has_no_frequency() -> None:
    p = 13
    wave = {k: _wave(p, k)[:, None] * _wave(p, k)[None] for k in (2, 5)}
    for amplitude, keys in ((0.5 * fourier.DEAD**0.5, [2]), (2 * fourier.DEAD**0.5, [2, 5])):
        assert fourier.key_frequencies(torch.stack([wave[2], amplitude * wave[5]], -1)) == keys


def test_a_stray_neuron_makes_no_key_frequency_unless_asked() -> None:
    p = 13
    wave = {k: _wave(p, k)[:, None] * _wave(p, k)[None] for k in (2, 5)}
    neurons = torch.stack([wave[2]] * 99 + [wave[5]], -1)
    assert fourier.key_frequencies(neurons) == [2]
    assert fourier.key_frequencies(neurons, min_share=0.0) == [2, 5]


def test_the_plane_of_a_planted_clock_is_a_circle_and_its_angle_turns_by_the_frequency() -> None:
    p, k, radius = 13, 4, 2.5
    plane = torch.linalg.qr(_random(10, 2)).Q
    weight = radius * torch.stack([_wave(p, k), _wave(p, k, -math.pi / 2)], 1) @ plane.T
    points = fourier.circle(weight, weight, k)
    torch.testing.assert_close(points.norm(dim=1), torch.full((p,), radius).double(), rtol=EXACT, atol=0)
    angle = torch.atan2(points[:, 1], points[:, 0]).diff()
    step = torch.cos(angle)
    torch.testing.assert_close(step, torch.full_like(step, math.cos(2 * math.pi * k / p)), rtol=EXACT, atol=0)
    other = fourier.circle(weight, _random(p, 10), 1).norm(dim=1)
    assert other.std() > 0.05 * radius  # in a plane that is not its own it is none


def test_half_the_modulus_has_a_line_and_not_a_plane() -> None:
    points = fourier.circle(_random(8, 5), _random(8, 5, seed=1), 4)
    assert points.shape == (8, 2)
    assert not points[:, 1].any()
    assert points[:, 0].any()


# Gromov's analytic solution, loaded and not trained [2301.02679, Eqs. 6-12].


def _gromov(p: int, frequencies: Tensor, scale: float) -> Network:
    hidden = len(frequencies)
    task = ModularArithmetic(modulus=p)
    spec = MLP(activation="quadratic", bias=False, hidden=hidden, output_scale=scale)
    network = spec.build(task, torch.Generator().manual_seed(0))
    phase1, phase2 = (
        2 * math.pi * torch.rand(2, hidden, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    turn = 2 * math.pi * torch.outer(torch.arange(p), frequencies).double() / p
    with torch.no_grad():
        network.get_parameter("W.0").copy_(torch.cat([torch.cos(turn + phase1), torch.cos(turn + phase2)]))
        network.get_parameter("W.1").copy_(torch.cos(-turn - (phase1 + phase2)).T)
    return network


def _logits(network: Network, p: int) -> Tensor:
    with torch.no_grad():
        return network(ModularArithmetic(modulus=p).table.operands_NK)[:, 0].view(p, p, p)


def _squares(network: Network, p: int) -> Tensor:
    first, second = network.get_parameter("W.0").detach().chunk(2)
    return (first[:, None] + second[None]).square()


def test_gromovs_analytic_weights_add_modulo_97() -> None:
    p, hidden = 97, 512
    planted = torch.arange(hidden) % (p // 2) + 1
    network = _gromov(p, planted, 1 / (2 * p * hidden))
    logits = _logits(network, p)
    accuracy = (logits.flatten(0, 1).argmax(1) == _sums(p)).double().mean().item()
    assert accuracy >= 0.99
    best, share = fourier.neuron_frequencies(_squares(network, p))
    assert torch.equal(best, planted)
    torch.testing.assert_close(share, torch.full_like(share, 0.8), rtol=1e-9, atol=0)  # 1 of 1 + 1/8 + 1/8


def test_a_sum_of_too_few_random_waves_does_not_add() -> None:
    p = 97
    accuracy = (_logits(_gromov(p, torch.arange(8) + 1, 1.0), p).flatten(0, 1).argmax(1) == _sums(p)).double().mean()
    assert accuracy < 0.5  # the control: what makes the analytic weights right is their number


def test_the_planted_frequencies_of_gromovs_weights_are_the_circuit() -> None:
    p, planted = 31, [3, 5, 8, 14]
    frequencies = torch.tensor(planted).repeat(100)
    network = _gromov(p, frequencies, 0.05)
    logits = _logits(network, p)
    mean = fourier.mean_over_sums(logits)
    keys = fourier.key_frequencies(_squares(network, p))
    assert keys == planted
    full = F.cross_entropy(logits.flatten(0, 1), _sums(p)).item()
    restricted = fourier.restricted_loss(mean, keys).item()
    excluded = fourier.excluded_loss(logits.flatten(0, 1), _sums(p), mean, keys).item()
    assert 0.01 < full < 1.0
    assert abs(restricted - full) < 0.1
    assert excluded > math.log(p)
    assert fourier.restricted_loss(mean, [1, 2, 7, 10]).item() > math.log(p) - 0.1
    coefficients = fourier.logit_coefficients(mean)
    assert sorted(coefficients.topk(4).indices.add(1).tolist()) == planted
