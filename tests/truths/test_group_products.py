"""Truths for the dihedral and the alternating group, their irreps, and a perceptron with two embeddings."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from grokscope.errors import BadInput
from grokscope.measures.groups import (
    character_part,
    coset_concentration,
    mean_over_products,
    subgroups,
    variance_shares,
)
from grokscope.measures.irreps import Group, alternating, cyclic, dihedral, find_group, symmetric
from grokscope.models import UntiedMLP
from grokscope.seeds import Seeds
from grokscope.tasks import AlternatingGroup, DihedralGroup, SparseParity, Task
from grokscope.testing import check_model, check_task

DIHEDRAL = [DihedralGroup(sides=n) for n in (2, 3, 5, 8)]
ALTERNATING = [AlternatingGroup(degree=n) for n in (3, 4, 5)]


@pytest.mark.parametrize("task", [*DIHEDRAL, *ALTERNATING], ids=lambda task: task.symbol)
def test_the_table_is_a_group(task: Task) -> None:
    table = task.group_table
    assert table is not None
    g = torch.arange(task.elements)
    assert torch.equal(table[table], table[:, table])  # (ab)c = a(bc)
    assert torch.equal(table[0], g)
    assert torch.equal(table[:, 0], g)
    for line in (*table, *table.T):
        assert torch.equal(line.sort().values, g)
    assert task.classes == task.elements
    assert task.commutative == (task.elements <= 4)


def test_a_dihedral_product_is_that_of_rotations_and_reflections_of_the_plane() -> None:
    n = 7
    turn = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
    rotations = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], 1).view(n, 2, 2)
    plane = torch.cat([rotations, rotations @ torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))])
    table = DihedralGroup(sides=n).group_table
    torch.testing.assert_close(plane[:, None] @ plane, plane[table])


def test_an_alternating_product_is_that_of_even_permutations() -> None:
    even = [p for p in itertools.permutations(range(4)) if _is_even(p)]
    table = AlternatingGroup(degree=4).group_table
    for (a, p), (b, q) in itertools.product(enumerate(even), repeat=2):
        assert even[int(table[a, b])] == tuple(q[p[i]] for i in range(4))


@pytest.mark.parametrize("task", [DIHEDRAL[1], ALTERNATING[1]], ids=lambda task: task.symbol)
def test_tasks_and_model_keep_their_contracts(task: Task) -> None:
    check_task(task)
    check_model(UntiedMLP(width=6, hidden=8), task)


def test_the_sizes_of_the_groups() -> None:
    assert [task.elements for task in DIHEDRAL] == [4, 6, 10, 16]
    assert [task.elements for task in ALTERNATING] == [3, 12, 60]
    assert AlternatingGroup(degree=6).elements == 360


def test_the_groups_of_the_tasks_are_found() -> None:
    for n in (3, 5, 8):
        assert find_group(DihedralGroup(sides=n).group_table) is dihedral(n)
    assert find_group(AlternatingGroup(degree=3).group_table) is cyclic(3)  # they have one table
    assert find_group(AlternatingGroup(degree=4).group_table) is alternating(4)
    assert find_group(AlternatingGroup(degree=5).group_table) is alternating(5)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_every_irrep_of_an_alternating_group_is_an_orthogonal_homomorphism_and_they_are_all(n: int) -> None:
    group = alternating(n)
    for irrep in group.irreps:
        rho = irrep.matrices_GDD
        torch.testing.assert_close(rho[:, None] @ rho, rho[group.table_GG])
        torch.testing.assert_close(rho @ rho.transpose(1, 2), torch.eye(irrep.dimension).double().expand_as(rho))
    gram = group.characters_IG @ group.characters_IG.T / group.order
    torch.testing.assert_close(gram, torch.diag(torch.tensor([irrep.norm for irrep in group.irreps])).double())
    assert sum(irrep.functions for irrep in group.irreps) == group.order


def test_a5_has_its_textbook_characters() -> None:
    group = alternating(5)
    assert [i.name for i in group.irreps] == ["5", "4+1", "3+2", "3+1+1 a", "3+1+1 b"]
    assert [i.dimension for i in group.irreps] == [1, 4, 5, 3, 3]
    golden = (1 + 5**0.5) / 2  # of the rotations of an icosahedron by a fifth of a turn
    found = {round(float(x), 6) for x in group.irreps[3].characters_G}
    assert found == {3.0, 0.0, -1.0, round(golden, 6), round(1 - golden, 6)}
    with pytest.raises(BadInput):
        alternating(7)


def test_the_irrep_of_a4_that_splits_over_the_complex_numbers_alone_stays_whole() -> None:
    assert [(i.name, i.dimension, i.norm) for i in alternating(4).irreps] == [("4", 1, 1), ("3+1", 3, 1), ("2+2", 2, 2)]


@pytest.mark.parametrize("group", [cyclic(7), dihedral(5), symmetric(4), alternating(4)], ids=lambda group: group.name)
def test_planted_characters_are_found_again_among_noise(group: Group) -> None:
    table, quotients, characters = group.table_GG, group.quotients_GG, group.characters_IG
    noise = torch.randn(*table.shape, len(table), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    planted = 2.0 * characters[1][quotients] - 0.5 * characters[2][quotients]
    mean = mean_over_products(planted[table], group)
    torch.testing.assert_close(character_part(mean, group, [1, 2]), planted)
    torch.testing.assert_close(character_part(mean, group, [1]), 2.0 * characters[1][quotients])
    grid = planted[table] + noise
    mean = mean_over_products(grid, group)
    part = character_part(mean, group, [1, 2])[table]
    share = variance_shares(grid, mean, group)[[1, 2]].sum()
    left = (grid - grid.mean() - part).square().sum() / (grid - grid.mean()).square().sum()
    torch.testing.assert_close(1 - left, share)


def test_the_numbers_of_subgroups_are_the_textbook_ones() -> None:
    counts = {"Z12": (cyclic(12), 6), "D4": (dihedral(4), 10), "S4": (symmetric(4), 30), "A5": (alternating(5), 59)}
    for group, count in counts.values():
        found = subgroups(group)
        assert len(found) == count
        assert found[0].sum() == 1
        assert found[-1].all()
        assert all(group.order % int(mask.sum()) == 0 for mask in found)


def test_a_function_of_cosets_is_concentrated_on_them_and_noise_is_not() -> None:
    group = symmetric(4)
    masks = subgroups(group)
    stabiliser = next(mask for mask in masks if mask.sum() == 6)
    left, right = (table.min(1).values for table in (group.table_GG[:, stabiliser], group.table_GG[stabiliser].T))
    noise = torch.randn(24, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sign = group.characters_IG[-1]
    planted = torch.stack([noise[left, 0], noise[right, 1], sign, torch.ones(24).double()], 1)
    found = coset_concentration(planted, group, masks[1:])
    torch.testing.assert_close(found[:3], torch.zeros(3).double())
    assert found[3].isnan()
    assert coset_concentration(noise, group, masks[1:]).median() > 0.7
    whole = coset_concentration(noise, group, masks[-1:])
    torch.testing.assert_close(whole, torch.ones(20).double())
    f, mask = noise[:, :1], stabiliser
    naive = sum(f[group.table_GG[g, mask]].var(correction=0) for g in range(24)) / 6 / f.var(correction=0)
    other = sum(f[group.table_GG[mask, g]].var(correction=0) for g in range(24)) / 6 / f.var(correction=0)
    torch.testing.assert_close(coset_concentration(f, group, [mask])[0], torch.minimum(naive, other))


def test_an_untied_perceptron_is_two_tables_a_rectifier_and_a_map() -> None:
    task = DihedralGroup(sides=3, train_fraction=0.5)
    model = UntiedMLP(width=5, hidden=4)
    network = model.build(task, Seeds(0).generator("init"))
    first, second = F.one_hot(task.table.operands_NK, 6).double().unbind(1)
    pair = torch.cat([first @ network.E_a, second @ network.E_b], 1)  # type: ignore[operator]
    with torch.no_grad():
        logits = network(task.table.operands_NK)[:, 0]
        torch.testing.assert_close(logits, torch.relu(pair @ network.W) @ network.W_U)  # type: ignore[operator]
        total = network.embedding_PD()
    assert total is not None
    assert total.shape == (6, 8)
    torch.testing.assert_close(torch.relu(total[0, :4] + total[1, 4:]) @ network.W_U, logits[1])  # type: ignore[operator]


def test_first_weights_of_the_untied_perceptron_have_their_spread() -> None:
    network = UntiedMLP().build(AlternatingGroup(degree=5), Seeds(0).generator("init"))
    spread = {name: float(p.detach().std()) for name, p in network.named_parameters()}
    want = {"E_a": 256**-0.5, "E_b": 256**-0.5, "W": 512**-0.5, "W_U": 128**-0.5}
    assert spread == pytest.approx(want, rel=0.03)


def test_the_untied_perceptron_refuses_rows_that_are_not_pairs() -> None:
    with pytest.raises(ValueError, match="2 operands, got 6"):
        UntiedMLP().check(SparseParity(n=6, samples=40))


def _is_even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0
