"""The host of campaigns with real users: many requests become one transaction.

Users are scored by what the log says of them, without any lock. The transaction then locks them, in
the order of their ids, and takes no decision for anybody whose log has grown meanwhile: that one is
made again, as is one whose item others have taken. Whoever is refused by a budget gets the plain
item in the same commit. So n hosts on one database decide as one would.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from proactrec.errors import BusyError, ProactrecError
from proactrec.serving.choosing import Known, Turn, known_of, offers, spent, turn_of, withdrawn
from proactrec.serving.guides import Guides, Live
from proactrec.serving.memory import Memory
from proactrec.serving.metrics import TRIED_AGAIN
from proactrec.serving.requests import Answer, Ask, Request, Response, first_of_each
from proactrec.serving.scoring import Scored, scored
from proactrec.serving.taking import Work, change_of, responses_of, works_of
from proactrec.serving.unknown import Unknown
from proactrec.store import care, log
from proactrec.store.budgets import ALL, ITEM_CAP, Limit, Limits, nearly_used, take
from proactrec.store.campaigns import all_current
from proactrec.store.care import Heads, heads
from proactrec.store.database import Database, Hot
from proactrec.store.erased import rows_of
from proactrec.store.leases import Leases
from proactrec.store.log import Decided
from proactrec.store.people import SECOND, Made, Person

logger = logging.getLogger(__name__)
MOST_ROWS = 400_000
"""Rows of users' logs that are kept in memory; about half a kilobyte each."""
MOST_TRIES = 20
"""Transactions in a row of which nothing came, until users are left to others."""
USED_FOR = SECOND
"""How long it is believed what budgets have left; transactions say it anyway."""


def wall_clock() -> int:
    """Microseconds of UTC since 1970."""
    return time.time_ns() // 1000


