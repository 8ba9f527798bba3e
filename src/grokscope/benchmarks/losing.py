"""Trainings that lose generalisation, or the thread of their optimizer, on purpose: what the advice says of them.

A network that has generalised goes on with less data (ungrokking), with too much weight decay, or with too large a
learning rate; others go on as they were. Beside them trainings without weight decay, whose float32 softmax makes
slingshots and whose exact one makes none. What became of held-out accuracy is read by the rule below, from the last
looks alone, and not by that of the advice.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grokscope import runs
from grokscope.advice import Advice
from grokscope.benchmarks.corpus import SYSTEMS, numbers
from grokscope.clock import Clock
from grokscope.diagnosis import diagnose
from grokscope.forecast import Setting
from grokscope.measures import Fit, Norms, SoftmaxCollapse
from grokscope.trace import Floats, Steps, Trace

EVALUATIONS = 50
"""Evenly spaced moments of a training at which the advice is asked."""
HAD, KEPT, GONE = 0.9, 0.9, 0.5
"""Shares of the way from chance to 1: what was had, what counts as kept at the end, and what as lost."""
END = 0.1
"""The end is this last share of the evaluations."""
KEYS = (
    *("train/loss", "train/accuracy", "test/loss", "test/accuracy", "norm/weights", "norm/last_layer"),
    *("precision/softmax_collapse", "precision/zero_losses"),
)
Fate = Literal["lost", "partly", "kept", "never had"]
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A network that generalises, from nothing; others begin where it ends."""

    name: str
    system: str
    """Of :data:`grokscope.benchmarks.corpus.SYSTEMS`."""
    changes: Changes


@dataclass(frozen=True)
class Course:
    """A training, and what it is for."""

    kind: str
    source: str | None
    """Whose end it begins at; None for drawn weights."""
    changes: Changes = field(default_factory=dict)
    system: str = ""


ADDITION, DIVISION = "addition, one-hot MLP", "division, embedded MLP"
SOURCES = (
    Source(ADDITION, ADDITION, {"task.train_fraction": 0.75, "budget": 1300}),
    Source(DIVISION, DIVISION, {"task.train_fraction": 0.75, "budget": 1300}),
)
_BARE = {"optimizer.weight_decay": 0.0, "optimizer.lr": 0.03, "task.train_fraction": 0.75, "budget": 3300}
COURSES = (
    *(Course("less data", ADDITION, {"task.train_fraction": f}) for f in (0.2, 0.3, 0.4)),
    *(Course("less data", DIVISION, {"task.train_fraction": f}) for f in (0.15, 0.3)),
    *(Course("more weight decay", ADDITION, {"optimizer.weight_decay": d}) for d in (2.0, 5.0, 10.0)),
    Course("more weight decay", DIVISION, {"optimizer.weight_decay": 10.0}),
    *(Course("larger learning rate", ADDITION, {"optimizer.lr": lr}) for lr in (0.1, 0.3, 3.0)),
    *(Course("goes on as it was", name) for name in (ADDITION, DIVISION)),
    Course("slingshots", None, _BARE | {"objective.softmax": "float32"}, ADDITION),
    Course("no slingshots", None, _BARE | {"objective.softmax": "float64"}, ADDITION),
    Course("slingshots once generalised", ADDITION, _BARE | {"objective.softmax": "float32", "budget": 2500}),
    Course("no slingshots once generalised", ADDITION, _BARE | {"objective.softmax": "float64", "budget": 1300}),
)
BARE = ("slingshots", "no slingshots")
"""Kinds that never generalise, and are asked of slingshots alone."""
CAUSES = {
    "less data": "too little training data",
    "more weight decay": "less weight decay",
    "larger learning rate": "smaller learning rate",
}
"""Words of the advice that name what was changed."""


FIRST = "from drawn weights"
"""The kind of the sources."""
LOOKS, DENSE = 120, 400
"""Looks for each tenfold of steps; a spike of a slingshot lasts some twenty steps."""


def watch(seed: int, store: Path) -> Iterator[dict[str, Any]]:
    """Train the sources and what begins at their ends; the curves of each."""
    ends = {}
    for number, source in enumerate(SOURCES):
        run = _run(source.system, source.changes, seed, store / f"source-{number}")
        ends[source.name] = str(run.path)
        yield _kept(run, FIRST, source.system, source.changes, seed)
    for number, course in enumerate(COURSES):
        changes = dict(course.changes)
        if course.source is not None:
            first = next(s for s in SOURCES if s.name == course.source)
            changes = {**first.changes, **changes, "start": ends[course.source]}
        run = _run(course.source or course.system, changes, seed, store / str(number))
        yield _kept(run, course.kind, course.source or course.system, course.changes, seed)


