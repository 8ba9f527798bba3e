"""Looking without a mark: modes, gradients and random numbers are afterwards what they were."""

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile`` and data-parallel wrappers, which share its parameters."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def plain_optimizer(optimizer: Any) -> Any:
    """The optimizer inside those of accelerate and Lightning, whose step is called once for each update."""
    while not isinstance(getattr(optimizer, "_optimizer_step_post_hooks", None), dict):
        inner = getattr(optimizer, "optimizer", None) or getattr(optimizer, "_optimizer", None)
        if inner is None or inner is optimizer:
            return optimizer
        optimizer = inner
    return optimizer


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """While it lasts the module evaluates, without gradient; afterwards all is as before.

    ``training`` is set on each submodule and set back, and ``train()`` is not called, because some modules change
    their weights in it. Random numbers of torch (CPU and the module's GPUs), NumPy and Python are put back. Code
    that ``torch.compile`` has made is left aside, so that nothing is compiled anew for the other mode. In a region
    of autocast the pass has the region's precision, and leaves none of its casts in the region's cache, where
    they would lack a gradient.
    """
    training = [part for part in module.modules() if part.training]
    devices = sorted(gpu.index for gpu in gpus(module))
    kind = next((p.device.type for p in module.parameters()), "cpu")
    kept = random.getstate(), np.random.get_state()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.no_grad())
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
        try:
            for part in training:
                part.training = False
            yield
        finally:
            for part in training:
                part.training = True
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def synchronised(module: nn.Module) -> None:
    """Wait for the module's GPUs, so that a look is not charged for the step before it."""
    for device in gpus(module):
        torch.cuda.synchronize(device)


def gpus(module: nn.Module) -> set[torch.device]:
    """Where the module's parameters are, if on GPUs."""
    if not torch.cuda.is_initialized():
        return set()
    return {p.device for p in module.parameters() if p.device.type == "cuda"}
