"""What norms, sketches, kernels and gradients of a run say by their course."""

import math
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field

from grokscope.curves.base import AfterMemorising, Curve, Rows, rows, seen, seen_arrays, together
from grokscope.experiment import Experiment
from grokscope.measures import dynamics, kernel, landscape
from grokscope.sources import Source
from grokscope.trace import Floats, Quantity, Steps, Trace

_POSITIVE = (0.0, float("inf"))
_ANY = (-float("inf"), float("inf"))
BEND = 0.1
"""Of its time constant, that a series must last for its floor to be more than a guess (ours)."""
MOST = 200
"""Looks that a fit takes at most (ours)."""
FIT = 0.9
"""R² from which an exponential counts as one (ours); the paper's runs have a median of 0.97."""


class Contraction(AfterMemorising):
    """How fast the squared norm of the weights contracts after memorising. [Truong et al. 2026]

    :func:`contraction` of V = (``norm/weights``)² over all looks since t_train, and κ = r / (2ηλ): 1 where
    weight decay is all that moves the norm, about 0.2 to 0.4 seen under AdamW. κ needs the learning rate
    and a weight decay above 0. Looks may be at any steps. From 5 looks on; of more than
    200 looks 200 are taken, evenly by number, which bounds the cost of each fit.
    """

    kind: ClassVar[str] = "contraction"
    reads: ClassVar[tuple[str, ...]] = ("train/accuracy", "norm/weights")
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/contraction_rate", "1/step", _ANY, "rate at which the squared weight norm nears its floor"),
        Quantity("curve/contraction_floor", "weight²", _POSITIVE, "the floor of the squared weight norm, as fitted"),
        Quantity("curve/contraction_constant", "1", _ANY, "contraction rate over what weight decay alone gives"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("truong2026first", "contraction of the squared norm"),)

    lr: float | None = Field(default=None, gt=0.0)
    """Learning rate η; empty for the experiment's."""
    weight_decay: float | None = Field(default=None, ge=0.0)
    """Weight decay λ; empty for the experiment's."""

    def of(self, experiment: Experiment) -> Self:
        """With the member's thresholds, learning rate and weight decay."""
        optimizer = experiment.optimizer
        known = {"lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
        filled = super().of(experiment)
        return filled.model_copy(update={k: v for k, v in known.items() if getattr(self, k) is None})

    def __call__(self, trace: Trace, member: int) -> Rows:
        """Two or three numbers a look."""
        event = self.memorised(trace, member)
        if event is None:
            return []
        steps, norms = seen(trace, "norm/weights", member)
        steps, squares = steps[steps >= event[0]], norms[steps >= event[0]] ** 2
        ends = [end for end in range(5, len(steps) + 1) if steps[end - 1] >= event[1]]
        parts = [np.unique(np.linspace(0, end - 1, min(end, MOST)).astype(int)) for end in ends]
        fits = [contraction(steps[part], squares[part]) for part in parts]
        values = {
            "curve/contraction_rate": [rate for rate, _ in fits],
            "curve/contraction_floor": [floor for _, floor in fits],
        }
        if self.lr and self.weight_decay:
            kappas = [dynamics.contraction_constant(rate, self.lr, self.weight_decay) for rate, _ in fits]
            values["curve/contraction_constant"] = kappas
        return rows(steps[[end - 1 for end in ends]], values)


def contraction(steps_T: Steps, squares_T: Floats) -> tuple[float, float]:
    """Rate per step and floor ≥ 0 of V = floor + c e^{−rt}; the rate is below 0 where V grows.

    :func:`grokscope.measures.dynamics.fit_contraction` where it fits: a fall that bends towards a floor that
    a square can have, with R² ≥ 0.9. Else, so for a series that grows, stands or has hardly begun, the slope of
    ln V over a floor of 0 (ours). Noise around a constant has a rate near 0. (nan, nan) where some V is 0.
    """
    if squares_T.min() <= 0:
        return math.nan, math.nan
    rate, floor = dynamics.fit_contraction(steps_T, squares_T)
    time = steps_T - steps_T[0]
    decay = np.exp(-rate * time)
    fitted = floor + (squares_T.mean() - floor) / decay.mean() * decay
    error, spread = np.square(squares_T - fitted).sum(), np.square(squares_T - squares_T.mean()).sum()
    if 0.0 <= floor < squares_T.mean() and rate * time[-1] >= BEND and error <= (1 - FIT) * spread:
        return rate, floor
    return dynamics.contraction_rate(steps_T, squares_T), 0.0


class Turn(AfterMemorising):
    """How far the weights have turned since they memorised, in degrees. [Truong et al. 2026]

    :func:`grokscope.measures.dynamics.angle` between ``dynamics/weight_sketch`` now and at t_train (at the
    first look after it that has one). Of weights it is seen to stop near 53 ± 8 at grokking. The sketch
    adds an error of about 1 %.
    """

    kind: ClassVar[str] = "turn"
    reads: ClassVar[tuple[str, ...]] = ("train/accuracy", "dynamics/weight_sketch")
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/turn", "degrees", (0.0, 180.0), "angle of the weights to those that had memorised"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("truong2026first", "quantile-margin theorem"),)

    def __call__(self, trace: Trace, member: int) -> Rows:
        """One number a look."""
        event = self.memorised(trace, member)
        if event is None:
            return []
        steps, sketches = seen_arrays(trace, "dynamics/weight_sketch", member)
        since = steps >= event[0]
        steps, sketches = steps[since], sketches[since]
        angles = [dynamics.angle(one, sketches[0]) for one in sketches]
        known = steps >= event[1]
        return rows(steps[known], {"curve/turn": np.array(angles)[known]})


class UpdateSpectrum(Curve):
    """Whether the last updates share a few directions: gap and edge of their spectrum. [Xu 2026b, rolling Gram]

    From differences of consecutive ``dynamics/weight_sketch``, each over the steps between its looks, so
    that looks far apart do not count for more (ours; the paper's checkpoints are evenly spaced and of
    attention weights alone): :func:`grokscope.measures.landscape.update_gap` and ``update_edge`` of the
    last ``window``. Claimed to compress before grokking; it may only see weight decay.
    """

    kind: ClassVar[str] = "update-spectrum"
    reads: ClassVar[tuple[str, ...]] = ("dynamics/weight_sketch",)
    wants: ClassVar[str] = "been looked at for a whole window"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/update_gap", "weight²/step²", _POSITIVE, "squared second less third singular value of updates"),
        Quantity("curve/update_edge", "1", (1.0, float("inf")), "place at which the updates' spectrum breaks"),
        Quantity("curve/update_ratio", "1", (1.0, float("inf")), "ratio of the singular values beside the break"),
    )

    window: int = Field(default=5, ge=2)
    """Updates; the paper takes 3 and 5."""

    def __call__(self, trace: Trace, member: int) -> Rows:
        """Three numbers a look; no ratio where the rest is exactly zero."""
        steps, sketches = seen_arrays(trace, "dynamics/weight_sketch", member)
        if len(steps) <= self.window:
            return []
        sketches = sketches.reshape(len(steps), -1)
        updates = torch.from_numpy(np.diff(sketches, axis=0) / np.diff(steps)[:, None])
        spectra = [
            landscape.update_spectrum(updates[end - self.window : end]) for end in range(self.window, len(steps))
        ]
        edges = [landscape.update_edge(spectrum) for spectrum in spectra]
        values = {
            "curve/update_gap": [landscape.update_gap(spectrum) for spectrum in spectra],
            "curve/update_edge": [float(place) for place, _ in edges],
            "curve/update_ratio": [ratio for _, ratio in edges],
        }
        return rows(steps[self.window :], values)


