"""What is asked of advice on lost generalisation: planted curves of known fate, and real slingshots."""

import numpy as np
import pytest

from grokscope.benchmarks import losing
from grokscope.measures import Fit, Norms
from grokscope.runs import run

CHANCE = 0.05


def course(accuracy, kind="less data", last=1000, **curves):
    """Looks every ten steps; the curves as functions of the step."""
    steps = list(range(0, last + 1, 10))
    given = {
        "train/loss": lambda t: 1e-4,
        "train/accuracy": lambda t: 1.0,
        "test/loss": lambda t: 1.0,
        "test/accuracy": accuracy,
        "norm/weights": lambda t: 10.0,
        "norm/last_layer": lambda t: 5.0,
        "precision/softmax_collapse": lambda t: 0.0,
        "precision/zero_losses": lambda t: 0.0,
    } | {key.replace("__", "/"): f for key, f in curves.items()}
    return {
        "kind": kind,
        "system": "planted",
        "changes": {},
        "seed": 0,
        "setting": {"chance": CHANCE, "lr": 0.01, "weight_decay": 1.0},
        "steps": steps,
        "curves": {key: [f(t) for t in steps] for key, f in given.items()},
    }


@pytest.mark.parametrize(
    ("accuracy", "truth"),
    [
        (lambda t: 1.0, ("kept", None)),
        (lambda t: 1.0 if t < 500 else CHANCE, ("lost", 24)),  # evaluations at 20, 40, …: the 25th is at 500
        (lambda t: 1.0 if t < 300 or 400 <= t < 500 else CHANCE, ("lost", 24)),  # that it came back is no end
        (lambda t: 1.0 if t < 500 else 0.7, ("partly", None)),
        (lambda t: 1.0 if t >= 990 else CHANCE, ("never had", None)),  # two looks are no having
        (lambda t: 1.0 if t == 0 else CHANCE, ("lost", 0)),  # began where another ended
        (lambda t: CHANCE, ("never had", None)),
    ],
)
def test_fate(accuracy, truth):
    assert losing.fate(course(accuracy)) == truth


def test_scores_count_what_was_planted():
    lost = course(lambda t: 1.0 if t < 500 else CHANCE, norm__weights=lambda t: 10.0 if t < 500 else 5.0)
    dip = course(lambda t: CHANCE if 500 <= t < 700 else 1.0, "larger learning rate")
    found = losing.scores(losing.views([lost, course(lambda t: 1.0, losing.FIRST), dip])["monitor"])
    assert (found["lost"], found["lost_said_at_the_end"], found["cause_named"]) == (1, 1, 1)
    assert (found["kept"], found["kept_said_lost_at_the_end"], found["kept_said_lost_at_any_time"]) == (2, 0, 1)
    first = found["runs"][0]
    assert first["gone"] == 24
    assert 0 <= first["late"] <= 3  # three looks, and a twentieth of the steps
    assert found["evaluations_in_vain"] == 0  # while the dip lasted it was lost


def test_views_of_one_run():
    source = course(lambda t: 1.0 if t >= 500 else CHANCE, losing.FIRST)
    after = course(lambda t: 1.0 if t < 500 else CHANCE)
    views = losing.views([source, after])
    whole, trace = views["in one with its source"][1]
    assert trace.final_step(0) == 2000
    assert len(set(whole["steps"])) == len(whole["steps"]) == 201
    assert losing.fate(whole) == ("lost", 37)  # of 50 evaluations, 40 steps apart, the 38th is at 1520
    log = views["log of evaluations"][1][1]
    assert log.keys() == sorted(losing.KEYS[:4])
    assert len(log.series("test/accuracy", 0)[0]) == losing.EVALUATIONS + 1


@pytest.mark.parametrize(("softmax", "named"), [("float32", {"slingshot"}), ("float64", set())])
def test_adam_without_decay_makes_slingshots_of_a_float32_softmax(softmax, named, tmp_path):
    base = next(s for s in losing.SYSTEMS if s.name == losing.ADDITION).experiment
    changes = {"task.modulus": 13, "task.train_fraction": 0.7, "model.hidden": 32, "budget": 1300}
    changes |= {"optimizer.lr": 0.1, "optimizer.weight_decay": 0.0, "objective.softmax": softmax}
    changes |= {"measures": [Fit().to_dict(), Norms().to_dict()], "clock.looks_per_decade": losing.DENSE}
    found = run(base.with_overrides(changes), store=tmp_path, engine="looped", progress=False)
    (phases,) = found.phases()
    assert {anomaly.name for anomaly in phases.anomalies} == named
    if named:
        steps, norms = found.trace.series("norm/last_layer", 0)
        before, after = (norms[np.searchsorted(steps, phases.anomalies[0].start * share)] for share in (0.9, 1.0))
        assert after > 1.1 * before
