"""What is trained and observed for Humayun et al. 2024."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import Fit, Norms
from grokscope.models import Dense
from grokscope.objectives import MSE, CrossEntropy
from grokscope.optim import AdamW
from grokscope.papers.base import Lab, Observation, Study, Trained
from grokscope.papers.humayun2024local.neighbourhoods import PLACES, Neighbourhoods
from grokscope.papers.series import Curve, at, minus, pairs
from grokscope.tasks import Digits


def setting(size: Mapping[str, Any], **changes: Any) -> Experiment:
    """A ReLU network on the digits, seen by :class:`Neighbourhoods`; ``__`` in a change stands for the dot."""
    seen = {name: size[name] for name in ("points", "directions", "attack_steps", "images")}
    return Experiment(
        name="humayun2024local",
        about="8 × 8 digits, ReLU network of 4 layers, squared error, lr 1e-3, weight decay 0.01 (Humayun et al. 2024)",
        task=Digits(train_fraction=size["fraction"]),
        model=Dense(hidden=(size["width"],) * 3),
        optimizer=AdamW(lr=size["lr"], weight_decay=size["decay"], betas=(0.9, 0.999)),
        objective=MSE(),
        batch_size=size["batch"],
        budget=size["steps"],
        clock=Clock(looks_per_decade=size["looks"], zoom=1, max_overhead=1e4, free_looks=1000),
        measures=(Fit(), Norms(), Neighbourhoods(**seen)),
    ).with_overrides({name.replace("__", "."): value for name, value in changes.items()})


PAPERS_OWN = {
    "fraction": 0.557, "width": 200, "lr": 1e-3, "decay": 0.01, "batch": 200, "steps": 100_000,
    "points": 1000, "directions": 25, "attack_steps": 100, "images": 1797, "looks": 15,
}  # fmt: skip
QUICK = PAPERS_OWN | {
    "width": 64, "lr": 5e-3, "batch": 50, "steps": 10_000,
    "points": 250, "directions": 10, "attack_steps": 10, "images": 400, "looks": 8,
}  # fmt: skip
SMOKE = {"width": 16, "steps": 60, "points": 20, "directions": 3, "attack_steps": 2, "images": 50, "looks": 4}
LARGE = {"fraction": 0.2, "batch": 100, "lr": 1e-3, "decay": 1.0, "steps": 2500}
EXPERIMENT = setting(PAPERS_OWN)
SATURATED = 0.01
"""Clean accuracy has saturated where it is within one point of its highest (ours)."""
FIGURE = ("train/accuracy", "test/accuracy", "test/attacked")
KEPT = 0.05
"""A network that in the end has lost more clean accuracy than this has not kept what it learned: no verdict (ours)."""


def course(looks: Mapping[str, Curve], split: str, fitted: int | None) -> dict[str, Any]:
    """What the claims read from one network's looks; None where it did not happen.

    Of local complexity C around training images: ``first``; ``low``, its least value until the images are
    ``fitted``; ``peak``, its largest from there on, at ``peak_step``; ``end``; ``t_fall``, the first step since the
    peak at which C is a tenth below it; ``spread`` and ``spread_peak``, C around the border over C in the end and
    at the peak. Of accuracy under attack on a split, as a running median of three looks: ``lowest`` since the clean
    one saturated (``t_saturated``), ``rise`` from there to the end, ``t_rise``, the first step at which it is ten
    points over its lowest. ``rho`` and ``rho_clean``: Spearman's correlation of C with accuracy under attack and
    with clean accuracy since the peak. The end is the median of the last three looks.
    """
    from scipy.stats import spearmanr

    steps, around = looks["around_train"]
    border, attacked, clean = looks["around_border"][1], looks[f"{split}/attacked"][1], looks[f"{split}/accuracy"][1]
    names = "first low peak peak_step end t_fall spread spread_peak t_saturated lowest rise t_rise rho rho_clean"
    found: dict[str, Any] = dict.fromkeys(names.split())
    smooth = np.array([np.median(attacked[max(i - 1, 0) : i + 2]) for i in range(len(attacked))])
    saturated = int(np.argmax(clean >= clean.max() - SATURATED))
    lowest = saturated + int(smooth[saturated:].argmin())
    low = int(around[: len(steps) if fitted is None else int(np.searchsorted(steps, fitted, "right"))].argmin())
    peak = low + int(around[low:].argmax())
    found |= {"first": float(around[0]), "low": float(around[low]), "peak": float(around[peak])}
    found |= {"peak_step": int(steps[peak]), "t_saturated": int(steps[saturated]), "lowest": float(smooth[lowest])}
    if np.median(clean[-3:]) < clean.max() - KEPT:
        return found
    spread = border / np.maximum(around, 1e-9)
    found |= {"end": float(np.median(around[-3:])), "rise": float(np.median(attacked[-3:]) - smooth[lowest])}
    found |= {"spread": float(np.median(spread[-3:])), "spread_peak": float(spread[peak])}
    found["t_fall"] = _first(steps[peak:], around[peak:] <= 0.9 * around[peak])
    found["t_rise"] = _first(steps[lowest:], smooth[lowest:] >= smooth[lowest] + 0.1)
    for name, other in (("rho", attacked[peak:]), ("rho_clean", clean[peak:])):
        if len(other) >= 5 and np.ptp(other) > 0 and np.ptp(around[peak:]) > 0:
            found[name] = float(spearmanr(around[peak:], other).statistic)
    return {name: value if value is None or np.isfinite(value) else None for name, value in found.items()}


def _first(steps: np.ndarray, holds: np.ndarray) -> int | None:
    """The first step at which something holds."""
    return int(steps[holds.argmax()]) if holds.any() else None


def _looks(run: Trained, member: int = 0) -> dict[str, Curve]:
    series = {f"around_{place}": f"complexity/around_{place}" for place in PLACES}
    series |= {f"{split}/{what}": f"{split}/{what}" for split in ("train", "test") for what in ("accuracy", "attacked")}
    return {name: run.trace.series(key, member) for name, key in series.items()}


def _sizes(lab: Lab) -> Mapping[str, Any]:
    """The study's sizes, the loops of a look limited too."""
    return dict(lab.size) | {name: lab.steps(lab.size[name]) for name in ("attack_steps", "directions")}


