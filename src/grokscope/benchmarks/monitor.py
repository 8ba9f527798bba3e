"""``grokscope bench monitor``: what the monitor adds to somebody's loop, in turns with the same loop without it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from grokscope import machine
from grokscope.benchmarks.timing import Spread
from grokscope.monitor import Monitor
from grokscope.training.engine import cores
from grokscope.training.memory import keep_freed_memory, threads

BLOCK_SECONDS = 0.1
"""The sides take turns after about so long."""
PARTS = 5
"""The spread is over so many parts of the run."""


@dataclass(frozen=True)
class Case:
    """A loop: a classifier of ``features`` numbers with two hidden layers, in batches, and its probe."""

    name: str
    about: str
    width: int
    batch: int
    steps: int
    probe: int
    allowed: float
    """Share of its own time that the monitor may add."""


CASES = (
    Case("step-50", "1024–1024 GELU, batch 512, AdamW; probe and validation of 256 rows", 1024, 512, 400, 256, 0.03),
    Case("step-5", "256–256 GELU, batch 512, AdamW; probe and validation of 256 rows", 256, 512, 3000, 256, 0.05),
)
"""Steps of about 50 and 5 ms on one core."""
NAMES = tuple(case.name for case in CASES)
CLASSES, FEATURES = 64, 256


class Loop:
    """One side: the same weights, data and order as the other's."""

    def __init__(self, case: Case, watched: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(4096, FEATURES, generator=generator)
        self.y = torch.randint(CLASSES, (4096,), generator=generator)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = nn.Sequential(
                nn.Linear(FEATURES, case.width),
                nn.GELU(),
                nn.Linear(case.width, case.width),
                nn.GELU(),
                nn.Linear(case.width, CLASSES),
            )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.1)
        self.batch, self.at, self.left = case.batch, 0, 0.0
        self.wall: list[float] = []
        self.processor: list[float] = []
        probe, held_out = slice(0, case.probe), slice(4096 - case.probe, 4096)
        self.monitor = None
        if watched:
            rows = (self.x[probe], self.y[probe])
            self.monitor = Monitor(self.model, self.optimizer, rows, validation=(self.x[held_out], self.y[held_out]))

    def steps(self, count: int) -> None:
        """So many updates, timed together."""
        wall, processor = time.perf_counter(), time.process_time()
        if self.monitor is not None and self.at:
            self.monitor._guard.paused(wall - self.left)  # the other side's turn
        for _ in range(count):
            rows = slice(self.at % 7 * self.batch, (self.at % 7 + 1) * self.batch)
            loss = F.cross_entropy(self.model(self.x[rows]), self.y[rows])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.monitor is not None:
                self.monitor.step(loss)
            self.at += 1
        self.left = time.perf_counter()
        self.wall.append(1e3 * (time.perf_counter() - wall) / count)
        self.processor.append(1e3 * (time.process_time() - processor) / count)


def monitor(
    names: Sequence[str] = NAMES, on: int = 1, tell: Callable[[str], None] = lambda name: None, shorter: int = 1
) -> dict[str, Any]:
    """Time the cases.

    Args:
        names: of :data:`NAMES`.
        on: torch's threads, for both sides.
        tell: called with each case's name before it starts.
        shorter: divides the steps.

    Returns:
        ``{"machine", "threads", "cases": [...]}``, with milliseconds of a step with the monitor and, as the reference,
        without. ``overhead`` is what it added, all looks included, as a share of the loop without it, by the wall's
        clock, and ``overhead_cpu`` by the processor's, which other processes do not disturb; ``own`` is what the
        monitor says of itself.
    """
    keep_freed_memory()
    found = []
    with threads(on):
        for case in (c for c in CASES if c.name in names):
            tell(case.name)
            found.append(_timed(case, max(10, case.steps // shorter)))
    about = {"cpu": machine.cpu(), "units": machine.vector_units(), "cores": cores(), "device": "cpu"}
    return {"machine": about | machine.versions(), "threads": on, "cases": found}


def _timed(case: Case, steps: int) -> dict[str, Any]:
    warm = Loop(case, False)
    warm.steps(3)
    warm.steps(3)
    block = max(1, round(BLOCK_SECONDS / (1e-3 * warm.wall[-1])))
    plain, watched = Loop(case, False), Loop(case, True)
    plain.steps(1)
    watched.steps(1)  # the first look imports
    assert watched.monitor is not None
    for side in (plain, watched):
        side.wall, side.processor = [], []
    for number in range(max(1, steps // block)):
        for side in (plain, watched) if number % 2 else (watched, plain):
            side.steps(block)
    ours, theirs = Spread.of(watched.wall).round(), Spread.of(plain.wall).round()
    count = len(plain.wall)
    edges = [round(i * count / min(PARTS, count)) for i in range(min(PARTS, count) + 1)]
    shares = [sum(plain.wall[a:b]) / sum(watched.wall[a:b]) for a, b in pairwise(edges)]
    return {
        "name": case.name,
        "precision": "float32",
        "about": case.about,
        "ms_per_step": ours.median,
        "reference_ms_per_step": theirs.median,
        "ratio": float(f"{sum(plain.wall) / sum(watched.wall):.4g}"),
        "model_steps_per_s": float(f"{1e3 / ours.median:.4g}"),
        "spread": {
            "ms_per_step": asdict(ours),
            "reference_ms_per_step": asdict(theirs),
            "ratio": asdict(Spread.of(shares).round()),
        },
        "rounds": count,
        "steps": watched.at,
        "looks": len(watched.monitor.trace.series("train/loss", 0)[0]),
        "overhead": round(sum(watched.wall) / sum(plain.wall) - 1, 4),
        "overhead_cpu": round(sum(watched.processor) / sum(plain.processor) - 1, 4),
        "own": round(watched.monitor.overhead, 4),
        "allowed": case.allowed,
    }
