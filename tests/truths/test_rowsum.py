"""Truths for models/rowsum.py: a sum written with indices, and derivatives by differences."""

import torch
from torch import Tensor

from grokscope.models.rowsum import lookups, row_sum

GENERATOR = torch.Generator().manual_seed(0)
TABLE = torch.randn(3, 7, 4, dtype=torch.float64, generator=GENERATOR)
WEIGHTS = torch.rand(3, 5, 2, dtype=torch.float64, generator=GENERATOR)
INDEX = torch.randint(7, (3, 5, 2), generator=GENERATOR)


def _ours(table: Tensor, weights: Tensor, index: Tensor) -> Tensor:
    return row_sum(table, weights, lookups(index, len(table)))


def _plain(table: Tensor, weights: Tensor, index: Tensor) -> Tensor:
    return (weights[..., None] * table[index]).sum(1)


def test_it_is_the_weighted_sum_of_the_named_rows() -> None:
    for args in zip(TABLE, WEIGHTS, INDEX, strict=True):
        torch.testing.assert_close(_ours(*args), _plain(*args), rtol=1e-14, atol=1e-15)


def test_first_and_second_derivatives_are_right() -> None:
    leaves = (TABLE[0].clone().requires_grad_(), WEIGHTS[0].clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda t, w: _ours(t, w, INDEX[0]), leaves)
    assert torch.autograd.gradgradcheck(lambda t, w: _ours(t, w, INDEX[0]), leaves)


def test_members_stack_forwards_and_backwards_in_both_orders_of_lifting() -> None:
    table, weights = TABLE.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()
    plain = torch.stack([_plain(*args) for args in zip(table, weights, INDEX, strict=True)]).sin().sum()
    want = torch.autograd.grad(plain, [table, weights])
    lifted = torch.func.vmap(_ours)(table, weights, INDEX).sin().sum()
    torch.testing.assert_close(torch.autograd.grad(lifted, [table, weights]), want, rtol=1e-13, atol=1e-15)
    one = torch.func.grad(lambda t, w, i: _ours(t, w, i).sin().sum(), argnums=(0, 1))
    torch.testing.assert_close(torch.func.vmap(one)(table, weights, INDEX), want, rtol=1e-13, atol=1e-15)


def test_a_shared_table_is_lifted_too() -> None:
    got = torch.func.vmap(_ours, in_dims=(None, 0, 0))(TABLE[0], WEIGHTS, INDEX)
    want = torch.stack([_plain(TABLE[0], w, i) for w, i in zip(WEIGHTS, INDEX, strict=True)])
    torch.testing.assert_close(got, want, rtol=1e-14, atol=1e-15)
