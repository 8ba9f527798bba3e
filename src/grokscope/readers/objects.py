"""JSON: one object per line, a list of objects, or lists side by side; nested names joined with a slash.

Rows need not have the same fields: a Trainer writes training and evaluation on different lines. Also read:
``trackio get metric --json`` (project, run, metric, values) and Trackio's JSONL fragments (kind, run,
metrics, step).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from grokscope.errors import BadInput
from grokscope.readers.files import Budget, head, lines, plain, regular, shown, whole
from grokscope.readers.names import RUNS
from grokscope.readers.settings import leaves, read_json, settings_of
from grokscope.readers.sheet import Sheet, Sheets

CONFIGS = ("config", "args", "hparams", "hyperparameters", "params")
"""Objects of a row that hold settings, not measurements."""


def read_lines(path: Path, budget: Budget) -> list[Sheet]:
    """The runs of a JSONL file; a last line that was cut off is dropped."""
    regular(path, budget)
    sheets = Sheets(path.name, "jsonl", path, budget)
    rows = Rows(sheets)
    bad = good = 0
    torn = ""
    for line in lines(path, head(path, 4)):
        if not line.strip():
            continue
        try:
            row = read_json(line)
        except ValueError:
            row = None
        if isinstance(row, Mapping):
            rows.add(row)
            good += 1
        else:
            bad += 1
            torn = line
    notes = []
    if bad and torn and not torn.endswith(("\n", "\r")):
        bad -= 1
        notes.append("the last line is torn and was dropped")
    if bad > good:
        raise BadInput(
            f"{shown(path)}: {bad} of {bad + good} lines are no JSON objects; a JSONL log has one on each line."
        )
    if bad:
        notes.append(f"{bad} {'lines are' if bad > 1 else 'line is'} no JSON object and left out")
    return _noted(sheets, notes, path)


def read_document(path: Path, budget: Budget) -> list[Sheet]:
    """The runs of a plain JSON file: a list of rows, lists by name, or an object that holds one of these."""
    text = whole(path, budget)
    try:
        data = read_json(text)
    except ValueError as fault:
        raise BadInput(f"{shown(path)} is no JSON: {plain(fault)}.") from None
    del text
    return read_data(data, path, budget)


def read_data(data: object, path: Path, budget: Budget) -> list[Sheet]:
    """The same of what was parsed already."""
    sheets = Sheets(path.name, "json", path, budget)
    rows = Rows(sheets)
    for row in _rows_of(data, path):
        rows.add(row)
    if isinstance(data, Mapping):
        rows.settle({name: data[name] for name in CONFIGS if isinstance(data.get(name), Mapping)})
    return _noted(sheets, [], path)


def _noted(sheets: Sheets, notes: list[str], path: Path) -> list[Sheet]:
    found = sheets.all()
    if not found:
        raise BadInput(f'{shown(path)} holds no rows: a log has one object for each step, such as {{"step": 1}}.')
    for sheet in found:
        sheet.notes += notes
    return found


class Rows:
    """Objects on their way into sheets: flattened, settings aside, the run they name remembered."""

    def __init__(self, sheets: Sheets) -> None:
        self.sheets = sheets
        self._run = [""] * len(RUNS)

    def add(self, row: Mapping[str, object]) -> None:
        """One object; one that names no run is of the run of the object before."""
        if row.get("kind") in ("system_metric", "alert") and "run" in row:  # other lines of Trackio's inbox
            return
        row = _fragment(row)
        for i, name in enumerate(RUNS):
            if isinstance(row.get(name), str | int) and not isinstance(row[name], bool):
                self._run[i] = str(row[name])
        configs = {name: row[name] for name in CONFIGS if isinstance(row.get(name), Mapping)}
        cells = list(leaves({k: v for k, v in row.items() if k not in configs}))
        sheet = self.sheets.of(tuple(self._run))
        if cells:
            sheet.add(cells)
        for config in configs.values():
            sheet.settings |= settings_of(config)

    def settle(self, configs: Mapping[str, object]) -> None:
        """Settings that stand beside the rows."""
        for sheet in self.sheets.found.values():
            for config in configs.values():
                sheet.settings |= settings_of(config)


def _fragment(row: Mapping[str, object]) -> Mapping[str, object]:
    """A line of Trackio's inbox as a row: its metrics beside step and run."""
    metrics = row.get("metrics")
    if not isinstance(metrics, Mapping):
        return row
    return {**{k: v for k, v in row.items() if k not in ("metrics", "v")}, **metrics}


def _rows_of(data: object, path: Path) -> Iterator[Mapping[str, object]]:
    if isinstance(data, list):
        good = 0
        for row in data:
            if isinstance(row, Mapping):
                good += 1
                yield row
        if not good and data:
            raise BadInput(f'{shown(path)} is a list without objects: a log is a list of rows such as {{"step": 1}}.')
        return
    if not isinstance(data, Mapping):
        raise BadInput(f"{shown(path)} holds one {type(data).__name__}: a log is a list of rows, or lists by name.")
    values = data.get("values")
    if isinstance(data.get("metric"), str) and isinstance(values, list):  # trackio get metric --json
        for row in values:
            if isinstance(row, Mapping):
                yield {"step": row.get("step"), str(data["metric"]): row.get("value"), "run": data.get("run")}
        return
    tables = [v for v in data.values() if isinstance(v, list) and v and isinstance(v[0], Mapping)]
    if len(tables) == 1:
        yield from _rows_of(tables[0], path)
        return
    lists = {str(k): v for k, v in leaf_lists(data)}
    if not lists:
        yield data
        return
    for i in range(max(len(values) for values in lists.values())):
        yield {name: values[i] for name, values in lists.items() if i < len(values)}


def leaf_lists(data: Mapping[str, object]) -> Iterator[tuple[str, list[object]]]:
    """Lists of numbers by name, as ``History.history`` of Keras has them, one level of nesting allowed."""
    for name, value in data.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        for below, values in inner:
            if isinstance(values, list) and not any(isinstance(v, list | Mapping) for v in values):
                yield (f"{name}/{below}" if below else name), values
