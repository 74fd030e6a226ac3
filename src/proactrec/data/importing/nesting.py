"""Whether categories lie in others, by what stands in their names and what goes with what."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from proactrec.data.importing.names import LANGUAGES, plain_name

ARROWS, STROKES = (">", "»"), ("/", "|")
"""What stands between levels: an arrow says so by itself, a stroke by what goes with what."""
LEAST_PATHS = 20
"""Different values with levels, from which on that can be told."""
NESTED = 0.9
"""Share of the names on lower levels that lie in one category only."""
BRANCHES = 1.5
"""Mean number of categories in one that has any."""
NUMBERED = re.compile(r"(.*?)(\d+)")
OUTER = ("main", "master", "top", "parent", "primary", "haupt", "ober")
INNER = ("sub", "child", "secondary", "unter")


def guess_levels(values: Iterable[str]) -> str | None:
    """What stands between a category and one in it; None where there is nothing of that kind.

    An arrow in a tenth of the values, or a stroke in half of them whose parts are nested: nearly
    every name follows one other only, and some are followed by several.
    """
    texts = list(dict.fromkeys(values))
    for arrow in ARROWS:
        if sum(_is_path(text, arrow) for text in texts) >= max(1, len(texts) / 10):
            return arrow
    for stroke in STROKES:
        paths = [text.split(stroke) for text in texts if _is_path(text, stroke)]
        enough = len(paths) >= max(LEAST_PATHS, len(texts) / 2)
        if enough and are_nested(paths, branches=BRANCHES):
            return stroke
    return None


def _is_path(text: str, separator: str) -> bool:
    """Whether there is a name on each side."""
    outer, _, inner = text.partition(separator)
    return bool(outer.strip() and inner.strip())


def are_nested(paths: Iterable[Sequence[str | None]], *, branches: float = 1) -> bool:
    """Whether what these name one after the other, outermost first, is a tree.

    Parameters
    ----------
    branches : float
        Least mean number of categories in one that has any.
    """
    parents, children = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for path in paths:
        names = [name.strip() for name in path if name and name.strip()]
        for outer, inner in pairwise(names):
            parents[inner].add(outer)
            children[outer].add(inner)
    n_single = sum(len(outer) == 1 for outer in parents.values())
    n_pairs = sum(len(inner) for inner in children.values())
    is_tree = n_single >= NESTED * len(parents) and n_pairs >= branches * len(children)
    return bool(parents) and is_tree


def level_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Columns that are called as levels are, outermost first: category1, category2; main and sub.

    Fewer than two are none.
    """
    by_number: dict[str, list[tuple[int, str]]] = {}
    by_word: dict[int, str] = {}
    for column in columns:
        name = plain_name(column)
        numbered = NUMBERED.fullmatch(name)
        if numbered and (numbered[1] in ("level", "lvl") or _is_category(numbered[1])):
            by_number.setdefault(numbered[1], []).append((int(numbered[2]), column))
        elif (place := _place(name)) is not None:
            by_word.setdefault(place, column)
    for found in by_number.values():
        numbers, names = zip(*sorted(found), strict=True)
        if len(names) > 1 and numbers == tuple(range(numbers[0], numbers[0] + len(numbers))):
            return names
    return tuple(by_word[place] for place in sorted(by_word)) if len(by_word) > 1 else ()


def _place(name: str) -> int | None:
    """On which level a column is by its words; None: it is no category."""
    for place, words in ((0, OUTER), (2, INNER), (1, ("",))):
        for word in words:
            if name.startswith(word) and _is_category(name.removeprefix(word)):
                return place
    return None


def _is_category(name: str) -> bool:
    short = name.removesuffix("level").removesuffix("lvl").removesuffix("l")
    return any(one in LANGUAGES["category"] or one in ("cat", "categ") for one in (name, short))
