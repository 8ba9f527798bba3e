"""Truths for measures/complexity.py, heavy_tails.py, information.py and regions.py."""

import bz2
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokscope.measures import Measure, complexity, heavy_tails, information, regions
from grokscope.models import MLP, Model, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.testing import check_measure, small_snapshot


def _stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=_stream(seed))


def _sizes(weights: Tensor, step: float) -> dict[str, int]:
    return complexity.compressed_sizes(complexity.coarse([weights], step).data)


# Description length.


def test_every_compressor_has_constant_weights_shorter_than_structured_ones_shorter_than_noise() -> None:
    noise = _random(64, 64)
    constant, periodic = torch.full_like(noise, 0.3), noise[:1].expand(64, -1)
    for name in complexity.COMPRESSORS:
        found = [_sizes(w, 0.01)[name] for w in (constant, periodic, noise)]
        assert found[0] < found[1] < found[2]
        assert found[0] < 100
        assert found[1] < 0.2 * found[2]
    assert bz2.decompress(complexity.COMPRESSORS["bz2"](b"abc")) == b"abc"


def test_a_description_grows_with_precision_towards_one_bit_a_halving() -> None:
    noise = _random(100, 100)
    steps = [2.0**-i for i in range(-2, 8)]
    for name in complexity.COMPRESSORS:
        sizes = [_sizes(noise, step)[name] for step in steps]
        assert sizes == sorted(sizes)
    # the entropy of N(0, 1) in steps of 1/8 is ½ log₂(2πe) + 3 = 5.05 bits: no compressor can do better
    assert 5.05 * 10_000 / 8 * 0.99 < _sizes(noise, 2.0**-3)["bz2"] < 5.05 * 10_000 / 8 * 1.15


def test_coarse_weights_are_within_half_a_step_and_their_numbers_come_back() -> None:
    w = _random(7, 5)
    found = complexity.coarse([w, w[0]], 0.25)
    for got, want in zip(found.weights, (w, w[0]), strict=True):
        assert (got - want).abs().max() <= 0.125 + 1e-12
    again = torch.from_numpy(np.frombuffer(found.data, dtype=np.int8)[:35].astype(float)).view(7, 5)
    torch.testing.assert_close(0.25 * again, found.weights[0])
    assert complexity.quantised(torch.tensor([0.26, -0.26]), 0.1).tolist() == [3, -3]
    for weights, step in ((torch.tensor([torch.nan]), 0.1), (torch.tensor([1e30]), 1e-9), (w, 0.0), (w, math.inf)):
        with pytest.raises(ValueError, match="step"):
            complexity.quantised(weights, step)
    assert len(complexity.packed([torch.tensor([300, 1]), torch.tensor([-128 + 1])])) == 5


def test_low_rank_takes_as_many_directions_as_the_share_asks_and_only_where_it_is_shorter() -> None:
    turns = [torch.linalg.qr(_random(20, 20, seed=s)).Q for s in (1, 2)]
    w = turns[0] @ torch.diag(torch.tensor([6.0, 3.0, 1.0] + [0.0] * 17, dtype=torch.float64)) @ turns[1]
    for share, rank in ((0.5, 1), (0.6, 1), (0.61, 2), (0.9, 2), (0.91, 3), (1.0, 3)):
        factors = complexity.low_rank(w, share)
        assert factors is not None
        assert factors[0].shape == (20, rank)
        assert (factors[0] @ factors[1] - w).norm().item() == pytest.approx(
            math.sqrt(sum(x * x for x in (6.0, 3.0, 1.0)[rank:])), abs=1e-9
        )
    assert complexity.low_rank(turns[0], 0.6) is None  # 12 directions of 40 numbers are more than 400
    assert complexity.low_rank(torch.zeros(4, 4), 0.9) is None
    with pytest.raises(ValueError, match="finite"):
        complexity.low_rank(torch.full((4, 4), torch.inf), 0.9)
    again = complexity.low_rank(5 * turns[0] @ w, 0.9)  # scale and turns leave the rank
    assert again is not None
    assert again[0].shape == (20, 2)
    assert again[0].norm().item() == pytest.approx(again[1].norm().item(), rel=1e-9)  # each has √σ


