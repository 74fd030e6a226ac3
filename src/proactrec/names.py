"""Names as people type them: capitals do not matter, and near ones are suggested."""

from collections.abc import Iterable
from difflib import get_close_matches

from proactrec.errors import UnknownIdError


def spelled(name: str, known: Iterable[str]) -> str:
    """A name as it is known, whatever its capitals; as it came where nobody knows it.

    >>> spelled("itmprec", ["ITMPRec", "random"])
    'ITMPRec'
    """
    names = list(known)
    if name in names:
        return name
    return {one.casefold(): one for one in names}.get(name.casefold(), name)


def meant(name: str, known: Iterable[str]) -> str:
    """What may have been meant, to be added to a sentence; empty if no name is near.

    >>> meant("itmpec", ["ITMPRec", "random"])
    ' (did you mean ITMPRec?)'
    """
    names = {one.casefold(): one for one in known}
    near = [names[one] for one in get_close_matches(name.casefold(), names, n=2)]
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def unknown(what: str, name: str, known: Iterable[str], others: str = "") -> UnknownIdError:
    """The error that says which names there are, and what else may be given.

    >>> str(unknown("world", "fat", ["flat", "steep"]))
    "world 'fat' does not exist; there are flat, steep (did you mean flat?)"
    """
    names = list(known)
    there = f"there are {', '.join(names)}{others}"
    return UnknownIdError(f"{what} {name!r} does not exist; {there}{meant(name, names)}")
