"""Forecasts: the law as printed, signals of known curves, and nothing read from later."""

import math

import numpy as np
import pytest

from grokscope.benchmarks import forecasting, stopping
from grokscope.forecast import Forecast, Refusal, Setting, calibration, first_passage, fitted, forecast, signals
from grokscope.forecast.first_passage import delay, outside
from grokscope.forecast.fitted import SETS, inputs, name
from grokscope.forecast.signals import GROUPS, words
from grokscope.phases import EventRule, Events, find_events
from grokscope.trace import Trace

STEPS = np.unique(np.geomspace(1, 4000, 150).astype(int))
ADAMW = Setting(chance=0.1, lr=1e-3, weight_decay=1.0, optimizer="adamw", objective="cross-entropy", budget=50_000)


def plateau(steps=STEPS, scale=1, rate=5e-4, until=4000):
    """Memorised at step 30 · scale, then a loss that falls as t⁻² and a squared norm that decays at ``rate``."""
    trace = Trace()
    for t in steps[steps <= until]:
        trace.add(
            0,
            int(t) * scale,
            {
                "train/loss": 100.0 * float(t) ** -2,
                "train/accuracy": 1.0 if t >= 30 else 0.3,
                "test/loss": 3.0,
                "test/accuracy": 0.1,
                "norm/weights": math.sqrt(100 * math.exp(-rate * t)),
                "logits/scale": 2.0 * float(t) ** 0.5,
                "logits/confidence": 0.99,
                "representation/effective_rank": 20.0,
                "dynamics/weight_sketch": np.array([math.cos(t / 4000), math.sin(t / 4000)]),
                "dynamics/log_probability": np.array([-1.0, -0.5]) * float(t) ** -2,
                "commutator/defect": float(t),
            },
        )
    return trace


def events(trace):
    return find_events(trace, 0, 0.1, EventRule())


@pytest.mark.parametrize(("square", "steps"), [(3000, 361), (4000, 932), (5000, 1374), (6000, 1736), (8000, 2307)])
def test_law_as_printed(square, steps):
    assert delay(square, 2501, 0.252, 1e-3, 1.0) == pytest.approx(steps, abs=1)


def test_law_is_over_where_the_norm_is_below():
    assert delay(2000, 2501, 0.252, 1e-3, 1.0) == 0


def test_first_passage_is_where_the_norm_passes():
    numbers = {"horizon": 10, "norm_ratio": {"low": 0.25, "median": 0.5, "high": 0.8}}
    numbers |= {"angle": {"low": 1.0, "median": 2.0, "high": 3.0}}  # 13.9° at step 1,000: passed
    trace = plateau(until=1000)
    found = first_passage(trace, events(trace), ADAMW, 1000, numbers)
    assert isinstance(found, Forecast)
    start = next(int(t) for t in STEPS if t >= 30)
    for ratio, said in ((0.8, found.t_low), (0.5, found.t_median), (0.25, found.t_high)):
        assert said == pytest.approx(max(1000, start + math.log(1 / ratio) / 5e-4), rel=0.02)


def test_second_passage_is_where_the_direction_passes():
    """α = 10° per e-fold of steps since step 30, and a norm that has passed: t = at · exp((α★ − α) / 10°)."""
    numbers = {"horizon": 10, "norm_ratio": {"low": 1.0, "median": 1.1, "high": 1.2}}
    numbers |= {"angle": {"low": 40.0, "median": 50.0, "high": 60.0}}
    trace = Trace()
    for t in STEPS[STEPS <= 1000]:
        angle = math.radians(10 * math.log(max(t, 30) / 30))
        row = {"train/loss": 0.01, "train/accuracy": 1.0 if t >= 30 else 0.3, "test/accuracy": 0.1, "test/loss": 3.0}
        row |= {"norm/weights": math.sqrt(100 * math.exp(-5e-4 * t))}
        trace.add(0, int(t), row | {"dynamics/weight_sketch": np.array([math.cos(angle), math.sin(angle)])})
    found = first_passage(trace, events(trace), ADAMW, 1000, numbers)
    assert isinstance(found, Forecast)
    start, at = next(int(t) for t in STEPS if t >= 30), found.at
    for star, said in ((40, found.t_low), (50, found.t_median), (60, found.t_high)):
        assert said == pytest.approx(start * math.exp(star / 10), rel=0.02)
    assert "norm and direction" in found.method
    assert at == 1000


def test_law_refuses_weights_that_turn_no_further():
    trace = plateau(until=1000)
    for t in STEPS[STEPS <= 1000]:
        trace.add(0, int(t), {"dynamics/weight_sketch": np.array([1.0, 0.0])})
    found = first_passage(trace, events(trace), ADAMW, 1000, calibration())
    assert isinstance(found, Refusal)
    assert "out of reach" in found.because


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scheduled": True}, "scheduled"),
        ({"clipped": True}, "clipped"),
        ({"normalised": True}, "normalisation"),
        ({"objective": "mse"}, "mse"),
        ({"optimizer": "sgd"}, "sgd"),
        ({"weight_decay": 0.0}, "no weight decay"),
        ({"lr": None}, "not known"),
        ({"unit": "epoch"}, "epochs"),
    ],
)
def test_law_refuses_outside_its_validity(change, reason):
    setting = Setting(**{**vars(ADAMW), **change})
    assert reason in outside(Events(30, None, 1000), setting, 1000)


