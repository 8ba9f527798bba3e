"""The monitor's page is what was recorded, and what was recorded is what the corpus says."""

import importlib.util
import json
from pathlib import Path

import pytest

from grokscope.benchmarks import forecasting, gating
from grokscope.benchmarks.blind import BLIND
from grokscope.forecast import calibration

ROOT = Path(__file__).parents[2]


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem + "_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus():
    return script(ROOT / "benchmarks" / "forecast.py").loaded("corpus")["runs"]


@pytest.fixture(scope="module")
def judged():
    return script(ROOT / "benchmarks" / "forecast.py").loaded("judged")["runs"]


@pytest.fixture(scope="module")
def blind():
    return script(ROOT / "benchmarks" / "forecast.py").loaded("blind")["runs"]


def test_the_page_is_the_generator_s():
    made = script(ROOT / "docs" / "monitor.py")
    assert made.PAGE.read_text(encoding="utf-8") == made.page(*map(made.loaded, (made.SCORES, made.COSTS, made.LOSING)))


@pytest.mark.parametrize("groups", [("weights",), ("weights", "validation")], ids="+".join)
def test_the_shipped_calibration_is_the_corpus_s(corpus, groups):
    made = forecasting.fit(forecasting.samples(corpus), [groups])["models"]["+".join(groups)]
    for part, values in calibration()["models"]["+".join(groups)].items():
        assert made[part] == pytest.approx(values, rel=1e-3, abs=1e-4), part
    assert forecasting.norm_ratio(corpus) == pytest.approx(calibration()["norm_ratio"])


def test_the_judged_runs_are_many_and_new(corpus, judged):
    never = sum(run["t_test"] is None for run in judged)
    assert len(judged) >= 200
    assert len({run["system"] for run in judged}) >= 6
    assert never >= 0.4 * len(judged)
    assert min(run["seed"] for run in judged) > max(run["seed"] for run in corpus) >= 100


def test_the_blind_systems_were_never_fitted(corpus, blind):
    assert {run["system"] for run in blind} == {system.name for system in BLIND}
    assert not {run["system"] for run in blind} & {run["system"] for run in corpus}
    assert min(run["seed"] for run in blind) >= 100


def test_the_shipped_gates_are_the_corpus_s(corpus):
    assert gating.fit_gates(corpus)["thresholds"] == pytest.approx(calibration()["gates"]["thresholds"])


def test_recorded_scores_are_those_of_the_runs(corpus, judged):
    recorded = json.loads((ROOT / "results" / "forecast" / "scores.json").read_text(encoding="utf-8"))
    rows, recorded = forecasting.samples(judged), recorded["held_out"]
    assert recorded["runs"] == len(judged)
    assert recorded["forecast"]["base rate"]["n"] == len(rows)
    found = forecasting.scores_of(rows, ("weights",), forecasting.samples(corpus))
    assert found["area"] == pytest.approx(recorded["forecast"]["weights"]["area"], abs=1e-3)


def test_labels_from_logs(judged):
    found = forecasting.confusion(judged[::4], forecasting.rebuilt)
    assert found["accuracy"] >= 0.95
