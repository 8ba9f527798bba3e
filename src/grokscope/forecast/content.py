"""What forms within a network while its held-out accuracy stands still: four indicators, from training rows alone.

==================  =============================================================  ========  =====================
indicator           of                                                              expected  source
==================  =============================================================  ========  =====================
rank                ln(effective rank of the last hidden layer / its first)         falls     spectral entropy
defect              ln(commutator defect / the median of its first three)           rises     Xu 2026a
surprise            residual of a Hankel DMD of the quantiles of ln p               rises     Wang et al. 2026
gap                 ln((σ₂² − σ₃²) / σ₁²) of the last updates, less its first       falls     Xu 2026b
==================  =============================================================  ========  =====================

*First* is the first look at or after t_train. Each is a series over looks, and a value needs looks up to its own step
only. Rank and defect are medians of three looks.
Windows are ours: the papers log evenly, we log evenly in ln t.
"""

from dataclasses import dataclass

import numpy as np

from grokscope.measures.dynamics import dmd_residual
from grokscope.trace import Floats, Steps, Trace

RISES = {"rank": -1.0, "defect": 1.0, "surprise": 1.0, "gap": -1.0}
"""The direction in which each is said to go before generalisation; taken from the papers, not fitted."""
WINDOW = 20
"""Looks of the DMD, at most (ours)."""
DELAYS = 4
"""Its delays (ours)."""
UPDATES = 5
"""Updates in a spectrum [Xu 2026b]; an update is what lies between two looks (ours)."""
LEAST = 1e-12


@dataclass(frozen=True)
class Indicator:
    """One series since t_train."""

    steps: Steps
    values: Floats

    def upto(self, step: int) -> float:
        """The last finite value up to a step; NaN where there is none."""
        return float(self.at(np.array([step]))[0])

    def at(self, looks: Steps) -> Floats:
        """The same for many steps."""
        seen = np.isfinite(self.values)
        last = np.searchsorted(self.steps[seen], looks, side="right")
        return np.concatenate([[np.nan], self.values[seen]])[last]


def indicators(trace: Trace, start: int, at: int, member: int = 0) -> dict[str, Indicator]:
    """The four series from t_train ``start`` to ``at``, those that the trace has the quantities for."""
    found = {}
    for name, key, first in (("rank", "representation/effective_rank", 1), ("defect", "commutator/defect", 3)):
        steps, values = trace.series(key, member)
        inside = np.isfinite(values) & (steps >= start) & (steps <= at)
        if inside.sum() >= first:
            logs = np.log(np.maximum(values[inside], LEAST))
            found[name] = Indicator(steps[inside], _calm(logs) - np.median(logs[:first]))
    looks = [(s, v) for s, v in trace.arrays("dynamics/log_probability", member) if start <= s <= at]
    if len(looks) >= DELAYS + 4:
        rows = np.array([v for _, v in looks], dtype=np.float64)
        ends = range(DELAYS + 4, len(rows) + 1)
        residuals = np.array([dmd_residual(rows[max(0, end - WINDOW) : end], DELAYS) for end in ends])
        found["surprise"] = Indicator(np.array([looks[end - 1][0] for end in ends]), residuals)
    looks = [(s, v) for s, v in trace.arrays("dynamics/weight_sketch", member) if start <= s <= at]
    if len(looks) > UPDATES:
        found["gap"] = _gap(np.array([s for s, _ in looks]), np.array([v for _, v in looks], dtype=np.float64))
    return found


def _calm(values: Floats) -> Floats:
    """Each with the median of itself and the two before it: mini-batches make single looks jump."""
    return np.array([np.median(values[max(0, i - 2) : i + 1]) for i in range(len(values))])


def _gap(steps: Steps, sketches_TD: Floats) -> Indicator:
    """Of unit updates, so that wider spaced looks do not weigh more; from one Gram matrix of all."""
    updates = np.diff(sketches_TD, axis=0)
    sizes = np.linalg.norm(updates, axis=1, keepdims=True)
    updates = updates / np.maximum(sizes, LEAST)
    gram = updates @ updates.T
    values = []
    for end in range(UPDATES, len(updates) + 1):
        squares = np.linalg.eigvalsh(gram[end - UPDATES : end, end - UPDATES : end])[::-1]
        values.append(np.log(max(squares[1] - squares[2], LEAST) / max(squares[0], LEAST)))
    found = np.array(values)
    return Indicator(steps[UPDATES:], found - found[0])
