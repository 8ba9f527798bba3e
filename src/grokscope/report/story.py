"""What the page says in words. Every sentence is computed; what was not measured is not said."""

from collections import Counter

import numpy as np

from grokscope.objectives import CrossEntropy
from grokscope.phases import LABELS
from grokscope.record import Record
from grokscope.report import look
from grokscope.report.curves import finite

UNFINISHED = {
    "running": "This run is still going: the page shows it as far as it was written.",
    "crashed": "This run was killed before its end: the page shows it as far as it was written.",
    "interrupted": "This run was interrupted: the page shows it as far as it was written.",
}


def chance_loss(record: Record) -> float | None:
    """ln C, the cross-entropy of a guess; None for other objectives."""
    e = record.experiment
    return float(np.log(e.task.classes)) if isinstance(e.objective, CrossEntropy) else None


def below(record: Record, key: str, member: int, bound: float) -> int | None:
    """The first look from which a loss stays below ``bound`` to the end; None if it does not."""
    steps, values = finite(record.trace, key, member)
    above = np.flatnonzero(values >= bound)
    first = above[-1] + 1 if len(above) else 0
    return int(steps[first]) if first < len(steps) else None


def lead(record: Record, member: int) -> tuple[int, int] | None:
    """(step of restricted loss, step of test loss) below half of chance, where restricted came first."""
    chance = chance_loss(record)
    if chance is None:
        return None
    restricted = below(record, "fourier/restricted_loss", member, chance / 2)
    test = below(record, "test/loss", member, chance / 2)
    return (restricted, test) if restricted is not None and test is not None and restricted < test else None


def sentences(record: Record, member: int | None) -> list[str]:
    """What stands under the headline: labels, the circuit's lead, test accuracy, the swap baseline.

    Args:
        record: the run.
        member: the one that stands for all, None where nothing was seen.
    """
    if member is None:
        return []
    said = [_spoilt(record), _labels(record)]
    if found := lead(record, member):
        said.append(
            f"The loss of the key frequencies alone was below half of chance from step {found[0]:,} on, "
            f"the test loss from step {found[1]:,} (seed {record.members[member].seed})."
        )
    said.append(_accuracy(record))
    return [s for s in said if s]


def status(record: Record) -> str:
    """One line where the run is not finished, else empty."""
    line = UNFINISHED.get(str(record.meta.get("status")), "")
    waits = [q.key for q in record.trace.quantities.values() if q.hindsight]
    if line and waits and not all(p.member in record.ended for p in record.phases):
        line += " Measures taken in hindsight (restricted and excluded loss, the circle) come when a member ends."
    return line


def _labels(record: Record) -> str:
    counts = Counter(p.label for p in record.phases)
    source = "by the rule of Liu et al. 2022"
    n = len(record.phases)
    if len(counts) == 1:
        label = next(iter(counts))
        return f"Label {source}: {label}{f', all {look.count(n)}' if n > 2 else ', both' if n == 2 else ''}."
    parts = [f"{counts[label]} {label}" for label in LABELS if counts[label]]
    return f"Labels {source}: {', '.join(parts)}."


def _accuracy(record: Record) -> str:
    final = [record.trace.last(p.member).get("test/accuracy", np.nan) for p in record.phases]
    known = [a for a in final if np.isfinite(a)]
    if not known:
        return ""
    low, middle, n = min(known), float(np.median(known)), len(known)
    rows = record.meta.get("rows", {}).get("test")
    text = f"Test accuracy at the end {look.percent(middle)}"
    if n > 1:
        text += f" (median of {n}" + (
            f", lowest {look.percent(low)})" if look.percent(low) != look.percent(middle) else ")"
        )
    text += f" on {rows:,} held-out rows" if rows else ""
    swap = record.meta.get("swap_baseline")
    return text + (
        f"; swapping the operands of training rows already answers {look.percent(swap, 1)}." if swap else "."
    )


def _spoilt(record: Record) -> str:
    """Divergence and lost generalisation belong into the first paragraph; loss spikes do not."""
    grave = Counter(a.name for p in record.phases for a in {a.name: a for a in p.anomalies}.values())
    n = len(record.phases)
    texts = {"divergence": "diverged: the training loss became NaN or infinite", "ungrokking": "lost it again"}
    said = []
    for name, words in texts.items():
        if k := grave[name]:
            who = "The network" if n == 1 else f"{k} of {n} members"
            said.append(f"{who} {words}.")
    return " ".join(said)
