"""What is trained and observed."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import Fit, Irreps, KeyIrreps, Snapshot, groups, irreps
from grokscope.models import Model, Transformer, UntiedMLP
from grokscope.optim import AdamW
from grokscope.papers.base import Lab, Observation, Study, Trained
from grokscope.papers.series import curve, over, pairs
from grokscope.tasks import AlternatingGroup, DihedralGroup, ModularArithmetic, PermutationGroup, Split, Task

SIMILARITY = 0.05
"""Correlation with the logits from which an irrep is key, as in the authors' code; its square is a variance share."""
WITHOUT_DECAY = {"optimizer.weight_decay": 0.0}
SOLVED = 0.99
LIVE = 1e-3  # of the largest variance of a neuron's input, below which it is dead
LATE = 0.8
ABELIAN, SPARSE = "C", "CD"
"""Groups by their first letter: those that commute, and those with many more irreps than a network needs."""
FAMILIES: Mapping[str, tuple[type[Task], str]] = {
    "C": (ModularArithmetic, "modulus"),
    "D": (DihedralGroup, "sides"),
    "S": (PermutationGroup, "degree"),
    "A": (AlternatingGroup, "degree"),
}
NETWORKS: Mapping[str, Model] = {"MLP": UntiedMLP(), "T": Transformer()}


def setting(group: str, network: str, fraction: float, lr: float, steps: int, labels: str = "true") -> Experiment:
    """The paper's training on a group named as in ``D59``."""
    family, parameter = FAMILIES[group[0]]
    task = family.model_validate({parameter: int(group[1:]), "train_fraction": fraction, "labels": labels})
    return Experiment(
        name="chughtai2023universality",
        about=f"{task.symbol} at {fraction:.0%}, one hidden layer on two embeddings, AdamW with weight decay 1 "
        "(Chughtai et al. 2023)",
        task=task,
        model=NETWORKS[network],
        optimizer=AdamW(lr=lr, weight_decay=1.0, betas=(0.9, 0.98)),
        precision="float32",
        budget=steps,
        measures=(Fit(), Irreps(), KeyIrreps(min_share=SIMILARITY**2)),
        clock=Clock(looks_per_decade=40, free_looks=250),
    )


EXPERIMENT = setting("S5", "MLP", 0.4, 1e-3, 250_000)


def universality(lab: Lab) -> Observation:
    """One network for each group and architecture, and one on random answers in the first group."""
    size, arms = lab.size, lab.size["arms"]
    started = arms if lab.steps(10**9) == 10**9 else arms[:1]
    found = {}
    for group, network, fraction, steps in started:
        run = lab.train(setting(group, network, fraction, size["lr"], steps))
        name = f"{group} {network}"
        found[name] = explained(lab, run) | cosets(run) | times(run) | curves(run, name in size["drawn"])
    group, network, fraction, _ = arms[0]
    random = lab.train(setting(group, network, fraction, size["lr"], size["control_steps"], "random"))
    memorised = {}
    for name in size["memorised"] if started is arms else ():
        group, network, fraction, _ = next(arm for arm in arms if f"{arm[0]} {arm[1]}" == name)
        plain = lab.train(setting(group, network, fraction, size["lr"], size["control_steps"]), [WITHOUT_DECAY])
        memorised[name] = memorises(plain, found[name]["keys"])
    return {"arms": found, "random": explained(lab, random), "memorised": memorised}


