"""Weighted sums of table rows, out[n] = Σ_j w[n, j] · T[i[n, j]], for tables that stay in the cache.

Where a linear map follows attention over a table of tokens, the map can be applied to the table and
the mixture taken last. That trades a matrix product over all rows for J multiply-adds per output
number. It is written as the partial derivatives of one trilinear form

    S(T, w, g) = Σ_nj w[n, j] ⟨g[n], T[i[n, j]]⟩,

each of which is a derivative of the others, so everything here can be differentiated as often as
one likes and lifted over members by ``torch.func.vmap``. CPU only: these are the kernels of
``nn.functional.embedding_bag``, whose own second derivative is missing.
"""

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
SUM = 0  # embedding_bag's number for mode "sum"


def row_sum(table_TW: Tensor, weights_NJ: Tensor, index_NJ: Tensor) -> Tensor:
    """out[n] = Σ_j weights[n, j] · table[index[n, j]], (N, W).

    Args:
        table_TW: the rows, float32 or float64.
        weights_NJ: of the table's type.
        index_NJ: int64 in [0, T).
    """
    return _RowSum.apply(table_TW, weights_NJ, index_NJ)  # type: ignore[no-any-return]


class _RowSum(torch.autograd.Function):
    """∂S/∂g."""

    @staticmethod
    def forward(table: Tensor, weights: Tensor, index: Tensor) -> Tensor:
        flat, offsets = _bags(index)
        return aten._embedding_bag(table, flat, offsets, False, SUM, False, weights.reshape(-1), False, -1)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        table, weights, index = ctx.saved_tensors
        into_table = _RowScatter.apply(weights, g, index, table.shape[0]) if ctx.needs_input_grad[0] else None
        return into_table, _RowDot.apply(table, g, index) if ctx.needs_input_grad[1] else None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
        table, weights, index = _lead(info.batch_size, in_dims, args)
        out = row_sum(table.flatten(0, 1), weights.flatten(0, 1), _shifted(index, table.shape[1]))
        return out.unflatten(0, index.shape[:2]), 0


class _RowScatter(torch.autograd.Function):
    """∂S/∂T: out[t] = Σ_{nj: i[n,j] = t} w[n, j] · g[n], (T, W)."""

    @staticmethod
    def forward(weights: Tensor, g: Tensor, index: Tensor, rows: int) -> Tensor:
        flat, offsets = _bags(index)
        count, each = index.shape
        bag = torch.arange(count, device=index.device).repeat_interleave(each)
        sizes = offsets.new_full((count,), each)
        return aten._embedding_bag_dense_backward(
            g.contiguous(), flat, bag, sizes, offsets, rows, False, SUM, weights.reshape(-1), -1
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
        weights, g, index = ctx.saved_tensors
        return _RowDot.apply(h, g, index), row_sum(h, weights, index), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        size, rows = info.batch_size, args[3]
        weights, g, index = _lead(size, in_dims[:3], args[:3])
        out = _RowScatter.apply(weights.flatten(0, 1), g.flatten(0, 1), _shifted(index, rows), size * rows)
        return out.unflatten(0, (size, rows)), 0


class _RowDot(torch.autograd.Function):
    """∂S/∂w: out[n, j] = ⟨g[n], T[i[n, j]]⟩, (N, J)."""

    @staticmethod
    def forward(table: Tensor, g: Tensor, index: Tensor) -> Tensor:
        flat, offsets = _bags(index)
        bag = torch.arange(len(index), device=index.device).repeat_interleave(index.shape[1])
        dots = aten._embedding_bag_per_sample_weights_backward(
            g.contiguous(), table.contiguous(), flat, offsets, bag, SUM, -1
        )
        return dots.view(index.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
        table, g, index = ctx.saved_tensors
        return _RowScatter.apply(h, g, index, table.shape[0]), row_sum(table, h, index), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
        table, g, index = _lead(info.batch_size, in_dims, args)
        out = _RowDot.apply(table.flatten(0, 1), g.flatten(0, 1), _shifted(index, table.shape[1]))
        return out.unflatten(0, index.shape[:2]), 0


def _bags(index_NJ: Tensor) -> tuple[Tensor, Tensor]:
    """Indices in one row, and where each example's begin."""
    count, each = index_NJ.shape
    return index_NJ.reshape(-1), torch.arange(0, count * each, each, device=index_NJ.device)


def _lead(size: int, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """The member axis first, everywhere."""
    return [t.expand(size, *t.shape) if d is None else t.movedim(d, 0) for d, t in zip(dims, tensors, strict=True)]


def _shifted(index_SNJ: Tensor, rows: int) -> Tensor:
    """Indices into the members' tables laid one after another, (S·N, J)."""
    offset = rows * torch.arange(len(index_SNJ), device=index_SNJ.device)
    return (index_SNJ + offset[:, None, None]).flatten(0, 1)
