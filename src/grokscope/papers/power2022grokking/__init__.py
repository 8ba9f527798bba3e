"""Power et al. 2022, "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets"."""

import math
from collections.abc import Sequence

from grokscope.papers.base import Claim, Control, Observation, Paper, Range
from grokscope.papers.power2022grokking.figure import draw
from grokscope.papers.power2022grokking.studies import (
    DELAY,
    EXPERIMENT,
    FRACTIONS,
    INVOLVED,
    MARGIN,
    NEVER,
    OPERATIONS,
    OPTIMIZERS,
    PERMUTATIONS,
    PIECEWISE,
    PLAIN,
    ahead,
    at_most,
    best,
    between,
    correlation,
    lead,
    shift,
    slope,
    waits,
)
from grokscope.papers.series import minus

__all__ = ["EXPERIMENT", "PAPER"]

POLE = math.log(1.4)
"""40 % more steps for one percentage point less data, the lower end of the paper's 40-50 %."""


def _on_random(observation: Observation, arm: str) -> float | None:
    return observation["random"][arm]["best"] if arm in observation["random"] else None


def _full_batch(observation: Observation) -> float | None:
    return max((run["best"] for run in observation["runs"] if run["arm"] == "full batch"), default=None)


def _ordered(operations: Sequence[str]) -> list[str]:
    return [f"{operation}/ordered" for operation in operations]


def _over(observation: Observation, one: str, other: str) -> float | None:
    return minus(best(observation, _ordered([one])), best(observation, _ordered([other])))


