"""Versions of the packages that bytes depend on: who has others may not do a part."""

from collections.abc import Mapping
from importlib.metadata import version

from proactrec.errors import ArtefactError
from proactrec.guidance.saved import PACKAGES


def versions() -> dict[str, str]:
    """Of what is installed here."""
    return {name: version(name) for name in (*PACKAGES, "polars")}


def check_versions(made_by: Mapping[str, str]) -> None:
    """Refuse to go on with what others asked for.

    Raises
    ------
    ArtefactError
        If packages here have other versions than where the work was asked for.
    """
    if (own := versions()) != made_by:
        raise ArtefactError(f"a worker has other versions, {own}, than {dict(made_by)}")
