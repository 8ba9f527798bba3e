"""Causal attention that computes what is read: once on the (token, position) table, once on rows.

The first layer sees nothing but token + position, so its queries, keys and values take as many
distinct values as there are tokens at a position: they are computed on that table and gathered.
This is the same function as attention over all rows, for every number of heads and positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head causal attention without biases; W_Q, W_K, W_V, W_O are (D, D), heads side by side."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.size = width // heads
        self.W_Q = nn.Parameter(torch.empty(width, width))
        self.W_K = nn.Parameter(torch.empty(width, width))
        self.W_V = nn.Parameter(torch.empty(width, width))
        self.W_O = nn.Parameter(torch.empty(width, width))

    def on_tables(self, tables: Sequence[Tensor], rows_LN: Sequence[Tensor], read: Sequence[int]) -> list[Tensor]:
        """Attention output (N, D) at each position in ``read``.

        Args:
            tables: per position, the residual stream of every token that can stand there, (n_i, D).
            rows_LN: per position, which row of its table each example has, (N,).
            read: the query positions.
        """
        sizes = [len(table) for table in tables]
        stacked = torch.cat(list(tables))
        keys = self._split_heads(stacked @ self.W_K).split(sizes)
        values = (stacked @ self.W_V).split(sizes)
        out = []
        for q in read:
            queries = self._split_heads(tables[q] @ self.W_Q) * self.size**-0.5
            scores = [_score(queries, rows_LN[q], keys[i], rows_LN[i], same=i == q) for i in range(q + 1)]
            weights = torch.softmax(torch.stack(scores, -1), -1)  # (N, H, q+1)
            mixed = sum(weights[..., i, None] * self._split_heads(_gather(rows_LN[i], values[i])) for i in range(q + 1))
            out.append(mixed.flatten(-2) @ self.W_O)  # type: ignore[union-attr]
        return out

    def on_rows(self, x_NLD: Tensor, read: Sequence[int]) -> list[Tensor]:
        """Attention output (N, D) at each position in ``read``, from rows of the residual stream."""
        keys = self._split_heads(x_NLD @ self.W_K)  # (N, L, H, d)
        values = self._split_heads(x_NLD @ self.W_V)
        out = []
        for q in read:
            query = self._split_heads(x_NLD[:, q] @ self.W_Q) * self.size**-0.5
            weights = torch.softmax((keys[:, : q + 1] * query[:, None]).sum(-1), 1)  # (N, q+1, H)
            out.append((weights[..., None] * values[:, : q + 1]).sum(1).flatten(-2) @ self.W_O)
        return out

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.size))


def _gather(rows_N: Tensor, table: Tensor) -> Tensor:
    """table[rows]; a table of one row is broadcast instead of copied N times."""
    return table if len(table) == 1 else F.embedding(rows_N, table)


def _score(queries: Tensor, rows_q: Tensor, keys: Tensor, rows_k: Tensor, same: bool) -> Tensor:
    """Scores (N, H) of one query position against one key position, on the smaller of table and rows."""
    count = len(rows_q)
    if same:
        return _gather(rows_q, (queries * keys).sum(-1)).expand(count, -1)
    if len(queries) == 1 or len(keys) == 1:
        rows = rows_k if len(queries) == 1 else rows_q
        return _gather(rows, (queries * keys).sum(-1)).expand(count, -1)
    if len(queries) * len(keys) < count:
        pairs = torch.einsum("qhd,khd->qkh", queries, keys).flatten(0, 1)
        return F.embedding(rows_q * len(keys) + rows_k, pairs)
    query = F.embedding(rows_q, queries.flatten(1))
    key = F.embedding(rows_k, keys.flatten(1))
    return (query * key).unflatten(-1, queries.shape[1:]).sum(-1)
