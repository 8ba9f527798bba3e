"""The work of one lane, from first step to last look, as a stream of messages.

The loop writes nothing to the store itself: it yields what it saw, and whoever listens (this process
or a parent) is the run's one writer.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from grokscope import checkpoint
from grokscope.checkpoint import Checkpoint
from grokscope.clock import Schedule, plan
from grokscope.experiment import Experiment
from grokscope.measures.base import Measure, Snapshot, Values, unmet
from grokscope.spec import build
from grokscope.training.looks import LookFile
from grokscope.training.members import Lane
from grokscope.training.messages import Ended, Job, LaneDone, Look, Message, Saved, Skipped, Spent, Thinned, Tick

TICK_SECONDS = 0.3
COSTLY = 1.5
"""A measure that takes more forward passes at a look is thinned on its own (ours): all defaults take fewer."""


@dataclass
class Tracker:
    """The stop rule's memory: how many looks in a row passed, and where the tail ends."""

    passed: int = 0
    stop_at: int | None = None

    def see(self, experiment: Experiment, step: int, values: Values) -> None:
        """Take in one look."""
        ok = experiment.events.passes(
            "test", float(values["test/loss"]), float(values["test/accuracy"]), experiment.task.chance
        )
        self.passed = self.passed + 1 if ok else 0
        if experiment.stop_after_grok and self.stop_at is None and self.passed >= experiment.events.looks:
            self.stop_at = min(experiment.budget, step + math.ceil(experiment.tail * step))


