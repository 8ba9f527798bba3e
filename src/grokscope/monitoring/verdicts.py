"""What follows from the trace until now: the diagnosis, who is told of changes, and when to stop."""

import math
from collections.abc import Callable

import numpy as np

from grokscope.advice import Advice
from grokscope.diagnosis import Diagnosis, diagnose
from grokscope.forecast import Setting
from grokscope.monitoring.journal import tell, why
from grokscope.trace import Trace

GOING_ON = "keep training"
"""The verdict that delayed generalisation is likely, which patience does not overrule."""


class Verdicts:
    """Reads the trace, anew only when there is more in it.

    Args:
        trace: of the monitor.
        setting: what is known besides.
    """

    def __init__(self, trace: Trace, setting: Callable[[], Setting]) -> None:
        self.trace, self.setting = trace, setting
        self.on_phase: Callable[[str], object] | None = None
        """Is told the name of a segment that begins."""
        self.on_advice: Callable[[Advice], object] | None = None
        """Is told an advice whose verdict is another than before."""
        self.asked = False
        """Whether somebody asked when to stop."""
        self.patience: float | None = None
        self.stop = False
        self._read: Diagnosis | None = None
        self._before: tuple[str | None, str | None] = (None, None)

    def more(self) -> None:
        """The trace has grown."""
        self._read = None

    def diagnosis(self) -> Diagnosis:
        """Of the trace until now."""
        if self._read is None:
            self._read = diagnose(self.trace, self.setting())
        return self._read

    def ask(self, patience: float | None) -> bool:
        """Somebody wants to know when to stop; whether that is another question than before."""
        another = not self.asked or patience != self.patience
        self.asked, self.patience = True, patience
        return another

    def after_look(self) -> None:
        """Tell who wants to know, and judge where somebody asked."""
        if self.on_phase is not None or self.on_advice is not None:
            found = self._diagnosed()
            if found is None:
                return
            before, self._before = self._before, (found.segment, found.advice.verdict)
            if self.on_phase is not None and found.segment is not None and found.segment != before[0]:
                self.on_phase = self._told(self.on_phase, found.segment, "on_phase_change")
            if self.on_advice is not None and found.advice.verdict != before[1]:
                self.on_advice = self._told(self.on_advice, found.advice, "on_advice")
        if self.asked:
            self.judge()

    def judge(self) -> None:
        """Whether to stop, from what is in the trace."""
        found = self._diagnosed()
        if found is not None:
            still = self.patience is not None and self.stale() >= self.patience
            self.stop = found.advice.stop or (still and found.advice.verdict != GOING_ON)

    def stale(self) -> float:
        """Steps since held-out loss or accuracy was better than ever; the training loss where there is neither."""
        last = self.trace.final_step(0)
        held_out = [key for key in ("test/loss", "test/accuracy") if len(self.trace.series(key, 0)[0])]
        since = []
        for key in held_out or ["train/loss"]:
            steps, values = self.trace.series(key, 0)
            better = np.where(np.isfinite(values), values if key.endswith("accuracy") else -values, -math.inf)
            if np.isfinite(better).any():
                since.append(last - int(steps[int(better.argmax())]))
        return float(min(since, default=0))

    def _diagnosed(self) -> Diagnosis | None:
        """The diagnosis, or None where it fails, from then on."""
        if "diagnosis" in self.trace.skipped:
            return None
        try:
            return self.diagnosis()
        except Exception as error:
            self.trace.skipped["diagnosis"] = why(error)
            tell(f"it gives no verdicts within the loop. {why(error)}")
            return None

    def _told(self, listener: Callable[..., object], news: object, name: str) -> Callable[..., object] | None:
        """The listener, or None where it fails."""
        try:
            listener(news)
        except Exception as error:
            self.trace.skipped[name] = why(error)
            tell(f"{name} is called no more. {why(error)}")
            return None
        return listener
