"""From a name that a language model wrote to the catalogue item that it means, or to none."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

import numpy as np

from proactrec.errors import InvalidInputError

FUZZY_THRESHOLD = 0.9

_YEAR = re.compile(r"\s*\((?P<year>(?:1[89]|20)\d\d)\)(?:\s*\((?:V|TV)\))?\s*$")
_OTHER_NAME = re.compile(r"(?P<first>.*\S)\s*\((?P<other>[^()]+)\)")
_TRAILING_ARTICLE = re.compile(
    r"(?P<name>.*\S),\s*(?P<article>the|an?|l[ae]s?|l['’]|l[oi]|il|i|gli|el|los|un[ae]?|der|die|das"
    r"|den|det|de[rmnt]?|ein|eine|het|en|ett|os?|as)",
    re.IGNORECASE,
)
_LEADING_ARTICLE = re.compile(r"(?:the|an?) (?=.)")
_NUMBER = re.compile(r"\d+|\b[ivx]+\b")
_LETTERS = str.maketrans(
    {
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ı": "i",
        "&": " and ",
    }
    | dict.fromkeys("'’‘ʼ`´.™®©")
)
_N_BUCKETS = 64


class Match(NamedTuple):
    """What a name means."""

    item_idx: int | None  # from 1, as 0 is padding; None if no item, or more than one, is meant
    kind: Literal["exact", "normalised", "fuzzy", "none"]
    score: float  # 1 if exact or normalised; the best ratio if fuzzy; 0 if none


NO_MATCH = Match(None, "none", 0.0)


class _Entry(NamedTuple):
    """One name of one item, without its leading article."""

    item_idx: int
    year: str | None
    bare: str


class TitleMatcher:
    """Matches names with catalogue titles.

    Tried in turn:

    1. exact: the same text; of items with the same title the first;
    2. normalised: the same without regard to case, accents, punctuation, "Name, The" or "The
       Name", and an English article at the front; a film's other name, "Name (Other Name)
       (1995)", counts too. A year may be missing, but two years must be the same;
    3. fuzzy: the ratio of `difflib` over normalised names reaches `threshold`, years as above,
       and the numbers in both names are the same ("Rocky II" is not "Rocky III").

    Where 2 or 3 find several items that are equally good, none is meant.

    Parameters
    ----------
    titles : sequence of str
        Of item 1, 2, …
    threshold : float in (0, 1]

    Raises
    ------
    InvalidInputError
        If `threshold` is outside (0, 1].

    Examples
    --------
    >>> matcher = TitleMatcher(["Toy Story (1995)", "Usual Suspects, The (1995)"])
    >>> matcher.match("the usual suspects")
    Match(item_idx=2, kind='normalised', score=1.0)
    >>> matcher.match("Toy Story (1999)")
    Match(item_idx=None, kind='none', score=0.0)
    """

    def __init__(self, titles: Sequence[str], *, threshold: float = FUZZY_THRESHOLD) -> None:
        if not 0 < threshold <= 1:
            raise InvalidInputError(f"threshold must be in (0, 1], got {threshold}")
        self._threshold = threshold
        self._exact: dict[str, int] = {}
        self._by_whole: dict[str, list[_Entry]] = defaultdict(list)
        self._by_bare: dict[str, list[_Entry]] = defaultdict(list)
        self._entries: list[_Entry] = []
        for item_idx, title in enumerate(titles, start=1):
            self._exact.setdefault(title, item_idx)
            self._add(item_idx, title)
        self._lengths = np.array([len(entry.bare) for entry in self._entries], dtype=np.int64)
        self._letters = _letter_counts(entry.bare for entry in self._entries)

    def match(self, name: str) -> Match:
        """The item that a name means."""
        if (item_idx := self._exact.get(name)) is not None:
            return Match(item_idx, "exact", 1.0)
        stem, year = split_year(name)
        whole = normalise(stem)
        if not whole:
            return NO_MATCH
        bare = _without_article(whole)
        # "The Thing" and "Thing" may both exist: with the article first.
        for known in (self._by_whole.get(whole, []), self._by_bare.get(bare, [])):
            if entries := _same_year(known, year):
                return _only(entries, "normalised", 1.0)
        return self._fuzzy(bare, year)

    def _add(self, item_idx: int, title: str) -> None:
        stem, year = split_year(title)
        for whole in dict.fromkeys(normalise(name) for name in _names(stem, year)):
            if whole:
                entry = _Entry(item_idx, year, _without_article(whole))
                self._entries.append(entry)
                self._by_whole[whole].append(entry)
                self._by_bare[entry.bare].append(entry)

    def _fuzzy(self, bare: str, year: str | None) -> Match:
        best, score = list[_Entry](), self._threshold
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(bare)  # what it learns of the second text, it keeps
        for entry in _same_year(self._close(bare), year, prefer=False):
            if _numbers(entry.bare) != _numbers(bare):
                continue
            matcher.set_seq1(entry.bare)
            ratio = matcher.ratio()
            if ratio >= score:
                best, score = [entry] if ratio > score else [*best, entry], ratio
        return _only(best, "fuzzy", score)

    def _close(self, bare: str) -> list[_Entry]:
        """Entries whose letters, in any order, are enough for the threshold."""
        if not self._entries:
            return []
        shared = np.minimum(self._letters, _letter_counts([bare])).sum(1, dtype=np.int64)
        bound = 2 * shared / (self._lengths + len(bare))  # (n_entries,)
        return [self._entries[at] for at in np.flatnonzero(bound >= self._threshold - 1e-9)]


def normalise(name: str) -> str:
    """A name without case, accents and punctuation, its article in front.

    Examples
    --------
    >>> normalise("Misérables, Les")
    'les miserables'
    >>> normalise("E.T. the Extra-Terrestrial")
    'et the extra terrestrial'
    """
    if found := _TRAILING_ARTICLE.fullmatch(name.strip()):
        gap = "" if found["article"][-1] in "'’" else " "
        name = f"{found['article']}{gap}{found['name']}"
    plain = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS)).casefold()
    # Only these marks: elsewhere, as in Japanese or Hindi, a mark makes another letter.
    plain = re.sub("[\u0300-\u036f]", "", plain)
    plain = unicodedata.normalize("NFC", plain)
    return " ".join("".join(c if _is_kept(c) else " " for c in plain).split())


def split_year(title: str) -> tuple[str, str | None]:
    """A title without the year at its end, and that year.

    Examples
    --------
    >>> split_year("Heat (1995)")
    ('Heat', '1995')
    """
    found = _YEAR.search(title)
    return (title[: found.start()], found["year"]) if found else (title, None)


def _names(stem: str, year: str | None) -> list[str]:
    """All names of a title; only films, which end in a year, have another one in parentheses."""
    found = _OTHER_NAME.fullmatch(stem) if year else None
    return [stem, found["first"], found["other"]] if found else [stem]


def _is_kept(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LNM" or category in ("Sc", "Sm")


def _without_article(whole: str) -> str:
    return _LEADING_ARTICLE.sub("", whole, count=1) if _LEADING_ARTICLE.match(whole) else whole


def _same_year(entries: list[_Entry], year: str | None, *, prefer: bool = True) -> list[_Entry]:
    """Entries whose year does not contradict; only those that say it, if any and preferred."""
    if year is None:
        return entries
    said = [entry for entry in entries if entry.year == year]
    if said and prefer:
        return said
    return [entry for entry in entries if entry.year in (year, None)]


def _only(entries: list[_Entry], kind: Literal["normalised", "fuzzy"], score: float) -> Match:
    items = {entry.item_idx for entry in entries}
    return Match(items.pop(), kind, score) if len(items) == 1 else NO_MATCH


def _numbers(bare: str) -> Counter[str]:
    return Counter(_NUMBER.findall(bare))


def _letter_counts(names: Iterable[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.uint16]]":
    """How often each bucket of characters occurs in each name: (n_names, 64)."""
    rows = [
        np.bincount([ord(c) % _N_BUCKETS for c in name], minlength=_N_BUCKETS) for name in names
    ]
    return np.array(rows, dtype=np.uint16).reshape(len(rows), _N_BUCKETS)
