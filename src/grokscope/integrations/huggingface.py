"""The monitor as a callback of Hugging Face's Trainer.

trainer = Trainer(..., callbacks=[GrokscopeCallback()])
"""

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from grokscope.errors import BadInput
from grokscope.monitor import Monitor
from grokscope.monitoring.journal import tell, why
from grokscope.monitoring.probe import rows_of
from grokscope.monitoring.untouched import untouched


class GrokscopeCallback(TrainerCallback):  # type: ignore[misc]
    """Watches a ``Trainer``: its optimizer's updates, its logs and its evaluations.

    Args:
        probe: a batch of training rows, collated, with ``labels``; ``rows`` rows of the training set where left out.
        rows: of that probe.
        stop: let the advice end the training (``Monitor.should_stop``).
        patience: of that, in steps.
        quiet: do not print the advice at the end.
        settings: of :class:`grokscope.Monitor`.
    """

    def __init__(
        self,
        probe: Any = None,
        *,
        rows: int = 64,
        stop: bool = False,
        patience: int | None = None,
        quiet: bool = False,
        **settings: Any,
    ) -> None:
        self.probe, self.rows, self.stop, self.patience, self.quiet = probe, rows, stop, patience, quiet
        self.settings = settings
        self.monitor: Monitor | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the monitor, of what the Trainer trains."""
        model, optimizer = kwargs["model"], kwargs.get("optimizer")
        known = {
            "budget": state.max_steps or None,
            "clipped": bool(args.max_grad_norm),
            "start": state.global_step,
        }
        probe = self.probe
        try:
            if probe is None:
                with untouched(model):  # rows of a data set may be drawn at random
                    probe = rows_of(kwargs.get("train_dataloader"), self.rows)
            self.monitor = Monitor(model, optimizer, probe, **known | self.settings)
        except Exception as error:
            if isinstance(error, BadInput) and self.probe is not None:
                raise
            tell(f"the training set gives no probe, so it watches without one. {why(error)}")
            self.monitor = Monitor(model, optimizer, **known | self.settings)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Gradients are there, clipped."""
        if self.monitor is not None:
            self.monitor.before_step()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An update is done."""
        if self.monitor is not None:
            self.monitor.step(step=state.global_step)
            if self.stop and self.monitor.should_stop(self.patience):
                control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """What the Trainer logs; its last row is of the whole training, and of no step."""
        if self.monitor is not None and logs and "train_runtime" not in logs and "eval_runtime" not in logs:
            self.monitor.log(logs, step=state.global_step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Held-out numbers: ``eval_loss``, ``eval_accuracy`` and whatever ``compute_metrics`` gives."""
        if self.monitor is not None and metrics:
            self.monitor.log(metrics, step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A last look, and the advice."""
        if self.monitor is not None:
            self.monitor.close()
            if not self.quiet and state.is_world_process_zero:
                print(self.monitor.sentence())
