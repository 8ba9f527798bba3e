"""Varma et al. 2023, "Explaining grokking through circuit efficiency"."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from grokscope.papers.base import Claim, Control, Observation, Paper, Range
from grokscope.papers.series import over
from grokscope.papers.varma2023efficiency.figure import draw
from grokscope.papers.varma2023efficiency.studies import EXPERIMENT, NETWORKS, SIMULATION

__all__ = ["EXPERIMENT", "PAPER"]


def crossing(sizes: Sequence[float], accuracies: Sequence[float | None], level: float = 0.5) -> float | None:
    """The size at which accuracy last rises through a level, linear in log size between two sizes."""
    if any(value is None for value in accuracies):
        return None
    values = [float(value) for value in accuracies if value is not None]
    for i in range(len(values) - 2, -1, -1):
        if values[i] < level <= values[i + 1]:
            share = (level - values[i]) / (values[i + 1] - values[i])
            return float(sizes[i] * (sizes[i + 1] / sizes[i]) ** share)
    return None


def _ungrokked(o: Observation) -> float | None:
    """Test accuracy on the fewest pairs, the worst of the decays, of networks that answer all training pairs."""
    ends = [test for test, train in zip(o["ungrokked"][0], o["trained"][0], strict=True) if train == 1.0]
    return None if len(ends) < len(o["decays"]) or None in ends else max(ends)


def _half(o: Observation, decay: int, level: float = 0.5) -> float | None:
    return crossing(o["sizes"], [row[decay] for row in o["ungrokked"]], level)


def _sharpness(o: Observation) -> float | None:
    """The largest ratio of the sizes at 90 % and 10 % over the decays."""
    ratios = [over(_half(o, i, 0.9), _half(o, i, 0.1)) for i in range(len(o["decays"]))]
    return None if None in ratios else max(float(r) for r in ratios if r is not None)


def _shift(o: Observation) -> float | None:
    """Ratio of the half-way sizes of the strongest and the weakest decay."""
    return over(_half(o, -1), _half(o, 0))


def _middle(o: Observation) -> float | None:
    """Geometric mean of the half-way sizes of the strongest and the weakest decay."""
    weak, strong = _half(o, 0), _half(o, -1)
    return None if weak is None or strong is None else math.sqrt(weak * strong)


def _apart(o: Observation) -> float | None:
    """The largest difference of the final accuracies of two decays at one size."""
    ends = [row for row in o["ungrokked"] if None not in row]
    return max(max(row) - min(row) for row in ends) if len(ends) == len(o["sizes"]) else None


def _between(o: Observation) -> bool:
    """Whether drawn networks at some size end between 20 % and 90 % and have moved by at most 5 % late."""
    ends = zip(o["scratch"], o["scratch_change"], strict=True)
    return any(end is not None and change is not None and 0.2 <= end <= 0.9 and change <= 0.05 for end, change in ends)


def _mean(quantity: Callable[[Observation], float | None]) -> Callable[[Sequence[Observation]], float | None]:
    """The mean over seeds; None as soon as one seed has none."""

    def mean(seen: Sequence[Observation]) -> float | None:
        values = [quantity(one) for one in seen]
        return None if None in values else float(np.mean([value for value in values if value is not None]))

    return mean


CLAIMS = (
    Claim(
        id="grokked-networks-ungrok",
        statement="A network that has grokked loses its test accuracy when it is trained on with far fewer pairs.",
        where="Sec. 4 and 5.2, Fig. 1",
        paper="from perfect to near-random test accuracy",
        study="networks",
        quantity="test accuracy after going on with the fewest pairs, all training pairs answered, worst decay",
        each=_ungrokked,
        accepts=Range(None, 0.5),
        ours="half; the paper shows curves",
        control=Control(
            statement="The same network that goes on with all of its pairs keeps it.",
            study="networks",
            quantity="test accuracy after as many steps on all of its pairs, strongest decay",
            each=lambda o: o["kept"],
            accepts=Range(0.99, None),
        ),
    ),
    Claim(
        id="ungrokking-needs-weight-decay",
        statement="It is weight decay that prefers the cheaper circuit: without it the network keeps what it knows.",
        where="Sec. 2 and 4",
        paper="the explanation rests on weight decay",
        study="networks",
        quantity="test accuracy after going on with the fewest pairs without weight decay",
        each=lambda o: o["no_decay"],
        accepts=Range(0.75, None),
        ours="three quarters; a run of ours, not one of the paper's",
        control=Control(
            kind="positive",
            statement="With weight decay it loses it on the same pairs.",
            study="networks",
            quantity="test accuracy after going on with the fewest pairs, worst decay",
            each=_ungrokked,
            accepts=Range(None, 0.5),
        ),
    ),
    Claim(
        id="the-transition-is-sharp",
        statement="Accuracy after ungrokking passes from near-random to very strong within a narrow range of sizes.",
        where="Sec. 5.2",
        paper="a phase transition around D_crit, seven sizes from 390 to 1494 of 12 769",
        study="networks",
        quantity="ratio of the sizes at which 90 % and 10 % are kept, largest over decays",
        each=_sharpness,
        accepts=Range(1.0, 3.0),
        ours="a factor of three; an accuracy in proportion to the pairs would take nine",
        control=Control(
            statement="Without weight decay there is no transition: not even the fewest pairs bring it below 50 %.",
            study="networks",
            quantity="test accuracy after going on with the fewest pairs without weight decay",
            each=lambda o: o["no_decay"],
            accepts=Range(0.5, None),
        ),
    ),
    Claim(
        id="the-transition-stays-with-weight-decay",
        statement="Where ungrokking sets in does not depend on the strength of weight decay.",
        where="Sec. 4 and 5.2",
        paper="D_crit does not depend on weight decay",
        study="networks",
        quantity="ratio of the sizes at which half is kept, weight decay four times as strong over the weaker",
        each=_shift,
        accepts=Range(0.8, 1.25),
        ours="a quarter either way",
        control=Control(
            kind="positive",
            statement="Weight decay does act: four times as much ungroks sooner.",
            study="networks",
            quantity="steps until test accuracy stays below 50 % on the fewest pairs, weaker decay over stronger",
            each=lambda o: over(o["halved_at"][0], o["halved_at"][-1]),
            accepts=Range(2.0, None),
            ours="twice",
        ),
    ),
    Claim(
        id="the-accuracy-stays-with-weight-decay",
        statement="The final test accuracy after ungrokking does not depend on the strength of weight decay.",
        where="Sec. 4 and 5.2",
        paper="the curves of different weight decays lie on each other",
        study="networks",
        quantity="largest difference of the final accuracies at one size, weight decay times four, mean over seeds",
        pooled=_mean(_apart),
        accepts=Range(0.0, 0.1),
        ours="a tenth",
        control=Control(
            kind="positive",
            statement="A difference would be seen: no weight decay leaves another accuracy on the fewest pairs.",
            study="networks",
            quantity="difference of the final accuracies without and with weight decay on the fewest pairs",
            each=lambda o: abs(o["no_decay"] - o["ungrokked"][0][-1]),
            accepts=Range(0.25, None),
        ),
    ),
    Claim(
        id="memorising-costs-more-with-more-data",
        statement="Memorising becomes less efficient as the training set grows.",
        where="Sec. 5.1",
        paper="the parameter norm for a logit rises with D on random labels",
        study="networks",
        quantity="d ln(norm for a logit of 1) / d ln D on random labels, mean over seeds",
        pooled=_mean(lambda o: o["mem_slope"]),
        accepts=Range(0.15, None),
        ours="11 % per doubling at least, more than is allowed where it must stay",
        control=Control(
            statement="Networks that generalise need no more norm with more data.",
            study="networks",
            quantity="the same slope of networks that generalise",
            pooled=_mean(lambda o: o["gen_slope"]),
            accepts=Range(-0.1, 0.1),
        ),
    ),
    Claim(
        id="generalising-costs-the-same",
        statement="The efficiency of the generalising circuit does not depend on the size of the training set.",
        where="Sec. 5.1",
        paper="C_gen's efficiency is the same at all sizes",
        study="networks",
        quantity="d ln(norm for a logit of 1) / d ln D of networks that generalise, mean over seeds",
        pooled=_mean(lambda o: o["gen_slope"]),
        accepts=Range(-0.1, 0.1),
        ours="7 % per doubling at most",
        control=Control(
            kind="positive",
            statement="The slope is seen where it is: on random labels.",
            study="networks",
            quantity="the same slope on random labels",
            pooled=_mean(lambda o: o["mem_slope"]),
            accepts=Range(0.15, None),
        ),
    ),
    Claim(
        id="costs-meet-at-the-transition",
        statement="Ungrokking sets in around the size at which memorising is as efficient as generalising.",
        where="Sec. 4 and 5.2",
        paper="the transition is around D_crit",
        study="networks",
        quantity="size at which the norms for a logit of 1 are equal over that at which half is kept",
        each=lambda o: over(o["meeting"], _middle(o)),
        accepts=Range(2 / 3, 1.5),
        ours="half as much again either way; the power law of the memorising norm is met by the mean of the others, "
        "and the size is the geometric mean over the two decays around the one of these networks",
        control=Control(
            statement="The costs do not meet where the network has grokked.",
            study="networks",
            quantity="size at which the norms for a logit of 1 are equal over that of the first training",
            each=lambda o: over(o["meeting"], o["source_rows"]),
            accepts=Range(None, 2 / 3),
        ),
    ),
    Claim(
        id="drawn-networks-need-more-data",
        statement="Networks that begin with drawn weights need more pairs to generalise than grokked ones to keep it.",
        where="Sec. 5.2 and 5.3",
        paper="ungrokking around 800 to 1000 pairs, semi-grokking around 2000",
        study="networks",
        quantity="size at which half is reached from drawn weights over that at which half is kept, equal decay",
        each=lambda o: over(crossing(o["scratch_sizes"], o["scratch"]), _half(o, -1)),
        accepts=Range(1.25, None),
        ours="a quarter more; the paper's factor is about two, and both depend on the budget",
        control=Control(
            statement="The two decays' sizes, which should be the same, are nearer than that.",
            study="networks",
            quantity="ratio of the sizes at which half is kept, stronger decay over weaker",
            each=_shift,
            accepts=Range(None, 1.25),
        ),
    ),
    Claim(
        id="semi-grokking",
        statement="Around D_crit training from drawn weights ends at an intermediate test accuracy.",
        where="Sec. 5.3",
        paper="plateaus such as 0.55 and 0.7, for millions of epochs",
        study="networks",
        quantity="whether some size ends between 20 % and 90 % and moves by at most 5 % in the last quarter",
        each=_between,
        accepts=Range(1, 1),
        ours="the bounds, and that it has settled: the last quarter of the budget",
        control=Control(
            statement="With many pairs networks generalise wholly.",
            study="networks",
            quantity="test accuracy from drawn weights on the most pairs",
            each=lambda o: o["scratch"][-1],
            accepts=Range(0.95, None),
        ),
    ),
    Claim(
        id="three-ingredients-suffice",
        statement="A generalising circuit that costs less and is learned more slowly is enough for grokking.",
        where="Sec. 3",
        paper="a simulation with hard-coded circuits groks",
        study="simulation",
        quantity="share of settings that answer other questions at least twice as late as trained ones",
        each=lambda o: o["late"]["all three"],
        accepts=Range(0.95, None),
        ours="95 % of settings drawn at random; the probability of the right answer must pass one half",
        control=Control(
            statement="It does not come without a C_gen, with one that costs more, with one that is learned first.",
            study="simulation",
            quantity="largest share over the three with one ingredient missing",
            each=lambda o: max(share for name, share in o["late"].items() if name != "all three"),
            accepts=Range(None, 0.05),
        ),
    ),
)

PAPER = Paper(
    key="varma2023efficiency",
    source="varma2023efficiency",
    about="a grokked network on too few pairs forgets the rule: which circuit wins is a matter of what a logit costs",
    differences=(
        "Quick: a + b mod 43 and a perceptron of 128 hidden neurons on a shared embedding of 64, without biases, "
        "learning rate 0.01, instead of a transformer on a + b mod 113; 1200 steps after the first 600.",
        "The network that is continued has been trained on 80 % of the pairs (94 % in the paper preset), not on all, "
        "and the smaller sets are parts of these 80 %; the optimizer begins anew.",
        "Test pairs are all those that are not trained on now, so some have been trained on before.",
        "Weight decays 0.5 and 2; the paper's grid and its learning rate were not read (reconstruction), and five "
        "seeds are judged where the paper has ten.",
        "Efficiency (reconstruction; the paper's Appendix B was not read): without biases the network is homogeneous "
        "of degree 3, and what is reported is the norm at which the mean logit of the right answer stands 1 above the "
        "mean of all answers. Perceptrons in all presets, so that in the paper preset the size at which costs meet is "
        "another model's than that at which transformers ungrok.",
        "A network counts as generalising by a test accuracy of 99 %, not by 95 % of its logits' norm lying in the "
        "trigonometric subspace.",
        "Semi-grokking in quick is looked for within 2000 steps; the paper's runs took up to 10⁷ epochs.",
        "The simulation's penalty (cost times half the subweights' squares), its rates and starts are a "
        "reconstruction; settings are drawn at random instead of chosen.",
    ),
    studies=(NETWORKS, SIMULATION),
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Final test accuracy of grokked networks continued on fewer pairs and of drawn ones, and the course on "
    "the fewest (Sec. 5.2 and 5.3); the norm that a logit takes (Sec. 5.1); hard-coded circuits with and without the "
    "three ingredients (Sec. 3).",
    figure_size=(13.0, 3.2),
)
