"""Flags that stand for settings: type, default, bounds and help are those of the option models."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from proactrec.cli.rules import Rule, callback_of
from proactrec.config import BOUNDS, Options, set_nested
from proactrec.errors import InvalidInputError

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
OptionsT = TypeVar("OptionsT", bound=Options)
OF_FIELD: Any = object()


class Flag(NamedTuple):
    """A flag that stands for a field."""

    model: type[Options]
    field: str  # dotted, from the model on
    panel: str | None = None
    default: Any = OF_FIELD  # None: something else decides where the flag is not given
    decided_by: str | bool = True  # what that is, as help says it
    repeats: bool = False  # each value stands for a setting of its own

    def of(self) -> tuple[type[Options], FieldInfo]:
        """The field, and the model that has it."""
        *path, last = self.field.split(".")
        model = self.model
        for part in path:
            model = _plain(model.model_fields[part].annotation)
        return model, model.model_fields[last]


Flags = Mapping[str, Flag]


def flags_of(model: type[Options], panel: str | None, *same: str, **named: str) -> dict[str, Flag]:
    """Flags of a model by name: fields with the flag's own name (after the dot), then others."""
    fields = {field.rpartition(".")[2]: field for field in same} | named
    return {name: Flag(model, field, panel) for name, field in fields.items()}


def help_of(model: type[Options], name: str) -> str:
    """What a field is, as a sentence."""
    field = model.model_fields[name]
    said = field.description or name
    rules = [
        f"{words} {getattr(rule, kind)}"
        for rule in field.metadata
        for kind, words in BOUNDS.items()
        if hasattr(rule, kind)
    ]
    said += f" ({', '.join(rules)})" if rules else ""
    return said[0].upper() + said[1:] + ("" if said.endswith("…") else ".")


def given(flags: Flags, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their dotted names that differ from what the models say by themselves."""
    found = {}
    for name, flag in flags.items():
        value, (_, field) = values.get(name), flag.of()
        if value is None or (flag.default is OF_FIELD and value == _default(flag)):
            continue
        found[flag.field] = _as_setting(value, field)
    return found


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Content of options from settings by their dotted names."""
    content: dict[str, Any] = {}
    for name, value in settings.items():
        set_nested(content, name, value)
    return content


def built(model: type[OptionsT], flags: Flags, values: Mapping[str, Any], **more: Any) -> OptionsT:
    """Options as flags and further fields say."""
    with naming(flags, values):
        return model(**nested(given(flags, values)), **more)


@contextmanager
def naming(flags: Flags, values: Mapping[str, Any]) -> Iterator[None]:
    """Name the flag, instead of the field, in the error of a model that refuses its value."""
    try:
        yield
    except InvalidInputError as error:
        place, _, rule = f"{error}".partition(" ")
        for name, flag in flags.items():
            own = f"{flag.of()[0].__name__}.{flag.field.rpartition('.')[2]}."
            if f"{place}.".startswith(own) and given({name: flag}, values):
                raise InvalidInputError(f"{option(name)} {rule}") from error
        raise


def option(name: str) -> str:
    """A flag as it is typed."""
    return "--" + name.replace("_", "-")


def parameters(flags: Flags) -> list[inspect.Parameter]:
    """The flags as typer takes them from a signature."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, annotation=_annotation(name, flag), default=_default(flag))
        for name, flag in flags.items()
    ]


def takes(*parts: Flags) -> Callable[[CommandT], CommandT]:
    """Give a command with ``**values`` these flags, before what it names itself."""

    def give(command: CommandT) -> CommandT:
        wanted = [one for part in parts for one in parameters(part)]
        sign(command, [*wanted, *own_parameters(command)])
        return command

    return give


def own_parameters(command: Callable[..., Any]) -> list[inspect.Parameter]:
    """What a command names itself."""
    own = inspect.signature(command).parameters.values()
    return [one for one in own if one.kind is not one.VAR_KEYWORD]


def sign(command: Callable[..., Any], taken: Iterable[inspect.Parameter]) -> None:
    """Give a command this signature, of which typer makes its options; the first of a name wins."""
    kept: dict[str, inspect.Parameter] = {}
    for one in taken:
        kept.setdefault(one.name, one.replace(kind=one.KEYWORD_ONLY))
    command.__signature__ = inspect.Signature(list(kept.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: one.annotation for name, one in kept.items()}


def _annotation(name: str, flag: Flag) -> Any:
    model, field = flag.of()
    help_, (kind, choices) = help_of(model, flag.field.rpartition(".")[2]), _typed(field.annotation)
    if flag.repeats:
        kind = list[kind]  # type: ignore[valid-type]
    rule = Rule(_bounds(field), choices)
    is_told = all(choice in help_ for choice in choices)
    about = typer.Option(
        option(name),
        help=f"{help_[:-1]}; repeatable." if get_origin(kind) is list else help_,
        rich_help_panel=flag.panel,
        callback=callback_of(option(name), rule),
        show_default=flag.decided_by,
        metavar=None if is_told else f"[{'|'.join(choices)}]",
        formats=["%Y-%m-%d"] if kind is datetime else None,
    )
    return Annotated[kind | None if _default(flag) is None else kind, about]


def _bounds(field: FieldInfo) -> dict[str, float]:
    """Of numbers, by the names in :data:`proactrec.config.BOUNDS`."""
    return {
        kind: getattr(rule, kind)
        for rule in field.metadata
        for kind in BOUNDS
        if isinstance(getattr(rule, kind, None), int | float)
    }


def _default(flag: Flag) -> Any:
    """What typer takes for the default; a switch is off, whichever way it turns its field."""
    if flag.default is not OF_FIELD:
        return flag.default
    _, field = flag.of()
    default = None if field.is_required() else field.default
    if isinstance(default, bool):
        return False
    if isinstance(default, tuple) and _is_many(field.annotation):
        return list(default) or None
    return [default] if flag.repeats else default


def _as_setting(value: Any, field: FieldInfo) -> Any:
    """A value as the model takes it; '' says None where only it can."""
    may_be_none = type(None) in get_args(field.annotation)
    if isinstance(value, bool):
        return value is not field.default
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, list):
        return tuple(one for one in value if one or not may_be_none)
    return None if value == "" and may_be_none and field.default is not None else value


def _plain(annotation: Any) -> Any:
    """A type without None and rules."""
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(one for one in get_args(annotation) if one is not type(None)))
    return _plain(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _is_many(annotation: Any) -> bool:
    return get_args(_plain(annotation))[-1:] == (Ellipsis,)


def _typed(annotation: Any) -> tuple[Any, tuple[str, ...]]:
    """The type as typer knows it, and the choices if only some texts will do."""
    kind = _plain(annotation)
    if get_origin(kind) is Literal:
        return str, get_args(kind)
    if _is_many(kind):
        one, choices = _typed(get_args(kind)[0])
        return list[one], choices  # type: ignore[valid-type]
    if get_origin(kind) is tuple:
        return tuple[tuple(_plain(one) for one in get_args(kind))], ()  # type: ignore[misc]
    return (datetime if kind is date else kind), ()
