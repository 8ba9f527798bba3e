"""Humayun, Balestriero & Baraniuk 2024, "Deep Networks Always Grok and Here is Why"."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import Fit, Measure, Norms, Snapshot
from grokscope.measures.adversarial import accuracy_under_attack, between
from grokscope.measures.base import Values
from grokscope.measures.regions import local_complexity
from grokscope.measures.spectrum import probe_rows
from grokscope.models import Dense
from grokscope.objectives import MSE, CrossEntropy
from grokscope.optim import AdamW
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study, Trained
from grokscope.papers.drawing import ACCENT, SECOND, TEST, THIRD, TRAIN, label_corner, lines, mark, over_steps
from grokscope.papers.series import Curve, at, minus, over, pairs
from grokscope.seeds import Seeds
from grokscope.sources import Source
from grokscope.tasks import Digits
from grokscope.trace import Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACES = ("train", "test", "random", "border")
"""Around which points neurons are counted; random points are uniform in the unit cube, as in the paper."""


class Neighbourhoods(Measure):
    """Local complexity around images, random points and the decision border, and accuracy under PGD."""

    kind: ClassVar[str] = "grokscope.papers.humayun2024local:Neighbourhoods"
    needs: ClassVar[frozenset[str]] = frozenset({"neurons"})
    quantities: ClassVar[tuple[Quantity, ...]] = (
        *(
            Quantity(f"complexity/around_{place}", "neurons", (0.0, float("inf")), f"local complexity, {place}")
            for place in PLACES
        ),
        Quantity("train/attacked", "share", (0.0, 1.0), "training images answered right under attack"),
        Quantity("test/attacked", "share", (0.0, 1.0), "held-out images answered right under attack"),
    )
    sources: ClassVar[tuple[Source, ...]] = (
        Source("humayun2024deep", "Sec. 2.2"),
        Source("madry2017towards", "Sec. 2.1"),
    )

    points: int = Field(default=1000, ge=2)
    """Points of each place at most, for local complexity."""
    radius: float = Field(default=0.05, gt=0.0)
    """r, in units of the pixels."""
    directions: int = Field(default=25, ge=1)
    """P."""
    epsilon: float = Field(default=0.1, gt=0.0)
    """Radius of the attack in the maximum norm, in units of the pixels."""
    step_size: float = Field(default=4 / 255, gt=0.0)
    """α of the attack."""
    attack_steps: int = Field(default=10, ge=1)
    """Steps of the attack."""
    images: int = Field(default=1797, ge=1)
    """Images of each split that are attacked, at most."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """Six numbers."""
        network, encoding, answers_N = snapshot.network, snapshot.encoding, snapshot.split.answers_N
        images_ND = encoding.tokens_NL

        def logits(x_ND: Tensor) -> Tensor:
            return network(x_ND)[:, encoding.answer_row, encoding.answers]

        train, test = (images_ND[probe_rows(snapshot, split, self.points)] for split in ("train", "test"))
        drawn = torch.rand(train.shape, generator=Seeds(0).generator("measure", "points")).to(train)
        border, crossed = between(logits, train, train.roll(1, 0))
        values: dict[str, float] = {}
        for place, points in zip(PLACES, (train, test, drawn, border[crossed]), strict=True):
            generator = Seeds(0).generator("measure", "frames")
            found = local_complexity(network, points, generator, self.radius, self.directions) if len(points) else None
            count = float("nan") if found is None else found.sum(1).double().mean().item()
            values[f"complexity/around_{place}"] = count
        for split in ("train", "test"):
            rows = probe_rows(snapshot, split, self.images)
            share = accuracy_under_attack(
                logits, images_ND[rows], answers_N[rows], self.epsilon, self.step_size, self.attack_steps
            )
            values[f"{split}/attacked"] = share
        return values


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
FALLEN = 2 / 3
"""Share of its peak below which local complexity has fallen (ours)."""
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


def _over(upper: str, lower: str) -> Callable[[Observation], float | None]:
    return lambda seen: over(seen[upper], seen[lower])


def _phases(arm: str) -> Callable[[Observation], bool | None]:
    """Whether C falls by a tenth, rises by a tenth until the images are fitted or longer, and falls by a third."""

    def holds(seen: Observation) -> bool | None:
        first, low, peak, end, top = (seen[f"{arm}_{name}"] for name in ("first", "low", "peak", "end", "peak_step"))
        if first is None or end is None:
            return None
        return (
            low <= 0.9 * first and peak >= 1.1 * low and end <= FALLEN * peak and top >= (seen[f"{arm}_t_train"] or 0)
        )

    return holds


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Accuracy and local complexity along training; the same on random labels; accuracy from a large start."""
    accuracy, complexity, noise, start = figure.subplots(1, 4)
    both, large = seen["robustness"], seen["large-start"]

    def panel(axes: Any, many: Sequence[Observation], arm: str, curves: Sequence[tuple[str, str]]) -> None:
        for name, colour in curves:
            lines(axes, [one[f"{arm}_{name}_curve"] for one in many], colour, width=1.8)

    accuracies = (("train/accuracy", TRAIN), ("test/accuracy", TEST), ("test/attacked", ACCENT))
    places = (("around_border", SECOND), ("around_random", THIRD), ("around_test", TEST), ("around_train", TRAIN))
    panel(accuracy, both, "true", accuracies)
    panel(complexity, both, "true", places)
    panel(noise, both, "random", places)
    panel(start, large, "large", accuracies)
    for axes, about, title, many, arm in (
        (accuracy, "accuracy", "digits", both, "true"),
        (complexity, "local complexity (neurons)", "digits", both, "true"),
        (noise, "local complexity (neurons)", "random labels", both, "random"),
        (start, "accuracy", "first weights × 8", large, "large"),
    ):
        over_steps(axes, about, f"{title}, n = {len(many)} seeds", left=0)
        mark(axes, [one[f"{arm}_t_train"] for one in many])
        axes.set_ylim(0, None if about.startswith("local") else 1.03)
    names = [("around the border", SECOND), ("random points", THIRD), ("held-out", TEST), ("training", TRAIN)]
    label_corner(complexity, names, "upper left")
    words = [("train", TRAIN), ("held-out", TEST), ("held-out, attacked", ACCENT)]
    label_corner(accuracy, words, "lower right")
    label_corner(start, words, "upper left")


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
FINALLY = "the median of the last three looks"
CLAIMS = (
    Claim(
        id="delayed-robustness",
        statement="Long after the clean test accuracy has saturated, accuracy on adversarial examples still rises.",
        where="Sec. 1, Observation; Fig. 2, top left",
        paper="a late rise of PGD accuracy, from about 10⁴ of 10⁵ steps on; curves only",
        study="robustness",
        quantity="rise of held-out accuracy under PGD, ε = 0.1, from its lowest since clean accuracy saturated, share",
        each=lambda seen: seen["true_rise"],
        accepts=Range(low=0.1),
        contradicts=Range(high=0.0),
        ours="Ten points. Saturated: within one point of the highest clean accuracy. In the end: " + FINALLY + ". "
        "From the lowest running median of three looks, since on the digits an early robustness passes before the "
        "late one comes.",
        control=Control(
            study="robustness",
            quantity="the same rise on the training images of random labels, share",
            each=lambda seen: seen["random_rise"],
            accepts=Range(high=0.05),
            statement="A network that only memorises does not become robust, not even on what it memorised.",
        ),
    ),
    Claim(
        id="second-descent",
        statement="Local complexity around training points falls late in training.",
        where="Sec. 3.1, the second descent; Fig. 2, bottom left",
        paper="falls from its peak from about 10⁴ of 10⁵ steps on; curves only",
        study="robustness",
        quantity="local complexity around training images in the end / at its peak",
        each=_over("true_end", "true_peak"),
        accepts=Range(high=FALLEN),
        contradicts=Range(low=1.0),
        ours="A third: with random labels it may fall by a fifth in these steps. In the end: " + FINALLY + ".",
        control=Control(
            study="robustness",
            quantity="the same ratio with random labels",
            each=_over("random_end", "random_peak"),
            accepts=Range(low=FALLEN),
            statement="With as many random labels it does not in the same steps (Fig. 13: memorising delays it).",
        ),
    ),
    Claim(
        id="three-phases",
        statement="Local complexity first descends, then ascends at least until the training points are fitted, then "
        "descends again.",
        where="Sec. 3.1",
        paper="in all experiments; curves only",
        study="robustness",
        quantity="all three phases in order, 0 or 1",
        each=_phases("true"),
        accepts=Range(low=1.0),
        ours="By a tenth down, a tenth up and a third down; peak not before 99 % of training images are fitted.",
        control=Control(
            study="robustness",
            quantity="the same with random labels",
            each=_phases("random"),
            accepts=Range(high=0.0),
            statement="With as many random labels the third phase is missing in the same steps.",
        ),
    ),
    Claim(
        id="descent-first",
        statement="The second descent precedes the onset of delayed robustness.",
        where="Sec. 3.1, Local complexity as a progress measure",
        paper="always",
        study="robustness",
        quantity="step at which accuracy under attack has risen / step at which local complexity has fallen",
        each=_over("true_t_rise", "true_t_fall"),
        accepts=Range(low=1.0),
        ours="Risen by ten points and fallen by a tenth; at the same look counts.",
        control=Control(
            study="robustness",
            quantity="step at which clean accuracy saturated / step at which local complexity has fallen",
            each=_over("true_t_saturated", "true_t_fall"),
            accepts=Range(high=0.5),
            statement="The clean accuracy of the same network does not wait for the second descent.",
        ),
    ),
    Claim(
        id="fall-with-rise",
        statement="Local complexity goes with robustness: while one falls the other rises.",
        where="Sec. 1: dynamics correlating with the onset of delayed robustness",
        paper="by eye",
        study="robustness",
        quantity="Spearman's ρ of local complexity and accuracy under attack, from the peak of the former on",
        each=lambda seen: seen["true_rho"],
        accepts=Range(high=-0.5),
        contradicts=Range(low=0.0),
        ours="The paper judges by eye.",
        control=Control(
            study="robustness",
            quantity="ρ of local complexity and clean accuracy at the same looks",
            each=lambda seen: seen["true_rho_clean"],
            accepts=Range(low=-0.4),
            statement="Clean accuracy does not go with it.",
        ),
    ),
    Claim(
        id="region-migration",
        statement="Regions move from the training points to the decision border.",
        where="Sec. 3.1, Figs. 2 and 7",
        paper="seen in slices through three training points",
        study="robustness",
        quantity="local complexity around the border over that around training images: in the end / at the peak",
        each=_over("true_spread", "true_spread_peak"),
        accepts=Range(low=1.5),
        contradicts=Range(high=1.0),
        ours="Counted in place of looked at; half as much again.",
        control=Control(
            study="robustness",
            quantity="the same with random labels",
            each=_over("random_spread", "random_spread_peak"),
            accepts=Range(high=1.25),
            statement="With as many random labels they do not in the same steps.",
        ),
    ),
    Claim(
        id="delayed-generalisation",
        statement="First weights that are eight times as large delay generalisation.",
        where="Fig. 7",
        paper="test accuracy rises long after the training points are fitted",
        study="large-start",
        quantity="rise of held-out accuracy since 99 % of training images are fitted, share",
        each=lambda seen: seen["large_accuracy_gain"],
        accepts=Range(low=0.1),
        ours="Ten points; in the end: " + FINALLY + ".",
        control=Control(
            study="large-start",
            quantity="the same with first weights of ordinary size",
            each=lambda seen: seen["plain_accuracy_gain"],
            accepts=Range(high=0.05),
            statement="From first weights of ordinary size there is no such delay.",
        ),
    ),
)

