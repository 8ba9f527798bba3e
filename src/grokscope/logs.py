"""Logs in, diagnoses out: what ``grokscope diagnose`` does, as a function."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from grokscope.diagnosis import diagnose
from grokscope.errors import BadInput
from grokscope.forecast import Setting
from grokscope.readers import LoggedRun, read_log
from grokscope.report.diagnosis_page import Read

KINDS: Mapping[str, tuple[type, ...]] = {
    "chance": (float, int),
    "lr": (float, int),
    "weight_decay": (float, int),
    "optimizer": (str,),
    "objective": (str,),
    "scheduled": (bool,),
    "clipped": (bool,),
    "normalised": (bool,),
    "budget": (int,),
}
"""What may be said of a training, and as what."""


def diagnose_logs(
    logs: Sequence[Path | str],
    *,
    columns: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
    unit: str | None = None,
    at: int | None = None,
    train_only: bool = False,
) -> list[Read]:
    """Every run of every log, diagnosed.

    Args:
        logs: files or folders.
        columns: canonical key → column, for those that are not recognised.
        given: fields of :class:`Setting` that the log does not say.
        unit: step or epoch, where the log does not say it.
        at: stand at this step and read nothing later.
        train_only: leave held-out curves out of the forecast.

    Raises:
        BadInput: a log that cannot be read, an unknown unit or field.
    """
    if unit not in (None, "step", "epoch"):
        raise BadInput(f"--unit must be step or epoch, got {unit!r}.")
    found = []
    for log in logs:
        for run in read_log(log, columns=columns, unit=unit):  # type: ignore[arg-type]
            answer = diagnose(run.trace, setting_of(run, given or {}), at=at, train_only=train_only)
            found.append(Read(answer, run.name, run.format, run.columns, run.notes, run.unread))
    return found


def setting_of(run: LoggedRun, given: Mapping[str, Any]) -> Setting:
    """What the log says of its training, and what the reader adds to it.

    A learning rate that the log shows moving counts as a schedule, after a warm-up as well.
    """
    said: dict[str, Any] = {
        name: run.settings[name] for name in KINDS if isinstance(run.settings.get(name), KINDS[name])
    }
    if isinstance(steps := run.settings.get("max_steps"), int) and steps > 0 and run.unit == "step":
        said.setdefault("budget", steps)
    if isinstance(name := said.get("optimizer"), str):
        said["optimizer"] = "adamw" if "adamw" in name.lower() else name.lower()
    _, rates = run.trace.series("optimizer/lr", 0)
    if len(rates):
        said["scheduled"] = bool(rates.max() > rates.min() * (1 + 1e-9))
        said.setdefault("lr", float(rates[-1]))
    return replace(Setting(unit=run.unit), **(said | dict(given)))


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """KEY=COLUMN options as a dict.

    Raises:
        BadInput: no equals sign.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key and value):
            raise BadInput(f"{option} takes KEY=VALUE, got {text!r}; for example {option} test/accuracy=val_acc.")
        found[key.strip()] = value
    return found


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE options as fields of :class:`Setting`.

    Raises:
        BadInput: an unknown name, or a value of another kind.
    """
    found: dict[str, Any] = {}
    known = [field.name for field in fields(Setting) if field.name in KINDS]
    for name, text in pairs(texts, "--set").items():
        if name not in KINDS:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise BadInput(f"--set knows {', '.join(known)}, got {name!r}{hint}")
        try:
            value = yaml.safe_load(text)
            value = float(value) if float in KINDS[name] and not isinstance(value, bool) else value
        except (yaml.YAMLError, TypeError, ValueError):
            value = None
        wrong = not isinstance(value, KINDS[name]) or (bool not in KINDS[name] and isinstance(value, bool))
        if wrong or (name == "chance" and not 0 <= value < 1) or (name in ("lr", "weight_decay") and not value >= 0):
            wanted = {"chance": "a share in [0, 1)"}.get(name, KINDS[name][0].__name__)
            raise BadInput(f"--set {name} takes {wanted}, got {text!r}.")
        found[name] = value
    return found
