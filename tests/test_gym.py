"""Environments: Gymnasium's own checks, many like one, and the same users as a rollout's."""

import re
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from proactrec import gym
from proactrec.errors import InvalidInputError, NotFittedError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.guidance.log import GuidanceLog
from proactrec.gym import ProactiveEnv, ProactiveVectorEnv
from proactrec.simulator.worlds import WORLDS, named_world

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "worlds.md"
QUICK = {
    "graphau.stopping.n_epochs": 2,
    "graphau.stopping.min_epochs": 1,
    "graphau.embedding_dim": 8,
    "graphau.batch_size": 256,
    "encoder_options.embedding_dim": 8,
    "encoder_options.stopping.n_epochs": 2,
}
OFTEN_OVER = {"protocol.world.mean_accept": 0.9, "protocol.world.patience": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def experiment_of(store: Path, world: str, **changes: Any) -> Experiment:
    settings = {**named_world(world).changes(), **QUICK, "protocol.targets.n_targets": 3}
    settings |= {"policy": "random", "n_users": 60, "protocol.rollout.n_rounds": 6, **changes}
    return Experiment(ExperimentOptions().changed(settings), store)


def allowed(mask: np.ndarray, rng: np.random.Generator, n_slots: int = 1) -> Any:
    """Actions that may be taken, drawn at random: one, or one for each slot."""
    drawn = rng.choice(np.flatnonzero(mask), n_slots, replace=False)
    return drawn[0] if n_slots == 1 else drawn


@pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")  # v2: other users
@pytest.mark.parametrize("world", WORLDS)
def test_every_named_world_passes_gymnasiums_checks(world: str, store: Path) -> None:
    how: dict[str, Any] = {"store": store, "changes": QUICK | {"n_users": 60}}
    check_env(gymnasium.make(f"proactrec/{world}", **how).unwrapped)
    many = gymnasium.make_vec(f"proactrec/{world}", num_envs=3, **how)
    assert isinstance(many, ProactiveVectorEnv)
    assert many.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observation, _ = many.reset(seed=0)
    assert observation in many.observation_space
    assert many.step(many.action_space.sample())[0] in many.observation_space


@pytest.mark.parametrize(
    ("world", "reward"),
    [
        ("medium-v1", "interest"),
        ("medium-v1", "rank"),
        ("bored-v1", "target"),
        ("slate-v1", "accepted"),
        ("medium-v2", "target"),
        ("leaving-refused-v1", "interest"),
        ("leaving-users-v1", "target"),
        ("wandering-v1", "interest"),
        ("days-v1", "accepted"),
    ],
)
def test_many_in_one_step_are_the_same_as_one_by_one(world: str, reward: Any, store: Path) -> None:
    """Gymnasium's own loop over single environments, through ends and new beginnings."""
    run = experiment_of(store, world, **OFTEN_OVER)
    n, n_slots = 5, run.protocol.world.n_slots
    many = ProactiveVectorEnv(run, n, reward=reward, n_rounds=4)
    loop = gymnasium.vector.SyncVectorEnv(
        [lambda: ProactiveEnv(run, reward=reward, n_rounds=4)] * n
    )
    rng, n_over = np.random.default_rng(0), 0
    found, expected = many.reset(seed=7), loop.reset(seed=7)
    for step in range(30):
        assert_same(found, expected)
        masks = found[0]["action_mask"]
        if step % 3:
            actions = np.stack([allowed(mask, rng, n_slots) for mask in masks])
        else:
            actions = many.action_space.sample()  # of what may not be shown, too
        if step % 7 == 2:
            actions[0] = found[0]["target"][0] - 1
        found, expected = many.step(actions), loop.step(actions)
        n_over += int((found[2] | found[3]).sum())
    assert n_over > 20


def assert_same(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        if not isinstance(one, dict):
            one, other = {"": one}, {"": other}
        assert one.keys() == other.keys()
        for name, values in one.items():
            assert values.dtype == other[name].dtype, name
            # Sums of 64 products may be rounded otherwise in a batch.
            np.testing.assert_allclose(values, other[name], atol=1e-6, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    ("world", "changes"),
    [
        ("medium-v1", {}),
        ("arousal-v1", {"protocol.world.mean_accept": 0.9}),
        ("slate-v1", {"protocol.world.boredom": 1.0, "protocol.world.patience": 2}),
        ("medium-v1", {"protocol.rollout.exclude": "accepted", "policy": "oracle-greedy"}),
        ("medium-v2", {"protocol.world.mean_accept": 0.9, "policy": "nearest-to-target"}),
        ("leaving-10-v1", {"protocol.world.mean_accept": 0.9, "policy": "nearest-to-target"}),
        ("leaving-refused-v1", {}),
        ("leaving-users-v1", {"protocol.world.patience": 2}),
        ("medium-v1", {"protocol.world.leaving": 0.2, "policy": "nearest-to-target"}),
        ("returning-v1", {"policy": "oracle-lookahead"}),
        ("wandering-v1", {"protocol.world.laws.day": 1.0, "protocol.world.mean_accept": 0.9}),
    ],
)
def test_replayed_guidance_ends_where_the_rollout_did(
    world: str, changes: dict[str, Any], store: Path
) -> None:
    run = experiment_of(store, world, **changes)
    log: GuidanceLog = run.log  # as it was kept: 32 bits
    n_pairs = len(log.user_idx)
    env = ProactiveVectorEnv(run, n_pairs, history_length=7)
    pairs = {"user_idx": log.user_idx, "target_idx": log.target_idx, "luck": run.seed}
    observation, info = env.reset(options=pairs)
    is_playing, accepted = np.ones(n_pairs, bool), []
    for number in range(log.n_rounds + 1):
        at = is_playing
        for name in ("interest", "rank"):
            np.testing.assert_array_equal(info[name][at], getattr(log, name)[at, number])
        if number == log.n_rounds:
            break
        slates = log.slate[:, number]
        shown = log.is_shown[:, number]
        assert (observation["action_mask"][at & shown, slates[at & shown, 0] - 1] == 1).all()
        actions = np.maximum(slates - 1, 0)
        observation, _, terminated, truncated, info = env.step(
            actions if actions.shape[1] > 1 else actions[:, 0]
        )
        prob = np.nan_to_num(log.accept_prob[:, number])
        np.testing.assert_allclose(info["accept_prob"][at], prob[at], atol=1e-7)
        told = observation["accepted"][:, number].any(1)
        np.testing.assert_array_equal(told[at], log.accepted[at, number])
        is_playing = at & ~terminated
        accepted.append(told)
    assert truncated[is_playing].all()
    ends_there = run.protocol.world.after_success == "stop"
    ended = log.has_left | (log.reached & ends_there)
    np.testing.assert_array_equal(~is_playing, ended)


def test_after_success_users_go_on_being_guided_where_the_world_lets_them(store: Path) -> None:
    run = experiment_of(store, "medium-v2", **{"protocol.world.mean_accept": 0.99})
    env = ProactiveEnv(run, reward="target")
    for seed in range(9):
        observation, _ = env.reset(seed=seed)
        _, reward, terminated, _, info = env.step(observation["target"] - 1)
        assert not terminated
        if reward:
            break
    assert reward == 1
    interest, rng = info["interest"], np.random.default_rng(2)
    for number in range(2, 7):
        action = allowed(observation["action_mask"], rng)
        observation, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (0, False, number == 6)
    assert info["interest"] != interest


def test_one_pair_replayed_alone_is_the_logs_row(store: Path) -> None:
    run = experiment_of(store, "medium-v1")
    log, env = run.log, ProactiveEnv(run)
    for row in range(0, len(log.user_idx), 11):
        user, target = int(log.user_idx[row]), int(log.target_idx[row])
        luck = {"user_idx": user, "target_idx": target, "luck": run.seed}
        _, info = env.reset(options=luck)
        interest, rewards = [info["interest"]], []
        for item in log.item_idx[row][log.is_shown[row]]:
            _, reward, terminated, truncated, info = env.step(item - 1)
            interest.append(info["interest"])
            rewards.append(reward)
        assert terminated or truncated
        np.testing.assert_array_equal(interest, log.interest[row, : len(interest)])
        assert sum(rewards) == pytest.approx(log.interest[row, -1] - log.interest[row, 0])


def test_observation_is_what_a_recommender_sees(store: Path) -> None:
    run = experiment_of(store, "medium-v1")
    env, rng = ProactiveEnv(run, history_length=9), np.random.default_rng(1)
    train = run.dataset.before("train")
    observation, info = env.reset(seed=3)
    user = info["user_idx"]
    history = train.of(user).tolist()
    hidden, told = set(history), []
    for number in range(6):
        assert observation["round"] == number
        assert observation["target"] == info["target_idx"]
        assert observation["history"].tolist() == ([0] * 9 + history)[-9:]
        mask = observation["action_mask"]
        assert set((np.flatnonzero(mask == 0) + 1).tolist()) == hidden
        action = allowed(mask, rng)
        if action + 1 == info["target_idx"]:
            continue
        observation, _, terminated, truncated, info = env.step(action)
        took = bool(observation["accepted"][number, 0])
        history += [int(action) + 1] * took
        hidden.add(int(action) + 1)
        told.append((int(action) + 1, took))
        assert observation["shown"][: number + 1, 0].tolist() == [item for item, _ in told]
        assert not observation["shown"][number + 1 :].any()
        assert (terminated, truncated) == (False, number == 5)
    assert any(took for _, took in told)
    assert not {"interest", "rank", "accept_prob"} & set(observation)


def test_what_may_not_be_shown_is_not_and_slots_close_up(store: Path) -> None:
    run = experiment_of(store, "slate-v1")
    env = ProactiveEnv(run)
    observation, info = env.reset(seed=5)
    known = int(observation["history"][-1]) - 1
    free = np.flatnonzero(observation["action_mask"])[:2]
    observation, *_ = env.step(np.array([known, free[1], free[1]]))
    assert observation["shown"][0].tolist() == [free[1] + 1, 0, 0]
    before = info["interest"] if not observation["accepted"].any() else None
    observation, reward, *_, info = env.step(np.array([known] * 3))
    assert (reward, info["accept_prob"]) == (0, 0)
    assert before is None or info["interest"] == before
    assert not observation["shown"][1].any()


def test_bad_input_is_one_sentence(store: Path) -> None:
    run = experiment_of(store, "medium-v1")
    env, many = ProactiveEnv(run), ProactiveVectorEnv(run, 2)
    for one in (lambda: env.step(0), lambda: many.step(np.zeros(2, int))):
        with pytest.raises(NotFittedError, match="the environment must be reset before"):
            one()
    train = run.dataset.before("train")
    target = int(run.targets.item_idx[0])
    owner = next(u for u in run.guided_users if target in train.of(int(u)))
    cases: list[tuple[Any, str]] = [
        (lambda: ProactiveEnv(run, reward="money"), "reward must be one of"),
        (lambda: ProactiveEnv(run, n_rounds=0), "n_rounds must be a whole number of at least 1"),
        (lambda: ProactiveEnv(run, history_length=0), "history_length must be a whole number of"),
        (lambda: ProactiveEnv(run, n_rounds=10**12), "n_rounds must be at most 1000000, got 10"),
        (lambda: ProactiveEnv(run, history_length=10**9), "history_length must be at most 10000"),
        (lambda: ProactiveVectorEnv(run, 10**9), "num_envs must be at most 1000000, got 10000"),
        (lambda: ProactiveVectorEnv(run, 0), "num_envs must be a whole number of at least 1, got"),
        (lambda: env.reset(options={"user": 3}), "options must be of ('user_idx', 'target_idx', "),
        (lambda: env.reset(options={"user_idx": 3}), "user_idx and target_idx of a pair that is"),
        (
            lambda: env.reset(options={"user_idx": int(owner), "target_idx": target}),
            f"of a pair that is guided, got {owner} and {target}",
        ),
        (lambda: many.reset(seed=[1]), "seed must be one or 2 numbers, got 1"),
        (lambda: ProactiveEnv(run, n_rounds=2.5), "n_rounds must be a whole number of at least 1"),
        (lambda: ProactiveVectorEnv(run, 2.5), "num_envs must be a whole number of at least 1"),
        (lambda: env.reset(options={"luck": 2.7}), "luck must be a whole number of at least 0"),
        (lambda: env.reset(options={"luck": -1}), "luck must be a whole number of at least 0"),
        (lambda: env.reset(options={"luck": 2**70}), f"luck must be at most {2**63 - 1}, got"),
        (
            lambda: env.reset(options={"user_idx": [1], "target_idx": 1}),
            "user_idx must be a whole number of at least 0, got [1]",
        ),
        (lambda: many.reset(options={"luck": [1, 2, 3]}), "options['luck'] must be one or 2 value"),
        (lambda: many.reset(seed=np.arange(3)), "seed must be one or 2 numbers, got 3"),
        (
            lambda: ProactiveEnv(
                experiment_of(
                    store, "medium-v1", **{"protocol.world.random_numbers": "shared_stream"}
                )
            ),
            "world.random_numbers must be per_pair, got 'shared_stream'",
        ),
    ]
    for call, wanted in cases:
        with pytest.raises(InvalidInputError, match=re.escape(wanted)):
            call()
    env.reset(seed=0)
    while not env._is_over:
        env.step(0)
    with pytest.raises(NotFittedError, match="before an episode is played"):
        env.step(0)


@pytest.mark.parametrize(
    "action", [2.7, 3.0, np.float32(1), np.nan, np.inf, True, np.True_, None, "3", -1, 10**6, 2**70]
)
def test_only_a_whole_number_of_an_item_is_an_action(action: Any, store: Path) -> None:
    run = experiment_of(store, "medium-v1")
    env, many = ProactiveEnv(run), ProactiveVectorEnv(run, 2)
    before, _ = env.reset(seed=0)
    many.reset(seed=0)
    wanted = f"actions must be whole numbers from 0 to {run.dataset.n_items - 1}"
    for play in (lambda: env.step(action), lambda: many.step(np.array([action, action]))):
        with pytest.raises(InvalidInputError, match=re.escape(wanted)) as refused:
            play()
        assert "\n" not in str(refused.value)
    after, *_ = env.step(int(np.flatnonzero(before["action_mask"])[0]))  # nothing was played
    assert after["round"] == 1


def test_actions_of_another_shape_are_refused(store: Path) -> None:
    slates = ProactiveVectorEnv(experiment_of(store, "slate-v1"), 2)
    single = ProactiveVectorEnv(experiment_of(store, "medium-v1"), 2)
    for env, actions in (
        (slates, np.zeros(2, int)),
        (slates, np.zeros((2, 2), int)),
        (single, np.zeros(3, int)),
        (single, np.array(0)),
    ):
        env.reset(seed=0)
        with pytest.raises(InvalidInputError, match=r"whole numbers from 0 to \d+ in the shape"):
            env.step(actions)


def test_an_episode_that_waits_for_its_next_begins_whatever_the_action(store: Path) -> None:
    run = experiment_of(store, "medium-v1")
    many = ProactiveVectorEnv(run, 2, n_rounds=1)
    observation, _ = many.reset(seed=0)
    allowed_now = observation["action_mask"].argmax(1)
    _, _, terminated, truncated, _ = many.step(allowed_now)
    assert (terminated | truncated).all()
    observation, *_ = many.step(np.array([-1, 10**6]))
    assert (observation["round"] == 0).all()


def test_making_says_what_is_fitted_and_the_second_time_is_quick(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made() -> tuple[str, float]:
        gym._experiment.cache_clear()  # as in another process
        start = time.perf_counter()
        env = gymnasium.make("proactrec/medium-v2", store=tmp_path / "kept", changes=QUICK)
        env.reset(seed=0)
        return capsys.readouterr().err, time.perf_counter() - start

    told, first = made()
    assert told.startswith(f"GraphAU 0/2 fitted once, and kept in {tmp_path / 'kept'}\n")
    assert "GraphAU 2/2" in told
    again, second = made()
    assert again == ""
    assert second < first
    heard = []
    env = gymnasium.make(
        "proactrec/medium-v2",
        store=tmp_path / "other",
        changes=QUICK,
        progress=lambda *said: heard.append(said),
    )
    assert heard[0][:3] == ("GraphAU", 0, 2)
    assert capsys.readouterr().err == ""
    env.close()


def test_luck_is_the_seeds_and_another_one_is_another(store: Path) -> None:
    run = experiment_of(store, "medium-v1")
    many = ProactiveVectorEnv(run, 400)
    pair = {"user_idx": int(run.guided_users[0])}
    pair["target_idx"] = next(t for u, t in many.episodes._known if u == pair["user_idx"])
    observation, _ = many.reset(seed=1, options=pair)
    item = int(np.flatnonzero(observation["action_mask"][0])[0])
    told = many.step(np.full(400, item))
    took = told[0]["accepted"][:, 0, 0]
    prob = told[4]["accept_prob"][0]
    assert (told[4]["accept_prob"] == prob).all()
    assert took.mean() == pytest.approx(prob, abs=4 * np.sqrt(prob * (1 - prob) / 400))
    many.reset(seed=1, options=pair)
    np.testing.assert_array_equal(many.step(np.full(400, item))[0]["accepted"][:, 0, 0], took)
    many.reset(options={**pair, "luck": 5})
    assert len(np.unique(many.step(np.full(400, item))[0]["accepted"][:, 0, 0])) == 1


@pytest.mark.slow
def test_what_the_page_shows_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, PAGE, "exec"), {})
    interest, n_accepted = map(float, capsys.readouterr().out.split())
    assert 0 < interest < 1
    assert 256 < n_accepted < 256 * 50


def test_the_page_lists_every_world() -> None:
    page = PAGE.read_text()
    rows = re.findall(r"^\| (`[^|]+-v\d+`) \|", page, re.MULTILINE)
    named = re.findall(r"`([a-z0-9-]+)`", " ".join(rows))
    assert named == list(WORLDS)
