"""Liu et al. 2022, "Towards Understanding Grokking: An Effective Theory of Representation Learning"."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.papers.base import Claim, Control, Observation, Paper, Range
from grokscope.papers.liu2022effective.figure import draw
from grokscope.papers.liu2022effective.studies import EXPERIMENT, FORMED, STUDIES, crossing

__all__ = ["EXPERIMENT", "PAPER"]


def _formed_crossing(seen: Sequence[Observation]) -> float | None:
    """Train fraction at which half of the seeds form the representation within the budget."""
    fractions = [m["fraction"] for m in seen[0]["members"]]
    shares = [float(np.mean([o["members"][i]["formed"] is not None for o in seen])) for i in range(len(fractions))]
    return crossing(fractions, shares)


def _ranked(seen: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
    """Standardised ranks of half-life and of steps until formed; what never happens comes last."""
    from scipy.stats import rankdata

    out = []
    for key in ("half_life", "formed"):
        values = [float("inf") if m[key] is None else float(m[key]) for o in seen for m in o["members"]]
        ranks = rankdata(values)
        out.append((ranks - ranks.mean()) / max(float(ranks.std()), 1e-12))
    return out[0], out[1]


def _rank_correlation(seen: Sequence[Observation]) -> float | None:
    theory, steps = _ranked(seen)
    return float(np.mean(theory * steps))


def _permuted_correlation(seen: Sequence[Observation]) -> float | None:
    """95th percentile of the rank correlation over 200 random pairings of theory and runs."""
    theory, steps = _ranked(seen)
    rng = np.random.default_rng(0)
    return float(np.quantile([np.mean(rng.permutation(theory) * steps) for _ in range(200)], 0.95))


def _fell(one: Mapping[str, Any]) -> float:
    """By how much the dimension fell, 0 where the run never generalised."""
    return float(one["fall"]) if one["t_test"] is not None else 0.0


PAPER = Paper(
    key="liu2022effective",
    source="liu2022effective",
    about="representations of addition: which train sets determine them, how fast they form, and four phases",
    differences=(
        "The critical train set is judged by random train sets of every second size, 40 each; the paper has 100.",
        "The quick toy's decoder is 100 wide for the train-set sizes and 50 wide for the phases; the paper's is 200.",
        "The quick phase grid has 5 learning rates (2e-5 … 1e-2) and decays 0, 1 and 3; the paper's is 10 × 10 with "
        "decays to 10. A narrower decoder does not reach 90 % at decays that the paper's bears.",
        "Phases are judged within 10⁴ steps, as in the authors' code; the paper's text says 10⁵.",
        "Codes Y ~ N(0, 1) in 30 dimensions; a seed has its own codes, start and split, shared by its whole grid.",
        "A split of the phase grid is drawn again where a perfect line would answer less than 90 % of the held-out "
        "pairs: the sums 0, 1, 17 and 18 have one pair each, and two of them held out leave no way to generalise.",
        "Only addition by regression; classification, permutations of three and digits are left out.",
        "The half-life takes the embedding's learning rate as η, though the toy's optimizer is AdamW and "
        "the theory's is gradient flow: only the order of runs is compared, not their steps.",
        "The transformer is ours (one layer, no dropout, unordered split, half of the table, decay 1 on all weights; "
        "reconstruction); the quick one is smaller and faster: mod 23, four fifths of the table, learning rate 2e-3, "
        "decay 2.",
        "The rise of the effective dimension is judged from this start; an embedding of independent normal numbers "
        "begins near the largest value that its covariance allows.",
    ),
    experiments=(EXPERIMENT,),
    studies=STUDIES,
    claims=(
        Claim(
            id="critical-train-set",
            statement="From about 40 % of the pairs on, the train set determines the linear representation.",
            where="Sec. 3.2, Fig. 4a",
            paper="about 0.4 for ten numbers",
            study="nullity",
            quantity="train fraction at which half of the random train sets leave two degrees of freedom",
            each=lambda o: o["crossing"],
            accepts=Range(0.35, 0.5),
            ours="the width of the band",
            control=Control(
                study="nullity",
                statement="With the sums shuffled among the pairs no train set of 80 % leaves two.",
                quantity="share of train sets with shuffled sums that leave two degrees of freedom",
                each=lambda o: o["shuffled"],
                accepts=Range(0, 0.1),
            ),
        ),
        Claim(
            id="critical-in-training",
            statement="The same train fraction is the one from which trained embeddings form the representation.",
            where="Sec. 3.2, Fig. 4b",
            paper="steps to RQI > 0.95 diverge below about 0.4",
            study="learning",
            quantity="train fraction at which half of the seeds reach RQI > 0.95 within the budget",
            pooled=_formed_crossing,
            accepts=Range(0.35, 0.5),
            partly=Range(0.5, 0.8),
            ours="the band, and half of the seeds in place of diverging steps",
            control=Control(
                study="learning",
                statement="The embedding before training has it for no train set.",
                quantity="share of runs whose first embedding has RQI > 0.95",
                each=lambda o: float(np.mean([m["rqi_before"] > FORMED for m in o["members"]])),
                accepts=Range(0, 0.05),
            ),
        ),
        Claim(
            id="rqi-predicts-accuracy",
            statement="The parallelograms of the embedding predict the accuracy.",
            where="Sec. 3.1, Fig. 3",
            paper="points on the diagonal; mean difference about 0.02 in the stored runs",
            study="learning",
            quantity="mean |accuracy − predicted accuracy| over the sizes of the train set",
            each=lambda o: o["error"],
            accepts=Range(0, 0.05),
            ours="0.05",
            control=Control(
                study="learning",
                statement="The first embedding predicts the last accuracy worse.",
                quantity="mean |accuracy − accuracy predicted from the first embedding|",
                each=lambda o: o["error_before"],
                accepts=Range(low=0.05),
            ),
        ),
        Claim(
            id="rate-from-theory",
            statement="The third eigenvalue of the effective theory gives the speed at which the representation forms.",
            where="Sec. 3.2, Fig. 5",
            paper="qualitative agreement of 1/(λ₃η) with the steps to RQI > 0.95",
            study="learning",
            quantity="rank correlation of half-life and steps until RQI > 0.95 over all runs, never as last",
            pooled=_rank_correlation,
            accepts=Range(low=0.5),
            partly=Range(0.2, 0.5),
            contradicts=Range(high=0.0),
            ours="0.5",
            control=Control(
                study="learning",
                statement="Half-lives dealt to other runs do not order them.",
                quantity="95th percentile of the rank correlation over random pairings",
                pooled=_permuted_correlation,
                accepts=Range(high=0.5),
            ),
        ),
        Claim(
            id="four-phases",
            statement="The decoder's learning rate and decay decide between four phases of learning.",
            where="Sec. 4.1, Fig. 6, Table 1",
            paper="comprehension, grokking, memorization and confusion in one diagram",
            study="phases",
            quantity="how many of the four phases occur in the grid",
            each=lambda o: o["kinds"],
            accepts=Range(4, 4),
            control=Control(
                study="phases",
                statement="With the embedding frozen no learning rate generalises.",
                quantity="cells that generalise with the embedding frozen",
                each=lambda o: o["frozen_generalised"],
                accepts=Range(0, 0),
            ),
        ),
        Claim(
            id="dimension-falls",
            statement="The embedding's effective dimension falls as a transformer generalises.",
            where="Sec. 4.2, Fig. 7",
            paper="falls to that of a few circles, over 100 seeds",
            study="transformer",
            quantity="share by which the effective dimension fell from its peak, 0 where nothing generalised",
            each=lambda o: _fell(o["true"]),
            accepts=Range(low=0.5),
            ours="one half",
            control=Control(
                study="transformer",
                statement="With random answers weight decay alone does not lower it as far.",
                quantity="share by which the effective dimension fell from its peak with random answers",
                each=lambda o: o["random"]["fall"],
                accepts=Range(high=0.5),
            ),
        ),
        Claim(
            id="dimension-rises-first",
            statement="Before it falls the effective dimension rises.",
            where="Sec. 4.2, Fig. 7",
            paper="a rise while the train set is memorised",
            study="transformer",
            quantity="peak of the effective dimension over its first value, minus one",
            each=lambda o: o["true"]["rise"],
            accepts=Range(low=0.05),
            ours="a rise of 5 %, which is more than the first steps' jitter",
            control=Control(
                study="transformer",
                statement="With random answers it does not rise.",
                quantity="peak over first value, minus one, with random answers",
                each=lambda o: o["random"]["rise"],
                accepts=Range(high=0.05),
            ),
        ),
    ),
    draw=draw,
    caption="Toy addition and a transformer: learning with 45 pairs, accuracy against that predicted from the "
    "embedding's parallelograms, the critical train set, the theory's half-life, phases, and the effective dimension "
    "(after Figs. 1 to 7).",
    figure_size=(10.5, 6.0),
)
