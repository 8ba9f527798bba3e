"""The two-gate rule: its indicators on known series, its alarm on made ones, its calibration on made corpora."""

import math

import numpy as np
import pytest

from grokscope.benchmarks import gating
from grokscope.forecast import Gates, Refusal, Setting, forecast, gates
from grokscope.forecast.content import RISES, UPDATES, Indicator, indicators
from grokscope.forecast.gates import SUSTAIN, Course, alarm, course, sustained
from grokscope.trace import Trace

STEPS = np.arange(1, 41)
ONES = {"rank": 1.0, "defect": 1.0, "surprise": 1.0, "gap": 1.0}


def traced(rows, steps=STEPS):
    trace = Trace()
    for i, step in enumerate(steps.tolist()):
        trace.add(0, step, {"train/loss": 0.01, "train/accuracy": 1.0} | {k: f(i) for k, f in rows.items()})
    return trace


def test_rank_and_defect_are_logarithms_over_their_first():
    trace = traced({"representation/effective_rank": lambda i: 8.0 / (i + 1), "commutator/defect": lambda i: 2.0**i})
    found = indicators(trace, 5, 40)
    assert found["rank"].upto(40) == pytest.approx(math.log((8 / 39) / (8 / 5)))  # the median of the last three looks
    assert found["defect"].upto(40) == pytest.approx((38 - 5) * math.log(2))  # over the median of its first three
    assert found["rank"].steps[0] == 5


def test_one_wild_look_moves_no_indicator():
    calm = traced({"commutator/defect": lambda i: 3.0})
    wild = traced({"commutator/defect": lambda i: 1e9 if i == 20 else 3.0})
    np.testing.assert_array_equal(indicators(calm, 1, 40)["defect"].values, indicators(wild, 1, 40)["defect"].values)


def test_surprise_is_small_for_an_exponential_and_large_for_noise():
    draw = np.random.default_rng(0)
    smooth = traced({"dynamics/log_probability": lambda i: np.array([0.9**i, 2 * 0.9**i])})
    noise = traced({"dynamics/log_probability": lambda i: draw.standard_normal(19)})
    assert indicators(smooth, 1, 40)["surprise"].upto(40) < 0.01
    assert indicators(noise, 1, 40)["surprise"].upto(40) > 0.3


def test_gap_is_that_of_the_last_unit_updates():
    draw = np.random.default_rng(1)
    path = np.cumsum(draw.standard_normal((40, 30)), 0)
    found = indicators(traced({"dynamics/weight_sketch": lambda i: path[i]}), 1, 40)["gap"]

    def naive(end):
        updates = np.diff(path[end - UPDATES : end + 1], axis=0)
        sigma = np.linalg.svd(updates / np.linalg.norm(updates, axis=1, keepdims=True))[1]
        return math.log((sigma[1] ** 2 - sigma[2] ** 2) / sigma[0] ** 2)

    assert found.steps[0] == UPDATES + 1
    assert found.upto(40) == pytest.approx(naive(39) - naive(UPDATES), rel=1e-6)


def test_nothing_later_is_read():
    draw = np.random.default_rng(2)
    values = np.abs(draw.standard_normal((40, 12))) + 0.1
    rows = {
        "representation/effective_rank": lambda i: values[i, 0],
        "commutator/defect": lambda i: values[i, 1],
        "norm/weights": lambda i: values[i, 2],
        "dynamics/log_probability": lambda i: -values[i],
        "dynamics/weight_sketch": lambda i: values[i],
    }
    whole, part = course(traced(rows), 3, 25), course(traced(rows, STEPS[:25]), 3, 25)
    for gate in ("content", "viability"):
        ours, theirs = getattr(whole, gate), getattr(part, gate)
        assert ours.keys() == theirs.keys()
        assert ours
        for name in ours:
            np.testing.assert_array_equal(ours[name].values, theirs[name].values)


def made(content, **viability):
    """A course of series over STEPS; the norm falls unless told otherwise."""
    given = {"fall": np.full(40, 1.0)} | viability
    return Course(
        {name: Indicator(STEPS, np.asarray(values, dtype=float)) for name, values in content.items()},
        {name: Indicator(STEPS, np.asarray(values, dtype=float)) for name, values in given.items()},
    )


HIGH = np.where(STEPS >= 20, 2.0, 0.0)


