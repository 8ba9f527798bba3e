"""The one record that lab, monitor and readers all fill: step x member x quantity.

A key is a slash tag (``test/loss``). A scalar row is (member, step, key, value), an array row the
same with a numpy array (a spectrum, an embedding). Members need not have been looked at on the
same steps. A step is the number of optimizer updates done when the look was taken.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

V = TypeVar("V")
Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Quantity:
    """What a key means: declared once by its measure, read by report, docs and monitor."""

    key: str
    unit: str
    range: tuple[float, float]
    about: str
    hindsight: bool = False
    """True where the value at a step needs the finished run (key frequencies of the final model):
    such a key is left out of every prefix, so no forecast can see it."""
    array: bool = False


@dataclass
class Trace:
    """What was seen. Reading is by key; writing by (member, step)."""

    quantities: dict[str, Quantity] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Measures that could not look, and why."""
    _scalars: dict[str, dict[int, dict[int, float]]] = field(default_factory=dict)
    _arrays: dict[str, dict[int, dict[int, NDArray[np.generic]]]] = field(default_factory=dict)

    def add(self, member: int, step: int, values: Mapping[str, float | NDArray[np.generic]]) -> None:
        """Record what one look saw of one member; a repeated (member, step, key) is replaced."""
        for key, value in values.items():
            if isinstance(value, np.ndarray):
                self._arrays.setdefault(key, {}).setdefault(member, {})[step] = value
            else:
                self._scalars.setdefault(key, {}).setdefault(member, {})[step] = float(value)

    def keys(self) -> list[str]:
        """The scalar keys that hold a value, sorted."""
        return sorted(self._scalars)

    def array_keys(self) -> list[str]:
        """The array keys that hold a value, sorted."""
        return sorted(self._arrays)

    def members(self) -> list[int]:
        """The members that were ever looked at, sorted."""
        return sorted({m for t in self._scalars.values() for m in t} | {m for t in self._arrays.values() for m in t})

    def series(self, key: str, member: int) -> tuple[Steps, Floats]:
        """Steps (rising) and values of one scalar of one member; both empty where nothing was seen."""
        seen = self._scalars.get(key, {}).get(member, {})
        steps = sorted(seen)
        return np.array(steps, dtype=np.int64), np.array([seen[s] for s in steps], dtype=np.float64)

    def arrays(self, key: str, member: int) -> list[tuple[int, NDArray[np.generic]]]:
        """(step, array) of one array key of one member, steps rising."""
        seen = self._arrays.get(key, {}).get(member, {})
        return [(step, seen[step]) for step in sorted(seen)]

    def last(self, member: int) -> dict[str, float]:
        """The latest value of each scalar of one member."""
        return {key: seen[member][max(seen[member])] for key, seen in sorted(self._scalars.items()) if seen.get(member)}

    def final_step(self, member: int) -> int:
        """The last step at which this member was looked at; -1 if never."""
        return max((max(seen[member]) for seen in self._scalars.values() if seen.get(member)), default=-1)

    def table(self, key: str, members: Iterable[int] | None = None) -> tuple[Steps, Floats]:
        """Union of the members' steps (T,) and values (T, S); NaN where a member was not looked at."""
        chosen = list(self.members() if members is None else members)
        seen = self._scalars.get(key, {})
        steps = sorted({step for m in chosen for step in seen.get(m, {})})
        values = [[seen.get(m, {}).get(step, np.nan) for m in chosen] for step in steps]
        return np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64).reshape(len(steps), len(chosen))

    def prefix(self, step: int) -> "Trace":
        """What was known at ``step``: looks up to and including it, and no hindsight."""
        known = Trace(
            quantities={k: q for k, q in self.quantities.items() if not q.hindsight}, skipped=dict(self.skipped)
        )
        known._scalars = {k: _until(m, step) for k, m in self._scalars.items() if not self._hindsight(k)}
        known._arrays = {k: _until(m, step) for k, m in self._arrays.items() if not self._hindsight(k)}
        return known

    def _hindsight(self, key: str) -> bool:
        return any(q.hindsight and fnmatchcase(key, q.key) for q in self.quantities.values())  # keys such as norm/*

    def digest(self) -> str:
        """SHA-256 over every row, bit for bit: equal digests mean equal traces."""
        sha = hashlib.sha256()
        for key, members in sorted(self._scalars.items()):
            for member, seen in sorted(members.items()):
                for step, value in sorted(seen.items()):
                    sha.update(f"{key}|{member}|{step}|{value.hex()}\n".encode())
        for key, arrays in sorted(self._arrays.items()):
            for member, found in sorted(arrays.items()):
                for step, array in sorted(found.items()):
                    sha.update(f"{key}|{member}|{step}|{array.dtype}|{array.shape}|".encode() + array.tobytes())
        return sha.hexdigest()


def _until(members: dict[int, dict[int, V]], step: int) -> dict[int, dict[int, V]]:
    kept = {m: {s: v for s, v in seen.items() if s <= step} for m, seen in members.items()}
    return {m: seen for m, seen in kept.items() if seen}
