"""Barak et al. 2022, "Hidden Progress in Deep Learning: SGD Learns Parities Near the Computational Limit"."""

import numpy as np

from grokscope.papers.barak2022parity.figure import draw
from grokscope.papers.barak2022parity.studies import EXPERIMENT, STUDIES
from grokscope.papers.base import Claim, Control, Observation, Paper, Range


def _middle_share(one: Observation) -> float | None:
    """Of three architectures the middle one's share of the time spent on the plateau; 0 where never solved."""
    shares = [one[name] for name in ("relu", "sine", "polynet")]
    return float(np.median([0.0 if share is None else share for share in shares]))


CLAIMS = (
    Claim(
        id="many-architectures-learn",
        statement="SGD on fresh batches learns sparse parities in every architecture, with every loss and start.",
        where="Sec. 3.1",
        paper="all configurations, in at least 20 % of 25 trials, for at least one of four learning rates",
        study="grid",
        quantity="share of configurations solved by 20 % of their trials at one of four learning rates",
        pooled=lambda seen: float(np.mean([one["solved"] for one in seen])),
        accepts=Range(1.0, 1.0),
        partly=Range(0.9, 1.0),
        ours="partly: nine configurations in ten. Solved: no error on 2048 fresh points (the paper: 8192), within "
        "3000 steps (the paper: 100,000) of ten trials.",
        control=Control(
            study="grid",
            quantity="the same share of two architectures, labels drawn at random",
            pooled=lambda seen: float(np.mean([one["noise_solved"] for one in seen])),
            accepts=Range(0.0, 0.0),
            statement="Labels without a rule lead nowhere.",
        ),
    ),
    Claim(
        id="plateau-then-drop",
        statement="The error stays at one half for most of the time and then falls abruptly.",
        where="Sec. 3.1, Fig. 1 left; Theorem 6",
        paper="long stretches of no progress in almost all architectures; T(0.49) / T(0) → 1 in theory",
        study="plateau",
        quantity="share of the convergence time with an error above 0.45, middle one of three architectures",
        each=_middle_share,
        accepts=Range(0.6, 1.0),
        ours="A ReLU MLP, a sinusoidal neuron and a PolyNet, median over trials of each; more than 0.6 stands for "
        "most; 0.45 because 0.49 is not told from 0.5 on 2048 points.",
        control=Control(
            study="plateau",
            quantity="the same share of 1000 neurons z^k with batches of 1024",
            each=lambda seen: seen["wide"],
            accepts=Range(high=0.45),
            statement="A wide polynomial network with large batches has no plateau (App. C.8).",
        ),
    ),
    Claim(
        id="relevant-weights-move-unseen",
        statement="While nothing is answered yet, the relevant weights are already moving away from their start.",
        where="Fig. 3 left, centre; App. C.3",
        paper="gradual progress of the relevant weights behind flat losses",
        study="hidden",
        quantity="mean |w_t − w_0| of relevant over other weights, three quarters into the plateau, median of trials",
        each=lambda seen: seen["ratio"],
        accepts=Range(1.5),
        ours="Half as far again; the paper shows curves.",
        control=Control(
            study="hidden",
            quantity="the same ratio from the same starts with random labels",
            each=lambda seen: seen["noise_ratio"],
            accepts=Range(high=1.3),
            statement="On random labels they move no further than the others.",
        ),
    ),
    Claim(
        id="fourier-gap-grows-unseen",
        statement="The Fourier gap of the population gradient grows along the plateau.",
        where="App. C.1, Fig. 12 right; Sec. 4",
        paper="positive at the start, amplified through the course of training",
        study="hidden",
        quantity="Fourier gap three quarters into the plateau over that of the start, median of trials",
        each=lambda seen: seen["growth"],
        accepts=Range(1.5),
        ours="By half at least; in closed form for the sine neuron at n = 50, where the paper enumerates n = 15.",
        control=Control(
            study="hidden",
            quantity="the same growth from the same starts with random labels",
            each=lambda seen: seen["noise_growth"],
            accepts=Range(high=1.3),
            statement="On random labels the gap of the same neuron does not grow.",
        ),
    ),
    Claim(
        id="time-adapts-to-k",
        statement="The convergence time is a power of n that grows with k.",
        where="Sec. 3.1 and 3.2, Fig. 1 right",
        paper="t_c ≤ c n^{αk}",
        study="scaling",
        quantity="slope of ln t_c on ln n, k = 3 minus k = 2",
        pooled=lambda seen: _mean([one["difference"] for one in seen]),
        accepts=Range(0.3),
        ours="A difference of 0.3; the paper prints no exponents.",
        control=Control(
            study="scaling",
            quantity="the same difference between two sets of trials with k = 2",
            pooled=lambda seen: _mean([one["again"] for one in seen]),
            accepts=Range(-0.25, 0.25),
            statement="With the same k there is no difference.",
        ),
    ),
    Claim(
        id="near-the-computational-limit",
        statement="The exponent is no larger than k, that of the lower bound for statistical queries.",
        where="Sec. 2 and 3.1",
        paper="n^{O(k)} against Ω(n^k)",
        study="scaling",
        quantity="largest slope of ln t_c on ln n over k",
        each=lambda seen: seen["share_of_k"],
        accepts=Range(0.0, 1.0),
        ours="Steps of 32 points are counted, not queries; small n only, where the paper finds the law to hold.",
        control=Control(
            study="scaling",
            quantity="the same of the C(n, k) subsets that a search would try",
            each=lambda seen: seen["search_share_of_k"],
            accepts=Range(1.0),
            statement="An exhaustive search over the same n is not below (by formula).",
        ),
    ),
    Claim(
        id="no-early-convergence",
        statement="No trial is lucky: none converges long before the median.",
        where="Sec. 3.2, Fig. 2 left",
        paper="no successes near t = 0 in 10⁶ trials, unlike a random search",
        study="scaling",
        quantity="5 % quantile of convergence times over their median, ReLU MLP",
        each=lambda seen: seen["earliest"],
        accepts=Range(0.5),
        ours="Half of the median.",
        control=Control(
            study="scaling",
            quantity="the same of as many simulated random searches over the subsets",
            each=lambda seen: seen["search_earliest"],
            accepts=Range(high=0.4),
            statement="Geometric times have a twentieth of their mass below 0.07 medians.",
        ),
    ),
    Claim(
        id="fourier-gap-of-majority",
        statement="At a sign initialisation relevant gradients exceed the others by majority's Fourier gap.",
        where="Sec. 4, Definition 1 and the text before it",
        paper="(|ξ_{k−1}| − |ξ_{k+1}|) / 2",
        study="gap",
        quantity="largest |gap of the expected gradient / closed form − 1|, k = 2 and 4",
        each=lambda seen: seen["worst"],
        accepts=Range(high=1e-3),
        ours="Equal but for rounding; the gradient by autograd over all 2ⁿ points.",
        control=Control(
            study="gap",
            quantity="larger of the gap over the closed form, with z² at k = 4 and with random labels at k = 2",
            each=lambda seen: max(abs(seen["square_4"]), seen["noise_2"]),
            accepts=Range(high=0.2),
            statement="A square has no third-order coefficients, and labels without a rule no relevant coordinates.",
        ),
    ),
    Claim(
        id="few-points-grok",
        statement="From few points with weight decay the training points are fitted long before others are answered.",
        where="Sec. 5, Fig. 4 right; App. C.5, Fig. 15",
        paper="a large gap between the times of zero training and zero test error at middle sample sizes",
        study="grokking",
        quantity="t_test / t_train",
        each=lambda seen: seen["ratio"],
        accepts=Range(2.0),
        ours="t_train: 99 % of training points, t_test: 95 % of others, each held for three looks; twice as long is "
        "ours. Runs that do not generalise count as not accepted.",
        control=Control(
            study="grokking",
            quantity="the same ratio with ample points",
            each=lambda seen: seen["ample_ratio"],
            accepts=Range(high=1.5),
            statement="With ample points there is no delay.",
        ),
    ),
    Claim(
        id="weight-decay-finds-the-rule",
        statement="Weight decay lets few points suffice.",
        where="App. C.5, Fig. 15",
        paper="expands the sample sizes for which training eventually finds the correct solution",
        study="grokking",
        quantity="held-out accuracy in the end, with weight decay",
        each=lambda seen: seen["decay_test"],
        accepts=Range(0.95),
        ours="95 % stands for the correct solution.",
        control=Control(
            study="grokking",
            quantity="held-out accuracy in the end, without weight decay",
            each=lambda seen: seen["no_decay_test"],
            accepts=Range(high=0.7),
            statement="From the same points and start, without weight decay, the rule is not found in the budget.",
        ),
    ),
)


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else float(np.mean([value for value in values if value is not None]))


