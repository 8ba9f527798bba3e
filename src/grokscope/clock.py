"""When to look: dense early, log-spaced later, denser while accuracy moves; within an overhead budget.

The schedule is a function of the experiment and of what was seen, not of measured time: two runs of
one experiment look at the same steps, and a resumed run continues the schedule of the killed one.
The cost of a look is counted in training steps from declared costs; what looking really took is
measured and shown beside the run.

A costly measure does not put off the others: it is taken at those looks at which its own share of the
budget has room for it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import Field

from grokscope.spec import Spec


class Clock(Spec):
    """How often to look."""

    looks_per_decade: int = Field(default=20, ge=1)
    """Looks for each tenfold of steps, before thinning; every step at the very start."""
    zoom: int = Field(default=3, ge=1)
    """How many times denser to look while train or test accuracy is moving."""
    max_overhead: float = Field(default=0.05, gt=0.0)
    """Looking may cost at most this share of the training done so far; looks are put off to keep it."""
    free_looks: int = Field(default=60, ge=3)
    """So many looks may be taken before the budget allows them, so that a short run is still a curve;
    later ones wait until the budget has caught up."""
    sparse_per_decade: int = Field(default=10, ge=1)
    """Looks for each tenfold of steps that are taken even while the budget is catching up."""


@dataclass
class Schedule:
    """The looks of one member; a few numbers, saved with each checkpoint.

    Args:
        gap: ratio − 1 of consecutive looks.
        budget: last step, always looked at.
        look_cost: one look, in training steps.
        wait: the largest such gap that waiting for the budget may make.
        max_overhead: share of the steps that the looks themselves may cost.
        free_looks, zoom: of the clock.
        costly: steps that each costly measure takes at a look, by its name.
        allowance: share of the steps that each of them may cost.
        credit: steps that each of them may cost before.
    """

    gap: float
    wait: float
    budget: int
    look_cost: float
    max_overhead: float
    free_looks: int
    zoom: int
    costly: Mapping[str, float] = field(default_factory=dict)
    allowance: float = 0.0
    credit: float = 0.0
    taken: int = 0
    previous: tuple[float, float] | None = None
    """(train, test) accuracy at the last look."""
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each costly measure: how often it was taken, and at which look last."""

    def takes(self, name: str, every: int, step: int, last: bool = False) -> bool:
        """Whether a measure is taken at this look; called once for each look and measure, before :meth:`after`.

        On every k-th look, and on the last. A costly one waits until so many more looks have room:
        (taken + 1) · cost ≤ allowance · step + credit.
        """
        if name not in self.costly:
            return last or self.taken % every == 0
        times, at = self.seen.get(name, (0, -every))
        affordable = (times + 1) * self.costly[name] <= self.allowance * step + self.credit
        if not last and (self.taken - at < every or not affordable):
            return False
        self.seen[name] = (times + 1, self.taken)
        return True

    def after(self, step: int, train: float, test: float) -> int:
        """The step of the next look, given what this one (at ``step``) saw."""
        self.taken += 1
        moving = self.previous is not None and max(abs(train - self.previous[0]), abs(test - self.previous[1])) > 0.02
        self.previous = (train, test)
        gap = max(1, round(self.gap * step) // (self.zoom if moving else 1))
        put_off = min(self.affordable(), step + max(gap, round(self.wait * step)))
        return min(self.budget, max(step + gap, put_off)) if step < self.budget else step

    def affordable(self) -> int:
        """The first step at which one more look keeps the overhead: (taken + 1) · cost ≤ share · step; 0 while free."""
        return 0 if self.taken < self.free_looks else math.ceil((self.taken + 1) * self.look_cost / self.max_overhead)

    def state(self) -> dict[str, object]:
        """As plain data."""
        return asdict(self)


def plan(clock: Clock, budget: int, look_cost: float, costly: Mapping[str, float] | None = None) -> Schedule:
    """The schedule of one member.

    Where there are costly measures, they share one half of the overhead, and the looks have the other.
    Before it has grown they may cost as much as the free looks do.

    Args:
        clock: how often.
        budget: the last step.
        look_cost: time of one look, in training steps, without the costly measures.
        costly: time of one look of each costly measure.
    """
    gap, wait = (10 ** (1 / looks) - 1 for looks in (clock.looks_per_decade, clock.sparse_per_decade))
    own = clock.max_overhead / 2 if costly else clock.max_overhead
    schedule = Schedule(gap, wait, budget, look_cost, own, clock.free_looks, clock.zoom)
    if costly:
        schedule.costly = dict(costly)
        schedule.allowance = own / len(costly)
        schedule.credit = clock.free_looks * look_cost / len(costly)
    return schedule
