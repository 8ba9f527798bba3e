"""Formats by hand, and what is mended on the way in."""

import json
import math
import sqlite3

import numpy as np
import pytest

from grokscope.errors import BadInput
from grokscope.readers import read_log


def written(path, text, name="log.csv", encoding="utf-8"):
    (path / name).write_bytes(text.encode(encoding))
    return path / name


def loss(run, key="train/loss"):
    steps, values = run.trace.series(key, 0)
    return dict(zip(steps.tolist(), values.tolist(), strict=True))


def jsonl(path, *records):
    return written(path, "".join(json.dumps(r) + "\n" for r in records), "log.jsonl")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", ", "])
def test_delimiters_and_marks(tmp_path, delimiter, encoding):
    rows = [["step", '"train_loss"', "val_acc"], ["0", "2.5", "0.01"], ["1e3", "nan", "0.5"], ["2000", "-inf", "1"]]
    text = "# a comment\n" + "\n".join(delimiter.join(row) for row in rows) + "\n"
    (run,) = read_log(written(tmp_path, text, encoding=encoding))
    assert run.format == "csv"
    np.testing.assert_equal(loss(run), {0: 2.5, 1000: math.nan, 2000: -math.inf})
    assert loss(run, "test/accuracy") == {0: 0.01, 1000: 0.5, 2000: 1.0}


def test_decimal_commas_blank_cells_texts_and_repeated_names(tmp_path):
    text = "step;loss;acc;acc;note;empty\r\n0;0,5;;1;=1+1;\r\n1;NA;0,25;oops;<b>;\r\n2;0,125;null;1;;\r\n"
    (run,) = read_log(written(tmp_path, text))
    assert loss(run) == {0: 0.5, 2: 0.125}
    assert loss(run, "train/accuracy") == {1: 0.25}
    assert loss(run, "acc (2)") == {0: 1.0, 2: 1.0}
    assert run.unread == {"note": "holds no numbers", "empty": "is blank"}
    assert any("no number left out (acc (2) 1)" in note for note in run.notes)
    assert any("numbered: acc" in note for note in run.notes)


def test_header_in_a_comment_and_no_header(tmp_path):
    (run,) = read_log(written(tmp_path, "# epoch loss\n0 0.5\n1 0.25\n"))
    assert (loss(run), run.unit) == ({0: 0.5, 1: 0.25}, "epoch")
    bare = written(tmp_path, "0,0.5\n1,0.25\n")
    with pytest.raises(BadInput, match="it has column 1, column 2"):
        read_log(bare)
    (run,) = read_log(bare, columns={"step": "column 1", "train/loss": "column 2"})
    assert loss(run) == {0: 0.5, 1: 0.25}


@pytest.mark.parametrize(
    ("steps", "kept", "note"),
    [
        ([0, 10, 20, 40], {0: 0, 10: 1, 20: 2, 40: 3}, None),
        ([0, 20, 10, 30, 40], {0: 0, 10: 2, 20: 1, 30: 3, 40: 4}, "out-of-order"),
        ([40, 30, 20, 10, 0], {0: 4, 10: 3, 20: 2, 30: 1, 40: 0}, "out-of-order"),
        ([30, 0, 20, 10, 40], {0: 1, 10: 3, 20: 2, 30: 0, 40: 4}, "out-of-order"),
        ([0, 10, 10, 20], {0: 0, 10: 2, 20: 3}, "repeated steps"),
        ([0, 10, 20, 30, 10, 20], {0: 0, 10: 4, 20: 5}, "resumed at step 10"),
        ([0, 10, 20, 30, 20, 30, 40], {0: 0, 10: 1, 20: 4, 30: 5, 40: 6}, "resumed at step 20"),
        ([0, 10, 20, 30, 15, 25, 35, 45], {0: 0, 10: 1, 15: 4, 25: 5, 35: 6, 45: 7}, "resumed at step 15"),
    ],
)
def test_order_of_steps(tmp_path, steps, kept, note):
    (run,) = read_log(jsonl(tmp_path, *({"step": s, "loss": float(i)} for i, s in enumerate(steps))))
    assert loss(run) == kept
    assert bool(run.notes) == (note is not None)
    assert note is None or any(note in n for n in run.notes)