class KernelVelocity(Curve):
    """How far and how fast the tangent kernel moved since the look before. [Fort et al. 2020]

    :func:`grokscope.measures.kernel.kernel_distance` of consecutive ``ntk/gram``, and the same per step: 0
    for a kernel that is only rescaled, as in the lazy regime. Beside them the centred alignment with the first
    kernel that was seen, which is that of the initial weights where the run was looked at from step 0. [Kumar et al.
    2023]
    """

    kind: ClassVar[str] = "kernel-velocity"
    reads: ClassVar[tuple[str, ...]] = ("ntk/gram",)
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/kernel_distance", "1", (0.0, 1.0), "distance of the tangent kernel to that of the look before"),
        Quantity(
            "curve/kernel_velocity",
            "1/step",
            _POSITIVE,
            "distance of the tangent kernel to that of the look before, per step",
        ),
        Quantity("curve/kernel_cka_initial", "1", (0.0, 1.0), "centred alignment of the tangent kernel with the first"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("fort2020deep", "kernel distance and velocity"),
        Source("kumar2023grokking", "alignment with the initial kernel"),
    )

    def __call__(self, trace: Trace, member: int) -> Rows:
        """Three numbers a look, from the second on."""
        steps, kernels = seen_arrays(trace, "ntk/gram", member)
        grams = torch.from_numpy(kernels)
        distances = [max(0.0, kernel.kernel_distance(a, b)) for a, b in zip(grams, grams[1:], strict=False)]
        speeds = [distance / gap for distance, gap in zip(distances, np.diff(steps).tolist(), strict=True)]
        alike = [kernel.cka(grams[0], gram) for gram in grams[1:]]
        return rows(
            steps[1:],
            {
                "curve/kernel_distance": distances,
                "curve/kernel_velocity": speeds,
                "curve/kernel_cka_initial": alike,
            },
        )


