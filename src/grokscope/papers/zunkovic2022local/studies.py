"""What is observed for Žunkovič & Ilievski 2022."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from grokscope.papers.base import Lab, Observation, Study
from grokscope.papers.series import short
from grokscope.theory import perceptron, tensor_network

SETTINGS = ((0.1, 0.0, 0.0), (0.4, 0.0, 0.0), (0.1, 0.05, 0.5))
"""Gap, λ₁ and λ₂ of the grokking probability on the line."""
DELAY_GAP = 0.4
DECAYS = (0.0, 1.0)
START = 10.0
DIMENSIONS = (2, 3, 5)
GAP, SAMPLES, L2, EXTRA = 1.01, 10, 0.1, 0.1
"""The ball of Figure 5, and how much λ₁ or λ₂ is added."""
VANISHING_GAP, VANISHING_SAMPLES = 1.1, 100
"""Here most train sets generalise at every dimension, so that exponents are seen in all of them."""
FALLING = (2, 3, 4, 5, 6)
WIDE = 10
LONGEST = 6.0
"""Power of ten of the longest time after which an automaton's perceptron is looked at."""


def observe_line(lab: Lab) -> Observation:
    """Shares of train sets that generalise, and the time between the two errors' vanishing, by gradient descent."""
    trials = lab.steps(lab.size["trials"])
    stream = lab.generator("train sets")
    rows = []
    for gap, l1, l2 in SETTINGS:
        shares = []
        for each in (2, 10):
            mean, lowest = perceptron.line_sample(trials, each, gap, stream)
            steps = lab.steps(800)
            done = perceptron.descend_line(mean, lowest, gap, l1=l1, l2=l2, start=START, lr=0.02, steps=steps)
            shares.append(float((perceptron.line_error(done.bias_T, gap) == 0).double().mean()))
        formula = perceptron.line_probability_two(gap, l1, l2)
        rows.append({"gap": gap, "l1": l1, "l2": l2, "two": shares[0], "ten": shares[1], "formula": formula})
    delays: list[dict[str, Any]] = []
    for l2 in DECAYS:
        mean, lowest = perceptron.line_sample(lab.steps(lab.size["timed"]), 2, DELAY_GAP, stream)
        done = perceptron.descend_line(
            mean, lowest, DELAY_GAP, l1=0.0, l2=l2, start=START, lr=0.002, steps=lab.steps(lab.size["timed_steps"])
        )
        seen = done.generalised_T - done.fitted_T
        flow = perceptron.line_delay(mean, lowest, DELAY_GAP, l2=l2)
        long = ~seen.isnan() & (flow > 0.1)  # fifty steps, so that the step does not round the time
        if not long.any():
            delays.append({"l2": l2, "flow": None, "printed": None, "seen": [], "predicted": []})
            continue
        ratio = seen[long] / flow[long]
        delays.append(
            {
                "l2": l2,
                "flow": float(ratio.median()),
                "printed": float((ratio / (1 + l2)).median()),
                "seen": short(seen[long][:80]),
                "predicted": short(flow[long][:80]),
            }
        )
    return {"probability": rows, "delays": delays}


def observe_vanishing(lab: Lab) -> Observation:
    """The power with which the test error vanishes, on the line and in balls; and the train loss's."""
    stream = lab.generator("train sets")
    near = torch.logspace(-4, -2, 12, dtype=torch.float64)
    trials = lab.steps(lab.size["trials"])
    rows: list[dict[str, Any]] = []
    mean, _ = perceptron.line_sample(trials, 2, DELAY_GAP, stream)
    mean = mean[perceptron.line_target(mean) < DELAY_GAP]
    if len(mean):
        vanish = torch.log((START - mean) / (DELAY_GAP - mean))
        left = vanish[:, None] * near
        bias = mean[:, None] + (START - mean)[:, None] * torch.exp(left - vanish[:, None])
        error = perceptron.line_error(bias, DELAY_GAP)
        loss = 0.5 * bias.square() - bias * mean[:, None] + 1  # up to what does not depend on b
        rows.append(_exponents("line", 1.0, left, error, loss))
    for dimension in DIMENSIONS:
        points = perceptron.ball_sample(trials, VANISHING_SAMPLES, dimension, VANISHING_GAP, stream)
        gram, drive = perceptron.ball_moments(points)
        start = torch.randn(trials, dimension, generator=stream, dtype=torch.float64)
        vanish = perceptron.ball_vanishing(gram, drive, start, VANISHING_GAP)
        there = ~vanish.isnan()
        if not there.any():
            continue
        left = vanish[there, None] * near
        w = perceptron.ball_flow(gram[there], drive[there], start[there], vanish[there, None] - left)
        error = perceptron.ball_error(w, VANISHING_GAP)
        loss = 0.5 * (torch.einsum("tkd,tnd->tkn", w, points[there]) - 1).square().mean(2)
        rows.append(_exponents(f"D = {dimension}", (dimension + 1) / 2, left, error, loss))
    return {"rows": rows}


