"""Douban_movie (Kaggle, fengzhujoey; GA-DTCDR): film reviews with stars, films with tags."""

from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions, keep_one
from proactrec.data.sources import columns
from proactrec.data.sources.files import (
    check_columns_exist,
    check_complete,
    packed,
    parse_numbers,
    read_delimited,
)
from proactrec.data.sources.items import complete_catalogue, lists_of, with_lists
from proactrec.types import Repeats

REVIEWS, FILMS = "moviereviews_cleaned.txt", "movies_cleaned.txt"
FILES = (REVIEWS, FILMS)
NUMBER_OF_FILM = ("UID", "movie_id")
"""Where a film's number stands that the reviews use: the renumbered one, if there is one."""


def load(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Every review as an event, also without stars, and films; tags are categories.

    Layout: tab separated with a header and double quotes. Reviews: `user_id`, `movie_id`, `rating`,
    `comment`, `time` (YYYY-MM-DD), `labels` (the reviewer's own, separated by `|`). Films: `UID` or
    `movie_id`, `name`, `tag` (separated by `|`, or as a list in brackets) and more. UTF-8, or else
    GB18030. A film's column `labels` has those of all its reviewers.
    """
    path, films_path = packed(root / REVIEWS), packed(root / FILMS)
    rows = _read(path)
    check_complete(rows, ["user_id", "movie_id", "time"], path)
    check_columns_exist(rows, ["rating", "labels"], path)
    events = pl.DataFrame(
        {
            "user_id": columns.ids(rows["user_id"], path),
            "item_id": columns.ids(rows["movie_id"], path),
            "timestamp": columns.times(rows["time"], path),
            "rating": parse_numbers(rows["rating"], path, may_be_missing=True),
        }
    )
    labels = rows.select(item_id="movie_id", labels=pl.col("labels").str.split("|"))
    labels = labels.explode("labels").filter(pl.col("labels") != "")
    kept = keep_one(events, str(path), repeats)
    films = with_lists(_films(films_path), lists_of(labels, "labels"))
    return kept, complete_catalogue(films, kept, films_path)


def _films(path: Path) -> pl.DataFrame:
    rows = _read(path)
    number = next((name for name in NUMBER_OF_FILM if name in rows.columns), NUMBER_OF_FILM[0])
    check_complete(rows, [number], path)
    check_columns_exist(rows, ["name", "tag"], path)
    tags = pl.col("tag").fill_null("").str.strip_chars("[] ").str.replace_all(r"['\"]", "")
    split = pl.when(tags.str.contains("|", literal=True)).then(tags.str.split("|"))
    names = split.otherwise(tags.str.split(",")).list.eval(pl.element().str.strip_chars())
    return rows.select(
        item_id=number,
        title=pl.col("name").fill_null(""),
        categories=names.list.eval(pl.element().filter(pl.element() != "")).list.unique(
            maintain_order=True
        ),
    )


def _read(path: Path) -> pl.DataFrame:
    return read_delimited(path, "\t", quote='"', or_else="gb18030")
