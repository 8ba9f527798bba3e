"""Chughtai et al. 2023, "A Toy Model of Universality: Reverse Engineering How Networks Learn Group Operations"."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from grokscope.papers.base import Claim, Control, Observation, Paper, Range
from grokscope.papers.chughtai2023universality.figure import draw
from grokscope.papers.chughtai2023universality.studies import ABELIAN, EXPERIMENT, SOLVED, SPARSE, UNIVERSALITY

__all__ = ["EXPERIMENT", "PAPER"]


def over_arms(
    choose: Callable[[Sequence[float]], float], key: str, families: str = "CDSA", network: str = ""
) -> Callable[[Observation], float | None]:
    """The smallest or largest number of a seed's networks in some families; None where one has not generalised."""

    def number(o: Observation) -> float | None:
        arms = [arm for name, arm in o["arms"].items() if name[0] in families and network in name]
        values = [arm[key] for arm in arms if (arm["test"] or 0.0) >= SOLVED]
        known = [value for value in values if value is not None]
        return choose(known) if known and len(values) == len(arms) else None

    return number


def is_algorithm(arm: Mapping[str, Any]) -> bool:
    """Whether one network passes on embeddings, neurons and both ablations at once."""
    return bool(
        arm["embedding"] >= 0.95 and arm["neurons"] >= 0.8 and arm["excluded_all"] >= 1 and arm["restricted"] <= 0.05
    )


def overlap(seen: Sequence[Observation], families: str, late: bool = False) -> float | None:
    """Mean Jaccard index of the key irreps of two seeds, or of two looks at one network, over pairs and groups."""
    found = []
    for name in [name for name in seen[0]["arms"] if name[0] in families]:
        runs = {o["seed"]: o["arms"][name] for o in seen if (o["arms"][name]["test"] or 0.0) >= SOLVED}
        sets = [(run["keys"], run["late_keys"]) for run in runs.values()]
        pairs_of = sets if late else [(a, b) for (a, _), (b, _) in combinations(sets, 2)]
        found += [len({*a} & {*b}) / max(len({*a} | {*b}), 1) for a, b in pairs_of]
    return float(np.mean(found)) if found else None


RANDOM = Control(
    statement="A network that has learned random answers has none of this in its logits.",
    study="universality",
    quantity="share of its logits' variance in the characters of all irreps",
    each=lambda o: o["random"]["logits_all"],
    accepts=Range(None, 0.05),
    ours="0.05; noise has about irreps / |G|³",
)
SPARSE_CONTROL = "Before training the irreps that will be key hold no more than their share of all functions (the "
SPARSE_CONTROL += "groups with many irreps alone: in S4 and A5 the key irreps are nearly all there are)."


def ablation(families: str, name: str, where: str, paper: str) -> Claim:
    """The same claim on some families of groups."""
    return Claim(
        id=name,
        statement=f"Without the ρ(ab) of the key irreps networks are worse than chance, {where}.",
        where="Secs. 5.5 and 6, Tables 3 and 5",
        paper=paper,
        study="universality",
        quantity="loss without them over ln |G|, all pairs, smallest over the groups",
        each=over_arms(min, "excluded_all", families),
        accepts=Range(1.0, None),
        control=Control(
            statement="Without as many other irreps, drawn at random, they answer as before.",
            study="universality",
            quantity="accuracy without others, all pairs, smallest over the groups that have others",
            each=over_arms(min, "without_others", families),
            accepts=Range(SOLVED, 1.0),
            ours="the accuracy from which a network counts as generalised",
        ),
    )


