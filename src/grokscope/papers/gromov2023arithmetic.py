"""Gromov 2023, "Grokking modular arithmetic"."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from grokscope.experiment import Experiment
from grokscope.measures import Fit, NeuronWaves, Norms
from grokscope.measures.groups import input_weights, inverse_participation, phase_differences
from grokscope.models import MLP, Network
from grokscope.objectives import MSE
from grokscope.optim import SGD
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study, Trained
from grokscope.papers.drawing import ACCENT, SECOND, SOFT, TEST, TRAIN, columns, label_line, lines
from grokscope.papers.series import at, last, over, pairs
from grokscope.tasks import ModularArithmetic
from grokscope.theory.analytic import analytic_network, table_accuracy, waves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 100  # of a curve


def setting(p: int, neurons: int, fraction: float, lr: float, steps: int, random: bool = False) -> Experiment:
    """The paper's network and optimizer: quadratic, one-hot, no biases, N(0, 1), MSE, plain gradient descent."""
    return Experiment(
        name="gromov2023arithmetic",
        about=f"a + b mod {p} at {100 * fraction:g} %, quadratic network of {neurons} neurons, plain gradient descent "
        "on the squared error, no regularisation (Gromov 2023)",
        task=ModularArithmetic(modulus=p, train_fraction=fraction, labels="random" if random else "true"),
        model=MLP(
            hidden=neurons, activation="quadratic", bias=False, init="normal", output_scale=1 / (2 * p * neurons)
        ),
        optimizer=SGD(lr=lr),
        objective=MSE(),
        precision="float32",
        budget=steps,
        measures=(Fit(), Norms(), NeuronWaves()),
    )


EXPERIMENT = setting(97, 500, 0.49, 100_000.0, 40_000)


def closed_form(lab: Lab) -> Observation:
    """Accuracy of the analytic weights on every pair, by width, and of the same weights with broken phases."""
    p, widths = lab.size["p"], lab.size["widths"]
    task, squares = ModularArithmetic(modulus=p), ModularArithmetic(modulus=p, operation="x2+y2")
    draw = lab.generator("phases")
    aligned = [table_accuracy(analytic_network(task, waves(p, width, draw)), task) for width in widths]
    broken = [table_accuracy(analytic_network(task, waves(p, width, draw, "independent")), task) for width in widths]
    fitted = waves(p, widths[-1], draw, first=torch.square, second=torch.square)
    return {
        "p": p,
        "widths": list(widths),
        "aligned": aligned,
        "broken": broken,
        "gain": aligned[-1] - aligned[0],
        "broken_gain": broken[-1] - broken[0],
        "squares": table_accuracy(analytic_network(squares, fitted), squares),
        "squares_by_sum": table_accuracy(analytic_network(squares, waves(p, widths[-1], draw)), squares),
    }


def descent(lab: Lab) -> Observation:
    """A network trained without regularisation, beside it one with weight decay and one on random labels."""
    size = lab.size
    sizes = size["p"], size["neurons"], size["fraction"], size["lr"], size["steps"]
    true = lab.train(setting(*sizes), [{}, {"optimizer.weight_decay": size["decay"]}], together=2)
    random = lab.train(setting(*sizes, random=True))
    events = true.phases()[0].events
    steps, test = true.trace.series("test/accuracy", 0)
    rise = _first(steps, test, 0.1, events.t_train), _first(steps, test, 0.9, events.t_train)
    at_end, of_random = _differences(true.network(0)), _differences(random.network(0))
    ipr = [_ipr(network) for network in (_first_network(random), random.network(0))]
    return {
        "p": size["p"],
        "t_train": events.t_train,
        "t_test": events.t_test,
        "ratio": events.ratio,
        "test_at_t_train": _at(true, "test/accuracy", events.t_train),
        "final_test": _last(true, "test/accuracy"),
        "random_test": _last(random, "test/accuracy"),
        "random_train": _last(random, "train/accuracy"),
        "phases": np.histogram(at_end, bins=24, range=(-np.pi, np.pi))[0].tolist(),
        "cosine": _last(true, "neurons/phase_alignment"),
        "first_cosine": _at(true, "neurons/phase_alignment", 0),
        "random_cosine": float(np.cos(of_random).mean()),
        "random_phases": np.histogram(of_random, bins=24, range=(-np.pi, np.pi))[0].tolist(),
        "ipr_ratio": over(_at(true, "neurons/input_ipr", events.t_train), _at(true, "neurons/input_ipr", 0)),
        "random_ipr_ratio": over(ipr[1], ipr[0]),
        "acceleration": _acceleration(true, *rise),
        "norm_ratio": over(_last(true, "norm/weights"), _at(true, "norm/weights", 0)),
        "decay_norm_ratio": over(_last(true, "norm/weights", 1), _at(true, "norm/weights", 0, 1)),
        "curves": {
            name: pairs(true.trace.series(key, 0), POINTS, ".5f")
            for name, key in {
                "train": "train/accuracy",
                "test": "test/accuracy",
                "ipr": "neurons/input_ipr",
                "norm": "norm/weights",
            }.items()
        },
    }


