"""Truths for measures/pathways.py: pathways read off by hand, naive recursive twins, one row at a time."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokscope.measures import Snapshot, pathways, unmet
from grokscope.measures.pathways import Pathways
from grokscope.models import MixtureTransformer, Transformer
from grokscope.models.moe import MixtureNetwork
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.testing import check_measure

EXACT = 1e-12  # float64, sums of a few terms of order 1
ADD = ModularArithmetic(modulus=7, train_fraction=0.6)


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Gates.


def test_gates_are_a_softmax_over_the_experts_in_use() -> None:
    logits = torch.log(torch.tensor([1.0, 2, 4, 8], dtype=torch.float64))
    torch.testing.assert_close(pathways.gates(logits), torch.tensor([1.0, 2, 4, 8]).double() / 15)
    torch.testing.assert_close(pathways.gates(logits, 2), torch.tensor([0.0, 0, 1, 2]).double() / 3)
    torch.testing.assert_close(pathways.gates(logits, 1), torch.tensor([0.0, 0, 0, 1]).double())
    torch.testing.assert_close(pathways.gates(logits, 4), pathways.gates(logits))
    many = _noise(3, 5, 6)
    torch.testing.assert_close(pathways.gates(many + 4.0, 3), pathways.gates(many, 3))
    torch.testing.assert_close(pathways.gates(many, 3).sum(-1), torch.ones(3, 5).double())
    order = torch.tensor([4, 0, 5, 1, 3, 2])
    torch.testing.assert_close(pathways.gates(many[..., order], 3), pathways.gates(many, 3)[..., order])


def test_gates_of_a_sample_are_the_mean_of_its_tokens_in_any_order() -> None:
    logits = _noise(2, 5, 4)
    want = torch.stack([torch.stack([pathways.gates(token) for token in layer]).mean(0) for layer in logits])
    torch.testing.assert_close(pathways.mean_gates(logits), want)
    torch.testing.assert_close(pathways.mean_gates(logits.flip(1)), want)


# Pathways.


def test_a_pathway_is_read_off_by_hand() -> None:
    gates = torch.tensor([[0.1, 0.3, 0.05, 0.5, 0.03, 0.02], [0.7, 0.1, 0.1, 0.1, 0.0, 0.0], [1 / 6] * 6])
    assert pathways.pathway(gates) == "3,1-0-0,1,2,3,4"
    assert pathways.pathway(gates, 0.5) == "3-0-0,1,2"
    assert pathways.pathway(gates, 0.95) == "3,1,0,2-0,1,2,3-0,1,2,3,4,5"
    assert pathways.pathway(gates, 1.0) == "3,1,0,2,4,5-0,1,2,3-0,1,2,3,4,5"
    assert pathways.pathway(gates[:1]) == "3,1"
    assert pathways.pathway(torch.eye(12)[[11, 0]]) == "11-0"


def test_experts_of_another_name_have_a_pathway_of_that_name() -> None:
    gates = torch.softmax(2 * _noise(3, 5), -1)
    order = torch.tensor([2, 4, 1, 0, 3])
    place = {str(int(old)): str(new) for new, old in enumerate(order)}
    renamed = "".join(place.get(character, character) for character in pathways.pathway(gates))
    assert pathways.pathway(gates[:, order]) == renamed


# Edit distance.


def _recursive(a: Sequence[object], b: Sequence[object]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        if a[i - 1] == b[j - 1]:
            return distance(i - 1, j - 1)
        return 1 + min(distance(i - 1, j), distance(i, j - 1), distance(i - 1, j - 1))

    return distance(len(a), len(b))


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("flaw", "lawn", 2),
        ("3,1-0", "3,1-0", 0),
        ("3,1-0", "1,3-0", 2),
        ("12-3", "13-3", 1),
        ("12-3", "3-3", 2),
    ],
)
def test_edit_distance_by_hand(a: str, b: str, edits: int) -> None:
    assert pathways.edit_distance(a, b) == edits
    assert pathways.edit_distance(b, a) == edits
    assert pathways.edit_distances([a, b]).tolist() == [[0, edits], [edits, 0]]


def test_edit_distance_counts_items_of_tuples() -> None:
    assert pathways.edit_distance((12, 3), (3, 3)) == 1
    assert pathways.edit_distance((1, 2, 3), (2, 3)) == 1


def _strings(count: int, seed: int = 0) -> list[str]:
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice(list("012,-"), generator.integers(0, 9))) for _ in range(count)]


def test_edit_distances_are_those_of_a_naive_recursion() -> None:
    strings = _strings(25)
    want = np.array([[_recursive(a, b) for b in strings] for a in strings])
    assert [[pathways.edit_distance(a, b) for b in strings] for a in strings] == want.tolist()
    np.testing.assert_array_equal(pathways.edit_distances(strings), want)
    np.testing.assert_array_equal(pathways.edit_distances([*strings, *strings])[25:, :25], want)


def test_edit_distance_is_a_metric_that_sees_neither_direction_nor_names() -> None:
    strings = _strings(15, seed=1)
    d = pathways.edit_distances(strings)
    assert ((d == 0) == (np.array(strings)[:, None] == np.array(strings))).all()
    assert (d[:, None] <= d[:, :, None] + d[None]).all()
    lengths = np.array([len(s) for s in strings])
    assert (d >= np.abs(lengths[:, None] - lengths)).all()
    assert (d <= np.maximum(lengths[:, None], lengths)).all()
    np.testing.assert_array_equal(pathways.edit_distances([s[::-1] for s in strings]), d)
    renamed = [s.translate(str.maketrans("012", "201")) for s in strings]
    np.testing.assert_array_equal(pathways.edit_distances(renamed), d)


def test_distances_within_and_across_groups_are_means_over_pairs() -> None:
    paths, groups = ["0-1", "0-1", "0-2", "3,4-1", "3,4-1"], [0, 0, 0, 1, 1]
    d = pathways.edit_distances(paths)
    assert pathways.distance_within(d, groups) == pytest.approx((0 + 1 + 1 + 0) / 4)
    assert pathways.distance_across(d, groups) == pytest.approx((4 * 3 + 2 * 4) / 6)
    order = [3, 0, 4, 2, 1]
    shuffled = d[order][:, order]
    assert pathways.distance_within(shuffled, [groups[i] for i in order]) == pytest.approx(0.5)
    assert pathways.distance_within(d, [5, 5, 5, 9, 9]) == pytest.approx(0.5)  # groups have no order
    assert math.isnan(pathways.distance_within(d, range(5)))
    assert math.isnan(pathways.distance_across(d, [1] * 5))


def test_groups_of_noise_are_as_far_apart_within_as_across() -> None:
    paths = [pathways.pathway(g) for g in torch.softmax(2 * _noise(120, 3, 6), -1)]
    d, groups = pathways.edit_distances(paths), np.arange(120) % 4
    assert pathways.distance_within(d, groups) == pytest.approx(pathways.distance_across(d, groups), rel=0.05)


def test_a_sample_is_memorised_from_the_look_after_which_its_loss_stays() -> None:
    losses = np.array([[5.0, 1.0, 3.0, 1.0], [1.9, 1.0, 3.0, 9.0], [1.88, 1.04, 3.0, 1.0], [1.86, 1.0, 3.0, 1.0]])
    assert pathways.memorised_since(losses).tolist() == [1, 0, -1, 2]
    assert pathways.memorised_since(losses, epsilon=1.87).tolist() == [3, 0, -1, 2]
    assert pathways.memorised_since(losses, delta=0.01).tolist() == [3, 3, -1, 2]
    assert pathways.memorised_since(losses, epsilon=4.0).tolist() == [1, 0, 0, 2]


# Consistency.


def test_layer_cosines_are_those_of_the_mixed_router_vectors() -> None:
    gates, routers = torch.softmax(_noise(6, 4, 5), -1), _noise(4, 5, 8, seed=1)
    want = torch.zeros(6, 3, dtype=torch.float64)
    for i in range(6):
        e = [sum(gates[i, layer, k] * routers[layer, k] for k in range(5)) for layer in range(4)]
        for layer in range(3):
            want[i, layer] = e[layer] @ e[layer + 1] / (e[layer].norm() * e[layer + 1].norm())
    torch.testing.assert_close(pathways.layer_cosines(gates, routers), want, rtol=EXACT, atol=EXACT)
    turned = routers @ torch.linalg.qr(_noise(8, 8, seed=2)).Q
    torch.testing.assert_close(pathways.layer_cosines(gates, 3 * turned), want, rtol=1e-10, atol=1e-10)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(pathways.layer_cosines(gates[..., order], routers[:, order]), want)


def test_consistency_and_erraticness_are_one_number_with_two_signs() -> None:
    cosines = torch.tensor([[0.8, 0.4, 0.6], [0.5, 0.5, 0.5], [0.9, 0.0, -0.3]], dtype=torch.float64)
    want = torch.tensor([0.6 / 0.8, 1.0, 0.2 / 0.9], dtype=torch.float64)
    torch.testing.assert_close(pathways.consistency(cosines), want, rtol=1e-7, atol=0)
    torch.testing.assert_close(pathways.erraticness(cosines), 1 - want, rtol=0, atol=1e-7)
    torch.testing.assert_close(pathways.erraticness(cosines.flip(1)), 1 - want, rtol=0, atol=1e-7)


def test_a_smooth_pathway_is_consistent_and_noise_is_not() -> None:
    same = _noise(1, 8, 64).expand(6, 8, 64)
    smooth = pathways.layer_cosines(torch.softmax(_noise(1, 8), -1).expand(6, 8), same)
    assert pathways.consistency(smooth).item() == pytest.approx(1.0, abs=1e-7)
    assert pathways.erraticness(smooth).item() == pytest.approx(0.0, abs=1e-7)
    noise = pathways.layer_cosines(torch.softmax(_noise(200, 6, 8), -1), _noise(6, 8, 64, seed=1))
    assert noise.mean().abs() < 0.15
    assert pathways.consistency(noise).median() < 0.5
    assert pathways.consistency(noise).abs().max() > 5  # cosines about 0 are divided by one another


def test_where_the_papers_formula_says_nothing() -> None:
    for cosine in (0.9, 0.1, -0.7):  # one cosine over itself
        assert pathways.consistency(torch.tensor([cosine])).item() == pytest.approx(1.0, abs=1e-6)
    opposed = torch.tensor([-0.1, -0.9])  # the divisor is negative
    assert pathways.consistency(opposed).item() == pytest.approx(5.0, rel=1e-5)
    assert pathways.consistency(torch.zeros(3, 0)).isnan().all()
    assert pathways.erraticness(torch.zeros(3, 0)).isnan().all()


# Entropy and load.


def test_entropy_is_nothing_for_one_expert_and_one_for_all() -> None:
    assert pathways.routing_entropy(torch.eye(5)).tolist() == [0.0] * 5
    assert pathways.routing_entropy(torch.full((5,), 0.2, dtype=torch.float64)).item() == pytest.approx(1.0, rel=EXACT)
    half = torch.tensor([0.5, 0.5, 0.0, 0.0])
    assert pathways.routing_entropy(half).item() == pytest.approx(0.5, rel=EXACT)
    assert pathways.routing_entropy(half[[2, 0, 3, 1]]).item() == pytest.approx(0.5, rel=EXACT)
    assert pathways.routing_entropy(torch.ones(3, 1)).tolist() == [0.0] * 3
    gates = torch.softmax(_noise(50, 6), -1)
    want = -(gates * gates.log()).sum(-1) / math.log(6)
    torch.testing.assert_close(pathways.routing_entropy(gates), want, rtol=EXACT, atol=0)


def test_load_counts_the_routed_tokens() -> None:
    logits = torch.tensor([[3.0, 2, 1, 0], [3.0, 1, 2, 0], [0.0, 3, 2, 1]])
    torch.testing.assert_close(pathways.load(logits, 1), torch.tensor([2.0, 1, 0, 0]).double() / 3)
    torch.testing.assert_close(pathways.load(logits, 2), torch.tensor([2.0, 2, 2, 0]).double() / 6)
    torch.testing.assert_close(pathways.load(logits, 4), torch.full((4,), 0.25).double())
    layers = torch.stack([logits, logits.flip(1)])
    torch.testing.assert_close(pathways.load(layers, 2)[1], pathways.load(logits, 2).flip(0))
    torch.testing.assert_close(pathways.load(logits.flip(0), 2), pathways.load(logits, 2))


def test_imbalance_is_the_squared_variation() -> None:
    assert pathways.imbalance(torch.full((8,), 1 / 8).double()).item() == pytest.approx(0.0, abs=EXACT)
    assert pathways.imbalance(torch.eye(8)[3]).item() == pytest.approx(7.0, rel=EXACT)
    share = torch.softmax(_noise(6), 0)
    want = share.var(correction=0) / share.mean() ** 2
    assert pathways.imbalance(share).item() == pytest.approx(want.item(), rel=1e-10)
    noise = pathways.load(_noise(20_000, 8), 2)
    assert pathways.imbalance(noise) < 0.01
    torch.testing.assert_close(noise, torch.full((8,), 1 / 8).double(), rtol=0.05, atol=0)


# Routers of any module, and of ours.


def test_hooks_capture_the_routers_of_any_module_and_leave_no_trace() -> None:
    first, second = nn.Linear(4, 3), nn.Linear(3, 5)
    module, x = nn.Sequential(first, nn.Tanh(), second), torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    seen = pathways.logits_by_name(module, "0|2", x)
    torch.testing.assert_close(seen[0], first(x))
    torch.testing.assert_close(seen[1], second(torch.tanh(first(x))))
    assert not any(tensor.requires_grad for tensor in seen)
    assert not any(m._forward_hooks for m in module.modules())
    with pytest.raises(RuntimeError):
        pathways.logits_by_name(module, "0", x[:, :2])
    assert not first._forward_hooks


def _network(task: ModularArithmetic = ADD, **fields: object) -> tuple[MixtureTransformer, MixtureNetwork]:
    small = {"width": 12, "heads": 3, "hidden": 10, "experts": 5, "active": 2, "layers": 3}
    model = MixtureTransformer(**(small | fields))
    network = model.build(task, Seeds(0).generator("init"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=Seeds(0).generator("noise"), dtype=torch.float64)
    assert isinstance(network, MixtureNetwork)
    return model, network


def _one_row_at_a_time(network: MixtureNetwork, tokens: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What each block's router is asked for by the network itself, when it sees one row and tabulates nothing."""
    asked: list[list[Tensor]] = [[] for _ in network.blocks]

    def listen(block: nn.Module, heard: list[Tensor]) -> None:
        route = block.route

        def heard_route(y_MD: Tensor) -> tuple[Tensor, Tensor]:
            heard.append(y_MD @ block.W_R)
            return route(y_MD)

        monkeypatch.setattr(block, "route", heard_route)

    for block, heard in zip(network.blocks, asked, strict=True):
        listen(block, heard)
    with torch.no_grad():
        for row in tokens:
            network(row[None])
    monkeypatch.undo()
    return [torch.stack(heard) for heard in asked]


