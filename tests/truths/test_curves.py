"""Truths for curves: constructed runs give what they were made of, nobody looks ahead, nothing raises."""

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.flow.sample import sample
from tests.flow.small import small

from grokscope import runs
from grokscope.curves import (
    CURVES,
    Contraction,
    Curve,
    DefectOnset,
    DistributionResidual,
    GradientAcceleration,
    KernelVelocity,
    Oscillation,
    PlateauSlope,
    Slingshots,
    SpectralSignature,
    Turn,
    UpdateSpectrum,
    read_curves,
)
from grokscope.curves.base import Rows, rows, seen, thinned
from grokscope.listing import list_things
from grokscope.phases import EventRule
from grokscope.report.derived import derived
from grokscope.report.page import render
from grokscope.sources import BIBLIOGRAPHY
from grokscope.terminal import print_listing
from grokscope.trace import Quantity, Trace

MEMORISED = 100
"""t_train of the constructed runs."""


def clock(last: int = 3000, per_decade: int = 20) -> list[int]:
    """Looks at every step first and evenly in log step later."""
    steps = np.round(10 ** np.arange(0, math.log10(last) + 1e-9, 1 / per_decade))
    return np.union1d(np.append(steps, [0, last]), [MEMORISED]).astype(int).tolist()


def run(steps: list[int], member: int = 0, **series: Any) -> Trace:
    """A member that memorises at step 100; ``series`` are functions of the step by key, ``a__b`` for a/b."""
    trace = Trace()
    for step in steps:
        trace.add(member, step, {"train/accuracy": float(step >= MEMORISED), "train/loss": 1.0})
        trace.add(member, step, {key.replace("__", "/"): value(step) for key, value in series.items()})
    return trace


