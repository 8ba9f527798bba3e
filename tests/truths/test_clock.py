"""Truths for clock.py: dense, then log-spaced, and never dearer than allowed."""

import itertools
import math
from collections.abc import Callable

import pytest

from grokscope.clock import Clock, Schedule, plan

Curve = Callable[[int], float]


def _flat(step: int) -> float:
    return 0.0


def _jump(at: int) -> Curve:
    """Test accuracy that rises from 0 to 1 between ``at`` and 2 · ``at``."""
    return lambda step: min(1.0, max(0.0, (step - at) / at))


def _walk(schedule: Schedule, test: Curve = _flat) -> list[int]:
    """Every step looked at, from 0 to the budget."""
    looks = [0]
    while (following := schedule.after(looks[-1], 1.0, test(looks[-1]))) != looks[-1]:
        looks.append(following)
    return looks


@pytest.mark.parametrize("per_decade", [5, 20, 60])
def test_looks_are_every_step_at_first_and_then_so_many_per_decade(per_decade: int) -> None:
    looks = _walk(plan(Clock(looks_per_decade=per_decade), 100_000, 0.0))
    dense = math.ceil(1.5 / (10 ** (1 / per_decade) - 1))  # there a gap of 1.5 steps is rounded up to 2
    assert looks[: dense + 1] == list(range(dense + 1))
    assert looks[dense + 1] > dense + 1
    for low in (1000, 10_000):
        assert abs(sum(low <= look < 10 * low for look in looks) - per_decade) <= 1
    assert looks[-1] == 100_000


@pytest.mark.parametrize("budget", [1, 2, 7, 1000])
def test_the_first_and_the_last_step_are_always_looked_at(budget: int) -> None:
    for cost in (0.0, 1e6):
        looks = _walk(plan(Clock(), budget, cost))
        assert looks[0] == 0
        assert looks[-1] == budget
        assert looks == sorted(set(looks))


