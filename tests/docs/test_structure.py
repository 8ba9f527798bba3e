"""The house: arrows go down only, no circles, the core imports no optional package, docs tell the truth."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "grokscope"
FLOORS = [
    {"errors", "sources", "machine"},
    {"spec", "seeds", "trace"},
    {"tasks", "optim", "objectives", "interventions"},
    {"models"},
    {"measures"},
    {"phases", "theory"},
    {"clock", "checkpoint", "readers", "forecast"},
    {"experiment", "store", "advice"},
    {"papers", "curves", "diagnosis"},
    {"catalog", "record", "progress", "monitoring"},
    {"monitor"},
    {"integrations"},
    {"sweeps.axes", "sweeps.grid", "sweeps.refine", "sweeps.results", "sweeps.folder"},
    {"training"},
    {"report", "doctor"},
    {"testing", "runs", "listing", "logs"},
    {"sweeps"},
    {"reproduction"},
    {"benchmarks"},
    {"server"},
    {"terminal"},
    {"cli"},
]
"""Ground first. A module may import its own floor's folder and what lies below."""
CORE = {"torch", "numpy", "pandas", "pydantic", "pydantic_core", "yaml", "typer", "rich", "safetensors", "filelock"}
WEB = {"starlette", "uvicorn", "sse_starlette", "anyio"}
CLIENTS = {"transformers", "lightning", "accelerate"}
PICTURES = {"plotly", "matplotlib", "jinja2", "markupsafe"}


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        yield name, path, list(imports(path))


def imports(path):
    """Absolute imports of a module that run on import, those for type checking and inside functions left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                path_of = SOURCE.parent / inner.replace(".", "/")
                there = path_of.with_suffix(".py").exists() or (path_of / "__init__.py").exists()
                yield inner if there else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def floor(module):
    for number, rooms in enumerate(FLOORS):
        if module in rooms:
            return number
    for number, rooms in enumerate(FLOORS):
        if module.split(".")[0] in rooms:
            return number
    raise AssertionError(f"{module} has no floor: add it to FLOORS")


def test_arrows_go_down_only():
    for name, _, found in modules():
        for target in (t.removeprefix("grokscope.") for t in found if t.startswith("grokscope.")):
            if name in ("", "__init__"):
                continue
            same = name.split(".")[0] == target.split(".")[0]
            assert same or floor(target) < floor(name), f"{name} imports {target}, which is not below it"


def test_there_are_no_circles():
    graph = {
        n: {t.removeprefix("grokscope.") for t in found if t.startswith("grokscope.")} for n, _, found in modules()
    }
    list(graphlib.TopologicalSorter(graph).static_order())


def test_nobody_imports_the_package_root_for_its_names():
    for name, path, _ in modules():
        for line in re.findall(r"^(?:from grokscope import .*|import grokscope)$", path.read_text(), re.M):
            names = line.removeprefix("from grokscope import ").split(", ")
            assert all(n == "__version__" or (SOURCE / f"{n}.py").exists() for n in names), f"{name}: {line}"


def test_the_core_imports_only_what_pyproject_requires():
    for name, _, found in modules():
        allowed = CORE | (PICTURES if name.startswith(("report", "server")) else set())
        allowed |= WEB if name.startswith("server") else set()
        allowed |= CLIENTS & {name.removeprefix("integrations.").replace("huggingface", "transformers")}
        for top in {t.split(".")[0] for t in found} - {"grokscope"}:
            assert top in sys.stdlib_module_names or top in allowed, f"{name} imports {top}"


def test_every_public_thing_has_a_docstring():
    for name, path, _ in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{name} has no module docstring"


def test_the_readme_names_the_commands_and_every_shipped_experiment():
    from grokscope.catalog import EXPERIMENTS
    from grokscope.cli import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for experiment in EXPERIMENTS:
        assert experiment.name in text
    for command in app.registered_commands:
        assert f"grokscope {command.name or command.callback.__name__}" in text
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            assert f"grokscope {group.name} {command.name or command.callback.__name__}" in text
    assert "make demo" in text
    assert "make test" in text


def test_the_readme_tree_is_the_tree():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.split("```text\nsrc/grokscope/", 1)[1].split("```", 1)[0]
    listed = set(re.findall(r"^ {2}([a-z_]+)(?:\.py|/)", tree, re.M))
    there = {p.stem for p in SOURCE.glob("[a-z]*.py")} | {
        p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()
    }
    assert listed == there


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(path):
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", (ROOT / path).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), f"{path} links to {target}"


LOOP = """
import torch
model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
optimizer, loss_fn = torch.optim.AdamW(model.parameters()), torch.nn.functional.cross_entropy
inputs, targets = torch.randn(32, 4), torch.arange(32) % 3
loader = [(inputs, targets)] * 30
"""
TRAINER = """
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
model = GPT2LMHeadModel(GPT2Config(vocab_size=7, n_positions=3, n_embd=16, n_layer=1, n_head=2))
every = [{"input_ids": torch.tensor([a, b, (a + b) % 7]), "labels": torch.tensor([-100, -100, (a + b) % 7])}
         for a in range(7) for b in range(7)]
rows, held_out = every[:30], every[30:]
args = TrainingArguments("hf", max_steps=5, report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True)
"""


@pytest.mark.parametrize(("which", "before"), [("run(", ""), ("Monitor(", LOOP), ("Trainer(", LOOP + TRAINER)])
def test_python_blocks_of_the_readme_run(tmp_path, which, before):
    """Each as it stands there, after what its text takes for given: a model, an optimizer, data."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if which in block]
    assert len(blocks) == 1
    script = "import grokscope\n" + before + blocks[0]
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_python_block_of_the_readme_is_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"```python\n", text)) == 3


def test_the_first_example_runs_as_a_script_and_groks(tmp_path):
    example = ROOT / "examples" / "first_grok.py"
    assert len(example.read_text().splitlines()) <= 40
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "grokking" in done.stdout
    assert (tmp_path / "runs" / "first_grok.html").exists()