def restricted_first(families: str, name: str, where: str) -> Claim:
    """The same claim on some families of groups, each with memorising networks of its own kind as the control."""

    def lowest(o: Observation) -> float | None:
        return min((one["restricted"] for group, one in o["memorised"].items() if group[0] in families), default=None)

    return Claim(
        id=name,
        statement=f"{where} loss of the key irreps alone falls before the test loss does.",
        where="Sec. 5.6, Fig. 6, App. E.1",
        paper="on S5 during circuit formation (2.2k to 87k steps); the test loss at cleanup (87k to 120k)",
        study="universality",
        quantity="step at which the restricted loss is first below ½ ln |G|, over that of the test loss, largest",
        each=over_arms(max, "lead", families),
        accepts=Range(None, 0.8),
        ours="half of ln |G| for both; 0.8, more than the distance of two looks",
        control=Control(
            statement="In a network that memorises the same pairs without weight decay and does not generalise, the "
            "same irreps alone do not answer.",
            study="universality",
            quantity="restricted loss over ln |G| of such a network at the end",
            each=lowest,
            accepts=Range(0.5, None),
            ours="the same half",
        ),
    )


CLAIMS = (
    Claim(
        id="characters-in-cyclic-groups",
        statement="In cyclic groups the logits are a combination of a few characters χ_ρ(abc⁻¹).",
        where="Sec. 5.1, Table 5",
        paper="92.7 to 98.3 % of the variance (eight networks)",
        study="universality",
        quantity="share of the logits' variance in the key characters, smallest over the groups",
        each=over_arms(min, "logits", ABELIAN),
        accepts=Range(0.85, 1.0),
        ours="0.85, the 84.8 % of its S5 network rounded up",
        control=RANDOM,
    ),
    Claim(
        id="characters-in-other-groups",
        statement="In groups that do not commute the logits are explained well by a few characters too.",
        where="Sec. 5.1, Table 5",
        paper="84.8 % on the S5 network of Sec. 5.1; 34.5 to 64.2 % on its 19 other networks",
        study="universality",
        quantity="share of the logits' variance in the key characters, smallest over the groups",
        each=over_arms(min, "logits", "DSA"),
        accepts=Range(0.85, 1.0),
        ours="the same 0.85, which of the paper's own networks one meets, to the digit",
        control=RANDOM,
    ),
    Claim(
        id="characters-suffice",
        statement="The key characters alone answer as well as the whole logits: what they leave out is not needed.",
        where="Sec. 5.1",
        paper="loss 70 % lower on S5",
        study="universality",
        quantity="loss of the key characters alone over the network's own, all pairs, largest over the groups",
        each=over_arms(max, "characters_ratio"),
        accepts=Range(None, 1.1),
        ours="1.1: as well, to a tenth",
        control=Control(
            statement="Without the key characters the rest does not answer.",
            study="universality",
            quantity="loss without the key characters over ln |G|, all pairs, smallest over the groups",
            each=over_arms(min, "without_characters"),
            accepts=Range(1.0, None),
        ),
    ),
    Claim(
        id="embeddings-are-irreps",
        statement="The embeddings are a table of the entries of the key ρ(a) and ρ(b), and nothing else.",
        where="Sec. 5.2, Tables 1 and 3",
        paper="99.0 to 100 % (means of four networks)",
        study="universality",
        quantity="share of both total embeddings in the key irreps, smallest over the groups",
        each=over_arms(min, "embedding"),
        accepts=Range(0.95, 1.0),
        ours="0.95, after a tenth of the paper's training as weight decay counts it",
        control=Control(
            statement=SPARSE_CONTROL,
            study="universality",
            quantity="the same share at the start, largest over C and D",
            each=over_arms(max, "first_embedding", SPARSE),
            accepts=Range(None, 0.75),
            ours="0.75, well below the claim's bound",
        ),
    ),
    Claim(
        id="neurons-are-irreps",
        statement="The neurons are entries of ρ(a), ρ(b) and ρ(ab) of the key irreps.",
        where="Sec. 5.3, Tables 2 and 3",
        paper="86.4 to 95.8 % (means of four networks)",
        study="universality",
        quantity="share of the centred neurons' variance in the key irreps, smallest over the groups",
        each=over_arms(min, "neurons"),
        accepts=Range(0.8, 1.0),
        ours="0.8; the least of the paper's 28 perceptrons is 84.1 %",
        control=Control(
            statement=SPARSE_CONTROL,
            study="universality",
            quantity="the same share at the start, largest over C and D",
            each=over_arms(max, "first_neurons", SPARSE),
            accepts=Range(None, 0.7),
            ours="0.7, well below the claim's bound",
        ),
    ),
    ablation(
        ABELIAN, "ablating-destroys-in-cyclic-groups", "in cyclic groups", "5.15 to 10.9 nats; ln |G| is 4.7 or 4.8"
    ),
    ablation(
        "DSA",
        "ablating-destroys-in-other-groups",
        "in groups that do not commute",
        "7.2 nats or more; ln |G| is 4.1 to 6.6",
    ),
    Claim(
        id="excluded-loss-is-chance",
        statement="Without the key irreps the training pairs are lost too: no memory is left behind.",
        where="Sec. 5.6, App. E.1",
        paper="as in the last claim; App. E.1 evaluates on training pairs, its code on all",
        study="universality",
        quantity="loss without the key irreps over ln |G|, training pairs, smallest over the groups",
        each=over_arms(min, "excluded"),
        accepts=Range(1.0, None),
        control=Control(
            statement="A network that has learned random answers keeps its training pairs without any irrep.",
            study="universality",
            quantity="its loss without irreps over ln |G|, training pairs",
            each=lambda o: o["random"]["excluded"],
            accepts=Range(None, 0.1),
            ours="0.1, near the training loss",
        ),
    ),
    Claim(
        id="weak-universality",
        statement="Networks on all groups are this one algorithm.",
        where="Sec. 6, Table 3",
        paper="all of seven groups, two architectures, four seeds",
        study="universality",
        quantity="share of groups on which embeddings ≥ 0.95, neurons ≥ 0.8, loss without the key irreps ≥ ln |G| and "
        "with them alone ≤ 0.05 ln |G|",
        each=lambda o: sum(map(is_algorithm, o["arms"].values())) / len(o["arms"]),
        accepts=Range(1.0, 1.0),
        ours="the bounds of the other claims, all at once; 0.05 for the restricted loss",
        control=Control(
            statement="A network that has learned random answers is not.",
            study="universality",
            quantity="the same of that network (0 or 1)",
            each=lambda o: is_algorithm(o["random"]),
            accepts=Range(0.0, 0.0),
        ),
    ),
    Claim(
        id="no-strong-universality",
        statement="Which irreps are learned differs between seeds.",
        where="Sec. 6, Fig. 7, Table 5",
        paper="no two of four seeds have the same set on C113, C118, D59 or D61",
        study="universality",
        quantity="mean Jaccard index of the key irreps of two seeds, cyclic and dihedral groups",
        pooled=lambda seen: overlap(seen, SPARSE),
        accepts=Range(None, 0.75),
        ours="0.75: a quarter of what either has is missing from the other; 1 would be strong universality",
        control=Control(
            kind="positive",
            statement="Two looks at the same network, at the end and at 80 % of its steps, agree.",
            study="universality",
            quantity="mean Jaccard index of its key irreps at both",
            pooled=lambda seen: overlap(seen, SPARSE, late=True),
            accepts=Range(0.85, 1.0),
            ours="0.85, above what two seeds may have",
        ),
    ),
    Claim(
        id="no-strong-universality-without-symmetry",
        statement="The same holds where no symmetry of the group exchanges its irreps, as multiplying all of Z_n does.",
        where="Sec. 6, Fig. 7, Table 5",
        paper="three different sets among four seeds on S5, and on A5: mean index 0.62 and 0.71",
        study="universality",
        quantity="mean Jaccard index of the key irreps of two seeds, S4 and A5",
        pooled=lambda seen: overlap(seen, "SA"),
        accepts=Range(None, 0.75),
        contradicts=Range(0.95, None),
        ours="0.75 as before; contradicted where at most one irrep in twenty differs",
        control=Control(
            kind="positive",
            statement="Two looks at the same network, at the end and at 80 % of its steps, agree.",
            study="universality",
            quantity="mean Jaccard index of its key irreps at both",
            pooled=lambda seen: overlap(seen, "SA", late=True),
            accepts=Range(0.85, 1.0),
            ours="0.85, above what two seeds may have",
        ),
    ),
    Claim(
        id="cosets-describe-the-neurons-too",
        statement="What each operand adds to a neuron is constant on the cosets of a subgroup (contested: with cosets "
        "and without products of matrices).",
        where="Stander et al. 2023, Sec. 6.1, Fig. 4",
        paper="min C_H < 1 for over 99.2 % of the neurons on S5 and S6, below 1e-6 for most",
        study="universality",
        quantity="median over live neurons of min over subgroups H ≠ {e} of C_H, permutations",
        each=over_arms(max, "cosets", "S", "MLP"),
        accepts=Range(None, 0.1),
        ours="0.1: a tenth of the variance within cosets, since training is short; half of the neurons at least",
        control=Control(
            statement="Before training neurons are not constant on cosets.",
            study="universality",
            quantity="the same of the first weights",
            each=over_arms(min, "first_cosets", "S", "MLP"),
            accepts=Range(0.5, None),
            ours="0.5; at most 1 by the group itself, and noise is near it",
        ),
    ),
    restricted_first(ABELIAN, "restricted-loss-falls-first-in-cyclic-groups", "In cyclic groups the"),
    restricted_first("DSA", "restricted-loss-falls-first-in-other-groups", "In groups that do not commute too the"),
)


