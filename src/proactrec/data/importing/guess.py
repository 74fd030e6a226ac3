"""Which column means what, by its name and its values; every guess says why."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import polars as pl

from proactrec.data.importing.options import EventColumns, ItemColumns
from proactrec.data.importing.times import looks_as_times
from proactrec.errors import InvalidInputError

_WORDS = {
    "user": "userid user uid visitorid visitor customerid customer clientid client memberid member "
    "accountid account reviewerid reviewer listenerid listener viewer buyer subscriber person "
    "profileid userhash username authoruserid author userno usernumber kunde nutzer",
    "item": "itemid item productid product movieid movie articleid article trackid track songid "
    "song artistid artist videoid video bookid book isbn parentasin asin sku gameid game appid app "
    "contentid content newsid listingid offerid showid episodeid recipeid businessid propertyid "
    "productcode stockcode objectid itemno itemnumber id artikel produkt",
    "time": "timestamp time eventtime datetime ts createdat createdon date occurredat playedat "
    "viewedat purchasedat ratedat unixreviewtime reviewtime eventdate at when unixtime epoch zeit "
    "datum",
    "event_type": "eventtype event action actiontype behavior behaviour type interaction kind",
    "title": "title name itemname movietitle productname titel label productdisplayname",
    "category": "categories category genres genre tags tag class department maincategory "
    "itemcategory categoryname producttype kategorie topic topics",
    "text": "description overview summary plot about synopsis abstract text features blurb",
}
NAMES = {meaning: words.split() for meaning, words in _WORDS.items()}
"""Names of columns by their meaning, the likeliest first."""
MOST_KINDS = 50
"""Most kinds of events that a column may tell apart."""
TEXTS = (pl.String, pl.List(pl.String))
SEPARATORS = ("|", ";", ",")


class Guess(NamedTuple):
    """What a column is taken for."""

    meaning: str
    column: str
    why: str


def guess_events(sample: pl.DataFrame, given: EventColumns) -> tuple[EventColumns, list[Guess]]:
    """The event columns, those not given found out.

    Raises
    ------
    InvalidInputError
        If no column can be told to hold the users, or the items.
    """
    state = _State(sample, {k: v for k, v in given.model_dump().items() if v is not None})
    if "time" not in state.found and (time := _time(sample, state.free())):
        state.settle("time", *time)
    for meaning in ("user", "item"):
        if meaning not in state.found and (named := state.named(meaning, _may_be_id)):
            state.settle(meaning, named, "by its name")
    if "event_type" not in state.found and (kind := state.named("event_type", _may_be_kind)):
        n_kinds = sample[kind].n_unique()
        state.settle("event_type", kind, f"by its name, {n_kinds} kinds")
    for meaning in ("user", "item"):
        if meaning not in state.found:
            state.settle(meaning, *state.only_one_left(meaning))
    if "time" not in state.found:
        why = "no column holds times, so the rows are taken to be in time order"
        state.settle("time", "", why)
    return EventColumns(**state.found), state.guesses


class _State:
    """What is settled so far."""

    def __init__(self, sample: pl.DataFrame, found: dict[str, str]) -> None:
        self.sample, self.found = sample, found
        self.guesses: list[Guess] = []

    def settle(self, meaning: str, column: str, why: str) -> None:
        self.found[meaning] = column
        self.guesses.append(Guess(meaning, column, why))

    def free(self) -> list[str]:
        return [name for name in self.sample.columns if name not in self.found.values()]

    def named(self, meaning: str, fits: Callable[[pl.Series], bool]) -> str | None:
        return _named(self.free(), NAMES[meaning], lambda name: fits(self.sample[name]))

    def only_one_left(self, meaning: str) -> tuple[str, str]:
        """The last column that can hold ids, where the other ids are known."""
        left = [name for name in self.free() if _may_be_id(self.sample[name])]
        if len(left) == 1 and ("user" in self.found or "item" in self.found):
            return left[0], "the only other column that can hold ids"
        raise InvalidInputError(
            f"no column can be told to hold the {meaning}s: give --{meaning} COLUMN; "
            f"there are {self.sample.columns}"
        )


def guess_items(
    sample: pl.DataFrame, given: ItemColumns, event_column: str, event_ids: set[str]
) -> tuple[ItemColumns, list[Guess]]:
    """The item columns, those not given found out.

    Parameters
    ----------
    event_column : str
        What the events call their item column.
    event_ids : set of str
        Some item ids of events: they are looked for in the columns.
    """
    found = {name: value for name, value in given.model_dump().items() if value is not None}
    guesses: list[Guess] = []
    if "item" not in found:
        column, why = _item_column(sample, event_column, event_ids)
        found["item"] = column
        guesses.append(Guess("item", column, why))

    def free() -> list[str]:
        taken = [found["item"], found.get("title"), *found.get("categories", ())]
        return [name for name in sample.columns if name not in taken]

    if "title" not in found and (title := _named(free(), NAMES["title"], lambda _: True)):
        found["title"] = title
        guesses.append(Guess("title", title, "by its name"))
    if "categories" not in found:
        named = _named(free(), NAMES["category"], lambda _: True)
        found["categories"] = (named,) if named else ()
        guesses += [Guess("category", named, "by its name")] if named else []
    if "text" not in found:
        named = _named(free(), NAMES["text"], lambda name: sample[name].dtype in TEXTS)
        found["text"] = (named,) if named else ()
        guesses += [Guess("text", named, "by its name")] if named else []
    return ItemColumns(**found), guesses


def guess_separator(values: Iterable[str]) -> str | None:
    """What stands between categories: what at least a tenth of the values hold; None for nothing.

    Values that are written as lists (`["a", "b"]`) need none.
    """
    texts = [value for value in values if not value.lstrip().startswith("[")]
    for separator in SEPARATORS:
        n = sum(separator in text for text in texts)
        if n and n >= len(texts) / 10:
            return separator
    return None


def plain_name(name: str) -> str:
    """A column's name in small letters and digits, without what only a table has before it."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _named(columns: Sequence[str], names: Sequence[str], fits: Callable[[str], bool]) -> str | None:
    """The column with the earliest of the names; else one that begins or ends with one."""
    plain = {column: plain_name(column) for column in columns}
    for name in names:
        for column in columns:
            if plain[column] == name and fits(column):
                return column
    for name in (name for name in names if len(name) > 3):
        for column in columns:
            is_like = plain[column].startswith(name) or plain[column].endswith(name)
            if is_like and fits(column):
                return column
    return None


