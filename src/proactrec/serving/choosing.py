"""Which campaign has a user's turn, in which arm, toward which target: by what is known of them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from proactrec.data.items import Items
from proactrec.guidance.walks import Round, Walk
from proactrec.journeys import REFUSED
from proactrec.serving.guides import Guides, Live
from proactrec.serving.requests import Ask
from proactrec.store.budgets import ALL, ITEM, TOTAL, Limit, Limits, limits_of
from proactrec.store.campaign import HOLD_OUT
from proactrec.store.people import Made, Person, day_of

PLAIN_ROUNDS = 20
"""What was shown in so many newest rounds outside campaigns is not shown again at once."""

NEVER_GUIDED = ("opted_out", "excluded_group")
"""Why a user is not guided by anybody: what they are shown teaches nothing either."""


class Turn(NamedTuple):
    """A user who asks, and who may decide for them."""

    ask: Ask
    person: Person
    at: int
    live: Live | None  # the campaign that has the turn
    arm: str
    because: str  # why nobody may guide; empty: the arm may
    owned: frozenset[int]  # what the user has
    open: tuple[int, ...] = ()  # targets that are left
    target_idx: int = 0  # the one that is begun; 0: none is

    @property
    def is_free(self) -> bool:
        """Whether no rail bears on the user, who is not guided at all."""
        return self.live is None or self.because in ("hold_out", *NEVER_GUIDED)

    @property
    def item_cap_total(self) -> int | None:
        """How often users may be guided to an item in all; None: without end."""
        return None if self.live is None else self.live.version.said.rails.item_cap_total


class Known(NamedTuple):
    """A user's items, as the guide sees them."""

    row: int  # among the users that it was fitted on; -1: none of them
    items: tuple[int, ...]  # all that they had, oldest first


def known_of(user_id: str, guides: Guides, erased: Collection[int] | None) -> Known:
    """What the guide knows of a user, who is unknown if the row was erased, or may have been."""
    known = guides.saved.known
    row = known.index.get(user_id, -1)
    if erased is None or row in erased:
        row = -1
    if row < 0:
        return Known(row, ())
    offsets = known.history.offsets
    return Known(row, tuple(known.history.item_idx[offsets[row] : offsets[row + 1]].tolist()))


def turn_of(
    ask: Ask, person: Person, at: int, campaigns: Sequence[Live], guides: Guides, known: Known
) -> Turn:
    """The first campaign, in their order, that has something for a user."""
    owned = owned_by(person, known, guides)
    nobody = Turn(ask, person, at, None, "", "no_campaign", owned)
    for live in campaigns:
        if ask.campaign_id not in (None, live.version.campaign_id):
            continue
        turn = _turn_in(live, nobody, guides)
        if turn.live is not None:
            return turn
        nobody = turn if nobody.because in ("no_campaign", "not_in_audience") else nobody
    return nobody


def owned_by(person: Person, known: Known, guides: Guides) -> frozenset[int]:
    """Inside indices of all that a user has."""
    index = guides.items.index
    since = (index.get(item_id, 0) for _, item_id, _ in person.acquired)
    return frozenset(known.items).union(since)


def _turn_in(live: Live, nobody: Turn, guides: Guides) -> Turn:
    version, person = live.version, nobody.person
    if version.state != "running":
        is_told = version.state == "paused" or nobody.ask.campaign_id is not None
        return nobody._replace(because=f"campaign_{version.state}") if is_told else nobody
    arm, is_known = person.arm(version.campaign_id), True
    if arm is None:
        if because := _kept_out(live, nobody):
            return nobody._replace(because=because)
        arm, is_known = version.arm_of(person.user_id), False
    elif arm not in live.arms:  # of a store in which arms could go
        return nobody._replace(because="not_in_audience")
    if not len(live.targets):
        return nobody._replace(because="nothing_passes")
    going, left = targets_left(live, person, nobody.owned, guides)
    if not going and not left:
        return nobody._replace(because="finished")
    because = "hold_out" if arm == HOLD_OUT else never_guided(live, person)
    if because == "hold_out" and is_known and version.said.hold_out_sees == "others":
        return nobody._replace(because=because)
    if not because:
        because = "daily_cap" if is_capped(live, person, nobody.at) else ""
    return nobody._replace(live=live, arm=arm, because=because, open=left, target_idx=going)


def _kept_out(live: Live, nobody: Turn) -> str:
    """Why a user can't come to a campaign now; empty: they can."""
    person = nobody.person
    if not is_audience(live, person, len(nobody.owned)):
        return "not_in_audience"
    if because := never_guided(live, person):
        return because
    return "" if live.version.is_reached(person.user_id) else "ramp"


def never_guided(live: Live, person: Person) -> str:
    """Why a user is to be left alone; empty: they are not."""
    if not person.is_guided:
        return "opted_out"
    return "excluded_group" if live.except_groups & person.groups else ""