def _run(system: str, changes: Changes, seed: int, store: Path) -> runs.Run:
    base = next(s for s in SYSTEMS if s.name == system).experiment
    looks = LOOKS if changes.get("optimizer.weight_decay") != 0.0 else DENSE
    clock = Clock(looks_per_decade=looks, zoom=1, max_overhead=1.0, free_looks=2000)
    watched = [measure.to_dict() for measure in (Fit(), Norms(), SoftmaxCollapse())]
    experiment = base.with_overrides(
        {"measures": watched, "clock": clock.to_dict(), "stop_after_grok": False, "optimizer.weight_decay": 1.0}
        | dict(changes)
    )
    try:
        return runs.run(experiment, [{"seed": seed}], store=store, engine="looped", progress=False)
    except runs.Diverged:
        return runs.load(experiment.name, store=store)


def _kept(run: runs.Run, kind: str, system: str, changes: Changes, seed: int) -> dict[str, Any]:
    e = run.experiment
    steps = run.trace.series("train/loss", 0)[0].tolist()
    series = {key: dict(zip(*(x.tolist() for x in run.trace.series(key, 0)), strict=True)) for key in KEYS}
    return {
        "kind": kind,
        "system": system,
        "changes": dict(changes),
        "seed": seed,
        "setting": {"chance": e.task.chance, "lr": e.optimizer.lr, "weight_decay": e.optimizer.weight_decay},
        "steps": steps,
        "curves": {key: [_short(one.get(step, math.nan)) for step in steps] for key, one in series.items()},
    }


def fate(run: Mapping[str, Any]) -> tuple[Fate, int | None]:
    """What became of held-out accuracy, and the evaluation from which on it was gone for good, if it was lost.

    As a share of the way from chance to 1: had is ``HAD`` at three looks in a row, or at the first look of a network
    that began where another ended; the end is the median over the last ``END`` of the steps; kept is ``KEPT`` or
    more at the end, lost less than ``GONE``. It is gone from the first evaluation after which none has ``GONE``.
    """
    chance, steps = run["setting"]["chance"], np.array(run["steps"])
    share = (numbers(run["curves"]["test/accuracy"]) - chance) / (1 - chance)
    high = share >= HAD
    if not (high[:-2] & high[1:-1] & high[2:]).any() and not high[0]:
        return "never had", None
    end = float(np.median(share[steps >= (1 - END) * steps[-1]]))
    if end >= GONE:
        return ("kept" if end >= KEPT else "partly"), None
    held = np.flatnonzero(shares(run) >= GONE)
    return "lost", int(held[-1]) + 1 if len(held) else 0


def shares(run: Mapping[str, Any]) -> Floats:
    """Held-out accuracy at each evaluation, as a share of the way from chance to 1, (EVALUATIONS,)."""
    chance, steps = run["setting"]["chance"], np.array(run["steps"])
    at = np.searchsorted(steps, evaluations(run), side="right") - 1
    return (numbers(run["curves"]["test/accuracy"])[at] - chance) / (1 - chance)


def evaluations(run: Mapping[str, Any]) -> Steps:
    """The steps at which the advice is asked, (EVALUATIONS,)."""
    return np.linspace(0, run["steps"][-1], EVALUATIONS + 1)[1:].astype(np.int64)


