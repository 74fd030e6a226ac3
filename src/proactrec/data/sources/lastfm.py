"""Last.fm listeners of HetRec 2011: tagging an artist is an event, the tags are categories."""

from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources.files import check_complete, parse_integers, read_delimited
from proactrec.data.sources.repeats import keep_earliest

FILES = ("user_taggedartists-timestamps.dat (or .dat.gz)", "artists.dat", "tags.dat")
LICENCE = "non-commercial use only (Last.fm, HetRec 2011)"
N_TAGS = 100
"""How many tags become categories: those that most artists carry."""


def load(root: Path) -> tuple[Interactions, Catalogue]:
    """The first tag of every (user, artist) in file order as an event, and artists with tags.

    Artists without a name in `artists.dat` have an empty title. An artist's categories are the tags
    among these first ones, reduced to the `N_TAGS` that most artists carry (ties: the lower tag
    number), so that every category is a shared one: the same rows that make the events make the
    categories, as in the published target file.

    Raises
    ------
    DataError, InvalidInputError
        If a file is missing, damaged or has other columns than expected.
    """
    artists_path = root / "artists.dat"
    artists = read_delimited(artists_path, "\t")
    check_complete(artists, ["id", "name"], artists_path)
    artists = artists.select(item_id="id", title="name")
    tagged = _first_tags(root)
    categories = _common_tags(tagged, root / "tags.dat")
    items = (
        tagged.select("item_id")
        .unique(maintain_order=True)
        .join(artists, on="item_id", how="left", maintain_order="left")
        .join(categories, on="item_id", how="left", maintain_order="left")
    )
    catalogue = Catalogue(
        items.with_columns(pl.col("title").fill_null(""), pl.col("categories").fill_null([]))
    )
    events = tagged.select("user_id", "item_id", "timestamp")
    return keep_earliest(events, str(root)), catalogue


def _first_tags(root: Path) -> pl.DataFrame:
    plain = root / "user_taggedartists-timestamps.dat"
    path = plain if plain.exists() else root / f"{plain.name}.gz"
    rows = read_delimited(path, "\t")
    check_complete(rows, ["userID", "artistID", "tagID", "timestamp"], path)
    times = parse_integers(rows["timestamp"], path)
    return rows.select(
        user_id="userID", item_id="artistID", tag_id="tagID", timestamp=times
    ).unique(["user_id", "item_id"], keep="first", maintain_order=True)


def _common_tags(tagged: pl.DataFrame, path: Path) -> pl.DataFrame:
    names = read_delimited(path, "\t", encoding="latin-1")
    check_complete(names, ["tagID", "tagValue"], path)
    number = parse_integers(names["tagID"], path)
    tags = names.select(tag_id="tagID", tag="tagValue").with_columns(number=number)
    carried = tagged.select("item_id", "tag_id").unique(maintain_order=True)
    most = (
        carried.group_by("tag_id")
        .len("n_artists")
        .join(tags, on="tag_id")
        .sort("n_artists", "number", descending=[True, False])
        .head(N_TAGS)
    )
    return (
        carried.join(most, on="tag_id")
        .sort("n_artists", "number", descending=[True, False])
        .group_by("item_id", maintain_order=True)
        .agg(categories="tag")
    )
