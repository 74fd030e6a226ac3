"""Item tables of published sets: doubled and missing items, and lists of names."""

import html
import warnings
from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.errors import DataWarning


def lists_of(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """One row an item, with its distinct values in the column `name` as a list, in row order."""
    return (
        rows.select("item_id", name)
        .drop_nulls()
        .unique(maintain_order=True)
        .group_by("item_id", maintain_order=True)
        .agg(name)
    )


def with_lists(items: pl.DataFrame, *lists: pl.DataFrame) -> pl.DataFrame:
    """Items with the list columns of other tables; an empty list where those lack the item."""
    for table in lists:
        items = items.join(table, on="item_id", how="left", maintain_order="left")
    return items.with_columns(pl.col(pl.List(pl.String)).fill_null([]))


def name_lists(values: pl.Series) -> pl.Series:
    """Lists of distinct names, from lists or single names, with HTML entities replaced.

    What holds a piece of a web page's markup is no name (it occurs in Amazon's lists of 2018).
    """
    lists = values if values.dtype == pl.List else values.reshape((-1, 1)).arr.to_list()
    spelled = lists.explode().drop_nulls().unique()
    clean = {name: html.unescape(name).strip() for name in spelled}
    name = pl.element().replace(clean)
    kept = name.filter((name != "") & ~name.str.contains("<", literal=True))
    return lists.list.eval(kept).list.unique(maintain_order=True).fill_null([]).rename(values.name)


def complete_catalogue(items: pl.DataFrame, events: Interactions, path: Path) -> Catalogue:
    """A catalogue of the items, and of those in the events that the items' file lacks.

    Such items have neither title nor category. Of items that stand twice the first counts, and
    items without an id are left out. All three are counted in a :class:`DataWarning`.
    """
    named = items.drop_nulls("item_id")
    first = named.unique("item_id", keep="first", maintain_order=True)
    _warn(path, items.height - named.height, items.height, "have no id and are left out")
    _warn(path, named.height - first.height, items.height, "repeat an id; the first of each counts")
    touched = events.table.select("item_id").unique(maintain_order=True)
    absent = touched.join(first, on="item_id", how="anti", maintain_order="left")
    if absent.height:
        warnings.warn(
            f"{path} lacks {absent.height} of {touched.height} items that occur in events; "
            "they have no title and no category",
            DataWarning,
            stacklevel=2,
        )
    table = pl.concat([first, absent], how="diagonal")
    return Catalogue(
        table.with_columns(pl.col("title").fill_null(""), pl.col(pl.List(pl.String)).fill_null([]))
    )


def _warn(path: Path, n: int, n_rows: int, what: str) -> None:
    if n:
        warnings.warn(f"{path}: {n} of {n_rows} items {what}", DataWarning, stacklevel=3)
