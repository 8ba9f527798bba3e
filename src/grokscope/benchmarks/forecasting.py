"""Fit the forecaster on trainings of known outcome, and score it on systems that the fit has not seen."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.benchmarks.corpus import MOMENTS, angles_of, numbers
from grokscope.diagnosis import diagnose
from grokscope.forecast import Forecast, Setting, first_passage
from grokscope.forecast.base import INTERVAL
from grokscope.forecast.fitted import FAR, SETS, fitted, inputs, name
from grokscope.phases import EventRule, find_events
from grokscope.trace import Floats, Trace

HORIZON = 10.0
"""A forecast made at step t speaks of t_test ≤ HORIZON · t."""
PENALTY = 0.03
"""Inverse strength of the ridge of the logistic model: of 0.01, 0.03, 0.1 and 0.3 on the runs that are fitted."""
BASELINES = (("curves",),)
"""Sets that are scored and not shipped."""
LEVELS = (0.05, 0.5, 0.95)
FEWEST = 5
"""Runs of either kind that a system needs for an area of its own."""


def samples(corpus: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each run and moment: its signals, whether it generalised within the horizon, and when.

    Runs that end before the horizon without generalising do not say which; they are left out.
    """
    rows = []
    for run in corpus:
        for moment in MOMENTS:
            seen = run["signals"].get(str(moment))
            if not seen:
                continue
            at = round(moment * max(run["t_train"], 1))
            t_test = run["t_test"]
            if t_test is None and run["budget"] < HORIZON * at:
                continue
            within = t_test is not None and t_test <= HORIZON * at
            decay = float(run["overrides"].get("optimizer.weight_decay", 0.0))
            known = {"system": run["system"], "cell": run["cell"], "seed": run["seed"], "moment": moment, "at": at}
            outcome = {"within": within, "wait": None if t_test is None else math.log(t_test / at)}
            setting = {"decay": decay, "fraction": float(run["overrides"]["task.train_fraction"])}
            rows.append(known | outcome | setting | {"signals": seen})
    return rows


def fit(rows: Sequence[Mapping[str, Any]], sets: Sequence[Sequence[str]] = SETS) -> dict[str, Any]:
    """The models of :mod:`grokscope.forecast.fitted`, one for each set of signals.

    The quantiles of the waiting time are those of residuals on systems held out one at a time, each system weighing
    the same: of k systems they hold INTERVAL · (k + 1) / k, because the next one is a draw like these k.
    """
    models = {}
    for groups in sets:
        wanted = inputs(groups)
        usable = [row for row in rows if set(wanted) <= set(row["signals"])]
        if len({row["within"] for row in usable}) < 2:
            continue
        model = _model(usable, wanted)
        left = {}
        for system in sorted({row["system"] for row in usable}):
            rest = [row for row in usable if row["system"] != system]
            if len({row["within"] for row in rest}) == 2:
                partial = _model(rest, wanted)
                left[system] = _residuals([row for row in usable if row["system"] == system], wanted, partial)
        model["quantiles"] = _spread(left) or _spread({"all": _residuals(usable, wanted, model)})
        model["rows"], model["systems"] = len(usable), len({row["system"] for row in usable})
        models[name(groups)] = model
    return {"horizon": HORIZON, "models": models}


def _spread(left: Mapping[str, Sequence[float]]) -> list[float]:
    """Low, median and high quantile of residuals by system."""
    kept = [residuals for residuals in left.values() if len(residuals)]
    if not kept:
        return []
    share = min(INTERVAL * (len(kept) + 1) / len(kept), 1.0)
    values = np.concatenate(kept)
    weights = np.concatenate([np.full(len(residuals), 1 / len(residuals)) for residuals in kept])
    levels = ((1 - share) / 2, 0.5, (1 + share) / 2)
    return [float(q) for q in np.quantile(values, levels, weights=weights, method="inverted_cdf")]


