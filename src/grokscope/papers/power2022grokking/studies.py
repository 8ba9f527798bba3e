"""What is trained and observed of Power et al. 2022."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from grokscope.experiment import Experiment
from grokscope.interventions import Dropout, Intervention, UpdateNoise, WeightNoise
from grokscope.measures import Fit
from grokscope.measures.curvature import flat_loss, sharpness
from grokscope.models import MLP, Model, Transformer
from grokscope.objectives import CrossEntropy
from grokscope.optim import AdamW, AdamWToStart
from grokscope.papers.base import Lab, Observation, Study, Trained, begun, whole
from grokscope.papers.series import curve, minus, pairs
from grokscope.phases import EventRule
from grokscope.tasks import ModularArithmetic, PermutationGroup, Task
from grokscope.tasks.modular import Operation

MODEL = Transformer(layers=2, norm="post", positions="sinusoidal", mlp_bias=False, sequence="equation", init="torch")
"""2 layers, width 128, 4 heads, post-LayerNorm, sinusoidal positions, no biases in linear maps."""

EXPERIMENT = Experiment(
    name="power2022grokking",
    about="a / b mod 97 at 50 %: the main series, AdamW with weight decay 1 (Power et al. 2022)",
    task=ModularArithmetic(operation="div", modulus=97, train_fraction=0.5),
    model=MODEL,
    optimizer=AdamW(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup=10),
    batch_size=512,
    objective=CrossEntropy(softmax="float32"),
    precision="float32",
    budget=100_000,
    stop_after_grok=True,
)

SMALL = MLP(inputs="embedding", width=64, hidden=128)
"""In place of the transformer: two embeddings of one shared table into 128 rectified neurons."""
SYMMETRIC = ("add", "mul", "x2+y2", "x2+xy+y2")
COUNTERPARTS = (("add", "sub"), ("mul", "div"), ("x2+xy+y2", "x2+xy+y2+x"))
"""A symmetric operation and one like it that is not (ours: the paper names no pairs)."""
NEVER, PIECEWISE = "x3+xy2+y", "div-odd-sub-even"
NUMBERS = ("x2+y2", "add", "mul", "sub", "div", "x2+xy+y2", "x2+xy+y2+x", PIECEWISE, "x3+xy", NEVER)
PERMUTATIONS = ("composition", "conjugation", "aba")
"""The twelve of Fig. 2 (right) are these and the permutations without "mul", which only the text names."""
PLAIN, INVOLVED = ("add", "sub", "div", "x2+y2"), ("x2+xy+y2+x", PIECEWISE, "x3+xy", NEVER)
"""The ends of "intuitively more complicated and less symmetrical" (ours: the paper draws no line)."""
MARGIN = 0.05
"""The paper's "chance level": at most 5 % above it."""
UNSEEN = {"t_train": None, "t_test": None, "left": None, "best": None, "final": None, "train": None}


def setting(size: Mapping[str, Any], task: Task, **changes: Any) -> Experiment:
    """The paper's training of one table, or that of a smaller network with a higher learning rate."""
    model: Model = MODEL if size["network"] == "transformer" else SMALL
    if task.labels == "random" and isinstance(model, Transformer):  # the answer cannot be among the tokens
        model = model.with_overrides({"sequence": "pair"})
    settings: dict[str, Any] = {
        "about": "",
        "task": task,
        "model": model,
        "optimizer": AdamW(lr=size["lr"], weight_decay=1.0, betas=(0.9, 0.98), warmup=10),
        "batch_size": size["batch"],
        "budget": size["steps"],
        "tail": 0.05,
        "events": EventRule(test_share=0.99),
        "measures": (Fit(),),
    }
    return EXPERIMENT.model_copy(update=settings | changes)


def table(size: Mapping[str, Any], operation: str, fraction: float, **changes: Any) -> Task:
    """An operation mod p, or one of permutations."""
    given = {"operation": operation, "train_fraction": fraction} | changes
    if operation in get_args(Operation):
        return ModularArithmetic.model_validate(given | {"modulus": size["p"]})
    return PermutationGroup.model_validate(given | {"degree": size["degree"]})


def delay(lab: Lab) -> Observation:
    """Three operations until they are known, and one table of random answers."""
    size, found = lab.size, {}
    tables = {}
    for operation in size["operations"]:
        split = "unordered" if operation in SYMMETRIC else "ordered"
        tables[operation] = setting(size, table(size, operation, size["fraction"], split=split))
    shuffled = table(size, size["operations"][0], size["fraction"], labels="random")
    tables["random"] = setting(size, shuffled, budget=size["random_steps"])
    for name, experiment in begun(lab, list(tables.items())):
        run = _trained(lab, experiment)
        found[name] = _times(run)
        if name != "random":
            found[name] |= {f"{s}_curve": pairs(curve(run.trace, f"{s}/accuracy"), 60) for s in ("train", "test")}
    random = found.pop("random", UNSEEN)
    return {"p": size["p"], "fraction": size["fraction"], "chance": shuffled.chance, "runs": found, "random": random}


