"""What a sweep's page says in words. Every sentence is counted from the rows; what was not measured is not said."""

import re
from collections import Counter
from typing import Any

from markupsafe import Markup, escape

from grokscope.phases import RegimeRule
from grokscope.report import look
from grokscope.report.diagram_data import Findings, short, written
from grokscope.sources import Source
from grokscope.sweeps.results import DIVERGED, FAILED, CellSummary

STATES = {"waiting": "no member has ended yet", "left out": "left out, not run", "unplanned": "not run"}


def sentence(found: Findings) -> str:
    """What was found, with numbers: cells by label, grokking first with its delays."""
    if not found.cells:
        return f"Nothing has ended yet: 0 of {found.members:,} members." if found.members else "Nothing is planned yet."
    cells = list(found.cells.values())
    counts = Counter(c.label for c in cells)
    trained = "trained cells" if len(cells) < len(found.spots) else "cells"
    of_all = f"of {len(cells):,} {trained if len(cells) > 1 else trained[:-1]}"
    rest = [name for name, _ in counts.most_common() if name != "grokking"]
    if not counts["grokking"]:
        return f"No grokking in {len(cells):,} {trained if len(cells) > 1 else trained[:-1]}: {_listed(rest, counts)}."
    delays = [c.delay for c in cells if c.label == "grokking" and c.delay is not None]
    low, high = (halves(min(delays)), halves(max(delays))) if delays else ("", "")
    later = "" if not delays else f", {low if low == high else f'{low} to {high}'} steps after memorising"
    others = f"; {_listed(rest, counts)}" if rest else ""
    return f"Grokking in {counts['grokking']:,} {of_all}{later}{others}."


def headline(found: Findings) -> Markup:
    """The sentence with its finding marked."""
    text = str(escape(sentence(found)))
    return Markup(re.sub(r"^(Grokking in [\d,]+ of [\d,]+ (?:trained )?cells?)", r"<mark>\1</mark>", text))


def said(found: Findings) -> list[str]:
    """What stands under the headline: how a cell gets its label, where grokking lies, what stayed open."""
    if not found.cells:
        return []
    cells = list(found.cells.values())
    lines = [_rule(found, cells), _where(found, cells), _open(found), _spoilt(found)]
    return [line for line in lines if line]


def savings(found: Findings) -> str:
    """What refinement did without; empty where the whole grid was asked for."""
    if not found.meta.get("refine"):
        return ""
    grid, cells = len(found.spots), sum(1 for n in found.planned.values() if n)
    trained = (
        f"{cells:,} of {grid:,} cells, {found.members:,} of {grid * found.sweep.members:,} members of the full grid"
    )
    if not found.left_out:
        undecided = any(spot.state != "measured" for spot in found.spots)
        return f"Refined: {trained} planned {'so far' if undecided else 'in the end'}."
    return (
        f"Refined: {trained} were trained. {found.left_out:,} cells ({look.percent(found.left_out / grid, 1)}) were "
        "left out, because the trained cells around them agree; their labels are taken from those and not measured."
    )


def status(found: Findings) -> str:
    """One line where members are missing or the sweep did not finish, else empty."""
    ended, state = len(found.rows), str(found.meta.get("status"))
    if state == "finished" and ended == found.members:
        return ""
    words = {
        "running": "This sweep is still going",
        "crashed": "This sweep was killed before its end",
        "interrupted": "This sweep was interrupted",
        "failed": "This sweep stopped with an error",
    }
    return f"{words.get(state, 'This sweep is not done')}: {ended:,} of {found.members:,} members have ended."


def table(found: Findings) -> list[dict[str, Any]]:
    """Every cell as a row of words."""
    rows = []
    for spot in found.spots:
        values = [written(axis.values[i]) for axis, i in zip(found.sweep.axes, spot.cell, strict=True)]
        row: dict[str, Any] = {"at": values, "state": STATES.get(spot.state, ""), "label": spot.label or "–"}
        if (c := spot.found) is None:
            row["label"] = f"({spot.label}, from its neighbours)" if spot.label else ""
            rows.append(row)
            continue
        numbers = {
            "t_train": opened(c.t_train, c),
            "t_test": opened(c.t_test, c),
            "delay": opened(c.delay, c),
            "test": look.percent(c.test_accuracy),
            "train": look.percent(c.train_accuracy),
        }
        share = look.percent(c.disagreement, 0) if c.disagreement else "–"
        n = {"n": c.n, "planned": spot.planned, "censored": c.censored, "failed": c.failed}
        rows.append(row | {"disagree": share, "regime": c.regime or "neither"} | numbers | n)
    return rows


def opened(value: float | None, cell: CellSummary) -> str:
    """A median step; ``open`` where it lies after the end of the runs."""
    return halves(value) if value is not None else "–" if cell.failed == cell.n else "open"


