"""The base of every option model, and the digest that names what was made from it."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from itertools import chain
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from proactrec.errors import InvalidInputError
from proactrec.names import meant

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""What a number must be, by the name that Pydantic has for the rule."""
RULES = {
    "missing": "must be given",
    "extra_forbidden": "does not exist",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "literal_error": "must be {expected}",
    "too_short": "must have {min_length} or more parts",
    "too_long": "must have {max_length} parts or fewer",
    "finite_number": "must be a finite number",
    "string_type": "must be a text",
    "string_unicode": "must be UTF-8 text",
    "path_type": "must be a path",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be a mapping"),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
        "must be a time by RFC 3339, with its time zone",
    ),
}
"""Rules in words, by the kind of Pydantic's error; others are told as Pydantic does."""
BARE = ("missing", "extra_forbidden")
"""Kinds of errors that no value shows."""
NO_NUL = r"^[^\x00]*$"
"""What a text must match where NUL can't be kept."""
HALF = re.compile("[\ud800-\udfff]")
"""Of a sign of UTF-16, which no text of UTF-8 has."""
LARGEST = 2**63 - 1
"""That a whole number of 64 bits can hold."""
MOST_DIM, MOST_LAYERS, MOST_LEN, MOST_ROUNDS = 8192, 64, 10_000, 1_000_000
"""Of vectors, networks, histories and journeys: beyond what helps, and before a machine's memory is
full. A field that sizes something has such a bound of its own."""
MOST_SHOWN = 80
"""Characters of a value that an error shows."""
_reads_text: ContextVar[bool] = ContextVar("reads_text", default=True)


@contextmanager
def numbers_as_they_are() -> Iterator[None]:
    """Take no text for a number meanwhile: YAML and command lines need that (1e-3), JSON not."""
    token = _reads_text.set(False)
    try:
        yield
    finally:
        _reads_text.reset(token)


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

    @field_validator("*")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        pairs = value.items() if isinstance(value, Mapping) else ()
        for one in chain(_parts(value), *pairs):
            if isinstance(one, str) and "\0" in one:
                raise ValueError("must hold no NUL")  # which PostgreSQL and file systems can't keep
            if isinstance(one, str) and not one.isascii() and HALF.search(one):
                raise ValueError("must be UTF-8 text")  # JSON may hold halves of signs
        return value

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
        for name, value in values.items():
            self._check_numbers(name, _parts(value))
            if not _reads_text.get():
                self._check_texts(name, value)
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
            rules = [rule_of(other) for other in of_field if _place(other["loc"]) == where]
            name = ".".join(filter(None, (type(self).__name__, where)))
            came = _came(first, type(self).model_fields)
            raise InvalidInputError(f"{name} {_together(rules)}{came}") from error

    @classmethod
    def _check_numbers(cls, name: str, parts: Sequence[Any]) -> None:
        """Refuse what Pydantic takes for a number: truth, and what no array can hold."""
        field = cls.model_fields.get(name)
        for one in parts:
            if not isinstance(one, int) or field is None:
                continue
            if isinstance(one, bool) and not _has_truth(field.annotation):
                raise InvalidInputError(
                    f"{cls.__name__}.{name} must not be true or false, got {one}"
                )
            if not -LARGEST <= one <= LARGEST:
                bounds = [rule.le for rule in field.metadata if hasattr(rule, "le")]
                rule = f"at most {min([LARGEST, *bounds])}" if one > 0 else f"at least {-LARGEST}"
                raise InvalidInputError(f"{cls.__name__}.{name} must be {rule}{_got(one)}")

    @classmethod
    def _check_texts(cls, name: str, value: Any) -> None:
        """Refuse a text that Pydantic takes for a number, or for truth."""
        field = cls.model_fields.get(name)
        rule = None if field is None else _no_text(field.annotation)
        if rule is None or field is None or (isinstance(value, str) and _is_many(field.annotation)):
            return  # that it must be a list, Pydantic says
        for one in value.values() if isinstance(value, Mapping) else _parts(value):
            if isinstance(one, str):
                raise InvalidInputError(f"{cls.__name__}.{name} must be {rule}{_got(one)}")


