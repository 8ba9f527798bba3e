"""Morwani et al. 2024, "Feature emergence via margin maximization: case studies in algebraic tasks"."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from grokscope.measures.groups import phase_alignment, phase_differences
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study
from grokscope.papers.drawing import ACCENT, SECOND, SOFT, TRAIN, columns, label_line, lines
from grokscope.theory import margin

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def networks(lab: Lab) -> Observation:
    """The closed form, and two networks from the same first weights, under the L_{2,3} and under the L_2 penalty."""
    p, width = lab.size["p"], lab.size["width"]
    draw = lab.generator("maximiser")
    built, broken = margin.maximiser(p, draw), margin.maximiser(p, draw, "independent")
    return {
        "p": p,
        "width": width,
        "maximum": margin.maximum_margin(p),
        "built": margin.normalised_margin(built) / margin.maximum_margin(p),
        "broken": margin.normalised_margin(broken) / margin.maximum_margin(p),
        "cubes": _train(lab, "L2,3"),
        "squares": _train(lab, "L2"),
    }


def _train(lab: Lab, penalty: Literal["L2,3", "L2"]) -> dict[str, Any]:
    size = lab.size
    found = margin.train(
        size["p"],
        size["width"],
        lab.steps(size["steps"]),
        lab.generator("init"),
        penalty=penalty,
        strength=size["strength"],
        lr=size["lr"],
    )
    rows = [(step, neurons) for step, neurons in found]
    first, last = rows[0][1], rows[-1][1]
    shares = margin.concentration(last)[margin.alive(last)]
    ratios = [[step, margin.normalised_margin(neurons) / margin.maximum_margin(size["p"])] for step, neurons in rows]
    return {
        "margin": ratios[-1][1],
        "first_margin": ratios[0][1],
        "curve": [[step, round(ratio, 5)] for step, ratio in ratios],
        "concentration": shares.mean().item(),
        "first_concentration": margin.concentration(first).mean().item(),
        "shares": np.histogram(shares.numpy(), bins=20, range=(0.0, 1.0))[0].tolist(),
        "first_shares": np.histogram(margin.concentration(first).numpy(), bins=20, range=(0.0, 1.0))[0].tolist(),
        "frequencies": margin.frequencies_used(last) / ((size["p"] - 1) // 2),
        "first_frequencies": margin.frequencies_used(first) / ((size["p"] - 1) // 2),
        "cosine": _cosine(last),
        "first_cosine": _cosine(first),
        "alive": int(margin.alive(last).sum()),
    }


def _cosine(neurons: margin.Neurons) -> float:
    return phase_alignment(phase_differences(*neurons)[margin.alive(neurons)]).item()


NETWORKS = Study(
    name="networks",
    about="quadratic networks trained on every pair with a small penalty, against the largest margin",
    observe=networks,
    sizes={
        "smoke": {"p": 7, "width": 24, "steps": 200, "strength": 1e-4, "lr": 0.02},
        "quick": {"p": 17, "width": 112, "steps": 3000, "strength": 1e-4, "lr": 0.02},
        "paper": {"p": 71, "width": 500, "steps": 40_000, "strength": 1e-4, "lr": 0.02},
    },
)

CLAIMS = (
    Claim(
        id="closed-form-has-the-largest-margin",
        statement="With 4(p − 1) neurons the largest L_{2,3} margin is √(2/27) / (√p (p − 1)).",
        where="Theorem 7",
        paper="√(2/27) / (√p (p − 1))",
        study="networks",
        quantity="margin of the closed form at ‖θ‖_{2,3} = 1, over that number",
        each=lambda o: o["built"],
        accepts=Range(1 - 1e-9, 1 + 1e-9),
        ours="equal but for rounding",
        control=Control(
            statement="With independent output phases the same waves have no margin.",
            study="networks",
            quantity="the same ratio with φ_w drawn independently",
            each=lambda o: o["broken"],
            accepts=Range(None, 0.0),
            ours="some pair is answered wrongly",
        ),
    ),
    Claim(
        id="training-approaches-it",
        statement="Training with a small L_{2,3} penalty approaches the largest margin.",
        where="Fig. 1 and 2",
        paper="approaches the theoretical maximum",
        study="networks",
        quantity="normalised margin at the end over the largest",
        each=lambda o: o["cubes"]["margin"],
        accepts=Range(0.9, 1 + 1e-9),
        ours="90 % of the maximum; above 1 would refute the theorem",
        control=Control(
            statement="A penalty on another norm, L_2, stays away from the largest L_{2,3} margin.",
            study="networks",
            quantity="the same ratio with the L_2 penalty",
            each=lambda o: o["squares"]["margin"],
            accepts=Range(None, 0.85),
            ours="below by more than the claim leaves",
        ),
    ),
    Claim(
        id="one-frequency-a-neuron",
        statement="Every neuron becomes a cosine of a single frequency.",
        where="Theorem 7, Fig. 2",
        paper="maximal normalised power close to 1 for all neurons",
        study="networks",
        quantity="mean share of a neuron's squared weights at its strongest frequency",
        each=lambda o: o["cubes"]["concentration"],
        accepts=Range(0.9, 1 + 1e-9),
        ours="90 %, over neurons with more than 1 % of the largest one's norm",
        control=Control(
            statement="Before training they are not.",
            study="networks",
            quantity="the same share at the start",
            each=lambda o: o["cubes"]["first_concentration"],
            accepts=Range(0.0, 0.5),
            ours="less than half",
        ),
    ),
    Claim(
        id="all-frequencies",
        statement="All (p − 1)/2 frequencies are used.",
        where="Theorem 7, Fig. 5",
        paper="all",
        study="networks",
        quantity="frequencies at which some neuron has half of itself, over (p − 1)/2",
        each=lambda o: o["cubes"]["frequencies"],
        accepts=Range(1.0, 1.0),
        ours="half of a neuron's squared weights",
        control=Control(
            statement="Before training hardly any is.",
            study="networks",
            quantity="the same share at the start",
            each=lambda o: o["cubes"]["first_frequencies"],
            accepts=Range(0.0, 0.5),
            ours="less than half",
        ),
    ),
    Claim(
        id="phases-add-up",
        statement="In every neuron φ_u + φ_v = φ_w.",
        where="Theorem 7",
        paper="equal",
        study="networks",
        quantity="mean cos(φ_u + φ_v − φ_w) at the end",
        each=lambda o: o["cubes"]["cosine"],
        accepts=Range(0.95, 1.0),
        ours="a circular spread of at most 0.3 rad",
        control=Control(
            statement="Before training phases are spread evenly.",
            study="networks",
            quantity="the same mean at the start",
            each=lambda o: o["cubes"]["first_cosine"],
            accepts=Range(-0.3, 0.3),
            ours="more than four standard errors of 112 random phases",
        ),
    ),
)


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Normalised margin while training, and how concentrated neurons are before and after."""
    found = seen["networks"]
    curves, shares = figure.subplots(1, 2)
    for name, colour, word in (("cubes", ACCENT, "L₂,₃ penalty"), ("squares", SECOND, "L₂ penalty")):
        line = lines(curves, [o[name]["curve"] for o in found], colour)
        label_line(curves, line[-1:], word, colour, height=0, side="left", up=-12)
    curves.axhline(1.0, color=SOFT, lw=0.8, ls=":")
    label_line(curves, [[0, 1]], "largest", SOFT, height=1, up=7)
    curves.set(xlabel="step", ylabel="normalised margin / largest", ylim=(-0.3, 1.12))
    curves.set_title(f"margin, p = {found[0]['p']}, {found[0]['width']} neurons, n = {len(found)}", fontsize=9)
    centres = (np.arange(20) + 0.5) / 20
    for name, colour, word in (("first_shares", TRAIN, "before"), ("shares", ACCENT, "after")):
        rows = [np.array(o["cubes"][name]) / max(sum(o["cubes"][name]), 1) for o in found]
        line = lines(shares, [columns(centres, row) for row in rows], colour, drawstyle="steps-mid")
        top = line[line[:, 1].argmax()]
        beside = (top[0] + 0.025, top[1]) if top[0] < 0.5 else (top[0] - 0.025, top[1])  # half a bin
        label_line(shares, [beside], word, colour, height=1, side="right" if top[0] < 0.5 else "left")
    shares.set(xlabel="share of a neuron at its strongest frequency", ylabel="share of neurons", xlim=(0, 1.02))
    shares.set_title(f"neurons, L₂,₃ penalty, n = {len(found)}", fontsize=9)


PAPER = Paper(
    key="morwani2024margin",
    source="morwani2024margin",
    about="the largest margin of a quadratic network on addition in closed form, and what training finds",
    differences=(
        "Adam with a learning rate that falls to 0 along a half cosine; from memory, not verified, the paper has "
        "gradient descent with a rate doubled in the first 10,000 steps. The penalty's minimum does not depend on it.",
        "The quick preset has p = 17 and 112 neurons (7(p − 1)); the paper p = 71 and 500 (also from memory).",
        "The penalty is strength · Σ ‖ω_i‖³ at 1e-4 (reconstruction: the paper's power of the norm was not found).",
        "Training goes on all pairs, as in the theorem, so there is no test set and no grokking here.",
        "Addition with the quadratic activation alone; parity, other groups and ReLU are not done.",
    ),
    studies=(NETWORKS,),
    claims=CLAIMS,
    draw=draw,
    caption="Left: normalised margin over the largest one, by step (Fig. 1). Right: how much of each neuron is at one "
    "frequency before and after training (Fig. 2).",
    figure_size=(8.0, 3.0),
)