def halves(steps: float) -> str:
    """A median of steps, which may lie half way between two: ``1,267.5``."""
    return (f"{steps:,.0f}" if steps == round(steps) else f"{steps:,.1f}").replace("-", "−")


def facts(found: Findings) -> list[tuple[str, str]]:
    """What was run, with what, on what: term and value, those that are known."""
    meta, e, sweep = found.meta, found.sweep.experiment, found.sweep
    machine, versions, git = meta.get("machine") or {}, meta.get("versions") or {}, meta.get("git") or {}
    on = [str(machine.get("cpu") or ""), f"{machine['cores']} cores" if machine.get("cores") else ""]
    seeds = f"{e.seed}" if sweep.members == 1 else f"{e.seed} to {e.seed + sweep.members - 1}, the same in every cell"
    axes = "; ".join(
        f"{axis.field}: {len(axis)} values, {written(axis.values[0])} to {written(axis.values[-1])}, {axis.scale}"
        if axis.scale != "category"
        else f"{axis.field}: {', '.join(map(written, axis.values))}"
        for axis in sweep.axes
    )
    changed = ", with uncommitted changes" if git.get("dirty") else ""
    known = [
        ("sweep", found.name),
        ("experiment", f"{e.name}: {e.task.symbol}; {e.model.kind}; {e.optimizer.kind}"),
        ("axes", axes),
        ("seeds", seeds),
        ("engine", ", ".join(str(meta[key]) for key in ("engine", "device") if meta.get(key))),
        ("machine", ", ".join(filter(None, on))),
        ("time", look.seconds(meta["seconds"]) if meta.get("seconds") else ""),
        ("versions", ", ".join(f"{name} {v}" for name, v in versions.items())),
        ("commit", f"{git['commit'][:12]}{changed}" if git.get("commit") else ""),
        ("made", str(meta.get("created") or "").replace("T", " ").replace("+00:00", " UTC")),
    ]
    return [(term, value) for term, value in known if value]


def sources(found: Findings) -> list[Source]:
    """Whom the experiment, the labels and the regimes rest on, in order of use."""
    return list(dict.fromkeys([*found.sweep.experiment.citations(), *RegimeRule().sources]))


def references(found: Findings) -> list[dict[str, str]]:
    """The papers of :func:`sources`, each once."""
    papers = {source.key: source.reference for source in sources(found)}
    return [
        {"short": r.short, "title": r.title, "url": r.url, "arxiv": r.arxiv, "venue": r.venue} for r in papers.values()
    ]


def _listed(names: list[str], counts: Counter[str]) -> str:
    """``memorization in 20, confusion in 7``."""
    return ", ".join(f"{name if name != FAILED else 'no finding'} in {counts[name]:,}" for name in names)


def _rule(found: Findings, cells: list[CellSummary]) -> str:
    if found.sweep.members == 1:
        return "Every cell is one member, labelled by the rule of Liu et al. 2022."
    split = sum(c.disagreement > 0 for c in cells)
    agree = "in no cell do they disagree" if not split else f"in {split:,} of {len(cells):,} they disagree"
    seeds = look.count(found.sweep.members)
    return f"A cell has the label that most of its {seeds} members have by the rule of Liu et al. 2022; {agree}."


def _where(found: Findings, cells: list[CellSummary]) -> str:
    """The smallest box that holds all cells that grok, along the axes on which it is smaller than the map."""
    inside = [c.cell for c in cells if c.label == "grokking"]
    parts = []
    for k, axis in enumerate(found.sweep.axes):
        places = sorted({cell[k] for cell in inside})
        if axis.scale == "category" or not places or len(axis) == 1 or len(places) == len(axis):
            continue
        low, high = axis.values[places[0]], axis.values[places[-1]]
        if (places[0], places[-1]) != (0, len(axis) - 1):
            parts.append(f"{short(axis.field)} {written(low)}" + (f" to {written(high)}" if high != low else ""))
    return f"Grokking lies within {' and '.join(parts)}." if parts else ""


def _open(found: Findings) -> str:
    good = [row for row in found.rows if row.label not in (FAILED, DIVERGED)]
    late = [row for row in good if row.censored]
    if not late:
        return ""
    last = max(row.steps for row in late)
    are = "is" if len(late) == 1 else "are"
    return (
        f"{len(late):,} of {len(good):,} members {are} censored: not generalised by their end, at most {last:,} steps."
    )


def _spoilt(found: Findings) -> str:
    counts = Counter(row.label for row in found.rows)
    diverged, failed = counts[DIVERGED], counts[FAILED]
    lines = [
        f"{diverged:,} of {len(found.rows):,} members diverged: the training loss became NaN or infinite."
        if diverged
        else "",
        f"{failed:,} of {len(found.rows):,} members failed and have no finding; the reason stands with each."
        if failed
        else "",
    ]
    return " ".join(line for line in lines if line)
