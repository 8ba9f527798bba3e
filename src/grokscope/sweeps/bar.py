"""The bar of a sweep: members that have ended, by label, with an ETA; a plain line now and then in a log."""

import os
import sys
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from grokscope.progress import QUIET_SECONDS
from grokscope.sweeps.folder import SweepFolder, read_rows

LOOK_SECONDS = 0.5


class SweepBar:
    """Follows a sweep's folder, so it shows the work of any engine."""

    def __init__(self, folder: SweepFolder) -> None:
        self.folder = folder
        self.planned = folder.planned()
        self.labels: dict[str, list[str]] = {}
        console = Console(stderr=True)
        self.live = (console.is_terminal or "ipykernel" in sys.modules) and not os.environ.get("CI")
        self.console, self.last_line = console, time.monotonic()
        self.progress = Progress(
            TextColumn("[bold]round {task.fields[round]}"),
            BarColumn(bar_width=None, complete_style="#2f6fd6", finished_style="#3f9a4a"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[labels]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=not self.live,
            transient=True,
        )
        members = sum(map(len, self.planned.values()))
        self.task = self.progress.add_task("", total=members, round=len(folder.rounds()), labels="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.progress.stop()

    def follow(self, over: threading.Event) -> None:
        """Look at the folder until it is over."""
        while not over.wait(LOOK_SECONDS):
            self.look()
        self.look()

    def look(self) -> None:
        """Count what has ended."""
        ended = 0
        for run, cells in self.planned.items():
            if run not in self.labels and (rows := read_rows(self.folder.folder(run))) is not None:
                self.labels[run] = [row.label for row in rows]
            ended += len(cells) if run in self.labels else self.folder.ended(run)
        told = Counter(label for labels in self.labels.values() for label in labels)
        words = "  ".join(f"{label} {count}" for label, count in told.most_common())
        self.progress.update(self.task, completed=ended, labels=words)
        if not self.live and time.monotonic() - self.last_line >= QUIET_SECONDS:
            self.last_line = time.monotonic()
            total = sum(map(len, self.planned.values()))
            self.console.print(f"{ended} of {total} members have ended: {words or 'none'}", highlight=False)
