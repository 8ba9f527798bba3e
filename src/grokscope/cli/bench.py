"""Commands that measure what things cost: grokscope bench."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from grokscope.cli.base import JsonOption
from grokscope.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="Measure what things cost on this machine.")
OutOption = Annotated[Path | None, typer.Option("--out", help="Also keep the result here, as JSON.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads of torch, for all sides.")]
RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Samples of each side.")]


@app.command("speed")
def bench_speed(
    cases: Annotated[str, typer.Option("--cases", help="Comma-separated names; all unless given.")] = "",
    threads: ThreadsOption = 1,
    precision: Annotated[
        str, typer.Option("--precision", help="Of our side, comma-separated; the reference is float32.")
    ] = "float32,bfloat16",
    rounds: RoundsOption = 9,
    steps: Annotated[int, typer.Option("--steps", min=10, help="Length of the whole loop.")] = 4000,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    out: OutOption = None,
    json_: JsonOption = False,
) -> None:
    """Our training step against a notebook's: in turns, in one process, on the same threads."""
    from grokscope.benchmarks.speed import NAMES, merged, speed
    from grokscope.terminal import print_speed
    from grokscope.training.engine import find_device

    names = _names(cases, NAMES, "cases") or list(NAMES)
    precisions = _names(precision, ("float64", "float32", "bfloat16"), "precision")
    where = find_device(device)
    result = _with_progress(lambda tell: speed(names, threads, precisions, rounds, where, steps, tell))
    _keep(merged(json.loads(out.read_text(encoding="utf-8")), result) if out and out.exists() else result, out)
    print(json.dumps(result)) if json_ else print_speed(result)


@app.command("measures")
def bench_measures(
    threads: ThreadsOption = 1,
    rounds: RoundsOption = 9,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are not taken by default; two minutes.")
    ] = False,
    whole_run: Annotated[
        bool, typer.Option("--run", help="Also what share of the whole nanda2023progress is looking; minutes.")
    ] = False,
    out: OutOption = None,
    json_: JsonOption = False,
) -> None:
    """What a look costs, and each measure in it."""
    from grokscope.benchmarks.measures import measures
    from grokscope.terminal import print_measures

    result = _with_progress(lambda tell: measures(threads, rounds, everything, whole_run, tell))
    _keep(result, out)
    print(json.dumps(result)) if json_ else print_measures(result)


@app.command("sweep")
def bench_sweep_(rounds: RoundsOption = 7, out: OutOption = None, json_: JsonOption = False) -> None:
    """A phase diagram of 10 x 10 cells and two seeds against the same cells in a plain loop; minutes."""
    from grokscope.benchmarks.sweep import bench_sweep
    from grokscope.terminal import print_sweep_bench

    result = _with_progress(lambda tell: bench_sweep(rounds=rounds, tell=tell))
    _keep(result, out)
    print(json.dumps(result)) if json_ else print_sweep_bench(result)


@app.command("scaling")
def bench_scaling(rounds: RoundsOption = 5, out: OutOption = None, json_: JsonOption = False) -> None:
    """Time and memory of a step against p, width, layers, members and threads, with fitted exponents."""
    from grokscope.benchmarks.scaling import scaling
    from grokscope.terminal import print_scaling

    result = _with_progress(lambda tell: scaling(rounds, tell))
    _keep(result, out)
    print(json.dumps(result)) if json_ else print_scaling(result)


@app.command("monitor")
def bench_monitor(threads: ThreadsOption = 1, out: OutOption = None, json_: JsonOption = False) -> None:
    """What Monitor adds to somebody's loop, with steps of about 50 and 5 ms; a minute."""
    from grokscope.benchmarks.monitor import monitor
    from grokscope.terminal import print_monitor_bench

    result = _with_progress(lambda tell: monitor(on=threads, tell=tell))
    _keep(result, out)
    print(json.dumps(result)) if json_ else print_monitor_bench(result)


def _names(text: str, known: Sequence[str], what: str) -> list[str]:
    from grokscope.errors import nearest

    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise BadInput(f"unknown {what} {name!r}{nearest(name, known)}")
    return names


def _with_progress(call: Callable[[Callable[[str], None]], Any]) -> Any:
    """Say on standard error what is being timed; a bar that moves would be timed too."""
    return call(lambda name: print(f"timing {name} …", file=sys.stderr, flush=True))


def _keep(result: Any, out: Path | None) -> None:
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"cannot write {out} ({error.strerror}); choose another with --out FILE.") from None
