"""The page of costs is what its generator makes of the recorded results."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _generator():
    spec = importlib.util.spec_from_file_location("speed_page", ROOT / "docs" / "speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_generated_from_the_results_and_its_picture_is_there():
    generator = _generator()
    assert (ROOT / "docs" / "SPEED.md").read_text(encoding="utf-8") == generator.page()
    assert (ROOT / "docs" / "img" / "scaling.png").stat().st_size > 10_000


def test_recorded_results_name_their_machine_and_every_case_that_has_an_aim():
    generator = _generator()
    one = generator.load("threads-1")
    assert {"cpu", "units", "torch", "python"} <= set(one["machine"])
    assert one["threads"] == 1
    assert {(c["name"], c["precision"]) for c in one["cases"]} >= set(generator.AIMS)


def test_what_is_aimed_at_and_reached_is_marked_as_such():
    generator = _generator()
    rows = "\n".join(generator.speed_table(generator.load("threads-1")))
    for case in generator.load("threads-1")["cases"]:
        aim = generator.AIMS.get((case["name"], case["precision"]))
        if aim is not None:
            mark = "✓" if case["ratio"] >= aim else "✗"
            assert f"| {case['name']} | {case['precision']} |" in rows
            row = next(
                line for line in rows.splitlines() if line.startswith(f"| {case['name']} | {case['precision']} |")
            )
            assert f"{aim:g} {mark}" in row
