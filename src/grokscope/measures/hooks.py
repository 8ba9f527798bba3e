"""Reaching into any module: parts by name, outputs that are seen or replaced, and the module as a function.

A part is a submodule, by its name or by a regular expression that fits the whole name (a name is tried first).
Hooks are removed when what they are for ends, by an error too. What names nothing, or names a module whose
forward is not called, is a ValueError.

Inputs are whatever the module takes: one tensor, the tuple or list of its positional arguments, a mapping of its
keyword arguments (``{"input_ids": ids}``), or, for all else, a function of the module that calls it.
Outputs may be tensors in tuples, lists and dicts. Measures that differentiate want a module of one
input that gives one tensor; :class:`Logits` makes it of any other.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

Inputs = Tensor | Mapping[str, Any] | Sequence[Any] | Callable[[nn.Module], Any]
Edit = Callable[[Any, int], Any]
"""A module's output and the number of the call in this pass -> what it gives instead; None leaves it."""
HALF = (torch.bfloat16, torch.float16)


# Parts by name.


def matching(module: nn.Module, pattern: str) -> list[str]:
    """Names of the submodules that are ``pattern`` or that it fits as a regular expression, in the module's order.

    Raises:
        ValueError: nothing is named so, or it is no regular expression; with the nearest names.
    """
    names = [name for name, _ in module.named_modules() if name]
    if pattern in names:
        return [pattern]
    try:
        found = [name for name in names if re.fullmatch(pattern, name)]
    except re.error as error:
        raise ValueError(f"{pattern!r} is no module's name and no regular expression: {error}") from error
    if not found:
        near = difflib.get_close_matches(pattern, names, 5, 0.0)
        raise ValueError(f"no submodule is named {pattern!r}; there are {', '.join(near) or 'none'}")
    return found


def the_one(module: nn.Module, pattern: str) -> str:
    """The name of the only submodule that fits.

    Raises:
        ValueError: none fits, or several do.
    """
    names = matching(module, pattern)
    if len(names) != 1:
        raise ValueError(f"one submodule is asked for, the name fits {', '.join(names)}")
    return names[0]


# Hooks.


