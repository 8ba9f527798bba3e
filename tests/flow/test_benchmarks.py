"""What is timed is the same work: the reference computes our functions; and the commands say what they should."""

import json
import math
import time

import pytest
import torch
from torch.testing import assert_close

from grokscope.benchmarks import speed as speed_module
from grokscope.benchmarks.cases import Case
from grokscope.benchmarks.notebook import Notebook
from grokscope.benchmarks.scaling import slope
from grokscope.benchmarks.speed import NAMES, gradient_errors, merged, speed, whole_batch
from grokscope.benchmarks.timing import SAMPLE_SECONDS, Spread, in_turns, ratio
from grokscope.cli import app, main
from grokscope.experiment import DEFAULT_MEASURES
from grokscope.measures import GradientNoise, Pathways
from grokscope.models import MLP
from grokscope.terminal import print_measures
from grokscope.training.members import Lane
from tests.flow.small import small, small_mlp

EXPERIMENTS = {
    "pair": small(),
    "equation": small(**{"model.layers": 2, "model.norm": "post", "model.sequence": "equation"}),
    "pre-LN": small(**{"model.norm": "pre", "model.activation": "gelu"}),
    "mixture": small(model={"kind": "moe", "width": 8, "heads": 2, "hidden": 6, "experts": 3, "norm": "pre"}),
    "one-hot": small(model=MLP(hidden=16, layers=2).to_dict()),
    "embedded": small(model=MLP(hidden=16, inputs="embedding", width=4).to_dict()),
    "mse": small_mlp(objective="mse"),
    "operands": small(
        task={"kind": "two-hop", "entities": 12, "relations": 4, "degree": 3, "inferred_ratio": 1.0, "held_out": 0.1},
        **{"model.sequence": "operands", "model.layers": 2, "model.norm": "pre"},
    ),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_reference_has_our_loss_and_our_gradients(name):
    experiment = EXPERIMENTS[name].with_overrides({"batch_size": None, "precision": "float64", "optimizer.warmup": 0})
    book, lane = Notebook(experiment), Lane([(0, experiment)])
    exact, ours = book.gradients(), lane.gradients()
    assert set(exact) == set(ours)
    for parameter, gradient in exact.items():
        assert_close(ours[parameter], gradient, rtol=1e-10, atol=1e-12)
    for _ in range(3):
        assert book.step() == pytest.approx(lane.step().item(), rel=1e-10)


def test_the_published_loop_trains_no_differently():
    experiment = small(batch_size=None)
    plain, published = Notebook(experiment), Notebook(experiment, test_every_step=True)
    assert [plain.step() for _ in range(4)] == [published.step() for _ in range(4)]


def test_two_sides_take_turns_and_ratios_are_taken_round_by_round():
    called = []

    def slow(name):
        return lambda: (called.append(name), time.sleep(2 * SAMPLE_SECONDS))  # longer than a sample: no repeats

    samples = in_turns([slow("a"), slow("b")], rounds=3)
    assert [len(side) for side in samples] == [3, 3]
    assert all(ms >= 2e3 * SAMPLE_SECONDS for side in samples for ms in side)
    assert "".join(called) == "aabb" + "ab" + "ba" + "ab"  # each is tried twice, then each round begins with another
    assert ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0]) == Spread(2.0, 1.0, 3.0)


def test_speed_has_the_documented_shape(monkeypatch):
    monkeypatch.setattr(speed_module, "CASES", (Case("tiny", "a small network", small_mlp()),))
    result = speed(["tiny"], 1, ["float32"], rounds=3)
    assert set(result) == {"machine", "threads", "cases"}
    (case,) = result["cases"]
    assert {"name", "ms_per_step", "reference_ms_per_step", "ratio", "model_steps_per_s"} <= set(case)
    assert case["model_steps_per_s"] == pytest.approx(1e3 / case["ms_per_step"], rel=1e-3)
    low, middle, high = (case["spread"]["ratio"][k] for k in ("low", "median", "high"))
    assert low <= middle <= high
    assert case["gradient_error"] < 1e-6


def test_the_whole_loop_and_stacked_members_are_timed_too(monkeypatch):
    quick = small(budget=30)
    monkeypatch.setattr(speed_module, "NANDA", quick)
    monkeypatch.setattr(speed_module, "REFERENCE_EVERY", 0.001)
    monkeypatch.setattr(speed_module, "CASES", (Case("stacked", "four", small_mlp(), 4),))
    result = speed(["stacked", "loop"], 1, ["float32"], rounds=2, loop_steps=30)
    stacked, loop = result["cases"]
    assert stacked["name"] == "stacked"
    assert loop["steps"] == 30
    assert 0 < loop["looking_share"] < 1
    assert loop["reference_ms_per_step"] > 0


def test_float32_gradients_are_as_good_as_the_references():
    errors = gradient_errors(small(batch_size=None, precision="float32"))
    assert errors["gradient_error"] < 2e-6
    assert errors["gradient_error"] < 10 * errors["reference_gradient_error"]