def fractions(lab: Lab) -> Observation:
    """One operation, by how much of its table is given."""
    size = lab.size
    shares = begun(lab, size["fractions"])
    run = _trained(
        lab, setting(size, table(size, size["operation"], shares[0])), [{"task.train_fraction": f} for f in shares]
    )
    of = [_times(run, member) for member in range(len(shares))]
    return {"p": size["p"], "fractions": list(size["fractions"]), "runs": of}


def optimizers(lab: Lab) -> Observation:
    """The arms of Fig. 2, each by how much of the table is given: the best test accuracy and the sharpness."""
    size, lr, shares = lab.size, lab.size["lr"], lab.size["fractions"]
    first = table(size, size["operation"], shares[0])
    plain = {"optimizer.weight_decay": 0.0}
    together: dict[str, dict[str, float]] = {
        "Adam": plain,
        "low rate": plain | {"optimizer.lr": lr * 0.3},
        "high rate": plain | {"optimizer.lr": lr * 3},
        "decay to origin": {},
    }
    kinds: dict[str, tuple[Intervention, ...]] = {
        "update noise": (UpdateNoise(size=lr * size["noise"]),),
        "weight noise": (WeightNoise(size=0.01),),
        "dropout": (Dropout(rate=0.1),),
    }
    adam = AdamW(lr=lr, weight_decay=0.0, betas=(0.9, 0.98), warmup=10)
    start = AdamWToStart(lr=lr, weight_decay=1.0, betas=(0.9, 0.98), warmup=10)
    others: dict[str, dict[str, Any]] = {"decay to start": {"optimizer": start}}
    others |= {arm: {"optimizer": adam, "interventions": kind} for arm, kind in kinds.items()}
    others |= {"full batch": {"optimizer": adam, "batch_size": None}}
    stacked = [(arm, f, {"task.train_fraction": f} | change) for f in shares for arm, change in together.items()]
    jobs = [(setting(size, first, tail=0.2), stacked, len(together))]
    for arm, changes in others.items():
        jobs.append(
            (setting(size, first, tail=0.2, **changes), [(arm, f, {"task.train_fraction": f}) for f in shares], 1)
        )
    most = setting(size, first, tail=0.2, **(others["full batch"] | {"budget": size["long"]}))
    jobs.append((most, [("full batch", size["most"], {"task.train_fraction": size["most"]})], 1))
    found = [one for experiment, members, lanes in begun(lab, jobs) for one in _arms(lab, experiment, members, lanes)]
    shuffled = np.random.default_rng(lab.seed).permutation([one["final"] for one in found]).tolist()
    random = setting(size, table(size, size["operation"], shares[-1], labels="random"), tail=0.2)
    controls = [("Adam", shares[-1], plain), ("decay to origin", shares[-1], {})]
    return {
        "p": size["p"],
        "fractions": list(shares),
        "chance": first.chance,
        "runs": [one | {"shuffled": other} for one, other in zip(found, shuffled, strict=True)],
        "random": {one["arm"]: one for one in _arms(lab, random, controls, 2)} if whole(lab) else {},
    }


def operations(lab: Lab) -> Observation:
    """Every operation by how much is given; symmetric ones also with (a, b) and (b, a) on one side of the split."""
    size, found = lab.size, {}
    jobs = [(operation, "ordered", "true") for operation in size["operations"]]
    jobs += [(symmetric, "unordered", "true") for symmetric, _ in COUNTERPARTS]
    jobs += [(operation, "ordered", "random") for operation in COUNTERPARTS[1]]
    shares = begun(lab, size["fractions"])
    for operation, split, labels in begun(lab, jobs):
        first = setting(size, table(size, operation, shares[0], split=split, labels=labels))
        run = _trained(lab, first, [{"task.train_fraction": f} for f in (shares if labels == "true" else shares[:1])])
        one = [_times(run, member) for member in run.trace.members()]
        known = [f for f, single in zip(shares, one, strict=False) if single["t_test"] is not None]
        found[f"{operation}/{split if labels == 'true' else labels}"] = {
            "best": [single["best"] for single in one],
            "steps": [single["t_test"] for single in one],
            "needs": min(known, default=None),
            "chance": first.task.chance,
            "swaps": first.task.swap_baseline(first.task.divide(first.seeds)),
        }
    return {"p": size["p"], "degree": size["degree"], "fractions": list(size["fractions"]), "runs": found}


