"""DeMoss et al. 2024, "The Complexity Dynamics of Grokking"."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import DescriptionLength, Fit
from grokscope.models import Transformer
from grokscope.optim import AdamW
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study
from grokscope.papers.drawing import TEST, TRAIN, label_corner, label_line, lines, mark, over_steps, points
from grokscope.papers.series import Curve, curve, over, pairs
from grokscope.tasks import ModularArithmetic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY = "complexity/bz2"
SHARES = (1.0, 0.99, 0.9, 0.7, 0.5)


def setting(size: Mapping[str, Any], **changes: Any) -> Experiment:
    """A one-layer transformer on a + b mod p whose file is measured at every eighth look; ``__`` for the dot."""
    return Experiment(
        name="demoss2024complexity",
        about=f"a + b mod {size['p']} at {100 * size['fraction']:g} %, one-layer transformer with weight decay, and "
        "the shortest file of its weights (DeMoss et al. 2024)",
        task=ModularArithmetic(modulus=size["p"], train_fraction=size["fraction"]),
        model=Transformer(width=size["width"], hidden=4 * size["width"]),
        optimizer=AdamW(lr=size["lr"], weight_decay=1.0, betas=(0.9, 0.98)),
        budget=size["steps"],
        stop_after_grok=size["tail"] > 0,
        tail=size["tail"],
        clock=Clock(looks_per_decade=80, zoom=1, free_looks=1000, max_overhead=10.0, sparse_per_decade=80),
        measures=(Fit(), DescriptionLength(tolerance=1.0, shares=SHARES)),
    ).with_overrides({name.replace("__", "."): value for name, value in changes.items()})


PAPERS_OWN = {"p": 113, "fraction": 0.3, "width": 128, "lr": 1e-3, "steps": 40_000, "tail": 0.0, "other": 40_000}
EXPERIMENT = setting(PAPERS_OWN)


def dynamics(lab: Lab) -> Observation:
    """File sizes along training: with weight decay, without, on random labels, and of weights that stay."""
    size = lab.size
    other = {"budget": size["other"], "stop_after_grok": False}
    runs = {
        "decay": lab.train(setting(size)),
        "plain": lab.train(setting(size, optimizer__weight_decay=0.0, **other)),
        "random": lab.train(setting(size, task__labels="random", **other)),
        "still": lab.train(setting(size, optimizer__lr=1e-12, budget=size["still"], stop_after_grok=False)),
    }
    events = runs["decay"].phases()[0].events
    found: dict[str, Any] = {
        "p": size["p"],
        "t_train": events.t_train,
        "t_test": events.t_test,
        "last_step": events.last_step,
        "plain_t_train": runs["plain"].phases()[0].events.t_train,
        "plain_t_test": runs["plain"].phases()[0].events.t_test,
        "random_t_train": runs["random"].phases()[0].events.t_train,
        "plain_test": runs["plain"].trace.last(0).get("test/accuracy"),
        "random_test": runs["random"].trace.last(0).get("test/accuracy"),
        "accuracy": {
            name: pairs(runs["decay"].trace.series(f"{name}/accuracy", 0), 80, ".4f") for name in ("train", "test")
        },
    }
    for name, run in runs.items():
        steps, values = curve(run.trace, KEY)
        found[f"{name}_curve"] = [[float(s), float(v)] for s, v in zip(steps, values, strict=True)]
        if not len(values):
            found |= dict.fromkeys(f"{name}_{word}" for word in ("first", "peak", "peak_step", "final", "left"))
            continue
        top = int(values.argmax())
        found |= {
            f"{name}_first": float(values[0]),
            f"{name}_peak": float(values[top]),
            f"{name}_peak_step": int(steps[top]),
            f"{name}_final": float(values[-1]),
            f"{name}_left": float(values[-1] / values[top]),
        }
    found["peak_position"] = None
    if events.delay is not None and events.delay > 0:
        found["peak_position"] = _position(curve(runs["decay"].trace, KEY), events.t_train, events.delay)
    return found


def _position(sizes: Curve, t_train: int | None, delay: int) -> float | None:
    """Where the largest file lies from t_train (0) to t_test (1); 0 too if t_train is before the next look."""
    steps, values = sizes
    if t_train is None or not len(steps):
        return None
    top = int(values.argmax())
    after = int(steps[min(top + 1, len(steps) - 1)])
    return 0.0 if steps[top] < t_train <= after else float((steps[top] - t_train) / delay)


DYNAMICS = Study(
    name="dynamics",
    about="the shortest file of the weights while a transformer memorises and generalises, and where it does not",
    observe=dynamics,
    sizes={
        "smoke": {"p": 11, "fraction": 0.7, "width": 8, "lr": 1e-2, "steps": 100, "tail": 0.5, "other": 40, "still": 2},
        "quick": {"p": 59, "fraction": 0.5, "width": 64, "lr": 1e-2, "steps": 1500, "tail": 1.0}
        | {"other": 450, "still": 2},
        "paper": PAPERS_OWN | {"still": 100},
    },
)

CLAIMS = (
    Claim(
        id="complexity-rises-while-memorising",
        statement="The complexity of the network rises while it memorises.",
        where="Sec. 4, Fig. 1",
        paper="a rise",
        study="dynamics",
        quantity="size of the file at its largest over that before training",
        each=lambda o: over(o["decay_peak"], o["decay_first"]),
        accepts=Range(2.0, None),
        ours="twice; before training weights of zeros alone are within one nat and the file is nearly empty",
        control=Control(
            statement="The file of weights that stay where they are does not grow.",
            study="dynamics",
            quantity="the same ratio at a learning rate of 1e-12",
            each=lambda o: over(o["still_peak"], o["still_first"]),
            accepts=Range(None, 1.1),
            ours="a tenth",
        ),
    ),
    Claim(
        id="complexity-peaks-between",
        statement="Complexity is highest between memorisation and generalisation.",
        where="Sec. 4, Fig. 1",
        paper="rises as the network memorises, falls as it generalises",
        study="dynamics",
        quantity="where the largest file lies between t_train (0) and t_test (1)",
        each=lambda o: o["peak_position"],
        accepts=Range(0.0, 1.0),
        ours="the largest file is known to one look: one that is followed by t_train before the next look counts as 0",
        control=Control(
            statement="Without weight decay there is no such peak: the file at the end is nearly the largest.",
            study="dynamics",
            quantity="last over largest size with weight decay 0",
            each=lambda o: o["plain_left"],
            accepts=Range(0.7, 1.0),
            ours="it has not fallen to 70 %",
        ),
    ),
    Claim(
        id="complexity-falls-with-generalisation",
        statement="Complexity falls when the network generalises.",
        where="Sec. 4, Fig. 1",
        paper="a fall",
        study="dynamics",
        quantity="last over largest size, in runs that generalise",
        each=lambda o: o["decay_left"] if o["t_test"] is not None else None,
        accepts=Range(None, 0.7),
        ours="to 70 %",
        control=Control(
            statement="On random labels, where the same weight decay brings no generalisation, it stays larger.",
            study="dynamics",
            quantity="last size on random labels over last size on true ones",
            each=lambda o: over(o["random_final"], o["decay_final"]),
            accepts=Range(1.5, None),
            ours="half as large again; weight decay alone takes away a part on random labels too",
        ),
    ),
    Claim(
        id="unregularised-stays-complex",
        statement="Without regularisation complexity stays high.",
        where="Sec. 4, Fig. 1",
        paper="stays high",
        study="dynamics",
        quantity="last over largest size with weight decay 0",
        each=lambda o: o["plain_left"],
        accepts=Range(0.7, 1.0),
        ours="it has not fallen to 70 % of its largest; one step of Δ, a power of two, is about 23 %",
        control=Control(
            kind="positive",
            statement="With weight decay it falls.",
            study="dynamics",
            quantity="last over largest size with weight decay 1",
            each=lambda o: o["decay_left"],
            accepts=Range(None, 0.7),
            ours="to 70 %",
        ),
    ),
)

COLOURS = {"decay": "#3a76d2", "plain": "#e0a03a", "random": "#c4552d"}
WORDS = {"decay": "weight decay 1", "plain": "no weight decay", "random": "random labels, decay 1"}


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Accuracies of the run with weight decay, and the file sizes of three runs."""
    runs = seen["dynamics"]
    accuracy, sizes = figure.subplots(1, 2, width_ratios=(1, 1.4))
    for name, colour in (("train", TRAIN), ("test", TEST)):
        line = lines(accuracy, [o["accuracy"][name] for o in runs], colour, strong=0)
        label_line(accuracy, line, name, colour, height=0.8, side="left" if name == "train" else "right")
    over_steps(accuracy, "accuracy", f"a + b mod {runs[0]['p']}, weight decay 1, n = {len(runs)}", left=0)
    accuracy.set_ylim(-0.03, 1.05)
    for name, colour in COLOURS.items():
        lines(sizes, [points(o[f"{name}_curve"]) / (1, 1000) for o in runs], colour, strong=0)
    for event in ("t_train", "t_test"):
        mark(sizes, [runs[0][event]])
    over_steps(sizes, "compressed weights (kB)", "shortest file within one nat", left=0)
    label_corner(sizes, [(WORDS[name], colour) for name, colour in COLOURS.items()])


PAPER = Paper(
    key="demoss2024complexity",
    source="demoss2024complexity",
    about="the size of a network's shortest file rises while it memorises and falls when it generalises",
    differences=(
        "The grid of steps Δ (powers of two) and rank shares τ (1, 0.99, 0.9, 0.7, 0.5, one for all layers) is ours; "
        "the paper searches by Bayesian optimisation.",
        "The regulariser of spectral entropy and the weight noise are not done: the regularised network has weight "
        "decay 1 alone.",
        "One task, a + b mod p; the paper has other operations too.",
        "The quick preset has p = 59 at 50 %, width 64 and lr 1e-2; the sizes and rates of the paper preset are Nanda "
        "et al.'s (reconstruction: the paper's own were not read).",
        "The loss that the coarse weights must keep is taken on at most 1024 training rows.",
        "The curve is a look at a few dozen steps: a peak may lie one look beside where it is found.",
    ),
    studies=(DYNAMICS,),
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Left: accuracies with weight decay, one seed strong. Right: compressed size of the coarse weights "
    "(Fig. 1); dotted, t_train and t_test of the strong one.",
    figure_size=(8.5, 3.2),
)
