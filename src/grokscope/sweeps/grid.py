"""A diagram as one experiment: cells, the members in them, and the lanes that these share."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from grokscope.experiment import PER_MEMBER, Experiment
from grokscope.spec import Spec
from grokscope.sweeps.axes import Axis, Value

Cell = tuple[int, ...]
"""Place on each axis."""


class Sweep(Spec):
    """An experiment, what varies, and how many seeds there are in each cell."""

    experiment: Experiment
    """What every cell starts from."""
    axes: tuple[Axis, ...]
    """What varies, first axis outermost."""
    members: int = Field(default=1, ge=1)
    """Seeds of each cell, counting up from the experiment's; the same in every cell, so that cells compare."""

    @model_validator(mode="after")
    def _different_fields(self) -> "Sweep":
        fields = [axis.field for axis in self.axes]
        if not fields:
            raise ValueError("a sweep needs at least one axis, such as --over optimizer.weight_decay=log(0.1,10,8)")
        if len(set(fields)) < len(fields):
            raise ValueError(f"each axis needs a field of its own, got {', '.join(fields)}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Values on each axis."""
        return tuple(len(axis) for axis in self.axes)

    def cells(self) -> Iterator[Cell]:
        """All cells, the last axis fastest."""
        return itertools.product(*(range(len(axis)) for axis in self.axes))

    def values(self, cell: Cell) -> dict[str, Value]:
        """The fields of a cell."""
        return {axis.field: axis.values[i] for axis, i in zip(self.axes, cell, strict=True)}

    def at(self, cell: Cell) -> Experiment:
        """The experiment of a cell, its first seed."""
        return self.experiment.with_overrides(self.values(cell))

    def plans(self, cells: Iterable[Cell]) -> "list[Shape]":
        """The cells by what their members can share.

        Raises:
            BadInput: values of two axes that do not go together, such as a modulus that is no prime for division.
        """
        shapes: dict[tuple[Any, ...], Shape] = {}
        for cell in cells:
            values = self.values(cell)
            own = {field: value for field, value in values.items() if field in PER_MEMBER}
            shared = {field: value for field, value in values.items() if field not in PER_MEMBER}
            at = self.at(cell)
            rows = at.task.divide(at.seeds).size("train")
            shape = shapes.setdefault(
                (*map(repr, shared.values()), rows), Shape(self.experiment.with_overrides(shared), rows, [])
            )
            shape.members += [Member(cell, own | {"seed": self.experiment.seed + i}) for i in range(self.members)]
        return list(shapes.values())


@dataclass(frozen=True)
class Member:
    """One network of a diagram: its cell, and what differs from the others of its shape."""

    cell: Cell
    overrides: Mapping[str, Value]


@dataclass
class Shape:
    """Members whose tensors have one shape and that train on equally many rows: they may share lanes."""

    experiment: Experiment
    train_rows: int
    members: list[Member]

    def batches(self, width: int, at_most: int) -> "list[Batch]":
        """Lanes of ``width`` members, and batches of ``at_most`` members or one lane; as even as they can be.

        Who shares a lane with whom depends on the cells and the width alone, so that every engine
        computes the same numbers.
        """
        count = len(self.members)
        lanes = -(-count // width)
        cut = [self.members[i * count // lanes : (i + 1) * count // lanes] for i in range(lanes)]
        per_batch = max(1, at_most // width)
        return [Batch(self.experiment, cut[i : i + per_batch]) for i in range(0, lanes, per_batch)]


@dataclass(frozen=True)
class Batch:
    """What one worker does at a time, as one run: lanes one after another."""

    experiment: Experiment
    lanes: list[list[Member]]

    @property
    def members(self) -> list[Member]:
        """All of them, in the order of the run's members."""
        return [member for lane in self.lanes for member in lane]
