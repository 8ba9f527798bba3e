"""What is trained and computed for Barak et al. 2022."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import Fit
from grokscope.models import Dense
from grokscope.objectives import Hinge
from grokscope.optim import SGD
from grokscope.papers import series
from grokscope.papers.base import Lab, Observation, Study
from grokscope.tasks import SparseParity
from grokscope.theory import parity
from grokscope.theory.parity import Net

RATES = (0.1, 0.01, 1.0, 0.001)
"""The paper's learning rates, in the order in which they are tried."""
SOLVED = 0.2
"""Share of trials of a configuration that the paper asks for."""
PROBE = 256
"""Points of a look that only asks whether there is still an error."""
PLATEAU = 0.45
"""A trial is on its plateau until its error is as low as this."""
LATE = ("error", "ratio", "noise_ratio", "growth", "noise_growth")
"""What is read of each trial after three quarters of its plateau, or of the budget; of a seed the median."""
NEURON = Net(width=1, activation="sine", readout=False)


def observe_grid(lab: Lab) -> Observation:
    """Which configurations are solved by a fifth of their trials at one of the learning rates."""
    size = lab.size
    nets = [Net(width=width) for width in size["widths"]]
    nets += [Net(width=width, activation="power", degree=size["k"]) for width in size["widths"]]
    nets += [Net(width=1, activation="sine", readout=readout) for readout in (True, False)]
    nets += [Net(width=1, activation="zigzag", readout=readout) for readout in (True, False)]
    nets += [Net(width=size["k"], activation="product")]
    cells: list[tuple[Net, parity.Loss]] = [(net, loss) for net in nets for loss in size["losses"]]
    cells += [(replace(net, init=init), "hinge") for net in nets for init in size["inits"]]
    rows = [_cell(lab, net, loss, sorted(RATES, key=lambda lr: lr != _likely(net, loss))) for net, loss in cells]
    noise = [_cell(lab, nets[i], "hinge", RATES[:1], "random") for i in (0, -1)]
    return {
        "cells": rows,
        "count": len(rows),
        "solved": sum(row[1] is not None for row in rows) / len(rows),
        "unsolved": [row[0] for row in rows if row[1] is None],
        "noise_solved": sum(row[1] is not None for row in noise) / len(noise),
        "noise_error": min(row[3] for row in noise),
    }


def _likely(net: Net, loss: parity.Loss) -> float:
    """The learning rate that is tried first, which saves time and changes nothing else."""
    if net.activation == "sine" and loss == "cross-entropy":
        return 1.0
    return 0.01 if net.activation == "zigzag" and not net.readout and loss == "square" else RATES[0]


def _cell(lab: Lab, net: Net, loss: parity.Loss, rates: Sequence[float], labels: Any = "parity") -> list[Any]:
    """[name, the learning rate that solved it or None, the step, lowest error of any trial], of a configuration."""
    n, k = lab.size["n"], lab.size["k"]
    name = f"{net.activation} {net.width}{'' if net.readout else ', no readout'}, {loss}, {net.init}"
    step, best = 0, 1.0
    for lr in rates:
        course = parity.descend(
            net, n, k, lab.steps(lab.size["budget"]), lab.generator(f"{name} {lr}"), trials=lab.size["trials"],
            batch=32, lr=lr, loss=loss, every=50, labels=labels,
        )  # fmt: skip
        look = lab.generator("points")
        seen = parity.follow(course, net, k, look, points=lab.size["points"], probe=PROBE, share=SOLVED)
        step, best = seen.steps[-1], min(best, float(seen.error_LT.min()))
        if sum(found is not None for found in seen.reached()) >= SOLVED * lab.size["trials"]:
            return [name, lr, step, 0.0]
    return [name, None, step, best]


