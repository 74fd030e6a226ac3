"""What a prompt says outside its fences, which a model may obey, and the titles within."""

import json
import re
from collections.abc import Sequence

from proactrec.errors import InvalidInputError
from proactrec.llm.fence import CLOSE, OPEN
from proactrec.llm.messages import Message

LINE = re.compile(r'"(?:[^"\\]|\\u[0-9a-f]{4})*"')


def unescape_title(line: str) -> str:
    r"""The title that `escape_title` was given, or what was kept of it.

    Exact for every text that UTF-8 can hold; two surrogates that stand side by side in a broken
    one come back as the character that they mean.
    """
    if not LINE.fullmatch(line):
        raise InvalidInputError(f"an escaped title is one JSON string, got {line[:80]!r}")
    return str(json.loads(line))


def outside_fences(messages: Sequence[Message]) -> str:
    """All that a prompt says outside its fences: what a model may obey."""
    return "\n".join(_split(messages)[0])


def inside_fences(messages: Sequence[Message]) -> list[str]:
    """The lines within the fences of a prompt, as they stand there."""
    return _split(messages)[1]


def _split(messages: Sequence[Message]) -> tuple[list[str], list[str]]:
    """Lines outside and lines inside; the fences themselves are in neither."""
    sides: tuple[list[str], list[str]] = ([], [])
    for message in messages:
        is_open = False
        # splitlines knows more line breaks than "\n": any of them in a title would tear its line.
        for line in message.content.splitlines():
            if line not in (OPEN, CLOSE):
                sides[is_open].append(line)
            elif (line == OPEN) == is_open:
                raise InvalidInputError(
                    f"{line} stands where it cannot in a {message.role} message"
                )
            else:
                is_open = not is_open
        if is_open:
            raise InvalidInputError(f"{OPEN} is left open in a {message.role} message")
    return sides