PAPER = Paper(
    key="chughtai2023universality",
    source="chughtai2023toy",
    about="which representations of a group a network on its products learns, and whether two networks agree",
    differences=(
        "The quick preset has Z_37, Z_31, D_23, S_4 and A_5 at 60 to 70 % of the pairs, learning rate 1e-2 and up to "
        "3,000 steps; the paper seven groups of 60 to 720 elements at 25 to 60 %, 1e-3 and 250,000. That is at most 30 "
        "relaxation times of the weight decay, and 250.",
        "S_6 is left out of the paper preset: 720³ logits a look are 1.5 GB.",
        "The transformer (paper preset alone) is Nanda's one layer of width 128 and 512 neurons (reconstruction); the "
        "training shares and steps by group are those of the authors' code.",
        "Key irreps have a correlation of at least 0.05 with the logits, as in the authors' code; the paper's text "
        "says 0.005, at which irreps that are still fading would count after so short a training.",
        "Embeddings are the products of embedding and first layer, as in the paper; the share is of both operands' "
        "together. Of the transformer's share it is that of the embedding itself.",
        "ρ(ab) is taken out of the logits and not of the neurons: the map between them is linear, so it is the same.",
        "The restricted loss leaks where most of the table is given: the mean of a memorising network's logits over "
        "all pairs of one product is right already. So its control is a network that memorises the true answers, not "
        "random ones; where its restricted loss is low too, the claim says nothing.",
        "No dropout, no order in which irreps are learned, no clusters of neurons, no 50 seeds.",
        "Stander et al. 2023 (arXiv 2312.06581) contest the reading: in S_5 and S_6 they find neurons that are "
        "constant on cosets of subgroups, and no sign of matrix products. All that is observed here holds for both, "
        "since a function that is constant on cosets lies in few irreps.",
    ),
    experiments=(EXPERIMENT,),
    studies=(UNIVERSALITY,),
    claims=CLAIMS,
    draw=draw,
    caption="Left: shares of embeddings, centred neurons and logits in the key irreps by group (Tables 3 and 5); the "
    "dotted line is 0.85. Middle: train, test, restricted and excluded loss by step (Fig. 6). Right: correlation of "
    "logits and characters by irrep and seed (Fig. 7).",
    figure_size=(10.5, 3.2),
)