def _weights(network: Network) -> tuple[Tensor, Tensor, Tensor]:
    inputs, readout = input_weights(network), network.neuron_to_logit_HC()
    assert inputs is not None
    assert readout is not None
    return inputs[0].detach(), inputs[1].detach(), readout.detach().T


def _differences(network: Network) -> np.ndarray:
    found = phase_differences(*_weights(network))
    return found[~found.isnan()].numpy()


def _ipr(network: Network) -> float:
    """As ``neurons/input_ipr``, which is not recorded on random labels, since they are no addition."""
    first, second, _ = _weights(network)
    return inverse_participation(torch.cat([first, second], 1)).mean().item()


def _first_network(run: Trained) -> Network:
    experiment = run.experiment
    return experiment.model.build(experiment.task, experiment.seeds.generator("init"))


def _first(steps: np.ndarray, values: np.ndarray, bound: float, after: int | None) -> int | None:
    """The first look at which a curve is at least ``bound``; None without memorisation or if it never is."""
    found = steps[values >= bound] if after is not None else steps[:0]
    return int(found[0]) if len(found) else None


def _at(run: Trained, key: str, step: int | None, member: int = 0) -> float | None:
    return at(run.trace.series(key, member), step, "after")


def _last(run: Trained, key: str, member: int = 0) -> float | None:
    return last(run.trace.series(key, member))


def _slope(run: Trained, start: int | None, end: int | None) -> float | None:
    """How much the inverse participation ratio rises in 1,000 steps between two steps."""
    low, high = _at(run, "neurons/input_ipr", start), _at(run, "neurons/input_ipr", end)
    if low is None or high is None or start is None or end is None or end <= start:
        return None
    return 1000 * (high - low) / (end - start)


def _acceleration(run: Trained, start: int | None, end: int | None) -> float | None:
    """Its slope while test accuracy goes from 0.1 to 0.9 over its slope from the start until then."""
    return over(_slope(run, start, end), _slope(run, 0, start))


CLOSED_FORM = Study(
    name="closed-form",
    about="weights written down, not trained, judged on all pairs",
    observe=closed_form,
    sizes={
        "smoke": {"p": 23, "widths": (6, 23, 150)},
        "quick": {"p": 97, "widths": (12, 25, 50, 97, 200, 500)},
        "paper": {"p": 97, "widths": (12, 25, 50, 97, 200, 500, 1000)},
    },
)
DESCENT = Study(
    name="descent",
    about="full-batch gradient descent without regularisation; weight decay and random labels beside it",
    observe=descent,
    sizes={
        "smoke": {"p": 11, "neurons": 40, "fraction": 0.8, "lr": 600.0, "decay": 1e-5, "steps": 300},
        "quick": {"p": 23, "neurons": 200, "fraction": 0.8, "lr": 3000.0, "decay": 1e-6, "steps": 3000},
        "paper": {"p": 97, "neurons": 500, "fraction": 0.49, "lr": 100_000.0, "decay": 1e-9, "steps": 40_000},
    },
)

