"""Flags of the commands that read somebody's logs: what means what, and how files are written."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from proactrec.cli.flags import Flags, built, flags_of
from proactrec.data.importing.options import ImportOptions
from proactrec.errors import InvalidInputError

COLUMNS = "Columns (guessed where not given)"
FILES = {
    **flags_of(
        ImportOptions,
        COLUMNS,
        "columns.event_type",
        "min_weight",
        "items",
        "item_columns.text",
        "category_separator",
        "level_separator",
        items_id="item_columns.item",
    ),
    **flags_of(
        ImportOptions,
        "How the files are written",
        "files.separator",
        "files.encoding",
        no_header="files.has_header",
        time_unit="time.unit",
        time_format="time.format",
        time_zone="time.zone",
    ),
}
Weight = Annotated[
    list[str] | None,
    typer.Option(
        help="KIND=NUMBER, repeatable: kinds that are not named are left out.",
        rich_help_panel=COLUMNS,
    ),
]


def import_options(
    flags: Flags, values: Mapping[str, Any], events: Sequence[str], weight: Sequence[str] | None
) -> ImportOptions:
    """Everything that decides what is read."""
    if not all(events):
        raise InvalidInputError("events must name files, folders or patterns, got ''")
    if values["separator"] == "\\t":
        values = {**values, "separator": "\t"}
    weights = dict(map(_weight, weight or []))
    return built(ImportOptions, flags, values, events=tuple(events), weights=weights)


def _weight(pair: str) -> tuple[str, float]:
    kind, separator, number = pair.rpartition("=")
    try:
        if separator and float(number) >= 0:
            return kind, float(number)
    except ValueError:
        pass
    raise InvalidInputError(f"--weight must have the form KIND=NUMBER, at least 0, got {pair!r}")
