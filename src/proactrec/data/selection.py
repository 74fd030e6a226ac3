"""Which events count at all, before users and items are filtered by how many they have."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import polars as pl
from pydantic import Field

from proactrec.config import Options
from proactrec.data.catalogue import Catalogue
from proactrec.data.clock import start_of, unit_of
from proactrec.data.interactions import Interactions
from proactrec.data.removal import Removal, removal
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
        yield f"a rating of at least {options.min_rating:g}", _rated(options.min_rating)
    if options.since or options.until:
        days = f"{options.since or 'the first day'} to {options.until or 'the last'}"
        yield f"the days {days}", _within(options.since, options.until)
    if options.only_categorised:
        yield "leaving out items without a category", _categorised(catalogue)
    if options.max_per_user is not None:
        yield f"the newest {options.max_per_user} of each user", _newest(options.max_per_user)


def _rated(least: float) -> Step:
    def step(table: pl.DataFrame) -> pl.DataFrame:
        if "rating" not in table.columns:
            raise InvalidInputError(f"min_rating {least:g} needs ratings, which this data lacks")
        return table.filter(pl.col("rating") >= least)

    return step


def _within(since: date | None, until: date | None) -> Step:
    def step(table: pl.DataFrame) -> pl.DataFrame:
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

    return step


def _categorised(catalogue: Catalogue) -> Step:
    known = catalogue.table.filter(pl.col("categories").list.len() > 0)
    return lambda table: table.join(known, on="item_id", how="semi", maintain_order="left")


def _newest(n: int) -> Step:
    def step(table: pl.DataFrame) -> pl.DataFrame:
        rows = table.with_row_index("row")
        newest = rows.sort("timestamp", maintain_order=True).group_by("user_id").tail(n)
        return newest.sort("row").drop("row").select(table.columns)

    return step
