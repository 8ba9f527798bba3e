"""Diagnoses of planted curves: each verdict where it belongs, and only there."""

import json
import math

import numpy as np
import pytest

from grokscope import diagnose
from grokscope.advice import VERDICTS
from grokscope.forecast import Setting
from grokscope.report.diagnosis_page import Read, render
from grokscope.trace import Trace

STEPS = np.unique(np.geomspace(1, 5000, 140).astype(int))


def curves(
    accuracy, train=lambda t: min(1.0, 0.05 + t / 30), loss=lambda t: 3 / (1 + t), test_loss=lambda t: 4.0, **more
):
    trace = Trace()
    for t in STEPS.tolist():
        values = {
            "train/loss": loss(t),
            "train/accuracy": train(t),
            "test/loss": test_loss(t),
            "test/accuracy": accuracy(t),
        }
        trace.add(
            0,
            t,
            {k: v for k, v in values.items() if v is not None} | {k.replace("__", "/"): f(t) for k, f in more.items()},
        )
    return trace


def step_at(when, low=0.05, high=1.0):
    return lambda t: high if t >= when else low


def test_grokking_is_generalised():
    found = diagnose(curves(step_at(900)))
    assert (found.advice.verdict, found.label, found.forecast) == ("generalised", "grokking", None)
    assert found.phases.events.t_test == next(int(t) for t in STEPS if t >= 900)


def test_flat_validation_is_no_reason_to_stop_at_once():
    found = diagnose(curves(step_at(10**9)), at=60)
    assert not found.advice.stop


def test_not_yet_memorised_cannot_tell():
    found = diagnose(curves(step_at(10**9), train=lambda t: 0.4))
    assert found.advice.verdict == "cannot tell yet"
    assert "40.0%" in found.advice.text


def test_nan_is_a_numerical_fault():
    found = diagnose(curves(step_at(10**9), loss=lambda t: math.nan if t > 700 else 1 / t))
    assert found.advice.verdict == "numerical fault"
    assert f"{next(int(t) for t in STEPS if t > 700):,}" in found.advice.text


def test_collapsed_softmax_is_a_numerical_fault():
    seen = {"precision__softmax_collapse": lambda t: 0.9 if t > 100 else 0.0}
    assert diagnose(curves(step_at(10**9), **seen)).advice.verdict == "numerical fault"
    assert diagnose(curves(step_at(900), **seen)).advice.verdict == "generalised"


def test_lost_generalisation():
    found = diagnose(curves(lambda t: 1.0 if 500 <= t < 3000 else 0.05))
    assert found.advice.verdict == "losing generalisation"
    assert "checkpoint" in found.advice.would_tell


def test_a_dip_is_no_loss():
    found = diagnose(curves(lambda t: 0.6 if 1000 <= t < 1050 else (1.0 if t >= 500 else 0.05)))
    assert found.advice.verdict == "generalised"


def test_without_decay_or_drift_it_is_blocked():
    still = {"norm__weights": lambda t: 10.0}
    told = Setting(chance=0.05, weight_decay=0.0)
    found = diagnose(curves(step_at(10**9), loss=lambda t: 1e-6, **still), told)
    if found.forecast is None or found.forecast.p_generalise < 0.5:
        assert found.advice.verdict == "structurally blocked"
        assert "weight decay is 0" in found.advice.text


def test_chance_is_read_from_the_first_looks():
    found = diagnose(curves(step_at(900, low=0.02)))
    assert found.setting.chance == pytest.approx(0.02)
    assert any("chance" in e.says for e in found.evidence)


def test_losses_stand_in_for_accuracies():
    found = diagnose(curves(lambda t: None, train=lambda t: None, test_loss=lambda t: 0.1 if t >= 900 else 4.0))
    assert found.phases.events.t_train == next(int(t) for t in STEPS if 3 / (1 + t) <= 0.05)
    assert found.phases.events.t_test == next(int(t) for t in STEPS if t >= 900)


def test_without_held_out_curves_there_is_no_label():
    found = diagnose(curves(lambda t: None, test_loss=lambda t: None))
    assert found.label is None
    assert "label" in found.skipped
    assert found.advice.verdict in VERDICTS


def test_nothing_is_read_after_the_moment():
    whole = curves(step_at(900))
    assert diagnose(whole, at=500).summary() == diagnose(whole.prefix(500)).summary()
    assert diagnose(whole, at=500).phases.events.t_test is None


@pytest.mark.parametrize("trace", [Trace(), curves(lambda t: None, lambda t: None, lambda t: None, lambda t: None)])
def test_an_empty_trace_is_answered(trace):
    found = diagnose(trace)
    assert found.advice.verdict == "cannot tell yet"
    json.dumps(found.summary(), allow_nan=False)
    assert "no curve" in render([Read(found)])


def test_names_from_a_file_are_escaped():
    found = diagnose(curves(step_at(900)))
    text = render(
        [Read(found, "<script>alert(1)</script>", "csv", {"test/accuracy": "<img src=x>"}, ["<b>"], {"<i>": "<u>"})]
    )
    assert not any(tag in text for tag in ("<script", "<img src", "<b>", "<i>", "<u>"))


def test_summary_is_plain():
    for trace in (curves(step_at(900)), curves(step_at(10**9)), curves(step_at(10**9), loss=lambda t: math.inf)):
        found = json.loads(json.dumps(diagnose(trace).summary(), allow_nan=False))
        assert {"label", "t_train", "t_test", "segment", "forecast", "advice", "evidence", "skipped"} <= set(found)