PAPER = Paper(
    key="barak2022parity",
    source="barak2022hidden",
    about="sparse parities online: a plateau to the eye, and progress in the weights that a Fourier gap explains",
    differences=(
        "The first k bits decide; by symmetry any k would do.",
        "Online training is a simulator of its own, theory/parity.py: all trials of a configuration at once, each "
        "with its own start and its own fresh batches.",
        "Biases start like the weights of their layer (reconstruction: the paper sets some of them by hand); weights "
        "are uniform in ±1/√fan_in unless said otherwise. With them a sinusoidal neuron without a readout is not "
        "solved under the square loss within 20,000 steps, but for one trial in ten at rate 1 (pilot).",
        "Eleven of the fifteen architectures: no neurons with k-zigzag or oscillating polynomial, no wider networks of "
        "sines and zigzags, no transformer. Losses at the uniform start, other starts with the hinge loss.",
        "Quick: (20, 3) alone, batches of 32, widths 10 and 100, uniform and sign starts, ten trials, 3000 steps, 2048 "
        "points; each configuration begins with the rate that solved it in a pilot and tries the paper's others next.",
        "Paper preset: (30, 3) alone for the configurations, batches of 32.",
        "The plateau's control takes rate 0.1, the paper 0.01, and stops where it has no error; PolyNets alone spend "
        "about half of their time on the plateau at (50, 3).",
        "ρ = ‖w_t − w_0‖_∞ of a trial's plateau forecasts its convergence time (rank correlation about −0.7), but "
        "sometimes does so for the same start on random labels too; it is observed and not judged.",
        "At uniform and normal starts a single ReLU neuron's gap in the sense of Definition 1 is positive for a third "
        "of the neurons or fewer at (15, 3); only the sign start is judged, with no bias.",
        "Quick: times for k = 1, 2 and 3 at n up to 45, a network of 100 ReLU neurons at rate 0.1, eight trials a "
        "cell; k = 4 in the paper preset. A time is the first look, every 5 or 20 steps, without an error.",
        "Finite samples: n, m and λ of Fig. 15 are not known to us. Quick: (20, 3), 300 points, decay 0.01 times the "
        "rate; 5000 points are ample. Points, split and start come from the seed.",
    ),
    studies=STUDIES,
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Left to right: accuracy along online training (Fig. 1 left); a sine neuron's weights and accuracy "
    "(Fig. 3); median convergence times (Fig. 1 right); training and test accuracy from few points (Fig. 4 right).",
    figure_size=(13.0, 3.2),
)
