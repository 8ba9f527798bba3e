"""What a part of a network does: it is replaced or taken away, and what changes is seen. For any module.

A part is a submodule, by its name or by a regular expression that fits the whole name, and within its output an
index ``at``: ``...`` for everything, ``(..., [3, 5])`` for two neurons (:func:`~grokscope.measures.hooks.units`),
``(slice(None), 1)`` for the second position. Where an output has several tensors (``nn.LSTM``) the index holds for
each. ``inputs`` are whatever the module takes: see :mod:`grokscope.measures.hooks`.

Networks run in eval mode and without gradient, and are left as they were: hooks are gone afterwards, after
an error too. What names nothing, or names a module whose forward is not called, is a ValueError.

Axes: N rows, H neurons, C answers, V tokens. Predictions are the argmax over the last axis, its sign where that is 1.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.hooks import (
    Edit,
    Inputs,
    captured,
    first_tensor,
    logits_of,
    mapped,
    matching,
    put,
    run,
    the_one,
    units,
)
from grokscope.measures.spectrum import PROBE_ROWS, probe_rows
from grokscope.models.base import Neurons
from grokscope.sources import Source
from grokscope.trace import Quantity

Ablation = Literal["mean", "zero", "resample"]
_SHARE = (0.0, 1.0)


# Patching and ablation.


def patched(module: nn.Module, inputs: Inputs, source: Inputs, pattern: str, at: Any = ...) -> Any:
    """The module's output on ``inputs`` when a part has the value that it has on ``source``. Two forward passes.

    At the only carrier of what differs the output is that of ``source``; at a part that nothing reads it is
    that of ``inputs``. A module that is called several times gets each call's value. [Wang et al. 2024]

    Raises:
        ValueError: nothing is named so, or a part has another shape on ``source``.
    """
    states = captured(module, pattern, source)
    return run(module, inputs, {name: _given(name, calls, at) for name, calls in states.items()})


def ablated(
    module: nn.Module,
    inputs: Inputs,
    pattern: str,
    how: Ablation = "mean",
    at: Any = ...,
    *,
    reference: Inputs | None = None,
    seed: int = 0,
    batch: int = 0,
) -> Any:
    """The module's output on ``inputs`` without what a part tells about the row. One or two forward passes.

    Args:
        module: any.
        inputs: one tensor, a tuple or a mapping of arguments, or a function that calls the module.
        pattern: name or regular expression of submodules; all that fit are ablated together.
        how: ``zero``; ``mean``: the part's mean over the rows, at each position its own; ``resample``:
            the part of another row, one and the same for all submodules of N rows. Zero deletes the weights
            that read the part; mean leaves a constant part untouched.
        at: index within the output.
        reference: rows over which the mean is taken or from which rows are drawn (then with replacement
            and possibly its own); ``inputs`` unless given.
        seed: of the other rows; global random state is not touched.
        batch: axis of the rows. Where another tensor of the output has another number there, it is the
            first axis with that number (the states of an ``nn.LSTM``).
    """
    edits = _ablation(module, inputs, pattern, how, reference, seed, batch)
    return run(module, inputs, edits(at))


def _ablation(
    module: nn.Module, inputs: Inputs, pattern: str, how: Ablation, reference: Inputs | None, seed: int, batch: int
) -> Callable[[Any], dict[str, Edit]]:
    """The edits of an ablation, as a function of the index."""
    if how not in ("mean", "zero", "resample"):
        raise ValueError(f"how must be 'mean', 'zero' or 'resample', got {how!r}")
    if how == "zero":
        names = matching(module, pattern)
        return lambda at: {name: _zeroed(at) for name in names}
    states = captured(module, pattern, inputs if reference is None else reference)
    if how == "mean" or reference is None:
        instead = {name: [_instead(state, how, seed, batch) for state in calls] for name, calls in states.items()}
        return lambda at: {name: _given(name, calls, at) for name, calls in instead.items()}
    return lambda at: {name: _drawn(calls, at, seed, batch) for name, calls in states.items()}


def _given(name: str, calls: Sequence[Any], at: Any) -> Edit:
    """In place of each call's part the given one's, which may have one row for all."""

    def placed(output: Tensor, value: Tensor) -> Tensor:
        if output.dim() != value.dim() or any(v not in (1, o) for o, v in zip(output.shape, value.shape, strict=True)):
            raise ValueError(f"{name} has shape {tuple(output.shape)} here and {tuple(value.shape)} in the other run")
        return put(output, value, at)

    def edit(output: Any, call: int) -> Any:
        if call >= len(calls):
            raise ValueError(f"{name} is called more than the {len(calls)} times of the other run")
        return mapped(placed, output, calls[call])

    return edit


def _zeroed(at: Any) -> Edit:
    return lambda output, _: mapped(lambda x: put(x, torch.zeros_like(x), at), output)


def _drawn(calls: Sequence[Any], at: Any, seed: int, batch: int) -> Edit:
    """In place of each call's part that of rows drawn from another run's."""

    def edit(output: Any, call: int) -> Any:
        state, wanted = calls[call], first_tensor(output).shape[batch]
        have = first_tensor(state).shape[batch]
        rows = torch.randint(have, (wanted,), generator=torch.Generator().manual_seed(seed))

        def placed(x: Tensor, y: Tensor) -> Tensor:
            return put(x, y.index_select(_rows_axis(y, have, batch), rows.to(y.device)), at)

        return mapped(placed, output, state)

    return edit


def _instead(state: Any, how: Ablation, seed: int, batch: int) -> Any:
    """The mean of an output over its rows, or each row's replaced by another row's."""
    count = first_tensor(state).shape[batch]

    def change(x: Tensor) -> Tensor:
        axis = _rows_axis(x, count, batch)
        if how == "mean":
            return x.double().mean(axis, keepdim=True).to(x.dtype) if x.is_floating_point() else x
        return x.index_select(axis, other_rows(count, seed).to(x.device))

    return mapped(change, state)


def _rows_axis(x: Tensor, count: int, batch: int) -> int:
    if x.dim() > batch and x.shape[batch] == count:
        return batch
    if count not in x.shape:
        raise ValueError(f"no axis of an output of shape {tuple(x.shape)} has the {count} rows of axis {batch}")
    return x.shape.index(count)


def other_rows(count: int, seed: int) -> Tensor:
    """For each of ``count`` rows another one, each once (a random cycle), (count,); a single row gets itself."""
    cycle = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(1))


# What changes.


class Effect(NamedTuple):
    """What an intervention does to a network's output."""

    loss: float
    """Mean loss after − before."""
    logits: float
    """Root mean square change of the logits, >= 0."""
    changed: float
    """Share of the rows whose prediction changes, in [0, 1]."""


