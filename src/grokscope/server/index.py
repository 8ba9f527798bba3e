"""What a store holds: its runs and those of its sweeps, by name, in memory.

Names are the only way in: a run is looked up among those that were found, so that no text of a request
becomes a path. What links lead out of the store is not followed. The index is never on disk; it is read
from the folders, and what is known of a run is forgotten when a time or a size of its files changes.
"""

import json
import os
import stat
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from grokscope.errors import BadInput
from grokscope.experiment import Experiment
from grokscope.phases import EventRule, LabelRule, find_events, label
from grokscope.server.reading import ReadFolder, ReadSweep, StoredTrace
from grokscope.spec import build

FILES = ("experiment.yaml", "meta.json", "trace.sqlite", "trace.sqlite-wal")
"""Of a run; their times and sizes say whether it changed."""
REST = 20
"""A store is scanned again no sooner than after this many times the duration of the last scan."""
Stamp = tuple[tuple[int, int] | None, ...]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOTHING: dict[str, Any] = {"labels": {}, "t_train": None, "t_test": None, "test_accuracy": None, "steps": 0}


@dataclass
class Entry:
    """One run: where it is, and what is known of it as long as its files stay as they are."""

    name: str
    path: Path
    sweep: str | None
    stamp: Stamp = ()
    meta: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    """Why it cannot be read; empty where it can."""
    found: dict[str, Any] | None = None
    """What its members did, once somebody asked."""

    @property
    def folder(self) -> ReadFolder:
        """The run, for reading; it is called by its whole name."""
        folder = ReadFolder(self.path)
        folder.name = self.name
        return folder

    @property
    def status(self) -> str:
        """As in ``meta.json``; 'crashed' where a running writer is gone."""
        if self.problem:
            return f"unreadable: {self.problem}"
        status = str(self.meta.get("status") or "crashed")
        return "crashed" if status == "running" and not self.folder.busy() else status

    @property
    def experiment(self) -> str:
        """Its experiment's name; empty where it is not said."""
        return str(self.meta.get("experiment") or "")

    @property
    def members(self) -> int:
        """How many members it was planned with; 0 where it is not said."""
        count = self.meta.get("members")
        return count if isinstance(count, int) else 0

    @property
    def created(self) -> str:
        """When it was begun, in ISO 8601; empty where it is not said."""
        return str(self.meta.get("created") or "")

    def row(self) -> dict[str, Any]:
        """The run's line in the list; what its members did is read now unless it is known."""
        seconds = self.meta.get("seconds")
        found = self.outcome()
        return {
            "run": self.name,
            "experiment": self.experiment or None,
            "created": self.created or None,
            "members": self.members,
            **found,
            "seconds": seconds.get("wall") if isinstance(seconds, dict) else None,
            "sweep": self.sweep,
            "status": self.status,  # after the reading, which may find that it cannot be read
        }

    def outcome(self) -> dict[str, Any]:
        """Labels, median events and accuracy over the members; nothing of a run that cannot be read."""
        if (found := self.found) is not None:
            return found
        found, stamp = _NOTHING, self.stamp
        if not self.problem and stamp[2] is not None:
            try:
                found = _outcome(self.folder, self.meta)
            except Exception as error:  # whatever is wrong with one run, the list is of all
                self.problem = one_line(error)
        if stamp == self.stamp:
            self.found = found
        return found


@dataclass
class Query:
    """Which runs, in which order, which of them now."""

    q: str = ""
    """Words that name, experiment or status contain, all of them."""
    experiment: str = ""
    status: str = ""
    label: str = ""
    sort: str = "created"
    desc: bool = True
    offset: int = 0
    limit: int = 100