@contextmanager
def hooked(module: nn.Module, hooks: Mapping[str, Callable[..., Any]], *, before: bool = False) -> Iterator[None]:
    """While it lasts, torch's forward hooks on submodules by exact name; ``before``: those that run before forward.

    Raises:
        AttributeError: there is no such submodule.
    """
    handles = []
    try:
        for name, hook in hooks.items():
            part = module.get_submodule(name)
            handles.append((part.register_forward_pre_hook if before else part.register_forward_hook)(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def edited(module: nn.Module, edits: Mapping[str, Edit]) -> Iterator[None]:
    """While it lasts, the outputs of the submodules are what ``edits`` makes of them, by name or expression.

    Raises:
        ValueError: a name fits nothing; or, at the end, the forward of what it fits was not called.
    """
    wanted: dict[str, list[Edit]] = {}
    for pattern, edit in edits.items():
        for name in matching(module, pattern):
            wanted.setdefault(name, []).append(edit)
    calls = dict.fromkeys(wanted, 0)

    def hook(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def change(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            calls[name] += 1
            for edit in wanted[name]:
                instead = edit(output, calls[name] - 1)
                output = output if instead is None else instead
            return output

        return change

    with hooked(module, {name: hook(name) for name in wanted}):
        yield
    if silent := [name for name, count in calls.items() if not count]:
        raise ValueError(f"the forward of {', '.join(silent)} was not called, so there is no output to replace")


# Passes.


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode and no gradient; afterwards every submodule is in the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


def call(module: nn.Module, inputs: Inputs) -> Any:
    """The module's output, in its own mode and with gradient: module(x), module(*x), module(**x) or x(module)."""
    if isinstance(inputs, Tensor):
        return module(inputs)
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, Sequence) else inputs(module)


def run(module: nn.Module, inputs: Inputs, edits: Mapping[str, Edit] | None = None) -> Any:
    """The module's output, in eval mode and without gradient, under some edits. One forward pass."""
    with evaluating(module), edited(module, edits or {}):
        return call(module, inputs)


def captured(module: nn.Module, pattern: str, inputs: Inputs) -> dict[str, list[Any]]:
    """Copies of the outputs of the submodules, by name, one per call, in eval mode. One forward pass.

    Hidden layers of a model of tokens: ``captured(model, "transformer.h.[0-9]+", {"input_ids": ids})``.
    """
    seen: dict[str, list[Any]] = {name: [] for name in matching(module, pattern)}

    def keep(name: str) -> Edit:
        return lambda output, _: seen[name].append(mapped(Tensor.clone, output))  # a later in-place op would show

    run(module, inputs, {name: keep(name) for name in seen})
    return seen


# Outputs.


def mapped(change: Callable[..., Tensor], first: Any, *others: Any) -> Any:
    """A function of each tensor of an output, in the same tuples, lists and dicts; numbers stay.

    Raises:
        ValueError: there is something else in it, such as a cache of keys and values.
    """
    if isinstance(first, Tensor):
        return change(first, *others)
    if first is None or isinstance(first, bool | int | float | str):
        return first
    if isinstance(first, dict):
        parts = {key: mapped(change, value, *(other[key] for other in others)) for key, value in first.items()}
        return dataclasses.replace(first, **parts) if dataclasses.is_dataclass(first) else parts
    if isinstance(first, list | tuple):
        items = [mapped(change, *each) for each in zip(first, *others, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    raise ValueError(f"an output must be tensors, got {type(first).__name__}; name a submodule that gives tensors")


def first_tensor(output: Any) -> Tensor:
    """The first tensor of an output: of an ``nn.LSTM`` all its states, of a router that gives a tuple its logits.

    Raises:
        ValueError: it does not begin with a tensor.
    """
    while not isinstance(output, Tensor):
        if not isinstance(output, list | tuple | dict) or not output:
            raise ValueError(f"an output must begin with a tensor, got {type(output).__name__}")
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return output


def units(numbers: Sequence[int] | Tensor, axis: int = -1) -> tuple[Any, ...]:
    """The index of some neurons along an axis of an output: −1, or 1 for the channels of a convolution."""
    if axis < 0:
        return (..., numbers, *[slice(None)] * (-axis - 1))
    return (*[slice(None)] * axis, numbers)


def put(output: Tensor, value: Tensor, at: Any = ...) -> Tensor:
    """A copy of ``output`` with ``value``, of its shape or with ones in it, at an index."""
    whole = value.to(output).expand_as(output)
    changed = output.clone()
    changed[at] = whole[at]
    return changed


def logits_of(output: Any) -> Tensor:
    """The logits of a module's output: its ``logits`` where it has such, else its :func:`first_tensor`."""
    found = getattr(output, "logits", None)
    return found if isinstance(found, Tensor) else first_tensor(output)


# Modules as functions.


class Logits(nn.Module):
    """A module of one input that gives one tensor, made of any other: what measures that differentiate want.

    ``Logits(model)`` gives ``model(...).logits``, and takes what :func:`call` takes; ``Logits(model, last)`` with
    ``last = lambda output: output.logits[:, -1]`` the answer after the last token, (N, V). ``ntk`` takes rows of one
    tensor, so several inputs of a row go side by side and are told apart by ``how``:
    ``how=lambda model, x: model(input_ids=x[:, 0], attention_mask=x[:, 1])`` for x of (N, 2, T).

    It holds the module itself, not a copy: its parameters are the module's, in the module's order, under names
    that begin with ``module.``; the mode of neither moves.
    """

    def __init__(
        self,
        module: nn.Module,
        read: Callable[[Any], Tensor] = logits_of,
        how: Callable[[nn.Module, Any], Any] = call,
    ) -> None:
        super().__init__()
        self.module, self.read, self.how = module, read, how
        self.training = module.training

    def forward(self, inputs: Any) -> Tensor:
        """read(how(module, inputs))."""
        return self.read(self.how(self.module, inputs))


def widened(value: Any) -> Any:
    """Half-precision tensors of an input or a state as float32, all else as it is.

    A derivative's differences do not survive the 8 bits of bfloat16, so kernels and curvature are those of
    the function that the weights define, computed in float32.
    """
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALF else value
    if isinstance(value, Mapping):
        return {key: widened(each) for key, each in value.items()}
    return type(value)(widened(each) for each in value) if isinstance(value, list | tuple) else value


def weights_and_buffers(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Detached weights by name, and copies of the buffers, which a forward pass may change; both :func:`widened`.

    Weights that two parts share are there once.
    """
    weights = {name: widened(p.detach()) for name, p in module.named_parameters()}
    return weights, {name: widened(b.detach().clone()) for name, b in module.named_buffers()}


def in_float32(module: nn.Module) -> Callable[[Any], Tensor]:
    """The function that a module of half precision computes, in float32; of any other module its own.

    For measures that ask a function for small differences: local complexity, straightness.
    """
    weights, buffers = weights_and_buffers(module)
    return lambda inputs: at_weights(module, weights, buffers, widened(inputs))


def at_weights(module: nn.Module, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Any) -> Tensor:
    """The module's output at other weights and buffers, twice differentiable in the weights; it is left as it is.

    Attention takes its plain form, since the fused kernels have no second derivative.

    Raises:
        TypeError: the output is no tensor.
    """
    with sdpa_kernel(SDPBackend.MATH):
        output = functional_call(module, (dict(weights), dict(buffers)), (inputs,))
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise TypeError(f"the module gives {kind}, not a tensor; hooks.Logits(module) gives its logits")
    return output
