"""The base of every option model, and the digest that names what was made from it."""

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from proactrec.errors import InvalidInputError


class Options(BaseModel):
    """Frozen options: unknown names are errors, every field is validated when it is built.

    A value that breaks a rule raises :class:`InvalidInputError` in one sentence.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    later_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after runs were named by the hash of their options: left out of a dump while
    they have their default, so that those runs keep their names."""

    @model_serializer(mode="wrap")
    def _named_as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return {
            name: value
            for name, value in content.items()
            if name not in self.later_fields
            or getattr(self, name) != type(self).model_fields[name].default
        }

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            errors = error.errors()
            # Of a field that may have several types, the one that came furthest says most.
            of_field = [other for other in errors if other["loc"][:1] == errors[0]["loc"][:1]]
            first = max(of_field, key=lambda other: len(other["loc"]))
            inner = first.get("ctx", {}).get("error")
            if isinstance(inner, InvalidInputError):  # of nested options, which said it already
                raise inner from error
            where = _place(first["loc"])
            came = (
                ""
                if first["type"] in ("missing", "extra_forbidden")
                else f", got {first['input']!r}"
            )
            rules = [other["msg"] for other in of_field if _place(other["loc"]) == where]
            rule = ", or ".join(rule[0].lower() + rule[1:] for rule in rules)
            raise InvalidInputError(f"{type(self).__name__}.{where}: {rule}{came}") from error


def _place(location: tuple[int | str, ...]) -> str:
    """Dotted name of a field, without which of its types, like ``dict[str,str]``, failed."""
    return ".".join(part for part in map(str, location) if "[" not in part)


def set_nested(content: dict[str, Any], name: str, value: Any) -> None:
    """Set a value in nested content by its dotted name, e.g. ``protocol.world.world``.

    Whether there is such a setting is for the options that are built from the content to say.
    """
    *path, last = name.split(".")
    for part in path:
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise InvalidInputError(f"setting {name} leads through {part!r}, which holds a value")
    content[last] = deepcopy(value)  # later settings may go on inside it


def parsed_setting(text: str) -> tuple[str, Any]:
    """Name and value of a `--set` option."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InvalidInputError(f"--set must have the form NAME=VALUE, got {text!r}")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InvalidInputError(f"--set {name} has a value that is not YAML: {value!r}") from error


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested content with changes: a mapping changes the one in its place, all else replaces it."""
    found = dict(content)
    for name, value in changes.items():
        inner = found.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            value = merged(inner, value)
        found[name] = value
    return found


def digest(content: Mapping[str, Any]) -> str:
    """Short stable hash of JSON-like content, by which artefacts are named."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