def _trained(
    lab: Lab, experiment: Experiment, members: Sequence[Mapping[str, Any]] | None = None, together: int = 1
) -> Trained:
    """Train; where a preset is only started take one step, since each is followed by a look at the whole table."""
    first = experiment if whole(lab) else experiment.model_copy(update={"budget": 1})
    return lab.train(first, members, together=together)


def _times(run: Trained, member: int = 0) -> dict[str, Any]:
    """t_train and t_test at 99 %, when test accuracy first left chance, the best and the last test accuracy."""
    events = run.phases()[member].events
    steps, test = run.trace.series("test/accuracy", member)
    left = steps[test > run.experiment.task.chance + MARGIN]
    return {
        "t_train": events.t_train,
        "t_test": events.t_test,
        "left": int(left[0]) if len(left) else None,
        "best": float(test.max()) if len(test) else None,
        "final": float(test[-1]) if len(test) else None,
        "train": run.trace.last(member).get("train/accuracy"),
    }


def _arms(
    lab: Lab, experiment: Experiment, members: Sequence[tuple[str, float, Mapping[str, float]]], together: int
) -> list[dict[str, Any]]:
    chosen = begun(lab, members)
    run = _trained(lab, experiment, [change for _, _, change in chosen], together)
    found = []
    for member, (arm, fraction, change) in enumerate(chosen):
        one = run.experiment.with_overrides({"seed": lab.seed} | dict(change))
        split = one.task.divide(one.seeds)
        encoding, rows = one.model.encode(one.task, one.task.table), split.rows["train"]
        targets = encoding.targets(split.answers_N)[rows]
        uphill = sharpness(*flat_loss(run.network(member), one.objective, encoding.tokens_NL[rows], targets))
        found.append({"arm": arm, "fraction": fraction, "sharpness": uphill} | _times(run, member))
    return found


def mean(values: Sequence[float | None]) -> float | None:
    """Of numbers that are all known; None otherwise."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def best(observation: Observation, names: Sequence[str]) -> float | None:
    """Best test accuracy of some of the operations, mean over them and all fractions."""
    runs = observation["runs"]
    return mean([value for name in names for value in runs[name]["best"]]) if set(names) <= set(runs) else None


def ahead(observation: Observation, split: str) -> float | None:
    """Best test accuracy of symmetric operations minus that of their counterparts, mean over pairs and fractions."""
    symmetric = best(observation, [f"{a}/{split}" for a, _ in COUNTERPARTS])
    return minus(symmetric, best(observation, [f"{b}/ordered" for _, b in COUNTERPARTS]))


def shift(observation: Observation, one: str, other: str) -> float | None:
    """By how many points of data two operations' accuracy curves are apart, in size: Σ of the differences · spacing."""
    shares, runs = observation["fractions"], observation["runs"]
    names = [f"{one}/ordered", f"{other}/ordered"]
    difference = minus(*(best(observation, [name]) for name in names))
    if difference is None or any(len(runs[name]["best"]) < max(len(shares), 2) for name in names):
        return None
    return abs(difference) * len(shares) * 100 * (shares[-1] - shares[0]) / (len(shares) - 1)


def at_most(observation: Observation, operation: str) -> float | None:
    """Best test accuracy on an operation from the largest fraction."""
    run = observation["runs"].get(f"{operation}/ordered")
    whole = run is not None and len(run["best"]) == len(observation["fractions"])
    return float(run["best"][-1]) if run is not None and whole else None


def waits(observation: Observation, names: Sequence[int]) -> float | None:
    """The least (steps until test accuracy leaves chance) / t_train of some runs; None unless all reach 99 %."""
    runs = list(observation["runs"].values())
    if len(runs) <= max(names) or any(runs[i]["t_test"] is None or runs[i]["t_train"] is None for i in names):
        return None
    return min(float(runs[i]["left"] / max(runs[i]["t_train"], 1)) for i in names)


