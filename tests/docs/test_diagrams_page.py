"""The page of phase diagrams says what was measured, and nothing else."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _generator():
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "docs" / "diagrams.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_its_generator_makes_of_the_results():
    assert (ROOT / "docs" / "DIAGRAMS.md").read_text(encoding="utf-8") == _generator().page(), (
        "run: python docs/diagrams.py"
    )


def test_the_readme_shows_the_diagram_of_the_results():
    module = _generator()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{module.START}\n{module.readme_block()}\n{module.END}" in text, "run: python docs/diagrams.py"
    assert (ROOT / "docs" / "img" / "diagram.png").exists()
