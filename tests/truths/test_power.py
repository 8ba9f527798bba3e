"""Power et al. 2022: what the claims read is what made-up observations say."""

import math
from typing import get_args

import pytest

from grokscope.papers.power2022grokking import studies
from grokscope.tasks import PermutationGroup
from grokscope.tasks.modular import Operation


def run(*best, steps=None):
    return {"best": list(best), "steps": steps or [None] * len(best)}


def test_forty_per_cent_more_steps_a_point_is_that_slope_and_late_runs_are_no_missing_ones():
    shares = [0.2, 0.25, 0.26, 0.27, 0.28, 0.6]
    steps = [None, *(1000 * 1.4 ** (28 - 100 * f) for f in shares[1:])]
    one = {"fractions": shares, "runs": [{"t_test": t, "t_train": 50} for t in steps]}
    censored = {"fractions": shares, "runs": [{"t_test": None, "t_train": 50} for _ in steps]}
    assert studies.slope([one], "t_test") == pytest.approx(-math.log(1.4))
    assert studies.slope([one], "t_train") == pytest.approx(0.0, abs=1e-12)
    assert studies.slope([one, censored, censored], "t_test") is None


def test_differences_of_operations_are_of_means_and_none_without_a_run():
    runs = {f"{a}/{split}": run(0.5, 1.0) for a, _ in studies.COUNTERPARTS for split in ("ordered", "unordered")}
    runs |= {f"{b}/ordered": run(0.25, 0.75) for _, b in studies.COUNTERPARTS}
    seen = {"fractions": [0.5, 0.9], "runs": runs}
    assert studies.ahead(seen, "ordered") == studies.ahead(seen, "unordered") == pytest.approx(0.25)
    assert studies.at_most(seen, "add") == 1.0
    assert studies.at_most(seen, "x3+xy") is None
    assert studies.shift(seen, "add", "sub") == pytest.approx(0.25 * 2 * 40)
    assert studies.shift(seen | {"fractions": [0.5, 0.7, 0.9]}, "add", "sub") is None
    assert studies.at_most(seen | {"fractions": [0.5, 0.7, 0.9]}, "add") is None  # only begun
    assert studies.best(seen, ["add/ordered", "x3+xy/ordered"]) is None


def test_the_operations_are_the_twelve_of_the_figure_and_multiplication():
    assert len({*studies.NUMBERS, *studies.PERMUTATIONS} - {"mul"}) == 12
    assert set(studies.NUMBERS) <= set(get_args(Operation))
    size = studies.OPERATIONS.sizes["paper"]
    made = [studies.table(size, operation, 0.5) for operation in size["operations"]]
    assert [len(task.table.answers_N) for task in made if isinstance(task, PermutationGroup)] == [14_400] * 3
    assert {len(task.table.answers_N) for task in made} == {97 * 97, 97 * 96, 14_400}
