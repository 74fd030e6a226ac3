"""IRN as a policy: where users stand, when that is renewed, and what it shows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from proactrec.irn.network import IRN, IRNOptions
from proactrec.journeys import Journeys
from proactrec.policies import base
from proactrec.policies.base import Candidates, View
from proactrec.policies.irn import IRNPolicy, IRNPolicyOptions
from proactrec.testing.toys import dataset_of, histories_of, toy

from .conftest import journeys_of, view_of

N_ITEMS, N_USERS, N_ROUNDS = 30, 6, 8
SMALL = IRNOptions(
    embedding_dim=8,
    user_dim=4,
    inner_dim=16,
    max_seq_len=6,
    min_piece_len=3,
    item_start="random",
    stopping={"n_epochs": 1},
)
# User u knows items 1 … 5 + u; the model reads the newest five.
KNOWN = histories_of([range(1, 6 + user) for user in range(N_USERS)])
USERS, TARGETS = torch.arange(N_USERS), torch.tensor([30, 30, 30, 20, 20, 20])


@pytest.fixture(scope="module")
def model() -> IRN:
    made = IRN(N_ITEMS, N_USERS, SMALL)
    made.start(0)
    return made.eval()


@pytest.fixture
def item_seq() -> torch.Tensor:
    return torch.from_numpy(KNOWN.padded(5))


def policy_of(model: IRN, mode: str) -> IRNPolicy:
    return IRNPolicy(model, IRNPolicyOptions(mode=mode, n_rounds=N_ROUNDS, model=SMALL))


def begun(targets: torch.Tensor = TARGETS, number: int = 1) -> Journeys:
    return journeys_of(targets, number, n_rounds=N_ROUNDS, history=KNOWN)


def view_at(places: torch.Tensor, penalty: torch.Tensor, number: int) -> View:
    journeys = begun(number=number)
    return View(journeys, places, Candidates(penalty), journeys.rounds_left)


def allowed() -> torch.Tensor:
    penalty = torch.zeros(N_USERS, N_ITEMS + 1)
    for user in range(N_USERS):
        penalty[user, : 6 + user] = -torch.inf
    return penalty


def test_replanning_shows_the_best_allowed_item(model: IRN, item_seq: torch.Tensor) -> None:
    policy = policy_of(model, "replan")
    assert (policy.renewed_by, policy.knows_target) == ("acceptance", True)
    places = policy.place(begun())
    assert places.shape == (N_USERS, 8)
    assert (places[0] - policy.place(begun(TARGETS.flip(0)))[0]).abs().max() > 1e-3
    penalty = allowed()
    penalty[-1] = -torch.inf
    found = policy.decide(view_at(places, penalty, 3))
    states = model(item_seq, USERS, TARGETS)[:, -1]
    logits = (states @ model.output.weight.T + model.output.bias).detach()
    for row in range(N_USERS - 1):
        choice = max(range(6 + row, N_ITEMS + 1), key=lambda i, row=row: float(logits[row, i]))
        assert found.item_idx[row] == choice
        assert found.score[row] == pytest.approx(float(logits[row, choice]), abs=1e-5)
    assert found.item_idx[-1] == 0


def test_planned_paths_repeat_nothing_that_the_user_knows(
    model: IRN, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of(model, "plan_once")
    assert (policy.renewed_by, policy.knows_target) == ("never", True)
    paths = policy.place(begun())
    assert paths.shape == (N_USERS, N_ROUNDS)
    assert paths.is_floating_point()
    for user in range(N_USERS):
        items = paths[user].long().tolist()
        assert len(set(items)) == N_ROUNDS
        assert min(items) > 5 + user  # also of what is too old to be read
    monkeypatch.setattr(base, "PLANNED_ROWS", 4)
    assert torch.equal(policy.place(begun()), paths)


def test_planned_path_is_shown_whatever_is_accepted(model: IRN) -> None:
    """The plan of later rounds, made again from the journeys, is that of the first."""
    policy, penalty, journeys = policy_of(model, "plan_once"), allowed(), begun()
    paths = policy.place(journeys)
    for number in range(1, N_ROUNDS + 1):
        found = policy.decide(view_at(paths, penalty, number))
        assert torch.equal(found.item_idx, paths[:, number - 1].long())
        penalty.scatter_(1, found.item_idx[:, None], -torch.inf)
        journeys = journeys.after(found.item_idx, number % 2 == USERS % 2, USERS >= 0)
        assert torch.equal(policy.place(journeys), paths)


@pytest.mark.parametrize(
    ("number", "hidden", "expected"),
    [
        (1, [], 7),
        (3, [], 9),
        (2, [8], 9),  # the next of the path that may be shown
        (3, [9], 7),  # after the end its beginning
        (4, [], 7),
        (5, [], 8),
        (2, [8, 9], 7),
        (1, [7, 8, 9], 0),
    ],
)
def test_planned_item_that_may_not_be_shown_gives_way(
    model: IRN, number: int, hidden: list[int], expected: int
) -> None:
    penalty = torch.zeros(1, N_ITEMS + 1)
    penalty[0, [0, *hidden]] = -torch.inf
    seen = view_of(torch.tensor([[7.0, 8, 9]]), TARGETS[:1], penalty, number)
    found = policy_of(model, "plan_once").decide(seen)
    assert found.item_idx.tolist() == [expected]
    assert found.score.tolist() == [0 if expected else -torch.inf]


def test_path_that_ran_out_of_items_shows_nothing(model: IRN) -> None:
    penalty = torch.zeros(1, N_ITEMS + 1)
    penalty[0, [0, 7]] = -torch.inf
    seen = view_of(torch.tensor([[7.0, 0, 0]]), TARGETS[:1], penalty, 2)
    assert policy_of(model, "plan_once").decide(seen).item_idx.tolist() == [0]


@pytest.mark.parametrize("mode", ["replan", "plan_once"])
def test_batch_is_one_by_one_in_any_order(model: IRN, mode: str) -> None:
    policy, penalty = policy_of(model, mode), allowed()

    def shown(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = policy.place(begun(number=2).of(rows))
        return policy.decide(view_at(policy.place(begun()), penalty, 2).of(rows)).item_idx, places

    (together, places), order = shown(USERS), torch.tensor([3, 1, 5, 0, 2, 4])
    assert torch.equal(shown(order)[0], together[order])
    torch.testing.assert_close(shown(order)[1], places[order])
    alone = [shown(USERS[[row]]) for row in range(N_USERS)]
    assert torch.equal(torch.cat([items for items, _ in alone]), together)
    torch.testing.assert_close(torch.cat([place for _, place in alone]), places)


@pytest.mark.parametrize("mode", ["replan", "plan_once"])
def test_who_came_after_the_fit_is_the_last_user_of_the_model(model: IRN, mode: str) -> None:
    policy, journeys = policy_of(model, mode), begun()
    strangers = replace(journeys.users, known=np.full(N_USERS, -1))
    last = replace(journeys.users, known=np.full(N_USERS, N_USERS - 1))
    found, expected = (policy.place(journeys._replace(users=u)) for u in (strangers, last))
    assert torch.equal(found, expected)
    if mode == "replan":  # a path of so few items is hardly the user's own
        assert not torch.equal(found, policy.place(journeys))


def test_built_policy_trains_once_and_has_a_user_for_strangers(tmp_path: Path) -> None:
    dataset = dataset_of([range(1, 13)] * N_USERS)
    given = toy()._replace(dataset=dataset).ingredients(tmp_path, mode="replan", model=SMALL)
    policy = IRNPolicy.build(given)
    (folder,) = tmp_path.iterdir()
    written = (folder / "checkpoint.safetensors").stat().st_mtime_ns
    again = IRNPolicy.build(given)
    assert [folder] == list(tmp_path.iterdir())
    assert (folder / "checkpoint.safetensors").stat().st_mtime_ns == written
    assert policy.model.options == SMALL
    assert (policy.model.n_users, policy.model.n_items) == (N_USERS + 1, 12)
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name])
