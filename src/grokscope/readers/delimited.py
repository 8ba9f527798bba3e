"""CSV and its relatives: comma, semicolon, tab, bar or blanks between fields; also W&B's and TensorBoard's charts.

Read: a header line, comment lines that begin with #, a byte order mark, UTF-8 or UTF-16, quoted fields,
decimal commas where the delimiter is not a comma. A file whose rows name several runs (run, run_name,
run_id, member, seed) gives one run for each.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grokscope.errors import BadInput
from grokscope.readers.files import MAX_COLUMNS, Budget, head, lines, listed, plain, regular, shown
from grokscope.readers.names import RUNS, squash, step_rank
from grokscope.readers.sheet import Sheet, Sheets, number

DELIMITERS = (",", ";", "\t", "|", " ")
SAMPLE = 30
SAMPLE_SIZE = 1 << 18
"""Lines and characters that the delimiter is guessed from."""
TENSORBOARD = ["Wall time", "Step", "Value"]
"""The columns of a chart saved from TensorBoard, as ``run-RUN-tag-TAG.csv``: its tag is in its name."""
LIMITS = ("__MIN", "__MAX")
"""Ends of the columns that W&B exports beside each metric."""
WANDB_TIMES = ("relativetimeprocess", "relativetimewall", "relativetime", "walltime")
"""What else the axis of an exported chart may be; no steps can be read from it."""


def read_delimited(path: Path, budget: Budget) -> list[Sheet]:
    """The runs of a CSV file."""
    regular(path, budget)
    text = _Text(path)
    try:
        return _read(path, text, budget)
    except csv.Error as fault:
        raise BadInput(f"{shown(path)} is no CSV that can be read: {plain(fault)}.") from None


@dataclass
class _Text:
    """The lines of the file without comments and blank lines; remembers the last comment and a torn end."""

    path: Path
    comment: str = ""
    torn: bool = False
    """The last line has no end."""
    sample: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rest = self._clean()
        size = 0
        while len(self.sample) < SAMPLE and size < SAMPLE_SIZE and (line := next(self._rest, "")):
            self.sample.append(line)
            size += len(line)

    def _clean(self) -> Iterator[str]:
        begun = False
        for line in lines(self.path, head(self.path, 4)):
            self.torn = not line.endswith(("\n", "\r"))
            if line.lstrip().startswith("#"):
                if not begun:
                    self.comment = line.strip().lstrip("#").strip() or self.comment
                continue
            if line.strip():
                begun = True
                yield line

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(self.sample, self._rest)


def _split(texts: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    if delimiter == " ":
        return csv.reader((" ".join(text.split()) for text in texts), delimiter=" ")
    return csv.reader(texts, delimiter=delimiter, skipinitialspace=True)


def sniff(sample: list[str]) -> str:
    """The delimiter that cuts the first lines into fields, the same number on each line.

    >>> sniff(["step;loss", "1;0,5", "2;0,25"])
    ';'
    """
    scores = []
    for rank, delimiter in enumerate(DELIMITERS):
        try:
            widths = Counter(len(row) for row in _split(sample, delimiter) if row)
        except csv.Error:
            continue
        if widths:
            width, often = widths.most_common(1)[0]
            scores.append((width > 1, often / widths.total(), -rank, delimiter))
    return max(scores, default=(False, 0.0, 0, ","))[3]


def _read(path: Path, text: _Text, budget: Budget) -> list[Sheet]:
    if not text.sample:
        raise BadInput(f"{shown(path)} holds no rows: nothing but blank lines and comments.")
    delimiter = sniff(text.sample)
    rows = _split(text, delimiter)
    header = next(rows, [])
    notes: list[str] = []
    if len(header) > MAX_COLUMNS:
        raise BadInput(f"{shown(path)} has more than {MAX_COLUMNS:,} columns: keep those of loss and accuracy.")
    if header and all(number(cell, comma=delimiter != ",") is not None for cell in header):
        named = next(iter(_split([text.comment], delimiter)), [])
        rows = itertools.chain([header], rows)
        header = named if len(named) == len(header) else [f"column {i + 1}" for i in range(len(header))]
    names = _names(header, notes)
    if names == TENSORBOARD:
        names = ["wall time", "step", path.stem.rpartition("-tag-")[2]]
    if exported := _wandb_columns(names):
        return _wandb_export(path, exported, names, _whole_rows(rows, len(names), text, notes), budget, notes)
    sheets = Sheets(path.name, "csv", path, budget)
    marks = [i for run in RUNS for i, name in enumerate(names) if name.strip().lower() == run]
    comma = delimiter != ","
    for row in _whole_rows(rows, len(names), text, notes):
        run = tuple(row[i] if i < len(row) else "" for i in marks)
        sheets.of(run).add(zip(names, row, strict=False), comma=comma)
    return _noted(sheets.all(), notes, path)


def _noted(sheets: list[Sheet], notes: list[str], path: Path) -> list[Sheet]:
    if not sheets:
        raise BadInput(f"{shown(path)} has a header and no rows yet: run it for longer, or name another file.")
    for sheet in sheets:
        sheet.notes += notes
    return sheets


def _names(header: list[str], notes: list[str]) -> list[str]:
    """Column names, blank ones numbered and repeated ones told apart."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for i, cell in enumerate(header):
        name = cell.strip() or f"column {i + 1}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    if twice := [name for name, often in seen.items() if often > 1]:
        notes.append(f"columns of the same name were numbered: {listed(twice, 4)}")
    return names