def _exponents(name: str, theory: float, left_TK: Tensor, error_TK: Tensor, loss_TK: Tensor) -> dict[str, Any]:
    return {
        "name": name,
        "theory": theory,
        "slope": float(perceptron.log_slope(left_TK, error_TK).median()),
        "loss_slope": float(perceptron.log_slope(left_TK, loss_TK).median()),
        "left": short(left_TK[0]),
        "error": short(error_TK[0]),
    }


def observe_probability(lab: Lab) -> Observation:
    """The share of balls' train sets that generalise, with more λ₁ or as much more λ₂, by dimension."""
    stream, trials = lab.generator("train sets"), lab.steps(lab.size["trials"])
    rows = []
    for dimension in (*FALLING, WIDE):
        points = perceptron.ball_sample(trials, SAMPLES, dimension, GAP, stream)
        # The teacher along the diagonal instead of an axis: sparsity of the student no longer helps.
        mirror = torch.full((dimension,), -1 / math.sqrt(dimension), dtype=torch.float64)
        mirror[0] += 1
        mirror /= mirror.norm()
        turned = points - 2 * (points @ mirror)[..., None] * mirror
        gram, drive = perceptron.ball_moments(points, L2)
        more, _ = perceptron.ball_moments(points, L2 + EXTRA)
        dense_gram, dense_drive = perceptron.ball_moments(turned, L2)
        ends = {
            "plain": perceptron.ball_end(gram, drive),
            "l1": perceptron.ball_end(gram, drive, l1=EXTRA, steps=lab.steps(400)),
            "l2": perceptron.ball_end(more, drive),
        }
        dense = perceptron.ball_end(dense_gram, dense_drive, l1=EXTRA, steps=lab.steps(400))
        ends["dense"] = dense - 2 * (dense @ mirror)[:, None] * mirror
        shares = {name: float((perceptron.ball_error(w, GAP) == 0).double().mean()) for name, w in ends.items()}
        rows.append({"dimension": dimension} | shares)
    return {"rows": rows}


def observe_automaton(lab: Lab) -> Observation:
    """Rule 30 through random and exact tensor networks: both errors' vanishing, exponents, effective dimension."""
    stream = lab.generator("matrices")
    left, right = tensor_network.random_matrices(lab.steps(lab.size["trials"]), 2, stream)
    rows = tensor_network.all_rows(3)
    labels_P1 = tensor_network.rule_30(rows).flatten()[:, None].double()
    train = tensor_network.points(left, right, rows) * labels_P1
    gram, drive = perceptron.ball_moments(train, 1e-9)
    end = torch.linalg.solve(gram, drive)
    fits = (torch.einsum("tpf,tf->tp", train, end) > 0).all(1).nonzero().flatten()
    fresh = 2 * torch.randint(2, (lab.size["rows"], lab.size["cells"]), generator=stream) - 1
    few = fresh[:40]  # those that end with an error on a few rows never generalise, and are only counted
    tried = tensor_network.points(left[fits], right[fits], few) * tensor_network.rule_30(few).flatten()[:, None]
    kept = fits[(torch.einsum("tpf,tf->tp", tried, end[fits]) > 0).all(1)][: lab.steps(lab.size["kept"])]
    found = [_automaton(left[k, None], right[k, None], fresh, stream) for k in kept.tolist()]
    exact = [_automaton(*tensor_network.exact_matrices(), fresh, stream) for _ in range(lab.steps(lab.size["exact"]))]
    return {"fit": len(fits), "kept": len(kept), "random": _summary(found), "exact": _summary(exact)}


