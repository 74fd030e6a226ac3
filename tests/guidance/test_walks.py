"""Journeys of users that a host keeps one by one: the same as those of tomorrow's users."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from proactrec.guidance.course import Rails
from proactrec.guidance.past import JOURNEY_COLUMNS, checked_journeys
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.saved import SavedGuide, open_guide
from proactrec.guidance.tomorrow import People
from proactrec.guidance.walks import PLANNED, Round, Walk, journeys_of
from proactrec.journeys import ACCEPTED, OPEN_ENDED, REFUSED, UNKNOWN, Journeys

from .fitted import POLICIES, log

TARGET, OTHER = "i10", "i17"
RAILS = RailsOptions(plain_share=0.3, relevance_floor=0.6, pause_after=2, opt_out=("u02",))
Past = dict[str, list[Round]]


def within_rails(guide: SavedGuide) -> SavedGuide:
    rails = Rails(RAILS, guide.guide.items, seed=1)
    return replace(guide, guide=replace(guide.guide, rails=rails))


def drawn_rounds(guide: SavedGuide, user_ids: list[str], target: int, n_most: int) -> Past:
    """Rounds of every user toward an item: of none to `n_most`; some accept the item itself."""
    draw, past = np.random.default_rng(target), {}
    for at, user_id in enumerate(user_ids):
        had = log().events.filter(user_id=user_id)["item_id"].to_list()
        known = [guide.guide.items.index[item_id] for item_id in had]
        left = np.setdiff1d(np.arange(1, len(guide.guide.items) + 1), [*known, target])
        items = draw.permutation(left)[: at % (n_most + 1)].tolist()
        answers = draw.choice([ACCEPTED, REFUSED, UNKNOWN], len(items)).tolist()
        guided = (draw.random(len(items)) < 0.7).tolist()
        past[user_id] = [Round(*one) for one in zip(items, guided, answers, strict=True)]
        if at % 7 == 3 and target not in known:
            past[user_id].append(Round(target, True, ACCEPTED))
    return past


def told(guide: SavedGuide, target_id: str, past: Past) -> pl.DataFrame:
    ids = guide.guide.items.item_ids
    rows = [
        (user_id, target_id, n, ids[one.item_idx - 1], one.guided, answer)
        for user_id, rounds in past.items()
        for n, one in enumerate(rounds, start=1)
        for answer in ["" if one.answer == UNKNOWN else str(one.answer)]
    ]
    text = [[*map(str, row)] for row in rows]
    return pl.DataFrame(text, dict.fromkeys(JOURNEY_COLUMNS, pl.String), orient="row")


def both(guide: SavedGuide, n_most: int) -> tuple[Journeys, list[Walk]]:
    """Journeys to the target as tomorrow's users have them, and the walks that they are."""
    index, new = guide.guide.items.index, [("x", "i03", 4), ("x", "i20", 5), ("y", TARGET, 5)]
    more = pl.DataFrame(new, log().events.schema, orient="row")
    people = People.of(guide, pl.concat([log().events, more]), opted_out=("u04",))
    own = drawn_rounds(guide, list(people.user_ids), index[TARGET], n_most)
    others = drawn_rounds(guide, list(people.user_ids), index[OTHER], 2)
    table = pl.concat([told(guide, TARGET, own), told(guide, OTHER, others)])
    past, left = checked_journeys(table, people.index, index)
    assert left == []
    walks = []
    for row, user_id in enumerate(people.user_ids):
        taken = [one.item_idx for one in own[user_id] if one.answer == ACCEPTED]
        elsewhere = [one.item_idx for one in others[user_id] if one.answer == ACCEPTED]
        whole = dict.fromkeys([*people.history.of(row).tolist(), *elsewhere])
        history = tuple(item for item in whole if item not in taken)
        is_out, known = bool(people.users.opted_out[row]), int(people.users.known[row])
        walks.append(Walk(user_id, known, history, is_out, index[TARGET], own[user_id]))
    return people.journeys(past, [TARGET]), walks


@pytest.mark.parametrize("n_most", [5, PLANNED + 4])
def test_walks_are_the_journeys_of_tomorrows_users(foresight: SavedGuide, n_most: int) -> None:
    expected, walks = both(within_rails(foresight), n_most)
    found = journeys_of(walks)
    for name in Journeys._fields[1:]:
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        assert torch.equal(one, other), name
    for name in ("key", "known", "opted_out"):
        np.testing.assert_array_equal(getattr(found.users, name), getattr(expected.users, name))
    for name in ("offsets", "item_idx"):
        one, other = (getattr(users.history, name) for users in (found.users, expected.users))
        np.testing.assert_array_equal(one, other)
    assert found.users.padding == expected.users.padding
    assert 2 < int(found.is_over.sum()) < len(walks)
    assert found.has_arrived.any()
    assert found.users.opted_out.sum() == 2


@pytest.mark.parametrize("name", POLICIES)
def test_one_by_one_they_are_decided_as_together(fitted: Path, name: str) -> None:
    guide = within_rails(open_guide(fitted / name))
    expected, walks = both(guide, 5)
    together = guide.guide.decide(journeys_of(walks))
    whole = guide.guide.decide(expected)
    assert torch.equal(together.item_idx, whole.item_idx)
    assert together.item_idx.any()
    for row, walk in enumerate(walks):
        alone = guide.guide.decide(journeys_of([walk]))
        for column in ("item_idx", "guided", "reason", "plain_idx"):
            assert torch.equal(getattr(alone, column)[0], getattr(together, column)[row]), column


def test_columns_leave_room_for_one_more_round() -> None:
    rounds = [Round(item, True, REFUSED) for item in range(1, 5)]
    short = Walk("a", -1, np.array([8, 9]), False, 7, rounds[:1])
    long = Walk("b", -1, (), False, 7, [*rounds, Round(0, False, UNKNOWN)])
    journeys = journeys_of([short, long], n_columns=3)
    assert journeys.n_rounds == 6
    assert journeys_of([short], n_columns=3).n_rounds == 3
    assert journeys.round.tolist() == [2, 6]
    assert journeys.shown.tolist() == [[1, 0, 0, 0, 0, 0], [1, 2, 3, 4, 0, 0]]
    assert journeys.rounds_left.tolist() == [OPEN_ENDED] * 2
    assert journeys.number.tolist() == [0, 1]
    assert journeys.users.history.of(0).tolist() == [8, 9]
    assert not journeys.is_over.any()


def test_no_walks_are_no_journeys() -> None:
    assert journeys_of([]).shown.shape == (0, PLANNED)
