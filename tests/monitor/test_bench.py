"""``grokscope bench monitor`` measures both sides and says it in the shape of the other benchmarks."""

import json

from typer.testing import CliRunner

from grokscope.benchmarks import monitor as bench
from grokscope.cli import app


def test_both_sides_are_the_same_training_and_the_shape_is_the_usual(monkeypatch):
    small = bench.Case("small", "about", 16, 32, 60, 32, 0.05)
    monkeypatch.setattr(bench, "CASES", (small,))
    monkeypatch.setattr(bench, "NAMES", ("small",))
    monkeypatch.setattr(bench.monitor, "__defaults__", (("small",), *bench.monitor.__defaults__[1:]))
    monkeypatch.setattr(bench, "BLOCK_SECONDS", 0.005)
    done = CliRunner().invoke(app, ["bench", "monitor", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"machine", "threads", "cases"}
    (case,) = found["cases"]
    assert {"name", "ms_per_step", "reference_ms_per_step", "ratio", "model_steps_per_s", "spread"} <= set(case)
    assert {"overhead", "overhead_cpu", "own", "allowed", "looks", "steps"} <= set(case)
    assert case["looks"] >= 3
    plain, watched = bench.Loop(small, False), bench.Loop(small, True)
    for side in (plain, watched):
        side.steps(20)
    for a, b in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert (a == b).all()


def test_the_table_has_a_line_for_each_loop(capsys):
    from grokscope.terminal import print_monitor_bench

    case = {"name": "small", "ms_per_step": 5.1, "reference_ms_per_step": 5.0, "looks": 30}
    shares = {"overhead": 0.021, "overhead_cpu": 0.018, "allowed": 0.05}
    print_monitor_bench({"threads": 1, "machine": {"cpu": "some"}, "cases": [case | shares]})
    printed = capsys.readouterr().out
    assert "small" in printed
    assert "2.1 %" in printed