def _time(sample: pl.DataFrame, columns: Sequence[str]) -> tuple[str, str] | None:
    if named := _named(columns, NAMES["time"], lambda name: looks_as_times(sample[name])):
        return named, "by its name, and its values are times"
    by_values = [name for name in columns if looks_as_times(sample[name])]
    if by_values:
        return by_values[0], "by its values, which are times"
    # A column that is called so is meant, even where its values cannot be read: better an error
    # about them than an import without times.
    exact = [name for name in columns if plain_name(name) in NAMES["time"]]
    if exact:
        return exact[0], "by its name"
    return None


def _item_column(sample: pl.DataFrame, event_column: str, event_ids: set[str]) -> tuple[str, str]:
    if event_column in sample.columns:
        return event_column, "the same name as in the events"
    shares = {}
    for name in sample.columns:
        if _may_be_id(sample[name]):
            ids = sample[name].drop_nulls().cast(pl.String, strict=False)
            shares[name] = len(event_ids.intersection(ids)) / max(1, sample.height)
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is not None and shares[best] > 0:
        return best, f"{shares[best]:.0%} of its first values are items of the events"
    if named := _named(sample.columns, NAMES["item"], lambda name: _may_be_id(sample[name])):
        return named, "by its name"
    raise InvalidInputError(
        f"no column can be told to hold the item ids: give --items-id COLUMN; "
        f"there are {sample.columns}"
    )


def _may_be_id(values: pl.Series) -> bool:
    """Whether values could be ids: filled, no fractions, no lists, no long texts."""
    if values.dtype.is_nested() or values.dtype.is_temporal() or values.dtype == pl.Boolean:
        return False
    filled = values.drop_nulls()
    if filled.len() < values.len() / 2:
        return False
    if values.dtype.is_float():
        return bool((filled == filled.floor()).all())
    lengths = filled.cast(pl.String, strict=False).str.len_chars()
    middle = lengths.median()
    return isinstance(middle, float) and middle <= 100


def _may_be_kind(values: pl.Series) -> bool:
    is_text = values.dtype in (pl.String, pl.Categorical, pl.Enum)
    return is_text and values.n_unique() <= MOST_KINDS