def test_packed_numbers_take_the_bytes_of_the_largest_of_their_tensor() -> None:
    for largest, size in ((127, 1), (128, 2), (2**15, 4), (2**31, 8)):
        for sign in (1, -1):
            data = complexity.packed([torch.tensor([sign * largest, 1, 0]), torch.tensor([1])])
            assert len(data) == 3 * size + 1
            whole = np.frombuffer(data[: 3 * size], dtype=f"<i{size}")
            assert whole.tolist() == [sign * largest, 1, 0]
    assert complexity.packed([torch.zeros(0, dtype=torch.int64)]) == b""


def test_empty_files_have_the_sizes_that_are_told() -> None:
    assert complexity.compressed_sizes(b"") == {"bz2": 14, "lzma": 32, "zlib": 8}


def test_steps_fall_by_halves_from_the_first_that_leaves_nothing() -> None:
    for largest in (0.3, 0.5, 0.51, 1.0, 3.0):
        steps = list(complexity.steps_from([torch.tensor([0.1, -largest]), torch.zeros(0)], 4))
        assert len(steps) == 4
        assert all(a == 2 * b for a, b in zip(steps, steps[1:], strict=False))
        assert complexity.quantised(torch.tensor([largest]), steps[0]).item() == 0
        assert complexity.quantised(torch.tensor([largest]), steps[1]).item() == 1
    assert list(complexity.steps_from([torch.zeros(3)], 2)) == [1.0, 0.5]


def test_factors_are_taken_where_they_are_shorter() -> None:
    w = _random(30, 1) @ _random(1, 30, seed=1)
    flat, factored = (complexity.coarse([w], 1e-3, share) for share in (1.0, 0.9))
    assert len(factored.data) < 0.2 * len(flat.data)
    torch.testing.assert_close(factored.weights[0], w, rtol=0, atol=0.02)
    found = complexity.description_lengths([w], lambda x: (x[0] - w).abs().max().item(), 0.05)
    assert found["bz2"].share < 1.0
    assert found["bz2"].size < 0.5 * _sizes(w, 2.0**-4)["bz2"]


def test_the_search_takes_the_coarsest_weights_that_keep_the_loss() -> None:
    w = torch.tensor([0.5, -1.0, 0.25], dtype=torch.float64)
    seen = complexity.description_lengths([w], lambda x: (x[0] - w).abs().max().item(), 0.01)
    assert {d.step for d in seen.values()} == {0.25}  # the largest power of two that divides them all
    loose = complexity.description_lengths([w], lambda x: (x[0] - w).abs().max().item(), 1.5)
    assert {d.step for d in loose.values()} == {2.0}
    never = complexity.description_lengths([w], lambda x: float((x[0] - w).abs().max() > 0), 0.5, steps=2)
    assert {d.step for d in never.values()} == {0.0}
    assert never["zlib"].size == complexity.compressed_sizes(w.numpy().tobytes())["zlib"]


def test_a_network_that_needs_its_weights_less_has_a_shorter_description() -> None:
    module = nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Linear(50, 3)).double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(_random(*p.shape, seed=p.numel()))
    x = _random(40, 20, seed=9)

    def length(tolerance: float) -> dict[str, complexity.Description]:
        return complexity.module_description(module, nn.functional.mse_loss, x, x[:, :3], tolerance)

    tight, loose = length(1e-3), length(10.0)
    with torch.no_grad():
        module[0].weight[:, 1:] = 0.0
    sparse = length(1e-3)
    for name in complexity.COMPRESSORS:
        assert loose[name].size < tight[name].size
        assert sparse[name].size < 0.5 * tight[name].size
    before = [p.clone() for p in module.parameters()]
    assert length(1e-3) == sparse
    assert all(bool((a == b).all()) for a, b in zip(before, module.parameters(), strict=True))


# Heavy tails.


