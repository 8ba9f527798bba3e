"""Truths for measures/spectrum.py and measures/representation.py: planted spectra, shapes and classes, naive twins."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.measures import Snapshot, representation, spectrum, unmet
from grokscope.measures.representation import Circularity, NeuralCollapse, Parallelograms, Separation
from grokscope.measures.spectrum import EmbeddingSpectrum, Layers, RepresentationSpectrum
from grokscope.models import MLP, Model, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic, Task
from grokscope.testing import check_measure

EXACT = 1e-10
TASK = ModularArithmetic(modulus=7, train_fraction=0.5)
ALL = (RepresentationSpectrum, EmbeddingSpectrum, Layers, Parallelograms, Circularity, Separation, NeuralCollapse)
EMBEDDED = MLP(inputs="embedding", width=8, layers=2, hidden=6)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _rotation(d: int) -> Tensor:
    return torch.linalg.qr(_random(d, d, seed=9)).Q


def _circle(p: int, k: int, radius: float = 1.0) -> Tensor:
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def _look(model: Model, task: Task = TASK) -> Snapshot:
    network = model.build(task, Seeds(0).generator("init"))
    return Snapshot(0, network, task, task.divide(Seeds(0)), model.encode(task, task.table), CrossEntropy())


def _close(got: Tensor, want: Tensor | float) -> None:
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=torch.float64), rtol=EXACT, atol=EXACT)


# Spectra.


@pytest.mark.parametrize("shape", [(30, 6), (6, 30), (8, 8)])
def test_spectra_are_those_of_the_covariance_and_of_svd(shape: tuple[int, int]) -> None:
    x = _random(*shape) + 3.0
    want = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)[: min(shape)]
    _close(spectrum.covariance_eigenvalues(x), want)
    _close(spectrum.singular_values(x), torch.linalg.svdvals(x))


def test_a_circle_has_two_dimensions_and_half_its_variance_in_one() -> None:
    plane = torch.linalg.qr(_random(9, 2)).Q.T
    values = spectrum.covariance_eigenvalues(_circle(13, 3, radius=2.0) @ plane + 5.0)
    _close(values, torch.tensor([2.0, 2.0] + [0.0] * 7, dtype=torch.float64))
    assert spectrum.effective_rank(values).item() == pytest.approx(2.0, rel=1e-6)
    assert spectrum.participation_ratio(values).item() == pytest.approx(2.0, rel=EXACT)
    assert spectrum.top_share(values).item() == pytest.approx(0.5, rel=EXACT)


@pytest.mark.parametrize("k", [1, 2, 5, 113])
def test_equal_values_have_their_closed_forms(k: int) -> None:
    values = torch.full((k,), 2.5)
    _close(spectrum.shares(values), torch.full((k,), 1 / k, dtype=torch.float64))
    assert spectrum.spectral_entropy(values).item() == pytest.approx(math.log(k), abs=1e-12)
    assert spectrum.normalised_entropy(values).item() == pytest.approx(1.0 if k > 1 else 0.0, abs=1e-12)
    assert spectrum.effective_rank(values).item() == pytest.approx(k, rel=1e-12)
    assert spectrum.participation_ratio(values).item() == pytest.approx(k, rel=1e-12)
    assert spectrum.top_share(values).item() == pytest.approx(1 / k, rel=1e-12)


def test_one_direction_is_one_and_three_to_one_has_its_closed_forms() -> None:
    one = torch.tensor([0.0, 4.0, 0.0])
    assert spectrum.spectral_entropy(one) == 0.0
    assert spectrum.effective_rank(one) == 1.0
    assert spectrum.participation_ratio(one) == 1.0
    assert spectrum.top_share(one) == 1.0
    two = torch.tensor([1.0, 3.0])
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert spectrum.spectral_entropy(two).item() == pytest.approx(entropy, rel=1e-12)
    assert spectrum.normalised_entropy(two).item() == pytest.approx(entropy / math.log(2), rel=1e-12)
    assert spectrum.effective_rank(two).item() == pytest.approx(math.exp(entropy), rel=1e-12)
    assert spectrum.participation_ratio(two).item() == pytest.approx(1.6, rel=1e-12)
    assert spectrum.top_share(torch.tensor([1.0, 3.0, 4.0]), top=2).item() == pytest.approx(7 / 8, rel=1e-12)


def test_nothing_has_no_rank_and_what_is_not_finite_has_no_spectrum() -> None:
    nothing = torch.zeros(4)
    for function in (spectrum.effective_rank, spectrum.participation_ratio, spectrum.top_share):
        assert function(nothing) == 0.0
    for broken in (torch.full((5, 3), torch.inf), torch.full((5, 3), torch.nan)):
        assert spectrum.covariance_eigenvalues(broken).isnan().all()
    assert spectrum.effective_rank(spectrum.covariance_eigenvalues(broken)).isnan()
    assert spectrum.feature_rank(broken) == 0
    for n in range(3, 40):  # the mean of n equal numbers is not always that number
        constant = torch.full((n, 4), 0.1, dtype=torch.float64)
        assert not spectrum.covariance_eigenvalues(constant).any()
        assert spectrum.feature_rank(constant) == 0
    empty = torch.zeros(0, 4)
    assert spectrum.feature_rank(empty) == 0
    assert spectrum.normalised_entropy(spectrum.covariance_eigenvalues(empty)) == 0.0
    for function in (spectrum.normalised_entropy, spectrum.effective_rank, spectrum.participation_ratio):
        assert function(torch.tensor([1.0, torch.nan])).isnan()


def test_the_participation_ratio_is_never_above_the_effective_rank() -> None:
    for seed in range(20):
        values = _random(12, seed=seed).square()
        assert 1.0 <= spectrum.participation_ratio(values) <= spectrum.effective_rank(values) <= 12.0


def test_shares_of_equal_values_never_leave_their_range_by_rounding() -> None:
    for k in range(1, 200):
        values = torch.full((k,), 0.1, dtype=torch.float64)
        assert spectrum.normalised_entropy(values) <= 1.0
        assert spectrum.top_share(values, top=k) <= 1.0


def test_spectra_do_not_see_scale_rotation_order_or_translation() -> None:
    x = _random(20, 6) * torch.arange(1, 7)
    for same in (x @ _rotation(6), x.flip(0), x.flip(1), x + 7.0):
        _close(spectrum.covariance_eigenvalues(same), spectrum.covariance_eigenvalues(x))
    values = spectrum.singular_values(x)
    _close(spectrum.singular_values(_rotation(20) @ x @ _rotation(6)), values)
    for function in (spectrum.normalised_entropy, spectrum.effective_rank, spectrum.participation_ratio):
        _close(function(5.0 * values.flip(0)), function(values))


def test_noise_is_spread_as_marchenko_and_pastur_say() -> None:
    values = spectrum.covariance_eigenvalues(_random(1000, 400))
    assert spectrum.participation_ratio(values).item() == pytest.approx(400 / 1.4, rel=0.02)  # D / (1 + D/N)
    wide = spectrum.covariance_eigenvalues(_random(4000, 20))
    assert spectrum.normalised_entropy(wide) > 0.99
    assert spectrum.top_share(wide) < 1.3 / 20


# Layers.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_planted_rank_is_found(dtype: torch.dtype) -> None:
    for rank in (1, 3, 7):
        x = _random(200, rank) @ _random(rank, 30, seed=1) + 2.0
        assert spectrum.feature_rank(x.to(dtype)) == rank
        assert spectrum.feature_rank((5.0 * x @ _rotation(30)).to(dtype)) == rank
    assert spectrum.feature_rank(_random(200, 30).to(dtype)) == 30


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_the_rank_of_float32(dtype: torch.dtype) -> None:
    x = torch.eye(8).repeat(150, 1).to(dtype)  # 1200 rows: more than half precision's own tolerance can take
    assert spectrum.feature_rank(x) == spectrum.feature_rank(x.float()) == 7


def test_a_direction_counts_from_the_tolerance_on() -> None:
    first = torch.tensor([1.0, -1.0]).repeat(50)
    second = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(25)
    tolerance = 100 * torch.finfo(torch.float32).eps
    for variance, rank in ((1.1 * tolerance, 2), (0.9 * tolerance, 1)):
        assert spectrum.feature_rank(torch.stack([first, second * variance**0.5], 1)) == rank


def test_the_tunnel_is_the_layers_of_low_rank() -> None:
    assert spectrum.tunnel_length([400, 300, 299, 10]) == 2
    assert spectrum.tunnel_length([0.9, 0.5, 0.1], below=0.75) == 2
    assert spectrum.tunnel_length([]) == 0


def test_a_probe_reads_what_is_linear_and_does_not_see_the_axes() -> None:
    labels = torch.arange(300) % 5
    x = F.one_hot(labels, 5).double() @ _random(5, 8, seed=1) + 0.01 * _random(300, 8)
    train, test = slice(0, 200), slice(200, 300)
    assert spectrum.linear_probe(x[train], labels[train], x[test], labels[test]) == 1.0
    noisy = x + _random(300, 8, seed=2)
    accuracy = spectrum.linear_probe(noisy[train], labels[train], noisy[test], labels[test])
    turned = 3.0 * noisy @ _rotation(8) + 4.0
    assert spectrum.linear_probe(turned[train], labels[train], turned[test], labels[test]) == accuracy
    assert 0.2 < accuracy < 1.0


def test_a_probe_is_least_squares_on_one_hot_answers() -> None:
    x, labels = _random(80, 6), torch.arange(80) * 7 % 4
    design = np.concatenate([x.numpy(), np.ones((80, 1))], 1)
    weight = np.linalg.lstsq(design[:60], np.eye(4)[labels[:60].numpy()], rcond=None)[0]
    want = np.mean((design[60:] @ weight).argmax(1) == labels[60:].numpy())
    got = spectrum.linear_probe(x[:60], labels[:60], x[60:], labels[60:], ridge=1e-13)
    assert got.item() == pytest.approx(want)


def test_a_probe_reads_noise_at_chance_and_a_dead_layer_by_its_commonest_answer() -> None:
    x, labels = _random(4000, 20), torch.arange(4000) * 7 % 10
    assert 0.07 < spectrum.linear_probe(x[:2000], labels[:2000], x[2000:], labels[2000:]) < 0.13
    answers = torch.tensor([0, 1, 1, 2])
    assert spectrum.linear_probe(torch.zeros(4, 3), answers, torch.zeros(4, 3), answers) == 0.5
    broken = torch.full((4, 3), torch.nan)
    assert spectrum.linear_probe(broken, answers, torch.zeros(4, 3), answers).isnan()
    assert spectrum.linear_probe(torch.eye(4), answers, torch.cat([broken, broken[:, :1]], 1), answers).isnan()
    none = torch.zeros(0, dtype=torch.long)
    assert spectrum.linear_probe(torch.zeros(0, 3), none, torch.zeros(4, 3), answers).isnan()
    assert spectrum.linear_probe(torch.eye(4), answers, torch.zeros(0, 4), none).isnan()


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (MLP(layers=2, hidden=5), ["activations.0", "activations.1"]),
        (Transformer(width=8, heads=2, hidden=6), ["blocks.0.neurons"]),
        (Transformer(layers=2, width=8, heads=2, hidden=6), ["blocks.1.neurons"]),
        (Transformer(width=8, heads=2, hidden=6, sequence="equation"), ["blocks.0.neurons"]),
    ],
    ids=["mlp", "one-block", "two-blocks", "equation"],
)
def test_hidden_layers_are_those_of_the_snapshot_at_the_probed_rows(model: Model, names: list[str]) -> None:
    look = _look(model)
    found = spectrum.hidden(look, "test", 11)
    rows = spectrum.probe_rows(look, "test", 11)
    assert len(rows) == 11
    assert torch.isin(rows, look.split.rows["test"]).all()
    assert (rows.diff() > 0).all()
    assert list(found) == names
    for name in names:
        want = look.activations(name)
        want = want[:, 0] if want.dim() == 3 else want
        torch.testing.assert_close(found[name], want[rows], rtol=EXACT, atol=EXACT)
    assert spectrum.hidden(look, "test", 11)[names[0]] is found[names[0]]


# Parallelograms.


def _addition(p: int, modulus: int | None = None) -> tuple[Tensor, Tensor]:
    """Unordered pairs i <= j and their sums."""
    pairs = torch.combinations(torch.arange(p), with_replacement=True)
    sums = pairs.sum(1)
    return pairs, sums if modulus is None else sums % modulus


def test_a_table_of_ordered_rows_becomes_pairs() -> None:
    operands = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    train = (operands == torch.tensor([7, 2])).all(1).nonzero()[:, 0]
    pairs, answers, trained = representation.unordered_pairs(operands, operands.sum(1), train)
    want, sums = _addition(10)
    assert torch.equal(pairs, want)
    assert torch.equal(answers, sums)
    assert pairs[trained].tolist() == [[2, 7]]


@pytest.mark.parametrize("width", [3, 24])
def test_addition_of_ten_numbers_has_seventy_parallelograms_and_their_gaps_are_a_loop(width: int) -> None:
    pairs, answers = _addition(10)
    corners, e = representation.parallelograms(answers), _random(10, width)
    assert corners.shape == (70, 2)
    got = {}
    for (a, b), gap in zip(corners.tolist(), representation.gaps(e, pairs, answers).tolist(), strict=True):
        got[tuple(sorted((tuple(pairs[a].tolist()), tuple(pairs[b].tolist()))))] = gap
    want = {}
    for i, j, m, n in itertools.product(range(10), repeat=4):
        if i < j <= m < n and i + n == j + m:
            want[((i, n), (j, m))] = (e[i] + e[n] - e[j] - e[m]).square().sum().item()
    assert got.keys() == want.keys()
    assert all(got[key] == pytest.approx(want[key], rel=1e-9) for key in want)
    assert representation.parallelograms(torch.tensor([0, 1, 2])).shape == (0, 2)


def test_a_line_has_every_parallelogram_no_loss_and_answers_every_sum_it_has_seen() -> None:
    pairs, answers = _addition(10)
    line = _random(1, 4) + torch.arange(10)[:, None] * _random(1, 4, seed=1)
    assert representation.rqi(line, pairs, answers) == 1.0
    train = torch.zeros(55, dtype=torch.bool)
    train[::7] = True
    assert representation.effective_loss(line, pairs, answers, train).item() == pytest.approx(0.0, abs=1e-20)
    predicted = representation.predicted_accuracy(
        representation.existing(line, pairs, answers), representation.parallelograms(answers), train
    )
    assert predicted.item() == pytest.approx(torch.isin(answers, answers[train]).double().mean().item())


def test_noise_has_no_parallelogram_and_predicts_the_training_pairs_alone() -> None:
    pairs, answers = _addition(60)
    train = torch.arange(len(pairs)) % 3 == 0
    assert representation.rqi(_random(60, 16), pairs, answers) == 0.0
    assert 0.02 < representation.rqi(_random(60, 1), pairs, answers) < 0.07  # P(|N(0, 4)| < 0.1) = 0.04
    every = torch.ones(len(pairs), dtype=torch.bool)
    loss = representation.effective_loss(_random(60, 64), pairs, answers, every)
    assert loss.item() == pytest.approx(4 / 60, rel=0.1)  # a gap of four independent vectors among sixty
    none = representation.existing(_random(60, 16), pairs, answers)
    predicted = representation.predicted_accuracy(none, representation.parallelograms(answers), train)
    assert predicted.item() == pytest.approx(train.double().mean().item())


def test_one_parallelogram_by_hand() -> None:
    pairs, answers = _addition(3)  # 0 + 2 = 1 + 1 is the only one
    train = (pairs == 1).all(1)
    corners = representation.parallelograms(answers)
    assert corners.shape == (1, 2)
    for exists, right in ((True, 2), (False, 1)):
        got = representation.predicted_accuracy(torch.tensor([exists]), corners, train)
        assert got.item() == pytest.approx(right / 6)
    assert representation.rqi(torch.arange(3.0)[:, None], pairs, answers) == 1.0
    assert representation.rqi(torch.tensor([[0.0], [1.0], [5.0]]), pairs, answers) == 0.0
    assert representation.rqi(torch.eye(3), torch.tensor([[0, 0], [1, 1]]), torch.tensor([0, 1])) == 0.0  # none
    bent = torch.tensor([[0.0], [1.0], [5.0]])  # gap (0 + 5 − 2)², Z_0 = 4 + 1 + 9
    every = torch.ones(6, dtype=torch.bool)
    assert representation.effective_loss(bent, pairs, answers, every).item() == pytest.approx(9 / 14, rel=1e-12)
    assert representation.effective_loss(bent, pairs, answers, train) == 0.0
    a = representation.equations(pairs, answers, 3)
    assert a.abs().tolist() == [[1.0, 2.0, 1.0]]
    assert representation.degrees_of_freedom(a) == 2


def test_parallelograms_do_not_see_translation_and_scale_nor_the_loss_rotation() -> None:
    pairs, answers = _addition(12)
    e = torch.arange(12)[:, None] + 0.2 * _random(12, 5)
    exist = representation.existing(e, pairs, answers)
    assert 0.0 < exist.double().mean() < 1.0
    stretched = e * torch.arange(1, 6) + 7.0
    assert torch.equal(representation.existing(stretched, pairs, answers), exist)
    padded = torch.cat([e, torch.full((12, 1), 0.3)], 1)
    assert torch.equal(representation.existing(padded, pairs, answers), exist)
    train = torch.arange(len(pairs)) % 2 == 0
    loss = representation.effective_loss(e, pairs, answers, train)
    _close(representation.effective_loss(4.0 * e @ _rotation(5) + 7.0, pairs, answers, train), loss)


def test_a_point_has_no_parallelogram_and_a_diverged_embedding_tells_nothing() -> None:
    pairs, answers = _addition(10)
    assert representation.rqi(torch.full((10, 4), 0.3), pairs, answers) == 0.0
    for broken in (torch.nan, torch.inf):
        assert representation.rqi(torch.full((10, 4), broken), pairs, answers).isnan()
    assert not representation.existing(torch.full((10, 4), torch.nan), pairs, answers).any()


def test_the_equations_give_the_gaps() -> None:
    pairs, answers = _addition(8)
    e = _random(8, 3)
    a = representation.equations(pairs, answers, 8)
    _close((a @ e).square().sum(1), representation.gaps(e, pairs, answers))
    assert not (a @ torch.ones(8, dtype=torch.float64)).any()
    assert not (a @ torch.arange(8).double()).any()


def test_the_linear_embedding_becomes_the_only_one_near_two_fifths_of_the_pairs() -> None:
    pairs, answers = _addition(10)
    assert representation.degrees_of_freedom(representation.equations(pairs, answers, 10)) == 2
    assert representation.degrees_of_freedom(torch.zeros(0, 10, dtype=torch.float64)) == 10
    unique = {}
    for share in (0.2, 0.65):
        found = 0
        for seed in range(40):
            rows = torch.randperm(55, generator=torch.Generator().manual_seed(seed))[: int(share * 55)]
            a = representation.equations(pairs[rows], answers[rows], 10)
            found += representation.degrees_of_freedom(a) == 2
        unique[share] = found / 40
    assert unique[0.2] < 0.1
    assert unique[0.65] > 0.5  # [Liu et al. 2022, Fig. 4a: about 0.4]


def test_a_circle_is_one_circle_and_few_parallelograms() -> None:
    pairs, answers = _addition(59, modulus=59)
    circle = _circle(59, 5) @ _random(2, 12)
    assert representation.circularity(circle).item() == pytest.approx(1.0, abs=1e-9)
    assert representation.rqi(_circle(59, 5), pairs, answers) < 0.15


# Circles.


def test_circles_of_different_radius_are_circles_and_the_axes_do_not_matter() -> None:
    two = torch.cat([_circle(23, 3, 2.0), _circle(23, 7, 1.0)], 1) @ _rotation(4)
    one = torch.tensor(1.0)
    a = torch.arange(23)
    for same in (two, two + 5.0, 3.0 * two, two[(a + 4) % 23], two[5 * a % 23]):
        _close(representation.circularity(same), one)


def test_a_mixture_of_waves_has_the_share_of_the_strongest() -> None:
    column = 3 * _circle(13, 2)[:, :1] + 4 * _circle(13, 6)[:, :1]
    assert representation.circularity(column).item() == pytest.approx(16 / 25, rel=1e-9)


def test_noise_is_no_circle_and_a_point_none() -> None:
    assert 0.06 < representation.circularity(_random(113, 128)) < 0.1
    assert representation.circularity(torch.full((13, 4), 0.3)) == 0.0
    assert representation.circularity(torch.full((13, 4), torch.nan)).isnan()
    assert representation.circularity(torch.ones(1, 4)) == 0.0


def test_circularity_is_the_papers_sum_over_its_first_components() -> None:
    e = _random(11, 6)
    components = torch.linalg.svd(e - e.mean(0), full_matrices=False).U[:, :4]
    power = torch.fft.fft(components.T).abs().square()[:, 1:]  # Zhong et al. 2023, Def. B.1
    want = (2 / (11 * components.square().sum(0)) * power.amax(1)).mean()
    _close(representation.circularity(e), want)
    few = (2 / (11 * components[:, :2].square().sum(0)) * power[:2].amax(1)).mean()
    _close(representation.circularity(e, components=2), few)


# Classes.


def _classes(n: int, c: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(n) * 7 % c
    return _random(c, d, seed=seed + 1)[labels] + 0.5 * _random(n, d, seed=seed), labels


def test_class_means_are_a_loop_over_the_classes_that_occur() -> None:
    x, labels = _random(30, 4), torch.arange(30) % 3 * 5
    means, sizes, class_N = representation.class_means(x, labels)
    assert sizes.tolist() == [10.0, 10.0, 10.0]
    assert torch.equal(class_N, torch.arange(30) % 3)
    for c in range(3):
        _close(means[c], x[labels == 5 * c].mean(0))


def test_separation_and_cosine_gap_are_loops_over_pairs() -> None:
    x, labels = _classes(40, 4, 6)
    labels[:7] = 3  # classes of unequal size
    groups = [x[labels == c] for c in range(4)]
    between = [(a.mean(0) - b.mean(0)).square().sum() for a, b in itertools.combinations(groups, 2)]
    within = [(g - g.mean(0)).square().sum(1).mean() for g in groups]
    _close(representation.separation_ratio(x, labels), torch.stack(between).mean() / torch.stack(within).mean())
    cosines: dict[bool, list[Tensor]] = {True: [], False: []}
    for i, j in itertools.combinations(range(40), 2):
        cosines[bool(labels[i] == labels[j])].append(F.cosine_similarity(x[i], x[j], dim=0))
    gap = torch.stack(cosines[True]).mean() - torch.stack(cosines[False]).mean()
    _close(representation.cosine_gap(x, labels), gap)


def test_two_points_and_their_neighbours_have_closed_forms() -> None:
    delta, labels = 0.1, torch.tensor([0, 0, 1, 1])
    x = torch.tensor([[1.0, delta], [1.0, -delta], [-1.0, delta], [-1.0, -delta]], dtype=torch.float64)
    assert representation.separation_ratio(x, labels).item() == pytest.approx((2 / delta) ** 2, rel=1e-12)
    line = torch.tensor([1.2, 0.8, -1.2, -0.8], dtype=torch.float64)[:, None]  # Σ_W = 0.04, Σ_B = 1
    assert representation.within_class_collapse(line, labels).item() == pytest.approx(0.02, rel=1e-12)


def test_the_cosine_gap_of_a_frame_and_of_a_simplex() -> None:
    labels = torch.arange(20) % 5
    frame = torch.eye(5, dtype=torch.float64)
    assert representation.cosine_gap(frame[labels], labels).item() == pytest.approx(1.0, rel=1e-12)
    simplex = frame - 1 / 5
    assert representation.cosine_gap(simplex[labels], labels).item() == pytest.approx(5 / 4, rel=1e-12)
    zero = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert representation.cosine_gap(zero, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(0.5, rel=1e-12)


def test_noise_is_not_separated() -> None:
    labels = torch.arange(100) % 10
    noise = _random(100, 2000)
    assert representation.separation_ratio(noise, labels).item() == pytest.approx(2 / 9, rel=0.03)
    assert abs(representation.cosine_gap(noise, labels)) < 0.01
    assert representation.within_class_collapse(_random(100, 50), labels) > 0.5
    planted = _random(10, 50)[labels] + 0.01 * _random(100, 50, seed=1)
    assert representation.within_class_collapse(planted, labels) < 1e-3


@pytest.mark.parametrize(("c", "d"), [(3, 8), (8, 3), (5, 5)])
def test_neural_collapse_is_the_trace_with_the_pseudoinverse(c: int, d: int) -> None:
    x, labels = _classes(60, c, d)
    means = torch.stack([x[labels == k].mean(0) for k in range(c)])
    rest, spread = x - means[labels], means - means.mean(0)
    within, between = rest.T @ rest / len(x), spread.T @ spread / c
    want = torch.trace(within @ torch.linalg.pinv(between, rtol=1e-10, hermitian=True)) / c
    torch.testing.assert_close(representation.within_class_collapse(x, labels), want, rtol=1e-8, atol=0)


def test_rows_on_their_means_have_collapsed_and_equal_means_never_do() -> None:
    labels = torch.arange(12) % 3
    assert representation.within_class_collapse(_random(3, 5)[labels], labels) < 1e-25
    pair = torch.tensor([[1.0], [-1.0]]).repeat_interleave(2, 0)
    assert representation.within_class_collapse(pair, torch.tensor([0, 1, 0, 1])).isinf()
    assert representation.within_class_collapse(torch.full((4, 2), torch.nan), torch.tensor([0, 1, 0, 1])).isnan()


def test_a_simplex_has_equal_norms_and_angles_and_a_line_has_not() -> None:
    labels = torch.arange(12) % 4
    simplex = (3.0 * torch.eye(4, dtype=torch.float64) @ _rotation(4) + 2.0)[labels]
    for value in representation.class_means_geometry(simplex, labels):
        assert value.item() == pytest.approx(0.0, abs=1e-12)
    line = torch.tensor([-1.0, 0.0, 1.0])[:, None]
    norms, angles = representation.class_means_geometry(line, torch.arange(3))
    assert norms.item() == pytest.approx(math.sqrt(0.5), rel=1e-12)
    assert angles.item() == pytest.approx(0.5, rel=1e-12)
    crowd = representation.class_means_geometry(_random(20, 2), torch.arange(20))
    assert crowd[1] > 0.3  # twenty directions do not fit into a plane


def test_one_class_or_none_has_no_separation() -> None:
    x, one = _random(6, 4), torch.zeros(6, dtype=torch.long)
    assert representation.separation_ratio(x, one).isnan()
    assert representation.cosine_gap(x, one).isnan()
    assert representation.cosine_gap(x, torch.arange(6)).isnan()  # no two rows of a class
    assert representation.within_class_collapse(x, one).isinf()
    dead, labels = torch.zeros(6, 4), torch.arange(6) % 3
    for features, classes in ((x, one), (dead, labels)):
        assert all(value.isnan() for value in representation.class_means_geometry(features, classes))
    for function in (representation.separation_ratio, representation.cosine_gap):
        assert function(torch.full((6, 4), torch.nan), labels).isnan()


def test_means_of_noise_in_many_dimensions_are_nearly_a_simplex() -> None:
    norms, angles = representation.class_means_geometry(_random(20, 2000), torch.arange(20))
    assert norms < 0.05
    assert angles.item() == pytest.approx(math.sqrt(2 / (math.pi * 2000)), rel=0.1)


def test_half_precision_is_measured_in_double() -> None:
    x, labels = _classes(40, 4, 6)
    half = x.bfloat16()
    for function in (representation.separation_ratio, representation.cosine_gap, representation.within_class_collapse):
        assert torch.equal(function(half, labels), function(half.double(), labels))
    assert torch.equal(representation.circularity(half), representation.circularity(half.double()))


def test_a_standardised_embedding_has_columns_of_mean_nothing_and_deviation_one() -> None:
    e = torch.cat([_random(9, 3) * torch.tensor([1.0, 5.0, 0.1]) + 4.0, torch.full((9, 1), 0.3)], 1)
    z = representation.standardised(e)
    _close(z.mean(0), torch.zeros(4, dtype=torch.float64))
    _close(z.std(0), torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64))


def test_classes_do_not_see_the_axes_nor_their_names() -> None:
    x, labels = _classes(40, 4, 6)
    renamed = torch.tensor([5, 3, 9, 0])[labels]
    functions = (
        representation.separation_ratio,
        representation.cosine_gap,
        representation.within_class_collapse,
        lambda h, y: torch.stack(representation.class_means_geometry(h, y)),
    )
    for function in functions:
        want = function(x, labels)
        _close(function(x, renamed), want)
        _close(function(3.0 * x @ _rotation(6), labels), want)
        if function is not representation.cosine_gap:  # angles are seen from the origin
            _close(function(x + 5.0, labels), want)
    lengths = torch.arange(1, 41)[:, None]
    _close(representation.cosine_gap(lengths * x, labels), representation.cosine_gap(x, labels))
    low, names = _classes(60, 8, 3)
    mapped = representation.within_class_collapse(low @ _random(3, 3, seed=5), names)
    torch.testing.assert_close(mapped, representation.within_class_collapse(low, names), rtol=1e-7, atol=0)


# Measures.


@pytest.mark.parametrize("measure", ALL, ids=lambda measure: measure.kind)
def test_measures_keep_the_contract(measure: type) -> None:
    check_measure(measure())
    check_measure(measure(), _look(EMBEDDED))
    check_measure(measure(), _look(Transformer(layers=2, width=8, heads=2, hidden=6, sequence="equation")))


def test_values_are_those_of_the_functions() -> None:
    look = _look(EMBEDDED)
    values = {key: value for measure in ALL for key, value in measure()(look).items()}
    train, test = look.split.rows["train"], look.split.rows["test"]
    layers = [look.activations(f"activations.{depth}") for depth in range(2)]
    answers, last = look.split.answers_N, layers[-1]
    own = spectrum.covariance_eigenvalues(last[train])
    assert values["representation/effective_rank"] == pytest.approx(spectrum.effective_rank(own).item(), rel=1e-9)
    assert values["representation/top_share"] == pytest.approx(spectrum.top_share(own).item(), rel=1e-9)
    want = [spectrum.linear_probe(h[train], answers[train], h[test], answers[test]).item() for h in layers]
    np.testing.assert_allclose(values["layers/probe_accuracy"], want, rtol=1e-6)
    assert values["layers/rank"].tolist() == [spectrum.feature_rank(h[train]) for h in layers]
    assert values["separation/test_ratio"] == pytest.approx(
        representation.separation_ratio(last[test], answers[test]).item(), rel=1e-9
    )
    assert values["collapse/within_class"] == pytest.approx(
        representation.within_class_collapse(last[train], answers[train]).item(), rel=1e-6
    )


def test_a_diverged_network_has_no_layers_to_speak_of() -> None:
    look = _look(EMBEDDED)
    with torch.no_grad():
        look.network.get_parameter("W_E").fill_(torch.nan)
    for measure in (Parallelograms, Circularity, Separation, NeuralCollapse, RepresentationSpectrum, EmbeddingSpectrum):
        assert all(math.isnan(float(value)) for value in measure()(look).values())
    values = Layers()(look)
    assert np.isnan(values["layers/rank"]).all()
    assert np.isnan(values["layers/probe_accuracy"]).all()
    assert math.isnan(float(values["layers/tunnel_length"]))


def test_a_planted_circle_is_seen_in_the_embedding() -> None:
    look = _look(EMBEDDED)
    with torch.no_grad():
        look.network.get_parameter("W_E").copy_(_circle(7, 2) @ torch.linalg.qr(_random(8, 2)).Q.T)
    assert EmbeddingSpectrum()(look)["embedding/effective_dimension"] == pytest.approx(2.0, rel=1e-6)
    assert Circularity()(look)["embedding/circularity"] == pytest.approx(1.0, abs=1e-9)


def test_an_operation_that_does_not_commute_has_no_parallelograms() -> None:
    task = ModularArithmetic(operation="sub", modulus=7)
    network = Transformer(width=8, heads=2, hidden=8).build(task, Seeds(0).generator("init"))
    assert unmet(Parallelograms(), task, network) == "the task's answer depends on the order of its operands"
    assert unmet(Parallelograms(), ModularArithmetic(operation="mul", modulus=7), network) is None
