"""Facts and what follows from two of them: the composition task of Wang et al. 2024."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from grokscope.seeds import Seeds, stream_seed
from grokscope.sources import Source
from grokscope.tasks.base import Split, Table, Task

LOOKED_AT = 3000
"""Rows of ``test``, and of ``ood``, at most [Wang et al. 2024, the authors' code]."""


@dataclass(frozen=True)
class Facts:
    """The table in three blocks of rows."""

    table: Table
    atomic: range
    """(h, r, none) → t, by head and relation."""
    inferred: range
    """(h, r1, r2) → t where both facts are in-distribution."""
    ood: range
    """(h, r1, r2) → t where both facts are out-of-distribution."""


class TwoHop(Task):
    """(h, r1, r2) → t where r1 leads from h to a bridge entity and r2 from there to t; the bridge is never shown.

    The knowledge graph gives each entity ``degree`` different relations, each to an entity drawn
    uniformly. All of these atomic facts are trained on, and of the in-distribution ones most of
    what follows: ``test`` asks for the rest of that, ``ood`` for what follows from two facts of
    which no composition was ever shown. What follows from one fact of either kind is nobody's.

    Element ids: entities 0 … E−1, relations E … E+R−1, and E+R for "no second relation", which
    makes an atomic fact a row of three. That is a reconstruction: in the paper it is two tokens
    long. The authors hold out each inferred fact with probability ``held_out``; here the number is exact.
    """

    kind: ClassVar[str] = "two-hop"
    sources: ClassVar[tuple[Source, ...]] = (Source("wang2024grokked", "Sec. 3"),)
    covered: ClassVar[bool] = False

    train_fraction: float = 0.3
    """Decides nothing here and must stay 0.3; ``inferred_ratio`` says how much is trained on."""
    split: Literal["ordered"] = "ordered"
    """Each inferred fact is drawn alone."""
    entities: int = Field(default=2000, ge=2)
    """E, and how many answers there are."""
    relations: int = Field(default=200, ge=1)
    """R."""
    degree: int = Field(default=20, ge=1)
    """Facts per entity; at most ``relations``, for the relations of an entity are all different."""
    inferred_ratio: float = Field(default=9.0, gt=0.0)
    """φ: inferred facts that are trained on for each atomic in-distribution fact, or all there are.
    The paper has 3.6 … 18."""
    ood_share: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the atomic facts that are out-of-distribution; without any there is no ``ood``."""
    held_out: float = Field(default=0.005, gt=0.0, lt=1.0)
    """Share of the in-distribution inferred facts that is never trained on, at least one;
    ``test`` is 3000 of them at most."""
    graph_seed: int = Field(default=0, ge=0)
    """Draws the graph and which facts are out-of-distribution; a member's own seed draws the split."""

    @model_validator(mode="after")
    def _a_graph_of_facts(self) -> "TwoHop":
        if self.degree > self.relations:
            raise ValueError(f"degree must be at most relations, {self.relations}, got {self.degree}")
        if self.train_fraction != 0.3:
            raise ValueError(
                f"train_fraction decides nothing in a two-hop task and must stay 0.3, got {self.train_fraction}; "
                f"set inferred_ratio instead"
            )
        return self

    @property
    def elements(self) -> int:
        """Entities, relations and "no second relation"."""
        return self.entities + self.relations + 1

    @property
    def classes(self) -> int:
        """E answers."""
        return self.entities

    @property
    def symbol(self) -> str:
        """``r2(r1(h)), 2000 entities``."""
        return f"r2(r1(h)), {self.entities} entities"

    @property
    def operand_ranges(self) -> tuple[range, ...]:
        """An entity, a relation, and a relation or none."""
        first, none = self.entities, self.entities + self.relations
        return range(first), range(first, none), range(first, none + 1)

    @property
    def held_rows(self) -> int:
        """Inferred facts that are never trained on."""
        return max(1, round(self.held_out * len(self.facts.inferred)))

    @property
    def train_rows(self) -> int:
        """All atomic facts, and round(φ · in-distribution ones) inferred facts or as many as there are."""
        facts = self.facts
        wanted = round(self.inferred_ratio * (len(facts.atomic) - self._ood_facts()))
        return len(facts.atomic) + min(wanted, len(facts.inferred) - self.held_rows)

    @cached_property
    def table(self) -> Table:
        """Atomic facts, then the inferred ones in order of (h, r1, r2), then those out-of-distribution."""
        return self.facts.table

    @cached_property
    def facts(self) -> Facts:
        """The table and its blocks, drawn from ``graph_seed`` alone."""
        generator = torch.Generator().manual_seed(stream_seed(self.graph_seed, "graph"))
        shape = (self.entities, self.degree)
        shuffled = torch.rand(self.entities, self.relations, generator=generator, dtype=torch.float64).argsort(1)
        relation_ED = shuffled[:, : self.degree].sort(1).values + self.entities
        tail_ED = torch.randint(self.entities, shape, generator=generator)
        is_ood_ED = (torch.randperm(tail_ED.numel(), generator=generator) < self._ood_facts()).view(shape)
        head_ED = torch.arange(self.entities)[:, None].expand(shape)
        none_ED = torch.full(shape, self.entities + self.relations)
        # one more axis: the facts of the bridge, which is the tail of the first fact
        once = (head_ED[..., None], relation_ED[..., None], relation_ED[tail_ED])
        twice_EDDK = torch.stack(torch.broadcast_tensors(*once), -1)
        first, second = is_ood_ED[..., None], is_ood_ED[tail_ED]
        kept = (~first & ~second, first & second)
        blocks = [torch.stack([head_ED, relation_ED, none_ED], -1).flatten(0, 1), *(twice_EDDK[k] for k in kept)]
        answers = [tail_ED.flatten(), *(tail_ED[tail_ED][k] for k in kept)]
        atomic, inferred, ood = _blocks(blocks)
        if not inferred:
            raise ValueError(f"entities: no two in-distribution facts of {self.entities} entities follow one another")
        return Facts(Table(torch.cat(blocks), torch.cat(answers)), atomic, inferred, ood)

    def divide(self, seeds: Seeds) -> Split:
        """Draw ``test`` and the inferred part of ``train``, and the rows of ``ood`` (stream ``split``)."""
        facts, held = self.facts, self.held_rows
        inferred = _shuffled(facts.inferred, seeds.generator("split"))
        trained = inferred[held : held + self.train_rows - len(facts.atomic)]
        rows = {"train": torch.cat([torch.arange(len(facts.atomic)), trained]), "test": inferred[:held][:LOOKED_AT]}
        if facts.ood:
            rows["ood"] = _shuffled(facts.ood, seeds.generator("split", "ood"))[:LOOKED_AT]
        return Split(self._answers(seeds), {name: numbers.sort().values for name, numbers in rows.items()})

    def _ood_facts(self) -> int:
        return round(self.ood_share * self.entities * self.degree)


def _blocks(parts: list[Tensor]) -> list[range]:
    """Where each part's rows are once they stand one after another."""
    ends = torch.tensor([len(part) for part in parts]).cumsum(0).tolist()
    return [range(end - len(part), end) for part, end in zip(parts, ends, strict=True)]


def _shuffled(rows: range, generator: torch.Generator) -> Tensor:
    return rows.start + torch.randperm(len(rows), generator=generator)
