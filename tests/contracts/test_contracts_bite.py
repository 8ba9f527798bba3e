"""A contract is worth what it catches: each promise, broken on purpose, is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokscope.measures import Measure, Snapshot
from grokscope.models import MLP, Model, Network
from grokscope.models.mlp import MLPNetwork
from grokscope.optim import SGD, Optimizer
from grokscope.phases import EventRule, Phases, read_phases
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.tasks import ModularArithmetic, Split, Table, Task
from grokscope.testing import check_detector, check_measure, check_model, check_optimizer, check_task
from grokscope.trace import Quantity, Trace


class Leaking(ModularArithmetic):
    def divide(self, seeds: Seeds) -> Split:
        split = super().divide(seeds)
        return Split(split.answers_N, {**split.rows, "test": torch.arange(len(split.answers_N))})


class Forgetting(ModularArithmetic):
    def divide(self, seeds: Seeds) -> Split:
        split = super().divide(seeds)
        return Split(split.answers_N, {**split.rows, "test": split.rows["test"][1:]})


class Hollow(ModularArithmetic):
    def divide(self, seeds: Seeds) -> Split:
        split = super().divide(seeds)
        return Split(split.answers_N, {**split.rows, "ood": torch.arange(0)})


class FixedSplit(ModularArithmetic):
    def divide(self, seeds: Seeds) -> Split:
        return super().divide(Seeds(0))


class IgnoresPairs(ModularArithmetic):
    def divide(self, seeds: Seeds) -> Split:
        return ModularArithmetic(modulus=self.modulus, labels=self.labels).divide(seeds)


class OffTheScale(ModularArithmetic):
    @cached_property
    def table(self) -> Table:
        table = super().table
        return Table(table.operands_NK, table.answers_N + 1)


@pytest.mark.parametrize(
    ("task", "promise"),
    [
        (Leaking(modulus=11), "in train and in test"),
        (Forgetting(modulus=11), "miss a row"),
        (Hollow(modulus=11), "rows of ood"),
        (FixedSplit(modulus=11), "two seeds give one split"),
        (IgnoresPairs(modulus=11), "unordered"),
        (OffTheScale(modulus=11), "answers must be"),
    ],
)
def test_a_broken_task_is_refused(task: Task, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_task(task)


class GlobalWeights(MLPNetwork):
    def initialise(self, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            parameter.normal_()


class MixesRows(MLPNetwork):
    def forward(self, tokens_NL: Tensor) -> Tensor:
        logits = super().forward(tokens_NL)
        return logits - logits.mean(0)


class Undersized(MLPNetwork):
    def forward(self, tokens_NL: Tensor) -> Tensor:
        return super().forward(tokens_NL)[:, :, :-1]


class KeepsANumber(MLPNetwork):
    """Right for one member, but what it scales by is no parameter, so stacked members share it."""

    def initialise(self, generator: torch.Generator) -> None:
        super().initialise(generator)
        self.scale = float(self.W[0].detach().sum())

    def forward(self, tokens_NL: Tensor) -> Tensor:
        return super().forward(tokens_NL) * self.scale


class ReadsANumber(MLPNetwork):
    def forward(self, tokens_NL: Tensor) -> Tensor:
        return super().forward(tokens_NL) * self.W[0].detach().sum().item()


class IdleParameter(MLPNetwork):
    def __init__(self, spec: MLP, task: Task) -> None:
        super().__init__(spec, task)
        self.idle = nn.Parameter(torch.empty(3, 3))

    def initialise(self, generator: torch.Generator) -> None:
        super().initialise(generator)
        self.idle.normal_(generator=generator)


class Build(MLP):
    network: ClassVar[type[MLPNetwork]] = MLPNetwork

    def skeleton(self, task: Task) -> Network:
        return self.network(self, task)


class ForgetsScale(MLP):
    def build(self, task: Task, generator: torch.Generator) -> Network:
        return MLP(hidden=self.hidden).build(task, generator)


def _model(broken: type[MLPNetwork]) -> Model:
    class Broken(Build):
        network: ClassVar[type[MLPNetwork]] = broken

    return Broken(hidden=8)


@pytest.mark.parametrize(
    ("model", "promise"),
    [
        (_model(GlobalWeights), "global random state"),
        (_model(MixesRows), "other rows"),
        (_model(Undersized), "forward must give"),
        (_model(KeepsANumber), "stacked members differ"),
        (_model(ReadsANumber), "cannot run stacked"),
        (_model(IdleParameter), "idle has no influence"),
        (ForgetsScale(hidden=8), "init_scale"),
    ],
)
def test_a_broken_model_is_refused(model: Model, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_model(model)


class Coupled(SGD):
    """One norm over all members instead of one per member."""

    def update(
        self, theta: Tensor, grad: Tensor, state: dict[str, Tensor], step: int, lr: Tensor, weight_decay: Tensor
    ) -> None:
        theta.sub_(lr * grad / grad.norm())


class Restless(SGD):
    def update(
        self, theta: Tensor, grad: Tensor, state: dict[str, Tensor], step: int, lr: Tensor, weight_decay: Tensor
    ) -> None:
        theta.mul_(1 - 1e-3 * weight_decay).sub_(lr * grad)


class Uphill(SGD):
    def update(
        self, theta: Tensor, grad: Tensor, state: dict[str, Tensor], step: int, lr: Tensor, weight_decay: Tensor
    ) -> None:
        theta.add_(lr * grad)


class EatsGradient(SGD):
    def update(
        self, theta: Tensor, grad: Tensor, state: dict[str, Tensor], step: int, lr: Tensor, weight_decay: Tensor
    ) -> None:
        theta.sub_(grad.mul_(lr))


class HotStart(SGD):
    def rate(self, step: int) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("optimizer", "promise"),
    [
        (Coupled(), "one by one"),
        (Restless(), "learning rate 0"),
        (Uphill(), "against the gradient"),
        (EatsGradient(), "changes its gradient"),
        (HotStart(), "warm-up"),
    ],
)
def test_a_broken_optimizer_is_refused(optimizer: Optimizer, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_optimizer(optimizer)


class Good(Measure):
    quantities: ClassVar[tuple[Quantity, ...]] = (Quantity("my/share", "share", (0.0, 1.0), "a share"),)

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        return {"my/share": 0.5}


class DrawsNumbers(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        return {"my/share": torch.rand(()).item()}


class StepsWeights(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        with torch.no_grad():
            next(snapshot.network.parameters()).mul_(0.99)
        return super().__call__(snapshot)


class AddsGradients(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        snapshot.network(snapshot.encoding.tokens_NL).sum().backward()
        return super().__call__(snapshot)


class SwitchesMode(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        snapshot.network.eval()
        return super().__call__(snapshot)


class LeavesHook(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        snapshot.network.register_forward_hook(lambda *_: None)
        return super().__call__(snapshot)


class Undeclared(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        return {"other/share": 0.5}


class OutOfRange(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        return {"my/share": 1.5}


class NotANumber(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        return {"my/share": float("nan")}


class WrongShape(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, np.ndarray]:  # type: ignore[override]
        return {"my/share": np.array([0.5])}


class CountsCalls(Good):
    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        snapshot._cache["calls"] = snapshot._cache.get("calls", torch.zeros(())) + 0.25
        return {"my/share": snapshot._cache["calls"].item()}


class UnknownNeed(Good):
    needs: ClassVar[frozenset[str]] = frozenset({"a miracle"})


class UnknownSource(Good):
    sources: ClassVar[tuple[Source, ...]] = (Source("nobody1999nothing"),)


def test_a_good_measure_of_a_stranger_passes() -> None:
    check_measure(Good())


@pytest.mark.parametrize(
    ("measure", "promise"),
    [
        (DrawsNumbers(), "random state"),
        (StepsWeights(), "the values of"),
        (AddsGradients(), "the .grad of"),
        (SwitchesMode(), "train/eval mode"),
        (LeavesHook(), "hooks"),
        (Undeclared(), "does not declare"),
        (OutOfRange(), "outside its declared range"),
        (NotANumber(), "outside its declared range"),
        (WrongShape(), "declared as a float"),
        (CountsCalls(), "second look"),
        (UnknownNeed(), "unknown"),
        (UnknownSource(), "BIBLIOGRAPHY"),
    ],
)
def test_a_broken_measure_is_refused(measure: Measure, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_measure(measure)


def eager(trace: Trace, chance: float) -> list[Phases]:
    """One lucky look is enough for it, and half-way counts: it fires on noise."""
    return read_phases(trace, chance, EventRule(test_share=1e-3, looks=1))


def prophetic(trace: Trace, chance: float) -> list[Phases]:
    """Declares the last look an event until it knows better."""
    found = read_phases(trace, chance)
    return [replace(p, events=replace(p.events, t_train=p.events.t_train or p.events.last_step)) for p in found]


def counting(trace: Trace, chance: float) -> list[Phases]:
    """Dates events in looks instead of steps."""
    out = []
    for p in read_phases(trace, chance):
        steps = trace.series("train/loss", p.member)[0]
        at = [None if t is None else int(np.searchsorted(steps, t)) for t in (p.events.t_train, p.events.t_test)]
        out.append(replace(p, events=replace(p.events, t_train=at[0], t_test=at[1])))
    return out


def fixed_unit(trace: Trace, chance: float) -> list[Phases]:
    """Right about the planted trace, but blind after a step number of its own."""
    return read_phases(trace.prefix(20_000), chance)


def forgetful(trace: Trace, chance: float) -> list[Phases]:
    """Finds an event only once the run is long over."""
    found = read_phases(trace, chance)
    return [p if p.events.last_step >= 19_000 else replace(p, events=replace(p.events, t_test=1)) for p in found]


def distracted(trace: Trace, chance: float) -> list[Phases]:
    return read_phases(trace, chance) if "unrelated/key" not in trace.keys() else read_phases(trace.prefix(10), chance)


@pytest.mark.parametrize(
    ("detector", "promise"),
    [
        (eager, "planted"),
        (prophetic, "planted t_train None"),
        (counting, "planted"),
        (fixed_unit, "times 10"),
        (forgetful, "at the end"),
        (distracted, "unrelated"),
    ],
)
def test_a_broken_detector_is_refused(detector: Callable[[Trace, float], list[Phases]], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_detector(detector)