@pytest.mark.parametrize("cost", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("overhead", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("test", [_flat, _jump(300), _jump(5000)])
def test_beyond_the_free_looks_looking_costs_its_share_or_is_sparse(cost: float, overhead: float, test: Curve) -> None:
    clock = Clock(max_overhead=overhead)
    looks = _walk(plan(clock, 50_000, cost), test)
    sparse = 10 ** (1 / clock.sparse_per_decade)
    for number, step in enumerate(looks[:-1], start=1):  # the last look is owed to the budget
        waited = step >= 0.95 * sparse * looks[number - 2]  # 0.95: gaps are whole steps
        assert number <= clock.free_looks or number * cost <= overhead * step or waited


def test_a_long_run_ends_within_its_overhead() -> None:
    for cost in (0.5, 2.0, 6.0):
        looks = _walk(plan(Clock(), 50_000, cost), _jump(9000))
        assert len(looks) * cost <= 0.05 * 50_000 + cost


def test_dear_looks_are_put_off_and_cheap_ones_are_not() -> None:
    dear, cheap, free = (_walk(plan(Clock(), 10_000, cost)) for cost in (50.0, 1e-3, 0.0))
    assert len(dear) < len(cheap)
    assert cheap == free


def test_the_free_looks_are_taken_however_dear_they_are_and_then_only_sparse_ones() -> None:
    dear, free = _walk(plan(Clock(free_looks=30), 10_000, 1e9)), _walk(plan(Clock(), 10_000, 0.0))
    assert dear[:30] == free[:30]
    ratios = [later / earlier for earlier, later in itertools.pairwise(dear[30:-1])]
    assert min(ratios) == pytest.approx(10 ** (1 / 10), rel=0.02)  # gaps are whole steps


def test_looks_are_denser_while_accuracy_moves_and_only_then() -> None:
    test = _jump(2000)
    zoomed, plain = (_walk(plan(Clock(zoom=zoom), 50_000, 0.0), test) for zoom in (3, 1))

    def between(looks: list[int], low: int, high: int) -> int:
        return sum(low < look <= high for look in looks)

    assert between(zoomed, 2300, 4000) >= 2.5 * between(plain, 2300, 4000)
    assert [look for look in zoomed if look < 2000] == [look for look in plain if look < 2000]
    late = [later / earlier for earlier, later in itertools.pairwise(zoomed) if earlier > 5000 and later < 50_000]
    assert min(late) == pytest.approx(10 ** (1 / 20), rel=1e-3)


def test_accuracy_that_does_not_move_by_two_percent_is_not_moving() -> None:
    assert _walk(plan(Clock(), 5000, 0.0), lambda step: step % 2 * 0.02) == _walk(plan(Clock(), 5000, 0.0))
    assert _walk(plan(Clock(), 5000, 0.0), lambda step: step % 2 * 0.03) != _walk(plan(Clock(), 5000, 0.0))


def test_a_schedule_is_a_function_of_what_was_seen() -> None:
    one, two = (_walk(plan(Clock(), 20_000, 1.0), _jump(700)) for _ in range(2))
    assert one == two != _walk(plan(Clock(), 20_000, 1.0), _jump(3000))


def _taken(clock: Clock, budget: int, cost: float, costly: dict[str, float], every: int = 1) -> dict[str, list[int]]:
    """At which steps each costly measure is taken, and all looks."""
    schedule, looks = plan(clock, budget, cost, costly), [0]
    taken: dict[str, list[int]] = {name: [] for name in costly}
    while True:
        step = looks[-1]
        for name in costly:
            if schedule.takes(name, every, step, last=step == budget):
                taken[name].append(step)
        following = schedule.after(step, 1.0, 0.0)
        if following == step:
            return taken | {"looks": looks}
        looks.append(following)


@pytest.mark.parametrize("each", [3.0, 40.0, 700.0])
def test_costly_measures_keep_to_their_share_and_do_not_put_off_the_others(each: float) -> None:
    clock, costly = Clock(), {"a": each, "b": 2 * each}
    taken = _taken(clock, 50_000, 0.5, costly)
    assert taken["looks"] == _taken(clock, 50_000, 0.5, {"a": 1.0})["looks"]
    credit = clock.free_looks * 0.5
    for name, cost in costly.items():
        for number, step in enumerate(taken[name][:-1], start=1):
            assert number * cost <= 0.05 / 4 * step + credit / 2
        assert len(taken[name]) < len(taken["looks"])
        assert taken[name][-1] == 50_000
    spent = sum(cost * len(taken[name]) for name, cost in costly.items()) + 0.5 * len(taken["looks"])
    assert spent <= 0.05 * 50_000 + credit + 0.5 * clock.free_looks + sum(costly.values()) + 1


def test_a_costly_measure_waits_for_room_and_is_taken_as_soon_as_there_is() -> None:
    taken = _taken(Clock(free_looks=3), 10_000, 0.1, {"a": 50.0})
    first = next(step for step in taken["looks"] if 0.025 * step + 0.3 >= 50.0)
    assert taken["a"][0] == first


def test_every_holds_where_there_is_room() -> None:
    taken = _taken(Clock(free_looks=10_000), 1000, 1.0, {"a": 1e-6}, every=4)
    assert taken["a"] == sorted({*taken["looks"][::4], 1000})


def test_cheap_measures_are_taken_on_every_kth_look_and_on_the_last() -> None:
    schedule = plan(Clock(), 100, 1.0)
    seen = []
    for look in range(6):
        seen.append(schedule.takes("fit", 3, look))
        schedule.after(look, 1.0, 0.0)
    assert seen == [True, False, False, True, False, False]
    schedule.after(6, 1.0, 0.0)
    assert schedule.takes("fit", 3, 100, last=True)


@pytest.mark.parametrize("saved_after", [1, 10, 45])
def test_a_saved_schedule_goes_on_as_if_never_saved(saved_after: int) -> None:
    whole = _walk(plan(Clock(), 5000, 5.0), _jump(40))
    first = plan(Clock(), 5000, 5.0)
    for step in whole[:saved_after]:
        first.after(step, 1.0, _jump(40)(step))
    again = Schedule(**first.state())  # type: ignore[arg-type]
    following = [again.after(step, 1.0, _jump(40)(step)) for step in whole[saved_after:]]
    assert following == [*whole[saved_after + 1 :], 5000]
