"""From users' turns to items: many at once, by the guides of their arms, and without any lock."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proactrec.data.items import Items
from proactrec.guidance.decision import GUIDED, REASONS, Bounds, Ruled
from proactrec.guidance.goals import best_targets
from proactrec.guidance.guide import Guide, Places
from proactrec.guidance.walks import journeys_of
from proactrec.journeys import Journeys
from proactrec.policies.base import Candidates, PredictsAcceptance
from proactrec.serving.choosing import (
    Known,
    Turn,
    full_items,
    full_targets,
    item_caps,
    offers,
    walk_of,
)
from proactrec.serving.guides import Guides
from proactrec.store.budgets import ALL, TOTAL, Limit, settled

OF_JOURNEY = ("stopped", "paused", "plain_share")
"""Rails by which a journey's round is plain whatever others do."""


class Scored(NamedTuple):
    """What a turn comes to, before what spans users is settled."""

    turn: Turn  # with its target
    item_idx: int  # 0: nothing is left to be shown
    plain_idx: int  # what is shown if it may not be guided
    guided: bool
    because: str  # why not
    among: tuple[int, ...]  # items that might have been drawn, best first
    chance: float | None


class Bounded:
    """The ledger of turns of one campaign: what is known to be left; the transaction has its say.

    Parameters
    ----------
    turns : sequence of length n
    used : mapping of limit
        What is used of it, as far as is known.
    items : Items
    """

    def __init__(self, turns: Sequence[Turn], used: Mapping[Limit, int], items: Items) -> None:
        self._turns, self._used, self._items = turns, used, items
        self._is_left_out = torch.tensor([turn.is_free for turn in turns])
        self._is_held = torch.tensor([bool(turn.because) for turn in turns])
        self._closed = None
        if item_caps(turns[0], ""):
            self._closed = torch.zeros(len(turns), len(items) + 1, dtype=torch.bool)
            for row, turn in zip(self._closed, turns, strict=True):
                row[[items.index.get(one, 0) for one in full_items(turn, used)]] = True

    def bounds(self, journeys: Journeys) -> Bounds:
        """What is left to these journeys."""
        at = journeys.number
        closed = None if self._closed is None else self._closed[at]
        return Bounds(self._is_left_out[at], self._is_held[at], closed)

    def take(self, journeys: Journeys, asked: Ruled) -> Tensor:
        """Who has an item that those before have left: (n,)."""
        if self._closed is None:
            return torch.ones_like(journeys.is_over)
        wanted = (asked.item_idx * asked.guided).tolist()
        offers = [
            item_caps(turn, self._items.item_ids[item - 1]) if item else {}
            for turn, item in zip(self._turns, wanted, strict=True)
        ]
        refused = settled(offers, self._used).refused
        for row, because in enumerate(refused):
            if because:
                self._closed[row, wanted[row]] = True
        return torch.tensor([not because for because in refused])


def scored(
    turns: Sequence[Turn], known: Mapping[str, Known], guides: Guides, used: Mapping[Limit, int]
) -> list[Scored]:
    """What every turn comes to, in their order, as if one came after the other.

    Parameters
    ----------
    known : mapping of user id
    used : mapping of limit
        What is used of it, as far as is known.
    """
    found: list[Scored] = []
    while len(found) < len(turns):
        left = turns[len(found) :]
        some = _scored_at_once(left, known, guides, used)
        n, used = _before_targets_change(left, some, used, guides.items)
        found += some[:n]
    return found


def _before_targets_change(
    turns: Sequence[Turn], some: Sequence[Scored], used: Mapping[Limit, int], items: Items
) -> tuple[int, dict[Limit, int]]:
    """How many turns come before the first that may be led elsewhere, and what is used after them.

    That is one that may not go to a target any more to which others before it were guided.
    """
    used, full = dict(used), set[tuple[str, int]]()
    if all(turn.item_cap_total is None for turn in turns):
        return len(some), used
    for n, (turn, one) in enumerate(zip(turns, some, strict=True)):
        if turn.live is None:
            continue
        meant = [turn.target_idx] if turn.target_idx else turn.open
        if full and not full.isdisjoint(
            (turn.live.version.campaign_id, target) for target in meant
        ):
            return n, used
        counted = offers(turn, items.item_ids[one.item_idx - 1]) if one.guided else {}
        if any(used.get(limit, 0) >= allowed.n for limit, allowed in counted.items()):
            continue  # it will be refused
        for limit, allowed in counted.items():
            used[limit] = used.get(limit, 0) + 1
            if limit.scope != ALL and limit.period == TOTAL and used[limit] >= allowed.n:
                full.add((limit.campaign_id, one.item_idx))
    return len(some), used


def _scored_at_once(
    turns: Sequence[Turn], known: Mapping[str, Known], guides: Guides, used: Mapping[Limit, int]
) -> list[Scored]:
    found: dict[int, Scored] = {}
    for key, rows in _grouped(turns).items():
        some = [turns[row] for row in rows]
        guide, is_guiding = _guide_of(some[0], key, guides)
        some = _with_targets(some, known, guides, used)
        scored = _decided(some, known, guides, guide, used)
        if not is_guiding:
            scored = [one._replace(guided=False, because=_why_plain(one)) for one in scored]
        found.update(zip(rows, scored, strict=True))
    return [found[row] for row in range(len(turns))]


