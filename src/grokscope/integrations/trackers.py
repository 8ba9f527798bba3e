"""Trackers that mirror the monitor's trace: ``Monitor(..., sinks=[TensorBoardSink("runs/tb")])``.

Each imports its client when it is made. A tracker that fails is told once and left aside; training goes on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The numbers that a tracker's store takes: all but NaN and infinities."""
    return {key: value for key, value in values.items() if value == value and abs(value) != float("inf")}


class TensorBoardSink:
    """Event files that TensorBoard shows.

    Args:
        folder: where they are written.
    """

    def __init__(self, folder: Path | str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each scalar."""
        for key, value in values.items():
            self.writer.add_scalar(key, value, step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class WandbSink:
    """A run of Weights & Biases.

    Our rows come at steps of their own, which need not be those of other calls of ``run.log``: they carry
    ``grokscope/step``, against which they are shown.

    Args:
        run: of ``wandb.init``; the current one where left out.
        prefix: before each key.
    """

    def __init__(self, run: Any = None, prefix: str = "grokscope/") -> None:
        if run is None:
            import wandb

            run = wandb.run
            if run is None:
                raise ValueError("there is no current run of wandb; call wandb.init first, or give run=.")
        self.run, self.prefix = run, prefix
        self.run.define_metric(f"{prefix}step")
        self.run.define_metric(f"{prefix}*", step_metric=f"{prefix}step")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self.run.log({f"{self.prefix}step": step} | {f"{self.prefix}{key}": value for key, value in values.items()})

    def close(self) -> None:
        """The run is its owner's to finish."""


class MlflowSink:
    """The active run of MLflow, or one by its id.

    Args:
        run_id: of the run.
    """

    def __init__(self, run_id: str | None = None) -> None:
        import mlflow

        self.mlflow, self.run_id = mlflow, run_id

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each finite scalar."""
        self.mlflow.log_metrics(finite(values), step=step, run_id=self.run_id)

    def close(self) -> None:
        """The run is its owner's to end."""


class TrackioSink:
    """The current run of trackio.

    Args:
        run: of ``trackio.init``; the current one where left out.
    """

    def __init__(self, run: Any = None) -> None:
        import trackio

        self.log = trackio.log if run is None else run.log

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self.log(dict(values), step=step)

    def close(self) -> None:
        """The run is its owner's to finish."""
