"""Truths for what papers/humayun2024local reads from a course of looks, and for its measure."""

import numpy as np
import pytest
import torch

from grokscope.measures import Snapshot
from grokscope.models import Dense
from grokscope.objectives import MSE
from grokscope.papers.humayun2024local import Neighbourhoods, course
from grokscope.papers.series import Curve
from grokscope.seeds import Seeds
from grokscope.tasks import Digits

STEPS = np.array([0, 1, 10, 100, 1000, 2000, 3000, 4000, 5000])


def _looks(around: list[float], attacked: list[float], clean: list[float]) -> dict[str, Curve]:
    columns = {"around_train": around, "around_border": [4.0] * len(STEPS)}
    columns |= {"test/attacked": attacked, "test/accuracy": clean}
    return {name: (STEPS, np.array(values, dtype=float)) for name, values in columns.items()}


def test_a_course_of_three_phases_is_read_as_one() -> None:
    found = course(
        _looks(
            around=[4, 3, 2, 3, 4, 5, 3, 2, 1],
            attacked=[0.1, 0.2, 0.5, 0.4, 0.3, 0.2, 0.35, 0.5, 0.6],
            clean=[0.1, 0.5, 0.9, 0.99, 0.98, 0.98, 0.97, 0.98, 0.98],
        ),
        "test",
        fitted=100,
    )
    assert (found["first"], found["low"], found["peak"], found["end"]) == (4.0, 2.0, 5.0, 2.0)
    assert (found["peak_step"], found["t_fall"], found["t_saturated"], found["t_rise"]) == (2000, 3000, 100, 4000)
    assert (found["lowest"], found["rise"]) == (0.3, pytest.approx(0.2))
    assert (found["spread_peak"], found["spread"]) == (0.8, 2.0)
    assert found["rho"] is None  # four looks since the peak are too few


def test_what_does_not_happen_is_none() -> None:
    found = course(_looks([4, 3, 2, 5, 5, 5, 4.6, 5, 5], [0.1] * 9, [0.9] * 9), "test", fitted=10)
    assert found["t_fall"] is None
    assert found["t_rise"] is None
    assert found["rise"] == 0.0
    assert found["rho"] is None  # accuracy under attack does not vary


def test_falling_complexity_and_rising_robustness_have_rank_correlation_minus_one() -> None:
    attacked = [0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    found = course(_looks([4, 3, 2, 9, 8, 7, 6, 5, 4], attacked, [0.9] * 9), "test", fitted=10)
    assert found["rho"] == pytest.approx(-1.0)


def test_a_network_that_forgets_has_no_end() -> None:
    clean = [0.1, 0.5, 0.9, 0.99, 0.99, 0.99, 0.1, 0.1, 0.1]
    found = course(_looks([4, 3, 2, 5, 5, 5, 0, 0, 0], [0.1] * 9, clean), "test", fitted=10)
    assert found["peak"] == 5.0
    assert found["end"] is None
    assert found["rise"] is None


def test_a_network_that_answers_one_class_has_no_border_and_the_attack_changes_nothing() -> None:
    task, model = Digits(), Dense(hidden=(8,))
    network = model.build(task, Seeds(0).generator("init"))
    with torch.no_grad():
        network.W[-1].zero_()
        network.b[-1].copy_(torch.arange(10.0))
    split = task.divide(Seeds(0))
    snapshot = Snapshot(0, network, task, split, model.encode(task, task.table), MSE())
    values = Neighbourhoods(points=20, directions=3, attack_steps=2)(snapshot)
    assert np.isnan(values["complexity/around_border"])
    for name in ("train", "test"):
        nines = (split.answers_N[split.rows[name]] == 9).double().mean().item()
        assert values[f"{name}/attacked"] == pytest.approx(nines)
