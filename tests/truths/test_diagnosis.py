"""Diagnoses of planted curves: each verdict where it belongs, and only there."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from grokscope import diagnose
from grokscope.advice import VERDICTS, advise
from grokscope.forecast import Forecast, Setting
from grokscope.phases import read_phases
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


def test_a_loss_far_above_guessing_is_a_numerical_fault():
    def after(loss):
        return diagnose(curves(step_at(10**9), loss=lambda t: loss if t > 700 else 1 / t), Setting(chance=0.05)).advice

    bound = 10 * -math.log(0.05)
    assert after(1.01 * bound).verdict == "numerical fault"
    assert f"since step {next(int(t) for t in STEPS if t > 700):,}" in after(1.01 * bound).text
    assert after(0.99 * bound).verdict != "numerical fault"
    spike = curves(step_at(10**9), loss=lambda t: 1e9 if 700 < t < 800 else 1 / t)
    assert diagnose(spike, Setting(chance=0.05)).advice.verdict != "numerical fault"


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


@pytest.mark.parametrize(
    ("norm", "loss", "words"),
    [
        (lambda t: 10.0 if t < 3000 else 6.0, lambda t: 1e-4, "training data"),
        (lambda t: 10.0 if t < 3000 else 3.0, lambda t: 1e-4 if t < 3000 else 1.0, "less weight decay"),
        (lambda t: 10.0, lambda t: 0.5 if 3000 <= t < 3200 else 1e-4, "smaller learning rate"),
    ],
)
def test_lost_generalisation_says_what_else_changed(norm, loss, words):
    found = diagnose(curves(lambda t: 1.0 if 500 <= t < 3000 else 0.05, loss=loss, norm__weights=norm))
    assert found.advice.verdict == "losing generalisation"
    assert words in found.advice.would_tell
    assert {"test/accuracy", "norm/weights", "train/loss"} <= {one.measure for one in found.advice.evidence}


def test_a_held_out_loss_alone_shows_a_loss_too():
    def held_out(t):
        return 0.1 if 900 <= t < 3000 else 4.0

    none = {"accuracy": lambda t: None, "train": lambda t: None}
    found = diagnose(curves(**none, test_loss=held_out))
    assert found.advice.verdict == "losing generalisation"
    assert "held-out loss was 0.1" in found.advice.text
    assert [a.name for a in found.phases.anomalies] == ["ungrokking"]
    kept = diagnose(curves(**none, test_loss=lambda t: 0.1 if t >= 900 else 4.0))
    assert (kept.advice.verdict, kept.phases.anomalies) == ("generalised", [])


def test_a_loss_that_does_not_last_is_none():
    def dip(looks):
        return curves(lambda t: 1.0 if t >= 500 and t not in set(STEPS[-looks:].tolist()) else 0.05)

    span = [looks for looks in range(3, 12) if STEPS[-1] - STEPS[-looks] >= 0.05 * STEPS[-1]]
    assert diagnose(dip(2)).advice.verdict == "generalised"
    assert diagnose(dip(span[0])).advice.verdict == "losing generalisation"


def test_without_decay_or_drift_it_is_blocked():
    told = replace(CONTROL, weight_decay=0.0)
    trace = curves(step_at(10**9, low=0.2), **AT_CHANCE)
    found = advised(trace, told)
    assert found.verdict == "structurally blocked"
    assert "weight decay is 0" in found.text
    assert advised(trace, CONTROL).verdict == "cannot tell yet"
    assert advised(trace, told, p=0.6).verdict == "keep training"
    assert advised(curves(step_at(10**9, low=0.2), norm__weights=lambda t: t**0.1), told).verdict == "cannot tell yet"


def slingshot_run(spikes, growth=0.1, between=False, **more):
    """Evenly spaced looks; the norm grows before each spike of the loss and stands still after it.

    ``between``: the spikes lie between two looks, where only the loop's own losses show them.
    """
    trace = Trace()
    norm = 10.0
    for look in range(200):
        norm *= 1 + (growth / 20 if any(0 < spike - look <= 20 for spike in spikes) else 0.0)
        row = {
            "train/loss": 3.0 if look < 5 else (0.5 if look in spikes and not between else 1e-4),
            "batch/loss_max": 3.0 if look < 5 else (0.5 if look in spikes else 2e-4),
            "train/accuracy": 0.1 if look < 5 else 1.0,
            "test/loss": 5.0,
            "test/accuracy": 0.05,
            "norm/weights": norm,
        }
        trace.add(0, 10 * look, row | more)
    return trace


def anomalies(found):
    return [(a.name, a.start) for a in found.phases.anomalies]


@pytest.mark.parametrize("between", [False, True])
def test_repeated_slingshots_are_a_fault_that_need_not_end_a_training(between):
    found = diagnose(slingshot_run([60, 140], between=between), Setting(chance=0.05, weight_decay=0.0))
    assert anomalies(found) == [("slingshot", 600), ("slingshot", 1400)]
    assert (found.advice.verdict, found.advice.stop) == ("numerical fault", False)
    assert "norm/weights" in [one.measure for one in found.advice.evidence]
    assert "600, 1,400" in found.advice.text
    assert "float64" in found.advice.would_tell
    assert found.summary()["stop"] is False


@pytest.mark.parametrize(
    ("trace", "named"),
    [
        (slingshot_run([140]), [("slingshot", 1400)]),  # one may be an accident
        (slingshot_run([40, 80]), [("slingshot", 400), ("slingshot", 800)]),  # long ago
        (slingshot_run([60, 140], growth=0.0), [("loss spike", 600), ("loss spike", 1400)]),  # of a norm that is still
        (slingshot_run([]), []),
    ],
)
def test_what_is_near_slingshots_is_not_called_so(trace, named):
    found = diagnose(trace, Setting(chance=0.05, weight_decay=0.0))
    assert anomalies(found) == named
    assert found.advice.verdict != "numerical fault"


def test_without_a_norm_a_spike_is_only_a_spike():
    whole, log = slingshot_run([60, 140]), Trace()
    for step, loss in zip(*whole.series("train/loss", 0), strict=True):
        log.add(0, int(step), {"train/loss": float(loss)})
    found = diagnose(log)
    assert anomalies(found) == [("loss spike", 600), ("loss spike", 1400)]
    assert all("cannot be told from a slingshot" in a.note for a in found.phases.anomalies)
    assert found.advice.verdict != "numerical fault"


def test_slingshots_that_led_to_generalisation_are_no_fault():
    trace = slingshot_run([60, 140])
    for look in range(150, 200):
        trace.add(0, 10 * look, {"test/accuracy": 1.0})
    assert diagnose(trace, Setting(chance=0.05)).advice.verdict == "generalised"


def test_a_collapsed_softmax_that_still_has_losses_is_no_fault():
    seen = {"precision__softmax_collapse": lambda t: 0.9 if t > 100 else 0.0}
    exact = seen | {"precision__zero_losses": lambda t: 0.0}
    assert diagnose(curves(step_at(10**9), **exact)).advice.verdict != "numerical fault"
    plain = seen | {"precision__zero_losses": lambda t: 0.8 if t > 100 else 0.0}
    found = diagnose(curves(step_at(10**9), **plain)).advice
    assert (found.verdict, found.evidence[0].measure, found.stop) == ("numerical fault", "precision/zero_losses", True)


CONTROL = Setting(chance=0.05, weight_decay=1.0)
AT_CHANCE = {"norm__weights": lambda t: 10.0}


def advised(trace, setting=CONTROL, p=0.3):
    """The advice beside a forecast of this probability, whatever calibration ships."""
    phases = read_phases(trace, setting.chance)[0]
    return advise(trace, phases, setting, Forecast(phases.events.last_step, p, 10 * phases.events.last_step))


def test_a_training_that_stands_still_at_chance_is_blocked():
    trace = curves(lambda t: 0.05 + 0.01 * math.sin(t), **AT_CHANCE)
    found = advised(trace)
    assert (found.verdict, found.stop) == ("structurally blocked", True)
    assert {one.measure for one in found.evidence} == {"test/accuracy", "norm/weights", "test/loss"}
    assert "control" in found.would_tell
    assert advised(trace, p=0.6).verdict == "keep training"
    assert advised(trace.prefix(500)).verdict == "cannot tell yet"  # 17 times t_train


@pytest.mark.parametrize(
    ("accuracy", "more"),
    [
        (lambda t: 0.15, AT_CHANCE),  # above chance
        (lambda t: 0.05, {"norm__weights": lambda t: 10.0 * t**-0.1}),  # the norm drifts
        (lambda t: 0.05, AT_CHANCE | {"test_loss": lambda t: 6.0 * t**-0.1}),  # the held-out loss falls
        (lambda t: 0.05, {}),  # no norm was seen
    ],
)
def test_what_still_moves_is_not_blocked_at_chance(accuracy, more):
    assert advised(curves(accuracy, **more)).verdict == "cannot tell yet"


@pytest.mark.parametrize("setting", [CONTROL, replace(CONTROL, weight_decay=0.0)])
def test_weights_that_turn_are_not_blocked(setting):
    trace = curves(step_at(10**9), **AT_CHANCE)
    for t in STEPS.tolist():
        trace.add(0, t, {"dynamics/weight_sketch": np.array([math.cos(t / 5000), math.sin(t / 5000)])})
    assert advised(trace, setting).verdict == "cannot tell yet"


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