def observe_plateau(lab: Lab) -> Observation:
    """How late three architectures, and wide polynomials with large batches, begin to answer."""
    size = lab.size
    nets = {
        "relu": (Net(width=100), 32, 0.1, 25),
        "sine": (NEURON, 32, 0.01, 20),
        "polynet": (Net(width=size["k"], activation="product"), 32, 0.01, 20),
        "wide": (Net(width=size["wide"], activation="power", degree=size["k"]), 1024, 0.1, 2),
    }
    seen: dict[str, Any] = {}
    for name, (net, batch, lr, every) in nets.items():
        trials = size["wide_trials"] if name == "wide" else size["trials"]
        course = parity.descend(
            net, size["n"], size["k"], lab.steps(size["budget"]), lab.generator(name), trials=trials, batch=batch,
            lr=lr, every=every,
        )  # fmt: skip
        run = parity.follow(course, net, size["k"], lab.generator("points"), points=size["points"])
        ends, starts = run.reached(), run.reached(PLATEAU)
        shares = [series.over(start, end) for start, end in zip(starts, ends, strict=True)]
        seen[name] = _median(shares)
        seen[f"{name}_steps"] = _median(ends)
        shown = _typical(ends)
        accuracy = 1 - run.error_LT[:, shown].double().numpy()
        seen[f"{name}_shown"] = ends[shown]
        seen[f"{name}_curve"] = series.pairs((np.array(run.steps), accuracy))
    return seen


def observe_hidden(lab: Lab) -> Observation:
    """A sinusoidal neuron on the parity and on random labels from the same start: where its weights go meanwhile."""
    size, k = lab.size, lab.size["k"]
    runs: dict[str, parity.Course] = {}
    for labels in ("parity", "random"):
        budget = size["budget"]
        if runs:  # as far as it is read
            budget = 3 * max([end or budget for end in runs["parity"].reached(PLATEAU)]) // 4
        course = parity.descend(
            NEURON, size["n"], k, lab.steps(budget), lab.generator("neuron"), trials=size["trials"],
            batch=size["batch"], lr=0.01, every=size["every"], labels=labels,  # type: ignore[arg-type]
        )  # fmt: skip
        look = lab.generator(f"points {labels}")
        runs[labels] = parity.follow(course, NEURON, k, look, points=size["points"], watch=_neuron)
    run, noise = runs["parity"], runs["random"]
    moved = {labels: torch.stack([(now - one.watched[0]).abs() for now in one.watched])[..., :-1]
             for labels, one in runs.items()}  # fmt: skip
    ends = run.reached(PLATEAU)
    rows = [_late(run, noise, moved, trial, run.steps.index(end or run.steps[-1]), k) for trial, end in enumerate(ends)]
    middles = {name: _median([row[name] for row in rows]) for name in LATE}
    trial = _typical(ends)
    shown = [i for i, step in enumerate(run.steps) if step <= 1.05 * (ends[trial] or run.steps[-1])]
    weights_LN = moved["parity"][:, trial]
    curves = {"relevant": weights_LN[:, :k].mean(1), "irrelevant": weights_LN[:, k:].mean(1)}
    few = [shown[i] for i in series.kept(len(shown), 60)]
    return middles | {
        "solved": sum(end is not None for end in run.reached()),
        "forecast": _forecast(moved["parity"], run, size["when"]),
        "noise_forecast": _forecast(moved["random"], run, size["when"], noise),
        "plateau": _median(ends),
        "accuracy": [[run.steps[i], round(1 - float(run.error_LT[i, trial]), 3)] for i in few],
        **{name: [[run.steps[i], float(f"{values[i]:.4g}")] for i in few] for name, values in curves.items()},
    }


def _neuron(weights: parity.Weights) -> Tensor:
    return torch.cat([weights.w[:, 0], weights.b], dim=1)


def _gap(neuron_TM: Tensor, k: int) -> Tensor:
    return parity.fourier_gap(parity.sine_gradient(neuron_TM[:, :-1], neuron_TM[:, -1], k), k)


