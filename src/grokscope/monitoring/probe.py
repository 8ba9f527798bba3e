"""A fixed batch, and what a model says about it: losses, right answers, logits, the last hidden layer."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.errors import BadInput
from grokscope.measures.curvature import FlatLoss, flat_loss
from grokscope.measures.hooks import Inputs, Logits, call, hooked, logits_of
from grokscope.objectives import CrossEntropy

IGNORED = -100
"""Target that is not asked for, as in torch's cross-entropy."""
ROWS = 1024
"""Predictions whose logits are kept for the measures of logits, at most, evenly spread."""
MINI = 128
"""Rows of a mini-batch whose gradient is taken, at most."""
PLAIN = CrossEntropy(softmax="float32")  # what F.cross_entropy computes
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Seen:
    """What one pass over a batch gives. Sums, so that those of several processes add up."""

    loss_sum: float
    right: float | None
    """Right answers; None where there are no classes."""
    count: int
    """Predictions."""
    logits_MV: Tensor | None = None
    """At most :data:`ROWS` of them, where there are classes."""
    targets_M: Tensor | None = None
    losses_M: Tensor | None = None
    hidden_MD: Tensor | None = None
    """Input of the last linear layer at the predictions that are kept."""

    @property
    def loss(self) -> float:
        """Mean loss of a prediction."""
        return self.loss_sum / self.count if self.count else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Share of right answers."""
        return None if self.right is None or not self.count else self.right / self.count


@dataclass
class Batch:
    """Inputs and targets, and how to read a model's answers to them.

    Args:
        inputs: anything that :func:`grokscope.measures.hooks.call` can give the module.
        targets: classes as integers (:data:`IGNORED` is left out), one-hot rows, or numbers.
        read: the logits of the module's output; ``output.logits`` or its first tensor where left out.
        loss_fn: loss of (logits, targets), a mean or one loss each; cross-entropy of classes and mean square error
            of all else where left out.
    """

    inputs: Inputs
    targets: Tensor
    read: Callable[[Any], Tensor] = logits_of
    loss_fn: Loss | None = None
    because: str = ""
    """Why there are no classes, once a pass was made."""
    chance: float | None = None
    """Accuracy of a guess, once a pass was made: 1/V, or the commonest class's share less twice its error."""
    _linear: str | None = field(default=None, repr=False)
    """The linear layer that was called last."""

    def see(self, module: nn.Module, hidden: bool = False, rows: int = ROWS) -> Seen:
        """One pass of a module that evaluates without gradient; ``hidden`` keeps the last hidden layer."""
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        caught: dict[str, Tensor] = {}
        with self._watching(module, caught) if hidden else nullcontext():
            output = call(module, moved(self.inputs, device))
        raw, targets = self.read(output), self.targets.to(device)
        logits_MV, classes_M = self._classes(raw, targets)
        if logits_MV is None or classes_M is None:
            losses = self._losses(raw, targets)
            return Seen(float(losses.double().mean()) * raw.shape[0], None, raw.shape[0])
        asked = classes_M != IGNORED
        at = asked.nonzero()[:, 0]
        known_M = logits_MV if len(at) == len(asked) else logits_MV[at]
        losses_M = PLAIN.per_token(known_M, classes_M[at]) if self._default else self._losses(raw, targets)
        finite = known_M.isfinite().all(1)  # argmax takes NaN for the largest
        right = int(((known_M.argmax(1) == classes_M[at]) & finite).sum())
        if self.chance is None and len(at):
            most = int(classes_M[at].bincount().max()) / len(at)
            self.chance = max(1 / logits_MV.shape[1], most - 2 * (most * (1 - most) / len(at)) ** 0.5)
        kept = at if len(at) <= rows else at[torch.arange(rows, device=device) * len(at) // rows]
        each = losses_M.numel() == (len(at) if self._default else len(asked)) and losses_M.numel() > 1
        chosen = None
        if each:
            chosen = PLAIN.per_token(logits_MV[kept], classes_M[kept]) if self._default else losses_M.flatten()[kept]
        layer = caught.get("hidden")
        return Seen(
            float(losses_M.double().mean()) * len(at),
            right,
            len(at),
            logits_MV[kept],
            classes_M[kept],
            chosen,
            None if layer is None or layer.numel() % len(asked) else layer.reshape(len(asked), -1)[kept],
        )

    def half(self) -> int:
        """Rows of a mini-batch such that two of them have none in common; 0 where rows cannot be told apart."""
        count = len(self.targets) if self.targets.ndim else 0
        return 0 if _taken(self.inputs, torch.arange(0), count) is None else min(count // 2, MINI)

    def two_losses(self, module: nn.Module, generator: torch.Generator) -> tuple[FlatLoss, FlatLoss, Tensor]:
        """The mean loss of two mini-batches as functions of all weights in one vector, and the vector."""
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        rows = torch.randperm(len(self.targets), generator=generator)[: 2 * self.half()]
        found = []
        for mine in rows.chunk(2):
            inputs, targets = _taken(self.inputs, mine, len(self.targets)), self.targets[mine.to(self.targets.device)]
            loss, theta_P = flat_loss(Logits(module, self.read), self._mean, moved(inputs, device), targets.to(device))
            found.append(loss)
        return found[0], found[1], theta_P

    def _mean(self, raw: Tensor, targets: Tensor) -> Tensor:
        if self._default:
            logits_MV, classes_M = self._classes(raw, targets)
            if logits_MV is not None and classes_M is not None:
                asked = classes_M != IGNORED
                return PLAIN.per_token(logits_MV[asked], classes_M[asked]).mean()
        return self._losses(raw, targets).mean()

    @property
    def objective(self) -> str | None:
        """cross-entropy, mse, or the name of the loss that was given."""
        if self.loss_fn is None:
            return "mse" if self.targets.is_floating_point() else "cross-entropy"
        name = getattr(self.loss_fn, "__name__", type(self.loss_fn).__name__).lower().replace("_", "")
        known = {"crossentropy": "cross-entropy", "crossentropyloss": "cross-entropy", "mseloss": "mse"}
        return known.get(name, name)

    @property
    def _default(self) -> bool:
        """Whether the loss is torch's cross-entropy with nothing changed, so that each prediction's is known."""
        if self.targets.is_floating_point():
            return False
        plain = isinstance(self.loss_fn, nn.CrossEntropyLoss) and (
            self.loss_fn.weight is None and not self.loss_fn.label_smoothing and self.loss_fn.ignore_index == IGNORED
        )
        return self.loss_fn is None or plain or cast(object, self.loss_fn) is F.cross_entropy

    def _losses(self, raw: Tensor, targets: Tensor) -> Tensor:
        if self.loss_fn is not None:
            return self.loss_fn(raw, targets)
        if raw.shape != targets.shape and raw.numel() == targets.numel():
            raw = raw.reshape(targets.shape)
        wide = raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw
        square = (wide - targets.to(wide)).square()
        return square.flatten(1).mean(1) if square.ndim > 1 else square

    def _classes(self, raw: Tensor, targets: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Logits (M, V) and classes (M,) with :data:`IGNORED` still in, or None twice and the reason."""
        if targets.is_floating_point():
            hot = targets.shape == raw.shape and targets.ndim == 2 and targets.shape[1] > 1
            if hot and bool(((targets == 0) | (targets == 1)).all()) and bool((targets.sum(1) == 1).all()):
                return raw, targets.argmax(1)
            if isinstance(self.loss_fn, nn.BCEWithLogitsLoss) and targets.numel() == raw.numel():
                return _two(raw), targets.flatten().round().long()
            self.because = "the targets are numbers, not classes"
            return None, None
        targets = targets.long()
        if raw.shape[:-1] == targets.shape and raw.shape[-1] > 1:
            return raw.reshape(-1, raw.shape[-1]), targets.flatten()
        if raw.ndim > 2 and raw.shape[0] == targets.shape[0] and raw.shape[2:] == targets.shape[1:]:
            return raw.movedim(1, -1).reshape(-1, raw.shape[1]), targets.flatten()  # torch's (N, V, …)
        if raw.numel() == targets.numel():
            return _two(raw), targets.flatten()
        raise BadInput(
            f"logits of shape {tuple(raw.shape)} do not fit targets of shape {tuple(targets.shape)}; "
            "read= takes the function that gives the logits of the model's output."
        )

    def _watching(self, module: nn.Module, caught: dict[str, Tensor]) -> Any:
        """Hooks that keep the input of the linear layer that is called last."""

        def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
                self._linear = name
                if inputs and isinstance(inputs[0], Tensor):
                    caught["hidden"] = inputs[0]

            return hook

        linears = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
        names = [self._linear] if self._linear in linears else linears
        return hooked(module, {name: keep(name) for name in names if name is not None}, before=True)


def _two(raw: Tensor) -> Tensor:
    """One logit of a binary answer as the two logits 0 and z."""
    z = raw.flatten()
    return torch.stack([torch.zeros_like(z), z], 1)


def _taken(inputs: Any, rows: Tensor, count: int) -> Any:
    """Some rows of all tensors that have one for each target; None where there are none."""
    if isinstance(inputs, Tensor):
        return inputs[rows.to(inputs.device)] if inputs.ndim and len(inputs) == count else None
    if not isinstance(inputs, Mapping | list | tuple):
        return None
    parts = dict(inputs) if isinstance(inputs, Mapping) else dict(enumerate(inputs))
    each = {key: _taken(part, rows, count) for key, part in parts.items()}
    if all(part is None for part in each.values()):
        return None
    kept = {key: parts[key] if part is None else part for key, part in each.items()}
    return kept if isinstance(inputs, Mapping) else type(inputs)(kept.values())


def moved(inputs: Any, device: torch.device) -> Any:
    """Tensors on the device; what is no tensor, sequence or mapping stays."""
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    if isinstance(inputs, Mapping):
        return {key: moved(value, device) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return type(inputs)(moved(value, device) for value in inputs)
    return inputs


def copied(inputs: Any) -> Any:
    """The same with tensors of its own, because loaders reuse their memory."""
    if isinstance(inputs, Tensor):
        return inputs.detach().clone()
    if isinstance(inputs, Mapping):
        return {key: copied(value) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return type(inputs)(copied(value) for value in inputs)
    return inputs


def as_batch(
    given: Any, module: nn.Module, read: Callable[[Any], Tensor] | None, loss_fn: Loss | None, name: str
) -> Batch:
    """A batch of what a user gives: (inputs, targets), or a mapping with ``labels`` as Hugging Face's models take it.

    Raises:
        BadInput: it is neither.
    """
    how = logits_of if read is None else read
    if isinstance(given, Mapping) and isinstance(given.get("labels"), Tensor):
        inputs = {key: value for key, value in given.items() if key != "labels"}
        return Batch(copied(inputs), copied(next_tokens(module, given["labels"])), how, loss_fn)
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2 and isinstance(given[1], Tensor):
        return Batch(copied(given[0]), copied(given[1]), how, loss_fn)
    raise BadInput(
        f"{name} must be a pair (inputs, targets) with a tensor of targets, or a mapping that holds labels; "
        f"got {type(given).__name__}."
    )


def next_tokens(module: nn.Module, labels: Tensor) -> Tensor:
    """Labels as the logits at each place are asked for: one place earlier in a causal language model."""
    config = getattr(module, "config", None)
    generates = callable(getattr(module, "can_generate", None)) and bool(module.can_generate())  # type: ignore[operator]
    if not generates or getattr(config, "is_encoder_decoder", False):
        return labels
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORED)], 1)


def rows_of(loader: Any, rows: int) -> Any:
    """The first rows of a loader's data set in one batch, without drawing from the loader; None where it cannot."""
    data, collate = getattr(loader, "dataset", None), getattr(loader, "collate_fn", None)
    if data is None or collate is None or not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        return None
    count = min(rows, len(data))
    return collate([data[i * len(data) // count] for i in range(count)]) if count else None
