"""Clauw, Stramaglia & Marinazzo 2024, "Information-theoretic progress measures reveal grokking is ..."."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import Fit, Measure, Norms, OInformation
from grokscope.models import MLP
from grokscope.optim import AdamW
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study
from grokscope.papers.drawing import ACCENT, FOURTH, SECOND, THIRD, columns, label_corner, lines, over_steps
from grokscope.papers.series import curve, kept, short
from grokscope.tasks import ModularArithmetic
from grokscope.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DenseOInformation(OInformation):
    """O-information at every look: a peak before memorisation lasts a few of them."""

    kind: ClassVar[str] = "grokscope.papers.clauw2024information:DenseOInformation"
    every: ClassVar[int] = 1


DECAYS = (0.1, 2.0, 10.0, 50.0)
"""The paper's: delayed, sharp, and two that do not grok."""
AFTER = 1.2
"""The early window ends at so many times t_train."""
EXPERIMENT = Experiment(
    name="clauw2024information",
    about="a + b mod 97 at 50 %, one hidden layer of 250 ReLU neurons, lr 1e-3, wd 2: after Clauw et al. 2024",
    task=ModularArithmetic(operation="add", modulus=97, train_fraction=0.5),
    model=MLP(inputs="one-hot", hidden=250),
    optimizer=AdamW(lr=1e-3, weight_decay=2.0),
    measures=(Fit(), Norms(), OInformation()),
    budget=40_000,
)
LOOKS = Clock(looks_per_decade=12, zoom=1, max_overhead=100.0, free_looks=300)
POINTS = 80


def observe(lab: Lab) -> Observation:
    """The four decays from the same first weights and split, and two of them on random labels."""
    size = lab.size
    measures: tuple[Measure, ...] = (Fit(), Norms(), DenseOInformation(rows=size["rows"]))
    experiment = EXPERIMENT.with_overrides(
        {
            "task.modulus": size["modulus"],
            "task.train_fraction": size["fraction"],
            "model.hidden": size["hidden"],
            "optimizer.lr": size["lr"],
            "budget": size["budget"],
            "stop_after_grok": True,
            "measures": [measure.to_dict() for measure in measures],
            "clock": LOOKS.to_dict(),
        }
    )
    run = lab.train(experiment, [{"optimizer.weight_decay": decay} for decay in DECAYS])
    random = lab.train(
        experiment.with_overrides({"task.labels": "random", "budget": size["random"]}),
        [{"optimizer.weight_decay": decay} for decay in DECAYS[:2]],
    )
    events = [phases.events for phases in run.phases()]
    ends = [AFTER * event.t_train for event in events if event.t_train is not None]
    members, curves = [], []
    for member, (decay, event) in enumerate(zip(DECAYS, events, strict=True)):
        end = AFTER * event.t_train if event.t_train is not None else max(ends, default=None)
        seen = _early(run.trace, member, end) | {"decay": decay, "t_train": event.t_train, "t_test": event.t_test}
        members.append(seen | {"end": end, "last": event.last_step})
        steps, synergy = _synergy(run.trace, member)
        at, loss = run.trace.series("test/loss", member)
        thin = kept(len(steps), POINTS, down=True)
        curves.append(
            {
                "steps": [int(s) for s in steps[thin]],
                "synergy": short(synergy[thin], ".3f"),
                "loss": short(np.interp(steps[thin], at, loss), ".3g"),
            }
        )
    rises = [_rise(run.trace, run.trace, member, event.t_train) for member, event in enumerate(events[:2])]
    controls = [_rise(run.trace, random.trace, member, event.t_train) for member, event in enumerate(events[:2])]
    return {
        "members": members,
        "curves": curves,
        "rise": rises,
        "random_rise": controls,
        "random_early": [_early(random.trace, m, members[m]["end"])["peak"] for m in range(2)],
    }