RANDOM_ANSWERS = Control(
    statement="Random answers are learned and never generalised.",
    study="delay",
    quantity="best test accuracy on random answers, above chance",
    each=lambda o: o["random"]["best"] - o["chance"] if o["random"]["t_train"] is not None else None,
    accepts=Range(None, MARGIN),
)
NO_LEAD = Control(
    statement="On random answers weight decay gains nothing.",
    study="optimizers",
    quantity="best test accuracy on random answers, decay to the origin minus none",
    each=lambda o: minus(_on_random(o, "decay to origin"), _on_random(o, "Adam")),
    accepts=Range(-0.05, 0.05),
    ours="ten rows of the 186 that are left to test in the quick preset",
)
NO_SYMMETRY = Control(
    statement="On random answers there is no difference.",
    study="operations",
    quantity="best test accuracy on random answers, multiplication minus division",
    each=lambda o: minus(best(o, ["mul/random"]), best(o, ["div/random"])),
    accepts=Range(-0.04, 0.04),
    ours="below the claimed difference",
)
CLAIMS = (
    Claim(
        id="delayed-generalisation",
        statement="Division stays at chance long after its training rows are known, and is fully generalised later.",
        where="Sec. 3.1, Fig. 1",
        paper="training at < 10³ steps, test beyond chance at 10⁵, near 100 % at 10⁶",
        study="delay",
        quantity="steps until test accuracy is 5 % above chance over t_train, of runs that reach 99 %",
        each=lambda o: waits(o, [0]),
        accepts=Range(10.0, None),
        ours="ten times; the paper's run shows about a hundred, without weight decay",
        control=RANDOM_ANSWERS,
    ),
    Claim(
        id="delayed-on-other-operations",
        statement="Generalisation is delayed on other operations too.",
        where="Sec. 3.1, App. A.1.1",
        paper="for several operations",
        study="delay",
        quantity="the same, the smaller of subtraction and order-agnostic multiplication",
        each=lambda o: waits(o, [1, 2]),
        accepts=Range(10.0, None),
        ours="ten times; (a, b) and (b, a) of a product are on one side of the split, so swaps answer nothing",
        control=RANDOM_ANSWERS,
    ),
    Claim(
        id="a-point-less-costs-half-as-much-again",
        statement="Near the smallest working fraction one point less of data takes 40 to 50 % more steps.",
        where="Sec. 3.1.1",
        paper="40-50 % more steps in the median, around 25-30 % of S5",
        study="fractions",
        quantity="d ln(median steps to 99 % test) / d(points of data), three smallest working fractions",
        pooled=lambda seen: slope(seen, "t_test"),
        accepts=Range(None, -POLE),
        partly=Range(None, -0.03),
        needs=3,
        ours="at least the paper's 40 %; partly from 3 % a point",
        control=Control(
            statement="The steps to learn the training rows hardly change, or fall with less data.",
            study="fractions",
            quantity="d ln(median steps to 99 % train) / d(points of data), the same fractions",
            pooled=lambda seen: slope(seen, "t_train"),
            accepts=Range(-0.02, 0.06),
            ours="hardly: less than 2 % a point slower",
        ),
    ),
    Claim(
        id="decay-needs-the-least-data",
        statement="Weight decay to the origin is ahead of every other regulariser, noise and rate.",
        where="Sec. 3.3, Fig. 2",
        paper="more than halves the samples that are needed",
        study="optimizers",
        quantity="best test accuracy, mean over fractions: decay to the origin minus the best other arm",
        each=lead,
        accepts=Range(0.02, None),
        contradicts=Range(None, -0.02),
        needs=3,
        ours="2 % of accuracy, so that no tie counts; first in at least four of five seeds",
        control=NO_LEAD,
    ),
    Claim(
        id="decay-to-start-helps-less",
        statement="Decay towards the first weights helps as well, but less.",
        where="Sec. 3.3, Fig. 2",
        paper="effective, but less so",
        study="optimizers",
        quantity="best test accuracy, mean over fractions: the smaller of (start minus Adam) and (origin minus start)",
        each=between,
        accepts=Range(0.02, None),
        needs=3,
        ours="2 % of accuracy on either side",
        control=NO_LEAD,
    ),
    Claim(
        id="full-batch-generalises-somewhat",
        statement="There is some generalisation even with full batches and no noise or regularisation.",
        where="Sec. 3.3, Fig. 2",
        paper="some, at the largest fractions",
        study="optimizers",
        quantity="best test accuracy of full-batch Adam, over fractions",
        each=_full_batch,
        accepts=Range(0.2, None),
        needs=3,
        ours="0.2, six times chance",
        control=Control(
            statement="On random answers Adam stays below that.",
            study="optimizers",
            quantity="best test accuracy of Adam on random answers, at the largest fraction of all arms",
            each=lambda o: _on_random(o, "Adam"),
            accepts=Range(None, 0.19),
            ours="below the claimed 0.2",
        ),
    ),
    Claim(
        id="symmetric-needs-less",
        statement="Symmetric operations need less data than their asymmetric counterparts.",
        where="Sec. 3.2, Fig. 2",
        paper="x + y, x·y, x² + y², x² + xy + y² tend to need less",
        study="operations",
        quantity="best test accuracy, symmetric minus counterpart, mean over three pairs and all fractions",
        each=lambda o: ahead(o, "ordered"),
        accepts=Range(0.05, None),
        contradicts=Range(None, -0.05),
        needs=3,
        ours="5 % of accuracy; (b, a) may be in training as in the paper, so part of it is the swap",
        control=NO_SYMMETRY,
    ),
    Claim(
        id="symmetric-needs-less-without-swaps",
        statement="They do so even if commutation answers no test row.",
        where="Sec. 3.2, our reading: the paper does not separate the two",
        paper="not measured",
        study="operations",
        quantity="the same, with (a, b) and (b, a) on one side of the split",
        each=lambda o: ahead(o, "unordered"),
        accepts=Range(0.05, None),
        contradicts=Range(None, -0.05),
        needs=3,
        ours="5 % of accuracy, as above",
        control=NO_SYMMETRY,
    ),
    Claim(
        id="one-is-never-learned",
        statement="x³ + xy² + y is not generalised from any fraction up to 95 %.",
        where="Sec. 3.2, Fig. 2",
        paper="no generalisation at any fraction within the budget",
        study="operations",
        quantity="best test accuracy on x³ + xy² + y from most of the table",
        each=lambda o: at_most(o, NEVER),
        accepts=Range(None, 0.2),
        contradicts=Range(0.9, None),
        needs=3,
        ours="0.2, six times chance, for no generalisation",
        control=Control(
            kind="positive",
            statement="Division is generalised from as much.",
            study="operations",
            quantity="best test accuracy on division from as much",
            each=lambda o: at_most(o, "div"),
            accepts=Range(0.99, None),
        ),
    ),
    Claim(
        id="involved-operations-need-more",
        statement="Generalisation takes more data the more complicated and the less symmetrical an operation is.",
        where="Sec. 3.2, Fig. 2 (right) and its caption",
        paper="intuitively more complicated and less symmetrical operations: at higher percentages",
        study="operations",
        quantity="best test accuracy, mean over fractions: x + y, x − y, x / y and x² + y² minus x² + xy + y² + x, "
        "x³ + xy, x³ + xy² + y and the piecewise one",
        each=lambda o: minus(best(o, _ordered(PLAIN)), best(o, _ordered(INVOLVED))),
        accepts=Range(0.2, None),
        contradicts=Range(None, -0.05),
        needs=3,
        ours="0.2, a fifth of all there is; which four are simple and which are not",
        control=NO_SYMMETRY,
    ),
    Claim(
        id="subtraction-and-division-alike",
        statement="x − y and x / y take about the same amount of data.",
        where="Sec. 3.2, Fig. 2",
        paper="about the same: both are a difference in a cyclic group",
        study="operations",
        quantity="points of data by which the curves of best test accuracy by fraction are apart",
        each=lambda o: shift(o, "sub", "div"),
        accepts=Range(None, 10.0),
        contradicts=Range(20.0, None),
        needs=3,
        ours="ten points, one step of the fractions between 20 and 90 %",
        control=Control(
            kind="positive",
            statement="Operations that take different amounts are told apart.",
            study="operations",
            quantity="the same of subtraction and x³ + xy² + y",
            each=lambda o: shift(o, "sub", NEVER),
            accepts=Range(20.0, None),
            ours="twice what counts as the same",
        ),
    ),
    Claim(
        id="piecewise-is-learned",
        statement="Even x / y for odd and x − y for even y is generalised, which is no group or ring operation.",
        where="Sec. 3.2, Fig. 2",
        paper="generalises",
        study="operations",
        quantity="best test accuracy on it from most of the table",
        each=lambda o: at_most(o, PIECEWISE),
        accepts=Range(0.9, None),
        contradicts=Range(None, 0.08),
        needs=3,
        ours="0.9; contradicted at chance plus 5 %",
        control=Control(
            statement="Random answers are not.",
            study="operations",
            quantity="best test accuracy on random answers in place of division's",
            each=lambda o: best(o, ["div/random"]),
            accepts=Range(None, 0.08),
            ours="chance plus 5 %",
        ),
    ),
    Claim(
        id="plain-products-need-least",
        statement="Of permutations x·y takes less data than x·y·x⁻¹ and x·y·x.",
        where="Fig. 2 (right) and its caption",
        paper="more complicated operations: at higher percentages",
        study="operations",
        quantity="best test accuracy, mean over fractions: x·y minus the better of the other two",
        each=lambda o: min(
            (d for other in PERMUTATIONS[1:] if (d := _over(o, PERMUTATIONS[0], other)) is not None), default=None
        ),
        accepts=Range(0.05, None),
        contradicts=Range(None, -0.05),
        needs=3,
        ours="5 % of accuracy, as above",
        control=NO_SYMMETRY,
    ),
    Claim(
        id="flat-minima-generalise",
        statement="The sharper the minimum, the lower the test accuracy.",
        where="App. A.5",
        paper="Spearman correlation −0.795",
        study="optimizers",
        quantity="Spearman correlation of sharpness with test accuracy at the end",
        pooled=lambda seen: correlation(seen, "final"),
        accepts=Range(None, -0.5),
        partly=Range(None, -0.2),
        contradicts=Range(0.2, None),
        needs=3,
        ours="−0.5; all arms and fractions of all seeds, runs that have learned their training rows",
        control=Control(
            statement="With test accuracies exchanged among the runs of a seed there is none.",
            study="optimizers",
            quantity="Spearman correlation of sharpness with another run's test accuracy",
            pooled=lambda seen: correlation(seen, "shuffled"),
            accepts=Range(-0.45, 0.45),
            ours="below the claimed 0.5 in size",
        ),
    ),
)

