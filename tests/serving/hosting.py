"""A shop with a store and hosts, whose clock the tests move."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proactrec.serving.guides import Guides
from proactrec.serving.host import Host
from proactrec.serving.requests import Answer, Ask, Consent, Membership, Noted, Report, Request
from proactrec.store import campaigns, log
from proactrec.store.campaign import Campaign
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
from proactrec.store.leases import Leases
from proactrec.store.people import SECOND, Person

TENANT = "shop"
NOON = 1_790_000_000 * SECOND
DAY = 86_400 * SECOND


class Shop:
    """What a tenant does, by one host or another."""

    def __init__(
        self, database: Database, folder: Path, n_hosts: int = 1, lease_block: int = 0
    ) -> None:
        self.database, self.now = database, NOON
        self.guides = Guides(folder)
        self.items = self.guides.items
        leases = [
            Leases(f"{os.getpid()}-{n}", lease_block) if lease_block else None
            for n in range(n_hosts)
        ]
        self.hosts = [Host(database, self.guides, clock=self.clock, leases=one) for one in leases]
        self.n_events = 0

    def clock(self) -> int:
        return self.now

    def draft(self, **said: Any) -> Version:
        """A new campaign; toward i04 unless told."""
        whole = Campaign(**{"name": "test", "goal": {"items": ("i04",)}, "hold_out": 0, **said})
        with self.database.writing() as connection:
            return campaigns.create(connection, TENANT, whole, by="test", at=self.now)

    def change(self, version: Version, **changes: Any) -> Version:
        with self.database.writing() as connection:
            current = campaigns.current(connection, TENANT, version.campaign_id)
            how = {"by": "test", "at": self.now, "reason": "test", **changes}
            return campaigns.changed(connection, current, **how)

    def campaign(self, **said: Any) -> Version:
        """A campaign that runs."""
        return self.change(self.draft(**said), state="running")

    def handle(self, requests: Sequence[Request], host: int = 0) -> list[Any]:
        return self.hosts[host].handle(TENANT, requests)

    def ask(self, user_id: str, host: int = 0, **more: Any) -> Answer:
        found = self.handle([Ask(user_id, **more)], host)[0]
        assert isinstance(found, Answer)
        return found

    def report(self, answer: Answer, *kinds: str, host: int = 0) -> list[Any]:
        made = answer.decided.made
        requests = []
        for kind in kinds:
            self.n_events += 1
            requests.append(
                Report(answer.user_id, f"e{self.n_events}", kind, made.item_id, answer.decision_id)
            )
        return self.handle(requests, host)

    def bought(self, user_id: str, item_id: str) -> Any:
        self.n_events += 1
        return self.handle([Report(user_id, f"e{self.n_events}", "purchase", item_id)])[0]

    def consent(self, user_id: str, guided: bool, host: int = 0) -> None:
        assert self.handle([Consent(user_id, guided)], host) == [Noted()]

    def groups(self, user_id: str, *names: str) -> None:
        assert self.handle([Membership(user_id, names)]) == [Noted()]

    def person(self, user_id: str) -> Person:
        """As the log tells."""
        with self.database.reading() as connection:
            hot = Hot(connection)
            return log.people(hot, TENANT, log.revisions(hot, TENANT, [user_id]))[user_id]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.database.reading() as connection:
            return Hot(connection).rows(sql)
