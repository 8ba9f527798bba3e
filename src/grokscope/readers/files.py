"""The ground of every reader: bounded files, lines of bounded length, names that fit on one line."""

import codecs
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from warnings import catch_warnings, simplefilter

from grokscope.errors import BadInput

MAX_BYTES = 2 << 30
"""A log larger than this is not opened."""
MAX_WHOLE = 128 << 20
"""A file that has to be parsed in one piece (plain JSON, trainer_state.json)."""
MAX_LINE = 4 << 20
"""Characters of one line of a log; a quoted CSV field may hold 128 KiB (the csv module's own limit)."""
MAX_ROWS = 5_000_000
MAX_POINTS = 20_000_000
"""Rows times filled columns, over all runs of a log."""
MAX_COLUMNS = 10_000
MAX_RUNS = 1_000
MAX_FILES = 20_000
"""Entries of a folder, subfolders included, that are looked at."""
MAX_DEPTH = 6
"""Levels of subfolders, and of nested objects in a row."""


@dataclass
class Budget:
    """What one call may still read, over all its files."""

    bytes: int = MAX_BYTES
    rows: int = MAX_ROWS
    points: int = MAX_POINTS

    def spend(self, path: Path, *, rows: int = 0, points: int = 0, size: int = 0) -> None:
        """Take from the budget; raises BadInput when it is used up."""
        self.bytes -= size
        self.rows -= rows
        self.points -= points
        if self.bytes < 0:
            raise BadInput(
                f"{shown(path)} is larger than {MAX_BYTES >> 30} GiB: read one run at a time, or thin it out."
            )
        if self.rows < 0 or self.points < 0:
            raise BadInput(
                f"{shown(path)} has more than {MAX_ROWS:,} rows or {MAX_POINTS:,} values: thin it out, "
                "or keep only the columns of loss and accuracy."
            )


def plain(name: object, limit: int = 80) -> str:
    """A name as it may stand in a one-line message or a key: no control characters, bounded length."""
    text = "".join(c if c.isprintable() else " " for c in str(name)[: 4 * limit]).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown(path: Path) -> str:
    """A path in a message."""
    return plain(path, 200)


def base(path: Path) -> str:
    """The last part of a path, of ``.`` too."""
    return os.path.basename(os.path.abspath(path)) or str(path)


def listed(names: list[str], limit: int = 12) -> str:
    """Some names in a message: ``a, b, c and 7 more``."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(plain(n, 40) for n in names[:limit]) + more


def regular(path: Path, budget: Budget, limit: int = MAX_BYTES) -> int:
    """The size of a file that may be opened: a regular one (no pipe, no device) within the limits."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"{shown(path)} is neither a file nor a folder: a log is read from a file on disk.")
    if found.st_size > limit:
        size = (
            f"{limit >> 30} GiB"
            if limit >= 1 << 30
            else f"{limit >> 20} MiB"
            if limit >= 1 << 20
            else f"{limit >> 10} KiB"
        )
        raise BadInput(
            f"{shown(path)} has {found.st_size:,} bytes; at most {size} of this kind are read: thin it out, "
            "or write it as JSONL or CSV."
        )
    budget.spend(path, size=found.st_size)
    return found.st_size


def head(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(size)


def encoding_of(start: bytes) -> str:
    """UTF-16 where its mark is there (PowerShell writes it), otherwise UTF-8 with or without a mark."""
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def lines(path: Path, start: bytes) -> Iterator[str]:
    """The lines of a text file with their ends, undecodable bytes replaced; a longer line than MAX_LINE is refused."""
    with path.open(encoding=encoding_of(start), errors="replace", newline="") as file:
        while line := file.readline(MAX_LINE):
            if len(line) >= MAX_LINE:
                raise BadInput(f"{shown(path)} has a line of more than {MAX_LINE >> 20} MiB: that is no training log.")
            yield line


def whole(path: Path, budget: Budget, limit: int = MAX_WHOLE) -> str:
    """All of a text file that has to be parsed in one piece."""
    regular(path, budget, limit)
    data = path.read_bytes()
    return data.decode(encoding_of(data[:4]), errors="replace")


def optional(module: str, package: str, what: str) -> ModuleType:
    """Import a module of an optional package, or say in one line how to install it."""
    try:
        with catch_warnings():
            simplefilter("ignore")
            return import_module(module)
    except ImportError:
        raise BadInput(f"reading {what} needs the package {package}: pip install 'grokscope[trackers]'.") from None