PAPER = Paper(
    key="power2022grokking",
    source="power2022grokking",
    about="delayed generalisation on small algorithmic tables, and what makes it sooner",
    differences=(
        "Training rows are floor(f · N); the authors' code rounds.",
        "The vocabulary is shared among tasks as theirs is, with 14 operators (reconstruction: versions of their "
        "code differ); embeddings of tokens that never occur are decayed and never read.",
        "The split is drawn from the run's seed; their data module always shuffles with seed 0.",
        "Mini-batches are drawn without replacement in a fresh order each epoch.",
        "The quick preset trains a perceptron of one hidden layer on a shared embedding, p = 31, with a learning rate "
        "of 10⁻² and 700 to 6,000 steps at most, in place of a transformer, p = 97, 10⁻³ and 10⁵ steps.",
        "In it, delay, data and operations (these at 2·10⁻², for 700 steps) are seen with full batches; the arms of "
        "Fig. 2 take 1,500 steps on mini-batches of 128, except the full-batch arm. Learning rates are 0.3 and 3 times "
        "the usual one.",
        "Delay is judged with weight decay 1; the paper's Fig. 1 is Adam without any, for up to 10⁶ steps.",
        "Fig. 2's arms and the steps by data are of S5 in the paper and in the paper preset, of division in the quick.",
        "The noise on updates has σ = 0.1 in the quick and 1 in the paper preset, before the learning rate "
        "(reconstruction: the figure does not say it).",
        "Data efficiency is judged by the best test accuracy within the budget, mean over fractions.",
        "Sharpness is the rise of the training loss over one ascent step of length 0.05 (Foret et al. 2020); theirs "
        "the largest loss in a box (Keskar et al. 2017). Runs stop a while after they have generalised.",
        "Which asymmetric operation is a symmetric one's counterpart is ours: +/−, ·//, and x² + xy + y² (+ x).",
        "Operations are the twelve of Fig. 2 (right) and multiplication, which the text speaks of; in the quick preset "
        "S₄ (24 elements) stands in for S₅, and fractions are 50, 70 and 90 %.",
        "Which operations are complicated is ours; the paper calls them intuitively so and draws no line.",
        "The paper's figure shows mean accuracies of three runs; ours medians, and verdicts are of each seed.",
        "The delay of multiplication is judged with (a, b) and (b, a) on one side of the split; the paper's is not.",
    ),
    studies=(DELAY, FRACTIONS, OPTIMIZERS, OPERATIONS),
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Above: one division (Fig. 1), steps to 99 % by share of training data, best test accuracy of the arms of "
    "Fig. 2 (left). Below: best test accuracy of each operation by share (Fig. 2, right) with the steps to 99 % where "
    "they are reached, and sharpness against test accuracy (App. A.5), coloured as the arms.",
    figure_size=(10.5, 7.5),
)
