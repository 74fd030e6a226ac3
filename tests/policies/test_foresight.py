"""Foresight against brute force, and in a rollout that learns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.graphau import InterestVectors
from proactrec.guidance import guide as guide_module
from proactrec.guidance.log import GuidanceLog
from proactrec.journeys import OPEN_ENDED
from proactrec.policies.base import Candidates, Evidence, View
from proactrec.policies.belief import AcceptanceModel, standard_popularity
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.stopping import WAITS
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.toys import histories_of
from proactrec.worth import ONLY_INTEREST, Worth

from .conftest import best_wait, journeys_of, view_of

N_USERS, N_ITEMS, DIM, TARGETS = 60, 50, 6, np.array([50, 45])
EVERYTHING: dict[str, Any] = {
    "n_candidates": N_ITEMS,
    "n_considered": N_ITEMS,
    "learns": False,
    "item_shrinkage": None,
}
STEP = ONLY_INTEREST.step


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(3)
    rows = [
        (f"u{user:02}", f"i{item + 1:02}", time)
        for user in range(N_USERS)
        for time, item in enumerate(rng.choice(40, 6, replace=False))
    ] + [("v", f"i{item:02}", item) for item in range(1, N_ITEMS + 1)]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    ids = [f"i{item:02}" for item in range(1, N_ITEMS + 1)]
    lists = pl.Series([["all"]] * N_ITEMS, dtype=pl.List(pl.String))
    catalogue = pl.DataFrame({"item_id": ids, "title": ids, "categories": lists})
    return Dataset.build("toy", Interactions(events), Catalogue(catalogue))


@pytest.fixture(scope="module")
def vectors(dataset: Dataset) -> InterestVectors:
    """Items along an arc, jittered; users stand at its beginning, targets at its end."""
    rng = torch.Generator().manual_seed(5)
    angle = torch.linspace(0, torch.pi / 2, N_ITEMS)
    arc = torch.zeros(N_ITEMS, DIM)
    arc[:, 0], arc[:, 1] = angle.cos(), angle.sin()
    items = F.normalize(arc + 0.15 * torch.randn(N_ITEMS, DIM, generator=rng), dim=1)
    users = F.normalize(arc[:1] + 0.2 * torch.randn(dataset.n_users, DIM, generator=rng), dim=1)
    return InterestVectors(users, torch.cat([torch.zeros(1, DIM), items]))


def policy_of(
    vectors: InterestVectors, dataset: Dataset, options: ForesightOptions | None = None
) -> Foresight:
    return Foresight(vectors, dataset.train_counts, dataset.before("train"), options)


def planner_of(
    vectors: InterestVectors, dataset: Dataset, options: ForesightOptions | None = None
) -> Foresight:
    """It takes the paper's law for granted: where users stand is a vector, and nothing else."""
    options = (options or ForesightOptions()).model_copy(update={"laws": ()})
    return policy_of(vectors, dataset, options)


def observed(vectors: InterestVectors, n: int = 8, rounds_left: int = 5) -> View:
    penalty = torch.zeros(n, N_ITEMS + 1)
    penalty[:, 0] = -torch.inf
    for row in range(n):
        penalty[row, 1 + row : 6 + row] = -torch.inf
    view = view_of(vectors.user_vectors[:n], torch.full((n,), 50), penalty)
    return view._replace(rounds_left=torch.full((n,), rounds_left))


def expected_gain(
    place: np.ndarray, item: int, target: int, vectors: InterestVectors, prior: AcceptanceModel
) -> tuple[float, float, np.ndarray]:
    """Chance, gain if accepted, and where the user then stands."""
    items = vectors.item_vectors.double().numpy()
    chance = 1 / (1 + np.exp(-(prior.slope * place @ items[item] + float(prior.weights[0]))))
    after = 0.8 * place + 0.2 * items[item]
    after /= np.linalg.norm(after)
    return chance, float((after - place) @ items[target]), after


