"""Writes docs/MEASURES.md and its pictures from the declared measures and the scripts of docs/gallery.

python docs/measures.py                  # run every script, draw every picture, write the page
python docs/measures.py kernel groups    # run these alone; what the others printed is taken from the page
python docs/measures.py --page           # run none: write the page anew, after a declaration has changed
"""

import ast
import contextlib
import importlib
import inspect
import io
import math
import pkgutil
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from grokscope.curves import CURVES
from grokscope.measures import MEASURES, Measure
from grokscope.report.figures import style
from grokscope.report.look import PAGE
from grokscope.sources import Source
from grokscope.trace import Quantity

HERE = Path(__file__).parent
GALLERY, PICTURES, TARGET = HERE / "gallery", HERE / "img", HERE / "MEASURES.md"
FAMILIES: dict[str, tuple[str, ...]] = {
    "fourier": ("fit", "norms", "fourier", "progress"),
    "representation": ("spectrum", "representation"),
    "groups": ("groups", "irreps"),
    "kernel": ("kernel",),
    "landscape": ("curvature", "landscape", "llc"),
    "precision": ("precision",),
    "dynamics": ("dynamics",),
    "memorization": ("memorization",),
    "complexity": ("complexity", "heavy_tails", "information", "regions", "adversarial"),
    "pathways": ("pathways",),
    "causal": ("causal", "hooks", "subnetwork", "lens"),
}
"""The families in the page's order, each with its modules of grokscope.measures."""
DPI = 160
LOOK = {
    "figure.facecolor": PAGE["paper"].light,
    "axes.facecolor": PAGE["paper"].light,
    "axes.edgecolor": PAGE["rule"].light,
    "axes.labelcolor": PAGE["soft"].light,
    "axes.titlecolor": PAGE["ink"].light,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": PAGE["rule"].light,
    "grid.linewidth": 0.6,
    "xtick.color": PAGE["rule"].light,
    "ytick.color": PAGE["rule"].light,
    "xtick.labelcolor": PAGE["soft"].light,
    "ytick.labelcolor": PAGE["soft"].light,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": PAGE["ink"].light,
    "font.size": 8.5,
    "axes.formatter.min_exponent": 4,
    "lines.linewidth": 1.8,
    "figure.titlesize": 11.5,
    "figure.titleweight": "bold",
}
"""What a gallery figure looks like unless its script says otherwise."""

INTRODUCTION = """
# The measures

Written by `python docs/measures.py`, which ran every script on this page, kept what it printed and drew its picture; a
test runs them again. Tables and lists are made from what the classes declare.

A **measure** is a pure function of one member at one step. Its formulas are plain functions that stand alone: they take
tensors, series or any `torch.nn.Module`, need no run, and say in their docstrings what they mean, in which unit and
range, what is known about their value, what they cost, and where they come from.

```python
from grokscope.measures import kernel

gram = kernel.ntk(module, inputs)  # any torch module
print(kernel.cka(gram, kernel.label_gram(labels)))
```

In a run, a measure is named by its kind: added to those that an experiment takes, or all of them with settings.

```console
$ grokscope run modular-addition-mlp --measure tangent-kernel --measure laziness
$ grokscope run modular-addition-mlp --set 'measures=[fit, norms, {kind: tangent-kernel, rows: 64}]'
$ grokscope ls measures
```

Each key becomes a column of `run.to_pandas()` and a series of `run.trace`. A measure whose needs are not met is left
out of the run, and the reason is recorded. *Passes* is the cost of one look, its time in forward passes over the whole
table; *every* k means that it is taken on every k-th look, and on the last. Keys in *hindsight* need the finished model
and are kept out of every forecast. How to write a measure of your own, in your own package:
[CONTRIBUTING.md](../CONTRIBUTING.md#a-new-measure).
"""

CURVE_WORDS = """
A curve follows from the history of a run, with no network and no data: `run.curves()`, `grokscope.curves.read_curves`
of any trace, or the plain functions above on the series of any training log. A value at a step uses only looks at or
before it; what needs later ones is in hindsight.
"""