def _synergy(trace: Trace, member: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and −Ω of the most synergistic multiplet, nats."""
    steps, values = curve(trace, "information/synergy", member)
    return steps, -values


def peak(values: np.ndarray) -> float:
    """Height of a series' largest peak over the lower ground on either side of it, max_j min(v_j − min before, after).

    0 for a series that only rises or only falls.
    """
    before = np.minimum.accumulate(values)
    after = np.minimum.accumulate(values[::-1])[::-1]
    return float(np.minimum(values - before, values - after).max())


def _early(trace: Trace, member: int, end: float | None) -> dict[str, float | None]:
    """The early window: its peak and largest value of synergy, and at its end the norm and the training loss."""
    steps, synergy = _synergy(trace, member)
    inside = steps <= (end or 0.0)
    if end is None or inside.sum() < 3:
        return dict.fromkeys(("peak", "highest", "start", "norm", "loss"))
    found: dict[str, float | None] = {"peak": peak(synergy[inside]), "highest": float(synergy[inside].max())}
    found["start"] = float(synergy[0])
    for name, key in (("norm", "norm/weights"), ("loss", "train/loss")):
        at, values = trace.series(key, member)
        found[name] = float(values[at <= end][-1])
    return found


def _rise(own: Trace, trace: Trace, member: int, t_train: int | None) -> float | None:
    """Median synergy of ``trace`` around the test loss's peak of ``own`` (× / 1.5) over that before t_train / 2."""
    at, loss = own.series("test/loss", member)
    steps, synergy = _synergy(trace, member)
    if t_train is None or not len(at):
        return None
    top = at[int(loss.argmax())]
    near, before = (steps >= top / 1.5) & (steps <= 1.5 * top), steps <= t_train / 2
    if not near.any() or not before.any() or np.median(synergy[before]) <= 0:
        return None
    return float(np.median(synergy[near]) / np.median(synergy[before]))


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Share of pairs of a positive and a negative in which the positive has the higher score, ties one half."""
    s, yes = np.array(scores, dtype=float), np.array(positive, dtype=bool)
    if not yes.any() or yes.all():
        return None
    above = s[yes][:, None] - s[~yes][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def classified(observations: Sequence[Observation], score: str, sign: float = 1.0) -> float | None:
    """AUC of an early number for 'generalised within the budget', all members of all seeds together."""
    members = [one for seen in observations for one in seen["members"] if one[score] is not None]
    return auc([sign * one[score] for one in members], [one["t_test"] is not None for one in members])


def _advantage(observations: Sequence[Observation], score: str) -> float | None:
    """AUC of an early number minus that of a low training loss at the same time."""
    own, loss = classified(observations, score), classified(observations, "loss", -1.0)
    return None if own is None or loss is None else own - loss


def _delay(seen: Observation) -> float | None:
    """t_test / t_train of the smallest decay over that of the second."""
    slow, sharp = seen["members"][:2]
    if None in (slow["t_train"], slow["t_test"], sharp["t_train"], sharp["t_test"]):
        return None
    return float((slow["t_test"] / max(slow["t_train"], 1)) / (sharp["t_test"] / max(sharp["t_train"], 1)))


def _generalised(seen: Observation) -> int:
    """How many of the two largest decays generalised."""
    return sum(one["t_test"] is not None for one in seen["members"][2:])


def _smaller(values: Sequence[float | None]) -> float | None:
    """The smaller of two; None where one is missing."""
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None


def _larger(values: Sequence[float | None]) -> float | None:
    """The larger of two; None where one is missing."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Synergy and test loss over time by decay, and the early numbers of all runs."""
    colours = (ACCENT, THIRD, FOURTH, SECOND)
    synergy, loss, early, base = figure.subplots(1, 4)
    seeds = seen["decays"]
    words = [(f"decay {decay:g}", colour) for decay, colour in zip(DECAYS, colours, strict=True)]
    for axes, key, about in ((synergy, "synergy", "synergy, −lowest Ω (nats)"), (loss, "loss", "test loss (nats)")):
        for k, colour in enumerate(colours):
            runs = [one["curves"][k] for one in seeds]
            lines(axes, [columns(run["steps"], run[key]) for run in runs], colour, width=1.6)
        over_steps(axes, about, f"n = {len(seeds)} seeds", left=1)
    label_corner(loss, words)
    generator = np.random.default_rng(0)
    for axes, score, sign, label in (
        (early, "peak", 1.0, "early peak of synergy (nats)"),
        (base, "loss", -1.0, "training loss then (nats)"),
    ):
        for k, colour in enumerate(colours):
            marks = [(one["members"][k]["t_test"] is not None, one["members"][k][score]) for one in seeds]
            known = [(grok + generator.uniform(-0.15, 0.15), value) for grok, value in marks if value is not None]
            axes.plot([x for x, _ in known], [y for _, y in known], "o", ms=4, color=colour, alpha=0.8)
        value = classified(seeds, score, sign)
        axes.set(xlim=(-0.5, 1.5), ylabel=label, title="AUC undefined" if value is None else f"AUC {value:.2f}")
        axes.set_xticks([0, 1], ["no grokking", "grokking"])
    for axes in (early, base):
        axes.title.set_fontsize(9)


PAPER = Paper(
    key="clauw2024information",
    source="clauw2024informationtheoretic",
    about="whether synergy between neurons, early in training, announces generalisation",
    differences=(
        "Quick: p = 31 at 70 %, lr 1e-2 and 3,000 steps. Modulus, share of the table, learning rate and "
        "budget of the paper preset (97, 50 %, 1e-3, 40,000) are reconstructions too.",
        "One-hot inputs, ReLU, AdamW with β = (0.9, 0.98), torch.nn.Linear's first weights (reconstruction).",
        "A run has grokked if it generalised within the budget (90 % of the way from chance on test, three looks).",
        "An early peak is a number here: the largest height of synergy over the lower ground on either side, before "
        "1.2 t_train. A run that never memorised has the longest window of its seed's others.",
        "Ω is that of Gaussian copulas on at most 512 training rows, multiplets of 3 … 10 bins (at 2, Ω is always 0).",
        "Only weight decay is varied; the paper's first weights times 8 with a fixed norm are left out.",
        "A member that has generalised stops a fifth later.",
    ),
    studies=(
        Study(
            name="decays",
            about="one hidden layer of 250 neurons at four weight decays, and on random labels",
            observe=observe,
            sizes={
                "smoke": {
                    "modulus": 7,
                    "fraction": 0.7,
                    "hidden": 24,
                    "lr": 3e-2,
                    "budget": 40,
                    "random": 20,
                    "rows": 32,
                },
                "quick": {
                    "modulus": 31,
                    "fraction": 0.7,
                    "hidden": 250,
                    "lr": 1e-2,
                    "budget": 3000,
                    "random": 200,
                    "rows": 512,
                },
                "paper": {
                    "modulus": 97,
                    "fraction": 0.5,
                    "hidden": 250,
                    "lr": 1e-3,
                    "budget": 40_000,
                    "random": 4000,
                    "rows": 512,
                },
            },
        ),
    ),
    claims=(
        Claim(
            id="delayed-and-sharp",
            statement="Weight decay 0.1 generalises late, 2 sharply; 10 and 50 do not.",
            where="experiments on weight decay",
            paper="by eye",
            study="decays",
            quantity="t_test / t_train at 0.1 over that at 2",
            each=_delay,
            accepts=Range(low=2.0),
            contradicts=Range(high=1.0),
            ours="a factor of two",
            control=Control(
                kind="negative",
                statement="Weight decay 10 and 50 do not generalise within the budget.",
                study="decays",
                quantity="how many of them generalised",
                each=_generalised,
                accepts=Range(high=0),
            ),
        ),
        Claim(
            id="synergy-rises-in-emergence",
            statement="Synergy rises in the emergence phase, where the test loss has its peak.",
            where="phases of training",
            paper="by eye",
            study="decays",
            quantity="synergy around the test loss's peak over that before half of t_train, the smaller of 0.1 and 2",
            each=lambda seen: _smaller(seen["rise"]),
            accepts=Range(low=1.5),
            contradicts=Range(high=1.0),
            ours="1.5; around is from 2/3 to 3/2 of the step of the peak",
            control=Control(
                kind="negative",
                statement="On random labels, where nothing can emerge, it does not rise in the same steps.",
                study="decays",
                quantity="the same on random labels, the larger of 0.1 and 2",
                each=lambda seen: _larger(seen["random_rise"]),
                accepts=Range(high=1.5),
            ),
        ),
        Claim(
            id="early-peak-announces-grokking",
            statement="An early peak of synergy, before 1.2 t_train, tells runs that will grok from others.",
            where="abstract and discussion; the authors ask for more tests",
            paper="present in runs that grok, absent in others, by eye",
            study="decays",
            quantity="AUC of the early peak over all runs",
            pooled=lambda observations: classified(observations, "peak"),
            accepts=Range(low=0.75),
            contradicts=Range(high=0.5),
            ours="0.75; the same window gives the training loss beside it, which is drawn as a baseline",
            control=Control(
                kind="negative",
                statement="Synergy of the untrained network, the same for all decays of a seed, tells nothing.",
                study="decays",
                quantity="AUC of synergy at step 0",
                pooled=lambda observations: classified(observations, "start"),
                accepts=Range(low=0.35, high=0.65),
            ),
        ),
        Claim(
            id="more-than-the-training-loss",
            statement="That peak is an early sign of its own: it tells at least as well as the training loss.",
            where="discussion (an early-warning measure); the comparison is ours",
            paper="not compared",
            study="decays",
            quantity="AUC of the early peak − AUC of a low training loss at the end of its window",
            pooled=lambda observations: _advantage(observations, "peak"),
            accepts=Range(low=0.0),
            contradicts=Range(high=-0.1),
            ours="at least as well",
            control=Control(
                kind="negative",
                statement="Synergy of the untrained network does not.",
                study="decays",
                quantity="AUC of synergy at step 0 − AUC of a low training loss",
                pooled=lambda observations: _advantage(observations, "start"),
                accepts=Range(high=-0.1),
            ),
        ),
    ),
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Synergy of the most synergistic multiplet and test loss over training at four weight decays; the early "
    "peak of synergy and, as a baseline, the training loss at the end of the same window, of all runs.",
    figure_size=(12.0, 3.0),
)
