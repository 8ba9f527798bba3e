"""The contract of a detector of phases."""

from collections.abc import Callable, Sequence

import numpy as np

from grokscope.phases import LABELS, Phases
from grokscope.testing.base import hold
from grokscope.trace import Trace

Detector = Callable[[Trace, float], Sequence[Phases]]
"""From a trace and the chance level to the phases of each member."""
CHANCE = 1 / 97
LOOKS = np.unique(np.round(np.logspace(0, 4.3, 80)).astype(np.int64))  # 1 … 20,000 steps
PLANTED = ((15, 55), (20, 50), (15, None), (None, None))
"""Per member, at which look it memorises and at which it generalises."""


def planted_trace(unit: int = 1) -> Trace:
    """Four members whose accuracies jump at known looks: two that grok, one that memorises, one confused.

    Args:
        unit: multiplies every step.
    """
    rng = np.random.default_rng(0)
    trace = Trace()
    for member, (train_look, test_look) in enumerate(PLANTED):
        for i, step in enumerate(LOOKS.tolist()):
            values = {}
            for split, look in (("train", train_look), ("test", test_look)):
                after = look is not None and i >= look
                values[f"{split}/accuracy"] = 1.0 if after else float(rng.uniform(0.0, 3 * CHANCE))
                values[f"{split}/loss"] = 1e-3 if after else float(5.0 + rng.uniform(0.0, 0.5))
            trace.add(member, step * unit, values)
    return trace


def check_detector(detector: Detector) -> None:
    """Silent where nothing happens, right where something was planted, blind to the future and to the unit of time.

    Args:
        detector: from a trace and the chance level to the phases of each member, such as
            :func:`grokscope.phases.read_phases`.

    Raises:
        AssertionError: the first promise that does not hold.
    """
    trace = planted_trace()
    digest = trace.digest()
    found = _read(detector, trace)
    hold(trace.digest() == digest, detector, "reading a trace changes it")
    hold(len(found) == len(PLANTED), detector, f"must give one Phases per member, got {len(found)} for {len(PLANTED)}")
    for member, looks in enumerate(PLANTED):
        planted = [None if look is None else int(LOOKS[look]) for look in looks]
        phases, named = found[member], ("t_train", "t_test")
        hold(phases.label in LABELS, detector, f"label must be one of {LABELS}, got {phases.label!r}")
        for name, want, got in zip(named, planted, (phases.events.t_train, phases.events.t_test), strict=True):
            hold(got == want, detector, f"planted {name} {want}, found {got}")
        groks = planted[1] is not None
        hold((phases.label == "grokking") == groks, detector, f"label {phases.label!r} where t_test is {planted[1]}")
    _check_time_unit(detector, found)
    _check_prefixes(detector, trace, found)
    more = planted_trace()
    for member in more.members():
        more.add(member, int(LOOKS[3]), {"unrelated/key": 1.0, "unrelated/array": np.ones(3)})
        more.add(member, int(LOOKS[-1]), {"unrelated/key": float("nan")})
    hold(_events(_read(detector, more)) == _events(found), detector, "unrelated keys change the events")


def _check_time_unit(detector: Detector, found: dict[int, Phases]) -> None:
    scaled = _events(_read(detector, planted_trace(unit=10)))
    want = {m: tuple(None if t is None else 10 * t for t in times) for m, times in _events(found).items()}
    hold(scaled == want, detector, "steps times 10 must give events times 10")


def _check_prefixes(detector: Detector, trace: Trace, found: dict[int, Phases]) -> None:
    whole = _events(found)
    for step in LOOKS.tolist():
        for member, times in _events(_read(detector, trace.prefix(step))).items():
            for early, late in zip(times, whole[member], strict=True):
                hold(early is None or early == late, detector, f"at step {step} it says {early}, at the end {late}")
                hold(early is None or early <= step, detector, f"at step {step} it knows of step {early}")


def _read(detector: Detector, trace: Trace) -> dict[int, Phases]:
    return {phases.member: phases for phases in detector(trace, CHANCE)}


def _events(found: dict[int, Phases]) -> dict[int, tuple[int | None, ...]]:
    return {member: (phases.events.t_train, phases.events.t_test) for member, phases in found.items()}