@pytest.mark.parametrize("norm", ["none", "pre", "post"])
@pytest.mark.parametrize("sequence", ["pair", "equation"])
@pytest.mark.parametrize("rows", [6, 49])
def test_router_logits_are_those_of_the_network_one_row_at_a_time(
    norm: str, sequence: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, network = _network(norm=norm, sequence=sequence)
    tokens = model.encode(ADD, ADD.table).tokens_NL[:rows]
    with torch.no_grad():
        seen = pathways.router_logits(network, tokens)
    want = _one_row_at_a_time(network, tokens, monkeypatch)
    for one, other in zip(seen, want, strict=True):
        torch.testing.assert_close(one, other.view_as(one), rtol=1e-10, atol=1e-10)
    positions = 3 if sequence == "pair" else 6
    read = 1 if sequence == "pair" else 2
    assert [part.shape for part in seen] == [(rows, positions, 5), (rows, positions, 5), (rows, read, 5)]


# The measure.


def _look(task: ModularArithmetic = ADD, **fields: object) -> Snapshot:
    model, network = _network(task, **fields)
    return Snapshot(0, network, task, task.divide(Seeds(0)), model.encode(task, task.table), CrossEntropy())


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_measure_keeps_its_contract(layers: int) -> None:
    check_measure(Pathways(samples=16), _look(layers=layers))


def test_a_model_without_routers_is_told_why() -> None:
    plain = Transformer(width=8, heads=2, hidden=16).build(ADD, Seeds(0).generator("init"))
    assert unmet(Pathways(), ADD, plain) == "the model has no routers that choose experts"
    assert unmet(Pathways(), ADD, _look().network) is None


def test_the_measure_is_its_functions_on_every_training_row() -> None:
    look = _look()
    rows = look.split.rows["train"]
    assert torch.equal(Pathways().rows(rows), rows)  # fewer than 128
    values = Pathways()(look)
    logits = pathways.router_logits(look.network, look.encoding.tokens_NL[rows])
    paths = []
    for i in range(len(rows)):
        gates = torch.stack([pathways.mean_gates(part[i], 2) for part in logits])
        paths.append(pathways.pathway(gates))
    answers = look.split.answers_N[rows].tolist()
    pairs = [(i, j) for i in range(len(rows)) for j in range(i)]
    for name, same in (("within", True), ("across", False)):
        chosen = [_recursive(paths[i], paths[j]) for i, j in pairs if (answers[i] == answers[j]) == same]
        assert values[f"pathways/distance_{name}"] == pytest.approx(sum(chosen) / len(chosen), rel=EXACT)
    assert values["pathways/distinct"] == len(set(paths)) / len(rows)
    np.testing.assert_allclose(values["pathways/load"].sum(1), 1, rtol=1e-6)
    assert values["pathways/load"].shape == (3, 5)


def test_routers_that_see_nothing_send_all_rows_the_same_way() -> None:
    look = _look()
    with torch.no_grad():
        for name, parameter in look.network.named_parameters():
            if name.endswith("W_R"):
                parameter.zero_()
    values = Pathways()(look)
    assert values["pathways/distance_within"] == values["pathways/distance_across"] == 0.0
    assert values["pathways/distinct"] == pytest.approx(1 / len(look.split.rows["train"]))
    assert values["pathways/imbalance"] == pytest.approx(5 / 2 - 1)  # two of five have all


def test_untrained_routers_know_no_answer() -> None:
    look = _look(ModularArithmetic(modulus=13, train_fraction=0.9), experts=6)
    values = Pathways(samples=128)(look)
    assert values["pathways/distance_within"] == pytest.approx(values["pathways/distance_across"], rel=0.2)


def test_a_single_layer_has_no_consistency_and_two_have_no_use_of_it() -> None:
    assert not {"pathways/consistency", "pathways/layer_cosine"} & Pathways()(_look(layers=1)).keys()
    two = Pathways()(_look(layers=2))
    assert two["pathways/consistency"] == pytest.approx(1.0, abs=1e-4)
    assert two["pathways/layer_cosine"] < 0.9


def test_the_sampled_rows_do_not_depend_on_the_step_and_are_distinct() -> None:
    rows = torch.arange(100, 400)
    some = Pathways(samples=20).rows(rows)
    assert torch.equal(some, Pathways(samples=20).rows(rows))
    assert not torch.equal(some, Pathways(samples=20, seed=1).rows(rows))
    assert len(some.unique()) == 20
    assert torch.equal(some, some.sort().values)
