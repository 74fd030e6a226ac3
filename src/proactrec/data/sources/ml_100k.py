"""MovieLens 100K (GroupLens): ratings as they lie in `u.data`, films and genres in `u.item`."""

from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources.files import check_complete, packed, read_delimited
from proactrec.data.sources.movielens import RATINGS, rated_events
from proactrec.types import Repeats

FILES = ("u.data", "u.item", "u.genre")
ITEM_COLUMNS = ["item_id", "title", "release_date", "video_date", "url"]
NO_GENRE = "unknown"


def load(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Every rating as a positive event, and films with their genres.

    The genre flag "unknown" is no category: its films have none.

    Raises
    ------
    DataError, InvalidInputError
        If a file is missing, damaged or has other columns than expected.
    """
    path = packed(root / "u.data")
    ratings = read_delimited(path, "\t", names=RATINGS)
    return rated_events(ratings, path, repeats), Catalogue(_films(root))


def _films(root: Path) -> pl.DataFrame:
    path = packed(root / "u.genre")
    rows = read_delimited(path, "|", names=["genre", "number"])
    check_complete(rows, ["genre"], path)
    genres = rows["genre"].to_list()
    path = packed(root / "u.item")
    films = read_delimited(path, "|", names=ITEM_COLUMNS + genres, encoding="latin-1")
    check_complete(films, ["item_id", "title", *genres], path)
    flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in genres if name != NO_GENRE]
    return films.select("item_id", "title", categories=pl.concat_list(flags).list.drop_nulls())
