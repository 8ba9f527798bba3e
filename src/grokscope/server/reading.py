"""A store read without leaving a trace in it: no lock file, no journal, also where nothing may be written."""

import fnmatch
import math
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grokscope.errors import BadInput
from grokscope.store import RunFolder, check_schema
from grokscope.sweeps.folder import SweepFolder
from grokscope.trace import Floats, Quantity, Steps, Trace

try:
    from fcntl import LOCK_NB, LOCK_SH, LOCK_UN, flock
except ImportError:  # Windows, where the lock file is opened for writing
    flock = None  # type: ignore[assignment]


class ReadFolder(RunFolder):
    """A run's folder whose reading creates and locks nothing."""

    def busy(self) -> bool:
        """Whether a process is writing this run now; asked with a shared lock on the file that the writer made."""
        return _held(self.path / ".lock") if flock is not None else super().busy()

    def trace(self) -> Trace:
        """The trace, of which each series is read when it is asked for."""
        return StoredTrace.of(self)

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The database, read-only and checked, in a folder that may be read-only too.

        SQLite reads a database with a journal through files that it makes beside it. Where the journal is
        empty and nobody writes, the database is opened as one that does not change, which makes no file;
        where it is not empty and no file can be made, both are copied to a temporary folder.

        Raises:
            BadInput: the database is missing, damaged or of a newer schema.
        """
        path = self.path / "trace.sqlite"
        if not path.exists():
            raise BadInput(f"run {self.name} has no trace.sqlite; it ended before its first look.")
        try:
            with self._connection(path) as db:
                check_schema(db, self.name)
                yield db
        except (sqlite3.DatabaseError, OSError) as error:
            raise BadInput(f"run {self.name}: trace.sqlite cannot be read ({error}).") from None

    @contextmanager
    def _connection(self, path: Path) -> Iterator[sqlite3.Connection]:
        if _size(path.with_name("trace.sqlite-wal")) <= 0 and not self.busy():
            with closing(_open(path, "immutable=1")) as db:
                yield db
        elif os.access(self.path, os.W_OK) or path.with_name("trace.sqlite-shm").exists():
            with closing(_open(path, "mode=ro")) as db:
                yield db
        else:
            with tempfile.TemporaryDirectory(prefix="grokscope-") as folder:
                for name in ("trace.sqlite", "trace.sqlite-wal"):
                    shutil.copyfile(path.with_name(name), Path(folder) / name)
                with closing(_open(Path(folder) / "trace.sqlite", "mode=ro")) as db:
                    yield db


class ReadSweep(SweepFolder):
    """A sweep's folder whose reading creates and locks nothing."""

    def busy(self) -> bool:
        """Whether a process drives it now."""
        return _held(self.path / ".lock") if flock is not None else super().busy()

    def folder(self, run: str) -> RunFolder:
        """A batch's run."""
        return ReadFolder(self.runs.root / run)


