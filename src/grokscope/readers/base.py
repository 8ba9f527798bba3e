"""What a reader gives: one run of somebody else's log, as a trace with the lab's keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from grokscope.trace import Trace

Unit = Literal["step", "epoch"]

CURVES = ("train/loss", "train/accuracy", "test/loss", "test/accuracy")
"""What events, phases and forecasts read; a log has some of them under names of its own."""

EXTRAS = ("norm/weights", "norm/gradient", "optimizer/lr")
"""What a forecast can use where a log has it."""


@dataclass(frozen=True)
class LoggedRun:
    """One run of a log.

    The trace has one member, 0. The keys of :data:`CURVES` and :data:`EXTRAS` hold what was recognised
    or mapped; every other numeric column keeps its own name. A value that is there but not finite stays
    as it is (a training loss of NaN is evidence); a blank one is missing.
    """

    name: str
    """The file, with the run's name where a file holds several."""
    format: str
    """csv, jsonl, json, tensorboard, huggingface, lightning, wandb, mlflow, trackio."""
    trace: Trace
    unit: Unit = "step"
    """What the trace's steps count."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Where each recognised key was read from."""
    settings: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    """Hyper-parameters that the log names: lr, weight_decay, optimizer, batch_size, max_steps, epochs …"""
    notes: tuple[str, ...] = ()
    """What was mended on the way: rows out of order, repeated steps, a resumed run, torn last line."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Columns that were left out, and why."""
