"""``grokscope bench measures``: what a look costs, the source of the measures' declared ``cost``.

On the transformer of Nanda et al., p = 113. A look is one pass over all pairs, shared by all measures,
and what each measure adds to it.
"""

from collections.abc import Callable
from typing import Any

from grokscope import machine
from grokscope.benchmarks.cases import NANDA
from grokscope.benchmarks.timing import Spread, in_turns
from grokscope.measures import MEASURES, Fit, FourierSparsity, KeyFrequencies, Measure, Norms, unmet
from grokscope.training.members import Lane
from grokscope.training.memory import keep_freed_memory, threads

SET: tuple[Measure, ...] = (Fit(), Norms(), FourierSparsity(), KeyFrequencies())
"""Everything that the paper looks at."""


def measures(on: int = 1, rounds: int = 9, everything: bool = False) -> dict[str, Any]:
    """Time a step, a pass, each measure after the pass, and a whole look with all of them.

    Args:
        on: torch's threads.
        rounds: samples of each.
        everything: also the other measures that ship, three samples of each; a minute.

    Returns:
        ``{"machine", "threads", "step_ms", "pass_ms", "look_ms", "step_in_passes", "measures": [...], "skipped"}``;
        a measure's ``ms`` are also given in training ``steps``; ``passes`` is its cost in forward passes
        beyond the shared one, ``declared`` what it says. A measure in hindsight shares no pass with those
        taken while training: its own is counted in.
    """
    keep_freed_memory()
    with threads(on):
        lane = Lane([(0, NANDA)])
        for _ in range(3):
            lane.step()
        final = lane.snapshot(
            0, lane.theta_SP[0].clone(), lane.steps, lane.shared.model.skeleton(lane.shared.task).float()
        )
        KeyFrequencies().keys(final)

        def look(*taken: Measure) -> Callable[[], object]:
            def call() -> None:
                snapshot = lane.snapshot(0, lane.theta_SP[0], lane.steps)
                snapshot.final = final
                snapshot.logits_NRV  # noqa: B018  the shared pass
                for measure in taken:
                    measure(snapshot)

            return call

        step, bare, whole, *each = in_turns([lane.step, look(), look(*SET), *(look(m) for m in SET)], rounds)
        taken_of = dict(zip(SET, each, strict=True))
        others = [cls() for cls in MEASURES if everything and cls not in {type(m) for m in SET}]
        skipped = {m.kind: why for m in others if (why := unmet(m, lane.shared.task, lane.probe))}
        for measure in others:
            if measure.kind not in skipped:
                taken_of[measure] = in_turns([look(measure)], 3)[0]
    passing, step_ms = Spread.of(bare).median, Spread.of(step).median
    batch = len(lane.encoding.tokens_NL) / lane.train_rows
    found = []
    for measure, taken in taken_of.items():
        ms = Spread.of(taken).median - (0.0 if measure.in_hindsight else passing)
        found.append(
            {
                "name": measure.kind,
                "ms": round(ms, 2),
                "steps": round(ms / step_ms, 3),
                "passes": round(ms / passing, 2),
                "declared": measure.cost,
            }
        )
    return {
        "machine": {"cpu": machine.cpu(), "units": machine.vector_units()} | machine.versions(),
        "threads": on,
        "step_ms": Spread.of(step).round().median,
        "pass_ms": Spread.of(bare).round().median,
        "look_ms": Spread.of(whole).round().median,
        "step_in_passes": round(Spread.of(step).median / passing * batch, 2),
        "measures": found,
        "skipped": skipped,
    }