def _whole_rows(rows: Iterable[list[str]], width: int, text: _Text, notes: list[str]) -> Iterator[list[str]]:
    """Rows without a torn last one; those that are longer or shorter than the header are counted."""
    odd = 0
    row: list[str] | None = None
    for following in itertools.chain(rows, [None]):
        if row:
            if following is None and text.torn and len(row) < width:
                notes.append("the last line is torn and was dropped")
                break
            odd += len(row) != width
            yield row
        row = following
    if odd:
        notes.append(f"{odd} {'rows have' if odd > 1 else 'row has'} more or fewer fields than the header")


def _wandb_columns(names: list[str]) -> dict[int, tuple[str, str]]:
    """{column: (run, metric)} of a chart exported from W&B: ``<run> - <metric>`` and its ``__MIN`` and ``__MAX``.

    Runs of W&B may share their name; the second of them is told apart by the number that its columns have here.
    """
    rest = [(i, name) for i, name in enumerate(names) if step_rank(name) is None and squash(name) not in WANDB_TIMES]
    if not rest or not all(" - " in name for _, name in rest):
        return {}
    found = {}
    for i, name in rest:
        bare, number = _numbered(name, names)
        run, _, metric = bare.rpartition(" - ")
        if not metric.endswith(LIMITS):
            found[i] = (run + number, metric)
    return found


def _numbered(name: str, names: list[str]) -> tuple[str, str]:
    """A name and the number that it got here: ``a - loss (2)`` is ``a - loss`` and `` (2)`` where both are there."""
    bare, mark, number = name.rpartition(" (")
    return (bare, mark + number) if mark and bare in names else (name, "")


def _wandb_export(
    path: Path,
    exported: dict[int, tuple[str, str]],
    names: list[str],
    rows: Iterable[list[str]],
    budget: Budget,
    notes: list[str],
) -> list[Sheet]:
    sheets = Sheets(path.name, "wandb", path, budget)
    clocks = [(i, name) for i, name in enumerate(names) if step_rank(name) is not None]
    runs: dict[str, list[tuple[int, str]]] = {}
    for i, (run, metric) in exported.items():
        runs.setdefault(run, []).append((i, metric))
    for row in rows:
        for run, columns in runs.items():
            cells = [(name, row[i]) for i, name in columns if i < len(row) and row[i].strip()]
            if cells:
                sheets.of((run,)).add([*((name, row[i]) for i, name in clocks if i < len(row)), *cells])
    dropped = sum(_numbered(name, names)[0].endswith(LIMITS) for name in names)
    if dropped:
        notes.append(f"{dropped} __MIN and __MAX columns of the export dropped")
    found = sheets.all()
    for (own,), sheet in sheets.found.items():
        sheet.name = f"{path.name} {plain(own)}" if len(found) > 1 else path.name
    return _noted(found, notes, path)
