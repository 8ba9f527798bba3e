"""Blind systems: every cell can be trained and watched, and none is a system that forecasts are fitted on."""

import json
from collections import Counter

import numpy as np
import pytest

from grokscope import runs
from grokscope.benchmarks import corpus
from grokscope.benchmarks.blind import BLIND
from grokscope.benchmarks.corpus import SYSTEMS, System
from grokscope.spec import flatten

WITHIN = 3
CELLS = [(system, cell) for system in BLIND for cell in range(len(system.cells))]


def described(system):
    """What a system is, whatever it is called."""
    e = system.experiment
    return e.task.kind, e.task.symbol, e.model.kind, e.optimizer.kind, e.objective.kind


def test_names_are_unique_and_none_is_fitted():
    for names in ([s.name for s in (*BLIND, *SYSTEMS)], [s.experiment.name for s in (*BLIND, *SYSTEMS)]):
        assert max(Counter(names).values()) == 1
    fitted = {described(s) for s in SYSTEMS}
    assert len({described(s) for s in BLIND} | fitted) == len(BLIND) + len(SYSTEMS)


def test_they_are_watched_as_the_corpus_is():
    for system in BLIND:
        assert system.experiment.measures == SYSTEMS[0].experiment.measures
        assert system.experiment.clock == SYSTEMS[0].experiment.clock


@pytest.mark.parametrize(("system", "cell"), CELLS, ids=[f"{s.experiment.name}-{c}" for s, c in CELLS])
def test_every_cell_builds_and_answers_its_table(system, cell):
    experiment = system.experiment.with_overrides(dict(system.cells[cell]))
    assert dict(system.cells[cell]).items() <= flatten(experiment.to_dict()).items()
    table = experiment.task.table
    network = experiment.model.build(experiment.task, experiment.seeds.generator("init"))
    encoding = experiment.model.encode(experiment.task, table)
    logits = network(encoding.tokens_NL[:3])
    assert logits.shape[:2] == (3, 1)
    assert logits[..., encoding.answers].shape[-1] == experiment.task.classes
    split = experiment.task.divide(experiment.seeds)
    assert split.size("train") == experiment.task.train_rows > 0
    assert split.size("test") > 0


def test_cells_differ_and_some_cannot_generalise():
    for system in BLIND:
        assert len({json.dumps(cell, sort_keys=True) for cell in system.cells}) == len(system.cells)
        assert any(cell.get("task.labels") == "random" for cell in system.cells)
        assert any(cell["optimizer.weight_decay"] == 0 for cell in system.cells)
        assert sum(cell["optimizer.weight_decay"] > 0 and "task.labels" not in cell for cell in system.cells) >= 4


@pytest.mark.parametrize("system", BLIND, ids=[s.experiment.name for s in BLIND])
def test_a_cell_is_watched(system, tmp_path):
    short = System(system.name, system.experiment.with_overrides({"budget": WITHIN}), system.cells)
    (kept,) = corpus.watch(short, 0, [3], tmp_path)
    assert (kept["system"], kept["cell"], kept["seed"], kept["budget"]) == (system.name, 0, 3, WITHIN)
    assert kept["overrides"] == dict(system.cells[0])
    assert kept["label"] == "confusion"  # three steps are too few to fit
    assert kept["t_train"] is kept["t_test"] is None
    assert kept["steps"] == list(range(WITHIN + 1))
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    run = runs.load(system.experiment.name, store=tmp_path / f"{system.experiment.name}-0")
    assert run.trace.skipped == {}
    for measure in corpus.WATCHED:
        seen = [q for q in measure.quantities if q.key in run.trace.keys() + run.trace.array_keys()]
        assert seen, f"{measure.kind} was not taken"
        for quantity in seen:
            if not quantity.array:
                assert np.isfinite(run.trace.series(quantity.key, 0)[1]).all()
