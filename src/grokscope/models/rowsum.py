"""Weighted sums of table rows, out[n] = Σ_j w[n, j] · T[i[n, j]], for tables that stay in the cache.

Where a linear map follows attention over a table of tokens, the map can be applied to the table and
the mixture taken last. That trades a matrix product over all rows for J multiply-adds per output
number. It is written as the partial derivatives of one trilinear form

    S(T, w, g) = Σ_nj w[n, j] ⟨g[n], T[i[n, j]]⟩,

each of which is a derivative of the others, so everything here can be differentiated as often as
one likes and lifted over members by ``torch.func.vmap``. CPU only: these are the kernels of
``nn.functional.embedding_bag``, whose own second derivative is missing.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

aten = torch.ops.aten
SUM = 0  # embedding_bag's number for mode "sum"


class Lookups(NamedTuple):
    """Which rows of a table are summed, and the same the other way round."""

    index_NJ: Tensor
    """int64 in [0, T)."""
    order_M: Tensor
    """The N·J places of ``index_NJ``, flat, sorted by the row that is looked up there."""
    starts_T: Tensor
    """Where the places of each row begin in ``order_M``."""


def lookups(rows_NL: Tensor, rows: int, heads: int = 1) -> Lookups:
    """Lookups of L rows in each of the tables of several heads, which lie one after another; J = L · heads.

    Every head looks up the same rows of its own table, so they are sorted once for all. Where no
    gradient can be asked for they are not sorted.

    Args:
        rows_NL: int64 in [0, rows).
        rows: of one head's table.
        heads: how many tables.
    """
    head = torch.arange(heads, device=rows_NL.device)
    index = (rows_NL[..., None] + rows * head).flatten(1)
    flat = rows_NL.reshape(-1)
    if not torch.is_grad_enabled():
        return Lookups(index, flat[:0], flat[:0])
    counts = torch.zeros(rows, dtype=torch.int64, device=flat.device).scatter_add(0, flat, torch.ones_like(flat))
    order = flat.argsort() * heads + head[:, None]
    starts = counts.cumsum(0) - counts + flat.numel() * head[:, None]
    return Lookups(index, order.flatten(), starts.flatten())


def row_sum(table_TW: Tensor, weights_NJ: Tensor, at: Lookups) -> Tensor:
    """out[n] = Σ_j weights[n, j] · table[index[n, j]], (N, W).

    Args:
        table_TW: the rows, float32 or float64.
        weights_NJ: of the table's type.
        at: which rows, from :func:`lookups`; one may serve several tables.
    """
    return _RowSum.apply(table_TW, weights_NJ, *at)  # type: ignore[no-any-return]


def _bags(table: Tensor, index_M: Tensor, starts: Tensor, weights_M: Tensor) -> Tensor:
    """One weighted sum of rows per start."""
    return aten._embedding_bag(table.contiguous(), index_M, starts, False, SUM, False, weights_M, False, -1)[0]


def _every(index_NJ: Tensor) -> Tensor:
    """Where each example's lookups begin."""
    count, each = index_NJ.shape
    return torch.arange(0, count * each, each, device=index_NJ.device)


class _RowSum(torch.autograd.Function):
    """∂S/∂g."""

    @staticmethod
    def forward(table: Tensor, weights: Tensor, index: Tensor, order: Tensor, starts: Tensor) -> Tensor:
        return _bags(table, index.reshape(-1), _every(index), weights.reshape(-1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        table, weights, *at = ctx.saved_tensors
        into_table = _RowScatter.apply(weights, g, *at) if ctx.needs_input_grad[0] else None
        return into_table, _RowDot.apply(table, g, *at) if ctx.needs_input_grad[1] else None, None, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
        table, weights, *at = _lead(info.batch_size, dims, args)
        out = _RowSum.apply(table.flatten(0, 1), weights.flatten(0, 1), *_laid_out(*at))
        return out.unflatten(0, at[0].shape[:2]), 0


class _RowScatter(torch.autograd.Function):
    """∂S/∂T: out[t] = Σ_{nj: i[n,j] = t} w[n, j] · g[n], (T, W): again a weighted sum of rows, those of g."""

    @staticmethod
    def forward(weights: Tensor, g: Tensor, index: Tensor, order: Tensor, starts: Tensor) -> Tensor:
        rows = order.div(index.shape[1], rounding_mode="floor")
        return _bags(g, rows, starts, weights.reshape(-1)[order])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
        weights, g, *at = ctx.saved_tensors
        return _RowDot.apply(h, g, *at), _RowSum.apply(h, weights, *at), None, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        weights, g, *at = _lead(info.batch_size, dims, args)
        out = _RowScatter.apply(weights.flatten(0, 1), g.flatten(0, 1), *_laid_out(*at))
        return out.unflatten(0, at[2].shape), 0


class _RowDot(torch.autograd.Function):
    """∂S/∂w: out[n, j] = ⟨g[n], T[i[n, j]]⟩, (N, J)."""

    @staticmethod
    def forward(table: Tensor, g: Tensor, index: Tensor, order: Tensor, starts: Tensor) -> Tensor:
        count, each = index.shape
        bag = torch.arange(count, device=index.device).repeat_interleave(each)
        dots = aten._embedding_bag_per_sample_weights_backward(
            g.contiguous(), table.contiguous(), index.reshape(-1), _every(index), bag, SUM, -1
        )
        return dots.view(index.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
        table, g, *at = ctx.saved_tensors
        return _RowScatter.apply(h, g, *at), _RowSum.apply(table, h, *at), None, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
        table, g, *at = _lead(info.batch_size, dims, args)
        out = _RowDot.apply(table.flatten(0, 1), g.flatten(0, 1), *_laid_out(*at))
        return out.unflatten(0, at[0].shape[:2]), 0


def _lead(size: int, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """The member axis first, everywhere."""
    return [t.expand(size, *t.shape) if d is None else t.movedim(d, 0) for d, t in zip(dims, tensors, strict=True)]


def _laid_out(index_SNJ: Tensor, order_SM: Tensor, starts_ST: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The members' lookups as one, their tables laid one after another."""
    member = torch.arange(len(index_SNJ), device=index_SNJ.device)
    places = (member * order_SM.shape[1])[:, None]
    index = index_SNJ + (member * starts_ST.shape[1])[:, None, None]
    return index.flatten(0, 1), (order_SM + places).flatten(), (starts_ST + places).flatten()
