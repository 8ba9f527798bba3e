"""The other four words for what a member did: Huang's regimes of data size against capacity."""

from typing import ClassVar

from pydantic import Field

from grokscope.phases.events import Events
from grokscope.sources import Source
from grokscope.spec import Spec

REGIMES = ("progression", "ungrokking", "semi-grokking", "grokking")


class RegimeRule(Spec):
    """Huang et al.: which circuit wins, memorising or generalising, as the training set grows.

    progression: more data than can be memorised, so that it generalises before or without fitting all of
    it; ungrokking: pure memorisation; semi-grokking: memorised, and held-out accuracy rises but part of
    the way; grokking: memorised, then generalised. The paper tells them apart on plots; the thresholds
    are ours.
    """

    sources: ClassVar[tuple[Source, ...]] = (Source("huang2024unified", "four regimes"),)

    semi: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Share of the way from chance to 1 that held-out accuracy must end above to be more than memorisation (ours)."""


def regime(events: Events, test_accuracy: float | None, chance: float, rule: RegimeRule) -> str | None:
    """One of :data:`REGIMES`; None for a member that neither memorised nor generalised.

    Args:
        events: of the member.
        test_accuracy: at its end.
        chance: of a guess.
        rule: the threshold.
    """
    if events.t_test is not None:
        late = events.t_train is not None and events.t_test > events.t_train
        return "grokking" if late else "progression"
    if events.t_train is None:
        return None
    way = 0.0 if test_accuracy is None else (test_accuracy - chance) / (1.0 - chance)
    return "semi-grokking" if way > rule.semi else "ungrokking"
