"""What the terminal shows: the same finding and words as the page, in a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grokscope.doctor import Check
from grokscope.record import Record
from grokscope.report.diagnosis_page import Read
from grokscope.reproduction.reproduce import Reproduction
from grokscope.reproduction.results import told
from grokscope.store import RunFolder
from grokscope.sweeps.diagram import Diagram, Estimate

STYLES = {"grokking": "green", "comprehension": "green", "memorization": "yellow", "confusion": "red"}


def print_run(record: Record, folder: RunFolder) -> None:
    """The sentence, one line per member, the skipped measures, where it lies."""
    console = Console()
    console.print(Text(record.sentence(), style="bold"))
    summary = record.summary()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("seed", justify="right")
    for field in record.differing:
        table.add_column(field, justify="right")
    table.add_column("label")
    for name in ("memorised", "generalised", "delay", "ratio", "test", "steps"):
        table.add_column(name, justify="right")
    for m in summary["members"]:
        table.add_row(
            str(m["seed"]),
            *(f"{m[f]:g}" if isinstance(m[f], float) else str(m[f]) for f in record.differing),
            Text(m["label"], style=STYLES.get(m["label"], "")),
            _event(m["t_train"], m["steps"]),
            _event(m["t_test"], m["steps"]),
            "–" if m["delay"] is None else f"{m['delay']:,}",
            "–" if m["ratio"] is None else f"{m['ratio']:.1f}×",
            "–" if m["final"].get("test/accuracy") is None else f"{100 * m['final']['test/accuracy']:.2f} %",
            f"{m['steps']:,}",
        )
    console.print(table)
    for measure, because in record.trace.skipped.items():
        console.print(f"Skipped: {measure} because {because}.", highlight=False)
    for measure, how in record.thinned.items():
        console.print(f"Thinned: {measure}, {how}.", highlight=False)
    status = record.meta.get("status")
    if status != "finished":
        console.print(f"status  {status}: grokscope resume {record.name} continues it", highlight=False)
    if saved := [f"{c.step:,}" for c in folder.checkpoints()]:
        console.print(f"saved   checkpoints at step {', '.join(saved)}", highlight=False)
    looking = summary["looking_share"]
    share = "" if looking is None else f", looking {100 * looking:.0f} %"
    cost = "" if summary["ms_per_step"] is None else f" · {summary['ms_per_step']:.3g} ms a step and member"
    plan = record.meta.get("plan", {})
    console.print(
        f"cost    {summary['seconds']:.1f} s{cost}{share} · {plan.get('engine')}: {plan.get('why')}", highlight=False
    )
    console.print(f"run     {folder.path}", highlight=False, soft_wrap=True)


def print_estimate(cost: Estimate, refine: bool) -> None:
    """What a sweep would cost, before it is run."""
    console = Console()
    first = " in its first round" if refine else ""
    console.print(f"{cost.cells:,} cells, {cost.members:,} members in {cost.batches:,} batches{first}", highlight=False)
    lane = f"lanes of up to {cost.lane}" if cost.lane > 1 else "each member alone"
    console.print(
        f"{lane}; a step takes {cost.ms_per_step:.3g} ms a member; {cost.bytes_per_lane / 1e6:,.0f} MB for each of "
        f"{cost.workers} worker{'s' * (cost.workers != 1)}",
        highlight=False,
    )
    console.print(f"at most {_duration(cost.seconds_at_most)}, if every member runs to its budget", highlight=False)


def print_diagram(found: Diagram) -> None:
    """The sentence, the failed members, where it lies; a grid of letters where there are two axes."""
    console = Console()
    console.print(Text(found.sentence(), style="bold"))
    shape, cells = found.sweep.shape, found.cells()
    if len(shape) == 2 and shape[1] <= 60:
        rows, columns = found.sweep.axes
        for i in range(shape[0]):
            line = Text(f"{_cell(rows.values[i]):>10}  ")
            for j in range(shape[1]):
                one = cells.get((i, j))
                mark = "· " if one is None else f"{one.label[0]}{'?' if one.disagreement else ' '}"
                line.append(mark, style="" if one is None else STYLES.get(one.label, ""))
            console.print(line)
        ends = f"{_cell(columns.values[0])} … {_cell(columns.values[-1])}"
        console.print(f"rows    {rows.field}\ncolumns {columns.field}, {ends}", highlight=False)
        console.print("c confusion  m memorization  g grokking  ? its members disagree  · left out", highlight=False)
    for one in found.summary()["failed"]:
        where = ", ".join(f"{field}={value}" for field, value in one["cell"].items())
        console.print(f"{where}, seed {one['seed']}: {one['note']}", highlight=False)
    told = found.summary()
    console.print(f"cost    {told['seconds']:.1f} s · engine {told['engine']}", highlight=False)
    if told["status"] != "finished":
        console.print(f"status  {told['status']}: grokscope sweep --resume {found.name} goes on", highlight=False)
    console.print(f"sweep   {found.path}", highlight=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_listing(what: str, rows: Sequence[dict[str, Any]], store: Path) -> None:
    """A table of whatever was listed; piped into a file it takes the width it needs."""
    console = Console()
    if not console.is_terminal:
        console.width = 160
    if not rows:
        kept = {"runs": "run modular-addition", "sweeps": "sweep modular-addition-mlp --over optimizer.lr=1e-3,1e-2"}
        hint = f"no {what} in {store}; start with: grokscope {kept[what]}" if what in kept else f"no {what}"
        console.print(hint, highlight=False)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    hidden = {"fields", "hash", "measure", "hindsight", "about", "created" if what == "runs" else ""}
    last = ["about"] if "about" in rows[0] and what != "measures" else []
    columns = [c for c in rows[0] if c not in hidden] + last
    for column in columns:
        number = isinstance(rows[0][column], int | float)
        table.add_column(
            column, justify="right" if number else "left", overflow="fold", no_wrap=column in ("name", "run", "sweep")
        )
    for row in rows:
        table.add_row(*(_range(row[column]) if column == "range" else _cell(row[column]) for column in columns))
    console.print(table)


def print_checks(checks: Sequence[Check]) -> None:
    """One line per check; a failed one with its remedy."""
    console = Console()
    for check in checks:
        mark = Text("ok  ", style="green") if check.ok else Text("FAIL", style="bold red")
        tail = "" if check.ok else f" → {check.remedy}"
        console.print(mark, f" {check.name:<12} {check.found}{tail}", highlight=False, sep="")


def print_speed(result: dict[str, Any]) -> None:
    """A line per case: ours, the reference, how many times faster, and how near the limit of the arithmetic."""
    console, told = Console(), result["machine"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("case", "precision"):
        table.add_column(name)
    for name in ("ms a step", "reference ms", "times faster", "of the roofline", "steps/s"):
        table.add_column(name, justify="right")
    for case in result["cases"]:
        times, roof = case["spread"]["ratio"], case.get("of_roofline")
        table.add_row(
            case["name"],
            case["precision"],
            f"{case['ms_per_step']:.4g}",
            f"{case['reference_ms_per_step']:.4g}",
            f"{times['median']:.3g} ({times['low']:.3g}–{times['high']:.3g})",
            "–" if roof is None else f"{100 * roof:.0f} %",
            f"{case['model_steps_per_s']:.4g}",
        )
    console.print(table)
    where = f"{told['cpu']}, {told['units']}, torch {told['torch']}"
    console.print(f"{result['threads']} threads · {where}", highlight=False)


def print_monitor_bench(result: dict[str, Any]) -> None:
    """A line per loop: a step with and without the monitor, and what it adds."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("loop")
    for name in ("ms a step", "without", "looks", "added", "of processor time", "allowed"):
        table.add_column(name, justify="right")
    for case in result["cases"]:
        shares = (f"{100 * case[name]:.1f} %" for name in ("overhead", "overhead_cpu", "allowed"))
        times = (f"{case[name]:.4g}" for name in ("ms_per_step", "reference_ms_per_step", "looks"))
        table.add_row(case["name"], *times, *shares)
    console = Console()
    console.print(table)
    console.print(f"{result['threads']} threads · {result['machine']['cpu']}", highlight=False)


