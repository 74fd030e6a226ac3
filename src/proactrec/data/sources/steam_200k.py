"""steam-200k (Kaggle, tamber): who bought and played which game, without times."""

import re
import warnings
from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions, keep_one
from proactrec.data.sources.files import check_complete, packed, parse_numbers, read_delimited
from proactrec.data.sources.items import complete_catalogue
from proactrec.data.sources.steam import GAMES, LIST_FIELDS, read_games
from proactrec.errors import DataError, DataWarning
from proactrec.types import Repeats

TABLE = "steam-200k.csv"
PURCHASES, PLAYS, NAMES = "steam200k_purchase.dat", "steam200k_play.dat", "steam200k_item_info.dat"
PARTS = (PURCHASES, PLAYS, NAMES)
COLUMNS = ["user_id", "title", "behaviour", "value", "zero"]
NOT_SPELLED = re.compile(r"[^a-z0-9]")


def load(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """Every purchase as an event, with the hours played as its rating (null if never).

    Read from the publisher's `steam-200k.csv` (user, title, purchase or play, value, 0; no header),
    where a game's id is its title, or else from the three files of CaseRec. There are no times: the
    rows' order stands for them, with a :class:`DataWarning`. If `steam_games.json` lies beside
    them, games whose names match (letters and digits only) get its genres, tags and specs.
    """
    plain = packed(root / TABLE)
    path, bought, hours, items = _published(plain) if plain.exists() else _split(root)
    warnings.warn(
        f"{path} has no times: the order of its rows stands for them", DataWarning, stacklevel=2
    )
    events = bought.with_columns(timestamp=pl.int_range(pl.len())).join(
        hours.group_by("user_id", "item_id").agg(pl.col("rating").max()),
        on=["user_id", "item_id"],
        how="left",
        maintain_order="left",
    )
    kept = keep_one(events, str(path), repeats)
    return kept, complete_catalogue(_with_genres(items, root), kept, path)


Parts = tuple[Path, pl.DataFrame, pl.DataFrame, pl.DataFrame]


def _published(path: Path) -> Parts:
    rows = read_delimited(path, ",", names=COLUMNS, quote='"')
    check_complete(rows, COLUMNS, path)
    known = rows["behaviour"].is_in(["purchase", "play"])
    if not known.all():
        row = (~known).arg_true()[0]
        raise DataError(
            f"behaviour must be purchase or play in {path}, got {rows['behaviour'][row]!r} "
            f"in line {row + 1}"
        )
    rows = rows.with_columns(item_id="title", rating=parse_numbers(rows["value"], path))
    bought = rows.filter(pl.col("behaviour") == "purchase").select("user_id", "item_id")
    hours = rows.filter(pl.col("behaviour") == "play").select("user_id", "item_id", "rating")
    items = bought.select("item_id", title="item_id").unique(maintain_order=True)
    return path, bought, hours, items


def _split(root: Path) -> Parts:
    path, plays_path, names_path = (packed(root / name) for name in PARTS)
    bought = _checked(path, {"User_ID": "user_id", "Game_ID": "item_id"})
    plays = _checked(plays_path, {"User_ID": "user_id", "Game_ID": "item_id", "Hours": "rating"})
    names = _checked(names_path, {"Game_ID": "item_id", "Game Name": "title"})
    hours = plays.with_columns(parse_numbers(plays["rating"], plays_path))
    return path, bought, hours, names


def _checked(path: Path, names: dict[str, str]) -> pl.DataFrame:
    rows = read_delimited(path, "\t")
    check_complete(rows, list(names), path)
    return rows.select(**{ours: theirs for theirs, ours in names.items()})


def _with_genres(items: pl.DataFrame, root: Path) -> pl.DataFrame:
    path = packed(root / GAMES)
    if not path.exists():
        return items.with_columns(categories=pl.lit([], dtype=pl.List(pl.String)))
    games = read_games(path)
    games = games.with_columns(key=_key(games["title"])).filter(pl.col("key") != "")
    games = games.unique("key", keep="first", maintain_order=True)
    matched = items.with_columns(key=_key(items["title"])).join(
        games.select("key", "categories", *LIST_FIELDS), on="key", how="left", maintain_order="left"
    )
    return matched.drop("key")


def _key(titles: pl.Series) -> pl.Series:
    return pl.Series([NOT_SPELLED.sub("", title.lower()) for title in titles], dtype=pl.String)
