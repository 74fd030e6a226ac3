"""Episodes: journeys with simulated users side by side, each in a round of its own."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proactrec.config import MOST_LEN, MOST_ROUNDS, check_whole
from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment
from proactrec.evaluation.pairs import guided_pairs
from proactrec.guidance.recorded import train_users
from proactrec.journeys import UNKNOWN, Journeys
from proactrec.policies.base import what_may_be_shown
from proactrec.simulator.environment import Environment
from proactrec.types import BoolArray, FloatArray

Reward = Literal["interest", "rank", "accepted", "target"]
"""What a round is worth: the increase of the user's interest in the target; the places that the
target rises; 1 if an item is accepted; 1 if the target is."""
Arrays = dict[str, NDArray[Any]]
EPISODE = ("user_idx", "target_idx", "luck")
"""What `options` of a reset may settle."""


class Outcome(NamedTuple):
    """What a step of n environments brought."""

    reward: FloatArray  # (n,)
    terminated: BoolArray  # (n,)
    truncated: BoolArray  # (n,)


class Episodes:
    """n journeys side by side, each in a round of its own: what both environments share.

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
        check_whole("n_rounds", self.n_rounds, at_least=1, at_most=MOST_ROUNDS)
        check_whole("history_length", history_length, at_least=1, at_most=MOST_LEN)
        if experiment.options.goal.is_on:
            raise InvalidInputError(
                "goal.target must be every for episodes, which lead to one target each, got "
                f"{experiment.options.goal.target!r}"
            )
        self.reward, world = reward, experiment.world
        self._shows_again, self.history_length = guidance.exclude == "accepted", history_length
        self.pairs, _ = guided_pairs(world, experiment.guided_users, experiment.targets.item_idx)
        self._known = set(
            zip(self.pairs.user_idx.tolist(), self.pairs.target_idx.tolist(), strict=True)
        )
        self._users = train_users(experiment.dataset)
        n_slots = options.n_slots
        self.n_items, self.n_slots = experiment.dataset.n_items, n_slots
        nobody = np.zeros(n, np.int64)
        self.environment = Environment(world)
        # A round more than is played: whoever waits for the next episode sits one out.
        self.environment.reset(nobody, nobody + 1, n_rounds=self.n_rounds + 1)
        self.user_idx, self.target_idx, self.round = nobody, nobody.copy(), nobody.copy()
        self.shown = np.zeros((n, self.n_rounds, n_slots), np.int64)
        self.accepted = np.zeros((n, self.n_rounds, n_slots), np.int8)
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
        self._note(self.environment.moved_rows(feedback))
        reached = accepted & (item_idx == self.target_idx)
        reward = {
            "interest": self.info["interest"] - before["interest"],
            "rank": before["rank"] - self.info["rank"],
            "accepted": accepted,
            "target": reached,
        }[self.reward]
        is_done = reached & (self.environment.world.options.after_success != "continue")
        terminated = is_played & (is_done | self.environment.has_left.cpu().numpy())
        truncated = is_played & ~terminated & (self.round == self.n_rounds)
        # Time moves users of other rows too, in some worlds: that is nobody's reward.
        return Outcome(reward.astype(np.float64) * is_played, terminated, truncated)

    @property
    def journeys(self) -> Journeys:
        """What a recommender knows of every journey, each in a round of its own."""
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
        """What a recommender sees of every journey; new arrays."""
        history = self.journeys.sequence(self.history_length, "left")
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
        for name in EPISODE:
            check_whole(name, wanted.get(name, 0), at_least=0)
        if pair not in self._known:
            raise InvalidInputError(
                "options must name user_idx and target_idx of a pair that is guided, "
                f"got {pair[0]} and {pair[1]}"
            )
        return (*pair, wanted.get("luck", luck))

    def _slate(self, actions: NDArray[Any], is_played: BoolArray) -> Tensor:
        """The items to show (n, n_slots), empty slots last; none where no round is played."""
        penalty = self._penalty().to(self.environment.world.device)
        items = torch.from_numpy(self._items(actions, is_played))
        slate = items.to(penalty.device)
        is_free = (penalty.gather(1, slate) == 0) & torch.from_numpy(is_played)[:, None].to(
            slate.device
        )
        for slot in range(1, slate.shape[1]):
            is_free[:, slot] &= (slate[:, slot, None] != slate[:, :slot]).all(1)
        return (slate * is_free).gather(1, (~is_free).int().argsort(dim=1, stable=True))

    def _items(self, actions: NDArray[Any], is_played: BoolArray) -> NDArray[np.int64]:
        """What actions ask for, (n, n_slots); those of rows that are not played may be anything."""
        shape = (len(self.round), self.n_slots)
        rule = f"actions must be whole numbers from 0 to {self.n_items - 1}"
        if actions.dtype.kind not in "iu":
            raise InvalidInputError(f"{rule}, got {actions.tolist()} of type {actions.dtype}")
        if actions.shape not in {shape, shape[:1] if self.n_slots == 1 else shape}:
            raise InvalidInputError(f"{rule} in the shape {shape}, got {actions.shape}")
        asked = np.where(is_played[:, None], actions.reshape(shape), 0)
        if ((asked < 0) | (asked >= self.n_items)).any():
            raise InvalidInputError(f"{rule}, got {actions.tolist()}")
        return asked.astype(np.int64) + 1

    def _note(self, rows: Tensor) -> None:
        """Bring interest and rank of rows whose users have moved up to date."""
        if len(rows):
            at = rows.cpu().numpy()
            self.info["interest"][at] = self.environment.interest()[rows].cpu().numpy()
            self.info["rank"][at] = self.environment.rank(rows).cpu().numpy()
