"""RecBole's atomic files: `.inter` with the events, `.item` with titles and categories if there."""

from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources.files import read_delimited
from proactrec.data.sources.table import TableOptions, ids_only, read_events, read_items
from proactrec.errors import DataError, InvalidInputError
from proactrec.types import Repeats

TYPES = ("token", "float", "token_seq", "float_seq")
TITLES = ("title", "name", "movie_title", "item_name")
CATEGORIES = ("genre", "class", "categories", "category", "tags")


def load(
    root: Path, items: Path | None = None, repeats: Repeats = "earliest"
) -> tuple[Interactions, Catalogue]:
    """Events of `user_id:token`, `item_id:token` and `timestamp:float`, and their items.

    A column `rating:float` is kept as the rating.

    Parameters
    ----------
    root : Path
        The `.inter` file, or a folder that holds exactly one.
    items : Path, optional
        The `.item` file; by default the one beside the `.inter` file with the same name, if there.
        The title is its token or token_seq column named as one of `TITLES`, the categories its
        token_seq column named as one of `CATEGORIES`.

    Raises
    ------
    InvalidInputError
        If a file does not exist, or the folder does not hold exactly one `.inter` file.
    DataError
        If a file is damaged, a header is not of the form `name:type`, or ids or times cannot be
        used; the message counts them.
    """
    path = _only_inter_file(root) if root.is_dir() else root
    rows, types = _read(path)
    rating = "rating" if types.get("rating") == "float" else None
    interactions = read_events(rows, TableOptions(events=path, rating_column=rating), repeats)
    beside = path.with_suffix(".item")
    items = beside if items is None and beside.exists() else items
    if items is None:
        return interactions, ids_only(interactions)
    rows, types = _read(items)
    options = TableOptions(
        events=path,
        title_column=_first(TITLES, types, ("token", "token_seq")),
        category_column=_first(CATEGORIES, types, ("token_seq",)),
        category_separator=" ",
    )
    return interactions, read_items(rows, options, items)


def _only_inter_file(folder: Path) -> Path:
    found = sorted(folder.glob("*.inter"))
    if len(found) != 1:
        names = [path.name for path in found]
        raise InvalidInputError(f"{folder} must hold exactly one .inter file, got {names}")
    return found[0]


def _read(path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    rows = read_delimited(path, "\t")
    types = {}
    for header in rows.columns:
        name, _, kind = header.rpartition(":")
        if not name or kind not in TYPES:
            raise DataError(
                f"{path} must have headers of the form name:type with a type of {TYPES}, "
                f"got {header!r}"
            )
        types[name] = kind
    return rows.rename(dict(zip(rows.columns, types, strict=True))), types


def _first(names: tuple[str, ...], types: dict[str, str], kinds: tuple[str, ...]) -> str | None:
    return next((name for name in names if types.get(name) in kinds), None)
