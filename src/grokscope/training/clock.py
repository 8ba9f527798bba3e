"""When to look: dense early, log-spaced later, denser around events; never beyond the overhead budget.

The schedule is a function of the experiment and of what was seen, not of measured time: two runs of
one experiment look at the same steps, and a resumed run continues the schedule of the killed one.
The cost of a look is counted in training steps from declared costs; what looking really took is
measured and shown.
"""

import math
from dataclasses import asdict, dataclass

from pydantic import Field

from grokscope.spec import Spec


class Clock(Spec):
    """How often to look."""

    looks_per_decade: int = Field(default=24, ge=1)
    """Looks for each tenfold of steps, before thinning; every step at the very start."""
    max_overhead: float = Field(default=0.05, gt=0.0)
    """Looking may cost at most this share of the budget's training; looks are thinned to keep it."""
    zoom: int = Field(default=4, ge=1)
    """How many times denser to look while test or train accuracy is moving."""


@dataclass
class Schedule:
    """The looks of one member; a few numbers, saved with each checkpoint.

    Args:
        gap: ratio − 1 of consecutive looks.
        budget: last step.
        look_cost: one look, in training steps.
        allowance: what looking may cost in all, in training steps.
        zoom: divisor of the gap while accuracy moves.
    """

    gap: float
    budget: int
    look_cost: float
    allowance: float
    zoom: int
    spent: float = 0.0
    previous: tuple[float, float] | None = None
    """(train, test) accuracy at the last look."""

    def after(self, step: int, train: float, test: float) -> int:
        """The step of the next look, given what this one (at ``step``) saw; budget at the latest."""
        self.spent += self.look_cost
        moving = self.previous is not None and max(abs(train - self.previous[0]), abs(test - self.previous[1])) > 0.02
        self.previous = (train, test)
        gap = max(1, round(self.gap * step))
        if moving and self.spent + self.remaining(step) * self.look_cost < self.allowance:
            gap = max(1, gap // self.zoom)
        return min(self.budget, step + gap) if step < self.budget else step

    def remaining(self, step: int) -> int:
        """Looks still to come without zooming."""
        return count_looks(self.gap, max(step, 1), self.budget)

    def state(self) -> dict[str, object]:
        """As plain data."""
        return asdict(self)


def plan(clock: Clock, budget: int, look_cost: float) -> Schedule:
    """The densest schedule up to ``looks_per_decade`` that costs at most half the allowed overhead.

    The other half is kept for looking closer around events. At least the first, the last and
    about three looks per decade are always taken, however dear they are.
    """
    allowance = clock.max_overhead * budget
    gap = 10 ** (1 / clock.looks_per_decade) - 1
    while gap < 1.0 and count_looks(gap, 0, budget) * look_cost > allowance / 2:
        gap *= 1.1
    return Schedule(gap, budget, look_cost, allowance, clock.zoom)


def count_looks(gap: float, start: int, budget: int) -> int:
    """Looks from ``start`` to ``budget`` at a constant gap: one per step until gap · step ≥ 1, then log-spaced."""
    dense_until = min(budget, math.ceil(1.5 / gap))
    dense = max(0, dense_until - start)
    spaced = math.log(budget / max(start, dense_until, 1)) / math.log1p(gap) if budget > max(start, dense_until) else 0.0
    return dense + math.ceil(spaced)
