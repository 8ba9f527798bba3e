"""Whatever a file holds: runs, or one line of BadInput, within a second; nothing hangs, nothing is executed."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import BadInput
from grokscope.readers import LoggedRun, files, read_log
from tests.readers.test_repairs import trackio

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


def outcome(path, **how):
    """The runs, or the line."""
    begun = time.process_time()
    try:
        runs = read_log(path, **how)
    except BadInput as fault:
        told = str(fault)
        assert told.isprintable(), repr(told)
        assert 20 < len(told) < 1200
        result = told
    else:
        assert runs
        for run in runs:
            assert isinstance(run, LoggedRun)
            assert run.name.isprintable()
            for key in run.trace.keys():
                steps, values = run.trace.series(key, 0)
                assert key.isprintable()
                assert (steps[1:] > steps[:-1]).all()
                assert len(steps) == len(values) > 0
                assert steps[0] >= 0
            assert all(text.isprintable() for text in (*run.notes, *run.unread, *run.unread.values(), *run.settings))
        result = runs
    assert time.process_time() - begun < 1, "a small file takes less than a second"
    return result


def event_file(path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(path))
    for step in range(20):
        value = Summary.Value(tag="val_acc", simple_value=step / 20)
        writer.add_event(Event(wall_time=step, step=step, summary=Summary(value=[value])))
    writer.close()
    return next(path.iterdir()).read_bytes()


def wandb_file():
    from wandb.proto.wandb_internal_pb2 import HistoryItem, Record

    found = b":W&B\xe1\xbe\0"
    for step in range(20):
        record = Record()
        record.history.item.append(HistoryItem(key="val_acc", value_json=json.dumps(step / 20)))
        record.history.step.num = step
        data = record.SerializeToString()
        found += struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\1")), len(data), 1) + data
    return found


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """A good file of each format, by its name."""
    path = tmp_path_factory.mktemp("valid")
    rows = [{"step": i, "train_loss": 1 / (i + 1), "val": {"acc": i / 20}} for i in range(20)]
    state = {"global_step": 20, "log_history": [{"step": i, "loss": 1.0, "eval_accuracy": 0.5} for i in range(20)]}
    found = {
        "a.csv": "step,train_loss,val_acc\n" + "".join(f"{i},{1 / (i + 1)},{i / 20}\n" for i in range(20)),
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "a.json": json.dumps(rows, indent=1),
        "trainer_state.json": json.dumps(state, indent=2),
        "metrics.csv": "epoch,step,train_loss_epoch,val_acc\n"
        + "".join(f"{i},{9 * i},,0.5\n{i},{9 * i},1,\n" for i in range(9)),
        "export.csv": '"Step","a - val_acc","a - val_acc__MIN","b - loss"\n'
        + "".join(f'"{i}","0.5","0","1"\n' for i in range(20)),
    }
    encoded = {name: text.encode() for name, text in found.items()}
    encoded["events.out.tfevents.1.host"] = event_file(path / "events")
    encoded["run-a.wandb"] = wandb_file()
    encoded["a.db"] = trackio(path / "a.db").read_bytes()
    return encoded


@st.composite
def damage(draw):
    """How to damage a file: (kind, where as a share, bytes)."""
    kind = draw(st.sampled_from(["cut", "replace", "insert", "repeat", "swap", "alone"]))
    junk = st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                *(
                    b"\0" * 40,
                    b"\xff\xfe",
                    b"\xef\xbb\xbf",
                    b'"',
                    b"'",
                    b"\n",
                    b"\r",
                    b",,,,",
                    b"{",
                    b"[" * 300,
                    b"}",
                    b"\\",
                ),
                *(b"1e999", b"-1", b"9" * 400, b"9223372036854775808", b"0x10", b"1_0", b"nan", b"=HYPERLINK(1)"),
                *(
                    b"<script>alert(1)</script>",
                    b"'; DROP TABLE metrics; --",
                    "é☃\u202e".encode(),
                    b"\x1b[31m",
                    b"__MIN",
                    b" - ",
                ),
                *(
                    b"step",
                    b"train_loss",
                    b"val_acc",
                    b"run",
                    b"null",
                    b"true",
                    b"# ",
                    b"!!python/object/apply:os.system",
                ),
            ]
        ),
    )
    return kind, draw(st.floats(0, 1)), draw(junk)


def damaged(data, changes):
    for kind, share, junk in changes:
        at = int(share * len(data))
        if kind == "cut":
            data = data[:at]
        elif kind == "replace":
            data = data[:at] + junk + data[at + len(junk) :]
        elif kind == "insert":
            data = data[:at] + junk + data[at:]
        elif kind == "repeat":
            data = data[:at] + data
        elif kind == "swap":
            data = data[at:] + data[:at]
        elif kind == "alone":
            data = junk * (1 + at % 7)
    return data


NAMES = [
    *("a.csv", "a.jsonl", "a.json", "trainer_state.json", "metrics.csv", "export.csv"),
    *("events.out.tfevents.1.host", "run-a.wandb", "a.db"),
]


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(valid, name, tmp_path):
    assert not isinstance(outcome_of(tmp_path / name, valid[name]), str), "undamaged it is read"

    @settings(max_examples=40)
    @given(st.lists(damage(), min_size=1, max_size=3), st.booleans())
    def check(changes, folder):
        outcome_of(tmp_path / name, damaged(valid[name], changes))
        if folder:
            outcome(tmp_path)

    check()


def outcome_of(path, data, **how):
    path.write_bytes(data)
    return outcome(path, **how)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([*NAMES, "x", "é\n'\"%00?#.csv"]))
def test_any_bytes_under_any_name(tmp_path_factory, data, name):
    outcome_of(tmp_path_factory.getbasetemp() / name, data)


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["nan", "1", "-inf", "50%"]),
)
names = st.one_of(
    st.text(max_size=8), st.sampled_from(["step", "epoch", "loss", "val_acc", "val_error", "ppl", "lr", "run", "_step"])
)


@settings(max_examples=60)
@given(
    st.lists(st.dictionaries(names, cells | st.dictionaries(names, cells, max_size=3), max_size=5), max_size=12),
    st.booleans(),
)
def test_any_rows(tmp_path_factory, rows, lines):
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    path = tmp_path_factory.getbasetemp() / "rows.json"
    outcome_of(path, text.encode())
    outcome(path, unit="epoch")


DEEP = 100_000


class Call:
    """A pickle of it would run a command."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.jsonl", b" \n\n\t", "is empty"),
        ("zeros", b"\0" * 5000, "is empty"),
        ("deep.json", b"[" * DEEP + b"]" * DEEP, "nested too deeply"),
        ("deep.jsonl", b'{"a":' * DEEP + b"1" + b"}" * DEEP, "holds no rows"),
        ("big.json", b'[{"step": ' + b"9" * 5000 + b', "loss": 1}]', "no JSON"),
        ("one.json", b"[3]", "without objects"),
        ("bomb.csv", gzip.compress(b"0" * 10_000_000), "gzip"),
        ("bomb.bz2", bz2.compress(b"0" * 10_000_000), "bzip2"),
        ("bomb.jsonl", lzma.compress(b"0" * 10_000_000), "xz"),
        ("a.zst", b"\x28\xb5\x2f\xfdabc", "zstd"),
        ("model.pt", b"PK\x03\x04abc", "zip archive"),
        ("a.pkl", b"\x80\x04\x95abc", "pickle"),
        ("a.parquet", b"PAR1abc", "Parquet"),
        ("page.csv", b"<!DOCTYPE html><html>", "HTML"),
        ("noise", bytes(range(256)) * 40, "binary file"),
        ("head.csv", b"step,loss\n", "no rows yet"),
        ("field.csv", b'step,loss\n1,"' + b"x" * 1_000_000 + b'"\n', "field larger than"),
        ("open.csv", b'step,loss\n"' + b"1,2\n" * 50_000, "field larger than"),
        ("line.csv", b"step,loss\n1," + b"9" * (5 << 20), "a line of more than 4 MiB"),
        ("wide.csv", b"loss," * 20_000 + b"\n", "more than 10,000 columns"),
        ("runs.csv", b"run,step,loss\n" + b"".join(b"%d,1,2\n" % i for i in range(1001)), "more than 1,000 runs"),
        ("digits.jsonl", b'{"step":1,"loss":' + b"9" * 10_000 + b"}\n", "no JSON objects"),
        ("far.csv", b"step,loss\n1e300,1\n2e300,0.5\n", "stands in rows without a step"),
        ("wide.txt", "step,loss\n1,2\n".encode("utf-16-le"), "binary file"),
        ("p0.jsonl", pickle.dumps(Call(), 0), "looks like a loss"),
        ("p1.jsonl", pickle.dumps(Call(), 1), "binary file"),
        ("p5.jsonl", pickle.dumps(Call(), 5), "looks like a pickle"),
        ("run-a.wandb", b":W&B\xe1\xbe\0" + struct.pack("<IHB", 0, 65535, 1) + b"x", "ends within a record"),
        ("run-b.wandb", b":W&B\xe1\xbe\0" + 9999 * struct.pack("<IHB", zlib.crc32(b"\3"), 0, 3), "damaged"),
        ("events.out.tfevents.1.host", b"x" * 99, "a record is damaged"),
        ("other.db", b"SQLite format 3\0" + b"\0" * 200, "SQLite"),
    ],
)
def test_a_file_that_is_no_log_is_one_clear_line(tmp_path, name, data, line, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = outcome_of(tmp_path / name, data)
    assert isinstance(told, str)
    assert line in told
    assert name in told
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing was executed"


def test_places_that_hold_no_log(tmp_path):
    assert "there is no file or folder" in outcome(tmp_path / "missing")
    assert "holds no log that can be read" in outcome(tmp_path)
    assert "there is no file" in outcome("a\0b")
    assert "there is no file" in outcome("x" * 5000) or "cannot be read" in outcome("x" * 5000)
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a file nor a folder" in outcome(tmp_path / "pipe.csv")
    assert "neither a file nor a folder" in outcome("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be read" in outcome(tmp_path / "loop")
    (tmp_path / "a\nb\x1b[31m.csv").write_text("step\n1\n")
    assert "a b [31m.csv" in outcome(tmp_path / "a\nb\x1b[31m.csv")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("step,loss\n1,2\n")

    def refuse(path, *_, **__):  # as a chmod does to all but root
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert "check its permissions" in outcome(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("limit", "value", "data"),
    [
        ("MAX_BYTES", 100, b"step,loss\n" + b"1,2\n" * 50),
        ("MAX_LINE", 100, b"step,loss\n1," + b"2" * 200 + b"\n"),
    ],
)
def test_limits_of_size(tmp_path, monkeypatch, limit, value, data):
    monkeypatch.setattr(files, limit, value)
    monkeypatch.setattr(files.regular, "__defaults__", (files.MAX_BYTES,))
    told = outcome_of(tmp_path / "a.csv", data)
    assert isinstance(told, str), told


def test_limits_of_rows_columns_and_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("grokscope.readers.sheet.MAX_RUNS", 10)
    monkeypatch.setattr("grokscope.readers.sheet.MAX_COLUMNS", 50)
    monkeypatch.setattr(files.Budget.__init__, "__defaults__", (files.MAX_BYTES, 1000, 1500))
    path = tmp_path / "a.csv"
    assert "more than 10 runs" in outcome_of(path, b"run,loss\n" + b"".join(b"r%d,1\n" % i for i in range(11)))
    assert "more than 50 columns" in outcome_of(
        path, b",".join(b"c%d" % i for i in range(60)) + b"\n" + b"1," * 59 + b"1\n"
    )
    assert "thin it out" in outcome_of(path, b"step,loss\n" + b"1,2\n" * 1001)
    assert "thin it out" in outcome_of(path, b"step,loss,acc\n" + b"1,2,1\n" * 600)


def test_a_steep_tree_of_folders_ends(tmp_path):
    place = Path(tmp_path)
    for _ in range(12):
        place = place / "d"
    place.mkdir(parents=True)
    (place / "a.csv").write_text("step,loss\n1,2\n")
    assert "holds no log" in outcome(tmp_path)
