"""What every command takes, kept in a file: a wrong option is told before anything heavy loads.

Commands take most of their options from the models of settings, which stand beside code that needs
torch: four seconds until a misspelt option would be told. So the options of all commands are
kept in `signatures.json`, which ``python -m proactrec.cli.signatures`` writes; a test holds both
together.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.main import get_group

from proactrec.cli.flags import sign
from proactrec.cli.rules import NUMBERS, Rule, callback_of

FILE = Path(__file__).with_name("signatures.json")
KINDS = {"path": str, "int": str, "float": str, "bool": bool, "str": str, "date": datetime}
"""Types of values; of paths the text, as an empty one would become the working folder, and of
numbers, which rules read."""
NAMES = {Path: "path", datetime: "date"}
Taken = Mapping[str, Mapping[str, Any]]
"""Options and arguments of a command, by the name of its parameter."""


def check(name: str, arguments: Sequence[str], parent: Any = None) -> None:
    """Raise what parsing the arguments of a command would, without loading the command.

    Raises
    ------
    typer.exceptions.TyperException, InvalidInputError
        If an option is unknown, missing, of the wrong type, or breaks its rule.
    """
    commands = json.loads(FILE.read_text(encoding="utf-8"))
    is_group = any(path.startswith(f"{name} ") for path in commands)
    if "--help" in arguments or (is_group and not arguments):
        return  # help is for the command itself to give
    light = _light(name, commands)
    with light.make_context(name, list(arguments), parent=parent) as context:
        light.invoke(context)


def written() -> str:
    """The content of the file, as the commands themselves say: a line for each option."""
    from proactrec.cli.main import COMMANDS, command

    found: list[str] = []
    for name in COMMANDS:
        for path, taken in _walked(name, command(name)):
            lines = [f"  {json.dumps(one)}: {json.dumps(about)}" for one, about in taken.items()]
            inside = ",\n".join(lines)
            found.append(f"{json.dumps(path)}: {{\n{inside}\n}}" if inside else f'"{path}": {{}}')
    return "{\n" + ",\n".join(found) + "\n}\n"


def _light(name: str, commands: Mapping[str, Taken]) -> Any:
    """The command or group of this name, which does nothing but parse."""
    around, inside = typer.Typer(), typer.Typer()
    parts = {
        path: path.removeprefix(f"{name} ") for path in commands if path.startswith(f"{name} ")
    }
    if not parts:
        around.command(name)(_doing_nothing(commands[name]))
    else:
        alone = bool(commands[name])  # only a group with options of its own does something
        inside.callback(invoke_without_command=alone)(_doing_nothing(commands[name]))
        for path, part in parts.items():
            inside.command(part)(_doing_nothing(commands[path]))
        around.add_typer(inside, name=name)
    return get_group(around).commands[name]


def _doing_nothing(taken: Taken) -> Callable[..., None]:
    """A function with these parameters."""

    def nothing(**_: Any) -> None:
        """Parse."""

    sign(nothing, [_parameter(name, about) for name, about in taken.items()])
    return nothing


def _parameter(name: str, about: Mapping[str, Any]) -> inspect.Parameter:
    """A parameter as typer takes it from a signature."""
    kinds = [KINDS[one] for one in about["kind"].split()]
    kind: Any = kinds[0] if len(kinds) == 1 else tuple[tuple(kinds)]  # type: ignore[misc]
    if about.get("many"):
        kind = list[kind]
    declared = about.get("as", ())
    own = {kind: about[name] for kind, name in (("ge", "min"), ("le", "max")) if name in about}
    rule = Rule(
        {**own, **about.get("bounds", {})},
        tuple(about.get("choices", ())),
        is_path=about["kind"] == "path",
        is_finite="float" in about["kind"],
        number=next((one for one in NUMBERS if about["kind"].split()[0] == one), None),
    )
    how = {key: about[key] for key in ("envvar", "metavar", "formats") if key in about}
    how["callback"] = callback_of(declared[0] if declared else about.get("metavar", name), rule)
    told = typer.Option(*declared, **how) if declared else typer.Argument(**how)
    default: Any = inspect.Parameter.empty if about.get("required") else None
    if default is None and kind is bool:
        default = False
    annotation: Any = Annotated[kind | None if default is None else kind, told]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, annotation=annotation, default=default)


def _walked(path: str, command: Any) -> Iterable[tuple[str, dict[str, dict[str, Any]]]]:
    """A command by its path, and what is in it."""
    yield path, {one.name: _about(one) for one in command.params if one.name != "help"}
    for name, inner in getattr(command, "commands", {}).items():
        yield from _walked(f"{path} {name}", inner)


def _about(parameter: Any) -> dict[str, Any]:
    """An option or argument of a real command, as the file has it; what says nothing left out."""
    annotation, told = (
        parameter.type_descriptor.annotation,
        parameter.type_descriptor.parameter_info,
    )
    rule: Rule = vars(parameter.callback).get("rule", Rule()) if parameter.callback else Rule()
    is_list = get_origin(annotation) is list
    about = {
        "as": _declared(parameter),
        "kind": _kind(get_args(annotation)[0] if is_list else annotation),
        "many": is_list,
        "required": parameter.required,
        "envvar": parameter.envvar,
        "metavar": None if parameter.param_type_name == "option" else parameter.metavar,
        "min": parameter.min,
        "max": parameter.max,
        "formats": told.formats if annotation is datetime else None,
        "bounds": dict(rule.bounds),
        "choices": list(rule.choices),
    }
    return {
        key: value for key, value in about.items() if value or (value == 0 and value is not False)
    }


def _declared(parameter: Any) -> list[str]:
    """How an option is typed; nothing of an argument."""
    if parameter.param_type_name != "option":
        return []
    if parameter.secondary_opts:
        return [f"{parameter.opts[0]}/{parameter.secondary_opts[0]}"]
    return list(parameter.opts)


def _kind(annotation: Any) -> str:
    """Names of the types of a value, one for each of its parts."""
    parts = get_args(annotation) or (annotation,)
    return " ".join(NAMES.get(one, one.__name__) for one in parts)


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
