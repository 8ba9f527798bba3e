"""The monitor in a loop that accelerate prepares.

model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
monitor = watch(accelerator, model, optimizer, probe=(inputs, targets))
for x, y in loader:
    with accelerator.accumulate(model):
        ...
        monitor.step(loss)
"""

from typing import Any

from accelerate import Accelerator

from grokscope.monitor import Monitor


def watch(accelerator: Accelerator, model: Any, optimizer: Any, probe: Any = None, **settings: Any) -> Monitor:
    """A monitor of prepared objects: of the module inside the wrappers, and of real updates alone.

    Updates that accumulation or a gradient scaler leave out are not counted. Each process calls it.

    Args:
        accelerator: that prepared them.
        model: prepared.
        optimizer: prepared, one or a list.
        probe: a batch of training rows, as :class:`grokscope.Monitor` takes it.
        settings: of :class:`grokscope.Monitor`.
    """
    module = accelerator.unwrap_model(model)
    settings.setdefault("distributed", None if accelerator.num_processes > 1 else False)
    return Monitor(module, optimizer, probe, **settings)
