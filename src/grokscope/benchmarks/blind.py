"""Four systems that nobody looked at while the forecaster was designed.

They are judged as those of :mod:`grokscope.benchmarks.corpus` are and never fitted. Each differs from all of those in
task, model, objective or optimizer, and none of its signals or forecasts was seen when its cells were chosen: they
were chosen by the events and the last test accuracy of seeds 0 to 2 alone, so that each system has runs that
generalise late and runs that never do within the budget.
"""

from collections.abc import Mapping
from typing import Any

from grokscope.benchmarks.corpus import System, watched
from grokscope.models import MLP, Dense, Transformer, UntiedMLP
from grokscope.objectives import MSE, CrossEntropy
from grokscope.optim import AdamW, AdamWToStart
from grokscope.tasks import DihedralGroup, ModularArithmetic, SparseParity

BETAS = (0.9, 0.98)


def _cells(grid: Mapping[float, tuple[float, ...]], random: tuple[float, ...]) -> tuple[dict[str, Any], ...]:
    """The training fractions of each weight decay, then those of random answers with the strongest decay of all."""
    decay, fraction = "optimizer.weight_decay", "task.train_fraction"
    found: list[dict[str, Any]] = [{decay: d, fraction: f} for d, fractions in grid.items() for f in fractions]
    return (*found, *({decay: max(grid), fraction: f, "task.labels": "random"} for f in random))


BLIND: tuple[System, ...] = (
    System(
        "multiplication, transformer with LayerNorm, mini-batches",
        watched(
            "multiplication",
            ModularArithmetic(operation="mul", modulus=23),
            Transformer(width=32, hidden=64, heads=2, norm="pre"),
            AdamW(lr=5e-3, betas=BETAS),
            CrossEntropy(),
            1500,
            batch_size=128,
        ),
        _cells({0.0: (0.4, 0.8), 0.5: (0.6,), 1.0: (0.4, 0.6, 0.7, 0.8)}, random=(0.4,)),
    ),
    System(
        "dihedral group, untied MLP, squared error",
        watched(
            "dihedral",
            DihedralGroup(sides=12),
            UntiedMLP(width=32, hidden=128),
            AdamW(lr=1e-2, betas=BETAS),
            MSE(),
            3500,
        ),
        _cells({0.0: (0.8,), 0.1: (0.8,), 0.3: (0.6, 0.8), 1.0: (0.4, 0.5, 0.6)}, random=(0.8,)),
    ),
    System(
        "parity of three bits, tanh, cross-entropy, mini-batches",
        watched(
            "tanh-parity",
            SparseParity(n=20, k=3, samples=600),
            Dense(hidden=(100,), activation="tanh"),
            AdamW(lr=1e-2, betas=BETAS),
            CrossEntropy(),
            4000,
            batch_size=64,
        ),
        _cells({0.0: (0.15, 0.2), 0.03: (0.2,), 0.1: (0.2,), 0.3: (0.1, 0.15, 0.2)}, random=(0.2,)),
    ),
    System(
        "sum of squares, one-hot MLP, decay to the first weights",
        watched(
            "squares",
            ModularArithmetic(operation="x2+y2", modulus=23),
            MLP(hidden=128),
            AdamWToStart(lr=1e-2, betas=BETAS),
            CrossEntropy(),
            3000,
        ),
        _cells({0.0: (0.5, 0.8), 0.3: (0.65, 0.8), 1.0: (0.5, 0.65), 3.0: (0.8,)}, random=(0.8,)),
    ),
)
