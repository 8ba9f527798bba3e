"""Mallinar et al. 2024, "Emergence in non-neural models: grokking by average gradient outer product"."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from grokscope.measures.kernel import alignment
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study
from grokscope.papers.drawing import ACCENT, SECOND, TEST, THIRD, TRAIN, Floats, columns, label_line, lines
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic
from grokscope.theory.rfm import Iteration, Kernel, circulant_deviation, iterate, one_hot_pairs, random_circulant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOW, HIGH = 0.1, 0.95  # test accuracy before and after the transition (ours)


def machine(lab: Lab) -> Observation:
    """The machine on a + b mod p with two kernels; random labels, random circulant features beside it."""
    p, fraction, bandwidth = lab.size["p"], lab.size["fraction"], lab.size["bandwidth"]
    wanted = lab.size["iterations"]
    whole = lab.steps(wanted) == wanted  # else only started: each step after the first takes seconds
    count, others = (wanted, wanted) if whole else (2, 1)
    rows = _rows(ModularArithmetic(modulus=p, train_fraction=fraction), lab.seed)
    noise = _rows(ModularArithmetic(modulus=p, train_fraction=fraction, labels="random"), lab.seed)
    quadratic = list(iterate(*rows, p, count))
    random = list(iterate(*noise, p, others))
    return {
        "p": p,
        "iterations": count,
        "train_error": 1 - min(step.train_accuracy for step in quadratic),
        "train_loss": max(step.train_loss for step in quadratic),
        "linear_error": _linear_error(*rows[:2], p),
        **_summary(quadratic, quadratic[-1].features_DD, p),
        "gaussian": _transition(list(iterate(*rows, p, others, kernel="gaussian", bandwidth=bandwidth))),
        "random": _summary(random, quadratic[-1].features_DD, p),
        "circulant": _with_features(lab, rows, p, "quadratic", bandwidth, scramble=False),
        "scrambled": _with_features(lab, rows, p, "quadratic", bandwidth, scramble=True),
    }


def _rows(task: ModularArithmetic, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    split, inputs = task.divide(Seeds(seed)), one_hot_pairs(task.table.operands_NK, task.elements)
    train, test = split.rows["train"], split.rows["test"]
    return inputs[train], split.answers_N[train], inputs[test], split.answers_N[test]


def _linear_error(inputs: Tensor, labels: Tensor, p: int) -> float:
    """Train error of least squares on the one-hot pairs themselves, which cannot interpolate."""
    wanted = torch.nn.functional.one_hot(labels, p).double()
    fit = inputs @ (torch.linalg.pinv(inputs) @ wanted)
    return (fit.argmax(1) != labels).double().mean().item()


def _with_features(
    lab: Lab, rows: tuple[Tensor, Tensor, Tensor, Tensor], p: int, kernel: Kernel, bandwidth: float, scramble: bool
) -> float:
    start = random_circulant(p, lab.generator("circulant"), scramble)
    return next(iterate(*rows, p, 1, kernel=kernel, bandwidth=bandwidth, start_DD=start)).test_accuracy


def _transition(steps: Sequence[Iteration]) -> dict[str, Any]:
    """How long test accuracy stays low from the first iteration on, and when it is high; None if never."""
    accuracy = [step.test_accuracy for step in steps]
    low = next((i for i, value in enumerate(accuracy) if value > LOW), len(accuracy))
    high = next((steps[i].number for i, value in enumerate(accuracy) if value >= HIGH), None)
    return {"low": low, "high": high, "final": accuracy[-1], "accuracy": [round(value, 4) for value in accuracy]}


def _summary(steps: Sequence[Iteration], final_DD: Tensor, p: int) -> dict[str, Any]:
    deviation = [circulant_deviation(step.features_DD[p:, :p]) for step in steps]
    aligned = [alignment(step.features_DD, final_DD) for step in steps]
    found = _transition(steps)
    # M is the identity at iteration 1 and has nothing off its blocks: progress is counted from the peak on
    last, peak = max(found["low"] - 1, 0), int(np.argmax(deviation))
    return {
        **found,
        "loss": [step.test_loss for step in steps],
        "deviation": [round(value, 5) for value in deviation],
        "alignment": [round(value, 5) for value in aligned],
        "progress": deviation[last] / deviation[peak] if last > peak else None,
        "loss_progress": steps[last].test_loss / steps[0].test_loss,
        "aligned_by": aligned[last] - aligned[min(1, last)],
        "final_deviation": deviation[-1],
    }


MACHINE = Study(
    name="machine",
    about="kernel regression that learns its features; a step is one iteration of the machine",
    observe=machine,
    sizes={
        "smoke": {"p": 13, "fraction": 0.6, "iterations": 6, "bandwidth": 12.5},
        "quick": {"p": 37, "fraction": 0.6, "iterations": 20, "bandwidth": 12.5},
        "paper": {"p": 61, "fraction": 0.5, "iterations": 50, "bandwidth": 12.5},
    },
)

CLAIMS = (
    Claim(
        id="train-error-is-zero-throughout",
        statement="Every iteration fits the training pairs exactly, so training says nothing about the transition.",
        where="Sec. 3, Fig. 2A",
        paper="training loss 0 and accuracy 100 % at all iterations",
        study="machine",
        quantity="largest train error of any iteration",
        each=lambda o: o["train_error"],
        accepts=Range(0.0, 0.0),
        control=Control(
            statement="Least squares on the one-hot pairs does not fit them: the fit is not free.",
            study="machine",
            quantity="train error of linear regression",
            each=lambda o: o["linear_error"],
            accepts=Range(0.5, 1.0),
            ours="more wrong than right",
        ),
    ),
    Claim(
        id="accuracy-jumps-late",
        statement="Test accuracy is near zero for the first iterations and then rises sharply to 100 %.",
        where="Sec. 3, Fig. 2A",
        paper="near 0 for about 8 iterations, then 100 %",
        study="machine",
        quantity="first iterations with test accuracy ≤ 0.1, if it reaches 0.95 later",
        each=lambda o: o["low"] if o["high"] is not None else None,
        accepts=Range(3, None),
        ours="3 iterations at most 0.1; 0.95 for 100 %, since p is smaller",
        control=Control(
            statement="On random labels accuracy stays at chance.",
            study="machine",
            quantity="test accuracy at the end, random labels",
            each=lambda o: o["random"]["final"],
            accepts=Range(0.0, 0.1),
            ours="about three times chance of p = 37",
        ),
    ),
    Claim(
        id="gaussian-kernel-too",
        statement="The transition is there with the Gaussian kernel as well.",
        where="Sec. 3, Fig. 2A",
        paper="near 0, then 100 %",
        study="machine",
        quantity="first iterations with test accuracy ≤ 0.1, if it reaches 0.95 later, Gaussian kernel",
        each=lambda o: o["gaussian"]["low"] if o["gaussian"]["high"] is not None else None,
        accepts=Range(3, None),
        ours="as for the quadratic kernel",
        control=Control(
            statement="Without feature learning, at the first iteration, it answers at chance.",
            study="machine",
            quantity="test accuracy of the first iteration, Gaussian kernel",
            each=lambda o: o["gaussian"]["accuracy"][0],
            accepts=Range(0.0, 0.1),
            ours="the bound below which accuracy counts as low",
        ),
    ),
    Claim(
        id="features-become-circulant-first",
        statement="Circulant deviation falls gradually while test accuracy is still near zero.",
        where="Sec. 3, Fig. 2B",
        paper="nearly linear progress in the first 10 iterations",
        study="machine",
        quantity="deviation at the last iteration with test accuracy ≤ 0.1 over its highest before",
        each=lambda o: o["progress"],
        accepts=Range(0.0, 0.5),
        ours="half of the way before accuracy moves",
        control=Control(
            statement="On random labels features do not become circulant.",
            study="machine",
            quantity="deviation at the end, random labels",
            each=lambda o: o["random"]["final_deviation"],
            accepts=Range(0.8, 1.0),
            ours="near 1 − 1/p, that of independent entries",
        ),
    ),
    Claim(
        id="features-align-first",
        statement="AGOP alignment with the final features rises while test accuracy is still near zero.",
        where="Sec. 3, Fig. 2B",
        paper="gradual improvement while test loss is constant",
        study="machine",
        quantity="rise of the alignment from iteration 2 to the last one with test accuracy ≤ 0.1",
        each=lambda o: o["aligned_by"],
        accepts=Range(0.1, 1.0),
        ours="a rise of 0.1; from iteration 2, the first with learned features",
        control=Control(
            statement="Features learned from random labels do not come nearer to the same final features.",
            study="machine",
            quantity="the same rise on random labels",
            each=lambda o: o["random"]["aligned_by"],
            accepts=Range(None, 0.05),
            ours="half of the claimed rise",
        ),
    ),
    Claim(
        id="random-circulant-features-suffice",
        statement="With random circulant features a plain kernel machine generalises at once.",
        where="Sec. 3, Fig. 4",
        paper="outperforms the machine that learns its features",
        study="machine",
        quantity="test accuracy of the first iteration from random circulant features",
        each=lambda o: o["circulant"],
        accepts=Range(0.95, 1.0),
        ours="the bound above which accuracy counts as high",
        control=Control(
            statement="The same features with the second operand's elements renamed at random do not help.",
            study="machine",
            quantity="test accuracy of the first iteration from scrambled features",
            each=lambda o: o["scrambled"],
            accepts=Range(0.0, 0.1),
            ours="the bound below which accuracy counts as low",
        ),
    ),
)


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Accuracy, test loss and the two progress measures, by iteration."""
    found = seen["machine"]
    accuracy, loss, progress = figure.subplots(1, 3)

    def course(axes: "Axes", key: str, colour: str, *, of: str | None = None) -> Floats:
        rows = [o[key] if of is None else o[of][key] for o in found]
        return lines(axes, [columns(range(1, len(row) + 1), row) for row in rows], colour)

    test, gaussian = course(accuracy, "accuracy", TEST), course(accuracy, "accuracy", THIRD, of="gaussian")
    label_line(accuracy, test, "test", TEST, height=0.5, side="left", up=4)
    label_line(accuracy, gaussian, "test, Gaussian", THIRD, height=0.4)
    random = course(accuracy, "accuracy", SECOND, of="random")
    label_line(accuracy, random[-1:], "random labels", SECOND, height=0, side="left", up=9)
    accuracy.axhline(1.0, color=TRAIN, lw=1)
    label_line(accuracy, [[1, 1]], "train", TRAIN, height=1, up=-8)
    accuracy.set(ylabel="accuracy", ylim=(-0.03, 1.06))
    label_line(loss, course(loss, "loss", TEST), "a + b", TEST, height=0.02, up=5)
    random = course(loss, "loss", SECOND, of="random")
    label_line(loss, random[-1:], "random labels", SECOND, height=0, side="left", up=8)
    loss.set(ylabel="test loss (squared error)", ylim=(0, None))
    label_line(progress, course(progress, "deviation", ACCENT)[4:], "circulant deviation", ACCENT, height=0.3)
    label_line(progress, course(progress, "alignment", TEST)[2:], "AGOP alignment", TEST, height=0.83, up=-9)
    random = course(progress, "deviation", SECOND, of="random")
    label_line(progress, random[3:], "deviation, random labels", SECOND, height=random[3, 1], side="right", up=9)
    progress.set(ylabel="circulant deviation, alignment (1)", ylim=(-0.03, 1.15))
    for axes, title in ((accuracy, "accuracy"), (loss, "test loss"), (progress, "progress measures")):
        axes.set_title(f"{title}, p = {found[0]['p']}, n = {len(found)}", fontsize=9)
        axes.set_xlabel("iteration")


PAPER = Paper(
    key="mallinar2024rfm",
    source="mallinar2024rfm",
    about="grokking without a network and without gradient descent, by a kernel machine that learns its features",
    differences=(
        "The quick preset has p = 37 and 60 % of the pairs; the paper p = 61 and, in its code, 50 %. At p = 31 and "
        "50 % the transition is slower and ends below 95 %.",
        "The mean Jacobian is taken out before the outer product, as in the authors' code; the paper's definition has "
        "no such centring.",
        "The paper shows one run without seeds; splits here are drawn from the seed.",
        "The shift in its circulant deviation can be read as either set of wrapped diagonals. We take those along "
        "which a − b is constant, which its random features for addition have.",
        "Progress is counted from the highest deviation on: features begin as the identity, whose block is empty.",
        "Random circulant columns have their mean taken out and negative eigenvalues of M* count as 0, as in the code.",
        "Addition alone; multiplication and division after reordering, and networks, are not done.",
    ),
    studies=(MACHINE,),
    claims=CLAIMS,
    draw=draw,
    caption="Left: accuracy by iteration, train accuracy is 1 throughout. Middle: test loss. Right: circulant "
    "deviation and AGOP alignment (Fig. 2).",
    figure_size=(9.5, 3.0),
)