def joined(run: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Source and continuation as one training, whose data, decay or learning rate was changed on the way."""
    begin = source["steps"][-1]
    steps = [*source["steps"], *(begin + step for step in run["steps"][1:])]
    curves = {key: [*source["curves"][key], *values[1:]] for key, values in run["curves"].items()}
    return {**run, "steps": steps, "curves": curves}


def views(corpus: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[Mapping[str, Any], Trace]]]:
    """The same runs as three read them: each as a monitor, in one with its source, and a log of the evaluations."""
    sources = {(run["system"], run["seed"]): run for run in corpus if run["kind"] == FIRST}
    whole = [
        joined(run, sources[run["system"], run["seed"]]) if run["kind"] not in (FIRST, *BARE) else run for run in corpus
    ]
    return {
        "monitor": [(run, _trace(run)) for run in corpus],
        "in one with its source": [(run, _trace(run)) for run in whole],
        "log of evaluations": [(run, _trace(run, log=True)) for run in corpus],
    }


def _trace(run: Mapping[str, Any], log: bool = False) -> Trace:
    """All looks at all quantities; or losses and accuracies at the evaluations alone."""
    steps, trace = np.array(run["steps"]), Trace()
    looks = np.unique([0, *(np.searchsorted(steps, evaluations(run), side="right") - 1)]) if log else range(len(steps))
    curves = {key: run["curves"][key] for key in (KEYS[:4] if log else KEYS)}
    for index in looks:
        trace.add(0, int(steps[index]), {key: float(values[index]) for key, values in curves.items()})
    return trace


def asked(run: Mapping[str, Any], trace: Trace) -> list[Advice]:
    """The advice at each evaluation, (EVALUATIONS,), from what was seen up to it."""
    setting = Setting(**run["setting"])
    return [diagnose(trace, setting, at=int(step)).advice for step in evaluations(run)]


def says_lost(one: Advice) -> bool:
    """Whether it says that generalisation goes, or that a fault ends the training."""
    return one.verdict == "losing generalisation" or (one.verdict == "numerical fault" and one.stop)


def judged(run: Mapping[str, Any], trace: Trace) -> dict[str, Any]:
    """One run: what became of it, what was said at the end, when it was first said, and how often in vain."""
    said, (truth, gone), share = asked(run, trace), fate(run), shares(run)
    losing = np.array([says_lost(one) for one in said])
    named = np.array([one.verdict == "numerical fault" and "slingshot" in one.text for one in said])
    first = int(losing.argmax()) if losing.any() else None
    return {
        "kind": run["kind"],
        "system": run["system"],
        "changes": run["changes"],
        "seed": run["seed"],
        "fate": truth,
        "gone": gone,
        "first": first,
        "late": None if first is None or gone is None else first - gone,
        "losing": int(losing.sum()),
        "in_vain": int((losing & (share >= KEPT)).sum()),
        "at_the_end": said[-1].verdict,
        "lost_at_the_end": bool(losing[-1]),
        "cause": bool(losing[-1]) and CAUSES.get(run["kind"], "?") in said[-1].would_tell,
        "slingshots": int(named.sum()),
        "stopped_by_slingshots": int(sum(one.stop for one, is_named in zip(said, named, strict=True) if is_named)),
    }


def scores(view: Sequence[tuple[Mapping[str, Any], Trace]]) -> dict[str, Any]:
    """Detected, in vain and late, over all runs and by kind."""
    rows = [judged(run, trace) for run, trace in view]
    kinds = dict.fromkeys(row["kind"] for row in rows)
    return {
        **_counts([row for row in rows if row["kind"] not in BARE]),
        "kinds": {kind: _counts([row for row in rows if row["kind"] == kind]) for kind in kinds},
        "runs": rows,
    }


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    by: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by.setdefault(row["fate"], []).append(row)
    lost, kept = by.get("lost", []), by.get("kept", [])
    late = [row["late"] for row in lost if row["late"] is not None]
    return {
        "n": len(rows),
        "lost": len(lost),
        "lost_said_at_the_end": sum(row["lost_at_the_end"] for row in lost),
        "lost_said_at_any_time": len(late),
        "cause_named": sum(row["cause"] for row in lost),
        "evaluations_late": {"median": float(np.median(late)), "least": min(late), "most": max(late)} if late else None,
        "kept": len(kept),
        "kept_said_lost_at_the_end": sum(row["lost_at_the_end"] for row in kept),
        "kept_said_lost_at_any_time": sum(row["losing"] > 0 for row in kept),
        "evaluations_in_vain": sum(row["in_vain"] for row in rows),
        "partly": len(by.get("partly", [])),
        "partly_said_lost_at_the_end": sum(row["lost_at_the_end"] for row in by.get("partly", [])),
        "never_had": len(by.get("never had", [])),
        "slingshots_named": sum(row["slingshots"] > 0 for row in rows),
        "stopped_by_slingshots": sum(row["stopped_by_slingshots"] > 0 for row in rows),
    }


def _short(value: float) -> float | str:
    """Four digits; what is not finite by name, since JSON has no number for it."""
    return float(f"{value:.4g}") if math.isfinite(value) else str(value)
