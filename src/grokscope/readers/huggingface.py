"""Hugging Face's ``trainer_state.json`` (transformers 4 and 5), alone or in an output folder with checkpoints.

Read: ``log_history`` (loss, eval_loss, eval_accuracy, grad_norm, learning_rate, epoch, step …), and as
settings train_batch_size, max_steps, num_train_epochs. ``training_args.bin`` is a pickle and not opened.
"""

from collections.abc import Mapping
from pathlib import Path

from grokscope.errors import BadInput
from grokscope.readers.files import Budget, base, shown, whole
from grokscope.readers.settings import leaves, read_json
from grokscope.readers.sheet import Sheet, Sheets, number

STATE = "trainer_state.json"
SETTINGS = {"train_batch_size": "batch_size", "max_steps": "max_steps", "num_train_epochs": "epochs"}


def is_state(data: object) -> bool:
    """Is this the content of a trainer_state.json?"""
    return isinstance(data, Mapping) and isinstance(data.get("log_history"), list)


def state_sheet(data: Mapping[str, object], name: str, path: Path, budget: Budget) -> Sheet:
    """One run of a parsed trainer_state.json."""
    sheets = Sheets(name, "huggingface", path, budget)
    sheet = sheets.of()
    history = data["log_history"]
    for row in history if isinstance(history, list) else []:
        if isinstance(row, Mapping):
            sheet.add(leaves(row))
    for theirs, ours in SETTINGS.items():
        value = number(data.get(theirs))
        if value is not None and 0 < value < 1e15:
            sheet.settings[ours] = int(value) if value == int(value) else value
    return sheet


def read_states(paths: list[Path], root: Path, budget: Budget) -> list[Sheet]:
    """One run for each output folder; of its checkpoints the one that got furthest holds the whole history."""
    outputs: dict[Path, list[Path]] = {}
    for path in paths:
        folder = path.parent
        output = folder.parent if folder.name.startswith("checkpoint-") and folder != root else folder
        outputs.setdefault(output, []).append(path)
    found = []
    for output, states in sorted(outputs.items()):
        checkpoints = sorted((path for path in states if path.parent != output), key=_reached)
        newest = [*(path for path in states if path.parent == output), *checkpoints[-1:]]
        parts = output.relative_to(root).parts if output != root else ()
        name = "/".join([base(root), *parts])
        sheet, best = max(((_read(path, name, budget), path) for path in newest), key=lambda pair: pair[0].rows)
        if len(states) > 1:
            sheet.notes.append(f"read from {shown(best.relative_to(output))}, the longest of {len(states)} states")
        found.append(sheet)
    return found


def _reached(path: Path) -> int:
    digits = path.parent.name.removeprefix("checkpoint-")
    return int(digits) if digits.isdecimal() and len(digits) < 16 else -1


def _read(path: Path, name: str, budget: Budget) -> Sheet:
    try:
        data = read_json(whole(path, budget))
    except ValueError:
        raise BadInput(f"{shown(path)} is no JSON; it may have been cut off: read an earlier checkpoint.") from None
    if not is_state(data) or not isinstance(data, Mapping):
        raise BadInput(f"{shown(path)} has no log_history, which a trainer_state.json holds its rows in.")
    return state_sheet(data, name, path, budget)