def test_cases_that_are_timed_again_replace_the_recorded_ones():
    old = {"machine": {"cpu": "x"}, "threads": 1, "cases": [_case("a", 1.0), _case("b", 2.0)], "waits": {"fast": 1}}
    again = merged(old, {"machine": {"cpu": "x"}, "threads": 1, "cases": [_case("b", 3.0), _case("c", 4.0)]})
    assert [(c["name"], c["ratio"]) for c in again["cases"]] == [("a", 1.0), ("b", 3.0), ("c", 4.0)]
    assert again["waits"] == {"fast": 1}
    elsewhere = {"machine": {"cpu": "y"}, "threads": 1, "cases": [_case("b", 3.0)]}
    assert merged(old, elsewhere) == elsewhere


def _case(name, ratio):
    return {"name": name, "precision": "float32", "ratio": ratio}


def test_the_short_batch_at_the_end_of_an_epoch_is_not_timed():
    lane = Lane([(0, small())])  # 60 training rows in batches of 16: every fourth has 12
    sizes = []
    batch = lane.batch
    lane.batch = lambda: (sizes.append(batch()[0].shape[1]), batch())[1]
    for _ in range(8):
        whole_batch(lane)
    assert sizes == [16] * 8


def test_a_power_law_is_found_and_too_few_points_are_not_fitted():
    x = (2, 4, 8, 16)
    assert slope(x, [3 * v**1.5 for v in x]) == (1.5, 0.0)
    assert slope((1,), [1.0]) == (None, None)
    found, error = slope((2, 4, 8), [2.0, 4.4, 7.6])
    assert found == pytest.approx(0.96, abs=0.02)
    assert error > 0


def test_unknown_cases_are_one_line_and_exit_2(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["grokscope", "bench", "speed", "--cases", "transformr"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip() == "grokscope: unknown cases 'transformr'; did you mean 'transformer'?"
    assert "transformer" in NAMES
    assert any(group.name == "bench" for group in app.registered_groups)


def test_the_command_prints_json_as_its_last_line_and_keeps_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(speed_module, "CASES", (Case("tiny", "a small network", small_mlp()),))
    monkeypatch.setattr(speed_module, "NAMES", ("tiny",))
    out = tmp_path / "a" / "speed.json"
    arguments = ["bench", "speed", "--precision", "float32", "--rounds", "2", "--json", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["grokscope", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads(out.read_text())


@pytest.mark.timeout(120)
def test_a_look_is_measured_measure_by_measure(monkeypatch):
    from grokscope.benchmarks import measures as module

    quick = small(batch_size=None, precision="float32")
    shipped = module.nanda2023progress
    monkeypatch.setattr(module, "NANDA", quick)
    monkeypatch.setattr(module, "MIXTURE", EXPERIMENTS["mixture"])
    monkeypatch.setattr(module, "MEASURES", (*map(type, DEFAULT_MEASURES), GradientNoise, Pathways))
    monkeypatch.setattr(shipped, "EXPERIMENT", quick.with_overrides({"budget": 30}))
    told = []
    result = module.measures(rounds=2, everything=True, whole_run=True, tell=told.append)
    rows = {m["name"]: m for m in result["measures"]}
    assert set(rows) == {m.kind for m in DEFAULT_MEASURES} | {"gradient-noise", "pathways"}
    assert rows["fit"]["subject"] == "small"
    assert rows["pathways"]["declared"] == Pathways.cost
    assert all(m["mib"] is None or m["mib"] >= 0 for m in rows.values())
    assert result["look_ms"] > result["pass_ms"] > 0
    assert math.isfinite(result["step_in_passes"])
    assert result["run"]["steps"] == 30
    assert 0 < result["run"]["looking_share"] < 1
    assert {"gradient-noise", "pathways"} < set(told)
    print_measures(result)


def test_torch_keeps_its_threads_after_a_benchmark(monkeypatch):
    before, during = torch.get_num_threads(), []
    other = before + 1
    tiny = Case("tiny", "a small network", small_mlp())
    monkeypatch.setattr(speed_module, "CASES", (tiny,))
    monkeypatch.setattr(speed_module, "in_turns", lambda *a: (during.append(torch.get_num_threads()), in_turns(*a))[1])
    speed(["tiny"], other, ["float32"], rounds=1)
    assert other in during
    assert torch.get_num_threads() == before


@pytest.mark.timeout(120)
def test_a_diagram_is_timed_against_the_plain_loop(capsys):
    from grokscope.benchmarks.sweep import bench_sweep
    from grokscope.terminal import print_sweep_bench

    quick = small_mlp(budget=40, stop_after_grok=False)
    result = bench_sweep(quick, ["optimizer.weight_decay=0.1,1", "task.train_fraction=0.3,0.6"], 1, "here", rounds=2)
    assert (result["cells"], result["members"], result["steps"]) == (4, 4, 160)
    assert result["members_per_s"] == pytest.approx(4 / result["seconds"], rel=0.3)
    assert set(result["plain_ms_per_step"]) == {36, 72}
    assert result["ratio"] == result["ratio_same_steps"]  # all went to their budget
    print_sweep_bench(result)
    assert "4 cells, 4 members" in capsys.readouterr().out
