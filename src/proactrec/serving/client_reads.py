"""What a client looks at before a campaign is made, and of a user: without changing anything."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from proactrec.serving.looking import (
    AccessNow,
    CategoriesSeen,
    CategorySeen,
    GoalLook,
    ItemsSeen,
    UserNow,
    UsersNeeded,
)
from proactrec.store.campaign import Campaign

T = TypeVar("T", bound=BaseModel)


class Reads(ABC):
    """Calls that only read, for a client that sends them."""

    def access(self) -> AccessNow:
        """Whose key this is, and what it may do."""
        return self._said(AccessNow, "GET", "/v1/access")

    def find_items(
        self,
        search: str | None = None,
        *,
        category: str | None = None,
        ids: Sequence[str] = (),
        after: str | None = None,
        limit: int = 50,
    ) -> ItemsSeen:
        """A page of items, those that most users had first.

        Parameters
        ----------
        search : str, optional
            Part of the title or the id, in letters of any case.
        category : str, optional
            Only its items.
        ids : sequence of str, optional
            Only these, at most 200; unknown ones are left out.
        after : str, optional
            `next` of the page before.
        """
        asked = {"search": search, "category": category, "after": after, "limit": limit}
        query = {name: value for name, value in asked.items() if value is not None}
        return self._said(ItemsSeen, "GET", "/v1/items", query={**query, "id": list(ids)})

    def categories(self) -> tuple[CategorySeen, ...]:
        """All of them as goals, the most promising first."""
        return self._said(CategoriesSeen, "GET", "/v1/categories").categories

    def look(self, campaign: Campaign) -> GoalLook:
        """Where a campaign would lead and whom; refused as making it would be."""
        return self._said(GoalLook, "POST", "/v1/campaigns/look", campaign)

    def power(self, *, effect: float, rate: float, hold_out: float = 0.1) -> UsersNeeded:
        """How many users show an effect on a share of users, in 4 of 5 cases."""
        query = {"effect": effect, "rate": rate, "hold_out": hold_out}
        return self._said(UsersNeeded, "GET", "/v1/power", query=query)

    def user(self, user_id: str) -> UserNow:
        """What is known of a user; empty for one whom nobody knows."""
        return self._said(UserNow, "GET", user_path(user_id))

    @abstractmethod
    def _said(
        self,
        kind: type[T],
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> T:
        """What the service answers."""


def user_path(user_id: str, *what: str) -> str:
    """Of a user, or of something of theirs."""
    return "/".join(("/v1/users", quote(user_id, safe=""), *what))