class Loop:
    """One lane at work. ``stop`` is asked between steps whether to checkpoint and leave."""

    def __init__(self, job: Job, stop: Callable[[], bool] = lambda: False) -> None:
        self.job, self.stop = job, stop
        self.folder = Path(job.folder)
        self.experiments = {number: build(Experiment, data) for number, data in job.members}
        if job.resume:
            self.experiments = {n: self.experiments[n] for n in job.resume.members}
        self.lane = Lane(list(self.experiments.items()), job.device)
        shared = self.lane.shared
        reasons = {m.kind: unmet(m, shared.task, self.lane.probe) for m in shared.measures}
        self.skipped = {kind: why for kind, why in reasons.items() if why}
        usable = [m for m in shared.measures if m.kind not in self.skipped]
        self.now = [m for m in usable if not m.in_hindsight]
        self.later = [m for m in usable if m.in_hindsight]
        self.costly = [m for m in self.now if m.cost > COSTLY]
        looks = self._in_steps(1 + sum(m.cost / m.every for m in usable if m not in self.costly))
        each = {m.kind: self._in_steps(m.cost) for m in self.costly}
        self.schedules = {n: plan(e.clock, e.budget, looks, each) for n, e in self.experiments.items()}
        self.trackers = {n: Tracker() for n in self.experiments}
        self.due = dict.fromkeys(self.experiments, 0)
        self.files = (
            {n: LookFile(self.folder, n, self.lane.theta_SP[0]) for n in self.experiments} if self.later else {}
        )
        self.seconds = {"training": 0.0, "looking": 0.0}
        self.counted = 0
        if job.resume:
            self._restore(job.resume)
        for number in self.lane.numbers if self.files else ():
            self.files[number].truncate(job.resume.step if job.resume else -1)
        self.last_save = time.monotonic()

    def run(self) -> Iterator[Message]:
        """Everything that happens, in order."""
        if self.skipped:
            yield Skipped(self.skipped)
        if self.costly:
            yield Thinned({m.kind: self._thinned(m) for m in self.costly})
        if not self.job.resume:
            yield from self._look()
        ticked = time.monotonic()
        while self.lane.numbers:
            if self.stop():
                yield self._save()
                yield self._spent()
                yield LaneDone(self.job.lane, interrupted=True)
                return
            begin = time.perf_counter()
            losses = self.lane.step()
            self.seconds["training"] += time.perf_counter() - begin
            self.counted += len(self.lane.numbers)
            if time.monotonic() - ticked >= TICK_SECONDS:
                ticked = time.monotonic()
                yield Tick(tuple(self.lane.numbers), self.lane.steps)
            if not bool(torch.isfinite(losses).all()):
                yield from self._diverged(losses)
            if any(self.due[n] <= self.lane.steps for n in self.lane.numbers):
                yield from self._look()
            if time.monotonic() - self.last_save >= self.job.checkpoint_seconds and self.lane.numbers:
                yield self._save()
                yield self._spent()
        yield self._spent()
        yield LaneDone(self.job.lane)

    def _look(self) -> Iterator[Message]:
        """Look at the members that are due; end those that are done."""
        begin, step = time.perf_counter(), self.lane.steps
        rows, ending = [], []
        for s, number in enumerate(self.lane.numbers):
            if self.due[number] > step:
                continue
            tracker, experiment, schedule = self.trackers[number], self.experiments[number], self.schedules[number]
            snapshot = self.lane.snapshot(s, self.lane.theta_SP[s], step)
            last = step >= (tracker.stop_at or experiment.budget)
            values = self._measure([m for m in self.now if schedule.takes(m.kind, m.every, step, last)], snapshot)
            rows.append((number, step, values))
            tracker.see(experiment, step, values)
            last = last or tracker.stop_at == step
            if any(schedule.takes(m.kind, m.every, step, last) for m in self.later):
                self.files[number].append(step, self.lane.theta_SP[s])
            after = schedule.after(step, float(values["train/accuracy"]), float(values["test/accuracy"]))
            self.due[number] = min(after, tracker.stop_at) if tracker.stop_at is not None else after
            if step >= experiment.budget:
                ending.append((number, "budget"))
            elif tracker.stop_at is not None and step >= tracker.stop_at:
                ending.append((number, "generalised"))
        self.seconds["looking"] += time.perf_counter() - begin
        yield Look(self.job.lane, step, tuple(rows))
        for number, reason in ending:
            yield from self._end(number, reason)

    def _end(self, number: int, reason: str, note: str = "") -> Iterator[Message]:
        """Hindsight, final state, and out of the lane."""
        s = self.lane.numbers.index(number)
        begin = time.perf_counter()
        if self.later and reason != "diverged":
            yield Look(self.job.lane, self.lane.steps, tuple(self._hindsight(s, number)))
        self.seconds["looking"] += time.perf_counter() - begin
        saved = self._write((number,), s)
        yield Ended(number, self.lane.steps, reason, saved, note)
        self.lane.drop([number])

    def _hindsight(self, s: int, number: int) -> Iterator[tuple[int, int, Values]]:
        """The finished member's looks once more, now that its key frequencies are known."""
        other = self.lane.shared.model.skeleton(self.lane.shared.task).to(self.lane.device, self.lane.theta_SP.dtype)
        final = self.lane.snapshot(s, self.lane.theta_SP[s], self.lane.steps, network=other)
        for step, theta_P in self.files[number]:
            snapshot = self.lane.snapshot(s, theta_P.to(self.lane.device), step)
            snapshot.final = final
            yield number, step, self._measure(self.later, snapshot)

    def _measure(self, measures: list[Measure], snapshot: Snapshot) -> Values:
        values: dict[str, Any] = {}
        for measure in measures:
            values |= measure(snapshot)
        return values

    def _diverged(self, losses: torch.Tensor) -> Iterator[Message]:
        """A member whose loss is no number is stopped, its trace kept, and the likely cause said."""
        for number, loss in list(zip(self.lane.numbers, losses.tolist(), strict=True)):
            if not math.isfinite(loss):
                e, step = self.experiments[number], self.lane.steps
                lr = e.optimizer.lr
                cause = f"the learning rate {lr:g} is likely too high; try --set optimizer.lr={lr / 10:g}"
                if e.model.init_scale > 3:
                    cause = f"the initial weights (init_scale {e.model.init_scale:g}) are likely too large"
                note = f"training loss of member {number} became {loss} at step {step - 1}: {cause}"
                yield from self._end(number, "diverged", note)

    def _save(self) -> Saved:
        self.last_save = time.monotonic()
        return Saved(self._write(tuple(self.lane.numbers)))

    def _write(self, members: tuple[int, ...], s: int | None = None) -> Checkpoint:
        name = checkpoint.file_name(self.lane.steps, members)
        sha = checkpoint.write(self.folder / "checkpoints", name, self.lane.tensors(s))
        state = {
            str(n): {"schedule": self.schedules[n].state(), "tracker": asdict(self.trackers[n]), "due": self.due[n]}
            for n in members
        }
        return Checkpoint(self.job.lane, self.lane.steps, members, name, sha, state)

    def _restore(self, saved: Checkpoint) -> None:
        """Continue as the lane that was saved; members that were done since leave again."""
        self.lane.load(saved.step, checkpoint.read(self.folder / "checkpoints", saved))
        for n in saved.members:
            state = saved.state[str(n)]
            schedule = dict(state["schedule"])
            schedule["previous"] = tuple(schedule["previous"]) if schedule["previous"] else None
            schedule["seen"] = {kind: tuple(seen) for kind, seen in schedule.get("seen", {}).items()}
            self.schedules[n] = Schedule(**schedule)
            self.trackers[n] = Tracker(**state["tracker"])
            self.due[n] = state["due"]
        if self.job.ended:
            self.lane.drop(self.job.ended)

    def _in_steps(self, passes: float) -> float:
        """Forward passes over the table in training steps, a step taken as 2.5 passes: on the safe side."""
        table = len(self.lane.encoding.tokens_NL)
        batch = min(self.lane.shared.batch_size or self.lane.train_rows, self.lane.train_rows)
        return passes * table / (2.5 * batch)

    def _thinned(self, measure: Measure) -> str:
        """How a costly measure keeps to the budget, in words."""
        schedule = next(iter(self.schedules.values()))
        rarely = f"a look at it costs {schedule.costly[measure.kind]:.3g} training steps and it may take"
        share = f"{100 * schedule.allowance:.2g} % of them beyond the first {schedule.credit:.3g}"
        return f"{rarely} {share}, and the last look; --set clock.max_overhead allows more"

    def _spent(self) -> Spent:
        spent = Spent(self.job.lane, self.counted, self.seconds["training"], self.seconds["looking"])
        self.counted, self.seconds = 0, {"training": 0.0, "looking": 0.0}
        return spent