def _late(
    run: parity.Course, noise: parity.Course, moved: Mapping[str, Tensor], trial: int, end: int, k: int
) -> dict[str, float | None]:
    """Late on a trial's plateau: the relevant weights' movement over the others', and the gap over that of the start.

    Both on the parity and, at the same step from the same start, on random labels.
    """
    late = 3 * end // 4
    row: dict[str, float | None] = {"error": float(run.error_LT[late, trial])}
    for before, labels, one in (("", "parity", run), ("noise_", "random", noise)):
        at = min(late, len(one.steps) - 1)
        weights_N = moved[labels][at, trial]
        row[f"{before}ratio"] = series.over(float(weights_N[:k].mean()), float(weights_N[k:].mean()))
        first, now = (float(_gap(one.watched[i][trial : trial + 1], k)) for i in (0, at))
        row[f"{before}growth"] = series.over(now, first)
    return row


def _forecast(moved_LTN: Tensor, run: parity.Course, share: float, looked: parity.Course | None = None) -> float | None:
    """Spearman's ρ over trials of ‖w_t − w_0‖_∞ and t_c, t at a share of the shortest plateau; None for few trials."""
    from scipy.stats import spearmanr

    solved = [(trial, found) for trial, found in enumerate(run.reached()) if found is not None]
    plateaus = [found for found in run.reached(PLATEAU) if found is not None]
    if len(solved) < 4:
        return None
    steps = (looked or run).steps
    at = max(i for i, step in enumerate(steps) if step <= share * min(plateaus))
    found = spearmanr([float(moved_LTN[at, trial].max()) for trial, _ in solved], [step for _, step in solved])
    return None if math.isnan(found.statistic) else float(found.statistic)


def observe_scaling(lab: Lab) -> Observation:
    """Median convergence times of a ReLU network by n, for each k and once more for k = 2; and of many trials."""
    size = lab.size
    seen: dict[str, Any] = {"times": {}, "slopes": {}}
    for name, k in [*((str(k), k) for k in size["ks"]), ("2 again", 2)]:
        ns = [n for n in size["ns"] if k < 4 or n <= size["largest_4"]]
        times = [_median(_times(lab, n, k, size["trials"], name)) for n in ns]
        known = [(n, time) for n, time in zip(ns, times, strict=True) if time]
        seen["times"][name] = [[n, time] for n, time in zip(ns, times, strict=True)]
        whole = len(known) == len(ns)
        x, y = np.log(np.array(known).reshape(-1, 2)).T
        seen["slopes"][name] = float(np.polyfit(x, y, 1)[0]) if whole else None
    slopes = seen["slopes"]
    seen["difference"] = series.minus(slopes["3"], slopes["2"])
    seen["again"] = series.minus(slopes["2 again"], slopes["2"])
    shares = [slopes[str(k)] / k for k in size["ks"] if k > 1 and slopes[str(k)] is not None]
    seen["share_of_k"] = max(shares) if len(shares) == len(size["ks"]) - 1 else None
    subsets = [[math.log(math.comb(n, k)) for n in size["ns"]] for k in size["ks"] if k > 1]
    search = [np.polyfit(np.log(size["ns"]), y, 1)[0] / k for y, k in zip(subsets, size["ks"][1:], strict=True)]
    seen["search_share_of_k"] = float(max(search))
    many = _times(lab, size["many_n"], 3, size["many"], "many")
    tries = torch.empty(size["many"]).geometric_(1 / math.comb(size["many_n"], 3), generator=lab.generator("search"))
    seen["earliest"], seen["search_earliest"] = _earliest(many), _earliest(tries.tolist())
    seen["many"] = [time for time in many if time is not None]
    return seen


def _times(lab: Lab, n: int, k: int, trials: int, name: str) -> list[int | None]:
    net, every = Net(width=lab.size["width"]), 20 if k > 2 else 5
    course = parity.descend(
        net, n, k, lab.steps(lab.size["budget"]), lab.generator(f"{name} {n}"), trials=trials, batch=32, lr=0.1,
        every=every,
    )  # fmt: skip
    look = lab.generator(f"points {n}")
    return parity.follow(course, net, k, look, points=lab.size["points"], probe=PROBE, share=0.75).reached()


