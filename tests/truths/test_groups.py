"""Truths for measures/irreps.py and measures/groups: representations, planted irreps, waves, clocks and pizzas."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grokscope.errors import BadInput
from grokscope.measures import Measure, Snapshot, fourier, groups, unmet
from grokscope.measures.groups import ClockPizza, Irreps, KeyIrreps, NeuronWaves
from grokscope.measures.irreps import Group, cyclic, dihedral, find_group, from_generators, symmetric, young_orthogonal
from grokscope.models import MLP, Model, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic, PermutationGroup, Task
from grokscope.testing import check_measure

EXACT = 1e-10
GROUPS = [*map(cyclic, (1, 2, 7, 8)), *map(dihedral, (2, 3, 4, 5)), *map(symmetric, (2, 3, 4))]
SMALL = [cyclic(7), cyclic(6), dihedral(4), dihedral(5), symmetric(3), symmetric(4)]
EMBEDDED = MLP(inputs="embedding", width=8, hidden=6)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _close(got: Tensor, want: Tensor | float) -> None:
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=torch.float64), rtol=EXACT, atol=EXACT)


def _named(group: Group) -> str:
    return group.name


def _look(model: Model, task: Task) -> Snapshot:
    network = model.build(task, Seeds(0).generator("init"))
    return Snapshot(0, network, task, task.divide(Seeds(0)), model.encode(task, task.table), CrossEntropy())


# Representations.


@pytest.mark.parametrize("group", [*GROUPS, symmetric(5)], ids=_named)
def test_every_irrep_is_an_orthogonal_homomorphism(group: Group) -> None:
    some = torch.randperm(group.order, generator=torch.Generator().manual_seed(0))[:30]
    for irrep in group.irreps:
        rho = irrep.matrices_GDD
        _close(rho[some, None] @ rho[None, some], rho[group.table_GG[some][:, some]])
        _close(rho @ rho.transpose(1, 2), torch.eye(irrep.dimension).expand_as(rho))
        _close(rho[0], torch.eye(irrep.dimension))


@pytest.mark.parametrize("group", [*GROUPS, symmetric(5)], ids=_named)
def test_characters_are_orthogonal_and_squared_dimensions_add_up_to_the_order(group: Group) -> None:
    gram = group.characters_IG @ group.characters_IG.T / group.order
    _close(gram, torch.diag(torch.tensor([irrep.norm for irrep in group.irreps])))
    assert sum(irrep.functions for irrep in group.irreps) == group.order
    if group.name[0] != "Z":  # all irreps of D_n and S_n are irreducible over ℂ too
        assert sum(irrep.dimension**2 for irrep in group.irreps) == group.order
    assert group.characters_IG[0].eq(1).all()


@pytest.mark.parametrize("group", GROUPS, ids=_named)
def test_tables_are_groups_and_characters_do_not_see_conjugation(group: Group) -> None:
    table, g = group.table_GG, torch.arange(group.order)
    assert torch.equal(table[table], table[:, table])  # (ab)c = a(bc)
    assert torch.equal(table[0], g)
    assert torch.equal(group.quotients_GG.diagonal(), torch.zeros_like(g))
    assert torch.equal(table[group.quotients_GG, g], g[:, None].expand_as(table))
    inverse = group.quotients_GG[0]
    conjugate = table[table, inverse[:, None]]  # h g h⁻¹
    _close(group.characters_IG[:, conjugate], group.characters_IG[:, None].expand(-1, group.order, -1))


def test_s5_has_its_textbook_dimensions_and_characters() -> None:
    group = symmetric(5)
    assert [i.name for i in group.irreps] == ["5", "4+1", "3+2", "3+1+1", "2+2+1", "2+1+1+1", "1+1+1+1+1"]
    assert [i.dimension for i in group.irreps] == [1, 4, 5, 6, 5, 4, 1]
    _close(group.characters_IG[:, 1], torch.tensor([1.0, 2, 1, 0, -1, -2, -1]))  # 01243 is a transposition
    fixed = torch.tensor([5.0, 3.0])  # the standard character is the number of fixed points less one
    _close(group.characters_IG[1, :2], fixed - 1)
    s, t = young_orthogonal((2, 1))
    _close(torch.linalg.matrix_power(s @ t, 3), torch.eye(2))


def test_groups_that_are_not_kept_are_refused() -> None:
    for family, n in ((cyclic, 0), (dihedral, 1), (symmetric, 1), (symmetric, 7)):
        with pytest.raises(BadInput):
            family(n)


def test_a_representation_grows_from_its_generators() -> None:
    group = cyclic(7)
    rotations = group.irreps[2].matrices_GDD
    _close(from_generators(group.table_GG, {3: rotations[3]}), rotations)


def test_the_groups_of_the_tasks_are_found_element_by_element() -> None:
    for task, name in (
        (ModularArithmetic(modulus=7), "Z7"),
        (PermutationGroup(degree=3), "S3"),
        (PermutationGroup(degree=4), "S4"),
        (PermutationGroup(degree=5), "S5"),
    ):
        assert task.group_table is not None
        found = find_group(task.group_table)
        assert found is not None
        assert found.name == name
    assert find_group(dihedral(6).table_GG) is dihedral(6)
    assert find_group(cyclic(6).table_GG[:, torch.tensor([0, 2, 1, 3, 4, 5])]) is None


@pytest.mark.parametrize("group", SMALL, ids=_named)
def test_projectors_are_those_on_the_entries_of_the_matrices(group: Group) -> None:
    _close(group.projectors_IGG.sum(0), torch.eye(group.order))
    for irrep, projector in zip(group.irreps, group.projectors_IGG, strict=True):
        u, s, _ = torch.linalg.svd(irrep.matrices_GDD.flatten(1), full_matrices=False)
        u = u[:, s > 1e-9]
        assert u.shape[1] == irrep.functions
        _close(projector, u @ u.T)


# Logits.


def _waves(group: Group) -> Tensor:
    """χ_ρ(a b c⁻¹) for all irreps, (I, G, G, G), from matrices and not from characters."""
    product, inverse = group.table_GG, group.quotients_GG[0]
    return torch.stack(
        [
            torch.einsum("abij,cji->abc", irrep.matrices_GDD[product], irrep.matrices_GDD[inverse])
            for irrep in group.irreps
        ]
    )


@pytest.mark.parametrize("group", SMALL, ids=_named)
def test_logits_of_one_irrep_are_explained_by_it_and_by_no_other(group: Group) -> None:
    for i, wave in enumerate(_waves(group)):
        if i == 0:
            continue
        logits = 3.0 * wave + 1.5
        mean = groups.mean_over_products(logits, group)
        one = torch.eye(len(group.irreps), dtype=torch.float64)[i]
        _close(groups.variance_shares(logits, mean, group), one)
        _close(groups.character_similarity(logits, group), one)
        size = 3.0 * math.sqrt(group.irreps[i].norm * group.order**3)
        assert groups.character_coefficients(mean, group)[i].item() == pytest.approx(size, rel=EXACT)
        assert groups.key_irreps(groups.variance_shares(logits, mean, group)) == [i]
        answers = group.table_GG.flatten()
        full = F.cross_entropy(logits.flatten(0, 1), answers)
        _close(groups.restricted_loss(mean, group, [i]), full)
        rest = [j for j in range(len(group.irreps)) if j not in (0, i)]
        if rest:
            assert groups.restricted_loss(mean, group, rest).item() == pytest.approx(math.log(group.order))
        excluded = groups.excluded_loss(logits.flatten(0, 1), answers, answers, mean, group, [i])
        assert excluded.item() == pytest.approx(math.log(group.order), rel=EXACT)


@pytest.mark.parametrize("group", SMALL, ids=_named)
def test_coefficients_shares_and_similarities_are_naive_projections(group: Group) -> None:
    g, logits = group.order, _random(group.order, group.order, group.order) + 2.0
    mean, waves = groups.mean_over_products(logits, group), _waves(group)
    want = torch.zeros(g, g, dtype=torch.float64)
    for a in range(g):
        for b in range(g):
            want[group.table_GG[a, b]] += logits[a, b] / g
    _close(mean, want)
    coefficients = torch.stack([(logits * wave).sum() / wave.norm() for wave in waves])
    _close(groups.character_coefficients(mean, group), coefficients)
    shares = coefficients.square() / (logits - logits.mean()).square().sum()
    _close(groups.variance_shares(logits, mean, group)[1:], shares[1:])
    rows = logits - logits.mean(-1, keepdim=True)
    similar = torch.stack([F.cosine_similarity(rows, wave, dim=-1).mean() for wave in waves])
    _close(groups.character_similarity(logits, group)[1:], similar[1:])


def test_on_a_cyclic_group_irreps_are_the_frequencies() -> None:
    p, keys = 11, [1, 4]
    group, logits = cyclic(p), 3 * _random(p, p, p)
    mean = fourier.mean_over_sums(logits)
    _close(groups.mean_over_products(logits, group), mean)
    _close(groups.character_coefficients(mean, group)[1:], fourier.logit_coefficients(mean))
    _close(groups.keep_irreps(mean, group, keys), fourier.keep_frequencies(mean, keys))
    _close(groups.restricted_loss(mean, group, keys), fourier.restricted_loss(mean, keys))
    shares = groups.variance_shares(logits, mean, group)
    _close(shares[keys].sum(), fourier.variance_explained(logits, mean, keys))
    sums = group.table_GG.flatten()
    got = groups.excluded_loss(logits.flatten(0, 1), sums, sums, mean, group, keys)
    _close(got, fourier.excluded_loss(logits.flatten(0, 1), sums, mean, keys))
    weight = _random(p, 5)
    power = groups.embedding_shares(weight, group)[1:]
    _close(power / power.sum(), fourier.power(weight))


def test_embedding_shares_see_planted_entries_and_no_renaming() -> None:
    group = symmetric(4)
    weight = group.irreps[2].matrices_GDD.flatten(1) @ _random(4, 10)
    _close(groups.embedding_shares(weight, group), torch.eye(5)[2])
    noise = _random(24, 400)
    shares = groups.embedding_shares(noise, group)
    assert shares.sum().item() == pytest.approx(1.0)
    want = torch.tensor([irrep.functions / 24 for irrep in group.irreps]).double()
    torch.testing.assert_close(shares, want, rtol=0, atol=0.02)
    _close(groups.embedding_shares(noise[group.table_GG[5]], group), shares)
    _close(groups.embedding_shares(noise[group.table_GG[:, 5]], group), shares)
    _close(groups.embedding_shares(noise @ torch.linalg.qr(_random(400, 400)).Q, group), shares)


@pytest.mark.parametrize("group", SMALL, ids=_named)
def test_neuron_shares_are_naive_projections(group: Group) -> None:
    g, neurons = group.order, _random(group.order, group.order, 3) + 0.3
    a, b = (x.flatten() for x in torch.meshgrid(torch.arange(g), torch.arange(g), indexing="ij"))
    want = torch.zeros(3, len(group.irreps), dtype=torch.float64)
    for row, elements in enumerate((a, b, group.table_GG[a, b])):
        for i, irrep in enumerate(group.irreps):
            u, size, _ = torch.linalg.svd(irrep.matrices_GDD[elements].flatten(1), full_matrices=False)
            parts = u[:, size > 1e-9].T @ neurons.flatten(0, 1)
            want[row, i] = parts.square().sum() / neurons.square().sum()
    shares = groups.neuron_shares(neurons, group)
    _close(shares, want)
    _close(shares[0, 0], shares[2, 0])
    assert shares.sum() - 2 * shares[0, 0] <= 1.0 + EXACT


def test_neurons_of_one_irrep_are_seen_where_it_was_planted() -> None:
    group = symmetric(4)
    rho, one = group.irreps[1].matrices_GDD, torch.eye(5, dtype=torch.float64)[1]
    mixed = rho.flatten(1) @ _random(9, 10)
    planted = (mixed[:, None].expand(24, 24, 10), mixed[None].expand(24, 24, 10), mixed[group.table_GG])
    for row, neurons in enumerate(planted):
        shares = groups.neuron_shares(neurons, group)
        _close(shares[row], one)
        assert shares.sum().item() == pytest.approx(1.0)
        moved = neurons[group.table_GG[5]][:, group.table_GG[:, 7]]  # (a, b) → (ha, bk)
        _close(groups.neuron_shares(moved, group), shares)
    rest = groups.neuron_shares(_random(24, 24, 50), group)
    noise = torch.tensor([irrep.functions / 24**2 for irrep in group.irreps]).double().expand(3, 5)
    torch.testing.assert_close(rest, noise, rtol=0.4, atol=0.002)  # noise is nowhere
    assert not groups.neuron_shares(torch.zeros(24, 24, 3), group).any()


def test_neurons_that_multiply_or_square_waves_have_their_closed_forms() -> None:
    p, k = 7, 2
    first, second = _wave(p, k, 0.4), _wave(p, k, 1.1)
    product = (first[:, None] * second[None])[..., None]
    shares = groups.neuron_shares(product, cyclic(p))
    want = torch.zeros(3, 4, dtype=torch.float64)
    want[2, k] = 0.5  # the other half is in a − b
    _close(shares, want)
    square = (first[:, None] + second[None]).square()[..., None]  # 1 + ½ waves of 2a and 2b + waves of a ± b
    want = torch.zeros(3, 4, dtype=torch.float64)
    want[:, 0], want[0, 3], want[1, 3], want[2, k] = 1 / 2.25, 0.125 / 2.25, 0.125 / 2.25, 0.5 / 2.25
    _close(groups.neuron_shares(square, cyclic(p)), want)  # frequency 2 · 2 is 3 in Z_7


def test_logit_measures_do_not_see_which_pair_makes_a_product() -> None:
    group, h = symmetric(3), 4
    logits = _random(6, 6, 6)
    moved = logits[group.table_GG[h]][:, :, group.table_GG[h]]  # a → ha, so ab → hab and c → hc
    for measure in (
        lambda x: groups.character_coefficients(groups.mean_over_products(x, group), group),
        lambda x: groups.character_similarity(x, group),
        lambda x: groups.variance_shares(3 * x - 5, groups.mean_over_products(3 * x - 5, group), group),
        lambda x: groups.restricted_loss(groups.mean_over_products(x, group), group, [2]),
    ):
        _close(measure(moved), measure(logits))


def test_noise_has_no_irrep() -> None:
    group, logits = symmetric(4), _random(24, 24, 24)
    mean, answers = groups.mean_over_products(logits, group), group.table_GG.flatten()
    shares = groups.variance_shares(logits, mean, group)
    assert shares.sum() < 0.01
    assert groups.key_irreps(shares) == []
    assert groups.character_similarity(logits, group).abs().max() < 0.05
    assert groups.restricted_loss(mean, group, [1, 2]) > math.log(24) - 0.1
    full = F.cross_entropy(logits.flatten(0, 1), answers)
    without = groups.excluded_loss(logits.flatten(0, 1), answers, answers, mean, group, [1])
    assert abs(without - full) < 0.1
    planted = logits + 3.0 * _waves(group)[1]
    mean = groups.mean_over_products(planted, group)
    assert groups.key_irreps(groups.variance_shares(planted, mean, group)) == [1]
    assert groups.restricted_loss(mean, group, [1]) < 0.5


def test_without_key_irreps_a_network_knows_only_its_bias() -> None:
    group, logits = symmetric(3), 3 * _random(6, 6, 6)
    mean, answers = groups.mean_over_products(logits, group), group.table_GG.flatten()
    flat = logits.flatten(0, 1)
    _close(groups.restricted_loss(mean, group, []), F.cross_entropy(flat.mean(0).expand(36, 6), answers))
    _close(groups.excluded_loss(flat, answers, answers, mean, group, []), F.cross_entropy(flat, answers))
    _close(groups.keep_irreps(mean, group, [0, 1, 2]), mean)
    for nothing in (groups.variance_shares(0 * logits, 0 * mean, group), groups.embedding_shares(0 * flat[:6], group)):
        assert not nothing.any()
    broken = torch.full((6, 6, 6), torch.nan)
    shares = groups.variance_shares(broken, groups.mean_over_products(broken, group), group)
    assert groups.key_irreps(shares) == []


# Waves of neurons.


def _wave(p: int, k: int, shift: float = 0.0) -> Tensor:
    return torch.cos(2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p + shift)


def test_a_pure_wave_participates_once_and_noise_hardly() -> None:
    p = 31
    waves = torch.stack([2 * _wave(p, 3, 0.4) + 5.0, _wave(p, 2) + _wave(p, 7, 1.0), torch.zeros(p)], 1)
    _close(groups.inverse_participation(waves), torch.tensor([1.0, 0.5, 0.0]))
    _close(groups.inverse_participation(waves, r=3), torch.tensor([1.0, 0.25, 0.0]))
    noise = groups.inverse_participation(_random(p, 4000))
    assert noise.mean().item() == pytest.approx(2 / (p // 2 + 1), rel=0.03)
    assert noise.max() < 0.6
    _close(groups.inverse_participation(_random(p, 9).roll(4, 0)), groups.inverse_participation(_random(p, 9)))


def test_gromov_counts_both_signs_of_a_frequency() -> None:
    weight = _random(13, 6)
    spectrum = torch.fft.fft(weight - weight.mean(0), dim=0).abs()
    spectrum = spectrum / spectrum.norm(dim=0)
    _close(spectrum.pow(4).sum(0), groups.inverse_participation(weight) / 2)


def _gromov(p: int, hidden: int, twist: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """The analytic network [Gromov 2023, Eqs. 6-12]: input weights of both operands and output weights, (P, H)."""
    first, second = 2 * math.pi * torch.rand(2, hidden, generator=torch.Generator().manual_seed(1)).double()
    turn = 2 * math.pi * torch.outer(torch.arange(p), torch.arange(hidden) % (p // 2) + 1).double() / p
    return torch.cos(turn + first), torch.cos(turn + second), torch.cos(turn + first + second + twist)


def test_phases_of_gromovs_network_add_up() -> None:
    p, hidden = 23, 60
    frequency = torch.arange(hidden) % (p // 2) + 1
    first, second, output = _gromov(p, hidden)
    _close(groups.phase(3 * _wave(p, 4, 0.7)[:, None], torch.tensor([4])), torch.tensor([0.7], dtype=torch.float64))
    assert torch.equal(groups.frequency_power(output).argmax(0) + 1, frequency)
    differences = groups.phase_differences(first, second, output)
    assert differences.abs().max() < 1e-9
    assert groups.phase_misalignment(differences) < 1e-9
    assert groups.phase_alignment(differences).item() == pytest.approx(1.0)
    for twist, sine, cosine in ((math.pi / 2, 1.0, 0.0), (math.pi, 0.0, -1.0), (0.5, math.sin(0.5), math.cos(0.5))):
        twisted = groups.phase_differences(*_gromov(p, hidden, twist))
        assert groups.phase_misalignment(twisted).item() == pytest.approx(sine, abs=1e-9)
        assert groups.phase_alignment(twisted).item() == pytest.approx(cosine, abs=1e-9)


def test_phase_differences_do_not_see_which_element_is_zero_and_leave_dead_neurons_out() -> None:
    p = 13
    first, second, output = _random(p, 20), _random(p, 20, seed=1), _random(p, 20, seed=2)
    want = groups.phase_differences(first, second, output)
    _close(groups.phase_differences(first.roll(3, 0), second, output.roll(3, 0)), want)
    output[:, 4] = 0.0
    differences = groups.phase_differences(first, second, output)
    assert differences.isnan().nonzero().tolist() == [[4]]
    assert groups.phase_misalignment(differences).isfinite()


def test_random_phases_are_not_aligned() -> None:
    noise = groups.phase_differences(*(_random(23, 4000, seed=s) for s in range(3)))
    assert groups.phase_misalignment(noise).item() == pytest.approx(2 / math.pi, abs=0.02)
    assert groups.phase_alignment(noise).item() == pytest.approx(0.0, abs=0.04)


def test_gromovs_network_is_read_from_a_model_with_either_kind_of_input() -> None:
    p, hidden = 11, 12
    first, second, output = _gromov(p, hidden)
    spec = MLP(activation="quadratic", bias=False, hidden=hidden)
    for model in (spec, spec.with_overrides({"inputs": "embedding", "width": p})):
        look = _look(model, ModularArithmetic(modulus=p))
        with torch.no_grad():
            if model.inputs == "embedding":
                look.network.get_parameter("W_E").copy_(torch.eye(p))
            look.network.get_parameter("W.0").copy_(torch.cat([first, second]))
            look.network.get_parameter("W.1").copy_(output.T)
        values = NeuronWaves()(look)
        assert values["neurons/input_ipr"] == pytest.approx(1.0)
        assert values["neurons/output_ipr"] == pytest.approx(1.0)
        assert values["neurons/phase_alignment"] == pytest.approx(1.0)
    assert set(NeuronWaves()(_look(Transformer(width=8, hidden=8), look.task))) == {"neurons/output_ipr"}
    for p, count in ((3, 4), (2, 1)):  # mod 2 there is no phase
        assert len(NeuronWaves()(_look(EMBEDDED, ModularArithmetic(modulus=p)))) == count


# Clock or pizza.


def test_a_pizza_depends_on_the_distance_and_a_clock_does_not() -> None:
    for p in (13, 12):
        a = torch.arange(p)
        distance, total = (a[:, None] - a) % p, (a[:, None] + a) % p
        pizza = torch.cos(math.pi * 3 * distance.double() / p).abs()
        assert groups.distance_irrelevance(pizza).item() == pytest.approx(0.0, abs=1e-12)
        if p % 2:
            assert groups.distance_irrelevance(_random(p)[total]).item() == pytest.approx(1.0, rel=EXACT)
        assert groups.distance_irrelevance(torch.ones(p, p)) == 0.0
    mixed = 2.0 * _wave(13, 1)[(a13 := torch.arange(13))[:, None] - a13] + 1.0 * _wave(13, 2)[(a13[:, None] + a13) % 13]
    assert groups.distance_irrelevance(mixed).item() == pytest.approx(math.sqrt(1 / 5), rel=EXACT)
    _close(groups.distance_irrelevance(3 * mixed.roll((2, 2), (0, 1)) + 1), groups.distance_irrelevance(mixed))


def test_noise_looks_like_a_clock_by_its_distance_irrelevance_alone() -> None:
    assert 0.95 < groups.distance_irrelevance(_random(59, 59)) < 1.0


def test_gradient_symmetricity_has_its_closed_forms() -> None:
    x = _random(50, 9)
    assert groups.gradient_symmetricity(x, 2 * x).item() == pytest.approx(1.0)
    assert groups.gradient_symmetricity(x, -x).item() == pytest.approx(-1.0)
    y, turn = _random(50, 9, seed=1), torch.linalg.qr(_random(9, 9)).Q
    _close(groups.gradient_symmetricity(3 * x @ turn, y @ turn), groups.gradient_symmetricity(x, y))
    _close(groups.gradient_symmetricity(y, x), groups.gradient_symmetricity(x, y))
    assert groups.gradient_symmetricity(_random(2000, 64), _random(2000, 64, seed=1)).abs() < 0.01


def test_gradients_of_a_clock_drawn_by_hand_have_the_angle_of_the_operands() -> None:
    p, w = 7, 2 * math.pi * 3 / 7
    points = torch.stack([torch.cos(w * torch.arange(p)), torch.sin(w * torch.arange(p))], 1).double()
    first, second, third = (x.flatten() for x in torch.meshgrid(*[torch.arange(p)] * 3, indexing="ij"))
    x, y = (points[i].clone().requires_grad_() for i in (first, second))
    total = torch.stack([x[:, 0] * y[:, 0] - x[:, 1] * y[:, 1], x[:, 0] * y[:, 1] + x[:, 1] * y[:, 0]], 1)
    clock = torch.autograd.grad((total * points[third]).sum(), (x, y))
    one = groups.gradient_symmetricity(clock[0][first == second], clock[1][first == second])
    assert one.item() == pytest.approx(1.0)
    assert groups.gradient_symmetricity(*clock).item() == pytest.approx(0.0, abs=1e-6)  # mean of cos w(a − b)
    pizza = torch.autograd.grad((((x + y) / 2).square() * points[third]).sum(), (x, y))
    assert groups.gradient_symmetricity(*pizza).item() == pytest.approx(1.0)


def test_gradients_of_the_embeddings_are_those_of_one_row_at_a_time() -> None:
    look = _look(EMBEDDED, ModularArithmetic(modulus=7))
    found = groups.embedding_gradients(look, triples=8)
    assert found is not None
    assert found[0].shape == (8, 8)
    generator = torch.Generator().manual_seed(42)
    a, b = torch.randperm(7, generator=generator)[:6].view(2, -1)
    c = torch.randint(7, (3,), generator=generator)
    weight = look.network.get_parameter("W_E")
    for q in range(3):
        logit = look.network(torch.stack([a[q], b[q]])[None])[0, 0, c[q]]
        gradient = torch.autograd.grad(logit, weight)[0]
        _close(found[0][q], gradient[a[q]])
        _close(found[1][q], gradient[b[q]])


def test_a_network_that_adds_its_embeddings_is_symmetric() -> None:
    look = _look(EMBEDDED, ModularArithmetic(modulus=7))
    before = ClockPizza()(look)["algorithm/gradient_symmetricity"]
    assert isinstance(before, float)
    assert abs(before) < 0.9
    with torch.no_grad():
        weight = look.network.get_parameter("W.0")
        weight[8:] = weight[:8]
    assert ClockPizza()(look)["algorithm/gradient_symmetricity"] == pytest.approx(1.0)
    assert set(ClockPizza()(_look(MLP(hidden=6), look.task))) == {"algorithm/distance_irrelevance"}


# Measures.


@pytest.mark.parametrize("measure", [Irreps, KeyIrreps, NeuronWaves, ClockPizza], ids=lambda measure: measure.kind)
def test_measures_keep_the_contract(measure: type) -> None:
    check_measure(measure())
    check_measure(measure(), _look(EMBEDDED, ModularArithmetic(modulus=7)))
    check_measure(measure(), _look(Transformer(layers=2, width=8, heads=2, hidden=6, sequence="equation"), TASK))


TASK = ModularArithmetic(modulus=8, train_fraction=0.5)


@pytest.mark.parametrize("measure", [Irreps(), NeuronWaves(), ClockPizza()], ids=lambda measure: measure.kind)
@pytest.mark.parametrize("fill", [0.0, math.nan], ids=["dead", "diverged"])
def test_a_dead_or_diverged_network_raises_nothing_and_passes_for_nothing(measure: Measure, fill: float) -> None:
    look = _look(EMBEDDED, ModularArithmetic(modulus=7))
    with torch.no_grad():
        for parameter in look.network.parameters():
            parameter.fill_(fill)
    values = measure(look)
    assert set(values) == {quantity.key for quantity in measure.quantities}
    for key, value in values.items():
        if fill == 0.0 and key not in ("irreps/excluded_loss", "neurons/phase_misalignment", "neurons/phase_alignment"):
            assert not np.any(value), key
        elif fill != 0.0:
            assert np.isnan(value).all(), key


@pytest.mark.parametrize("measure", [Irreps, KeyIrreps], ids=lambda measure: measure.kind)
def test_measures_of_irreps_look_at_permutations_and_at_no_table_without_a_group(measure: type) -> None:
    for model in (Transformer(width=8, heads=2, hidden=8), EMBEDDED):
        check_measure(measure(), _look(model, PermutationGroup(degree=3, train_fraction=0.5)))
    for task in (ModularArithmetic(operation="mul", modulus=7), PermutationGroup(operation="aba", degree=3)):
        look = _look(EMBEDDED, task)
        assert "no product in a group" in (unmet(measure(), look.task, look.network) or "")


def test_a_planted_irrep_is_seen_in_a_network() -> None:
    task = PermutationGroup(degree=3, train_fraction=0.5)
    look = _look(EMBEDDED, task)
    standard = symmetric(3).irreps[1].matrices_GDD.flatten(1)
    with torch.no_grad():
        look.network.get_parameter("W_E").copy_(standard @ _random(4, 8))
    look._cache["logits"] = (5.0 * _waves(symmetric(3))[1]).reshape(36, 1, 6)
    values = Irreps()(look)
    assert values["irreps/variance_explained"] == pytest.approx(1.0)
    assert values["irreps/variance"].argmax() == 1
    assert values["irreps/similarity"][1] == pytest.approx(1.0)
    assert values["irreps/embedding"][1] == pytest.approx(1.0)
    assert values["irreps/excluded_loss"][1] == pytest.approx(math.log(6))
    look.final = look
    keys = KeyIrreps()(look)
    assert keys["key_irreps/irreps"].tolist() == [1]
    assert keys["key_irreps/restricted_loss"] < 0.01
    assert keys["key_irreps/excluded_loss"] == pytest.approx(math.log(6))
    assert keys["key_irreps/neurons"] == pytest.approx(values["irreps/neurons"][1])
    assert keys["key_irreps/neurons_product"] == pytest.approx(values["irreps/neurons_product"][1])


@pytest.mark.parametrize("model", [EMBEDDED, Transformer(width=8, heads=2, hidden=6, sequence="equation")])
def test_shares_of_neurons_are_those_of_the_hidden_layer_at_the_answer(model: Model) -> None:
    task = PermutationGroup(degree=3, train_fraction=0.5)
    look = _look(model, task)
    hidden = look.activations(look.network.neurons).reshape(36, -1, 6)[:, 0].view(6, 6, 6)
    shares = groups.neuron_shares(hidden, symmetric(3))
    values = Irreps()(look)
    want = [shares[0, 0], *shares[:, 1:].sum(0)]
    assert values["irreps/neurons"] == pytest.approx([x.item() for x in want], rel=1e-6)
    assert values["irreps/neurons_product"] == pytest.approx(shares[2].tolist(), rel=1e-6)
    assert 0.1 < sum(want) <= 1.0
