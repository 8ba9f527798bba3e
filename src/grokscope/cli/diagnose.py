"""diagnose: somebody else's log, read."""

import json
from pathlib import Path
from typing import Annotated

import typer

from grokscope.cli.base import JsonOption


def diagnose(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG…",
            help="CSV, JSONL, TensorBoard events, trainer_state.json, Lightning metrics.csv, W&B, MLflow or trackio; "
            "files or folders.",
        ),
    ],
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="KEY=COLUMN where a column is not recognised: test/accuracy=my_val_acc; repeat."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="What the log does not say: chance, lr, weight_decay, optimizer, objective, scheduled, clipped, "
            "normalised, budget; --set weight_decay=1; repeat.",
        ),
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="What the log counts: step or epoch.")] = None,
    at: Annotated[int | None, typer.Option("--at", min=0, help="Stand at this step and read nothing later.")] = None,
    train_only: Annotated[
        bool, typer.Option("--train-only", help="Leave held-out curves out of the forecast.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page: one HTML file.")] = None,
    json_: JsonOption = False,
) -> None:
    """Is it memorising, will it generalise, when, or should it stop? An answer from a training log."""
    from grokscope.logs import diagnose_logs, pairs, settings
    from grokscope.report.diagnosis_page import write_diagnosis
    from grokscope.terminal import print_diagnosis

    columns, given = pairs(map_ or [], "--map"), settings(set_ or [])
    found = diagnose_logs(logs, columns=columns, given=given, unit=unit, at=at, train_only=train_only)
    page = None if out is None else write_diagnosis(found, out)
    if json_:
        rows = [{"source": one.name, "format": one.format} | one.diagnosis.summary() for one in found]
        print(json.dumps(rows[0] if len(rows) == 1 else rows, allow_nan=False))
        return
    for one in found:
        print_diagnosis(one)
    if page is not None:
        print(page)
