"""A client of the service, from the same models: what it answers, typed; what it refuses, raised.

It stands on HTTP alone; a call that may be repeated is, when the service asks for patience.
"""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from proactrec.serving.brought import MeasurementNow
from proactrec.serving.calling import dumped
from proactrec.serving.client_reads import Reads, user_path
from proactrec.serving.courses import By, Course
from proactrec.serving.keeping import (
    AuditEntries,
    AuditEntry,
    ErasureReceipt,
    KeyMade,
    KeySeen,
    KeysSeen,
    KeyWanted,
    UserExport,
)
from proactrec.serving.learned import GoBack, Knowledge, KnowledgeVersion
from proactrec.serving.schemas import (
    CampaignNow,
    Campaigns,
    CampaignVersion,
    ConsentGiven,
    Decision,
    DecisionRequest,
    EventReport,
    EventsTaken,
    Forecast,
    Item,
    ItemsTaken,
    Journey,
    Journeys,
    PastDecision,
    PastDecisions,
    UserGroups,
)
from proactrec.serving.studies import PoliciesSeen, PolicySeen, Study, StudyKind, StudyWanted
from proactrec.store.campaign import Campaign
from proactrec.store.care import Care
from proactrec.store.keys import Scope
from proactrec.store.watch import Watch

DECISIONS = TypeAdapter(tuple[Decision, ...])