def predictions(logits: Tensor) -> Tensor:
    """argmax over the last axis, its sign where that is 1: (N, …) of (N, …, V)."""
    return logits[..., 0].sign().long() if logits.shape[-1] == 1 else logits.argmax(-1)


def agreement(first: Tensor, second: Tensor) -> float:
    """Share of the rows predicted alike, at every position, in [0, 1]; the faithfulness of a part of a network."""
    same = predictions(first) == predictions(second)
    return same.reshape(len(same), -1).all(1).double().mean().item()


def changed(before: Tensor, after: Tensor) -> float:
    """Share of the rows whose prediction differs at some position, 1 − :func:`agreement`."""
    return 1.0 - agreement(before, after)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean −log softmax(logits)[target] over all rows and positions, in float64, a scalar in nats."""
    return F.cross_entropy(logits.double().flatten(0, -2), targets.flatten())


def effect(
    before: Tensor, after: Tensor, targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
) -> Effect:
    """How outputs (N, …, V) differ: in loss, in logits, in predictions; nothing where they are the same."""
    gap = (after.double() - before.double()).square().mean().sqrt()
    return Effect(loss(after, targets).item() - loss(before, targets).item(), gap.item(), changed(before, after))


def unit_effects(
    module: nn.Module,
    inputs: Inputs,
    name: str,
    score: Callable[[Any], Tensor],
    how: Ablation = "mean",
    *,
    axis: int = -1,
    reference: Inputs | None = None,
    seed: int = 0,
    batch: int = 0,
) -> Tensor:
    """score(without neuron h) − score(whole) for each neuron of one submodule, (H,) in float64.

    H + 2 forward passes. 0 for a neuron that nothing reads; arguments as in :func:`ablated`.
    ``score`` takes the module's output to a scalar, such as its loss.
    """
    one = the_one(module, name)
    count = first_tensor(captured(module, one, inputs)[one][0]).shape[axis]
    edits = _ablation(module, inputs, one, how, reference, seed, batch)
    whole = score(run(module, inputs)).double()
    found = [score(run(module, inputs, edits(units([h], axis)))).double() - whole for h in range(count)]
    return torch.stack(found)


def tracing_strength(
    module: nn.Module,
    normal: Inputs,
    perturbed: Inputs,
    pattern: str,
    at: Any = ...,
    read: Callable[[Any], Tensor] = logits_of,
) -> float:
    """Causal strength of a state: share of the predictions that change when it has its value of a perturbed run.

    A row's perturbation replaces one token by a random one with which the right answer is another; the run
    is the normal one, the state alone the perturbed one's. In [0, 1]: 0 for a state that nothing reads,
    and for the only carrier the share of rows whose prediction the perturbation changes. All rows count,
    also those that the perturbation leaves alone, as in the code. Three forward passes.
    [Wang et al. 2024, code]

    Args:
        module: any.
        normal: the rows as they are.
        perturbed: the same number of rows, each perturbed.
        pattern: name or regular expression of submodules.
        at: index of the state within their output, such as ``(slice(None), 1)`` for position 1.
        read: takes the module's output to the logits, (N, …, V); their own where it names them.
    """
    return changed(read(run(module, normal)), read(patched(module, normal, perturbed, pattern, at)))


class LayerAblation(Measure):
    """What held-out rows lose when one hidden layer gives its mean.

    The layers are the network's activations, ablated one at a time over at most ``rows`` held-out rows.
    The mean is that of what the layer computes: in a transformer's first layers, of distinct prefixes and positions.
    """

    kind: ClassVar[str] = "layer-ablation"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    cost: ClassVar[float] = 0.6
    every: ClassVar[int] = 4
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("ablation/*/test_loss", "nats", (0.0, float("inf")), "held-out loss when a hidden layer is its mean"),
        Quantity("ablation/*/changed", "share", _SHARE, "held-out predictions that this changes"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("wang2024grokked", "interventions on states"),)

    rows: int = Field(default=PROBE_ROWS, ge=1)
    """Held-out rows, at most."""
    how: Ablation = "mean"
    """mean, zero, or resample: the layer's output for another row."""
    seed: int = Field(default=0, ge=0)
    """Which other rows."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two scalars per hidden layer."""
        network, rows = snapshot.network, probe_rows(snapshot, "test", self.rows)
        tokens, targets = snapshot.encoding.tokens_NL[rows], snapshot.targets_NR[rows]
        whole = run(network, tokens)
        names = [n for n, m in network.named_modules() if isinstance(m, Neurons) or n == network.neurons]
        values: dict[str, float] = {}
        for name in names:
            without = ablated(network, tokens, name, self.how, seed=self.seed)
            loss = snapshot.objective.per_token(without.flatten(0, -2), targets.flatten())
            values[f"ablation/{name}/test_loss"] = loss.double().mean().item()
            values[f"ablation/{name}/changed"] = changed(whole, without)
        return values
