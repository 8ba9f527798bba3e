"""SQLite files, opened read-only: MLflow's tracking database and Trackio's projects.

Only the queries of this module run, on stored columns of stored tables: a view, a virtual table or a generated
column could compute for ever. Work is stopped after a minute, and functions of the file's own schema are not
trusted.

Trackio (schema of version 0.43; 0.22 had no run_id): ``metrics`` (run_name, step, metrics as JSON) and
``configs`` (run_name, config as JSON), the JSON in bytes. MLflow (3.17): ``metrics`` (key, value, step, timestamp,
is_nan, run_uuid), ``params``, ``runs``.
"""

import math
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grokscope.errors import BadInput
from grokscope.readers.files import Budget, listed, plain, regular, shown
from grokscope.readers.settings import leaves, read_json, settings_of
from grokscope.readers.sheet import Sheet, Sheets

MAGIC = b"SQLite format 3\0"
MAX_SECONDS = 60.0
MAX_CELL = 16 << 20


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write; a log that is still being written is read with its write-ahead log."""
    wal = path.with_name(path.name + "-wal")
    live = wal.is_file() and wal.stat().st_size > 0
    connection = sqlite3.connect(
        path.absolute().as_uri() + ("?mode=ro" if live else "?mode=ro&immutable=1"), uri=True, timeout=5
    )
    stop = time.monotonic() + MAX_SECONDS
    try:
        connection.set_progress_handler(lambda: int(time.monotonic() > stop), 100_000)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL)
        connection.text_factory = lambda data: data.decode("utf-8", errors="replace")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        yield connection
    except sqlite3.Error as fault:
        raise BadInput(f"{shown(path)} is no SQLite file that can be read: {plain(fault)}.") from None
    finally:
        connection.close()


def read_database(path: Path, budget: Budget) -> list[Sheet]:
    """The runs of an MLflow or Trackio database."""
    regular(path, budget)
    with opened(path) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 LIMIT 1000"
        tables = {name: _columns(connection, name) for (name,) in connection.execute(query)}
        metrics = tables.get("metrics", set())
        if {"id", "run_name", "step", "metrics"} <= metrics:
            who = "run_id" if "run_id" in metrics else "run_name"
            return _trackio(connection, who, {who, "config"} <= tables.get("configs", set()), path, budget)
        runs = {"run_uuid", "name", "lifecycle_stage"} <= tables.get("runs", set())
        if runs and {"key", "value", "timestamp", "is_nan", "step", "run_uuid"} <= metrics:
            params = {"run_uuid", "key", "value"} <= tables.get("params", set())
            return _mlflow(connection, params, path, budget)
    raise BadInput(
        f"{shown(path)} is an SQLite file, but neither MLflow's nor Trackio's: it has the tables "
        f"{listed(sorted(map(str, tables))) or '(none)'}; export the curves as CSV."
    )


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """The stored columns of a table; generated ones are not listed."""
    return {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _trackio(connection: sqlite3.Connection, who: str, configs: bool, path: Path, budget: Budget) -> list[Sheet]:
    """Rows in the order in which they were logged; runs told apart by their id, or by name in old files."""
    sheets = Sheets(path.stem, "trackio", path, budget)
    for run, name, step, text in connection.execute(f"SELECT {who}, run_name, step, metrics FROM metrics ORDER BY id"):
        sheet = sheets.of((str(run),))
        sheet.name = str(name)
        row = _object(text)
        clock = _whole(step)
        if row is not None and clock is not None:
            sheet.add(leaves(row), step=clock)
    if configs:
        for run, text in connection.execute(f"SELECT {who}, config FROM configs LIMIT 100000"):
            sheet = sheets.found.get((str(run),), None)  # type: ignore[assignment]
            if sheet is not None:
                config = _object(text) or {}
                sheet.settings |= settings_of({k: v for k, v in config.items() if not str(k).startswith("_")})
    return _named(sheets, path)


def _mlflow(connection: sqlite3.Connection, params: bool, path: Path, budget: Budget) -> list[Sheet]:
    """Points in the order of their time; NaN is stored as a mark, an infinity as the largest number."""
    sheets = Sheets(path.stem, "mlflow", path, budget)
    names = {}
    for run, name, stage in connection.execute("SELECT run_uuid, name, lifecycle_stage FROM runs LIMIT 100000"):
        if stage != "deleted":
            names[run] = name or run
    query = "SELECT run_uuid, key, value, is_nan, step FROM metrics ORDER BY run_uuid, timestamp, rowid"
    for run, key, value, is_nan, step in connection.execute(query):
        clock = _whole(step)
        if run not in names or clock is None:
            continue
        sheet = sheets.of((str(run),))
        sheet.name = str(names[run])
        sheet.add([(str(key), math.nan if is_nan else _unclipped(value))], step=clock)
    if params:
        told: dict[str, dict[str, object]] = {}
        for run, key, value in connection.execute("SELECT run_uuid, key, value FROM params LIMIT 100000"):
            told.setdefault(str(run), {})[str(key)] = value
        for run, settings in told.items():
            if (run,) in sheets.found:
                sheets.found[run,].settings |= settings_of(settings)
    return _named(sheets, path)


def _named(sheets: Sheets, path: Path) -> list[Sheet]:
    """Each run under its own name; the start of its id beside it where two have the same."""
    runs = list(sheets.found.items())
    if not runs:
        raise BadInput(f"{shown(path)} holds no metrics yet: run it for longer, or name another store.")
    names = [sheet.name for _, sheet in runs]
    for (run, sheet), name in zip(runs, names, strict=True):
        own = f" {run[0][:8]}" if names.count(name) > 1 else ""
        sheet.name = f"{path.stem} {name}{own}" if len(runs) > 1 else path.stem
    return [sheet for _, sheet in runs]


def _object(text: object) -> dict[str, object] | None:
    """A cell of JSON; Trackio stores bytes in what it declares as text."""
    text = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
    try:
        data = read_json(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _whole(step: object) -> int | None:
    return step if isinstance(step, int) and abs(step) < 1 << 62 else None


def _unclipped(value: object) -> object:
    if isinstance(value, float) and abs(value) == sys.float_info.max:
        return math.copysign(math.inf, value)
    return value