CLAIMS = (
    Claim(
        id="weights-written-down-solve-it",
        statement="Weights given in closed form, waves with φ¹ + φ² = φ³, add mod p without any training.",
        where="Sec. 3.1, Eqs. 6-12",
        paper="accuracy near 100 % at N = 500, p = 97",
        study="closed-form",
        quantity="accuracy on all pairs at the largest width",
        each=lambda o: o["aligned"][-1],
        accepts=Range(0.99, 1.0),
        ours="99 % for near 100 %",
        control=Control(
            statement="With independent phases the same waves answer at chance.",
            study="closed-form",
            quantity="accuracy with φ³ drawn independently",
            each=lambda o: o["broken"][-1],
            accepts=Range(0.0, 0.05),
            ours="chance is 1/p = 0.010; seeds 0-9 have up to about twice that",
        ),
    ),
    Claim(
        id="more-neurons-more-accuracy",
        statement="The accuracy of the closed form increases with width.",
        where="Sec. 3.1",
        paper="increases with N",
        study="closed-form",
        quantity="accuracy at the largest width minus that at the smallest",
        each=lambda o: o["gain"],
        accepts=Range(0.4, None),
        ours="an increase of 0.4 from p/8 neurons to 5p",
        control=Control(
            statement="With independent phases width gains nothing.",
            study="closed-form",
            quantity="the same difference with φ³ drawn independently",
            each=lambda o: o["broken_gain"],
            accepts=Range(-0.05, 0.05),
            ours="a tenth of the claimed gain, rounded up",
        ),
    ),
    Claim(
        id="sums-of-functions-too",
        statement="The same form with waves of f₁(a) and f₂(b) solves f₁(a) + f₂(b) mod p.",
        where="Sec. 3.1",
        paper="solved with 100 % accuracy",
        study="closed-form",
        quantity="accuracy on a² + b² mod p at the largest width",
        each=lambda o: o["squares"],
        accepts=Range(0.99, 1.0),
        ours="99 % for solved; a² + b² stands for all functions",
        control=Control(
            statement="The weights for a + b do not solve a² + b².",
            study="closed-form",
            quantity="accuracy of the weights for a + b on a² + b² mod p",
            each=lambda o: o["squares_by_sum"],
            accepts=Range(0.0, 0.05),
            ours="near chance; the two functions agree on about 2/p of the pairs",
        ),
    ),
    Claim(
        id="grokking-without-regularisation",
        statement="Plain gradient descent on the squared error, without any regularisation, first memorises and "
        "generalises later.",
        where="Sec. 2, Fig. 1",
        paper="100 % of test pairs, after all training pairs",
        study="descent",
        quantity="t_test / t_train",
        each=lambda o: o["ratio"],
        accepts=Range(1.1, None),
        ours="later by a tenth; a run that never generalises has no ratio and is not accepted",
        control=Control(
            statement="On random labels the same network does not generalise.",
            study="descent",
            quantity="test accuracy at the end, random labels",
            each=lambda o: o["random_test"],
            accepts=Range(0.0, 0.15),
            ours="three times chance of p = 23, rounded up",
        ),
    ),
    Claim(
        id="phases-add-up",
        statement="The trained network has found the analytic solution: φ¹ + φ² − φ³ peaks at 0.",
        where="Sec. 4, Fig. 4",
        paper="a distribution with its peak at 0",
        study="descent",
        quantity="mean cos(φ¹ + φ² − φ³) over neurons at the end",
        each=lambda o: o["cosine"],
        accepts=Range(0.8, 1.0),
        ours="0.8, a circular spread of 0.67 rad; 0 for phases spread evenly",
        control=Control(
            statement="A network that has memorised random labels has phases spread evenly.",
            study="descent",
            quantity="the same mean at the end, random labels",
            each=lambda o: o["random_cosine"],
            accepts=Range(-0.2, 0.2),
            ours="four standard errors of 200 random phases",
        ),
    ),
    Claim(
        id="ipr-accelerates-at-grokking",
        statement="The inverse participation ratio grows before generalisation and faster while it happens.",
        where="Sec. 4, Fig. 5",
        paper="grows from the start, accelerates at grokking",
        study="descent",
        quantity="rise per step while test accuracy goes from 0.1 to 0.9, over that until then",
        each=lambda o: o["acceleration"] if (o["ipr_ratio"] or 0) > 1.05 else None,
        accepts=Range(2.0, None),
        ours="twice as fast, and at t_train at least 5 % above the start",
        control=Control(
            statement="On random labels it hardly rises at all.",
            study="descent",
            quantity="IPR at the end over that at the start, random labels",
            each=lambda o: o["random_ipr_ratio"],
            accepts=Range(0.8, 1.25),
            ours="within a quarter of what it was",
        ),
    ),
    Claim(
        id="norm-grows",
        statement="The norm of the weights grows with generalisation; it does not fall.",
        where="Sec. 4",
        paper="norms start to grow at grokking",
        study="descent",
        quantity="‖θ‖ at the end over ‖θ‖ at the start",
        each=lambda o: o["norm_ratio"],
        accepts=Range(1.5, None),
        ours="half as much again",
        control=Control(
            statement="With strong weight decay it falls.",
            study="descent",
            quantity="the same ratio with weight decay",
            each=lambda o: o["decay_norm_ratio"],
            accepts=Range(None, 1.0),
            ours="any fall",
        ),
    ),
)


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Accuracy of the closed form, accuracy and IPR while training, and the phases at the end."""
    closed, trained = seen["closed-form"], seen["descent"]
    width, curves, phases = figure.subplots(1, 3)
    for name, colour, word, up in (("aligned", TEST, "φ¹ + φ² = φ³", -8), ("broken", SECOND, "independent phases", 9)):
        line = lines(width, [columns(o["widths"], o[name]) for o in closed], colour)
        label_line(width, line[-1:], word, colour, height=line[-1, 1], side="left", up=up)
    width.set(xscale="log", xlabel="neurons N", ylabel="accuracy on all pairs", ylim=(-0.03, 1.05))
    width.set_title(f"closed form, p = {closed[0]['p']}, n = {len(closed)}", fontsize=9)
    for name, colour, height in (("train", TRAIN, 0.45), ("test", TEST, 0.85)):
        line = lines(curves, [o["curves"][name] for o in trained], colour, strong=0)
        label_line(curves, line, name, colour, height=height, side="left")
    line = lines(curves, [o["curves"]["ipr"] for o in trained], ACCENT, strong=0)
    label_line(curves, line[-1:], "IPR", ACCENT, height=line[-1, 1], side="left", up=9)
    curves.set(xlabel="step", ylabel="accuracy, IPR (1)", ylim=(-0.03, 1.05))
    curves.set_title(f"no regularisation, p = {trained[0]['p']}, n = {len(trained)}", fontsize=9)
    centres = (np.arange(24) + 0.5) / 24 * 2 * np.pi - np.pi
    shares = [columns(centres, np.array(o["phases"]) / max(sum(o["phases"]), 1)) for o in trained]
    lines(phases, shares, ACCENT, drawstyle="steps-mid")
    phases.axhline(1 / 24, color=SOFT, lw=0.8, ls=":")
    label_line(phases, [[-np.pi, 1 / 24]], "even", SOFT, height=0, up=7)
    phases.set(xlabel="φ³ − φ¹ − φ² (rad)", ylabel="share of neurons")
    phases.set_title(f"phases at the end, n = {len(trained)}", fontsize=9)


PAPER = Paper(
    key="gromov2023arithmetic",
    source="gromov2023arithmetic",
    about="a quadratic network that adds by closed form, and what plain gradient descent finds",
    differences=(
        "Our squared error is a mean over the p outputs, so learning rates are p times larger where the paper's is a "
        "sum; the paper's rate was not found, ours were chosen on seeds 0-9 (reconstruction).",
        "The quick preset trains p = 23 with 200 neurons on 80 % of the pairs; the paper p = 97 with 500 on 49 %.",
        "Our IPR counts a frequency and its negative as one: twice the paper's for odd p, 1 for a pure wave.",
        "A neuron's frequency is the strongest of its inputs; neurons without a wave have no phase and are left out.",
        "f₁(a) + f₂(b) is judged on a² + b² alone; F(f₁ + f₂) and trained networks on other functions are not.",
        "Splits are by ordered pairs, so (b, a) may be in training when (a, b) is tested; the network has no shared "
        "embedding and test accuracy falls below chance first, so commutation is not what it uses.",
    ),
    studies=(CLOSED_FORM, DESCENT),
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Left: accuracy of the closed form by width. Middle: one run without regularisation (strong) and the "
    "others, with the IPR of the input weights (Fig. 1 and 5). Right: phases of the trained neurons (Fig. 4).",
    figure_size=(9.5, 3.0),
)
