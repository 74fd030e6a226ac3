"""Steam (McAuley, UCSD): reviews as events, games with genres, tags and specs."""

import html
import re
import warnings
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.clock import start_of
from proactrec.data.interactions import Interactions, keep_one
from proactrec.data.sources.files import (
    check_columns_exist,
    check_complete,
    packed,
    raise_bad_values,
    read_delimited,
)
from proactrec.data.sources.items import complete_catalogue, name_lists
from proactrec.data.sources.records import (
    as_column,
    parse_literal,
    plain,
    read_columns,
    read_records,
)
from proactrec.errors import DataError, DataWarning
from proactrec.types import Repeats

GAMES = "steam_games.json"
REVIEWS = "steam_reviews.json"
AUSTRALIAN_REVIEWS = "australian_user_reviews.json"
AUSTRALIAN_TABLE = "au_user_reviews.csv"
LIST_FIELDS = ("genres", "tags", "specs", "developer", "publisher")
YEAR_OF_CRAWL = 2016
"""Steam shows no year on reviews of the running one; the Australian reviews were read in 2016."""
POSTED = re.compile(r"(?:Posted )?([A-Z][a-z]+) (\d{1,2})(?:, (\d{4}))?\.?")


def load(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Version 2 reviews: `username`, `product_id` and `date` (YYYY-MM-DD) of every review.

    One Python literal a line. `user_id` is missing in most reviews, so users are told by their
    name, as in the published sequence experiments.
    """
    path = packed(root / REVIEWS)
    fields = ["username", "product_id", "date"]
    rows = read_columns(path, fields, parse_literal)
    check_complete(rows, fields, path)
    times = _times(rows["date"], path)
    events = rows.select(user_id="username", item_id="product_id", timestamp=times)
    return _with_games(root, keep_one(events, str(path), repeats))


def load_australian(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Version 1 reviews of Australian users: one user a line, with a list of reviews.

    Read from `australian_user_reviews.json`, or else from a flat `au_user_reviews.csv` with the
    same fields. `recommend` is the rating, 1 or 0. Reviews without a year are of 2016
    (`YEAR_OF_CRAWL`); those without any date count as its last day. Both are counted in a
    :class:`DataWarning`.
    """
    path = packed(root / AUSTRALIAN_REVIEWS)
    if path.exists():
        rows = _nested_reviews(path)
    else:
        path = packed(root / AUSTRALIAN_TABLE)
        rows = read_delimited(path, ",", quote='"')
    check_columns_exist(rows, ["user_id", "item_id", "posted", "recommend"], path)
    check_complete(rows, ["user_id", "item_id", "recommend"], path)
    flags = rows["recommend"].replace_strict({"True": 1.0, "False": 0.0}, default=None)
    raise_bad_values(rows["recommend"], flags.is_null(), "must be True or False", path)
    times = _times(rows["posted"], path)
    events = rows.select("user_id", "item_id", timestamp=times, rating=flags)
    return _with_games(root, keep_one(events, str(path), repeats))


def _nested_reviews(path: Path) -> pl.DataFrame:
    names, numbers = ("user_id", "item_id", "posted", "recommend"), []
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for number, record in read_records(path, parse_literal):
        user_id = plain(record.get("user_id"), "user_id", number, path)
        reviews = record.get("reviews")
        if not isinstance(reviews, list) or not all(isinstance(one, dict) for one in reviews):
            raise DataError(f"reviews must be a list of records in {path}, line {number}")
        for review in reviews:
            numbers.append(number)
            columns["user_id"].append(user_id)
            for name in names[1:]:
                columns[name].append(plain(review.get(name), name, number, path))
    return pl.DataFrame([as_column(name, columns[name], numbers, path) for name in names])


def _times(values: pl.Series, path: Path) -> pl.Series:
    """Days as seconds since 1970, from YYYY-MM-DD or 'Posted November 5, 2011.'."""
    days = {text: _day(text) for text in values.drop_nulls().unique()}
    seconds = values.replace_strict(days, default=None, return_dtype=pl.Int64)
    is_bad = seconds.is_null() & values.is_not_null()
    raise_bad_values(values, is_bad, "must be a day as YYYY-MM-DD or 'Posted May 5, 2011.'", path)
    n_undated = values.null_count() + int(values.str.contains(r"^Posted [A-Z][a-z]+ \d+\.?$").sum())
    if n_undated:
        warnings.warn(
            f"{path}: {n_undated} of {values.len()} reviews say no year; they are of "
            f"{YEAR_OF_CRAWL}, and {values.null_count()} of them without a day count as its last",
            DataWarning,
            stacklevel=3,
        )
    return seconds.fill_null(start_of(date(YEAR_OF_CRAWL, 12, 31), 1))


def _day(text: str) -> int | None:
    try:
        if posted := POSTED.fullmatch(text):
            month, day, year = posted.groups()
            text = f"{year or YEAR_OF_CRAWL} {month} {day}"
            return start_of(datetime.strptime(text, "%Y %B %d").date(), 1)
        return start_of(date.fromisoformat(text), 1)
    except ValueError:
        return None


def _with_games(root: Path, events: Interactions) -> tuple[Interactions, Catalogue]:
    path = packed(root / GAMES)
    return events, complete_catalogue(read_games(path), events, path)


def read_games(path: Path) -> pl.DataFrame:
    """Games of `steam_games.json`: ids, titles and `LIST_FIELDS`; genres are categories.

    One Python literal a line; HTML entities in names are replaced.
    """
    optional = ("app_name", "title", *LIST_FIELDS)
    rows = read_columns(path, ["id"], parse_literal, optional=optional)
    check_columns_exist(rows, ["id"], path)
    lists = [name_lists(rows[name]) for name in LIST_FIELDS]
    titles = rows.select(pl.coalesce("app_name", "title").fill_null(""))["app_name"]
    return pl.DataFrame(
        {
            "item_id": rows["id"],
            "title": [html.unescape(title) for title in titles],
            "categories": lists[0],
        }
    ).with_columns(lists)