def values(trace: Trace, curve: Curve, key: str, member: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return read_curves(trace, curves=[curve]).series(f"curve/{key}", member)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# After memorising.


@pytest.mark.parametrize(("rate", "floor"), [(0.002, 40.0), (0.004, 0.0), (-0.0005, 0.0)])
def test_a_norm_that_contracts_at_a_known_rate_has_it(rate: float, floor: float) -> None:
    trace = run(clock(), norm__weights=lambda s: math.sqrt(floor + 900 * math.exp(-rate * s)))
    curve = Contraction(lr=1e-3, weight_decay=2.0)
    steps, rates = values(trace, curve, "contraction_rate")
    assert len(steps) > 20
    assert rates == pytest.approx(rate, rel=2e-3)
    assert values(trace, curve, "contraction_constant")[1] == pytest.approx(rate / (2 * 1e-3 * 2.0), rel=2e-3)
    assert values(trace, curve, "contraction_floor")[1] == pytest.approx(floor, abs=1.0)


@pytest.mark.parametrize("seed", range(6))
def test_a_norm_that_only_trembles_does_not_contract(seed: int) -> None:
    drawn = dict(zip(clock(), 30 * np.exp(1e-3 * noise(len(clock()), seed=seed)), strict=True))
    steps, rates = values(run(clock(), norm__weights=drawn.__getitem__), Contraction(), "contraction_rate")
    assert np.abs(rates * (steps - MEMORISED)).max() < 0.01
    falling = run(clock(), norm__weights=lambda s: drawn[s] * math.sqrt(0.3 + math.exp(-0.002 * s)))
    assert values(falling, Contraction(), "contraction_rate")[1][-10:] == pytest.approx(0.002, rel=0.1)


def test_what_is_said_of_the_plateau_begins_when_the_event_is_known() -> None:
    looks = [*range(0, 200, 10), 200]
    trace = run(looks, norm__weights=lambda s: 30.0 - s / 100, dynamics__weight_sketch=lambda s: noise(4) + s)
    for curve, key in ((Turn(), "turn"), (PlateauSlope(), "plateau_slope")):
        assert values(trace, curve, key)[0][0] == 120  # third look that passes, not the first
    assert values(trace, Turn(events=EventRule(looks=5)), "turn")[0][0] == 140
    assert len(values(trace, Turn(events=EventRule(train_loss=0.5)), "turn")[0]) == 0
    assert values(trace, Turn(events=EventRule(train_loss=1.5)), "turn")[0][0] == 20
    never = run([s for s in looks if s < 120], dynamics__weight_sketch=lambda s: noise(4) + s)
    found = read_curves(never, curves=[Turn()])
    assert found.keys() == []
    assert found.skipped == {"turn": "no member has memorised and been looked at often enough since"}


def test_members_have_their_own_learning_rate_and_decay() -> None:
    experiments = small().members(
        overrides=[{"seed": 0, "optimizer.lr": 1e-3}, {"seed": 1, "optimizer.lr": 2e-3, "optimizer.weight_decay": 0.0}]
    )
    trace = run(clock(), norm__weights=lambda s: math.sqrt(900 * math.exp(-0.001 * s)))
    for step, norm in zip(*trace.series("norm/weights", 0), strict=True):
        trace.add(1, int(step), {"norm/weights": norm, "train/accuracy": 1.0, "train/loss": 1.0})
    found = read_curves(trace, experiments, [Contraction()])
    assert found.series("curve/contraction_constant", 0)[1] == pytest.approx(0.5, rel=2e-3)
    assert len(found.series("curve/contraction_constant", 1)[0]) == 0  # nothing to compare with
    assert found.series("curve/contraction_rate", 1)[1] == pytest.approx(0.001, rel=2e-3)
    assert "curve/contraction_constant" not in read_curves(trace, curves=[Contraction()]).keys()
    told = Contraction(lr=5e-4).of(experiments[0])
    assert (told.lr, told.weight_decay) == (5e-4, 1.0)  # what is told stays


def test_a_rotation_has_its_angle_whatever_the_lengths() -> None:
    plane = np.linalg.qr(noise(64, 2))[0].T

    def turning(step: int) -> np.ndarray:
        angle = math.radians((step - MEMORISED) / 20)
        return ((1 + step) * (math.cos(angle) * plane[0] + math.sin(angle) * plane[1])).astype(np.float64)

    steps, angles = values(run(clock(), dynamics__weight_sketch=turning), Turn(), "turn")
    assert angles == pytest.approx((steps - MEMORISED) / 20, rel=1e-9)
    assert angles[-1] == pytest.approx(145.0)


def test_a_plateau_has_the_rate_of_its_loss() -> None:
    trace = run(clock(), train__loss=lambda s: 5 * math.exp(-0.003 * s))
    assert values(trace, PlateauSlope(), "plateau_slope")[1] == pytest.approx(-0.003)
    dead = run(clock(), train__loss=lambda s: 0.0)
    assert len(values(dead, PlateauSlope(), "plateau_slope")[0]) == 0  # no logarithm


# Of the training loss.


def test_a_pure_oscillation_has_its_activity_and_frequency() -> None:
    omega = 2 * math.pi * 10 / 400
    trace = run(list(range(600)), train__loss=lambda s: 7 + 3 * math.sqrt(2) * math.cos(omega * (s + 0.5)))
    curve = SpectralSignature(steps=399, degree=0)
    steps, activity = values(trace, curve, "train_activity")
    assert steps[-1] == 399  # later looks say nothing of the first steps
    assert activity[-1] == pytest.approx(9.0)
    assert values(trace, curve, "train_mobility")[1][-1] == pytest.approx(omega)
    assert values(trace, curve, "train_complexity")[1][-1] == pytest.approx(omega)
    assert values(trace, curve, "train_hjorth")[1][-1] == pytest.approx(1.0)
    every_other = run(list(range(0, 600, 2)), train__loss=lambda s: 7 + 3 * math.sqrt(2) * math.cos(omega * s))
    assert values(every_other, curve, "train_activity")[1][-1] == pytest.approx(9.0, rel=0.02)


def test_a_straight_loss_has_no_activity_and_swings_nowhere() -> None:
    trace = run(list(range(100)), train__loss=lambda s: 5 - s / 50)
    assert values(trace, SpectralSignature(), "train_activity")[1] == pytest.approx(0.0, abs=1e-20)
    even = run([*range(10), *(10 * 2**k for k in range(14))], train__loss=lambda s: 9 - math.log1p(s) / 2)
    steps, swings = values(even, Oscillation(), "oscillation")
    assert steps[0] == 10 * 2**7  # the eighth look from step 10 on
    assert swings == pytest.approx(0.0, abs=0.02)


def even_in_log(count: int, factor: float = 1.12, first: int = 1000) -> list[int]:
    return [round(first * factor**k) for k in range(count)]


def test_white_noise_swings_by_its_deviation_and_remembers_nothing() -> None:
    looks = even_in_log(150)
    drawn = dict(zip(looks, 1 + 0.1 * noise(150), strict=True))
    trace = run(looks, train__loss=drawn.__getitem__)
    assert values(trace, Oscillation(), "oscillation")[1][-100:].mean() == pytest.approx(
        0.1 * math.sqrt(1 - 2 / 50), rel=0.1
    )
    assert abs(values(trace, Oscillation(window=150), "lag_1")[1][-1]) < 0.2  # 2.4 standard errors
    falling = run(looks, train__loss=lambda s: drawn[s] * s**-0.7)  # a power law is a line, and no memory
    assert abs(values(falling, Oscillation(window=150), "lag_1")[1][-1]) < 0.2


def test_a_process_that_forgets_slowly_has_its_memory_and_a_zoom_does_not_change_it() -> None:
    looks, phi = even_in_log(150), 0.8
    x, shocks = [0.0], noise(150, seed=4)
    for shock in shocks[1:]:
        x.append(phi * x[-1] + shock)
    drawn = dict(zip(looks, np.exp(0.1 * np.array(x)), strict=True))
    curve = Oscillation(window=1000)
    plain = values(run(looks, train__loss=drawn.__getitem__), curve, "lag_1")[1][-1]
    assert plain == pytest.approx(phi, abs=0.12)
    between = [round(math.sqrt(a * b)) for a, b in zip(looks[-40:], looks[-39:], strict=False)]
    zoomed = {**drawn, **dict.fromkeys(between, 1.0)}
    trace = run(sorted(zoomed), train__loss=zoomed.__getitem__)
    assert values(trace, curve, "lag_1")[1][-1] == plain


def test_thinning_keeps_looks_a_gap_apart_and_the_last_one() -> None:
    dense = np.unique(np.round(np.exp(np.linspace(5, 12, 200))))
    mixed = np.union1d(dense[:100:5], dense[100:])
    kept = thinned(mixed.astype(np.int64))
    gaps, widest = np.diff(np.log1p(mixed[kept])), np.diff(np.log1p(mixed)).max()
    assert kept[-1] == len(mixed) - 1
    assert gaps.min() >= 0.75 * widest
    assert gaps.max() <= 1.75 * widest
    even = np.arange(20)
    np.testing.assert_array_equal(thinned(np.array(even_in_log(20))), even)


def test_a_linear_system_has_no_residual_and_noise_has_much() -> None:
    looks = even_in_log(90)
    coordinates, growth = noise(19, 3), np.array([0.4, 0.8, -0.3])

    def linear(step: int) -> np.ndarray:
        return coordinates @ np.exp(growth * math.log(step / 1000))

    drawn = dict(zip(looks, noise(90, 19, seed=1), strict=True))
    curve = DistributionResidual(energy=1.0)
    steps, none = values(run(looks, dynamics__log_probability=linear), curve, "dmd_residual")
    assert steps.tolist() == looks[39:]
    assert none.max() < 0.01  # interpolation: steps are whole numbers
    much = values(run(looks, dynamics__log_probability=drawn.__getitem__), DistributionResidual(), "dmd_residual")[1]
    assert much.min() > 0.6
    still = run(looks, dynamics__log_probability=lambda s: np.ones(19, dtype=np.float32))
    assert values(still, curve, "dmd_residual")[1].tolist() == [0.0] * 51


# Of kernels, updates and gradients.


def test_a_kernel_that_is_only_rescaled_stands_still() -> None:
    kernel = noise(6, 9) @ noise(6, 9).T
    trace = run(clock(), ntk__gram=lambda s: ((1 + s) * kernel).astype(np.float32))
    assert values(trace, KernelVelocity(), "kernel_distance")[1].max() < 1e-7
    assert values(trace, KernelVelocity(), "kernel_velocity")[1].max() < 1e-7


def test_a_kernel_that_jumps_has_its_distance_over_the_gap() -> None:
    trace = run([0, 4, 20], ntk__gram=lambda s: np.eye(9) if s < 20 else np.ones((9, 9)))
    steps, distances = values(trace, KernelVelocity(), "kernel_distance")
    assert steps.tolist() == [4, 20]
    assert distances == pytest.approx([0, 1 - 1 / 3], abs=1e-15)
    assert values(trace, KernelVelocity(), "kernel_velocity")[1] == pytest.approx([0, (2 / 3) / 16], abs=1e-15)


def test_the_first_kernel_is_what_later_ones_are_aligned_with() -> None:
    first, other = np.diag([1.0, 2.0, 3.0, 4.0]), np.diag([4.0, 1.0, 3.0, 2.0])
    trace = run([0, 4, 20, 30], ntk__gram=lambda s: {0: first, 4: 5 * first, 20: other, 30: first + 7.0}[s])
    steps, alike = values(trace, KernelVelocity(), "kernel_cka_initial")
    centre = np.eye(4) - 0.25
    a, b = centre @ first @ centre, centre @ other @ centre
    expected = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
    assert steps.tolist() == [4, 20, 30]
    assert alike == pytest.approx([1.0, expected, 1.0], abs=1e-12)
    assert expected < 0.9


def test_the_spectrum_of_updates_is_what_they_are_made_of_whatever_the_looks() -> None:
    looks = [0, 1, 11, 13, 50, 52]
    speeds = np.diag([3.0, 2.0, 1.0, 3.0, 2.0])
    speeds[3:] = np.diag([3.0, 2.0, 1.0, 0.0, 0.0])[:2]  # again the first two directions
    gaps = np.diff(looks)
    path = dict(zip(looks, np.vstack([np.zeros(5), np.cumsum(speeds * gaps[:, None], axis=0)]), strict=True))
    trace = run(looks, dynamics__weight_sketch=path.__getitem__)
    curve = UpdateSpectrum(window=3)
    assert values(trace, curve, "update_gap")[0].tolist() == [13, 50, 52]
    assert values(trace, curve, "update_gap")[1] == pytest.approx([3, 3, 3])
    assert values(trace, curve, "update_edge")[1].tolist() == [2, 2, 2]
    assert values(trace, curve, "update_ratio")[1] == pytest.approx([2, 2, 2])


def test_updates_along_one_line_break_after_the_first_and_noise_nowhere() -> None:
    trace = run(clock(), dynamics__weight_sketch=lambda s: s * np.eye(8)[0])
    found = read_curves(trace, curves=[UpdateSpectrum()])
    assert set(found.series("curve/update_edge", 0)[1]) == {1.0}
    assert found.series("curve/update_gap", 0)[1].max() < 1e-12
    walk = np.cumsum(noise(300, 4096), axis=0)
    random = run(list(range(300)), dynamics__weight_sketch=lambda s: walk[s])
    assert values(random, UpdateSpectrum(), "update_ratio")[1].max() < 1.2


def test_a_parabola_has_its_acceleration_at_any_looks() -> None:
    trace = run(clock(), gradient__norm=lambda s: 4 + 3 * s + 0.5 * 7 * s**2)
    steps, found = values(trace, GradientAcceleration(), "gradient_acceleration")
    assert found == pytest.approx(7.0, rel=1e-6)
    assert steps.tolist() == clock()[2:]


def test_the_defect_has_an_onset_where_it_rises_and_none_in_noise() -> None:
    trace = run(clock(), commutator__defect=lambda s: 1.0 if s < 500 else 80.0)
    steps, risen = values(trace, DefectOnset(), "defect_onset")
    np.testing.assert_array_equal(risen, steps >= 500)
    drawn = dict(zip(clock(), np.exp(0.5 * noise(len(clock()))), strict=True))
    assert values(run(clock(), commutator__defect=drawn.__getitem__), DefectOnset(), "defect_onset")[1].max() == 0


# Slingshots.


def slung(spike: int, looks: list[int]) -> Trace:
    """The last layer's norm grows up to the look ``spike`` and then stands; the loss jumps at it."""
    place = {step: i for i, step in enumerate(looks)}
    return run(
        looks,
        norm__last_layer=lambda s: 10 * 1.02 ** min(place[s], spike),
        train__loss=lambda s: 5.0 if place[s] == spike else 0.01,
    )


def test_a_slingshot_is_found_at_its_look_and_only_in_hindsight() -> None:
    looks = even_in_log(90)
    found = read_curves(slung(60, looks), curves=[Slingshots()])
    steps, growth = found.series("curve/slingshot", 0)
    assert steps.tolist() == [looks[60]]
    assert growth == pytest.approx([1.02**20 - 1])
    assert found.prefix(looks[-1]).keys() == []


def test_there_is_no_slingshot_in_noise_nor_without_growth() -> None:
    looks, chance = even_in_log(400, 1.02), noise(400, 2)
    place = {step: i for i, step in enumerate(looks)}
    noisy = run(
        looks,
        norm__last_layer=lambda s: 10 + 0.5 * chance[place[s], 0],
        train__loss=lambda s: 0.01 * math.exp(0.5 * chance[place[s], 1]),
    )
    still = run(looks, norm__last_layer=lambda s: 10.0, train__loss=lambda s: 5.0 if place[s] == 60 else 0.01)
    for trace in (noisy, still):
        found = read_curves(trace, curves=[Slingshots()])
        assert found.keys() == []
        assert found.skipped == {"slingshots": "no member has been through a cycle"}


# What holds for all.


def everything(seed: int = 0, holes: bool = True) -> Trace:
    """Two members with every series that a curve reads, noisy, with looks that are NaN and looks that lack a key."""
    chance = np.random.default_rng(seed)
    trace = Trace()
    for member in (0, 1):
        walk = chance.normal(size=32)
        for i, step in enumerate(clock(4000, 25)):
            walk = walk + 0.1 * chance.normal(size=32)
            features = chance.normal(size=(5, 8))
            row: dict[str, Any] = {
                "train/accuracy": float(step >= MEMORISED),
                "train/loss": 3 * math.exp(-step / 500) * math.exp(0.2 * chance.normal()) + 9 * (i == 70),
                "norm/weights": 20 + 10 * math.exp(-step / 800) + 0.1 * chance.normal(),
                "norm/last_layer": 3 + 0.05 * i,
                "gradient/norm": abs(chance.normal()),
                "commutator/defect": 1.0 + 60 * (step > 700),
                "dynamics/weight_sketch": walk.astype(np.float32),
                "dynamics/log_probability": -np.sort(chance.exponential(size=19)).astype(np.float32),
                "ntk/gram": (features @ features.T).astype(np.float32),
            }
            if holes and i % 13 == 5:
                row["train/loss"], row["norm/weights"] = math.nan, math.inf
                row["dynamics/weight_sketch"] = np.full(32, np.nan, dtype=np.float32)
            if holes and i % 7 == 3:
                del row["ntk/gram"], row["gradient/norm"], row["dynamics/log_probability"]
            trace.add(member, step, row)
    return trace


class Peek(Curve):
    """Breaks the rule on purpose: the highest loss of the whole run."""

    kind: ClassVar[str] = "peek"
    reads: ClassVar[tuple[str, ...]] = ("train/loss",)
    quantities: ClassVar[tuple[Quantity, ...]] = (Quantity("curve/peek", "1", (0.0, 1.0), "peek"),)

    def __call__(self, trace: Trace, member: int) -> Rows:
        steps, losses = seen(trace, "train/loss", member)
        return rows(steps, {"curve/peek": np.full(len(steps), losses.max())})


def looks_ahead(curve: Curve, trace: Trace) -> bool:
    whole = read_curves(trace, small().members(2), [curve])
    cuts = [3, 20, 101, 119, 150, 400, 699, 1500, 3999]
    early = {cut: read_curves(trace.prefix(cut), small().members(2), [curve]).prefix(cut) for cut in cuts}
    return any(whole.prefix(cut).digest() != found.digest() for cut, found in early.items())


@pytest.mark.parametrize("cls", CURVES, ids=lambda c: c.kind)
def test_a_prefix_has_the_values_of_the_whole(cls: type[Curve]) -> None:
    trace = everything()
    assert not looks_ahead(cls(), trace)
    if cls is not Slingshots:
        assert set(read_curves(trace, small().members(2), [cls()]).prefix(4000).keys()) == {
            quantity.key for quantity in cls.quantities
        }


def test_a_curve_that_peeks_is_caught() -> None:
    late = everything(holes=False)
    late.add(0, 3990, {"train/loss": 100.0})
    assert looks_ahead(Peek(), late)


@pytest.mark.parametrize("cls", CURVES, ids=lambda c: c.kind)
def test_values_are_finite_and_in_their_declared_range_and_the_trace_is_left_alone(cls: type[Curve]) -> None:
    trace = everything(seed=1)
    before = trace.digest()
    found = read_curves(trace, small().members(2), [cls()])
    assert trace.digest() == before
    assert found.quantities == {quantity.key: quantity for quantity in cls.quantities}
    for key in found.keys():
        low, high = found.quantities[key].range
        for member in (0, 1):
            seen_values = found.series(key, member)[1]
            assert np.isfinite(seen_values).all()
            assert (seen_values >= low).all(), key
            assert (seen_values <= high).all(), key


@pytest.mark.parametrize("cls", CURVES, ids=lambda c: c.kind)
def test_short_constant_and_broken_runs_never_raise(cls: type[Curve]) -> None:
    whole = everything(holes=False)
    broken = [Trace(), *(whole.prefix(clock(4000, 25)[n]) for n in (0, 1, 2, 4, 8))]
    for fill in (math.nan, math.inf, 0.0, 1.0):
        trace = Trace()
        for step in clock():
            for key in [key for key in whole.keys() if key != "train/accuracy"]:
                trace.add(0, step, {key: fill, "train/accuracy": float(step >= MEMORISED)})
            for key in whole.array_keys():
                trace.add(0, step, {key: np.full((4, 4), fill, dtype=np.float32)})
        broken.append(trace)
    for trace in broken:
        found = read_curves(trace, small().members(2), [cls()])
        if np.isnan(trace.last(0).get("train/loss", 0.0)):
            assert found.keys() == []
            assert cls.kind in found.skipped


@pytest.mark.parametrize("cls", CURVES, ids=lambda c: c.kind)
def test_a_series_that_is_missing_is_named(cls: type[Curve]) -> None:
    whole = everything(holes=False)
    for key in cls.reads:
        poor = everything(holes=False)
        for store in (poor._scalars, poor._arrays):
            store.pop(key, None)  # type: ignore[attr-defined]
        found = read_curves(poor, curves=[cls()])
        assert found.keys() == []
        assert found.skipped[cls.kind].startswith(key)
        assert found.skipped[cls.kind].endswith("was not measured")
    if cls is not Slingshots:
        assert read_curves(whole, curves=[cls()]).skipped == {}


def test_a_member_that_lacks_a_series_is_named_and_the_others_are_read() -> None:
    trace = run(clock(), gradient__norm=lambda s: float(s))
    for step in clock():
        trace.add(3, step, {"train/loss": 1.0})
    found = read_curves(trace, curves=[GradientAcceleration()])
    assert found.members() == [0]
    assert found.skipped["gradient-acceleration"] == (
        "gradient/norm, which the measure gradient takes, was not measured of member 3"
    )
    assert read_curves(trace, curves=[GradientAcceleration()], members=[0]).skipped == {}


def test_the_registry_is_whole() -> None:
    keys = [quantity.key for cls in CURVES for quantity in cls.quantities]
    assert len({cls.kind for cls in CURVES}) == len(CURVES)
    assert len(set(keys)) == len(keys)
    assert all(key.startswith("curve/") for key in keys)
    assert all(source.key in BIBLIOGRAPHY for cls in CURVES for source in cls.sources)
    assert [key for cls in CURVES for q in cls.quantities for key in [q.key] if q.hindsight] == ["curve/slingshot"]


# Where a reader of a run meets them.


def test_a_run_has_its_curves_once(tmp_path: Path) -> None:
    done = runs.run(small(budget=40), store=tmp_path, device="cpu", progress=False)
    found = done.curves()
    assert done.curves() is found
    assert found.digest() == read_curves(done.trace, done.record.members).digest()
    assert "curve/train_activity" in found.keys()
    assert not any(key.startswith("curve/") for key in done.trace.keys())
    assert not any(key.startswith("curve/") for key in done.summary()["members"][0]["final"])


def test_the_page_draws_the_curves_that_have_values_and_says_why_others_have_none() -> None:
    record = sample(2)
    text = render(record)
    section = text.split('id="derived"', 1)[1].split("</section>", 1)[0]
    found = derived(record, 1)
    assert found is not None
    assert section.count("<polyline") == len(found["cards"]) == 10
    assert "<strong>contraction rate</strong>" in section
    assert "ntk/gram, which the measure tangent-kernel takes, was not measured" in section
    for card in found["cards"]:
        points = np.array([[float(v) for v in point.split(",")] for point in card["line"].split()])
        assert points.min() >= 0
        assert points[:, 0].max() <= 200
        assert points[:, 1].max() <= 48
        assert (np.diff(points[:, 0]) > 0).all()
    assert 'id="derived"' not in render(sample(1, until=1))


def test_a_slingshot_is_named_on_the_page() -> None:
    record = sample(1)
    looks = record.trace.series("train/loss", 0)[0].tolist()
    sling = slung(50, looks)
    for key in ("norm/last_layer", "train/loss"):
        for step, value in zip(*sling.series(key, 0), strict=True):
            record.trace.add(0, int(step), {key: value})
    assert f"known only afterwards, at step {looks[50]:,}" in render(record)


def test_the_listing_names_the_series_that_a_curve_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = list_things("measures", tmp_path)
    found = {row["name"]: row for row in listed}
    turn = found["curve/turn"]
    assert turn["needs"] == ["series train/accuracy", "series dynamics/weight_sketch"]
    assert (turn["cost"], turn["unit"], turn["range"]) == (0.0, "degrees", [0.0, 180.0])
    assert found["dynamics/log_probability"]["range"] == [None, 0.0]
    json.dumps(listed, allow_nan=False)
    wanted = ["curve/turn", "dynamics/log_probability", "curve/plateau_slope", "norm/weights"]
    print_listing("measures", [found[name] for name in wanted], tmp_path)
    printed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    for name, shown in zip(wanted, ("0 … 180", "−∞ … 0", "−∞ … ∞", "0 … ∞"), strict=True):
        assert shown in printed[name]
    assert "None" not in "".join(printed.values())
