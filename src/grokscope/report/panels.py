"""The line charts as plain data: which curves, in which rows, with which words. The script draws them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.record import Record
from grokscope.report import look, story
from grokscope.report.curves import SMALL, finite, median, representative, settled
from grokscope.sources import Source
from grokscope.trace import Floats, Steps

Panel = dict[str, Any]
NANDA = Source("nanda2023progress", "Sec. 5.1")


def numbers(values: Floats | Steps | Sequence[float]) -> list[float | None]:
    """Six digits, None for NaN and infinity: what JSON can hold and a reader can use."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=np.float64).tolist()]


def series(record: Record, panels: Sequence[Panel]) -> dict[str, dict[int, dict[str, Any]]]:
    """Every curve that the panels draw or export, once: by key, by member."""
    keys = sorted({key for panel in panels for key in panel.get("keys", ()) if "rows" in panel})
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for key in keys:
        for p in record.phases:
            steps, values = record.trace.series(key, p.member)
            if len(steps):
                found.setdefault(key, {})[p.member] = {"x": steps.tolist(), "y": numbers(values)}
    return found


def picture(record: Record) -> Panel | None:
    """Loss and accuracy of all members, the median drawn, the delay as a length."""
    members = [p.member for p in record.phases if len(record.trace.series("test/loss", p.member)[0])]
    if not members:
        return None
    unit = record.trace.quantities["test/loss"].unit if "test/loss" in record.trace.quantities else ""
    loss: dict[str, Any] = {"title": f"loss ({unit})" if unit else "loss", "log": True, "share": 0.66}
    loss["lines"] = [_crowd(record, f"{s}/loss", s, members, True) for s in ("train", "test")]
    chance = story.chance_loss(record)
    if chance is not None:
        loss["marks"] = [{"y": chance, "text": f"chance, ln {record.experiment.task.classes:,}"}]
    accuracy: dict[str, Any] = {"title": "accuracy", "percent": True, "share": 0.34}
    accuracy["lines"] = [_crowd(record, f"{s}/accuracy", s, members, False, named=False) for s in ("train", "test")]
    accuracy["delay"] = delay(record)
    rows = [row | {"lines": [line for line in row["lines"] if line]} for row in (loss, accuracy)]
    rows = [row for row in rows if row["lines"]]
    if not rows:
        return None
    return {
        "id": "picture",
        "heading": _finding(record),
        "note": _how(record, members),
        "source": "Thresholds of both events: below the table of members.",
        "rows": rows,
        "keys": ["train/loss", "test/loss", "train/accuracy", "test/accuracy"],
        "members": members,
    }


def circuit(record: Record, member: int) -> Panel | None:
    """Restricted and excluded loss, with the test loss behind."""
    tones = {"fourier/restricted_loss": "restricted", "fourier/excluded_loss": "excluded"}
    members = _with(record, list(tones))
    if member not in members:
        return None
    lines = [_one(record, "test/loss", "test", "train", member, [])]
    lines += [_one(record, key, tone, tone, member, members) for key, tone in tones.items()]
    first = story.lead(record, member)
    heading = (
        "The circuit is there before the test loss shows it" if first else "What the key frequencies do to the loss"
    )
    note = (
        "Restricted loss keeps only the key frequencies of the logits, on all pairs; excluded loss takes them out, "
        f"on training pairs. Key frequencies are those of the finished model. {_who(record, member, members)}"
    )
    row = {"title": "loss (nats)", "log": True, "share": 1.0, "lines": [line for line in lines if line]}
    keys = ["fourier/restricted_loss", "fourier/excluded_loss", "test/loss", "train/loss"]
    return {
        "id": "circuit",
        "heading": heading,
        "note": note,
        "source": str(NANDA),
        "rows": [row],
        "keys": keys,
        "members": members,
    }


def simplicity(record: Record, member: int) -> Panel | None:
    """Gini of the embedding's spectrum above, norm of the weights below."""
    spoken = {
        "fourier/gini_embedding": (
            "Gini",
            "restricted",
            "Gini coefficient of the embedding's Fourier components (0: all alike, 1: one holds everything).",
        ),
        "norm/weights": ("weight norm", "test", "Euclidean norm of all weights."),
    }
    found = {key: _one(record, key, *spoken[key][:2], member, _with(record, [key]), named=False) for key in spoken}
    rows = [{"title": spoken[k][0], "lines": [line], "zero": True} for k, line in found.items() if line]
    if not rows:
        return None
    gini = found["fourier/gini_embedding"] is not None
    members = _with(record, [key for key, line in found.items() if line])
    text = " ".join(spoken[key][2] for key, line in found.items() if line)
    return {
        "id": "simplicity",
        "heading": _simpler(record, member, gini),
        "note": f"{text} {_who(record, member, members)}",
        "source": f"{NANDA}; Gini: {Source('hurley2009sparsity', 'Table I')}"
        if gini
        else str(Source("liu2022omnigrok", "weight norm w")),
        "rows": [row | {"share": 1.0 / len(rows)} for row in rows],
        "keys": ["fourier/gini_embedding", "fourier/gini_neuron_logit", "norm/weights"],
        "members": members,
    }


