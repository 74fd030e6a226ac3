"""One HTML page about an import: what came in, what was left out, and what can be done with it."""

from collections.abc import Mapping
from typing import Any

from proactrec.report.page import template
from proactrec.report.tables import percent_text

GUESSED_AS = {"item": "items_id", "categories": "category"}
"""What a guess calls a column of item files, by its option."""
SHOWN_AS = {"items_id": "item, in the item files"}
MARKS = {"yes": "yes", "but": "with limits", "no": "no"}
UNITS = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "order": "none: the order of the rows",
}


def render(result: Mapping[str, Any]) -> str:
    """The page of what :meth:`proactrec.data.importing.importer.Import.run` gives."""
    facts = result["facts"]
    return template("data.html.j2").render(
        result=result,
        facts=facts,
        about=result["about"],
        marks=MARKS,
        units=UNITS,
        tiles=[
            ("users", f"{facts['n_users']:,}", f"median history {facts['median_length']:g} items"),
            (
                "items",
                f"{facts['n_items']:,}",
                f"{facts['n_items_without_events']:,} without interactions",
            ),
            (
                "interactions",
                f"{facts['n_interactions']:,}",
                f"density {percent_text(facts['density'], 3)}",
            ),
            ("sessions", f"{facts['n_sessions']:,}", "of interactions that count"),
        ],
        columns=_columns(result),
        largest=[max(chart["values"] or [1]) or 1 for chart in facts["charts"]],
    )


def _columns(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Meaning, column and reason, of events, then of items."""
    why = {(guess["meaning"], guess["column"]): guess["why"] for guess in result["guesses"]}
    named = [(meaning, column) for meaning, column in result["columns"].items()]
    for meaning, column in (result["item_columns"] or {}).items():
        several = [column] if isinstance(column, str) else column or []
        named += [(GUESSED_AS.get(meaning, meaning), one) for one in several]
    understood = [
        (SHOWN_AS.get(name, name), one, why.get((name, one), "given")) for name, one in named if one
    ]
    unused = [
        ("not used", column, f"of the {kind}")
        for kind, columns in result["unused_columns"].items()
        for column in columns
    ]
    return understood + unused