def _earliest(times: Sequence[float | None]) -> float | None:
    """The 5 % quantile over the median, those not yet there being late."""
    late = sorted(math.inf if time is None else time for time in times)
    early, middle = late[len(late) // 20], late[len(late) // 2]
    return early / middle if math.isfinite(middle) else None


def _typical(times: Sequence[float | None]) -> int:
    """The trial whose time is the middle one, those that did not happen being late."""
    late = [math.inf if time is None else time for time in times]
    return sorted(range(len(late)), key=lambda trial: late[trial])[(len(late) - 1) // 2]


def _median(times: Sequence[float | None]) -> float | None:
    """The middle one, those that did not happen being late; None where it did not happen itself."""
    late = np.array([math.inf if time is None else time for time in times])
    middle = float(np.median(late)) if len(late) else math.inf
    return middle if math.isfinite(middle) else None


def observe_gap(lab: Lab) -> Observation:
    """Expected gradients of a neuron with random signs for weights over the whole cube, by autograd."""
    n = lab.size["n"]
    x_BN, draw = parity.cube(n), lab.generator("signs")
    w = parity.signs((lab.size["trials"], n), draw)
    noise_B = parity.signs((len(x_BN),), draw)
    seen: dict[str, Any] = {}
    for k in (2, 4):
        y_B = x_BN[:, :k].prod(1)
        for name, activation, labels_B in (
            ("relu", "relu", y_B), ("square", "power", y_B), ("noise", "relu", noise_B)
        ):  # fmt: skip
            weights = w.clone().requires_grad_()
            h_BT = parity.activate(x_BN @ weights.T, activation, 2)  # type: ignore[arg-type]
            (gradient_TN,) = torch.autograd.grad(-(labels_B[:, None] * h_BT).mean(0).sum(), weights)
            gap = parity.fourier_gap(gradient_TN, k).mean() / parity.majority_gap(n, k)
            seen[f"{name}_{k}"] = float(gap)
    seen["worst"] = max(abs(seen["relu_2"] - 1), abs(seen["relu_4"] - 1))
    return seen


def experiment(n: int, samples: int, test: int, budget: int, world: int = 0) -> Experiment:
    """A parity of 3 bits from few points: 100 ReLU neurons, hinge loss, batches of 32."""
    rows = samples + test
    return Experiment(
        name="barak2022parity",
        about="parity of 3 bits from a finite sample, 100 ReLU neurons, hinge loss, SGD (Barak et al. 2022, App. C.5)",
        task=SparseParity(n=n, k=3, samples=rows, train_fraction=(samples + 0.5) / rows, world_seed=world),
        model=Dense(hidden=(100,), outputs="scalar"),
        optimizer=SGD(lr=0.1, weight_decay=0.01),
        objective=Hinge(),
        precision="float32",
        batch_size=32,
        budget=budget,
        measures=(Fit(),),
        clock=Clock(looks_per_decade=40, zoom=1, max_overhead=0.2),
    )


def observe_grokking(lab: Lab) -> Observation:
    """Few points with weight decay and without, and ample points."""
    size = lab.size
    few = experiment(size["n"], size["few"], 1000, size["budget"], lab.seed)
    runs = lab.train(few, [{}, {"optimizer.weight_decay": 0.0}], together=2)
    ample = lab.train(experiment(size["n"], size["ample"], 1000, size["ample_budget"], lab.seed))
    events, enough = runs.phases()[0].events, ample.phases()[0].events
    return {
        "t_train": events.t_train,
        "t_test": events.t_test,
        "ratio": events.ratio,
        "ample_ratio": enough.ratio,
        "decay_test": runs.trace.last(0).get("test/accuracy"),
        "no_decay_train": runs.trace.last(1).get("train/accuracy"),
        "no_decay_test": runs.trace.last(1).get("test/accuracy"),
        "train": series.pairs(series.curve(runs.trace, "train/accuracy"), 80),
        "test": series.pairs(series.curve(runs.trace, "test/accuracy"), 80),
        "bare": series.pairs(series.curve(runs.trace, "test/accuracy", 1), 80),
    }


EXPERIMENT = experiment(n=50, samples=1000, test=1000, budget=100_000)

STUDIES = (
    Study(
        name="grid",
        about="architectures, losses and initialisations, each until a fifth of its trials has no error",
        observe=observe_grid,
        sizes={
            "smoke": {"n": 6, "k": 2, "widths": (10,), "losses": ("hinge",), "inits": (), "trials": 5, "budget": 200,
                      "points": 256},
            "quick": {"n": 20, "k": 3, "widths": (10, 100), "losses": ("hinge", "square", "cross-entropy"),
                      "inits": ("sign",), "trials": 10, "budget": 3000, "points": 2048},
            "paper": {"n": 30, "k": 3, "widths": (10, 100, 1000), "losses": ("hinge", "square", "cross-entropy"),
                      "inits": ("normal", "sign"), "trials": 25, "budget": 100_000, "points": 8192},
        },
    ),
    Study(
        name="plateau",
        about="accuracy on fresh points along online training",
        observe=observe_plateau,
        sizes={
            "smoke": {"n": 8, "k": 2, "trials": 2, "wide": 20, "wide_trials": 1, "budget": 200, "points": 256},
            "quick": {"n": 50, "k": 3, "trials": 5, "wide": 1000, "wide_trials": 1, "budget": 12_000, "points": 2048},
            "paper": {"n": 50, "k": 3, "trials": 25, "wide": 1000, "wide_trials": 5, "budget": 100_000,
                      "points": 8192},
        },
    ),
    Study(
        name="hidden",
        about="a sinusoidal neuron's weights and Fourier gap along training, on a parity and on random labels",
        observe=observe_hidden,
        sizes={
            "smoke": {"n": 8, "k": 2, "trials": 5, "batch": 64, "every": 20, "when": 0.7, "budget": 400,
                      "points": 256},
            "quick": {"n": 50, "k": 3, "trials": 10, "batch": 128, "every": 20, "when": 0.7, "budget": 8000,
                      "points": 2048},
            "paper": {"n": 50, "k": 3, "trials": 25, "batch": 128, "every": 20, "when": 0.7, "budget": 100_000,
                      "points": 8192},
        },
    ),
    Study(
        name="scaling",
        about="convergence times by n and k, and their spread",
        observe=observe_scaling,
        sizes={
            "smoke": {"ns": (6, 8), "ks": (1, 2, 3), "largest_4": 6, "trials": 4, "width": 20, "many_n": 6,
                      "many": 20, "budget": 200, "points": 256},
            "quick": {"ns": (10, 20, 30, 45), "ks": (1, 2, 3), "largest_4": 20, "trials": 8, "width": 100,
                      "many_n": 20, "many": 40, "budget": 10_000, "points": 2048},
            "paper": {"ns": (10, 20, 30, 45, 60, 90), "ks": (1, 2, 3, 4), "largest_4": 45, "trials": 25,
                      "width": 100, "many_n": 30, "many": 1000, "budget": 1_000_000, "points": 8192},
        },
    ),
    Study(
        name="gap",
        about="the Fourier gap of a ReLU neuron at a sign initialisation, over the whole cube",
        observe=observe_gap,
        sizes={
            "smoke": {"n": 9, "trials": 2},
            "quick": {"n": 15, "trials": 10},
            "paper": {"n": 17, "trials": 10},
        },
    ),
    Study(
        name="grokking",
        about="the same few points again and again, with weight decay and without, and ample points",
        observe=observe_grokking,
        sizes={
            "smoke": {"n": 12, "few": 60, "ample": 150, "budget": 200, "ample_budget": 200},
            "quick": {"n": 20, "few": 300, "ample": 5000, "budget": 8000, "ample_budget": 2000},
            "paper": {"n": 50, "few": 1000, "ample": 50_000, "budget": 100_000, "ample_budget": 100_000},
        },
    ),
)  # fmt: skip
