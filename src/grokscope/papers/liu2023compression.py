"""Liu, Zhong & Tegmark 2023, "Grokking as compression: a nonlinear complexity perspective"."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import Fit, LinearMapping, Measure, Norms, Snapshot
from grokscope.measures.base import Values
from grokscope.measures.regions import along_first_layer, linear_mapping_number, straightness
from grokscope.models import MLP
from grokscope.models.mlp import MLPNetwork
from grokscope.optim import AdamW
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study
from grokscope.papers.drawing import ACCENT, SECOND, SOFT, columns, label_corner, label_ends, lines, over_steps
from grokscope.papers.series import kept, short
from grokscope.sources import Source
from grokscope.tasks import BitwiseXor, ModularArithmetic
from grokscope.trace import Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class FirstLayerMapping(LinearMapping):
    """LMN from the first hidden layer's output to the logits, as in the paper, and from the embeddings; at every look.

    Between rows spread evenly over the whole table.
    """

    kind: ClassVar[str] = "grokscope.papers.liu2023compression:FirstLayerMapping"
    every: ClassVar[int] = 1
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("complexity/lmn_first_layer", "maps", (1.0, float("inf")), "LMN from the first layer's output"),
        Quantity("complexity/lmn_embeddings", "maps", (1.0, float("inf")), "LMN from the embeddings"),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("liu2023grokking", "linear mapping number"),)

    def __call__(self, snapshot: Snapshot) -> Values:
        """Two numbers."""
        tokens, network = snapshot.encoding.tokens_NL, snapshot.network
        rows = torch.arange(min(self.rows, len(tokens))) * len(tokens) // min(self.rows, len(tokens))
        if not isinstance(network, MLPNetwork):
            return {quantity.key: float("nan") for quantity in self.quantities}
        ways = [along_first_layer(network, tokens[rows], before=before) for before in (False, True)]
        numbers = [linear_mapping_number(straightness(*way, samples=self.samples)) for way in ways]
        return {quantity.key: number for quantity, number in zip(self.quantities, numbers, strict=True)}


EXPERIMENT = Experiment(
    name="liu2023compression",
    about="a + b mod 31 at 80 %, MLP of 2 × 100 SiLU neurons, lr 1e-3, wd 0.2: the paper's own settings (Liu 2023)",
    task=ModularArithmetic(operation="add", modulus=31, train_fraction=0.8),
    model=MLP(inputs="embedding", width=32, hidden=100, layers=2, activation="silu"),
    optimizer=AdamW(lr=1e-3, weight_decay=0.2, betas=(0.9, 0.999)),
    measures=(Fit(), Norms(), LinearMapping()),
    budget=20_000,
)
XOR = EXPERIMENT.with_overrides(
    {
        "name": "liu2023compression-xor",
        "about": "5-bit XOR, otherwise as liu2023compression",
        "task": BitwiseXor(bits=5, train_fraction=0.8).to_dict(),
    }
)
SMOKE = {"budget": 60, "lr": 1e-2, "weight_decay": 1.0, "hidden": 16, "rows": 8}
QUICK = {"budget": 2000, "lr": 3e-3, "weight_decay": 1.0, "hidden": 100, "rows": 50}
PAPER_SIZES = {"budget": 20_000, "lr": 1e-3, "weight_decay": 0.2, "hidden": 100, "rows": 100}
LOOKS = Clock(looks_per_decade=12, zoom=2, max_overhead=100.0, free_looks=300)
POINTS = 120


def _observe(lab: Lab, experiment: Experiment, task: Mapping[str, Any], stop: bool) -> Observation:
    """One network with weight decay and one without, from the same first weights and split."""
    size = lab.size
    measures: tuple[Measure, ...] = (Fit(), Norms(), FirstLayerMapping(rows=size["rows"]))
    chosen = experiment.with_overrides(
        {f"task.{field}": value for field, value in task.items()}
        | {"optimizer.lr": size["lr"], "model.hidden": size["hidden"], "budget": size["budget"]}
        | {"measures": [measure.to_dict() for measure in measures], "clock": LOOKS.to_dict()}
        | {"optimizer.weight_decay": size["weight_decay"], "stop_after_grok": stop, "tail": 1.0}
    )
    decayed = lab.train(chosen)
    events = decayed.phases()[0].events
    free = lab.train(
        chosen.with_overrides({"optimizer.weight_decay": 0.0, "budget": events.t_test or max(events.last_step, 1)})
    )
    series = ("complexity/lmn_first_layer", "complexity/lmn_embeddings", "norm/weights", "test/loss")
    curves = {}
    for run, arm in ((decayed, "decayed"), (free, "free")):
        columns = [dict(zip(*map(np.ndarray.tolist, run.trace.series(key, 0)), strict=True)) for key in series]
        steps = sorted(set.intersection(*(set(column) for column in columns)))
        table = [[step, *(column[step] for column in columns)] for step in steps]
        curves[arm] = np.array(table, dtype=float).reshape(-1, 5)
    inside = _window(curves["decayed"], events.t_train, events.t_test)
    same = _window(curves["free"], events.t_train, events.t_test)
    found: dict[str, Any] = {"t_train": events.t_train, "t_test": events.t_test, "rebound": None, "norm_rebound": None}
    found["free_t_test"] = free.phases()[0].events.t_test
    for arm, rows in (("", inside), ("free_", same)):
        found[f"{arm}fall"] = float(rows[-1, 1] / rows[0, 1]) if rows is not None else None
        found[f"{arm}fall_embeddings"] = float(rows[-1, 2] / rows[0, 2]) if rows is not None else None
        found[f"{arm}r_lmn"] = _pearson(rows[:, 1], rows[:, 4]) if rows is not None else None
        found[f"{arm}r_norm"] = _pearson(rows[:, 3], rows[:, 4]) if rows is not None else None
    if inside is not None:
        order = torch.randperm(len(inside), generator=lab.generator("order")).numpy()
        found["shuffled_r_lmn"] = _pearson(inside[order, 1], inside[:, 4])
    if events.t_train is not None:
        after = curves["decayed"][curves["decayed"][:, 0] >= events.t_train]
        found |= {"rebound": rebound(after[:, 1]), "norm_rebound": rebound(after[:, 3])}
    thin = {arm: c[kept(len(c), POINTS, down=True)] for arm, c in curves.items() if len(c)}
    names = ("steps", "lmn", "embeddings", "norm", "loss")
    return found | {
        f"{arm}_{name}": short(rows[:, i], ".4g") for arm, rows in thin.items() for i, name in enumerate(names)
    }


def _window(rows: np.ndarray, begin: int | None, end: int | None) -> np.ndarray | None:
    """The looks from memorisation to generalisation; None where one of them is missing or fewer than 4 lie between."""
    if begin is None or end is None:
        return None
    inside = rows[(rows[:, 0] >= begin) & (rows[:, 0] <= end)]
    return inside if len(inside) >= 4 else None


def _pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation; None where one of them does not vary."""
    r = np.corrcoef(x, y)[0, 1] if x.std() > 0 and y.std() > 0 else np.nan
    return float(r) if np.isfinite(r) else None


