"""What is printed: nothing in it steers a terminal, and every encoding takes it."""

import ast
import codecs
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import proactrec.cli
from proactrec.cli import console, ending, streams
from proactrec.cli.console import Terminal
from proactrec.cli.main import main

EVIL = "\x1b]0;title\x07[red]u1\x1b[2J\r\x9b31m\u202eabc :smile: [/nothing]"
SEEN = r"\x1b]0;title\x07[red]u1\x1b[2J\r\x9b31m\u202eabc :smile: [/nothing]"
CLI = Path(proactrec.cli.__file__).parent


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], io.BytesIO]:
    """Begins to listen to what reaches a terminal in ASCII, through either stream."""

    def begun() -> io.BytesIO:
        found = io.BytesIO()
        for name in ("stdout", "stderr"):
            stream = io.TextIOWrapper(found, encoding="ascii", write_through=True)
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setenv("COLUMNS", "200")
        streams.settle()
        return found

    return begun


def test_text_is_shown_as_it_is_and_steers_nothing() -> None:
    assert streams.clean(EVIL) == SEEN
    assert streams.clean("a\tb\nZoë → 5 %") == "a\tb\nZoë → 5 %"


def test_every_way_to_the_terminal_is_clean(listen: Callable[[], io.BytesIO]) -> None:
    printed = listen()
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    table.add_row(Text(EVIL))
    Terminal(force_terminal=True, width=200).print(table, EVIL)
    console.note(EVIL)
    console.warn([EVIL])
    streams.say(EVIL)
    ending.refuse(EVIL)
    text = printed.getvalue().decode("ascii")
    assert (
        text.count(SEEN) == 6
    )  # Rich leaves out more of a Text, colours numbers; errors are a line
    assert text.count(r"\x1b]0;title\x07[red]u1") >= 7
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert not {"\x07", "\r", "\x9b"} & set(text)


def test_columns_are_as_wide_as_what_is_shown(listen: Callable[[], io.BytesIO]) -> None:
    printed, table = listen(), Table("id")
    for cell in (EVIL, "u2"):
        table.add_row(cell)
    Terminal(width=200).print(table)
    assert len({len(line) for line in printed.getvalue().decode("ascii").splitlines()}) == 1


def test_characters_that_an_encoding_lacks_become_others(listen: Callable[[], io.BytesIO]) -> None:
    printed = listen()
    streams.say("Zoë “3 → 4” − ±1 … ≥ 5 ☃ \udcff")
    assert printed.getvalue() == rb'Zo\xeb "3 -> 4" - +/-1 ... >= 5 \u2603 \udcff' + b"\n"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["worlds"], ["data", "list"], ["evaluate", "Zoë\udcff"]],
    ids=" ".join,
)
def test_commands_speak_ascii(
    arguments: list[str], listen: Callable[[], io.BytesIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["proactrec", *arguments])
    printed = listen()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == (2 if "evaluate" in arguments else 0)
    assert printed.getvalue().isascii()
    assert len(printed.getvalue()) > 50


def test_decoding_errors_are_not_ours() -> None:
    streams.settle()
    with pytest.raises(UnicodeDecodeError):
        codecs.decode(b"\xff", "ascii", streams.HANDLER)


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_no_command_has_a_way_of_its_own_to_the_terminal(path: Path) -> None:
    if path.name == "console.py":
        return
    names = [
        alias.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "rich.console"
        for alias in node.names
    ]
    assert "Console" not in names, "use proactrec.cli.console.Terminal, which cleans what it shows"
