"""What stopping rules would have done to trainings of known outcome: ours beside those of common monitors."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.advice import VERDICTS
from grokscope.benchmarks.corpus import course_of, numbers
from grokscope.benchmarks.forecasting import rebuilt
from grokscope.benchmarks.gating import LATE
from grokscope.diagnosis import diagnose
from grokscope.forecast import Setting
from grokscope.forecast.gates import alarm
from grokscope.trace import Floats


def patience(values: Floats, evaluations: int, least: float = 0.0, rising: bool = False) -> int | None:
    """Index of the evaluation at which a patience rule stops: no better by ``least`` for so many; None if never."""
    best, since = -math.inf, 0
    for i, value in enumerate(values if rising else -values):
        if value > best + least:
            best, since = float(value), 0
        else:
            since += 1
            if since >= evaluations:
                return i
    return None


def early_stopping(
    corpus: Sequence[Mapping[str, Any]],
    calibrations: Mapping[str, Mapping[str, Any]],
    settings: Callable[[Mapping[str, Any]], Setting],
    evaluations: int = 100,
) -> dict[str, Any]:
    """What stopping rules would have done: generalising runs killed, and steps saved on those that never do.

    Each run is evaluated ``evaluations`` times, evenly, as training loops do; a rule sees nothing later.
    Ours is :func:`grokscope.diagnosis.diagnose` with a calibration that has not seen the run's system, of a log's
    curves; *with the gates* it does not stop once the two-gate rule has rung, which a monitor sees and a log does not.
    """
    rules: dict[str, list[int | None]] = {}
    budgets, tests = [], []
    for run in corpus:
        grid = np.unique(np.linspace(0, run["budget"], evaluations + 1).round()[1:].astype(int))
        grid = grid[grid <= run["steps"][-1]]
        at = {key: np.interp(grid, run["steps"], numbers(run["curves"][key])) for key in ("test/loss", "test/accuracy")}
        for label, index in (
            ("validation loss, patience 3 (Lightning's default)", patience(at["test/loss"], 3)),
            ("validation loss, patience 10", patience(at["test/loss"], 10)),
            ("validation loss, patience 20", patience(at["test/loss"], 20)),
            ("validation accuracy, patience 10", patience(at["test/accuracy"], 10, rising=True)),
            ("validation loss, 1 % better within 200 steps", _flat(grid, at["test/loss"], 200)),
        ):
            rules.setdefault(label, []).append(None if index is None else int(grid[index]))
        stop = _ours(run, grid, settings(run), calibrations[run["system"]])
        rules.setdefault("grokscope", []).append(stop)
        rang = alarm(course_of(run), calibrations[run["system"]]["gates"]["thresholds"]) if run["course"] else None
        kept = stop is not None and rang is not None and rang <= stop
        rules.setdefault("grokscope, with the gates", []).append(None if kept else stop)
        budgets.append(run["budget"])
        tests.append(run["t_test"])
    return {label: _judged(stops, budgets, tests) for label, stops in rules.items()} | {"evaluations": evaluations}


def _flat(grid: Floats, losses: Floats, window: int) -> int | None:
    """The first evaluation at which the loss is no more than 1 % better than its best ``window`` steps before."""
    for i, step in enumerate(grid):
        before = losses[grid <= step - window]
        if len(before) and losses[: i + 1].min() > 0.99 * before.min():
            return i
    return None


def final_verdicts(
    corpus: Sequence[Mapping[str, Any]],
    calibrations: Mapping[str, Mapping[str, Any]],
    settings: Callable[[Mapping[str, Any]], Setting],
) -> dict[str, dict[str, int]]:
    """The verdict on a log's curves at the end, by what became of the run and, where nothing did, by its reason."""
    table: dict[str, dict[str, int]] = {}
    for run in corpus:
        found = diagnose(rebuilt(run), settings(run), numbers=dict(calibrations[run["system"]]))
        row = table.setdefault(fate(run), dict.fromkeys(VERDICTS, 0))
        row[found.advice.verdict] += 1
    return table


def fate(run: Mapping[str, Any]) -> str:
    """What became of a run; where it never generalised, what its cell lacks."""
    if run["t_test"] is not None:
        late = run["t_test"] >= LATE * max(run["t_train"] or run["t_test"], 1)
        return "generalised late" if late else "generalised at once"
    if run["overrides"].get("task.labels") == "random":
        return "never: random answers"
    if run["overrides"].get("optimizer.weight_decay") == 0:
        return "never: no weight decay"
    return "never: too little data or time"


def _ours(run: Mapping[str, Any], grid: Floats, setting: Setting, numbers_: Mapping[str, Any]) -> int | None:
    trace = rebuilt(run)
    for step in grid:
        found = diagnose(trace, setting, at=int(step), numbers=dict(numbers_))
        if found.advice.verdict == "generalised":
            return None
        if found.advice.stop:
            return int(step)
    return None


def _judged(stops: Sequence[int | None], budgets: Sequence[int], tests: Sequence[int | None]) -> dict[str, Any]:
    runs = list(zip(stops, budgets, tests, strict=True))
    generalising = [(stop, test) for stop, _, test in runs if test is not None]
    never = [(stop, budget) for stop, budget, test in runs if test is None]
    killed = sum(stop is not None and stop < test for stop, test in generalising)
    saved = [1 - (budget if stop is None else stop) / budget for stop, budget in never]
    return {
        "generalising": len(generalising),
        "killed": killed,
        "never": len(never),
        "stopped": sum(stop is not None for stop, _ in never),
        "saved": float(np.mean(saved)) if saved else None,
    }
