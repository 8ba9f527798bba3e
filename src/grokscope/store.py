"""Where runs live: one folder and one writer per run; SQLite inside, safetensors beside.

    <store>/<name>-<id>/
        experiment.yaml   the experiment and what differs between members
        meta.json         versions, machine, command, lanes, seconds, status
        trace.sqlite      the trace and the list of checkpoints (tables below, public)
        checkpoints/      step_00012345.m0000.safetensors
        looks/            weights kept for hindsight; gone when the run is finished

Tables of trace.sqlite (schema 1; ``PRAGMA user_version``):
    key(id, name)                               slash tags
    scalar(member, step, key, value)            value NULL is NaN
    array(member, step, key, dtype, shape, data)
    quantity(key, unit, low, high, about, hindsight, array)
    skipped(measure, because)
    checkpoint(lane, step, members, file, sha256, state)
    member(member, step, reason, note, file, sha256)     members that are done

There is one writer, so no lock is ever waited for; readers open read-only and see whole transactions.
"""

import json
import math
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from grokscope.checkpoint import Checkpoint
from grokscope.errors import BadInput, nearest
from grokscope.spec import dump_yaml, load_yaml
from grokscope.trace import Quantity, Trace

SCHEMA = 1
_TABLES = """
CREATE TABLE key(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
CREATE TABLE scalar(member INTEGER, step INTEGER, key INTEGER, value REAL,
    PRIMARY KEY(member, key, step)) WITHOUT ROWID;
CREATE TABLE array(member INTEGER, step INTEGER, key INTEGER, dtype TEXT, shape TEXT, data BLOB,
    PRIMARY KEY(member, key, step)) WITHOUT ROWID;
CREATE TABLE quantity(key TEXT PRIMARY KEY, unit TEXT, low REAL, high REAL, about TEXT,
    hindsight INTEGER, array INTEGER);
CREATE TABLE skipped(measure TEXT PRIMARY KEY, because TEXT);
CREATE TABLE checkpoint(lane INTEGER, step INTEGER, members TEXT, file TEXT, sha256 TEXT, state TEXT,
    PRIMARY KEY(lane, step));
CREATE TABLE member(member INTEGER PRIMARY KEY, step INTEGER, reason TEXT, note TEXT, file TEXT, sha256 TEXT);
"""
KEEP_CHECKPOINTS = 2
"""Checkpoints kept per lane while it runs; finished members keep their final one."""


class Store:
    """A folder of runs.

    Args:
        root: made when the first run is created.
    """

    def __init__(self, root: str | Path = "runs") -> None:
        self.root = Path(root)

    def create(
        self,
        name: str,
        experiment: Mapping[str, Any],
        members: Iterable[Mapping[str, Any]],
        meta: Mapping[str, Any] | None = None,
    ) -> "RunFolder":
        """A new run's folder, with its experiment and what is known beforehand written: all of it or nothing.

        The folder is called as its ``name`` and a new id.

        Raises:
            BadInput: the store cannot be written.
        """
        return self.put(f"{name}-{secrets.token_hex(3)}", experiment, members, meta or {})

    def put(
        self,
        folder_name: str,
        experiment: Mapping[str, Any],
        members: Iterable[Mapping[str, Any]],
        meta: Mapping[str, Any],
    ) -> "RunFolder":
        """A new run's folder of a given name, as :meth:`create` makes it.

        Raises:
            BadInput: the store cannot be written.
        """
        folder, part = self.root / folder_name, self.root / f".{folder_name}.part"
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            text = dump_yaml({"experiment": dict(experiment), "members": [dict(m) for m in members]})
            (part / "experiment.yaml").write_text(text, encoding="utf-8")
            RunFolder(part).write_meta(**meta)
            part.rename(folder)
        except OSError as error:
            raise BadInput(
                f"cannot write the store {str(self.root)!r} ({error.strerror}); choose another with --store DIR."
            ) from None
        return RunFolder(folder)

    def find(self, run: str) -> "RunFolder":
        """A run by its folder's path, its whole name, or the start of its name or id when only one fits.

        Raises:
            BadInput: none or several fit (with the nearest names).
        """
        for path in (Path(run), self.root / run):
            if (path / "experiment.yaml").is_file():
                return RunFolder(path)
        names = [folder.name for folder in self]
        fits = [name for name in names if name.startswith(run) or name.rsplit("-", 1)[-1].startswith(run)]
        if len(fits) == 1:
            return RunFolder(self.root / fits[0])
        if fits:
            raise BadInput(f"{run!r} fits {len(fits)} runs in {self.root}: {', '.join(fits[:5])}; name one of them.")
        hint = nearest(run, names) if names else f"; the store {str(self.root)!r} holds no run."
        raise BadInput(f"no run {run!r} in {str(self.root)!r}{hint}")

    def __iter__(self) -> Iterator["RunFolder"]:
        """Runs, oldest first by name of folder's creation time."""
        if self.root.is_dir():
            found = [p for p in self.root.iterdir() if p.name[0] != "." and (p / "experiment.yaml").is_file()]
            for path in sorted(found, key=lambda p: (p / "experiment.yaml").stat().st_mtime):
                yield RunFolder(path)


