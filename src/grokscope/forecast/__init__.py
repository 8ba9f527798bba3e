"""What comes next: forecasts of the moment of generalisation from what was seen until now, and nothing after it."""

from dataclasses import replace
from typing import Any

from grokscope.forecast.base import TOO_EARLY, Evidence, Forecast, Forecasts, Gates, Setting, known
from grokscope.forecast.first_passage import Refusal, first_passage
from grokscope.forecast.fitted import calibration, fitted
from grokscope.forecast.gates import course, gates
from grokscope.forecast.signals import signals
from grokscope.phases import EventRule, find_events
from grokscope.trace import Trace


def forecast(
    trace: Trace,
    setting: Setting | None = None,
    at: int | None = None,
    rule: EventRule | None = None,
    *,
    member: int = 0,
    train_only: bool = False,
    numbers: dict[str, Any] | None = None,
) -> Forecasts:
    """Whether and when a member generalises, from its trace up to a step.

    Args:
        trace: of lab, monitor or log.
        setting: what is known besides; nothing where left out.
        at: the step to stand at; the last look where left out. Later looks are not read.
        rule: thresholds of the events.
        member: whose.
        train_only: leave held-out curves unread, also in the prefix.
        numbers: another calibration than the one that ships.

    Returns:
        The fitted forecast, with the evidence of the first-passage law and of the two gates beside it where they
        apply, and who refused.
    """
    setting = setting or Setting()
    seen = known(trace, at)
    moment = seen.final_step(member)
    events = find_events(seen, member, setting.chance or 0.0, rule or EventRule())
    chosen = numbers or calibration()
    skipped = {}
    known_since = events.t_train is not None and moment > events.t_train
    read = course(seen, max(events.t_train or 0, 1), moment, member) if known_since else None
    found = signals(seen, events, moment, setting.chance, member, read.content if read else {})
    main = fitted(found, setting, moment, chosen, train_only)
    law = first_passage(seen, events, setting, moment, chosen, member)
    if isinstance(law, Refusal):
        skipped["first-passage law"] = law.because
    rule_of_two = gates(read, moment, chosen.get("gates", {})) if read else Refusal(TOO_EARLY)
    if isinstance(rule_of_two, Refusal):
        skipped["two-gate rule"] = rule_of_two.because
    state = None if isinstance(rule_of_two, Refusal) else rule_of_two
    if isinstance(main, Refusal):
        skipped["fitted forecast"] = main.because
        return Forecasts(None, skipped, state)
    more = () if isinstance(law, Refusal) else law.evidence
    if state is not None:
        more = (*more, state.evidence())
    return Forecasts(replace(main, evidence=(*main.evidence, *more)), skipped, state)


__all__ = [
    "Evidence",
    "Forecast",
    "Forecasts",
    "Gates",
    "Refusal",
    "Setting",
    "calibration",
    "first_passage",
    "fitted",
    "forecast",
    "gates",
    "known",
    "signals",
]
