"""The optimizer's side: updates counted, gradients read just before one, and the setting as its groups have it."""

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.forecast import Setting
from grokscope.measures.dynamics import CHUNK
from grokscope.monitoring.untouched import plain_optimizer

DECOUPLED = ("adamw", "sgd", "lion", "muon", "nadamw", "lamb")
"""Names of optimizers whose decay takes the share lr · λ of each weight (SGD's does so without momentum)."""


class Updates:
    """Counts the updates of the first optimizer, and calls ``before`` just before each.

    The hooks are weak: a monitor that nobody holds any more costs nothing and is not kept alive. So ``before`` is a
    method of what is watched for.
    """

    def __init__(self, optimizers: Sequence[Any], before: Callable[[], None], start: int = 0) -> None:
        self.optimizers = [plain_optimizer(optimizer) for optimizer in optimizers]
        self.count = start
        self._handles: list[Any] = []
        first = self.optimizers[0] if self.optimizers else None
        self.hooked = hasattr(first, "register_step_post_hook")
        if self.hooked and first is not None:
            self._handles = [
                first.register_step_pre_hook(_weakly(before)),
                first.register_step_post_hook(_weakly(self._one_more)),
            ]

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of all optimizers."""
        return [group for optimizer in self.optimizers for group in getattr(optimizer, "param_groups", [])]

    @property
    def lr(self) -> float | None:
        """Learning rate of the group with the most parameters."""
        group = self._largest()
        return None if group is None or "lr" not in group else float(group["lr"])

    def setting(self, **known: Any) -> Setting:
        """The setting as the largest group has it.

        Weight decay is left open where it is not decoupled: what an adaptive rule makes of it is no fixed
        share of the weights.
        """
        group = self._largest()
        if group is None:
            return Setting(**known)
        kind = next(
            type(o).__name__.lower() for o in self.optimizers if any(g is group for g in getattr(o, "param_groups", []))
        )
        decay = group.get("weight_decay")
        decoupled = group.get("decoupled_weight_decay", any(name in kind for name in DECOUPLED))
        weight_decay = None if decay is None or not (decoupled or decay == 0) else float(decay)
        return Setting(lr=self.lr, weight_decay=weight_decay, optimizer=kind, **known)

    def gradient(self, module: nn.Module) -> dict[str, float]:
        """``gradient/norm`` of the gradients that are there, and ``update/decay_share`` where there is decay."""
        slopes = [p.grad for p in module.parameters() if p.grad is not None]
        if not slopes:
            return {}
        norm = norm_of(slopes)
        decay = sum(
            (g["weight_decay"] * norm_of([p for p in g["params"] if p.grad is not None])) ** 2
            for g in self.groups()
            if g.get("weight_decay")
        )
        values = {"gradient/norm": norm}
        if decay:
            values["update/decay_share"] = decay**0.5 / (decay**0.5 + norm)
        return values

    def _largest(self) -> dict[str, Any] | None:
        return max(self.groups(), key=lambda g: sum(p.numel() for p in g["params"]), default=None)

    def _one_more(self) -> None:
        self.count += 1


def norm_of(tensors: Iterable[Tensor]) -> float:
    """√(Σ θ²) over all tensors in float64, a piece at a time; one wait for the device."""
    squares = [
        torch.linalg.vector_norm(part, dtype=torch.float64).square()
        for tensor in tensors
        for part in _values(tensor.detach()).split(CHUNK)
    ]
    if not squares:
        return 0.0
    return float(torch.stack([square.to(squares[0].device) for square in squares]).sum().sqrt())


def _values(tensor: Tensor) -> Tensor:
    return (tensor.coalesce().values() if tensor.is_sparse else tensor).reshape(-1)


def _weakly(method: Callable[[], None]) -> Callable[..., None]:
    held = weakref.WeakMethod(method)

    def hook(*_: Any) -> None:
        alive = held()
        if alive is not None:
            alive()

    return hook
