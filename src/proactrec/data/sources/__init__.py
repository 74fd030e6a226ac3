"""Where data comes from: one file a source, and the published data sets by name."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources import (
    amazon,
    douban_movie,
    lastfm,
    ml_100k,
    movielens,
    movietweetings,
    published,
    steam,
    steam_200k,
)
from proactrec.data.sources.published import GROUPLENS, MCAULEY, PART, RESEARCH, Remote
from proactrec.types import Repeats

OR = " or "
CATEGORY = "CATEGORY"
"""Stands in a file's name for the category of goods."""


class Source(NamedTuple):
    """A published data set: how it is read, its files, licence and home, and how to fetch it."""

    load: Callable[[Path, Repeats], tuple[Interactions, Catalogue]]
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


def _movielens(name: str, md5: str | None) -> Source:
    return Source(
        movielens.load,
        movielens.FILES,
        published.MOVIELENS,
        f"{_MOVIELENS_HOME}{name.removeprefix('ml-').removesuffix('-small')}/",
        published.movielens(name, (*movielens.FILES, "tags.csv"), md5),
        optional=("tags.csv",),
    )


SOURCES: dict[str, Source] = {
    "ml-100k": Source(
        ml_100k.load,
        ml_100k.FILES,
        published.MOVIELENS_OLD,
        f"{_MOVIELENS_HOME}100k/",
        published.movielens("ml-100k", ml_100k.FILES, "0e33842e24a9c977be4e0107933c0723"),
    ),
    "ml-1m": Source(
        movielens.load_1m,
        movielens.OLD_FILES,
        published.MOVIELENS_OLD,
        f"{_MOVIELENS_HOME}1m/",
        published.movielens("ml-1m", movielens.OLD_FILES, "c4d9eecfca2ab87c1945afe126590906"),
    ),
    "ml-10m": Source(
        movielens.load_10m,
        movielens.OLD_FILES,
        published.MOVIELENS_OLD,
        f"{_MOVIELENS_HOME}10m/",
        published.movielens(
            "ml-10m", (*movielens.OLD_FILES, "tags.dat"), "ce571fd55effeba0271552578f2648bd"
        ),
        optional=("tags.dat",),
    ),
    "ml-20m": _movielens("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    "ml-25m": _movielens("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    "ml-32m": _movielens("ml-32m", "d472be332d4daa821edc399621853b57"),
    "ml-latest-small": _movielens("ml-latest-small", None),  # changes from time to time
    "lastfm": Source(
        lastfm.load,
        lastfm.FILES,
        "non-commercial use only (Last.fm, HetRec 2011)",
        "https://grouplens.org/datasets/hetrec-2011/",
        (
            Remote(
                f"{GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip",
                ("user_taggedartists-timestamps.dat", "artists.dat", "tags.dat"),
            ),
        ),
    ),
    "movietweetings": Source(
        movietweetings.load,
        movietweetings.FILES,
        "MIT (Simon Dooms); cite the CrowdRec 2013 paper",
        "https://github.com/sidooms/MovieTweetings",
        tuple(Remote(f"{_TWEETINGS}/{name}") for name in movietweetings.FILES),
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