def norm_ratio(corpus: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Quantiles of V at t_test over V at t_train, over the delayed runs that the first-passage law covers."""
    found = [
        run["v_test"] / run["v_mem"]
        for run in corpus
        if run["v_test"] and run["v_mem"] and run["t_test"] > run["t_train"] and run["law"]
    ]
    low, median, high = (float(np.quantile(found, level)) for level in LEVELS)
    return {"low": low, "median": median, "high": high, "runs": len(found)}


def turned_at_the_end(corpus: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Quantiles of the angle, in degrees, by which the weights had turned at the last look before t_test; same runs."""
    found = []
    for run in corpus:
        if run["t_test"] and run["t_train"] and run["t_test"] > run["t_train"] and run["law"]:
            _, degrees = angles_of(run)
            found += degrees[-1:].tolist()
    low, median, high = (float(np.quantile(found, level)) for level in LEVELS)
    return {"low": low, "median": median, "high": high, "runs": len(found)}


def _model(rows: Sequence[Mapping[str, Any]], wanted: Sequence[str]) -> dict[str, Any]:
    from sklearn.linear_model import HuberRegressor, LogisticRegression

    x = np.array([[row["signals"][s] for s in wanted] for row in rows])
    mean, deviation = x.mean(0), np.maximum(x.std(0), 1e-6)
    z = np.clip((x - mean) / deviation, -FAR, FAR)
    logistic = LogisticRegression(C=PENALTY, max_iter=2000).fit(z, [row["within"] for row in rows])
    timed = [i for i, row in enumerate(rows) if row["wait"] is not None]
    waits = HuberRegressor(alpha=1.0, max_iter=2000).fit(z[timed], [rows[i]["wait"] for i in timed])
    return {
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "weights": logistic.coef_[0].tolist(),
        "bias": float(logistic.intercept_[0]),
        "time_weights": waits.coef_.tolist(),
        "time_bias": float(waits.intercept_),
    }


def _residuals(rows: Iterable[Mapping[str, Any]], wanted: Sequence[str], model: Mapping[str, Any]) -> list[float]:
    left = []
    for row in rows:
        if row["wait"] is None:
            continue
        z = (np.array([row["signals"][s] for s in wanted]) - model["mean"]) / model["deviation"]
        left.append(row["wait"] - float(np.clip(z, -FAR, FAR) @ model["time_weights"] + model["time_bias"]))
    return left


def held_out(
    rows: Sequence[Mapping[str, Any]], groups: Sequence[str], learned: Sequence[Mapping[str, Any]] | None = None
) -> list[tuple[Mapping[str, Any], Forecast]]:
    """Each row with the forecast of a fit that has not seen its system, from one set of signals.

    Args:
        rows: that are forecast.
        groups: of signals.
        learned: rows that are fitted; those forecast where left out.
    """
    found = []
    for system in sorted({row["system"] for row in rows}):
        rest = [row for row in (rows if learned is None else learned) if row["system"] != system]
        model = fit(rest, [groups])
        for row in rows:
            if row["system"] == system:
                answer = fitted(row["signals"], Setting(), row["at"], model, sets=[groups])
                if isinstance(answer, Forecast):
                    found.append((row, answer))
    return found


def scores(rows: Sequence[Mapping[str, Any]], learned: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """How well each set of signals forecasts on unseen systems, beside hyper-parameters alone and the base rate."""
    found: dict[str, Any] = {
        name(groups): one for groups in (*SETS, *BASELINES) if (one := scores_of(rows, groups, learned))
    }
    base = np.mean([row["within"] for row in rows])
    found["base rate"] = {"n": len(rows), "brier": float(base * (1 - base)), "rate": float(base)}
    found["weight decay and fraction alone"] = _hyper(rows, rows if learned is None else learned)
    return found


def scores_of(
    rows: Sequence[Mapping[str, Any]], groups: Sequence[str], learned: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The scores of one set of signals; empty where no row has them."""
    pairs = held_out(rows, groups, learned)
    if not pairs:
        return {}
    truth = np.array([row["within"] for row, _ in pairs])
    p = np.array([said.p_generalise for _, said in pairs])
    timed = [(row, said) for row, said in pairs if row["wait"] is not None]
    errors = [abs(math.log(said.t_median / row["at"]) - row["wait"]) for row, said in timed if said.t_median]
    inside = [_holds(row, said) for row, said in timed if said.t_low is not None and said.t_high is not None]
    return {
        "n": len(pairs),
        "generalised": int(truth.sum()),
        "area": area(truth, p),
        "area_by_system": _by_system(pairs),
        "brier": float(np.mean((p - truth) ** 2)),
        "median_factor": float(math.exp(np.median(errors))) if errors else None,
        "coverage": float(np.mean(inside)) if inside else None,
        "reliability": _reliability(truth, p),
    }


def law_scores(
    corpus: Sequence[Mapping[str, Any]],
    calibrations: Mapping[str, Mapping[str, Any]],
    settings: Callable[[Mapping[str, Any]], Setting],
) -> dict[str, Any]:
    """The first-passage law at the same moments, where it applies: errors and intervals on runs that generalise late.

    ``delay_error`` is |said − true| / (t_test − t_train), its median.
    """
    spoke = refused = 0
    factors, delays, inside = [], [], []
    for run in corpus:
        whole = rebuilt(run, direction=True)
        for moment in run["signals"]:
            at = round(float(moment) * max(run["t_train"], 1))
            seen = whole.prefix(at)
            setting = settings(run)
            events = find_events(seen, 0, run["chance"], EventRule())
            said = first_passage(seen, events, setting, seen.final_step(0), calibrations[run["system"]])
            if not isinstance(said, Forecast) or said.t_median is None:
                refused += 1
                continue
            spoke += 1
            if run["t_test"] is None:
                continue
            factors.append(abs(math.log(max(said.t_median, 1) / run["t_test"])))
            delays.append(abs(said.t_median - run["t_test"]) / max(run["t_test"] - run["t_train"], 1))
            inside.append((said.t_low or 0) <= run["t_test"] <= (said.t_high or 0))
    return {
        "spoke": spoke,
        "refused": refused,
        "of_runs_that_generalise": len(factors),
        "median_factor": float(math.exp(np.median(factors))) if factors else None,
        "delay_error": float(np.median(delays)) if delays else None,
        "coverage": float(np.mean(inside)) if inside else None,
    }


def _holds(row: Mapping[str, Any], said: Forecast) -> bool:
    """Whether the interval holds t_test."""
    t_test = math.exp(row["wait"]) * row["at"]
    return (said.t_low or 0) <= t_test * (1 + 1e-9) and t_test <= (said.t_high or 0) * (1 + 1e-9)


def area(truth: Floats, p: Floats) -> float | None:
    """Area under the ROC; None of one kind only."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, p)) if len(set(truth.tolist())) == 2 else None


def _by_system(pairs: Sequence[tuple[Mapping[str, Any], Forecast]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for system in sorted({row["system"] for row, _ in pairs}):
        truth = np.array([row["within"] for row, _ in pairs if row["system"] == system])
        p = np.array([said.p_generalise for row, said in pairs if row["system"] == system])
        enough = min(truth.sum(), (~truth).sum()) >= FEWEST
        found[system] = area(truth, p) if enough else None
    return found


def _reliability(truth: Floats, p: Floats) -> list[dict[str, float]]:
    edges = np.linspace(0, 1, 6)
    which = np.clip(np.digitize(p, edges) - 1, 0, 4)
    return [
        {"said": float(p[which == k].mean()), "came": float(truth[which == k].mean()), "n": int((which == k).sum())}
        for k in range(5)
        if (which == k).any()
    ]


def _hyper(rows: Sequence[Mapping[str, Any]], learned: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What weight decay, fraction and age alone would say: the baseline that a forecaster has to beat."""
    from sklearn.linear_model import LogisticRegression

    truth, said = [], []
    for system in sorted({row["system"] for row in rows}):
        rest = [row for row in learned if row["system"] != system]
        here = [row for row in rows if row["system"] == system]
        if len({row["within"] for row in rest}) < 2:
            continue
        model = LogisticRegression(C=PENALTY).fit(_plain(rest), [row["within"] for row in rest])
        truth += [row["within"] for row in here]
        said += model.predict_proba(_plain(here))[:, 1].tolist()
    t, p = np.array(truth), np.array(said)
    return {"n": len(t), "area": area(t, p), "brier": float(np.mean((p - t) ** 2))}


def _plain(rows: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array(
        [[row["decay"] > 0, math.log10(row["decay"] + 1e-3), row["fraction"], row["moment"]] for row in rows]
    )


def rebuilt(run: Mapping[str, Any], direction: bool = False) -> Trace:
    """The curves of a run as a trace, as a log has them; and on demand with weights in a plane that turn as its own."""
    trace = Trace()
    curves = {key: numbers(values) for key, values in run["curves"].items()}
    for i, step in enumerate(run["steps"]):
        trace.add(0, int(step), {key: float(values[i]) for key, values in curves.items()})
    if direction and run["course"]:
        steps, degrees = angles_of(run)
        for step, angle in zip([max(run["t_train"], 1), *steps.tolist()], [0.0, *degrees.tolist()], strict=True):
            turned = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
            trace.add(0, int(step), {"dynamics/weight_sketch": turned})
    return trace


def confusion(corpus: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Trace]) -> dict[str, Any]:
    """Labels and events that a diagnosis of the run's log gives, against those that the lab recorded.

    Args:
        corpus: the runs.
        read: a run as its log reads it. The chance level is not told.
    """
    table: dict[str, dict[str, int]] = {}
    off: dict[str, list[int]] = {"t_train": [], "t_test": []}
    for run in corpus:
        found = diagnose(read(run))
        row = table.setdefault(run["label"], {})
        row[str(found.label)] = row.get(str(found.label), 0) + 1
        for event in off:
            off[event].append(_looks_off(run["steps"], run[event], getattr(found.phases.events, event)))
    right = sum(row.get(truth, 0) for truth, row in table.items())
    return {
        "runs": len(corpus),
        "table": table,
        "accuracy": right / len(corpus),
        **{f"{event}_within_one_look": float(np.mean([abs(k) <= 1 for k in looks])) for event, looks in off.items()},
    }


def _looks_off(steps: Sequence[int], truth: int | None, said: int | None) -> int:
    if truth is None or said is None:
        return 0 if truth is said else 10**6
    where = np.asarray(steps)
    return int(np.searchsorted(where, said) - np.searchsorted(where, truth))
