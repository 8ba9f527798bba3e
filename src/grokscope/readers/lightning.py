"""Lightning's CSVLogger (lightning 2): ``metrics.csv``, with ``hparams.yaml`` beside it.

Training and validation stand on rows of their own, ``*_step`` and ``*_epoch`` in columns of their own; the
epoch's mean is preferred. ``hparams.yaml`` is read as plain data: objects of other types in it are left out.
"""

from pathlib import Path

from grokscope.readers.delimited import read_delimited
from grokscope.readers.files import Budget, base
from grokscope.readers.settings import read_yaml, settings_of
from grokscope.readers.sheet import Sheet

METRICS = "metrics.csv"


def is_lightning(path: Path, header: str) -> bool:
    """Is a CSV file one of Lightning: by name, by its columns, by what lies beside it?"""
    columns = {name.strip() for name in header.split(",")}
    return path.name == METRICS and ({"epoch", "step"} <= columns or (path.parent / "hparams.yaml").is_file())


def read_lightning(paths: list[Path], root: Path, budget: Budget) -> list[Sheet]:
    """One run for each metrics.csv in ``root`` or below it."""
    found = []
    for path in sorted(paths):
        for sheet in read_delimited(path, budget):
            parts = path.parent.relative_to(root).parts if path.parent.is_relative_to(root) else ()
            sheet.name = "/".join([base(root), *parts]) + sheet.name.removeprefix(path.name)
            sheet.format = "lightning"
            sheet.settings |= settings_of(read_yaml(path.parent / "hparams.yaml", budget, sheet.notes))
            found.append(sheet)
    return found