def test_the_edge_of_noise_is_that_of_random_matrices() -> None:
    assert heavy_tails.noise_edge(2.0, 50, 50) == 8.0
    for larger, smaller in ((50, 60), (50, 0)):
        with pytest.raises(ValueError, match="larger"):
            heavy_tails.noise_edge(1.0, larger, smaller)
    for broken in (torch.full((3, 3), torch.nan), torch.tensor([[1.0, torch.inf]]), torch.zeros(0, 4)):
        with pytest.raises(ValueError, match="finite"):
            heavy_tails.beyond_edge(broken)
    w = 0.7 * _random(300, 150)
    largest = torch.linalg.eigvalsh(w.T @ w / 300)[-1].item()
    assert largest == pytest.approx(heavy_tails.noise_edge(0.49, 300, 150), rel=0.03)


@pytest.mark.parametrize("shape", [(20, 20), (100, 100), (50, 200), (200, 30)])
def test_independent_elements_have_neither_spikes_nor_traps(shape: tuple[int, int]) -> None:
    for seed in range(20):
        w = 3 * _random(*shape, seed=seed)
        assert heavy_tails.beyond_edge(w) == heavy_tails.correlation_traps(w, _stream(seed)) == 0


def test_a_planted_direction_is_a_spike_and_a_planted_element_is_a_trap() -> None:
    noise = _random(100, 200)
    u, v = _random(100, 1, seed=1), _random(1, 200, seed=2)
    threshold = (100 * 200) ** 0.25
    for strength, spikes in ((0.5, 0), (2.0, 1)):
        w = noise + strength * threshold * u / u.norm() * (v / v.norm())
        assert heavy_tails.beyond_edge(w) == spikes
        assert heavy_tails.correlation_traps(w, _stream()) == 0  # shuffling destroys it
    few = noise.clone()
    few.view(-1)[[17, 5000, 12345]] = 60.0
    assert heavy_tails.correlation_traps(few, _stream()) == heavy_tails.beyond_edge(few) == 3
    assert heavy_tails.correlation_traps(noise + 1.0, _stream()) == 1  # a mean
    assert heavy_tails.correlation_traps(torch.zeros(5, 5), _stream()) == 0


def test_spikes_are_the_eigenvalues_above_the_edge_and_its_margin() -> None:
    w = _random(30, 60) * torch.linspace(0, 4, 60).exp()  # a spectrum that runs far beyond the edge of noise
    values = torch.linalg.eigvalsh(w @ w.T / 60)
    seen = []
    for margin in (0.0, 1.0, 3.0, 6.0):
        edge = w.var(correction=0) * (1 + 0.5**0.5) ** 2 * (1 + margin * 30 ** (-2 / 3))
        seen.append(heavy_tails.beyond_edge(w, margin))
        assert seen[-1] == int((values > edge).sum())
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) > 2


def test_spikes_and_traps_are_blind_to_scale_and_transposition() -> None:
    w = _random(40, 60) + 0.8
    for other in (5 * w, -w, w.T, w.flip(0)):
        assert heavy_tails.beyond_edge(other) == heavy_tails.beyond_edge(w) == 1
    assert heavy_tails.correlation_traps(7 * w, _stream(3)) == heavy_tails.correlation_traps(w, _stream(3))
    shuffled = heavy_tails.shuffled(w, _stream())
    assert shuffled.shape == w.shape
    torch.testing.assert_close(shuffled.flatten().sort().values, w.flatten().sort().values)
    assert bool((shuffled == heavy_tails.shuffled(w, _stream())).all())


