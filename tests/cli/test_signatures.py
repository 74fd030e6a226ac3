"""What commands take, kept in a file: it says what they say, and a wrong option loads nothing."""

import subprocess
import sys
from typing import Any

import pytest
from typer.exceptions import TyperException

from proactrec.cli import signatures
from proactrec.cli.main import COMMANDS, command
from proactrec.errors import InvalidInputError

HEAVY = {"torch", "polars", "numpy", "faiss", "sqlalchemy", "fastapi"}
WRONG = {
    "unknown option": ["run", "--wrong"],
    "unknown option of a group": ["guide", "fit", "--wrong"],
    "unknown command of a group": ["data", "descrbe", "--dataset", "demo"],
    "no value": ["benchmark", "--seed"],
    "no number": ["run", "--n-rounds", "many"],
    "no whole number": ["train", "--k", "1.5"],
    "no day": ["data", "describe", "--since", "yesterday"],
    "below its least": ["simulate", "--k", "0"],
    "not a number at all": ["shoppers", "--api", "x", "--key", "k", "--pause", "nan"],
    "infinite": ["campaign", "power", "--effect", "inf", "--rate", "0.1"],
    "above its most": ["serve", "--guide", "g", "--port", "99999"],
    "no such choice": ["run", "--world", "windy"],
    "no such choice among several": ["forecast", "--kind", "content", "--kind", "contents"],
    "empty path": ["run", "--out", ""],
    "empty path of many": ["users", "erase", "u", "--database-url", "x", "--guide", ""],
    "empty argument": ["evaluate", ""],
    "nothing of what must be given": ["plan"],
    "an argument too many": ["worlds", "flat"],
    "one of two numbers": ["forecast", "--slope", "1"],
}

RAW = {
    *("empty path", "empty path of many", "empty argument", "infinite"),
    *("not a number at all", "above its most", "no number", "no whole number"),
}
"""What only the text of an argument shows, or no command takes, or typer tells in other words: the
file alone says it."""


def told(name: str, arguments: list[str], parse: Any) -> str:
    """What parsing says of wrong arguments."""
    try:
        parse(name, arguments)
    except TyperException as error:
        return error.format_message()
    except InvalidInputError as error:
        return str(error)
    return "nothing"


def parsed(name: str, arguments: list[str]) -> None:
    """Parse with the command itself."""
    real = command(name)
    with real.make_context(name, list(arguments)) as context:
        if hasattr(real, "commands"):
            inner, found, rest = real.resolve_command(
                context, [*context._protected_args, *context.args]
            )
            found.make_context(inner, rest, parent=context)


def test_the_file_is_what_the_commands_say() -> None:
    wanted = "write it anew: python -m proactrec.cli.signatures"
    assert signatures.FILE.read_text(encoding="utf-8") == signatures.written(), wanted


@pytest.mark.parametrize("kind", sorted(WRONG.keys() - RAW))
def test_a_wrong_option_is_told_as_the_command_itself_would(kind: str) -> None:
    name, *arguments = WRONG[kind]
    assert told(name, arguments, signatures.check) == told(name, arguments, parsed)


@pytest.mark.parametrize("name", ["run", "worlds", "doctor"])
def test_what_is_right_passes(name: str) -> None:
    signatures.check(name, [])
    signatures.check(name, ["--json"])


@pytest.mark.parametrize("arguments", [["--help"], ["--wrong", "--help"]])
def test_help_is_left_to_the_command(arguments: list[str]) -> None:
    signatures.check("run", arguments)


def test_groups_alone_are_left_to_themselves() -> None:
    for name in COMMANDS:
        if hasattr(command(name), "commands"):
            signatures.check(name, [])


def test_wrong_options_load_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from proactrec.cli.main import main\n"
        f"for wrong in {list(WRONG.values())!r}:\n"
        "    sys.argv = ['proactrec', *wrong]\n"
        "    try: main()\n"
        "    except SystemExit as end: print(end.code, *wrong)\n"
        f"print('loaded:', *{HEAVY!r} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *ended, loaded = done.stdout.splitlines()
    assert loaded == "loaded:"
    assert ended == [" ".join(["2", *wrong]) for wrong in WRONG.values()]
    errors = done.stderr.splitlines()
    assert len(errors) == len(WRONG)
    assert all(line.startswith("error: ") for line in errors)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", ""], "--out must be a path, got ''"),
        (["--k", "0"], "--k must be at least 1, got 0"),
        (["--world", "stepe"], "must be flat, medium, steep or official (did you mean steep?)"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["serve", "--guide", "g", "--port", "99999"], "--port must be at most 65535, got 99999"),
        (["shoppers", "--api", "x", "--key", "k", "--pause", "-1"], "--pause must be at least 0, "),
        (["--n-rounds", "many"], "--n-rounds must be a whole number, got 'many'"),
        (["train", "--k", "1.5"], "--k must be a whole number, got '1.5'"),
        (["forecast", "--slope", "1", "x"], "--slope must be a number, got 'x'"),
        (["uplift", "a", "b", "--hold-out", "2"], "--hold-out must be below 1, got 2.0"),
        (
            ["--wrold", "flat"],
            "No such option: --wrold (Possible options: --goal, --named-world, --world)",
        ),
    ],
)
def test_option_rule_and_value_are_told(arguments: list[str], sentence: str) -> None:
    name = "run" if arguments[0].startswith("-") else arguments.pop(0)
    assert sentence in told(name, arguments, signatures.check)


def test_choices_are_taken_whatever_their_capitals() -> None:
    signatures.check("run", ["--world", "Steep", "--filter", "NONE"])
