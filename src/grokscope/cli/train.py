"""Commands that train: run, resume, sweep."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from grokscope.cli.base import JsonOption, RunArgument, StoreOption, unless_interrupted
from grokscope.errors import BadInput

GO_ON = "grokscope sweep --resume"


def run(
    experiment: Annotated[
        str, typer.Argument(help="A shipped name (grokscope ls experiments), a YAML file, or package.module:NAME.")
    ],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field: --set optimizer.lr=1e-3.")
    ] = None,
    members: Annotated[
        int, typer.Option("--members", min=1, help="How many seeds, counting up from the experiment's.")
    ] = 1,
    measure: Annotated[
        list[str] | None,
        typer.Option("--measure", metavar="KIND", help="Look at this too (grokscope ls measures); all: everything."),
    ] = None,
    store: StoreOption = Path("runs"),
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    engine: Annotated[str, typer.Option("--engine", help="auto (measured), stacked, pooled or looped.")] = "auto",
    report: Annotated[Path | None, typer.Option("--report", help="Also write the page here.")] = None,
    json_: JsonOption = False,
) -> None:
    """Run an experiment: train its members, look at them, say what happened."""
    from grokscope import runs
    from grokscope.spec import parse_assignment

    overrides = dict(parse_assignment(text) for text in set_ or [])
    command = shlex.join(["grokscope", "run", experiment, *(["--members", str(members)] if members > 1 else [])])
    command += "".join(f" --set {shlex.quote(text)}" for text in set_ or [])
    command += "".join(f" --measure {shlex.quote(kind)}" for kind in measure or [])
    done = unless_interrupted(
        runs.run,
        experiment,
        members,
        overrides=overrides,
        measures=measure or (),
        store=store,
        device=device,
        engine=engine,  # type: ignore[arg-type]
        command=command,
    )
    _finish(done, report, json_)


def resume(
    run: RunArgument,
    store: StoreOption = Path("runs"),
    at: Annotated[
        int | None, typer.Option("--at", help="Go back to the last checkpoint at or before this step.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Continue a run that was interrupted or killed, from its last checkpoint."""
    from grokscope import runs

    _finish(unless_interrupted(runs.resume, run, store=store, at=at), None, json_)


def sweep(
    experiment: Annotated[
        str | None, typer.Argument(help="What every cell starts from; none with --resume.", show_default=False)
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="FIELD=RANGE", help="An axis: log(low,high,n), lin(low,high,n) or a,b,c."),
    ] = None,
    members: Annotated[int, typer.Option("--members", min=1, help="Seeds of each cell.")] = 1,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field everywhere.")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", metavar="KIND", help="Look at this too, beside loss and accuracy.")
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine", help="A coarse grid first, then only cells near where the label changes.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would cost, and run nothing.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="SWEEP", help="Go on with a sweep that was interrupted or killed.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="here, processes (one per core) or ray; auto chooses between the first two.")
    ] = "auto",
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="A Ray cluster that runs already; else one is started here.")
    ] = None,
    store: StoreOption = Path("runs"),
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    report: Annotated[Path | None, typer.Option("--report", help="Also write the page here.")] = None,
    json_: JsonOption = False,
) -> None:
    """A phase diagram: an experiment over a grid of fields, as one thing that survives anything."""
    from grokscope.spec import parse_assignment
    from grokscope.sweeps import diagram as diagrams
    from grokscope.terminal import print_diagram, print_estimate

    if (experiment is None) == (resume is None):
        raise BadInput("sweep takes an experiment, or --resume SWEEP; grokscope ls sweeps names those there are.")
    if resume is not None or experiment is None:
        asked = None if engine == "auto" else engine
        found = unless_interrupted(diagrams.go_on, resume, go_on=GO_ON, store=store, engine=asked)
    else:
        overrides = dict(parse_assignment(text) for text in set_ or [])
        if plan:
            planned = diagrams.make_sweep(experiment, over or [], members, overrides, measure or ())
            cost = diagrams.estimate(planned, engine, device, refine)  # type: ignore[arg-type]
            print(json.dumps(cost.to_dict())) if json_ else print_estimate(cost, refine)
            return
        found = unless_interrupted(
            diagrams.sweep,
            experiment,
            over or [],
            members,
            go_on=GO_ON,
            overrides=overrides,
            measures=measure or (),
            refine=refine,
            store=store,
            engine=engine,
            device=device,
            ray_address=ray_address,
            command=shlex.join(["grokscope", *sys.argv[1:]]),
        )
    if report is not None:
        found.report(report)
    print(json.dumps(found.summary())) if json_ else print_diagram(found)
    if any(row.label == "failed" for row in found.rows):
        raise typer.Exit(1)


def _finish(done: Any, report: Path | None, as_json: bool) -> None:
    from grokscope.terminal import print_run

    path = done.report(report) if report else None
    if as_json:
        print(json.dumps(done.summary() | ({"report": str(path)} if path else {})))
        return
    print_run(done.record, done.folder)
    print(f"report  {path.resolve()}" if path else f"next    grokscope report {done.name} --out {done.name}.html")
