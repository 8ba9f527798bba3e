"""A progress bar with step, ETA, accuracies and phase; one plain line now and then where nobody watches."""

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from grokscope.experiment import Experiment

QUIET_SECONDS = 60.0
"""Between plain lines when the output is a pipe or a CI log."""


class Reporter(Protocol):
    """What the driver tells of its progress."""

    def see(self, member: int, step: int, values: Mapping[str, float] | None = None) -> None:
        """A member reached a step; ``values`` where it was looked at."""

    def done(self, member: int, step: int) -> None:
        """A member is finished."""


class Silence:
    """No progress shown."""

    def see(self, member: int, step: int, values: Mapping[str, float] | None = None) -> None:
        """Nothing."""

    def done(self, member: int, step: int) -> None:
        """Nothing."""


class Bar:
    """A rich bar on a terminal or in a notebook, plain lines elsewhere; always on standard error."""

    def __init__(self, experiment: Experiment, members: int, start: Mapping[int, int] | None = None) -> None:
        self.experiment, self.budget = experiment, experiment.budget
        self.steps = {m: 0 for m in range(members)} | dict(start or {})
        self.length = dict.fromkeys(range(members), experiment.budget)
        self.accuracy: dict[int, tuple[float, float]] = {}
        self.console = Console(stderr=True)
        notebook = "ipykernel" in sys.modules
        self.live = (self.console.is_terminal or notebook) and not os.environ.get("CI")
        self.last_line = time.monotonic()
        self.begin = time.monotonic()
        self.progress = Progress(
            TextColumn("[bold]{task.fields[phase]:<13}"),
            BarColumn(bar_width=None, complete_style="#2f6fd6", finished_style="#3f9a4a"),
            TextColumn("{task.fields[step]}"),
            TextColumn("train {task.fields[train]}  [bold]test {task.fields[test]}"),
            TimeElapsedColumn(),
            TextColumn("ETA at most" if experiment.stop_after_grok else "ETA"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.live,
            transient=True,
        )
        self.task = self.progress.add_task("", total=members * self.budget, **self._fields())  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.progress.stop()

    def see(self, member: int, step: int, values: Mapping[str, float] | None = None) -> None:
        """Move the bar."""
        self.steps[member] = step
        if values and "test/accuracy" in values:
            self.accuracy[member] = (values["train/accuracy"], values["test/accuracy"])
        self._show()

    def done(self, member: int, step: int) -> None:
        """A member needs no more than it took: the total shrinks."""
        self.steps[member] = self.length[member] = step
        self._show()

    def _show(self) -> None:
        total, completed = sum(self.length.values()), sum(self.steps.values())
        if self.live:
            self.progress.update(self.task, total=total, completed=completed, **self._fields())  # type: ignore[arg-type]
        elif time.monotonic() - self.last_line >= QUIET_SECONDS:
            self.last_line = time.monotonic()
            rate = completed / max(self.last_line - self.begin, 1e-9)
            f = self._fields()
            eta = (total - completed) / rate if rate else float("inf")
            line = f"{f['phase']} · {f['step']} · train {f['train']} · test {f['test']} · at most {eta:.0f} s to go"
            self.console.print(line, highlight=False, soft_wrap=True)

    def _fields(self) -> dict[str, str]:
        slowest = min(self.steps.values())
        if not self.accuracy:
            return {"phase": "starting", "step": f"step {slowest:,}", "train": "–", "test": "–"}
        train, test = np.median(list(self.accuracy.values()), axis=0)
        return {
            "phase": self._phase(float(train), float(test)),
            "step": f"step {slowest:,} of {self.budget:,}",
            "train": f"{100 * train:5.1f} %",
            "test": f"{100 * test:5.1f} %",
        }

    def _phase(self, train: float, test: float) -> str:
        rule, chance = self.experiment.events, self.experiment.task.chance
        if test >= rule.test_accuracy(chance):
            return "generalised"
        return "plateau" if train >= rule.train_accuracy else "memorization"
