"""Humayun, Balestriero & Baraniuk 2024, "Deep Networks Always Grok and Here is Why"."""

from collections.abc import Callable

from grokscope.papers.base import Claim, Control, Observation, Paper, Range
from grokscope.papers.humayun2024local.figure import draw

# before the studies, whose experiments name the measure by its place in this module
from grokscope.papers.humayun2024local.neighbourhoods import Neighbourhoods
from grokscope.papers.humayun2024local.studies import EXPERIMENT, LARGE_START, ROBUSTNESS, course
from grokscope.papers.series import over

__all__ = ["EXPERIMENT", "PAPER", "Neighbourhoods", "course"]

FALLEN = 2 / 3
"""Share of its peak below which local complexity has fallen (ours)."""


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
