"""What a batch of decisions says, made again from the log: the same for the same set of events.

A decision is seen as it was made: by the version of what was known that it names, after the rounds
before it (with the answers that are known by now) and what its user had got by then.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sqlalchemy import Connection

from proactrec.errors import ProactrecError
from proactrec.guidance.guide import Guide
from proactrec.guidance.walks import Walk, journeys_of
from proactrec.journeys import ACCEPTED, UNKNOWN, Journeys
from proactrec.policies.base import Candidates, Evidence, Learner, View
from proactrec.serving.choosing import NEVER_GUIDED, Known, Turn, known_of, walk_of
from proactrec.serving.guides import Guides, Live
from proactrec.serving.opening import taught
from proactrec.serving.requests import Ask
from proactrec.store import campaigns, knowledge, log
from proactrec.store.campaign import HOLD_OUT
from proactrec.store.campaigns import Version
from proactrec.store.database import Hot
from proactrec.store.erased import rows_of
from proactrec.store.people import SECOND, Made, Person
from proactrec.types import IntArray

SETTLED_FOR = 60 * SECOND
"""How long a decision must be settled: every transaction that was begun before it is over then, so
that no decision of a lower number turns up later."""
IN_ORDER = (
    "SELECT seq, user_id, number, not_guided_because FROM decisions "
    "WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?"
)
WAITED_FOR = (
    "SELECT 1 FROM decisions d WHERE d.tenant = ? AND d.seq > ? AND d.seq <= ? AND NOT EXISTS ("
    "SELECT 1 FROM events e WHERE e.tenant = d.tenant AND e.user_id = d.user_id "
    "AND e.decision = d.number AND e.kind <> 'impression' AND e.received_at <= ?) LIMIT 1"
)


class Numbered(NamedTuple):
    """A decision by its number over all users."""

    seq: int
    user_id: str
    number: int
    because: str  # why it was not guided


class Told(NamedTuple):
    """A decision that teaches."""

    seq: int
    person: Person  # before it
    known: Known  # to the guide
    made: Made
    item_idx: int
    accepted: bool


class Lesson(NamedTuple):
    """What a batch teaches."""

    evidence: Evidence
    digest: str


def closed_batch(hot: Hot, tenant: str, after: int, n: int, now: int) -> list[Numbered]:
    """The next n decisions, if all of them are settled; else none."""
    rows = [Numbered(*row) for row in hot.rows(IN_ORDER, (tenant, after, n))]
    if len(rows) < n:
        return []
    last = (tenant, after, rows[-1].seq, now - SETTLED_FOR)
    return [] if hot.rows(WAITED_FOR, last) else rows


def batch_up_to(hot: Hot, tenant: str, after: int, up_to: int) -> list[Numbered]:
    """The decisions of an earlier batch."""
    sql = IN_ORDER.replace("ORDER BY", "AND seq <= ? ORDER BY").removesuffix(" LIMIT ?")
    return [Numbered(*row) for row in hot.rows(sql, (tenant, after, up_to))]


def lesson_of(
    connection: Connection, tenant: str, batch: Sequence[Numbered], guides: Guides
) -> Lesson:
    """What a batch teaches: answers of those who may be guided, by the guide's own policy."""
    told = told_in(connection, tenant, batch, guides)
    features: dict[int, torch.Tensor] = {}
    for rows, version, guide in by_guide(connection, tenant, told, guides):
        kept = _features(guide, version, [told[row] for row in rows], guides)
        features.update(zip(rows, kept, strict=True))
    lessons = [told[row] for row in sorted(features)]
    ordered = [features[row] for row in sorted(features)]
    return _lesson(batch, lessons, torch.stack(ordered) if ordered else torch.empty(0, 0))


def by_guide(
    connection: Connection, tenant: str, told: Sequence[Told], guides: Guides
) -> Iterator[tuple[list[int], Version, Guide]]:
    """Rows of what the guide's own policy decided, with each guide as it knew then."""
    groups: dict[tuple[str, int, str, int], list[int]] = {}
    for row, one in enumerate(told):
        made = one.made
        key = (made.campaign_id, made.version, made.arm, made.knowledge)
        groups.setdefault(key, []).append(row)
    for (campaign_id, version, arm, knows), rows in groups.items():
        found = campaigns.of_version(connection, tenant, campaign_id, version)
        guide = _guide(found, arm, known_at(connection, tenant, knows, guides), guides)
        if guide is not None:
            yield rows, found, guide


def known_at(connection: Connection, tenant: str, version: int, guides: Guides) -> Any:
    """What was known at a version; of another guide's: what this one was saved with."""
    if version not in knowledge.versions_of(connection, tenant, guides.name):
        return guides.saved.guide.knowledge
    return taught(connection, guides, tenant, version)


