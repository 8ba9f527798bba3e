"""The perceptron of Chughtai et al. 2023: an embedding for either operand, one hidden layer, no biases."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.models.base import Encoding, Model, Network, Neurons, padded
from grokscope.sources import Source
from grokscope.tasks.base import Table, Task


class UntiedMLP(Model):
    """logits = relu([E_a[a], E_b[b]] W) W_U, with an embedding of its own for each of two operands.

    There is no nonlinearity between embedding and W, so that the network is one of the two products
    E_a W[:width] and E_b W[width:], the "total embeddings". All weights are N(0, 1 / columns) for embeddings and
    N(0, 1 / fan_in) for linear maps.
    """

    kind: ClassVar[str] = "untied-mlp"
    sources: ClassVar[tuple[Source, ...]] = (Source("chughtai2023toy", "App. C"),)

    width: int = Field(default=256, ge=1)
    """Width of each embedding."""
    hidden: int = Field(default=128, ge=1)
    """Neurons."""

    def check(self, task: Task) -> None:
        """A row must be a pair."""
        if (operands := len(task.operand_ranges)) != 2:
            raise ValueError(f"model: an untied-mlp takes rows of 2 operands, got {operands}")

    def encode(self, task: Task, table: Table) -> Encoding:
        """Tokens are the element ids."""
        return Encoding(table.operands_NK, table.answers_N[:, None], slice(0, task.classes))

    def skeleton(self, task: Task) -> Network:
        """The module."""
        return UntiedNetwork(self, task)


class UntiedNetwork(Network):
    """One member's network; weights are (fan_in, fan_out)."""

    neurons = "activation"
    readout = "W_U"
    written = ("activation",)

    def __init__(self, spec: UntiedMLP, task: Task) -> None:
        super().__init__()
        self.E_a = nn.Parameter(torch.empty(task.elements, spec.width))
        self.E_b = nn.Parameter(torch.empty(task.elements, spec.width))
        self.W = nn.Parameter(torch.empty(2 * spec.width, spec.hidden))
        self.W_U = nn.Parameter(torch.empty(spec.hidden, task.classes))
        self.activation = Neurons("relu")

    def forward(self, tokens_NL: Tensor) -> Tensor:
        """Logits (N, 1, C)."""
        first, second = self.totals()
        h = self.activation(F.embedding(tokens_NL[:, 0], first) + F.embedding(tokens_NL[:, 1], second))
        return (h @ padded(self.W_U, len(h)))[:, None, : self.W_U.shape[1]]

    def totals(self) -> tuple[Tensor, Tensor]:
        """What either operand adds to the neurons, two (P, H): tables of elements, not of rows."""
        first, second = self.W.chunk(2)
        return self.E_a @ first, self.E_b @ second

    def initialise(self, generator: torch.Generator) -> None:
        """All normal."""
        for embedding in (self.E_a, self.E_b):
            embedding.normal_(std=embedding.shape[1] ** -0.5, generator=generator)
        for weight in (self.W, self.W_U):
            weight.normal_(std=weight.shape[0] ** -0.5, generator=generator)

    def embedding_PD(self) -> Tensor:
        """The total embeddings of both operands side by side, (P, 2H)."""
        return torch.cat(self.totals(), dim=1)

    def neuron_to_logit_HC(self) -> Tensor:
        """W_U."""
        return self.W_U