def test_matrices_are_weights_and_stacks_are_taken_apart() -> None:
    module = nn.Module()
    for name, shape in (("W", (3, 4)), ("W_in", (2, 3, 4)), ("b_in", (2, 4)), ("scale", (4,))):
        module.register_parameter(name, nn.Parameter(torch.ones(shape)))
    assert {n: tuple(w.shape) for n, w in heavy_tails.matrices(module)} == dict.fromkeys(
        ("W", "W_in.0", "W_in.1"), (3, 4)
    )


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.5])
def test_rounding_is_no_tail(alpha: float) -> None:
    sizes = torch.arange(1, 13, dtype=torch.float64) ** (-0.5 / (alpha - 1))  # a spectrum whose tail has this exponent
    turns = [torch.linalg.qr(_random(40, 40, seed=s)).Q for s in (1, 2)]
    w = turns[0][:, :12] @ torch.diag(sizes) @ turns[1][:12]
    found = heavy_tails.eigenvalues(w)
    assert (found > 0).sum() == 12
    torch.testing.assert_close(found[:12], sizes.square() / 40, rtol=1e-9, atol=0)
    assert heavy_tails.power_law(found).alpha == pytest.approx(heavy_tails.power_law(sizes.square()).alpha, rel=1e-6)
    torch.testing.assert_close(heavy_tails.eigenvalues(3 * w.T), 9 * found)
    assert heavy_tails.eigenvalues(torch.full((3, 4), torch.nan)).isnan().all()


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.5])
def test_the_exponent_of_a_power_law_is_found(alpha: float) -> None:
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    exact = heavy_tails.power_law(3.0 * (1 - uniform) ** (-1 / (alpha - 1)))  # its own quantiles
    assert exact.alpha == pytest.approx(alpha, rel=0.02)
    drawn = torch.rand(1000, dtype=torch.float64, generator=_stream())
    found = heavy_tails.power_law((1 - drawn) ** (-1 / (alpha - 1)))
    assert abs(found.alpha - alpha) < 4 * (alpha - 1) / math.sqrt(found.tail)
    assert found.distance < 1.4 / math.sqrt(found.tail)


def test_the_tail_starts_where_the_power_law_does() -> None:
    drawn = torch.rand(600, dtype=torch.float64, generator=_stream())
    tail = 10 * (1 - drawn) ** (-1 / 1.5)
    body = 10 * torch.rand(400, dtype=torch.float64, generator=_stream(1))
    found = heavy_tails.power_law(torch.cat([body, tail]))
    assert found.xmin == pytest.approx(10, rel=0.2)
    assert found.alpha == pytest.approx(2.5, abs=0.25)
    scaled = heavy_tails.power_law(7 * torch.cat([tail, body]))
    assert scaled.alpha == pytest.approx(found.alpha, rel=1e-9)
    assert scaled.xmin == pytest.approx(7 * found.xmin, rel=1e-9)


def test_the_fit_is_that_of_a_plain_loop_and_noise_has_a_steep_tail() -> None:
    values = torch.linalg.svdvals(_random(40, 30)).square()
    found = heavy_tails.power_law(values)
    best = (math.inf, 0.0, 0.0)
    ordered = sorted(values.tolist())
    for i in range(len(ordered) - 4):
        tail = np.array(ordered[i:])
        alpha = 1 + len(tail) / np.log(tail / tail[0]).sum()
        model = 1 - (tail / tail[0]) ** (1 - alpha)
        steps = np.arange(len(tail) + 1) / len(tail)
        gap = max(np.abs(steps[:-1] - model).max(), np.abs(steps[1:] - model).max())
        best = min(best, (gap, alpha, tail[0]))
    assert (found.distance, found.alpha, found.xmin) == pytest.approx(best, rel=1e-9)
    assert math.isnan(heavy_tails.power_law(torch.ones(20)).alpha)
    assert math.isnan(heavy_tails.power_law(torch.arange(1.0, 4.0)).alpha)
    assert heavy_tails.power_law(torch.arange(1.0, 6.0)).tail == 5  # as few as a tail may have
    assert heavy_tails.power_law(torch.tensor([torch.nan] + [1.0] * 20)).tail == 0
    padded = heavy_tails.power_law(torch.cat([torch.zeros(9, dtype=torch.float64), values]))
    assert padded == pytest.approx(found)  # zeros are left out
    noise = heavy_tails.power_law(torch.linalg.svdvals(_random(400, 200)).square())
    heavy = 1 / torch.rand(400, 200, dtype=torch.float64, generator=_stream()) ** 0.8
    assert heavy_tails.power_law(torch.linalg.svdvals(heavy).square()).alpha < 2.5 < 3.5 < noise.alpha


