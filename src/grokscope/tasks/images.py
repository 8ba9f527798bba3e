"""Small images: handwritten digits of 8 × 8 pixels, as scikit-learn ships them."""

from functools import cached_property
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from grokscope.sources import Source
from grokscope.tasks.base import Table, Task

LEVELS = 16
"""The brightest pixel; the darkest is 0."""


class Digits(Task):
    """1,797 handwritten digits of 8 × 8 pixels (UCI's optical recognition test set), no two of them equal.

    Operand i of a row is the grey level of pixel i, 0 … 16, rows of pixels one after the other; the real
    features are these levels over 16, in [0, 1]; the answer is the digit. A stand-in for MNIST where a minute
    has to be enough.
    """

    kind: ClassVar[str] = "digits"
    sources: ClassVar[tuple[Source, ...]] = (Source("pedregosa2011scikitlearn", "load_digits"),)

    train_fraction: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share of the images that is trained on, in (0, 1)."""
    split: Literal["ordered"] = "ordered"
    """Each image is drawn alone."""

    @property
    def elements(self) -> int:
        """17 grey levels."""
        return LEVELS + 1

    @property
    def classes(self) -> int:
        """10 digits."""
        return 10

    @property
    def symbol(self) -> str:
        """``digit of 8 × 8 pixels``."""
        return "digit of 8 × 8 pixels"

    @property
    def size(self) -> int:
        """1,797 images, known without importing scikit-learn."""
        return 1797

    @cached_property
    def table(self) -> Table:
        """Rows in scikit-learn's order: pixels (1797, 64) and digits (1797,)."""
        from sklearn.datasets import load_digits

        pixels, digits = load_digits(return_X_y=True)
        return Table(torch.from_numpy(pixels).long(), torch.from_numpy(digits).long())

    @property
    def features_NF(self) -> Tensor:
        """Pixels in [0, 1], (1797, 64) float32."""
        return self.table.operands_NK / float(LEVELS)
