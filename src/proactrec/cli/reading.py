"""Options of the commands that read somebody's logs: what means what, and how files are written."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from proactrec.data.importing.options import (
    EventColumns,
    FileOptions,
    ImportOptions,
    ItemColumns,
    TimeOptions,
    TimeUnit,
)
from proactrec.errors import InvalidInputError

COLUMNS, FILES = "Columns (guessed where not given)", "How the files are written"


def import_options(
    events: Sequence[str],
    items: Sequence[str] | None,
    columns: EventColumns,
    item_columns: ItemColumns,
    *,
    event_type: Annotated[
        str | None,
        typer.Option(help="Column of kinds of events. '' for none.", rich_help_panel=COLUMNS),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="KIND=NUMBER, repeatable: kinds that are not named are left out.",
            rich_help_panel=COLUMNS,
        ),
    ] = None,
    min_weight: Annotated[
        float,
        typer.Option(
            help="Least summed weight of a user and an item that counts.", rich_help_panel=COLUMNS
        ),
    ] = 0,
    items_id: Annotated[
        str | None,
        typer.Option(help="Column of item ids in the item files.", rich_help_panel=COLUMNS),
    ] = None,
    category_separator: Annotated[
        str | None,
        typer.Option(help="What stands between two categories.", rich_help_panel=COLUMNS),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of descriptions, repeatable. '' for none.", rich_help_panel=COLUMNS
        ),
    ] = None,
    time_unit: Annotated[
        str,
        typer.Option(help="auto, s, ms, us, ns, iso, or order (ranks).", rich_help_panel=FILES),
    ] = "auto",
    time_format: Annotated[
        str | None, typer.Option(help="E.g. '%d/%m/%Y %H:%M'.", rich_help_panel=FILES)
    ] = None,
    time_zone: Annotated[
        str,
        typer.Option(help="Of times that name none, e.g. Europe/Berlin.", rich_help_panel=FILES),
    ] = "UTC",
    separator: Annotated[
        str | None,
        typer.Option(help="Between columns of text files.", rich_help_panel=FILES),
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="Of text files, e.g. latin-1.", rich_help_panel=FILES)
    ] = "utf-8",
    no_header: Annotated[
        bool,
        typer.Option(
            "--no-header",
            help="Text files begin with data: columns are column_1, column_2, …",
            rich_help_panel=FILES,
        ),
    ] = False,
    **checks: Any,
) -> ImportOptions:
    """Everything that decides what is read."""
    return ImportOptions(
        events=tuple(events),
        items=tuple(items or ()),
        columns=columns.model_copy(update={"event_type": event_type}),
        item_columns=item_columns.model_copy(update={"item": items_id, "text": several(text)}),
        files=FileOptions(
            separator="\t" if separator == "\\t" else separator,
            encoding=encoding,
            has_header=not no_header,
        ),
        time=TimeOptions(unit=_time_unit(time_unit), format=time_format, zone=time_zone),
        category_separator=category_separator,
        weights=dict(_weight(pair) for pair in weight or []),
        min_weight=min_weight,
        **checks,
    )


def several(names: list[str] | None) -> tuple[str, ...] | None:
    """Names that are not empty; None where nothing was said."""
    return None if names is None else tuple(name for name in names if name)


def _time_unit(name: str) -> TimeUnit:
    return TimeOptions(unit=name).unit


def _weight(pair: str) -> tuple[str, float]:
    kind, separator, number = pair.rpartition("=")
    try:
        if separator and float(number) >= 0:
            return kind, float(number)
    except ValueError:
        pass
    raise InvalidInputError(f"--weight must have the form KIND=NUMBER, at least 0, got {pair!r}")