# Information.


def test_independent_variables_have_none() -> None:
    assert information.o_information(torch.eye(5, dtype=torch.float64)).item() == 0.0
    noise = information.correlations(information.normal_scores(_random(2000, 5)))
    assert abs(information.o_information(noise).item()) < 0.02
    two = torch.tensor([[1.0, 0.7], [0.7, 1.0]], dtype=torch.float64)
    assert information.o_information(two).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("r", [-0.4, 0.3, 0.9])
def test_equal_correlations_have_the_closed_form(r: float) -> None:
    R = torch.full((3, 3), r, dtype=torch.float64).fill_diagonal_(1.0)
    want = 0.5 * math.log((1 + 2 * r) / ((1 - r) * (1 + r) ** 3))
    assert information.o_information(R).item() == pytest.approx(want, rel=1e-9)
    assert (want > 0) == (r > 0)


def test_it_is_the_definition_in_entropies() -> None:
    a = _random(6, 6)
    R = information.correlations(_random(50, 6) @ a)

    def entropy(of: list[int]) -> float:
        part = R[of][:, of]
        return 0.5 * (len(of) * math.log(2 * math.pi * math.e) + torch.logdet(part).item())

    every = list(range(6))
    rest = sum(entropy([i]) - entropy([j for j in every if j != i]) for i in every)
    assert information.o_information(R).item() == pytest.approx(4 * entropy(every) + rest, rel=1e-8)


def test_copies_are_redundant_and_a_sum_is_synergy() -> None:
    x, y, e = _random(3000, 3).T
    copies = torch.stack([x, x + 0.1 * y, x + 0.1 * e], 1)
    total = torch.stack([x, y, x + y + 0.1 * e], 1)
    omega = [information.o_information(information.correlations(s)).item() for s in (copies, total)]
    assert omega[0] > 1
    assert omega[1] < -1
    R = information.correlations(torch.stack([x, y, (x > 0).double() * 2 - 1], 1))
    assert abs(information.o_information(R).item()) < 0.01  # one pair alone
    bits = (torch.stack([x, y], 1) > 0).double()
    xor = torch.cat([bits, (bits[:, :1] + bits[:, 1:]) % 2], 1)
    assert abs(information.o_information(information.correlations(xor)).item()) < 0.01  # −ln 2 in truth


def test_scores_see_ranks_alone() -> None:
    x = _random(200, 3)
    scores = information.normal_scores(x)
    torch.testing.assert_close(information.normal_scores(x.exp()), scores)
    torch.testing.assert_close(information.normal_scores(-x), -scores)
    torch.testing.assert_close(information.normal_scores(x.flip(0)), scores.flip(0))
    ties = information.normal_scores(torch.tensor([[0.0], [0.0], [1.0]]))
    want = torch.special.ndtri(torch.tensor([1.5, 1.5, 3.0], dtype=torch.float64) / 4)
    torch.testing.assert_close(ties[:, 0], want)
    assert (
        information.normal_scores(torch.tensor([[1.0, torch.nan], [2.0, 1.0]])).isnan().tolist() == [[False, True]] * 2
    )
    constant = torch.cat([x, torch.ones(200, 1)], 1)
    R = information.correlations(information.normal_scores(constant))
    assert R[3].tolist() == [0.0, 0.0, 0.0, 1.0]
    omega = [information.o_information(r).item() for r in (R, R[:3, :3])]
    assert omega[0] == pytest.approx(omega[1], abs=1e-12)


def test_the_search_finds_what_was_planted() -> None:
    z = _random(4000, 7)
    z[:, 2] = z[:, 0] + z[:, 1] + 0.2 * z[:, 2]
    z[:, 4:6] = z[:, 3:4] + 0.2 * z[:, 4:6]
    low, high = information.extremes(information.correlations(z))
    assert set(low.members) >= {0, 1, 2}
    assert set(high.members) >= {3, 4, 5}
    assert low.value < -0.9 < 0.9 < high.value
    order = torch.randperm(7, generator=_stream())
    again = information.extremes(information.correlations(z[:, order]))
    assert again[0].value == pytest.approx(low.value, rel=1e-9)
    assert again[1].value == pytest.approx(high.value, rel=1e-9)


