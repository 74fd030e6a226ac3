"""A user as the log tells of them: a fold over the set of what was decided and what happened.

Nothing here depends on the order in which events came in, or how often: the same set gives the same
state. Decisions are numbered, per user, by the transactions that made them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from proactrec.types import ACCEPTED, REFUSED, UNKNOWN

KINDS = ("impression", "accept", "skip", "purchase", "complaint")
"""What a shop may report."""
TAKEN, REJECTED = frozenset(("accept", "purchase")), frozenset(("skip", "complaint"))
EXPIRED, LAPSED = "expired", "lapsed"
"""Told by the worker: never shown in time, and given back; shown, and no answer came."""
OWN = "~"
"""First sign of the ids of events that proactrec tells itself."""
NOBODY = "~erased:"
"""Begins the ids of those who were somebody, and of their events."""
SECOND = 1_000_000
"""Microseconds: times are in these."""


class Event(NamedTuple):
    """What happened, as it was reported."""

    event_id: str
    decision: int  # number of the user's decision that it answers; 0: none
    item_id: str
    kind: str
    at: int
    received_at: int


class Made(NamedTuple):
    """A decision of a user, as far as later ones need it."""

    number: int
    campaign_id: str
    version: int
    arm: str
    target_id: str
    item_id: str
    guided: int
    knowledge: int
    at: int
    expires_at: int
    closes_at: int


class Answered(NamedTuple):
    """A decision that stands, and what came of it: a round of its journey."""

    made: Made
    answer: int


@dataclass(frozen=True, eq=False)
class Person:
    """One user of a tenant.

    Parameters
    ----------
    revision : int
        Number of rows of the log that are theirs: whoever holds another one is out of date.
    made : tuple of Made
        By number.
    events : mapping of id to event
    is_guided : bool
        What they last said of it; nothing said: true.
    n_consents, n_memberships : int
        How often they were said.
    """

    tenant: str
    user_id: str
    revision: int = 0
    made: tuple[Made, ...] = ()
    events: Mapping[str, Event] = field(default_factory=dict)
    is_guided: bool = True
    n_consents: int = 0
    groups: frozenset[str] = frozenset()
    n_memberships: int = 0

    def after(self, *, made: Iterable[Made] = (), events: Iterable[Event] = ()) -> Self:
        """With more of the log; of events that share an id, the first one counts."""
        known = dict(self.events)
        for event in events:
            known.setdefault(event.event_id, event)
        whole = self.made + tuple(made)
        grown = len(whole) - len(self.made) + len(known) - len(self.events)
        return replace(self, revision=self.revision + grown, made=whole, events=known)

    def consenting(self, guided: bool) -> Self:
        """After one more word on being guided."""
        said = self.n_consents + 1
        return replace(self, revision=self.revision + 1, is_guided=guided, n_consents=said)

    def belonging(self, groups: Iterable[str]) -> Self:
        """After one more word on groups."""
        said = self.n_memberships + 1
        return replace(
            self, revision=self.revision + 1, groups=frozenset(groups), n_memberships=said
        )

    def is_as(self, other: "Person") -> bool:
        """Whether the log tells the same of both."""
        own, others = (
            (one.made, dict(one.events), one.is_guided, one.n_consents, one.groups)
            for one in (self, other)
        )
        return own == others

    @property
    def next_number(self) -> int:
        """Of the next decision."""
        return len(self.made) + 1

    @cached_property
    def kinds(self) -> Mapping[int, frozenset[str]]:
        """What was reported of each decision, by its number."""
        found: dict[int, set[str]] = {}
        for event in self.events.values():
            if event.decision:
                found.setdefault(event.decision, set()).add(event.kind)
        return {number: frozenset(kinds) for number, kinds in found.items()}

    @cached_property
    def standing(self) -> tuple[Answered, ...]:
        """Decisions but those that expired unseen, with their answers, by number."""
        found = ((made, answer_of(self.kinds.get(made.number, frozenset()))) for made in self.made)
        return tuple(Answered(made, answer) for made, answer in found if answer is not None)

    @property
    def waiting(self) -> list[tuple[Made, int]]:
        """Decisions that nothing has settled yet, and until when each is waited for."""
        return [
            (made, made.closes_at if made.number in self.kinds else made.expires_at)
            for made, answer in self.standing
            if answer == UNKNOWN
        ]

    @property
    def due_at(self) -> int | None:
        """When the first of them must be settled; None: nothing is waited for."""
        return min((until for _, until in self.waiting), default=None)

    def rounds(self, campaign_id: str, target_id: str) -> list[Answered]:
        """Of the journey to a target in a campaign, in which something was decided."""
        return [
            one
            for one in self.standing
            if one.made.campaign_id == campaign_id and one.made.target_id == target_id
        ]

    def arm(self, campaign_id: str) -> str | None:
        """The arm of a campaign that the user was assigned to, at the first decision."""
        found = (made.arm for made in self.made if made.campaign_id == campaign_id)
        return next(found, None)

    def n_guided(self, day: date, zone: ZoneInfo, campaign_id: str | None = None) -> int:
        """Guided items of a day that were not given back; of all campaigns by default."""
        return sum(
            1
            for made in self.made
            if made.guided
            and campaign_id in (None, made.campaign_id)
            and day_of(made.at, zone) == day
            and not self.is_given_back(made)
        )

    def is_given_back(self, made: Made) -> bool:
        """Whether a decision expired before it was shown: its place was given to others."""
        return EXPIRED in self.kinds.get(made.number, ())

    @cached_property
    def acquired(self) -> tuple[tuple[int, str, int], ...]:
        """Time, item and decision (0: none) of all that was accepted, oldest first."""
        taken = {made.number: made for made in self.made}
        found = {
            (taken[e.decision].at if e.decision else e.at, e.item_id, e.decision)
            for e in self.events.values()
            if e.kind in TAKEN
        }
        return tuple(sorted(found))

    def decision_of(self, decision_id: str) -> Made | None:
        """The decision with this id, if it is the user's."""
        head = decision_id.split("-", 1)[0]
        number = int(head) if head.isdecimal() and len(head) < 10 else 0
        if not 0 < number <= len(self.made):
            return None
        is_own = decision_id == id_of(self.tenant, self.user_id, number)
        return self.made[number - 1] if is_own else None


def id_of(tenant: str, user_id: str, number: int) -> str:
    """The id of a user's decision: nobody else's has it."""
    whole = f"{tenant}\0{user_id}\0{number}".encode()
    return f"{number}-{hashlib.blake2b(whole, digest_size=8).hexdigest()}"


def answer_of(kinds: frozenset[str]) -> int | None:
    """ACCEPTED, REFUSED or UNKNOWN; None: it was never shown.

    An acceptance counts whenever it comes, and whatever else was said.
    """
    if kinds & TAKEN:
        return ACCEPTED
    if kinds & REJECTED or LAPSED in kinds:
        return REFUSED
    if EXPIRED in kinds:
        return REFUSED if "impression" in kinds else None
    return UNKNOWN


def day_of(at: int, zone: ZoneInfo) -> date:
    """The calendar day of a time."""
    return moment_in(at, zone).date()


def moment_in(at: int, zone: ZoneInfo) -> datetime:
    """A time as clocks of a zone show it."""
    return datetime.fromtimestamp(at / SECOND, UTC).astimezone(zone)
