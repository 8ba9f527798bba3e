"""One word for what a member did: Liu's four phases."""

from typing import ClassVar

from pydantic import Field

from grokscope.phases.events import Events
from grokscope.sources import Source
from grokscope.spec import Spec

LABELS = ("confusion", "memorization", "grokking", "comprehension")


class LabelRule(Spec):
    """Liu et al.: confusion (never fits), memorization (fits, never generalises), grokking, comprehension.

    The paper separates the last two by a delay of 10³ steps within 10⁵. Runs at other learning rates
    live on other clocks, so a delay also counts when t_test ≥ ``ratio`` · t_train (ours; set it to
    a huge number for the paper's rule alone).
    """

    sources: ClassVar[tuple[Source, ...]] = (Source("liu2022effective", "App. A, Table 1"),)

    delay: int = Field(default=1000, ge=0)
    """Steps between the events that make it grokking. [Liu et al. 2022, Table 1]"""
    ratio: float = Field(default=3.0, ge=1.0)
    """t_test / t_train that makes it grokking whatever the steps (ours)."""


def label(events: Events, rule: LabelRule) -> str:
    """One of :data:`LABELS`. A member that generalised without fitting its training set first comprehends."""
    if events.t_test is not None:
        if events.delay is None or events.ratio is None:
            return "comprehension"
        delayed = events.delay >= rule.delay or events.ratio >= rule.ratio
        return "grokking" if delayed else "comprehension"
    return "confusion" if events.t_train is None else "memorization"