def test_correlations_are_numpys_and_do_not_see_scale_and_place() -> None:
    x = _random(50, 4) @ _random(4, 4, seed=1)
    R = information.correlations(x, shrinkage=0.1)
    want = 0.9 * np.corrcoef(x.numpy(), rowvar=False) + 0.1 * np.eye(4)
    np.testing.assert_allclose(R.numpy(), want, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(information.correlations(x * torch.arange(1, 5) + 7.0, shrinkage=0.1), R)


def test_a_multiplet_has_three_members_and_at_most_as_many_as_are_asked_for() -> None:
    R = information.correlations(_random(30, 6))
    low, high = information.extremes(R, largest=4)
    every = {
        of: information.o_information(R[list(of)][:, list(of)]).item()
        for size in (3, 4)
        for of in itertools.combinations(range(6), size)
    }
    assert (low.members, high.members) == (min(every, key=every.__getitem__), max(every, key=every.__getitem__))
    assert (low.value, high.value) == pytest.approx((min(every.values()), max(every.values())), rel=1e-9)
    for variables, largest in ((2, 10), (5, 2)):
        with pytest.raises(ValueError, match="at least 3"):
            information.extremes(torch.eye(variables), largest)


def test_clusters_are_those_that_ward_joins() -> None:
    centres = 10 * _random(4, 3)
    points = centres.repeat_interleave(5, 0) + 0.1 * _random(20, 3, seed=1)
    assert information.ward_clusters(points, 4).tolist() == [i for i in range(4) for _ in range(5)]
    assert information.ward_clusters(points, 1).unique().tolist() == [0]
    assert information.ward_clusters(points, 20).tolist() == list(range(20))
    line = torch.tensor([[0.0], [1.0], [2.5], [4.6]])
    # unions cost n·m/(n+m)·d²: {0,1} 0.5; then {0,1}+2.5 2.67 against {2.5, 4.6} 2.205
    assert information.ward_clusters(line, 2).tolist() == [0, 0, 1, 1]
    cloud = _random(12, 3, seed=4)
    joined = [[i] for i in range(12)]
    while len(joined) > 1:  # a plain loop over the cost n·m/(n + m)·‖μ − μ'‖² of every union
        costs = {
            (i, j): len(a) * len(b) / (len(a) + len(b)) * (cloud[a].mean(0) - cloud[b].mean(0)).square().sum().item()
            for (i, a), (j, b) in itertools.combinations(enumerate(joined), 2)
        }
        i, j = min(costs, key=costs.__getitem__)
        joined[i] += joined.pop(j)
        want = [next(k for k, of in enumerate(sorted(joined, key=min)) if p in of) for p in range(12)]
        assert information.ward_clusters(cloud, len(joined)).tolist() == want
    for clusters in (0, 21):
        with pytest.raises(ValueError, match="clusters"):
            information.ward_clusters(points, clusters)
    with pytest.raises(ValueError, match="finite"):
        information.ward_clusters(torch.full((4, 2), torch.nan), 2)
    binned = information.binned(points.T, 4)
    torch.testing.assert_close(binned, points.view(4, 5, 3).mean(1).T)


# Linear regions.


def test_a_linear_network_has_no_regions() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)).double()
    counts = regions.local_complexity(module, _random(5, 4), _stream())
    assert counts.shape == (5, 0)
    assert counts.sum(1).tolist() == [0] * 5


def _kinks() -> nn.Sequential:
    """relu(x_1 − k) for k = 0 … 4, whatever x_2."""
    module = nn.Sequential(nn.Linear(2, 5), nn.ReLU(inplace=True), nn.Linear(5, 1)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([1.0, 0.0]).expand(5, 2))
        module[0].bias.copy_(-torch.arange(5.0))
    return module