@pytest.mark.parametrize(
    ("content", "viability", "at"),
    [
        ({"defect": HIGH, "surprise": HIGH}, {}, 20 + SUSTAIN - 1),
        ({"defect": HIGH, "rank": -HIGH}, {}, 20 + SUSTAIN - 1),  # rank is said to fall
        ({"defect": HIGH, "rank": HIGH}, {}, None),
        ({"defect": HIGH, "surprise": 0 * HIGH, "gap": 0 * HIGH}, {}, None),  # one is no quorum
        ({"defect": HIGH, "surprise": HIGH}, {"fall": np.zeros(40)}, None),
        ({"defect": HIGH, "surprise": HIGH}, {"fall": np.zeros(40), "turn": np.full(40, 9.0)}, 20 + SUSTAIN - 1),
        ({"defect": HIGH, "surprise": HIGH}, {"collapse": np.ones(40)}, None),
        ({"defect": HIGH, "surprise": np.where(STEPS % 3 == 0, 0.0, HIGH)}, {}, None),  # never three on end
        ({"defect": HIGH, "surprise": np.full(40, math.nan)}, {}, None),
    ],
)
def test_alarm_needs_both_gates_for_three_looks(content, viability, at):
    assert alarm(made(content, **viability), ONES) == at


def test_sustained_is_the_highest_level_that_was_kept():
    one = Indicator(STEPS[:6], np.array([0.0, 5, 1, 2, 3, math.nan]))
    assert sustained(one, 1.0) == 1.0
    assert sustained(one, -1.0) == -3.0
    assert sustained(Indicator(STEPS[:2], np.zeros(2)), 1.0) == -math.inf


def test_state_says_what_rings_and_when_it_expects():
    numbers = {"thresholds": ONES, "multiples": {"low": 1.0, "median": 2.0, "high": 4.0}}
    found = gates(made({"defect": HIGH, "surprise": HIGH}), 40, numbers)
    assert found == Gates(("defect", "surprise"), ("defect", "surprise"), True, 22, (22, 44, 88))
    assert "alarm since step 22" in found.evidence().says
    quiet = gates(made({"defect": 0 * HIGH, "surprise": HIGH}), 40, numbers)
    assert (quiet.alarm, quiet.expected) == (None, None)
    assert quiet.evidence().towards == "neither"


def test_one_indicator_is_too_few():
    found = gates(made({"defect": HIGH}), 40, {"thresholds": ONES})
    assert isinstance(found, Refusal)
    assert "1 of the indicators" in found.because


def test_forecast_says_why_the_rule_is_silent():
    said = forecast(traced({}), Setting(chance=0.1))
    assert said.gates is None
    assert "indicators" in said.skipped["two-gate rule"]


def test_an_alarm_forbids_to_call_it_blocked():
    from grokscope.advice.plateau import by_forecast
    from grokscope.forecast import Forecast
    from grokscope.phases import read_phases

    trace = traced({"test/accuracy": lambda i: 0.1, "test/loss": lambda i: 3.0}, np.arange(1, 200))
    (phases,) = read_phases(trace, 0.1)
    no = Forecast(199, 0.02, 1990)
    silent, ringing = Gates((), ("rank", "gap"), True, None, None), Gates(("rank",), ("rank", "gap"), True, 50, None)
    for state, verdict in (
        (None, "structurally blocked"),
        (silent, "structurally blocked"),
        (ringing, "cannot tell yet"),
    ):
        assert by_forecast(trace, phases, Setting(chance=0.1), no, no, state, 0).verdict == verdict


def corpus(informative=True):
    """Two systems of runs in which three indicators rise before generalisation, or by chance."""
    draw, runs = np.random.default_rng(3), []
    for k in range(120):
        late = k % 3 == 0
        rises = late if informative else draw.random() < 0.33
        content = {}
        for name, sign in RISES.items():
            level = draw.normal(0, 0.3, 40) + (3.0 * (STEPS >= 15) if rises and name != "gap" else 0.0)
            content[name] = [STEPS.tolist(), (sign * level).tolist()]
        viability = {"fall": [STEPS.tolist(), [1.0] * 40]}
        runs.append(
            {
                "system": f"s{k % 2}",
                "t_train": 1,
                "t_test": 41 if late else None,
                "course": {"content": content, "viability": viability},
            }
        )
    return runs


def test_calibration_finds_an_alarm_that_is_seldom_false():
    found = gating.gate_scores(corpus(), corpus())["both gates"]
    assert found["false"] <= 0.1 * found["never"]
    assert found["rang"] >= 0.95 * found["late"]
    assert found["median_lead"] == pytest.approx((41 - 17) / 40, abs=0.05)
    assert found["median_factor"] < 1.2


def test_chance_is_not_made_an_alarm():
    found = gating.gate_scores(corpus(informative=False), corpus(informative=False))["both gates"]
    assert found["false"] <= 0.15 * found["never"]
    assert found["rang"] <= 0.3 * found["late"]
