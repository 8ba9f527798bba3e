"""The page's tables as plain data: members, measures, what was run, whom to cite."""

from typing import Any

import numpy as np

from grokscope.phases import Phases
from grokscope.record import Record
from grokscope.report import look
from grokscope.report.curves import finite

SHORT_FIELDS = {
    "optimizer.lr": "lr",
    "optimizer.weight_decay": "weight decay",
    "model.init_scale": "init scale",
    "task.train_fraction": "train share",
}


def member_rows(record: Record) -> list[dict[str, Any]]:
    """One row per member; what did not happen by the end is open: ``> 1,500``."""
    seen = {p.member: p for p in record.phases}
    rows = []
    for number, one in enumerate(record.overrides):
        row: dict[str, Any] = {
            "member": number,
            "seed": one["seed"],
            "differs": [look.number(one[f]) if isinstance(one[f], float) else str(one[f]) for f in record.differing],
            "note": record.ended.get(number, {}).get("note") or "",
        }
        rows.append(row | _events(record, seen[number]) if number in seen else row | {"label": ""})
    return rows


def measure_rows(record: Record, member: int) -> list[dict[str, Any]]:
    """Every scalar that was measured: what it is, where it began and ended, and its course as a small line."""
    rows = []
    for key in record.trace.keys():
        steps, values = finite(record.trace, key, member)
        if not len(steps):
            continue
        quantity = record.trace.quantities.get(key) or record.trace.quantities.get(key.split("/")[0] + "/*")
        rows.append(
            {
                "key": key,
                "about": quantity.about if quantity else "",
                "unit": "" if quantity is None or quantity.unit == "1" else quantity.unit,
                "first": look.number(values[0]),
                "last": look.number(values[-1]),
                "line": sparkline(steps, values, log=key.endswith("loss")),
            }
        )
    return rows


def sparkline(steps: np.ndarray, values: np.ndarray, log: bool) -> str:
    """Points of a polyline in a box of 100 x 20, over log step."""
    x = np.log1p(steps.astype(np.float64))
    y = np.log(np.maximum(values, 1e-12)) if log else values
    across, up = np.ptp(x) or 1.0, np.ptp(y) or 1.0
    left, top = (x - x[0]) / across * 100, 19 - (y - y.min()) / up * 18
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(left, top, strict=True))


def anomaly_rows(record: Record) -> list[dict[str, Any]]:
    """All anomalies of all members, by start."""
    rows = [
        {"seed": record.members[p.member].seed, "name": a.name, "start": a.start, "end": a.end, "note": a.note}
        for p in record.phases
        for a in p.anomalies
    ]
    return sorted(rows, key=lambda row: (row["name"], row["start"]))


def facts(record: Record) -> list[tuple[str, str]]:
    """What was run, with what, on what: term and value, those that are known."""
    meta, e = record.meta, record.experiment
    machine, versions, plan = meta.get("machine") or {}, meta.get("versions") or {}, meta.get("plan") or {}
    seconds, rows, git = meta.get("seconds") or {}, meta.get("rows") or {}, meta.get("git") or {}
    sizes = ", ".join(f"{n:,} {name}" for name, n in rows.items())
    found = [
        ("task", f"{e.task.symbol}" + (f": {sizes} rows" if sizes else "")),
        ("model", f"{e.model.kind}" + (f", {meta['parameters']:,} parameters" if meta.get("parameters") else "")),
        ("optimizer", e.optimizer.kind),
        ("arithmetic", e.precision if e.precision != "auto" else "float32"),
        ("engine", f"{plan['engine']}, because {plan['why']}" if plan.get("why") else str(plan.get("engine") or "")),
        (
            "machine",
            ", ".join(
                filter(
                    None,
                    (
                        str(machine.get("cpu") or ""),
                        f"{machine['cores']} cores" if machine.get("cores") else "",
                        str(machine.get("system") or ""),
                        str(plan.get("device") or ""),
                        f"{plan['threads']} thread{'s' if plan['threads'] != 1 else ''} a worker"
                        if plan.get("threads")
                        else "",
                    ),
                )
            ),
        ),
        (
            "time",
            ", ".join(
                filter(
                    None,
                    (
                        look.seconds(seconds["wall"]) if seconds.get("wall") else "",
                        f"{meta['ms_per_step']:.3g} ms a step and member" if meta.get("ms_per_step") else "",
                        ""
                        if record.looking_share is None
                        else f"{look.percent(record.looking_share, 1)} of it spent looking",
                    ),
                )
            ),
        ),
        ("versions", ", ".join(f"{name} {v}" for name, v in versions.items())),
        (
            "commit",
            f"{git['commit'][:12]}{', with uncommitted changes' if git.get('dirty') else ''}"
            if git.get("commit")
            else "",
        ),
        ("made", str(meta.get("created") or "").replace("T", " ").replace("+00:00", " UTC")),
        ("hash", str(meta.get("hash") or "")),
    ]
    return [(term, value) for term, value in found if value]


def rules(record: Record) -> str:
    """The thresholds of events and labels, in one sentence each."""
    rule, naming = record.experiment.events, record.experiment.labels
    chance = record.experiment.task.chance
    train = (
        f"accuracy ≥ {look.percent(rule.train_accuracy, 0)}"
        if rule.train_loss is None
        else f"loss ≤ {rule.train_loss:g}"
    )
    test = (
        f"accuracy ≥ {look.percent(rule.test_accuracy(chance), 1)}"
        if rule.test_loss is None
        else f"loss ≤ {rule.test_loss:g}"
    )
    return (
        f"Memorised: train {train}; generalised: test {test}; each at {rule.looks} looks in a row. "
        f"Grokking: a delay of at least {naming.delay:,} steps, or generalised ≥ {naming.ratio:g} × memorised "
        "(the ratio is ours; Liu et al. 2022, Table 1). “> n” means: not by step n, where the member ended."
    )


def references(record: Record) -> list[dict[str, str]]:
    """The papers behind the run, in order of use, each once."""
    papers = {source.key: source.reference for source in record.experiment.citations()}
    return [
        {"short": r.short, "title": r.title, "url": r.url, "arxiv": r.arxiv, "venue": r.venue} for r in papers.values()
    ]


def _events(record: Record, p: Phases) -> dict[str, Any]:
    e, open_end = p.events, f"> {p.events.last_step:,}"
    accuracy = record.trace.last(p.member).get("test/accuracy")
    wait = None if e.t_train is None else f"> {e.last_step - e.t_train:,}"
    never = e.t_train is None or e.t_test is not None
    return {
        "label": p.label,
        "memorised": look.step(e.t_train) if e.t_train is not None else open_end,
        "generalised": look.step(e.t_test) if e.t_test is not None else open_end,
        "delay": f"{e.delay:,}".replace("-", "−") if e.delay is not None else "–" if never else wait,
        "ratio": f"{e.ratio:.1f}×"
        if e.ratio is not None
        else "–"
        if never
        else f"> {e.last_step / max(e.t_train or 1, 1):.1f}×",
        "accuracy": look.percent(accuracy),
        "steps": look.step(e.last_step),
        "going": p.member not in record.ended,
        "censored": e.censored,
        "odd": ", ".join(dict.fromkeys(a.name for a in p.anomalies)),
    }
