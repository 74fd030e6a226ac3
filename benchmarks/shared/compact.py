"""Figures as JSON that stays small: like records under one head, and no digit that shows nowhere.

Three or more records with mostly the same fields become a table: `columns` (fields of fields joined
by `::`), what is the `same` in all of them, and `rows`, a line each, by name where the records had
names. What a record lacks says so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from proactrec.files import write_text

JOINT, ABSENT = "::", "(absent)"
TABLE = {"same", "columns", "rows"}
FEWEST_RECORDS, LEAST_FILLED = 3, 0.6
"""Fewer records, or ones with fewer fields in common, are written as they are."""
DIGITS = 7
"""Significant ones that are kept: pages show five at the most, of ratios and means of these too."""
SHOWN = 5


def write_figures(path: Path, content: Mapping[str, Any]) -> None:
    """Write figures so that :func:`read_figures` gives them back, shortened."""
    plain = _shortened(json.loads(json.dumps(content, allow_nan=False)))
    text = text_of(plain)
    if _text(unpacked(json.loads(text))) != _text(plain):
        raise ValueError(f"{path.name} holds {JOINT!r} or {ABSENT!r}, which stand for other things")
    write_text(path, text)


def read_figures(path: Path) -> dict[str, Any]:
    """What :func:`write_figures` wrote."""
    content: dict[str, Any] = unpacked(json.loads(path.read_text(encoding="utf-8")))
    return content


def text_of(content: Any) -> str:
    """JSON content as it is written."""
    return _lines(packed(content)) + "\n"


def packed(value: Any) -> Any:
    """JSON content with tables in place of like records."""
    if isinstance(value, dict) and _are_records([*value.values()]):
        table = _table([*value.values()])
        return {**table, "rows": dict(zip(value, table["rows"], strict=True))}
    if isinstance(value, dict):
        return {name: packed(one) for name, one in value.items()}
    if isinstance(value, list):
        return _table(value) if _are_records(value) else [packed(one) for one in value]
    return value


def unpacked(value: Any) -> Any:
    """What was :func:`packed`."""
    if isinstance(value, list):
        return [unpacked(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != TABLE:
        return {name: unpacked(one) for name, one in value.items()}
    rows = value["rows"]
    if isinstance(rows, dict):
        return {name: _record(value, row) for name, row in rows.items()}
    return [_record(value, row) for row in rows]


def _are_records(values: Sequence[Any]) -> bool:
    if len(values) < FEWEST_RECORDS or not all(isinstance(one, dict) and one for one in values):
        return False
    fields = [{name for name, _ in _flat(one)} for one in values]
    most = len({name for one in fields for name in one}) * len(fields)
    return sum(map(len, fields)) >= LEAST_FILLED * most


def _flat(record: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of all fields, those of inner records too."""
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}{JOINT}")
        else:
            yield before + name, value


def _table(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = [{name: packed(value) for name, value in _flat(one)} for one in records]
    names = list(dict.fromkeys(name for one in found for name in one))
    values = {name: {_text(one.get(name, ABSENT)) for one in found} for name in names}
    columns = [name for name in names if len(values[name]) > 1]
    return {
        "same": {name: found[0][name] for name in names if len(values[name]) == 1},
        "columns": columns,
        "rows": [[one.get(name, ABSENT) for name in columns] for one in found],
    }


def _record(table: Mapping[str, Any], row: Sequence[Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in {
        **table["same"],
        **dict(zip(table["columns"], row, strict=True)),
    }.items():
        if value == ABSENT:
            continue
        *path, last = name.split(JOINT)
        place = record
        for part in path:
            place = place.setdefault(part, {})
        place[last] = unpacked(value)
    return record


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    return shortened(value) if isinstance(value, float) else value


def shortened(value: float) -> float:
    """The number in seven significant digits; in more where these would be rounded otherwise.

    Rounded once more, to five digits or fewer or to a whole number, it gives what the number itself
    gives.
    """
    wanted = _shown(value)
    of_digits = (float(f"{value:.{digits}g}") for digits in range(DIGITS, 17))
    return next((short for short in of_digits if _shown(short) == wanted), value)


def _shown(value: float) -> list[str]:
    return [f"{value:.0f}", *(f"{value:.{digits}g}" for digits in range(1, SHOWN + 1))]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _lines(value: Any) -> str:
    """JSON, with a line for every row and every entry that holds more than a value."""
    if isinstance(value, dict) and any(isinstance(one, dict | list) for one in value.values()):
        entries = (f"{json.dumps(name)}: {_lines(one)}" for name, one in value.items())
        return "{\n" + ",\n".join(entries) + "\n}"
    if isinstance(value, list) and value and all(isinstance(one, dict | list) for one in value):
        return "[\n" + ",\n".join(map(_compact, value)) + "\n]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
