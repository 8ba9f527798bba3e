"""Products in groups that do not commute: the S_n tasks of Power et al. 2022, D_n and A_n of Chughtai et al. 2023."""

import itertools
import math
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from grokscope.sources import Source
from grokscope.tasks.base import Table, Task

SYMBOLS = {"composition": "a · b", "conjugation": "a · b · a⁻¹", "aba": "a · b · a"}


class PermutationGroup(Task):
    """a ∘ b over all ordered pairs of S_n; element ids follow the lexicographic order of the images.

    A product applies its left factor first: (a · b)(i) = b(a(i)), as in the authors' code.
    """

    kind: ClassVar[str] = "permutations"
    sources: ClassVar[tuple[Source, ...]] = (Source("power2022grokking", "App. A.1.1"),)

    operation: Literal["composition", "conjugation", "aba"] = "composition"
    """composition a·b, conjugation a·b·a⁻¹, or a·b·a."""
    degree: int = Field(default=5, ge=2, le=6)
    """n of S_n: 2 … 6, that is 2 … 720 elements and up to 518,400 rows."""

    @property
    def elements(self) -> int:
        """n! permutations."""
        return math.factorial(self.degree)

    @property
    def classes(self) -> int:
        """n! answers."""
        return self.elements

    @property
    def symbol(self) -> str:
        """``a · b in S5``."""
        return f"{SYMBOLS[self.operation]} in S{self.degree}"

    @property
    def group_table(self) -> Tensor | None:
        """The Cayley table for composition."""
        if self.operation != "composition":
            return None
        return self.table.answers_N.view(self.elements, self.elements)

    @cached_property
    def table(self) -> Table:
        """Rows in order of (a, b), a slowest."""
        images = np.array(list(itertools.permutations(range(self.degree))))
        place = self.degree ** np.arange(self.degree)
        code_to_id = np.zeros(self.degree**self.degree, dtype=np.int64)
        code_to_id[images @ place] = np.arange(len(images))
        shape = (self.elements, self.elements, self.degree)
        a, b = np.broadcast_to(images[:, None, :], shape), np.broadcast_to(images[None, :, :], shape)
        product = np.take_along_axis(b, a, axis=2)  # i -> b(a(i))
        if self.operation != "composition":
            last = np.argsort(images, axis=1) if self.operation == "conjugation" else images
            product = np.take_along_axis(np.broadcast_to(last[:, None, :], shape), product, axis=2)
        ids = torch.arange(self.elements)
        return Table(torch.cartesian_prod(ids, ids), torch.from_numpy(code_to_id[product @ place]).flatten())


class DihedralGroup(Task):
    """a · b over all ordered pairs of D_n, the 2n rotations and reflections of an n-gon.

    r^i is element i and r^i s is n + i, with s r = r⁻¹ s; so (r^i s^e)(r^j s^f) = r^(i ± j) s^(e + f), minus for
    e = 1. It commutes for n = 2 alone.
    """

    kind: ClassVar[str] = "dihedral"
    sources: ClassVar[tuple[Source, ...]] = (Source("chughtai2023toy", "Sec. 6"),)

    sides: int = Field(default=59, ge=2)
    """n, half the number of elements."""

    @property
    def elements(self) -> int:
        """n rotations and n reflections."""
        return 2 * self.sides

    @property
    def classes(self) -> int:
        """2n answers."""
        return self.elements

    @property
    def symbol(self) -> str:
        """``a · b in D59``."""
        return f"a · b in D{self.sides}"

    @property
    def group_table(self) -> Tensor:
        """The Cayley table."""
        return self.table.answers_N.view(self.elements, self.elements)

    @cached_property
    def table(self) -> Table:
        """Rows in order of (a, b), a slowest."""
        ids = torch.arange(self.elements)
        pairs = torch.cartesian_prod(ids, ids)
        (i, j), (e, f) = (pairs % self.sides).T, (pairs // self.sides).T
        turned = torch.where(e == 0, i + j, i - j) % self.sides
        return Table(pairs, turned + self.sides * ((e + f) % 2))


class AlternatingGroup(Task):
    """a · b over all ordered pairs of even permutations of n things.

    Element ids follow the lexicographic order of the images, 0 the identity; left factor first as in S_n.
    """

    kind: ClassVar[str] = "alternating"
    sources: ClassVar[tuple[Source, ...]] = (Source("chughtai2023toy", "Sec. 6"),)

    degree: int = Field(default=5, ge=3, le=6)
    """n of A_n: 3 … 6, that is 3, 12, 60 or 360 elements; A_5 is the smallest simple group that does not commute."""

    @property
    def elements(self) -> int:
        """n! / 2 even permutations."""
        return math.factorial(self.degree) // 2

    @property
    def classes(self) -> int:
        """n! / 2 answers."""
        return self.elements

    @property
    def symbol(self) -> str:
        """``a · b in A5``."""
        return f"a · b in A{self.degree}"

    @property
    def group_table(self) -> Tensor:
        """The Cayley table."""
        return self.table.answers_N.view(self.elements, self.elements)

    @cached_property
    def table(self) -> Table:
        """Rows in order of (a, b), a slowest: those of S_n with even operands, renumbered."""
        images = torch.tensor(list(itertools.permutations(range(self.degree))))
        later, earlier = torch.triu_indices(self.degree, self.degree, 1).flip(0)
        inversions = (images[:, earlier] > images[:, later]).sum(1)
        even = (inversions % 2 == 0).nonzero()[:, 0]
        number = torch.full((len(images),), -1)
        number[even] = torch.arange(len(even))
        whole = PermutationGroup(degree=self.degree).table.answers_N.view(len(images), len(images))
        ids = torch.arange(self.elements)
        return Table(torch.cartesian_prod(ids, ids), number[whole[even][:, even]].flatten())
