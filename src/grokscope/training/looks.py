"""Weights kept at each look until the run is finished, for the measures that need hindsight.

One append-only file per member, ``looks/m0003.bin``: records of (step, P floats). A record that a
kill has torn is cut off on opening; on resume, so are the records after the checkpoint.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class LookFile:
    """The kept weights of one member.

    Args:
        folder: the run's folder.
        member: its number.
        like: a row of weights, for size and dtype.
    """

    def __init__(self, folder: Path, member: int, like: Tensor) -> None:
        self.path = folder / "looks" / f"m{member:04d}.bin"
        floats = like.cpu().numpy().dtype
        self.record = np.dtype([("step", "<i8"), ("theta", floats, (like.numel(),))])

    def truncate(self, after: int) -> None:
        """Forget the looks later than step ``after``, and a torn record at the end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        steps = [step for step, _ in self] if self.path.exists() else []
        keep = sum(step <= after for step in steps)
        with self.path.open("ab") as out:
            out.truncate(keep * self.record.itemsize)

    def append(self, step: int, theta_P: Tensor) -> None:
        """Keep the weights of a look."""
        row = np.zeros(1, dtype=self.record)
        row["step"] = step
        row["theta"] = theta_P.detach().cpu().numpy()
        with self.path.open("ab") as out:
            out.write(row.tobytes())

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        whole = self.path.stat().st_size // self.record.itemsize
        if not whole:
            return
        for row in np.memmap(self.path, dtype=self.record, mode="r", shape=(whole,)):
            yield int(row["step"]), torch.from_numpy(np.array(row["theta"]))


def remove_looks(folder: Path, member: int) -> None:
    """Delete a finished member's looks; the folder too when they were the last ones."""
    path = folder / "looks" / f"m{member:04d}.bin"
    path.unlink(missing_ok=True)
    if path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()
