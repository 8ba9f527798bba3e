"""What is trained and observed for Liu et al. 2022."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import EmbeddingSpectrum, Fit
from grokscope.models import Transformer
from grokscope.objectives import CrossEntropy
from grokscope.optim import AdamW
from grokscope.papers.base import Lab, Observation, Study
from grokscope.tasks import ModularArithmetic
from grokscope.theory import effective, toy

PHASES = ("comprehension", "grokking", "memorization", "confusion")
REACHED = 0.9
DELAYED = 1000
FORMED = 0.95
"""RQI from which a representation counts as formed. [Fig. 4b]"""

EXPERIMENT = Experiment(
    name="liu2022effective",
    about="a + b mod 53, transformer 256 wide: the embedding's effective dimension (Liu et al. 2022, Fig. 7)",
    task=ModularArithmetic(operation="add", modulus=53, train_fraction=0.5, split="unordered"),
    model=Transformer(width=256, hidden=1024),
    optimizer=AdamW(lr=1e-3, weight_decay=1.0),
    objective=CrossEntropy(),
    measures=(Fit(), EmbeddingSpectrum()),
    budget=10_000,
)


def nullity(lab: Lab) -> Observation:
    """How often random train sets determine the line, by their size; no training."""
    elements, draws = int(lab.size["elements"]), lab.steps(int(lab.size["draws"]))
    pairs_Q2, sums_Q = toy.pairs(elements)
    generator = lab.generator("train sets")
    shares, count = [], len(sums_Q)
    sizes = list(range(3, count, int(lab.size["every"])))

    def unique(rows: int, answers_Q: torch.Tensor) -> bool:
        return effective.is_unique(pairs_Q2, answers_Q, toy.split(generator, rows, elements), elements)

    for rows in sizes:
        shares.append(sum(unique(rows, sums_Q) for _ in range(draws)) / draws)
    shuffled = [unique(4 * count // 5, sums_Q[torch.randperm(count, generator=generator)]) for _ in range(draws)]
    fractions = [rows / count for rows in sizes]
    return {
        "fraction": fractions,
        "unique": shares,
        "crossing": crossing(fractions, shares),
        "shuffled": sum(shuffled) / draws,
    }


def learning(lab: Lab) -> Observation:
    """The toy at its default rates, once for each size of the train set, and what theory says of each set."""
    elements, rates = int(lab.size["elements"]), (1e-3, 1e-4)
    pairs_Q2, sums_Q = toy.pairs(elements)
    begin = toy.start(lab.generator("start"), elements=elements, width=int(lab.size["width"]))
    sizes, steps = list(lab.size["rows"]), lab.steps(int(lab.size["steps"]))
    train_SQ = torch.stack([toy.split(lab.generator(f"split {rows}"), rows, elements) for rows in sizes])
    looks = _looks(steps, 100)
    course = toy.learn(
        begin,
        train_SQ,
        embedding_lr=[rates[0]] * len(sizes),
        decoder_lr=[rates[1]] * len(sizes),
        decoder_decay=[0.0] * len(sizes),
        steps=steps,
        looks=looks,
    )
    members, size = [], effective.scale(begin.embedding_PD)
    curve: dict[str, Any] = {}
    for s, rows in enumerate(sizes):
        train_Q = train_SQ[s]
        seen = [toy.representation(e_SPD[s], train_Q) for e_SPD in course.embedding_LSPD]
        share = rows / len(sums_Q)
        accuracy = [
            share * float(a) + (1 - share) * float(b)
            for a, b in zip(course.train_LS[:, s], course.test_LS[:, s], strict=True)
        ]
        equations = effective.trained_equations(pairs_Q2, sums_Q, train_Q, elements)
        half_life = effective.half_life(effective.grokking_rate(effective.hessian(equations, size)), rates[0])
        formed = next((step for step, (rqi, _) in zip(course.steps, seen, strict=True) if rqi > FORMED), None)
        members.append(
            {
                "fraction": share,
                "train": float(course.train_LS[-1, s]),
                "accuracy": accuracy[-1],
                "predicted": _plain(seen[-1][1]),
                "predicted_before": _plain(seen[0][1]),
                "rqi": _plain(seen[-1][0]),
                "rqi_before": _plain(seen[0][0]),
                "formed": formed,
                "half_life": half_life if half_life < float("inf") else None,
            }
        )
        if rows == lab.size["shown"]:
            curve = {
                "steps": course.steps[::2],
                "train": course.train_LS[::2, s].tolist(),
                "test": course.test_LS[::2, s].tolist(),
                "rqi": [_plain(rqi) for rqi, _ in seen[::2]],
            }
    return {
        "members": members,
        "curve": curve,
        "error": _mean_error(members, "predicted"),
        "error_before": _mean_error(members, "predicted_before"),
    }


def phases(lab: Lab) -> Observation:
    """The grid of decoder learning rate and decay, and one row of it with the embedding frozen."""
    size = lab.size
    elements, steps = 10, lab.steps(int(size["steps"]))
    begin = toy.start(lab.generator("start"), elements=elements, width=int(size["width"]))
    train_Q = _answerable_split(lab.generator("split"), elements)
    grid = [(lr, decay, 1e-3) for decay in size["decays"] for lr in size["lrs"]]
    cells = grid + [(lr, 0.0, 0.0) for lr in size["lrs"]]
    course = toy.learn(
        begin,
        train_Q.expand(len(cells), -1),
        embedding_lr=[cell[2] for cell in cells],
        decoder_lr=[cell[0] for cell in cells],
        decoder_decay=[cell[1] for cell in cells],
        steps=steps,
        looks=range(0, steps + 1, int(size["every"])),
    )
    found = []
    for s in range(len(cells)):
        memorised, generalised = _first(course.steps, course.train_LS[:, s]), _first(course.steps, course.test_LS[:, s])
        found.append((phase(memorised, generalised), memorised, generalised))
    inside, frozen = found[: len(grid)], found[len(grid) :]
    return {
        "lrs": list(size["lrs"]),
        "decays": list(size["decays"]),
        "phase": [one[0] for one in inside],
        "t_train": [one[1] for one in inside],
        "t_test": [one[2] for one in inside],
        "kinds": len({one[0] for one in inside}),
        "frozen": [one[0] for one in frozen],
        "frozen_generalised": sum(one[0] in PHASES[:2] for one in frozen),
    }


def _answerable_split(generator: torch.Generator, elements: int) -> torch.Tensor:
    """45 pairs from which a perfect line answers at least 90 % of the others; drawn again until it does."""
    line_P1 = torch.arange(float(elements))[:, None]
    while True:
        train_Q = toy.split(generator, 45, elements)
        held_out = len(train_Q) - 45
        if toy.representation(line_P1, train_Q)[1] * len(train_Q) - 45 >= REACHED * held_out - 1e-6:
            return train_Q


def phase(memorised: int | None, generalised: int | None) -> str:
    """Table 1: from the first steps with 90 % on the train and on the validation pairs; None for never."""
    if memorised is None:
        return "confusion"
    if generalised is None:
        return "memorization"
    return "comprehension" if generalised - memorised < DELAYED else "grokking"


def transformer(lab: Lab) -> Observation:
    """Effective dimension of a transformer's embedding on modular addition, with true and with random answers."""
    size, seen = lab.size, {}
    for labels in ("true", "random"):
        experiment = EXPERIMENT.with_overrides(
            {
                "name": f"liu2022effective-{labels}",
                "budget": size["budget"],
                "task": EXPERIMENT.task.to_dict() | {"labels": labels} | size["task"],
                "model": EXPERIMENT.model.to_dict() | size["model"],
                "optimizer": EXPERIMENT.optimizer.to_dict() | size["optimizer"],
                "clock": Clock(looks_per_decade=15, zoom=1, free_looks=20).to_dict(),
            }
        )
        run = lab.train(experiment)
        at_L, dimension_L = run.trace.series("embedding/effective_dimension", 0)
        steps, dimension = [int(s) for s in at_L], [float(d) for d in dimension_L]
        peak = int(np.argmax(dimension))
        events = run.phases()[0].events
        thin = max(1, len(steps) // 60)
        seen[labels] = {
            "steps": steps[::thin],
            "dimension": [round(d, 3) for d in dimension[::thin]],
            "t_test": events.t_test,
            "t_train": events.t_train,
            "peak_step": steps[peak],
            "rise": dimension[peak] / dimension[0] - 1,
            "fall": 1 - dimension[-1] / dimension[peak],
        }
    return seen


def _looks(steps: int, count: int) -> list[int]:
    """0, the last step, and log-spaced steps between."""
    return sorted({0, *np.geomspace(1, max(steps, 1), count).round().astype(int).tolist()})


def _plain(value: float) -> float | None:
    return None if value != value else value


def _first(steps: Sequence[int], curve_L: torch.Tensor) -> int | None:
    return next((step for step, value in zip(steps, curve_L.tolist(), strict=True) if value >= REACHED), None)


def _mean_error(members: Sequence[Mapping[str, Any]], key: str) -> float | None:
    errors = [abs(m["accuracy"] - m[key]) for m in members if m[key] is not None]
    return float(np.mean(errors)) if errors else None


def crossing(fractions: Sequence[float], shares: Sequence[float]) -> float | None:
    """The largest train fraction at which the share is still below one half, interpolated; None without a crossing."""
    below = [i for i, share in enumerate(shares) if share < 0.5]
    if not below or below[-1] + 1 >= len(shares):
        return None
    i = below[-1]
    return fractions[i] + (0.5 - shares[i]) / (shares[i + 1] - shares[i]) * (fractions[i + 1] - fractions[i])


_LRS = (2e-5, 1e-4, 2.2e-4, 1e-3, 1e-2)
_TEN = tuple(float(lr) for lr in np.geomspace(1e-5, 1e-2, 10))

STUDIES = (
    Study(
        name="nullity",
        about="random train sets, and whether their parallelograms determine the line",
        observe=nullity,
        sizes={
            "smoke": {"elements": 6, "draws": 4, "every": 4},
            "quick": {"elements": 10, "draws": 40, "every": 2},
            "paper": {"elements": 10, "draws": 100, "every": 1},
        },
    ),
    Study(
        name="learning",
        about="the toy at its default rates for ten sizes of the train set",
        observe=learning,
        sizes={
            "smoke": {"elements": 10, "width": 16, "rows": (16, 45), "shown": 45, "steps": 60},
            "quick": {
                "elements": 10,
                "width": 100,
                "rows": (11, 16, 20, 22, 25, 28, 33, 38, 45, 50),
                "shown": 45,
                "steps": 5000,
            },
            "paper": {"elements": 10, "width": 200, "rows": tuple(range(9, 55, 3)), "shown": 45, "steps": 10_000},
        },
    ),
    Study(
        name="phases",
        about="decoder learning rate against decoder decay, embedding learning rate 1e-3 or 0",
        observe=phases,
        sizes={
            "smoke": {"width": 16, "lrs": (1e-4, 1e-2), "decays": (0.0, 3.0), "steps": 60, "every": 20},
            "quick": {"width": 50, "lrs": _LRS, "decays": (0.0, 1.0, 3.0), "steps": 10_000, "every": 50},
            "paper": {
                "width": 200,
                "lrs": _TEN,
                "decays": tuple(float(d) for d in np.linspace(0, 10, 10)),
                "steps": 10_000,
                "every": 50,
            },
        },
    ),
    Study(
        name="transformer",
        about="modular addition by a transformer: effective dimension of the embedding",
        observe=transformer,
        sizes={
            "smoke": {"task": {"modulus": 7}, "model": {"width": 16, "hidden": 16}, "optimizer": {}, "budget": 20},
            "quick": {
                "task": {"modulus": 23, "train_fraction": 0.8},
                "model": {"width": 48, "hidden": 128},
                "optimizer": {"lr": 2e-3, "weight_decay": 2.0},
                "budget": 2000,
            },
            "paper": {"task": {}, "model": {}, "optimizer": {}, "budget": 10_000},
        },
    ),
)
