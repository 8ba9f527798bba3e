"""Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".

Differences from the paper:
    1. The split comes from the run's seed, not from Python's ``random`` with seed 0.
    2. A member stops some time after it has generalised; the paper trains 40,000 epochs.
    3. Key frequencies need at least 2 % of the neurons (reconstruction; the code keeps every one).
    4. Segment boundaries are a written rule; the paper's are by eye.
"""

from grokscope.experiment import Experiment
from grokscope.models import Transformer
from grokscope.objectives import CrossEntropy
from grokscope.optim import AdamW
from grokscope.tasks import ModularArithmetic

EXPERIMENT = Experiment(
    name="nanda2023progress",
    about="a + b mod 113 at 30 %, one-layer transformer, lr 1e-3, wd 1: the paper's own settings (Nanda et al. 2023)",
    task=ModularArithmetic(operation="add", modulus=113, train_fraction=0.3),
    model=Transformer(),
    optimizer=AdamW(lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98), warmup=10),
    objective=CrossEntropy(softmax="float32"),
    precision="float32",
    budget=40_000,
    stop_after_grok=True,
)
