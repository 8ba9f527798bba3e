"""Runs a plan's lanes to the end and is the run's one writer."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from grokscope.experiment import Experiment
from grokscope.progress import Reporter
from grokscope.store import RunFolder, Writer
from grokscope.training.engine import Plan
from grokscope.training.looks import remove_looks
from grokscope.training.loop import Loop
from grokscope.training.memory import keep_freed_memory, threads
from grokscope.training.messages import Ended, Job, LaneDone, Look, Message, Saved, Skipped, Spent, Thinned, Tick
from grokscope.training.pool import Pool

COMMIT_SECONDS = 1.0


@dataclass
class Outcome:
    """How driving ended."""

    interrupted: bool = False
    failures: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """finished, interrupted or failed."""
        return "failed" if self.failures or self.diverged else "interrupted" if self.interrupted else "finished"


def drive(
    folder: RunFolder, writer: Writer, plan: Plan, jobs: Sequence[Job], experiment: Experiment, reporter: Reporter
) -> Outcome:
    """Run the jobs; record what they say.

    Ctrl-C (or SIGTERM) asks all lanes to checkpoint and leave; a second one is not held back.
    """
    writer.describe(experiment.quantities())
    outcome, begin, committed = Outcome(), time.monotonic(), time.monotonic()
    seconds = {"training": 0.0, "looking": 0.0, "wall": 0.0} | folder.meta().get("seconds", {})
    before, steps = seconds["wall"], folder.meta().get("member_steps", 0)
    with stop_on_signal() as stop:
        messages = Pool(jobs, plan.workers, stop).run() if plan.engine == "pooled" else _here(jobs, plan.threads, stop)
        for message in messages:
            match message:
                case Look(rows=rows):
                    for member, step, values in rows:
                        writer.add(member, step, values)
                        if "test/accuracy" in values:
                            reporter.see(
                                member, step, {k: float(values[k]) for k in ("train/accuracy", "test/accuracy")}
                            )
                case Tick(members=members, step=step):
                    for member in members:
                        reporter.see(member, step)
                case Skipped(because=because):
                    writer.skip(because)
                case Thinned(how=how):
                    folder.write_meta(thinned=dict(how))
                case Saved(checkpoint=checkpoint):
                    writer.save(checkpoint)
                case Ended(member=member, step=step, reason=reason, checkpoint=final, note=note):
                    writer.end(member, step, reason, note, final)
                    remove_looks(folder.path, member)
                    reporter.done(member, step)
                    if reason == "diverged":
                        outcome.diverged.append(note)
                case Spent(steps=count, training=training, looking=looking):
                    steps += count
                    seconds["training"] += training
                    seconds["looking"] += looking
                case LaneDone(lane=lane, interrupted=interrupted, failure=failure):
                    outcome.interrupted |= interrupted
                    if failure:
                        outcome.failures.append(failure)
                    elif not interrupted:
                        writer.lane_done(lane)
            if time.monotonic() - committed >= COMMIT_SECONDS:
                writer.commit()
                committed = time.monotonic()
        outcome.interrupted |= stop()
    writer.commit()
    seconds["wall"] = before + time.monotonic() - begin
    per_step = round(1e3 * seconds["training"] / steps, 4) if steps else None
    unfinished = outcome.interrupted and len(folder.ended()) < sum(len(lane) for lane in plan.lanes)
    outcome.interrupted = unfinished
    folder.write_meta(status=outcome.status, seconds=seconds, member_steps=steps, ms_per_step=per_step)
    return outcome


def _here(jobs: Sequence[Job], on: int, stop: Callable[[], bool]) -> Iterator[Message]:
    """The lanes one after another in this process, with the plan's threads."""
    keep_freed_memory()
    with threads(on):
        for job in jobs:
            if stop():
                return
            yield from Loop(job, stop).run()


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGINT or SIGTERM has arrived; the second one acts as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _frame: object) -> None:
        asked.set()
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, handle)
    try:
        yield asked.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