def test_a_resume_drops_what_other_curves_had_logged_on_the_abandoned_branch(tmp_path):
    first = [{"step": s, "train_loss": 1.0} for s in range(0, 50, 10)] + [{"step": 40, "val_loss": -1.0}]
    again = [{"step": s, "train_loss": 2.0} for s in (10, 20, 30)]
    (run,) = read_log(jsonl(tmp_path, {"step": 0, "val_loss": 3.0}, *first, *again))
    assert loss(run) == {0: 1.0, 10: 2.0, 20: 2.0, 30: 2.0}
    assert loss(run, "test/loss") == {0: 3.0}


def test_rows_without_steps_and_fractional_epochs(tmp_path):
    (run,) = read_log(jsonl(tmp_path, {"loss": 3}, {"loss": 2}))
    assert (loss(run), "step" in run.columns) == ({0: 3.0, 1: 2.0}, False)
    assert run.notes == ("no column of steps: rows are counted from 0",)
    (run,) = read_log(jsonl(tmp_path, *({"epoch": e, "loss": e} for e in (0.0, 0.25, 0.5, 1.0))))
    assert (loss(run), run.unit) == ({0: 0.0, 25: 0.25, 50: 0.5, 100: 1.0}, "step")
    assert run.notes == ("epoch is fractional: one step is 1/100 of it",)
    (run,) = read_log(jsonl(tmp_path, {"step": 5, "loss": 1}, {"val_acc": 0.5}, {"step": -1, "loss": 2}))
    assert (loss(run), loss(run, "test/accuracy")) == ({5: 1.0}, {5: 0.5})
    assert any("1 row without a usable step" in note for note in run.notes)


@pytest.mark.parametrize(
    ("name", "text"), [("log.csv", "step,loss\n1,0.5\n2"), ("log.jsonl", '{"step": 1, "loss": 0.5}\n{"st')]
)
def test_a_torn_last_line_is_dropped(tmp_path, name, text):
    (run,) = read_log(written(tmp_path, text, name))
    assert loss(run) == {1: 0.5}
    assert run.notes == ("the last line is torn and was dropped",)


def test_nested_rows_json_lists_and_histories(tmp_path):
    nested = [{"step": i, "train": {"loss": 1.0}, "eval": {"acc": "NaN"}, "list": [1]} for i in range(2)]
    for log in (jsonl(tmp_path, *nested), written(tmp_path, json.dumps(nested), "a.json")):
        (run,) = read_log(log)
        np.testing.assert_equal(loss(run, "test/accuracy"), {0: math.nan, 1: math.nan})
    keras = {"loss": [3.0, 2.0], "val_accuracy": [0.1, 0.2]}
    (run,) = read_log(written(tmp_path, json.dumps(keras, indent=1), "history.json"))
    assert loss(run, "test/accuracy") == {0: 0.1, 1: 0.2}
    held = {"config": {"lr": 0.1, "batch size": 8}, "rows": [{"step": 1, "loss": 2.0}]}
    (run,) = read_log(written(tmp_path, json.dumps(held), "held.json"))
    assert (loss(run), run.settings) == ({1: 2.0}, {"lr": 0.1, "batch_size": 8})


def test_rows_of_several_runs_and_settings_in_columns(tmp_path):
    text = "member,seed,step,train/loss,weight_decay\n" + "".join(
        f"{m},7,{s},{m + s},0.5\n" for m in (0, 1) for s in (0, 1)
    )
    runs = read_log(written(tmp_path, text))
    assert [(r.name, loss(r)) for r in runs] == [("log.csv 0", {0: 0.0, 1: 1.0}), ("log.csv 1", {0: 1.0, 1: 2.0})]
    assert runs[0].settings == {"weight_decay": 0.5, "seed": 7}


def test_wandb_chart_export(tmp_path):
    header = '"Step","sun - 1 - val_acc","sun - 1 - val_acc__MIN","sun - 1 - val_acc__MAX","b - val_acc"'
    runs = read_log(written(tmp_path, f'{header}\n"0","0.1","0","9","0.3"\n"10","0.2","0","9",""\n'))
    assert [r.name for r in runs] == ["log.csv sun - 1", "log.csv b"]
    assert [loss(r, "test/accuracy") for r in runs] == [{0: 0.1, 10: 0.2}, {0: 0.3}]
    assert runs[0].format == "wandb"
    assert "2 __MIN and __MAX columns of the export dropped" in runs[0].notes


