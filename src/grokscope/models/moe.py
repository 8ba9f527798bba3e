"""A transformer whose MLPs are mixtures of experts, of which each row of the stream uses a few."""

from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.models.base import Network
from grokscope.models.transformer import Block, Transformer, TransformerNetwork
from grokscope.sources import Source
from grokscope.tasks.base import Task


class MixtureTransformer(Transformer):
    """The transformer with Σ_e g_e · MLP_e(x) in place of each MLP, over the ``active`` experts of largest logit x W_R.

    The gates g are the softmax of these logits among themselves, so they sum to 1. The paper's
    noise on the logits and its losses that balance the experts are left out.
    """

    kind: ClassVar[str] = "moe"
    sources: ClassVar[tuple[Source, ...]] = (*Transformer.sources, Source("shazeer2017outrageously", "Sec. 2.1"))

    experts: int = Field(default=8, ge=1)
    """MLPs per block, each with ``hidden`` neurons."""
    active: int = Field(default=2, ge=1)
    """k, experts that a row uses; at most ``experts``. With 1 the gate is always 1, so that the
    router has no gradient and stays as it started."""

    @model_validator(mode="after")
    def _active_are_experts(self) -> "MixtureTransformer":
        if self.active > self.experts:
            raise ValueError(f"active must be at most experts, {self.experts}, got {self.active}")
        return self

    def block(self) -> Block:
        """One layer's module."""
        return MixtureBlock(self)

    def skeleton(self, task: Task) -> Network:
        """The module."""
        return MixtureNetwork(self, task)


class MixtureBlock(Block):
    """W_in (E, D, H), b_in (E, H), W_out (E, H, D), b_out (E, D), and the router W_R (D, E)."""

    def __init__(self, spec: MixtureTransformer) -> None:
        super().__init__(spec, (spec.experts,))
        self.experts = spec.experts
        self.active = spec.active
        self.W_R = nn.Parameter(torch.empty(spec.width, spec.experts))

    def route(self, y_MD: Tensor) -> tuple[Tensor, Tensor]:
        """Gates (M, k) and the experts (M, k) that they belong to, largest first."""
        logits_MK, experts_MK = (y_MD @ self.W_R).topk(self.active)
        return torch.softmax(logits_MK, -1), experts_MK

    def feed_forward(self, y: Tensor) -> Tensor:
        """The mixture, on rows of the stream (…, D)."""
        y_MD = y.flatten(0, -2)
        gates_MK, experts_MK = self.route(y_MD)
        mixture = self.of_all if _lifted(experts_MK) else self.of_routed
        return mixture(y_MD, gates_MK, experts_MK).view(y.shape)

    def of_routed(self, y_MD: Tensor, gates_MK: Tensor, experts_MK: Tensor) -> Tensor:
        """The mixture at the cost of what is routed: the rows of an expert are put side by side."""
        order = experts_MK.flatten().argsort(stable=True)
        counts = experts_MK.flatten().bincount(minlength=self.experts).tolist()
        rows = F.embedding(order // self.active, y_MD).split(counts)
        nothing = [None] * self.experts
        b_in = nothing if self.b_in is None else self.b_in.unbind()
        b_out = nothing if self.b_out is None else self.b_out.unbind()
        found = []
        for x, w_in, b, w_out, c in zip(rows, self.W_in.unbind(), b_in, self.W_out.unbind(), b_out, strict=True):
            h = self.neurons(x @ w_in if b is None else x @ w_in + b)
            found.append(h @ w_out if c is None else h @ w_out + c)
        each_MKD = F.embedding(order.argsort(), torch.cat(found)).unflatten(0, experts_MK.shape)
        return (gates_MK[..., None] * each_MKD).sum(1)

    def of_all(self, y_MD: Tensor, gates_MK: Tensor, experts_MK: Tensor) -> Tensor:
        """The same with every expert on every row, and gates of 0 where a row is not routed."""
        gates_ME = gates_MK.new_zeros(len(y_MD), self.experts).scatter(1, experts_MK, gates_MK)
        pre_MEH = (y_MD @ self.W_in.transpose(0, 1).flatten(1)).unflatten(1, (self.experts, -1))
        h_MEH = self.neurons(pre_MEH if self.b_in is None else pre_MEH + self.b_in)
        mixed = (gates_ME[..., None] * h_MEH).flatten(1) @ self.W_out.flatten(0, 1)
        return mixed if self.b_out is None else mixed + gates_ME @ self.b_out

    def collapsing_pays(self, count: int, V: int) -> bool:
        """Never: rows have different experts, so there is no one matrix W_O W_in to multiply first."""
        return False


class MixtureNetwork(TransformerNetwork):
    """One member's transformer. It names no neurons: those of two rows may belong to different experts."""

    def __init__(self, spec: MixtureTransformer, task: Task) -> None:
        super().__init__(spec, task)
        self.neurons = ""

    def neuron_to_logit_HC(self) -> Tensor | None:
        """None: which neurons reach the logits depends on the row."""
        return None


class _Lifted(torch.autograd.Function):
    """Whether ``torch.func.vmap`` runs over a tensor; it is told by calling ``vmap`` in place of ``forward``."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.zeros((), dtype=torch.bool)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor) -> tuple[Tensor, None]:
        return torch.ones((), dtype=torch.bool), None


def _lifted(x: Tensor) -> bool:
    """Whether members are stacked here: then no shape can depend on the values of ``x``."""
    return bool(_Lifted.apply(x))
