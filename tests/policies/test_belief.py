"""Belief and acceptance model against computations of their own."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.journeys import UNKNOWN, Journeys
from proactrec.policies.base import Evidence
from proactrec.policies.belief import AcceptanceModel, moved_by_answers
from proactrec.simulator.dynamics import moved

from .conftest import journeys_of

N_ITEMS = 40


def model(shrinkage: float = float("inf")) -> AcceptanceModel:
    return AcceptanceModel.before_answers(
        N_ITEMS + 1,
        slopes=[4.0],
        deviations=[4.0],
        prior_chance=0.27,
        strength=4.0,
        shrinkage=shrinkage,
    )


def answers(
    n: int, weights: tuple[float, float, float], seed: int = 0, effect: float = 0.0
) -> tuple[Evidence, torch.Tensor]:
    """Answers of users whose chance has these weights; item 7 has an effect of its own."""
    rng = torch.Generator().manual_seed(seed)
    popularity = torch.randn(N_ITEMS + 1, generator=torch.Generator().manual_seed(99))
    items = torch.randint(1, N_ITEMS + 1, (n,), generator=rng)
    interest = 0.25 * torch.randn(n, 1, generator=rng)
    logit = weights[0] + weights[1] * interest[:, 0] + weights[2] * popularity[items]
    chance = torch.sigmoid(logit + effect * (items == 7))
    accepted = torch.rand(n, generator=rng) < chance
    return Evidence(items, interest, accepted), popularity


def test_prior_says_what_it_was_told() -> None:
    prior = model()
    assert prior.slope == 4.0
    offsets = prior.offsets(torch.zeros(N_ITEMS + 1))
    torch.testing.assert_close(torch.sigmoid(offsets), torch.full((N_ITEMS + 1,), 0.27))


def test_optimism_raises_what_little_is_known_of() -> None:
    evidence, popularity = answers(4000, (-0.5, 2.5, 0.0))
    often = Evidence(*(part[evidence.item_idx <= 20] for part in evidence[:3]))
    knowledge = model(shrinkage=20.0).learned(often, popularity)
    raised = knowledge.offsets(popularity, optimism=2.0) - knowledge.offsets(popularity)
    torch.testing.assert_close(raised[21:], torch.full((20,), 2 / 20**0.5))
    assert (raised[1:21] > 0).all()
    assert (raised[1:21] < 0.8 * raised[21]).all()
    assert (model().offsets(popularity, 2.0) == model().offsets(popularity)).all()


def test_weights_are_found_from_many_answers_in_rounds() -> None:
    knowledge = model()
    for seed in range(5):
        evidence, popularity = answers(8000, (-0.5, 2.5, 0.8), seed)
        knowledge = knowledge.learned(evidence, popularity)
    found = knowledge.weights.tolist()
    assert found == pytest.approx([-0.5, 2.5, 0.8], abs=0.12)
    spread = knowledge.precision.inverse().diag().sqrt()
    assert spread.max() < 0.1


def test_one_round_is_the_mode_of_the_posterior() -> None:
    """Against plain gradient descent on the same objective."""
    evidence, popularity = answers(300, (-1.0, 1.0, 0.0))
    found = model().learned(evidence, popularity)
    rows = torch.stack(
        [torch.ones(300), evidence.features[:, 0], popularity[evidence.item_idx]], 1
    ).double()
    prior = model().weights
    weights = prior.clone().requires_grad_()
    descent = torch.optim.LBFGS([weights], max_iter=200, tolerance_grad=1e-12)

    def objective() -> torch.Tensor:
        descent.zero_grad()
        away = weights - prior
        loss = F.binary_cross_entropy_with_logits(
            rows @ weights, evidence.accepted.double(), reduction="sum"
        )
        loss = loss + 0.5 * away @ model().precision @ away
        loss.backward()
        return loss

    descent.step(objective)
    torch.testing.assert_close(found.weights, weights.detach(), atol=1e-5, rtol=1e-5)


def test_who_came_back_is_counted_by_answer_beside_what_was_assumed() -> None:
    """100 rounds of each answer are assumed, of which 5 and 20 end."""
    prior = AcceptanceModel.before_answers(
        3,
        slopes=[4.0],
        deviations=[4.0],
        prior_chance=0.27,
        strength=4.0,
        shrinkage=20.0,
        leaving=(0.05, 0.2),
    )
    assert prior.leaving.tolist() == pytest.approx([0.05, 0.2])
    accepted = torch.tensor([True] * 60 + [False] * 300)
    stayed = torch.tensor([False] * 3 + [True] * 57 + [False] * 100 + [True] * 200)
    items, features = torch.ones(360, dtype=torch.int64), torch.zeros(360, 1)
    unseen = Evidence(items, features, accepted)
    assert prior.seen_again(unseen) is prior
    found = prior.seen_again(unseen._replace(stayed=stayed))
    assert found.leaving.tolist() == pytest.approx([8 / 160, 120 / 400])
    again = found.seen_again(unseen._replace(stayed=torch.ones_like(stayed)))
    assert again.leaving.tolist() == pytest.approx([8 / 220, 120 / 700])


def test_nothing_shown_teaches_nothing() -> None:
    none = Evidence(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 1), torch.zeros(0).bool())
    after = model(20.0).learned(none, torch.zeros(N_ITEMS + 1))
    torch.testing.assert_close(after.weights, model().weights)
    assert not after.surplus.any()


def test_slopes_find_the_view_that_users_go_by() -> None:
    """Two views alike at the start; only the second decides."""
    rng = torch.Generator().manual_seed(11)
    items = torch.randint(1, N_ITEMS + 1, (4000,), generator=rng)
    interest = 0.25 * torch.randn(4000, 2, generator=rng)
    accepted = torch.rand(4000, generator=rng) < torch.sigmoid(4 * interest[:, 1] - 0.5)
    prior = AcceptanceModel.before_answers(
        N_ITEMS + 1,
        slopes=[2.0, 2.0],
        deviations=[4.0, 4.0],
        prior_chance=0.27,
        strength=4.0,
        shrinkage=20.0,
    )
    assert prior.slope == 4.0
    assert prior.shares.tolist() == [0.5, 0.5]
    found = prior.learned(Evidence(items, interest, accepted), torch.zeros(N_ITEMS + 1))
    assert found.weights[2] == pytest.approx(4, abs=0.5)
    assert 0 < found.shares[0] < 0.15
    assert found.shares.sum() == pytest.approx(1)


def test_interest_never_repels_however_bad_the_vectors() -> None:
    evidence, popularity = answers(5000, (0.0, -3.0, 0.0))
    assert model().learned(evidence, popularity).slope == pytest.approx(0.4)


def test_items_that_are_liked_more_than_foreseen_get_an_effect() -> None:
    evidence, popularity = answers(20_000, (-0.5, 2.0, 0.0), effect=2.0)
    for shrinkage, is_found in ((20.0, True), (float("inf"), False)):
        knowledge = model(shrinkage).learned(evidence, popularity)
        effects = knowledge.offsets(torch.zeros(N_ITEMS + 1)) - float(knowledge.weights[0])
        assert (int(effects.argmax()) == 7 and effects[7] > 1) == is_found
        assert effects[1:7].abs().max() < 0.4


ITEMS = F.normalize(torch.randn(9, 5, generator=torch.Generator().manual_seed(1)), dim=1)
ITEMS[0] = 0
START = F.normalize(torch.randn(3, 5, generator=torch.Generator().manual_seed(2)), dim=1)


def told(shown: list[list[int]], accepted: list[list[int]]) -> Journeys:
    """Journeys whose users were shown these items; 1: accepted, 0: refused, -1: not known yet."""
    n, n_rounds = len(shown), len(shown[0])
    begun = journeys_of(torch.ones(n, dtype=torch.int64), n_rounds=n_rounds)
    items, answer = torch.tensor(shown), torch.tensor(accepted, dtype=torch.int8)
    answer = answer.masked_fill(items == 0, UNKNOWN)
    return begun._replace(shown=items, answer=answer, round=begun.round + n_rounds)


def believed(journeys: Journeys, variance: float) -> torch.Tensor:
    return moved_by_answers(
        START, ITEMS, journeys, 4.0, torch.full((9,), -1.0), kept_share=0.8, variance=variance
    )


def test_without_surprise_only_accepted_items_move_as_in_the_simulator() -> None:
    journeys = told([[1, 2], [3, 4], [5, 0]], [[1, 0], [1, 1], [0, 0]])
    share = torch.tensor([0.8])
    expected = torch.stack(
        [
            moved(START[:1], ITEMS[1:2], share)[0],
            moved(moved(START[1:2], ITEMS[3:4], share), ITEMS[4:5], share)[0],
            START[2],
        ]
    )
    torch.testing.assert_close(believed(journeys, 0.0), expected)


def test_a_refusal_leads_away_and_an_acceptance_nearer_than_it_moves() -> None:
    refused, accepted = told([[1], [2], [3]], [[0]] * 3), told([[1], [2], [3]], [[1]] * 3)
    shown = ITEMS[1:4]
    nearness = {
        (name, variance): (believed(journeys, variance) * shown).sum(1)
        for name, journeys in (("refused", refused), ("accepted", accepted))
        for variance in (0.0, 0.05)
    }
    assert (nearness["refused", 0.05] < nearness["refused", 0.0]).all()
    assert (nearness["accepted", 0.05] > nearness["accepted", 0.0]).all()


def test_surprise_is_the_kalman_step_of_the_equation() -> None:
    journeys = told([[1], [2], [3]], [[0]] * 3)
    v, a = 0.05, 4.0
    for row in range(3):
        m, e = START[row].numpy().astype(np.float64), ITEMS[row + 1].numpy().astype(np.float64)
        p = 1 / (1 + np.exp(-(a * m @ e - 1.0)))
        m = m - v * a * p / (1 + v * a**2 * p * (1 - p)) * e
        np.testing.assert_allclose(believed(journeys, v)[row], m / np.linalg.norm(m), atol=1e-6)


def test_an_answer_that_is_not_known_yet_moves_nobody_until_it_comes() -> None:
    """Then it counts in its round's place: as if it had been there from the start."""
    shown = [[1, 2], [3, 4], [5, 6]]
    pending = believed(told(shown, [[-1, 1], [0, -1], [-1, -1]]), 0.05)
    without = believed(told([[0, 2], [3, 0], [0, 0]], [[0, 1], [0, 0], [0, 0]]), 0.05)
    assert torch.equal(pending, without)
    assert torch.equal(pending[2], START[2])
    complete = believed(told(shown, [[0, 1], [0, 1], [1, 0]]), 0.05)
    assert (complete - pending).abs().max(1).values.min() > 1e-3


