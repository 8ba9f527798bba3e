"""What a lane reports while it works: plain data that can cross a process boundary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grokscope.checkpoint import Checkpoint
from grokscope.measures.base import Values


@dataclass(frozen=True)
class Job:
    """One lane's work: members by number with their experiments as plain data, and where to go on from."""

    folder: str
    lane: int
    members: tuple[tuple[int, Mapping[str, Any]], ...]
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 30.0
    resume: Checkpoint | None = None
    ended: tuple[int, ...] = ()
    """Members that were done after the checkpoint was taken."""


@dataclass(frozen=True)
class Look:
    """What one look saw: (member, step, values) rows."""

    lane: int
    step: int
    rows: tuple[tuple[int, int, Values], ...]


@dataclass(frozen=True)
class Skipped:
    """Measures that this task or network cannot have, with the reason."""

    because: Mapping[str, str]


@dataclass(frozen=True)
class Thinned:
    """Measures that are taken more rarely than every look, to keep looking within its budget, and how."""

    how: Mapping[str, str]


@dataclass(frozen=True)
class Saved:
    """A checkpoint file is on disk; it counts once the store has recorded it."""

    checkpoint: Checkpoint


@dataclass(frozen=True)
class Ended:
    """A member is done: why, and its final state."""

    member: int
    step: int
    reason: str
    """budget, generalised or diverged."""
    checkpoint: Checkpoint | None
    note: str = ""


@dataclass(frozen=True)
class Tick:
    """A sign of life a few times a second: how far these members are."""

    members: tuple[int, ...]
    step: int


@dataclass(frozen=True)
class Spent:
    """Seconds of a lane since its last report, by what they were spent on."""

    lane: int
    steps: int
    """Steps times members."""
    training: float
    looking: float


@dataclass(frozen=True)
class LaneDone:
    """Nothing is left to do in this lane; ``interrupted`` when it stopped on request."""

    lane: int
    interrupted: bool = False
    failure: str = ""


Message = Look | Skipped | Thinned | Saved | Ended | Spent | Tick | LaneDone
