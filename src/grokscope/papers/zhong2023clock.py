"""Zhong et al. 2023, "The Clock and the Pizza"."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.experiment import Experiment
from grokscope.measures import Circularity, ClockPizza, Fit
from grokscope.models import AttentionRateTransformer
from grokscope.optim import AdamW
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study, Trained
from grokscope.papers.drawing import (
    ACCENT,
    SECOND,
    TEST,
    THIRD,
    TRAIN,
    columns,
    label_corner,
    label_line,
    lines,
    points,
)
from grokscope.tasks import ModularArithmetic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYMMETRY = "algorithm/gradient_symmetricity"
DISTANCE = "algorithm/distance_irrelevance"
CIRCLES = "embedding/circularity"
SOLVED = 0.98  # test accuracy of the networks that count, 4 of 193 rows at p = 31; the paper's have 1
SHUFFLES = 200


def setting(p: int, width: int, rate: float, lr: float, steps: int) -> Experiment:
    """The paper's network, ``a b`` read at b, with attention rate α, and its optimizer."""
    return Experiment(
        name="zhong2023clock",
        about=f"a + b mod {p} at 80 %, one-layer transformer of width {width} at attention rate {rate:g}, wd 2 "
        "(Zhong et al. 2023)",
        task=ModularArithmetic(modulus=p, train_fraction=0.8),
        model=AttentionRateTransformer(
            width=width, heads=4, hidden=4 * width, sequence="operands", attention_rate=rate
        ),
        optimizer=AdamW(lr=lr, weight_decay=2.0, betas=(0.9, 0.98), warmup=10),
        precision="float32",
        budget=steps,
        measures=(Fit(), Circularity(), ClockPizza()),
    )


EXPERIMENT = setting(59, 128, 1.0, 1e-3, 20_000)


def rates(lab: Lab) -> Observation:
    """One network for each attention rate, all else the same: what it is at the end and was at the start."""
    size = lab.size
    runs = [lab.train(setting(size["p"], size["width"], rate, size["lr"], size["steps"])) for rate in size["rates"]]
    return {
        "p": size["p"],
        "width": size["width"],
        "rates": list(size["rates"]),
        "test": [_value(run, "test/accuracy", -1) for run in runs],
        "symmetry": [_solved(run, SYMMETRY) for run in runs],
        "distance": [_solved(run, DISTANCE) for run in runs],
        "circularity": [_solved(run, CIRCLES) for run in runs],
        "first_symmetry": [_value(run, SYMMETRY, 0) for run in runs],
        "first_distance": [_value(run, DISTANCE, 0) for run in runs],
        "first_circularity": [_value(run, CIRCLES, 0) for run in runs],
    }


def wide(lab: Lab) -> Observation:
    """A wide network with plain attention."""
    size = lab.size
    run = lab.train(setting(size["p"], size["width"], 1.0, size["lr"], size["steps"]))
    return {
        "p": size["p"],
        "width": size["width"],
        "test": _value(run, "test/accuracy", -1),
        "symmetry": _solved(run, SYMMETRY),
        "distance": _solved(run, DISTANCE),
        "circularity": _solved(run, CIRCLES),
    }


def _value(run: Trained, key: str, look: int) -> float | None:
    """At the first or the last look; None where it is no number."""
    _, values = run.trace.series(key, 0)
    return float(values[look]) if len(values) and np.isfinite(values[look]) else None


def _solved(run: Trained, key: str) -> float | None:
    """At the end, of a network that answers the test rows; None for others."""
    return _value(run, key, -1) if (_value(run, "test/accuracy", -1) or 0.0) >= SOLVED else None


