"""What callers offer: only that is shown, and its first item is the plain one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from proactrec.errors import InvalidInputError
from proactrec.guidance import guide as guide_module
from proactrec.guidance.guide import Guide
from proactrec.guidance.rails import RailsOptions
from proactrec.journeys import REFUSED, Journeys

from .drawn import Row, a_row, journeys_of, rails_options
from .test_any_mix import REAL, assert_agree, drawn
from .toys import N_ITEMS, Toy

offer = st.lists(st.integers(0, N_ITEMS), max_size=6)
asked_rows = st.lists(st.tuples(a_row(), offer), min_size=1, max_size=6)


def padded(offers: list[list[int]]) -> Tensor:
    width = max(map(len, offers))
    return torch.tensor([[*one, *[0] * (width - len(one))] for one in offers], dtype=torch.int64)


def most_relevant_first(guide: Guide, journeys: Journeys) -> Tensor:
    assert guide.recommender is not None
    scores = guide.recommender.encoder.score(guide.places(journeys).relevance)
    return scores[:, 1:].argsort(1, descending=True) + 1


@drawn
@given(name=st.sampled_from(REAL), rails=rails_options(spans=False), asked=asked_rows)
def test_all_items_by_relevance_are_decided_as_the_whole_catalogue(
    toy: Toy, name: str, rails: RailsOptions, asked: list[tuple[Row, list[int]]]
) -> None:
    guide = toy.guide(name, rails)
    journeys = journeys_of([row for row, _ in asked], toy, guide)
    offered = most_relevant_first(guide, journeys)
    found, usual = guide.decide(journeys, offered=offered), guide.decide(journeys)
    assert_agree(found, usual, guide, journeys)
    if usual.plain_idx is not None:
        assert found.plain_idx is not None
        assert torch.equal(found.plain_idx, usual.plain_idx)


@drawn
@given(
    name=st.sampled_from(REAL),
    rails=st.none() | rails_options(spans=False),
    asked=asked_rows,
    again=st.booleans(),
)
def test_nothing_else_than_what_is_offered_is_shown(
    toy: Toy, name: str, rails: RailsOptions | None, asked: list[tuple[Row, list[int]]], again: bool
) -> None:
    guide = toy.guide(name, rails, shows_again=again)
    journeys = journeys_of([row for row, _ in asked], toy, guide)
    offered = padded([one for _, one in asked])
    found = guide.decide(journeys, offered=offered)
    is_free = ~(offered > 0).any(1)
    items = [found.item_idx] if found.plain_idx is None else [found.item_idx, found.plain_idx]
    for shown in items:
        is_within = (offered == shown[:, None]).any(1)
        assert (is_within | is_free | (shown == 0)).all()
    free = is_free.nonzero()[:, 0]
    if len(free):
        alone = guide.decide(journeys.of(free))
        assert torch.equal(found.item_idx[free], alone.item_idx)
        assert torch.equal(found.guided[free], alone.guided)


@pytest.mark.parametrize("name", ["foresight", "itmprec", "planned never"])
def test_rows_are_offered_what_is_theirs_in_any_blocks(
    toy: Toy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = toy.guide(name, RailsOptions(plain_share=0.5, relevance_floor=0.5))
    journeys = journeys_of([Row(user, 3, [], [], []) for user in range(11)], toy, guide)
    offered = torch.stack([torch.arange(N_ITEMS).roll(3 * row)[:7] for row in range(11)])
    whole = guide.decide(journeys, offered=offered)
    monkeypatch.setattr(guide_module, "MAX_BLOCK", 2)
    found = guide.decide(journeys, offered=offered)
    for one, other in zip(found, whole, strict=True):
        assert one is other is None or torch.allclose(one, other, atol=1e-5)


def test_the_plain_item_is_the_first_that_may_be_shown(toy: Toy) -> None:
    guide = toy.guide("ipg", RailsOptions(plain_share=1.0, forbidden_categories=("b",)))
    journeys = journeys_of([Row(0, 3, [20], [REFUSED], [True])] * 4, toy, guide)
    had = journeys.users.history.of(0).tolist()
    may = [i for i in range(1, N_ITEMS + 1) if i not in {20, *had} and i % 3 != 1]
    forbidden = next(i for i in range(1, N_ITEMS + 1) if i % 3 == 1 and i not in had)
    offers = [[20, had[0], may[5], may[0]], [0, may[7], may[2]], [forbidden, 20, had[0]], []]
    found = guide.decide(journeys, offered=padded(offers))
    relevant = guide.decide(journeys).item_idx[3]
    assert found.item_idx.tolist() == [may[5], may[7], 0, relevant]
    assert not found.guided.any()
    assert guide.recommender is not None
    scores = guide.recommender.encoder.score(guide.places(journeys).relevance)
    torch.testing.assert_close(found.score[0], scores[0, may[5]])


def test_the_floor_goes_by_relevance_among_what_is_offered(toy: Toy) -> None:
    guide = toy.guide("nearest", RailsOptions(relevance_floor=0.5))
    journeys = journeys_of([Row(0, 3, [], [], [])], toy, guide)
    had = journeys.users.history.of(0)
    order = [i for i in most_relevant_first(guide, journeys)[0].tolist() if i not in had]
    offered = torch.tensor([order[:-5:-1]])  # the four least relevant ones, the last of them first
    found = guide.decide(journeys, offered=offered)
    assert found.n_forbidden.tolist() == [2]
    assert int(found.item_idx) in order[-4:-2]
    assert found.plain_idx is not None
    assert found.plain_idx.tolist() == [order[-1]]


def test_who_offers_is_told_plain_items_though_no_rail_is_on(toy: Toy) -> None:
    guide = toy.guide("ipg", RailsOptions())
    journeys = journeys_of([Row(user, 3, [], [], []) for user in range(4)], toy, guide)
    assert guide.decide(journeys).plain_idx is None
    found = guide.decide(journeys, offered=torch.zeros(4, 1, dtype=torch.int64))
    plain = toy.guide("ipg", RailsOptions(plain_share=1.0)).decide(journeys)
    assert found.plain_idx is not None
    assert torch.equal(found.plain_idx, plain.item_idx)
    assert found.guided.all()


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        (torch.zeros(1, 2, dtype=torch.int64), r"a row for each of 2 journeys, got .* \(1, 2\)"),
        (torch.zeros(2, dtype=torch.int64), r"got the shape \(2,\)"),
        (torch.tensor([[1], [N_ITEMS + 1]]), f"items 1 to {N_ITEMS} or 0, got 1 to {N_ITEMS + 1}"),
        (torch.tensor([[-1], [1]]), "got -1 to 1"),
    ],
)
def test_bad_offers_are_refused(toy: Toy, offered: Tensor, message: str) -> None:
    guide = toy.guide("ipg")
    journeys = journeys_of([Row(0, 3, [], [], []), Row(1, 3, [], [], [])], toy, guide)
    with pytest.raises(InvalidInputError, match=message):
        guide.decide(journeys, offered=offered)
