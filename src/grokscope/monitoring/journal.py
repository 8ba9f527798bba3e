"""Where rows go beside the trace: a file that survives a kill, and other people's trackers."""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from grokscope.trace import Trace

FILE = "trace.jsonl"


class Sink(Protocol):
    """A tracker that mirrors the trace: called with each row of scalars, and once at the end."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the scalars of one look."""

    def close(self) -> None:
        """Nothing more comes."""


def tell(message: str) -> None:
    """A warning that is never an error, because it speaks from within somebody's training."""
    try:
        warnings.warn(f"grokscope's monitor: {message}", stacklevel=3)
    except Warning:
        logging.getLogger("grokscope").warning(message)


def why(error: BaseException) -> str:
    """An error in one line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


class Lines:
    """One JSON object a look in ``folder/trace.jsonl``, written whole and at once; a sink like others.

    A kill leaves at most the last line torn. An older file of another training is kept under a number.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder) / FILE
        self.setting: Callable[[], Mapping[str, Any]] = dict
        """What is known of the training; it stands in the first row, as ``config``."""
        self._begun = False

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        row: dict[str, Any] = {"step": step} | dict(values)
        if not self._begun:
            row["config"] = dict(self.setting())
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file() and self.path.stat().st_size:
                self.path.rename(_free(self.path))
            self._begun = True
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def start_over(self, trace: Trace) -> None:
        """Hold what a trace holds and nothing else, as when a training goes on from an earlier checkpoint."""
        rows: dict[int, dict[str, Any]] = {}
        for key in trace.keys():
            for step, value in zip(*trace.series(key, 0), strict=True):
                rows.setdefault(int(step), {})[key] = float(value)
        if rows:
            rows[min(rows)]["config"] = dict(self.setting())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps({"step": step} | rows[step]) + "\n" for step in sorted(rows))
        os.replace(fresh, self.path)
        self._begun = True

    def close(self) -> None:
        """Nothing is open between rows."""


def _free(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return other


class Journal:
    """All the places; one that fails is told once and left aside.

    Args:
        folder: for :class:`Lines`, or none.
        sinks: of the user.
        skipped: the trace's reasons.
    """

    def __init__(self, folder: Path | str | None, sinks: Iterable[Sink], skipped: dict[str, str]) -> None:
        self.lines = None if folder is None else Lines(folder)
        self.sinks: list[Sink] = [*([self.lines] if self.lines else []), *sinks]
        self.skipped = skipped

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """The scalars of a row to every place."""
        scalars = {key: float(value) for key, value in values.items() if getattr(value, "ndim", 0) == 0}
        for sink in list(self.sinks):
            self._try(sink, lambda sink=sink: sink.write(step, scalars))  # type: ignore[misc]

    def start_over(self, trace: Trace) -> None:
        """The file holds the trace; trackers keep what they were told."""
        lines = self.lines
        if lines is not None and lines in self.sinks:
            self._try(lines, lambda: lines.start_over(trace))

    def close(self) -> None:
        """Close every place."""
        for sink in list(self.sinks):
            self._try(sink, sink.close)
        self.sinks = []

    def _try(self, sink: Sink, act: Any) -> None:
        try:
            act()
        except Exception as error:
            self.sinks.remove(sink)
            name = f"sink {type(sink).__name__}"
            self.skipped[name] = why(error)
            tell(f"{name} gets nothing more. {why(error)}")


class Reported:
    """What the loop reports, on whatever device it is, without waiting for it.

    A tensor's own kernels cost a small step more than all else that the monitor does in it, so values are only
    kept, and folded some hundred at a time.
    """

    FOLD = 256

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> None:
        """One more."""
        if value is not None:
            self.values.append(value.detach() if isinstance(value, Tensor) else value)
            if len(self.values) >= self.FOLD:
                self._fold()

    def _fold(self) -> None:
        raise NotImplementedError


class Means(Reported):
    """Their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.count = 0.0, 0

    def take(self) -> float | None:
        """The mean since the last time; None of nothing."""
        self._fold()
        mean = self.total / self.count if self.count else None
        self.total, self.count = 0.0, 0
        return mean

    def _fold(self) -> None:
        self.total += float(sum(float(value) for value in self.values))
        self.count += len(self.values)
        self.values = []


class Peak(Reported):
    """The largest of them; what is no single number is passed over."""

    def __init__(self) -> None:
        super().__init__()
        self.highest: float | None = None

    def take(self) -> float | None:
        """The largest since the last time; None of nothing."""
        self._fold()
        highest, self.highest = self.highest, None
        return highest

    def _fold(self) -> None:
        values, self.values = self.values, []
        found = [float(v) for v in values if (v.numel() == 1 if isinstance(v, Tensor) else isinstance(v, int | float))]
        if self.highest is not None:
            found.append(self.highest)
        self.highest = float(np.max(found)) if found else None  # NaN where one is
