"""Simulated users as Gymnasium environments: one (user, target) pair, or many in one step.

Importing this module registers every named world on the demo data set, e.g.
``gymnasium.make("proactrec/medium-v1")``. See docs/guide/worlds.md.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proactrec.config import check_whole
from proactrec.errors import InvalidInputError, MissingExtraError, NotFittedError
from proactrec.evaluation.episodes import Arrays, Episodes
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.progress import PrintedProgress, Progress
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

STORE = Path("runs/gym")
"""Where interest vectors of the demo are kept."""
MOST_ENVS = 1_000_000
"""Side by side in one step."""
TOLD = PrintedProgress()
"""What is fitted takes a minute or two the first time: that is said."""


def spaces_of(episodes: Episodes) -> tuple[Dict, Space[Any]]:
    """Spaces of observations and actions, of one journey."""
    n_items, n_slots = episodes.n_items, episodes.n_slots
    played = (episodes.n_rounds, n_slots)
    observations = Dict(
        {
            "history": Box(0, n_items, (episodes.history_length,), np.int64),
            "target": Discrete(n_items + 1),
            "shown": Box(0, n_items, played, np.int64),
            "accepted": MultiBinary(played),
            "round": Discrete(episodes.n_rounds + 1),
            "action_mask": MultiBinary(n_items),
        }
    )
    one = n_slots == 1
    return observations, Discrete(n_items) if one else MultiDiscrete([n_items] * n_slots)


class ProactiveEnv(gymnasium.Env[dict[str, Any], Any]):
    """Guide one user toward one target.

    **Actions**: the item to show, less 1: ``Discrete(n_items)``; in worlds with slates
    ``MultiDiscrete``, first slot first. An item that may not be shown is not: the round passes.
    What is no whole number, or names no item, is refused.

    **Observations**, a dict: ``history``, the newest accepted items, newest last, 0 = none;
    ``target``; ``shown`` and ``accepted``, by round and slot, 0 in rounds to come; ``round``, how
    many were played; ``action_mask``, 1 for the actions that may be shown.

    **Reward**: the increase of the user's hidden interest in the target, or see
    :data:`~proactrec.evaluation.episodes.Reward`.

    **Start**: a (user, target) pair of the experiment and luck, drawn by the seed; or
    ``options={"user_idx": …, "target_idx": …, "luck": …}``. With the experiment's seed as luck,
    users answer as in a rollout.

    **End**: terminated once the target was accepted, unless the world lets users go on, or the user
    left; truncated after `n_rounds`.

    ``info`` holds what no recommender knows: ``accept_prob`` of the last round (0 if nothing was
    shown), ``interest`` and ``rank``, beside ``user_idx`` and ``target_idx``.

    Parameters
    ----------
    experiment : Experiment
        Its data set, targets and simulated users are played; rails and policy are not used.
    n_rounds, history_length, reward
        See :class:`~proactrec.evaluation.episodes.Episodes`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(self, experiment: Experiment, **options: Any) -> None:
        self.episodes = Episodes(experiment, 1, **options)
        self.observation_space, self.action_space = spaces_of(self.episodes)
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
        InvalidInputError
            If the action is no whole number (a float, a bool), or names no item.
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
        See :class:`~proactrec.evaluation.episodes.Episodes`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(self, experiment: Experiment, num_envs: int, **options: Any) -> None:
        check_whole("num_envs", num_envs, at_least=1, at_most=MOST_ENVS)
        self.episodes, self.num_envs = Episodes(experiment, num_envs, **options), num_envs
        self.single_observation_space, self.single_action_space = spaces_of(self.episodes)
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
        seeds: list[int | None] = [None] * n
        if isinstance(seed, int | np.integer):
            seeds = [int(seed) + i for i in range(n)]
        elif seed is not None:
            seeds = list(seed)
        if len(seeds) != n:
            raise InvalidInputError(f"seed must be one or {n} numbers, got {len(seeds)}")
        for row, own in enumerate(seeds):
            if own is not None:
                self._rngs[row], _ = seeding.np_random(int(own))
        for name, values in (options or {}).items():
            if np.shape(values) not in ((), (n,)):
                raise InvalidInputError(
                    f"options[{name!r}] must be one or {n} values, got {values!r}"
                )
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
        InvalidInputError
            If an action is no whole number, or names no item, where a round is played.
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
    progress: Progress = TOLD,
    **options: Any,
) -> ProactiveEnv:
    """A named world on the demo data set.

    Parameters
    ----------
    store : Path
        Folder that keeps the interest vectors, which are fitted once.
    changes : mapping, optional
        Settings of the experiment by their dotted names, e.g. ``{"category": "Drama"}``.
    progress : Progress
        Told of what is fitted; by default on standard error.
    options
        See :class:`~proactrec.evaluation.episodes.Episodes`.
    """
    return ProactiveEnv(_demo(world, Path(store), changes or {}, progress), **options)


def demo_vector_env(
    world: str,
    num_envs: int,
    *,
    store: Path | str = STORE,
    changes: Mapping[str, Any] | None = None,
    progress: Progress = TOLD,
    **options: Any,
) -> ProactiveVectorEnv:
    """Many of :func:`demo_env` in one."""
    return ProactiveVectorEnv(
        _demo(world, Path(store), changes or {}, progress), num_envs, **options
    )


def _demo(world: str, store: Path, changes: Mapping[str, Any], progress: Progress) -> Experiment:
    settings = ExperimentOptions().changed({**named_world(world).changes(), **changes})
    # A callable is hashable, which its protocol does not say.
    return _experiment(settings.model_dump_json(), store, progress)  # type: ignore[arg-type]


@lru_cache(maxsize=4)
def _experiment(settings: str, store: Path, progress: Progress) -> Experiment:
    """The same for all environments that are alike: they only read it."""
    options = ExperimentOptions(**json.loads(settings))
    return Experiment(options, store, progress=_saying_where(progress, store))


def _saying_where(progress: Progress, store: Path) -> Progress:
    """Says of every stage, before its first step, that it is made once and where it is kept."""
    begun = set[str]()

    def tell(stage: str, done: int, total: int, note: str = "") -> None:
        if stage not in begun:
            begun.add(stage)
            progress(stage, 0, total, f"fitted once, and kept in {store}")
        progress(stage, done, total, note)

    return tell


for _name in WORLDS:
    gymnasium.register(
        f"proactrec/{_name}",
        entry_point="proactrec.gym:demo_env",
        vector_entry_point="proactrec.gym:demo_vector_env",
        kwargs={"world": _name},
    )
