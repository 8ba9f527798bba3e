"""Loss and accuracy on every split."""

from typing import ClassVar

from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.trace import Quantity


class Fit(Measure):
    """Mean loss and accuracy of each split.

    loss = mean over rows and read positions, in the objective's unit, ≥ 0; ln V nats for equal logits under
    cross-entropy. accuracy = correct / N, where a row is correct when the largest logit at every read
    position is the wanted token; correct is an exact count, so accuracy · N is an integer. Of equal logits
    the first is taken for the answer. A row whose loss is NaN is wrong.
    """

    kind: ClassVar[str] = "fit"
    cost: ClassVar[float] = 0.2
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("train/loss", "nats", (0.0, float("inf")), "mean training loss, in the objective's unit"),
        Quantity("test/loss", "nats", (0.0, float("inf")), "mean held-out loss, in the objective's unit"),
        Quantity("train/accuracy", "share", (0.0, 1.0), "training rows answered right"),
        Quantity("test/accuracy", "share", (0.0, 1.0), "held-out rows answered right"),
    )

    def __call__(self, snapshot: Snapshot) -> Values:
        """``<split>/loss`` and ``<split>/accuracy``."""
        logits, targets = snapshot.logits_NRV, snapshot.targets_NR
        loss_NR = snapshot.objective.per_token(logits.flatten(0, 1), targets.flatten()).view(targets.shape)
        right_N = ((logits.argmax(-1) == targets) & ~loss_NR.isnan()).all(1)  # argmax takes NaN for the largest
        values: dict[str, float] = {}
        for name, rows in snapshot.split.rows.items():
            values[f"{name}/loss"] = loss_NR[rows].double().mean().item()
            values[f"{name}/accuracy"] = int(right_N[rows].sum()) / len(rows)
        return values
