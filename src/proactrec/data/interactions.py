"""Who touched what, and when: the raw events, checked once, and what steps take out of them."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from proactrec.errors import DataError, DataWarning
from proactrec.types import Repeats

COLUMNS: dict[str, type[pl.DataType]] = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Int64,
}


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events of users with items; cannot be built invalid.

    Parameters
    ----------
    table : polars.DataFrame
        Columns `user_id` and `item_id` (String) and `timestamp` (Int64, any unit that orders
        events), one row per (user, item), in the source's own row order: that order breaks ties of
        equal timestamps. A column `rating` (Float64, null where there is none) may come with them.

    Raises
    ------
    DataError
        If there is no row, a column is missing, of another type or has nulls, or a (user, item)
        pair occurs twice.
    """

    table: pl.DataFrame

    def __post_init__(self) -> None:
        check_columns(self.table, COLUMNS, what="interactions")
        repeated = self.table.height - self.table.select("user_id", "item_id").n_unique()
        if repeated:
            raise DataError(
                f"interactions repeat a (user, item) pair in {repeated} of {self.table.height} rows"
            )

    def __len__(self) -> int:
        return self.table.height


def keep_one(events: pl.DataFrame, source: str, rule: Repeats = "earliest") -> Interactions:
    """Interactions with one row of every (user, item): the earliest or the latest.

    Rows stay in their order, and equal times are settled by it. Warns with :class:`DataWarning` if
    any were dropped.

    Parameters
    ----------
    events : polars.DataFrame
        Columns `user_id`, `item_id`, `timestamp`, and possibly `rating`.
    source : str
        What the warning calls the events.
    rule : {"earliest", "latest", "refuse"}

    Raises
    ------
    DataError
        If pairs are repeated and the rule is "refuse".
    """
    kept = (
        events.with_row_index("row")
        .sort("timestamp", maintain_order=True)
        .unique(
            ["user_id", "item_id"],
            keep="last" if rule == "latest" else "first",
            maintain_order=True,
        )
        .sort("row")
        .drop("row")
    )
    dropped = events.height - kept.height
    if dropped:
        found = f"{source} repeats a (user, item) pair in {dropped} of {events.height} rows"
        if rule == "refuse":
            raise DataError(f"{found}, and repeats are refused")
        warnings.warn(f"{found}; the {rule} of each is kept", DataWarning, stacklevel=2)
    return Interactions(kept)


class Removal(NamedTuple):
    """How many users, items and interactions a step removed, and of how many."""

    rule: str
    users: int
    of_users: int
    items: int
    of_items: int
    interactions: int
    of_interactions: int

    @property
    def sentence(self) -> str:
        """The same in words."""
        return (
            f"{self.rule} removed {self.users:,} of {self.of_users:,} users, "
            f"{self.items:,} of {self.of_items:,} items and "
            f"{self.interactions:,} of {self.of_interactions:,} interactions"
        )


def removal(rule: str, before: pl.DataFrame, after: pl.DataFrame) -> Removal:
    """The difference between two tables of events."""
    n_users, n_items = before["user_id"].n_unique(), before["item_id"].n_unique()
    return Removal(
        rule,
        users=n_users - after["user_id"].n_unique(),
        of_users=n_users,
        items=n_items - after["item_id"].n_unique(),
        of_items=n_items,
        interactions=before.height - after.height,
        of_interactions=before.height,
    )


def check_columns(
    table: pl.DataFrame, columns: Mapping[str, type[pl.DataType]], *, what: str
) -> None:
    """Raise :class:`DataError` unless there are rows, these columns of these types, no null."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"{what} lack the column(s) {missing}; there are {table.columns}")
    wrong = {
        name: str(table.schema[name]) for name in columns if table.schema[name] != columns[name]
    }
    if wrong:
        wanted = {name: columns[name].__name__ for name in wrong}
        raise DataError(f"{what} must have columns of the types {wanted}, got {wrong}")
    if table.height == 0:
        raise DataError(f"{what} are empty: no row is left")
    nulls = {name: n for name in columns if (n := table[name].null_count())}
    if nulls:
        raise DataError(f"{what} have missing values: {nulls} (column: rows) of {table.height}")
