"""Files of one JSON object a line."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from proactrec.data.importing.problems import Problems
from proactrec.data.importing.tables.base import (
    LINE,
    SAMPLE_ROWS,
    batched,
    first_filled_line,
    of_rows,
)
from proactrec.errors import DataError


class JsonLinesTable:
    """One JSON object a line; numbers are texts exactly as written, inner names have dots."""

    unit = "line"

    def __init__(self, path: Path, plain: Path) -> None:
        self.path, self._plain = path, plain
        self.n_rows: int | None = None
        self.notes: list[str] = []
        _, first = first_filled_line(path, plain)
        if first.lstrip().startswith("["):
            raise DataError(f"{path} begins as one JSON list; one object a line is needed")
        names: dict[str, None] = {}
        for _, row in islice(self._rows(Problems()), SAMPLE_ROWS // 10 + 1):
            names.update(dict.fromkeys(row))
        if not names:
            raise DataError(f"{path} has no line that is a JSON object, first line {first[:60]!r}")
        self.columns = list(names)

    def sample(self, columns: Sequence[str]) -> pl.DataFrame:
        """The first rows."""
        first = islice(self._picked(columns, Problems()), SAMPLE_ROWS)
        return of_rows(list(first), columns).drop(LINE)

    def batches(self, columns: Sequence[str], problems: Problems) -> Iterator[pl.DataFrame]:
        """All rows."""
        self.n_rows = 0
        for batch in batched(self._picked(columns, problems), columns):
            self.n_rows += batch.height
            yield batch

    def _picked(self, columns: Sequence[str], problems: Problems) -> Iterator[list[Any]]:
        for number, row in self._rows(problems):
            yield [number, *(row.get(name) for name in columns)]

    def _rows(self, problems: Problems) -> Iterator[tuple[int, dict[str, str | None]]]:
        read = json.JSONDecoder(parse_int=str, parse_float=str).decode
        with self._plain.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where = f"{self.path}, line {number}"
                try:
                    content = read(line.decode("utf-8-sig").strip())
                except (ValueError, RecursionError) as error:
                    fault = getattr(error, "msg", type(error).__name__)  # of a JSONDecodeError
                    problems.add(f"the line is no JSON ({fault})", where, line[:60])
                    continue
                if not isinstance(content, dict):
                    problems.add("the line is no JSON object", where, line[:60])
                    continue
                flat = _flat(content)
                if b"\\u" in line and _has_half_characters(flat):
                    reason = "the line holds half a character (a lone surrogate)"
                    problems.add(reason, where, line[:60])
                    continue
                yield number, flat


def _has_half_characters(row: dict[str, str | None]) -> bool:
    """Whether a name or value holds what no encoding can write."""
    try:
        "".join(text for pair in row.items() for text in pair if text).encode()
    except UnicodeEncodeError:
        return True
    return False


def _flat(content: dict[str, Any], before: str = "") -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        elif value is None or isinstance(value, str):
            flat[before + name] = value or None
        else:
            flat[before + name] = json.dumps(value)
    return flat
