"""Journeys so far, as a shop keeps them: read by ids, and what cannot be used is counted."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from proactrec.errors import InvalidInputError
from proactrec.journeys import UNKNOWN

JOURNEY_COLUMNS = ("user_id", "target_id", "round", "item_id", "guided", "answer")
MOST_ROUNDS = 1000
"""Of a journey: more is a mistake in a file, and every round takes memory for everybody."""


class Left(NamedTuple):
    """Rows that could not be used, counted by why."""

    n: int
    why: str

    def __str__(self) -> str:
        return f"{self.n} rows left aside: {self.why}"


def no_journeys() -> pl.DataFrame:
    """Rounds so far where there were none."""
    names = ("user", "target", "round", "item", "guided", "answer")
    kinds = {name: pl.Boolean() if name == "guided" else pl.Int64() for name in names}
    return pl.DataFrame(schema=kinds)


def checked_journeys(
    table: pl.DataFrame, users: Mapping[str, int], items: Mapping[str, int]
) -> tuple[pl.DataFrame, list[Left]]:
    """Rounds so far by inside indices, and what could not be used.

    Parameters
    ----------
    table : DataFrame
        The columns of :data:`JOURNEY_COLUMNS`: `round` counts from 1, `guided` is true or false, 1
        or 0, `answer` 1, 0 or empty: not known yet.
    users, items : mapping
        Inside index of every id.

    Returns
    -------
    table with `user`, `target`, `round`, `item`, `guided`, `answer`

    Raises
    ------
    InvalidInputError
        If a column is missing.
    """
    if missing := [name for name in JOURNEY_COLUMNS if name not in table.columns]:
        raise InvalidInputError(
            f"journeys must have the columns {', '.join(JOURNEY_COLUMNS)}; "
            f"{', '.join(missing)} is missing"
        )
    found = table.select(
        _index_of("user_id", users).alias("user"),
        _index_of("target_id", items).alias("target"),
        _number("round").alias("round"),
        _index_of("item_id", items).alias("item"),
        _number("guided").alias("guided"),
        _number("answer").alias("answer"),
        is_empty=_is_empty("answer"),
        is_shown=~_is_empty("item_id"),
    )
    rules = (
        ("users who are not asked about", pl.col("user").is_not_null()),
        ("nothing was shown", pl.col("is_shown")),
        ("targets or items that the guide does not know", ~pl.any_horizontal(
            pl.col("target", "item").is_null()
        )),
        (f"rounds other than 1 to {MOST_ROUNDS:,}", (pl.col("round") % 1 == 0)
            & pl.col("round").is_between(1, MOST_ROUNDS)),
        ("answers other than 1, 0 and empty", pl.col("is_empty") | _is_truth("answer")),
        ("guided other than 1 and 0", _is_truth("guided")),
    )  # fmt: skip
    left: list[Left] = []
    for why, holds in rules:
        kept = found.filter(holds)
        if kept.height < found.height:
            left.append(Left(found.height - kept.height, why))
        found = kept
    kept = found.unique(["user", "target", "round"], keep="last", maintain_order=True)
    if kept.height < found.height:
        left.append(Left(found.height - kept.height, "a round told again; the last row counts"))
    return kept.select(
        "user",
        "target",
        pl.col("round").cast(pl.Int64),
        "item",
        pl.col("guided") == 1,
        pl.col("answer").fill_null(UNKNOWN).cast(pl.Int64),
    ), left


def _index_of(column: str, index: Mapping[str, int]) -> pl.Expr:
    ids = pl.col(column).cast(pl.String)
    return ids.replace_strict(index, default=None, return_dtype=pl.Int64)


def _is_empty(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).fill_null("") == ""


def _is_truth(column: str) -> pl.Expr:
    return pl.col(column).is_in([0.0, 1.0])


def _number(column: str) -> pl.Expr:
    """Numbers, of truth values and texts as well; null otherwise."""
    text = pl.col(column).cast(pl.String).str.to_lowercase()
    return text.replace({"true": "1", "false": "0"}).cast(pl.Float64, strict=False)
