"""What a monitor does at each call: counts, looks when a look is due, keeps what it saw."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from grokscope.forecast import Setting
from grokscope.monitoring.journal import Journal, Means, Peak
from grokscope.monitoring.look import Eye, Row
from grokscope.monitoring.names import recognised
from grokscope.monitoring.pace import VERDICT, Pace
from grokscope.monitoring.state import as_tensors, fill, forget_after
from grokscope.monitoring.together import Together
from grokscope.monitoring.updates import Updates
from grokscope.monitoring.verdicts import Verdicts
from grokscope.trace import Trace


class Watch:
    """The parts of a monitor, working together; its owner guards the training from it.

    Args:
        module: unwrapped.
        eye: looks.
        pace: says when; of this eye's parts.
        together: the processes.
        journal: where rows go.
        trace: what was seen.
        start: updates done before.
    """

    def __init__(
        self, module: nn.Module, eye: Eye, pace: Pace, together: Together, journal: Journal, trace: Trace, start: int
    ) -> None:
        self.module, self.eye, self.pace, self.together = module, eye, pace, together
        self.journal, self.trace, self.at = journal, trace, start
        self.updates = Updates((), lambda: None)
        self.verdicts = Verdicts(trace, self.setting)
        self.known: dict[str, Any] = {}
        """Of the setting, what the user said."""
        self.looked: int | None = None
        """Step of the last look."""
        self._losses, self._accuracies, self._peak = Means(), Means(), Peak()
        self._gradient: dict[str, float] = {}
        self._rates: set[float] = set()
        self._measured = {"train": eye.probe is not None, "test": eye.validation is not None}

    def batch(self, loss: Any, accuracy: Any, step: int) -> None:
        """A batch of the loop's was seen; beside a probe only those just before a look are kept."""
        self._peak.add(loss)
        if not self._measured["train"] or step >= self.pace.due:
            self._losses.add(loss)
            self._accuracies.add(accuracy)

    def quiet(self, loss: Any, accuracy: Any, step: int | None) -> bool:
        """Whether nothing is to be done but count: what nearly every call comes to, so it is kept short."""
        if self.updates.hooked and step is None:
            step = self.updates.count
        if step is None or self.looked is None or not self.at <= step < self.pace.due or not self._measured["train"]:
            return False
        self._peak.add(loss)
        self.at = self.updates.count = step
        return True

    def wants_before(self) -> bool:
        """Whether an update that comes is worth a stop."""
        return self.looked is None or (self.at + 1 >= self.pace.due and not self._gradient)

    def counted(self, step: int | None) -> int:
        """Updates done, as told, by the optimizer's hook, or by calls."""
        if step is not None:
            return step
        return self.updates.count if self.updates.hooked else self.at + 1

    def arrive(self, step: int) -> None:
        """So many updates are done: look if it is time; go back if it is less than before."""
        if step < self.at:
            forget_after(self.trace, step)
            self.looked, self.pace.due = self.trace.final_step(0), step + 1
            self.verdicts.more()
            self.journal.start_over(self.trace)
        self.at = self.updates.count = step
        if step >= self.pace.due:
            self.look(self.pace.takes)

    def before(self) -> None:
        """An update comes: a first look if there was none, and the gradients if the look after it wants them."""
        if self.looked is None:
            self.look(self.pace.takes)
        if "gradient" in self.pace.takes and self.wants_before():
            begin = time.perf_counter()
            self._gradient = self.updates.gradient(self.module)
            self.pace.took("gradient", time.perf_counter() - begin)

    def logged(self, given: Mapping[str, Any], step: int) -> None:
        """Numbers that the loop knows."""
        found = recognised(given).items()
        row: Row = {f"logged/{k}" if self._measured.get(k.split("/")[0]) else k: v for k, v in found}
        if row:
            self._keep(step, row)

    def look_if_stale(self) -> None:
        """A look with everything, where updates were made since the last."""
        if self.looked != self.at:
            self.look(frozenset(self.pace.parts))

    def look(self, takes: frozenset[str]) -> None:
        """Look, keep, tell, and agree on the next."""
        row = self.eye.look(takes) | self._gradient
        for name, means in (("loss", self._losses), ("accuracy", self._accuracies)):
            mean = means.take()
            if mean is not None:
                row[f"{'batch' if self._measured['train'] else 'train'}/{name}"] = mean
        if (peak := self._peak.take()) is not None:
            row["batch/loss_max"] = peak
        if (lr := self.updates.lr) is not None:
            row["optimizer/lr"] = lr
            self._rates.add(lr)
        self._gradient, self.looked = {}, self.at
        self._keep(self.at, row)
        self.pace.plan(self.at, tuple(float(row[k]) for k in ("train/accuracy", "test/accuracy") if k in row))
        if self.together.first and VERDICT in takes:
            begin = time.perf_counter()
            self.verdicts.after_look()
            self.pace.took(VERDICT, time.perf_counter() - begin)
        agreed = self.together.agreed((self.pace.due, self.pace.takes, self.verdicts.stop))
        self.pace.due, self.pace.takes, self.verdicts.stop = agreed

    def setting(self) -> Setting:
        """What is known of the training besides its curves."""
        probe, known = self.eye.probe, dict(self.known)
        if known.get("chance") is None and probe is not None:
            known["chance"] = probe.chance
        return self.updates.setting(
            **known,
            objective=None if probe is None else probe.objective,
            scheduled=len(self._rates) > 1 if self._rates else None,
            normalised=any("Norm" in type(part).__name__ for part in self.module.modules()),
        )

    def config(self) -> dict[str, Any]:
        """What is known of the setting, as plain data."""
        return {name: value for name, value in asdict(self.setting()).items() if value is not None}

    def state(self) -> dict[str, Any]:
        """As numbers, lists and tensors."""
        return {"step": self.at, "pace": self.pace.state(), "rates": sorted(self._rates)} | as_tensors(self.trace)

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where another was."""
        forget_after(self.trace, -1)
        fill(self.trace, state)
        self.pace.load(state["pace"])
        self._rates = set(state["rates"])
        self.at = self.updates.count = int(state["step"])
        self.looked = self.trace.final_step(0)
        self.verdicts.more()
        self.journal.start_over(self.trace)

    def _keep(self, step: int, row: Row) -> None:
        self.trace.add(0, step, row)
        self.journal.write(step, row)
        self.verdicts.more()
