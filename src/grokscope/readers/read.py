"""Reading somebody else's log: the format is found by content, the columns by their names."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from grokscope.errors import BadInput
from grokscope.readers import databases, events, folders, huggingface, lightning, wandb
from grokscope.readers.assemble import assemble, check_mapped
from grokscope.readers.base import CURVES, LoggedRun, Unit
from grokscope.readers.delimited import read_delimited
from grokscope.readers.files import Budget, base, encoding_of, head, listed, plain, regular, shown, whole
from grokscope.readers.names import meaning
from grokscope.readers.objects import read_data, read_document, read_lines
from grokscope.readers.settings import read_json
from grokscope.readers.sheet import Sheet

FORMATS = "CSV, JSONL, JSON, TensorBoard, trainer_state.json, Lightning, W&B offline, MLflow and Trackio"
FOREIGN = {
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"BZh": "is compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "is compressed with xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: unpack it first",
    b"PK\x03\x04": "is a zip archive (a checkpoint is one too) and was not opened: name the log itself",
    b"PAR1": "is a Parquet file: write it as CSV first",
    b"\x89HDF": "is an HDF5 file: write its curves as CSV first",
    b"%PDF": "is a PDF: name the log itself",
    b"\x80": "looks like a pickle, which can run code and is never opened: name the log itself",
}


def read_log(
    path: str | os.PathLike[str], *, columns: Mapping[str, str] | None = None, unit: Unit | None = None
) -> list[LoggedRun]:
    """Read the training curves of a log that something else wrote; nothing in it is executed.

    Read: CSV (any common delimiter), JSONL, JSON, TensorBoard event files, Hugging Face's
    trainer_state.json, Lightning's metrics.csv, W&B's offline runs and chart exports, MLflow's file store and
    SQLite file, Trackio's SQLite file; or a folder that holds some of them.

    Args:
        path: a file or a folder.
        columns: the lab's key → the log's column, for names that are not recognised: {"test/accuracy":
            "my_acc", "step": "tick"}. Keys are those of CURVES and EXTRAS, and "step".
        unit: what the steps count where the log does not say, or which counter to use where it has both.

    Returns:
        One run for each run that the log holds and that has a curve; their keys are described at LoggedRun.

    Raises:
        BadInput: in one line, what is wrong with the log and what to do.
    """
    place = Path(path).expanduser()
    if unit not in (None, "step", "epoch"):
        raise BadInput(f"a log's unit is step or epoch, not {plain(unit)}.")
    try:
        sheets = _sheets(place, Budget())
        mapped = check_mapped(columns or {}, sheets)
        runs = [assemble(sheet, mapped, unit) for sheet in sheets]
    except PermissionError as fault:
        raise BadInput(f"{plain(fault.filename or place, 200)} may not be read: check its permissions.") from None
    except (OSError, ValueError) as fault:  # a name that the system does not take, a disk that does not answer
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise BadInput(f"{shown(place)} cannot be read: {plain(reason)}.") from None
    except (RecursionError, MemoryError):
        raise BadInput(f"{shown(place)} is nested too deeply or too large to be read: thin it out.") from None
    return _with_curves(runs, sheets, place)


def _sheets(path: Path, budget: Budget) -> list[Sheet]:
    if not os.path.lexists(path):
        raise BadInput(f"there is no file or folder {shown(path)}: check the path.")
    if path.is_dir():
        return _folder(path, budget)
    return read_file(path, budget)


def _folder(root: Path, budget: Budget) -> list[Sheet]:
    """The most telling format of a folder; others are named in a note."""
    found = folders.look(root)
    formats = {kind: paths for kind, paths in found.formats().items() if paths}
    if not formats:
        raise BadInput(f"{shown(root)} holds no log that can be read; read are {FORMATS}.")
    kind, paths = next(iter(formats.items()))
    sheets = _texts(root, paths, budget) if kind == "text" else folders.read_found(kind, paths, found, root, budget)
    others = [other for other in formats if other not in (kind, "text", "database")]
    if sheets and others:
        sheets[0].notes.append(f"the folder also holds logs of {listed(others)}; name them to read them")
    if not sheets:
        raise BadInput(f"{shown(root)} holds no run: those that were deleted are not read.")
    return sheets


def _texts(root: Path, paths: list[Path], budget: Budget) -> list[Sheet]:
    """The CSV and JSON files of a folder; those that cannot be read are named in a note, if another can."""
    sheets: list[Sheet] = []
    faults: list[BadInput] = []
    for path in paths:
        try:
            sheets += read_file(path, budget)
        except BadInput as fault:
            faults.append(fault)
    if not sheets:
        raise faults[0]
    for sheet in sheets:
        if sheet.path != root and len(paths) > 1:
            sheet.name = f"{base(root)}/{sheet.path.relative_to(root).parent / sheet.name}".replace("/./", "/")
    sheets[0].notes += [f"left out: {fault}" for fault in faults[:5]]
    return sheets


def read_file(path: Path, budget: Budget) -> list[Sheet]:
    """The runs of one file, by its first bytes."""
    size = regular(path, Budget())
    start = head(path)
    root = path.parent
    if size and events.is_events(start, path.name):
        return _as_file(events.read_events([path], root, budget), path)
    if not start.strip(b"\xef\xbb\xbf \t\r\n\0"):
        told = "is empty or begins with nothing but blanks"
        raise BadInput(f"{shown(path)} {told}: a log has at least a row with a step and a loss or accuracy.")
    if start.startswith(databases.MAGIC):
        return databases.read_database(path, budget)
    if start.startswith(wandb.MAGIC):
        return wandb.read_offline([path], path, budget)
    for magic, why in FOREIGN.items():
        if start.startswith(magic):
            raise BadInput(f"{shown(path)} {why}.")
    if b"\0" in start and encoding_of(start) != "utf-16":
        raise BadInput(f"{shown(path)} is a binary file of an unknown format; read are {FORMATS}.")
    return _text(path, start, budget)


def _as_file(sheets: list[Sheet], path: Path) -> list[Sheet]:
    for sheet in sheets:
        sheet.name = path.name
    return sheets


def _text(path: Path, start: bytes, budget: Budget) -> list[Sheet]:
    text = start.decode(encoding_of(start), errors="replace").lstrip()
    if text.startswith("["):
        return read_document(path, budget)
    if text.startswith("<"):
        raise BadInput(f"{shown(path)} looks like HTML or XML, which is no log; read are {FORMATS}.")
    if not text.startswith("{"):
        if lightning.is_lightning(path, text.split("\n", 1)[0]):
            return _as_file(lightning.read_lightning([path], path.parent, budget), path)
        return read_delimited(path, budget)
    if _is_lines(path, text):
        return read_lines(path, budget)
    try:
        data = read_json(whole(path, budget))
    except ValueError:
        return read_lines(path, budget)
    if huggingface.is_state(data) and isinstance(data, Mapping):
        return [huggingface.state_sheet(data, path.name, path, budget)]
    return read_data(data, path, budget)


def _is_lines(path: Path, text: str) -> bool:
    """Is the first line an object of its own, and is there another line?"""
    first, end, rest = text.partition("\n")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return True
    try:
        return isinstance(read_json(first), Mapping) and bool(end) and bool(rest.strip())
    except ValueError:
        return False


def _with_curves(runs: list[LoggedRun], sheets: list[Sheet], path: Path) -> list[LoggedRun]:
    """Runs that hold a curve; raises BadInput where none does."""
    kept = [run for run in runs if any(key in run.columns for key in CURVES)]
    if kept and len(kept) < len(runs):
        others = listed([run.name for run in runs if not any(key in run.columns for key in CURVES)], 4)
        note = f"runs without a loss or accuracy are left out: {others}"
        kept[0] = replace(kept[0], notes=(*kept[0].notes, note))
    if not kept:
        names = list(dict.fromkeys(name for sheet in sheets for name in sheet.columns))
        if not names:
            why = f" ({plain(sheets[0].notes[0], 200)})" if sheets[0].notes else ""
            raise BadInput(f"{shown(path)} holds no values yet{why}: run it for longer, or name another log.")
        refused = "; ".join(f"{k} {why}" for k, why in runs[0].unread.items() if meaning(k))
        raise BadInput(
            f"no column of {shown(path)} looks like a loss or accuracy: it has {listed(names)}"
            + (f" ({plain(refused, 200)})" if refused else "")
            + "; say which with --map test/accuracy=COLUMN."
        )
    return kept