def withdrawn(made: Made, person: Person, live: Live | None, items: Items) -> str:
    """Why a user may not be guided any more as was decided before; empty: they may, or were not."""
    if not made.guided:
        return ""
    if live is None:
        return "no_campaign"
    if live.version.state != "running":
        return f"campaign_{live.version.state}"
    if because := never_guided(live, person):
        return because
    where = (items.index.get(one, 0) for one in (made.item_id, made.target_id))
    protected = items.places_of(*live.version.said.rails.protected_categories)  # care's among them
    return "nothing_passes" if items.are_in([idx for idx in where if idx], protected) else ""


def is_audience(live: Live, person: Person, n_items: int) -> bool:
    """Whether a user is one of those whom a campaign means."""
    audience = live.version.said.audience
    is_meant = (
        audience.everybody or person.user_id in live.users or bool(live.groups & person.groups)
    )
    most = audience.most_items
    return is_meant and n_items >= audience.least_items and (most is None or n_items <= most)


def is_capped(live: Live, person: Person, at: int) -> bool:
    """Whether a user was guided often enough today."""
    said, campaign_id = live.version.said, live.version.campaign_id
    if said.rails.daily_cap is None:
        return False
    zone = said.budget.zone
    whose = campaign_id if said.rails.daily_cap_counts == "campaign" else None
    return person.n_guided(day_of(at, zone), zone, whose) >= said.rails.daily_cap


def targets_left(
    live: Live, person: Person, owned: frozenset[int], guides: Guides
) -> tuple[int, tuple[int, ...]]:
    """The target that a user is on the way to, or 0, and all that are left.

    A target is closed for whoever has it, refused it for good or has had all its rounds, and for
    everybody while it is sold out.
    """
    closed = set(owned) | guides.unavailable
    items, version = guides.items, live.version
    going: dict[int, int] = {}
    for made, answer in person.standing:
        if made.campaign_id != version.campaign_id:
            continue
        target = items.index.get(made.target_id, 0)
        going[target] = going.pop(target, 0) + 1  # the last one begun is the last
        is_refused = made.item_id == made.target_id and answer == REFUSED
        if is_refused and not guides.saved.guide.shows_again:
            closed.add(target)
    most = version.said.rounds
    closed.update(target for target, n in going.items() if most is not None and n >= most)
    left = tuple(target for target in live.targets.tolist() if target not in closed)
    latest = [target for target in going if target in set(left)]
    return latest[-1] if latest else 0, left


def walk_of(turn: Turn, target_idx: int, known: Known, guides: Guides) -> Walk:
    """The journey that a turn goes on with, or begins."""
    person, index = turn.person, guides.items.index
    campaign_id = "" if turn.live is None else turn.live.version.campaign_id
    target_id = guides.items.item_ids[target_idx - 1] if target_idx else ""
    answered = person.rounds(campaign_id, target_id)
    if not campaign_id:
        answered = answered[-PLAIN_ROUNDS:]
    own = {made.number for made, _ in answered}
    accepted_here = {made.item_id for made, answer in answered if answer == 1}
    since = [
        index[item_id]
        for _, item_id, number in person.acquired
        if number not in own and item_id not in accepted_here and item_id in index
    ]
    history = tuple(dict.fromkeys((*known.items, *since)))
    rounds = [
        Round(index.get(made.item_id, 0), bool(made.guided), answer) for made, answer in answered
    ]
    return Walk(person.user_id, known.row, history, False, target_idx, rounds)


def offers(turn: Turn, item_id: str) -> Limits:
    """What guiding a turn to an item counts against."""
    assert turn.live is not None
    version = turn.live.version
    return limits_of(version.campaign_id, version.said, item_id, turn.at)


def spent(turn: Turn, used: Mapping[Limit, int]) -> str:
    """Why the budget leaves nothing for a turn, as far as is known; empty: it does."""
    of_all = ((limit, allowed) for limit, allowed in offers(turn, "").items() if limit.scope == ALL)
    return next((a.because for limit, a in of_all if used.get(limit, 0) >= a.n), "")


def item_caps(turn: Turn, item_id: str) -> Limits:
    """What others may have used up of an item."""
    if turn.live is None:
        return {}
    return {limit: a for limit, a in offers(turn, item_id).items() if limit.scope != ALL}


def full_targets(turn: Turn, used: Mapping[Limit, int], items: Items) -> frozenset[int]:
    """Targets left to a turn to which others were guided as often as they ever may be."""
    most = turn.item_cap_total
    if turn.live is None or most is None:
        return frozenset()
    campaign_id = turn.live.version.campaign_id
    limits = {
        target: Limit(campaign_id, f"{ITEM}{items.item_ids[target - 1]}", TOTAL)
        for target in turn.open
    }
    return frozenset(target for target, limit in limits.items() if used.get(limit, 0) >= most)


def full_items(turn: Turn, used: Mapping[Limit, int]) -> list[str]:
    """Items that nobody may be guided to at a turn's time, since others were often enough."""
    assert turn.live is not None
    campaign_id = turn.live.version.campaign_id
    caps = {limit.period: a.n for limit, a in item_caps(turn, "").items()}
    return [
        limit.scope.removeprefix(ITEM)
        for limit, n in used.items()
        if limit.campaign_id == campaign_id
        and limit.scope.startswith(ITEM)
        and n >= caps.get(limit.period, math.inf)
    ]
