"""The order of steps, for any order: nothing invented, the last line wins, what rises is left as it is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grokscope.readers.repair import mend, whole_steps

steps = st.lists(st.integers(0, 30), max_size=60)


def mended(given_steps):
    at = np.array(given_steps, dtype=np.int64)
    rows = np.arange(len(at))
    return mend(rows, at, rows.astype(float))


@given(steps)
def test_any_order(given_steps):
    done = mended(given_steps)
    assert (np.diff(done.steps) > 0).all()
    rows = done.values.astype(int)
    assert [given_steps[row] for row in rows] == done.steps.tolist()
    for step, row in zip(done.steps.tolist(), rows.tolist(), strict=True):
        assert step not in given_steps[row + 1 :], "a later line of this step would have won"
    if given_steps:
        assert len(given_steps) - 1 in rows, "the last line is always there"
    if not done.resumed:
        assert set(done.steps.tolist()) == set(given_steps), "without a resume no step is lost"


@given(st.sets(st.integers(0, 1000), max_size=60))
def test_rising_steps_stay_as_they_are(chosen):
    done = mended(sorted(chosen))
    assert done.steps.tolist() == sorted(chosen)
    assert (done.sorted, done.repeated, done.resumed, done.replaced) == (0, 0, [], 0)


@given(st.integers(2, 40), st.integers(0, 39), st.integers(1, 60))
def test_a_run_resumed_from_a_checkpoint_is_the_run_without_the_branch(first, back, more):
    back = min(back, first - 1)
    branch, again = [10 * i for i in range(first)], [10 * i for i in range(back, back + more)]
    done = mended(branch + again)
    assert done.steps.tolist() == branch[:back] + again
    assert done.values.tolist() == [*range(back), *range(first, first + more)]


def test_counters_become_whole_numbers():
    told, has, scale = whole_steps(np.array([0.0, 0.5, np.nan, -1.0, np.inf, 2.25, 1e300]))
    assert (told[has].tolist(), scale) == ([0, 50, 225], 100)
    told, has, scale = whole_steps(np.array([0.0, 1 / 3, 1.0]))
    assert (told.tolist(), scale) == ([0, 333333, 1000000], 1_000_000)
