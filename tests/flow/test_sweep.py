"""A diagram is one thing: every engine finds the same, nothing is lost or done twice, and it can always go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from grokscope import cli
from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.sweeps import diagram as diagrams
from grokscope.sweeps import engines, work
from grokscope.sweeps.engines import done, processes
from grokscope.sweeps.folder import ATTEMPTS, SweepFolder, attempts
from grokscope.sweeps.results import DIVERGED, FAILED, Row, summarise
from tests.flow.small import small_mlp

OVER = ["optimizer.weight_decay=log(0.1,10,3)", "task.train_fraction=0.4,0.7"]
TINY: Experiment = small_mlp(budget=60, clock={"looks_per_decade": 5})


def sweep(store, over=tuple(OVER), members=2, experiment=TINY, **more):
    return diagrams.sweep(experiment, list(over), members, store=store, progress=False, **more)


def table(diagram):
    """Everything that was found, without where."""
    return sorted(({**row.to_dict(), "run": "", "member": 0} for row in diagram.rows), key=str)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("whole"), engine="here")


def test_every_member_of_every_cell_is_there_once(whole):
    assert Counter((row.cell, row.seed) for row in whole.rows) == {
        (cell, seed): 1 for cell in whole.sweep.cells() for seed in (0, 1)
    }
    cells = whole.cells()
    assert list(cells) == list(whole.sweep.cells())
    assert all(found.n == 2 for found in cells.values())
    assert whole.folder.meta()["status"] == "finished"
    summary = whole.summary()
    assert {"sweep", "engine", "cells", "members", "seconds", "labels", "failed"} <= summary.keys()
    assert (summary["cells"], summary["members"], summary["failed"]) == (6, 12, [])
    assert sum(summary["labels"].values()) == 12
    frame = whole.to_pandas()
    assert len(frame) == 12
    assert set(frame["optimizer.weight_decay"]) == {0.1, 1.0, 10.0}


def test_a_members_row_is_what_a_run_of_its_own_finds(whole):
    import grokscope

    row = next(row for row in whole.rows if row.cell == (2, 1) and row.seed == 1)
    overrides = whole.sweep.values(row.cell) | {"seed": 1, "measures": ["fit"]}
    alone = grokscope.run(TINY, overrides=overrides, store=whole.path / "alone", progress=False, engine="looped")
    (phases,) = alone.phases()
    assert (row.t_train, row.t_test, row.label) == (phases.events.t_train, phases.events.t_test, phases.label)
    assert row.test_accuracy == alone.trace.last(0)["test/accuracy"]
    there = grokscope.load(f"runs/{row.run}", store=whole.path)
    assert there.trace.last(row.member)["test/loss"] == pytest.approx(alone.trace.last(0)["test/loss"], rel=1e-5)


def test_processes_find_the_same_to_the_bit(whole, tmp_path):
    assert table(sweep(tmp_path, engine="processes")) == table(whole)


def test_ray_finds_the_same_to_the_bit_though_a_worker_is_killed(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")

    def killed_once(path, run, cells, task=engines._task):
        """The task itself, in a worker that dies at its first try of the first batch, once that has begun to train."""
        import os
        import signal
        import threading
        import time
        from pathlib import Path

        tries = Path(path) / f"{run}.tries"
        with tries.open("a") as out:
            out.write(f"{os.getpid()}\n")

        def die():
            while not (Path(path) / "runs" / run / "trace.sqlite").exists():
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)

        if run == "b00000" and tries.read_text().count("\n") == 1:
            threading.Thread(target=die, daemon=True).start()
        task(path, run, cells)

    longer = small_mlp(budget=1500, clock={"looks_per_decade": 5})
    monkeypatch.setattr(engines, "_task", killed_once)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        found = sweep(tmp_path, OVER[:1], 1, longer, engine="ray")
    finally:
        ray.shutdown()
    workers = {path.stem: path.read_text().split() for path in found.path.glob("*.tries")}
    assert {run: len(set(tries)) for run, tries in workers.items()} == {"b00000": 2, "b00001": 1, "b00002": 1}
    assert {run: attempts(found.folder.folder(run)) for run in workers} == {"b00000": 2, "b00001": 1, "b00002": 1}
    assert table(found) == table(sweep(tmp_path / "here", OVER[:1], 1, longer, engine="here"))


# Killed and gone on.

LONGER = ["--set", "budget=1500", "--set", "clock.looks_per_decade=5"]
LONGER += ["--set", "task.modulus=11", "--set", "model.hidden=16"]
GRID = ["--over", "optimizer.weight_decay=log(0.1,1,4)"]


def _start(store, *more):
    command = [sys.executable, "-m", "grokscope.cli", "sweep", "modular-addition-mlp", *LONGER, *GRID]
    return subprocess.Popen(
        [*command, "--store", str(store), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)
    return found


def _begun(store):
    return list(store.glob("*/runs/*/trace.sqlite"))


def _workers_of(folder):
    found = []
    for entry in os.listdir("/proc"):
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0") if entry.isdigit() else []
        except OSError:
            continue
        if b"grokscope.sweeps.work" in words and str(folder).encode() in b" ".join(words):
            found.append(int(entry))
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    store = tmp_path_factory.mktemp("uninterrupted")
    process = _start(store, "--engine", "here", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return diagrams.load_diagram(json.loads(out.splitlines()[-1])["sweep"], store=store)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["here", "processes"])
def test_a_driver_that_is_killed_loses_nothing_and_does_nothing_twice(engine, uninterrupted, tmp_path):
    process = _start(tmp_path, "--engine", engine)
    _wait_for(lambda: _begun(tmp_path))
    time.sleep(0.3)
    process.kill()
    process.communicate()
    (folder,) = [SweepFolder(path.parent) for path in tmp_path.glob("*/sweep.yaml")]
    _wait_for(lambda: not _workers_of(folder.path))  # workers leave with their driver
    assert folder.meta()["status"] == "crashed"

    def written(run):
        return (folder.folder(run).path / "rows.json").stat().st_mtime_ns

    before = {run: written(run) for run in folder.planned() if folder.finished(run)}
    found = diagrams.go_on(folder.name, store=tmp_path, progress=False)
    assert table(found) == table(uninterrupted)
    for run, at in before.items():
        assert written(run) == at
    assert found.folder.meta()["status"] == "finished"


@pytest.mark.timeout(180)
def test_a_worker_that_is_killed_is_replaced(uninterrupted, tmp_path):
    process = _start(tmp_path, "--engine", "processes", "--json")
    _wait_for(lambda: _begun(tmp_path))
    (folder,) = [SweepFolder(path.parent) for path in tmp_path.glob("*/sweep.yaml")]
    victim = _wait_for(lambda: _workers_of(folder.path))[0]
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert table(diagrams.load_diagram(folder.name, store=tmp_path)) == table(uninterrupted)


@pytest.mark.timeout(180)
def test_ctrl_c_saves_says_how_to_go_on_and_exits_with_130(uninterrupted, tmp_path):
    process = _start(tmp_path, "--engine", "processes")
    _wait_for(lambda: _begun(tmp_path))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    (folder,) = [SweepFolder(path.parent) for path in tmp_path.glob("*/sweep.yaml")]
    assert f"grokscope sweep --resume {folder.name}" in err
    assert folder.meta()["status"] == "interrupted"
    found = diagrams.go_on(folder.name, store=tmp_path, engine="here", progress=False)
    assert table(found) == table(uninterrupted)


# What goes wrong.


def test_a_member_that_diverges_is_a_finding_and_the_others_go_on(tmp_path):
    found = sweep(tmp_path, ["optimizer.lr=0.01,1e30"], experiment=small_mlp(budget=40), engine="here")
    labels = {row.cell: row.label for row in found.rows}
    assert labels[(1,)] == DIVERGED
    assert labels[(0,)] not in (DIVERGED, FAILED)
    (first, *_) = found.summary()["failed"]
    assert first["cell"] == {"optimizer.lr": 1e30}
    assert "became" in first["note"]


def test_a_batch_that_fails_again_and_again_is_given_up_told_and_can_be_tried_again(tmp_path, monkeypatch):
    def broken(name, **_):
        raise work.RunFailed(f"run {name}: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(work.runs, "resume", broken)
        found = sweep(tmp_path, OVER[:1], 1, engine="here")
    assert {row.label for row in found.rows} == {FAILED}
    assert all(f"{ATTEMPTS} times" in row.note for row in found.rows)
    assert len(found.summary()["failed"]) == 3
    again = diagrams.go_on(found.name, store=tmp_path, progress=False)
    assert FAILED not in {row.label for row in again.rows}
    assert len(again.rows) == 3


def test_workers_that_cannot_start_end_the_sweep(tmp_path, monkeypatch):
    found = sweep(tmp_path, OVER[:1], 1, engine="here")
    for run in found.folder.planned():
        found.folder.reopen(run)
    monkeypatch.setattr("grokscope.sweeps.engines.sys.executable", "/bin/false")
    with pytest.raises(Exception, match="end with exit status 1 again and again"):
        processes(found.folder, lambda: False)
    assert not done(found.folder)


def test_two_drivers_of_one_sweep_are_one_too_many(whole):
    with whole.folder.driving(), pytest.raises(BadInput, match="is being run by another process"):
        diagrams.go_on(whole.name, store=whole.path.parent, progress=False)


def test_what_is_done_is_not_done_again(whole, monkeypatch):
    monkeypatch.setattr(work.runs, "resume", lambda *a, **k: pytest.fail("it was done already"))
    again = diagrams.go_on(whole.name, store=whole.path.parent, progress=False)
    assert table(again) == table(whole)


# Refinement.


def test_a_refined_diagram_is_the_full_one_with_fewer_members(tmp_path, monkeypatch):
    """With made-up findings, so that the border is known; what trains is not at stake here."""

    def found(folder, run, cells, failure=""):
        rows = [
            replace(Row.of_failure(c, 0, run, m, ""), label="grokking" if 2 * c[0] + c[1] < 17 else "memorization")
            for m, c in enumerate(cells)
        ]
        (folder.path / "rows.json").write_text(json.dumps([row.to_dict() for row in rows]))

    monkeypatch.setattr(work.runs, "resume", lambda *a, **k: None)
    monkeypatch.setattr(work, "close_batch", found)
    over = ["optimizer.weight_decay=log(0.01,10,16)", "task.train_fraction=lin(0.2,0.8,16)"]
    part = sweep(tmp_path, over, 1, engine="here", refine=True)
    full = sweep(tmp_path, over, 1, engine="here")
    assert part.labels() == full.labels()
    assert len(part.rows) <= 0.35 * len(full.rows)
    assert len(part.folder.rounds()) > 2
    assert "cells were left out" in part.sentence()
    assert "left out" not in full.sentence()


def test_summaries_are_medians_that_know_of_censoring(whole):
    def row(seed, label, t_test):
        nothing = Row.of_failure((0, 0), seed, "b", seed, "")
        return replace(nothing, label=label, t_train=5, t_test=t_test, censored=t_test is None)

    rows = [row(0, "grokking", 40), row(1, "grokking", 60), row(2, "memorization", None)]
    (found,) = summarise(whole.sweep, rows).values()
    assert (found.label, found.n, found.censored, found.t_test) == ("grokking", 3, 1, 60)
    assert found.disagreement == pytest.approx(1 / 3)
    (late,) = summarise(
        whole.sweep, [row(0, "grokking", 40), row(1, "memorization", None), row(2, "memorization", None)]
    ).values()
    assert late.t_test is None
    assert late.label == "memorization"


# The command.


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["grokscope", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    told = capsys.readouterr()
    return stopped.value.code or 0, told.out, told.err


def test_a_plan_says_what_it_would_cost_and_runs_nothing(monkeypatch, capsys, tmp_path):
    words = ("sweep", "modular-addition-mlp", *LONGER, *GRID, "--store", tmp_path / "st", "--plan")
    code, out, _ = command(monkeypatch, capsys, *words, "--json")
    cost = json.loads(out)
    assert code == 0
    assert (cost["cells"], cost["members"]) == (4, 4)
    assert cost["ms_per_step"] > 0
    assert cost["seconds_at_most"] == pytest.approx(
        4 * 1500 * cost["ms_per_step"] / 1e3 / min(cost["workers"], cost["batches"])
    )
    assert "4 cells, 4 members" in command(monkeypatch, capsys, *words)[1]
    assert not (tmp_path / "st").exists()


def test_a_sweep_that_does_not_fit_in_memory_says_the_size(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("grokscope.training.engine.free_bytes", lambda device: 1000)
    code, _, err = command(
        monkeypatch, capsys, "sweep", "modular-addition-mlp", *LONGER, *GRID, "--store", tmp_path / "st"
    )
    assert code == 2
    assert "needs about" in err
    assert "--set batch_size" in err
    assert not (tmp_path / "st").exists()


def test_no_more_workers_than_fit_in_memory(monkeypatch, tmp_path):
    from grokscope.training import engine
    from grokscope.training.memory import member_bytes

    planned = diagrams.make_sweep(TINY, OVER, 2)
    each = member_bytes(planned.at((0, 0)))
    monkeypatch.setattr(engine, "free_bytes", lambda device: int(1.5 * each / engine.USE_OF_FREE_MEMORY))
    assert diagrams.estimate(planned, "processes").workers == 1
    assert diagrams.estimate(planned, "processes").lane == 1
    started = []
    original = diagrams.processes
    monkeypatch.setattr(diagrams, "processes", lambda *a, count: (started.append(count), original(*a, count=count))[1])
    sweep(tmp_path, engine="processes", over=OVER[:1], members=1)
    assert started == [1]


BAD = {
    "no axis": (["sweep", "modular-addition-mlp"], "a sweep needs at least one axis"),
    "nothing": (["sweep"], "sweep takes an experiment, or --resume SWEEP"),
    "both": (["sweep", "modular-addition-mlp", "--resume", "x"], "sweep takes an experiment, or --resume SWEEP"),
    "engine": (["sweep", "modular-addition-mlp", *GRID, "--engine", "slurm"], "engine must be one of auto, here"),
    "unknown": (["sweep", "--resume", "nowhere"], "no sweep 'nowhere'"),
    "axis": (["sweep", "modular-addition-mlp", "--over", "optimizer.lrr=1,2"], "did you mean 'lr'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_2(name, monkeypatch, capsys, tmp_path):
    words, message = BAD[name]
    code, _, err = command(monkeypatch, capsys, *words, "--store", tmp_path / "st")
    assert code == 2
    assert message in err
    assert err.strip().count("\n") == 0
    assert not list(tmp_path.glob("st/*"))


def test_the_command_tells_the_diagram(monkeypatch, capsys, tmp_path):
    words = [
        "sweep",
        "modular-addition-mlp",
        "--set",
        "budget=20",
        "--set",
        "task.modulus=7",
        "--set",
        "model.hidden=4",
    ]
    words += ["--over", OVER[0], "--over", OVER[1], "--store", tmp_path, "--engine", "here"]
    code, out, _ = command(monkeypatch, capsys, *words)
    assert code == 0
    assert "6 of 6 members have ended" in out
    assert "rows    optimizer.weight_decay" in out
    code, out, _ = command(monkeypatch, capsys, "ls", "sweeps", "--store", tmp_path, "--json")
    (row,) = json.loads(out)
    assert (row["cells"], row["members"], row["ended"], row["status"]) == (6, 6, 6, "finished")
    name = row["sweep"]
    told = command(monkeypatch, capsys, "ls", "sweeps", "--store", tmp_path)[1]
    assert name in told
    assert "optimizer.weight_decay (3), task.train_fraction (2)" in " ".join(told.split())
    assert "start with: grokscope sweep" in command(monkeypatch, capsys, "ls", "sweeps", "--store", tmp_path / "no")[1]
    code, out, _ = command(monkeypatch, capsys, "show", name, "--store", tmp_path, "--json")
    assert json.loads(out)["members"] == 6
    assert "6 of 6 members have ended" in command(monkeypatch, capsys, "show", name[:-3], "--store", tmp_path)[1]
    code, out, _ = command(monkeypatch, capsys, "report", name, "--store", tmp_path, "--out", tmp_path / "d.html")
    assert code == 0
    assert "<html" in (tmp_path / "d.html").read_text()
    code, out, _ = command(monkeypatch, capsys, "export", name, "--store", tmp_path, "--out", tmp_path / "d.csv")
    assert "6 rows" in out
    code, _, err = command(monkeypatch, capsys, "show", "nowhere", "--store", tmp_path)
    assert code == 2
    assert "no run and no sweep 'nowhere'" in err
    run = f"{name}/runs/b00000"
    assert command(monkeypatch, capsys, "show", run, "--store", tmp_path)[0] == 0