def test_one_hidden_layer_counts_the_hyperplanes_that_cut_the_polytope() -> None:
    module = _kinks()
    x = torch.tensor([[0.1, 3.0], [0.5, 0.0], [2.01, -7.0], [9.0, 0.0]], dtype=torch.float64)
    near = regions.local_complexity(module, x, _stream(), radius=0.2)  # in the plane a frame reaches ≥ r/√2
    assert near[:, 0].tolist() == [1, 0, 1, 0]
    far = regions.local_complexity(module, x, _stream(), radius=100.0)
    assert far[:, 0].tolist() == [5, 5, 5, 5]
    # by hand: hyperplane w·x + b = 0 is cut where max_i |r w·u_i| > |w·x + b|
    net = nn.Sequential(nn.Linear(6, 50), nn.ReLU(), nn.Linear(50, 2)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(_random(*p.shape, seed=p.numel()))
    points = _random(8, 6, seed=5)
    axes = regions.frames(8, 6, 4, _stream(1))
    with torch.no_grad():
        reach = (0.3 * net[0].weight @ axes).abs().amax(2)
        want = (reach > net[0](points).abs()).sum(1)
    got = regions.local_complexity(net, points, _stream(1), radius=0.3, directions=4)
    assert got[:, 0].tolist() == want.tolist()
    assert 0 < want.sum() < 400


def test_frames_are_orthonormal_and_counts_do_not_change_with_scale() -> None:
    axes = regions.frames(3, 7, 5, _stream())
    torch.testing.assert_close(axes.mT @ axes, torch.eye(5, dtype=torch.float64).expand(3, 5, 5))
    assert regions.frames(2, 3, 25, _stream()).shape == (2, 3, 3)
    net = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU()).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(_random(*p.shape, seed=p.numel()))
    x = _random(6, 4)
    want = regions.local_complexity(net, x, _stream(), radius=0.5)
    assert want.shape == (6, 2)
    with torch.no_grad():
        net[0].weight.mul_(3.0)
        net[0].bias.mul_(3.0)
        net[2].weight.div_(3.0)
    assert regions.local_complexity(net, x, _stream(), radius=0.5).tolist() == want.tolist()
    assert regions.local_complexity(net, x, _stream(), radius=1e-9).sum() == 0
    assert not net[0]._forward_pre_hooks
    assert not net[1]._forward_pre_hooks


# The linear mapping number.


def test_a_linear_map_is_one_map_and_unrelated_points_are_many() -> None:
    x = _random(12, 5)
    w = _random(5, 3, seed=1)
    L = regions.straightness(lambda z: z @ w + 1.0, x)
    torch.testing.assert_close(L, torch.ones(12, 12, dtype=torch.float64))
    assert regions.linear_mapping_number(L) == pytest.approx(1.0, abs=1e-6)
    assert regions.linear_mapping_number(regions.straightness(lambda z: torch.ones(len(z), 2), x)) == pytest.approx(1)
    assert regions.linear_mapping_number(torch.eye(12)) == pytest.approx(12.0)
    blocks = torch.block_diag(*[torch.ones(4, 4)] * 3)
    assert regions.linear_mapping_number(blocks) == pytest.approx(3.0, rel=1e-5)


def test_straightness_is_the_squared_correlation() -> None:
    x = torch.tensor([[0.0], [1.0], [-1.0]], dtype=torch.float64)
    L = regions.straightness(lambda z: torch.cat([z.square(), z], 1), x)
    lam = np.linspace(0, 1, 21)
    r2 = np.corrcoef(lam, lam**2)[0, 1] ** 2
    assert L[0, 1].item() == pytest.approx((r2 + 1) / 2, rel=1e-9)
    assert L[1, 2].item() == pytest.approx(0.5, abs=1e-9)  # (2λ − 1)² has no slope
    assert bool((L == L.T).all())
    assert ((L >= 0) & (L <= 1)).all()
    broken = regions.straightness(lambda z: z / 0.0 * 0.0, x)
    assert broken[0, 1].isnan()
    assert math.isnan(regions.linear_mapping_number(broken))
    points = _random(10, 3)
    numbers = [
        regions.linear_mapping_number(regions.straightness(lambda z, k=k: torch.sin(k * z), points))
        for k in (0.01, 1.0, 5.0)
    ]
    assert numbers == sorted(numbers)
    assert numbers[0] == pytest.approx(1.0, abs=0.01)
    bent = regions.straightness(torch.sin, points)
    moved = regions.straightness(lambda z: 5.0 - 3.0 * torch.sin(z), points.flip(0))
    torch.testing.assert_close(moved.flip(0, 1), bent, rtol=1e-9, atol=1e-9)
    assert regions.linear_mapping_number(moved) == pytest.approx(numbers[1], rel=1e-9)