def medians(seen: Sequence[Observation], key: str) -> list[float]:
    """Over seeds, by fraction; a run that did not get there in the budget counts as later than all."""
    shortest = min(len(o["runs"]) for o in seen)
    rows = [[math.inf if run[key] is None else run[key] for run in o["runs"][:shortest]] for o in seen]
    return [sorted(column)[(len(column) - 1) // 2] for column in zip(*rows, strict=True)]


def slope(seen: Sequence[Observation], key: str) -> float | None:
    """d ln(median steps) / d(fraction in points), over the three smallest fractions whose median run generalises."""
    shares, middles, known = seen[0]["fractions"], medians(seen, key), medians(seen, "t_test")
    chosen = [i for i, steps in enumerate(known) if math.isfinite(steps) and math.isfinite(middles[i])][:3]
    if len(chosen) < 2:
        return None
    return float(np.polyfit([100 * shares[i] for i in chosen], [math.log(middles[i]) for i in chosen], 1)[0])


def score(observation: Observation, arm: str) -> float | None:
    """Best test accuracy of an arm, mean over fractions."""
    return mean([run["best"] for run in observation["runs"] if run["arm"] == arm] or [None])


def lead(observation: Observation) -> float | None:
    """By how much decay to the origin is ahead of the next arm."""
    arms = {run["arm"] for run in observation["runs"]} - {"decay to origin"}
    others = [value for arm in arms if (value := score(observation, arm)) is not None]
    return minus(score(observation, "decay to origin"), max(others, default=None))


def between(observation: Observation) -> float | None:
    """How far decay to the start lies inside what Adam and decay to the origin reach: below 0 outside."""
    start = score(observation, "decay to start")
    over, under = minus(start, score(observation, "Adam")), minus(score(observation, "decay to origin"), start)
    return None if over is None or under is None else min(over, under)


def correlation(seen: Sequence[Observation], key: str) -> float | None:
    """Spearman correlation of sharpness with an accuracy over every run that learned its training rows."""
    from scipy.stats import spearmanr

    runs = [run for o in seen for run in o["runs"] if (run["train"] or 0.0) >= 0.99 and run[key] is not None]
    if len(runs) < 4:
        return None
    return float(spearmanr([run["sharpness"] for run in runs], [run[key] for run in runs]).statistic)


SMALLER = {"network": "mlp", "p": 31, "lr": 1e-2, "batch": None}
TINY = {"network": "mlp", "p": 7, "lr": 1e-2, "batch": None}
FULL = {"network": "transformer", "p": 97, "lr": 1e-3, "batch": 512, "steps": 100_000}
OF_DIVISION = {"operation": "div"}
OF_S5 = {"operation": "composition", "degree": 5}
EVERY = {"operations": NUMBERS + PERMUTATIONS}
TENTHS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DELAY = Study(
    name="delay",
    about="division and two more operations, and random answers, until they are known",
    observe=delay,
    sizes={
        "smoke": TINY | {"operations": ("div", "sub", "mul"), "fraction": 0.6, "steps": 60, "random_steps": 60},
        "quick": SMALLER | {"operations": ("div", "sub", "mul"), "fraction": 0.5, "steps": 5000, "random_steps": 1000},
        "paper": FULL | {"operations": ("div", "sub", "mul"), "fraction": 0.5, "random_steps": 10_000},
    },
)
FRACTIONS = Study(
    name="fractions",
    about="one operation, by how much of its table is given",
    observe=fractions,
    sizes={
        "smoke": TINY | OF_DIVISION | {"fractions": (0.4, 0.6, 0.8), "steps": 40},
        "quick": SMALLER | OF_DIVISION | {"fractions": (0.38, 0.42, 0.46, 0.5, 0.6, 0.7), "steps": 6000},
        "paper": FULL | OF_S5 | {"fractions": (0.25, 0.26, 0.27, 0.28, 0.29, 0.3, 0.35, 0.4, 0.6)},
    },
    seeds=3,
)
OPTIMIZERS = Study(
    name="optimizers",
    about="the regularisers and noises of Fig. 2, by how much of the table is given",
    observe=optimizers,
    sizes={
        "smoke": TINY
        | OF_DIVISION
        | {"fractions": (0.5, 0.8), "most": 0.8, "long": 20, "batch": 8, "noise": 0.1, "steps": 20},
        "quick": SMALLER
        | OF_DIVISION
        | {"fractions": (0.5, 0.65, 0.8), "most": 0.95, "long": 1500, "batch": 128, "noise": 0.1, "steps": 1500},
        "paper": FULL | OF_S5 | {"noise": 1.0, "most": 0.95, "long": 100_000, "fractions": TENTHS},
    },
    seeds=3,
)
OPERATIONS = Study(
    name="operations",
    about="which operations generalise from how much",
    observe=operations,
    sizes={
        "smoke": TINY | EVERY | {"degree": 3, "fractions": (0.6, 0.9), "steps": 10},
        "quick": SMALLER | EVERY | {"degree": 4, "fractions": (0.5, 0.7, 0.9), "steps": 700, "lr": 2e-2},
        "paper": FULL | EVERY | {"degree": 5, "fractions": (*TENTHS, 0.95)},
    },
    seeds=3,
)
