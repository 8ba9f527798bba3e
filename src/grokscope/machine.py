"""What a number was measured on: processor, cores, versions, and the commit of the folder one works in."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def versions() -> dict[str, str]:
    """Of Python, torch and this package."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    try:
        found["grokscope"] = version("grokscope")
    except PackageNotFoundError:
        found["grokscope"] = "not installed"
    return found


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def vector_units() -> str:
    """The widest instructions that torch uses here, and whether bfloat16 products have units of their own."""
    has = "with" if bfloat16_units() else "no"
    return f"{torch.backends.cpu.get_cpu_capability()}, {has} bfloat16 units"


def bfloat16_units() -> bool:
    """Whether the processor multiplies bfloat16 itself (AMX, AVX-512, Arm); without, it is slower than float32."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    names = ("flags", "Features")
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(names)), [])
    return bool({"amx_bf16", "avx512_bf16", "bf16"} & set(flags))


def git() -> dict[str, Any] | None:
    """Commit of the folder the user works in, and whether it has uncommitted changes."""
    if shutil.which("git") is None:
        return None
    ask = lambda *args: subprocess.run(["git", *args], capture_output=True, text=True, check=False)  # noqa: E731
    head = ask("rev-parse", "HEAD")
    if head.returncode:
        return None
    return {"commit": head.stdout.strip(), "dirty": bool(ask("status", "--porcelain").stdout.strip())}
