"""The commands: shapes of their JSON, exit codes, one clear line for each kind of bad input."""

import fnmatch
import json
import os
import re
import sqlite3
import subprocess
import sys

import pytest

import grokscope
from grokscope import cli
from grokscope.listing import THINGS
from grokscope.measures import MEASURES
from grokscope.spec import dump_yaml
from tests.flow.small import small, small_mlp


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(dump_yaml(small_mlp().to_dict()))
    return str(path)


def grok(*words, monkeypatch, capsys):
    """Exit code, standard output and standard error of a command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["grokscope", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as leave:
        code = leave.code or 0
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def command(monkeypatch, capsys):
    return lambda *words: grok(*words, monkeypatch=monkeypatch, capsys=capsys)


def test_run_show_export_report_cite_ls_tell_one_story(command, recipe, tmp_path):
    store = tmp_path / "runs"
    code, out, _ = command("run", recipe, "--members", 2, "--set", "seed=7", "--store", store, "--json")
    told = json.loads(out.splitlines()[-1])
    assert code == 0
    assert {"run", "seconds", "steps", "ms_per_step", "members"} <= told.keys()
    assert [m["seed"] for m in told["members"]] == [7, 8]
    for member in told["members"]:
        assert {"label", "t_train", "t_test", "delay", "censored", "final", "segments", "anomalies"} <= member.keys()
        assert {"train/accuracy", "test/accuracy", "train/loss", "test/loss"} <= member["final"].keys()
        assert all({"name", "start", "end"} == s.keys() for s in member["segments"])
    name = told["run"]

    assert json.loads(command("show", name, "--store", store, "--json")[1])["members"] == told["members"]
    assert name in command("show", name, "--store", store)[1].replace("\n", "")
    assert [row["run"] for row in json.loads(command("ls", "--store", store, "--json")[1])] == [name]
    code, out, _ = command("export", name, "--store", store, "--out", tmp_path / "t.csv")
    header, *rows = (tmp_path / "t.csv").read_text().splitlines()
    assert header.startswith("member,step,")
    assert "test/loss" in header
    assert f"{len(rows):,} rows" in out
    cited = command("cite", name, "--store", store)[1]
    assert "nanda2023progress" in cited
    assert "liu2022effective" in cited, "the labels are Liu's"
    assert command("report", name, "--store", store, "--out", tmp_path / "page.html")[0] == 0
    assert "<html" in (tmp_path / "page.html").read_text()[:2000].lower()
    assert json.loads(command("resume", name, "--store", store, "--json")[1])["members"] == told["members"]


def test_one_json_object_is_the_last_line_and_nothing_else_is_on_stdout(command, recipe, tmp_path):
    _, out, _ = command("run", recipe, "--store", tmp_path, "--json")
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize("what", THINGS)
def test_everything_can_be_listed(command, tmp_path, what):
    code, out, _ = command("ls", what, "--store", tmp_path, "--json")
    rows = json.loads(out)
    assert code == 0
    assert isinstance(rows, list)
    assert command("ls", what, "--store", tmp_path)[0] == 0
    if what == "measures":
        assert all({"name", "unit", "range", "needs", "cost", "source"} <= row.keys() for row in rows)
    if what == "experiments":
        shipped = {"modular-addition", "modular-addition-fast", "modular-addition-mlp"}
        assert shipped | {"power2022grokking", "nanda2023progress"} <= {row["name"] for row in rows}


BAD = {
    "unknown experiment": (["run", "modular-additon"], "did you mean 'modular-addition'"),
    "unknown field": (["run", "modular-addition", "--set", "task.modulos=5"], "'task.modulos'; did you mean 'modulus'"),
    "unknown top field": (["run", "modular-addition", "--set", "budgett=5"], "'budgett'; did you mean 'budget'"),
    "wrong type": (["run", "modular-addition", "--set", "budget=soon"], "budget: must be a valid integer.*'soon'"),
    "fraction": (
        ["run", "modular-addition", "--set", "task.train_fraction=1.0"],
        "task.train_fraction.*less than 1; got 1",
    ),
    "modulus 1": (
        ["run", "modular-addition", "--set", "task.modulus=1"],
        "task.modulus.*greater than or equal to 2; got 1",
    ),
    "division": (
        ["run", "modular-addition", "--set", "task.operation=div", "--set", "task.modulus=12"],
        "needs a prime modulus.*got 12, the next prime is 13",
    ),
    "heads": (["run", "modular-addition", "--set", "model.heads=3"], "divisible by heads, got width 128 and heads 3"),
    "measure": (["run", "modular-addition", "--measure", "curvatur"], "'curvatur'; did you mean 'curvature'"),
    "no equals": (["run", "modular-addition", "--set", "budget"], "--set takes field=value, got 'budget'"),
    "unknown kind": (
        ["run", "modular-addition", "--set", "optimizer=adamv"],
        "unknown kind 'adamv'; did you mean 'adamw'",
    ),
    "import": (["run", "no.such:THING"], "cannot import 'no.such:THING'"),
    "missing file": (["run", "nowhere.yaml"], "cannot read the experiment nowhere.yaml"),
    "cuda": (["run", "modular-addition", "--device", "cuda"], "device 'cuda' is not there.*--device cpu"),
    "device": (["run", "modular-addition", "--device", "tpu"], "must be auto, cpu or cuda, got 'tpu'"),
    "engine": (["run", "modular-addition", "--engine", "warp"], "must be auto, stacked, pooled or looped, got 'warp'"),
    "store": (["run", "modular-addition", "--store", "/proc/nowhere"], "cannot write the store '/proc/nowhere'"),
    "unknown run": (["show", "nothing"], "no run 'nothing'"),
    "unknown thing": (["ls", "taks"], "cannot list 'taks'; did you mean 'tasks'"),
    "unknown command": (["rum"], "No such command 'rum'"),
    "unknown option": (["run", "modular-addition", "--membres", "2"], "--membres"),
    "members": (["run", "modular-addition", "--members", "0"], "--members"),
    "citation": (["cite", "nanda2023progres"], "did you mean 'nanda2023progress'"),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_bad_input_is_one_clear_line_and_exit_code_2(command, tmp_path, monkeypatch, case):
    if case == "cuda":
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
    monkeypatch.chdir(tmp_path)
    words, said = BAD[case]
    code, out, err = command(*words)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("grokscope: ")
    assert re.search(said, err), err
    assert not list(tmp_path.glob("runs/*")), "nothing may be left behind"


def test_a_store_of_a_newer_schema_is_refused(command, recipe, tmp_path):
    command("run", recipe, "--store", tmp_path, "--json")
    path = next(tmp_path.glob("*/trace.sqlite"))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    for words in (["show"], ["resume"]):
        code, _, err = command(*words, "small", "--store", tmp_path)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "schema 99; this version reads up to 1" in err


def test_a_damaged_database_is_one_line(command, recipe, tmp_path):
    command("run", recipe, "--store", tmp_path, "--json")
    path = next(tmp_path.glob("*/trace.sqlite"))
    path.write_bytes(b"not a database" * 500)
    code, _, err = command("show", "small", "--store", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "cannot be read" in err


def test_a_diverging_loss_stops_the_run_keeps_its_trace_and_says_why(command, recipe, tmp_path):
    words = ["--set", "optimizer={kind: sgd, lr: 1e+6}", "--set", "objective=mse", "--members", 2]
    code, _, err = command("run", recipe, *words, "--store", tmp_path, "--json")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "training loss of member" in err
    assert "at step" in err
    assert "learning rate 1e+06 is likely too high; try --set optimizer.lr=100000" in err
    code, out, _ = command("show", "small", "--store", tmp_path, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["status"] == "failed"
    assert all(m["ended"] == "diverged" for m in told["members"])
    assert all("train/loss" in m["final"] for m in told["members"])


def test_a_run_that_is_being_written_is_not_written_twice(command, recipe, tmp_path):
    from grokscope.store import Store

    command("run", recipe, "--store", tmp_path, "--json")
    with Store(tmp_path).find("small").writer():
        code, _, err = command("resume", "small", "--store", tmp_path)
    assert code == 2
    assert "being written by another process" in err


def test_help_needs_no_torch():
    code = (
        "import sys; sys.argv = ['grokscope', '--help']; from grokscope import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_a_pipe_sees_no_bar_and_a_finished_run_says_what_comes_next(recipe, tmp_path):
    words = [sys.executable, "-m", "grokscope.cli", "run", recipe, "--store", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | {"CI": "1"})
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == ""
    assert "grokscope report small-" in done.stdout


def test_doctor_is_content_here(command, tmp_path):
    code, out, _ = command("doctor", "--store", tmp_path, "--json")
    told = json.loads(out)
    assert code == 0, told
    assert {check["name"] for check in told["checks"]} >= {"torch", "torchvision", "store", "arithmetic"}


def test_a_run_killed_before_it_began_is_one_line(command, recipe, tmp_path):
    command("run", recipe, "--store", tmp_path, "--json")
    next(tmp_path.glob("*/meta.json")).unlink()
    code, _, err = command("resume", "small", "--store", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "killed before it began" in err


def test_members_that_differ_in_more_than_the_seed_show_it(tmp_path, capsys):
    import grokscope
    from grokscope.terminal import print_run

    overrides = [{"seed": 0, "optimizer.lr": 1e-2}, {"seed": 0, "optimizer.lr": 2e-3}]
    run = grokscope.run(small_mlp(budget=20), overrides, store=tmp_path, progress=False)
    assert run.record.overrides == overrides
    print_run(run.record, run.folder)
    assert "0.002" in capsys.readouterr().out
    assert "0.002" in run.report(tmp_path / "page.html").read_text()


def test_measures_are_added_to_the_experiments_own_and_thinned_ones_are_told(command, recipe, tmp_path):
    words = ("run", recipe, "--measure", "commutator-defect", "--measure", "weight-sketch", "--store", tmp_path)
    code, out, _ = command(*words)
    assert code == 0
    run = grokscope.load("", store=tmp_path)
    assert {"commutator-defect", "weight-sketch", "fit", "norms"} <= {m.kind for m in run.experiment.measures}
    taken = len(run.trace.series("commutator/defect", 0)[0])
    looks = len(run.trace.series("train/loss", 0)[0])
    assert 0 < taken < looks
    told = f"Thinned: commutator-defect, taken at {taken} of {looks} looks: a look at it costs"
    assert told in " ".join(out.split())
    assert told in " ".join(command("show", run.name, "--store", tmp_path)[1].split())
    assert len(run.trace.arrays("dynamics/weight_sketch", 0)) == looks  # cheap: on every look
    assert "--measure commutator-defect --measure weight-sketch" in run.record.meta["command"]


def test_everything_that_ships_can_look_at_one_run(tmp_path):
    run = grokscope.run(small(budget=6), measures=["all"], store=tmp_path, progress=False)
    kinds = {m.kind for m in run.experiment.measures}
    assert kinds == {m.kind for m in MEASURES}
    assert set(run.trace.skipped) == {"pathways"}
    told = {*run.trace.keys(), *run.trace.array_keys()}
    for measure in run.experiment.measures:
        if measure.kind not in run.trace.skipped:
            assert any(fnmatch.filter(told, q.key) for q in measure.quantities), measure.kind
    assert "Looked at more rarely" in run.report(tmp_path / "page.html").read_text()