class Host:
    """Decides for real users, and takes in what they do.

    Parameters
    ----------
    database : Database
    guides : Guides
        Of tenants that have none of their own; later those of the tenant at hand.
    clock : callable, optional
        Microseconds of UTC since 1970.
    most_rows : int, optional
        Of logs in memory.
    leases : Leases, optional
        Parts of budgets that this host holds; else each commit waits for their rows.
    """

    def __init__(
        self,
        database: Database,
        guides: Guides,
        *,
        clock: Callable[[], int] = wall_clock,
        most_rows: int = MOST_ROWS,
        leases: Leases | None = None,
    ) -> None:
        self.database, self.guides, self.clock = database, guides, clock
        self._common, self._own = guides, dict[str, Guides]()
        self._memory, self._leases = Memory(most_rows), leases
        self._campaigns: dict[str, list[Live]] = {}
        self._versions: dict[str, dict[str, int]] = {}
        self._erased: dict[str, int] = {}
        self.unknown = Unknown()
        self._used: dict[str, dict[Limit, int]] = {}
        self._used_at: dict[str, int] = {}

    def replace_guides(self, guides: Guides, tenant: str | None = None) -> None:
        """Decide by others from the next batch on: for a tenant, or whoever has none of its own."""
        if tenant is None:
            self._common = self.guides = guides
        else:
            self._own[tenant] = guides
        self._campaigns, self._versions, self._erased = {}, {}, {}

    def guides_of(self, tenant: str) -> Guides:
        """Those by which it is decided for a tenant's users."""
        return self._own.get(tenant, self._common)

    def handle(
        self,
        tenant: str,
        requests: Sequence[Request],
        done: dict[int, Response] | None = None,
        *,
        seconds: float = math.inf,
    ) -> list[Response]:
        """Answer requests of a tenant, durably: in their order for each user.

        Parameters
        ----------
        done : dict of int to Response, optional
            Takes each answer in, by its request's place, once it is durable: if the rest fails, it
            tells what is done.
        seconds : float, optional
            After which whoever others change meanwhile is not tried again.

        Raises
        ------
        BusyError
            If others are faster, over and over.
        StoreError
            If the database fails. Requests that are not in `done` may be made again, if they are
            of a kind that can be repeated.
        """
        self.guides = self.guides_of(tenant)
        done = {} if done is None else done
        waiting, n_lost, late = list(range(len(requests))), 0, time.monotonic() + seconds
        while waiting:
            now, later = first_of_each(waiting, requests)
            try:
                new = self._transaction(tenant, [(row, requests[row]) for row in now])
            except BaseException:
                self._memory.forget(tenant, {requests[row].user_id for row in now})
                raise
            done.update(new)
            TRIED_AGAIN.inc(len(now) - len(new))
            waiting = sorted([row for row in now if row not in new] + later)
            n_lost = 0 if new else n_lost + 1
            if n_lost == MOST_TRIES or (n_lost and time.monotonic() > late):
                raise BusyError(f"others were faster for {len(waiting)} requests: try again later")
        return [done[row] for row in range(len(requests))]

    @property
    def n_people(self) -> int:
        """Users in memory."""
        return len(self._memory)

    def campaigns(self, tenant: str) -> list[Live]:
        """Of a tenant, in the order in which they have users' turns, as last seen."""
        return self._campaigns.get(tenant, [])

    def leave(self) -> None:
        """Give back what is leased; if the store is out, the worker does when leases are over.

        Raises
        ------
        StoreError
            If the store can't be reached.
        """
        if self._leases is not None:
            with self.database.writing() as connection:
                self._leases.release(Hot(connection))

    def _transaction(
        self, tenant: str, requests: Sequence[tuple[int, Request]]
    ) -> dict[int, Response]:
        """Answers to those requests whose users and items nobody else took meanwhile."""
        ids = list(dict.fromkeys(request.user_id for _, request in requests))
        with self.database.reading() as connection:
            hot = Hot(connection)
            self._see_heads(tenant, heads(hot, tenant), connection)
            self._see_used(tenant, hot)
            people = self._memory.see(tenant, hot, ids)
            repeated = self._decided_before(hot, tenant, requests, people)
        works = works_of(requests, people, repeated, self.clock())
        known = {user: self._known(tenant, user) for user, work in works.items() if work.ask}
        turns = {user: self._turn(tenant, works[user], one) for user, one in known.items()}
        used = self._used[tenant]
        ready = scored(list(turns.values()), known, self.guides, used) if turns else []
        with self.database.writing() as connection:
            hot = Hot(connection)
            first = [user for user, work in works.items() if work.is_first]
            at = log.locked(hot, tenant, ids, new=first)
            now = heads(hot, tenant)
            if now.versions != self._versions[tenant]:
                connection.rollback()  # whoever is locked for the first time
                return {}
            is_new = {user for user in ids if at[user] == works[user].change.before.revision}
            if now.erased != self._erased[tenant]:
                is_new -= self._erased_meanwhile(hot, tenant, people, known)
            of_new = [one for one in ready if one.turn.person.user_id in is_new]
            answers = self._settled(hot, tenant, of_new)
            is_new -= {user for user in turns if user not in answers}
            changes = [change_of(works[user], answers.get(user)) for user in sorted(is_new)]
            log.write(hot, tenant, [c for c in changes if c.after.revision > c.before.revision])
            log.let_go(hot, tenant, [user for user in first if not at[user] and user not in is_new])
        self._memory.forget(tenant, set(ids) - is_new)
        for change in changes:
            if change.after.revision:
                self._memory.keep(change.after)
        return responses_of(works, is_new, answers)

    def _turn(self, tenant: str, work: Work, known: Known) -> Turn:
        ask, person = work.ask, work.change.after
        assert ask is not None
        last = person.made[-1].at if person.made else 0
        at = max(self.clock() if ask.at is None else ask.at, last)  # a clock may be moved back
        turn = turn_of(ask, person, at, self._campaigns[tenant], self.guides, known)
        if ask.campaign_id is not None and ask.campaign_id not in self._versions[tenant]:
            turn = turn._replace(because="unknown_campaign")
        if not turn.because:
            turn = turn._replace(because=spent(turn, self._used[tenant]))
        return turn

    def _settled(self, hot: Hot, tenant: str, ready: Sequence[Scored]) -> dict[str, Answer]:
        """Answers by user, once budgets and caps have granted what is guided, or not.

        Once others have taken an item, whoever comes after is decided again, for all is new.
        """
        asked = {
            one.turn.person.user_id: offers(one.turn, self._id(one.item_idx))
            for one in ready
            if one.guided and not _is_apprentice(one)
        }
        limits: list[Limits] = list(asked.values())
        refused: dict[str, str | None] = {}
        if any(limits):
            grant = take if self._leases is None else self._leases.take
            result = grant(hot, tenant, limits, until=ITEM_CAP)
            refused = dict(zip(asked, result.refused, strict=True))
            self._note_used(tenant, result.used)
        if ITEM_CAP in refused.values():
            self._used_at.pop(tenant)
        users = {one.turn.person.user_id: one for one in ready}
        return {
            user: self._answer(tenant, one, refused.get(user))
            for user, one in users.items()
            if refused.get(user) != ITEM_CAP
        }

    def _answer(self, tenant: str, one: Scored, refused: str | None) -> Answer:
        turn, live = one.turn, one.turn.live
        ask, said = turn.ask, None if live is None else live.version.said
        plain = self._id(one.plain_idx) or (ask.candidates[0] if ask.candidates else "")
        item, because = self._id(one.item_idx) or plain, one.because
        guided, proposed = one.guided, ""
        if refused:
            guided, item, because = False, plain, refused
        elif guided and _is_apprentice(one):
            guided, proposed, because = False, item, "apprentice"
            item = ask.candidates[0] if ask.candidates else plain
        target = self._id(turn.target_idx)
        offer = turn.at + SECOND * (3600 if said is None else said.offer_seconds)
        made = Made(
            turn.person.next_number,
            "" if live is None else live.version.campaign_id,
            0 if live is None else live.version.version,
            turn.arm,
            target,
            item,
            int(guided),
            self.guides.knowledge_of(tenant),
            turn.at,
            offer,
            offer + SECOND * (86_400 if said is None else said.answer_seconds),
        )
        is_drawn = bool(one.among) and not refused
        decided = Decided(
            made,
            plain,
            proposed,
            ("target" if item == target else "step") if guided else "plain",
            because,
            [self._id(idx) for idx in one.among] if is_drawn else None,
            ask.request_key,
            self.guides.name,
        )
        version = None if live is None else live.version
        chance = one.chance if item == self._id(one.item_idx) else None
        user_id, items = turn.person.user_id, self.guides.items
        return Answer.of(tenant, user_id, decided, version, items, chance)

    def _id(self, item_idx: int) -> str:
        return self.guides.items.item_ids[item_idx - 1] if item_idx else ""

    def _decided_before(
        self,
        hot: Hot,
        tenant: str,
        requests: Sequence[tuple[int, Request]],
        people: Mapping[str, Person],
    ) -> dict[int, Answer]:
        """Answers to requests that were made before, by their keys; guided if they may be still."""
        found = {}
        items = self.guides.items
        by_id = {live.version.campaign_id: live for live in self._campaigns[tenant]}
        for row, request in requests:
            person = people[request.user_id]
            if isinstance(request, Ask) and request.request_key and person.made:
                decided = log.decided_by(hot, tenant, request.user_id, request.request_key)
                if decided is not None:
                    live = by_id.get(decided.made.campaign_id)
                    version = None if live is None else live.version
                    answer = Answer.of(tenant, request.user_id, decided, version, items)
                    because = withdrawn(decided.made, person, live, items)
                    found[row] = answer.withdrawn(because, items) if because else answer
        return found

    def _see_heads(self, tenant: str, now: Heads, connection: Connection) -> None:
        """Take up what is new since it was looked at last."""
        if self._erased.get(tenant) != now.erased:
            self._memory.forget_all(tenant)
            rows = rows_of(Hot(connection), tenant, self.guides.name)
            self.unknown.see(self.guides.name, tenant, rows)
            self._erased[tenant] = now.erased
        if self._versions.get(tenant) != now.versions:
            self._see_campaigns(tenant, connection)
            self._versions[tenant] = now.versions

    def _see_campaigns(self, tenant: str, connection: Connection) -> None:
        ready: list[Live] = []
        said = care.current(connection, tenant)
        for version in all_current(connection, tenant):
            try:
                ready.append(self.guides.live(version, said))
            except ProactrecError as error:  # a guide that came later leaves it no target
                logger.warning("campaign %s can't guide: %s", version.campaign_id, error)
        self._campaigns[tenant] = ready
        self._used_at.pop(tenant, None)

    def _known(self, tenant: str, user_id: str) -> Known:
        return known_of(user_id, self.guides, self.unknown.as_decided(self.guides.name, tenant))

    def _erased_meanwhile(
        self,
        hot: Hot,
        tenant: str,
        people: Mapping[str, Person],
        known: Mapping[str, Known],
    ) -> set[str]:
        """Who is not the one any more of whom this was decided, by what the log says now."""
        rows = rows_of(hot, tenant, self.guides.name)
        now = log.people(hot, tenant, log.revisions(hot, tenant, list(people)))
        gone = {user for user, one in known.items() if one.row in rows}
        return gone | {user for user, one in people.items() if not one.is_as(now[user])}

    def _see_used(self, tenant: str, hot: Hot) -> None:
        """What is used up by now, which others take and expiry gives back."""
        now = self.clock()
        if abs(now - self._used_at.get(tenant, -USED_FOR)) < USED_FOR:
            return
        self._used_at[tenant], self._used[tenant] = now, {}
        for live in self._campaigns[tenant]:
            version = live.version
            if version.state == "running":
                found = nearly_used(hot, tenant, version.campaign_id, version.said)
                self._note_used(tenant, found)

    def _note_used(self, tenant: str, used: Mapping[Limit, int]) -> None:
        """Remember it, unless it may be what this host itself has leased."""
        leases = self._leases is not None
        known = {limit: n for limit, n in used.items() if not leases or limit.scope != ALL}
        self._used[tenant].update(known)


def _is_apprentice(one: Scored) -> bool:
    return one.turn.live is not None and one.turn.live.version.said.apprentice