# Gallery.


def scripts() -> dict[str, Path]:
    """The gallery's scripts by family, in the page's order."""
    return {name: GALLERY / f"{name}.py" for name in FAMILIES if (GALLERY / f"{name}.py").exists()}


def run(path: Path) -> tuple[str, Figure, dict[str, Any]]:
    """What a script prints, its figure, and its names: on one thread, in a folder that is then thrown away."""
    threads, printed, names = torch.get_num_threads(), io.StringIO(), {"__name__": "__main__"}
    state = torch.random.get_rng_state()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), looks(path.stem):
        torch.set_num_threads(1)
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
        finally:
            torch.set_num_threads(threads)
            torch.random.set_rng_state(state)
    return printed.getvalue().strip(), names["figure"], names


@contextlib.contextmanager
def looks(salt: str) -> Iterator[None]:
    """Our fonts and colours for the time of a figure."""
    with style(salt):
        mpl.rcParams.update(LOOK)
        yield


def picture(name: str, figure: Figure) -> Path:
    """Draw a script's figure to its place."""
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"measures-{name}.png"
    with looks(name):
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def kept_outputs(page: str) -> dict[str, str]:
    """What the scripts printed, as the page shows it."""
    found = re.findall(r"<!-- output (\w+) -->\n```text\n(.*?)\n```", page, re.S)
    return dict(found)


# Declarations.


def modules(family: str) -> list[ModuleType]:
    """The modules of a family, a folder's own after it."""
    found = []
    for name in FAMILIES[family]:
        module = importlib.import_module(f"grokscope.measures.{name}")
        inner = pkgutil.iter_modules(getattr(module, "__path__", ()), f"{module.__name__}.")
        found += [module, *(importlib.import_module(one.name) for one in inner)]
    return found


def classes(family: str) -> list[type[Measure]]:
    """The registered measures of a family."""
    names = {module.__name__ for module in modules(family)}
    return [cls for cls in MEASURES if cls.__module__ in names]


def public(module: ModuleType) -> list[tuple[str, str]]:
    """Name and first line of the docstring of what a module defines for use alone; measures are in the tables."""
    found = []
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__ or not callable(thing):
            continue
        if not (isinstance(thing, type) and issubclass(thing, Measure)):
            found.append((name, first_line(thing)))
    return found


def first_line(thing: object) -> str:
    """The first paragraph of a docstring as Markdown: roles and double backticks become plain code."""
    text = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    return re.sub(r":\w+:`[.~]?([^`]+)`|``(.+?)``", lambda found: f"`{found[1] or found[2]}`", text)


def measure_table(family: str) -> list[str]:
    """A row per measure: what it needs, what it costs, where it is from."""
    lines = ["| measure | what | needs | passes | every | settings | source |", "|---|---|---|---:|---:|---|---|"]
    for cls in classes(family):
        settings = ", ".join(f"`{name}={field.default}`" for name, field in cls.model_fields.items())
        needs, cites = ", ".join(sorted(cls.needs)), "; ".join(cited(s) for s in cls.sources) or "elementary"
        lines.append(row(f"`{cls.kind}`", first_line(cls), needs, f"{cls.cost:g}", str(cls.every), settings, cites))
    return lines


def key_table(family: str) -> list[str]:
    """A row per key: unit, range and meaning."""
    lines = ["| key | unit | range | what | measure |", "|---|---|---|---|---|"]
    for cls in classes(family):
        for q in cls.quantities:
            marks = "".join(f"; {word}" for word, on in (("array", q.array), ("hindsight", q.hindsight)) if on)
            lines.append(row(f"`{q.key}`", q.unit, interval(q), q.about + marks, f"`{cls.kind}`"))
    return lines


