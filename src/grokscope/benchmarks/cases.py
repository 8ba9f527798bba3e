"""What is timed: one experiment a case, of the sizes that the literature trains."""

from dataclasses import dataclass

from grokscope.catalog import SMALL_MLP
from grokscope.experiment import Experiment
from grokscope.models import MLP, MixtureTransformer, Transformer
from grokscope.objectives import MSE
from grokscope.optim import AdamW
from grokscope.papers import nanda2023progress, power2022grokking
from grokscope.tasks import ModularArithmetic, TwoHop


@dataclass(frozen=True)
class Case:
    """An experiment to time.

    members: 1 is a step against the notebook's step; more is that many members stacked against the
    same members one after another.
    """

    name: str
    about: str
    experiment: Experiment
    members: int = 1


NANDA = nanda2023progress.EXPERIMENT.with_overrides({"objective.softmax": "safe"})
"""The paper's run with the loss that is the default elsewhere; its own plain float32 costs the same."""


MIXTURE = Experiment(
    name="mixture",
    task=ModularArithmetic(operation="div", modulus=97, train_fraction=0.5),
    model=MixtureTransformer(
        layers=2, width=64, hidden=128, norm="pre", activation="gelu", sequence="equation", init="torch"
    ),
    batch_size=512,
)


def _tiny(p: int, hidden: int) -> Experiment:
    return Experiment(
        name=f"tiny-{p}",
        task=ModularArithmetic(modulus=p),
        model=MLP(hidden=hidden, activation="quadratic", bias=False),
        objective=MSE(),
        budget=2000,
    )


CASES: tuple[Case, ...] = (
    Case("transformer", "a + b mod 113, 30 %, full batch: one layer, width 128 [Nanda]", NANDA),
    Case("equation", "a / b mod 97, batch 512: two layers, width 128, post-LN [Power]", power2022grokking.EXPERIMENT),
    Case(
        "one-hot-mlp",
        "a + b mod 113, 40 %: one-hot inputs, 200–200 ReLU",
        Experiment(
            name="one-hot-mlp",
            task=ModularArithmetic(modulus=113, train_fraction=0.4),
            model=MLP(hidden=200, layers=2, bias=False),
        ),
    ),
    Case("small-mlp", "a + b mod 59, 50 %: one-hot inputs, 256 ReLU", SMALL_MLP),
    Case(
        "quadratic-mlp",
        "a + b mod 113, 30 %: one-hot inputs, 256 squares, mean square [Gromov]",
        Experiment(
            name="quadratic-mlp",
            task=ModularArithmetic(modulus=113, train_fraction=0.3),
            model=MLP(hidden=256, activation="quadratic", bias=False),
            objective=MSE(),
        ),
    ),
    Case(
        "mixture",
        "equations mod 97, batch 512: two layers, width 64, 8 experts of 128, two used",
        MIXTURE,
    ),
    Case(
        "two-hop",
        "two-hop facts of 200 entities, batch 512: four layers, width 128, pre-LN, GELU",
        Experiment(
            name="two-hop",
            task=TwoHop(entities=200, relations=20, degree=10),
            model=Transformer(layers=4, norm="pre", activation="gelu", sequence="operands", init="torch"),
            optimizer=AdamW(lr=1e-4, weight_decay=0.1, betas=(0.9, 0.999)),
            batch_size=512,
        ),
    ),
    Case("tiny-11", "a + b mod 11, 30 %: 32 squares; 64 members", _tiny(11, 32), 64),
    Case("tiny-23", "a + b mod 23, 30 %: 64 squares; 64 members", _tiny(23, 64), 64),
    Case("tiny-31", "a + b mod 31, 30 %: 128 squares; 64 members", _tiny(31, 128), 64),
)
"""Cases of ``grokscope bench speed``; beside them the whole loop and the grid, which are runs."""
