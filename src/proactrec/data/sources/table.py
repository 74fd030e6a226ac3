"""Anybody's own logs: events, and optionally items, in CSV, TSV, Parquet or JSON-lines files."""

from pathlib import Path
from typing import ClassVar, Self

import polars as pl
from pydantic import Field, model_validator

from proactrec.config import Options
from proactrec.data.catalogue import Catalogue
from proactrec.data.ids import check_apart
from proactrec.data.interactions import Interactions, keep_one
from proactrec.data.sources import columns
from proactrec.data.sources.files import (
    check_columns_exist,
    parse_numbers,
    read_delimited,
    read_parquet,
)
from proactrec.data.sources.lines import check_is_file, kind_of
from proactrec.data.sources.records import read_columns
from proactrec.errors import InvalidInputError
from proactrec.types import Repeats

SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")


class TableOptions(Options):
    """Which files and columns hold the logs; the type of a file is read off its name."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"rating_column", "level_separator"})

    events: Path = Field(
        description="events: .csv, .tsv, .jsonl (each may end in .gz) or .parquet; for recbole the "
        ".inter file"
    )
    items: Path | None = Field(
        default=None,
        description="titles and categories of items, same types; for recbole the .item file",
    )
    user_column: str = Field(default="user_id", min_length=1, description="column of user ids")
    item_column: str = Field(
        default="item_id", min_length=1, description="column of item ids, in both files"
    )
    time_column: str | None = Field(
        default="timestamp",
        description="column of times, numbers or ISO 8601; none, or '': rows are in time order",
    )
    title_column: str | None = Field(
        default="title", description="column of titles; none, or '': ids are shown"
    )
    category_column: str | None = Field(
        default="categories", description="column of categories; none, or '': there are none"
    )
    category_separator: str = Field(
        default="|", min_length=1, description="what stands between two categories"
    )
    level_separator: str | None = Field(
        default=None,
        min_length=1,
        description="what stands between a category and one that lies in it, where that is no "
        "` > `, e.g. `/`",
    )
    rating_column: str | None = Field(
        default=None, description="column of ratings, of which a lowest one can be asked"
    )

    @model_validator(mode="after")
    def _differ(self) -> Self:
        check_apart(self.user_column, self.item_column, self.time_column)
        return self


def load(options: TableOptions, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Events and items as the options say.

    Ids stay exactly as they are written. Times are integers, decimal numbers or ISO 8601. Of
    repeated (user, item) pairs the earliest is kept, and items without a title are shown by their
    id, both with a :class:`DataWarning`. Without an items file all titles are ids and there are no
    categories.

    Raises
    ------
    InvalidInputError
        If a file does not exist, is a folder, or its name tells no known type.
    DataError
        If a file is damaged, lacks a column, or holds ids or times that cannot be used; the
        message counts them.
    """
    interactions = read_events(_read(options.events, _events(options)), options, repeats)
    if options.items is None:
        return interactions, ids_only(interactions)
    rows = _read(options.items, _items(options))
    return interactions, read_items(rows, options, options.items)


def read_events(
    rows: pl.DataFrame, options: TableOptions, repeats: Repeats = "earliest"
) -> Interactions:
    """Interactions from the rows of `options.events`."""
    path, time_column = options.events, options.time_column
    check_columns_exist(rows, _events(options), path)
    if time_column:
        timestamp = columns.times(rows[time_column], path)
    else:
        timestamp = pl.int_range(rows.height, eager=True)
    events = pl.DataFrame(
        {
            "user_id": columns.ids(rows[options.user_column], path),
            "item_id": columns.ids(rows[options.item_column], path),
            "timestamp": timestamp,
        }
    )
    if options.rating_column:
        ratings = rows[options.rating_column]
        events = events.with_columns(rating=parse_numbers(ratings, path, may_be_missing=True))
    return keep_one(events, str(path), repeats)


def read_items(rows: pl.DataFrame, options: TableOptions, path: Path) -> Catalogue:
    """Catalogue from the rows of an items file."""
    check_columns_exist(rows, _items(options), path)
    ids = columns.ids(rows[options.item_column], path)
    table = _plain(ids)
    if options.title_column:
        titles = columns.titles(rows[options.title_column], ids, path)
        table = table.with_columns(title=titles)
    if options.category_column:
        values = rows[options.category_column]
        categories = columns.categories(
            values, options.category_separator, path, level_separator=options.level_separator
        )
        table = table.with_columns(categories=categories)
    return Catalogue(table)


def ids_only(interactions: Interactions) -> Catalogue:
    """Catalogue of the items that occur, with ids for titles and no categories."""
    return Catalogue(_plain(interactions.table["item_id"].unique(maintain_order=True)))


def _events(options: TableOptions) -> list[str]:
    wanted = (options.user_column, options.item_column, options.time_column, options.rating_column)
    return [name for name in wanted if name]


def _items(options: TableOptions) -> list[str]:
    wanted = (options.item_column, options.title_column, options.category_column)
    return [name for name in wanted if name]


def _plain(ids: pl.Series) -> pl.DataFrame:
    none = pl.Series([[]] * len(ids), dtype=pl.List(pl.String))
    return pl.DataFrame({"item_id": ids, "title": ids, "categories": none})


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    kind = kind_of(path)
    if kind in JSON_LINES:
        return read_columns(path, columns)
    if path.suffix.lower() == ".parquet":
        return read_parquet(path)
    if kind not in SEPARATORS:
        if path.is_dir():
            check_is_file(path)
        raise InvalidInputError(
            f"{path} must end in .csv, .tsv, .jsonl, .csv.gz, .tsv.gz, .jsonl.gz or .parquet, "
            "to tell its type"
        )
    return read_delimited(path, SEPARATORS[kind], quote='"')
