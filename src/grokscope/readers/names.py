"""What columns are called: one table from the names that people use to the lab's keys.

Case and the separators space . - _ / are ignored, so ``Train Loss``, ``train_loss``, ``trainLoss`` and
``train/loss`` are one name. A name of a curve is made of a split, a quantity and perhaps an affix, in
either order: ``val_acc``, ``loss/train``, ``train_loss_epoch``, ``avg_val_loss``. Within each list the
earlier one is preferred; a name that is exactly the lab's key comes before all.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

SPLITS = {
    "train": ("train", "training", "trn", "tr", ""),  # Keras and the Trainer call the training curve plainly "loss"
    "test": (
        *("val", "valid", "validation"),
        *("eval", "evaluation", "test", "testing", "dev", "heldout", "holdout"),
    ),
}
QUANTITIES = {
    "loss": ("loss", "crossentropyloss", "crossentropy", "celoss", "ce", "xent", "nll", "nllloss", "mse", "mseloss"),
    "accuracy": (
        "accuracy",
        "acc",
        "acc1",
        "top1",
        "top1acc",
        "top1accuracy",
        "acctop1",
        "accuracytop1",
        "tokenaccuracy",
    ),
    "perplexity": ("perplexity", "ppl"),
    "error": ("error", "err", "errorrate", "errrate", "top1error", "top1err"),
}
KEYS = {"loss": "loss", "accuracy": "accuracy", "perplexity": "loss", "error": "accuracy"}
"""Perplexity is read as a loss, its logarithm; an error rate as an accuracy, one minus it."""
ORDER = ("loss", "perplexity", "accuracy", "error")
AFFIXES = (
    *("epoch", "", "avg", "average", "mean", "epochavg", "epochmean", "total", "full", "%", "pct", "percent"),
    *("dataloaderidx0", "step", "batch", "iter"),
)
"""An epoch's mean before a mini-batch's value (Lightning writes both)."""

OPTIMIZERS = ("adamw", "adam", "sgd", "muon", "lion", "adagrad", "rmsprop", "nadam", "radam", "adafactor", "lbfgs")
OTHERS = {
    "norm/weights": (
        *("normweights", "weightnorm", "weightsnorm", "normweight", "paramnorm", "paramsnorm", "parameternorm"),
        *("normparams", "l2norm", "weightl2", "l2weights", "l2"),
    ),
    "norm/gradient": (
        *("normgradient", "gradnorm", "gradientnorm", "gradsnorm", "normgrad", "totalgradnorm", "globalgradnorm"),
        *("gradnormtotal", "grad20normtotal", "grad2normtotal"),
    ),
    "optimizer/lr": (
        *("optimizerlr", "lr", "learningrate", "lr0", "lrgroup0", "lrpg0", "lrpg1"),
        *(f"lr{name}{group}" for name in OPTIMIZERS for group in ("", "pg1")),
    ),
}
STEPS = (
    *("step", "globalstep", "trainerglobalstep", "trainglobalstep", "steps", "trainstep", "trainsteps"),
    *("iteration", "iterations", "iter", "iters", "itr", "update", "updates", "numupdates", "optimizerstep"),
    "grokscopestep",  # stands in the monitor's own rows alone
    "_step",  # counts the calls of wandb.log, so what the training loop counts goes before it
)
EPOCHS = ("epoch", "epochs", "trainerepoch", "trainepoch", "nepoch", "epochidx")
OURS = "grokscope/"
"""What the monitor's keys begin with in a run of W&B that holds others too."""
RUNS = ("run", "run_name", "run_id", "run_uuid", "member", "seed")
"""Columns that say which run a row is of, where they vary."""


@dataclass(frozen=True)
class Meaning:
    """What a column's name says."""

    key: str
    quantity: str
    """loss, accuracy, perplexity, error, or the key itself where it is no curve."""
    rank: tuple[int, ...]
    """Smaller is preferred."""
    percent: bool = False
    """The name itself says percent."""


def squash(name: str) -> str:
    """A name without case and separators: ``Train Loss``, ``train/loss`` → ``trainloss``."""
    return re.sub(r"[^a-z0-9%]", "", name[:200].lower())


def _any(words: tuple[str, ...]) -> str:
    return "(?:" + "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True)) + ")"


_ALL_SPLITS = tuple(s for names in SPLITS.values() for s in names if s)
_ALL_QUANTITIES = tuple(q for names in QUANTITIES.values() for q in names)
_AFFIX = f"({_any(tuple(a for a in AFFIXES if a))}?)"
_BEFORE = re.compile(f"{_AFFIX}({_any(_ALL_SPLITS)}?){_AFFIX}({_any(_ALL_QUANTITIES)}){_AFFIX}")
_AFTER = re.compile(f"{_AFFIX}({_any(_ALL_QUANTITIES)})({_any(_ALL_SPLITS)}){_AFFIX}")


@lru_cache(maxsize=4096)
def meaning(name: str) -> Meaning | None:
    """What a column's name says, or None where it is in no table."""
    name = name.removeprefix(OURS)
    squashed = squash(name)
    if not squashed:
        return None
    if found := _curve(name, squashed):
        return found
    bare = squashed.removeprefix("train")
    for key, spelled in OTHERS.items():
        if bare in spelled:
            return Meaning(key, key, (0 if name == key else 1, spelled.index(bare)))
    return None


def _curve(name: str, squashed: str) -> Meaning | None:
    if match := _BEFORE.fullmatch(squashed):
        first, split, second, quantity, third = match.groups()
    elif match := _AFTER.fullmatch(squashed):
        first, quantity, split, third = match.groups()
        second = ""
    else:
        return None
    affix = [a for a in (first, second, third) if a]
    side = next(side for side, names in SPLITS.items() if split in names)
    kind = next(kind for kind, names in QUANTITIES.items() if quantity in names)
    if kind == "error" and not split:  # a plain "error" may be anything
        return None
    key = f"{side}/{KEYS[kind]}"
    rank = (
        0 if name == key else 1,
        SPLITS[side].index(split),
        ORDER.index(kind),
        max((AFFIXES.index(a) for a in affix), default=AFFIXES.index("")),
        len(affix),
        QUANTITIES[kind].index(quantity),
    )
    return Meaning(key, kind, rank, percent=bool({"%", "pct", "percent"} & set(affix)))


def step_rank(name: str) -> tuple[str, int] | None:
    """(unit, rank) where a column's name is one of a counter of steps or epochs; smaller ranks are preferred."""
    squashed = squash(name)
    if squashed == "step" and name.strip().startswith("_"):
        return "step", STEPS.index("_step")
    if squashed in STEPS:
        return "step", STEPS.index(squashed)
    return ("epoch", EPOCHS.index(squashed)) if squashed in EPOCHS else None
