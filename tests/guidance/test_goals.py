"""Which target of a category suits each user best."""

import numpy as np
import pytest
import torch

from proactrec.guidance import guide as guide_module
from proactrec.guidance.goals import WEIGHED, best_targets
from proactrec.guidance.guide import Guide
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.recorded import train_users
from proactrec.journeys import OPEN_ENDED, Journeys
from proactrec.policies.base import PredictsAcceptance, Promises

from .toys import N_ITEMS, N_USERS, Toy

ITEMS = torch.arange(2, N_ITEMS + 1, 2)


def asked(toy: Toy, name: str) -> tuple[Guide, Journeys, torch.Tensor]:
    """A guide, its users before any round, and what is closed to them: all of it to the first."""
    guide = toy.guide(name, RailsOptions())
    everybody = torch.arange(N_USERS)
    begun = Journeys.begun(train_users(toy.dataset, guide), everybody, everybody * 0, 4)
    begun = begun._replace(rounds_left=everybody * 0 + OPEN_ENDED)
    closed = np.zeros((N_USERS, len(ITEMS)), bool)
    for row in range(N_USERS):
        closed[row] = np.isin(ITEMS, begun.users.history.of(row))
        closed[row, row % 4 :: 4] = True
    closed[0] = True
    return guide, begun, torch.from_numpy(closed)


@pytest.mark.parametrize("name", ["ipg", "foresight", "taught"])
def test_the_best_that_is_left_is_chosen(toy: Toy, name: str) -> None:
    """The most relevant; of some that are likeliest accepted the most promising, weighed alone."""
    guide, begun, closed = asked(toy, name)
    found = best_targets(guide, begun, ITEMS, closed)
    assert guide.recommender is not None
    scores = guide.recommender.encoder.score(guide.recommender.place(begun))
    if isinstance(guide.policy, PredictsAcceptance):
        scores = guide.policy.chances(guide.view(begun, guide.places(begun)))
    assert found[0] == 0
    for row in range(1, N_USERS):
        left = [item for item, shut in zip(ITEMS.tolist(), closed[row], strict=True) if not shut]
        near = sorted(left, key=lambda item: -float(scores[row, item]))[:WEIGHED]
        worth = [-place for place in range(len(near))]
        if isinstance(guide.policy, Promises):
            alone = begun.of(torch.tensor([row]))
            toward = [alone._replace(target_idx=torch.tensor([item])) for item in near]
            views = [guide.view(one, guide.places(one)) for one in toward]
            worth = [float(guide.policy.promise(view)) for view in views]
        assert found[row] == near[int(np.argmax(worth))]


def test_promises_and_relevance_choose_otherwise(toy: Toy) -> None:
    found = []
    for name in ("ipg", "taught"):
        guide, begun, closed = asked(toy, name)
        found.append(best_targets(guide, begun, ITEMS, closed))
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("name", ["ipg", "taught"])
def test_one_by_one_and_in_blocks_it_is_the_same(
    toy: Toy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide, begun, closed = asked(toy, name)
    whole = best_targets(guide, begun, ITEMS, closed)
    rows = torch.arange(N_USERS).split(1)
    alone = [best_targets(guide, begun.of(row), ITEMS, closed[row]) for row in rows]
    np.testing.assert_array_equal(torch.cat(alone), whole)
    monkeypatch.setattr(guide_module, "MAX_BLOCK", 5)
    np.testing.assert_array_equal(best_targets(guide, begun, ITEMS, closed), whole)
