"""What a client looks at before a campaign is made, and of a user: without changing anything."""

from collections.abc import Sequence
from urllib.parse import quote

from proactrec.errors import CampaignStateError
from proactrec.serving.calling import Caller, T
from proactrec.serving.keeping import AuditEntries
from proactrec.serving.looking import (
    AccessNow,
    CategoriesSeen,
    CategorySeen,
    GoalLook,
    ItemsSeen,
    UserNow,
    UsersNeeded,
)
from proactrec.serving.schemas import (
    CampaignVersion,
    Forecast,
    Journeys,
    PastDecisions,
    Versions,
)
from proactrec.serving.studies import Study, StudyKind
from proactrec.store.campaign import Campaign


class Reads(Caller):
    """Calls that only read."""

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

    def versions(self, campaign_id: str) -> tuple[CampaignVersion, ...]:
        """What a campaign was, the first one first, with who changed it, when and why."""
        path = f"/v1/campaigns/{campaign_id}/versions"
        return self._said(Versions, "GET", path).versions

    def forecast_seen(self, campaign_id: str) -> Forecast | None:
        """The forecast of what a campaign says now, or how far it is; None: nobody asked for it."""
        return self._made(Forecast, f"/v1/campaigns/{campaign_id}/forecast")

    def study_seen(self, campaign_id: str, kind: StudyKind) -> Study | None:
        """The newest study of a kind, or how far it is; None: nobody asked for it."""
        return self._made(Study, f"/v1/campaigns/{campaign_id}/studies/{kind}")

    def journeys_page(
        self, campaign_id: str, *, after: str | None = None, limit: int = 50
    ) -> Journeys:
        """The journeys of a page of users, in the order of their ids."""
        query = {"limit": limit} | ({} if after is None else {"after": after})
        return self._said(Journeys, "GET", f"/v1/campaigns/{campaign_id}/journeys", query=query)

    def decisions_page(
        self, user_id: str, *, before: int | None = None, limit: int = 50
    ) -> PastDecisions:
        """A page of what a user was shown, the newest first."""
        query = {"limit": limit} | ({} if before is None else {"before": before})
        return self._said(PastDecisions, "GET", user_path(user_id, "decisions"), query=query)

    def audit_page(
        self, *, what: str | None = None, before: int | None = None, limit: int = 50
    ) -> AuditEntries:
        """A page of who changed what, the newest first."""
        asked = {"what": what, "before": before, "limit": limit}
        query = {name: value for name, value in asked.items() if value is not None}
        return self._said(AuditEntries, "GET", "/v1/audit", query=query)

    def figures(self) -> str:
        """Figures of the whole service, in Prometheus's text format."""
        return self._sent("GET", "/metrics", None).text

    def _made(self, kind: type[T], path: str) -> T | None:
        """What a worker makes, if somebody asked for it."""
        try:
            return self._said(kind, "GET", path)
        except CampaignStateError:
            return None


def user_path(user_id: str, *what: str) -> str:
    """Of a user, or of something of theirs."""
    name = quote(user_id, safe="")
    if set(user_id) == {"."}:  # a path loses what is `.` or `..`
        name = user_id.replace(".", "%2E")
    return "/".join(("/v1/users", name, *what))
