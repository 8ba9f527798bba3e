"""Writes docs/DIAGRAMS.md and the README's phase diagram, from what was run.

``python docs/diagrams.py run`` runs the diagrams that are not in runs/diagrams (all take twenty minutes on two cores),
the first of them within ``grokscope bench sweep``, keeps their results and draws their pictures. ``python docs/diagrams.py`` writes the page
from the results that are there.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from grokscope import machine
from grokscope.benchmarks.sweep import EXPERIMENT, MEMBERS, OVER, bench_sweep
from grokscope.report.diagram_figure import png_of_diagram
from grokscope.sweeps.diagram import Diagram, load_diagram, sweep
from grokscope.sweeps.folder import list_sweeps
from grokscope.training.engine import cores

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "sweeps"
STORE = HERE.parent / "runs" / "diagrams"
START, END = "<!-- diagram -->", "<!-- /diagram -->"

README = {"set": {"budget": EXPERIMENT.budget}, "over": OVER, "members": MEMBERS}
"""The diagram of the benchmark."""
REFINED = {
    "set": {"task.modulus": 29, "model.hidden": 128, "budget": 3000},
    "over": ["optimizer.weight_decay=log(0.03,3,16)", "task.train_fraction=lin(0.3,0.9,16)"],
    "members": 1,
}


def command(asked: dict[str, Any], *more: str) -> str:
    """The printed command."""
    words = ["grokscope", "sweep", "modular-addition-mlp"]
    words += [w for field, value in asked["set"].items() for w in ("--set", f"{field}={value}")]
    words += [w for axis in asked["over"] for w in ("--over", axis)]
    words += ["--members", str(asked["members"])] if asked["members"] > 1 else []
    return shlex.join([*words, *more])


def run_one(asked: dict[str, Any], refine: bool = False) -> Diagram:
    """A diagram, by the same call as the command; one that is there already is not run again."""
    asked_for = command(asked, *(["--refine"] if refine else []))
    for folder in list_sweeps(STORE):
        if folder.meta().get("command") == asked_for and folder.meta()["status"] == "finished":
            return Diagram(folder)
    return sweep(
        "modular-addition-mlp",
        asked["over"],
        asked["members"],
        overrides=asked["set"],
        refine=refine,
        store=STORE,
        command=asked_for,
    )


def told(found: Diagram) -> dict[str, Any]:
    """What is kept of a diagram."""
    summary = found.summary()
    keep = ("engine", "cells", "cells_of_grid", "members", "seconds", "labels")
    return {"command": found.folder.meta()["command"], "sentence": found.sentence()} | {k: summary[k] for k in keep}


def run() -> None:
    """Run, keep, draw."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    where = {"cpu": machine.cpu(), "cores": cores()} | machine.versions()
    kept = RESULTS / "bench.json"
    bench = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if not (STORE / bench.get("sweep", "none")).exists():
        bench = bench_sweep(store=STORE, command=command(README), tell=print)
        kept.write_text(json.dumps(bench, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = load_diagram(bench["sweep"], store=STORE)
    png_of_diagram(shown.folder, HERE / "img" / "diagram.png")
    part, full = run_one(REFINED, refine=True), run_one(REFINED)
    png_of_diagram(full.folder, HERE / "img" / "diagram-full.png")
    png_of_diagram(part.folder, HERE / "img" / "diagram-refined.png")
    ours, theirs = part.labels(), full.labels()
    wrong = sorted(cell for cell in theirs if ours[cell] != theirs[cell])
    measured = {row.cell for row in part.rows}
    data = {
        "machine": where,
        "shown": told(shown),
        "full": told(full),
        "refined": told(part) | {"rounds": len(part.folder.rounds())},
        "wrong_cells": [list(cell) for cell in wrong],
        "wrong_of_measured": sum(cell in measured for cell in wrong),
    }
    (RESULTS / "diagrams.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


PAGE = """# Phase diagrams

Written by `python docs/diagrams.py` from `results/sweeps/`; a test holds the page to the results.

A **sweep** is an experiment, axes, and seeds for each cell. Members whose tensors have one shape train together; the rest
is divided into batches, each a run like any other (`grokscope show SWEEP/runs/b00000`).

```console
$ {shown_command}
```

![Which label each cell has: weight decay against the share of pairs that is trained on](img/diagram.png)

{shown_sentence} {shown_seconds:.0f} s on {cores} cores of an {cpu}, engine `{engine}`.

## Axes

| `--over` | takes |
|---|---|
| `optimizer.weight_decay=log(0.01,10,16)` | sixteen values, equal factors apart, both ends among them |
| `task.train_fraction=lin(0.2,0.8,7)` | seven values, equal steps apart |
| `model.hidden=32,64,128` | these; numbers that rise are an axis |
| `model.activation=relu,gelu` | a category: no order, nothing between |

Learning rate, weight decay, initial scale, train fraction and seed differ between members of one run; any other field makes
batches of its own. `--members 3` takes three seeds in each cell, the same in all, so that cells compare.
`--plan` measures a step and says cells, members, memory and the longest it can take, and runs nothing. A sweep looks at loss
and accuracy alone unless `--measure` names more.

## Survival

Who shares a lane with whom is written down before a round begins, so every engine computes the same numbers, and so does a sweep
that was killed and goes on. `grokscope sweep --resume SWEEP` does what is missing and tries again what failed. A member
whose loss became NaN is a finding (`diverged`); a batch whose worker died three times is told as `failed`, never left out.

## Refinement

`--refine` takes a coarse grid first, halves the way between neighbours on it that disagree down to single cells, and at last
walks the border until both cells of every pair of neighbours with different labels have been run. Members of a cell that disagree
count as a border. What is smaller than a box of the coarse grid can be missed.

```console
$ {refined_command}
```

| | cells run | members | rounds | seconds |
|---|---:|---:|---:|---:|
| full | {full[cells]} | {full[members]} | 1 | {full[seconds]:.0f} |
| refined | {refined[cells]} | {refined[members]} | {refined[rounds]} | {refined[seconds]:.0f} |

| every cell | with `--refine` |
|---|---|
| ![every cell](img/diagram-full.png) | ![refined](img/diagram-refined.png) |

{agreement}

## Against a plain loop

{bench}

## On a cluster

`--engine ray` makes each batch a Ray task of one core, tried again on another worker when its own dies. Without `--ray-address` a
head is started on this machine; that way is tested, with a worker killed in the middle. On a cluster the store must be a folder
that all nodes see under the same path.

**Untested on a real cluster**: Ray on SLURM, one task per node.

```bash
#!/bin/bash
#SBATCH --job-name=grokscope --nodes=4 --ntasks-per-node=1 --cpus-per-task=32 --time=04:00:00
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=6379
srun --nodes=1 --ntasks=1 --nodelist="$head" ray start --head --port=$port --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 15
srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" \\
  ray start --address="$head:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 15
grokscope sweep nanda2023progress --over 'optimizer.weight_decay=log(0.1,10,16)' --over 'task.train_fraction=lin(0.2,0.6,16)' \\
  --members 3 --engine ray --ray-address "$head:$port" --store "$SCRATCH/grokscope"
```

When the job ends before the sweep does, submit it again with `grokscope sweep --resume SWEEP --store "$SCRATCH/grokscope"`
in the last line.
"""


def page() -> str:
    """The page, from the results."""
    data = json.loads((RESULTS / "diagrams.json").read_text(encoding="utf-8"))
    bench = json.loads((RESULTS / "bench.json").read_text(encoding="utf-8"))
    full, part = data["full"], data["refined"]
    share = 100 * part["members"] / full["members"]
    wrong = len(data["wrong_cells"])
    agreement = (
        f"The refined diagram ran {share:.0f} % of the members and gives every one of the {full['cells']} cells the label that "
        "the full one found."
        if not wrong
        else f"The refined diagram ran {share:.0f} % of the members and gives {full['cells'] - wrong} of {full['cells']} "
        f"cells the label that the full one found; the other {wrong} it had taken for granted."
    )
    if data["wrong_of_measured"]:
        agreement += f" {data['wrong_of_measured']} of these it had run itself, in other lanes, where rounding differs."
    ms = list(bench["plain_ms_per_step"].values())
    faster = (
        f"`grokscope bench sweep`: {bench['cells']} cells with two seeds, {bench['members']} members of "
        f"{bench['experiment']}, took **{bench['seconds']:.0f} s** on {bench['machine']['cores']} cores "
        f"({bench['members_per_s']:.2f} members a second, {bench['steps']:,} steps in all). The plain loop takes "
        f"{min(ms):.2f} to {max(ms):.2f} ms a step, by the size of the training set, with the held-out loss in every step; cell by "
        f"cell and each member to its budget that is {bench['plain_seconds']:,} s, **{bench['ratio']:.1f} times as long**, and "
        f"{bench['ratio_same_steps']:.1f} times as long where it stops as early as ours did. Its step is measured before and "
        "after the diagram and multiplied; ours is the time on the clock, with everything in it."
    )
    return PAGE.format(
        shown_command=data["shown"]["command"],
        shown_sentence=data["shown"]["sentence"],
        shown_seconds=data["shown"]["seconds"],
        engine=data["shown"]["engine"],
        cores=data["machine"]["cores"],
        cpu=data["machine"]["cpu"],
        refined_command=part["command"],
        full=full,
        refined=part,
        agreement=agreement,
        bench=faster,
    )


def readme_block() -> str:
    """The README's diagram."""
    data = json.loads((RESULTS / "diagrams.json").read_text(encoding="utf-8"))
    shown = data["shown"]
    return (
        f"```console\n$ {shown['command']}\n```\n\n"
        "![Phase diagram: weight decay against train fraction](docs/img/diagram.png)\n\n"
        f"{shown['members']} members in {shown['seconds']:.0f} s on {data['machine']['cores']} cores. "
        "[Axes, refinement, clusters, and what it is measured against](docs/DIAGRAMS.md)."
    )


def main() -> None:
    """Page and README."""
    (HERE / "DIAGRAMS.md").write_text(page(), encoding="utf-8")
    readme = HERE.parent / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{START}\n{readme_block()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    run() if sys.argv[1:] == ["run"] else main()
