"""What is learned: a finite table of questions and answers, a split, and the algebra behind it."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.spec import Spec


@dataclass(frozen=True)
class Table:
    """Every question with its true answer.

    operands_NK: int64, each row the K operands (element ids, 0 … elements-1).
    answers_N: int64, 0 … classes-1.
    """

    operands_NK: Tensor
    answers_N: Tensor


@dataclass(frozen=True)
class Split:
    """One member's share of a table: answers (random ones for the control) and which rows are what."""

    answers_N: Tensor
    rows: dict[str, Tensor]
    """Row numbers, rising, by split name: ``train``, ``test`` and any extra evaluation set."""

    def size(self, name: str) -> int:
        """Rows in a split."""
        return len(self.rows[name])


class Task(Spec):
    """A table that is learned in part. Concrete tasks give the table; the split is made here."""

    train_fraction: float = Field(default=0.3, gt=0.0, lt=1.0)
    """Share of the table that is trained on, in (0, 1)."""
    split: Literal["ordered", "unordered"] = "ordered"
    """ordered: each row is drawn alone, as the papers do. unordered: (a, b) and (b, a) fall on the
    same side, so that commutation alone answers no test row."""
    labels: Literal["true", "random"] = "true"
    """random: every row gets an answer drawn uniformly (stream ``noise``), a control that can be
    memorised and never generalised."""

    sources: ClassVar[tuple[Source, ...]] = ()
    covered: ClassVar[bool] = True
    """Whether every row is in ``train`` or in ``test``; a task that leaves rows out says so here."""

    @property
    @abstractmethod
    def elements(self) -> int:
        """How many different operands there are."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many different answers there are; chance accuracy is 1/classes."""

    @property
    @abstractmethod
    def symbol(self) -> str:
        """The operation in a few characters, for titles: ``a + b mod 113``."""

    @cached_property
    @abstractmethod
    def table(self) -> Table:
        """All questions and true answers."""

    @property
    def size(self) -> int:
        """N, the rows of :attr:`table`; a task whose table is slow to make says it without making it."""
        return len(self.table.answers_N)

    @property
    def features_NF(self) -> Tensor | None:
        """Real inputs of each row, (N, F), for tasks on points instead of elements; None where there are none."""
        return None

    @property
    def operand_ranges(self) -> tuple[range, ...]:
        """For each of the K operands the elements that can stand there, one range of ids."""
        return (range(self.elements),) * self.table.operands_NK.shape[1]

    @property
    def train_rows(self) -> int:
        """Rows of ``train``: floor(train_fraction · N), ± 1 for unordered splits."""
        return int(self.train_fraction * self.size)

    @property
    def cyclic_order(self) -> int | None:
        """p where answer(a, b) = a + b mod p over the full grid: what the Fourier measures need."""
        return None

    @property
    def group_table(self) -> Tensor | None:
        """The Cayley table (elements x elements) where the task is a group's product."""
        return None

    @property
    def chance(self) -> float:
        """Accuracy of a guess, 1/classes."""
        return 1.0 / self.classes

    @property
    def commutative(self) -> bool:
        """Whether a ∘ b = b ∘ a on the whole table."""
        table = self.table
        if table.operands_NK.shape[1] != 2:
            return False
        grid = torch.full((self.elements, self.elements), -1)
        grid[table.operands_NK[:, 0], table.operands_NK[:, 1]] = table.answers_N
        return bool((grid == grid.T).all())

    def divide(self, seeds: Seeds) -> Split:
        """Draw the split (stream ``split``) into :attr:`train_rows` rows and the rest.

        Unordered splits draw pairs {a, b} until the train share is reached, so the train size may
        miss floor(f · N) by one row.
        """
        table = self.table
        count = len(table.answers_N)
        wanted = self.train_rows
        if self.split == "ordered":
            train = torch.randperm(count, generator=seeds.generator("split"))[:wanted]
        else:
            train = self._unordered(table, wanted, seeds)
        is_train = torch.zeros(count, dtype=torch.bool)
        is_train[train] = True
        return Split(self._answers(seeds), {"train": is_train.nonzero()[:, 0], "test": (~is_train).nonzero()[:, 0]})

    def swap_baseline(self, split: Split) -> float | None:
        """Share of test rows (a, b) whose swap (b, a) is in train: what commutation alone answers.

        None where the task does not commute. [Merrill et al. 2023, App. A]
        """
        if not self.commutative or self.labels == "random":
            return None
        pairs = self.table.operands_NK
        codes = pairs[:, 0] * self.elements + pairs[:, 1]
        swaps = pairs[:, 1] * self.elements + pairs[:, 0]
        return float(torch.isin(swaps[split.rows["test"]], codes[split.rows["train"]]).double().mean())

    def _answers(self, seeds: Seeds) -> Tensor:
        answers = self.table.answers_N
        if self.labels == "true":
            return answers
        return torch.randint(self.classes, answers.shape, generator=seeds.generator("noise", "labels"))

    def _unordered(self, table: Table, wanted: int, seeds: Seeds) -> Tensor:
        low, high = table.operands_NK.min(dim=1).values, table.operands_NK.max(dim=1).values
        _, pair_N = torch.unique(low * self.elements + high, return_inverse=True)
        pairs = int(pair_N.max()) + 1
        order = torch.randperm(pairs, generator=seeds.generator("split"))
        sizes = torch.bincount(pair_N, minlength=pairs)[order]
        chosen = order[: int((sizes.cumsum(0) <= wanted).sum())]
        return torch.isin(pair_N, chosen).nonzero()[:, 0]
