"""What the contracts share: one line for a broken promise, and how things are compared."""

import numpy as np
import torch
from torch import Tensor

from grokscope.measures.base import Values
from grokscope.models import Model, Network
from grokscope.seeds import Seeds
from grokscope.spec import Spec, build, dump_yaml, load_yaml
from grokscope.tasks import Task

ROUNDING = 1e-12  # float64 sums in another order differ by about 1e-15 of their terms


def check_spec(spec: Spec) -> None:
    """A description is its own config: dict and YAML give it back, and its hash depends on content alone."""
    data = spec.to_dict()
    data.pop("kind", None)
    again = build(type(spec), data)
    hold(again == spec, spec, "to_dict() does not give the same object back")
    fields = load_yaml(dump_yaml(data), type(spec).__name__)
    hold(build(type(spec), fields) == spec, spec, "YAML does not give the same object back")
    hold(build(type(spec), dict(reversed(data.items()))).hash() == spec.hash(), spec, "hash depends on field order")
    hold(spec.model_config.get("frozen") is True, spec, "must be frozen, so that a hash stays true")


def hold(promise_kept: bool, who: object, broken: str) -> None:
    """Raise one line that names the promise that was broken, and by whom."""
    if not promise_kept:
        name = getattr(who, "__name__", type(who).__name__)
        raise AssertionError(f"{name}: {broken}.")


def start(model: Model, task: Task, seed: int) -> Network:
    """A network with the first weights of a seed."""
    return model.build(task, Seeds(seed).generator("init"))


def within(values: Tensor, size: int) -> bool:
    """All values are in 0 … size-1."""
    return bool((values >= 0).all() and (values < size).all())


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to the rounding of float64 sums."""
    return torch.allclose(a, b, rtol=ROUNDING, atol=ROUNDING * max(1.0, float(b.detach().abs().max())))


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Equal bit for bit, by name."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def same_values(a: Values, b: Values) -> bool:
    """Equal bit for bit, NaN equal to NaN."""
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)


def bits(tensor: Tensor) -> bytes:
    """The bits of a tensor."""
    return tensor.detach().cpu().double().numpy().tobytes()