def check_whole(name: str, value: Any, *, at_least: int, at_most: int = LARGEST) -> None:
    """Refuse what is no whole number, too small, or larger than helps (or an array can hold)."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < at_least:
        raise InvalidInputError(
            f"{name} must be a whole number of at least {at_least}{_got(value)}"
        )
    if int(value) > at_most:
        raise InvalidInputError(f"{name} must be at most {at_most}{_got(value)}")


def number_text(value: float) -> str:
    """A number as people write it: 1 for 1.0."""
    return str(int(value)) if float(value).is_integer() else str(value)


def _parts(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _has_truth(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_has_truth, get_args(annotation)))


def _no_text(annotation: Any) -> str | None:
    """What a value must be, where it, or each part of it, is a number or truth and never a text."""
    kinds = set(_kinds(annotation)) - {type(None), Ellipsis}
    if not kinds or not kinds <= {int, float, bool}:
        return None
    if kinds == {bool}:
        return "true or false"
    return "a number" if float in kinds else "a whole number"


def _is_many(annotation: Any) -> bool:
    """Whether a value has parts."""
    if get_origin(annotation) in (tuple, list, dict):
        return True
    return any(map(_is_many, get_args(annotation)))


def _kinds(annotation: Any) -> Iterator[Any]:
    """Types that a value, or a part of it, may have; of a mapping, those of its values."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal or not parts:
        yield from map(type, parts) if parts else (annotation,)
        return
    for part in {dict: parts[1:], Annotated: parts[:1]}.get(origin, parts):
        yield from _kinds(part)


def told_of(error: Any) -> str:
    """The rule that was broken, from the verb on, and what came."""
    return rule_of(error) + ("" if error["type"] in BARE else _got(error["input"]))


def rule_of(error: Any) -> str:
    """The rule that an error of Pydantic's says was broken, from the verb on."""
    if error.get("ctx", {}).get("pattern") == NO_NUL:
        return "must hold no NUL"
    if error["type"] not in RULES:
        said = re.sub(r"^\w+ should ", "must ", error["msg"].removeprefix("Value error, "))
        return said if said.startswith("must ") else f"is wrong: {said}"
    about = {
        name: number_text(value) if isinstance(value, int | float) else value
        for name, value in error.get("ctx", {}).items()
    }
    return RULES[error["type"]].format(**about)


def _together(rules: Sequence[str]) -> str:
    """Rules of which one must be kept, as one."""
    kept = list(dict.fromkeys(rules))
    if all(rule.startswith("must be ") for rule in kept):
        return "must be " + " or ".join(rule.removeprefix("must be ") for rule in kept)
    return ", or ".join(kept)


def _came(error: Any, fields: Mapping[str, Any]) -> str:
    """What came instead; of a name that does not exist, which may have been meant."""
    if error["type"] == "extra_forbidden":
        return meant(str(error["loc"][-1]), fields)
    if error["type"] == "missing":
        return ""
    return _got(error["input"])


def _got(value: Any) -> str:
    """What came, as far as it is short."""
    try:
        text = repr(value)
    except ValueError:  # a number of more than 4300 digits
        text = f"about 2**{value.bit_length()}"
    return f", got {text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + '...'}"


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


class NamesError(yaml.YAMLError):
    """Names of YAML that stand twice, of which the last would count, or are no texts."""


class _Named(yaml.SafeLoader):
    """Content whose names are texts, each there once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it was written, before others are merged into it."""
        node = super().compose_mapping_node(anchor)
        names = set[str]()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise NamesError(f"must have texts as names, got {key.value!r}: give it quotes")
            if key.value in names:
                raise NamesError(f"must have every name once, got {key.value!r} twice")
            names.add(key.value)
        return node


def parsed_setting(text: str) -> tuple[str, Any]:
    """Name and value of a `--set` option."""
    name, separator, value = text.partition("=")
    if not separator or not all(name.split(".")):
        raise InvalidInputError(f"--set must have the form NAME=VALUE, got {text!r}")
    try:
        return name, yaml_of(value)
    except NamesError as error:
        raise InvalidInputError(f"--set {name} {error}") from error
    except yaml.YAMLError as error:
        raise InvalidInputError(
            f"--set {name} has a value that is not YAML{_got(value)}"
        ) from error


def yaml_of(text: str) -> Any:
    """The content of YAML.

    Raises
    ------
    yaml.YAMLError
        If it is none, or has a day 32, a number that is too long, or brackets without end;
        :class:`NamesError` if a name stands twice, or is no text.
    """
    try:
        return yaml.load(text, _Named)  # a safe one
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from error


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
