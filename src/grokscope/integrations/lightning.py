"""The monitor as a callback of Lightning's Trainer.

trainer = Trainer(..., callbacks=[GrokscopeCallback()])
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from grokscope.errors import BadInput
from grokscope.monitor import Monitor
from grokscope.monitoring.journal import tell, why
from grokscope.monitoring.probe import rows_of
from grokscope.monitoring.untouched import untouched


class GrokscopeCallback(Callback):  # type: ignore[misc]
    """Watches a ``Trainer``: its optimizers' updates, its losses and its validation.

    The module's ``forward`` gives the logits of a batch's inputs, or ``read`` takes them from what it gives.

    Args:
        probe: (inputs, targets) of training rows; ``rows`` rows of the training set where left out.
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
        rows: int = 512,
        stop: bool = False,
        patience: int | None = None,
        quiet: bool = False,
        **settings: Any,
    ) -> None:
        self.probe, self.rows, self.stop, self.patience, self.quiet = probe, rows, stop, patience, quiet
        self.settings = settings
        self.monitor: Monitor | None = None
        self._state: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the monitor, of what the Trainer trains."""
        known = {
            "budget": trainer.max_steps if trainer.max_steps > 0 else None,
            "clipped": trainer.gradient_clip_val is not None,
            "start": trainer.global_step,
        }
        probe = self.probe
        try:
            if probe is None:
                with untouched(pl_module):  # rows of a data set may be drawn at random
                    probe = rows_of(trainer.train_dataloader, self.rows)
            self.monitor = Monitor(pl_module, trainer.optimizers, probe, **known | self.settings)
        except Exception as error:
            if isinstance(error, BadInput) and self.probe is not None:
                raise
            tell(f"the training set gives no probe, so it watches without one. {why(error)}")
            self.monitor = Monitor(pl_module, trainer.optimizers, **known | self.settings)
        if self._state:
            self.monitor.load_state_dict(self._state)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Gradients are there, before they are clipped."""
        if self.monitor is not None:
            self.monitor.before_step()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A batch is done, and perhaps an update."""
        if self.monitor is not None:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            self.monitor.step(loss, step=trainer.global_step)
            if self.stop and self.monitor.should_stop(self.patience):
                trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Held-out numbers as the module logged them."""
        if self.monitor is not None and not trainer.sanity_checking:
            seen = {name: value for name, value in trainer.callback_metrics.items() if not name.startswith("train")}
            self.monitor.log(seen, step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A last look, and the advice."""
        if self.monitor is not None:
            self.monitor.close()
            if not self.quiet and trainer.is_global_zero:
                print(self.monitor.sentence())

    def state_dict(self) -> dict[str, Any]:
        """What the Trainer's checkpoints keep."""
        return {} if self.monitor is None else self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._state = state_dict
