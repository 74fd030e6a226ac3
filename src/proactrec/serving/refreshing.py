"""What an instance takes up while it works: guides, items, what is sold out, and what was learned.

It is read and prepared in a thread of its own, and swapped between two batches.
"""

import logging
import math
import threading
import time
from pathlib import Path

from proactrec.errors import StoreError, UnknownIdError
from proactrec.guidance.saved import guide_name
from proactrec.serving.guides import Guides
from proactrec.serving.instance import Instance
from proactrec.serving.metrics import GUIDES
from proactrec.serving.opening import taught, with_items
from proactrec.store import care, erased, items, knowledge
from proactrec.store.campaigns import all_current, tenants
from proactrec.store.database import Database, Hot
from proactrec.store.knowledge import Lesson

EVERY_SECONDS = 1.0
LAST_SECONDS = 3.0
"""A last look may take so long."""
AGAIN_SECONDS = 60.0
"""A guide that could not be opened is tried again after so long."""
LOG = logging.getLogger(__name__)


class Refresher:
    """Looks for news once a second, and says whether the store can be reached.

    Parameters
    ----------
    database : Database
    instance : Instance
    """

    def __init__(self, database: Database, instance: Instance) -> None:
        self._database, self._instance = database, instance
        self._common = instance.host.guides
        self._refused = Path(), "", -math.inf  # a guide, and when it could not be opened
        self._revisions: dict[str, int] = {}
        self._catalogues: dict[str, bytes] = {}  # what a tenant's guides were opened with
        self._lessons: dict[str, Lesson] = {}  # what was learned last, as guides know it by now
        self._erasures: tuple[str, dict[str, int]] | None = None  # up to which they were read
        self._ends = threading.Event()
        self._is_swapped = threading.Event()
        self._is_swapped.set()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)

    def start(self) -> None:
        """Begin."""
        GUIDES.labels(self._common.name).set(1)
        self._thread.start()

    def stop(self) -> None:
        """End soon."""
        self._ends.set()

    def join(self) -> None:
        """Wait until it has ended, but not for a store that does not answer."""
        self._thread.join(LAST_SECONDS)

    def look(self) -> None:
        """Take up what is new."""
        with self._database.reading() as connection:
            revisions = items.revisions(connection)
            learned = knowledge.newest(connection, self._common.name)
            self._see_erased(Hot(connection))
        if not self._is_swapped.is_set() or self._take_guide():
            return
        for tenant, revision in revisions.items():
            if self._revisions.get(tenant) != revision:
                self._take_items(tenant, learned.get(tenant))
                self._revisions[tenant] = revision
        for tenant in learned.keys() | self._lessons.keys():
            if self._lessons.get(tenant) != learned.get(tenant):
                self._learn(tenant, learned.get(tenant))

    def _run(self) -> None:
        while True:
            try:
                self.look()
                self._instance.store_is(out=False)
            except StoreError:
                self._instance.store_is(out=True)
            except Exception:  # of news that can't be taken up: decide by what there is
                LOG.exception("news could not be taken up")
            if self._ends.wait(EVERY_SECONDS):
                return

    def _see_erased(self, hot: Hot) -> None:
        """Have the erased rows of all tenants at hand, for when the store is out."""
        guide = self._common.name
        now = guide, erased.newest(hot)
        if now != self._erasures:
            self._instance.host.unknown.see_all(guide, erased.rows_of_all(hot, guide))
            self._erasures = now

    def _take_guide(self) -> bool:
        """Whether the folder holds another guide by now, by which it will be decided."""
        folder, now = self._common.given, time.monotonic()
        try:
            name = guide_name(folder)
        except UnknownIdError:  # it is being replaced
            return False
        place, (*refused, at) = folder.resolve(), self._refused
        if name == self._common.name or ([place, name] == refused and now < at + AGAIN_SECONDS):
            return False
        LOG.info("guide %s is opened in place of %s", name, self._common.name)
        try:
            self._exchange(Guides(folder))
        except StoreError:
            raise
        except Exception:
            LOG.exception("guide %s can't be taken up: %s goes on", name, self._common.name)
            self._refused = place, name, now
            return False
        return True

    def _exchange(self, common: Guides) -> None:
        """Have guides ready for all tenants, and decide by them from the next batch on."""
        own: dict[str, Guides] = {}
        with self._database.reading() as connection:
            for tenant in {*tenants(connection), *self._revisions}:
                guides = common
                if tenant in self._revisions:
                    guides = own[tenant] = with_items(connection, common.folder, tenant)
                guides.prepare(all_current(connection, tenant))
            learned = knowledge.newest(connection, common.name)
        for tenant, lesson in learned.items():  # of a guide that decided before
            guides = own.get(tenant, common)
            guides.learned(tenant, *self._knowledge(guides, tenant, lesson))
        self._lessons = learned
        old, self._common = self._common.name, common
        self._catalogues.clear()
        self._is_swapped.clear()

        def swap() -> None:
            self._instance.host.replace_guides(common)
            for tenant, guides in own.items():
                self._instance.host.replace_guides(guides, tenant)
            GUIDES.labels(old).set(0)
            GUIDES.labels(common.name).set(1)
            self._is_swapped.set()
            self._instance.lets_go.set()
            LOG.info("guide %s decides", common.name)

        self._instance.between(swap)

    def _take_items(self, tenant: str, lesson: Lesson | None) -> None:
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
        guides.learned(tenant, *self._knowledge(guides, tenant, lesson))
        guides.prepare(versions)

        def swap() -> None:
            self._instance.host.replace_guides(guides, tenant)
            self._instance.lets_go.set()

        self._instance.between(swap)
        self._catalogues[tenant] = content
        self._note(tenant, lesson)

    def _learn(self, tenant: str, lesson: Lesson | None) -> None:
        guides = self._instance.host.guides_of(tenant)
        version, known = self._knowledge(guides, tenant, lesson)
        with self._database.reading() as connection:
            versions, cared = all_current(connection, tenant), care.current(connection, tenant)
        ready = guides.knowing_all(versions, cared, known)
        self._instance.between(lambda: guides.learned(tenant, version, known, ready))
        self._note(tenant, lesson)

    def _note(self, tenant: str, lesson: Lesson | None) -> None:
        """What guides know once the batch at hand is over."""
        if lesson is None:
            self._lessons.pop(tenant, None)
        else:
            self._lessons[tenant] = lesson

    def _knowledge(self, guides: Guides, tenant: str, lesson: Lesson | None) -> tuple[int, object]:
        """A version and what it knows; 0: what the guide was saved with."""
        if lesson is None:
            return 0, None
        with self._database.reading() as connection:
            return lesson.version, taught(connection, guides, tenant, lesson.version)
