"""Arithmetic mod p: the operations of Power et al. 2022."""

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar, Literal, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor

from grokscope.sources import Source
from grokscope.tasks.base import Table, Task

Operation = Literal[
    "add",
    "sub",
    "mul",
    "div",
    "x2+y2",
    "x2+xy+y2",
    "x2+xy+y2+x",
    "x3+xy",
    "x3+xy2+y",
    "div-odd-sub-even",
    "add-even-mul-odd",
    "add-even-sub-odd",
]

FORMULAS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "add": lambda x, y, inv: x + y,
    "sub": lambda x, y, inv: x - y,
    "mul": lambda x, y, inv: x * y,
    "div": lambda x, y, inv: x * inv[y],
    "x2+y2": lambda x, y, inv: x**2 + y**2,
    "x2+xy+y2": lambda x, y, inv: x**2 + x * y + y**2,
    "x2+xy+y2+x": lambda x, y, inv: x**2 + x * y + y**2 + x,
    "x3+xy": lambda x, y, inv: x**3 + x * y,
    "x3+xy2+y": lambda x, y, inv: x**3 + x * y**2 + y,
    "div-odd-sub-even": lambda x, y, inv: torch.where(y % 2 == 1, x * inv[y], x - y),
    "add-even-mul-odd": lambda x, y, inv: torch.where(x % 2 == 0, x + y, x * y),
    "add-even-sub-odd": lambda x, y, inv: torch.where(x % 2 == 0, x + y, x - y),
}
SYMBOLS = {
    "add": "a + b",
    "sub": "a − b",
    "mul": "a · b",
    "div": "a / b",
    "x2+y2": "a² + b²",
    "x2+xy+y2": "a² + ab + b²",
    "x2+xy+y2+x": "a² + ab + b² + a",
    "x3+xy": "a³ + ab",
    "x3+xy2+y": "a³ + ab² + b",
    "div-odd-sub-even": "a / b if b odd else a − b",
    "add-even-mul-odd": "a + b if a even else a · b",
    "add-even-sub-odd": "a + b if a even else a − b",
}


class ModularArithmetic(Task):
    """a ∘ b mod p on all ordered pairs; division leaves b = 0 out (p (p − 1) rows).

    ``div-odd-sub-even`` is the paper's [x/y if y is odd, otherwise x − y]; the other two piecewise
    operations, branching on the parity of x, are in the authors' code only.
    """

    kind: ClassVar[str] = "modular"
    sources: ClassVar[tuple[Source, ...]] = (Source("power2022grokking", "App. A.1.1"),)

    operation: Operation = "add"
    """What is computed; see :data:`SYMBOLS`."""
    modulus: int = Field(default=113, ge=2, le=4096)
    """p. The papers use 97 and 113. Division needs a prime."""

    @model_validator(mode="after")
    def _division_needs_inverses(self) -> "ModularArithmetic":
        if "div" in self.operation and not _is_prime(self.modulus):
            raise ValueError(
                f"modulus: {self.operation} needs a prime modulus, because not every b has an inverse "
                f"mod {self.modulus}; got {self.modulus}, the next prime is {_next_prime(self.modulus)}"
            )
        return self

    @property
    def elements(self) -> int:
        """p operands."""
        return self.modulus

    @property
    def classes(self) -> int:
        """p answers."""
        return self.modulus

    @property
    def symbol(self) -> str:
        """``a + b mod 113``."""
        return f"{SYMBOLS[self.operation]} mod {self.modulus}"

    @property
    def cyclic_order(self) -> int | None:
        """p for addition with true labels; other operations need their own basis."""
        return self.modulus if self.operation == "add" and self.labels == "true" else None

    @property
    def group_table(self) -> Tensor | None:
        """Z_p for addition; None otherwise (0 has no inverse under multiplication)."""
        return self.table.answers_N.view(self.modulus, self.modulus) if self.operation == "add" else None

    @cached_property
    def table(self) -> Table:
        """Rows in order of (a, b), a slowest."""
        p = self.modulus
        numbers = torch.arange(p)
        pairs = torch.cartesian_prod(numbers, numbers)
        if self.operation == "div":
            pairs = pairs[pairs[:, 1] != 0]
        answers = FORMULAS[self.operation](pairs[:, 0], pairs[:, 1], _inverses(p)) % p
        return Table(pairs, answers)


OPERATIONS: tuple[str, ...] = get_args(Operation)


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def _next_prime(n: int) -> int:
    return next(k for k in range(n + 1, 2 * n + 1) if _is_prime(k))


def _inverses(p: int) -> Tensor:
    """y⁻¹ mod p by Fermat, y^(p−2); 0 where there is none."""
    return torch.tensor([pow(y, p - 2, p) if y and _is_prime(p) else 0 for y in range(p)])
