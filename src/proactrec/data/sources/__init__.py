"""Where data comes from: one file a source, and the published data sets by name."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources import lastfm, ml_100k


class Source(NamedTuple):
    """A published data set: how it is read, which files it needs, what its licence allows."""

    load: Callable[[Path], tuple[Interactions, Catalogue]]
    files: tuple[str, ...]
    licence: str


SOURCES: dict[str, Source] = {
    "ml-100k": Source(ml_100k.load, ml_100k.FILES, ml_100k.LICENCE),
    "lastfm": Source(lastfm.load, lastfm.FILES, lastfm.LICENCE),
}
"""Each is read from the folder of its name inside the data folder."""
