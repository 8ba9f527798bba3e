"""What there is: runs of a store, shipped things, tables to export, papers to cite."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.catalog import EXPERIMENTS, find_experiment
from grokscope.curves import CURVES, Curve
from grokscope.errors import BadInput, nearest
from grokscope.interventions import INTERVENTIONS
from grokscope.measures import MEASURES, Measure
from grokscope.models import MODELS
from grokscope.optim import OPTIMIZERS
from grokscope.papers import PAPERS, Paper
from grokscope.record import Record
from grokscope.sources import BIBLIOGRAPHY, Source
from grokscope.spec import Spec
from grokscope.store import Store
from grokscope.sweeps.folder import SweepFolder, list_sweeps
from grokscope.tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd

THINGS = ("runs", "sweeps", "experiments", "tasks", "models", "optimizers", "interventions", "measures", "papers")


def list_things(what: str, store: Path) -> list[dict[str, Any]]:
    """One plain row per thing.

    Raises:
        BadInput: an unknown word.
    """
    if what == "runs":
        return [_run(folder) for folder in Store(store)]
    if what == "sweeps":
        return [_sweep(folder) for folder in list_sweeps(store)]
    if what == "experiments":
        return [{"name": e.name, "about": e.about, "task": e.task.symbol, "hash": e.hash()} for e in EXPERIMENTS]
    if what == "measures":
        watching: tuple[type[Measure] | type[Curve], ...] = (*MEASURES, *CURVES)
        return [row for seen in watching for row in _quantities(seen)]
    if what == "papers":
        return [_paper(paper) for paper in PAPERS]
    families: dict[str, tuple[type[Spec], ...]] = {"tasks": TASKS, "models": MODELS, "optimizers": OPTIMIZERS}
    families["interventions"] = INTERVENTIONS
    if what in families:
        return [_spec(cls) for cls in families[what]]
    raise BadInput(f"cannot list {what!r}{nearest(what, THINGS)}")


def citations(what: str, store: Path) -> list[Source]:
    """Sources of a paper's key, a shipped experiment, or a run.

    Raises:
        BadInput: nothing of that name.
    """
    for paper in PAPERS:
        if what == paper.key and paper.key not in {e.name for e in EXPERIMENTS}:
            return list(dict.fromkeys([Source(paper.source), *(s for e in paper.experiments for s in e.citations())]))
    if what in BIBLIOGRAPHY and what not in {e.name for e in EXPERIMENTS}:
        return [Source(what)]
    for experiment in EXPERIMENTS:
        if experiment.name == what:
            own = [Source(what)] if what in BIBLIOGRAPHY else []
            return own + experiment.citations()
    try:
        return (
            find_experiment(what).citations()
            if ":" in what or what.endswith((".yaml", ".yml"))
            else _of_run(what, store)
        )
    except BadInput:
        names = [*BIBLIOGRAPHY, *(e.name for e in EXPERIMENTS), *(folder.name for folder in Store(store))]
        raise BadInput(f"nothing to cite under {what!r}{nearest(what, names)}") from None


def export_table(table: "pd.DataFrame", out: Path) -> int:
    """Write a table by the file's ending; how many rows.

    Raises:
        BadInput: an unknown ending, or a file that cannot be written.
    """
    try:
        if out.suffix == ".csv":
            table.to_csv(out, index=False)
        elif out.suffix == ".json":
            table.to_json(out, orient="records")
        elif out.suffix == ".parquet":
            table.to_parquet(out, index=False)
        else:
            raise BadInput(f"--out must end in .csv, .json or .parquet, got {out.name!r}.")
    except ImportError:
        raise BadInput("writing .parquet needs pyarrow: pip install pyarrow; or use .csv.") from None
    except OSError as error:
        raise BadInput(f"cannot write {out} ({error.strerror or error}).") from None
    return len(table)


def _of_run(what: str, store: Path) -> list[Source]:
    return Record.read(Store(store).find(what)).experiment.citations()


def _run(folder: Any) -> dict[str, Any]:
    meta = folder.meta()
    return {
        "run": folder.name,
        "experiment": meta.get("experiment"),
        "members": meta.get("members"),
        "status": meta.get("status"),
        "created": meta.get("created"),
        "seconds": round(meta.get("seconds", {}).get("wall", 0.0), 1),
        "megabytes": round(folder.size() / 1e6, 1),
    }


def _spec(cls: type[Spec]) -> dict[str, Any]:
    fields = {name: (field.description or "").split("\n")[0] for name, field in cls.model_fields.items()}
    return {"name": cls.kind, "about": (cls.__doc__ or "").split("\n")[0], "fields": fields}


def _quantities(seen: type[Measure] | type[Curve]) -> list[dict[str, Any]]:
    """One row per quantity; a curve needs series of the trace and costs no forward pass."""
    needs = [f"series {key}" for key in seen.reads] if issubclass(seen, Curve) else sorted(seen.needs)
    return [
        {
            "name": q.key,
            "measure": seen.kind,
            "about": q.about,
            "unit": q.unit,
            "range": [x if abs(x) != float("inf") else None for x in q.range],
            "needs": needs,
            "cost": 0.0 if issubclass(seen, Curve) else seen.cost,
            "hindsight": q.hindsight,
            "source": "; ".join(str(source) for source in seen.sources) or "elementary",
        }
        for q in seen.quantities
    ]


def _paper(paper: Paper) -> dict[str, Any]:
    return {
        "name": paper.key,
        "title": paper.reference.title,
        "arxiv": paper.reference.arxiv,
        "year": paper.reference.year,
        "claims": len(paper.claims),
        "experiments": ", ".join(experiment.name for experiment in paper.experiments),
    }


def _sweep(folder: SweepFolder) -> dict[str, Any]:
    sweep, planned = folder.sweep(), folder.planned()
    return {
        "sweep": folder.name,
        "experiment": sweep.experiment.name,
        "axes": ", ".join(f"{axis.field} ({len(axis)})" for axis in sweep.axes),
        "cells": len({cell for cells in planned.values() for cell in cells}),
        "members": sum(map(len, planned.values())),
        "ended": sum(len(cells) if folder.finished(run) else folder.ended(run) for run, cells in planned.items()),
        "status": folder.meta().get("status"),
    }
