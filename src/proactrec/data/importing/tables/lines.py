"""Lines of text files, numbered from 1."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from proactrec.errors import DataError


class NumberedLines:
    """Numbered lines of a file that can be looked at before they are taken."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._ahead, self._number = file, deque[bytes](), 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while line := (self._ahead.popleft() if self._ahead else self._file.readline()):
            self._number += 1
            yield self._number, line

    def ahead(self, n: int) -> Iterator[bytes]:
        """The next `n` lines, not taken."""
        for place in range(n):
            if place == len(self._ahead):
                line = self._file.readline()
                if not line:
                    return
                self._ahead.append(line)
            yield self._ahead[place]

    def skip(self, n: int) -> None:
        """Take `n` lines that were looked at."""
        for _ in range(n):
            self._ahead.popleft()
        self._number += n


def first_filled_line(path: Path, plain: Path) -> tuple[int, str]:
    """Number and text of the first line that is not blank.

    Raises
    ------
    DataError
        If there is none, or the file is no UTF-8 text with line feeds.
    """
    with plain.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and b"\0" in line:
                raise DataError(f"{path} is not a text file: line 1 holds NUL bytes")
            if line.strip():
                try:
                    text = line.decode("utf-8-sig").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{path} is not UTF-8 text: byte 0x{line[error.start]:02x} in line {number}"
                        "; give --encoding"
                    ) from error
                if "\r" in text:
                    raise DataError(f"{path} ends its lines with \\r alone; line feeds are needed")
                return number, text
    raise DataError(f"{path} holds nothing but blank lines")
