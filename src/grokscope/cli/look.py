"""Commands that look at what there is: ls, show, export, report, serve, cite, doctor."""

import json
from pathlib import Path
from typing import Annotated

import typer

from grokscope.cli.base import JsonOption, RunArgument, StoreOption, run_or_sweep
from grokscope.errors import BadInput


def ls(
    what: Annotated[
        str,
        typer.Argument(help="runs, sweeps, experiments, tasks, models, optimizers, interventions, measures or papers."),
    ] = "runs",
    store: StoreOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """List runs, or what the package ships."""
    from grokscope.listing import list_things
    from grokscope.terminal import print_listing

    rows = list_things(what, store)
    print(json.dumps(rows)) if json_ else print_listing(what, rows, store)


def show(run: RunArgument, store: StoreOption = Path("runs"), json_: JsonOption = False) -> None:
    """What happened in a run or a sweep: the sentence, its members, its checkpoints or its cells."""
    from grokscope.sweeps.diagram import Diagram
    from grokscope.terminal import print_diagram, print_run

    found = run_or_sweep(run, store)
    if json_:
        print(json.dumps(found.summary()))
    elif isinstance(found, Diagram):
        print_diagram(found)
    else:
        print_run(found.record, found.folder)


def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv, .json or .parquet.")],
    store: StoreOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Write a run's trace as a table, one row per member and step; of a sweep one row per member."""
    from grokscope.listing import export_table

    rows = export_table(run_or_sweep(run, store).to_pandas(), out)
    print(json.dumps({"out": str(out), "rows": rows}) if json_ else f"{rows:,} rows in {out}")


def report(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    store: StoreOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Write the page of a run or a sweep: one HTML file that opens anywhere, offline."""
    path = run_or_sweep(run, store).report(out)
    print(json.dumps({"out": str(path), "bytes": path.stat().st_size}) if json_ else str(path))


def serve(
    store: StoreOption = Path("runs"),
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; others than this machine's own let others read.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen at; 0: a free one.")] = 8765,
    json_: JsonOption = False,
) -> None:
    """The live page: all runs of a store in the browser, read only, as they are written. Ctrl-C ends it."""
    try:
        from grokscope.server.listen import serve as listen
    except ImportError as error:
        raise BadInput(f"serve needs {error.name}: pip install 'grokscope[serve]'.") from None

    def tell(url: str) -> None:
        print(json.dumps({"url": url}) if json_ else f"{store} at {url}  (Ctrl-C ends it)", flush=True)

    listen(store, host, port, tell)


def cite(
    what: Annotated[str, typer.Argument(metavar="RUN|PAPER", help="A run, an experiment or a paper's key.")],
    store: StoreOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Print BibTeX of what a run, an experiment or a paper rests on."""
    from grokscope.listing import citations
    from grokscope.sources import bibtex

    found = citations(what, store)
    keys = list(dict.fromkeys(source.key for source in found))
    print(json.dumps({"cites": keys, "bibtex": bibtex(found)}) if json_ else bibtex(found))


def doctor(store: StoreOption = Path("runs"), json_: JsonOption = False) -> None:
    """Check the installation: versions, device, threads, store, known traps."""
    from grokscope.doctor import examine
    from grokscope.terminal import print_checks

    checks = examine(store)
    print(
        json.dumps({"ok": all(c.ok for c in checks), "checks": [c.to_dict() for c in checks]})
    ) if json_ else print_checks(checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
