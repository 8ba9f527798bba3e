"""When a member memorised, when it generalised, and whether the run ended first."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from grokscope.spec import Spec
from grokscope.trace import Floats, Steps, Trace


class EventRule(Spec):
    """Thresholds of the two events; always reported beside them.

    t_train: first of ``looks`` consecutive looks with train accuracy ≥ ``train_accuracy``.
    t_test: first of ``looks`` consecutive looks with test accuracy ≥ chance + ``test_share`` · (1 − chance).
    With losses given, they replace the accuracies (regression).
    """

    train_accuracy: float = Field(default=0.99, gt=0.0, le=1.0)
    """Train accuracy that counts as memorised."""
    test_share: float = Field(default=0.9, gt=0.0, le=1.0)
    """Share of the way from chance to 1 that counts as generalised."""
    looks: int = Field(default=3, ge=1)
    """How many looks in a row must pass, so that a spike is no event."""
    train_loss: float | None = Field(default=None, gt=0.0)
    """Use train loss ≤ this instead of accuracy."""
    test_loss: float | None = Field(default=None, gt=0.0)
    """Use test loss ≤ this instead of accuracy."""

    def test_accuracy(self, chance: float) -> float:
        """The accuracy that ``test_share`` means at this chance level."""
        return chance + self.test_share * (1.0 - chance)

    def passes(self, split: str, loss: float, accuracy: float, chance: float) -> bool:
        """Whether one look passes; NaN never does."""
        bound = self.train_loss if split == "train" else self.test_loss
        if bound is not None:
            return loss <= bound
        return accuracy >= (self.train_accuracy if split == "train" else self.test_accuracy(chance))


@dataclass(frozen=True)
class Events:
    """What happened to one member. Steps are optimizer updates; None where it did not happen."""

    t_train: int | None
    t_test: int | None
    last_step: int
    """The last look; a missing event is censored here, not absent."""

    @property
    def censored(self) -> bool:
        """The run ended before the test event."""
        return self.t_test is None

    @property
    def delay(self) -> int | None:
        """t_test − t_train, None unless both happened; negative if test came first."""
        return None if self.t_train is None or self.t_test is None else self.t_test - self.t_train

    @property
    def ratio(self) -> float | None:
        """t_test / t_train (t_train at least 1), None unless both happened."""
        return None if self.t_train is None or self.t_test is None else self.t_test / max(self.t_train, 1)


def first_sustained(steps: Steps, passing: np.ndarray, looks: int) -> int | None:
    """Step of the first of ``looks`` consecutive passing looks.

    At the end of a series fewer looks are left; they do not count, so an event is never declared
    on less evidence than asked for.
    """
    run = 0
    for i, ok in enumerate(passing):
        run = run + 1 if ok else 0
        if run == looks:
            return int(steps[i - looks + 1])
    return None


def find_events(trace: Trace, member: int, chance: float, rule: EventRule) -> Events:
    """The events of one member, from its ``train`` and ``test`` loss and accuracy alone (either may be missing)."""
    times = {}
    for split in ("train", "test"):
        keys = (f"{split}/loss", f"{split}/accuracy")
        steps = np.unique(np.concatenate([trace.series(key, member)[0] for key in keys]))
        losses, accuracies = (_aligned(trace, key, member, steps) for key in keys)
        ok = [rule.passes(split, x, a, chance) for x, a in zip(losses, accuracies, strict=True)]
        times[split] = first_sustained(steps, np.array(ok, dtype=bool), rule.looks)
    return Events(times["train"], times["test"], trace.final_step(member))


def _aligned(trace: Trace, key: str, member: int, steps: Steps) -> Floats:
    own, values = trace.series(key, member)
    seen = dict(zip(own.tolist(), values.tolist(), strict=True))
    return np.array([seen.get(int(s), np.nan) for s in steps])
