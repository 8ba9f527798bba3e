"""Products of permutations: the S_n tasks of Power et al. 2022."""

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