PAPER = Paper(
    key="humayun2024local",
    source="humayun2024deep",
    about="delayed robustness, and linear regions that leave the training points for the decision border",
    differences=(
        "8 × 8 digits in place of MNIST, in the paper preset too: 1,000 to train on, as there, and 797 to test.",
        "Quick: 3 hidden layers of 64 in place of 200, batches of 50 in place of 200, lr 5e-3 in place of 1e-3 and "
        "10,000 steps in place of 100,000.",
        "Squared error, the default of the authors' code for this network; the text names no loss. With cross-entropy "
        "neither the second descent nor delayed robustness came in 12,000 steps (seed 0, lr 5e-3).",
        "First weights are torch's, as in the code; AdamW with weight decay 0.01, as in the code.",
        "r = 0.05, which is in the code's list, in place of 0.005: with 64 pixels in [0, 1] and few points smaller "
        "balls meet hardly any neuron. Quick: 250 points and P = 10 in place of 1,000 and 25.",
        "Each point has a frame of its own; the code takes one for all. The outputs' own signs are not counted; the "
        "code counts those of every linear layer, the last one too.",
        "PGD begins at the image, as in the code, with ε = 0.1 (one of the paper's six), α = 4/255. Quick: 10 steps "
        "in place of 100.",
        "Local complexity around the border stands for the paper's pictures of slices: points of the border between "
        "neighbours in the list of training images, by bisection.",
        "Large start: cross-entropy; 359 images and weight decay 1 for 2,500 steps in quick, in place of 0.01 for "
        "100,000, so that weights decay 2.5 times as far in a fortieth of the steps.",
        "CNN and ResNet on CIFAR and Imagenette, the GPT on Shakespeare, modular addition and batch normalisation "
        "are left out.",
        "Random labels and the clean accuracy as controls are ours.",
    ),
    studies=(ROBUSTNESS, LARGE_START),
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Accuracy, clean and under attack, and local complexity along training (Fig. 2, left); local complexity "
    "with random labels; accuracy from first weights that are eight times as large (Fig. 7, left). Dotted: 99 % of "
    "training images fitted.",
    figure_size=(12.0, 3.2),
)
