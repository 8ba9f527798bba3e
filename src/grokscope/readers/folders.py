"""What lies in a folder: found by names and first bytes, bounded, links not followed."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from grokscope.errors import BadInput
from grokscope.readers import databases, events, huggingface, lightning, mlruns, wandb
from grokscope.readers.files import MAX_DEPTH, MAX_FILES, Budget, head, shown
from grokscope.readers.sheet import Sheet

TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
DATABASES = (".db", ".sqlite", ".sqlite3")
OTHER_JSON = ("config", "wandb-summary", "wandb-metadata", "package", "tokenizer", "vocab", "generation_config", "args")
"""JSON files that often lie beside a log and are none, by the start of their names."""


@dataclass
class Found:
    """The logs of a folder, by format."""

    states: list[Path] = field(default_factory=list)
    lightning: list[Path] = field(default_factory=list)
    offline: list[Path] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)
    run_files: dict[Path, list[Path]] = field(default_factory=dict)
    events: list[Path] = field(default_factory=list)
    databases: list[Path] = field(default_factory=list)
    texts: list[Path] = field(default_factory=list)

    def formats(self) -> dict[str, list[Path]]:
        """Format → what was found of it, the most telling first; texts only where nothing else is."""
        return {
            "huggingface": self.states,
            "lightning": self.lightning,
            "wandb": self.offline,
            "mlflow": self.runs,
            "tensorboard": self.events,
            "database": self.databases,
            "text": self.texts,
        }


def look(root: Path) -> Found:
    """Walk a folder."""
    found = Found()
    seen = 0
    depth = len(root.parts)
    for place, folders, names in os.walk(root):
        folder = Path(place)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if mlruns.is_run(folder):
            found.runs.append(folder)
            found.run_files[folder], seen = _below(folder, seen)
            folders.clear()
        elif len(folder.parts) - depth >= MAX_DEPTH:
            folders.clear()
        seen += len(names)
        if seen > MAX_FILES:
            raise BadInput(f"{shown(root)} holds more than {MAX_FILES:,} files: name the folder of one run.")
        for name in sorted(names):
            _sort_in(folder / name, found)
    return found


def _below(folder: Path, seen: int) -> tuple[list[Path], int]:
    files: list[Path] = []
    for part in ("metrics", "params"):
        for place, _, names in os.walk(folder / part):
            files += [Path(place) / name for name in names]
            if seen + len(files) > MAX_FILES:
                raise BadInput(f"{shown(folder)} and its neighbours hold more than {MAX_FILES:,} files: name one run.")
    return files, seen + len(files)


def _sort_in(path: Path, found: Found) -> None:
    suffix = path.suffix.lower()
    if not path.is_file():
        return
    if path.name == huggingface.STATE:
        found.states.append(path)
    elif suffix == ".wandb":
        found.offline.append(path)
    elif events.is_events(b"", path.name):
        found.events.append(path)
    elif suffix in DATABASES and head(path, 16) == databases.MAGIC:
        found.databases.append(path)
    elif path.name == lightning.METRICS and lightning.is_lightning(path, _header(path)):
        found.lightning.append(path)
    elif suffix in TEXTS and not path.name.lower().startswith(OTHER_JSON):
        found.texts.append(path)


def _header(path: Path) -> str:
    return head(path).decode("utf-8-sig", errors="replace").split("\n", 1)[0]


def read_found(kind: str, paths: list[Path], found: Found, root: Path, budget: Budget) -> list[Sheet]:
    """The runs of one format of a folder."""
    match kind:
        case "huggingface":
            return huggingface.read_states(paths, root, budget)
        case "lightning":
            return lightning.read_lightning(paths, root, budget)
        case "wandb":
            return wandb.read_offline(paths, root, budget)
        case "mlflow":
            return mlruns.read_runs(paths, root, budget, found.run_files)
        case "tensorboard":
            return events.read_events(paths, root, budget)
    sheets: list[Sheet] = []
    for path in paths:
        sheets += databases.read_database(path, budget)
    return sheets
