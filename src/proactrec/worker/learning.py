"""What everybody's answers teach: learned from closed batches of decisions, published as versions.

A batch is closed when all its decisions are settled. Answers that come later are no reason to leave
them out: the first batch that says something else than when it was learned from is learned again,
and all that follow it. So what is known is a function of the set of events: their order, and how
late they came, change nothing.

Somebody went back to an older version: then learning goes on from there, by what was decided since,
and only once it is not frozen any more. Versions before that stay as they are.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from safetensors.torch import save
from sqlalchemy import Connection

from proactrec.guidance.learned import tensors_of
from proactrec.policies.base import Learner
from proactrec.serving.guides import Guides
from proactrec.store import knowledge, watching
from proactrec.store.database import Database, Hot
from proactrec.store.knowledge import Lesson
from proactrec.store.people import SECOND
from proactrec.threads import one_thread
from proactrec.worker.evidence import (
    batch_up_to,
    closed_batch,
    is_learner,
    known_at,
    lesson_of,
    touched,
)

BATCH = 500
"""Decisions of the first batches."""
GROWTH, MOST = 20, 20_000
"""A batch is at least a twentieth of the answers before it, as that many more teach as much as the
first few did, and at most so many decisions."""
OVERLAP = 120 * SECOND
"""How long before a version was made events count as late: clocks and transactions differ."""


class Learning:
    """The learner of a guide.

    Parameters
    ----------
    guides : Guides
        Of the folder alone: items that came later teach nothing until the guide is fitted anew.
    batch : int
        Decisions of the first batches.
    """

    def __init__(
        self, database: Database, guides: Guides, clock: Callable[[], int], *, batch: int = BATCH
    ) -> None:
        self._database, self._guides, self._clock, self._batch = database, guides, clock, batch
        self._checked: dict[str, tuple[int, int]] = {}  # version and until when, by tenant

    @one_thread()
    def learn(self, tenant: str) -> int:
        """Learn all that is new; the number of versions made."""
        if not is_learner(self._guides):
            return 0
        now = self._clock()  # what comes in from here on is looked for by the next call
        with self._database.reading() as connection:
            if watching.state(connection, tenant, self._guides.name).said.frozen:
                return 0
            chain = knowledge.lessons(connection, tenant, self._guides.name)
            kept = self._unchanged(connection, tenant, chain, now)
            again: list[_Made] = []
            if len(kept) < len(chain):
                again = list(self._following(connection, tenant, kept, now))
        if again:
            return len(self._publish(tenant, again, chain[-1].version))
        n_old = len(chain)
        while True:
            with self._database.reading() as connection:
                made = next(self._following(connection, tenant, chain, now), None)
            newest = chain[-1].version if chain else 0
            if made is None or not (published := self._publish(tenant, [made], newest)):
                return len(chain) - n_old
            chain += published

    def _unchanged(
        self, connection: Connection, tenant: str, chain: list[Lesson], now: int
    ) -> list[Lesson]:
        """Lessons up to the first one that late events have changed."""
        if not chain:
            return chain
        newest = chain[-1]
        version, until = self._checked.get(tenant, (0, 0))
        since = until if version == newest.version else newest.at
        spans = {
            n: (lesson.after_seq, lesson.up_to_seq)
            for n, lesson in enumerate(chain)
            if lesson.restores is None
        }
        hot = Hot(connection)
        for number in sorted(touched(hot, tenant, since - OVERLAP, spans)):
            batch = batch_up_to(hot, tenant, *spans[number])
            if lesson_of(connection, tenant, batch, self._guides).digest != chain[number].evidence:
                return chain[:number]
        self._checked[tenant] = newest.version, now
        return chain

    def _following(
        self, connection: Connection, tenant: str, chain: list[Lesson], now: int
    ) -> "Iterator[_Made]":
        """Lessons of all closed batches after a chain."""
        policy: Any = self._guides.saved.guide.policy
        learner: Learner[Any] = policy
        knows = known_at(connection, tenant, chain[-1].version if chain else 0, self._guides)
        after = chain[-1].up_to_seq if chain else 0
        n_answers = sum(lesson.n_answers for lesson in chain)
        hot = Hot(connection)
        while True:
            n = max(self._batch, min(n_answers // GROWTH, MOST))
            if not (batch := closed_batch(hot, tenant, after, n, now)):
                return
            evidence, digest = lesson_of(connection, tenant, batch, self._guides)
            if len(evidence.item_idx):
                knows = learner.learned(knows, evidence)
            n_new, up_to = len(evidence.item_idx), batch[-1].seq
            yield _Made(
                Lesson(0, 0, after, up_to, digest, n_new, now), save(tensors_of(knows)), chain
            )
            after, n_answers = up_to, n_answers + n_new

    def _publish(self, tenant: str, made: "list[_Made]", newest: int) -> list[Lesson]:
        """Keep versions, all or none: nobody is guided by half a chain.

        None if it was frozen meanwhile, or another version is the newest: somebody went back.
        """
        name, published = self._guides.name, []
        with self._database.writing() as connection:
            is_frozen = watching.held(connection, tenant, name).said.frozen
            if is_frozen or knowledge.newest_versions(connection, name).get(tenant, 0) != newest:
                return []
            version = knowledge.next_version(connection, tenant)
            parent = made[0].chain[-1].version if made[0].chain else 0
            for one in made:
                lesson = one.lesson._replace(version=version, parent=parent)
                knowledge.add(connection, tenant, name, lesson, one.content)
                published.append(lesson)
                version, parent = version + 1, version
        return published


class _Made(NamedTuple):
    """A lesson that is not published yet."""

    lesson: Lesson
    content: bytes
    chain: list[Lesson]  # that it was learned after, those made with it left out
