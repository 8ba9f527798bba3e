"""A laboratory and monitor for grokking, the delayed generalisation of neural networks.

The public names are loaded when first used, so that ``import grokscope`` and ``grokscope --help``
do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grokscope.catalog import EXPERIMENTS, find_experiment
    from grokscope.diagnosis import Diagnosis, diagnose
    from grokscope.errors import BadInput, RunFailed
    from grokscope.experiment import Experiment
    from grokscope.monitor import Monitor
    from grokscope.phases import Phases, read_phases
    from grokscope.readers import read_log
    from grokscope.runs import Diverged, Run, load, resume, run
    from grokscope.sweeps.diagram import Diagram, sweep
    from grokscope.trace import Trace

__version__ = "0.1.0"

_HOME = {
    "EXPERIMENTS": "catalog",
    "find_experiment": "catalog",
    "BadInput": "errors",
    "RunFailed": "errors",
    "Experiment": "experiment",
    "Monitor": "monitor",
    "Phases": "phases",
    "read_phases": "phases",
    "read_log": "readers",
    "diagnose": "diagnosis",
    "Diagnosis": "diagnosis",
    "Diagram": "sweeps.diagram",
    "Diverged": "runs",
    "Run": "runs",
    "load": "runs",
    "reproduce": "reproduction.reproduce",
    "resume": "runs",
    "run": "runs",
    "sweep": "sweeps.diagram",
    "Trace": "trace",
}

__all__ = [
    "EXPERIMENTS",
    "BadInput",
    "Diagnosis",
    "Diagram",
    "Diverged",
    "Experiment",
    "Monitor",
    "Phases",
    "Run",
    "RunFailed",
    "Trace",
    "diagnose",
    "find_experiment",
    "load",
    "read_log",
    "read_phases",
    "reproduce",
    "resume",
    "run",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"grokscope.{_HOME[name]}"), name)
    raise AttributeError(f"module 'grokscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
