"""``grokscope diagnose``: verdicts of logs, the shape of its JSON, its page, and one line for bad input."""

import json
import sys

import pytest

import grokscope
from grokscope import cli
from grokscope.diagnosis import diagnose
from grokscope.runs import setting_of
from tests.flow.small import small_mlp

GROKKED = "step,train_loss,train_acc,val_loss,val_acc\n" + "".join(
    f"{t},{3 / (1 + t)},{min(1.0, t / 30)},{4 if t < 800 else 0.01},{0.02 if t < 800 else 1.0}\n"
    for t in range(0, 1500, 10)
)
FLAT = "".join(
    json.dumps({"step": t, "loss": 3 / (1 + t), "accuracy": min(1.0, t / 30), "eval_accuracy": 0.02, "eval_loss": 5.0})
    + "\n"
    for t in range(0, 400, 10)
)


@pytest.fixture
def grok(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["grokscope", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        seen = capsys.readouterr()
        return stopped.value.code, seen.out, seen.err

    return call


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "grokked.csv").write_text(GROKKED)
    (tmp_path / "flat.jsonl").write_text(FLAT)
    return tmp_path


def test_json_has_the_documented_shape(grok, logs):
    code, out, _ = grok("diagnose", logs / "grokked.csv", "--json")
    found = json.loads(out.splitlines()[-1])
    assert code == 0
    assert {
        "source",
        "format",
        "label",
        "t_train",
        "t_test",
        "segment",
        "forecast",
        "advice",
        "evidence",
        "skipped",
    } <= set(found)
    assert (found["label"], found["t_train"], found["t_test"], found["verdict"]) == ("grokking", 30, 800, "generalised")


def test_standing_earlier_it_does_not_see_what_came(grok, logs):
    _, out, _ = grok("diagnose", logs / "grokked.csv", "--at", "500", "--json")
    found = json.loads(out.splitlines()[-1])
    assert found["t_test"] is None
    assert found["last"] == 500
    assert set(found["forecast"]) >= {"p_generalise", "t_low", "t_median", "t_high"}


def test_several_logs_on_one_page(grok, logs):
    code, out, _ = grok("diagnose", logs / "grokked.csv", logs / "flat.jsonl", "--out", logs / "page.html")
    page = (logs / "page.html").read_text()
    assert code == 0
    assert "2 runs" in page
    assert page.count("<article") == 2
    assert "generalised: " in out
    assert "http" not in page.replace("http-equiv", "")


def test_a_column_by_name(grok, logs):
    (logs / "odd.csv").write_text(GROKKED.replace("val_acc", "quality"))
    _, out, _ = grok("diagnose", logs / "odd.csv", "--map", "test/accuracy=quality", "--json")
    assert json.loads(out.splitlines()[-1])["t_test"] == 800


def test_what_the_log_does_not_say(grok, logs):
    told = ("--set", "lr=0.001", "--set", "weight_decay=1", "--set", "optimizer=sgd", "--set", "chance=0.01")
    _, out, _ = grok("diagnose", logs / "flat.jsonl", *told, "--json")
    skipped = {one["check"]: one["because"] for one in json.loads(out.splitlines()[-1])["skipped"]}
    assert "sgd" in skipped["first-passage law"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["missing.csv"], "missing.csv"),
        (["grokked.csv", "--map", "test/accuracy"], "KEY=VALUE"),
        (["grokked.csv", "--map", "test/accuracy=val_ac"], "val_acc"),
        (["grokked.csv", "--set", "wieght_decay=1"], "weight_decay"),
        (["grokked.csv", "--set", "lr=fast"], "float"),
        (["grokked.csv", "--set", "chance=7"], "[0, 1)"),
        (["grokked.csv", "--unit", "day"], "step or epoch"),
        (["grokked.csv", "--out", "grokked.csv/page.html"], "cannot write"),
    ],
)
def test_bad_input_is_one_line(grok, logs, monkeypatch, words, says):
    monkeypatch.chdir(logs)
    code, _, error = grok("diagnose", *words)
    assert code == 2
    assert says in error
    assert len(error.strip().splitlines()) == 1


def test_a_run_is_diagnosed_as_it_was_then(tmp_path):
    run = grokscope.run(small_mlp(), members=2, store=tmp_path, progress=False)
    then = run.diagnosis(member=1, at=100)
    rules = {"rule": run.experiment.events, "labels": run.experiment.labels}
    assert then.summary() == diagnose(run.trace.prefix(100), setting_of(run.experiment), member=1, **rules).summary()
    assert then.phases.events.last_step <= 100
    assert run.forecast(at=100, member=1) == then.forecast
    with pytest.raises(grokscope.BadInput, match="members 0 to 1"):
        run.forecast(member=2)
