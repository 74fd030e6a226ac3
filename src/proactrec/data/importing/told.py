"""What is told of an import beside its counts: columns and kinds of events that are not used."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from proactrec.data.importing.events import Ids
from proactrec.data.importing.items import FoundItems
from proactrec.data.importing.kinds import meaning_of, weight_of
from proactrec.data.importing.names import LANGUAGES, plain_name
from proactrec.data.importing.options import ImportOptions
from proactrec.data.importing.tables.base import Table

MOST_NAMES = 20
"""So many columns or kinds are named in a sentence."""


def unused_columns(
    options: ImportOptions, events: Sequence[Table], items: Sequence[Table]
) -> dict[str, list[str]]:
    """Columns that nothing reads, of events and of items."""
    columns = options.item_columns
    used = {
        "events": set(options.columns.model_dump().values()),
        "items": {
            *(columns.item, columns.title),
            *(columns.categories or ()),
            *(columns.levels or ()),
            *(columns.text or ()),
        },
    }
    return {
        kind: [
            name
            for name in dict.fromkeys(name for table in tables for name in table.columns)
            if name not in used[kind]
        ]
        for kind, tables in (("events", events), ("items", items))
    }


def ratings_among(columns: Sequence[str]) -> list[str]:
    """Those that are called as ratings are."""
    return [name for name in columns if plain_name(name) in LANGUAGES["rating"]]


def about_kinds(rows: Mapping[str, int], weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """Of every kind of event: its rows, what an event of it counts, and what it is taken for."""
    return [
        {"kind": kind, "rows": n, "weight": weight_of(kind, weights), "meaning": meaning_of(kind)}
        for kind, n in rows.items()
    ]


def column_notes(unused: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence about the columns of events, and one about those of items."""
    return [
        f"{_number(len(names), 'column')} of the {kind} {_are(len(names))} not used: "
        f"{listed(names)}"
        for kind, names in unused.items()
        if names
    ]


def kind_notes(kinds: Sequence[Mapping[str, Any]], weights: Mapping[str, float]) -> list[str]:
    """What does not count, or counts without being known."""
    if weights:
        absent = [kind for kind in weights if kind not in {one["kind"] for one in kinds}]
        there = listed([one["kind"] for one in kinds])
        return [f"no event is of the kind {listed(absent)}; there are {there}"] if absent else []
    left_out = [one for one in kinds if not one["weight"]]
    unknown = [one for one in kinds if one["weight"] and one["meaning"] == "unknown"]
    found = []
    if left_out:
        found.append(
            f"{_rows(left_out)} of kinds that say no liking {_are(_n(left_out))} not counted: "
            f"{_named(left_out)} (--weight KIND=NUMBER says what counts)"
        )
    if unknown:
        found.append(
            f"{_rows(unknown)} of kinds that are not known count as liking: {_named(unknown)}"
        )
    return found


def id_notes(users: Ids, items: Ids) -> list[str]:
    """Ids that look like others, and are not."""
    return [
        f"{_number(ids.n_padded, f'{kind} id')} {'begins' if ids.n_padded == 1 else 'begin'} or "
        f"{'ends' if ids.n_padded == 1 else 'end'} with blanks: other ids than those without"
        for kind, ids in (("user", users), ("item", items))
        if ids.n_padded
    ]


def item_notes(found: FoundItems, n_unlisted: int, catalogue: pl.DataFrame) -> list[str]:
    """What was done to make one row of every item."""
    notes = []
    if found.level_separator:
        notes.append(
            f"categories are trees: {found.level_separator!r} stands between one and those in it "
            "(--level-separator '' if not)"
        )
    if found.n_merged:
        notes.append(f"{found.n_merged:,} further rows of items were joined with their first row")
    if found.n_conflicts:
        notes.append(
            f"{found.n_conflicts:,} items have rows with different titles; the first is kept"
        )
    if n_unlisted:
        first = catalogue.filter(~pl.col("is_listed"))["item_id"][0]
        if not catalogue.filter(pl.col("is_listed"), pl.col("n_users") > 0).height:
            other = found.table["item_id"].first()
            notes.append(
                "no item of the events is in the item files: are those other ids, or written "
                f"otherwise ({first!r} here, {other!r} there)?"
            )
        notes.append(
            f"{n_unlisted:,} items of the events are not in the item files, first {first!r}; they "
            "are kept without title and category"
        )
    return notes


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, the first ones where there are many."""
    shown = ", ".join(name or "(no name)" for name in names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def _named(kinds: Sequence[Mapping[str, Any]]) -> str:
    return listed([f"{one['kind']} ({one['rows']:,})" for one in kinds])


def _n(kinds: Sequence[Mapping[str, Any]]) -> int:
    return sum(one["rows"] for one in kinds)


def _rows(kinds: Sequence[Mapping[str, Any]]) -> str:
    return _number(_n(kinds), "row")


def _number(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"
