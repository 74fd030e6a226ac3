"""Simulated users as Gymnasium environments: one (user, target) pair, or many in one step.

Importing this module registers every named world on the demo data set, e.g.
``gymnasium.make("proactrec/medium-v1")``. See docs/guide/worlds.md.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proactrec.errors import InvalidInputError, MissingExtraError, NotFittedError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.rollout import guided_pairs
from proactrec.guidance.guide import what_may_be_shown
from proactrec.guidance.recorded import train_users
from proactrec.journeys import UNKNOWN, Journeys
from proactrec.simulator.environment import Environment
from proactrec.simulator.worlds import WORLDS, named_world
from proactrec.types import BoolArray, FloatArray

try:
    import gymnasium
    from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space
    from gymnasium.utils import seeding
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise MissingExtraError("environments need gymnasium: pip install 'proactrec[gym]'") from error

Reward = Literal["interest", "rank", "accepted", "target"]
"""What a round is worth: the increase of the user's interest in the target; the places that the
target rises; 1 if an item is accepted; 1 if the target is."""
Arrays = dict[str, NDArray[Any]]
EPISODE = ("user_idx", "target_idx", "luck")
"""What `options` of a reset may settle."""
STORE = Path("runs/gym")
"""Where interest vectors of the demo are kept."""


class Outcome(NamedTuple):
    """What a step of n environments brought."""

    reward: FloatArray  # (n,)
    terminated: BoolArray  # (n,)
    truncated: BoolArray  # (n,)


class Episodes:
    """n pairs side by side, each in a round of its own: what both environments share.

    Parameters
    ----------
    experiment : Experiment
        Its data set, targets, simulated users and options of guidance are played.
    n_rounds : int, optional
        Rounds of an episode; by default the experiment's.
    history_length : int
        Newest accepted items that are observed.
    reward : Reward

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule, or the experiment's luck is not per pair.
    """

    def __init__(
        self,
        experiment: Experiment,
        n: int,
        *,
        n_rounds: int | None = None,
        history_length: int = 20,
        reward: Reward = "interest",
    ) -> None:
        options, guidance = experiment.protocol.world, experiment.protocol.rollout
        if reward not in get_args(Reward):
            raise InvalidInputError(f"reward must be one of {get_args(Reward)}, got {reward!r}")
        if options.random_numbers != "per_pair":
            raise InvalidInputError(
                f"world.random_numbers must be per_pair, got {options.random_numbers!r}"
            )
        self.n_rounds = guidance.n_rounds if n_rounds is None else n_rounds
        for name, value in (("n_rounds", self.n_rounds), ("history_length", history_length)):
            if value < 1:
                raise InvalidInputError(f"{name} must be at least 1, got {value}")
        self.reward, world = reward, experiment.world
        self._shows_again, self._history_length = guidance.exclude == "accepted", history_length
        self.pairs, _ = guided_pairs(world, experiment.guided_users, experiment.targets.item_idx)
        self._known = set(
            zip(self.pairs.user_idx.tolist(), self.pairs.target_idx.tolist(), strict=True)
        )
        self._users = train_users(experiment.dataset)
        n_items, n_slots = experiment.dataset.n_items, options.n_slots
        played = (self.n_rounds, n_slots)
        self.observation_space = Dict(
            {
                "history": Box(0, n_items, (history_length,), np.int64),
                "target": Discrete(n_items + 1),
                "shown": Box(0, n_items, played, np.int64),
                "accepted": MultiBinary(played),
                "round": Discrete(self.n_rounds + 1),
                "action_mask": MultiBinary(n_items),
            }
        )
        self.action_space: Space[Any] = (
            Discrete(n_items) if n_slots == 1 else MultiDiscrete([n_items] * n_slots)
        )
        nobody = np.zeros(n, np.int64)
        self.environment = Environment(world)
        # A round more than is played: whoever waits for the next episode sits one out.
        self.environment.reset(nobody, nobody + 1, n_rounds=self.n_rounds + 1)
        self.user_idx, self.target_idx, self.round = nobody, nobody.copy(), nobody.copy()
        self.shown = np.zeros((n, *played), np.int64)
        self.accepted = np.zeros((n, *played), np.int8)
        self.info: Arrays = {
            "accept_prob": np.zeros(n),
            "interest": np.zeros(n),
            "rank": np.zeros(n, np.int64),
        }

    def begin(
        self,
        rows: Sequence[int],
        rngs: Sequence[np.random.Generator],
        wanted: Sequence[dict[str, Any]],
    ) -> None:
        """New episodes in these rows: pair and luck as `wanted`, else drawn by `rngs`."""
        drawn = [self._drawn(rng, one) for rng, one in zip(rngs, wanted, strict=True)]
        users, targets, luck = np.array(drawn, np.int64).T
        at, there = np.array(rows), torch.tensor(rows)
        self.environment.restart(there, users, targets, luck)
        self.user_idx[at], self.target_idx[at], self.round[at] = users, targets, 0
        self.shown[at], self.accepted[at] = 0, 0
        self.info["accept_prob"][at] = 0
        self._note(there)

    def step(self, actions: NDArray[Any], is_played: BoolArray) -> Outcome:
        """Play a round in some rows; nothing happens in the others.

        Action a shows item a + 1. What may not be shown leaves its slot empty, and what stands
        behind it moves up.
        """
        slate = self._slate(np.asarray(actions), is_played)
        feedback = self.environment.step(slate)
        before = {name: values.copy() for name, values in self.info.items()}
        item_idx, slot = feedback.item_idx.cpu().numpy(), feedback.slot.cpu().numpy()
        accepted = feedback.accepted.cpu().numpy()
        played, took = is_played.nonzero()[0], accepted.nonzero()[0]
        self.shown[played, self.round[played]] = slate.cpu().numpy()[played]
        self.accepted[took, self.round[took], slot[took]] = 1
        self.round[played] += 1
        self.info["accept_prob"] = feedback.accept_prob.nan_to_num().cpu().numpy()
        self._note(feedback.accepted.nonzero()[:, 0])
        reached = accepted & (item_idx == self.target_idx)
        reward = {
            "interest": self.info["interest"] - before["interest"],
            "rank": before["rank"] - self.info["rank"],
            "accepted": accepted,
            "target": reached,
        }[self.reward]
        terminated = is_played & (reached | self.environment.has_left.cpu().numpy())
        truncated = is_played & ~terminated & (self.round == self.n_rounds)
        return Outcome(reward.astype(np.float64), terminated, truncated)

    @property
    def journeys(self) -> Journeys:
        """What a recommender knows of every pair, each in a round of its own."""
        user, target, number, slates = (
            torch.from_numpy(x) for x in (self.user_idx, self.target_idx, self.round, self.shown)
        )
        takes = torch.from_numpy(self.accepted).bool()
        slot = takes.int().argmax(2, keepdim=True)  # the first where nothing was taken
        shown, taken = slates.gather(2, slot)[:, :, 0], takes.any(2)
        begun = Journeys.begun(self._users, user, target, self.n_rounds)
        return begun._replace(
            shown=shown,
            answer=torch.where(shown > 0, taken.to(torch.int8), UNKNOWN).to(torch.int8),
            guided=shown > 0,
            round=number + 1,
            rounds_left=self.n_rounds - 1 - number,
            also_shown=slates.flatten(1),
        )

    def _penalty(self) -> Tensor:
        """0 for what may be shown, else -inf: (n, n_items + 1)."""
        n_rows = len(self.environment.world.item_vectors)
        return what_may_be_shown(self.journeys, n_rows, shows_again=self._shows_again).penalty

    def observation(self) -> Arrays:
        """What a recommender sees of every pair; new arrays."""
        history = self.journeys.sequence(self._history_length, "left")
        return {
            "history": history.numpy(),
            "target": self.target_idx.copy(),
            "shown": self.shown.copy(),
            "accepted": self.accepted.copy(),
            "round": self.round.copy(),
            "action_mask": (self._penalty()[:, 1:] == 0).to(torch.int8).numpy(),
        }

    def facts(self) -> Arrays:
        """What it does not see, for evaluation; new arrays."""
        pairs = {"user_idx": self.user_idx, "target_idx": self.target_idx}
        return {name: values.copy() for name, values in {**pairs, **self.info}.items()}

    def _drawn(self, rng: np.random.Generator, wanted: dict[str, Any]) -> tuple[int, int, int]:
        row, luck = int(rng.integers(len(self.pairs.user_idx))), int(rng.integers(2**32))
        pair = int(self.pairs.user_idx[row]), int(self.pairs.target_idx[row])
        if unknown := sorted(set(wanted) - set(EPISODE)):
            raise InvalidInputError(f"options must be of {EPISODE}, got {unknown[0]!r}")
        if "user_idx" in wanted or "target_idx" in wanted:
            pair = wanted.get("user_idx", -1), wanted.get("target_idx", -1)
            if pair not in self._known:
                raise InvalidInputError(
                    "options must name user_idx and target_idx of a pair that is guided, "
                    f"got {pair[0]} and {pair[1]}"
                )
        return (*pair, wanted.get("luck", luck))

    def _slate(self, actions: NDArray[Any], is_played: BoolArray) -> Tensor:
        """The items to show (n, n_slots), empty slots last; none where no round is played."""
        penalty = self._penalty().to(self.environment.world.device)
        n_items = penalty.shape[1] - 1
        if ((actions < 0) | (actions >= n_items)).any():
            raise InvalidInputError(f"actions must be 0 to {n_items - 1}, got {actions.tolist()}")
        items = torch.from_numpy(actions.reshape(len(self.round), -1).astype(np.int64) + 1)
        slate = items.to(penalty.device)
        is_free = (penalty.gather(1, slate) == 0) & torch.from_numpy(is_played)[:, None].to(
            slate.device
        )
        for slot in range(1, slate.shape[1]):
            is_free[:, slot] &= (slate[:, slot, None] != slate[:, :slot]).all(1)
        return (slate * is_free).gather(1, (~is_free).int().argsort(dim=1, stable=True))

    def _note(self, rows: Tensor) -> None:
        """Bring interest and rank of rows whose users have moved up to date."""
        if len(rows):
            at = rows.cpu().numpy()
            self.info["interest"][at] = self.environment.interest()[rows].cpu().numpy()
            self.info["rank"][at] = self.environment.rank(rows).cpu().numpy()


class ProactiveEnv(gymnasium.Env[dict[str, Any], Any]):
    """Guide one user toward one target.

    **Actions**: the item to show, less 1: ``Discrete(n_items)``; in worlds with slates
    ``MultiDiscrete``, first slot first. An item that may not be shown is not: the round passes.

    **Observations**, a dict: ``history``, the newest accepted items, newest last, 0 = none;
    ``target``; ``shown`` and ``accepted``, by round and slot, 0 in rounds to come; ``round``, how
    many were played; ``action_mask``, 1 for the actions that may be shown.

    **Reward**: the increase of the user's hidden interest in the target, or see :data:`Reward`.

    **Start**: a (user, target) pair of the experiment and luck, drawn by the seed; or
    ``options={"user_idx": …, "target_idx": …, "luck": …}``. With the experiment's seed as luck,
    users answer as in a rollout.

    **End**: terminated once the target was accepted or the user left, truncated after `n_rounds`.

    ``info`` holds what no recommender knows: ``accept_prob`` of the last round (0 if nothing was
    shown), ``interest`` and ``rank``, beside ``user_idx`` and ``target_idx``.

    Parameters
    ----------
    experiment : Experiment
        Its data set, targets and simulated users are played; rails and policy are not used.
    n_rounds, history_length, reward
        See :class:`Episodes`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(self, experiment: Experiment, **options: Any) -> None:
        self.episodes = Episodes(experiment, 1, **options)
        self.observation_space, self.action_space = (
            self.episodes.observation_space,
            self.episodes.action_space,
        )
        self._is_over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self.episodes.begin([0], [self.np_random], [options or {}])
        self._is_over = False
        return self._observed()

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Play a round.

        Raises
        ------
        NotFittedError
            If no episode was begun, or it is over.
        """
        if self._is_over:
            raise NotFittedError("the environment must be reset before an episode is played")
        outcome = self.episodes.step(np.asarray(action)[None], np.ones(1, bool))
        reward, terminated, truncated = (values[0].item() for values in outcome)
        self._is_over = terminated or truncated
        observation, info = self._observed()
        return observation, reward, terminated, truncated, info

    def _observed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        observation = {name: values[0] for name, values in self.episodes.observation().items()}
        return observation, {
            name: values[0].item() for name, values in self.episodes.facts().items()
        }


class ProactiveVectorEnv(VectorEnv[Arrays, NDArray[Any], NDArray[Any]]):
    """Many pairs in one batched step: the same as so many :class:`ProactiveEnv`.

    A step after the end of an episode begins the next one, whatever the action
    (``AutoresetMode.NEXT_STEP``). `options` of :meth:`reset` hold one value for all, or one each.

    Parameters
    ----------
    experiment : Experiment
    num_envs : int
    n_rounds, history_length, reward
        See :class:`Episodes`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(self, experiment: Experiment, num_envs: int, **options: Any) -> None:
        if num_envs < 1:
            raise InvalidInputError(f"num_envs must be at least 1, got {num_envs}")
        self.episodes, self.num_envs = Episodes(experiment, num_envs, **options), num_envs
        self.single_observation_space = self.episodes.observation_space
        self.single_action_space = self.episodes.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs: list[np.random.Generator] = [seeding.np_random()[0] for _ in range(num_envs)]
        self._is_over: BoolArray | None = None

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode everywhere; environment i has seed + i, or its own of a list."""
        n = self.num_envs
        seeds = [seed + i for i in range(n)] if isinstance(seed, int) else seed or [None] * n
        if len(seeds) != n:
            raise InvalidInputError(f"seed must be one or {n} numbers, got {len(seeds)}")
        for row, own in enumerate(seeds):
            if own is not None:
                self._rngs[row], _ = seeding.np_random(own)
        given = {
            name: np.broadcast_to(values, n).tolist() for name, values in (options or {}).items()
        }
        wanted = [{name: values[row] for name, values in given.items()} for row in range(n)]
        self.episodes.begin(range(n), self._rngs, wanted)
        self._is_over = np.zeros(n, bool)
        return self.episodes.observation(), self._infos()

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Arrays, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Play a round everywhere, or begin the next episode.

        Raises
        ------
        NotFittedError
            If :meth:`reset` was never called.
        """
        if self._is_over is None:
            raise NotFittedError("the environment must be reset before an episode is played")
        reward, terminated, truncated = self.episodes.step(actions, ~self._is_over)
        over = self._is_over.nonzero()[0].tolist()
        if over:
            self.episodes.begin(over, [self._rngs[row] for row in over], [{}] * len(over))
        self._is_over = terminated | truncated
        return self.episodes.observation(), reward, terminated, truncated, self._infos()

    def _infos(self) -> dict[str, Any]:
        facts, everywhere = self.episodes.facts(), np.ones(self.num_envs, bool)
        return {**facts, **{f"_{name}": everywhere.copy() for name in facts}}


