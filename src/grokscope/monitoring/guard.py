"""The wall between the monitor and the training: its time is counted, and its errors stay inside."""

import time
from collections.abc import Callable

from grokscope.monitoring.journal import tell, why
from grokscope.monitoring.pace import Pace


class Guard:
    """Calls what the monitor does within somebody's loop.

    Args:
        pace: is told the seconds.
        skipped: the trace's reasons.
        start: updates done before.
    """

    def __init__(self, pace: Pace, skipped: dict[str, str], start: int = 0) -> None:
        self.pace, self.skipped = pace, skipped
        self.idle = 0.0
        """Seconds outside, since they were last taken."""
        self.alive = True
        self._left: float | None = None
        self._depth, self._at = 0, start

    def __call__(self, act: Callable[[], None]) -> None:
        """Do it; an error ends the monitor and not the training."""
        if not self.alive:
            return
        begin = time.perf_counter()
        if not self._depth and self._left is not None:
            self.idle += begin - self._left
        self._depth += 1
        try:
            act()
        except Exception as error:
            self.alive = False
            self.skipped["monitor"] = why(error)
            tell(f"it stops watching. {why(error)}")
        finally:
            self._depth -= 1
            if not self._depth:
                self._left = time.perf_counter()
                self.pace.spent += self._left - begin

    def paused(self, seconds: float) -> None:
        """So much of the time outside was no training."""
        self.idle -= seconds

    def trained(self, step: int) -> None:
        """The seconds outside since the last time were those of the updates up to this one."""
        if self.idle > 0 and step > self._at:
            self.pace.trained(self.idle, step - self._at)
        self.idle, self._at = 0.0, step
