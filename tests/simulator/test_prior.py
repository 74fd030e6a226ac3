"""Plausible worlds: draws stay inside the prior, repeat, and become worlds of the right kind."""

import re

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.simulator.hidden import HIDDEN
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.prior import OTHER_LAWS, PlausibleWorld, Prior, drawn_world
from proactrec.simulator.response import calibrated_response
from proactrec.simulator.world import WorldOptions
from proactrec.simulator.worlds import WORLDS

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


def test_laws_are_drawn_for_a_share_of_worlds_and_the_rest_stay_as_they_were() -> None:
    """Each of the eleven as often, as strong as its named world on average; four deviations."""
    numbers = range(N_DRAWS)
    usual = [drawn_world(Prior(), 0, n) for n in numbers]
    drawn = [drawn_world(Prior(lawful=0.5), 0, n) for n in numbers]
    pairs = list(zip(drawn, usual, strict=True))
    changed = [one for one, other in pairs if one != other]
    assert len(changed) / N_DRAWS == pytest.approx(0.5, abs=0.01)
    as_before = {"laws": None, "kept_share": 0.8}
    assert all(a.model_copy(update=as_before) == b.model_copy(update=as_before) for a, b in pairs)
    lawful = [one.laws for one in changed if one.laws is not None]
    assert len(lawful) / len(changed) == pytest.approx(9 / 11, abs=0.05)
    returning = np.array([laws.returning for laws in lawful if laws.returning])
    assert len(returning) == pytest.approx(len(changed) / 11, abs=12)
    assert returning.max() < 0.2
    assert returning.mean() == pytest.approx(0.1, abs=4 * 0.2 / (12 * len(returning)) ** 0.5)
    assert drawn_world(Prior(lawful=0.5), 0, 7) == drawn[7]


@pytest.mark.parametrize("name", OTHER_LAWS)
def test_a_draw_under_a_law_is_played_by_that_law(
    dataset: Dataset, vectors: Vectors, name: str
) -> None:
    """As strong as in the named world, or not at all."""
    drawn, wanted = plausible("factors", "factors", 0.3), WORLDS[name].options
    given = ({"factors": vectors}, np.array([1]), WorldOptions())
    of_named = drawn.under(name).build(dataset, *given).options
    assert of_named.laws == wanted.laws
    kept = 0.75 if wanted.kept_share == 0.8 else wanted.kept_share
    assert of_named.kept_share == pytest.approx(kept)
    without = drawn.under(name, 0.0).build(dataset, *given).options
    assert without.laws == LawOptions()
    assert without.kept_share == (0.75 if kept == 0.75 else 1)


def test_a_draw_without_laws_is_named_as_before_and_leaves_them_to_the_protocol(
    dataset: Dataset, vectors: Vectors
) -> None:
    drawn = plausible("factors", "factors", 0.3)
    assert "laws" not in drawn.model_dump()
    assert "lawful" not in Prior().model_dump()
    options = WorldOptions(laws=LawOptions(returning=0.3))
    world = drawn.build(dataset, {"factors": vectors}, np.array([1]), options)
    assert world.options.laws.returning == 0.3


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