def demo_env(
    world: str,
    *,
    store: Path | str = STORE,
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> ProactiveEnv:
    """A named world on the demo data set.

    Parameters
    ----------
    store : Path
        Folder that keeps the interest vectors, which are fitted once.
    changes : mapping, optional
        Settings of the experiment by their dotted names, e.g. ``{"category": "Drama"}``.
    options
        See :class:`Episodes`.
    """
    return ProactiveEnv(_demo(world, Path(store), changes or {}), **options)


def demo_vector_env(
    world: str,
    num_envs: int,
    *,
    store: Path | str = STORE,
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> ProactiveVectorEnv:
    """Many of :func:`demo_env` in one."""
    return ProactiveVectorEnv(_demo(world, Path(store), changes or {}), num_envs, **options)


def _demo(world: str, store: Path, changes: Mapping[str, Any]) -> Experiment:
    settings = ExperimentOptions().changed({**named_world(world).changes(), **changes})
    return _experiment(settings.model_dump_json(), store)


@lru_cache(maxsize=4)
def _experiment(settings: str, store: Path) -> Experiment:
    """The same for all environments that are alike: they only read it."""
    return Experiment(ExperimentOptions(**json.loads(settings)), store)


for _name in WORLDS:
    gymnasium.register(
        f"proactrec/{_name}",
        entry_point="proactrec.gym:demo_env",
        vector_entry_point="proactrec.gym:demo_vector_env",
        kwargs={"world": _name},
    )
