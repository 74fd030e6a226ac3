"""Is acceptance foretold well, and are decisions still various? Looked at as answers come in.

Answers count for the version that their decision names, so each is foretold by what was learned
before it. They are counted once all of a batch is settled; those few that change later are not
counted again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sqlalchemy import Connection

from proactrec.measurement.calibration import Calibration
from proactrec.measurement.entropy import entropy
from proactrec.policies.base import PredictsAcceptance
from proactrec.serving.guides import Guides
from proactrec.serving.knowledge import restored
from proactrec.store import audit, knowledge, watching
from proactrec.store.database import Database, Hot
from proactrec.store.knowledge import Lesson
from proactrec.store.watch import Watch
from proactrec.store.watching import Seen, State
from proactrec.threads import one_thread
from proactrec.worker.evidence import (
    Numbered,
    by_guide,
    closed_batch,
    is_learner,
    shown_by,
    told_in,
    views_of,
)

logger = logging.getLogger(__name__)
BY = "worker"
NOTHING = Seen({}, "")
RECENT = 100_000
"""Newest decisions, of all tenants, among which guided steps are looked for."""
STEPS = (
    "SELECT item_id FROM decisions WHERE tenant = ? AND knowledge >= ? AND guided = 1 "
    f"AND item_id <> target_id AND seq > (SELECT MAX(seq) FROM decisions) - {RECENT} "
    "ORDER BY seq DESC LIMIT ?"
)


class Alarm(NamedTuple):
    """Something is wrong with a version."""

    version: int
    sentence: str


class Watcher:
    """Watches what a guide's learner makes.

    Parameters
    ----------
    guides : Guides
        Of the folder alone, as the learner's.
    batch : int
        Decisions that are looked at together.
    """

    def __init__(
        self, database: Database, guides: Guides, clock: Callable[[], int], *, batch: int
    ) -> None:
        self._database, self._guides, self._clock, self._batch = database, guides, clock, batch

    @one_thread()
    def look(self, tenant: str) -> list[Alarm]:
        """Look at all that is new; alarms that were not told before."""
        if not is_learner(self._guides):
            return []
        found: list[Alarm] = []
        while True:
            looked = self._looked(tenant)
            if not looked.is_news:
                return found
            with self._database.writing() as connection:
                found += self._kept(connection, tenant, looked)

    def _looked(self, tenant: str) -> "_Look":
        name = self._guides.name
        with self._database.reading() as connection:
            state, hot = watching.state(connection, tenant, name), Hot(connection)
            batch = closed_batch(hot, tenant, state.up_to_seq, self._batch, self._clock())
            new = foretold(connection, tenant, batch, self._guides)
            chain = knowledge.lessons(connection, tenant, name)
            since = chain[0].version if chain and chain[0].restores is not None else 0
            variety = variety_of(hot, tenant, since, state.said.window)
            seen = watching.seen(connection, tenant, name)
            newest = knowledge.newest_versions(connection, name).get(tenant, 0)
        up_to = batch[-1].seq if batch else state.up_to_seq
        looked = _Look(False, state.up_to_seq, up_to, new, variety)
        is_news = batch or variety != state.variety
        is_news = is_news or judged(seen, looked, state.said, newest=newest) != seen
        return looked._replace(is_news=bool(is_news))

    def _kept(self, connection: Connection, tenant: str, looked: "_Look") -> list[Alarm]:
        """Write what was seen, unless another worker did meanwhile, and tell of alarms."""
        name = self._guides.name
        state = watching.held(connection, tenant, name)
        if state.up_to_seq != looked.after:
            return []
        watching.keep(connection, tenant, name, State(state.said, looked.up_to, looked.variety))
        known = knowledge.every(connection, tenant, name)
        before = watching.seen(connection, tenant, name)
        seen = judged(before, looked, state.said, newest=max(known, default=0))
        changed = {version: one for version, one in seen.items() if before.get(version) != one}
        watching.see(connection, tenant, name, changed)
        alarms = [
            Alarm(version, one.alarm)
            for version, one in sorted(changed.items())
            if one.alarm and not before.get(version, NOTHING).alarm
        ]
        for alarm in alarms:
            self._tell(connection, tenant, alarm)
        back = way_back(known, seen) if alarms and state.said.on_alarm == "go_back" else None
        if back is not None:
            self._go_back(connection, tenant, back, alarms[-1])
        return alarms

    def _tell(self, connection: Connection, tenant: str, alarm: Alarm) -> None:
        logger.warning("tenant %s, knowledge %d: %s", tenant, *alarm)
        audit.note(
            connection,
            tenant,
            by=BY,
            at=self._clock(),
            what="alarm",
            about=f"knowledge {alarm.version}",
            detail={"sentence": alarm.sentence},
        )

    def _go_back(self, connection: Connection, tenant: str, version: int, alarm: Alarm) -> None:
        reason = f"version {alarm.version}: {alarm.sentence}"
        restored(connection, tenant, self._guides, version, by=BY, at=self._clock(), reason=reason)


class _Look(NamedTuple):
    """What there is to see."""

    is_news: bool  # whether anything is to be kept
    after: int
    up_to: int
    new: Mapping[int, Calibration]
    variety: Mapping[str, float]


def foretold(
    connection: Connection, tenant: str, batch: Sequence[Numbered], guides: Guides
) -> dict[int, Calibration]:
    """Chances that answers had, and what came, by the version of the guide that foretold them."""
    own = knowledge.versions_of(connection, tenant, guides.name) | {0}
    told = [one for one in told_in(connection, tenant, batch, guides) if one.made.knowledge in own]
    found: dict[int, Calibration] = {}
    for rows, version, guide in by_guide(connection, tenant, told, guides):
        if isinstance(guide.policy, PredictsAcceptance):
            some = [told[row] for row in rows]
            views = views_of(guide, version, some, shown_by(some), guides)
            chance = torch.cat([guide.policy.chances(view)[:, 0] for view in views])
            accepted = np.array([one.accepted for one in some])
            of_these = Calibration.of(chance.double().numpy(), accepted)
            knows = some[0].made.knowledge
            found[knows] = found[knows] + of_these if knows in found else of_these
    return found


def variety_of(hot: Hot, tenant: str, since: int, window: int) -> dict[str, float]:
    """Of the newest steps toward targets, by this version or later ones; none: too few."""
    items = [item_id for (item_id,) in hot.rows(STEPS, (tenant, since, window))]
    if len(items) < window:
        return {}
    counts = np.array(sorted(Counter(items).values()), float)
    bits = float(entropy(counts))
    return {"most_shown": float(counts[-1]) / len(items), "items": 2**bits}


def judged(
    before: Mapping[int, Seen], looked: _Look, said: Watch, *, newest: int
) -> dict[int, Seen]:
    """What was seen of every version by now, with alarms; one that was raised stays."""
    seen = dict(before)
    for version, new in looked.new.items():
        old = before.get(version, NOTHING)
        sums = Calibration.of_sums(old.sums) + new if old.sums else new
        seen[version] = Seen(sums.as_sums(), old.alarm or _badly_foretold(sums, said))
    if sentence := _narrow(looked.variety, said):
        last = seen.get(newest, NOTHING)
        seen[newest] = last._replace(alarm=last.alarm or sentence)
    return seen


def way_back(known: Mapping[int, Lesson], seen: Mapping[int, Seen]) -> int | None:
    """The last version before the newest that was decided by and raised no alarm, if any did not.

    What a restored one took again is as bad as itself.
    """
    version = max(known, default=0)
    while version:
        lesson = known[version]
        version = lesson.parent
        found = seen.get(version, NOTHING)
        is_sound = bool(found.sums) and not found.alarm
        if lesson.restores is None and is_sound:
            return version
        if version not in known:
            break
    return None


def _badly_foretold(sums: Calibration, said: Watch) -> str:
    off = sums.off_by_at_least(alpha=said.alpha)
    if off <= said.off:
        return ""
    return (
        f"acceptance is foretold badly: chances are off by at least {off:.2f} over "
        f"{sums.n_answers:,} answers, {said.off:g} is tolerated"
    )


def _narrow(variety: Mapping[str, float], said: Watch) -> str:
    if not variety:
        return ""
    if variety["most_shown"] > said.most_shown:
        share = f"{variety['most_shown']:.0%}"
        return (
            f"decisions lose their variety: one item is {share} of the last {said.window:,} "
            f"steps, {said.most_shown:.0%} is tolerated"
        )
    if variety["items"] < said.least_items:
        return (
            f"decisions lose their variety: the last {said.window:,} steps are as various as "
            f"{variety['items']:.1f} items, at least {said.least_items:g} are wanted"
        )
    return ""