def _why_plain(one: Scored) -> str:
    """Why a turn is plain that nobody may guide: a rail of its journey comes before a budget."""
    is_rail = one.because in OF_JOURNEY and not one.turn.is_free
    return one.because if is_rail else one.turn.because


def _grouped(turns: Sequence[Turn]) -> dict[tuple[str, str], list[int]]:
    """Rows by campaign and arm; those whom nobody may guide apart, whatever their arm."""
    found: dict[tuple[str, str], list[int]] = {}
    for row, turn in enumerate(turns):
        campaign_id = "" if turn.live is None else turn.live.version.campaign_id
        found.setdefault((campaign_id, "" if turn.because else turn.arm), []).append(row)
    return found


def _guide_of(turn: Turn, key: tuple[str, str], guides: Guides) -> tuple[Guide, bool]:
    version = None if turn.live is None else turn.live.version
    if version is None or not key[1]:
        return guides.plain(version), False
    return guides.of(version, key[1]), True


def _with_targets(
    turns: list[Turn], known: Mapping[str, Known], guides: Guides, used: Mapping[Limit, int]
) -> list[Turn]:
    """With a target for whoever has begun none, or one that a cap has closed meanwhile."""
    full = [full_targets(turn, used, guides.items) for turn in turns]
    rows = [row for row, turn in enumerate(turns) if _is_asked(turn, full[row])]
    if not rows:
        return turns
    some = [turns[row] for row in rows]
    live = some[0].live
    assert live is not None
    items = torch.from_numpy(live.targets)
    left = [set(turns[row].open).difference(full[row]) or turns[row].open for row in rows]
    is_closed = ~np.array([np.isin(live.targets, tuple(targets)) for targets in left])
    walks = [walk_of(t, t.open[0], known[t.person.user_id], guides) for t in some]
    # Who is held out gets the target that the first arm would lead to: they are compared.
    chooser = guides.of(live.version, live.version.said.arms[0].name)
    best = best_targets(chooser, journeys_of(walks), items, torch.from_numpy(is_closed))
    turns = list(turns)
    for row, target in zip(rows, best.tolist(), strict=True):
        turns[row] = turns[row]._replace(target_idx=target)
    return turns


def _is_asked(turn: Turn, full: frozenset[int]) -> bool:
    """Whether a turn is to be led elsewhere: to a first target, or from a full one to another."""
    if not turn.target_idx:
        return bool(turn.open)
    return turn.target_idx in full and len(full) < len(turn.open)


@torch.no_grad()
def _decided(
    turns: Sequence[Turn],
    known: Mapping[str, Known],
    guides: Guides,
    guide: Guide,
    used: Mapping[Limit, int],
) -> list[Scored]:
    walks = [walk_of(t, t.target_idx, known[t.person.user_id], guides) for t in turns]
    journeys = journeys_of(walks)
    offered = _offered(turns, guides)
    sold_out = sorted(guides.unavailable)
    without = torch.tensor([sold_out] * len(turns)) if sold_out else None
    places = guide.places(journeys)
    ledger = Bounded(turns, used, guides.items)
    ruled = guide.decide(journeys, ledger, places=places, without=without, offered=offered)
    chances = _chances(guide, journeys, places, ruled.item_idx)
    nothing: list[list[int]] = [[]] * len(turns)
    among = nothing if ruled.among is None else ruled.among.tolist()
    assert ruled.plain_idx is not None  # as `offered` is handed in
    columns = (turns, ruled.item_idx.tolist(), ruled.plain_idx.tolist(), ruled.guided.tolist(),
               ruled.reason.tolist(), among, chances)  # fmt: skip
    found = [_scored(*row) for row in zip(*columns, strict=True)]
    is_strange = [bool(turn.ask.candidates) for turn in turns] & ~(offered > 0).any(1).numpy()
    return [
        Scored(one.turn, 0, 0, False, "unknown_candidates", (), None) if strange else one
        for one, strange in zip(found, is_strange.tolist(), strict=True)
    ]


def _scored(
    turn: Turn,
    item_idx: int,
    plain_idx: int,
    guided: bool,
    reason: int,
    among: list[int],
    chance: float | None,
) -> Scored:
    because = "" if guided else "overruled" if item_idx else "nothing_left"
    if reason != GUIDED:
        because = REASONS[reason]
    drawn = tuple(one for one in among if one) if guided else ()
    return Scored(turn, item_idx, plain_idx, guided, because, drawn, chance)


def _offered(turns: Sequence[Turn], guides: Guides) -> Tensor:
    """What callers offer (n, C), of what the guide knows; nothing: all of it."""
    index = guides.items.index
    rows = [[index[one] for one in turn.ask.candidates if one in index] for turn in turns]
    most = max(map(len, rows))
    padded = [row + [0] * (most - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.int64).view(len(rows), most)


def _chances(
    guide: Guide, journeys: Journeys, places: Places, item_idx: Tensor
) -> list[float | None]:
    policy = guide.policy
    if not isinstance(policy, PredictsAcceptance):
        return [None] * len(item_idx)
    only = Candidates(torch.zeros(len(item_idx), 1), item_idx[:, None])
    found = policy.chances(guide.among(journeys, places.own, only))[:, 0].tolist()
    return [chance if item else None for chance, item in zip(found, item_idx.tolist(), strict=True)]
