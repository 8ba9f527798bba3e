"""What a trace means. Reads nothing but a Trace."""

from dataclasses import dataclass

from grokscope.phases.anomalies import Anomaly, find_anomalies
from grokscope.phases.events import EventRule, Events, find_events, first_sustained
from grokscope.phases.labels import LABELS, LabelRule, label
from grokscope.phases.regimes import REGIMES, RegimeRule, regime
from grokscope.phases.segments import Segment, find_segments
from grokscope.trace import Trace


@dataclass(frozen=True)
class Phases:
    """Events, label, segments and anomalies of one member."""

    member: int
    events: Events
    label: str
    segments: list[Segment]
    anomalies: list[Anomaly]

    def at(self, step: int) -> str:
        """The segment's name at a step; the last one's after the end."""
        names = [s.name for s in self.segments if s.start <= step] or ["memorization"]
        return names[-1]


def read_phases(
    trace: Trace, chance: float, events: EventRule | None = None, labels: LabelRule | None = None
) -> list[Phases]:
    """The phases of every member of a trace.

    Args:
        trace: any trace with ``train/loss``, ``train/accuracy``, ``test/loss``, ``test/accuracy``.
        chance: accuracy of a guess, in [0, 1).
        events: thresholds of the events.
        labels: thresholds of the labels.
    """
    rule, naming = events or EventRule(), labels or LabelRule()
    out = []
    for member in trace.members():
        found = find_events(trace, member, chance, rule)
        segments = find_segments(trace, member, found)
        anomalies = find_anomalies(trace, member, found, chance, rule)
        out.append(Phases(member, found, label(found, naming), segments, anomalies))
    return out


__all__ = [
    "LABELS",
    "REGIMES",
    "Anomaly",
    "EventRule",
    "Events",
    "LabelRule",
    "Phases",
    "RegimeRule",
    "Segment",
    "find_anomalies",
    "find_events",
    "find_segments",
    "first_sustained",
    "label",
    "read_phases",
    "regime",
]
