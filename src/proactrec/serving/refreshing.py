"""What an instance takes up while it works: items, what is sold out, and what was learned.

It is read and prepared in a thread of its own, and swapped between two batches.
"""

import logging
import threading

from proactrec.errors import StoreError
from proactrec.serving.guides import Guides
from proactrec.serving.instance import Instance
from proactrec.serving.opening import taught
from proactrec.store import items, knowledge
from proactrec.store.campaigns import all_current
from proactrec.store.database import Database

EVERY_SECONDS = 1.0
LOG = logging.getLogger(__name__)


class Refresher:
    """Looks for news once a second, and says whether the store can be reached.

    Parameters
    ----------
    database : Database
    instance : Instance
    every : float, optional
        Seconds between two looks.
    """

    def __init__(
        self, database: Database, instance: Instance, *, every: float = EVERY_SECONDS
    ) -> None:
        self._database, self._instance, self._every = database, instance, every
        self._common = instance.host.guides
        self._revisions: dict[str, int] = {}
        self._catalogues: dict[str, bytes] = {}  # what a tenant's guides were opened with
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End soon."""
        self._ends.set()

    def look(self) -> None:
        """Take up what is new."""
        with self._database.reading() as connection:
            revisions = items.revisions(connection)
            learned = knowledge.newest_versions(connection, self._common.name)
        for tenant, revision in revisions.items():
            if self._revisions.get(tenant) != revision:
                self._take_items(tenant)
                self._revisions[tenant] = revision
        for tenant, version in learned.items():
            guides = self._instance.host.guides_of(tenant)
            if guides.knowledge_of(tenant) != version:
                self._learn(guides, tenant, version)

    def _run(self) -> None:
        while not self._ends.wait(self._every):
            try:
                self.look()
                self._instance.store_is(out=False)
            except StoreError:
                self._instance.store_is(out=True)
            except Exception:  # of news that can't be taken up: decide by what there is
                LOG.exception("news could not be taken up")

    def _take_items(self, tenant: str) -> None:
        """Guides of a tenant's own, with its items as they are now."""
        with self._database.reading() as connection:
            catalogue, sold_out = items.catalogue_of(connection, tenant)
            versions = all_current(connection, tenant)
        old = self._instance.host.guides_of(tenant)
        content = catalogue.table.hash_rows().to_numpy().tobytes()
        if self._catalogues.get(tenant) == content:
            guides = old.selling(sold_out)
        else:
            guides = Guides(old.folder, catalogue, sold_out)
        version = old.knowledge_of(tenant)
        if version:
            guides.learned(tenant, version, self._knowledge(guides, tenant, version))
        guides.prepare(versions)
        self._instance.between(lambda: self._instance.host.replace_guides(guides, tenant))
        self._catalogues[tenant] = content

    def _learn(self, guides: Guides, tenant: str, version: int) -> None:
        found = self._knowledge(guides, tenant, version)
        self._instance.between(lambda: guides.learned(tenant, version, found))

    def _knowledge(self, guides: Guides, tenant: str, version: int) -> object:
        with self._database.reading() as connection:
            return taught(connection, guides, tenant, version)
