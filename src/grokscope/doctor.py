"""Is this installation sound? Each check says what was found and, where it is not, what to do."""

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    found: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def examine(store: Path) -> list[Check]:
    """All checks, in order."""
    checks: list[Callable[[], Check]] = [
        _python,
        _torch,
        _torchvision,
        _device,
        _bfloat16,
        _arithmetic,
        lambda: _store(store),
        _disk,
    ]
    return [check() for check in checks]


def _python() -> Check:
    return Check("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer")


def _torch() -> Check:
    import torch

    return Check("torch", True, f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} cores")


def _torchvision() -> Check:
    """The plain torchvision wheel breaks CPU builds of torch, and with it Lightning and transformers."""
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", True, "not installed (good: nothing here needs it)")
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # whatever it raises, the finding is that it does not import
        remedy = "pip uninstall torchvision; it does not fit this torch and breaks lightning and transformers"
        return Check("torchvision", False, f"cannot be imported ({type(error).__name__})", remedy)
    return Check("torchvision", True, "imports")


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", True, torch.cuda.get_device_name(0))
    return Check("device", True, "CPU only; every experiment runs on it")


def _bfloat16() -> Check:
    from grokscope.machine import bfloat16_units

    has = bfloat16_units()
    return Check(
        "bfloat16", True, "the processor multiplies it" if has else "emulated here: float32 is several times faster"
    )


def _arithmetic() -> Check:
    """One small product in float64 against a known answer: a broken BLAS is found here, not in a result."""
    import torch

    x = torch.arange(16, dtype=torch.float64).view(4, 4)
    ok = bool((x @ torch.eye(4, dtype=torch.float64) == x).all()) and float((x @ x).sum()) == 3920.0
    return Check("arithmetic", ok, "matrix products are right" if ok else "a 4 x 4 product is wrong", "reinstall torch")


def _store(store: Path) -> Check:
    folder = store if store.exists() else store.resolve().parent
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return Check("store", True, f"{store} can be written")
    except OSError as error:
        return Check("store", False, f"{store} cannot be written ({error.strerror})", "choose another with --store DIR")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Check("disk", free > 1, f"{free:.0f} GB free", "free at least 1 GB")
