"""A worker process: ``python -m grokscope.training.worker FD`` takes jobs from a pipe and reports on it."""

import sys
from multiprocessing.connection import Connection

import torch

from grokscope.errors import BadInput
from grokscope.training.loop import Loop
from grokscope.training.memory import keep_freed_memory
from grokscope.training.messages import Job


def work(conn: Connection) -> None:
    """A worker's life: jobs in, messages out, until the pipe closes."""
    keep_freed_memory()
    stopped = False

    def stop() -> bool:
        nonlocal stopped
        stopped = stopped or conn.poll()
        return stopped

    while True:
        try:
            job = conn.recv()
        except EOFError:
            return
        if not isinstance(job, Job):
            return
        torch.set_num_threads(job.threads)
        try:
            for message in Loop(job, stop).run():
                conn.send(message)
        except BadInput as error:
            conn.send(error)
        except BrokenPipeError:
            return


if __name__ == "__main__":
    work(Connection(int(sys.argv[1])))
