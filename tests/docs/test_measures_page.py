"""The page of the measures is what its generator makes of the declarations, and every script on it runs as shown."""

import ast
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import grokscope.measures
from grokscope.curves import CURVES
from grokscope.measures import MEASURES

ROOT = Path(__file__).parents[2]
RELATIVE = 0.1
"""How far a number may be from the page's: training amplifies how a processor rounds. One unit of the last digit shown
is allowed as well."""
LINES, PRINTED = 70, 12
OPEN = re.compile(r"grokscope(\.(measures|models|tasks|objectives|curves)(\.\w+)*|\.report\.look)?")
NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def _generator():
    spec = importlib.util.spec_from_file_location("measures_page", ROOT / "docs" / "measures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()
PAGE = GENERATOR.TARGET.read_text(encoding="utf-8")
SCRIPTS = sorted(GENERATOR.GALLERY.glob("*.py"))


def test_the_page_is_what_the_generator_makes_of_scripts_declarations_and_kept_outputs():
    same = GENERATOR.page(GENERATOR.kept_outputs(PAGE)) == PAGE
    assert same, "a script or a declaration has changed: run python docs/measures.py --page"


def test_every_measure_and_every_module_is_in_one_family():
    shown = [cls for family in GENERATOR.FAMILIES for cls in GENERATOR.classes(family)]
    assert sorted(cls.kind for cls in shown) == sorted(cls.kind for cls in MEASURES)
    listed = [name for names in GENERATOR.FAMILIES.values() for name in names]
    there = {module.name for module in pkgutil.iter_modules(grokscope.measures.__path__)} - {"base"}
    assert sorted(listed) == sorted(there)


def test_every_measure_key_curve_and_public_function_is_on_the_page():
    for cls in (*MEASURES, *CURVES):
        assert f"| `{cls.kind}` |" in PAGE
        for quantity in cls.quantities:
            assert f"| `{quantity.key}` |" in PAGE
    assert "- `kernel.ntk`: Empirical neural tangent kernel" in PAGE
    assert all(about for family in GENERATOR.FAMILIES for m in GENERATOR.modules(family) for _, about in public(m))


def public(module):
    return GENERATOR.public(module)


def test_every_script_belongs_to_a_family_and_is_on_the_page_with_its_picture_and_output():
    outputs = GENERATOR.kept_outputs(PAGE)
    assert set(outputs) == {path.stem for path in SCRIPTS} <= set(GENERATOR.FAMILIES)
    for path in SCRIPTS:
        assert f"(img/measures-{path.stem}.png)" in PAGE
        assert (GENERATOR.PICTURES / f"measures-{path.stem}.png").stat().st_size > 10_000
        assert len(outputs[path.stem].splitlines()) <= PRINTED


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_and_uses_only_what_is_public(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr == "__init__", node.attr
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert all(OPEN.fullmatch(name) for name in modules if name.split(".")[0] == "grokscope"), modules
        if isinstance(node, ast.ImportFrom):
            assert not any(alias.name.startswith("_") for alias in node.names)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # a tensor given to matplotlib; NumPy 2 and torch
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_prints_what_the_page_shows_and_gives_a_figure(path):
    printed, figure, _ = GENERATOR.run(path)
    assert isinstance(figure, Figure)
    assert figure.axes
    shown = GENERATOR.kept_outputs(PAGE)[path.stem]
    assert _words(printed) == _words(shown)
    for now, then in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        assert _near(now, then), f"{path.stem} printed {now}, the page shows {then}"


@pytest.mark.parametrize(("now", "then", "near"), [("0.51", "0.50", True), ("0.6", "0.8", False), ("−3", "3", False)])
def test_numbers_are_compared_by_value_and_by_the_digits_shown(now, then, near):
    assert _near(now, then) is near


def _words(text):
    return NUMBER.sub("#", text).split()


def _near(now, then):
    a, b = (float(x.replace("−", "-")) for x in (now, then))
    digits = len(then.partition(".")[2]) if "e" not in then else 0
    unit = 0.0 if "e" in then else 10.0**-digits
    return abs(a - b) <= max(RELATIVE * abs(b), unit) * 1.001
