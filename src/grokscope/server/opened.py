"""Runs that are looked at closely: each read once as long as its files stay as they are."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from grokscope.curves import read_curves
from grokscope.errors import BadInput
from grokscope.phases import Events, find_events
from grokscope.record import Record
from grokscope.server import charts
from grokscope.server.index import Entry
from grokscope.server.reading import StoredTrace, declared, read_arrays
from grokscope.sources import Source
from grokscope.trace import Floats, Quantity, Steps, Trace

KEPT = 16
"""Runs kept open."""
LONG = 20_000
"""Looks of a member from which on no curve is derived: they are made for hundreds (ours)."""
POINTS = 400_000
"""Points of one answer; with more lines than these allow, each is thinned further (ours)."""


class Opened:
    """One run, its record, and what is derived from it when it is asked for."""

    def __init__(self, entry: Entry) -> None:
        if entry.problem:
            raise BadInput(f"run {entry.name} cannot be read: {entry.problem}")
        self.entry = entry
        self.stamp = entry.stamp
        self.record = Record.read(entry.folder)
        self.lock = threading.RLock()

    @property
    def trace(self) -> StoredTrace:
        """The run's trace, in its database."""
        assert isinstance(self.record.trace, StoredTrace)
        return self.record.trace

    @cached_property
    def members(self) -> list[int]:
        """Those that were looked at."""
        return self.trace.members()

    @cached_property
    def curves(self) -> Trace:
        """What follows from the course of the trace; nothing of a run with very many looks."""
        with self.lock:
            looks = max((len(self.trace.series("train/loss", m)[0]) for m in self.members), default=0)
            return read_curves(self.trace, self.record.members) if looks <= LONG else Trace()

    @cached_property
    def events(self) -> dict[int, Events]:
        """Of every member."""
        e = self.record.experiment
        return {m: find_events(self.trace, m, e.task.chance, e.events) for m in self.members}

    def summary(self) -> dict[str, Any]:
        """What the run's page says."""
        with self.lock:
            phases = self.record.phases
            return {
                "run": self.entry.name,
                "status": self.entry.status,
                "summary": self.record.summary() | {"status": self.entry.status},
                "keys": self.keys(),
                "phases": [
                    {
                        "member": p.member,
                        "t_train": p.events.t_train,
                        "t_test": p.events.t_test,
                        "segments": [{"name": s.name, "start": s.start, "end": s.end} for s in p.segments],
                        "anomalies": [
                            {"name": a.name, "start": a.start, "end": a.end, "note": a.note} for a in p.anomalies
                        ],
                    }
                    for p in phases
                ],
                "skipped": self.trace.skipped | self.curves.skipped,
                "meta": dict(self.record.meta),
                "experiment": self.record.experiment.to_dict(),
                "citations": [cited(source) for source in self.record.experiment.citations()],
                "sentence": self.record.sentence(),
            }

    def keys(self) -> list[dict[str, Any]]:
        """Every key that holds a value, scalars, arrays, then derived curves, and what it means."""
        stored, derived = self.trace.quantities, self.curves.quantities
        found = [_key(k, declared(stored, k), False) for k in self.trace.keys()]
        found += [_key(k, declared(stored, k), True) for k in self.trace.array_keys()]
        return found + [_key(k, declared(derived, k), False) for k in self.curves.keys()]

    def series(self, key: str, member: int, points: int | None = None) -> tuple[Steps, Floats]:
        """A scalar of a member, derived ones too, thinned to so many points where that is asked."""
        if key.startswith("curve/") and key not in self.trace.names:
            steps, values = self.curves.series(key, member)
            return (steps, values) if points is None else charts.thin(steps, values, points)
        with self.lock:
            if points is None or (key, member) in self.trace.cached:
                steps, values = self.trace.series(key, member)
                return (steps, values) if points is None else charts.thin(steps, values, points)
        with self.entry.folder.database() as db:
            return charts.thin_stored(db, self.trace.names.get(key, -1), member, points)

    def lines(self, keys: Sequence[str], members: Sequence[int], points: int) -> dict[str, dict[int, dict[str, Any]]]:
        """Series by key and member, thinned; a key or member without a value is left out."""
        chosen = [m for m in self.members if m in members] if members else self.members
        each = max(charts.FEWEST, min(points, POINTS // max(1, len(keys) * len(chosen))))
        found = {key: charts.as_point_series(lambda k, m: self.series(k, m, each), key, chosen) for key in keys}
        return {key: lines for key, lines in found.items() if lines}

    def array_steps(self, key: str, member: int) -> dict[str, Any]:
        """At which steps there is an array, and the shape of the last."""
        query = "SELECT step, shape FROM array WHERE member=? AND key=? ORDER BY step"
        with self.entry.folder.database() as db:
            rows = db.execute(query, (member, self.trace.names.get(key, -1))).fetchall()
        shape = [int(n) for n in rows[-1][1].strip("[]").split(",") if n.strip()] if rows else []
        return {"steps": [step for step, _ in rows], "shape": shape}

    def array(self, key: str, member: int, step: int) -> dict[str, Any] | None:
        """One array, its values one after another; None where there is none."""
        with self.entry.folder.database() as db:
            found = next(read_arrays(db, self.trace.names.get(key, -1), member, step), None)
        return {"shape": list(found[1].shape), "data": charts.numbers(np.ravel(found[1]))} if found else None


class Shelf:
    """The runs that were opened last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs: OrderedDict[str, Opened] = OrderedDict()

    def open(self, entry: Entry) -> Opened:
        """The run as its files are now.

        Raises:
            BadInput: it cannot be read.
        """
        with self.lock:
            found = self.runs.get(entry.name)
            if found is not None and found.stamp == entry.stamp and found.entry is entry:
                self.runs.move_to_end(entry.name)
                return found
        try:
            opened = Opened(entry)
        except BadInput:
            raise
        except Exception as error:  # a damaged file can fail in any way
            raise BadInput(f"run {entry.name} cannot be read: {' '.join(str(error).split())}") from error
        with self.lock:
            self.runs[entry.name] = opened
            while len(self.runs) > KEPT:
                self.runs.popitem(last=False)
        return opened


def cited(source: Source) -> dict[str, Any]:
    """A source as plain data."""
    reference = source.reference
    return {
        "key": source.key,
        "where": source.where,
        "short": reference.short,
        "title": reference.title,
        "url": reference.url,
        "bibtex": reference.bibtex(),
    }


def _key(key: str, quantity: Quantity, array: bool) -> dict[str, Any]:
    low, high = (float(x) if x is not None and np.isfinite(x) else None for x in quantity.range)
    return {
        "key": key,
        "unit": quantity.unit,
        "about": quantity.about,
        "array": array,
        "hindsight": quantity.hindsight,
        "low": low,
        "high": high,
    }
