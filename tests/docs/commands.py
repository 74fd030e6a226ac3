"""Whether a line of a shell could be typed: commands, options, targets, extras and routes exist."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

from typer.exceptions import TyperException

from proactrec.cli.main import COMMANDS, command
from proactrec.serving.app import create_app

from .blocks import ROOT

OUTSIDE = {
    *("alias", "cat", "cd", "chmod", "chown", "cp", "docker", "kill", "ln", "mkdir", "openssl"),
    *("python3", "sleep", "sudo", "until", "wait", ".", "do", "done", "pytest", "git"),
}
"""Commands of others, whose options are theirs."""
END = "\x00"
URL = re.compile(r"(?:127\.0\.0\.1|localhost):\d+(/[^\s?\"']*)")
OWN_PYTHON = ("python", ".venv/bin/python")


def wrong_with(code: str) -> list[str]:
    """What could not be typed of a block of shell lines, in words."""
    return [
        f"{shlex.join(words)}: {found}"
        for words in simple_commands(code)
        if (found := _wrong(words)) is not None
    ]


def simple_commands(code: str) -> Iterator[list[str]]:
    """The commands of a block, one by one, without what stands around them."""
    text = re.sub(r"\$\([^)]*\)", "X", code.replace("\\\n", " "))
    text = re.sub(r"(^|\s)#\s.*", "", text, flags=re.M)
    yield from _steps(re.sub(r"^\s*…\s*$", "", text, flags=re.M))


def _steps(code: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in [*shlex.split(_marked(code)), END]:
        if word == END:
            yield from _without_settings(words)
            words = []
        else:
            words.append(word)


def _marked(code: str) -> str:
    """Where commands end, in place of what ends them, but not within quotes."""
    parts = re.split(r"""('[^']*'|"(?:[^"\\]|\\.)*")""", code)
    plain = (re.sub(r"&&|\|\||(?<!>)[;&|\n]", f" {END} ", part) for part in parts[::2])
    return "".join(one + quoted for one, quoted in zip(plain, [*parts[1::2], ""], strict=True))


def _without_settings(words: list[str]) -> Iterator[list[str]]:
    while words and re.match(r"^\w+=", words[0]):  # KEY=value before a command, or alone
        words = words[1:]
    if words:
        yield words


def _wrong(words: list[str]) -> str | None:
    name, rest = words[0], words[1:]
    if name == "proactrec":
        return wrong_arguments(_without_redirections(rest))
    if name == "torchrun" and "proactrec" in rest:
        return wrong_arguments(rest[rest.index("proactrec") + 1 :])
    if name == "make":
        return None if set(_targets(rest)) <= _made() else "no such target in the Makefile"
    if name == "pip":
        return _wrong_extras(rest)
    if name in OWN_PYTHON:
        return None if rest[:1] and (ROOT / rest[0]).is_file() else "no such file"
    if name in ("api", "curl"):
        return _wrong_routes(rest)
    return None if name in OUTSIDE else "nobody knows this command: see tests/docs/commands.py"


def _without_redirections(words: list[str]) -> list[str]:
    to_file = [bool(re.match(r"^\d*[<>]", word)) for word in words]
    names = [
        False,
        *(is_to and word.endswith((">", "<")) for is_to, word in zip(to_file, words, strict=True)),
    ]
    return [
        word
        for word, is_to, is_name in zip(words, to_file, names[:-1], strict=True)
        if not is_to and not is_name
    ]


def wrong_arguments(arguments: list[str]) -> str | None:
    """What `proactrec` would refuse of its arguments, as far as it can be told without doing it."""
    try:
        found, rest = resolved(arguments)
        found.make_context(" ".join(arguments[:1]), rest)
    except KeyError as error:
        return f"there is no command {error}"
    except TyperException as error:
        return str(error.format_message())
    return None


def resolved(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command that arguments name, and what they hand it; KeyError if there is none."""
    if not arguments or arguments[0] not in COMMANDS:
        raise KeyError(" ".join(arguments[:1]))
    found, rest = command(arguments[0]), arguments[1:]
    while rest and (parts := getattr(found, "commands", {})) and not rest[0].startswith("-"):
        found, rest = parts[rest[0]], rest[1:]
    return found, rest


def unknown_options(line: str) -> list[str]:
    """Options within a sentence that its command lacks, or the command itself."""
    words = [word for word in line.split()[1:] if re.match(r"^[a-z-]", word)]
    if not words or words[0].startswith("-"):
        return []
    try:
        found, rest = resolved(words)
    except KeyError:
        return words[:2]
    known = {one for option in found.params for one in (*option.opts, *option.secondary_opts)}
    asked = [word.partition("=")[0].rstrip(",.;…") for word in rest if word.startswith("-")]
    return [one for one in asked if one not in known | {"--help"}]


def _targets(words: list[str]) -> list[str]:
    return [word for word in words if "=" not in word]


@cache
def _made() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def _wrong_extras(words: list[str]) -> str | None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"proactrec\[([\w,-]+)\]", " ".join(words)):
        for extra in extras.split(","):
            if extra not in project["optional-dependencies"]:
                return f"no extra {extra}"
    return None


@cache
def _routes() -> tuple[re.Pattern[str], ...]:
    described = create_app(None).openapi()["paths"]  # type: ignore[arg-type]
    return tuple(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$") for path in described)


def _wrong_routes(words: list[str]) -> str | None:
    for path in URL.findall(" ".join(words)):
        if not any(route.match(path) for route in _routes()):
            return f"the service has no route {path}"
    return None
