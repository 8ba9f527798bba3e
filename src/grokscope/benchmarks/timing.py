"""Timing two things against each other: in turns, in one process, on the same threads."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SAMPLE_SECONDS = 0.05
"""One sample repeats a call until it has taken about so long, so that the clock's grain does not matter."""


@dataclass(frozen=True)
class Spread:
    """Milliseconds of one call, over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Median, smallest, largest."""
        return cls(statistics.median(values), min(values), max(values))

    def round(self) -> "Spread":
        """Four significant digits: more would be noise."""
        return Spread(*(float(f"{v:.4g}") for v in (self.median, self.low, self.high)))


def in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Milliseconds of each call in each round.

    In every round each call is timed once, and each round begins with another, so that a change of
    the machine's pace falls on all of them alike. The first round only warms up.
    """
    repeats = []
    for call in calls:
        call()
        begin = time.perf_counter()
        call()
        repeats.append(max(1, round(SAMPLE_SECONDS / max(time.perf_counter() - begin, 1e-6))))
    samples: list[list[float]] = [[] for _ in calls]
    gc.collect()
    for number in range(rounds):
        for offset in range(len(calls)):
            i = (number + offset) % len(calls)
            begin = time.perf_counter()
            for _ in range(repeats[i]):
                calls[i]()
            samples[i].append(1e3 * (time.perf_counter() - begin) / repeats[i])
    return samples


def ratio(reference: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times faster, round by round."""
    return Spread.of([theirs / mine for theirs, mine in zip(reference, ours, strict=True)])
