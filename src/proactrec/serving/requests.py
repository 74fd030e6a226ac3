"""What is asked of a host and what it answers: the same by HTTP, in batches and in tests."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from proactrec.data.items import Items
from proactrec.store.campaigns import Version
from proactrec.store.log import Decided
from proactrec.store.people import Event, id_of


class Ask(NamedTuple):
    """What to show a user next."""

    user_id: str
    campaign_id: str | None = None  # only this one may guide
    candidates: tuple[str, ...] = ()  # only these may be shown; in the caller's own order
    at: int | None = None
    request_key: str | None = None  # the same key gets the same decision


class Report(NamedTuple):
    """What a user did."""

    user_id: str
    event_id: str
    kind: str
    item_id: str
    decision_id: str | None = None
    at: int | None = None


class Consent(NamedTuple):
    """Whether a user wants to be guided."""

    user_id: str
    guided: bool


class Membership(NamedTuple):
    """The groups that a user is in from now on."""

    user_id: str
    groups: tuple[str, ...]


Request = Ask | Report | Consent | Membership


class Answer(NamedTuple):
    """What a user is shown."""

    tenant: str
    user_id: str
    decided: Decided
    version: Version | None  # of the campaign
    title: str
    target_title: str
    chance: float | None = None  # of acceptance, as the policy believes
    is_kept: bool = True  # False: the log has another item, and no event may answer this one

    @classmethod
    def of(
        cls,
        tenant: str,
        user_id: str,
        decided: Decided,
        version: Version | None,
        items: Items,
        chance: float | None = None,
    ) -> Self:
        """With the titles that items have."""
        titles = items.title_of(decided.made.item_id), items.title_of(decided.made.target_id)
        return cls(tenant, user_id, decided, version, *titles, chance)

    def withdrawn(self, because: str, items: Items) -> Self:
        """The plain item instead, since nobody may be guided to the other one any more."""
        made = self.decided.made._replace(item_id=self.decided.plain_id, guided=0)
        decided = self.decided._replace(
            made=made, reason="plain", not_guided_because=because, among=None
        )
        return self._replace(decided=decided, title=items.title_of(made.item_id), is_kept=False)

    @property
    def decision_id(self) -> str:
        """Of the decision."""
        return id_of(self.tenant, self.user_id, self.decided.made.number)

    @property
    def probability(self) -> float:
        """With which the item was drawn."""
        decided, version = self.decided, self.version
        if not decided.among or version is None:
            return 1.0
        share, k = version.said.explore.share, len(decided.among)
        chosen = decided.proposed_id or decided.made.item_id
        return share / k + (1 - share) * (chosen == decided.among[0])


class Noted(NamedTuple):
    """An event, a consent or groups, as they were taken in."""

    event: Event | None = None
    is_repeated: bool = False


class Refused(NamedTuple):
    """Why something can't be taken in."""

    why: str


class Plain(NamedTuple):
    """What a user is shown of whom nothing could be kept."""

    item_id: str  # "": nothing
    title: str
    because: str


Response = Answer | Noted | Refused
Outcome = Response | Plain
"""What an instance answers when its host may fail."""


def first_of_each(
    waiting: Sequence[int], requests: Sequence[Request]
) -> tuple[list[int], list[int]]:
    """What may go into one transaction, and the rest: only reports come before another request."""
    now, later, asked = [], [], set()
    for row in waiting:
        user = requests[row].user_id
        if user in asked:
            later.append(row)
            continue
        now.append(row)
        if not isinstance(requests[row], Report):
            asked.add(user)
    return now, later
