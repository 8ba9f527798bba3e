"""A thing is its own config: a frozen, typed, validated object <-> dict <-> YAML <-> ``--set`` flags.

Every configurable thing derives from :class:`Spec`. Families (tasks, models, optimizers, …) mark
their members with a class attribute ``kind``; wherever a kind is accepted, ``package.module:Name``
of somebody else's class is too.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from grokscope.errors import BadInput, nearest

T = TypeVar("T", bound="Spec")


class Spec(BaseModel):
    """Frozen, keyword-only and strict about names; the docstring under a field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    kind: ClassVar[str] = ""
    """The name under which a family knows this class; empty where there is no family."""
    unwritten: ClassVar[tuple[str, ...]] = ()
    """Fields that plain data has only where they differ from their default, so that hashes from before them stay."""

    def to_dict(self) -> dict[str, Any]:
        """The object as plain data (numbers, strings, lists, dicts), every default but the unwritten ones there."""
        head = {"kind": kind_of(type(self))} if type(self).kind else {}
        fields, left_out = type(self).model_fields, type(self).unwritten
        names = [name for name in fields if name not in left_out or getattr(self, name) != fields[name].default]
        return head | {name: _plain(getattr(self, name)) for name in names}

    def hash(self) -> str:
        """Twelve hex digits that depend on the content alone: not on field order, version or machine."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_dict() == other.to_dict()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return int(self.hash(), 16)

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """A copy with dotted fields replaced, validated anew: ``{"task.modulus": 97}``.

        Raises:
            BadInput: a name that is not a field, or a value that is not allowed.
        """
        fields = type(self).model_fields
        data = {name: fields[name].default for name in type(self).unwritten} | self.to_dict()
        for path, value in overrides.items():
            _assign(data, path, value)
        data.pop("kind", None)
        return build(type(self), data)


def kind_of(cls: type[Spec]) -> str:
    """The family name of a class of ours, ``package.module:Name`` of a stranger's."""
    return cls.kind if cls.__module__.startswith("grokscope.") else f"{cls.__module__}:{cls.__qualname__}"


def build(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """Validate ``data`` into ``cls``; a mistake becomes one line that names the field.

    Raises:
        BadInput: with the dotted field, what was wrong, what was got and what is allowed.
    """
    try:
        return cls.model_validate(dict(data))
    except ValidationError as error:
        raise BadInput(_one_line(cls, error.errors()[0], where)) from None


def choose(value: Any, family: Sequence[type[T]], where: str) -> T:
    """One member of a family, from an object, a kind's name, or a dict with ``kind`` and fields.

    Args:
        value: a ready object, ``"kind"``, ``"package.module:Name"`` or ``{"kind": …, field: …}``.
        family: the visible tuple of known classes.
        where: the field's name, for the message.

    Raises:
        BadInput: an unknown kind (with the nearest names) or fields that do not fit it.
    """
    if isinstance(value, Spec):
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise BadInput(f"{where} must be a kind's name or a mapping with 'kind'; got {value!r}.")
    fields = {k: v for k, v in value.items() if k != "kind"}
    return build(find_class(value["kind"], family, where), fields, where)


def one_of(family: Sequence[type[T]], where: str) -> BeforeValidator:
    """For a field that takes one member of a family in any of the ways of :func:`choose`."""
    return BeforeValidator(lambda value: choose(value, family, where))


def some_of(family: Sequence[type[T]], where: str) -> BeforeValidator:
    """For a field that takes a list of members of a family."""

    def read(value: Any) -> tuple[T, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise BadInput(f"{where} must be a list of kinds, got {value!r}.")
        return tuple(choose(one, family, where) for one in value)

    return BeforeValidator(read)


def find_class(kind: str, family: Sequence[type[T]], where: str) -> type[T]:
    """The class behind a kind's name or ``package.module:Name``."""
    for cls in family:
        if cls.kind == kind:
            return cls
    if ":" in kind:
        found = import_name(kind, where)
        if isinstance(found, type) and issubclass(found, Spec):
            return found  # type: ignore[return-value]
        raise BadInput(f"{where}: {kind} is no Spec class but {type(found).__name__}.")
    raise BadInput(f"{where}: unknown kind {kind!r}{nearest(kind, [c.kind for c in family])}")


def import_name(path: str, where: str) -> Any:
    """The object that ``package.module:Name`` names."""
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise BadInput(f"{where}: cannot import {path!r} ({error}); write package.module:Name.") from None
    return found


def parse_assignment(text: str) -> tuple[str, Any]:
    """``a.b=v`` of a ``--set`` flag; ``v`` is read as YAML.

    Raises:
        BadInput: no ``=``, no name, or a value that is not YAML.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise BadInput(f"--set takes field=value, got {text!r}; for example --set optimizer.lr=1e-3.")
    return path.strip(), parse_value(value, path.strip())


def parse_value(text: str, where: str) -> Any:
    """A value as YAML reads it, except that 1e-3 is a number here too."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadInput(f"{where}: cannot read the value {text!r} as YAML.") from None
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 takes 1e-3 for a string
        except ValueError:
            return value
    return value


def load_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping in a YAML text.

    Raises:
        BadInput: not YAML, or not a mapping.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"{where} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(data, dict):
        raise BadInput(f"{where} must hold a mapping of fields, got {type(data).__name__}.")
    return data


def dump_yaml(data: Mapping[str, Any]) -> str:
    """YAML in the order given, lists of numbers on one line."""
    return yaml.safe_dump(dict(data), sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under dotted names: ``{"task": {"modulus": 97}}`` -> ``{"task.modulus": 97}``."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _assign(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    node: Any = data
    for depth, name in enumerate(parents):
        if not isinstance(node, dict) or name not in node:
            raise BadInput(_unknown(path, ".".join(parents[: depth + 1]), name, node))
        if node[name] is None or isinstance(node[name], str):
            node[name] = {"kind": node[name]} if isinstance(node[name], str) else {}
        node = node[name]
    if not isinstance(node, dict):
        raise BadInput(f"{path}: {'.'.join(parents)} is a single value and has no field {leaf!r}.")
    if leaf == "kind":
        node.clear()  # another kind has other fields
    elif leaf not in node and parents != ["streams"] and set(node) - {"kind"}:
        raise BadInput(_unknown(path, path, leaf, node))  # a kind alone is judged when it is built
    node[leaf] = value


def _unknown(path: str, where: str, name: str, node: Any) -> str:
    known = [k for k in node if k != "kind"] if isinstance(node, dict) else []
    return f"unknown field {where!r}{nearest(name, known)}"


def _one_line(cls: type[Spec], error: ErrorDetails, where: str) -> str:
    field = ".".join([where] * bool(where) + [str(part) for part in error["loc"]])
    if error["type"] == "extra_forbidden":
        return f"unknown field {field!r}{nearest(str(error['loc'][-1]), cls.model_fields)}"
    if error["type"] == "missing":
        return f"{field} is required; got nothing."
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    if error["type"] in ("value_error", "assertion_error"):
        return message + "." if not field or field in message else f"{field}: {message}."
    message = message[0].lower() + message[1:]
    return f"{field}: {message.replace('input should be', 'must be')}; got {error['input']!r}."
