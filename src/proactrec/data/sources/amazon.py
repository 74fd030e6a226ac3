"""Amazon reviews of 2018 and 2023 (McAuley Lab): one category of goods, JSON lines."""

import html
from pathlib import Path
from typing import NamedTuple

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions, keep_one
from proactrec.data.sources.files import (
    check_columns_exist,
    check_complete,
    parse_integers,
    parse_numbers,
)
from proactrec.data.sources.items import complete_catalogue, name_lists
from proactrec.data.sources.records import read_columns
from proactrec.data.trees import joined
from proactrec.errors import InvalidInputError
from proactrec.types import Repeats


class Layout(NamedTuple):
    """Names of a publication's files and fields."""

    suffix: str
    user: str
    item: str
    rating: str
    time: str
    categories: str
    maker: str


LAYOUT_2018 = Layout(
    ".json", "reviewerID", "asin", "overall", "unixReviewTime", "category", "brand"
)
LAYOUT_2023 = Layout(
    ".jsonl", "user_id", "parent_asin", "rating", "timestamp", "categories", "store"
)


def load_2018(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Reviews `CATEGORY.json` or `CATEGORY_5.json` (the 5-core), goods `meta_CATEGORY.json`.

    Fields of a review: `reviewerID`, `asin`, `overall`, `unixReviewTime` (seconds); of goods:
    `asin`, `title`, `category`, `brand`. All may end in `.gz`.

    The names in `category` lead from the outermost category down: they become one path, see
    :mod:`proactrec.data.trees`. Some lists go on with features of the good; `CategoryOptions.depth`
    cuts them. The column `levels` has the names as they are.

    Raises
    ------
    InvalidInputError
        If the folder does not hold one file of reviews and one of goods.
    DataError
        If a file is damaged, or lacks a field.
    """
    return _load(root, LAYOUT_2018, repeats)


def load_2023(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """As :func:`load_2018` for `CATEGORY.jsonl` and `meta_CATEGORY.jsonl`.

    Fields of a review: `user_id`, `parent_asin`, `rating`, `timestamp` (milliseconds); of goods:
    `parent_asin`, `title`, `categories`, `main_category`, `store`. The column `main_category` can
    be chosen as category where `categories` is empty.
    """
    return _load(root, LAYOUT_2023, repeats)


def _load(root: Path, layout: Layout, repeats: Repeats) -> tuple[Interactions, Catalogue]:
    path, goods_path = _only_files(root, layout.suffix)
    fields = [layout.user, layout.item, layout.rating, layout.time]
    rows = read_columns(path, fields)
    check_complete(rows, fields, path)
    events = rows.select(
        parse_integers(rows[layout.time], path).alias("timestamp"),
        parse_numbers(rows[layout.rating], path).alias("rating"),
        user_id=layout.user,
        item_id=layout.item,
    )
    kept = keep_one(events, str(path), repeats)
    return kept, complete_catalogue(_goods(goods_path, layout), kept, goods_path)


def _goods(path: Path, layout: Layout) -> pl.DataFrame:
    names = [layout.categories, layout.maker, "main_category"]
    rows = read_columns(path, [layout.item], optional=("title", *names))
    check_columns_exist(rows, [layout.item], path)
    columns = {name: name_lists(rows[name]) for name in names}
    columns["levels"] = columns[layout.categories]
    columns["categories"] = _paths(columns["levels"])
    titles = [html.unescape(title or "") for title in rows["title"]]
    items = pl.DataFrame({"item_id": rows[layout.item], "title": titles})
    return items.with_columns(values.alias(name) for name, values in columns.items())


def _paths(levels: pl.Series) -> pl.Series:
    """Every list of names as the one path that they make."""
    paths = [[joined(names)] if names else [] for names in levels.to_list()]
    return pl.Series(paths, dtype=pl.List(pl.String))


def _only_files(root: Path, suffix: str) -> tuple[Path, Path]:
    found = sorted([*root.glob(f"*{suffix}"), *root.glob(f"*{suffix}.gz")])
    goods = [path for path in found if path.name.startswith("meta_")]
    reviews = [path for path in found if path not in goods]
    if len(goods) != 1 or len(reviews) != 1:
        raise InvalidInputError(
            f"{root} must hold one file CATEGORY{suffix} and one file meta_CATEGORY{suffix} "
            f"(each may end in .gz), got {[path.name for path in found]}"
        )
    return reviews[0], goods[0]
