"""Where published files come from: addresses, checksums, and what their licences ask."""

from typing import NamedTuple

GROUPLENS = "https://files.grouplens.org/datasets"
MCAULEY = "https://mcauleylab.ucsd.edu/public_datasets/data"
MOVIELENS_OLD = "research use only, not redistributable (GroupLens)"
MOVIELENS = "research use, no commercial use without permission; redistributable alike (GroupLens)"
RESEARCH = "no licence is stated: research use, cite the papers on the publisher's page"
PART = "{part}"
"""Stands in an address for the part of a set that is asked for, e.g. a category of Amazon."""


class Remote(NamedTuple):
    """A file on a publisher's server."""

    url: str
    members: tuple[str, ...] = ()
    """Files to take out of it, if it is an archive."""
    md5: str | None = None
    """Checksum that the publisher gives, if there is one."""
    has_md5_file: bool = False
    """Whether the publisher keeps the checksum beside the file, as `.md5`."""


def movielens(name: str, members: tuple[str, ...], md5: str | None = None) -> tuple[Remote, ...]:
    """The archive of a MovieLens set; `members` without its folder."""
    return (Remote(f"{GROUPLENS}/movielens/{name}.zip", members, md5, has_md5_file=md5 is None),)