def test_wandb_exports_of_runs_with_the_same_name_with_inner_steps_and_over_time(tmp_path):
    columns = ("_step", "_step__MIN", "val_loss", "val_loss__MIN", "val_loss__MAX", "val/acc", "val/acc__MIN")
    header = ",".join(['"trainer/global_step"', *(f'"a - {c}"' for _ in range(2) for c in columns)])
    rows = "".join(",".join(map(str, [10 * i, *(i, 0, i / 4, 7, 8, i / 8, 9) * 2])) + "\n" for i in range(3))
    runs = read_log(written(tmp_path, f"{header}\n{rows}"))
    assert [r.name for r in runs] == ["log.csv a", "log.csv a (2)"]
    for r in runs:
        assert r.columns == {"test/loss": "val_loss", "test/accuracy": "val/acc", "step": "trainer/global_step"}
        assert loss(r, "test/loss") == {0: 0.0, 10: 0.25, 20: 0.5}
        assert loss(r, "test/accuracy") == {0: 0.0, 10: 0.125, 20: 0.25}
        assert not any("__M" in key for key in r.trace.keys())
    header = '"Relative Time (Process)","a - val_acc","b (2) - val_acc"'
    runs = read_log(written(tmp_path, f"{header}\n0.5,0.1,0.2\n1.5,0.3,0.4\n"))
    assert [(r.name, loss(r, "test/accuracy")) for r in runs] == [
        ("log.csv a", {0: 0.1, 1: 0.3}),
        ("log.csv b (2)", {0: 0.2, 1: 0.4}),
    ]
    assert "no column of steps: rows are counted from 0" in runs[0].notes


def test_tensorboard_chart_export(tmp_path):
    text = "Wall time,Step,Value\n1700000000.5,0,0.25\n1700000001.5,10,0.5\n"
    (run,) = read_log(written(tmp_path, text, "run-a_b-tag-val_acc.csv"))
    assert loss(run, "test/accuracy") == {0: 0.25, 10: 0.5}
    assert run.columns == {"test/accuracy": "val_acc", "step": "step"}


def trackio(path, ids=True):
    """A project as trackio 0.43 writes it, its JSON as bytes; without run_id and log_id, as trackio 0.22 did."""
    who, more = ("run_id TEXT NOT NULL, ", ", log_id TEXT, space_id TEXT") if ids else ("", "")
    with sqlite3.connect(path) as db:
        db.execute(
            f"CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, {who}timestamp TEXT NOT NULL, "
            f"run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL{more})"
        )
        db.execute(
            f"CREATE TABLE configs (id INTEGER PRIMARY KEY AUTOINCREMENT, {who}run_name TEXT NOT NULL, "
            "config TEXT NOT NULL, created_at TEXT NOT NULL)"
        )
        for run in ("a", "b"):
            identity = (f"id-{run}",) if ids else ()
            marks = "?, " * len(identity)
            names = "run_id, " if ids else ""
            for step, value in ((0, 0.5), (10, "NaN"), (20, "-Infinity")):
                told = json.dumps({"train": {"loss": value}, "val/accuracy": step / 20}).encode()
                db.execute(
                    f"INSERT INTO metrics ({names}timestamp, run_name, step, metrics) VALUES ({marks}'t', ?, ?, ?)",
                    (*identity, run, step, told),
                )
            db.execute(
                f"INSERT INTO configs ({names}run_name, config, created_at) VALUES ({marks}?, ?, 't')",
                (*identity, run, json.dumps({"learning_rate": 0.1, "_Username": "x"}).encode()),
            )
    db.close()
    return path


