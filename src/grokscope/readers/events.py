"""TensorBoard's event files: every scalar of every file, nothing thinned out.

Read: files of records as torch's SummaryWriter, Keras and Lightning write them; scalars (``simple_value``)
and tensors of one number; several files of one folder are one run in the order in which they were begun
(a resumed run writes a new file); each folder is a run. Folders ``train`` and ``validation`` (or val, eval,
test) side by side are one run, as Keras writes them. A file that ends within a record gives what came before.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from grokscope.readers.files import Budget, base, head, optional, plain, regular
from grokscope.readers.settings import read_yaml, settings_of
from grokscope.readers.sheet import Sheet

MAX_RECORD = 64 << 20
TORN = "the last record is torn and was dropped"
DAMAGED = "a record is damaged; what follows it was not read"
CHECKED = 512
"""Bytes up to which a record's checksum is computed, in Python, 0.2 µs a byte; a scalar's record has about 60."""
SIDES = {"training": "train"} | {name: name for name in ("train", "validation", "val", "eval", "test")}


def is_events(start: bytes, name: str) -> bool:
    """Does a file begin as an event file, or is it called like one?"""
    return b"brain.Event:" in start[:128] or ".tfevents." in f".{name}"


def read_events(paths: list[Path], root: Path, budget: Budget) -> list[Sheet]:
    """The runs of some event files, which lie in ``root`` or below it."""
    _library("tensorboard.compat.proto.event_pb2")
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    runs: dict[Path, list[tuple[Path, str]]] = {}
    for folder in sorted(folders):
        below = {f for f in folders if f.parent == folder.parent and f.name.lower() in SIDES}
        merged = folder in below and folder != root and {SIDES[f.name.lower()] for f in below} > {"train"}
        run, prefix = (folder.parent, f"{SIDES[folder.name.lower()]}/") if merged else (folder, "")
        runs.setdefault(run, []).append((folder, prefix))
    found = []
    for run, parts in sorted(runs.items()):
        below_root = run.relative_to(root).parts if run.is_relative_to(root) else ()
        sheet = Sheet("/".join([base(root), *below_root]), "tensorboard", run, budget)
        for folder, prefix in parts:
            for path in sorted(folders[folder], key=_begun):
                _read(path, prefix, sheet, budget)
        sheet.settings |= settings_of(read_yaml(run / "hparams.yaml", budget, sheet.notes))
        found.append(sheet)
    return found


def _library(module: str) -> ModuleType:
    return optional(module, "tensorboard", "TensorBoard event files")


def _begun(path: Path) -> tuple[float, str]:
    """When a file was begun: the wall time of its first record, which is a float64 after the protobuf tag 0x09."""
    start = head(path, 64)
    if len(start) >= 21 and start[12] == 9:
        wall = struct.unpack_from("<d", start, 13)[0]
        if wall == wall:
            return wall, path.name
    return 0.0, path.name


def _read(path: Path, prefix: str, sheet: Sheet, budget: Budget) -> None:
    """Every scalar of one file; events hold the rest (graphs, texts, pictures) too."""
    event = _library("tensorboard.compat.proto.event_pb2").Event
    decode = _library("google.protobuf.message").DecodeError
    as_array = _library("tensorboard.util.tensor_util").make_ndarray
    regular(path, budget)
    fault = ""
    for record in _records(path):
        try:
            seen = event.FromString(record) if isinstance(record, bytes) else None
        except decode:
            seen, record = None, DAMAGED
        if seen is None:
            fault = str(record)
            break
        for value in seen.summary.value:
            scalar = _scalar(value, as_array)
            if scalar is not None:
                sheet.add([(prefix + value.tag, scalar)], step=seen.step)
    if fault:
        sheet.notes.append(f"{plain(path.name)}: {fault}")


def _records(path: Path) -> Iterator[bytes | str]:
    """The records: length (8 bytes), its checksum (4), data, the data's checksum (4); at a fault a word on it."""
    checksum = _library("tensorboard.compat.tensorflow_stub.pywrap_tensorflow").masked_crc32c
    with path.open("rb") as file:
        while before := file.read(12):
            if len(before) < 12:
                yield TORN
                return
            length, check = struct.unpack("<QI", before)
            if length > MAX_RECORD or checksum(before[:8]) != check:
                yield DAMAGED
                return
            data, after = file.read(length), file.read(4)
            if len(data) < length or len(after) < 4:
                yield TORN
                return
            if length <= CHECKED and checksum(data) != struct.unpack("<I", after)[0]:
                yield DAMAGED
                return
            yield data


def _scalar(value: Any, as_array: Callable[[Any], Any]) -> float | None:
    """A summary's number: a plain one, or a tensor that holds just one."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor":
        return None
    tensor = value.tensor
    if any(dim.size != 1 for dim in tensor.tensor_shape.dim) or len(tensor.tensor_content) > 16:
        return None
    try:
        numbers = as_array(tensor)
        return float(numbers.reshape(-1)[0]) if numbers.size == 1 and numbers.dtype.kind in "fiu" else None
    except (TypeError, ValueError, IndexError):
        return None
