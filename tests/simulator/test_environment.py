"""Simulated users: their luck, their drift, and who does not move."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.arousal import arousal, kept_share
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError, NotFittedError
from proactrec.ranking import penalties
from proactrec.simulator.dynamics import kept_share_per_user, moved
from proactrec.simulator.environment import Environment
from proactrec.simulator.response import DistributionResponse, Shown
from proactrec.simulator.world import World, WorldOptions

Vectors = tuple[torch.Tensor, torch.Tensor]
TARGETS = np.array([4, 11, 7])
ALWAYS, NEVER = DistributionResponse(1000.0, -5.0), DistributionResponse(1000.0, 5.0)


def world_of(
    dataset: Dataset, vectors: Vectors, response: DistributionResponse | None = None, **options: Any
) -> World:
    seed = options.pop("seed", 0)
    world = World(dataset, *vectors, TARGETS, WorldOptions(**options), seed=seed)
    if response is not None:
        world.response = response
    return world


def begun(world: World, users: list[int], targets: list[int], n_rounds: int = 6) -> Environment:
    environment = Environment(world)
    environment.reset(np.array(users), np.array(targets), n_rounds=n_rounds)
    return environment


def strangers(dataset: Dataset, target: int, n: int = 4) -> list[int]:
    """Users who do not have the target."""
    train = dataset.before("train")
    return [u for u in range(dataset.n_users) if target not in train.of(u)][:n]


def owner(dataset: Dataset, target: int) -> int:
    train = dataset.before("train")
    return next(u for u in range(dataset.n_users) if target in train.of(u))


def test_accepting_moves_by_the_kept_share_at_unit_length() -> None:
    users = torch.tensor([[1.0, 0], [0.6, 0.8], [1, 0]])
    items = torch.tensor([[0.0, 1], [1, 0], [0, 1]])
    found = moved(users, items, torch.tensor([0.8, 0.5, 1.0]))
    expected = [
        [0.8 / math.sqrt(0.68), 0.2 / math.sqrt(0.68)],
        [0.8 / math.sqrt(0.8), 0.4 / math.sqrt(0.8)],
        [1, 0],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_drift_toward_one_item_follows_its_closed_form(dataset: Dataset, vectors: Vectors) -> None:
    """Shown one item for ever, the tangent of the angle to it shrinks as known from geometry."""
    world = world_of(dataset, vectors, ALWAYS)
    user = strangers(dataset, 11)[0]
    environment = begun(world, [user], [11], n_rounds=6)
    u, z = (x.double() for x in (vectors[0][user], vectors[1][2]))
    for _ in range(6):
        environment.step(torch.tensor([2]))
        # Before normalising: 0.8 of the sideways part, 0.8 cos + 0.2 along the item.
        along = u @ z
        u = 0.8 * (u - along * z) + (0.8 * along + 0.2) * z
        u = u / u.norm()
    torch.testing.assert_close(environment.user_vectors[0].double(), u, atol=1e-6, rtol=0)
    assert environment.interest().item() == pytest.approx(
        float(u @ vectors[1][11].double()), abs=1e-6
    )


def test_who_declines_or_is_shown_nothing_does_not_move(dataset: Dataset, vectors: Vectors) -> None:
    users = strangers(dataset, 11, 2)
    for response, item in [(NEVER, 3), (ALWAYS, 0)]:
        environment = begun(world_of(dataset, vectors, response), users, [11, 11])
        before = environment.user_vectors.clone()
        feedback = environment.step(torch.tensor([item, item]))
        assert not feedback.accepted.any()
        assert torch.equal(environment.user_vectors, before)
        assert feedback.accept_prob.isnan().all() == (item == 0)


def test_owners_never_move_but_may_accept(dataset: Dataset, vectors: Vectors) -> None:
    environment = begun(world_of(dataset, vectors, ALWAYS), [owner(dataset, 4)], [4])
    assert environment.is_owner.tolist() == [True]
    before = environment.user_vectors.clone()
    for item in (1, 2, 4):
        assert environment.step(torch.tensor([item])).accepted.all()
    assert torch.equal(environment.user_vectors, before)


def test_success_moves_once_more_and_then_freezes(dataset: Dataset, vectors: Vectors) -> None:
    environment = begun(world_of(dataset, vectors, ALWAYS), strangers(dataset, 11, 1), [11])
    before = environment.interest().item()
    environment.step(torch.tensor([11]))
    at_success, interest = environment.user_vectors.clone(), environment.interest().item()
    assert interest > before
    assert environment.step(torch.tensor([2])).accepted.all()
    assert torch.equal(environment.user_vectors, at_success)


def test_after_success_users_go_on_being_moved_where_the_world_lets_them(
    dataset: Dataset, vectors: Vectors
) -> None:
    world = world_of(dataset, vectors, ALWAYS, after_success="continue")
    user = strangers(dataset, 11, 1)
    environment, expected = begun(world, user, [11]), vectors[0][user]
    for item in (11, 2, 5):
        assert environment.step(torch.tensor([item])).accepted.all()
        expected = moved(expected, vectors[1][[item]], torch.tensor([0.8]))
    torch.testing.assert_close(environment.user_vectors, expected)
    assert not environment.is_frozen.any()


def test_declined_target_freezes_nobody(dataset: Dataset, vectors: Vectors) -> None:
    world = world_of(dataset, vectors, NEVER)
    environment = begun(world, strangers(dataset, 11, 1), [11])
    environment.step(torch.tensor([11]))
    assert not environment.is_frozen.any()


def test_what_users_own_is_hidden_of_the_rows_there_are_now(
    dataset: Dataset, vectors: Vectors
) -> None:
    environment = begun(world_of(dataset, vectors), [3, 5, 3], [4, 4, 11])
    environment.restart(torch.tensor([2]), np.array([7]), np.array([4]), np.array([1]))
    expected = penalties(dataset.before("train"), np.array([3, 5, 7]), 21, torch.device("cpu"))
    assert torch.equal(environment.owned_penalty(torch.arange(3)), expected)
    kept = [value for value in vars(environment).values() if isinstance(value, torch.Tensor)]
    assert all(21 not in value.shape for value in kept)  # nothing of users times items


def test_rank_counts_items_outside_the_train_history(dataset: Dataset, vectors: Vectors) -> None:
    users = strangers(dataset, 11)
    environment = begun(world_of(dataset, vectors), users, [11] * 4)
    found = environment.rank(torch.tensor([3, 0]))
    train = dataset.before("train")
    for place, user in zip(found.tolist(), (users[3], users[0]), strict=True):
        scores = vectors[1] @ vectors[0][user]
        others = set(range(1, 21)) - set(train.of(user).tolist()) - {11}
        assert place == sum(bool(scores[i] > scores[11]) for i in others)


def test_acceptance_is_as_frequent_as_probable(dataset: Dataset, vectors: Vectors) -> None:
    world = world_of(dataset, vectors, DistributionResponse(0.0, 0.0), kept_share=1.0)
    users = np.repeat(strangers(dataset, 11, 20), 1)
    environment = begun(world, users.tolist(), [11] * 20, n_rounds=400)
    accepted = torch.stack([environment.step(torch.full((20,), 2)).accepted for _ in range(400)])
    n = accepted.numel()
    assert accepted.double().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(n))


def test_kept_share_per_user_is_drawn_around_its_mean() -> None:
    drawn = kept_share_per_user(20_000, mean=0.8, seed=1)
    # Beta(16, 4): variance 0.8 · 0.2 / 21.
    deviation = math.sqrt(0.16 / 21)
    assert drawn.mean().item() == pytest.approx(0.8, abs=4 * deviation / math.sqrt(20_000))
    assert drawn.std().item() == pytest.approx(deviation, rel=0.03)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert torch.equal(drawn, kept_share_per_user(20_000, mean=0.8, seed=1))
    assert not torch.equal(drawn, kept_share_per_user(20_000, mean=0.8, seed=2))


def test_users_move_by_their_own_share(dataset: Dataset, vectors: Vectors) -> None:
    world = world_of(dataset, vectors, ALWAYS, receptivity="per-user", seed=3)
    shares = kept_share_per_user(dataset.n_users, mean=0.8, seed=3)
    users = strangers(dataset, 11)
    environment = begun(world, users, [11] * 4)
    environment.step(torch.full((4,), 2))
    expected = moved(vectors[0][users], vectors[1][[2] * 4], shares[users])
    torch.testing.assert_close(environment.user_vectors, expected)


def test_arousal_moves_whose_favourites_are_near_the_target(
    dataset: Dataset, vectors: Vectors
) -> None:
    world = world_of(dataset, vectors, ALWAYS, receptivity="arousal", n_curious=1)
    users = strangers(dataset, 11, 12)
    environment = begun(world, users, [11] * 12)
    start = vectors[0][users]
    penalty = penalties(dataset.before("train"), np.array(users), 21, torch.device("cpu"))
    share = kept_share(
        arousal(start, vectors[1], penalty, torch.full((12,), 11), n_curious=1),
        form="one_minus",
        floor=0.2,
    )
    assert share.unique().numel() > 1
    environment.step(torch.full((12,), 2))
    torch.testing.assert_close(environment.user_vectors, moved(start, vectors[1][[2] * 12], share))


def test_policy_share_is_asked_for_those_who_move_and_only_where_allowed(
    dataset: Dataset, vectors: Vectors
) -> None:
    asked: list[list[int]] = []

    def share(rows: torch.Tensor) -> torch.Tensor:
        asked.append(rows.tolist())
        return torch.full((len(rows),), 0.3)

    users = [*strangers(dataset, 4, 2), owner(dataset, 4)]
    for receptivity, kept in [("policy", 0.3), ("constant", 0.8)]:
        environment = begun(
            world_of(dataset, vectors, ALWAYS, receptivity=receptivity), users, [4] * 3
        )
        environment.step(torch.tensor([2, 0, 2]), share)
        expected = vectors[0][users].clone()
        expected[:1] = moved(expected[:1], vectors[1][[2]], torch.tensor([kept]))
        torch.testing.assert_close(environment.user_vectors, expected)
    assert asked == [[0]]
    silent = begun(world_of(dataset, vectors, ALWAYS, receptivity="policy"), users, [4] * 3)
    silent.step(torch.tensor([2, 0, 2]))  # a policy without a say: the constant share
    torch.testing.assert_close(silent.user_vectors, expected)


def test_reset_begins_again(dataset: Dataset, vectors: Vectors) -> None:
    world = world_of(dataset, vectors)
    users = strangers(dataset, 11)
    environment = begun(world, users, [11] * 4)
    runs = []
    for _ in range(2):
        environment.reset(np.array(users), np.full(4, 11), n_rounds=6)
        steps = [environment.step(torch.full((4,), item)).accepted for item in (1, 2, 11, 3)]
        runs.append((torch.stack(steps), environment.user_vectors))
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])
    assert torch.equal(world.user_vectors, vectors[0])  # the world itself never changes


def test_misuse_is_refused(dataset: Dataset, vectors: Vectors) -> None:
    world = world_of(dataset, vectors)
    with pytest.raises(NotFittedError, match=re.escape("the environment must be reset before")):
        Environment(world).interest()
    wanted = "user_idx and target_idx must match, got 2 and 1"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        begun(world, [1, 2], [4])
    with pytest.raises(InvalidInputError, match=re.escape("WorldOptions.kept_share")):
        WorldOptions(kept_share=1.5)


class Scripted:
    """A click model that likes even items, hates odd ones, and has nothing to say of item 6."""

    def __init__(self) -> None:
        self.asked: list[Shown] = []

    def respond(self, shown: Shown) -> torch.Tensor:
        self.asked.append(shown)
        prob = (shown.item_idx % 2 == 0).double()
        return prob.masked_fill(shown.item_idx == 6, torch.nan)

    def describe(self) -> dict[str, Any]:
        return {"name": "scripted"}

    def close(self) -> None:
        self.asked.clear()


def test_another_click_model_sees_what_was_accepted_and_may_have_no_answer(
    dataset: Dataset, vectors: Vectors
) -> None:
    response, users = Scripted(), strangers(dataset, 4, n=2)
    world = World(dataset, *vectors, TARGETS, response=response)
    environment = begun(world, users, [4, 4])
    start = [dataset.before("train").of(user)[-20:].tolist() for user in users]
    feedback = [
        environment.step(torch.tensor(items)) for items in ([2, 3], [6, 8], [0, 10], [12, 1])
    ]
    assert [f.accepted.tolist() for f in feedback] == [
        [True, False],
        [False, True],  # no answer is a refusal
        [False, True],
        [True, False],
    ]
    assert feedback[1].accept_prob.isnan().tolist() == [True, False]
    assert feedback[2].accept_prob.isnan().tolist() == [True, False]  # nothing was shown
    asked = response.asked[-1]
    assert asked.user_idx.tolist() == users
    seen = [[item for item in row if item] for row in asked.recent.tolist()]
    assert seen == [[*start[0], 2][-20:], [*start[1], 8, 10][-20:]]


def test_oracles_know_no_other_click_model(dataset: Dataset, vectors: Vectors) -> None:
    world = World(dataset, *vectors, TARGETS, response=Scripted())
    environment = begun(world, strangers(dataset, 4, n=2), [4, 4])
    with pytest.raises(InvalidInputError, match="oracles know only"):
        environment.minds().outlook()


def test_who_skips_too_much_in_a_row_leaves_and_is_shown_nothing(
    dataset: Dataset, vectors: Vectors
) -> None:
    world = World(
        dataset, *vectors, TARGETS, WorldOptions(patience=2), response=Scripted()
    )  # likes even items
    environment = begun(world, strangers(dataset, 11, 3), [11] * 3, n_rounds=9)
    plan = [[3, 3, 3], [2, 5, 0], [5, 2, 0], [7, 2, 5], [8, 5, 2]]
    left = []
    for items in plan:
        before = environment.user_vectors.clone()
        feedback = environment.step(torch.tensor(items))
        left.append(environment.has_left.tolist())
    assert left == [
        [False] * 3,
        [False, True, False],  # an acceptance begins the count anew
        [False, True, False],  # nothing shown is nothing skipped
        [True, True, True],
        [True, True, True],
    ]
    assert feedback.item_idx.tolist() == [0, 0, 0]
    assert feedback.accept_prob.isnan().all()
    assert torch.equal(environment.user_vectors, before)


def test_oracles_know_who_would_leave(dataset: Dataset, vectors: Vectors) -> None:
    for patience, expected in [(None, False), (1, True), (2, True), (3, False)]:
        world = world_of(dataset, vectors, NEVER, patience=patience)
        environment = begun(world, strangers(dataset, 11, 1), [11])
        if patience != 1:
            environment.step(torch.tensor([3]))
        assert environment.minds().leaves.tolist() == [expected]
        after = environment.minds().accepting(torch.tensor([2])).leaves.tolist()
        assert after == [patience == 1]


def test_of_a_slate_the_first_accepted_item_is_taken(dataset: Dataset, vectors: Vectors) -> None:
    world = World(dataset, *vectors, TARGETS, WorldOptions(n_slots=3), response=Scripted())
    environment = begun(world, strangers(dataset, 11, 4), [11] * 4)
    start = environment.user_vectors.clone()
    slates = torch.tensor([[3, 8, 2], [4, 2, 8], [5, 3, 7], [0, 0, 0]])
    feedback = environment.step(slates)
    assert feedback.item_idx.tolist() == [8, 4, 5, 0]  # none taken: the first; none shown: none
    assert feedback.slot.tolist() == [1, 0, 0, 0]
    assert feedback.accepted.tolist() == [True, True, False, False]
    assert feedback.accept_prob[:3].tolist() == [1, 1, 0]
    assert feedback.accept_prob[3].isnan()
    expected = start.clone()
    expected[:2] = moved(start[:2], vectors[1][[8, 4]], torch.full((2,), 0.8))
    torch.testing.assert_close(environment.user_vectors, expected)
    with pytest.raises(InvalidInputError, match="item_idx must name 3 items a user, got 1"):
        environment.step(torch.tensor([1, 2, 3, 4]))
    with pytest.raises(InvalidInputError, match="n_slots must be 1 where random_numbers is shared"):
        WorldOptions(n_slots=2, random_numbers="shared_stream")


def test_later_slots_are_looked_at_less_and_have_luck_of_their_own(
    dataset: Dataset, vectors: Vectors
) -> None:
    options: dict[str, Any] = {"n_slots": 3, "position_decay": 0.6, "kept_share": 1.0}
    world = world_of(dataset, vectors, DistributionResponse(0.0, 0.0), **options)
    environment = begun(world, strangers(dataset, 11, 20), [11] * 20, n_rounds=500)
    slate = torch.tensor([2, 3, 5]).repeat(20, 1)
    told = [environment.step(slate) for _ in range(500)]
    taken = torch.stack([f.slot + 1 - (~f.accepted) * (f.slot + 1) for f in told])  # 0: none
    chances = [0.5, 0.5 * 0.5 * 0.6, 0.5 * (1 - 0.5 * 0.6) * 0.5 * 0.36]
    for slot, chance in enumerate(chances, start=1):
        deviation = math.sqrt(chance * (1 - chance) / taken.numel())
        share = (taken == slot).double().mean().item()
        assert share == pytest.approx(chance, abs=4 * deviation)
    assert told[0].accept_prob.tolist() == pytest.approx([sum(chances)] * 20)


def test_one_slot_of_a_slate_is_a_round_without_slates(dataset: Dataset, vectors: Vectors) -> None:
    users = strangers(dataset, 11, 6)
    one, three = (begun(world_of(dataset, vectors, n_slots=n), users, [11] * 6) for n in (1, 3))
    for item in (2, 3, 5, 11):
        items = torch.full((6,), item)
        first, other = one.step(items), three.step(F.pad(items[:, None], (0, 2)))
        assert torch.equal(first.accepted, other.accepted)
        torch.testing.assert_close(first.accept_prob, other.accept_prob)
    assert torch.equal(one.user_vectors, three.user_vectors)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 3, "boredom": 1.0},
        {"leaving": 0.3, "leaving_refused": 0.1, "frailty": 1.0, "after_success": "continue"},
    ],
)
def test_rows_begin_anew_while_others_go_on(
    dataset: Dataset, vectors: Vectors, options: dict[str, Any]
) -> None:
    users = strangers(dataset, 11, 4)
    world = world_of(dataset, vectors, **options)
    mixed = begun(world, users, [11] * 4)
    for item in (2, 3):
        mixed.step(torch.full((4,), item))
    others = np.array(strangers(dataset, 4, 9)[-2:])
    mixed.restart(torch.tensor([1, 3]), others, np.array([4, 4]), np.array([5, 6]))
    fresh = Environment(world)
    fresh.reset(others, np.array([4, 4]), n_rounds=6, seeds=np.array([5, 6]))
    alone = begun(world, users, [11] * 4)
    for item in (2, 3):
        alone.step(torch.full((4,), item))
    for item in (5, 6, 1):
        told = mixed.step(torch.full((4,), item))
        ones, twos = alone.step(torch.full((4,), item)), fresh.step(torch.full((2,), item))
        for found, old, new in zip(told, ones, twos, strict=True):
            np.testing.assert_array_equal(found[[0, 2]], old[[0, 2]])
            np.testing.assert_array_equal(found[[1, 3]], new)
    assert torch.equal(mixed.user_vectors[[0, 2]], alone.user_vectors[[0, 2]])
    assert torch.equal(mixed.user_vectors[[1, 3]], fresh.user_vectors)
    assert torch.equal(mixed.has_left[[1, 3]], fresh.has_left)
    assert torch.equal(mixed.has_left[[0, 2]], alone.has_left[[0, 2]])
    assert torch.equal(mixed.minds().leaving[[1, 3]], fresh.minds().leaving)
