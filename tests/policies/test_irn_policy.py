"""IRN as a policy: what it encodes, when, and what it shows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset, Histories
from proactrec.data.interactions import Interactions
from proactrec.irn.network import IRN, IRNOptions
from proactrec.policies import irn as irn_module
from proactrec.policies.base import Observation, Past
from proactrec.policies.irn import IRNPolicy, IRNPolicyOptions
from proactrec.progress import silent

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
KNOWN = Histories(
    np.cumsum([0, *range(5, 5 + N_USERS)]),
    np.concatenate([np.arange(1, 6 + user) for user in range(N_USERS)]),
)
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
    return IRNPolicy(model, KNOWN, IRNPolicyOptions(mode=mode, n_rounds=N_ROUNDS, model=SMALL))


def past(item_seq: torch.Tensor, users: torch.Tensor, targets: torch.Tensor) -> Past:
    shown = torch.zeros(len(users), N_ROUNDS, dtype=torch.int64)
    return Past(item_seq, users, targets, shown, shown.bool(), 1)


def allowed() -> torch.Tensor:
    penalty = torch.zeros(N_USERS, N_ITEMS + 1)
    for user in range(N_USERS):
        penalty[user, : 6 + user] = -torch.inf
    return penalty


def test_replanning_shows_the_best_allowed_item(model: IRN, item_seq: torch.Tensor) -> None:
    policy = policy_of(model, "replan")
    assert (policy.encodes, policy.history_length) == ("pair", 5)
    encoded = policy.encode(past(item_seq, USERS, TARGETS))
    assert encoded.shape == (N_USERS, 8)
    assert (
        encoded[0] - policy.encode(past(item_seq, USERS, TARGETS.flip(0)))[0]
    ).abs().max() > 1e-3
    penalty = allowed()
    penalty[-1] = -torch.inf
    found = policy.decide(Observation(USERS, TARGETS, encoded, penalty, 3))
    states = model(item_seq, USERS, TARGETS)[:, -1]
    logits = (states @ model.output.weight.T + model.output.bias).detach()
    for row in range(N_USERS - 1):
        choice = max(range(6 + row, N_ITEMS + 1), key=lambda i, row=row: float(logits[row, i]))
        assert found.item_idx[row] == choice
        assert found.score[row] == pytest.approx(float(logits[row, choice]), abs=1e-5)
    assert found.item_idx[-1] == 0


def test_planned_paths_repeat_nothing_that_the_user_knows(
    model: IRN, item_seq: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of(model, "plan_once")
    assert policy.encodes == "once"
    paths = policy.encode(past(item_seq, USERS, TARGETS))
    assert paths.shape == (N_USERS, N_ROUNDS)
    assert paths.is_floating_point()
    for user in range(N_USERS):
        items = paths[user].long().tolist()
        assert len(set(items)) == N_ROUNDS
        assert min(items) > 5 + user  # also of what is too old to be read
    monkeypatch.setattr(irn_module, "PLANNED_ROWS", 4)
    assert torch.equal(policy.encode(past(item_seq, USERS, TARGETS)), paths)


def test_planned_path_is_shown_whatever_is_accepted(model: IRN, item_seq: torch.Tensor) -> None:
    policy, penalty = policy_of(model, "plan_once"), allowed()
    paths = policy.encode(past(item_seq, USERS, TARGETS))
    for number in range(1, N_ROUNDS + 1):
        found = policy.decide(Observation(USERS, TARGETS, paths, penalty, number))
        assert torch.equal(found.item_idx, paths[:, number - 1].long())
        penalty.scatter_(1, found.item_idx[:, None], -torch.inf)


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
    seen = Observation(USERS[:1], TARGETS[:1], torch.tensor([[7.0, 8, 9]]), penalty, number)
    found = policy_of(model, "plan_once").decide(seen)
    assert found.item_idx.tolist() == [expected]
    assert found.score.tolist() == [0 if expected else -torch.inf]


def test_path_that_ran_out_of_items_shows_nothing(model: IRN) -> None:
    penalty = torch.zeros(1, N_ITEMS + 1)
    penalty[0, [0, 7]] = -torch.inf
    seen = Observation(USERS[:1], TARGETS[:1], torch.tensor([[7.0, 0, 0]]), penalty, 2)
    assert policy_of(model, "plan_once").decide(seen).item_idx.tolist() == [0]


@pytest.mark.parametrize("mode", ["replan", "plan_once"])
def test_batch_is_one_by_one_in_any_order(model: IRN, item_seq: torch.Tensor, mode: str) -> None:
    policy, penalty = policy_of(model, mode), allowed()

    def shown(rows: torch.Tensor) -> torch.Tensor:
        encoded = policy.encode(past(item_seq[rows], USERS[rows], TARGETS[rows]))
        return policy.decide(
            Observation(USERS[rows], TARGETS[rows], encoded, penalty[rows], 2)
        ).item_idx

    together, order = shown(USERS), torch.tensor([3, 1, 5, 0, 2, 4])
    assert torch.equal(shown(order), together[order])
    assert torch.equal(torch.cat([shown(USERS[[row]]) for row in range(N_USERS)]), together)


def test_built_policy_trains_once_and_knows_train_histories(tmp_path: Path) -> None:
    rows = [(str(u), f"{i:02}", i) for u in range(N_USERS) for i in range(1, 13)]
    ids = [f"{i:02}" for i in range(1, 13)]
    lists = pl.Series([["all"]] * 12, dtype=pl.List(pl.String))
    dataset = Dataset.build(
        "toy",
        Interactions(pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")),
        Catalogue(pl.DataFrame({"item_id": ids, "title": ids, "categories": lists})),
    )
    fitted: list[tuple[str, Mapping[str, Any]]] = []

    def make(kind: str, inputs: Mapping[str, Any], fit: Callable[[Path, Any], None]) -> Path:
        fitted.append((kind, inputs))
        fit(tmp_path, silent)
        return tmp_path

    options = IRNPolicyOptions(mode="replan", model=SMALL)
    given = SimpleNamespace(
        dataset=dataset, seed=0, fitted=make, policy_options=lambda kind: options
    )
    policy = IRNPolicy.build(given)
    assert fitted == [("irn", {"model": SMALL.model_dump()})]
    assert policy.model.options == SMALL
    assert policy.known.of(0).tolist() == list(range(1, 11))
    assert (tmp_path / "checkpoint.safetensors").exists()