def print_measures(result: dict[str, Any]) -> None:
    """A line per measure, and what a look and a run cost."""
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("measure")
    table.add_column("looked at")
    for name in ("ms", "steps", "passes", "declared", "MiB"):
        table.add_column(name, justify="right")
    for row in result["measures"]:
        cells = (f"{row['ms']:.2f}", f"{row['steps']:.2f}", f"{row['passes']:.2f}", f"{row['declared']:g}")
        table.add_row(row["name"], row["subject"], *cells, "–" if row["mib"] is None else f"{row['mib']:.1f}")
    console.print(table)
    console.print(
        f"a look {result['look_ms']:.1f} ms, its pass over all pairs {result['pass_ms']:.1f} ms, a step "
        f"{result['step_ms']:.1f} ms or {result['step_in_passes']:.2f} passes over its batch",
        highlight=False,
    )
    if whole := result.get("run"):
        console.print(
            f"{whole['experiment']}: {whole['looks']} looks in {whole['steps']:,} steps took "
            f"{100 * whole['looking_share']:.1f} % of {whole['seconds']:.0f} s",
            highlight=False,
        )


def print_sweep_bench(result: dict[str, Any]) -> None:
    """Seconds of a diagram, and how many times faster than the plain loop."""
    console = Console()
    console.print(
        f"{result['cells']} cells, {result['members']} members in {result['seconds']:.0f} s on {result['engine']}: "
        f"{result['members_per_s']:.2f} members a second",
        highlight=False,
    )
    console.print(
        f"{result['ratio']:.1f} times faster than a plain loop, cell by cell, each to its budget "
        f"({result['plain_seconds']:,} s); {result['ratio_same_steps']:.1f} times for the same steps",
        highlight=False,
    )