class Index:
    """The runs and sweeps of a store.

    Args:
        root: the store.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.real = self.root.resolve()
        self.entries: dict[str, Entry] = {}
        self.sweeps: dict[str, ReadSweep] = {}
        self.lock = threading.RLock()
        self._folders: dict[Path, int] = {}
        self._sweep_stamps: dict[str, Stamp] = {}
        self._scanned = float("-inf")
        self._took = 0.0

    # Looking at the folders.

    def scan(self) -> None:
        """Look at every folder."""
        with self.lock:
            begin = time.monotonic()
            old = self.entries
            self.entries, self.sweeps, self._folders, self._sweep_stamps = {}, {}, {}, {}
            for name, path in self._children(self.root):
                if (path / "sweep.yaml").exists():
                    self._add_sweep(name, path)
                    for batch, below in self._children(path / "runs"):
                        self._add(f"{name}/runs/{batch}", below, name, old)
                else:
                    self._add(name, path, None, old)
            self._scanned = time.monotonic()
            self._took = self._scanned - begin

    def peek(self) -> None:
        """Look at the runs that are being written and for new folders only."""
        with self.lock:
            if any(_mtime(folder) != seen for folder, seen in self._folders.items()):
                self.scan()
                return
            for entry in self.entries.values():
                if entry.meta.get("status") == "running":
                    self._restamp(entry)

    def refresh(self) -> None:
        """A scan where the last is not too fresh for its cost, else a peek."""
        with self.lock:
            if time.monotonic() - self._scanned >= REST * self._took:
                self.scan()
            else:
                self.peek()

    def stamps(self) -> dict[str, Stamp]:
        """Times and sizes of the files of every run and sweep, by name."""
        with self.lock:
            return {name: entry.stamp for name, entry in self.entries.items()} | self._sweep_stamps

    def _children(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Folders in a folder of the store that are inside the store."""
        if not self._inside(folder):
            return
        self._folders[folder] = _mtime(folder)
        try:
            found = [e for e in os.scandir(folder) if e.name[0] != "." and e.is_dir()]
        except OSError:
            return
        for entry in sorted(found, key=lambda e: e.name):
            path = Path(entry.path)
            if not entry.is_symlink() or self._inside(path):
                yield entry.name, path

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.real)

    def _add_sweep(self, name: str, path: Path) -> None:
        own = ("sweep.yaml", "meta.json", "rounds.json")
        if all(self._inside(path / file) for file in own):
            self.sweeps[name] = ReadSweep(path)
            self._sweep_stamps[name] = tuple(_stamp_of(path / file)[0] for file in own)

    def _add(self, name: str, path: Path, sweep: str | None, old: dict[str, Entry]) -> None:
        stamp, linked = _stamps(path)
        if not any(stamp):
            return
        entry = old.get(name)
        if entry is None or entry.path != path:
            entry = Entry(name, path, sweep)
        if entry.stamp != stamp:
            self._read(entry, stamp, linked)
        self.entries[name] = entry

    def _restamp(self, entry: Entry) -> None:
        """Forget what is known of a run if it changed since it was looked at."""
        stamp, linked = _stamps(entry.path)
        if stamp != entry.stamp:
            self._read(entry, stamp, linked)

    def _read(self, entry: Entry, stamp: Stamp, linked: list[str]) -> None:
        entry.stamp, entry.problem, entry.found, entry.meta = stamp, "", None, {}
        if out := [file for file in linked if not self._inside(entry.path / file)]:
            entry.problem = f"{out[0]} is a link that leads out of the store"
        elif stamp[0] is None:
            entry.problem = "experiment.yaml is missing"
        if not out:
            entry.meta = _meta(entry.path)

    # Asking.

    def run(self, name: str) -> Entry | None:
        """The run of that name as its files are now; None where there is none."""
        with self.lock:
            if name not in self.entries:
                self.refresh()
            entry = self.entries.get(name)
            if entry is not None:
                self._restamp(entry)
                if not any(entry.stamp):
                    del self.entries[name]
                    return None
            return entry

    def sweep(self, name: str) -> ReadSweep | None:
        """The sweep of that name; None where there is none."""
        with self.lock:
            if name not in self.sweeps:
                self.refresh()
            return self.sweeps.get(name)

    def choose(self, query: Query) -> dict[str, Any]:
        """The runs that fit, in order, and what there is of each experiment.

        Names and times of creation are known from the scan; asking for a label, or to sort by what the members
        did, reads every run that fits the rest, once.
        """
        self.refresh()
        with self.lock:
            entries = list(self.entries.values())
        chosen = [e for e in entries if _fits(e, query)]
        if query.label:
            chosen = [e for e in chosen if query.label in e.outcome()["labels"]]
        chosen = _ordered(chosen, query.sort, query.desc)
        page = chosen[query.offset : query.offset + query.limit]
        counts: Counter[str] = Counter()
        members: Counter[str] = Counter()
        for entry in entries:
            counts[entry.experiment] += 1
            members[entry.experiment] += entry.members
        experiments = [{"name": n, "runs": counts[n], "members": members[n]} for n in sorted(counts) if n]
        return {"total": len(chosen), "runs": [e.row() for e in page], "experiments": experiments}

    def of_experiment(self, experiment: str) -> list[Entry]:
        """The runs of an experiment that can be read, oldest first."""
        self.refresh()
        with self.lock:
            found = [e for e in self.entries.values() if e.experiment == experiment and not e.problem]
        return sorted(found, key=lambda e: (e.created, e.name))

    def warm(self, stop: threading.Event) -> None:
        """Read what the members of every run did, newest first, so that sorting by it does not wait."""
        with self.lock:
            waiting = sorted(self.entries.values(), key=lambda e: e.created, reverse=True)
        for entry in waiting:
            if stop.is_set():
                return
            if entry.found is None:
                entry.outcome()
                time.sleep(0)  # let a request in