def _ranks(observations: Sequence[Observation], key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Ranks of α and of a value over all solved networks, and whose seed they are; None where either is constant."""
    from scipy.stats import rankdata

    found = [
        (rate, value, seed)
        for seed, o in enumerate(observations)
        for rate, value in zip(o["rates"], o[key], strict=True)
        if value is not None
    ]
    if len({rate for rate, _, _ in found}) < 2 or len({value for _, value, _ in found}) < 2:
        return None
    rate_N, value_N, seed_N = (np.array(column) for column in zip(*found, strict=True))
    return rankdata(rate_N), rankdata(value_N), seed_N


def spearman(observations: Sequence[Observation], key: str) -> float | None:
    """Rank correlation of α and a value over the solved networks of all seeds, in [−1, 1]."""
    ranks = _ranks(observations, key)
    return None if ranks is None else float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def shuffled(observations: Sequence[Observation], key: str) -> float | None:
    """What 95 % of the rank correlations stay below in size when α is shuffled within each seed."""
    ranks = _ranks(observations, key)
    if ranks is None:
        return None
    rate_N, value_N, seed_N = ranks
    draw, found = np.random.default_rng(0), []
    for _ in range(SHUFFLES):
        order = np.lexsort((draw.random(len(seed_N)), seed_N))  # seeds stay in order, so only α within one moves
        found.append(abs(np.corrcoef(rate_N[order], value_N)[0, 1]))
    return float(np.quantile(found, 0.95))


def _end(o: Observation, key: str, end: int, symmetry: Range | None = None) -> float | None:
    """A value at the smallest (0) or the largest (−1) α; None unless the gradients are as symmetric as asked for."""
    value: float | None = o[key][end]
    return value if symmetry is None or o["symmetry"][end] in symmetry else None


def _circles(o: Observation, key: str) -> float | None:
    ends = [o[key][0], o[key][-1]]
    return None if None in ends else min(ends)


PIZZA = {"symmetry": Range(0.98, None), "distance": Range(None, 0.6)}
CLOCK = {"symmetry": Range(None, 0.9), "distance": Range(0.6, None)}

RATES = Study(
    name="rates",
    about="attention rates from 0 to 1, one network each",
    observe=rates,
    sizes={
        "smoke": {"p": 11, "width": 16, "lr": 1e-2, "steps": 60, "rates": (0.0, 1.0)},
        "quick": {"p": 31, "width": 64, "lr": 5e-3, "steps": 1300, "rates": (0.0, 0.25, 0.5, 0.75, 1.0)},
        "paper": {"p": 59, "width": 128, "lr": 1e-3, "steps": 20_000, "rates": tuple(i / 10 for i in range(11))},
    },
)
WIDE = Study(
    name="wide",
    about="a wide network at attention rate 1",
    observe=wide,
    sizes={
        "smoke": {"p": 11, "width": 32, "lr": 1e-2, "steps": 30},
        "quick": {"p": 23, "width": 256, "lr": 5e-3, "steps": 400},
        "paper": {"p": 59, "width": 512, "lr": 1e-3, "steps": 20_000},
    },
)

CLAIMS = (
    Claim(
        id="symmetry-falls-with-attention",
        statement="With more attention the two operands enter less alike: gradient symmetricity falls with α.",
        where="Sec. 5, Fig. 7",
        paper="falls from above 0.98 to about 0.3 (its models A and B: 0.9937 and 0.3336)",
        study="rates",
        quantity="Spearman correlation of s_g and α, all solved networks",
        pooled=lambda seen: spearman(seen, "symmetry"),
        accepts=Range(None, -0.5),
        contradicts=Range(0.0, None),
        ours="−0.5; over the runs that the authors published, of one layer and width 128, it is −0.77. Before training "
        "s_g falls with α too, because the residual carries b alone, so that the next claims judge its level",
        control=Control(
            statement="With α shuffled within each seed so strong a correlation does not come about.",
            study="rates",
            quantity="95 % quantile of |Spearman correlation| over shuffles",
            pooled=lambda seen: shuffled(seen, "symmetry"),
            accepts=Range(0.0, 0.5),
            ours="the same 0.5",
        ),
    ),
    Claim(
        id="distance-matters-less-with-attention",
        statement="With more attention the correct logit depends less on a − b: distance irrelevance rises with α.",
        where="Sec. 5, Fig. 7",
        paper="rises from about 0.2 to about 0.8 (its models A and B: 0.17 and 0.85)",
        study="rates",
        quantity="Spearman correlation of q and α, all solved networks",
        pooled=lambda seen: spearman(seen, "distance"),
        accepts=Range(0.5, None),
        contradicts=Range(None, 0.0),
        ours="0.5; over the runs that the authors published, of one layer and width 128, it is 0.61",
        control=Control(
            statement="With α shuffled within each seed so strong a correlation does not come about.",
            study="rates",
            quantity="95 % quantile of |Spearman correlation| over shuffles",
            pooled=lambda seen: shuffled(seen, "distance"),
            accepts=Range(0.0, 0.5),
            ours="the same 0.5",
        ),
    ),
    Claim(
        id="no-attention-makes-a-pizza",
        statement="Without attention (α = 0) the network is a pizza: its correct logits depend on a − b and its "
        "gradients are symmetric.",
        where="Sec. 3.1 and 5, Fig. 7",
        paper="s_g > 0.98 and q < 0.6; model A has 0.9937 and 0.17",
        study="rates",
        quantity="q at α = 0 where s_g ≥ 0.98",
        each=lambda o: _end(o, "distance", 0, PIZZA["symmetry"]),
        accepts=PIZZA["distance"],
        control=Control(
            statement="At α = 1 the same network has no symmetric gradients.",
            study="rates",
            quantity="s_g at α = 1",
            each=lambda o: _end(o, "symmetry", -1),
            accepts=CLOCK["symmetry"],
            ours="0.9, well below a pizza's 0.98",
        ),
    ),
    Claim(
        id="attention-makes-a-clock",
        statement="With plain attention (α = 1) the network is a clock: its correct logits depend little on a − b and "
        "its gradients are not symmetric.",
        where="Sec. 3.1 and 5, Fig. 7",
        paper="model B has s_g 0.3336 and q 0.85",
        study="rates",
        quantity="q at α = 1 where s_g ≤ 0.9",
        each=lambda o: _end(o, "distance", -1, CLOCK["symmetry"]),
        accepts=CLOCK["distance"],
        ours="q on the other side of the pizza's bound, and s_g well below a pizza's",
        control=Control(
            statement="At α = 0 the gradients of the same network are symmetric.",
            study="rates",
            quantity="s_g at α = 0",
            each=lambda o: _end(o, "symmetry", 0),
            accepts=PIZZA["symmetry"],
        ),
    ),
    Claim(
        id="circles-in-both",
        statement="Both algorithms embed the elements on circles; the embedding does not tell them apart.",
        where="Sec. 3.1 and 5, Def. B.1",
        paper="circularity at least 0.995 in the networks that it keeps",
        study="rates",
        quantity="the smaller circularity of α = 0 and α = 1",
        each=lambda o: _circles(o, "circularity"),
        accepts=Range(0.8, None),
        ours="0.8: every network is judged, none filtered, and circles of equal radius lower the measure; in 92 % of "
        "the published runs it is above 0.8, in 34 % above 0.995",
        control=Control(
            statement="Before training there are no circles.",
            study="rates",
            quantity="the same of the first weights",
            each=lambda o: _circles(o, "first_circularity"),
            accepts=Range(None, 0.5),
            ours="noise has 0.27 or less at p = 31",
        ),
    ),
    Claim(
        id="wide-networks-can-stay-pizzas",
        statement="Wide networks can be pizzas even with plain attention.",
        where="Sec. 5, Fig. 7 (width)",
        paper="among wide networks, pizzas at α = 1; of its published runs with α > 0.9 none of 35 up to width 256 and "
        "3 of 11 above",
        study="wide",
        quantity="share of solved wide networks at α = 1 with s_g ≥ 0.98 and q ≤ 0.6",
        pooled=lambda seen: _pizzas([(o["symmetry"], o["distance"]) for o in seen]),
        accepts=Range(0.01, None),
        ours="that the whole interval is above 0: some in almost every draw of five seeds",
        control=Control(
            kind="positive",
            statement="The same rule finds pizzas at α = 0.",
            study="rates",
            quantity="the same share at α = 0",
            pooled=lambda seen: _pizzas([(o["symmetry"][0], o["distance"][0]) for o in seen]),
            accepts=Range(0.01, None),
            ours="the same bound",
        ),
    ),
)


def _pizzas(found: Sequence[tuple[float | None, float | None]]) -> float | None:
    """The share of pizzas among the solved networks, by (s_g, q)."""
    solved = [(s, q) for s, q in found if s is not None]
    if not solved:
        return None
    return sum(s in PIZZA["symmetry"] and q in PIZZA["distance"] for s, q in solved) / len(solved)


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """s_g and q by attention rate, and the plane of both."""
    found, broad = seen["rates"], seen["wide"]
    rates = found[0]["rates"]
    left, middle, plane = figure.subplots(1, 3)
    for axes, key, word in (
        (left, "symmetry", "gradient symmetricity $s_g$"),
        (middle, "distance", "distance irrelevance q"),
    ):
        for name, colour, about in ((f"first_{key}", TRAIN, "before training"), (key, TEST, "trained")):
            line = lines(axes, [columns(rates, o[name]) for o in found], colour, ls=":" if name != key else "-")
            up = -20 if name == "first_symmetry" else 8 if key == "symmetry" or name != key else -16
            label_line(axes, line[:1], about, colour, height=0, up=up)
        axes.set(xlabel="attention rate α", ylabel=word, ylim=(-0.03, 1.1))
        axes.set_title(f"p = {found[0]['p']}, width {found[0]['width']}, n = {len(found)}", fontsize=9)
    plane.axhspan(0.98, 1.03, xmax=0.6 / 1.1, color=SECOND, alpha=0.12, lw=0)
    plane.axvspan(0.6, 1.1, ymax=0.93 / 1.06, color=ACCENT, alpha=0.08, lw=0)
    colours = {rates[0]: SECOND, rates[-1]: ACCENT}
    for i, rate in enumerate(rates):
        solved = points([(o["distance"][i], o["symmetry"][i]) for o in found if o["symmetry"][i] is not None])
        plane.scatter(*solved.T, s=18, color=colours.get(rate, TRAIN), lw=0)
    solved = points([(o["distance"], o["symmetry"]) for o in broad if o["symmetry"] is not None])
    plane.scatter(*solved.T, s=26, marker="D", facecolors="none", edgecolors=THIRD)
    plane.set(xlabel="distance irrelevance q", ylabel="gradient symmetricity $s_g$", xlim=(0, 1.1), ylim=(-0.03, 1.03))
    plane.set_title(f"solved networks of n = {len(found)} seeds", fontsize=9)
    plane.text(0.04, 0.91, "pizza", color=SECOND, fontsize=9)
    plane.text(1.06, 0.03, "clock", color=ACCENT, fontsize=9, ha="right")
    words = [(f"α = {rates[0]:g}", SECOND), ("between", TRAIN), (f"α = {rates[-1]:g}", ACCENT)]
    label_corner(plane, [*words, (f"◇ α = 1, width {broad[0]['width']}", THIRD)], "lower left")


PAPER = Paper(
    key="zhong2023clock",
    source="zhong2023clock",
    about="which of two algorithms a network adds with, by how much attention it is given",
    differences=(
        "The quick preset trains p = 31, width 64, at learning rate 0.005 for 1,300 steps; the paper p = 59, width "
        "128, at 0.001 for 20,000.",
        "α takes five values (paper preset: eleven), the same in every seed; the paper draws it evenly from [0, 1].",
        "Networks with test accuracy of at least 0.98 count; the paper wants 1 and circularity of at least 0.995, and "
        "leaves all others out.",
        "Triples for the gradients have a ≠ b and are the same 100 in every network; the paper draws them anew.",
        "The wide network is 256 wide at p = 23 in the quick preset, trained for 400 steps, and 512 in the paper "
        "preset; the paper's widths go from 32 to 512 (reconstruction from its published runs).",
        "The first weights are Nanda's, the split is the seed's own; depth, different embeddings for a and b, and an "
        "equality sign after b, which the paper varies too, are not.",
    ),
    studies=(RATES, WIDE),
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Left and middle: both measures by attention rate, medians strong, dotted "
    "before training (Fig. 7). Right: every solved network in "
    "the plane of both; shaded is what counts as a pizza or a clock.",
    figure_size=(9.5, 3.0),
    errs=(
        "A founding document says that low distance irrelevance is the clock's; by Def. 4.2 and the paper's numbers "
        "it is the pizza's (0.17), and the clock's is high (0.85).",
        "The opening of the paper's Sec. 4 exchanges its models A and B; by its tables A is the pizza and B the clock.",
    ),
)