def outputs(run: Trained) -> tuple[irreps.Group, Split, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The group, the split, all logits as rows and as a grid, and their mean over pairs of the same product."""
    one = run.experiment
    assert one.task.group_table is not None
    group, split = irreps.find_group(one.task.group_table), one.task.divide(one.seeds)
    assert group is not None
    encoding = one.model.encode(one.task, one.task.table)
    with torch.no_grad():
        logits = Snapshot(0, run.network(), one.task, split, encoding, one.objective).answer_logits_NC.double()
    grid = logits.view(group.order, group.order, group.order)
    return group, split, logits, grid, groups.mean_over_products(grid, group)


def memorises(run: Trained, keys: list[int]) -> dict[str, Any]:
    """What the irreps of the network that generalised do in one without weight decay."""
    group, _, _, _, mean = outputs(run)
    chance = math.log(group.order)
    with torch.no_grad():
        restricted = groups.restricted_loss(mean, group, keys).item() / chance
    return {"test": run.trace.last(0).get("test/accuracy"), "restricted": restricted}


def explained(lab: Lab, run: Trained) -> dict[str, Any]:
    """How far the finished network is the algorithm, and what is left with and without its irreps."""
    group, split, logits, grid, mean = outputs(run)
    products, rows, g = run.experiment.task.table.answers_N, split.rows["train"], group.order

    def without(some: list[int]) -> torch.Tensor:
        return logits - groups.keep_irreps(mean, group, some)[products]

    with torch.no_grad():
        shares = groups.variance_shares(grid, mean, group)
        keys = groups.key_irreps(shares, SIMILARITY**2)
        rest = [i for i in range(1, len(group.irreps)) if i not in keys]
        order = torch.randperm(len(rest), generator=lab.generator("others"))[: len(keys)]
        others = [rest[i] for i in order.tolist()]
        readout = run.network().neuron_to_logit_HC()
        excluded = groups.excluded_loss(logits[rows], products[rows], split.answers_N[rows], mean, group, keys)
        characters = groups.character_part(mean, group, keys)
        found: dict[str, Any] = {
            "elements": g,
            "irreps": len(group.irreps),
            "keys": sorted(keys),
            "others": len(others),
            "test": run.trace.last(0).get("test/accuracy"),
            "loss": F.cross_entropy(logits, split.answers_N).item(),
            "logits": shares[keys].sum().item(),
            "logits_all": shares.sum().item(),
            "similarity": [round(s, 3) for s in shares.sqrt().tolist()],
            "unembedding": None if readout is None else groups.embedding_shares(readout.T, group)[keys].sum().item(),
            "characters_loss": F.cross_entropy(characters, torch.arange(g)).item(),
            "without_characters": F.cross_entropy(logits - characters[products], products).item() / math.log(g),
            "excluded": excluded.item() / math.log(g),
            "excluded_all": F.cross_entropy(without(keys), products).item() / math.log(g),
            "restricted": groups.restricted_loss(mean, group, keys).item() / math.log(g),
            "restricted_others": groups.restricted_loss(mean, group, others).item() / math.log(g),
            "without_others": _right(without(others), products) if others else None,
        }
    found["characters_ratio"] = over(found["characters_loss"], found["loss"])
    looks = {key: run.trace.arrays(f"irreps/{key}", 0) for key in ("variance", "embedding", "neurons")}
    for name, place in (("first_", 0), ("", -1)):
        embedding, neurons = looks["embedding"][place][1], looks["neurons"][place][1]
        found[f"{name}embedding"] = float(embedding[keys].sum())
        found[f"{name}neurons"] = float(neurons[keys].sum() / (1 - neurons[0]))  # centred as in the paper's App. E.5
    last = looks["variance"][-1][0]
    late = [shares_I for step, shares_I in looks["variance"] if step <= LATE * last][-1]
    found["late_keys"] = sorted(groups.key_irreps(torch.tensor(late), SIMILARITY**2))
    return found


def cosets(run: Trained) -> dict[str, Any]:
    """Of permutations: median over live neurons and both operands of C_H at the best subgroup, at the start and end."""
    one = run.experiment
    if not isinstance(one.task, PermutationGroup) or not isinstance(one.model, UntiedMLP):
        return {}
    group = irreps.symmetric(one.task.degree)
    masks, found = groups.subgroups(group)[1:], {}
    for name, network in (
        ("first_cosets", one.model.build(one.task, one.seeds.generator("init"))),
        ("cosets", run.network()),
    ):
        totals = network.embedding_PD()
        assert totals is not None  # of this model
        totals = totals.detach()
        live = totals.var(0) > LIVE * totals.var(0).max()
        found[name] = groups.coset_concentration(totals[:, live], group, masks).median().item()
    return found


def times(run: Trained) -> dict[str, Any]:
    """t_train, t_test, and when the restricted and the test loss first were below half of ln |G|."""
    events, half = run.phases()[0].events, 0.5 * math.log(run.experiment.task.classes)
    found = {"t_train": events.t_train, "t_test": events.t_test}
    for name, key in (("t_restricted", "key_irreps/restricted_loss"), ("t_loss", "test/loss")):
        steps, values = curve(run.trace, key)
        below = steps[values <= half]
        found[name] = int(below[0]) if len(below) else None
    return found | {"lead": over(found["t_restricted"], found["t_loss"])}


def curves(run: Trained, wanted: bool) -> dict[str, Any]:
    """The losses over steps, for the figure."""
    keys = ("train/loss", "test/loss", "key_irreps/restricted_loss", "key_irreps/excluded_loss")
    return {f"{key}/curve": pairs(curve(run.trace, key), 60, ".3g") for key in keys} if wanted else {}


def _right(logits_NG: torch.Tensor, answers_N: torch.Tensor) -> float:
    return float((logits_NG.argmax(1) == answers_N).double().mean())


UNIVERSALITY = Study(
    name="universality",
    about="one network for each group, one on random answers, and two that only memorise",
    observe=universality,
    sizes={
        "smoke": {
            "lr": 1e-2,
            "arms": (("C7", "MLP", 0.6, 60), ("S3", "MLP", 0.7, 40), ("D3", "T", 0.6, 30), ("A4", "MLP", 0.7, 30)),
            "control_steps": 20,
            "memorised": ("C7 MLP",),
            "drawn": ("C7 MLP",),
        },
        "quick": {
            "lr": 1e-2,
            "arms": (
                *(("C37", "MLP", 0.6, 3000), ("C31", "MLP", 0.6, 3000), ("D23", "MLP", 0.6, 2000)),
                *(("S4", "MLP", 0.7, 3000), ("A5", "MLP", 0.7, 1600)),
            ),
            "control_steps": 600,
            "memorised": ("C37 MLP", "S4 MLP"),
            "drawn": ("C37 MLP",),
        },
        "paper": {
            "lr": 1e-3,
            "arms": (
                *(("C113", "MLP", 0.3, 250_000), ("C118", "MLP", 0.3, 250_000), ("D59", "MLP", 0.3, 250_000)),
                *(("D61", "MLP", 0.3, 250_000), ("S5", "MLP", 0.4, 250_000), ("A5", "MLP", 0.5, 250_000)),
                *(("C113", "T", 0.3, 50_000), ("C118", "T", 0.3, 50_000), ("D59", "T", 0.3, 100_000)),
                *(("D61", "T", 0.3, 100_000), ("S5", "T", 0.6, 50_000), ("A5", "T", 0.6, 250_000)),
            ),
            "control_steps": 50_000,
            "memorised": ("C113 MLP", "S5 MLP"),
            "drawn": ("C113 MLP",),
        },
    },
)
