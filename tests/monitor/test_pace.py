"""When to look: free at first, then as often as the budget pays for."""

import json
import math

from grokscope.monitoring.pace import FREE, Pace


def walk(pace, steps, per_step, costs):
    """Looks of a training whose updates take ``per_step`` seconds, and whose parts cost what ``costs`` says."""
    looks = {name: [] for name in costs}
    for step in range(steps + 1):
        if step:
            pace.trained(per_step, 1)
        if step >= pace.due:
            for name in pace.takes:
                looks[name].append(step)
                pace.took(name, costs[name])
                pace.spent += costs[name]
            pace.plan(step, ())
    return looks


def test_the_budget_is_kept_whatever_a_look_costs():
    for cost in (1e-4, 1e-3, 0.01, 0.1):
        pace = Pace(0.03, 20, {"fit": 1e-3, "sketch": 1e-3})
        looks = walk(pace, 10_000, 0.01, {"fit": cost, "sketch": 3 * cost})
        free = (len(FREE) * cost + 3 * cost) / pace.training
        assert pace.overhead <= max(0.031, free)
        assert looks["fit"][:4] == [0, 1, 2, 3]
        if cost <= 1e-3:
            assert len(looks["fit"]) > 50  # the logarithmic spacing is what limits it


def test_a_costly_part_is_rare_and_puts_off_no_other():
    cheap = walk(Pace(0.03, 20, {"fit": 1e-3, "norm": 1e-4}), 5000, 0.01, {"fit": 1e-3, "norm": 1e-4})
    both = Pace(0.03, 20, {"fit": 1e-3, "norm": 1e-4, "sketch": 30.0})
    looks = walk(both, 5000, 0.01, {"fit": 1e-3, "norm": 1e-4, "sketch": 30.0})
    assert looks["sketch"] == []
    assert looks["fit"] == cheap["fit"]


def test_a_pause_is_no_training():
    pace = Pace(0.03, 20, {"fit": 1e-3})
    for _ in range(100):
        pace.trained(0.01, 1)
    pace.trained(3600.0, 1)
    assert pace.training < 1.3


def test_a_moving_accuracy_is_looked_at_more_often():
    gaps = []
    for accuracies in ((0.5,), (0.9,)):
        pace = Pace(1.0, 20, {"fit": 1e-6})
        pace.training = 100.0
        pace.plan(1000, (0.5,))
        pace.plan(2000, accuracies)
        gaps.append(pace.due - 2000)
    assert gaps[1] < gaps[0]
    assert gaps[0] == round((10 ** (1 / 20) - 1) * 2000)


def test_the_state_is_plain():
    pace = Pace(0.03, 20, {"fit": 1e-3, "norm": 1e-4})
    walk(pace, 300, 0.01, {"fit": 1e-3, "norm": 1e-4})
    other = Pace(0.03, 20, {"fit": 1e-3, "norm": 1e-4})
    other.load(json.loads(json.dumps(pace.state())))
    assert other == pace
    assert math.isclose(other.overhead, pace.overhead)