def told_in(
    connection: Connection, tenant: str, batch: Sequence[Numbered], guides: Guides
) -> list[Told]:
    """Decisions that were answered, by anybody who may be guided."""
    hot, index = Hot(connection), guides.items.index
    erased = rows_of(hot, tenant, guides.name)
    ids = sorted({row.user_id for row in batch})
    people = log.people(hot, tenant, log.revisions(hot, tenant, ids))
    answers = {
        (user_id, made.number): answer
        for user_id, person in people.items()
        for made, answer in person.standing
    }
    found = []
    for row in batch:
        made = people[row.user_id].made[row.number - 1]
        answer = answers.get((row.user_id, row.number), UNKNOWN)  # never shown: nothing is known
        is_known = made.item_id in index and made.target_id in index
        may_teach = made.campaign_id and made.arm != HOLD_OUT and row.because not in NEVER_GUIDED
        if may_teach and is_known and answer != UNKNOWN:
            before = as_of(people[row.user_id], made)
            known, item = known_of(row.user_id, guides, erased), index[made.item_id]
            found.append(Told(row.seq, before, known, made, item, answer == ACCEPTED))
    return found


def as_of(person: Person, made: Made) -> Person:
    """A user before a decision, with all that is known by now of what was earlier."""
    earlier = {
        event_id: event
        for event_id, event in person.events.items()
        if (0 < event.decision < made.number) or (not event.decision and event.at <= made.at)
    }
    return Person(
        person.tenant, person.user_id, made=person.made[: made.number - 1], events=earlier
    )


def _guide(version: Version, arm: str, knowledge: Any, guides: Guides) -> Guide | None:
    """The guide of an arm as it knew then; None: it is not the guide's own policy that guides."""
    own = guides.saved.recipe.policy
    try:
        is_own = (version.said.arm(arm).policy or own) == own
        return guides.knowing(version, arm, knowledge) if is_own else None
    except ProactrecError:  # made for a guide that knew other items, or in an arm that was gone
        return None


@torch.no_grad()
def _features(
    guide: Guide, version: Version, told: Sequence[Told], guides: Guides
) -> list[torch.Tensor]:
    """What the policy keeps of each decision: rows (n_features,)."""
    rows: list[torch.Tensor] = []
    for view in views_of(guide, version, told, shown_by(told), guides):
        kept = guide.policy.decide(view).features
        rows += (torch.empty(len(view.places), 0) if kept is None else kept).unbind()
    return rows


def shown_by(told: Sequence[Told]) -> torch.Tensor:
    """The item of each decision: (n, 1)."""
    return torch.tensor([[one.item_idx] for one in told])


def views_of(
    guide: Guide, version: Version, told: Sequence[Told], offered: torch.Tensor, guides: Guides
) -> Iterator[View]:
    """What the policy saw before each decision, of these items (n, k), 0: none; in blocks."""
    penalty = torch.zeros(offered.shape).masked_fill(offered == 0, -torch.inf)
    for part, some in blocks_of(guide, version, told, guides):
        only = Candidates(penalty[part], offered[part])
        yield guide.among(some, guide.policy.place(some), only)


def blocks_of(
    guide: Guide, version: Version, told: Sequence[Told], guides: Guides
) -> Iterator[tuple[torch.Tensor, Journeys]]:
    """Journeys before each decision, in blocks: their rows, and they."""
    journeys = journeys_of([_walk(one, version, guides) for one in told])
    for part in torch.arange(len(told)).split(guide.block_size):
        yield part, journeys.of(part)


def _walk(told: Told, version: Version, guides: Guides) -> Walk:
    made, person = told.made, told.person
    live = Live(version, np.empty(0, np.int64))
    turn = Turn(Ask(person.user_id), person, made.at, live, made.arm, "", frozenset())
    return walk_of(turn, guides.items.index[made.target_id], told.known, guides)


def _lesson(batch: Sequence[Numbered], taught: Sequence[Told], features: torch.Tensor) -> Lesson:
    item_idx: IntArray = np.array([one.item_idx for one in taught], np.int64)
    accepted = np.array([one.accepted for one in taught], bool)
    numbers = np.array([batch[0].seq, batch[-1].seq, *(one.seq for one in taught)], np.int64)
    content = hashlib.blake2b(digest_size=16)
    for part in (numbers, item_idx, accepted, features.numpy()):
        content.update(part.tobytes())
    evidence = Evidence(torch.from_numpy(item_idx), features, torch.from_numpy(accepted))
    return Lesson(evidence, content.hexdigest())


def touched(hot: Hot, tenant: str, since: int, spans: Mapping[int, tuple[int, int]]) -> list[int]:
    """Which batches (key: after and up to which decision) events bear on that came in since.

    An event bears on its decision and the user's later ones; one of none on all from its time on.
    """
    last = max((up_to for _, up_to in spans.values()), default=0)
    sql = (
        "SELECT DISTINCT d.seq FROM events e JOIN decisions d "
        "ON d.tenant = e.tenant AND d.user_id = e.user_id "
        "WHERE e.tenant = ? AND e.received_at > ? AND d.seq <= ? AND "
        "((e.decision > 0 AND d.number >= e.decision) OR (e.decision = 0 AND d.at >= e.at))"
    )
    seqs = [seq for (seq,) in hot.rows(sql, (tenant, since, last))]
    return [
        key for key, (after, up_to) in spans.items() if any(after < seq <= up_to for seq in seqs)
    ]


def is_learner(guides: Guides) -> bool:
    """Whether the guide's own policy learns from answers."""
    return isinstance(guides.saved.guide.policy, Learner)
