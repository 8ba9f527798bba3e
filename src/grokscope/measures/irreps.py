"""Irreducible real representations of Z_n, D_n, S_n and A_n with a matrix for every element, usable alone.

Axes: G elements of a group, D dimension of a representation, I irreducible representations ("irreps").
Element 0 is the identity. Everything is float64.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from grokscope.errors import BadInput


@dataclass(frozen=True, eq=False)
class Irrep:
    """A representation ρ over ℝ that has no smaller one inside: ρ(g) ρ(h) = ρ(gh), all orthogonal."""

    name: str
    matrices_GDD: Tensor

    @property
    def dimension(self) -> int:
        """D; 1 for the trivial one, n − 1 for the standard one of S_n."""
        return self.matrices_GDD.shape[1]

    @cached_property
    def characters_G(self) -> Tensor:
        """χ_ρ(g) = tr ρ(g), (G,), in [−D, D]; equal within conjugacy classes."""
        return self.matrices_GDD.diagonal(dim1=1, dim2=2).sum(1)

    @cached_property
    def norm(self) -> int:
        """⟨χ, χ⟩ = Σ_g χ(g)² / G: 1, or 2 where ρ splits in two over ℂ, as a rotation of Z_n does."""
        return round(float(self.characters_G.square().mean()))

    @property
    def functions(self) -> int:
        """D² / ⟨χ, χ⟩: how many independent functions of g the entries of ρ(g) are. Over all irreps the sum is G."""
        return self.dimension**2 // self.norm


@dataclass(frozen=True, eq=False)
class Group:
    """A finite group with all its irreps, the trivial one first."""

    name: str
    table_GG: Tensor
    """Cayley table, int64: ``table_GG[a, b]`` is a · b."""
    irreps: tuple[Irrep, ...]

    @property
    def order(self) -> int:
        """G."""
        return len(self.table_GG)

    @cached_property
    def quotients_GG(self) -> Tensor:
        """``quotients_GG[g, c]`` = g · c⁻¹."""
        inverse_G = (self.table_GG == 0).int().argmax(1)
        return self.table_GG[:, inverse_G]

    @cached_property
    def characters_IG(self) -> Tensor:
        """The character table, by element: rows are orthogonal, with squares ⟨χ, χ⟩ · G."""
        return torch.stack([irrep.characters_G for irrep in self.irreps])

    @cached_property
    def projectors_IGG(self) -> Tensor:
        """For each irrep the projection of functions of g on the entries of ρ(g); the sum of all is 1.

        P_ρ[g, h] = D / (⟨χ, χ⟩ G) · χ_ρ(g h⁻¹). G²·I numbers: 6 MB for Z_113, 46 MB for S_6.
        """
        scales = [irrep.dimension / (irrep.norm * self.order) for irrep in self.irreps]
        return torch.tensor(scales, dtype=torch.float64)[:, None, None] * self.characters_IG[:, self.quotients_GG]


@lru_cache(maxsize=8)
def cyclic(n: int) -> Group:
    """Z_n, elements 0 … n − 1 under addition mod n.

    Irreps: trivial; rotations by 2πkx/n for k = 1 … (n − 1) // 2, which are the frequencies; for even n
    last (−1)^x. Z_113 has 57.

    Raises:
        BadInput: n < 1.
    """
    if n < 1:
        raise BadInput(f"Z_n needs n >= 1, got {n}.")
    x = torch.arange(n)
    irreps = [_line("trivial", torch.ones(n))]
    irreps += [Irrep(f"rotation {k}", _rotations(n, k)) for k in range(1, (n - 1) // 2 + 1)]
    if n % 2 == 0:
        irreps.append(_line("sign", 1.0 - 2.0 * (x % 2)))
    return Group(f"Z{n}", (x[:, None] + x) % n, tuple(irreps))


@lru_cache(maxsize=8)
def dihedral(n: int) -> Group:
    """D_n with 2n elements, n >= 2: r^i is element i, r^i s is n + i, and s r = r⁻¹ s.

    Irreps: trivial, sign (−1 for reflections), for even n two more lines with r = −1, and rotations k =
    1 … (n − 1) // 2 of the plane with s = diag(1, −1). D_3 is S_3.

    Raises:
        BadInput: n < 2.
    """
    if n < 2:
        raise BadInput(f"D_n needs n >= 2, got {n}.")
    i = torch.arange(n)
    plus, minus = (i[:, None] + i) % n, (i[:, None] - i) % n
    table = torch.cat([torch.cat([plus, plus + n], 1), torch.cat([minus + n, minus], 1)])
    ones, turns = torch.ones(n), 1.0 - 2.0 * (i % 2)
    irreps = [_line("trivial", torch.cat([ones, ones])), _line("sign", torch.cat([ones, -ones]))]
    if n % 2 == 0:
        irreps += [_line("turn", torch.cat([turns, turns])), _line("turn sign", torch.cat([turns, -turns]))]
    mirror = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    for k in range(1, (n - 1) // 2 + 1):
        rotations = _rotations(n, k)
        irreps.append(Irrep(f"rotation {k}", torch.cat([rotations, rotations @ mirror])))
    return Group(f"D{n}", table, tuple(irreps))


@lru_cache(maxsize=4)
def symmetric(n: int) -> Group:
    """S_n, n = 2 … 6, elements in lexicographic order of the images, left factor first: (a · b)(i) = b(a(i)).

    Irreps by Young's orthogonal form, named by their partitions, largest first: "5" is trivial, "4+1"
    standard, "1+1+1+1+1" the sign of S_5. Dimensions of S_4: 1, 3, 2, 3, 1; of S_5: 1, 4, 5, 6, 5, 4, 1.

    Raises:
        BadInput: n outside 2 … 6; the table of S_7 has 25 million entries.
    """
    if not 2 <= n <= 6:
        raise BadInput(f"S_n is kept for n = 2 … 6, got {n}.")
    images = np.array(list(itertools.permutations(range(n))))
    place = n ** np.arange(n)
    ids = np.zeros(n**n, dtype=np.int64)
    ids[images @ place] = np.arange(len(images))
    table = torch.from_numpy(ids[images[:, images] @ place].T.copy())  # images[b][images[a]]
    swaps = []
    for i in range(n - 1):
        swap = np.arange(n)
        swap[[i, i + 1]] = i + 1, i
        swaps.append(int(ids[swap @ place]))
    irreps = []
    for partition in _partitions(n, n):
        matrices = dict(zip(swaps, young_orthogonal(partition), strict=True))
        irreps.append(Irrep("+".join(map(str, partition)), from_generators(table, matrices)))
    return Group(f"S{n}", table, tuple(irreps))


@lru_cache(maxsize=4)
def alternating(n: int) -> Group:
    """A_n, n = 3 … 6, the even elements of S_n in their order.

    Irreps are those of S_n restricted, one of each pair of conjugate partitions. A partition that is its own
    conjugate falls into two halves "a" and "b", or over ℝ stays whole with ⟨χ, χ⟩ = 2, as "2+2" of A_4.
    Dimensions of A_5: 1, 4, 5, 3, 3.

    Raises:
        BadInput: n outside 3 … 6.
    """
    if not 3 <= n <= 6:
        raise BadInput(f"A_n is kept for n = 3 … 6, got {n}.")
    whole, partitions = symmetric(n), _partitions(n, n)
    even = (whole.irreps[-1].characters_G > 0).nonzero()[:, 0]  # the last irrep is the sign
    number = torch.full((whole.order,), -1)
    number[even] = torch.arange(len(even))
    irreps = []
    for partition, irrep in zip(partitions, whole.irreps, strict=True):
        conjugate = tuple(sum(row > column for row in partition) for column in range(partition[0]))
        matrices = irrep.matrices_GDD[even]
        if partition > conjugate:
            irreps.append(Irrep(irrep.name, matrices))
        elif partition == conjugate:
            irreps += _halves(irrep.name, matrices)
    return Group(f"A{n}", number[whole.table_GG[even][:, even]], tuple(irreps))


def _halves(name: str, matrices_GDD: Tensor) -> list[Irrep]:
    """A representation split in two along the eigenvectors of a class sum Σ_h ρ(h g h⁻¹), which commutes with it."""
    for rho in matrices_GDD:
        total = torch.einsum("gij,jk,glk->il", matrices_GDD, rho, matrices_GDD)
        values, vectors = torch.linalg.eigh(total + total.T)
        if values[-1] - values[0] > 1e-6 * len(matrices_GDD):
            parts = zip("ab", vectors.tensor_split(2, dim=1), strict=True)
            return [Irrep(f"{name} {letter}", part.T @ matrices_GDD @ part) for letter, part in parts]
    return [Irrep(name, matrices_GDD)]


def find_group(table_GG: Tensor) -> Group | None:
    """The group above that has this Cayley table, element by element; None where none has."""
    order = len(table_GG)
    found = [cyclic(order)]
    if order % 2 == 0 and order >= 4:
        found.append(dihedral(order // 2))
    found += [symmetric(n) for n in range(3, 7) if math.factorial(n) == order]
    found += [alternating(n) for n in range(4, 7) if math.factorial(n) == 2 * order]
    return next((group for group in found if torch.equal(group.table_GG, table_GG.cpu())), None)


def from_generators(table_GG: Tensor, matrices: dict[int, Tensor]) -> Tensor:
    """ρ of every element, (G, D, D), from ρ of generators: ρ(x · s) = ρ(x) ρ(s), from the identity outwards."""
    d = len(next(iter(matrices.values())))
    found = torch.zeros(len(table_GG), d, d, dtype=torch.float64)
    found[0] = torch.eye(d)
    known = torch.zeros(len(table_GG), dtype=torch.bool)
    known[0] = True
    front = torch.tensor([0])
    while len(front):
        reached = []
        for generator, matrix in matrices.items():
            to = table_GG[front, generator]  # a column of a Cayley table holds no element twice
            new = ~known[to]
            found[to[new]] = found[front[new]] @ matrix
            known[to] = True
            reached.append(to[new])
        front = torch.cat(reached)
    return found


def young_orthogonal(partition: tuple[int, ...]) -> list[Tensor]:
    """ρ(s_i) for the adjacent transpositions s_1 … s_{n−1} in Young's orthogonal form, each (D, D).

    On standard tableaux T: ρ(s_i) T = T / r + √(1 − 1/r²) · s_i T, with r = c(i+1) − c(i) and the content
    c = column − row. Symmetric, and its own inverse. Up to the order of the axes (2, 1) has diag(1, −1) and
    [[−1/2, √3/2], [√3/2, 1/2]].
    """
    tableaux = _tableaux(partition)
    number = {tableau: t for t, tableau in enumerate(tableaux)}
    swaps = []
    for i in range(sum(partition) - 1):
        matrix = torch.zeros(len(tableaux), len(tableaux), dtype=torch.float64)
        for t, tableau in enumerate(tableaux):
            (row, column), (next_row, next_column) = tableau[i], tableau[i + 1]
            r = (next_column - next_row) - (column - row)
            matrix[t, t] = 1 / r
            other = number.get((*tableau[:i], tableau[i + 1], tableau[i], *tableau[i + 2 :]))
            if other is not None:
                matrix[other, t] = math.sqrt(1 - 1 / r**2)
        swaps.append(matrix)
    return swaps


Tableau = tuple[tuple[int, int], ...]  # the cell (row, column) of each number


def _tableaux(partition: tuple[int, ...]) -> list[Tableau]:
    if not sum(partition):
        return [()]
    found = []
    for row, length in enumerate(partition):
        below = partition[row + 1] if row + 1 < len(partition) else 0
        if length > below:  # the largest number is in a corner
            rest = (*partition[:row], length - 1, *partition[row + 1 :])
            found += [(*tableau, (row, length - 1)) for tableau in _tableaux(rest)]
    return found


def _partitions(n: int, largest: int) -> list[tuple[int, ...]]:
    if n == 0:
        return [()]
    return [(first, *rest) for first in range(min(n, largest), 0, -1) for rest in _partitions(n - first, first)]


def _line(name: str, values_G: Tensor) -> Irrep:
    return Irrep(name, values_G.double()[:, None, None])


def _rotations(n: int, k: int) -> Tensor:
    turn = 2 * torch.pi * (k * torch.arange(n) % n).double() / n
    c, s = turn.cos(), turn.sin()
    return torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
