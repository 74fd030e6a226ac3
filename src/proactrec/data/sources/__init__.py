"""Where data comes from: one file a source, and the published data sets by name.

Of each: addresses, checksums and what its licence asks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources import (
    amazon,
    douban_movie,
    lastfm,
    movielens,
    steam,
    steam_200k,
)
from proactrec.types import Repeats

GROUPLENS = "https://files.grouplens.org/datasets"
MCAULEY = "https://mcauleylab.ucsd.edu/public_datasets/data"
MOVIELENS_OLD = "research use only, not redistributable (GroupLens)"
MOVIELENS = "research use, no commercial use without permission; redistributable alike (GroupLens)"
RESEARCH = "no licence is stated: research use, cite the papers on the publisher's page"
PART = "{part}"
"""Stands in an address for the part of a set that is asked for, e.g. a category of Amazon."""
OR = " or "
CATEGORY = "CATEGORY"
"""Stands in a file's name for the category of goods."""


class Remote(NamedTuple):
    """A file on a publisher's server."""

    url: str
    members: tuple[str, ...] = ()
    """Files to take out of it, if it is an archive."""
    md5: str | None = None
    """Checksum that the publisher gives, if there is one."""
    has_md5_file: bool = False
    """Whether the publisher keeps the checksum beside the file, as `.md5`."""


Load = Callable[[Path, Repeats], tuple[Interactions, Catalogue]]


class Source(NamedTuple):
    """A published data set: how it is read, its files, licence and home, and how to fetch it."""

    load: Load
    """Of a folder; raises DataError or InvalidInputError if a file is missing, damaged or odd."""
    files: tuple[str, ...]
    licence: str
    home: str
    remotes: tuple[Remote, ...] = ()
    """What `data download` fetches; empty where the publisher wants a login."""
    folder: str | None = None
    """Folder inside the data folder, if not the set's name."""
    is_free: bool = False
    """Whether nobody has to accept the licence first."""
    optional: tuple[str, ...] = ()
    """Files that are used where they are there."""

    def missing(self, folder: Path) -> list[str]:
        """Files that the folder lacks, packed or not; one of those joined by `OR` is enough."""
        return [
            names
            for names in self.files
            if not any(
                found
                for name in names.replace(CATEGORY, "*").split(OR)
                for found in (*folder.glob(name), *folder.glob(f"{name}.gz"))
            )
        ]


_MOVIELENS_HOME = "https://grouplens.org/datasets/movielens/"
_STEAM_HOME = "https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data"
_STEAM_GAMES = Remote("https://cseweb.ucsd.edu/~wckang/steam_games.json.gz")
_TWEETINGS = "https://raw.githubusercontent.com/sidooms/MovieTweetings/master/latest"
_AMAZON_FILES = ("CATEGORY{0}", "meta_CATEGORY{0}")


def _movielens(
    name: str,
    md5: str | None,
    load: Load = movielens.load,
    files: tuple[str, ...] = movielens.FILES,
    optional: tuple[str, ...] = ("tags.csv",),
    licence: str = MOVIELENS_OLD,
) -> Source:
    url = f"{GROUPLENS}/movielens/{name}.zip"
    return Source(
        load,
        files,
        licence,
        f"{_MOVIELENS_HOME}{name.removeprefix('ml-').removesuffix('-small')}/",
        (Remote(url, (*files, *optional), md5, has_md5_file=md5 is None),),
        optional=optional,
    )


SOURCES: dict[str, Source] = {
    "ml-100k": _movielens(
        "ml-100k", "0e33842e24a9c977be4e0107933c0723", movielens.load_100k, movielens.FILES_100K, ()
    ),
    "ml-1m": _movielens(
        "ml-1m", "c4d9eecfca2ab87c1945afe126590906", movielens.load_1m, movielens.OLD_FILES, ()
    ),
    "ml-10m": _movielens(
        "ml-10m",
        "ce571fd55effeba0271552578f2648bd",
        movielens.load_10m,
        movielens.OLD_FILES,
        ("tags.dat",),
    ),
    "ml-20m": _movielens("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3", licence=MOVIELENS),
    "ml-25m": _movielens("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada", licence=MOVIELENS),
    "ml-32m": _movielens("ml-32m", "d472be332d4daa821edc399621853b57", licence=MOVIELENS),
    # This one changes from time to time.
    "ml-latest-small": _movielens("ml-latest-small", None, licence=MOVIELENS),
    "lastfm": Source(
        lastfm.load,
        lastfm.FILES,
        "non-commercial use only (Last.fm, HetRec 2011)",
        "https://grouplens.org/datasets/hetrec-2011/",
        (Remote(f"{GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip", lastfm.FILES),),
    ),
    "movietweetings": Source(
        movielens.load_10m,
        movielens.OLD_FILES,
        "MIT (Simon Dooms); cite the CrowdRec 2013 paper",
        "https://github.com/sidooms/MovieTweetings",
        tuple(Remote(f"{_TWEETINGS}/{name}") for name in movielens.OLD_FILES),
        is_free=True,
    ),
    "steam": Source(
        steam.load,
        (steam.REVIEWS, steam.GAMES),
        RESEARCH,
        _STEAM_HOME,
        (Remote("https://cseweb.ucsd.edu/~wckang/steam_reviews.json.gz"), _STEAM_GAMES),
    ),
    "steam-australia": Source(
        steam.load_australian,
        (f"{steam.AUSTRALIAN_REVIEWS}{OR}{steam.AUSTRALIAN_TABLE}", steam.GAMES),
        RESEARCH,
        _STEAM_HOME,
        (Remote(f"{MCAULEY}/steam/{steam.AUSTRALIAN_REVIEWS}.gz"), _STEAM_GAMES),
        folder="steam",
    ),
    "steam-200k": Source(
        steam_200k.load,
        tuple(f"{steam_200k.TABLE}{OR}{name}" for name in steam_200k.PARTS),
        "its licence could not be read; the data is Steam users' own: research use",
        "https://www.kaggle.com/datasets/tamber/steam-video-games",
        folder="steam",
        optional=(steam.GAMES,),
    ),
    "douban-movie": Source(
        douban_movie.load,
        douban_movie.FILES,
        "its licence could not be read: research use, cite GA-DTCDR (Zhu et al., IJCAI 2020)",
        "https://www.kaggle.com/datasets/fengzhujoey/douban-datasetratingreviewside-information",
    ),
    "amazon-2018": Source(
        amazon.load_2018,
        tuple(name.format(".json") for name in _AMAZON_FILES),
        RESEARCH,
        "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/",
        (
            Remote(f"{MCAULEY}/amazon_v2/categoryFilesSmall/{PART}_5.json.gz"),
            Remote(f"{MCAULEY}/amazon_v2/metaFiles2/meta_{PART}.json.gz"),
        ),
    ),
    "amazon-2023": Source(
        amazon.load_2023,
        tuple(name.format(".jsonl") for name in _AMAZON_FILES),
        RESEARCH,
        "https://amazon-reviews-2023.github.io/",
        (
            Remote(f"{MCAULEY}/amazon_2023/raw/review_categories/{PART}.jsonl.gz"),
            Remote(f"{MCAULEY}/amazon_2023/raw/meta_categories/meta_{PART}.jsonl.gz"),
        ),
    ),
}
"""Each is read from the folder of its name, or of `folder`, inside the data folder."""
