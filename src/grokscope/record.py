"""A run as it is read: experiment, members, trace, phases and what is known about its making."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from grokscope.experiment import Experiment
from grokscope.measures import Measure
from grokscope.phases import Phases, read_phases
from grokscope.spec import build, flatten
from grokscope.store import RunFolder
from grokscope.trace import Trace


@dataclass
class Record:
    """A run, finished or not. Nothing here writes."""

    name: str
    experiment: Experiment
    members: list[Experiment]
    trace: Trace
    meta: Mapping[str, Any]
    ended: Mapping[int, Mapping[str, Any]]
    """Members that are done: step, reason, note."""

    @classmethod
    def read(cls, folder: RunFolder) -> "Record":
        """The run in a folder, as far as it was written."""
        data, overrides = folder.recipe()
        experiment = build(Experiment, data)
        members = experiment.members(overrides=overrides)
        return cls(folder.name, experiment, members, folder.trace(), folder.meta(), folder.ended())

    @cached_property
    def phases(self) -> list[Phases]:
        """Events, label, segments and anomalies of every member that was looked at."""
        e = self.experiment
        return read_phases(self.trace, e.task.chance, e.events, e.labels)

    @cached_property
    def differing(self) -> list[str]:
        """The dotted fields, other than the seed, in which members differ."""
        flat = [flatten(member.to_dict()) for member in self.members]
        fields = dict.fromkeys(field for one in flat for field in one if field != "seed")
        return [f for f in fields if any(one.get(f) != flat[0].get(f) for one in flat)]

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """Seed and differing fields of every member, by dotted field."""
        flat = [flatten(member.to_dict()) for member in self.members]
        return [{f: one.get(f) for f in ("seed", *self.differing)} for one in flat]

    def summary(self) -> dict[str, Any]:
        """What ``grokscope run --json`` prints."""
        seconds = self.meta.get("seconds", {})
        return {
            "run": self.name,
            "status": self.meta.get("status"),
            "seconds": round(seconds.get("wall", 0.0), 3),
            "steps": sum(max(p.events.last_step, 0) for p in self.phases),
            "ms_per_step": self.meta.get("ms_per_step"),
            "looking_share": self.looking_share,
            "members": [self._member(p) for p in self.phases],
        }

    @property
    def looking_share(self) -> float | None:
        """Share of the working time that went into looking, in [0, 1]."""
        seconds = self.meta.get("seconds", {})
        total = seconds.get("training", 0.0) + seconds.get("looking", 0.0)
        return round(seconds["looking"] / total, 4) if total else None

    @property
    def thinned(self) -> dict[str, str]:
        """Costly measures that kept to the budget: at how many looks of the first member, and the rule."""
        rules, member = self.meta.get("thinned", {}), min(self.trace.members(), default=0)
        looks = len(self.trace.series("train/loss", member)[0])
        return {
            measure.kind: f"taken at {self._taken(measure, member)} of {looks} looks: {rules[measure.kind]}"
            for measure in self.experiment.measures
            if measure.kind in rules
        }

    def _taken(self, measure: Measure, member: int) -> int:
        """Looks of a member at which a measure gave something."""
        steps: set[int] = set()
        for pattern in (quantity.key for quantity in measure.quantities):
            for key in fnmatch.filter(self.trace.keys(), pattern):
                steps.update(self.trace.series(key, member)[0].tolist())
            for key in fnmatch.filter(self.trace.array_keys(), pattern):
                steps.update(step for step, _ in self.trace.arrays(key, member))
        return len(steps)

    def sentence(self) -> str:
        """What happened, in one sentence with numbers."""
        return describe(self)

    def _member(self, p: Phases) -> dict[str, Any]:
        done = self.ended.get(p.member, {})
        return {
            **self.overrides[p.member],
            "member": p.member,
            "label": p.label,
            "t_train": p.events.t_train,
            "t_test": p.events.t_test,
            "delay": p.events.delay,
            "ratio": None if p.events.ratio is None else round(p.events.ratio, 2),
            "censored": p.events.censored,
            "steps": p.events.last_step,
            "ended": done.get("reason"),
            "note": done.get("note") or "",
            "final": {k: _json_number(v) for k, v in self.trace.last(p.member).items()},
            "segments": [{"name": s.name, "start": s.start, "end": s.end} for s in p.segments],
            "anomalies": [{"name": a.name, "start": a.start, "end": a.end, "note": a.note} for a in p.anomalies],
        }


def describe(record: Record) -> str:
    """One sentence: how many memorised and generalised, when, and how long the delay was (medians)."""
    phases, n = record.phases, len(record.members)
    if not phases:
        return "Nothing was seen yet."
    trained = [p.events.t_train for p in phases if p.events.t_train is not None]
    tested = [p.events for p in phases if p.events.t_test is not None]
    last = max(p.events.last_step for p in phases)
    if not trained:
        return f"{_count(0, n, 'memorised')} within {last:,} step{'s' * (last != 1)}."
    first = f"{_count(len(trained), n, 'memorised')} by step {max(trained):,}"
    if not tested:
        return f"{first}; none generalised within {last:,} steps."
    middle = int(np.median([e.t_test for e in tested if e.t_test is not None]))
    ratios = [e.ratio for e in tested if e.ratio is not None]
    later = f", {np.median(ratios):.1f} times later" if ratios else ""
    if len(tested) == len(trained):
        return f"{first} and generalised at step {middle:,}{later}."
    return f"{first}; {len(tested)} of {n} generalised, those at step {middle:,}{later}."


def _count(k: int, n: int, verb: str) -> str:
    words = {1: "One", 2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Seven", 8: "Eight"}
    if n == 1:
        return f"The network {verb}" if k else f"The network never {verb}"
    if k == n:
        return f"{'Both' if n == 2 else f'All {words.get(n, str(n)).lower()}'} members {verb}"
    return f"{k} of {n} members {verb}" if k else f"None of {n} members {verb}"


def _json_number(value: float) -> float | None:
    return value if np.isfinite(value) else None
