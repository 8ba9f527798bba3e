"""What to do now. Reads phases and forecast, never the other way round; every rule cites the quantity it read."""

from grokscope.advice.base import STOPS, VERDICTS, Advice, Verdict
from grokscope.advice.faults import ENDING, collapsed, exploded, not_finite, slingshots
from grokscope.advice.losing import lost
from grokscope.advice.plateau import at_chance, by_forecast, not_yet_memorised, undriven
from grokscope.forecast import Evidence, Forecast, Gates, Setting
from grokscope.forecast.signals import finite
from grokscope.phases import EventRule, Phases
from grokscope.trace import Trace


def advise(
    trace: Trace,
    phases: Phases,
    setting: Setting,
    forecast: Forecast | None,
    rule: EventRule | None = None,
    before: Forecast | None = None,
    gates: Gates | None = None,
) -> Advice:
    """The advice at the end of a trace: the first rule that applies, of faults, events and forecast, speaks.

    Args:
        trace: up to now.
        phases: of the same trace and member.
        setting: what is known besides the curves.
        forecast: or None where nobody could give one.
        rule: thresholds of the events.
        before: the forecast made at half as many steps; a verdict that ends a training needs both.
        gates: state of the two-gate rule, or None where its indicators are not there.
    """
    chosen, member = rule or EventRule(), phases.member
    for found in (
        not_finite(trace, phases),
        lost(trace, phases, setting, chosen),
        exploded(trace, phases, setting, chosen),
        _done(trace, phases),
        slingshots(trace, phases),
        collapsed(trace, phases),
        not_yet_memorised(trace, phases, setting),
        undriven(trace, phases, setting, forecast),
        at_chance(trace, phases, setting, forecast),
    ):
        if found is not None:
            return found
    return by_forecast(trace, phases, setting, forecast, before, gates, member)


def _done(trace: Trace, phases: Phases) -> Advice | None:
    """It generalised; and what came after, where that was not quiet."""
    events = phases.events
    if events.t_test is None:
        return None
    when = f"the held-out rows generalised at step {events.t_test:,}"
    if events.t_train is not None and events.t_test > events.t_train:
        when += f", {events.t_test / max(events.t_train, 1):.3g} times as late as the training rows were known"
    evidence = [Evidence("test/accuracy", when, None, "generalises")]
    tell = ""
    after = [a for a in phases.anomalies if a.start >= events.t_test]
    if any(a.name == "ungrokking" and a.end >= events.last_step for a in after):
        steps, accuracy = finite(trace, "test/accuracy", phases.member, events.last_step)
        if len(accuracy):
            says = f"held-out accuracy is {accuracy[-1]:.1%} at step {steps[-1]:,}, below what counts as generalised"
            evidence.append(Evidence("test/accuracy", says, float(accuracy[-1]), "does not"))
    if shots := [a for a in after if a.name == "slingshot"]:
        says = f"slingshots since: {len(shots)}, the last at step {shots[-1].start:,}"
        evidence.append(Evidence("train/loss", says, float(len(shots))))
        tell = ENDING
    return Advice("generalised", "; ".join(one.says for one in evidence) + ".", tuple(evidence), tell)


__all__ = ["STOPS", "VERDICTS", "Advice", "Verdict", "advise"]