class Folder:
    """A folder with a ``meta.json`` and one process at a time that may write it; reading never locks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def meta(self) -> dict[str, Any]:
        """What ``meta.json`` says; ``status`` is 'crashed' where who wrote it is gone."""
        try:
            meta: dict[str, Any] = json.loads((self.path / "meta.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return {"status": "crashed"}
        if meta.get("status") == "running" and not self.busy():
            meta["status"] = "crashed"
        return meta

    def write_meta(self, **changes: Any) -> dict[str, Any]:
        """Merge changes into ``meta.json`` atomically."""
        path = self.path / "meta.json"
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        meta = old | changes | {"updated": datetime.now(UTC).isoformat(timespec="seconds")}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
        part.replace(path)
        return meta

    def busy(self) -> bool:
        """Whether a process is writing here now."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        except OSError:
            return False  # read-only store: nobody writes
        lock.release()
        return False

    @contextmanager
    def locked(self, refusal: str) -> Iterator[None]:
        """Be the one that writes.

        Raises:
            BadInput: another process does; with this text.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=1)  # a reader asking busy() holds it for microseconds
        except Timeout:
            raise BadInput(refusal) from None
        try:
            yield
        finally:
            lock.release()


class RunFolder(Folder):
    """One run on disk. Reading never locks; writing goes through :meth:`writer`."""

    def recipe(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The experiment and the members' overrides, as plain data."""
        data = load_yaml((self.path / "experiment.yaml").read_text(encoding="utf-8"), f"{self.name}/experiment.yaml")
        return data["experiment"], data["members"]

    @contextmanager
    def writer(self) -> Iterator["Writer"]:
        """The one writer of this run.

        Raises:
            BadInput: another process is writing it, or the database is of a newer schema.
        """
        with self.locked(f"run {self.name} is being written by another process; wait for it or stop it."):
            writer = Writer(self)
            try:
                yield writer
            finally:
                writer.close()

    def trace(self) -> Trace:
        """The whole trace, as far as it was written.

        Raises:
            BadInput: the database is missing, damaged or of a newer schema.
        """
        with self.database() as db:
            trace = Trace()
            for key, unit, low, high, about, hindsight, array in db.execute("SELECT * FROM quantity"):
                trace.quantities[key] = Quantity(key, unit, (low, high), about, bool(hindsight), bool(array))
            trace.skipped = dict(db.execute("SELECT measure, because FROM skipped"))
            names = dict(db.execute("SELECT id, name FROM key"))
            for member, step, key, value in db.execute("SELECT member, step, key, value FROM scalar"):
                trace.add(member, step, {names[key]: math.nan if value is None else value})
            for member, step, key, dtype, shape, data in db.execute("SELECT * FROM array"):
                array_ = np.frombuffer(data, dtype=dtype).reshape(json.loads(shape))
                trace.add(member, step, {names[key]: array_})
        return trace

    def checkpoints(self) -> list[Checkpoint]:
        """Checkpoints of unfinished lanes that count, oldest first."""
        with self.database() as db:
            rows = db.execute("SELECT lane, step, members, file, sha256, state FROM checkpoint ORDER BY lane, step")
            return [
                Checkpoint(lane, step, tuple(json.loads(m)), f, sha, json.loads(s)) for lane, step, m, f, sha, s in rows
            ]

    def ended(self) -> dict[int, dict[str, Any]]:
        """Members that are done: step, reason, note, file, sha256 by member."""
        with self.database() as db:
            rows = db.execute("SELECT member, step, reason, note, file, sha256 FROM member")
            return {
                m: {"step": step, "reason": reason, "note": note, "file": file, "sha256": sha}
                for m, step, reason, note, file, sha in rows
            }

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The database, read-only and checked."""
        path = self.path / "trace.sqlite"
        if not path.exists():
            raise BadInput(f"run {self.name} has no trace.sqlite; it ended before its first look.")
        try:
            db = sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True, timeout=30)
            try:
                check_schema(db, self.name)
                yield db
            finally:
                db.close()
        except sqlite3.DatabaseError as error:
            raise BadInput(f"run {self.name}: trace.sqlite cannot be read ({error}).") from None

    def size(self) -> int:
        """Bytes on disk."""
        return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())


def check_schema(db: sqlite3.Connection, name: str) -> None:
    """Refuse a database of a newer schema."""
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA:
        raise BadInput(
            f"run {name} was written with store schema {found}; this version reads up to {SCHEMA}: "
            f"install a newer grokscope."
        )


class Writer:
    """Appends to a run's trace; rows become visible at :meth:`commit`, all of them or none."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        path = folder.path / "trace.sqlite"
        new = not path.exists()
        try:
            self.db = sqlite3.connect(path, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            if new or not self.db.execute("SELECT 1 FROM sqlite_master WHERE name='member'").fetchone():
                self.db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
            check_schema(self.db, folder.name)
        except sqlite3.Error as error:
            raise BadInput(f"cannot write {path} ({error}); choose another store with --store DIR.") from None
        self.keys: dict[str, int] = dict(self.db.execute("SELECT name, id FROM key"))
        self.db.execute("BEGIN")

    def add(self, member: int, step: int, values: Mapping[str, Any]) -> None:
        """Rows of one look of one member; a repeated (member, step, key) is replaced."""
        for name, value in values.items():
            key = self._key(name)
            if isinstance(value, np.ndarray):
                row = (member, step, key, value.dtype.str, json.dumps(value.shape), value.tobytes())
                self.db.execute("INSERT OR REPLACE INTO array VALUES (?,?,?,?,?,?)", row)
            else:
                number = None if math.isnan(value) else float(value)
                self.db.execute("INSERT OR REPLACE INTO scalar VALUES (?,?,?,?)", (member, step, key, number))

    def describe(self, quantities: Iterable[Quantity]) -> None:
        """What the keys mean."""
        for q in quantities:
            row = (q.key, q.unit, *q.range, q.about, q.hindsight, q.array)
            self.db.execute("INSERT OR REPLACE INTO quantity VALUES (?,?,?,?,?,?,?)", row)

    def skip(self, because: Mapping[str, str]) -> None:
        """Measures that could not look."""
        self.db.executemany("INSERT OR REPLACE INTO skipped VALUES (?,?)", because.items())

    def save(self, checkpoint: Checkpoint) -> None:
        """Make a checkpoint count, together with every row before it, and forget the oldest ones."""
        c = checkpoint
        row = (c.lane, c.step, json.dumps(c.members), c.file, c.sha256, json.dumps(c.state))
        self.db.execute("INSERT OR REPLACE INTO checkpoint VALUES (?,?,?,?,?,?)", row)
        old = self.db.execute(
            "SELECT step, file FROM checkpoint WHERE lane=? ORDER BY step DESC LIMIT -1 OFFSET ?",
            (c.lane, KEEP_CHECKPOINTS),
        ).fetchall()
        self._forget(c.lane, old)

    def end(self, member: int, step: int, reason: str, note: str, final: Checkpoint | None) -> None:
        """A member is done."""
        file, sha = (final.file, final.sha256) if final else (None, None)
        self.db.execute("INSERT OR REPLACE INTO member VALUES (?,?,?,?,?,?)", (member, step, reason, note, file, sha))
        self.commit()

    def lane_done(self, lane: int) -> None:
        """All members of a lane are done: its checkpoints are no longer needed."""
        self._forget(lane, self.db.execute("SELECT step, file FROM checkpoint WHERE lane=?", (lane,)).fetchall())

    def rewind(self, members: Iterable[int], after: int) -> None:
        """Forget the looks of these members later than a step: what a resumed lane will see again."""
        for member in members:
            for table in ("scalar", "array"):
                self.db.execute(f"DELETE FROM {table} WHERE member=? AND step>?", (member, after))
            self.db.execute("DELETE FROM member WHERE member=?", (member,))
        self.commit()

    def rewind_lane(self, lane: int, after: int) -> None:
        """Forget the checkpoints of a lane later than a step."""
        rows = self.db.execute("SELECT step, file FROM checkpoint WHERE lane=? AND step>?", (lane, after)).fetchall()
        self._forget(lane, rows)

    def commit(self) -> None:
        """Make everything so far durable and visible."""
        self.db.execute("COMMIT")
        self.db.execute("BEGIN")

    def close(self) -> None:
        """Commit and let go."""
        self.db.execute("COMMIT")
        self.db.close()

    def _key(self, name: str) -> int:
        if name not in self.keys:
            self.keys[name] = len(self.keys) + 1
            self.db.execute("INSERT INTO key VALUES (?,?)", (self.keys[name], name))
        return self.keys[name]

    def _forget(self, lane: int, rows: Iterable[tuple[int, str]]) -> None:
        finals = {file for (file,) in self.db.execute("SELECT file FROM member WHERE file IS NOT NULL")}
        rows = list(rows)
        for step, _ in rows:
            self.db.execute("DELETE FROM checkpoint WHERE lane=? AND step=?", (lane, step))
        self.commit()  # the row goes before its file, so that no row ever names a missing file
        for _, file in rows:
            if file not in finals:
                (self.folder.path / "checkpoints" / file).unlink(missing_ok=True)
