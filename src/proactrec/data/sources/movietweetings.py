"""MovieTweetings (Simon Dooms): ratings of films found in tweets, from 0 to 10."""

from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources.double_colon import read_double_colon
from proactrec.data.sources.files import check_complete, packed, parse_integers, parse_numbers
from proactrec.data.sources.repeats import keep_one
from proactrec.types import Repeats

FILES = ("ratings.dat", "movies.dat")
RATINGS = ["user_id", "item_id", "rating", "timestamp"]
FILMS = ["item_id", "title", "genres"]


def load(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Every rating as a positive event, and films with their genres.

    Layout: `user_id::movie_id::rating::rating_timestamp` and `movie_id::title (year)::genre|genre`,
    UTF-8 (the repository's README). A film's id is its IMDb number and keeps its zeros.

    Raises
    ------
    DataError, InvalidInputError
        If a file is missing, damaged or of another layout.
    """
    path, films_path = packed(root / "ratings.dat"), packed(root / "movies.dat")
    rows = read_double_colon(path, RATINGS, free="timestamp")
    check_complete(rows, RATINGS, path)
    times = parse_integers(rows["timestamp"], path)
    events = rows.select("user_id", "item_id", times, parse_numbers(rows["rating"], path))
    films = read_double_colon(films_path, FILMS, free="title")
    check_complete(films, ["item_id", "title"], films_path)
    genres = pl.col("genres").fill_null("").str.split("|")
    return keep_one(events, str(path), repeats), Catalogue(
        films.select("item_id", "title", categories=genres.list.filter(pl.element() != ""))
    )