def rebound(values: np.ndarray) -> float | None:
    """How far a series rises again after it fell from its highest value, before it falls once more, as a share of it.

    max_j min(v_j − min_{i≤j} v_i, v_j − min_{k≥j} v_k) / max v, from the highest value on; 0 where it only falls,
    and where it falls and stays up.
    """
    if not len(values):
        return None
    fallen = values[int(values.argmax()) :]
    before = np.minimum.accumulate(fallen)
    after = np.minimum.accumulate(fallen[::-1])[::-1]
    peaks = np.minimum(fallen - before, fallen - after)
    return float(peaks.max() / fallen[0])


def observe_addition(lab: Lab) -> Observation:
    """a + b mod p."""
    return _observe(lab, EXPERIMENT, {"modulus": lab.size["modulus"]}, stop=True)


def observe_xor(lab: Lab) -> Observation:
    """XOR of bits."""
    return _observe(lab, XOR, {"bits": lab.size["bits"]}, stop=False)


def _more_linear(seen: Observation, lmn: str) -> float | None:
    """r² of LMN and test loss minus r² of the norm and test loss."""
    r, norm = seen.get(lmn), seen["r_norm"]
    return None if r is None or norm is None else r**2 - norm**2


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """LMN over time, and test loss over LMN and over the norm."""
    time, embeddings, against, xor = figure.subplots(1, 4)
    addition = seen["addition"]
    for axes, name, title in (
        (time, "lmn", "LMN from the first layer's output\na + b"),
        (embeddings, "embeddings", "LMN from the embeddings\na + b"),
    ):
        found = {arm: [columns(o[f"{arm}_steps"], o[f"{arm}_{name}"]) for o in addition] for arm in ("free", "decayed")}
        _shade(axes, addition)
        free, decayed = lines(axes, found["free"], SECOND), lines(axes, found["decayed"], ACCENT)
        over_steps(axes, "linear mapping number (maps)", f"{title}, n = {len(addition)}", left=10)
        label_ends(axes, [(free, "none", SECOND), (decayed, "decay", ACCENT)])
    for one in seen["addition"]:
        if one["t_train"] is None or one["t_test"] is None:
            continue
        inside = [i for i, s in enumerate(one["decayed_steps"]) if one["t_train"] <= s <= one["t_test"]]
        loss = [one["decayed_loss"][i] for i in inside]
        for name, colour in (("norm", SOFT), ("lmn", ACCENT)):
            x = np.array([one[f"decayed_{name}"][i] for i in inside])
            against.plot((x - x.min()) / max(np.ptp(x), 1e-9), loss, ".-", color=colour, ms=3, lw=0.7, alpha=0.6)
    against.set(
        xlabel="share of its range", ylabel="test loss (nats)", title="between memorisation\nand generalisation"
    )
    label_corner(against, [("LMN", ACCENT), ("norm of the weights", SOFT)])
    _shade(xor, seen["xor"])
    lines(xor, [columns(one["decayed_steps"], one["decayed_lmn"]) for one in seen["xor"]], ACCENT)
    title = f"LMN from the first layer's output\nXOR, n = {len(seen['xor'])}"
    over_steps(xor, "linear mapping number (maps)", title, left=10)
    for axes in (time, embeddings, against, xor):
        axes.title.set_fontsize(8.5)