def robustness(lab: Lab) -> Observation:
    """A network on the digits, and one on random labels from the same first weights."""
    found: dict[str, Any] = {}
    for arm, labels, split in (("true", "true", "test"), ("random", "random", "train")):
        run = lab.train(setting(_sizes(lab), task__labels=labels))
        looks, fitted = _looks(run), run.phases()[0].events.t_train
        found |= {f"{arm}_t_train": fitted}
        found |= {f"{arm}_{name}": value for name, value in course(looks, split, fitted).items()}
        found |= {f"{arm}_{name}_curve": pairs(seen, form=".3g") for name, seen in looks.items()}
    return found


def large_start(lab: Lab) -> Observation:
    """The same network from first weights that are eight times as large, and from ordinary ones."""
    arms = {"large": {"model.init_scale": 8.0}, "plain": {"model.init_scale": 1.0}}
    run = lab.train(setting(_sizes(lab), objective=CrossEntropy().to_dict()), list(arms.values()), together=2)
    found: dict[str, Any] = {}
    for member, arm in enumerate(arms):
        looks, events = _looks(run, member), run.phases()[member].events
        found |= {f"{arm}_t_train": events.t_train, f"{arm}_t_test": events.t_test}
        for what in ("accuracy", "attacked"):
            seen = looks[f"test/{what}"]
            found[f"{arm}_{what}_gain"] = minus(float(np.median(seen[1][-3:])), at(seen, events.t_train))
        found |= {f"{arm}_{name}_curve": pairs(looks[name], form=".3g") for name in FIGURE}
    return found


ROBUSTNESS = Study(
    name="robustness",
    about="a network on the digits and one on random labels: accuracy under attack and local complexity",
    observe=robustness,
    sizes={"smoke": QUICK | SMOKE, "quick": QUICK, "paper": PAPERS_OWN},
)
LARGE_START = Study(
    name="large-start",
    about="first weights that are eight times as large, beside ordinary ones, on fewer images",
    observe=large_start,
    sizes={
        "smoke": QUICK | LARGE | SMOKE,
        "quick": QUICK | LARGE,
        "paper": PAPERS_OWN,
    },
)
