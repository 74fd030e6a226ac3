r"""What is printed: in whatever encoding a stream has, and nothing in it steers a terminal.

Ids and titles are other people's text. On their way to a terminal what steers it becomes visible
(``\x1b`` for the escape character), here and nowhere else; what an encoding lacks becomes what
looks like it.
"""

import codecs
import io
import os
import sys

STEERING = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F))
DIRECTIONS = range(0x2066, 0x206A)
VISIBLE = {
    code: repr(chr(code))[1:-1] for code in (*STEERING, *DIRECTIONS) if chr(code) not in "\n\t"
}
"""Control characters but for ends of lines, and what turns the direction of writing around."""
ALIKE = {
    **dict.fromkeys("█▇▆▅▄▃▂", "#"),
    **dict.fromkeys("▏│┃", "|"),
    **dict.fromkeys("−–—─━", "-"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("’‘", "'"),
    **{"→": "->", "…": "...", "×": "x", "±": "+/-", "≥": ">=", "≤": "<=", "·": "*", "†": "+"},
}
HANDLER = "proactrec-alike"
COLUMNS, LEAST_COLUMNS, MOST_COLUMNS = "COLUMNS", 40, 1000
"""Environment variable of a terminal's width, and between what tables and help can be read."""


def clean(text: str) -> str:
    r"""Text in which nothing steers a terminal.

    >>> print(clean("a\x1b[31mb"))
    a\x1b[31mb
    """
    return text.translate(VISIBLE)


def settle() -> None:
    """Let standard output and errors take every character, whatever their encoding and width."""
    if (width := os.environ.pop(COLUMNS, "")).isdecimal():
        os.environ[COLUMNS] = str(min(MOST_COLUMNS, max(LEAST_COLUMNS, int(width[:9]))))
    codecs.register_error(HANDLER, _alike)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def say(text: str, *, is_error: bool = False) -> None:
    """Print a line on standard output, or on errors."""
    print(clean(text), file=sys.stderr if is_error else sys.stdout)


def _alike(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks, and where it goes on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    left = error.object[error.start : error.end]
    return "".join(ALIKE.get(one) or _escaped(one) for one in left), error.end


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")
