"""What is trained, simulated and observed for Varma et al. 2023."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import Fit
from grokscope.models import MLP, Model, Transformer
from grokscope.optim import AdamW
from grokscope.papers.base import Lab, Observation, Study, Trained, begun
from grokscope.papers.series import curve, last, pairs
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.theory.circuits import follow, norm_per_logit

DEGREE = 3
"""Weight matrices from a pair to its logits in the perceptron: embedding, hidden, read-out."""


def perceptron(hidden: int) -> MLP:
    """One hidden layer on a shared embedding, no biases: f(aθ) = a³ f(θ)."""
    return MLP(inputs="embedding", width=hidden // 2, hidden=hidden, bias=False)


def setting(p: int, model: Model, lr: float, budget: int, rows: float, **changes: Any) -> Experiment:
    """a + b mod p on so many rows, full batch, AdamW with weight decay 1; ``__`` for the dot."""
    return Experiment(
        name="varma2023efficiency",
        about=f"a + b mod {p} with weight decay, to be continued on fewer pairs with --set start=RUN "
        "(Varma et al. 2023)",
        task=ModularArithmetic(modulus=p, train_fraction=(rows + 0.5) / p**2),
        model=model,
        optimizer=AdamW(lr=lr, weight_decay=1.0, betas=(0.9, 0.98)),
        budget=budget,
        measures=(Fit(),),
        clock=Clock(looks_per_decade=25, zoom=1, max_overhead=0.5),
    ).with_overrides({name.replace("__", "."): value for name, value in changes.items()})


PAPERS_OWN = {"p": 113, "lr": 1e-3, "model": "transformer", "hidden": 512, "source": 12_000, "source_steps": 40_000}
EXPERIMENT = setting(113, Transformer(), 1e-3, 40_000, 12_000)


def _network(size: Mapping[str, Any]) -> Model:
    return Transformer() if size["model"] == "transformer" else perceptron(size["hidden"])


def observe_networks(lab: Lab) -> Observation:
    """Ungrokking and efficiency of the same seed."""
    return {**_ungrokking(lab), **_efficiency(lab)}


def _ungrokking(lab: Lab) -> Observation:
    """A grokked network goes on with ever fewer of its own training rows; others begin there from drawn weights."""
    size, model = lab.size, _network(lab.size)
    p, lr, sizes, decays = size["p"], size["lr"], size["sizes"], size["decays"]
    source = lab.train(setting(p, model, lr, size["source_steps"], size["source"]))
    on = {"start": str(source.path), "name": "varma2023efficiency-continued"}
    base = setting(p, model, lr, size["steps"], size["source"], **on)
    kept = lab.train(base, [{"optimizer.weight_decay": decays[-1]}])
    free = lab.train(base.with_overrides(_rows(p, sizes[0])), [{"optimizer.weight_decay": 0.0}])
    seen: dict[str, Any] = {
        "p": p,
        "sizes": begun(lab, sizes),
        "decays": decays,
        "source": _test(source, 0),
        "source_rows": size["source"],
        "kept": _test(kept, 0),
        "no_decay": _test(free, 0),
        "no_decay_train": _train(free, 0),
        "ungrokked": [],
        "trained": [],
        "halved_at": None,
        "scratch_sizes": begun(lab, size["scratch"]),
        "scratch": [],
        "scratch_change": [],
    }
    for rows in begun(lab, sizes):
        runs = lab.train(base.with_overrides(_rows(p, rows)), [{"optimizer.weight_decay": decay} for decay in decays])
        members = range(len(decays))
        seen["ungrokked"].append([_test(runs, member) for member in members])
        seen["trained"].append([_train(runs, member) for member in members])
        if rows == sizes[0]:
            curves = [curve(runs.trace, "test/accuracy", member) for member in members]
            seen["halved_at"] = [_first_below(one) for one in curves]
            seen["curves"] = [pairs(one) for one in curves]
    fresh = {"optimizer.weight_decay": decays[-1], "name": "varma2023efficiency-drawn", "stop_after_grok": True}
    for rows in begun(lab, size["scratch"]):
        run = lab.train(setting(p, model, lr, size["scratch_steps"], rows).with_overrides(fresh))
        steps, values = curve(run.trace, "test/accuracy")
        late = steps >= 0.75 * size["scratch_steps"]
        seen["scratch"].append(last((steps, values)))
        seen["scratch_change"].append(float(np.ptp(values[late])) if late.any() else None)
    return seen


def _rows(p: int, rows: float) -> dict[str, Any]:
    return {"task.train_fraction": (rows + 0.5) / p**2}


def _test(run: Trained, member: int) -> float | None:
    return last(curve(run.trace, "test/accuracy", member))


def _train(run: Trained, member: int) -> float | None:
    return last(curve(run.trace, "train/accuracy", member))


def _first_below(seen: tuple[Any, Any], level: float = 0.5) -> int | None:
    """The first look from which accuracy stays below a level; None where it does not."""
    steps, values = seen
    above = np.flatnonzero(values >= level)
    after = int(above[-1]) + 1 if len(above) else 0
    return int(steps[after]) if after < len(steps) else None


def _efficiency(lab: Lab) -> Observation:
    """The parameter norm that a logit of 1 takes, of networks on random labels and of networks that generalise."""
    size = lab.size
    seen: dict[str, Any] = {}
    for kind, labels in (("mem", "random"), ("gen", "true")):
        sizes = size[f"{kind}_sizes"]
        rows: list[dict[str, Any]] = []
        for count in begun(lab, sizes):
            changes = {"name": f"varma2023efficiency-{kind}", "task.labels": labels}
            run = lab.train(
                setting(size["p"], perceptron(size["hidden"]), size["lr"], size[f"{kind}_steps"], count, **changes)
            )
            done = _train(run, 0) == 1.0 and (kind == "mem" or (_test(run, 0) or 0.0) >= 0.99)
            rows.append({"rows": count, "train": _train(run, 0), "test": _test(run, 0)})
            rows[-1]["norm"] = _norm(lab, run) if done else None
        seen[kind] = [[row["rows"], row["norm"]] for row in rows]
        seen[f"{kind}_accuracy"] = [[row["train"], row["test"]] for row in rows]
        seen[f"{kind}_slope"] = _slope(seen[kind])
    seen["meeting"] = _meeting(seen["mem"], seen["gen"])
    return seen


def _norm(lab: Lab, run: Trained) -> float | None:
    """:func:`norm_per_logit` over the rows that the network was trained on."""
    task = run.experiment.task
    split, encoding = task.divide(Seeds(lab.seed)), run.experiment.model.encode(task, task.table)
    rows = split.rows["train"]
    return norm_per_logit(run.network(0), encoding.tokens_NL[rows], split.answers_N[rows], DEGREE)


def _known(points: Sequence[Sequence[float | None]]) -> np.ndarray:
    """ln size and ln norm where the network was of its kind, (K, 2)."""
    return np.log(np.array([row for row in points if None not in row], dtype=float)).reshape(-1, 2)


def _slope(points: Sequence[Sequence[float | None]]) -> float | None:
    """d ln norm / d ln size by least squares; None with less than three sizes."""
    known = _known(points)
    return float(np.polyfit(known[:, 0], known[:, 1], 1)[0]) if len(known) >= 3 else None


def _meeting(mem: Sequence[Sequence[float | None]], gen: Sequence[Sequence[float | None]]) -> float | None:
    """The size at which memorising costs as much as generalising does in the mean: the straight line's D_crit."""
    known, flat = _known(mem), _known(gen)
    if len(known) < 3 or not len(flat):
        return None
    slope, offset = np.polyfit(known[:, 0], known[:, 1], 1)
    where = (flat[:, 1].mean() - offset) / slope if slope > 0 else math.inf
    return float(math.exp(where)) if abs(where) < 30 else None