def _shade(axes: "Axes", seen: Sequence[Observation]) -> None:
    """From memorisation to generalisation, each seed a little."""
    for one in seen:
        if one["t_test"] is not None:
            axes.axvspan(one["t_train"] or 1, one["t_test"], color=SOFT, alpha=0.15 / len(seen), lw=0)


PAPER = Paper(
    key="liu2023compression",
    source="liu2023grokking",
    about="the linear mapping number between memorisation and generalisation, and beside the norm of the weights",
    differences=(
        "Quick: lr 3e-3, wd 1 and 2,000 steps in place of lr 1e-3, wd 0.2 and 20,000, so that weights decay 15 "
        "times faster a step; LMN between 50 rows in place of up to 100.",
        "LMN is between rows spread evenly over the whole table; which samples the paper takes is not stated "
        "(reconstruction).",
        "LMN is from the output of the first hidden layer, after its SiLU (reconstruction of 'from the first hidden "
        "layer'). Before it, which is the same as from the embeddings, it does not fall: both are drawn.",
        "Three layers are three linear maps, two of them with SiLU (reconstruction).",
        "Embeddings are N(0, 1), other weights as torch.nn.Linear's; β = (0.9, 0.999) (reconstruction).",
        "Memorised and generalised are written rules (99 % of train, 90 % of the way from chance on test).",
        "On addition a member stops when it has taken twice the steps that it needed to generalise.",
        "The permutations of four are left out; an arm without weight decay is added as a control.",
    ),
    studies=(
        Study(
            name="addition",
            about="an MLP on modular addition, with and without weight decay",
            observe=observe_addition,
            sizes={
                "smoke": SMOKE | {"modulus": 7},
                "quick": QUICK | {"modulus": 31},
                "paper": PAPER_SIZES | {"modulus": 31},
            },
        ),
        Study(
            name="xor",
            about="the same MLP on XOR of bits",
            observe=observe_xor,
            sizes={"smoke": SMOKE | {"bits": 3}, "quick": QUICK | {"bits": 5}, "paper": PAPER_SIZES | {"bits": 5}},
        ),
    ),
    claims=(
        Claim(
            id="compression-before-generalisation",
            statement="The linear mapping number falls between memorisation and generalisation.",
            where="abstract: compression before generalisation; the task of addition",
            paper="falls steadily",
            study="addition",
            quantity="LMN at generalisation / at memorisation",
            each=lambda seen: seen["fall"],
            accepts=Range(high=0.9),
            contradicts=Range(low=1.0),
            ours="a tenth",
            control=Control(
                kind="negative",
                statement="Without weight decay it does not fall in the same steps.",
                study="addition",
                quantity="LMN at the same two steps, their ratio, without weight decay",
                each=lambda seen: seen["free_fall"],
                accepts=Range(low=0.9),
            ),
        ),
        Claim(
            id="compression-of-xor",
            statement="LMN falls between memorisation and generalisation on XOR too.",
            where="abstract: compression before generalisation; the task of 5-bit XOR",
            paper="falls",
            study="xor",
            quantity="LMN at generalisation / at memorisation",
            each=lambda seen: seen["fall"],
            accepts=Range(high=0.9),
            contradicts=Range(low=1.0),
            ours="a tenth, as for addition",
            control=Control(
                kind="negative",
                statement="Without weight decay it does not fall in the same steps.",
                study="xor",
                quantity="LMN at the same two steps, their ratio, without weight decay",
                each=lambda seen: seen["free_fall"],
                accepts=Range(low=0.9),
            ),
        ),
        Claim(
            id="linear-with-test-loss",
            statement="While the network is compressed, LMN and the test loss are linearly related.",
            where="abstract, (2)",
            paper="a straight line by eye",
            study="addition",
            quantity="Pearson's r of LMN and test loss from memorisation to generalisation",
            each=lambda seen: seen["r_lmn"],
            accepts=Range(low=0.9),
            ours="the paper judges by eye; 0.9 is four fifths of the variance",
            control=Control(
                kind="negative",
                statement="Without weight decay LMN and test loss are not so related in the same steps.",
                study="addition",
                quantity="Pearson's r without weight decay",
                each=lambda seen: seen["free_r_lmn"],
                accepts=Range(high=0.5),
            ),
        ),
        Claim(
            id="more-linear-than-the-norm",
            statement="LMN is related to the test loss more linearly than the L2 norm of the weights is.",
            where="abstract, (2)",
            paper="LMN linear, L2 curved, by eye",
            study="addition",
            quantity="r² of LMN and test loss − r² of the norm and test loss",
            each=lambda seen: _more_linear(seen, "r_lmn"),
            accepts=Range(low=0.0),
            contradicts=Range(high=-0.01),
            ours="any advantage",
            control=Control(
                kind="negative",
                statement="LMN at looks in a shuffled order is not.",
                study="addition",
                quantity="r² of shuffled LMN and test loss − r² of the norm and test loss",
                each=lambda seen: _more_linear(seen, "shuffled_r_lmn"),
                accepts=Range(high=-0.2),
            ),
        ),
        Claim(
            id="two-solutions-of-xor",
            statement="On XOR, LMN descends twice: the network switches between two solutions. The norm shows nothing.",
            where="abstract, (3)",
            paper="two turning points of LMN, at about 15 and 20",
            study="xor",
            quantity="rise of LMN between two falls, as a share of its highest value",
            each=lambda seen: seen["rebound"],
            accepts=Range(low=0.1),
            ours="a tenth of the highest value",
            control=Control(
                kind="negative",
                statement="The norm of the same weights does not.",
                study="xor",
                quantity="rise of the norm between two falls, as a share of its highest value",
                each=lambda seen: seen["norm_rebound"],
                accepts=Range(high=0.05),
            ),
        ),
    ),
    experiments=(EXPERIMENT, XOR),
    draw=draw,
    caption="LMN over training with and without weight decay, from the first hidden layer's output and from the "
    "embeddings (shaded: from memorisation to generalisation); test loss over LMN and over the norm; LMN on XOR. "
    "After the paper's figures of the same curves.",
    figure_size=(12.0, 3.2),
)
