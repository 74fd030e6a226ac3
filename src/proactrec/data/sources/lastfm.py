"""Last.fm listeners of HetRec 2011: tagging an artist is an event, the tags are categories."""

from pathlib import Path

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions, keep_one
from proactrec.data.sources.files import check_complete, packed, parse_integers, read_delimited
from proactrec.data.sources.items import lists_of, with_lists
from proactrec.types import Repeats

FILES = ("user_taggedartists-timestamps.dat", "artists.dat", "tags.dat")
N_TAGS = 100
"""How many tags become categories: those that most artists carry."""


def load(root: Path, repeats: Repeats = "earliest") -> tuple[Interactions, Catalogue]:
    """The first tag of every (user, artist) in file order as an event, and artists with tags.

    Artists without a name in `artists.dat` have an empty title. An artist's categories are the tags
    among these first ones, reduced to the `N_TAGS` that most artists carry (ties: the lower tag
    number), so that every category is a shared one: the same rows that make the events make the
    categories, as in the published target file. The catalogue's column `tags` has them all. An
    artist that a user tagged twice counts at the first of these rows, whatever `repeats` says.
    """
    artists_path = packed(root / "artists.dat")
    artists = read_delimited(artists_path, "\t")
    check_complete(artists, ["id", "name"], artists_path)
    artists = artists.select(item_id="id", title="name")
    tagged = _first_tags(root)
    carried = _carried_tags(tagged, packed(root / "tags.dat"))
    items = (
        tagged.select("item_id")
        .unique(maintain_order=True)
        .join(artists, on="item_id", how="left", maintain_order="left")
        .with_columns(pl.col("title").fill_null(""))
    )
    common = lists_of(carried.filter(pl.col("place") < N_TAGS), "tag")
    tags = lists_of(carried, "tag").rename({"tag": "tags"})
    items = with_lists(items, common.rename({"tag": "categories"}), tags)
    events = tagged.select("user_id", "item_id", "timestamp")
    return keep_one(events, str(root), repeats), Catalogue(items)


def _first_tags(root: Path) -> pl.DataFrame:
    path = packed(root / "user_taggedartists-timestamps.dat")
    rows = read_delimited(path, "\t")
    check_complete(rows, ["userID", "artistID", "tagID", "timestamp"], path)
    times = parse_integers(rows["timestamp"], path)
    return rows.select(
        user_id="userID", item_id="artistID", tag_id="tagID", timestamp=times
    ).unique(["user_id", "item_id"], keep="first", maintain_order=True)


def _carried_tags(tagged: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Tags that artists carry, with the tag's place by how many do: most first, then by number."""
    names = read_delimited(path, "\t", encoding="latin-1")
    check_complete(names, ["tagID", "tagValue"], path)
    number = parse_integers(names["tagID"], path)
    tags = names.select(tag_id="tagID", tag="tagValue").with_columns(number=number)
    carried = tagged.select("item_id", "tag_id").unique(maintain_order=True)
    places = (
        carried.group_by("tag_id")
        .len("n_artists")
        .join(tags, on="tag_id")
        .sort("n_artists", "number", descending=[True, False])
        .with_row_index("place")
    )
    return carried.join(places, on="tag_id").sort("place").select("item_id", "tag", "place")