SIMULATED = {"all three": (), "no C_gen": ("absent",), "C_gen costs more": ("dear",), "C_gen first": ("first",)}
KNOWS = 0.5
"""Probability of the right answer from which a simulated question counts as answered."""
LATE = 2.0


def observe_simulation(lab: Lab) -> Observation:
    """Lookup circuits with the three ingredients in settings drawn at random, and with each of them taken away."""
    draw, count = lab.generator("settings"), lab.size["settings"]
    u = torch.rand(5, count, generator=draw, dtype=torch.float64)
    decay, cheap, factor = 0.01 * 3 ** u[0], 0.5 + u[1], 1.5 + 1.5 * u[2]
    slow, fast = 10 ** (-5 + 2 * u[3]), 10 ** (-2 + u[4])
    seen: dict[str, Any] = {"late": {}}
    for name, without in SIMULATED.items():
        start = [slow if "absent" not in without else 0 * slow, fast]
        start = [fast, slow] if "first" in without else start
        costs = [cheap * factor, cheap] if "dear" in without else [cheap, cheap * factor]
        course = follow(
            torch.stack(start, 1), torch.stack(costs, 1), decay, 113,
            rate=0.4, steps=lab.steps(lab.size["steps"]), every=2,
        )  # fmt: skip
        times = list(zip(course.first("train", KNOWS), course.first("test", KNOWS), strict=True))
        seen["late"][name] = sum(
            test is not None and train is not None and test >= LATE * max(train, 1e-9) for train, test in times
        ) / len(times)
        looks = np.unique(np.geomspace(1, len(course.times_L) - 1, 60).astype(int))
        seen[name] = [[float(course.times_L[i]), round(float(course.test_LS[i, 0]), 4)] for i in looks]
    return seen


