"""The catalogue of an import: titles, categories and texts from item files, one row an item."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from proactrec.data import ids
from proactrec.data.importing.guess import guess_separator
from proactrec.data.importing.nesting import guess_levels
from proactrec.data.importing.options import ImportOptions, ItemColumns
from proactrec.data.importing.problems import Problems, sift
from proactrec.data.importing.tables.base import LINE, Table, TornTableError, check_columns
from proactrec.data.trees import ARROW, joined

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "categories": pl.List(pl.String),
    "text": pl.String,
}
FLAT = " / "
"""What stands for an arrow in a name that is no path."""


class FoundItems(NamedTuple):
    """A catalogue table, and what was done to get it."""

    table: pl.DataFrame  # item_id, title ("" for none), categories, text
    n_rows: int
    n_merged: int  # rows of an item that had one already
    n_conflicts: int  # items whose rows give different titles
    problems: Problems
    separator: str | None
    level_separator: str | None


def read_items(tables: Sequence[Table], options: ImportOptions) -> FoundItems:
    """Items of all tables; rows of one item are merged: first title and text, all categories."""
    problems, frames, n_rows, columns = Problems(), [], 0, options.item_columns
    several = (*(columns.categories or ()), *(columns.levels or ()), *(columns.text or ()))
    singles = [columns.item, columns.title or None]
    wanted = list(dict.fromkeys([*filter(None, singles), *several]))
    for table in tables:
        check_columns(table, wanted)
        rows, found = _read(table, wanted)
        problems.take(found)
        n_rows += rows.height + found.n
        frames.append(_cleaned(rows, table, columns, problems))
    items = pl.concat(frames) if frames else pl.DataFrame(schema={**SCHEMA, "path": pl.String})
    separators = _separators(items, options.category_separator, options.level_separator)
    return _merged(items, *separators, n_rows, problems)


def none() -> FoundItems:
    """The items of an import without item files."""
    return FoundItems(pl.DataFrame(schema=SCHEMA), 0, 0, 0, Problems(), None, None)


def _separators(
    items: pl.DataFrame, separator: str | None, level_separator: str | None
) -> tuple[str | None, str | None]:
    """What stands between categories, and between levels; guessed where not given."""
    sample = items["categories"].list.explode().drop_nulls().head(10_000).to_list()
    if level_separator is None:
        lists = ([v] if separator is None else v.split(separator) for v in sample)
        single = (part for parts in lists for part in parts)
        level_separator = guess_levels(p for v in single for p in category_names(v, None, None))
    if separator is None:
        separator = guess_separator(sample, level_separator)
    return separator, level_separator


def _read(table: Table, names: list[str]) -> tuple[pl.DataFrame, Problems]:
    try:
        return _read_once(table, names)
    except TornTableError:
        return _read_once(table, names)


def _read_once(table: Table, names: list[str]) -> tuple[pl.DataFrame, Problems]:
    problems = Problems()
    batches = list(table.batches(names, problems))
    if not batches:
        return table.sample(names).head(0).with_columns(pl.lit(0).alias(LINE)), problems
    rows = pl.concat(batches, how="vertical_relaxed")
    if table.unit == "line":  # blank lines are no rows
        rows = rows.filter(~pl.all_horizontal(pl.col(names).is_null()))
    return rows, problems


def _cleaned(
    rows: pl.DataFrame, table: Table, columns: ItemColumns, problems: Problems
) -> pl.DataFrame:
    item = ids.texts(rows[str(columns.item)], table.path)
    reasons = [
        (f"{columns.item} holds no item", ids.is_missing(item), item),
        (f"{columns.item} holds a line end or NUL", ids.is_broken(item), item),
    ]
    is_good = sift(reasons, rows[LINE], f"{table.path}, {table.unit}", problems)
    empty = pl.repeat("", rows.height, eager=True)
    titles = _texts(rows[columns.title], table.path) if columns.title else empty
    frame = pl.DataFrame(
        {
            "item_id": item,
            "title": titles.fill_null("").str.strip_chars(),
            "categories": _lists([rows[name] for name in columns.categories or ()], rows.height),
            "text": _joined([_texts(rows[name], table.path) for name in columns.text or ()], empty),
            "path": _paths(
                [_texts(rows[name], table.path) for name in columns.levels or ()], empty
            ),
        }
    )
    return frame.filter(is_good)


def _merged(
    items: pl.DataFrame,
    separator: str | None,
    level_separator: str | None,
    n_rows: int,
    problems: Problems,
) -> FoundItems:
    distinct = items["categories"].list.explode().drop_nulls().unique().to_list()
    names = {value: category_names(value, separator, level_separator) for value in distinct}
    split = items.select("item_id", value="categories").explode("value").drop_nulls()
    split_names = [names[value] for value in split["value"].to_list()]
    lists = pl.Series("name", split_names, dtype=pl.List(pl.String))
    named = split.select("item_id", name=lists).explode("name").drop_nulls("name")
    categories = (
        pl.concat([named, items.filter(pl.col("path") != "").select("item_id", name="path")])
        .group_by("item_id", maintain_order=True)
        .agg(categories=pl.col("name").unique(maintain_order=True))
    )
    filled = pl.col("title").filter(pl.col("title") != "")
    merged = items.group_by("item_id", maintain_order=True).agg(
        title=filled.first(),
        n_titles=filled.n_unique(),
        text=pl.col("text").filter(pl.col("text") != "").first(),
    )
    table = merged.join(categories, on="item_id", how="left", maintain_order="left").select(
        "item_id",
        pl.col("title").fill_null(""),
        pl.col("categories").fill_null([]).cast(pl.List(pl.String)),
        pl.col("text").fill_null(""),
    )
    return FoundItems(
        table,
        n_rows,
        items.height - table.height,
        int((merged["n_titles"] > 1).sum()),
        problems,
        separator,
        level_separator,
    )


def category_names(
    value: str, separator: str | None, level_separator: str | None = None
) -> list[str]:
    """Distinct names in a value: split at the separator, or read as the list that it writes.

    With a `level_separator` they are paths, see :mod:`proactrec.data.trees`; with "" none is.
    """
    if value.lstrip().startswith("["):
        parts = _written_list(value)
    else:
        parts = value.split(separator) if separator else [value]
    names = (_path(str(part), level_separator) for part in parts)
    return list(dict.fromkeys(name for name in names if name))


def _path(name: str, level_separator: str | None) -> str:
    if level_separator:
        return joined(name.split(level_separator))
    return name.strip() if level_separator is None else name.strip().replace(ARROW, FLAT)


def _written_list(value: str) -> list[Any]:
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return _flattened(found)
    return [value]


def _flattened(values: list[Any]) -> list[Any]:
    return [
        part
        for value in values
        for part in (_flattened(value) if isinstance(value, list) else [value])
        if part is not None
    ]


def _lists(values: list[pl.Series], height: int) -> pl.Series:
    """Everything that category columns hold for an item, as one list of texts."""
    if not values:
        return pl.Series([[]] * height, dtype=pl.List(pl.String))
    as_lists = [
        v.cast(pl.List(pl.String))
        if isinstance(v.dtype, (pl.List, pl.Array))
        else v.cast(pl.String).reshape((-1, 1)).cast(pl.List(pl.String))
        for v in values
    ]
    return pl.select(pl.concat_list([lists.fill_null([]) for lists in as_lists])).to_series()


def _texts(values: pl.Series, path: Path) -> pl.Series:
    if isinstance(values.dtype, (pl.List, pl.Array)):
        return values.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
    return ids.texts(values, path)


def _paths(texts: list[pl.Series], empty: pl.Series) -> pl.Series:
    """The path of the levels that each row names."""
    if not texts:
        return empty
    rows = zip(*(text.fill_null("").to_list() for text in texts), strict=True)
    return pl.Series([joined(row) for row in rows], dtype=pl.String)


def _joined(texts: list[pl.Series], empty: pl.Series) -> pl.Series:
    if not texts:
        return empty
    filled = [text.fill_null("") for text in texts]
    return pl.select(pl.concat_str(filled, separator=" ").str.strip_chars()).to_series()
