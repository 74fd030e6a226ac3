"""MovieLens 100K to 32M and latest-small (GroupLens): `::` files up to 10M, then CSV files.

MovieTweetings (Simon Dooms) is read as MovieLens 10M: ratings of films found in tweets, from 0 to
10; a film's id is its IMDb number and keeps its zeros.
"""

from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions, keep_one
from proactrec.data.sources.files import (
    check_columns_exist,
    check_complete,
    packed,
    parse_integers,
    parse_numbers,
    raise_bad_values,
    read_delimited,
    read_text,
)
from proactrec.data.sources.items import lists_of, with_lists
from proactrec.types import Repeats

FILES_100K = ("u.data", "u.item", "u.genre")
OLD_FILES = ("ratings.dat", "movies.dat")
FILES = ("ratings.csv", "movies.csv")
RATINGS = ["user_id", "item_id", "rating", "timestamp"]
FILMS = ["item_id", "title", "genres"]
TAGS = ["user_id", "item_id", "tag", "timestamp"]
FILMS_100K = ["item_id", "title", "release_date", "video_date", "url"]
NO_GENRE_100K = "unknown"
NO_GENRES = "(no genres listed)"


def load_100k(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Every rating as a positive event, and films with their genres.

    The genre flag "unknown" is no category: its films have none.
    """
    path = packed(root / "u.data")
    ratings = read_delimited(path, "\t", names=RATINGS)
    return _events(ratings, path, repeats), Catalogue(_films_100k(root))


def load_1m(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """As :func:`load_10m`; its titles are Latin-1, and it has no tags."""
    return _load_old(root, repeats, encoding="latin-1")


def load_10m(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Every rating as a positive event, films with their genres, and tags if `tags.dat` is there.

    Layout: `UserID::MovieID::Rating::Timestamp`, `MovieID::Title::Genres` with genres separated by
    `|`, `UserID::MovieID::Tag::Timestamp` (README of MovieLens 10M).
    """
    return _load_old(root, repeats, encoding="utf-8-sig")


def load(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Every rating as a positive event, films with their genres, and tags if `tags.csv` is there.

    Layout: CSV with the headers `userId,movieId,rating,timestamp`, `movieId,title,genres` and
    `userId,movieId,tag,timestamp` (README of MovieLens 20M and later).
    """
    path = packed(root / "ratings.csv")
    ratings = _renamed(path, {"userId": "user_id", "movieId": "item_id"}, RATINGS)
    films_path, tags_path = packed(root / "movies.csv"), packed(root / "tags.csv")
    films = _renamed(films_path, {"movieId": "item_id"}, FILMS)
    tags = None
    if tags_path.exists():
        tags = _renamed(tags_path, {"movieId": "item_id"}, ["item_id"])
        check_columns_exist(tags, ["tag"], tags_path)  # single ones may be missing
    return _events(ratings, path, repeats), _films(films, tags, films_path)


def _films_100k(root: Path) -> pl.DataFrame:
    path = packed(root / "u.genre")
    rows = read_delimited(path, "|", names=["genre", "number"])
    check_complete(rows, ["genre"], path)
    genres = rows["genre"].to_list()
    path = packed(root / "u.item")
    films = read_delimited(path, "|", names=FILMS_100K + genres, encoding="latin-1")
    check_complete(films, ["item_id", "title", *genres], path)
    flags = [
        pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in genres if name != NO_GENRE_100K
    ]
    return films.select("item_id", "title", categories=pl.concat_list(flags).list.drop_nulls())


def _load_old(root: Path, repeats: Repeats, *, encoding: str) -> tuple[Interactions, Catalogue]:
    path, films_path = packed(root / "ratings.dat"), packed(root / "movies.dat")
    tags_path = packed(root / "tags.dat")
    ratings = read_double_colon(path, RATINGS, free="timestamp")
    films = read_double_colon(films_path, FILMS, free="title", encoding=encoding)
    tags = None
    if tags_path.exists():
        tags = read_double_colon(tags_path, TAGS, free="tag", encoding=encoding)
    return _events(ratings, path, repeats), _films(films, tags, films_path)


def read_double_colon(
    path: Path, names: list[str], *, free: str, encoding: str = "utf-8-sig"
) -> pl.DataFrame:
    """Rows of a file without a header, every value as text and empty fields as null.

    The column `free` may hold `::` itself, e.g. a title. Raises as
    :func:`proactrec.data.sources.files.read_text`; also if a line has too few columns.
    """
    lines = pl.Series("line", read_text(path, encoding=encoding).split("\n"))
    n_before = names.index(free)
    groups = ["(.*?)"] * n_before + ["(.*)"] * (len(names) - n_before)
    pattern = f"^{'::'.join(groups)}$"
    columns = {name: lines.str.extract(pattern, n) for n, name in enumerate(names, start=1)}
    shape = f"must have the form {'::'.join(names)}"
    raise_bad_values(lines, columns[names[0]].is_null(), shape, path)
    return pl.DataFrame({name: column.replace("", None) for name, column in columns.items()})


def _renamed(path: Path, names: dict[str, str], wanted: list[str]) -> pl.DataFrame:
    rows = read_delimited(path, ",", quote='"')
    published = {ours: theirs for theirs, ours in names.items()}
    check_complete(rows, [published.get(name, name) for name in wanted], path)
    return rows.rename(names)


def _events(ratings: pl.DataFrame, path: Path, repeats: Repeats) -> Interactions:
    check_complete(ratings, RATINGS, path)
    times = parse_integers(ratings["timestamp"], path)
    stars = parse_numbers(ratings["rating"], path)
    return keep_one(ratings.select("user_id", "item_id", times, stars), str(path), repeats)


def _films(films: pl.DataFrame, tags: pl.DataFrame | None, path: Path) -> Catalogue:
    check_complete(films, ["item_id", "title"], path)
    genres = pl.col("genres").fill_null("").str.split("|")
    films = films.with_columns(
        categories=genres.list.filter(~pl.element().is_in(["", NO_GENRES]))
    ).drop("genres")
    if tags is not None:
        films = with_lists(films, lists_of(tags, "tag").rename({"tag": "tags"}))
    return Catalogue(films)
