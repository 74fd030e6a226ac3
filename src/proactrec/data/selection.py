"""Which events count at all, before users and items are filtered by how many they have."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import polars as pl
from pydantic import Field

from proactrec.config import Options
from proactrec.data.catalogue import Catalogue
from proactrec.data.clock import start_of, unit_of
from proactrec.data.interactions import Interactions, Removal, removal
from proactrec.errors import DataError, InvalidInputError
from proactrec.types import Repeats


class SelectionOptions(Options):
    """Rules that leave events out; each is off by default."""

    repeats: Repeats = Field(
        default="earliest",
        description="which row of a repeated (user, item) pair counts, or refuse such a file",
    )
    min_rating: float | None = Field(
        default=None, description="lowest rating that counts; events without a rating go too"
    )
    since: date | None = Field(default=None, description="first day that counts, in UTC")
    until: date | None = Field(default=None, description="last day that counts, in UTC")
    only_categorised: bool = Field(
        default=False, description="leave out items that have no category"
    )
    max_per_user: int | None = Field(
        default=None, ge=1, description="newest interactions of a user that count"
    )
    min_length: int | None = Field(
        default=None, ge=1, description="fewest interactions that a user has after all filters"
    )


Step = Callable[[pl.DataFrame], pl.DataFrame]


def select_events(
    interactions: Interactions, catalogue: Catalogue, options: SelectionOptions
) -> tuple[Interactions, list[Removal]]:
    """Events that count, in the same row order, and what each rule removed.

    The order is: rating, days, categories, newest of each user. `min_length` is no rule for events:
    see :func:`proactrec.data.load.load`.

    Raises
    ------
    InvalidInputError
        If ratings or days are asked for where there are none.
    DataError
        If a rule leaves no event.
    """
    table, removed = interactions.table, []
    for rule, step in _steps(catalogue, options):
        left = step(table)
        if left.height == 0:
            raise DataError(f"{rule} leaves none of {table.height} interactions")
        if left.height < table.height:
            removed.append(removal(rule, table, left))
        table = left
    return Interactions(table), removed


def _steps(catalogue: Catalogue, options: SelectionOptions) -> Iterator[tuple[str, Step]]:
    if options.min_rating is not None:
        least = options.min_rating
        yield f"a rating of at least {least:g}", lambda table: _rated(table, least)
    if options.since or options.until:
        days = f"{options.since or 'the first day'} to {options.until or 'the last'}"
        yield f"the days {days}", lambda table: _within(table, options.since, options.until)
    if options.only_categorised:
        known = catalogue.table.filter(pl.col("categories").list.len() > 0)
        yield (
            "leaving out items without a category",
            lambda table: table.join(known, on="item_id", how="semi", maintain_order="left"),
        )
    if options.max_per_user is not None:
        n = options.max_per_user
        yield f"the newest {n} of each user", lambda table: _newest(table, n)


def _rated(table: pl.DataFrame, least: float) -> pl.DataFrame:
    if "rating" not in table.columns:
        raise InvalidInputError(f"min_rating {least:g} needs ratings, which this data lacks")
    return table.filter(pl.col("rating") >= least)


def _within(table: pl.DataFrame, since: date | None, until: date | None) -> pl.DataFrame:
    newest = int(table["timestamp"].max())  # type: ignore[arg-type]
    unit = unit_of(newest)
    if unit is None:
        raise InvalidInputError(
            f"since and until need times from 1980 to 2100, but the newest is {newest} "
            "in no unit that gives one"
        )
    if since is not None:
        table = table.filter(pl.col("timestamp") >= start_of(since, unit))
    if until is not None:
        table = table.filter(pl.col("timestamp") < start_of(until + timedelta(days=1), unit))
    return table


def _newest(table: pl.DataFrame, n: int) -> pl.DataFrame:
    rows = table.with_row_index("row")
    newest = rows.sort("timestamp", maintain_order=True).group_by("user_id").tail(n)
    return newest.sort("row").drop("row").select(table.columns)