def row(*cells: str) -> str:
    """A row of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def interval(quantity: Quantity) -> str:
    """A range in words: ``0 … 1``, ``≥ 0``, ``any``."""
    low, high = quantity.range
    if math.isinf(low):
        return "any" if math.isinf(high) else f"≤ {high:g}"
    return (f"≥ {low:g}" if math.isinf(high) else f"{low:g} … {high:g}").replace("-", "−")


def cited(source: Source) -> str:
    """A source as a link."""
    where = f", {source.where}" if source.where else ""
    return f"[{source.reference.short}]({source.reference.url}){where}"


def index(family: str) -> list[str]:
    """A line per public function of the family's modules."""
    lines = []
    for module in modules(family):
        short = module.__name__.split(".")[2]  # a folder gives what its modules define
        lines += [f"- `{short}.{name}`: {about}" for name, about in public(module)]
    return lines


def derived(family: str) -> list[str]:
    """What is computed from a finished or growing trace alone, with the family whose formulas it uses most."""
    if family != "dynamics":
        return []
    lines = ["### What the curves alone say", "", CURVE_WORDS.strip(), ""]
    lines += ["| curve | key | unit | range | what | reads | source |", "|---|---|---|---|---|---|---|"]
    for cls in CURVES:
        reads = ", ".join(f"`{key}`" for key in cls().needed)
        cites = "; ".join(cited(s) for s in cls.sources) or "elementary"
        for q in cls.quantities:
            marks = "".join(f"; {word}" for word, on in (("array", q.array), ("hindsight", q.hindsight)) if on)
            lines.append(row(f"`{cls.kind}`", f"`{q.key}`", q.unit, interval(q), q.about + marks, reads, cites))
    return [*lines, ""]


# Page.


def title_of(family: str) -> str:
    """The first line of a script's docstring; the family's name where there is no script."""
    path = GALLERY / f"{family}.py"
    return parts(path)[0].splitlines()[0] if path.exists() else family.capitalize()


def parts(path: Path) -> tuple[str, str]:
    """A script's docstring, and the code that follows it."""
    text = path.read_text(encoding="utf-8")
    first = ast.parse(text).body[0]
    return inspect.cleandoc(ast.literal_eval(ast.unparse(first))), "\n".join(text.splitlines()[first.end_lineno :])


def anchor(title: str) -> str:
    """A heading's address within the page."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def section(family: str, printed: str | None) -> list[str]:
    """Heading, words, picture, code and output where there is a script; then the declarations."""
    lines = [f"## {title_of(family)}", ""]
    path = GALLERY / f"{family}.py"
    if path.exists():
        words, code = parts(path)
        lines += [
            "\n".join(words.splitlines()[1:]).strip(),
            "",
            f"![{title_of(family)}](img/measures-{family}.png)",
            "",
        ]
        lines += [f"`docs/gallery/{family}.py`:", "", "```python", code.strip(), "```", ""]
        lines += [f"<!-- output {family} -->", "```text", printed or "", "```", ""]
    if classes(family):
        lines += [*measure_table(family), "", *key_table(family), ""]
    if index(family):
        lines += ["Usable alone, from `grokscope.measures`:", "", *index(family), ""]
    return lines + derived(family)


def page(outputs: dict[str, str]) -> str:
    """The whole page.

    Args:
        outputs: what each family's script printed.
    """
    contents = [f"- [{title_of(f)}](#{anchor(title_of(f))}): {kinds(f)}" for f in FAMILIES]
    body = [line for family in FAMILIES for line in section(family, outputs.get(family))]
    return "\n".join([INTRODUCTION.strip(), "", "## Contents", "", *contents, "", *body]).rstrip() + "\n"


def kinds(family: str) -> str:
    """The kinds of a family's measures, for the contents."""
    return ", ".join(f"`{cls.kind}`" for cls in classes(family)) or "functions alone"


def main(arguments: Sequence[str]) -> None:
    """Run what is asked for, draw it, write the page."""
    outputs = kept_outputs(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    chosen = {n: p for n, p in scripts().items() if not arguments or n in arguments}
    for name, path in chosen.items():
        outputs[name], figure, _ = run(path)
        picture(name, figure)
        print(f"{name}\n{outputs[name]}\n", flush=True)
    TARGET.write_text(page(outputs), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