class Client(Reads):
    """The service at a URL, see :class:`proactrec.serving.calling.Caller`."""

    def decide(
        self,
        user_id: str,
        *,
        campaign_id: str | None = None,
        candidates: Sequence[str] = (),
        at: datetime | None = None,
        request_key: str | None = None,
    ) -> Decision:
        """What to show a user next; the same key gets the same decision.

        Parameters
        ----------
        campaign_id : str, optional
            Only this one may guide.
        candidates : sequence of str, optional
            Only these may be shown; what you would have shown stands first.
        at : datetime, optional
            When it is shown; now by default.
        """
        asked = DecisionRequest(
            user_id=user_id, campaign_id=campaign_id, candidates=tuple(candidates), at=at
        )
        key = request_key or secrets.token_hex(16)
        return self._said(Decision, "POST", "/v1/decisions", asked, key=key)

    def decide_batch(
        self, asked: Sequence[DecisionRequest], *, request_key: str | None = None
    ) -> tuple[Decision, ...]:
        """The same for many users, in their order."""
        key = request_key or secrets.token_hex(16)
        body = [one.model_dump(mode="json", exclude_none=True) for one in asked]
        answer = self._sent("POST", "/v1/decisions/batch", body, key=key)
        return DECISIONS.validate_json(answer.content)

    def report(self, events: Iterable[EventReport]) -> EventsTaken:
        """Tell what users did; an event that was told before is counted once."""
        body = [one.model_dump(mode="json", exclude_none=True) for one in events]
        return self._said(EventsTaken, "POST", "/v1/events", body)

    def campaigns(self) -> tuple[CampaignVersion, ...]:
        """All of them, in the order in which they have users' turns."""
        return self._said(Campaigns, "GET", "/v1/campaigns").campaigns

    def campaign(self, campaign_id: str) -> CampaignNow:
        """One as it is now, with its counts."""
        return self._said(CampaignNow, "GET", f"/v1/campaigns/{campaign_id}")

    def create(self, campaign: Campaign, *, request_key: str | None = None) -> CampaignVersion:
        """A new campaign, as a draft."""
        key = request_key or secrets.token_hex(16)
        return self._said(CampaignVersion, "POST", "/v1/campaigns", campaign, key=key)

    def change(
        self, campaign_id: str, campaign: Campaign, reason: str, *, version: int | None = None
    ) -> CampaignVersion:
        """What a campaign says from now on."""
        body = {"campaign": dumped(campaign), "reason": reason, "version": version}
        return self._said(CampaignVersion, "PUT", f"/v1/campaigns/{campaign_id}", body)

    def forecast(self, campaign_id: str, *, patience: float = 0.0) -> Forecast:
        """What a campaign is going to bring; asked for if nobody did, and waited for so long."""
        path, end = f"/v1/campaigns/{campaign_id}/forecast", time.monotonic() + patience
        found = self._said(Forecast, "POST", path)
        while found.state in ("waiting", "working") and time.monotonic() < end:
            time.sleep(0.5)
            found = self._said(Forecast, "GET", path)
        return self._said(Forecast, "GET", path) if found.state == "done" else found

    def measurement(self, campaign_id: str) -> MeasurementNow:
        """What it brought so far; may be looked at as often as one likes."""
        return self._said(MeasurementNow, "GET", f"/v1/campaigns/{campaign_id}/measurement")

    def course(self, campaign_id: str, by: By = "hour", last: int = 48) -> Course:
        """How it went: the last so many hours or days."""
        query = {"by": by, "last": last}
        return self._said(Course, "GET", f"/v1/campaigns/{campaign_id}/course", query=query)

    def study(
        self, campaign_id: str, kind: StudyKind, *, patience: float = 0.0, **asked: Any
    ) -> Study:
        """What is found out about it without showing anybody anything; waited for so long."""
        path, end = f"/v1/campaigns/{campaign_id}/studies/{kind}", time.monotonic() + patience
        wanted = StudyWanted(**asked)
        found = self._said(Study, "POST", path, wanted)
        while found.state in ("waiting", "working") and time.monotonic() < end:
            time.sleep(0.5)
            found = self._said(Study, "GET", path, query=dumped(wanted))
        return found

    def report_page(self, campaign_id: str) -> str:
        """All of it on one page, for those who have no console."""
        return self._sent("GET", f"/v1/campaigns/{campaign_id}/report", None).text

    def policies(self) -> tuple[PolicySeen, ...]:
        """Those that an arm may have."""
        return self._said(PoliciesSeen, "GET", "/v1/policies").policies

    def start(self, campaign_id: str, *, without_forecast: str | None = None) -> CampaignVersion:
        """Begin; without a forecast for a reason."""
        body = {}
        if without_forecast is not None:
            body = {"without_forecast": True, "reason": without_forecast}
        return self._said(CampaignVersion, "POST", f"/v1/campaigns/{campaign_id}/start", body)

    def pause(self, campaign_id: str, reason: str) -> CampaignVersion:
        """Guide nobody until it is started again."""
        path = f"/v1/campaigns/{campaign_id}/pause"
        return self._said(CampaignVersion, "POST", path, {"reason": reason})

    def stop(self, campaign_id: str, reason: str) -> CampaignVersion:
        """Guide nobody any more."""
        path = f"/v1/campaigns/{campaign_id}/stop"
        return self._said(CampaignVersion, "POST", path, {"reason": reason})

    def consent(self, user_id: str, *, guided: bool) -> ConsentGiven:
        """Whether a user wants to be guided: heeded from the next decision on."""
        return self._said(ConsentGiven, "PUT", user_path(user_id, "consent"), {"guided": guided})

    def groups(self, user_id: str, groups: Sequence[str]) -> UserGroups:
        """The groups that a user is in, in place of earlier ones."""
        return self._said(UserGroups, "PUT", user_path(user_id, "groups"), {"groups": list(groups)})

    def items(self, items: Iterable[Item]) -> ItemsTaken:
        """Say what items are now."""
        body = [one.model_dump(mode="json") for one in items]
        return self._said(ItemsTaken, "PUT", "/v1/items", body)

    def knowledge(self) -> Knowledge:
        """What was learned, the newest versions first, and how well each foretold."""
        return self._said(Knowledge, "GET", "/v1/knowledge")

    def watch(self, watch: Watch) -> Watch:
        """How learning is watched from now on, and whether it is frozen."""
        return self._said(Watch, "PUT", "/v1/knowledge", watch)

    def restore(self, version: int, reason: str, *, learns: bool = False) -> KnowledgeVersion:
        """Guide by an older version of what was learned; frozen unless it `learns` on."""
        path, body = f"/v1/knowledge/{version}/restore", GoBack(reason=reason, learns=learns)
        return self._said(KnowledgeVersion, "POST", path, body)

    def journeys(self, campaign_id: str, *, page: int = 1000) -> Iterator[Journey]:
        """Every journey of a campaign, by user ids."""
        path, after = f"/v1/campaigns/{campaign_id}/journeys", None
        while True:
            query = {"limit": page} | ({} if after is None else {"after": after})
            found = self._said(Journeys, "GET", path, query=query)
            yield from found.journeys
            after = found.next
            if after is None:
                return

    def decisions(self, user_id: str, *, page: int = 1000) -> Iterator[PastDecision]:
        """What a user was shown, the newest first."""
        before = None
        while True:
            query = {"limit": page} | ({} if before is None else {"before": before})
            found = self._said(PastDecisions, "GET", user_path(user_id, "decisions"), query=query)
            yield from found.decisions
            before = found.next
            if before is None:
                return

    def list_keys(self) -> tuple[KeySeen, ...]:
        """Those of the tenant, the oldest first."""
        return self._said(KeysSeen, "GET", "/v1/keys").keys

    def create_key(
        self, scope: Scope, *, name: str | None = None, expires_at: datetime | None = None
    ) -> KeyMade:
        """A new key, told this once; expires never unless told."""
        asked = KeyWanted(scope=scope, name=name, expires_at=expires_at)
        return self._said(KeyMade, "POST", "/v1/keys", asked)

    def revoke_key(self, key_id: str) -> None:
        """Make a key worthless, in every instance within some seconds."""
        self._sent("DELETE", f"/v1/keys/{quote(key_id, safe='')}", None)

    def export(self, user_id: str) -> UserExport:
        """All that is held of a user."""
        return self._said(UserExport, "GET", user_path(user_id, "export"))

    def erase(self, user_id: str) -> ErasureReceipt:
        """Erase a user everywhere."""
        return self._said(ErasureReceipt, "DELETE", user_path(user_id))

    def care(self, care: Care | None = None) -> Care:
        """Whom nobody guides, and what nobody is guided to; from now on, if it is said."""
        return self._said(Care, "GET" if care is None else "PUT", "/v1/care", care)

    def audit(
        self, *, what: str | None = None, about: str | None = None, page: int = 1000
    ) -> Iterator[AuditEntry]:
        """Who changed what, the newest first."""
        asked = {"what": what, "about": about, "limit": page, "before": None}
        while True:
            query = {name: value for name, value in asked.items() if value is not None}
            found = self._said(AuditEntries, "GET", "/v1/audit", query=query)
            yield from found.entries
            asked["before"] = found.next
            if found.next is None:
                return
