"""The contract of a measure."""

import copy
import fnmatch
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from grokscope.measures.base import NEEDS, Measure, Snapshot, Values, unmet
from grokscope.models import Network, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.seeds import Seeds
from grokscope.sources import BIBLIOGRAPHY, Source
from grokscope.tasks import ModularArithmetic
from grokscope.testing.base import bits, check_spec, hold, same_values
from grokscope.trace import Quantity


def check_measure(measure: Measure, snapshot: Snapshot | None = None) -> None:
    """A pure function of a snapshot that returns what it declares.

    Args:
        measure: the measure.
        snapshot: a member that meets its needs; a small transformer on addition mod 7 unless given.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    check_spec(measure)
    _check_declaration(measure)
    base = snapshot or small_snapshot()
    because = unmet(measure, base.task, base.network)
    hold(because is None, measure, f"the snapshot does not meet its needs, because {because}; give one that does")
    if measure.in_hindsight and base.final is None:
        base = replace(base, final=base)
    first: Values | None = None
    for training, seed in ((True, 1), (False, 2)):
        values = _look(measure, base, training, seed)
        if first is None:
            first = values
            _check_values(measure, values)
        hold(same_values(first, values), measure, "two looks at one snapshot differ (global random state, or mode)")
    fresh = _fresh(base)
    measure(fresh)
    hold(same_values(first or {}, measure(fresh)), measure, "a second look at a used snapshot differs")


def small_snapshot(step: int = 0) -> Snapshot:
    """An untrained one-layer transformer of width 8 on addition mod 7, in float64: meets every need."""
    task = ModularArithmetic(modulus=7, train_fraction=0.5)
    model = Transformer(width=8, heads=2, hidden=16)
    network = model.build(task, Seeds(0).generator("init"))
    first = model.build(task, Seeds(1).generator("init"))
    return Snapshot(
        step,
        network,
        task,
        task.divide(Seeds(0)),
        model.encode(task, task.table),
        CrossEntropy(),
        initial=lambda: {name: p.detach() for name, p in first.named_parameters()},
    )


def _check_declaration(measure: Measure) -> None:
    hold(bool(measure.quantities), measure, "quantities must declare at least one key")
    for quantity in measure.quantities:
        low, high = quantity.range
        hold("/" in quantity.key, measure, f"a key is a slash tag such as 'norm/weights', got {quantity.key!r}")
        hold(bool(quantity.unit and quantity.about), measure, f"{quantity.key} must declare its unit and meaning")
        hold(low < high, measure, f"{quantity.key} must declare a range low < high, got {quantity.range}")
    hold(0.0 <= measure.cost < math.inf, measure, f"cost must be in forward passes, >= 0, got {measure.cost}")
    unknown = sorted(set(measure.needs) - set(NEEDS))
    hold(not unknown, measure, f"needs {unknown} are unknown; known are {sorted(NEEDS)}")
    for source in measure.sources:
        known = isinstance(source, Source) and source.key in BIBLIOGRAPHY
        hold(known, measure, f"source {source!r} is not in grokscope.sources.BIBLIOGRAPHY")
    if measure.needs:
        because = unmet(measure, ModularArithmetic(operation="mul", modulus=7), _Bare())
        hold(bool(because), measure, "no reason is given where its needs are not met")


def _look(measure: Measure, base: Snapshot, training: bool, seed: int) -> Values:
    """One call on a fresh copy; whatever it could have touched must be as before."""
    snapshot = _fresh(base)
    snapshot.network.train(training)
    for parameter in snapshot.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = _surroundings(snapshot)
        values = measure(snapshot)
        after = _surroundings(snapshot)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    hold(not changed, measure, f"a look changes {', '.join(changed[:3])}")
    return values


def _surroundings(snapshot: Snapshot) -> dict[str, object]:
    """Everything a measure must leave as it is, as comparable values."""
    network = snapshot.network
    seen: dict[str, object] = {
        "the global torch random state": bits(torch.get_rng_state()),
        "the global numpy random state": str(np.random.get_state()),
        "torch's grad mode": torch.is_grad_enabled(),
        "the split's answers": bits(snapshot.split.answers_N),
        "the tokens": bits(snapshot.encoding.tokens_NL),
        "the targets": bits(snapshot.encoding.targets_NR),
    }
    for name, rows in snapshot.split.rows.items():
        seen[f"the rows of {name}"] = bits(rows)
    for name, module in network.named_modules():
        seen[f"the train/eval mode of {name or 'the network'}"] = module.training
        seen[f"the hooks of {name or 'the network'}"] = len(module._forward_hooks) + len(module._backward_hooks)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        seen[f"the values of {name}"] = bits(tensor)
        seen[f"requires_grad of {name}"] = tensor.requires_grad
        seen[f"the .grad of {name}"] = None if tensor.grad is None else bits(tensor.grad)
    return seen


def _check_values(measure: Measure, values: Values) -> None:
    hold(bool(values), measure, "a look returns nothing")
    for key, value in values.items():
        quantity = _declared(measure, key)
        hold(quantity is not None, measure, f"returns {key!r}, which quantities does not declare")
        assert quantity is not None
        kind = "an array" if quantity.array else "a float"
        fits = isinstance(value, np.ndarray if quantity.array else float)
        hold(fits, measure, f"{key} is declared as {kind}, got {type(value).__name__}")
        low, high = quantity.range
        slack = 1e-6  # float32 shares may sum to 1 + 1e-7
        inside = bool(np.all((np.asarray(value) >= low - slack) & (np.asarray(value) <= high + slack)))
        hold(inside, measure, f"{key} = {value!r} is outside its declared range {quantity.range}")


def _declared(measure: Measure, key: str) -> Quantity | None:
    exact = [q for q in measure.quantities if q.key == key]
    wild = [q for q in measure.quantities if fnmatch.fnmatchcase(key, q.key)]
    return next(iter(exact + wild), None)


class _Bare(Network):
    """A network without any of the views that a measure may need."""

    def forward(self, tokens_NL: Tensor) -> Tensor:
        raise NotImplementedError

    def initialise(self, generator: torch.Generator) -> None:
        raise NotImplementedError


def _fresh(snapshot: Snapshot) -> Snapshot:
    """The same member without cached values, on a copy of the network."""
    network = copy.deepcopy(snapshot.network)
    final = None if snapshot.final is None else replace(snapshot.final, _cache={})
    return replace(snapshot, network=network, final=final, _cache={})
