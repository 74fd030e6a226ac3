"""Which column means what, by its name and its values; every guess says why.

The names are in :mod:`proactrec.data.importing.names`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import polars as pl

from proactrec.data.importing.names import LANGUAGES, plain_name
from proactrec.data.importing.nesting import are_nested, level_columns
from proactrec.data.importing.options import EventColumns, ItemColumns
from proactrec.data.importing.times import looks_as_times
from proactrec.errors import InvalidInputError

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
            state.settle(meaning, *named)
    if "event_type" not in state.found and (named := state.named("event_type", _may_be_kind)):
        kind, why = named
        state.settle("event_type", kind, f"{why}, {sample[kind].n_unique()} kinds")
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

    def named(self, meaning: str, fits: Callable[[pl.Series], bool]) -> tuple[str, str] | None:
        return _named(self.free(), meaning, lambda name: fits(self.sample[name]))

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
        guesses.append(Guess("items_id", column, why))

    def free() -> list[str]:
        several = (*found.get("categories", ()), *found.get("levels", ()))
        taken = [found["item"], found.get("title"), *several]
        return [name for name in sample.columns if name not in taken]

    if "title" not in found and (named := _named(free(), "title")):
        found["title"] = named[0]
        guesses.append(Guess("title", *named))
    if not {"levels", "categories"} & found.keys():
        found["levels"] = _levels(sample, free())
        why = "by its name, and what it holds lies in what the one before holds"
        guesses += [Guess("levels", name, why) for name in found["levels"]]
    if "categories" not in found:
        named = None if found.get("levels") else _named(free(), "category")
        found["categories"] = named[:1] if named else ()
        guesses += [Guess("category", *named)] if named else []
    if "text" not in found:
        named = _named(free(), "text", lambda name: sample[name].dtype in TEXTS)
        found["text"] = named[:1] if named else ()
        guesses += [Guess("text", *named)] if named else []
    return ItemColumns(**found), guesses


def guess_separator(values: Iterable[str], level_separator: str | None = None) -> str | None:
    """What stands between categories: what at least a tenth of the values hold; None for nothing.

    Values that are written as lists (`["a", "b"]`) need none. Where categories lie in others, a
    comma counts before a name only with which other values begin: it stands within names as well
    (`Home > Pots, Pans & Lids`).
    """
    texts = [value for value in values if not value.lstrip().startswith("[")]
    for separator in SEPARATORS:
        n = sum(separator in text for text in texts)
        if separator == level_separator or not n or n < len(texts) / 10:
            continue
        if not level_separator or separator != "," or _begin_anew(texts, level_separator):
            return separator
    return None


def _begin_anew(texts: Sequence[str], level_separator: str) -> bool:
    """Whether most of what follows a comma is a path from the outermost level on."""
    roots = {text.split(level_separator)[0].split(",")[0].strip() for text in texts}
    later = [part.split(level_separator)[0].strip() for t in texts for part in t.split(",")[1:]]
    return sum(name in roots for name in later) > len(later) / 2


def _levels(sample: pl.DataFrame, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns of which each holds what lies in what the one before holds."""
    names = level_columns([name for name in columns if not sample[name].dtype.is_nested()])
    rows = sample.select(pl.col(names).cast(pl.String, strict=False)).rows() if names else []
    return names if are_nested(rows) else ()


def _named(
    columns: Sequence[str], meaning: str, fits: Callable[[str], bool] = lambda _: True
) -> tuple[str, str] | None:
    """The column with the earliest of a meaning's names, else one that begins or ends with one.

    With the reason, which names the language where it is not English.
    """
    plain = {column: plain_name(column) for column in columns}
    names = LANGUAGES[meaning]
    for name, language in names.items():
        for column in columns:
            if plain[column] == name and fits(column):
                return column, _by_name(language)
    for name, language in ((name, of) for name, of in names.items() if len(name) > 3):
        for column in columns:
            is_like = plain[column].startswith(name) or plain[column].endswith(name)
            if is_like and fits(column):
                return column, _by_name(language)
    return None


def _by_name(language: str) -> str:
    return f"by its name ({language})" if language else "by its name"


def _time(sample: pl.DataFrame, columns: Sequence[str]) -> tuple[str, str] | None:
    if named := _named(columns, "time", lambda name: looks_as_times(sample[name])):
        column, why = named
        return column, f"{why}, and its values are times"
    by_values = [name for name in columns if looks_as_times(sample[name])]
    if by_values:
        return by_values[0], "by its values, which are times"
    # A column that is called so is meant, even where its values cannot be read: better an error
    # about them than an import without times.
    exact = [name for name in columns if plain_name(name) in LANGUAGES["time"]]
    if exact:
        return exact[0], _by_name(LANGUAGES["time"][plain_name(exact[0])])
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
        return best, f"{100 * shares[best]:.0f} % of its first values are items of the events"
    if named := _named(sample.columns, "item", lambda name: _may_be_id(sample[name])):
        return named
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
