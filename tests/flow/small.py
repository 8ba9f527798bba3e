"""A run of a second, for tests of the machinery: p = 11, a tiny network, every measure on."""

from typing import Any

from grokscope.experiment import Experiment
from grokscope.models import MLP, Transformer
from grokscope.optim import AdamW
from grokscope.tasks import ModularArithmetic


def small(**changes: Any) -> Experiment:
    """Mini-batches, so that the order stream matters; float64, so that equality is exact or nearly so."""
    experiment = Experiment(
        name="small",
        task=ModularArithmetic(modulus=11, train_fraction=0.5),
        model=Transformer(width=8, heads=2, hidden=16),
        optimizer=AdamW(lr=1e-2, weight_decay=1.0, warmup=3),
        precision="float64",
        batch_size=16,
        budget=150,
    )
    return experiment.with_overrides(changes) if changes else experiment


def small_mlp(**changes: Any) -> Experiment:
    """The same with a perceptron, full batch and float32."""
    experiment = small().with_overrides({"model": MLP(hidden=16).to_dict(), "batch_size": None, "precision": "float32"})
    return experiment.with_overrides(changes) if changes else experiment