@dataclass
class StoredTrace(Trace):
    """A trace that stays in its database: what is asked for is read, a series once."""

    folder: RunFolder | None = None
    names: dict[str, int] = field(default_factory=dict)
    """Scalar and array keys, and their numbers in the database."""
    cached: dict[tuple[str, int], tuple[Steps, Floats]] = field(default_factory=dict)
    held: sqlite3.Connection | None = None
    """Open while :meth:`open` is; each question opens the database anew otherwise."""

    @classmethod
    def of(cls, folder: RunFolder) -> "StoredTrace":
        """The trace of a run; declarations and names are read now."""
        trace = cls(folder=folder)
        with folder.database() as db:
            for key, unit, low, high, about, hindsight, array in db.execute("SELECT * FROM quantity"):
                trace.quantities[key] = Quantity(key, unit, (low, high), about, bool(hindsight), bool(array))
            trace.skipped = dict(db.execute("SELECT measure, because FROM skipped"))
            trace.names = dict(db.execute("SELECT name, id FROM key"))
        return trace

    def keys(self) -> list[str]:
        """The scalar keys that hold a value, sorted."""
        return self._keys("scalar")

    def array_keys(self) -> list[str]:
        """The array keys that hold a value, sorted."""
        return self._keys("array")

    def members(self) -> list[int]:
        """The members that were ever looked at, sorted."""
        with self._database() as db:
            return sorted({m for table in ("scalar", "array") for m in _members(db, table)})

    def series(self, key: str, member: int) -> tuple[Steps, Floats]:
        """Steps (rising) and values of one scalar of one member; both empty where nothing was seen."""
        if (key, member) not in self.cached:
            with self._database() as db:
                self.cached[key, member] = read_series(db, self.names.get(key, -1), member)
        return self.cached[key, member]

    def arrays(self, key: str, member: int) -> list[tuple[int, NDArray[np.generic]]]:
        """(step, array) of one array key of one member, steps rising."""
        with self._database() as db:
            return list(read_arrays(db, self.names.get(key, -1), member))

    def last(self, member: int) -> dict[str, float]:
        """The latest value of each scalar of one member."""
        query = "SELECT value FROM scalar WHERE member=? AND key=? ORDER BY step DESC LIMIT 1"
        with self._database() as db:
            found = {key: db.execute(query, (member, number)).fetchone() for key, number in sorted(self.names.items())}
        return {key: math.nan if row[0] is None else row[0] for key, row in found.items() if row}

    def final_step(self, member: int) -> int:
        """The last step at which this member was looked at; -1 if never."""
        query = "SELECT MAX(step) FROM scalar WHERE member=? AND key=?"
        with self._database() as db:
            last = [db.execute(query, (member, number)).fetchone()[0] for number in self.names.values()]
        return max((step for step in last if step is not None), default=-1)

    def table(self, key: str, members: Iterable[int] | None = None) -> tuple[Steps, Floats]:
        """Union of the members' steps (T,) and values (T, S), as :meth:`Trace.table`; reads every row."""
        return self.whole().table(key, members)

    def prefix(self, step: int) -> Trace:
        """What was known at ``step``, as :meth:`Trace.prefix`; reads every row."""
        return self.whole().prefix(step)

    def digest(self) -> str:
        """SHA-256 over every row."""
        return self.whole().digest()

    def whole(self) -> Trace:
        """All of it, in memory."""
        return RunFolder.trace(self._folder())

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep the database open for several questions, asked by this thread."""
        with self._folder().database() as self.held:
            try:
                yield
            finally:
                self.held = None

    def _keys(self, table: str) -> list[str]:
        with self._database() as db:
            members = _members(db, table)
            query = f"SELECT 1 FROM {table} WHERE member=? AND key=? LIMIT 1"
            held = (k for k, n in self.names.items() if any(db.execute(query, (m, n)).fetchone() for m in members))
            return sorted(held)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        if self.held is not None:
            yield self.held
            return
        with self._folder().database() as db:
            yield db

    def _folder(self) -> RunFolder:
        if self.folder is None:
            raise BadInput("a stored trace needs the folder of its run.")
        return self.folder


def read_series(db: sqlite3.Connection, key: int, member: int) -> tuple[Steps, Floats]:
    """Steps (rising) and values of one scalar of one member."""
    query = "SELECT step, value FROM scalar WHERE member=? AND key=? ORDER BY step"
    rows = db.execute(query, (member, key)).fetchall()
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 2)  # NULL becomes NaN; a step is exact below 2^53
    return table[:, 0].astype(np.int64), table[:, 1].copy()


def read_arrays(
    db: sqlite3.Connection, key: int, member: int, step: int | None = None
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """(step, array) of one array key of one member, all of them or one step's."""
    query = "SELECT step, dtype, shape, data FROM array WHERE member=? AND key=?"
    query += " ORDER BY step" if step is None else f" AND step={int(step)}"
    for at, dtype, shape, data in db.execute(query, (member, key)):
        sizes = [int(n) for n in shape.strip("[]").split(",") if n.strip()]
        yield at, np.frombuffer(data, dtype=dtype).reshape(sizes)


def declared(quantities: dict[str, Quantity], key: str) -> Quantity:
    """What a key means; a bare one for a key that nobody declared."""
    if key in quantities:
        return quantities[key]
    fits = (q for pattern, q in quantities.items() if fnmatch.fnmatchcase(key, pattern))
    return next(fits, Quantity(key, "", (-math.inf, math.inf), ""))


def _members(db: sqlite3.Connection, table: str) -> list[int]:
    """Members that have a row, by jumps along the index instead of a scan."""
    found: list[int] = []
    while True:
        after = found[-1] if found else -1
        (member,) = db.execute(f"SELECT MIN(member) FROM {table} WHERE member>?", (after,)).fetchone()
        if member is None:
            return found
        found.append(member)


def _open(path: Path, how: str) -> sqlite3.Connection:
    name = str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{name}?{how}", uri=True, timeout=5)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _held(path: Path) -> bool:
    """Whether somebody holds an exclusive lock on a file; a missing one is held by nobody."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        flock(handle, LOCK_SH | LOCK_NB)
        with suppress(OSError):
            flock(handle, LOCK_UN)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
