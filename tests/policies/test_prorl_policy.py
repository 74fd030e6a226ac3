"""ProRL as a policy: where users stand, what ends a path, what it shows, what it was trained on."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from proactrec.journeys import Journeys
from proactrec.policies import base
from proactrec.policies.base import Candidates, View
from proactrec.policies.prorl import ProRLPolicy, ProRLPolicyOptions
from proactrec.prorl.network import ProRL
from proactrec.prorl.options import ProRLOptions
from proactrec.prorl.paths import greedy, write
from proactrec.testing.ingredients import ToyIngredients
from proactrec.testing.toys import TINY_PRORL, dataset_of, histories_of, toy

from .conftest import journeys_of

N_ITEMS, N_USERS, N_ROUNDS = 30, 6, 12
SMALL = ProRLOptions(**{**TINY_PRORL, "history_len": 4, "max_path_len": 3})
# User u knows items 1 … 5 + u; the model reads the newest four.
KNOWN = histories_of([range(1, 6 + user) for user in range(N_USERS)])
USERS, TARGETS = torch.arange(N_USERS), torch.tensor([30, 30, 30, 20, 20, 20])


@pytest.fixture(scope="module")
def model() -> ProRL:
    made = ProRL(N_ITEMS, SMALL)
    made.start(0)
    return made.eval()


def policy_of(model: ProRL, mode: str) -> ProRLPolicy:
    return ProRLPolicy(model, ProRLPolicyOptions(mode=mode, n_rounds=N_ROUNDS, model=SMALL))


def begun() -> Journeys:
    return journeys_of(TARGETS, 1, n_rounds=N_ROUNDS, history=KNOWN)


def allowed() -> Tensor:
    penalty = torch.zeros(N_USERS, N_ITEMS + 1)
    for user in range(N_USERS):
        penalty[user, : 6 + user] = -torch.inf
    return penalty


def logits_of(model: ProRL, history: Tensor, path: Tensor) -> Tensor:
    """After the last item of paths (n, T)."""
    with torch.no_grad():
        return model.logits(model.states(model.read(history, TARGETS), path)[:, -1])


def test_a_plan_is_the_greedy_path_then_the_target_then_further_paths(
    model: ProRL, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, history = policy_of(model, "plan_once"), torch.from_numpy(KNOWN.padded(4))
    assert (policy.renewed_by, policy.knows_target) == ("never", True)
    plan = policy.place(begun())
    assert plan.shape == (N_USERS, N_ROUNDS)
    closed = allowed().scatter(1, TARGETS[:, None], -torch.inf)
    closed[:, 0] = 0
    with torch.no_grad():
        first = write(model, model.read(history, TARGETS), closed, greedy)
    for user in range(N_USERS):
        items = plan[user].long().tolist()
        path = [item for item in first[user].tolist() if item]
        assert items[: len(path) + 1] == [*path, int(TARGETS[user])]
        assert len(set(items)) == N_ROUNDS
        assert min(items) > 5 + user  # also of what is too old to be read
        after, grown = items[len(path) + 1], [*range(1, 6 + user), *path][-4:]
        written = closed[user : user + 1].scatter(1, first[user : user + 1], -torch.inf)
        written[:, 0] = 0
        with torch.no_grad():
            memory = model.read(torch.tensor([grown]), TARGETS[user : user + 1])
            assert int(write(model, memory, written, greedy)[0, 0]) == after
    monkeypatch.setattr(base, "PLANNED_ROWS", 4)
    assert torch.equal(policy.place(begun()), plan)


def test_a_plan_is_shown_whatever_is_accepted(model: ProRL) -> None:
    policy, journeys, penalty = policy_of(model, "plan_once"), begun(), allowed()
    plan = policy.place(journeys)
    for number in range(1, N_ROUNDS + 1):
        seen = View(journeys, policy.place(journeys), Candidates(penalty), journeys.rounds_left)
        found = policy.decide(seen)
        assert torch.equal(found.item_idx, plan[:, number - 1].long())
        penalty = penalty.scatter(1, found.item_idx[:, None], -torch.inf)
        journeys = journeys.after(found.item_idx, number % 2 == USERS % 2, USERS >= 0)


def test_replanning_goes_on_after_what_was_accepted_and_begins_anew_when_a_path_is_full(
    model: ProRL,
) -> None:
    """Refused items leave no trace; the end of a path stands for the target."""
    policy, history = policy_of(model, "replan"), torch.from_numpy(KNOWN.padded(4))
    assert (policy.renewed_by, policy.knows_target) == ("acceptance", True)
    shown = [(11, True), (12, False), (13, True), (14, True), (15, True)]
    journeys, path, ended = begun(), torch.zeros(N_USERS, 0, dtype=torch.int64), 0
    for item, accepted in [*shown, (16, False)]:
        expected = logits_of(model, history, path)
        end = expected[:, 0] if path.shape[1] else torch.full((N_USERS,), -1e9)
        expected = expected.scatter(1, TARGETS[:, None], end[:, None]) + allowed()
        seen = View(journeys, policy.place(journeys), Candidates(allowed()), journeys.rounds_left)
        found = policy.decide(seen)
        assert torch.equal(found.item_idx, expected.argmax(1))
        torch.testing.assert_close(found.score, expected.max(1).values)
        only = torch.full_like(allowed(), -torch.inf).scatter(1, TARGETS[:, None], 0.0)
        assert torch.equal(
            policy.decide(seen._replace(candidates=Candidates(only))).item_idx, TARGETS
        )
        ended += int((found.item_idx == TARGETS).sum())
        column = torch.full((N_USERS, 1), item)
        journeys = journeys.after(column[:, 0], torch.full((N_USERS,), accepted), USERS >= 0)
        if accepted:
            path = torch.cat([path, column], 1)
        if path.shape[1] == 3:  # as long as paths may be
            history, path = torch.cat([history, path], 1)[:, -4:], path[:, :0]
    with torch.no_grad():
        eager = ProRL(N_ITEMS, SMALL)
        eager.load_state_dict(model.state_dict())
        eager.stop.copy_(100 * eager.decoder_norm.bias + 1)
        eager.decoder_norm.bias.fill_(5)
    places = policy_of(eager, "replan").place(journeys)
    seen = View(journeys, places, Candidates(allowed()), journeys.rounds_left)
    assert torch.equal(policy_of(eager, "replan").decide(seen).item_idx, TARGETS)
    first = View(
        begun(), policy_of(eager, "replan").place(begun()), seen.candidates, seen.rounds_left
    )
    assert not (policy_of(eager, "replan").decide(first).item_idx == TARGETS).any()


def ingredients(folder: Path, **options: object) -> ToyIngredients:
    histories = [[*range(1 + u % 3, 12 + u % 3)] for u in range(8)]
    data = dataset_of(histories, [["a"], ["b"], ["a", "b"], ["c"]] * 3 + [["a"]])
    model = {**TINY_PRORL, **options}
    return toy()._replace(dataset=data).ingredients(folder, model=model)


def weights(folder: Path, vectors: Tensor | None = None, **options: object) -> dict[str, Tensor]:
    given = ingredients(folder, **options)
    if vectors is not None:
        object.__setattr__(given, "item_vectors", vectors)
    return ProRLPolicy.build(given).model.state_dict()


def test_built_policy_trains_its_three_models_once(tmp_path: Path) -> None:
    first = weights(tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    kinds = {path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir()}
    assert kinds == {"prorl", "prorl-start", "prorl-judge"}
    again = weights(tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} == written
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
    weights(tmp_path, reinforcing={**TINY_PRORL["reinforcing"], "estimator": "grpo"})
    kinds_now = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    assert kinds_now == ["prorl", "prorl", "prorl-judge", "prorl-start"]


@pytest.mark.parametrize("start", ["judge", "random"])
def test_it_reads_no_interest_vectors_unless_told_to(start: str, tmp_path: Path) -> None:
    """In default worlds those are the simulated users' own."""
    rng = torch.Generator().manual_seed(0)
    one, other = (torch.randn(14, 8, generator=rng) for _ in range(2))
    found = [
        weights(tmp_path / str(n), vectors, item_start=start)
        for n, vectors in enumerate((one, other))
    ]
    for name, weight in found[0].items():
        assert torch.equal(weight, found[1][name])
    told = [
        weights(tmp_path / f"told {n}", vectors, item_start="graphau")
        for n, vectors in enumerate((one, other))
    ]
    assert not torch.equal(told[0]["items.weight"], told[1]["items.weight"])
