"""Plausible worlds: draws stay inside the prior, repeat, and become worlds of the right kind."""

import re

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.simulator.hidden import HIDDEN
from proactrec.simulator.prior import PlausibleWorld, Prior, drawn_world
from proactrec.simulator.response import calibrated_response
from proactrec.simulator.world import WorldOptions

Vectors = tuple[torch.Tensor, torch.Tensor]
N_DRAWS = 800


def test_draws_spread_over_the_prior_and_stay_inside() -> None:
    prior = Prior(slope=(0.5, 2.0), mean_accept=(0.4, 0.6), kept_share=(0.7, 0.9), per_user=0.25)
    worlds = [drawn_world(prior, 3, number) for number in range(N_DRAWS)]
    for name in ("slope", "mean_accept", "kept_share"):
        low, high = getattr(prior, name)
        drawn = np.array([getattr(world, name) for world in worlds])
        assert low <= drawn.min() < drawn.max() <= high
    # Uniform in the logarithm: half of the slopes below 1; four standard errors.
    error = 4 * 0.5 / N_DRAWS**0.5
    assert np.mean([w.slope < 1 for w in worlds]) == pytest.approx(0.5, abs=error)
    assert np.mean([w.receptivity == "per-user" for w in worlds]) == pytest.approx(0.25, abs=error)
    assert {kind for w in worlds for kind in w.hidden} == set(HIDDEN) - {"divided"}
    assert len({w.seed for w in worlds}) == N_DRAWS


def test_a_world_depends_on_its_number_seed_and_purpose_only() -> None:
    assert drawn_world(Prior(), 0, 7) == drawn_world(Prior(), 0, 7)
    others = [drawn_world(Prior(), *which) for which in ((0, 8), (1, 7), (0, 7, "tests"))]
    assert drawn_world(Prior(), 0, 7) not in others


def test_the_share_that_leaves_is_drawn_beside_the_rest_and_apart_from_it() -> None:
    """Evenly, not with any other number: a quarter of the worlds in every quarter of two."""
    numbers = range(N_DRAWS)
    usual = [drawn_world(Prior(), 0, n) for n in numbers]
    leaving = [drawn_world(Prior(leaving=(0.02, 0.1)), 0, n) for n in numbers]
    assert [one.model_copy(update={"leaving": None}) for one in leaving] == usual
    drawn = np.array([one.leaving for one in leaving])
    assert 0.02 <= drawn.min() < drawn.max() < 0.1
    is_high = drawn > 0.06
    assert is_high.mean() == pytest.approx(0.5, abs=0.01)
    error = 4 * (3 / 16 / N_DRAWS) ** 0.5
    for name in ("slope", "mean_accept", "kept_share", "mixture"):
        other = np.array([getattr(one, name) for one in leaving])
        both = is_high & (other > np.median(other))
        assert both.mean() == pytest.approx(0.25, abs=error), name


def test_a_drawn_share_leaves_and_the_protocols_does_otherwise(
    dataset: Dataset, vectors: Vectors
) -> None:
    drawn = plausible("factors", "factors", 0.3)
    for own, wanted in ((None, 0.05), (0.1, 0.1), (0.0, 0.0)):
        one = drawn.model_copy(update={"leaving": own})
        world = one.build(dataset, {"factors": vectors}, np.array([1]), WorldOptions(leaving=0.05))
        assert world.options.leaving == wanted


def test_kinds_that_are_left_out_are_never_drawn() -> None:
    prior = Prior().without("content")
    drawn = {kind for n in range(50) for kind in drawn_world(prior, 0, n).hidden}
    assert drawn == {"interest", "factors", "neighbours"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slope": (2.0, 0.5)}, "slope must go from low to high, got 2.0 and 0.5"),
        ({"kept_share": (0.5, 1.5)}, "Prior.kept_share.1 must be below 1, got 1.5"),
        ({"hidden": ()}, "Prior.hidden"),
        ({"leaving": (0.2, 0.1)}, "leaving must go from low to high, got 0.2 and 0.1"),
        ({"leaving": (0.0, 1.0)}, "Prior.leaving.1 must be below 1, got 1.0"),
    ],
)
def test_impossible_priors_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        Prior(**values)


def plausible(first: str, second: str, mixture: float) -> PlausibleWorld:
    return PlausibleWorld(
        slope=1.5,
        mean_accept=0.4,
        kept_share=0.75,
        receptivity="constant",
        hidden=(first, second),
        mixture=mixture,
        seed=5,
    )


def test_a_mixture_averages_inner_products(dataset: Dataset, vectors: Vectors) -> None:
    users, items = vectors
    other = (users.flip(1), items.roll(1, 1))
    by_kind = {"factors": vectors, "interest": other}
    drawn = plausible("factors", "interest", 0.3)
    world = drawn.build(dataset, by_kind, np.array([1]), WorldOptions())
    wanted = 0.3 * users @ items.T + 0.7 * other[0] @ other[1].T
    torch.testing.assert_close(world.user_vectors @ world.item_vectors.T, wanted)
    assert world.options.kept_share == 0.75
    assert world.seed == 5
    response = calibrated_response(
        dataset, world.user_vectors, world.item_vectors, world=1.5, mean_accept=0.4
    )
    assert world.response == response


def test_one_kind_alone_stays_as_it_is(dataset: Dataset, vectors: Vectors) -> None:
    drawn = plausible("factors", "factors", 0.3)
    world = drawn.build(dataset, {"factors": vectors}, np.array([1]), WorldOptions())
    torch.testing.assert_close(world.user_vectors, vectors[0])


def test_a_slope_by_number_is_that_of_the_world_of_the_name(
    dataset: Dataset, vectors: Vectors
) -> None:
    by_number = calibrated_response(dataset, *vectors, world=2.0)
    assert by_number == calibrated_response(dataset, *vectors, world="steep")