def delay(record: Record) -> dict[str, Any] | None:
    """The delay as a length: from median t_train to median t_test of the members that have both.

    Open to the right, up to the last look, where members memorised and none generalised.
    """
    events = [p.events for p in record.phases]
    both = [(e.t_train, e.t_test) for e in events if e.t_train is not None and e.t_test is not None]
    if both:
        start, end = (float(np.median(side)) for side in zip(*both, strict=True))
        if end <= start:
            return None
        some = f" ({len(both)} of {len(events)})" if len(both) < len(events) else ""
        return {"from": start, "to": end, "text": f"delay {look.step(end - start)} steps{some}", "open": False}
    trained = [e.t_train for e in events if e.t_train is not None]
    last = max((e.last_step for e in events), default=0)
    if not trained or last <= np.median(trained):
        return None
    start = float(np.median(trained))
    return {"from": start, "to": last, "text": f"delay > {look.step(last - start)} steps", "open": True}


def _finding(record: Record) -> str:
    found = delay(record)
    if found and not found["open"]:
        late = f"test set follows the training set by {look.step(found['to'] - found['from'])} steps"
        done, n = sum(p.events.t_test is not None for p in record.phases), len(record.phases)
        return f"The {late}" if done == n else f"In {done} of {n} members the {late}"
    if found:
        return "The training set is learned, the test set is not"
    if not any(p.events.t_train is not None or p.events.t_test is not None for p in record.phases):
        return "Not even the training set is learned"
    return "Loss and accuracy"


def _crowd(record: Record, key: str, tone: str, members: list[int], log: bool, named: bool = True) -> Panel | None:
    """A line for the median, a band, and every member faint."""
    middle = median(record.trace, key, members, log, settled(record.ended))
    if middle is None:
        return None
    main: dict[str, Any] = {"m": members[0]}
    if len(members) > 1:
        main = {"x": middle.steps.tolist(), "y": numbers(middle.values), "n": middle.n.tolist()}
        main |= {"low": numbers(middle.low), "high": numbers(middle.high)}
    name = f"{tone} {key.split('/')[1]}"
    return {
        "key": key,
        "name": name,
        "label": tone if named else "",
        "tone": tone,
        "main": main,
        "each": members if len(members) > 1 else [],
    }


def _one(
    record: Record, key: str, name: str, tone: str, member: int, members: list[int], named: bool = True
) -> Panel | None:
    """A line for one member, the others faint."""
    if not len(finite(record.trace, key, member)[0]):
        return None
    others = [m for m in members if m != member]
    label = name if named else ""
    return {"key": key, "name": name, "label": label, "tone": tone, "main": {"m": member}, "each": others}


def _with(record: Record, keys: list[str]) -> list[int]:
    return [p.member for p in record.phases if all(len(finite(record.trace, k, p.member)[0]) for k in keys)]


def _who(record: Record, member: int, members: list[int]) -> str:
    seed = f"Seed {record.members[member].seed}"
    return f"{seed}; the other{'s' if len(members) > 2 else ''} faint." if len(members) > 1 else f"{seed}."


def _how(record: Record, members: list[int]) -> str:
    """How the picture is drawn, in words."""
    if len(members) == 1:
        return f"Train quiet, test strong; seed {record.members[members[0]].seed}."
    edge = "from the lowest to the highest" if len(members) <= SMALL else "over the middle half"
    text = f"Train quiet, test strong: the median of {len(members)} members, a band {edge}, each member faint."
    ends = sorted(p.events.last_step for p in record.phases)
    if settled(record.ended) and ends[0] < ends[-1]:
        text += (
            f" From step {ends[0]:,} members stop, the last at {ends[-1]:,}; one that had generalised "
            "keeps counting in the median at its last value."
        )
    elif ends[0] < ends[-1]:
        text += f" Members end between step {ends[0]:,} and {ends[-1]:,} and count no further."
    shown = representative(record.phases, record.ended)
    if shown is None:
        return text
    some = " of those that generalised" if any(p.events.t_test is None for p in record.phases) else ""
    which = f", the median{some}" if shown.events.t_test is not None else ""
    return f"{text} The ribbon names the phases of seed {record.members[shown.member].seed}{which}."


def _simpler(record: Record, member: int, gini: bool) -> str:
    _, norm = finite(record.trace, "norm/weights", member)
    shrinks = len(norm) > 1 and norm[-1] < 0.9 * norm.max()
    if gini:
        _, values = finite(record.trace, "fourier/gini_embedding", member)
        if values[-1] > values[0] + 0.1:
            return "The solution grows sparse, and small" if shrinks else "The solution grows sparse"
        return "How sparse and how large the solution is"
    return (
        f"The weights shrink from {look.number(norm.max())} to {look.number(norm[-1])}"
        if shrinks
        else "Size of the weights"
    )