NETWORKS = Study(
    name="networks",
    about="a grokked network continued on fewer of its training pairs under two weight decays, networks that begin "
    "there, and the norm that a logit takes on random and on true labels",
    observe=observe_networks,
    sizes={
        "smoke": {"p": 11, "lr": 1e-2, "model": "mlp", "hidden": 16, "source": 100, "source_steps": 60}
        | {"sizes": [20, 60], "decays": [0.5, 2.0], "steps": 30, "scratch": [20, 60], "scratch_steps": 30}
        | {"mem_sizes": [10, 20, 40], "mem_steps": 40, "gen_sizes": [80, 100], "gen_steps": 40},
        "quick": {"p": 43, "lr": 1e-2, "model": "mlp", "hidden": 128, "source": 1480, "source_steps": 600}
        | {"sizes": [200, 260, 338, 440, 572, 744], "decays": [0.5, 2.0], "steps": 1200}
        | {"scratch": [572, 650, 744, 967], "scratch_steps": 2000}
        | {"mem_sizes": [80, 160, 320, 640, 1000], "mem_steps": 600}
        | {"gen_sizes": [1180, 1390, 1640], "gen_steps": 1600},
        "paper": PAPERS_OWN
        | {"sizes": [390, 488, 610, 763, 955, 1194, 1494], "decays": [0.5, 2.0], "steps": 100_000}
        | {"scratch": [1000, 1532, 2000, 3400], "scratch_steps": 10_000_000}
        | {"mem_sizes": [200, 500, 1250, 3100], "mem_steps": 40_000}
        | {"gen_sizes": [5000, 8000, 12_500], "gen_steps": 40_000},
    },
)
SIMULATION = Study(
    name="simulation",
    about="two hard-coded circuits whose strengths are learned",
    observe=observe_simulation,
    sizes={name: {"settings": 4 if name == "smoke" else 40, "steps": 10_000} for name in ("quick", "paper")}
    | {"smoke": {"settings": 4, "steps": 300}},
)
