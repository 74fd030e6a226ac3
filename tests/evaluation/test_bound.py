"""The bound beside dynamic programming: never below it, and how far above."""

import os
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.errors import InvalidInputError
from proactrec.evaluation.bound import BoundOptions, upper_bounds
from proactrec.evaluation.oracles import OracleGreedy, OracleLookahead
from proactrec.evaluation.pairs import Pairs
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.optimum import Small, drawn
from proactrec.worth import Worth

N_EXAMPLES = int(os.environ.get("PROACTREC_BOUND_EXAMPLES", "200"))
COARSE = BoundOptions(interest_step=0.01, chance_ratio=1.1, prices=(0.0, 0.1))
INTEREST, USER = Worth(target=0, step=0, interest=1), 0
SMALL: dict[str, Any] = {
    "seed": st.integers(0, 2**31),
    "dim": st.sampled_from([2, 3, 5, 8]),
    "slope": st.sampled_from([0.5, 2.0, 6.0, 15.0]),
    "kept": st.sampled_from([0.5, 0.8, 0.95]),
    "after_success": st.sampled_from(["continue", "stop"]),
    "n_rounds": st.sampled_from([1, 2, 3]),
}


def bound_of(one: Small, options: BoundOptions = COARSE, **settings: Any) -> float:
    pairs = Pairs(np.array([USER]), np.array([one.target]))
    settings = {"n_rounds": one.n_rounds, "options": options, **settings}
    return float(upper_bounds(one.world, pairs, one.worth, **settings)[0])


@settings(max_examples=N_EXAMPLES, deadline=None)
@given(
    **SMALL,
    worth=st.builds(
        Worth,
        target=st.sampled_from([0.0, 1.0]),
        step=st.sampled_from([0.0, 0.02]),
        interest=st.sampled_from([0.0, 0.2, 1.0]),
    ),
    leaving=st.sampled_from([0.0, 0.1, 0.4]),
    refused=st.sampled_from([0.0, 0.3]),
)
def test_no_order_of_items_passes_it(
    kept: float, leaving: float, refused: float, **about: Any
) -> None:
    leaves = {"leaving": leaving, "leaving_refused": refused}
    one = drawn(**about, kept_share=kept, **leaves)
    assert one.best(USER) <= bound_of(one) + 1e-6


@settings(max_examples=N_EXAMPLES // 8, deadline=None)
@given(**SMALL)
def test_oracles_stay_below_the_optimum_and_the_bound(kept: float, **about: Any) -> None:
    one = drawn(**about, worth=INTEREST, kept_share=kept)
    best = one.best(USER)
    for oracle in (OracleGreedy(), OracleLookahead()):
        assert one.played(USER, one.choice_of(oracle, USER)) <= best + 1e-6
    assert best <= bound_of(one) + 1e-6


def test_of_one_round_it_is_the_best_item() -> None:
    for seed in range(20):
        one = drawn(seed, 5, slope=4.0, worth=Worth(), n_rounds=1)
        assert bound_of(one, BoundOptions(prices=(0.0,))) == pytest.approx(one.best(USER), abs=1e-6)


def test_of_random_instances_most_of_it_can_be_reached() -> None:
    """71 % of it when this was written, with finer cells over 60 instances."""
    many = [drawn(seed, 4, slope=4.0, worth=INTEREST, n_rounds=3) for seed in range(30)]
    best = sum(one.best(USER) for one in many)
    assert best > 0.6 * sum(bound_of(one) for one in many)


def test_more_prices_lower_it_and_users_stand_for_themselves() -> None:
    for seed in range(10):
        one = drawn(seed, 4, slope=4.0, worth=INTEREST, n_rounds=4)
        some = [bound_of(one, COARSE.model_copy(update={"prices": (p,)})) for p in (0.0, 0.1)]
        assert bound_of(one) == min(some)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"receptivity": "per-user"}, "receptivity=per-user"),
        ({"patience": 3, "n_slots": 2}, "n_slots=2, patience=3"),
        ({"laws": {"returning": 0.1}}, "returning"),
        ({"after_success": "freeze"}, "after_success=freeze"),
    ],
)
def test_other_users_are_refused(toy: Any, options: dict[str, Any], told: str) -> None:
    vectors = toy.user_vectors, toy.item_vectors
    world = World(toy.dataset, *vectors, np.array([3]), WorldOptions(**options))
    pairs = Pairs(np.array([0]), np.array([3]))
    message = re.escape(f"the bound is of worlds like medium-v2, got {told}")
    with pytest.raises(InvalidInputError, match=message):
        upper_bounds(world, pairs, Worth(), n_rounds=3)


def test_users_who_have_their_target_are_refused(toy: Any) -> None:
    owner = int(toy.dataset.before("train").of(0)[0])
    pairs = Pairs(np.array([0]), np.array([owner]))
    with pytest.raises(InvalidInputError, match="users must not have their targets, got 1 who do"):
        upper_bounds(toy.world(), pairs, Worth(), n_rounds=3)
