"""Logs that were made to harm: what computes for ever, what would run, what would command a terminal or a page."""

import base64
import csv
import math
import sqlite3
import struct
from html.parser import HTMLParser

import pytest

from tests.readers.test_malformed import event_file, outcome, outcome_of

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


LAUGHS = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{n}: &{n} {{{', '.join(f'{k}: *{p}' for k in 'pqrstuvw')}}}\n"
    for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{n}: &{n} {{<<: [{', '.join(['*' + p] * 9)}]}}\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        MERGES,
        "[" * 5000,
        "{" * 5000,
        "!!python/object/apply:os.system [touch pwned]",
        "a: !!python/tuple [1]",
        "\0",
        "- 1",
        "lr: 1_0",
        "a: [" * 20_000,
    ],
)
def test_settings_beside_a_log_are_plain_data(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hparams.yaml").write_text(text)
    runs = outcome_of(tmp_path / "metrics.csv", b"epoch,step,loss\n0,1,0.5\n")
    assert runs[0].trace.series("train/loss", 0)[1].tolist() == [0.5]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("length", [1 << 32, 2**64 - 1, 50 << 20])
def test_a_length_that_no_record_has(tmp_path, length):
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    before = struct.pack("<Q", length)
    claim = before + struct.pack("<I", masked_crc32c(before)) + b"x" * 100
    name = "events.out.tfevents.1.host"
    (run,) = outcome_of(tmp_path / name, event_file(tmp_path / "whole") + claim)
    assert len(run.trace.series("test/accuracy", 0)[0]) == 20
    assert "torn" in run.notes[0] or "damaged" in run.notes[0]
    assert isinstance(outcome_of(tmp_path / name, claim), str)


def test_rows_that_say_a_thing_twice_or_beyond_all_numbers(tmp_path):
    row = b'{"step": 7, "step": %d, "loss": NaN, "val_acc": 0.5, "lr": 1e400, "x": ' + b"9" * 4000 + b"}\n"
    (run,) = outcome_of(tmp_path / "a.jsonl", row % 1 + row % 2 + b'{"step": 1e400, "loss": 1e400}\n')
    assert run.trace.series("train/loss", 0)[0].tolist() == [1, 2]
    assert run.trace.series("optimizer/lr", 0)[1].tolist() == [math.inf] * 2
    assert run.trace.series("x", 0)[1].tolist() == [math.inf] * 2


HOSTILE = (
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "\x1b[2J\x1b]0;x\x07\u202e\x9b2J\u2028",
    "[/]",
    "{{7*7}}",
)


def test_names_reach_neither_the_terminal_nor_the_page_as_commands(tmp_path, monkeypatch, capsys):
    """Runs, columns and the file itself; the page is parsed as a browser does."""
    from grokscope import cli

    columns = ["run", "step", "loss", "val_loss", *HOSTILE, "=HYPERLINK(1)/x"]
    rows = [[run, i, 1.0, 2.0, *[0.5] * 6] for run in (*HOSTILE, "$\\frac{1}$", "^{_") for i in range(3)]
    with (tmp_path / "\x1b[2J<b>.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    monkeypatch.setattr("sys.argv", ["grokscope", "diagnose", str(tmp_path), "--out", str(tmp_path / "page.html")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    seen = capsys.readouterr()
    assert stopped.value.code == 0
    assert all(c.isprintable() or c == "\n" for c in seen.out + seen.err)

    class Page(HTMLParser):
        tags, links, text = set(), [], ""

        def handle_starttag(self, tag, attrs):
            self.tags.add(tag)
            self.links += [value for name, value in attrs if name in ("href", "src") and value]
            assert not any(name.startswith("on") for name, _ in attrs)

        def handle_data(self, data):
            self.text += data

    page = Page()
    page.feed((tmp_path / "page.html").read_text())
    assert not {"script", "b", "img"} & page.tags
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert all(name in page.text for name in ("<script>alert(1)</script>", "javascript:alert(1)", "{{7*7}}", "[/]"))
    tables = [base64.b64decode(link.partition(",")[2]).decode() for link in page.links if link.startswith("data:text")]
    assert tables
    assert sum("'=HYPERLINK(1)/x" in table.splitlines()[0] for table in tables) == 7, "a name is no formula"


def test_a_view_that_computes_for_ever_is_not_asked(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute(
            "CREATE VIEW metrics AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS id, 'a' AS run_name, i AS step, '{}' AS metrics FROM n"
        )
    db.close()
    assert "neither MLflow's nor Trackio's" in outcome(tmp_path / "a.db")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS run_name, i AS id, "
TABLE = "CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_name TEXT, step INTEGER, metrics TEXT)"


@pytest.mark.parametrize(
    "statements",
    [
        [
            "CREATE VIRTUAL TABLE metrics USING rtree(id, low, high, +run_name, +step, +metrics)",
            "INSERT INTO metrics VALUES (1, 0, 1, 'a', 1, '{\"loss\": 1}')",
        ],
        [
            "CREATE TABLE metrics (run_name TEXT, step INTEGER, metrics TEXT, "
            "id AS (length(hex(zeroblob(15000000))) + step))",
            *["INSERT INTO metrics VALUES ('a', 1, '{}')"] * 2,
        ],
        ["CREATE TABLE metrics (run_name TEXT, step INTEGER, metrics TEXT)"],
    ],
)
def test_tables_that_compute_are_not_asked(tmp_path, statements):
    with sqlite3.connect(tmp_path / "a.db") as db:
        try:
            for statement in statements:
                db.execute(statement)
        except sqlite3.OperationalError as fault:  # a SQLite without trees of rectangles
            pytest.skip(str(fault))
    db.close()
    assert "neither MLflow's nor Trackio's" in outcome(tmp_path / "a.db")


def test_settings_that_compute_are_not_asked(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute(TABLE)
        db.execute("INSERT INTO metrics VALUES (1, 'a', 1, '{\"loss\": 1}')")
        db.execute(f"CREATE VIEW configs AS {ENDLESS} '{{}}' AS config FROM n")
    db.close()
    (run,) = outcome(tmp_path / "a.db")
    assert run.settings == {}
