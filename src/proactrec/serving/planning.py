"""A campaign looked at before it is made: where it would lead, whom, and what is to be minded."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from proactrec.serving.audience import audience_of, groups_of_nobody
from proactrec.serving.finding import item_seen
from proactrec.serving.guides import Guides
from proactrec.serving.looking import GoalLook, TargetSeen
from proactrec.store import care
from proactrec.store.campaign import Campaign
from proactrec.store.database import Hot
from proactrec.store.erased import rows_of
from proactrec.suggestions import COLD_BELOW, MUCH
from proactrec.types import IntArray

MOST_TARGETS, MOST_GROUPS = 50, 5
"""That are told; all are counted."""


def looked_at(connection: Connection, tenant: str, said: Campaign, guides: Guides) -> GoalLook:
    """Where a campaign would lead, in the order of its targets, and how many users it means."""
    cares, meant = care.current(connection, tenant), guides.targets(said)
    targets = guides.left(meant, cares)
    audience = cares.on(said, guides.items).audience
    erased = rows_of(Hot(connection), tenant, guides.name)
    known = guides.saved.known
    n_known = len(audience_of(connection, tenant, audience, known, erased))
    of_nobody = groups_of_nobody(connection, tenant, said.audience, known)
    return GoalLook(
        targets=tuple(
            _target(guides, said, item_idx, place, len(targets))
            for place, item_idx in enumerate(targets[:MOST_TARGETS].tolist(), start=1)
        ),
        n_targets=len(targets),
        audience_known=n_known,
        warnings=(
            *_of_audience(n_known, of_nobody),
            *_of_goal(guides, said, len(meant), targets),
        ),
    )


def _target(guides: Guides, said: Campaign, item_idx: int, place: int, n: int) -> TargetSeen:
    category, counts = said.goal.category, guides.shelf.counts
    reason = "the campaign names it"
    if category is not None:
        reason = f"of {category}, best known first: number {place} of {n}"
    if counts[item_idx] < COLD_BELOW:
        reason += "; so few users had it that where it stands is a guess by what it is"
    share = float(counts[item_idx]) / max(1, guides.shelf.n_users)
    return TargetSeen(item=item_seen(guides, item_idx), share_who_have_it=share, reason=reason)


def _of_audience(n_known: int, of_nobody: Sequence[str]) -> Iterator[str]:
    """What whoever makes a campaign should mind of whom it means, the gravest first."""
    if n_known == 0:
        yield "the guide knows nobody of the audience: no forecast can be made"
    if of_nobody:
        named, n_more = ", ".join(map(repr, of_nobody[:MOST_GROUPS])), len(of_nobody) - MOST_GROUPS
        more = f" and {n_more} more" if n_more > 0 else ""
        yield f"the guide knows nobody in these groups: {named}{more}"


def _of_goal(guides: Guides, said: Campaign, n_meant: int, targets: IntArray) -> Iterator[str]:
    """The same of where it leads, and of what is learned from it."""
    n, shelf = len(targets), guides.shelf
    if n < n_meant:
        excluded = n_meant - n
        yield f"{excluded} of {n_meant} targets left out: nobody is led to what care excludes"
    if n_sold_out := len(guides.unavailable.intersection(targets.tolist())):
        yield f"{n_sold_out} of {n} targets sold out: nobody is led to them meanwhile"
    if said.goal.n_targets is not None and n_meant < said.goal.n_targets:
        yield f"only {n_meant} items for {said.goal.n_targets} targets"
    if n_owned := int((shelf.counts[targets] > MUCH * max(1, shelf.n_users)).sum()):
        yield f"{n_owned} of {n} targets had by most users already: little is left to gain"
    if n_cold := int((shelf.counts[targets] < COLD_BELOW).sum()):
        yield f"{n_cold} of {n} targets had by fewer than {COLD_BELOW} users: little is known"
    if not said.hold_out:
        yield "nobody is held out: nobody will know what the campaign brought"