def test_law_refuses_a_norm_that_grows():
    trace = plateau(rate=-5e-4)
    found = first_passage(trace, events(trace), ADAMW, 4000, calibration())
    assert isinstance(found, Refusal)
    assert "does not fall" in found.because


def test_signals_of_a_known_curve():
    found = signals(plateau(), events(plateau()), 4000, 0.1)
    assert found["train/slope"] == pytest.approx(-2, abs=1e-6)
    assert found["scale/slope"] == pytest.approx(0.5, abs=1e-6)
    assert found["train/wobble"] == pytest.approx(0, abs=1e-6)
    assert found["test/share"] == 0
    assert found["test/fall"] == 0
    assert found["norm/fall"] == pytest.approx(-5e-4 * (4000 - 30), rel=0.01)
    assert found["turn"] == pytest.approx((4000 - 30) / 4000 / (math.pi / 2), rel=0.01)
    assert found["content/rank"] == 0
    assert found["content/surprise"] < 0.15
    assert set(found) == {s for group in GROUPS.values() for s in group}


def test_signals_have_no_unit_of_time():
    slow = signals(plateau(scale=10), events(plateau(scale=10)), 40_000, 0.1)
    fast = signals(plateau(), events(plateau()), 4000, 0.1)
    for one in fast:
        if one != "train/level":  # a loss, which no clock changes
            assert slow[one] == pytest.approx(fast[one], rel=1e-6, abs=1e-9), one


def test_nothing_after_the_moment_is_read():
    whole = plateau()
    for t in STEPS[STEPS > 1000]:
        whole.add(0, int(t), {key: math.nan for key in whole.keys()} | {"test/accuracy": 1.0})
    part = plateau(until=1000)
    at = part.final_step(0)
    assert forecast(whole, ADAMW, at).best == forecast(part, ADAMW).best
    assert forecast(part, ADAMW).best is not None


def test_train_only_reads_no_held_out_curve():
    known, other = plateau(), plateau()
    for t in STEPS:
        other.add(0, int(t), {"test/accuracy": 0.1 + 0.0001 * (t % 7), "test/loss": 9.0 / t})
    assert forecast(known, ADAMW, train_only=True).best == forecast(other, ADAMW, train_only=True).best
    assert forecast(known, ADAMW).best != forecast(other, ADAMW).best


def test_before_memorising_nobody_speaks():
    found = forecast(plateau(until=20), ADAMW)
    assert found.best is None
    assert set(found.skipped) == {"first-passage law", "fitted forecast", "two-gate rule"}


def test_the_first_set_that_is_there_speaks():
    full = dict.fromkeys((s for group in GROUPS.values() for s in group), 0.0)
    for groups in SETS:
        seen = {s: full[s] for s in inputs(groups)}
        said = fitted(seen, Setting(), 100, calibration())
        assert isinstance(said, Forecast)
        assert said.method == f"fitted on {', '.join(groups)}"


def test_every_signal_has_words():
    for group in GROUPS.values():
        for one in group:
            assert words(one, 0.5)


def test_shipped_calibration_is_whole():
    numbers = calibration()
    assert set(numbers["models"]) == {name(groups) for groups in SETS}
    for key, model in numbers["models"].items():
        width = len(inputs(key.split("+")))
        assert all(len(model[k]) == width for k in ("mean", "deviation", "weights", "time_weights"))
        assert model["quantiles"] == sorted(model["quantiles"])


def rows(systems=4, each=40, noise=0.2):
    """Samples of which the norm's slope alone decides, with a wait that it sets."""
    draw, found = np.random.default_rng(0), []
    for k in range(systems * each):
        steep = draw.uniform(-2, 2)
        seen = {s: float(draw.normal()) for s in inputs(("weights",))} | {"norm/slope": steep}
        wait = 0.5 - 0.2 * steep + noise * draw.normal() if steep < 0 else None
        base = {
            "system": f"s{k % systems}",
            "cell": 0,
            "seed": k,
            "moment": 2.0,
            "at": 100,
            "decay": 1.0,
            "fraction": 0.5,
        }
        found.append(base | {"within": steep < 0, "wait": wait, "signals": seen})
    return found


def test_fit_finds_what_decides():
    found = forecasting.scores(rows())["weights"]
    assert found["area"] > 0.98
    assert found["brier"] < 0.15
    assert found["median_factor"] < 1.25
    assert 0.8 <= found["coverage"] <= 1.0


def test_shuffled_outcomes_are_not_forecast():
    draw, shuffled = np.random.default_rng(1), rows()
    for row, other in zip(shuffled, draw.permutation(len(shuffled)), strict=True):
        row["within"], row["wait"] = (source := rows()[other])["within"], source["wait"]
    assert 0.3 < forecasting.scores(shuffled)["weights"]["area"] < 0.7


def test_patience_stops_after_so_many():
    losses = np.array([5.0, 4, 3, 3, 3, 3, 2])
    assert stopping.patience(losses, 3) == 5
    assert stopping.patience(losses, 4) is None
    assert stopping.patience(-losses, 3, rising=True) == 5


def test_stopping_is_judged():
    found = stopping._judged([10, None, 50, None], [100, 100, 100, 100], [20, 30, None, None])
    assert found == {"generalising": 2, "killed": 1, "never": 2, "stopped": 1, "saved": 0.25}