def test_journeys_in_a_mix_of_rounds_move_as_each_alone() -> None:
    answers = [[0, 1, 1], [1, 0, 1], [0, 0, 1]]
    whole = told([[1, 2, 3], [4, 5, 6], [7, 8, 1]], answers)
    mixed = believed(whole.before(torch.tensor([2, 4, 1])), 0.05)
    for row, number in enumerate((2, 4, 1)):
        assert torch.equal(mixed[row], believed(whole.before(number), 0.05)[row])
    assert torch.equal(mixed[2], START[2])


def test_strengths_outside_of_their_bounds_stand_there_and_the_rest_is_likeliest_beside() -> None:
    """Against a search among weights within the bounds, by projected descent."""
    rng = torch.Generator().manual_seed(7)
    root = torch.randn(6, 6, generator=rng, dtype=torch.float64)
    found = AcceptanceModel.before_answers(
        3,
        slopes=[4.0],
        deviations=[1.0],
        prior_chance=0.3,
        strength=4.0,
        shrinkage=20.0,
        laws=[(0.0, 1.0)] * 3,
    )._replace(precision=root @ root.T + torch.eye(6))
    away = torch.tensor([0, 0, 0, -0.4, 0.6, 0.05], dtype=torch.float64)
    given = found._replace(weights=found.weights + away)
    least, most = [0.0, -0.2, 0.0], [0.5, 0.2, 0.5]
    weights = given.weights.clone()
    for _ in range(3000):
        weights -= 0.02 * given.precision @ (weights - given.weights)
        weights[3:] = weights[3:].clamp(torch.tensor(least), torch.tensor(most))
    torch.testing.assert_close(given.within(least, most).weights, weights, atol=1e-6, rtol=0)
    assert found.within(least, most) is found
