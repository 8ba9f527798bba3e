"""Hyper-parameters that a log names: flat, bounded, the common ones under one name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import yaml

from grokscope.readers.files import MAX_DEPTH, Budget, plain, whole
from grokscope.readers.names import squash

Settings = dict[str, float | int | str | bool]

COMMON = {
    "lr": ("lr", "learningrate", "maxlr", "baselr", "initiallr"),
    "weight_decay": ("weightdecay", "wd", "l2reg"),
    "optimizer": ("optimizer", "optim", "optimizername", "optname", "optimizertype", "optimizerkind", "opt"),
    "batch_size": ("batchsize", "trainbatchsize", "perdevicetrainbatchsize", "bs", "batch"),
    "max_steps": ("maxsteps", "totalsteps", "numsteps", "nsteps", "maxiters", "maxiterations", "optimizationsteps"),
    "epochs": ("epochs", "numepochs", "nepochs", "numtrainepochs", "maxepochs"),
    "seed": ("seed", "randomseed"),
    "train_fraction": ("trainfraction", "trainingfraction", "fractrain", "trainfrac", "datafraction"),
}
"""The name here ← names there, case and separators ignored; of a nested name the last part counts."""
MAX_SETTINGS = 500
MAX_NODES = 20_000
MAX_YAML = 64 << 10
"""Bytes of a YAML file: its parser is slow, and hyper-parameters are few."""


MAX_NESTING = 50
"""Brackets within brackets; the time that PyYAML takes grows with their square."""


def _depth(text: str) -> int:
    """How many brackets are open at once at most, those within quotes counted too."""
    return max(accumulate((c in "[{") - (c in "]}") for c in text), default=0)


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader: plain data only, an object of another type is None, merge keys are not followed.

    Merges of merges grow a small file without bound; hyper-parameters have none.
    """

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave merge keys as they are."""


_PlainLoader.add_multi_constructor("", lambda loader, suffix, node: None)


def leaves(data: object, depth: int = MAX_DEPTH, nodes: int = 10_000_000) -> Iterator[tuple[str, object]]:
    """The leaves of nested objects as (slash name, value); lists and what lies deeper than ``depth`` are left out.

    At most ``nodes`` nodes are looked at: aliases can make a small YAML file endless.

    >>> list(leaves({"train": {"loss": 0.5}, "step": 3}))
    [('train/loss', 0.5), ('step', 3)]
    """
    stack = [("", iter([("", data)]))]
    while stack and (nodes := nodes - 1):
        above, items = stack[-1]
        pair = next(items, None)
        if pair is None:
            stack.pop()
            continue
        name, value = f"{above}/{pair[0]}" if above else str(pair[0]), pair[1]
        if isinstance(value, Mapping):
            if len(stack) <= depth:
                stack.append((name, iter(value.items())))
        elif not isinstance(value, list | tuple):
            yield name, value


def settings_of(data: object) -> Settings:
    """The scalar leaves of a nested object under flat names, the common ones renamed; at most 500."""
    found: Settings = {}
    common: dict[str, tuple[int, float | int | str | bool]] = {}
    for name, value in leaves(data, nodes=MAX_NODES):
        if len(found) >= MAX_SETTINGS:
            break
        value = _scalar(value)
        if value is None or not name:
            continue
        parts = name.replace(".", "/").split("/")
        ends = [squash(parts[-1]), squash("".join(parts[-2:]))]
        key, last = next(((k, e) for k, spelled in COMMON.items() for e in ends if e in spelled), (None, ""))
        if key is None:
            found[plain(name, 120)] = value
        else:
            rank = COMMON[key].index(last)
            if key not in common or rank < common[key][0]:
                common[key] = (rank, value)
    return {key: value for key, (_, value) in common.items()} | {k: v for k, v in found.items() if k not in common}


def arguments(words: Sequence[object]) -> dict[str, object]:
    """What a command line names: ``--lr 0.1``, ``--lr=0.1`` and ``lr=0.1``; the last of a name counts.

    >>> arguments(["train.py", "--lr", "-1e-3", "--fast", "--wd=1", "model.width=64"])
    {'lr': '-1e-3', 'wd': '1', 'model.width': '64'}
    """
    found: dict[str, object] = {}
    waits = ""
    for text in map(str, words[:MAX_SETTINGS]):
        name, equals, value = text.lstrip("-").partition("=")
        option = text.startswith("-") and name[:1].isalpha()
        if equals and (option or not waits):
            found[name] = value
        elif waits and not option:
            found[waits] = text
        waits = name if option and not equals else ""
    return found


def _scalar(value: object) -> float | int | str | bool | None:
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else float("inf")
    if not isinstance(value, str):
        return None
    text = plain(value, 200)
    for kind in (int, float):  # stores of text (MLflow's params) hold numbers as text
        if len(text) < 40 and text.isascii() and "_" not in text:
            try:
                return kind(text)
            except ValueError:
                pass
    return {"true": True, "false": False}.get(text.lower(), text)


def read_yaml(path: Path, budget: Budget, notes: list[str]) -> object:
    """A small YAML file, read safely (plain data only); None with a note where that does not work."""
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_YAML:
            notes.append(f"{plain(path.name)} is larger than {MAX_YAML >> 10} KiB and was not read")
            return None
        text = whole(path, budget, MAX_YAML)
        if _depth(text) > MAX_NESTING:
            raise ValueError("nested too deeply")
        loader = _PlainLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        notes.append(f"{plain(path.name)} is no plain YAML and was not read")
        return None


def read_json(text: str) -> object:
    """JSON as Python reads it, NaN and Infinity included; raises ValueError where it is none, or too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