class GradientAcceleration(Curve):
    """The second difference of the gradient's norm, which is claimed to rise early and confirmed by nobody.

    :func:`grokscope.measures.landscape.second_difference` of the last three looks, which takes them at any steps.
    """

    kind: ClassVar[str] = "gradient-acceleration"
    reads: ClassVar[tuple[str, ...]] = ("gradient/norm",)
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "curve/gradient_acceleration", "loss/weight/step²", _ANY, "second derivative in time of the gradient's norm"
        ),
    )

    def __call__(self, trace: Trace, member: int) -> Rows:
        """One number a look, from the third on."""
        steps, norms = seen(trace, "gradient/norm", member)
        if len(steps) < 3:
            return []
        return rows(steps[2:], {"curve/gradient_acceleration": landscape.second_difference(steps, norms)})


class DefectOnset(Curve):
    """Whether the commutator defect has risen: above 20 and above ten times its start. [Xu 2026a]

    0 before :func:`grokscope.measures.landscape.defect_onset`, 1 from it on. Runs that never generalise
    have an onset too, by the author's own account.
    """

    kind: ClassVar[str] = "defect-onset"
    reads: ClassVar[tuple[str, ...]] = ("commutator/defect",)
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/defect_onset", "1", (0.0, 1.0), "1 from the look on at which the commutator defect has risen"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("xu2026lowdimensional", "onset rule"),)

    def __call__(self, trace: Trace, member: int) -> Rows:
        """One number a look, from the third on, when the baseline is known."""
        steps, defects = seen(trace, "commutator/defect", member)
        onset = landscape.defect_onset(steps, defects) if len(steps) > 2 else None
        risen = [float(onset is not None and step >= onset) for step in steps.tolist()]
        return rows(steps[2:], {"curve/defect_onset": risen[2:]})


class Slingshots(Curve):
    """Cycles of growth of the last layer, a spike of the training loss, a plateau. [Thilak et al. 2022]

    :func:`grokscope.measures.dynamics.slingshots` of ``norm/last_layer`` and ``train/loss`` at the looks as
    they are: a spike is one look, and thinning or resampling could miss it. On looks that are even in log step
    a window is a constant factor in steps. The plateau is seen only afterwards, so the value at the
    spike is in hindsight.
    """

    kind: ClassVar[str] = "slingshots"
    reads: ClassVar[tuple[str, ...]] = ("train/loss", "norm/last_layer")
    wants: ClassVar[str] = "been through a cycle"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("curve/slingshot", "1", _POSITIVE, "growth of the last layer's norm before a spike of the loss", True),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("thilak2022slingshot", "a full cycle"),)

    window: int = Field(default=20, ge=2)
    """Looks before and after the spike."""
    spike: float = Field(default=10.0, gt=1.0)
    """Times the median loss of the window."""
    growth: float = Field(default=0.01, gt=0.0)
    """Share by which the norm grew before it (ours)."""

    def __call__(self, trace: Trace, member: int) -> Rows:
        """The relative growth before it, at the look of each spike."""
        steps, (losses, norms) = together(trace, self.reads, member)
        alive = norms > 0
        found = dynamics.slingshots(norms[alive], losses[alive], self.window, self.spike, self.growth)
        spikes = steps[alive][[cycle.spike for cycle in found]]
        return rows(spikes, {"curve/slingshot": [cycle.growth_before for cycle in found]})
