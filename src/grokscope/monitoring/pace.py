"""When to look, so that all looking costs at most a share of the training: measured, not declared."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FREE = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
"""Looks that are taken before the budget has grown; later ones wait until it has paid for them."""
LONGEST = 20.0
"""A stretch of updates counts as training up to so many times its usual length: a pause is none (ours)."""
AIM = 0.8
"""Share of the allowance that is planned with: looks cost more than the last ones did now and then (ours)."""
FIT = "fit"
"""The part that is taken at every look."""
VERDICT = "verdict"
"""The part that reads the trace anew, where somebody listens or asked when to stop."""


@dataclass
class Part:
    """What one kind of measurement has cost."""

    cost: float
    """Seconds of one, the mean of the last few; a guess before the first."""
    spent: float = 0.0
    times: int = 0


@dataclass
class Pace:
    """The schedule: steps rise by a constant factor, and are put off where looking would cost too much.

    What is measured beside the look itself has equal parts of one half of the allowance, and the verdict a quarter, so
    that a costly part is taken rarely and puts off no other. The look waits until all that was spent is paid for.

    Args:
        max_overhead: seconds of looking per second of training.
        looks_per_decade: looks for each tenfold of steps.
        guesses: seconds of the first of each part.
    """

    max_overhead: float
    looks_per_decade: int
    guesses: Mapping[str, float]
    zoom: int = 3
    """How many times denser to look while an accuracy moves."""
    training: float = 0.0
    """Seconds between the calls."""
    spent: float = 0.0
    """Seconds within them."""
    per_step: float = 0.0
    """Seconds of an update, the mean of the last few."""
    due: int = 0
    """Step of the next look."""
    takes: frozenset[str] = frozenset()
    """Parts of the next look."""
    looks: int = 0
    parts: dict[str, Part] = field(default_factory=dict)
    previous: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, guess in self.guesses.items():
            self.parts.setdefault(name, Part(guess))
        self.takes = self.takes or self._chosen(0)

    @property
    def overhead(self) -> float:
        """Seconds of looking per second of training, until now."""
        return self.spent / self.training if self.training else 0.0

    def trained(self, seconds: float, updates: int) -> None:
        """So much time went by outside, with so many updates."""
        each = seconds / max(updates, 1)
        if self.per_step:
            each = min(each, LONGEST * self.per_step)
            self.per_step += 0.1 * (each - self.per_step)
        else:
            self.per_step = each
        self.training += each * max(updates, 1)

    def took(self, name: str, seconds: float) -> None:
        """A part was taken."""
        part = self.parts[name]
        part.cost = seconds if not part.times else part.cost + 0.3 * (seconds - part.cost)
        part.spent, part.times = part.spent + seconds, part.times + 1

    def plan(self, step: int, accuracies: tuple[float, ...]) -> None:
        """Choose the next look after one at ``step``."""
        self.looks += 1
        moves = len(self.previous) == len(accuracies) and any(
            abs(a - b) > 0.02 for a, b in zip(accuracies, self.previous, strict=True)
        )
        self.previous = accuracies
        gap = max(1, round((10 ** (1 / self.looks_per_decade) - 1) * step) // (self.zoom if moves else 1))
        free = next((s for s in FREE if s > step), None)
        self.due = max(step + gap, self.affordable(step))
        if free is not None:
            self.due = min(self.due, free)
        self.takes = self._chosen(self.due - step)

    def affordable(self, step: int) -> int:
        """The first step at which one more look is paid for."""
        rate = AIM * self.max_overhead
        lacks = self.spent + self.parts[FIT].cost - rate * self.training
        if lacks <= 0:
            return step
        return step + math.ceil(lacks / (rate * self.per_step)) if self.per_step else step + 1

    def _chosen(self, ahead: int) -> frozenset[str]:
        """Parts that will be paid for so many updates later; a cheap one is taken once before."""
        allowed = AIM * self.max_overhead * (self.training + ahead * self.per_step)
        beside = 0.5 * allowed / max(len(self.parts) - 1, 1)
        taken = set()
        for name, part in self.parts.items():
            share = 0.25 * allowed if name == VERDICT else beside
            if name == FIT or part.spent + part.cost <= share or (not part.times and part.cost <= 1e-3):
                taken.add(name)
        return frozenset(taken)

    def state(self) -> dict[str, Any]:
        """As plain data, for a checkpoint."""
        return asdict(self) | {"takes": sorted(self.takes), "previous": list(self.previous)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on as another left off; limits stay one's own."""
        for name in ("training", "spent", "per_step", "due", "looks"):
            setattr(self, name, state[name])
        self.previous = tuple(state["previous"])
        self.parts |= {name: Part(**part) for name, part in state["parts"].items() if name in self.parts}
        self.takes = frozenset(state["takes"]) & frozenset(self.parts)
