"""Memory is predicted before it is used, and a member that does not fit is one line."""

import subprocess
import sys

import pytest
import torch

from grokscope.errors import BadInput
from grokscope.models import Transformer
from grokscope.tasks import ModularArithmetic
from grokscope.training import engine, memory
from grokscope.training.engine import make_plan
from grokscope.training.memory import free_bytes, keep_freed_memory, member_bytes, peak_bytes, threads
from tests.flow.small import small, small_mlp

PEAK = """
import resource, torch
from grokscope.experiment import Experiment
from grokscope.models import Transformer
from grokscope.tasks import ModularArithmetic
from grokscope.training.members import Lane
torch.set_num_threads(1)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
one = Experiment(task=ModularArithmetic(modulus=59), model=Transformer())
Lane([(0, one)]).step()
before = peak()
lane = Lane(list(enumerate(one.members(64))))
lane.step()
print(peak() - before)
"""


def test_the_prediction_is_near_what_many_stacked_members_take():
    from grokscope.experiment import Experiment

    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    experiment = Experiment(task=ModularArithmetic(modulus=59), model=Transformer())
    look = 2 * 59 * 59 * 60 * 4  # a look is taken of one member at a time, and this child takes none
    predicted = 64 * (member_bytes(experiment) - look)  # so many that what torch itself has touched is small
    assert 0.5 < predicted / int(done.stdout) < 2.0


def test_the_peak_is_what_was_held_at_once_and_not_what_was_held_in_all():
    def call():
        for _ in range(3):
            kept = torch.ones(16 * 2**20)  # 64 MiB
            del kept

    peak = peak_bytes(call)
    if peak is None:
        pytest.skip("the kernel keeps no high-water mark")
    assert 60 < peak / 2**20 < 120
    small_peak = peak_bytes(lambda: torch.ones(10))
    assert small_peak is not None
    assert small_peak < 20 * 2**20


def test_a_larger_modulus_needs_more():
    assert member_bytes(small(**{"task.modulus": 13})) > member_bytes(small(**{"task.modulus": 7})) > 0
    assert free_bytes() > 2**20


def test_a_member_that_does_not_fit_is_refused_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "free_bytes", lambda device: 1000)
    with pytest.raises(BadInput, match=r"one member of small needs about \d\.\d GB and 0\.0 GB may be used"):
        make_plan([small()])
    assert not list(tmp_path.iterdir())


def test_lanes_are_no_wider_than_memory_allows(monkeypatch):
    each = member_bytes(small_mlp())
    monkeypatch.setattr(engine, "free_bytes", lambda device: int(3.5 * each / engine.USE_OF_FREE_MEMORY))
    plan = make_plan(small_mlp().members(8), "stacked", "cpu")
    assert max(len(lane) for lane in plan.lanes) <= 3
    assert sorted(n for lane in plan.lanes for n in lane) == list(range(8))
    assert plan.member_bytes == pytest.approx(each, rel=0.1)


def test_a_container_s_limit_counts(monkeypatch):
    limits = {"/sys/fs/cgroup/memory.max": ["1000000"], "/sys/fs/cgroup/memory.current": ["400000"]}
    monkeypatch.setattr(memory, "_lines", lambda path: limits.get(path, []))
    assert free_bytes() == 600_000


def test_the_allocator_is_told_once_and_threads_come_back():
    import torch

    assert keep_freed_memory() is keep_freed_memory()
    before = torch.get_num_threads()
    with threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("times", "engine_name", "lanes"),
    [
        ({1: 0.5, 4: 0.4, 16: 0.8}, "stacked", 1),  # sixteen at once cost hardly more than one
        ({1: 0.5, 4: 1.9, 16: 7.9}, "looped", 16),  # stacking saves nothing
    ],
)
def test_the_engine_is_chosen_by_what_a_step_takes(monkeypatch, times, engine_name, lanes):
    monkeypatch.setattr(engine, "step_milliseconds", lambda experiments, **_: times[len(experiments)])
    plan = make_plan(small_mlp(budget=20).members(16), "auto", "cpu")
    assert plan.engine == engine_name
    assert len(plan.lanes) == lanes
    assert f"a step takes {times[1]:g} ms" in plan.why


def test_long_work_gets_a_process_per_core_and_lanes_for_each(monkeypatch):
    monkeypatch.setattr(engine, "step_milliseconds", lambda experiments, **_: 0.5 if len(experiments) == 1 else 0.6)
    monkeypatch.setattr(engine, "cores", lambda: 2)
    plan = make_plan(small_mlp(budget=10**6).members(16), "auto", "cpu")
    assert plan.engine == "pooled"
    assert plan.workers == 2
    assert [len(lane) for lane in plan.lanes] == [8, 8]
