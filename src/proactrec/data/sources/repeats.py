"""One row per (user, item): what is done with pairs that a log holds more than once."""

import warnings

import polars as pl

from proactrec.data.interactions import Interactions
from proactrec.errors import DataWarning


def keep_earliest(events: pl.DataFrame, source: str) -> Interactions:
    """Interactions with the earliest row of every (user, item), ties settled by row order.

    Rows stay in their order. Warns with :class:`DataWarning` if any were dropped.

    Parameters
    ----------
    events : polars.DataFrame
        Columns `user_id`, `item_id`, `timestamp`.
    source : str
        What the warning calls the events.
    """
    kept = (
        events.with_row_index("row")
        .sort("timestamp", maintain_order=True)
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .sort("row")
        .drop("row")
    )
    dropped = events.height - kept.height
    if dropped:
        warnings.warn(
            f"{source} repeats a (user, item) pair in {dropped} of {events.height} rows; "
            "the earliest of each is kept",
            DataWarning,
            stacklevel=2,
        )
    return Interactions(kept)