@pytest.mark.parametrize("ids", [True, False])
def test_trackio_project(tmp_path, ids):
    runs = read_log(trackio(tmp_path / "grok #1?.db", ids))
    assert [(r.name, r.format) for r in runs] == [("grok #1? a", "trackio"), ("grok #1? b", "trackio")]
    np.testing.assert_equal(loss(runs[0]), {0: 0.5, 10: math.nan, 20: -math.inf})
    assert loss(runs[1], "test/accuracy") == {0: 0.0, 10: 0.5, 20: 1.0}
    assert runs[0].settings == {"lr": 0.1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["grok #1?.db"], "nothing is written beside it"
    assert len(read_log(tmp_path)) == 2


def test_trackio_exports(tmp_path):
    values = [{"step": i, "timestamp": "t", "value": i / 2} for i in range(3)]
    told = {"project": "p", "run": "r", "metric": "val_acc", "values": values}
    (run,) = read_log(written(tmp_path, json.dumps(told, indent=2), "metric.json"))
    assert loss(run, "test/accuracy") == {0: 0.0, 1: 0.5, 2: 1.0}
    lines = [{"v": 1, "kind": "metric", "run": "r", "metrics": {"train/loss": 1.0 - i}, "step": i} for i in range(2)]
    (run,) = read_log(jsonl(tmp_path, *lines, {"v": 1, "kind": "system_metric", "run": "r", "metrics": {"gpu": 1}}))
    assert loss(run) == {0: 1.0, 1: 0.0}
    text = "id,run_name,timestamp,step,train/loss\n1,a,t,0,1\n2,b,t,0,2\n"
    assert [loss(r) for r in read_log(written(tmp_path, text))] == [{0: 1.0}, {0: 2.0}]


def test_mlflow_database(tmp_path):
    """The tables of mlflow 3.17 that are read, with the columns that are read."""
    with sqlite3.connect(tmp_path / "mlflow.db") as db:
        db.execute(
            "CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), lifecycle_stage VARCHAR(20))"
        )
        db.execute(
            "CREATE TABLE metrics (key VARCHAR(250), value FLOAT NOT NULL, timestamp BIGINT, run_uuid VARCHAR(32), "
            "step BIGINT DEFAULT 0 NOT NULL, is_nan BOOLEAN NOT NULL)"
        )
        db.execute("CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32))")
        db.executemany(
            "INSERT INTO runs VALUES (?, ?, ?)",
            [("u1", "same", "active"), ("u2", "same", "active"), ("u3", "x", "deleted")],
        )
        points = [
            ("train_loss", 0.5, 1, 0, 0),
            ("train_loss", 0.0, 2, 1, 1),
            ("train_loss", 1.7976931348623157e308, 3, 2, 0),
        ]
        db.executemany(
            "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
            [(k, v, t, run, s, nan) for run in ("u1", "u2", "u3") for k, v, t, s, nan in points],
        )
        db.execute("INSERT INTO params VALUES ('opt.wd', '0.25', 'u1')")
    db.close()
    runs = read_log(tmp_path / "mlflow.db")
    assert [r.name for r in runs] == ["mlflow same u1", "mlflow same u2"]
    np.testing.assert_equal(loss(runs[0]), {0: 0.5, 1: math.nan, 2: math.inf})
    assert runs[0].settings == {"weight_decay": 0.25}


def test_a_database_that_is_being_written_is_read_with_its_write_ahead_log(tmp_path):
    path = trackio(tmp_path / "live.db")
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    columns = "run_id, timestamp, run_name, step, metrics"
    db.execute(f"INSERT INTO metrics ({columns}) VALUES ('id-a', 't', 'a', 30, '{{\"loss\": 9}}')")
    db.commit()
    assert read_log(path)[0].trace.series("loss", 0)[1].tolist() == [9.0]
    db.close()


def test_metrics_that_were_logged_without_steps_are_counted(tmp_path):
    run = tmp_path / "mlruns" / "0" / "abc"
    (run / "metrics").mkdir(parents=True)
    (run / "meta.yaml").write_text("run_name: r\nlifecycle_stage: active\n")
    (run / "metrics" / "loss").write_text("3 0.1 0\n1 0.5 0\n2 0.3 0\n")
    (found,) = read_log(tmp_path / "mlruns")
    assert loss(found) == {0: 0.5, 1: 0.3, 2: 0.1}
    assert any("logged without steps" in note for note in found.notes)


def test_a_folder_of_texts_and_a_folder_of_several_formats(tmp_path):
    written(tmp_path, "step,loss\n0,1\n", "a.csv")
    written(tmp_path, '{"step": 0, "loss": 2}\n', "b.jsonl")
    written(tmp_path, "<html>", "c.csv")
    written(tmp_path, '{"vocab": 1}', "config.json")
    runs = read_log(tmp_path)
    assert [r.name for r in runs] == [f"{tmp_path.name}/a.csv", f"{tmp_path.name}/b.jsonl"]
    assert any("c.csv looks like HTML" in note for note in runs[0].notes)
    written(tmp_path, json.dumps({"log_history": [{"step": 1, "loss": 5.0}]}), "trainer_state.json")
    (run,) = read_log(tmp_path)
    assert run.format == "huggingface"