# The measures.

MEASURES: list[Measure] = [
    complexity.DescriptionLength(rows=16),
    heavy_tails.HeavyTails(),
    heavy_tails.HeavyTails(least=3),
    information.OInformation(rows=16, bins=5),
    regions.LocalComplexity(rows=16, radius=0.5),
]
MODELS: list[Model] = [
    MLP(hidden=12),
    MLP(inputs="embedding", width=6, hidden=12, layers=2),
    Transformer(width=8, heads=2, hidden=16, layers=2),
]


def _snapshot_of(model: Model) -> object:
    base = small_snapshot()
    network = model.build(base.task, Seeds(0).generator("init"))
    encoding = model.encode(base.task, base.task.table)
    return type(base)(0, network, base.task, base.split, encoding, CrossEntropy())


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.kind)
def test_the_measures_keep_their_contract(measure: Measure) -> None:
    check_measure(measure)
    for model in MODELS:
        check_measure(measure, _snapshot_of(model))  # type: ignore[arg-type]


def test_local_complexity_of_a_table_is_that_of_its_rows() -> None:
    task = ModularArithmetic(modulus=5, train_fraction=0.5)
    model = MLP(hidden=20)
    snapshot = type(small_snapshot())(
        0,
        network := model.build(task, Seeds(0).generator("init")),
        task,
        task.divide(Seeds(0)),
        model.encode(task, task.table),
        CrossEntropy(),
    )
    radius = 0.3
    got = regions.LocalComplexity(radius=radius, directions=3)(snapshot)
    axes = regions.frames(5, 5, 3, Seeds(0).generator("measure", "local-complexity"))
    weight, bias = network.get_parameter("W.0"), network.get_parameter("b.0")
    counts = []
    for row in snapshot.split.rows["train"]:
        a, b = snapshot.encoding.tokens_NL[row]
        x = torch.cat([torch.eye(5)[a], torch.eye(5)[b]]).double()
        frame = torch.cat([axes[a], axes[b]]) / math.sqrt(2)
        torch.testing.assert_close(frame.T @ frame, torch.eye(3, dtype=torch.float64))
        reach = radius * (weight.T @ frame).abs().amax(1)
        counts.append((reach > (x @ weight + bias).abs()).sum().item())
    assert got["complexity/local_train"] == pytest.approx(sum(counts) / len(counts))
    assert sum(counts) > 0


def test_measures_read_the_networks_own_weights() -> None:
    snapshot = small_snapshot()
    before = complexity.DescriptionLength()(snapshot)
    with torch.no_grad():
        for p in snapshot.network.parameters():
            p.zero_()
    after = complexity.DescriptionLength()(snapshot)
    for name in complexity.COMPRESSORS:
        assert float(after[f"complexity/{name}"]) < 0.5 * float(before[f"complexity/{name}"])
    assert heavy_tails.HeavyTails()(snapshot)["tails/traps_total"] == 0.0
    with torch.no_grad():
        snapshot.network.get_parameter("W_E").fill_(torch.nan)
    diverged = heavy_tails.HeavyTails()(snapshot)
    assert all(math.isnan(diverged[f"tails/{key}"]) for key in ("spikes/W_E", "traps/W_E", "alpha/W_E", "traps_total"))
    assert diverged["tails/traps/W_U"] == 0.0
    assert all(math.isnan(value) for value in complexity.DescriptionLength()(snapshot).values())
    assert all(math.isnan(value) for value in information.OInformation()(replace(snapshot, _cache={})).values())