def median_step(steps: Sequence[int | None]) -> float | None:
    """The median with None as later than any; None where the median is one."""
    if not steps:
        return None
    middle = statistics.median(float("inf") if step is None else float(step) for step in steps)
    return middle if middle < float("inf") else None


def _outcome(folder: ReadFolder, meta: dict[str, Any]) -> dict[str, Any]:
    """What the members did, by the rules of their experiment, from the four series of the fit alone."""
    text = (folder.path / "experiment.yaml").read_text(encoding="utf-8")
    events_rule, label_rule = _rules(text.split("\nmembers:", 1)[0])
    chance = meta.get("chance")
    if not isinstance(chance, int | float):
        chance = build(Experiment, folder.recipe()[0]).task.chance
    trace = StoredTrace.of(folder)
    with trace.open():
        members = trace.members()
        events = [find_events(trace, m, chance, events_rule) for m in members]
        ends = [values[-1] for m in members if len(values := trace.series("test/accuracy", m)[1])]
    known = [float(v) for v in ends if np.isfinite(v)]
    return {
        "labels": dict(Counter(label(e, label_rule) for e in events)),
        "t_train": median_step([e.t_train for e in events]),
        "t_test": median_step([e.t_test for e in events]),
        "test_accuracy": round(statistics.median(known), 6) if known else None,
        "steps": sum(max(e.last_step, 0) for e in events),
    }


_KNOWN: dict[str, tuple[EventRule, LabelRule]] = {}


def _rules(text: str) -> tuple[EventRule, LabelRule]:
    """Thresholds from the text of an experiment; equal texts are read once."""
    if text not in _KNOWN:
        data = yaml.load(text, Loader=_LOADER)
        if not isinstance(data, dict) or not isinstance(data.get("experiment"), dict):
            raise BadInput("experiment.yaml holds no experiment")
        own = data["experiment"]
        rules = build(EventRule, own.get("events") or {}), build(LabelRule, own.get("labels") or {})
        if len(_KNOWN) > 5000:
            _KNOWN.clear()
        _KNOWN[text] = rules
    return _KNOWN[text]


def _fits(entry: Entry, query: Query) -> bool:
    if query.experiment and entry.experiment != query.experiment:
        return False
    if query.status and not entry.status.startswith(query.status):
        return False
    text = f"{entry.name} {entry.experiment} {entry.status}".lower() if query.q else ""
    return all(word in text for word in query.q.lower().split())


def _ordered(entries: Iterable[Entry], sort: str, desc: bool) -> list[Entry]:
    """In order, equal ones by name; runs without the value last, whichever the direction."""
    if sort == "name":
        return sorted(entries, key=lambda e: e.name, reverse=desc)
    if sort == "created":
        return sorted(entries, key=lambda e: (e.created, e.name), reverse=desc)
    named = sorted(entries, key=lambda e: e.name)
    with_value = [e for e in named if e.outcome()[sort] is not None]
    without = [e for e in named if e.outcome()[sort] is None]
    return sorted(with_value, key=lambda e: e.outcome()[sort], reverse=desc) + without


def _stamps(path: Path) -> tuple[Stamp, list[str]]:
    """Time and size of a run's files, and which of them are links."""
    found = [_stamp_of(path / file) for file in FILES]
    return tuple(stamp for stamp, _ in found), [f for f, (_, link) in zip(FILES, found, strict=True) if link]


def _stamp_of(path: Path) -> tuple[tuple[int, int] | None, bool]:
    try:
        seen = os.lstat(path)
    except OSError:
        return None, False
    return (seen.st_mtime_ns, seen.st_size), stat.S_ISLNK(seen.st_mode)


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1


def one_line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