def _automaton(left: Tensor, right: Tensor, fresh_NM: Tensor, stream: torch.Generator) -> dict[str, float | None]:
    """One network: a square-loss perceptron on the cells of all rows of three, tested on longer rows."""
    sides = []
    for rows in (tensor_network.all_rows(3), fresh_NM):
        labels_P1 = tensor_network.rule_30(rows).flatten()[:, None].double()
        sides.append(tensor_network.points(left, right, rows) * labels_P1)
    gram, drive = perceptron.ball_moments(sides[0], 1e-9)
    start = torch.randn(1, gram.shape[1], generator=stream, dtype=torch.float64)

    def errors(side: int, times_K: Tensor) -> Tensor:
        return tensor_network.error(perceptron.ball_flow(gram, drive, start, times_K[None])[0], sides[side][0])

    def vanishing(side: int) -> float | None:
        """The last time with an error, found on ever finer grids."""
        grid = torch.cat([torch.zeros(1), torch.logspace(-2, LONGEST, 200)]).double()
        for _ in range(3):
            wrong = (errors(side, grid) > 0).nonzero().flatten()
            if len(wrong) == 0 or wrong[-1] == len(grid) - 1:
                return None
            grid = torch.linspace(float(grid[wrong[-1]]), float(grid[wrong[-1] + 1]), 60, dtype=torch.float64)
        return float(grid[0])

    labels_P1 = tensor_network.rule_30(fresh_NM).flatten()[:, None].double()
    dimension = float(tensor_network.effective_dimension(sides[1] * labels_P1)[0])
    times = vanishing(0), vanishing(1)
    powers: dict[str, float | None] = {"power": None, "wide": None}
    if times[1] is not None:
        for name, farthest in (("power", 0.1), ("wide", 0.3)):
            left_K = torch.logspace(-2, math.log10(farthest), 25, dtype=torch.float64) * times[1]
            seen = errors(1, times[1] - left_K)
            some = seen > 0
            if int(some.sum()) >= 10:
                powers[name] = float(perceptron.log_slope(left_K[some][None], seen[some][None])[0])
    return {"train": times[0], "test": times[1], "dimension": dimension} | powers


def _summary(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Over networks whose test error vanishes: how many, how many late, median exponent and dimension."""
    there = [one for one in found if one["train"] is not None and one["test"] is not None]

    def middle(key: str) -> float | None:
        values = [value for one in there if (value := one[key]) is not None]
        return statistics.median(values) if values else None

    late = [(one["test"] or 0) > 1.01 * (one["train"] or 0) for one in there]
    return {
        "seen": len(there),
        "late": sum(late) / len(late) if late else None,
        "power": middle("power"),
        "wide": middle("wide"),
        "dimension": middle("dimension"),
    }


LINE = Study(
    name="line",
    about="gradient descent on the line: who generalises, and how long after the train error",
    observe=observe_line,
    sizes={
        "smoke": {"trials": 500, "timed": 50, "timed_steps": 6000},
        "quick": {"trials": 60_000, "timed": 1000, "timed_steps": 6000},
        "paper": {"trials": 200_000, "timed": 5000, "timed_steps": 6000},
    },
)
VANISHING = Study(
    name="vanishing",
    about="the exponent with which the test error vanishes",
    observe=observe_vanishing,
    sizes={"smoke": {"trials": 6}, "quick": {"trials": 60}, "paper": {"trials": 500}},
)
PROBABILITY = Study(
    name="probability",
    about="the share of train sets in D dimensions that generalise",
    observe=observe_probability,
    sizes={"smoke": {"trials": 50}, "quick": {"trials": 5000}, "paper": {"trials": 20_000}},
)

AUTOMATON = Study(
    name="automaton",
    about="rule 30 through tensor networks of random and exact matrices",
    observe=observe_automaton,
    sizes={
        "smoke": {"trials": 100, "kept": 5, "exact": 2, "rows": 20, "cells": 6},
        "quick": {"trials": 15_000, "kept": 200, "exact": 5, "rows": 1000, "cells": 10},
        "paper": {"trials": 20_000, "kept": 270, "exact": 50, "rows": 1000, "cells": 12},
    },
)
