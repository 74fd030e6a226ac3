"""Unit checks of IPG (ipg.md) and every option of TIAC, by hand."""

import math

import pytest
import torch
from torch import Tensor

from proactrec.intents import Intents
from proactrec.policies.base import View
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec, ITMPRecOptions
from proactrec.testing.toys import encoder_of

from .conftest import view_of

# Items 1 … 4; item 4 is the target. Cosines with it: 0, .6, -1, 1.
ITEMS = torch.tensor([[0.0, 0], [2, 0], [0.8, 0.6], [0, -1], [0, 3]])
EAST = torch.tensor([[1.0, 0]])
TARGET = torch.tensor([4])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def seen_by(user: Tensor, *hidden: int) -> View:
    penalty = torch.zeros(1, 5)
    penalty[:, [0, *hidden]] = -torch.inf
    return view_of(user, TARGET, penalty)


def test_ipg_measures_progress_from_where_the_user_is() -> None:
    user = torch.tensor([[1.6, 1.2]])  # cosine .6 with the target
    scores = IPG(encoder_of(ITEMS)).scores(user, TARGET)[0, 1:].tolist()
    products = [3.2, 0.8 * 1.6 + 0.6 * 1.2, -1.2, 3.6]
    cosines = [0, 0.6, -1, 1]
    expected = [sigmoid(p) * (c - 0.6) for p, c in zip(products, cosines, strict=True)]
    assert scores == pytest.approx(expected, abs=1e-6)


def test_target_is_worth_a_full_gain_to_an_orthogonal_user() -> None:
    """σ(0) = 1/2 times 1 - 0; with one candidate that one is shown."""
    decision = IPG(encoder_of(ITEMS)).decide(seen_by(EAST, 1, 2, 3))
    assert decision.item_idx.item() == 4
    assert decision.score.item() == pytest.approx(1 / 2 * (1 - 0))


def test_length_of_the_target_changes_only_its_own_relevance() -> None:
    longer = ITEMS.clone()
    longer[4] *= 2
    user = torch.tensor([[0.9, 0.4]])
    plain, doubled = (IPG(encoder_of(i)).scores(user, TARGET)[0] for i in (ITEMS, longer))
    torch.testing.assert_close(doubled[:4], plain[:4])
    assert doubled[4] > plain[4]


def test_with_equal_relevance_the_target_comes_first() -> None:
    # A user of length almost 0 finds every item equally relevant: σ(0).
    for direction in ([1e-9, 0.0], [0.0, -1e-9], [1e-9, 1e-10]):
        decision = IPG(encoder_of(ITEMS)).decide(seen_by(torch.tensor([direction])))
        assert decision.item_idx.item() == 4


def test_no_gain_of_one_pair_leaves_the_others_alone() -> None:
    penalty = torch.zeros(3, 5)
    penalty[:, 0] = -torch.inf
    penalty[1:, 4] = -torch.inf
    penalty[2] = -torch.inf
    users = torch.tensor([[1.0, 0], [0.01, 5], [0.01, 5]])
    seen = view_of(users, torch.tensor([4, 4, 4]), penalty)
    assert IPG(encoder_of(ITEMS)).decide(seen).item_idx.tolist() == [4, 2, 0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Favourites of the east among unseen 1, 2, 3: items 1, 2 (cosines 0 and .6 to the target).
        ({"n_curious": 2}, 1 - (0 + 0.6) / 2),
        ({"n_curious": 1}, 1 - 0.2),  # 0 is below the floor
        ({"n_curious": 1, "tiac_floor": None}, 1 - 0),
        ({"n_curious": 2, "tiac": "literal"}, 0.3),
        ({"n_curious": 3, "tiac": "literal", "tiac_floor": None}, (0 + 0.6 - 1) / 3),
        ({"n_curious": 3, "tiac": "literal", "tiac_floor": None, "tiac_decimals": 3}, -0.133),
    ],
)
def test_tiac_by_hand(options: dict[str, object], expected: float) -> None:
    policy = ITMPRec(encoder_of(ITEMS), Intents(EAST), ITMPRecOptions(**options))
    share = policy.kept_share(seen_by(EAST, 4))
    assert share.item() == pytest.approx(expected, abs=1e-6)
