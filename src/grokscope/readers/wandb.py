"""W&B's offline runs (wandb 0.31): ``offline-run-*/run-*.wandb``.

A .wandb file is a log of LevelDB's kind: a header of 7 bytes, blocks of 32 KiB, in them pieces of records
(checksum, length, type), a record being a protobuf message ``Record``. History, configuration and name are
read, and what the command line said where the configuration does not say it; ``files/config.yaml`` and
``files/wandb-metadata.json`` too, which other versions of the client write beside it. ``_step`` counts calls
of ``log``; where the training loop logs a step of its own, that one is used. Folders of the same run id (a
resumed run) are one run.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grokscope.errors import BadInput
from grokscope.readers.files import Budget, base, optional, plain, regular, whole
from grokscope.readers.settings import arguments, leaves, read_json, read_yaml, settings_of
from grokscope.readers.sheet import Sheet

MAGIC = b":W&B"
HEADER, BLOCK, PIECE = 7, 32768, 7
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
MAX_RECORD = 64 << 20
MAX_METADATA = 1 << 20


def read_offline(paths: list[Path], root: Path, budget: Budget) -> list[Sheet]:
    """One run for each run id; files in the order of their folders' names, which begin with the time."""
    record = optional("wandb.proto.wandb_internal_pb2", "wandb", "W&B offline runs").Record
    runs: dict[str, Sheet] = {}
    for path in sorted(paths, key=lambda path: (path.parent.name, path.name)):
        name = path.stem.removeprefix("run-")
        if name not in runs:
            runs[name] = Sheet(name, "wandb", path, budget)
        _read(path, record, runs[name], budget)
    for sheet in runs.values():
        sheet.name = f"{base(root)} {sheet.name}" if len(runs) > 1 else base(root)
    return list(runs.values())


def _read(path: Path, record: Any, sheet: Sheet, budget: Budget) -> None:
    decode = optional("google.protobuf.message", "wandb", "W&B offline runs").DecodeError
    regular(path, budget)
    config: dict[str, object] = {}
    said = _command(path.parent / "files" / "wandb-metadata.json", budget)
    before = read_yaml(path.parent / "files" / "config.yaml", budget, sheet.notes)
    if isinstance(before, dict):
        config |= {str(k): v.get("value") if isinstance(v, dict) and "value" in v else v for k, v in before.items()}
    for data in _records(path, sheet):
        try:
            seen = record.FromString(data)
        except decode:
            sheet.notes.append(f"{plain(path.name)}: a record is damaged and left out")
            continue
        kind = seen.WhichOneof("record_type")
        if kind == "history":
            _row(seen.history, sheet)
        elif kind == "run":
            sheet.name = plain(seen.run.display_name or seen.run.run_id or sheet.name)
            config |= _items(seen.run.config.update)
        elif kind == "config":
            config |= _items(seen.config.update)
        elif kind == "environment":
            said |= arguments(seen.environment.args)
    config = {k: v for k, v in config.items() if k not in ("_wandb", "wandb_version")}
    sheet.settings |= settings_of(said) | settings_of(config)


def _command(path: Path, budget: Budget) -> dict[str, object]:
    """The arguments that a run was started with, as its metadata has them."""
    try:
        data = read_json(whole(path, budget, MAX_METADATA)) if path.is_file() else None
    except (ValueError, BadInput):
        return {}
    words = data.get("args") if isinstance(data, dict) else None
    return arguments(words) if isinstance(words, list) else {}


def _row(history: Any, sheet: Sheet) -> None:
    cells = list(leaves(_items(history.item)))
    if history.HasField("step") and not any(name == "_step" for name, _ in cells):
        cells.append(("_step", history.step.num))
    sheet.add(cells)


def _items(items: Any) -> dict[str, object]:
    """Names and values of history or configuration; a value that is no JSON is left out."""
    found: dict[str, object] = {}
    for item in items:
        name = item.key or "/".join(item.nested_key)
        try:
            found[name] = read_json(item.value_json)
        except ValueError:
            continue
    return found


def _records(path: Path, sheet: Sheet) -> Iterator[bytes]:
    """The records that are whole; a torn or damaged piece ends the reading, with a note."""
    parts: list[bytes] = []
    at = HEADER
    with path.open("rb") as file:
        file.seek(HEADER)
        while True:
            if BLOCK - at % BLOCK < PIECE:  # too little for a piece: the block ends with zeros
                at += len(file.read(BLOCK - at % BLOCK))
            start = file.read(PIECE)
            at += len(start)
            if not start:
                break
            if len(start) < PIECE:
                parts = [start]
                break
            length, kind = struct.unpack_from("<HB", start, 4)
            data = file.read(length)
            at += len(data)
            whole = (
                len(data) == length and zlib.crc32(data, zlib.crc32(start[6:])) == struct.unpack_from("<I", start)[0]
            )
            if not whole or kind not in (WHOLE, FIRST, MIDDLE, LAST) or sum(map(len, parts)) > MAX_RECORD:
                parts = [start]
                break
            if kind in (WHOLE, FIRST):
                parts = []
            parts.append(data)
            if kind in (WHOLE, LAST):
                yield b"".join(parts)
                parts = []
    if parts:
        sheet.notes.append(f"{plain(path.name)}: it ends within a record, or one is damaged; what came before was read")
