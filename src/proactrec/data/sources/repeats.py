"""One row per (user, item): what is done with pairs that a log holds more than once."""

import warnings

import polars as pl

from proactrec.data.interactions import Interactions
from proactrec.errors import DataError, DataWarning
from proactrec.types import Repeats


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