def print_scaling(result: dict[str, Any]) -> None:
    """A line per axis."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("against", "from", "to"):
        table.add_column(name, justify="left" if name == "against" else "right")
    for name in ("ms a step", "exponent", "memory exponent"):
        table.add_column(name, justify="right")
    for axis in result["axes"]:
        ms = axis["ms_per_step"]
        error = "" if axis["exponent_error"] is None else f" ± {axis['exponent_error']:.2f}"
        table.add_row(
            f"{axis['name']} ({axis['unit']})",
            str(axis["values"][0]),
            str(axis["values"][-1]),
            f"{ms[0]:.3g} … {ms[-1]:.3g}",
            "–" if axis["exponent"] is None else f"{axis['exponent']:.2f}{error}",
            "–" if axis["bytes_exponent"] is None else f"{axis['bytes_exponent']:.2f}",
        )
    Console().print(table)


def _event(step: int | None, last: int) -> str:
    return f"> {last:,}" if step is None else f"{step:,}"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return "–" if value is None else str(value)


def _range(ends: Sequence[float | None]) -> str:
    """``0 … 1``; an end that is missing is infinite."""
    low, high = ("∞" if end is None else f"{end:g}".replace("-", "−") for end in ends)
    return f"{'−∞' if ends[0] is None else low} … {high}"


def print_reproduction(found: Reproduction) -> None:
    """A paper's claims: the paper's number, ours, n and the verdict."""
    console = Console()
    console.print(f"[bold]{found.paper.key}[/]  {found.preset}, {found.seconds:.0f} s  {found.paper.reference.title}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("claim", "the paper", "ours", "n", "verdict"):
        table.add_column(name, overflow="fold")
    for claim in found.claims:
        table.add_row(claim["id"], claim["paper"], told(claim["observed"]), str(claim["n"]), claim["verdict"])
    console.print(table)


def print_diagnosis(one: Read) -> None:
    """The verdict, what it rests on, what was read and what was skipped."""
    console, found = Console(), one.diagnosis
    console.print(Text.assemble((one.name, "bold"), f"  {one.format}"))
    tone = "green" if found.advice.verdict in ("keep training", "generalised") else "yellow"
    tone = "red" if found.advice.verdict in ("numerical fault", "losing generalisation") else tone
    console.print(Text.assemble((found.advice.verdict, f"bold {tone}"), f": {found.advice.text}"))
    if found.advice.would_tell:
        console.print(Text(found.advice.would_tell))
    for evidence in found.evidence:
        console.print(Text(f"  · {evidence.says}  [{evidence.measure}]"))
    for anomaly in found.phases.anomalies:
        console.print(Text(f"  · {anomaly.note}, {anomaly.start:,} to {anomaly.end:,}  [{anomaly.name}]"))
    read = ", ".join(f"{key} from {column!r}" for key, column in one.columns.items())
    console.print(Text(f"read    {read or 'nothing'}", style="dim"))
    for note in one.notes:
        console.print(Text(f"mended  {note}", style="dim"))
    for check, why in found.skipped.items():
        console.print(Text(f"skipped {check}: {why}", style="dim"))
