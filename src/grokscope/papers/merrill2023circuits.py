"""Merrill et al. 2023, "A Tale of Two Circuits: Grokking as Competition of Sparse and Dense Subnetworks"."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grokscope.clock import Clock
from grokscope.experiment import Experiment
from grokscope.measures import ActiveSubnetwork, Fit, IncomingNorms
from grokscope.measures.causal import agreement
from grokscope.models import Dense, Transformer
from grokscope.objectives import CrossEntropy, Hinge
from grokscope.optim import SGD, AdamW
from grokscope.papers.base import Claim, Control, Lab, Observation, Paper, Range, Study, Trained
from grokscope.papers.drawing import ACCENT, SECOND, SOFT, TEST, TRAIN, label_corner, label_line, lines, mark
from grokscope.papers.series import at, kept, over, pairs
from grokscope.seeds import Seeds
from grokscope.tasks import ModularArithmetic, SparseParity, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 110
"""Of a curve, at most."""
RANDOM_SETS = 20
"""Sets of random neurons, as many as are active, that the control averages over."""
SOON = 2
"""Times t_train: when the accuracy of additions that are not yet generalised is read."""

LOOKS = Clock(looks_per_decade=40, zoom=3, max_overhead=1.0, free_looks=200, sparse_per_decade=30)


def experiment(n: int, train: int, test: int, width: int, budget: int, world: int = 0) -> Experiment:
    """A parity of 3 of n bits, one hidden layer of ReLUs, hinge loss, SGD."""
    samples = train + test
    return Experiment(
        name="merrill2023circuits",
        about="parity of 3 of 40 bits from 1000 points, one ReLU layer, hinge loss, SGD (Merrill et al. 2023)",
        task=SparseParity(n=n, k=3, samples=samples, train_fraction=(train + 0.5) / samples, world_seed=world),
        model=Dense(hidden=(width,), outputs="scalar", output_bias=False),
        optimizer=SGD(lr=0.1, weight_decay=0.01),
        objective=Hinge(),
        precision="float32",
        batch_size=32,
        budget=budget,
        measures=(Fit(), ActiveSubnetwork(share=1.0, rows=max(train, test)), IncomingNorms()),
        clock=LOOKS,
    )


EXPERIMENT = experiment(n=40, train=1000, test=100, width=1000, budget=9600)


def observe_parity(lab: Lab) -> Observation:
    """Weight decay, none, and random labels, on the same points from the same start."""
    sizes = {name: lab.size[name] for name in ("n", "train", "test", "width", "budget")}
    base = experiment(**sizes, world=lab.seed)
    runs = lab.train(base, [{}, {"optimizer.weight_decay": 0.0}])
    events = runs.phases()[0].events
    t_train, t_test = events.t_train, events.t_test
    bare = base.with_overrides({"measures": [{"kind": "fit"}]})
    noise = lab.train(bare.with_overrides({"task.labels": "random"}))
    noise_last = noise.trace.last(0)
    steps, shares = runs.trace.series("active/exact_size", 0)
    neurons = np.rint(shares * lab.size["width"])
    size = int(neurons[-1]) if len(neurons) else None
    at_train = at((steps, neurons), t_train, "after")
    last = runs.trace.last(0)
    norms, norms_0 = (_two_means(runs, member, size) for member in (0, 1))
    seen: dict[str, Any] = {
        "t_train": t_train,
        "t_test": t_test,
        "ratio": events.ratio,
        "final_test": last.get("test/accuracy"),
        "noise_train": noise_last.get("train/accuracy"),
        "noise_test": noise_last.get("test/accuracy"),
        "no_decay_test": runs.trace.last(1).get("test/accuracy"),
        "size_start": int(neurons[0]) if len(neurons) else None,
        "size_at_train": at_train,
        "size_end": None if t_test is None else size,
        "collapse": None if at_train is None or not size or t_test is None else at_train / size,
        "agreement": None if t_test is None else last.get("active/test_agreement"),
        "random_agreement": None if t_test is None or size is None else _random_sets(lab, runs, size),
        "active_growth": _log_change(norms, 1, t_train, t_test),
        "other_growth": _log_change(norms, 2, t_train, t_test),
        "no_decay_other_growth": _log_change(norms_0, 2, t_train, t_test),
        "sizes": pairs((steps, neurons), POINTS, ".4f", down=True),
        "norms": [_rounded(row) for row in norms[kept(len(norms), POINTS, down=True)]],
    }
    for split in ("train", "test"):
        seen[split] = pairs(runs.trace.series(f"{split}/accuracy", 0), POINTS, ".4f", down=True)
    return seen


def observe_commutation(lab: Lab) -> Observation:
    """Held-out accuracy soon after the training sums are known, where swaps of them are held out and where none is."""
    size = lab.size
    seen: dict[str, Any] = {}
    for split in ("ordered", "unordered"):
        sums = Experiment(
            name=f"merrill2023circuits-{split}",
            task=ModularArithmetic(operation="add", modulus=size["p"], train_fraction=size["fraction"], split=split),
            model=Transformer(width=size["width"], hidden=size["hidden"], heads=4),
            optimizer=AdamW(lr=1e-3, weight_decay=size["decay"], betas=(0.9, 0.98)),
            objective=CrossEntropy(),
            precision="float32",
            budget=size["budget"],
            measures=(Fit(),),
            clock=Clock(looks_per_decade=30, zoom=2, max_overhead=0.5),
        )
        t_train = lab.train(sums).phases()[0].events.t_train
        right = None if t_train is None else _right(lab, lab.train(sums.with_overrides({"budget": SOON * t_train})))
        seen |= {f"{split}_t_train": t_train, f"{split}_plateau": None if right is None else float(right.mean())}
        if split == "ordered":
            seen |= _swaps(sums.task, lab.seed, right)
    return seen


def _swaps(task: Task, seed: int, right_N: np.ndarray | None) -> dict[str, Any]:
    """How much of what is held out is a swap of a training row, and how much of that and of the rest is answered."""
    split, pairs_N2 = task.divide(Seeds(seed)), task.table.operands_NK
    codes_N, swapped_N = pairs_N2 @ torch.tensor([task.elements, 1]), pairs_N2 @ torch.tensor([1, task.elements])
    known_N = torch.isin(swapped_N[split.rows["test"]], codes_N[split.rows["train"]]).numpy()
    seen: dict[str, Any] = {"swapped": float(known_N.mean()), "difference": None, "by_swap": None}
    if right_N is not None:
        seen["difference"] = abs(float(right_N.mean() - known_N.mean()))
        seen["by_swap"] = float(known_N[right_N].mean()) if right_N.any() else None
        seen["swaps_right"], seen["others_right"] = float(right_N[known_N].mean()), float(right_N[~known_N].mean())
    return seen


def _right(lab: Lab, run: Trained) -> np.ndarray:
    """Which held-out rows the finished network answers, in order, (M,) bool."""
    task, network = run.experiment.task, run.network(0)
    encoding, split = run.experiment.model.encode(task, task.table), task.divide(Seeds(lab.seed))
    rows = split.rows["test"]
    with torch.no_grad():
        logits_NV = network(encoding.tokens_NL[rows])[:, encoding.answer_row, encoding.answers]
    return (logits_NV.argmax(1) == split.answers_N[rows]).numpy()


def _two_means(run: Trained, member: int, size: int | None) -> np.ndarray:
    """(T, 3): step, mean norm of the neurons that are active in the end, of all others."""
    looks = run.trace.arrays("incoming/norms", member)
    if not looks or not size:
        return np.zeros((0, 3))
    order = np.argsort(-looks[-1][1].astype(float), kind="stable")
    active, others = order[:size], order[size:]
    return np.array([[step, x[active].mean(), x[others].mean() if len(others) else np.nan] for step, x in looks])


def _log_change(norms_T3: np.ndarray, column: int, begin: int | None, end: int | None) -> float | None:
    """ln of the change of a mean norm from one step to another; None where there was no such step."""
    if begin is None or end is None or not len(norms_T3):
        return None
    first, last = (at((norms_T3[:, 0], norms_T3[:, column]), step, "before") for step in (begin, end))
    return math.log(last / first) if first and last and first > 0 and last > 0 else None


def _random_sets(lab: Lab, run: Trained, size: int) -> float:
    """How many held-out rows random sets of neurons answer as the whole network does, on average."""
    network, task, generator = run.network(0).double(), run.experiment.task, lab.generator("random neurons")
    tokens_NL = task.table.operands_NK[task.divide(Seeds(lab.seed)).rows["test"]]
    hidden: list[torch.Tensor] = []
    handle = network.get_submodule(network.neurons).register_forward_hook(lambda _m, _i, out: hidden.append(out))
    with torch.no_grad():
        logits_NC = network(tokens_NL)[:, 0]
    handle.remove()
    readout_HC = network.neuron_to_logit_HC()
    assert readout_HC is not None
    shares = []
    for _ in range(RANDOM_SETS):
        kept = torch.randperm(len(readout_HC), generator=generator)[:size]
        with torch.no_grad():
            part_NC = hidden[0][:, kept] @ readout_HC[kept]
        shares.append(agreement(logits_NC, part_NC))
    return float(np.mean(shares))


def _rounded(row: np.ndarray) -> list[float | None]:
    return [round(float(x), 4) if np.isfinite(x) else None for x in row]


def _both_ways(seen: Observation) -> float | None:
    """The smaller of how far the active neurons' norm rose and the others' fell, in ln."""
    rose, fell = seen["active_growth"], seen["other_growth"]
    return None if rose is None or fell is None else min(rose, -fell)


def draw(figure: "Figure", seen: Mapping[str, Sequence[Observation]]) -> None:
    """Accuracy, effective sparsity and norms along training; sums beside their swaps."""
    accuracy, sparsity, norms, swaps = figure.subplots(1, 4)
    parity, sums = seen.get("parity", ()), seen.get("commutation", ())
    for name, colour in (("train", TRAIN), ("test", TEST)):
        line = lines(accuracy, [one[name] for one in parity], colour)
        label_line(accuracy, line, name, colour, height=0.8, side="left")
    accuracy.set(ylabel="accuracy", ylim=(0.4, 1.03))
    accuracy.set_title(f"parity, n = {len(parity)} seeds", fontsize=9)
    lines(sparsity, [one["sizes"] for one in parity], ACCENT)
    sparsity.axhline(10, color=SOFT, lw=0.6)
    sparsity.set(yscale="log", ylabel="neurons needed")
    sparsity.set_title("effective sparsity", fontsize=9)
    for column, colour in ((1, SECOND), (2, SOFT)):
        lines(norms, [[(row[0], row[column]) for row in one["norms"]] for one in parity], colour)
    norms.set_ylabel("mean norm of incoming weights")
    norms.set_title("norms (dotted: median events)", fontsize=9)
    label_corner(norms, [("active in the end", SECOND), ("all others", SOFT)])
    for axes in (accuracy, sparsity, norms):
        axes.set(xscale="log", xlim=(10, None), xlabel="step")
        mark(axes, [one["t_train"] for one in parity], TRAIN)
        mark(axes, [one["t_test"] for one in parity], TEST)
    for split, colour, marker in (("ordered", ACCENT, "o"), ("unordered", SECOND, "s")):
        known = [one for one in sums if one[f"{split}_plateau"] is not None]
        shares = [one["swapped"] if split == "ordered" else 0.0 for one in known]
        swaps.plot(shares, [one[f"{split}_plateau"] for one in known], marker, color=colour, ms=5, alpha=0.7, lw=0)
    label_corner(swaps, [("● ordered pairs", ACCENT), ("■ unordered pairs", SECOND)])
    swaps.plot([0, 1], [0, 1], color=SOFT, lw=0.6)
    swaps.set(xlim=(-0.02, 0.6), ylim=(-0.02, 0.6))
    swaps.set(xlabel="held-out with swap in training", ylabel="held-out accuracy at 2 t_train")
    swaps.set_title(f"addition, n = {len(sums)} seeds", fontsize=9)


PARITY = Study(
    name="parity",
    about="a parity of 3 bits with weight decay, without, and with random labels in place of the parity",
    observe=observe_parity,
    sizes={
        "smoke": {"n": 10, "train": 200, "test": 100, "width": 32, "budget": 400},
        "quick": {"n": 40, "train": 1000, "test": 1000, "width": 300, "budget": 9600},
        "paper": {"n": 40, "train": 1000, "test": 100, "width": 1000, "budget": 9600},
    },
)
COMMUTATION = Study(
    name="commutation",
    about="addition learned on a part of all ordered pairs, and of all unordered ones",
    observe=observe_commutation,
    sizes={
        "smoke": {"p": 11, "fraction": 0.5, "width": 16, "hidden": 32, "decay": 1.0, "budget": 250},
        "quick": {"p": 31, "fraction": 0.5, "width": 32, "hidden": 64, "decay": 1.0, "budget": 500},
        "paper": {"p": 113, "fraction": 0.5, "width": 128, "hidden": 512, "decay": 1.0, "budget": 5000},
    },
)

CLAIMS = (
    Claim(
        id="parity-groks",
        statement="A parity is fitted on the training points long before it is answered on others.",
        where="Sec. 3, Fig. 1",
        paper="training accuracy is perfect early; test accuracy jumps later, in all of 5 seeds",
        study="parity",
        quantity="t_test / t_train",
        each=lambda seen: seen["ratio"],
        accepts=Range(2.0),
        ours="t_train: 99 % of training points, t_test: 95 % of held-out points, each held for three looks; "
        "the factor of 2 is ours: the paper shows curves.",
        control=Control(
            study="parity",
            quantity="held-out accuracy in the end, random labels",
            each=lambda seen: seen["noise_test"],
            accepts=Range(0.4, 0.6),
            statement="Labels that follow no rule are not generalised.",
        ),
    ),
    Claim(
        id="few-neurons-after-the-jump",
        statement="After the jump a handful of neurons gives all of the network's predictions.",
        where="Sec. 4, Fig. 2",
        paper="6, 6, 6, 8 and 8 neurons of 1000",
        study="parity",
        quantity="neurons in the active subnetwork in the end",
        each=lambda seen: seen["size_end"],
        accepts=Range(1, 10),
        ours="At most 10 neurons; seeds that do not generalise count as not accepted.",
        control=Control(
            study="parity",
            quantity="neurons needed at t_train",
            each=lambda seen: seen["size_at_train"],
            accepts=Range(11),
            statement="When the training points are fitted and nothing is generalised, more are needed.",
        ),
    ),
    Claim(
        id="sparsity-collapses",
        statement="The number of neurons that are needed falls by orders of magnitude at the jump.",
        where="Sec. 4, Fig. 2",
        paper="from hundreds to 6 … 8",
        study="parity",
        quantity="neurons needed at t_train / in the end",
        each=lambda seen: seen["collapse"],
        accepts=Range(10.0),
        ours="A factor of 10 stands for an order of magnitude.",
        control=Control(
            study="parity",
            quantity="neurons needed at step 0 / at t_train",
            each=lambda seen: over(seen["size_start"], seen["size_at_train"]),
            accepts=Range(high=3.0),
            statement="Memorising alone does not make the network sparse.",
        ),
    ),
    Claim(
        id="faithful",
        statement="The active subnetwork answers as the whole network does on points that it was not chosen on.",
        where="Sec. 2.2 and 4",
        paper="the sparse subnetwork is faithful after the jump",
        study="parity",
        quantity="held-out points answered as by the whole network, in the end",
        each=lambda seen: seen["agreement"],
        accepts=Range(0.98),
        ours="98 %: the paper shows curves.",
        control=Control(
            study="parity",
            quantity="the same, as many random neurons",
            each=lambda seen: seen["random_agreement"],
            accepts=Range(high=0.9),
            statement="As many random neurons are not faithful (mean of 20 sets).",
        ),
    ),
    Claim(
        id="norms-part",
        statement="Before the jump the norm of the neurons that end up active rises while that of the others falls.",
        where="Sec. 4, Fig. 3",
        paper="fast growth of few neurons, slow decay of the rest",
        study="parity",
        quantity="smaller of the active neurons' rise and the others' fall in mean norm, ln, t_train to t_test",
        each=_both_ways,
        accepts=Range(0.05),
        ours="Both by 5 % at least.",
        control=Control(
            study="parity",
            quantity="fall of the others' mean norm over the same steps, ln, without weight decay",
            each=lambda seen: None if seen["no_decay_other_growth"] is None else -seen["no_decay_other_growth"],
            accepts=Range(high=0.02),
            statement="Without weight decay the other neurons keep their norm.",
        ),
    ),
    Claim(
        id="addition-plateau-is-commutation",
        statement="In modular addition the accuracy before generalising is what swapping the operands explains.",
        where="App. A",
        paper="the accuracy equals the share of held-out pairs whose swap is trained on",
        study="commutation",
        quantity="|held-out accuracy at 2 t_train − share of held-out pairs whose swap is trained on|",
        each=lambda seen: seen["difference"],
        accepts=Range(high=0.1),
        ours="Equal up to 10 points, at twice t_train.",
        control=Control(
            study="commutation",
            quantity="held-out accuracy at 2 t_train where no swap is trained on",
            each=lambda seen: seen["unordered_plateau"],
            accepts=Range(high=0.1),
            statement="Where a pair and its swap are held out together, nothing is answered at that point.",
        ),
    ),
    Claim(
        id="plateau-answers-are-swaps",
        statement="What is answered in modular addition before generalising are swaps of training pairs.",
        where="App. A",
        paper="commutation explains the accuracy before generalising",
        study="commutation",
        quantity="share of the held-out pairs answered at 2 t_train whose swap is trained on",
        each=lambda seen: seen["by_swap"],
        accepts=Range(0.9),
        ours="A weaker reading than equal shares: swaps may be answered in part, but nothing else is; 90 % is ours.",
        control=Control(
            study="commutation",
            quantity="the same share of all held-out pairs, answered or not",
            each=lambda seen: seen["swapped"],
            accepts=Range(high=0.6),
            statement="Answers that had nothing to do with swaps would have their share.",
        ),
    ),
)


PAPER = Paper(
    key="merrill2023circuits",
    source="merrill2023circuits",
    about="sparse parities: a dense network that memorises gives way to a handful of neurons that compute",
    differences=(
        "The penalty is the code's: weight decay 0.01 adds λθ to the gradient; the paper prints λ‖θ‖₂.",
        "The active subnetwork is the paper's: the fewest neurons that give every prediction of the whole network on "
        "the training points, from 0 on; the code asks for equal training accuracy, which is the same once every "
        "point is answered right, and starts at 1.",
        "The first 3 bits decide; by symmetry any 3 would do.",
        "Points, split, start and order of batches all come from the seed; batches are drawn without replacement in "
        "a fresh order each epoch.",
        "Quick: 300 hidden neurons instead of 1000.",
        "Quick: 1000 held-out points instead of 100, for finer shares.",
        "Random labels, no weight decay and random neurons are controls of ours.",
        "Addition: a small one-layer transformer, full batch, AdamW with weight decay 1, read at twice t_train "
        "(reconstruction). Perceptrons on pairs, and weaker decay, answer fewer swaps at that time or none.",
    ),
    studies=(PARITY, COMMUTATION),
    claims=CLAIMS,
    experiments=(EXPERIMENT,),
    draw=draw,
    caption="Left to right: accuracy, effective sparsity and the norms of the neurons that are active in the end and "
    "of all others (Figs. 1 to 3); modular addition soon after memorisation beside the share of swaps (App. A).",
    figure_size=(12.0, 3.2),
)
