"""Which categories items have: of any list column, how deep, the largest, spellings merged."""

import re
import unicodedata
from typing import ClassVar

import polars as pl
from pydantic import Field

from proactrec.config import Options
from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.trees import ARROW, levels, with_ancestors, within
from proactrec.errors import DataError

NOT_SPELLED = re.compile(r"[^\w+#]|_")
"""What two spellings of a name may differ in; + and # tell C, C++ and C# apart."""


class CategoryOptions(Options):
    """What becomes a category, instead of what the source says."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"depth"})

    source: str | None = Field(
        default=None,
        description="column of the catalogue that holds categories, e.g. genres, tags, developer; "
        "the data set's own if not given",
    )
    merge_spellings: bool = Field(
        default=False,
        description="treat categories as one that differ in case, spaces and marks only",
    )
    top: int | None = Field(
        default=None, ge=1, description="how many of the largest categories are kept"
    )
    min_items: int | None = Field(
        default=None, ge=1, description="fewest items of a category that is kept"
    )
    depth: int | None = Field(
        default=None,
        ge=1,
        description="levels of a tree that are kept; what lies deeper goes up to them",
    )


def choose_categories(
    catalogue: Catalogue, interactions: Interactions, options: CategoryOptions
) -> Catalogue:
    """The catalogue with other categories; sizes count items that somebody touched.

    In a tree, an item of a category that is not kept goes up to the next one that is. Items that
    are left without a category are kept.

    Raises
    ------
    DataError
        If the catalogue has no such column, or it holds no lists of names.
    """
    table = _from_column(catalogue.table, options.source)
    carried = table.select("item_id", name="categories").explode("name").drop_nulls("name")
    if options.depth is not None:
        cut = [ARROW.join(levels(name)[: options.depth]) for name in carried["name"]]
        carried = carried.with_columns(name=pl.Series(cut, dtype=pl.String))
    touched = interactions.table.select("item_id").unique()
    if options.merge_spellings:
        carried = _merged(carried, touched)
    carried = _with_ancestors(carried)
    kept = _sizes(carried, touched)
    if options.min_items is not None:
        kept = kept.filter(pl.col("n_items") >= options.min_items)
    if options.top is not None:
        kept = kept.head(options.top)
    lists = (
        carried.join(kept, on="name", how="semi", maintain_order="left")
        .unique(maintain_order=True)
        .group_by("item_id", maintain_order=True)
        .agg(categories="name")
    )
    chosen = table.drop("categories").join(lists, on="item_id", how="left", maintain_order="left")
    return Catalogue(chosen.with_columns(pl.col("categories").fill_null([])))


def _from_column(table: pl.DataFrame, source: str | None) -> pl.DataFrame:
    if source is None:
        return table
    lists = [n for n, kind in table.schema.items() if kind == pl.List(pl.String)]
    if source not in lists:
        raise DataError(f"category source {source!r} does not exist; there are {', '.join(lists)}")
    return table.with_columns(categories=pl.col(source))


def _sizes(carried: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    """Number of touched items of every name, most first, then by name."""
    return (
        carried.join(touched, on="item_id", how="semi")
        .unique()
        .group_by("name")
        .len("n_items")
        .sort("n_items", "name", descending=[True, False])
    )


def _with_ancestors(carried: pl.DataFrame) -> pl.DataFrame:
    """Every item with its categories and all that these lie in."""
    above = pl.Series([within(name) for name in carried["name"]], dtype=pl.List(pl.String))
    return carried.with_columns(name=above).explode("name")


def _merged(carried: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    """Every name, level by level, in the spelling that most items carry."""
    own = carried["name"].unique().to_list()
    names = with_ancestors(own)
    spelled = pl.DataFrame({"name": names, "key": [_key(name) for name in names]})
    sizes = spelled.join(_sizes(_with_ancestors(carried), touched), on="name", how="left")
    first = (
        sizes.sort("n_items", "name", descending=[True, False], nulls_last=True)
        .group_by("key", maintain_order=True)
        .agg(pl.col("name").first())
    )
    last = {key: levels(name)[-1] for key, name in first.rows()}
    merged = {name: ARROW.join(last[_key(one)] for one in within(name)) for name in own}
    return carried.with_columns(pl.col("name").replace_strict(merged, return_dtype=pl.String))


def _key(name: str) -> str:
    """What spellings of a name have in common, level by level."""
    plain = [unicodedata.normalize("NFKC", level).casefold() for level in levels(name)]
    return ARROW.join(NOT_SPELLED.sub("", level) or level for level in plain)
