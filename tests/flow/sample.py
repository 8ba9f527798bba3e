"""An invented run with the shape of grokking: what the pages' tests draw, and nothing else may cite."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.experiment import Experiment
from grokscope.record import Record
from grokscope.tasks import ModularArithmetic
from grokscope.trace import Trace

KEYS = (5, 2, 9)
META = {
    "status": "finished",
    "command": "grokscope run modular-addition --members 3",
    "parameters": 1234,
    "rows": {"train": 158, "test": 371},
    "swap_baseline": 0.3,
    "plan": {"engine": "looped", "why": "it is invented", "threads": 1, "device": "cpu"},
    "seconds": {"wall": 61.0, "training": 58.0, "looking": 3.0},
    "ms_per_step": 2.5,
    "versions": {"python": "3", "torch": "2", "grokscope": "0"},
    "machine": {"cpu": "none", "cores": 2, "system": "Linux"},
}


def sample(
    members: int = 3,
    *,
    fourier: bool = True,
    until: int = 2000,
    generalises: bool = True,
    memorises: bool = True,
    meta: Mapping[str, Any] | None = None,
    experiment: Experiment | None = None,
) -> Record:
    """A finished run of ``members``; member i memorises near step 40 and generalises near 400 · 1.2^i."""
    chosen = experiment or Experiment(name="sample", task=ModularArithmetic(modulus=23))
    trace = Trace()
    steps = np.unique(np.round(np.concatenate([[0], np.geomspace(1, until, 60)])).astype(int))
    for m in range(members):
        rise_train, rise_test = 40 * 1.02**m, 400 * 1.2 ** min(m, 8)
        for step in steps.tolist():
            train = _switch(step, rise_train) if memorises else 0.0
            test = _switch(step, rise_test) if generalises else 0.02 * train
            trace.add(m, step, _scalars(train, test, step))
            if fourier:
                trace.add(m, step, _fourier(test, step, 23, m))
    ended = {m: {"step": until, "reason": "budget", "note": ""} for m in range(members)}
    return Record("sample-000000", chosen, chosen.members(members), trace, {**META, **(meta or {})}, ended)


def _switch(step: int, where: float) -> float:
    return float(1 / (1 + (max(step, 0.1) / where) ** -4))


def _scalars(train: float, test: float, step: int) -> dict[str, float]:
    return {
        "train/accuracy": train,
        "train/loss": 3.1 * (1 - train) + 1e-5,
        "test/accuracy": test,
        "test/loss": 3.1 * (1 + np.log1p(step) / 9) * (1 - test) + 1e-4,
        "norm/weights": 40 + 10 * train - 25 * test,
    }


def _fourier(test: float, step: int, p: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    power = np.full(p // 2, 1.0)
    power[np.array(KEYS) - 1] += 60 * test
    angle = 2 * np.pi * np.arange(p) * np.array(KEYS)[:, None] / p
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return {
        "fourier/restricted_loss": 3.1 * (1 - _switch(step, 150)) + 1e-4,
        "fourier/excluded_loss": 0.3 + 3.0 * abs(np.log((step + 1) / 60)) / 4,
        "fourier/gini_embedding": 0.05 + 0.5 * test,
        "fourier/embedding_power": (power / power.sum()).astype(np.float32),
        "fourier/key_frequencies": np.array(KEYS),
        "fourier/circle": (test * ring + 0.15 * random.normal(size=ring.shape)).astype(np.float32),
    }
