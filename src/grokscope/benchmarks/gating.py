"""Calibrate the two-gate rule on trainings of known outcome, and score it on systems that it has not seen.

A run counts as *late* where t_test ≥ LATE · t_train, and as *never* where t_test did not come within the budget.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grokscope.benchmarks.corpus import course_of
from grokscope.benchmarks.forecasting import fit, samples
from grokscope.forecast import Forecast, Setting, fitted
from grokscope.forecast.content import Indicator
from grokscope.forecast.gates import DIRECTIONS, QUORUM, Course, alarm, sustained
from grokscope.trace import Steps

FALSE = 0.05
"""Share of the runs that never generalise which may ring."""
LATE = 1.5
"""Multiples of t_train from which generalisation is called late."""
LEVELS = tuple(np.round(np.arange(0.5, 1.0, 0.025), 3).tolist())
"""Quantiles of the runs that never generalise, at which all thresholds are tried together."""
SINGLES = ("rank", "defect", "surprise", "gap")

FORECASTS = (("weights", "direction", "logits", "content"), ("weights", "direction", "logits", "content", "validation"))
"""Sets of signals of which the forecast's own alarm is scored."""
Rule = tuple[Sequence[str], int, bool]
"""Indicators, how many must agree, and whether the second gate counts."""
RULES: Mapping[str, Rule] = {
    "both gates": (SINGLES, QUORUM, True),
    "content alone": (SINGLES, QUORUM, False),
    **{f"{one} alone": ((one,), 1, False) for one in SINGLES},
    "norm and direction alone": (("fall", "turn"), 2, False),
}


def fit_gates(corpus: Sequence[Mapping[str, Any]], rule: Rule = RULES["both gates"]) -> dict[str, Any]:
    """Thresholds, and the multiples of an alarm's step at which runs that rang generalised.

    All indicators take the same quantile of the highest level that they kept in runs that never generalise: the lowest
    of LEVELS at which no more than FALSE of these ring.
    """
    never, late = kinds(corpus)
    silent = [course_of(run) for run in never]
    levels: dict[str, list[float]] = {name: [] for name in rule[0]}
    for seen in silent:
        for name, one in _read(seen).items():
            if name in levels:
                levels[name].append(sustained(one, DIRECTIONS[name]))
    thresholds: dict[str, float] = {}
    for level in LEVELS:
        thresholds = {n: float(np.quantile(v, level, method="higher")) for n, v in levels.items() if v}
        rang = sum(rings(seen, thresholds, rule) is not None for seen in silent)
        if rang <= FALSE * len(silent):
            break
    at = [(rings(course_of(run), thresholds, rule), run["t_test"]) for run in late]
    ratios = [t_test / step for step, t_test in at if step]
    multiples = None
    if len(ratios) >= 5:
        low, middle, high = np.quantile(ratios, (0.05, 0.5, 0.95))
        multiples = {"low": float(low), "median": float(middle), "high": float(high)}
    return {
        "thresholds": {n: t for n, t in thresholds.items() if np.isfinite(t)},
        "multiples": multiples,
        "level": level,
        "rang": {"never": rang, "of": len(silent), "late": len(ratios), "of_late": len(late)},
    }


def kinds(corpus: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Runs that never generalise and runs that do so late; the others say nothing about alarms."""
    known = [run for run in corpus if run["t_train"] is not None and run["course"]]
    never = [run for run in known if run["t_test"] is None]
    late = [run for run in known if run["t_test"] is not None and run["t_test"] >= LATE * max(run["t_train"], 1)]
    return never, late


def rings(seen: Course, thresholds: Mapping[str, float], rule: Rule = RULES["both gates"]) -> int | None:
    """The step of the alarm of a rule."""
    _, quorum, gated = rule
    return alarm(seen if gated else _Open(_read(seen), {}), thresholds, quorum)


def _read(seen: Course) -> dict[str, Indicator]:
    """All series of a course, of either gate."""
    return {**seen.content, **seen.viability}


class _Open(Course):
    """A course whose second gate is always open."""

    def viable(self, looks: Steps) -> NDArray[np.bool_]:
        return np.full(len(looks), True)


def gate_scores(corpus: Sequence[Mapping[str, Any]], learned: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For each rule: false alarms, runs that rang in time, lead and error of the expected moment, on unseen systems."""
    found = {}
    for label, rule in RULES.items():
        false, silent, leads, factors, late_runs = 0, 0, [], [], 0
        by_system = {}
        for system in sorted({run["system"] for run in corpus}):
            numbers = fit_gates([run for run in learned if run["system"] != system], rule)
            never, late = kinds(run for run in corpus if run["system"] == system)
            wrong = sum(rings(course_of(run), numbers["thresholds"], rule) is not None for run in never)
            here = []
            for run in late:
                step = rings(course_of(run), numbers["thresholds"], rule)
                if step is None:
                    continue
                here.append((run["t_test"] - step) / (run["t_test"] - run["t_train"]))
                if numbers["multiples"]:
                    factors.append(abs(np.log(run["t_test"] / (numbers["multiples"]["median"] * step))))
            false, silent, late_runs = false + wrong, silent + len(never), late_runs + len(late)
            leads += here
            by_system[system] = {"false": wrong, "never": len(never), "rang": len(here), "late": len(late)}
        found[label] = {
            "false": false,
            "never": silent,
            "rang": len(leads),
            "late": late_runs,
            "median_lead": float(np.median(leads)) if leads else None,
            "median_factor": float(np.exp(np.median(factors))) if factors else None,
            "by_system": by_system,
        }
    return found


def forecast_alarms(
    corpus: Sequence[Mapping[str, Any]], learned: Sequence[Mapping[str, Any]], groups: Sequence[str]
) -> dict[str, Any]:
    """The same of an alarm by the fitted forecast: its probability passes what FALSE of the fitted runs ever reach."""
    false, silent, leads, late_runs = 0, 0, [], 0
    for system in sorted({run["system"] for run in corpus}):
        rest = [run for run in learned if run["system"] != system]
        model = fit(samples(rest), [groups])
        never, _ = kinds(rest)
        bound = float(np.quantile([max(said.values(), default=0.0) for said in _said(never, model)], 1 - FALSE))
        never, late = kinds(run for run in corpus if run["system"] == system)
        false += sum(any(p > bound for p in said.values()) for said in _said(never, model))
        silent, late_runs = silent + len(never), late_runs + len(late)
        for run, said in zip(late, _said(late, model), strict=True):
            rang = [at for at, p in said.items() if p > bound]
            if rang:
                leads.append((run["t_test"] - rang[0]) / (run["t_test"] - run["t_train"]))
    lead = float(np.median(leads)) if leads else None
    return {"false": false, "never": silent, "rang": len(leads), "late": late_runs, "median_lead": lead}


def _said(runs: Sequence[Mapping[str, Any]], model: Mapping[str, Any]) -> list[dict[int, float]]:
    """Probability by step, at the moments that are kept of each run."""
    found = []
    for run in runs:
        at = {round(float(m) * max(run["t_train"], 1)): seen for m, seen in run["signals"].items()}
        said = {step: fitted(seen, Setting(), step, model) for step, seen in at.items()}
        found.append({step: one.p_generalise for step, one in said.items() if isinstance(one, Forecast)})
    return found
