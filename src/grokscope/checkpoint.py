"""Checkpoints: weights and optimizer state of a lane's members in one safetensors file, with a digest.

A file counts only when the run's database names it and its SHA-256 agrees; the database row is
written together with the trace up to that step, so checkpoint and trace never disagree.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """A saved state: which members, at which step, where, and what else is needed to go on."""

    lane: int
    step: int
    members: tuple[int, ...]
    file: str
    sha256: str
    state: Mapping[str, Any] = field(default_factory=dict)
    """Plain data: schedules and event trackers of the members."""


class Corrupt(Exception):
    """A checkpoint's file is missing or not what was written."""


def file_name(step: int, members: tuple[int, ...]) -> str:
    """``step_00000400.m0000-0003.safetensors``."""
    span = f"m{members[0]:04d}" + (f"-{members[-1]:04d}" if len(members) > 1 else "")
    return f"step_{step:08d}.{span}.safetensors"


def write(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> str:
    """Write atomically (a killed write leaves no file of that name) and return the SHA-256."""
    data = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.{os.getpid()}.part"
    with part.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(folder / name)
    return hashlib.sha256(data).hexdigest()


def read(folder: Path, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a checkpoint.

    Raises:
        Corrupt: the file is missing, changed or unreadable.
    """
    try:
        data = (folder / checkpoint.file).read_bytes()
    except OSError as error:
        raise Corrupt(f"{checkpoint.file} cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
        raise Corrupt(f"{checkpoint.file} is not what was written (its SHA-256 differs)")
    try:
        return load(data)
    except SafetensorError as error:
        raise Corrupt(f"{checkpoint.file} is not a safetensors file ({error})") from None