def test_two_rounds_ahead_is_what_brute_force_finds(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    everything = ForesightOptions(**EVERYTHING, worth=ONLY_INTEREST)
    policy, seen = planner_of(vectors, dataset, everything), observed(vectors)
    found, prior = policy.decide(seen), policy.prior()
    horizon = sum(0.8**k for k in range(5))
    for row in range(len(seen.places)):
        allowed = [i for i in range(1, N_ITEMS + 1) if seen.candidates.penalty[row, i] == 0]
        place = vectors.user_vectors[row].double().numpy()

        def best(place: np.ndarray, left: list[int]) -> float:
            steps = (expected_gain(place, i, 50, vectors, prior) for i in left)
            return max(0.0, *(chance * (gain + STEP) for chance, gain, _ in steps))

        values = {}
        for item in allowed:
            chance, gain, after = expected_gain(place, item, 50, vectors, prior)
            others = [i for i in allowed if i != item]
            accepted = 0.0 if item == 50 else best(after, others)
            refused = best(place, others)
            values[item] = (
                chance * (gain + STEP + horizon * accepted) + (1 - chance) * horizon * refused
            )
        choice = max(values, key=lambda i: values[i])
        assert found.item_idx[row] == choice
        assert found.score[row] == pytest.approx(values[choice], abs=1e-4)


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("rounds_left", [1, 5, OPEN_ENDED])
def test_with_a_target_to_accept_it_is_what_brute_force_finds(
    dataset: Dataset, vectors: InterestVectors, rounds_left: int, goes_on: bool
) -> None:
    """Every plan and every next step, with the best wait of a plain loop, before users leave."""
    worth = Worth(leaving=0.08, leaving_refused=0.15)
    policy = planner_of(
        vectors, dataset, ForesightOptions(**EVERYTHING, worth=worth, goes_on=goes_on)
    )
    seen, prior = observed(vectors, rounds_left=rounds_left), policy.prior()
    found, slope, offset = policy.decide(seen), prior.slope, float(prior.weights[0])
    discount, waits = (0.0 if goes_on else 0.8), tuple(k for k in WAITS if k < rounds_left)
    for row in range(len(seen.places)):
        steps = [i for i in range(1, 50) if seen.candidates.penalty[row, i] == 0]
        place = vectors.user_vectors[row].double().numpy()
        now = float(place @ vectors.item_vectors[50].double().numpy())
        sure, full = (1 / (1 + np.exp(-(slope * x + offset))) for x in (now, 1.0))
        price = worth.interest + worth.target * (full - sure) / (1 - now)

        def gains(place: np.ndarray, left: list[int], price: float = price) -> dict[int, float]:
            tried = ((i, expected_gain(place, i, 50, vectors, prior)) for i in left)
            return {i: chance * (gain + worth.step / price) for i, (chance, gain, _) in tried}

        first = gains(place, steps)
        stays = expected_gain(place, max(first, key=lambda i: first[i]), 50, vectors, prior)[0]
        stays = stays * 0.92 + (1 - stays) * 0.85
        share = discount * stays
        horizon = (1 - share**rounds_left) / (1 - share)

        def then(s: float, rate: float, stays: float = stays) -> float:
            return worth.target * best_wait(s, rate, stays, rounds_left, slope, offset, waits)[0]

        values = {}
        for item in [*steps, 50]:
            chance, gain, after = expected_gain(place, item, 50, vectors, prior)
            is_end, others = item == 50, [i for i in steps if i != item]
            next_gain = 0.0 if is_end and not goes_on else max(0, *gains(after, others).values())
            other = max(0.0, *(first[i] for i in others))
            a, b = chance * 0.92, (1 - chance) * 0.85
            values[item] = (
                chance * (worth.interest * gain + worth.step + is_end * worth.target)
                + worth.interest * horizon * (a * next_gain + b * other)
                + (0 if is_end else a * then(now + gain, next_gain) + b * then(now, other))
            )
        choice = max(values, key=lambda i: values[i])
        assert found.item_idx[row] == choice
        assert found.score[row] == pytest.approx(values[choice], abs=2e-4)


def waiting_for(leaving: float, **changes: Any) -> ForesightOptions:
    worth = Worth(leaving=leaving, learns_leaving=False)
    return ForesightOptions(worth=worth, learns=False, **changes)


def test_if_nearly_everybody_leaves_the_target_is_shown_at_once(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    policy = planner_of(vectors, dataset, waiting_for(0.9))
    for rounds_left in (0, 5, OPEN_ENDED):
        found = policy.decide(observed(vectors, rounds_left=rounds_left))
        assert (found.item_idx == 50).all()


def test_if_nobody_leaves_it_is_waited_for_until_the_last_round_that_is_known(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    policy = planner_of(vectors, dataset, waiting_for(0.0))
    for rounds_left, is_shown in [(8, False), (2, False), (0, True)]:
        found = policy.decide(observed(vectors, rounds_left=rounds_left))
        assert ((found.item_idx == 50) == is_shown).all()


def test_the_more_users_leave_the_more_targets_are_shown_now(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    seen = observed(vectors, n=40, rounds_left=OPEN_ENDED)
    shown = [
        planner_of(vectors, dataset, waiting_for(share)).decide(seen).item_idx == 50
        for share in (0.0, 0.02, 0.1, 0.3, 0.9)
    ]
    for fewer, more in pairwise(shown):
        assert more[fewer].all()
    assert not shown[0].any()
    assert shown[-1].all()


def refused(seen: View, *, shows_again: bool) -> View:
    """After all were shown their target and refused it."""
    journeys = seen.journeys.after(seen.target_idx, torch.zeros(8).bool(), torch.ones(8).bool())
    penalty = seen.candidates.penalty.clone()
    if not shows_again:
        penalty[:, 50] = -torch.inf
    return seen._replace(journeys=journeys, candidates=Candidates(penalty), shows_again=shows_again)


def test_a_refused_target_is_closed_unless_it_may_be_shown_again(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    """Closed: as if its acceptance were worth nothing. Else: shown again, if users leave."""
    policy, worthless = (
        planner_of(
            vectors,
            dataset,
            ForesightOptions(worth=Worth(target=x, leaving=0.9, learns_leaving=False)),
        )
        for x in (1.0, 0.0)
    )
    seen = observed(vectors)
    closed = refused(seen, shows_again=False)
    torch.testing.assert_close(policy.decide(closed), worthless.decide(closed))
    assert (policy.decide(refused(seen, shows_again=True)).item_idx == 50).all()


@pytest.mark.parametrize("has_target", [True, False])
@pytest.mark.parametrize("leaving", [0.0, 0.05, 0.9])
def test_named_candidates_are_decided_on_as_in_a_catalogue_without_the_others(
    dataset: Dataset, vectors: InterestVectors, leaving: float, has_target: bool
) -> None:
    policy = planner_of(vectors, dataset, waiting_for(leaving, n_considered=8))
    seen = observed(vectors, n=12)
    rng = torch.Generator().manual_seed(6)
    items = torch.stack([torch.randperm(49, generator=rng)[:20] + 1 for _ in range(12)])
    if has_target:
        items[:, 7] = 50
    penalty = seen.candidates.penalty.gather(1, items)
    everything = torch.full_like(seen.candidates.penalty, -torch.inf)
    whole = seen._replace(candidates=Candidates(everything.scatter(1, items, penalty)))
    named = seen._replace(candidates=Candidates(penalty, items))
    found, expected = policy.decide(named), policy.decide(whole)
    assert torch.equal(found.item_idx, expected.item_idx)
    torch.testing.assert_close(found.score, expected.score)
    assert (found.item_idx == 50).all() == (has_target and leaving == 0.9)


@pytest.mark.parametrize(("depth", "rounds_left"), [(1, 5), (2, 0)])
def test_one_round_ahead_is_the_best_expected_gain(
    dataset: Dataset, vectors: InterestVectors, depth: Any, rounds_left: int
) -> None:
    policy = planner_of(vectors, dataset, ForesightOptions(depth=depth, worth=ONLY_INTEREST))
    seen = observed(vectors, rounds_left=rounds_left)
    found, prior = policy.decide(seen), policy.prior()
    for row in range(len(seen.places)):
        place = vectors.user_vectors[row].double().numpy()
        values = {}
        for item in range(1, N_ITEMS + 1):
            chance, gain, _ = expected_gain(place, item, 50, vectors, prior)
            values[item] = (
                chance * (gain + STEP) if seen.candidates.penalty[row, item] == 0 else -np.inf
            )
        assert found.item_idx[row] == max(values, key=lambda i: values[i])


def test_few_candidates_are_enough(dataset: Dataset, vectors: InterestVectors) -> None:
    """The defaults against looking at everything, on random users of the same world."""
    few = planner_of(vectors, dataset, ForesightOptions(n_candidates=8, n_considered=32))
    every = planner_of(
        vectors, dataset, ForesightOptions(n_candidates=N_ITEMS, n_considered=N_ITEMS)
    )
    seen = observed(vectors, n=40)
    gap = every.decide(seen).score - few.decide(seen).score
    assert gap.min() > -1e-5
    assert (gap < 0.02).float().mean() > 0.9


def test_an_item_that_nobody_has_is_neither_popular_nor_unpopular(dataset: Dataset) -> None:
    untouched = {f"i{item:02}" for item in (7, 50)}
    is_left = ~np.isin(np.array(dataset.item_ids), list(untouched))[dataset.histories.item_idx - 1]
    events = pl.DataFrame(
        {
            "user_id": np.array(dataset.user_ids)[dataset.histories.user_idx[is_left]],
            "item_id": np.array(dataset.item_ids)[dataset.histories.item_idx[is_left] - 1],
            "timestamp": np.flatnonzero(is_left),
        }
    )
    lists = pl.Series([["all"]] * N_ITEMS, dtype=pl.List(pl.String))
    columns = {"item_id": dataset.item_ids, "title": dataset.item_ids, "categories": lists}
    interactions, catalogue = Interactions(events), Catalogue(pl.DataFrame(columns))
    left = Dataset.build("left", interactions, catalogue, keep_cold=True)
    popularity = standard_popularity(left.train_counts)
    is_known = torch.from_numpy(left.train_counts > 0)
    assert not is_known[[7, 50]].any()
    assert (popularity[~is_known] == 0).all()
    known = popularity[is_known]
    assert abs(float(known.mean())) < 1e-6
    assert float(known.std()) == pytest.approx(1)


def test_it_shows_only_what_may_be_shown(dataset: Dataset, vectors: InterestVectors) -> None:
    policy, seen = planner_of(vectors, dataset), observed(vectors)
    penalty = torch.full_like(seen.candidates.penalty, -torch.inf)
    penalty[1, 9] = penalty[2, [9, 50]] = 0
    found = policy.decide(seen._replace(candidates=Candidates(penalty))).item_idx.tolist()
    assert found[:2] == [0, 9]
    assert found[2] in (9, 50)
    assert set(found[3:]) == {0}


def test_a_row_does_not_depend_on_the_others(dataset: Dataset, vectors: InterestVectors) -> None:
    seen = observed(vectors, n=12)
    ends = torch.tensor([0, 0.4, 1, 2.5, 5, 19, 0, 0.4, 1, 7, 200, OPEN_ENDED])
    seen = seen._replace(rounds_left=ends)
    for leaving in (0.0, 0.05, 0.3):
        policy = planner_of(vectors, dataset, waiting_for(leaving))
        together = policy.decide(seen).item_idx
        alone = [policy.decide(seen.of(torch.tensor([row]))).item_idx for row in range(12)]
        assert torch.equal(torch.cat(alone), together)


def played(
    policy: Foresight,
    dataset: Dataset,
    vectors: InterestVectors,
    n_workers: int = 1,
    **users: Any,
) -> GuidanceLog:
    world = World(dataset, *vectors, TARGETS, WorldOptions(**users), seed=4)
    options = RolloutOptions(n_rounds=12)
    return rollout(policy, world, dataset, TARGETS, options, n_workers=n_workers).log


def gain(log: GuidanceLog) -> float:
    return float((log.interest[:, -1] - log.interest[:, 0]).mean())


@contextmanager
def blocks_of(n_pairs: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guide_module, "MAX_BLOCK", n_pairs)
        yield


@pytest.mark.parametrize(("n_pairs", "n_workers"), [(7, 1), (7, 3), (1, 2)])
def test_learning_from_all_users_does_not_depend_on_blocks_or_workers(
    dataset: Dataset, vectors: InterestVectors, n_pairs: int, n_workers: int
) -> None:
    policy = policy_of(vectors, dataset)
    whole = played(policy, dataset, vectors)
    with blocks_of(n_pairs):
        parts = played(policy, dataset, vectors, n_workers)
    np.testing.assert_array_equal(parts.item_idx, whole.item_idx)
    np.testing.assert_allclose(parts.interest, whole.interest, atol=1e-6)


class Witness(Foresight):
    """Notes what it is taught; all that it comes to know write in one list."""

    def __init__(
        self, vectors: InterestVectors, dataset: Dataset, options: ForesightOptions | None = None
    ) -> None:
        super().__init__(vectors, dataset.train_counts, dataset.before("train"), options)
        self.taught: list[Evidence] = []

    def learned(self, knowledge: AcceptanceModel, evidence: Evidence) -> AcceptanceModel:
        self.taught.append(evidence)
        return super().learned(knowledge, evidence)


@pytest.mark.parametrize("users", [{}, {"leaving": 0.1, "after_success": "continue"}])
def test_it_is_taught_every_answer_once_and_nothing_hidden(
    dataset: Dataset, vectors: InterestVectors, users: dict[str, Any]
) -> None:
    """And who came back for the next round."""
    policy = Witness(vectors, dataset)
    with blocks_of(16):
        log = played(policy, dataset, vectors, 2, **users)
    assert len(policy.taught) == 11  # after the last round there is nothing left to learn for
    for number, evidence in enumerate(policy.taught):
        shown = log.is_shown[:, number]
        np.testing.assert_array_equal(evidence.item_idx, log.item_idx[shown, number])
        np.testing.assert_array_equal(evidence.accepted, log.accepted[shown, number])
        assert evidence.stayed is not None
        np.testing.assert_array_equal(evidence.stayed, log.left_after[shown] != number + 1)
    assert log.has_left.any() == bool(users)


def test_looking_ahead_gains_more_and_gets_the_target_accepted(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    logs = {
        depth: played(policy_of(vectors, dataset, ForesightOptions(depth=depth)), dataset, vectors)
        for depth in (1, 2)
    }
    hit = {
        depth: (log.accepted & (log.item_idx == log.target_idx[:, None])).any(1).mean()
        for depth, log in logs.items()
    }
    assert gain(logs[2]) > gain(logs[1])
    assert hit[2] > hit[1]


def test_the_more_an_acceptance_is_worth_the_more_is_accepted(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    shares = [
        played(
            policy_of(vectors, dataset, ForesightOptions(worth=worth)), dataset, vectors
        ).accepted.mean()
        for worth in (ONLY_INTEREST.model_copy(update={"step": x}) for x in (0.0, 0.1, 100.0))
    ]
    assert shares == sorted(shares)
    assert shares[2] > shares[0] + 0.05


def test_it_learns_how_many_leave_after_an_acceptance_and_after_a_refusal(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    """Within four deviations of the true shares, with 100 rounds of the assumed ones beside."""
    true, users = (0.05, 0.3), {"leaving": 0.05, "leaving_refused": 0.3}
    assumed = Worth(leaving=0.1)
    policy = Witness(vectors, dataset, ForesightOptions(worth=assumed))
    log = played(policy, dataset, vectors, after_success="continue", **users)
    knowledge = policy.prior()
    for evidence in policy.taught:
        knowledge = Foresight.learned(policy, knowledge, evidence)
    taught = log.is_shown[:, :11]
    for n, share, found in zip(
        (log.accepted[:, :11].sum(), (taught & ~log.accepted[:, :11]).sum()),
        true,
        knowledge.leaving.tolist(),
        strict=True,
    ):
        assert n > 150
        expected, spread = (10 + share * n) / (100 + n), np.sqrt(n * share * (1 - share))
        assert found == pytest.approx(expected, abs=4 * spread / (100 + n))
    assert knowledge.leaving[0] < 0.1 < 0.2 < knowledge.leaving[1]


def test_what_is_assumed_of_leaving_stays_where_nothing_is_to_be_learned_of_it(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    worth = Worth(leaving=0.1, leaving_refused=0.2, learns_leaving=False)
    policy = planner_of(vectors, dataset, ForesightOptions(worth=worth))
    answers = Evidence(
        torch.full((200,), 30), torch.zeros(200, 1), torch.ones(200).bool(), torch.zeros(200).bool()
    )
    knowledge = policy.learned(policy.prior(), answers)
    assert knowledge.leaving.tolist() == pytest.approx([0.1, 0.2])
    assert knowledge.weights[0] > policy.prior().weights[0]  # acceptance is learned all the same


@pytest.mark.parametrize("learns", [True, False])
def test_learning_mends_a_wrong_prior(
    dataset: Dataset, vectors: InterestVectors, learns: bool
) -> None:
    """Told that almost everything is accepted, it learns how much really is."""
    options = ForesightOptions(learns=learns, prior_chance=0.97, item_shrinkage=None)
    policy = Witness(vectors, dataset, options)
    played(policy, dataset, vectors)
    knowledge, popularity = policy.prior(), policy._popularity
    for evidence in policy.taught[:-1]:
        knowledge = Foresight.learned(policy, knowledge, evidence)
    last = policy.taught[-1]
    logit = knowledge.slope * last.features[:, 0] + knowledge.offsets(popularity)[last.item_idx]
    surprise = float(torch.sigmoid(logit).mean() - last.accepted.float().mean())
    assert (abs(surprise) < 0.12) == learns


def placed(
    policy: Foresight, kept: list[list[int]], known: np.ndarray, rows: torch.Tensor
) -> torch.Tensor:
    """Places before any answer of journeys of users (n_users,) with these histories."""
    begun = journeys_of(torch.full((len(kept),), 50), history=histories_of(kept))
    journeys = begun._replace(users=replace(begun.users, known=known))
    return policy.place(journeys.of(rows))


@pytest.fixture(scope="module")
def aligned(dataset: Dataset, vectors: InterestVectors) -> Foresight:
    """Alignment alone puts a user at the sum of the items; estimates are then exact."""
    known, items = dataset.before("train"), vectors.item_vectors
    users = torch.stack([items[torch.from_numpy(known.of(u))].sum(0) for u in range(N_USERS + 1)])
    return planner_of(InterestVectors(F.normalize(users, dim=1), items), dataset)


def sums(vectors: InterestVectors, kept: list[list[int]]) -> torch.Tensor:
    """Sums of these items, of length 1."""
    return F.normalize(torch.stack([vectors.item_vectors[k].sum(0) for k in kept]), dim=1)


def test_another_history_than_that_of_the_fit_places_a_user_as_a_fit_with_it_would(
    aligned: Foresight, dataset: Dataset, vectors: InterestVectors
) -> None:
    """Items taken out, put in, had twice; users 4 and 9 were known, one of them twice."""
    had = dataset.before("train")
    kept = [
        had.of(4)[2:].tolist(),
        [*had.of(9)[:1], 44, *had.of(9)[3:], 47],
        np.delete(had.of(4), 3).tolist(),
        [*had.of(9), had.of(9)[0]],
    ]
    known, rows = np.array([4, 9, 4, 9]), torch.arange(4)
    expected = sums(vectors, kept)
    found = placed(aligned, kept, known, rows)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    mixed = torch.tensor([2, 1, 0, 2])
    torch.testing.assert_close(placed(aligned, kept, known, mixed), found[mixed], atol=1e-6, rtol=0)


def test_the_history_of_the_fit_in_any_order_gives_the_fitted_place(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    """To the last bit, whatever the vectors: nothing is estimated."""
    had, policy = dataset.before("train"), planner_of(vectors, dataset)
    kept = [had.of(4)[::-1].tolist(), had.of(9).tolist(), had.of(11)[1:].tolist()]
    found = placed(policy, kept, np.array([4, 9, 11]), torch.arange(3))
    start = policy.views.weighted(vectors.user_vectors, policy.knowledge.shares)
    assert torch.equal(found[:2], start[[4, 9]])
    assert not torch.equal(found[2], start[11])


def test_who_came_after_the_fit_stands_at_the_sum_of_the_items(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    policy, kept = planner_of(vectors, dataset), [[3, 7, 12], [20], []]
    found = placed(policy, kept, np.array([-1, -1, -1]), torch.arange(3))
    torch.testing.assert_close(found[:2], sums(vectors, kept[:2]), atol=1e-6, rtol=0)
    assert not found[2].any()  # nothing is known of somebody without items


def test_knowledge_is_prepared_once_and_decides_alone(
    dataset: Dataset, vectors: InterestVectors
) -> None:
    """What a policy knows is in its item table and offsets; another knowledge, another policy."""
    policy, seen = planner_of(vectors, dataset), observed(vectors)
    liked = Evidence(torch.full((200,), 30), torch.zeros(200, 1), torch.ones(200, dtype=torch.bool))
    wiser = policy.knowing(policy.learned(policy.prior(), liked))
    chances = [p.chances(seen)[:, [29, 30]] for p in (policy, wiser)]
    assert (chances[1][:, 1] > chances[0][:, 1] + 0.1).all()
    assert wiser.views is policy.views
    assert torch.equal(policy.chances(seen)[:, [29, 30]], chances[0])
