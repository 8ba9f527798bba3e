"""From a sheet to a run: which column is which curve, on which steps, in which unit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from grokscope.errors import BadInput, nearest
from grokscope.readers.base import CURVES, EXTRAS, LoggedRun, Unit
from grokscope.readers.files import listed, plain, shown
from grokscope.readers.names import Meaning, meaning, squash
from grokscope.readers.order import Ordered, ordered
from grokscope.readers.repair import MAX_STEP, Mended
from grokscope.readers.settings import COMMON
from grokscope.readers.sheet import Sheet
from grokscope.readers.steps import clock_of
from grokscope.readers.values import SHARES, as_read, percent_of
from grokscope.trace import Trace

KEYS = (*CURVES, *EXTRAS)
Mapped = Mapping[str, str]
MAX_NOTES = 40


def check_mapped(columns: Mapped, sheets: list[Sheet]) -> dict[str, str]:
    """The mapping with the columns' exact names; raises BadInput for an unknown key or a column that is not there."""
    there = {name: name for sheet in sheets for name in sheet.columns}
    squashed = {squash(name): name for name in reversed(there) if squash(name)}
    found = {}
    for key, column in columns.items():
        asked = f"--map {plain(key)}={plain(column)}"
        if key not in (*KEYS, "step"):
            raise BadInput(f"{asked}: no curve is called that{nearest(plain(key), (*KEYS, 'step'))}")
        name = there.get(column) or squashed.get(squash(column), "")
        if not name:
            known = [plain(name, 40) for name in sorted(there)[:50]]
            raise BadInput(
                f"{asked}: {shown(sheets[0].path)} has no column of that name{nearest(plain(column), known)}"
            )
        found[key] = name
    return found


@dataclass
class _Reading:
    """What is being put together for one run."""

    sheet: Sheet
    found: Ordered
    mapped: Mapped
    columns: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    """By the columns' own names."""


def assemble(sheet: Sheet, mapped: Mapped, unit: Unit | None) -> LoggedRun:
    """One run; its trace may hold no curve at all."""
    clock = clock_of(sheet, mapped.get("step"), unit)
    found = ordered(sheet, clock)
    notes = [*sheet.notes, *clock.notes, *found.notes]
    reading = _Reading(sheet, found, mapped, notes=notes, unread={**sheet.unread, **found.unread})
    trace = Trace()
    chosen = _choose(reading)
    percent = percent_of(
        {
            name: (found.mended[name].values, _meaning(key, name).percent or bool(sheet.columns[name].percent))
            for key, name in chosen.items()
            if _meaning(key, name).quantity in SHARES
        }
    )
    for key in KEYS:
        if key in chosen:
            _take(reading, trace, key, chosen[key], chosen[key] in percent)
    _keep_others(reading, trace)
    if clock.source:
        reading.columns["step"] = clock.source
    return LoggedRun(
        name=plain(sheet.name, 200),
        format=sheet.format,
        trace=trace,
        unit=clock.unit,
        columns=reading.columns,
        settings={**_constant(sheet), **sheet.settings},
        notes=tuple(dict.fromkeys(reading.notes))[:MAX_NOTES],
        unread={plain(name, 120): why for name, why in reading.unread.items()},
    )


def _choose(reading: _Reading) -> dict[str, str]:
    """The column of each key: what was mapped, else the preferred name; a single value is no curve if another is."""
    mended, mapped = reading.found.mended, reading.mapped
    named: dict[str, list[tuple[bool, tuple[int, ...], str]]] = {}
    for name in mended:
        means = meaning(name)
        if means is not None and name not in mapped.values():
            named.setdefault(means.key, []).append((len(mended[name].steps) < 2, means.rank, name))
    chosen = {}
    for key, name in mapped.items():
        if key == "step" or name not in reading.sheet.columns:
            continue
        if name not in mended:
            why = reading.unread.get(name, "is read as the steps")
            raise BadInput(f"--map {key}={plain(name)}: that column {why}; map a column of numbers.")
        chosen[key] = name
    for key in sorted(named.keys() - chosen.keys()):
        candidates = [name for _, _, name in sorted(named[key])]
        for name in candidates:
            reason = as_read(mended[name].values, _meaning(key, name)).refused
            if reason is None:
                chosen[key] = name
                break
            reading.unread[name] = reason
        left = [name for name in candidates if name not in reading.unread and name != chosen.get(key)]
        if left:
            reading.notes.append(f"{key} is {plain(chosen[key])}; {listed(left)} stays under its own name")
    return chosen


def _meaning(key: str, name: str) -> Meaning:
    """What a column says of itself where that fits its key, else what the key says."""
    found = meaning(name)
    if found is not None and found.key.split("/")[-1] == key.split("/")[-1]:
        return found
    return Meaning(key, key.split("/")[-1] if key in CURVES else key, ())


def _take(reading: _Reading, trace: Trace, key: str, name: str, percent: bool) -> None:
    """One curve into the trace."""
    mended = reading.found.mended[name]
    read = as_read(mended.values, _meaning(key, name), percent=percent)
    if read.refused is not None:
        raise BadInput(
            f"--map {key}={plain(name)}: that column {read.refused}; map a column that holds shares or percent."
        )
    if read.note:
        reading.notes.append(f"{key}: {plain(name)} {read.note}")
    mended.values = read.values
    reading.columns[key] = name
    _write(trace, key, mended)


def _keep_others(reading: _Reading, trace: Trace) -> None:
    """Every other column into the trace, under its own name."""
    taken = {*KEYS, "step"}
    for name, mended in reading.found.mended.items():
        own = plain(name, 120)
        if name in reading.columns.values() or name in reading.unread:
            continue
        if own in taken or not own:
            reading.unread[name] = "has the name that another column was read under"
            continue
        taken.add(own)
        _write(trace, own, mended)


def _write(trace: Trace, key: str, mended: Mended) -> None:
    for step, value in zip(mended.steps.tolist(), mended.values.tolist(), strict=True):
        trace.add(0, step, {key: value})


def _constant(sheet: Sheet) -> dict[str, float | int | str | bool]:
    """Hyper-parameters that stand in a column of their own, the same on every row."""
    found: dict[str, float | int | str | bool] = {}
    for name, column in sheet.columns.items():
        last = squash(name)
        key = next((key for key, spelled in COMMON.items() if last in spelled), None)
        if key in (None, "lr", "optimizer") or not column.values or min(column.values) != max(column.values):
            continue
        value = column.values[0]
        found.setdefault(str(key), int(value) if abs(value) < MAX_STEP and value == int(value) else value)
    return found
