"""Causal attention that computes what is read, on the distinct values of the stream.

The same function as attention over all positions of all rows, for every number of heads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.models.rowsum import row_sum
from grokscope.models.stream import Group, Stream

LOOKUP = 8
"""One multiply-add of a lookup takes as long as so many of a matrix product, in float32 on a CPU (ours)."""
LONG = 16
"""From so many positions on attention is one call for all of them, below it a few for each (ours)."""


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

    def forward(self, seen: Stream, group: Group) -> Tensor:
        """The heads' mixtures side by side, (Q·M, D), position after position; W_O is still to come."""
        values = seen.values_RD @ self.W_V
        if len(group.positions) >= LONG:
            return self._all_at_once(seen, group, values)
        rows = self._split(seen.before(values, max(group.positions), group))  # (M, L, H, d)
        mixed = [(w[..., None] * rows[:, : w.shape[1]]).sum(1) for w in self.patterns(seen, group)]
        return torch.cat(mixed).flatten(-2)

    def patterns(self, seen: Stream, group: Group) -> list[Tensor]:
        """Attention weights (M, q + 1, H) of each of the group's positions q."""
        keys = seen.values_RD @ self.W_K
        last = max(group.positions)
        spread: Tensor | None = None
        found = []
        for q in group.positions:
            queries = self._split(seen.parts[q] @ self.W_Q) * self.size**-0.5
            count, upto = seen.counts[q], seen.start(q + 1)
            if count * upto <= group.count * (q + 1):  # fewer pairs of values than pairs of rows
                pairs = (queries[:, None] * self._split(keys[:upto])).sum(-1).flatten(0, 1)
                index = seen.index(q, group)
                scores = F.embedding(index if count == 1 else seen.rows(q, group)[:, None] * upto + index, pairs)
            else:
                spread = self._split(seen.before(keys, last, group)) if spread is None else spread
                query = self._split(seen.spread(queries.flatten(1), q, group))
                scores = (query[:, None] * spread[:, : q + 1]).sum(-1)
            found.append(torch.softmax(scores, 1))
        return found

    def through(
        self, seen: Stream, group: Group, maps: Sequence[Tensor], biases: Sequence[Tensor | None]
    ) -> list[Tensor]:
        """(x + attention) A + b for each linear map A, (M, W) each, x the stream at the group's one position.

        W_O A is multiplied first. Then either the mixtures are mapped, or A is applied to the
        values of the tokens and the mixture is taken of what comes out, whichever costs less.
        """
        (q,) = group.positions
        after = [self.W_O @ A for A in maps]
        residual = seen.spread(seen.parts[q], q, group)
        plus = [residual @ A if b is None else residual @ A + b for A, b in zip(maps, biases, strict=True)]
        if not self.lookups_pay(seen, group):
            mixed = self(seen, group)
            return [torch.addmm(b, mixed, A) for b, A in zip(plus, after, strict=True)]
        values, (weights,) = self._split(seen.values_RD @ self.W_V), self.patterns(seen, group)
        return [self._mixture(seen, group, weights, values, A, b) for A, b in zip(after, plus, strict=True)]

    def lookups_pay(self, seen: Stream, group: Group) -> bool:
        """Whether mapping the R values and mixing costs less than mixing M rows and mapping those."""
        x = seen.values_RD
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return False
        (q,) = group.positions
        varying = sum(count > 1 for count in seen.counts[: q + 1])
        return len(x) * x.shape[1] + LOOKUP * group.count * self.heads * varying < group.count * x.shape[1]

    def _mixture(self, seen: Stream, group: Group, weights: Tensor, values: Tensor, A: Tensor, plus: Tensor) -> Tensor:
        """Σ_i,h weight · (value A_h) + plus, by lookups.

        Weights sum to 1 over the positions, so the value at a position that never changes is taken out
        of all others: one lookup per head less.
        """
        (q,) = group.positions
        upto, keep = seen.start(q + 1), list(range(q + 1))
        mapped = torch.bmm(values[:upto].transpose(0, 1), A.unflatten(0, (self.heads, self.size)))  # (H, R, W)
        if fixed := [i for i in keep if seen.counts[i] == 1]:
            keep.remove(fixed[-1])
            base = mapped[:, seen.start(fixed[-1])]
            mapped, plus = mapped - base[:, None], plus + base.sum(0)
        heads = upto * torch.arange(self.heads, device=A.device)
        index = seen.index(q, group)[:, keep, None] + heads
        return row_sum(mapped.flatten(0, 1), weights[:, keep].flatten(1), index.flatten(1)) + plus

    def _all_at_once(self, seen: Stream, group: Group, values: Tensor) -> Tensor:
        """Many positions: one call of torch's attention."""
        last = max(group.positions)
        k, v = (self._split(seen.before(x, last, group)).transpose(1, 2) for x in (seen.values_RD @ self.W_K, values))
        queries = [seen.spread(seen.parts[q] @ self.W_Q, q, group).expand(group.count, -1) for q in group.positions]
        q = self._split(torch.stack(queries, 1)).transpose(1, 2)
        at = torch.tensor(group.positions, device=q.device)
        allowed = torch.arange(last + 1, device=q.device) <= at[:, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)  # (M, H, Q, d)
        return mixed.permute(2, 0, 1, 3).flatten(0, 1).flatten(1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.size))
