"""What the curves alone say: quantities that follow from the history of a run, with no network and no data.

The registry is the tuple :data:`CURVES`; ``package.module:Name`` works wherever a kind does. The formulas
are plain functions of series in ``measures/dynamics.py`` and ``measures/landscape.py``, usable on any
training log; what is here says which series of a trace they take, over which looks, and never looks ahead.
"""

from collections.abc import Sequence

from grokscope.curves.base import AfterMemorising, Curve
from grokscope.curves.losses import DistributionResidual, Oscillation, PlateauSlope, SpectralSignature
from grokscope.curves.weights import (
    Contraction,
    DefectOnset,
    GradientAcceleration,
    KernelVelocity,
    Slingshots,
    Turn,
    UpdateSpectrum,
)
from grokscope.experiment import Experiment
from grokscope.measures import MEASURES
from grokscope.trace import Trace

CURVES: tuple[type[Curve], ...] = (
    SpectralSignature,
    PlateauSlope,
    Oscillation,
    DistributionResidual,
    Contraction,
    Turn,
    UpdateSpectrum,
    KernelVelocity,
    GradientAcceleration,
    DefectOnset,
    Slingshots,
)


def read_curves(
    trace: Trace,
    experiments: Sequence[Experiment] = (),
    curves: Sequence[Curve] | None = None,
    members: Sequence[int] | None = None,
) -> Trace:
    """A new trace with everything that can be derived from this one, under ``curve/…``.

    A value at a step uses only looks at or before it, so ``read_curves(trace).prefix(t)`` is what
    ``read_curves(trace.prefix(t))`` gives; the slingshots, which need what follows, are declared as hindsight and
    are in no prefix. ``skipped`` of the new trace says which curves gave nothing, and why. No forward pass.

    Args:
        trace: of a run, a monitor or a log, finished or not; it is left as it is.
        experiments: of the members, by number: thresholds of memorising, learning rate, weight decay. Members
            beyond them have the usual thresholds and no contraction constant.
        curves: which; all of :data:`CURVES` unless told.
        members: whose; all unless told.
    """
    chosen = [cls() for cls in CURVES] if curves is None else list(curves)
    numbers = trace.members() if members is None else list(members)
    found = Trace(quantities={q.key: q for curve in chosen for q in curve.quantities})
    for curve in chosen:
        lacking: dict[str, list[int]] = {}
        empty: list[int] = []
        for member in numbers:
            one = curve.of(experiments[member]) if 0 <= member < len(experiments) else curve
            lacks = [key for key in one.needed if not _has(trace, key, member)]
            for key in lacks:
                lacking.setdefault(key, []).append(member)
            derived = [] if lacks else one(trace, member)
            for step, values in derived:
                found.add(member, step, values)
            if not lacks and not derived:
                empty.append(member)
        reasons = [_missing(key, without, len(numbers)) for key, without in lacking.items()]
        reasons += [f"{_who(empty, len(numbers))} {curve.wants}"] if empty else []
        if reasons:
            found.skipped[curve.kind] = "; ".join(reasons)
    return found


def _has(trace: Trace, key: str, member: int) -> bool:
    return len(trace.series(key, member)[0]) > 0 or bool(trace.arrays(key, member))


def _missing(key: str, without: Sequence[int], of: int) -> str:
    makers = [measure.kind for measure in MEASURES for quantity in measure.quantities if quantity.key == key]
    by = f", which the measure {makers[0]} takes" if makers else ""
    return f"{key}{by}, was not measured" + ("" if len(without) == of else f" of {_members(without)}")


def _who(empty: Sequence[int], of: int) -> str:
    return f"{_members(empty)} {'has' if len(empty) == 1 else 'have'} not" if len(empty) < of else "no member has"


def _members(numbers: Sequence[int]) -> str:
    return f"member{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


__all__ = [
    "CURVES",
    "AfterMemorising",
    "Contraction",
    "Curve",
    "DefectOnset",
    "DistributionResidual",
    "GradientAcceleration",
    "KernelVelocity",
    "Oscillation",
    "PlateauSlope",
    "Slingshots",
    "SpectralSignature",
    "Turn",
    "UpdateSpectrum",
    "read_curves",
]
