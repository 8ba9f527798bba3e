"""Trainings of known outcome that forecasts and advice are fitted and scored on.

Eight systems, which differ in task, model, loss and optimizer; each has cells of hyper-parameters of which some
generalise early, some late and some never, for one of three reasons: no weight decay, answers that are random,
or too little data. What is kept of a run is its curves, its events and the signals at a few moments.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from grokscope import runs
from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.forecast import signals
from grokscope.forecast.content import Indicator
from grokscope.forecast.first_passage import outside
from grokscope.forecast.gates import Course, course
from grokscope.measures import (
    CommutatorDefect,
    Fit,
    GradientSize,
    LogitScale,
    LogProbabilityQuantiles,
    Norms,
    RepresentationSpectrum,
    SoftmaxCollapse,
    WeightSketch,
)
from grokscope.models import MLP, Dense, Transformer
from grokscope.objectives import MSE, CrossEntropy, Hinge
from grokscope.optim import SGD, AdamW
from grokscope.phases import find_anomalies, find_events, label
from grokscope.tasks import BitwiseXor, Digits, ModularArithmetic, PermutationGroup, SparseParity
from grokscope.trace import Floats, Steps, Trace

MOMENTS = (1.5, 2.0, 4.0, 8.0)
"""Multiples of t_train at which forecasts are made."""


class Spectrum(RepresentationSpectrum):
    """At every look, as the monitor takes it."""

    kind: ClassVar[str] = "grokscope.benchmarks.corpus:Spectrum"
    every: ClassVar[int] = 1


WATCHED = (
    Fit(),
    Norms(),
    SoftmaxCollapse(),
    LogitScale(),
    Spectrum(),
    WeightSketch(),
    LogProbabilityQuantiles(),
    CommutatorDefect(pairs=3, batch=128, form="bracket"),
    GradientSize(),
)
"""What :class:`grokscope.Monitor` sees, of the same sizes."""
SPARSE = (
    "logits/scale",
    "logits/confidence",
    "logits/margin_median",
    "precision/softmax_collapse",
    "representation/effective_rank",
    "commutator/defect",
    "gradient/norm",
)
"""Curves of which each has looks of its own."""
LOOKS = Clock(looks_per_decade=40, zoom=1, max_overhead=1.0, free_looks=1000)


@dataclass(frozen=True)
class System:
    """Trainings that share task, model and loss; the cells say what differs."""

    name: str
    experiment: Experiment
    cells: tuple[Mapping[str, Any], ...]


def _cells(decays: tuple[float, ...], fractions: tuple[float, ...], random: bool = True) -> tuple[dict[str, Any], ...]:
    """Every weight decay with every fraction, and random answers with the strongest decay and the most data."""
    found = [{"optimizer.weight_decay": d, "task.train_fraction": f} for d in decays for f in fractions]
    last: dict[str, Any] = found[-1] | {"task.labels": "random"}
    return (*found, *((last, last | {"task.train_fraction": fractions[0]}) if random else ()))


def watched(name: str, task: Any, model: Any, optimizer: Any, objective: Any, budget: int, **more: Any) -> Experiment:
    """An experiment that looks as the monitor does and stops once it has generalised."""
    return Experiment(
        name=name,
        task=task,
        model=model,
        optimizer=optimizer,
        objective=objective,
        budget=budget,
        precision="float32",
        measures=WATCHED,
        clock=LOOKS,
        stop_after_grok=True,
        **more,
    )


FAST = AdamW(lr=1e-2, weight_decay=1.0, betas=(0.9, 0.98))
SLOW = AdamW(lr=3e-3, weight_decay=1.0, betas=(0.9, 0.98))
SYSTEMS: tuple[System, ...] = (
    System(
        "addition, one-hot MLP",
        watched("addition", ModularArithmetic(modulus=31), MLP(hidden=128), FAST, CrossEntropy(), 6000),
        _cells((0.0, 0.3, 1.0), (0.35, 0.55, 0.75)),
    ),
    System(
        "division, embedded MLP",
        watched(
            "division",
            ModularArithmetic(operation="div", modulus=31),
            MLP(inputs="embedding", width=32, hidden=128),
            FAST,
            CrossEntropy(),
            6000,
        ),
        _cells((0.0, 0.3, 1.0), (0.35, 0.5, 0.65)),
    ),
    System(
        "subtraction, transformer",
        watched(
            "subtraction",
            ModularArithmetic(operation="sub", modulus=23),
            Transformer(width=32, hidden=64, heads=2),
            SLOW,
            CrossEntropy(),
            5000,
        ),
        _cells((0.0, 1.0), (0.4, 0.6, 0.75)),
    ),
    System(
        "permutations of four, embedded MLP",
        watched(
            "permutations",
            PermutationGroup(degree=4),
            MLP(inputs="embedding", width=32, hidden=128),
            FAST,
            CrossEntropy(),
            6000,
        ),
        _cells((0.0, 0.3, 1.0), (0.45, 0.6, 0.75)),
    ),
    System(
        "XOR of five bits, SiLU MLP",
        watched(
            "xor",
            BitwiseXor(bits=5),
            MLP(inputs="embedding", width=32, hidden=64, layers=2, activation="silu"),
            SLOW,
            CrossEntropy(),
            5000,
        ),
        _cells((0.0, 0.2, 1.0), (0.4, 0.6, 0.8)),
    ),
    System(
        "parity of three bits, hinge, SGD",
        watched(
            "parity",
            SparseParity(n=30, k=3, samples=1200, train_fraction=0.5),
            Dense(hidden=(200,), outputs="scalar", output_bias=False),
            SGD(lr=0.1, weight_decay=0.01),
            Hinge(),
            8000,
            batch_size=32,
        ),
        _cells((0.0, 0.003, 0.01), (0.3, 0.5, 0.75), random=False),
    ),
    System(
        "digits, large initial weights",
        watched(
            "digits",
            Digits(train_fraction=0.15),
            Dense(hidden=(100, 100), init_scale=6.0),
            AdamW(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98)),
            MSE(),
            8000,
        ),
        _cells((0.0, 0.3, 1.0), (0.1, 0.2, 0.4), random=False),
    ),
    System(
        "addition, quadratic network, gradient descent",
        watched(
            "quadratic",
            ModularArithmetic(modulus=23),
            MLP(hidden=100, activation="quadratic", bias=False, init="normal", output_scale=1 / (2 * 23 * 100)),
            SGD(lr=2000.0),
            MSE(),
            8000,
        ),
        _cells((0.0,), (0.4, 0.6, 0.7, 0.8, 0.9)),
    ),
)


def watch(system: System, cell: int, seeds: list[int], store: Path) -> list[dict[str, Any]]:
    """Train the seeds of one cell and keep what the benchmark reads."""
    experiment = system.experiment.with_overrides(dict(system.cells[cell]))
    store = store / f"{experiment.name}-{cell}"
    try:
        run = runs.run(experiment, [{"seed": s} for s in seeds], store=store, engine="looped", progress=False)
    except runs.Diverged:
        run = runs.load(experiment.name, store=store)  # the only one of the name in a cell's own store
    return [_kept(run, system, cell, member, seed) for member, seed in enumerate(seeds)]


def _kept(run: Any, system: System, cell: int, member: int, seed: int) -> dict[str, Any]:
    experiment = run.experiment
    chance, trace = experiment.task.chance, run.trace
    events = find_events(trace, member, chance, experiment.events)
    at = [round(m * max(events.t_train, 1)) for m in MOMENTS] if events.t_train is not None else []
    until = events.last_step if events.t_test is None else events.t_test - 1
    moments = [(m, t) for m, t in zip(MOMENTS, at, strict=False) if t <= until]
    found = {str(m): signals(trace.prefix(t), events, t, chance, member) for m, t in moments}  # prefix: no hindsight
    norms = dict(zip(*(x.tolist() for x in trace.series("norm/weights", member)), strict=True))
    keys = ("train/loss", "train/accuracy", "test/loss", "test/accuracy", "norm/weights")
    steps = trace.series("train/loss", member)[0].tolist()
    return {
        "system": system.name,
        "cell": cell,
        "seed": seed,
        "overrides": dict(system.cells[cell]),
        "chance": chance,
        "budget": experiment.budget,
        "t_train": events.t_train,
        "t_test": events.t_test,
        "label": label(events, experiment.labels),
        "anomalies": [a.name for a in find_anomalies(trace, member, events, chance, experiment.events)],
        "v_mem": _square(norms, events.t_train),
        "v_test": _square(norms, events.t_test),
        "law": outside(events, runs.setting_of(experiment), events.last_step) is None,
        "signals": found,
        "course": _course(trace, events.t_train, until, member),
        "steps": steps,
        "curves": {key: [_short(v) for v in trace.series(key, member)[1].tolist()] for key in keys},
        "sparse": {key: _pairs(*trace.series(key, member)) for key in SPARSE},
    }


def _course(trace: Trace, start: int | None, until: int, member: int) -> dict[str, Any]:
    if start is None or until <= start:
        return {}
    seen = course(trace, start, until, member)
    return {
        gate: {n: _pairs(one.steps, one.values) for n, one in series.items()}
        for gate, series in (("content", seen.content), ("viability", seen.viability))
    }


def course_of(kept: Mapping[str, Any]) -> Course:
    """What the gates read of a run that is kept."""

    def series(gate: str) -> dict[str, Indicator]:
        seen = kept["course"].get(gate, {})
        return {name: Indicator(np.array(steps), numbers(values)) for name, (steps, values) in seen.items()}

    return Course(series("content"), series("viability"))


def angles_of(kept: Mapping[str, Any]) -> tuple[Steps, Floats]:
    """Steps and degrees by which the weights of a run that is kept had turned since t_train.

    What is kept is how far they turned since half as many steps; the sums of that are the angles.
    """
    turn = course_of(kept).viability.get("turn")
    if turn is None:
        return np.array([], dtype=np.int64), np.array([])
    before = np.searchsorted(turn.steps, turn.steps / 2, side="right") - 1
    degrees = np.zeros(len(turn.values))
    for i, (more, j) in enumerate(zip(turn.values, before, strict=True)):
        degrees[i] = more + (degrees[j] if j >= 0 else 0.0)
    return turn.steps, degrees


def _square(norms: Mapping[int, float], step: int | None) -> float | None:
    return None if step is None or step not in norms else float(norms[step]) ** 2


def _pairs(steps: Steps, values: Floats) -> list[list[Any]]:
    return [steps.tolist(), [_short(v) for v in values.tolist()]]


def _short(value: float) -> float | str:
    """Five digits; what is not finite by name, since JSON has no number for it."""
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)


def numbers(values: list[float | str]) -> np.ndarray:
    """Curves as they were."""
    return np.array([float(v) for v in values])
