"""``grokscope bench measures``: what a look costs, the source of the measures' declared ``cost``.

On the transformer of Nanda et al., p = 113; a measure that this one does not suit, on the mixture of
experts. A look is one pass over all pairs, shared by all measures, and what each measure adds to it.
"""

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from grokscope import machine, runs
from grokscope.benchmarks.cases import MIXTURE, NANDA
from grokscope.benchmarks.timing import Spread, in_turns
from grokscope.experiment import DEFAULT_MEASURES, Experiment
from grokscope.measures import MEASURES, Measure, Snapshot, unmet
from grokscope.papers import nanda2023progress
from grokscope.training.members import Lane
from grokscope.training.memory import keep_freed_memory, peak_bytes, threads

MIB = 2**20


class Subject:
    """One member that is looked at, a few steps after its start, and the same member as if it were finished."""

    def __init__(self, experiment: Experiment) -> None:
        self.lane = lane = Lane([(0, experiment)])
        for _ in range(3):
            lane.step()
        apart = lane.shared.model.skeleton(lane.shared.task).to(lane.device, lane.theta_SP.dtype)
        self.final = lane.snapshot(0, lane.theta_SP[0].clone(), lane.steps, apart)

    def snapshot(self) -> Snapshot:
        """A look with its shared pass done."""
        snapshot = self.lane.snapshot(0, self.lane.theta_SP[0], self.lane.steps)
        snapshot.final = self.final
        snapshot.logits_NRV  # noqa: B018
        return snapshot

    def look(self, *taken: Measure) -> Callable[[], object]:
        """The shared pass and these measures."""

        def call() -> None:
            snapshot = self.snapshot()
            for measure in taken:
                measure(snapshot)

        return call

    def suits(self, measure: Measure) -> bool:
        """Whether its needs are met."""
        return unmet(measure, self.lane.shared.task, self.lane.probe) is None

    def megabytes(self, measure: Measure) -> float | None:
        """What the measure adds to memory at its peak, beyond the shared pass, in MiB."""
        snapshot = self.snapshot()
        peak = peak_bytes(lambda: measure(snapshot))
        return None if peak is None else round(peak / MIB, 1)


def measures(
    on: int = 1,
    rounds: int = 9,
    everything: bool = False,
    whole_run: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Time a step, a pass, each measure after the pass, and a whole look with all of them.

    Args:
        on: torch's threads.
        rounds: samples of each.
        everything: also the other measures that ship, three samples of each; a minute.
        whole_run: also the paper's run from first step to last, as it ships; minutes.
        tell: is told what is being timed.

    Returns:
        ``{"machine", "threads", "step_ms", "pass_ms", "look_ms", "step_in_passes", "measures": [...]}``;
        a measure's ``ms`` are also given in training ``steps`` of its ``subject``; ``passes`` is its cost in
        forward passes beyond the shared one, ``declared`` what it says, ``mib`` its peak of memory. A
        measure in hindsight shares no pass with those taken while training: its own is counted in.
        Of the whole run ``run`` has the share of the work that was looking.
    """
    keep_freed_memory()
    with threads(on):
        tell("a look")
        paper = Subject(NANDA)
        paper.look(*DEFAULT_MEASURES)()  # the finished member's own values are had once
        step, bare, whole, *each = in_turns(
            [paper.lane.step, paper.look(), paper.look(*DEFAULT_MEASURES), *map(paper.look, DEFAULT_MEASURES)], rounds
        )
        found = _rows(paper, NANDA, DEFAULT_MEASURES, step, bare, each)
        if everything:
            known = {type(measure) for measure in DEFAULT_MEASURES}
            found += _others([cls() for cls in MEASURES if cls not in known], paper, tell)
    passing, batch = Spread.of(bare).median, len(paper.lane.encoding.tokens_NL) / paper.lane.train_rows
    return {
        "machine": {"cpu": machine.cpu(), "units": machine.vector_units()} | machine.versions(),
        "threads": on,
        "step_ms": Spread.of(step).round().median,
        "pass_ms": Spread.of(bare).round().median,
        "look_ms": Spread.of(whole).round().median,
        "step_in_passes": round(Spread.of(step).median / passing * batch, 2),
        "measures": found,
    } | ({"run": _whole_run(tell)} if whole_run else {})


def _whole_run(tell: Callable[[str], None]) -> dict[str, Any]:
    """The paper's experiment, with its own stop rule, clock and measures, one thread or more as the engine finds."""
    shipped = nanda2023progress.EXPERIMENT
    tell(f"the whole of {shipped.name}")
    with tempfile.TemporaryDirectory() as store:
        run = runs.run(shipped, store=store, progress=False)
        seconds, looking = run.record.meta["seconds"], run.record.looking_share
        return {
            "experiment": shipped.name,
            "steps": run.summary()["steps"],
            "looks": len(run.trace.series("train/loss", 0)[0]),
            "looking_share": looking,
            "seconds": round(seconds["training"] + seconds["looking"], 1),
        }


def _others(rest: Sequence[Measure], paper: Subject, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measures that are not taken by default, each in turns with a step and a pass of its subject."""
    found = []
    mixture = None if all(map(paper.suits, rest)) else Subject(MIXTURE)
    for measure in rest:
        subject, experiment = (paper, NANDA) if mixture is None or paper.suits(measure) else (mixture, MIXTURE)
        tell(measure.kind)
        step, bare, taken = in_turns([subject.lane.step, subject.look(), subject.look(measure)], 3)
        found += _rows(subject, experiment, [measure], step, bare, [taken])
    return found


def _rows(
    subject: Subject,
    experiment: Experiment,
    taken: Sequence[Measure],
    step: Sequence[float],
    bare: Sequence[float],
    each: Sequence[Sequence[float]],
) -> list[dict[str, Any]]:
    step_ms, passing = Spread.of(step).median, Spread.of(bare).median
    found = []
    for measure, times in zip(taken, each, strict=True):
        ms = Spread.of(times).median - (0.0 if measure.in_hindsight else passing)
        found.append(
            {
                "name": measure.kind,
                "subject": experiment.name,
                "ms": round(ms, 2),
                "steps": round(ms / step_ms, 3),
                "passes": round(ms / passing, 2),
                "declared": measure.cost,
                "mib": subject.megabytes(measure),
            }
        )
    return found
