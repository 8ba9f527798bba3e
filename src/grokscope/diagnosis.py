"""One training, read: what happened, where it is, what comes next, what to do."""

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from grokscope.advice import Advice, advise
from grokscope.advice.plateau import UNLIKELY
from grokscope.forecast import Evidence, Forecast, Forecasts, Setting, forecast
from grokscope.forecast.signals import finite
from grokscope.phases import EventRule, Events, LabelRule, Phases, read_phases
from grokscope.trace import Trace

LOW_LOSS = 0.05
"""Training loss that counts as memorised where there is no training accuracy: about 5 % off 1 in probability (ours)."""
SHARE_OF_START = 0.1
"""Held-out loss that counts as generalised where there is no accuracy, as a share of its first value (ours)."""
MOST_CHANCE = 0.6
"""A first held-out accuracy above this is not taken for chance (ours)."""


@dataclass(frozen=True)
class Diagnosis:
    """What ``grokscope diagnose`` prints and ``Monitor`` holds."""

    trace: Trace
    setting: Setting
    phases: Phases
    label: str | None
    """Liu's label; None where there are no held-out curves to give one."""
    segment: str | None
    """Where in training it is: the last of the segments."""
    forecast: Forecast | None
    advice: Advice
    evidence: tuple[Evidence, ...]
    skipped: dict[str, str]
    """Checks that could not be made, and why."""
    rule: EventRule
    """Thresholds that the events were read with."""

    def summary(self) -> dict[str, Any]:
        """Plain data, as ``diagnose --json`` prints it."""
        events, said = self.phases.events, self.forecast
        return {
            "label": self.label,
            "t_train": events.t_train,
            "t_test": events.t_test,
            "last": events.last_step,
            "unit": self.setting.unit,
            "segment": self.segment,
            "forecast": None
            if said is None
            else {
                "at": said.at,
                "p_generalise": round(said.p_generalise, 4),
                "horizon": said.horizon,
                "t_low": said.t_low,
                "t_median": said.t_median,
                "t_high": said.t_high,
                "method": said.method,
            },
            "advice": str(self.advice),
            "verdict": self.advice.verdict,
            "stop": self.advice.stop,
            "anomalies": [asdict(anomaly) for anomaly in self.phases.anomalies],
            "evidence": [_plain(one) for one in self.evidence],
            "skipped": [{"check": check, "because": why} for check, why in self.skipped.items()],
        }


def diagnose(
    trace: Trace,
    setting: Setting | None = None,
    *,
    rule: EventRule | None = None,
    labels: LabelRule | None = None,
    at: int | None = None,
    member: int = 0,
    train_only: bool = False,
    numbers: dict[str, Any] | None = None,
) -> Diagnosis:
    """Read one member of a trace: phases, forecast, advice.

    Where accuracies are missing the events are read from losses, and the diagnosis says so. An unknown chance level
    is taken from the first held-out accuracies.

    Args:
        trace: with any of ``train/loss``, ``train/accuracy``, ``test/loss``, ``test/accuracy``.
        setting: what is known besides the curves.
        rule: thresholds of the events.
        labels: thresholds of the labels.
        at: stand at this step, and read nothing after it; at the end where left out.
        member: whose.
        train_only: leave held-out curves out of the forecast.
        numbers: another calibration of the forecast than the one that ships.
    """
    seen = trace if at is None else trace.prefix(at)
    notes: list[Evidence] = []
    skipped: dict[str, str] = dict(seen.skipped)
    setting = setting or Setting()
    if setting.chance is None:
        setting, said = _with_chance(seen, setting, member)
        notes += said
    if rule is None:
        rule, said, why = _rule(seen, member)
        notes += said
        skipped |= why
    found = read_phases(seen, setting.chance or 0.0, rule, labels)
    phases = next((p for p in found if p.member == member), None) or _nothing(member)
    given, before = Forecasts(None), None
    if phases.events.t_test is None:
        look_ahead = partial(forecast, seen, setting, rule=rule, member=member, train_only=train_only, numbers=numbers)
        given = look_ahead(seen.final_step(member))
        if given.best is not None and given.best.p_generalise < UNLIKELY:
            before = look_ahead(seen.final_step(member) // 2).best  # only a verdict that ends a training asks for it
    skipped |= given.skipped
    ahead = given.best
    advice = advise(seen, phases, setting, ahead, rule, before, given.gates)
    held_out = any(key in seen.keys() for key in ("test/loss", "test/accuracy"))
    if not held_out:
        skipped["label"] = "there is no held-out loss or accuracy"
        phases = replace(phases, anomalies=[a for a in phases.anomalies if a.name != "ungrokking"])
    evidence = tuple(dict.fromkeys([*advice.evidence, *notes]))
    segment = phases.segments[-1].name if phases.segments else None
    return Diagnosis(
        seen, setting, phases, phases.label if held_out else None, segment, ahead, advice, evidence, skipped, rule
    )


def _with_chance(trace: Trace, setting: Setting, member: int) -> tuple[Setting, list[Evidence]]:
    """Chance from the first held-out accuracies, which an untrained network has near chance."""
    for key in ("test/accuracy", "train/accuracy"):
        _, values = finite(trace, key, member, 2**62)
        if len(values):
            guess = float(np.min(values[:3]))
            if 0.0 <= guess <= MOST_CHANCE:
                says = f"chance was not given and taken as {guess:.2%}, the lowest of the first three of {key}"
                return replace(setting, chance=guess), [Evidence(key, says, guess)]
            return replace(setting, chance=0.0), [
                Evidence(key, f"chance was not given and taken as 0: {key} begins at {guess:.1%}", 0.0)
            ]
    return setting, []


def _rule(trace: Trace, member: int) -> tuple[EventRule, list[Evidence], dict[str, str]]:
    """The usual thresholds; those of losses where accuracies are missing."""
    changes: dict[str, float] = {}
    notes, skipped = [], {}
    for split in ("train", "test"):
        if len(finite(trace, f"{split}/accuracy", member, 2**62)[0]):
            continue
        _, losses = finite(trace, f"{split}/loss", member, 2**62)
        if not len(losses):
            skipped[f"t_{split}"] = f"there is neither {split} loss nor {split} accuracy"
            continue
        bound = LOW_LOSS if split == "train" else SHARE_OF_START * float(losses[0])
        if not bound > 0:
            skipped[f"t_{split}"] = f"there is no {split} accuracy, and the {split} loss begins at {losses[0]:.3g}"
            continue
        changes[f"{split}_loss"] = bound
        says = f"there is no {split} accuracy; t_{split} is read from {split} loss ≤ {bound:.3g}"
        notes.append(Evidence(f"{split}/loss", says, bound))
    return EventRule().with_overrides(changes), notes, skipped


def _nothing(member: int) -> Phases:

    return Phases(member, Events(None, None, -1), "confusion", [], [])


def _plain(one: Evidence) -> dict[str, Any]:
    value = one.value if one.value is None or math.isfinite(one.value) else None
    return {"measure": one.measure, "says": one.says, "value": value, "towards": one.towards}
