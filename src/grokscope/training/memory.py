"""Memory: kept between steps, and predicted before it is used."""

import ctypes
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from grokscope.experiment import Experiment
from grokscope.training.members import Lane

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # numbers of glibc's mallopt
KEEP_BELOW = 32 * 2**20
"""Blocks smaller than this stay with the process when they are freed; glibc allows no larger value."""


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep what a step frees for the next step.

    By default large blocks go back to the kernel at once, and each step faults the same megabytes in
    again page by page: a fifth of the time of a step on large matrices, and most of its spread. Where
    the C library is another one nothing happens.

    Returns:
        Whether the library took the settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_THRESHOLD, KEEP_BELOW), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2 * KEEP_BELOW))
    return all([mallopt(number, value) == 1 for number, value in settings])


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads of torch, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def member_bytes(experiment: Experiment, device: str = "cpu") -> int:
    """What one member of a lane occupies while it takes a step, in bytes: measured on a member that is thrown away.

    Weights, gradient and optimizer state; what the forward pass keeps for the backward pass, and twice
    its largest part for what the backward pass makes of it; and the logits of a look at the whole table,
    which one member at a time takes, twice over.
    """
    with threads(1):
        return _measured(Lane([(0, experiment)], device))


def _measured(lane: Lane) -> int:
    own = sum(t.numel() * t.element_size() for t in (lane.theta_SP, lane.grad_SP, *lane.tensors().values()))
    known = {t.untyped_storage().data_ptr() for t in (lane.theta_SP, *lane.batch())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        lane.step()
    rows, read = lane.encoding.targets_NR.shape
    with torch.no_grad():
        outputs = lane.probe(lane.encoding.tokens_NL[:1]).shape[-1]
    look = 2 * rows * read * outputs * lane.theta_SP.element_size()
    return own + sum(kept.values()) + 2 * max(kept.values(), default=0) + look


def peak_bytes(call: Callable[[], object]) -> int | None:
    """How far the resident memory of this process rises above its start while ``call`` runs, in bytes.

    Everything counts, torch's memory and numpy's; what was freed before is given back first. None where
    the kernel does not keep a high-water mark (it does on Linux).
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew
    except (OSError, AttributeError):
        call()
        return None
    before = _resident("VmRSS:")
    call()
    return max(0, _resident("VmHWM:") - before)


def _resident(field: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in _lines("/proc/self/status") if line.startswith(field))


def free_bytes(device: str = "cpu") -> int:
    """Memory that can be taken now: of the GPU, or of this machine within the limit of its container."""
    if device != "cpu":
        return int(torch.cuda.mem_get_info(device)[0])
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit, used = _lines("/sys/fs/cgroup/memory.max"), _lines("/sys/fs/cgroup/memory.current")
    if limit and used and limit[0] != "max":
        free = min(free, int(limit[0]) - int(used[0]))
    return free


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
