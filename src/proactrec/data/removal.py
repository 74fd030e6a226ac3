"""What a step took out of the events, counted and in words."""

from typing import NamedTuple

import polars as pl


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
