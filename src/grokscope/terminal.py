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
from grokscope.store import RunFolder

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


def print_listing(what: str, rows: Sequence[dict[str, Any]], store: Path) -> None:
    """A table of whatever was listed; piped into a file it takes the width it needs."""
    console = Console()
    if not console.is_terminal:
        console.width = 160
    if not rows:
        hint = f"no {what} in {store}; start with: grokscope run modular-addition" if what == "runs" else f"no {what}"
        console.print(hint, highlight=False)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    hidden = {"fields", "hash", "measure", "hindsight", "about", "created" if what == "runs" else ""}
    columns = [c for c in rows[0] if c not in hidden] + (
        ["about"] if what not in ("runs", "measures", "papers") else []
    )
    for column in columns:
        number = isinstance(rows[0][column], int | float)
        table.add_column(
            column, justify="right" if number else "left", overflow="fold", no_wrap=column in ("name", "run")
        )
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console.print(table)


def print_checks(checks: Sequence[Check]) -> None:
    """One line per check; a failed one with its remedy."""
    console = Console()
    for check in checks:
        mark = Text("ok  ", style="green") if check.ok else Text("FAIL", style="bold red")
        tail = "" if check.ok else f" → {check.remedy}"
        console.print(mark, f" {check.name:<12} {check.found}{tail}", highlight=False, sep="")


def _event(step: int | None, last: int) -> str:
    return f"> {last:,}" if step is None else f"{step:,}"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        if len(value) == 2 and value[1] is None:
            return f"{'−∞' if value[0] is None else value[0]} … ∞"
        return ", ".join(str(v) for v in value)
    return "–" if value is None else str(value)
