"""Lanes on several cores: one single-threaded process per core, started afresh, reporting by pipe.

Workers are started as ``python -m grokscope.training.worker``, not forked or re-importing the user's
script, so a plain script without a ``__main__`` guard and a notebook work alike. A worker that finds
its parent gone stops at its next message.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, Pipe, wait

from grokscope.errors import BadInput
from grokscope.training.messages import Job, LaneDone, Message


class Pool:
    """Runs lane jobs, at most ``workers`` at a time, and yields their messages as they come."""

    def __init__(self, jobs: Sequence[Job], workers: int, stop: Callable[[], bool]) -> None:
        self.stop_asked = stop
        self.waiting = list(jobs)
        self.workers = min(workers, len(self.waiting))
        self.open: dict[Connection, tuple[subprocess.Popen[bytes], Job | None]] = {}
        self.stopping = False

    def run(self) -> Iterator[Message]:
        """Messages of all lanes until every one is done; a dead worker ends its lane with a failure."""
        try:
            for _ in range(self.workers):
                self._hand_out(self._start())
            while self.open:
                if self.stop_asked() and not self.stopping:
                    self._stop()
                for conn in wait(list(self.open), timeout=0.5):
                    assert isinstance(conn, Connection)
                    yield from self._receive(conn)
        finally:
            for conn, (process, _) in self.open.items():
                conn.close()
                process.kill()
                process.wait()

    def _stop(self) -> None:
        """Ask every worker to checkpoint and leave."""
        self.stopping = True
        self.waiting.clear()
        for conn in self.open:
            conn.send("stop")

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "grokscope.training.worker", str(theirs.fileno())]
        # a session of its own: Ctrl-C reaches the parent alone, which then asks for a checkpoint
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        self.open[ours] = (process, None)
        return ours

    def _hand_out(self, conn: Connection) -> None:
        process, _ = self.open[conn]
        if self.waiting:
            job = self.waiting.pop(0)
            self.open[conn] = (process, job)
            conn.send(job)
        else:
            del self.open[conn]
            conn.close()
            process.wait()

    def _receive(self, conn: Connection) -> Iterator[Message]:
        process, job = self.open[conn]
        try:
            message = conn.recv()
        except (EOFError, OSError):
            del self.open[conn]
            conn.close()
            code = process.wait()
            if job is not None:
                members = ", ".join(str(number) for number, _ in job.members)
                yield LaneDone(job.lane, failure=f"the worker of members {members} died (exit status {code})")
            return
        if isinstance(message, BadInput):
            raise message
        yield message
        if isinstance(message, LaneDone):
            self._hand_out(conn)
