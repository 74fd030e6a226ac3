"""Another policy's next item, from what a campaign drew among: its acceptance, by off-policy rows.

The other policy chooses among the few items of which one was drawn, for the same user as of then,
toward the same target. So the figure is of one decision in the situations that the log led to: not
of a journey that the other policy had begun, and not of items that were never drawn.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sqlalchemy import Connection

from proactrec.errors import InvalidInputError
from proactrec.guidance.guide import Guide
from proactrec.measurement.off_policy import (
    LEAST_SIZE,
    MOST_UNSEEN,
    Logged,
    OffPolicy,
    Predicted,
    off_policy,
)
from proactrec.policies.base import Explains, PredictsAcceptance, what_may_be_shown
from proactrec.policies.exploring import probabilities
from proactrec.policies.exploring_options import ExploringOptions
from proactrec.serving.guides import Guides
from proactrec.store import campaigns
from proactrec.store.campaign import Arm
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
from proactrec.worker.evidence import (
    Numbered,
    Told,
    blocks_of,
    by_guide,
    known_at,
    told_in,
    views_of,
)

OTHER = "other"
PAGE = 2000
"""Decisions that are looked at together."""
NEEDED = {"effective_size": LEAST_SIZE, "unseen": MOST_UNSEEN}
"""Least and most of these for an estimate; what else is needed, its refusal says."""
DRAWN = (
    "SELECT seq, user_id, number, not_guided_because, among FROM decisions WHERE tenant = ? "
    "AND campaign_id = ? AND among IS NOT NULL AND seq > ? ORDER BY seq LIMIT ?"
)


class Row(NamedTuple):
    """A decision that was drawn and answered."""

    user_id: str
    reward: float
    propensity: float
    wanted: float
    unseen: float  # 1: the other policy would show none of what was drawn among
    of_shown: float  # chances of acceptance as they were foretold; NaN: nobody did
    of_policy: float


def acceptance_under(
    database: Database, tenant: str, campaign_id: str, policy: str, guides: Guides
) -> OffPolicy:
    """Acceptance of the next item, had another policy of the guide chosen among what was drawn.

    Raises
    ------
    UnknownIdError
        If there is no such campaign or policy.
    InvalidInputError
        If nothing was drawn yet that is answered.
    """
    with database.reading() as connection:
        campaigns.current(connection, tenant, campaign_id)
        rows = list(rows_of(connection, tenant, campaign_id, policy, guides))
    if not rows:
        raise InvalidInputError(
            f"campaign {campaign_id} has no answered decision that was drawn: let it `explore`"
        )
    users, *columns = zip(*rows, strict=True)
    reward, propensity, wanted, unseen, of_shown, of_policy = (
        np.array(one, float) for one in columns
    )
    user_idx = np.unique(users, return_inverse=True)[1]
    logged = Logged(reward, propensity, wanted, unseen, user_idx)
    return off_policy(logged, None if np.isnan(of_shown).any() else Predicted(of_shown, of_policy))


def as_json(found: OffPolicy) -> dict[str, Any]:
    """What is told of it."""
    return {
        **found._asdict(),
        "estimates": {name: one.as_dict() for name, one in found.estimates.items()},
    }


def rows_of(
    connection: Connection, tenant: str, campaign_id: str, policy: str, guides: Guides
) -> Iterator[Row]:
    """Rows of all decisions that the guide's own policy drew, in pages."""
    after, hot = 0, Hot(connection)
    while found := hot.rows(DRAWN, (tenant, campaign_id, after, PAGE)):
        after = found[-1][0]
        among = {seq: _indices(drawn, guides) for seq, *_, drawn in found}
        batch = [Numbered(*row[:4]) for row in found]
        told = [
            one
            for one in told_in(connection, tenant, batch, guides)
            if one.item_idx in among[one.seq]
        ]
        for rows, version, guide in by_guide(connection, tenant, told, guides):
            some = [told[row] for row in rows]
            known = known_at(connection, tenant, some[0].made.knowledge, guides)
            other = guides.knowing(_with(version, policy), OTHER, known)
            yield from _rows(some, among, version, guide, other, guides)


@torch.no_grad()
def _rows(
    told: Sequence[Told],
    among: Mapping[int, Sequence[int]],
    version: Version,
    guide: Guide,
    other: Guide,
    guides: Guides,
) -> Iterator[Row]:
    most = max(len(among[one.seq]) for one in told)
    drawn = [[*among[one.seq], *[0] * (most - len(among[one.seq]))] for one in told]
    offered = torch.tensor(drawn)  # (n, most), the best first
    shown = torch.tensor([one.item_idx for one in told])
    choice = _choice(other, version, told, offered, guides)
    likely = probabilities(offered, version.said.explore.share)
    chance = torch.full(offered.shape, torch.nan)
    if isinstance(guide.policy, PredictsAcceptance):
        own = views_of(guide, version, told, offered, guides)
        chance = torch.cat([guide.policy.chances(view) for view in own])
    parts = (
        (likely * (offered == shown[:, None])).sum(1),
        (choice == shown).double(),
        (choice == 0).double(),
        _at(chance, offered, shown),
        _at(chance, offered, choice),
    )
    for one, figures in zip(told, torch.stack(parts, 1).tolist(), strict=True):
        yield Row(one.person.user_id, float(one.accepted), *figures)


def _choice(
    guide: Guide, version: Version, told: Sequence[Told], offered: torch.Tensor, guides: Guides
) -> torch.Tensor:
    """What a policy would show of these items (n, k): (n,), 0: none of them.

    One that says what it weighs weighs the whole catalogue, as it does when it explores; another
    one is offered these alone.
    """
    policy = guide.policy
    if not isinstance(policy, Explains):
        views = views_of(guide, version, told, offered, guides)
        return torch.cat([policy.decide(view).item_idx for view in views])
    found = []
    for part, some in blocks_of(guide, version, told, guides):
        whole = what_may_be_shown(some, len(guide.items) + 1, shows_again=guide.shows_again)
        value = policy.weigh(guide.among(some, policy.place(some), whole)).gather(1, offered[part])
        best = value.masked_fill(offered[part] == 0, -torch.inf).max(1, keepdim=True)
        item_idx = offered[part].gather(1, best.indices)
        found.append(item_idx.masked_fill(best.values == -torch.inf, 0)[:, 0])
    return torch.cat(found)


def _at(chance: torch.Tensor, offered: torch.Tensor, item_idx: torch.Tensor) -> torch.Tensor:
    """Chances (n, k) of these items (n,) among the offered; 0 of none."""
    column = (offered == item_idx[:, None]).int().argmax(1, keepdim=True)
    return chance.gather(1, column)[:, 0].double().masked_fill(item_idx == 0, 0)


def _with(version: Version, policy: str) -> Version:
    """A campaign in which the other policy guides, and shows the best always."""
    changes = {"arms": (Arm(name=OTHER, policy=policy),), "explore": ExploringOptions()}
    return version._replace(said=version.said.model_copy(update=changes))


def _indices(among: str, guides: Guides) -> list[int]:
    """Inside indices, if the guide knows all of them; else none."""
    found = [guides.items.index.get(item_id, 0) for item_id in json.loads(among)]
    return found if all(found) else []
