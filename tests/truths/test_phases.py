"""Truths for phases/: hand-made curves with known answers, and noise that must stay nothing."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.phases import (
    EventRule,
    Events,
    LabelRule,
    Segment,
    find_anomalies,
    find_events,
    find_segments,
    first_sustained,
    label,
    read_phases,
)
from grokscope.testing.detector import CHANCE, LOOKS, PLANTED, planted_trace
from grokscope.trace import Trace

RULE = EventRule()


def _trace(
    train: Sequence[float],
    test: Sequence[float],
    train_loss: Sequence[float] | None = None,
    test_loss: Sequence[float] | None = None,
    unit: int = 10,
) -> Trace:
    """One member, a look every ``unit`` steps; accuracies as given, losses 1 − accuracy unless given."""
    trace = Trace()
    losses = ([1 - x for x in train] if train_loss is None else train_loss, test_loss or [1 - x for x in test])
    for i, row in enumerate(zip(train, test, *losses, strict=True)):
        keys = ("train/accuracy", "test/accuracy", "train/loss", "test/loss")
        trace.add(0, i * unit, dict(zip(keys, row, strict=True)))
    return trace


# Events.


def test_events_are_the_first_of_three_looks_that_pass() -> None:
    trace = _trace([0, 0.98, 0.99, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0.9, 0.9, 0.95, 1])
    events = find_events(trace, 0, 0.0, RULE)
    assert (events.t_train, events.t_test, events.last_step) == (20, 40, 70)
    assert (events.delay, events.ratio, events.censored) == (20, 2.0, False)


def test_the_test_threshold_is_counted_from_chance() -> None:
    assert EventRule().test_accuracy(0.5) == pytest.approx(0.95)
    test = [0.5, 0.94, 0.94, 0.94, 0.94]
    assert find_events(_trace([1] * 5, test), 0, 0.5, RULE).t_test is None
    assert find_events(_trace([1] * 5, test), 0, 0.0, RULE).t_test == 10


def test_a_spike_is_no_event_and_neither_is_an_end_too_soon() -> None:
    assert find_events(_trace([1] * 7, [0, 1, 1, 0, 0, 1, 1]), 0, 0.0, RULE).t_test is None
    assert find_events(_trace([1] * 7, [0, 1, 1, 0, 1, 1, 1]), 0, 0.0, RULE).t_test == 40
    assert find_events(_trace([1] * 7, [0, 1, 1, 0, 0, 1, 1]), 0, 0.0, EventRule(looks=2)).t_test == 10


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_never_an_event(seed: int) -> None:
    noise = np.random.default_rng(seed).binomial(6000, 1 / 97, (2, 300)) / 6000
    (phases,) = read_phases(_trace(noise[0], noise[1]), 1 / 97)
    assert (phases.events.t_train, phases.events.t_test, phases.label) == (None, None, "confusion")
    assert [segment.name for segment in phases.segments] == ["memorization"]


def test_a_run_that_ends_first_is_censored_at_its_last_look() -> None:
    events = find_events(_trace([0, 1, 1, 1, 1], [0] * 5), 0, 0.0, RULE)
    assert events.censored
    assert (events.t_train, events.t_test, events.last_step) == (10, None, 40)
    assert events.delay is None
    assert events.ratio is None


def test_loss_thresholds_replace_accuracies() -> None:
    loss = [1.0, 0.2, 0.1, 0.1, 0.05, 0.01]
    trace = _trace([0.0] * 6, [0.0] * 6, train_loss=loss, test_loss=loss)
    events = find_events(trace, 0, 0.0, EventRule(train_loss=0.2, test_loss=0.1))
    assert (events.t_train, events.t_test) == (10, 20)
    assert find_events(trace, 0, 0.0, RULE).t_train is None


def test_nan_never_passes() -> None:
    nan = float("nan")
    trace = _trace([nan] * 5, [nan] * 5, train_loss=[nan] * 5, test_loss=[nan] * 5)
    for rule in (RULE, EventRule(train_loss=1.0, test_loss=1.0)):
        events = find_events(trace, 0, 0.0, rule)
        assert events.t_train is None
        assert events.t_test is None


@given(st.lists(st.booleans(), max_size=20), st.integers(1, 4))
def test_first_sustained_is_the_first_window_of_passes(passing: list[bool], looks: int) -> None:
    steps = np.arange(len(passing), dtype=np.int64) * 7
    starts = [i for i in range(len(passing) - looks + 1) if all(passing[i : i + looks])]
    assert first_sustained(steps, np.array(passing, dtype=bool), looks) == (7 * starts[0] if starts else None)


@given(st.permutations(range(len(PLANTED))))
def test_members_are_read_one_by_one(order: list[int]) -> None:
    trace, planted = Trace(), planted_trace()
    for new, old in enumerate(order):
        for key in planted.keys():
            for step, value in zip(*planted.series(key, old), strict=True):
                trace.add(new, int(step), {key: value})
    found, whole = read_phases(trace, CHANCE), read_phases(planted, CHANCE)
    assert [found[new].events for new in range(len(order))] == [whole[old].events for old in order]


# Labels.


@pytest.mark.parametrize(
    ("t_train", "t_test", "want"),
    [
        (None, None, "confusion"),
        (100, None, "memorization"),
        (5000, 5999, "comprehension"),
        (5000, 6000, "grokking"),
        (100, 299, "comprehension"),
        (100, 300, "grokking"),
        (300, 100, "comprehension"),
        (None, 100, "comprehension"),
        (0, 2, "comprehension"),
    ],
)
def test_a_label_follows_from_the_events(t_train: int | None, t_test: int | None, want: str) -> None:
    assert label(Events(t_train, t_test, 10_000), LabelRule()) == want


def test_the_papers_rule_alone_is_a_delay_of_a_thousand_steps() -> None:
    paper = LabelRule(ratio=1e9)
    assert label(Events(100, 1099, 10_000), paper) == "comprehension"
    assert label(Events(100, 1100, 10_000), paper) == "grokking"


# Segments.


def _nanda() -> Trace:
    """Train loss falls at 2; excluded loss turns at 4; test loss falls from 8 on; test passes at 10."""
    test_loss = [5, 6, 8, 8, 8, 8, 8, 8, 7.9, 1, 1e-3, 1e-3, 1e-3, 1e-3]
    excluded = [5, 3, 1, 0.6, 0.5, 0.8, 2, 3, 4, 5, 6, 6, 6, 6]
    accuracy = [0] * 10 + [1] * 4
    trace = _trace([0, 0] + [1] * 12, accuracy, train_loss=[5, 3] + [0.01] * 12, test_loss=test_loss)
    for i, value in enumerate(excluded):
        trace.add(0, i * 10, {"fourier/excluded_loss": value})
    return trace


def test_nandas_segments_turn_where_the_excluded_loss_does_and_where_the_test_loss_falls() -> None:
    trace = _nanda()
    assert find_segments(trace, 0, find_events(trace, 0, 0.0, RULE)) == [
        Segment("memorization", 0, 40),
        Segment("circuit formation", 40, 80),
        Segment("cleanup", 80, 100),
        Segment("generalised", 100, 130),
    ]


def test_without_excluded_loss_the_segments_are_generic() -> None:
    trace = _nanda().prefix(1000)
    del trace._scalars["fourier/excluded_loss"]
    assert find_segments(trace, 0, find_events(trace, 0, 0.0, RULE)) == [
        Segment("memorization", 0, 20),
        Segment("plateau", 20, 80),
        Segment("transition", 80, 100),
        Segment("generalised", 100, 130),
    ]


@pytest.mark.parametrize(("rise", "names"), [(0.5, ["memorization"]), (1.5, ["memorization", "circuit formation"])])
def test_a_run_that_never_generalises_forms_a_circuit_only_if_its_excluded_loss_rose(
    rise: float, names: list[str]
) -> None:
    trace = _trace([0, 1, 1, 1, 1, 1], [0] * 6, train_loss=[5, 0.1, 0.1, 0.1, 0.1, 0.1], test_loss=[5.0] * 6)
    for i, value in enumerate([5, 2, 1, 1, 1 + rise / 2, 1 + rise]):
        trace.add(0, i * 10, {"fourier/excluded_loss": value})
    segments = find_segments(trace, 0, find_events(trace, 0, 0.0, RULE))
    assert [segment.name for segment in segments] == names
    assert segments[-1].end == 50


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_a_look_without_a_finite_loss_moves_no_boundary(odd: float) -> None:
    trace = _nanda()
    want = find_segments(trace, 0, find_events(trace, 0, 0.0, RULE))
    trace.add(0, 15, {"test/loss": odd, "train/loss": 1.0, "train/accuracy": 0.0, "test/accuracy": 0.0})
    trace.add(0, 15, {"fourier/excluded_loss": odd})
    assert find_segments(trace, 0, find_events(trace, 0, 0.0, RULE)) == want


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2, *[st.floats(1e-6, 10)] * 3), min_size=1, max_size=25))
def test_segments_follow_each_other_without_gap_from_the_start(rows: list[tuple[float, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    trace = _trace(*columns[:4])
    for i, value in enumerate(columns[4]):
        trace.add(0, i * 10, {"fourier/excluded_loss": value})
    (phases,) = read_phases(trace, 0.0, EventRule(train_accuracy=0.5, test_share=0.3, looks=1))
    edges = [0, *(segment.end for segment in phases.segments)]
    assert [segment.start for segment in phases.segments] == edges[:-1]
    assert edges == sorted(set(edges))
    assert edges[-1] == (phases.events.last_step if phases.segments else 0)


def test_the_segment_at_a_step_is_the_one_that_holds_it() -> None:
    (phases,) = read_phases(_nanda(), 0.0)
    assert [phases.at(step) for step in (0, 39, 40, 79, 80, 100, 999)] == [
        "memorization",
        "memorization",
        "circuit formation",
        "circuit formation",
        "cleanup",
        "generalised",
        "generalised",
    ]


# Anomalies.


def _anomalies(trace: Trace) -> list[tuple[str, int, int]]:
    found = find_anomalies(trace, 0, find_events(trace, 0, 0.0, RULE), 0.0, RULE)
    return [(anomaly.name, anomaly.start, anomaly.end) for anomaly in found]


def test_a_healthy_run_has_no_anomaly() -> None:
    assert _anomalies(_nanda()) == []
    assert [phases.anomalies for phases in read_phases(planted_trace(), CHANCE)] == [[]] * len(PLANTED)


def test_a_loss_spike_is_a_stretch_far_above_the_minimum_after_memorising() -> None:
    loss = [5, 0.01, 0.01, 0.01, 0.5, 0.3, 0.05, 0.01]
    trace = _trace([0] + [1] * 7, [0] * 8, train_loss=loss)
    assert _anomalies(trace) == [("loss spike", 40, 50)]
    tiny = _trace([0] + [1] * 7, [0] * 8, train_loss=[5, *(x * 1e-6 for x in loss[1:])])
    assert _anomalies(tiny) == []  # a thousandfold of nothing is nothing
    early = _trace([0] * 8, [0] * 8, train_loss=loss)
    assert _anomalies(early) == []  # before t_train a rise is no spike


def test_divergence_starts_where_the_loss_stops_being_a_number() -> None:
    trace = _trace([0, 1, 1, 1, 0, 0], [0] * 6, train_loss=[5, 0.1, 0.1, 0.1, math.nan, math.inf])
    assert _anomalies(trace) == [("divergence", 40, 50)]


def test_generalisation_that_is_lost_is_ungrokking_and_one_dip_is_not() -> None:
    trace = _trace([1] * 10, [0, 1, 1, 1, 0.5, 0.5, 0.5, 1, 1, 0.5], train_loss=[0.1] * 10)
    assert _anomalies(trace) == [("ungrokking", 40, 60)]


def test_looks_of_the_planted_trace_are_distinct() -> None:
    assert (np.diff(LOOKS) > 0).all()
    assert len(LOOKS) > max(look or 0 for pair in PLANTED for look in pair) + 3
