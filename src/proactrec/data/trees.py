"""Categories that lie in others: paths such as ``Home > Kitchen > Knives``.

A path is one string. An item that carries it is in every category on the way down to it; a name
without an arrow is a path of one level, so that flat categories are trees as well.
"""

import re
from collections.abc import Iterable, Sequence

ARROW = " > "
MOST_LEVELS = 30
"""What lies deeper belongs to the name of the last level."""
_ARROWS = re.compile(r"\s*>\s*")


def levels(path: str) -> list[str]:
    """Names on the way down to a category, its own last."""
    return path.split(ARROW, MOST_LEVELS - 1)


def within(path: str) -> list[str]:
    """Categories that a category is in, outermost first, and last itself.

    >>> within("Home > Kitchen > Knives")
    ['Home', 'Home > Kitchen', 'Home > Kitchen > Knives']
    """
    names = levels(path)
    found = [ARROW.join(names[:depth]) for depth in range(1, len(names) + 1)]
    return found if names[0] else found[1:]


def with_ancestors(paths: Sequence[str]) -> tuple[str, ...]:
    """These categories and all that they are in, each once: as they are if none is in another."""
    if not any(ARROW in path for path in paths):
        return tuple(paths)
    return tuple(dict.fromkeys(one for path in paths for one in within(path)))


def lowest(paths: Sequence[str]) -> tuple[str, ...]:
    """Of these categories the ones in which none of the others lies.

    >>> lowest(["Home", "Sale", "Home > Kitchen"])
    ('Sale', 'Home > Kitchen')
    """
    above = {one for path in paths if ARROW in path for one in within(path)[:-1]}
    return tuple(path for path in paths if path not in above)


def shared(paths: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Categories that both are in, the lowest only.

    >>> shared(["Home > Kitchen > Knives"], ["Home > Kitchen > Pans", "Home > Sale"])
    ('Home > Kitchen',)
    """
    known = with_ancestors(others)
    return lowest([name for name in with_ancestors(paths) if name in known])


def joined(names: Iterable[str]) -> str:
    """The path of these levels, outermost first; blank ones are left out."""
    return ARROW.join(name.strip() for name in names if name.strip())


def spelled(path: str) -> str:
    """A path with its arrows as they are written here: ``Home>Kitchen`` is ``Home > Kitchen``."""
    return _ARROWS.sub(ARROW, path.strip())


def ends(path: str) -> list[str]:
    """Shorter names of a category, by which it may be meant: without its outermost levels.

    >>> ends("Home > Kitchen > Knives")
    ['Kitchen > Knives', 'Knives']
    """
    names = levels(path)
    return [ARROW.join(names[start:]) for start in range(1, len(names))]
