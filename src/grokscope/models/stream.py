"""The residual stream, kept once for each distinct value.

Under causal attention the stream at a position is a function of the tokens up to it. Where these
take fewer values than there are examples (after ``a ∘`` only p of them) it is computed once for
each and looked up; elsewhere once per example. Before the first layer it depends on the token at
the position alone. This is exact, for any number of layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """Values computed together: at several positions for every example, or at one for every prefix."""

    positions: tuple[int, ...]
    count: int
    """M, values per position."""
    by_prefix: bool


class Prefixes:
    """Which examples share their tokens up to a position.

    Args:
        rows_LN: per position, which of its possible tokens each example has, (N,).
        slots: per position, how many tokens are possible.
    """

    def __init__(self, rows_LN: Sequence[Tensor], slots: Sequence[int]) -> None:
        self.rows, self.slots, self.examples = rows_LN, slots, len(rows_LN[0])
        sizes = [prod(slots[: i + 1]) for i in range(len(slots))]
        self.sizes = [size for size in sizes if 2 * size <= self.examples]  # nested, so the first few
        """Distinct prefixes, for the positions where they are worth tabulating."""
        self.codes: list[Tensor] = []
        """The prefix that each example has, counted with the last token fastest."""
        for row, slot in zip(rows_LN, slots[: len(self.sizes)], strict=False):
            before = self.codes[-1] * slot if self.codes else 0
            self.codes.append(self.codes[-1] if self.codes and slot == 1 else row + before)

    def groups(self, positions: Sequence[int]) -> list[Group]:
        """How the stream at these positions is computed, in their order."""
        table = [Group((q,), self.sizes[q], True) for q in positions if q < len(self.sizes)]
        rest = tuple(q for q in positions if q >= len(self.sizes))
        return [*table, Group(rest, self.examples, False)] if rest else table


@dataclass(frozen=True)
class Stream:
    """Distinct values of the stream, one position's after the other."""

    values_RD: Tensor
    counts: tuple[int, ...]
    """Values kept at each position."""
    prefixes: Prefixes
    of_tokens: bool = False
    """Before the first layer: the values belong to tokens, not to prefixes."""

    @classmethod
    def of_embeddings(cls, W_E: Tensor, W_pos: Tensor, slots: Sequence[range], tokens_NL: Tensor) -> "Stream":
        """Token plus position, on the tokens that can stand there, or on the examples where these are fewer."""
        rows = [tokens_NL[:, i] - slot.start for i, slot in enumerate(slots)]
        prefixes = Prefixes(rows, [len(slot) for slot in slots])
        values = []
        for i, slot in enumerate(slots):
            few = len(slot) <= len(tokens_NL)
            values.append((W_E[slot.start : slot.stop] if few else W_E.index_select(0, tokens_NL[:, i])) + W_pos[i])
        return cls(torch.cat(values), tuple(len(v) for v in values), prefixes, of_tokens=True)

    def normed(self, norm: Callable[[Tensor], Tensor]) -> "Stream":
        """The stream under a LayerNorm: once per value."""
        return replace(self, values_RD=norm(self.values_RD))

    def start(self, position: int) -> int:
        """Where a position's values begin."""
        return sum(self.counts[:position])

    def rows(self, position: int, group: Group) -> Tensor:
        """Which of a position's values each of the group's values sees, (M,)."""
        p = self.prefixes
        device = self.values_RD.device
        if group.by_prefix:
            q = group.positions[0]
            code = torch.arange(group.count, device=device) // (p.sizes[q] // p.sizes[position])
            return code % self.counts[position]
        if self.of_tokens and self.counts[position] == p.slots[position]:
            return p.rows[position]
        if not self.of_tokens and position < len(p.sizes):
            return p.codes[position]
        return torch.arange(group.count, device=device)

    @cached_property
    def parts(self) -> tuple[Tensor, ...]:
        """The values of each position."""
        return self.split(self.values_RD)

    def split(self, packed_RX: Tensor) -> tuple[Tensor, ...]:
        """Anything computed from ``values_RD`` row by row, position by position."""
        return packed_RX.split(list(self.counts))

    def spread(self, part_CX: Tensor, position: int, group: Group) -> Tensor:
        """A position's values as the group's values see them, (M, X); (1, X) where there is but one."""
        whole = self.counts[position] == group.count and not (self.of_tokens or group.by_prefix)
        by_prefix = position < len(self.prefixes.sizes)
        if self.counts[position] == 1 or (whole and not by_prefix):
            return part_CX
        return part_CX.index_select(0, self.rows(position, group))

    def before(self, packed_RX: Tensor, last: int, group: Group) -> Tensor:
        """Values of all positions up to ``last`` as the group's values see them, (M, last + 1, X)."""
        parts = self.split(packed_RX)[: last + 1]
        return torch.stack([self.spread(x, i, group).expand(group.count, -1) for i, x in enumerate(parts)], 1)

    def index(self, last: int, group: Group) -> Tensor:
        """Where those values are among the packed ones, (M, last + 1)."""
        columns = [self.rows(i, group) + self.start(i) for i in range(last + 1)]
        return torch.stack([c.expand(group.count) for c in columns], 1)

    def after(self, values_RD: Tensor, groups: Sequence[Group]) -> "Stream":
        """The stream that a layer has made, groups one after another."""
        counts = tuple(group.count for group in groups for _ in group.positions)
        return Stream(values_RD, counts, self.prefixes)
