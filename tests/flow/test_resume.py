"""Killed at any instant, a run resumes to the bits of an uninterrupted one."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

import grokscope
from grokscope.errors import BadInput
from grokscope.store import Store
from grokscope.training.loop import Loop
from grokscope.training.messages import Job, Look, Saved
from tests.flow.small import small

TRIES = {"looped": 9, "stacked": 8, "pooled": 3}
"""Kills per engine, 20 in all; a pooled run starts processes of its own, so it gets fewer."""

# Children come from a server that has imported torch but never trained: quick to start, and free of
# the autograd threads that make a fork of this process unsafe.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["grokscope.runs", "tests.flow.small"])


def _wait(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def _start(store, engine):
    grokscope.run(
        small(interventions=["slow-gradient"]), 2, store=store, engine=engine, checkpoint_seconds=0.0, progress=False
    )


def _kill_at_random(store, engine, chance):
    """Start a run in a child, kill it once a random member is past a random step, and return its name.

    A checkpoint is written at every step, so their names tell how far it is; the moment within the step
    is random too.
    """
    member, step = chance.randrange(2), chance.randrange(150)

    def there():
        names = [path.name for path in store.glob("*/checkpoints/step_*")]
        mine = [name for name in names if engine == "stacked" or f".m{member:04d}" in name]
        return any(int(name[5:13]) >= step for name in mine) or not process.is_alive()

    process = SERVER.Process(target=_start, args=(store, engine))
    process.start()
    _wait(lambda: list(store.glob("*/meta.json")))
    _wait(there)
    time.sleep(chance.uniform(0, 0.02))
    process.kill()  # SIGKILL; nothing where the run is over
    process.join()
    return next(iter(Store(store))).name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """An uninterrupted run; a stacked one rounds differently, a pooled one does not differ from a looped one."""
    each = {}
    for engine in ("looped", "stacked"):
        store = tmp_path_factory.mktemp(engine)
        each[engine] = grokscope.run(
            small(interventions=["slow-gradient"]), 2, store=store, engine=engine, progress=False
        )
    return each | {"pooled": each["looped"]}


@pytest.mark.parametrize("engine", list(TRIES))
def test_killed_runs_resume_to_the_same_bits(engine, uninterrupted, tmp_path):
    whole = uninterrupted[engine]
    chance, resumed, middle = random.Random(engine), 0, 0
    for attempt in range(TRIES[engine]):
        store = tmp_path / str(attempt)
        name = _kill_at_random(store, engine, chance)
        ended = len(Store(store).find(name).ended()) if (store / name / "trace.sqlite").exists() else 0
        run = grokscope.resume(name, store=store, progress=False)
        resumed += 1
        middle += ended < 2
        assert run.trace.digest() == whole.trace.digest()
        for member in range(2):
            for ours, theirs in zip(run.network(member).parameters(), whole.network(member).parameters(), strict=True):
                assert torch.equal(ours, theirs)
        assert not (run.path / "looks").exists()
        assert sorted(run.folder.ended()) == [0, 1]
    assert middle >= TRIES[engine] // 3, (
        f"only {middle} of {resumed} kills fell inside the run: the test has not tested"
    )


def test_a_run_interrupted_politely_says_how_to_go_on_and_does(tmp_path):
    process = SERVER.Process(target=_interrupted, args=(tmp_path,))
    process.start()
    _wait(lambda: list(tmp_path.glob("*/trace.sqlite")))
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGINT)
    process.join(20)
    assert process.exitcode == 130
    run = grokscope.load("small", store=tmp_path)
    assert run.record.meta["status"] == "interrupted"
    at = run.folder.checkpoints()[-1].step
    assert 0 < at < 100_000
    assert "continues" not in run.record.sentence()


def _interrupted(store):
    try:
        grokscope.run(small(budget=100_000), store=store, engine="looped", progress=False)
    except KeyboardInterrupt:
        os._exit(130)


def test_a_worker_that_dies_is_named_and_its_run_resumes(tmp_path):
    process = SERVER.Process(target=_pooled, args=(tmp_path,))
    process.start()
    _wait(lambda: list(tmp_path.glob("*/checkpoints/step*")))
    children = [int(p) for p in os.listdir("/proc") if p.isdigit() and _parent(p) == process.pid]
    os.kill(children[0], signal.SIGKILL)
    process.join(60)
    assert process.exitcode == 1
    assert "died" in (tmp_path / "said").read_text()
    run = grokscope.resume("small", store=tmp_path, progress=False)
    whole = grokscope.run(small(budget=800), 2, store=tmp_path / "whole", engine="looped", progress=False)
    assert run.trace.digest() == whole.trace.digest()


def _pooled(store):
    try:
        grokscope.run(small(budget=800), 2, store=store, engine="pooled", checkpoint_seconds=0.0, progress=False)
    except grokscope.RunFailed as error:
        (store / "said").write_text(str(error))
        os._exit(1)


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def test_a_corrupt_checkpoint_is_refused_and_the_last_good_one_named(tmp_path):
    process = SERVER.Process(target=_start_long, args=(tmp_path,))
    process.start()
    _wait(lambda: len(list(tmp_path.glob("*/checkpoints/step*"))) >= 2)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    folder = Store(tmp_path).find("small")
    older, newer = folder.checkpoints()[-2:]
    path = folder.path / "checkpoints" / newer.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match=rf"{newer.file}.*last good one is {older.file}.*--at {older.step}"):
        grokscope.resume("small", store=tmp_path, progress=False)
    path.unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        grokscope.resume("small", store=tmp_path, progress=False)
    run = grokscope.resume("small", store=tmp_path, at=older.step, progress=False)
    whole = grokscope.run(small(budget=1500), store=tmp_path / "whole", engine="looped", progress=False)
    assert run.trace.digest() == whole.trace.digest()


def _start_long(store):
    grokscope.run(small(budget=1500), store=store, engine="looped", checkpoint_seconds=0.0, progress=False)


def test_thinned_measures_go_on_where_they_were(tmp_path):
    """What a costly measure has spent of its budget is part of a checkpoint."""
    experiment = small(
        measures=["fit", {"kind": "loss-slice", "points": 3}], clock={"free_looks": 5, "max_overhead": 0.8}
    )
    whole = _looks(Loop(Job(str(tmp_path / "whole"), 0, ((0, experiment.to_dict()),))))
    sliced = [step for step, keys in whole if "landscape/slice" in keys]
    assert 4 <= len(sliced) < len(whole) / 4
    for at in (sliced[1], sliced[1] + 1, sliced[2] - 1):
        folder = tmp_path / str(at)
        asked = iter([False] * at)
        messages = list(Loop(Job(str(folder), 0, ((0, experiment.to_dict()),)), lambda i=asked: next(i, True)).run())
        (saved,) = (m.checkpoint for m in messages if isinstance(m, Saved))
        assert saved.step == at
        begun = _looks(messages)
        assert begun == [look for look in whole if look[0] <= at]
        resumed = Loop(Job(str(folder), 0, ((0, experiment.to_dict()),), resume=saved)).run()
        assert begun + _looks(resumed) == whole


def _looks(messages):
    found = messages.run() if isinstance(messages, Loop) else messages
    return [(step, frozenset(values)) for m in found if isinstance(m, Look) for _, step, values in m.rows]
