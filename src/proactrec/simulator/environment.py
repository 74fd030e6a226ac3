"""The simulated users: hidden interest, response and drift, for blocks of (user, target) pairs."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from proactrec.arousal import arousal, kept_share
from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError, NotFittedError
from proactrec.ranking import penalties, places
from proactrec.rng import uniforms
from proactrec.simulator.dynamics import Receptivity, kept_share_per_user, moved
from proactrec.simulator.response import (
    N_RECENT,
    DistributionResponse,
    Response,
    Shown,
    WorldName,
    calibrated_response,
)
from proactrec.types import IntArray

OFFICIAL_STREAM_SEED = 114514


class WorldOptions(Options):
    """What kind of users there are."""

    world: WorldName = Field("medium", description="how strongly interest decides acceptance")
    mean_accept: float = Field(
        0.5, gt=0, lt=1, description="mean acceptance of users' real next items"
    )
    receptivity: Receptivity = Field(
        "constant",
        description="share of the old vector an accepted item leaves: the same for all, drawn per "
        "user, by arousal in the environment's space, or what the policy says (official only)",
    )
    kept_share: float = Field(0.8, ge=0, le=1, description="that share (mean of it, per user)")
    n_curious: int = Field(10, ge=1, description="favourites behind `arousal`")
    owners: Literal["drop", "zero"] = Field(
        "drop", description="users who have the target: left out, or never moved and counted as 0"
    )
    after_success: Literal["stop", "freeze"] = Field(
        "stop",
        description="after the target was accepted: no more rounds, or rounds without effect",
    )
    noise: Literal["none", "per_target"] = Field(
        "none", description="percentage added to the acceptance probability, one per target (D16)"
    )
    random_numbers: Literal["per_pair", "shared_stream"] = Field(
        "per_pair", description="luck per (seed, user, target, round), or per (user, round) (D17)"
    )


KeptShare = Callable[[Tensor], Tensor]
"""Gives the kept share of these rows of the block, (n_rows,)."""


class Feedback(NamedTuple):
    """How a block of users answered; a policy is told `accepted` only."""

    accepted: Tensor  # (B,) bool
    accept_prob: Tensor  # (B,), NaN where nothing was shown


class Outlook(NamedTuple):
    """What showing every item would bring to some users."""

    accept_prob: Tensor  # (B, n_items + 1)
    interest: Tensor  # (B, n_items + 1), interest in the target after accepting the item
    now: Tensor  # (B, 1), interest in the target now

    @property
    def expected_gain(self) -> Tensor:
        """Chance of acceptance times the gain in interest that it brings: (B, n_items + 1)."""
        return self.accept_prob * (self.interest - self.now)


class Minds(NamedTuple):
    """Hidden state of some users, for oracles: real, or imagined after an accepted item."""

    world: "World"
    user_vectors: Tensor  # (B, d)
    target_idx: Tensor  # (B,)
    kept_share: Tensor  # (B,)
    noise: Tensor  # (B,), percentage added to the acceptance probability
    rounds_left: int

    def of(self, rows: Tensor) -> "Minds":
        """Of these users only."""
        return Minds(
            self.world,
            self.user_vectors[rows],
            self.target_idx[rows],
            self.kept_share[rows],
            self.noise[rows],
            self.rounds_left,
        )

    def accepting(self, item_idx: Tensor) -> "Minds":
        """As they would be after accepting these items (B,)."""
        shown = self.world.item_vectors[item_idx]
        after = moved(self.user_vectors, shown, self.kept_share)
        return self._replace(user_vectors=after, rounds_left=self.rounds_left - 1)

    def outlook(self) -> Outlook:
        """What every item would bring."""
        items, share, response = (
            self.world.item_vectors,
            self.kept_share[:, None],
            self.world.response,
        )
        if not isinstance(response, DistributionResponse):
            raise InvalidInputError("oracles know only the click model `distribution` by heart")
        interest = self.user_vectors @ items.T  # (B, n_items + 1)
        prob = response.accept_prob(interest, self.noise[:, None])
        targets = items[self.target_idx]
        now = (self.user_vectors * targets).sum(1, keepdim=True)
        # Length of share * user + (1 - share) * item, both of length one; padding is never shown.
        length = (share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * interest).sqrt_()
        after = (share * now + (1 - share) * (targets @ items.T)).div_(length)
        return Outlook(prob, after, now)


class World:
    """Everything that the simulated users of one run share; builds environments for blocks of them.

    Parameters
    ----------
    user_vectors : float tensor, shape (n_users, d)
        Interest at the start, unit rows.
    item_vectors : float tensor, shape (n_items + 1, d)
        Unit rows; row 0 is padding.
    targets : int array, shape (n_targets,)
        All targets of the run, in order: noise and streams of `official` go by that order.
    seed : int
        One seed, one luck, whatever is simulated together.
    response : Response, optional
        Click model; by default the calibrated one that `options` name.
    """

    def __init__(
        self,
        dataset: Dataset,
        user_vectors: Tensor,
        item_vectors: Tensor,
        targets: IntArray,
        options: WorldOptions | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        response: Response | None = None,
    ) -> None:
        self.options = options or WorldOptions()
        self.seed, self.device = seed, torch.device(device)
        self.user_vectors = user_vectors.to(self.device)
        self.item_vectors = item_vectors.to(self.device)
        self.owned = dataset.before("train")
        self.response = response or calibrated_response(
            dataset,
            user_vectors,
            item_vectors,
            world=self.options.world,
            mean_accept=self.options.mean_accept,
        )
        self._recent = torch.from_numpy(self.owned.padded(N_RECENT)).to(self.device)
        self._target_order = {int(item): order for order, item in enumerate(targets)}
        self._noise = _official_noise(len(targets)) if self.options.noise == "per_target" else None
        self._shares = None
        if self.options.receptivity == "per-user":
            shares = kept_share_per_user(dataset.n_users, mean=self.options.kept_share, seed=seed)
            self._shares = shares.to(self.device)

    def luck(self, user_idx: IntArray, target_idx: IntArray, n_rounds: int) -> Tensor:
        """Uniform numbers that decide acceptance: (n_pairs, n_rounds)."""
        if self.options.random_numbers == "per_pair":
            drawn = uniforms(self.seed, user_idx, target_idx, n_rounds)
            return torch.from_numpy(drawn).to(self.device)
        rng = torch.Generator().manual_seed(OFFICIAL_STREAM_SEED + self.seed)
        n_users = len(self.user_vectors)
        stream = torch.stack(
            [torch.rand(n_users, dtype=torch.float64, generator=rng) for _ in range(n_rounds)], 1
        )
        return stream[torch.from_numpy(user_idx)].to(self.device)

    def noise(self, target_idx: IntArray) -> Tensor | float:
        """Percentages added to the acceptance probabilities: (n_pairs,), or 0."""
        if self._noise is None:
            return 0.0
        order = [self._target_order[int(item)] for item in target_idx]
        return self._noise[torch.tensor(order)].to(self.device)

    def recent_items(self, user_idx: Tensor) -> Tensor:
        """Newest items at the start, newest last: (n_pairs, N_RECENT)."""
        return self._recent[user_idx]

    def share_of(self, user_idx: Tensor) -> Tensor:
        """Kept share where it does not change over rounds: (n_pairs,)."""
        if self._shares is not None:
            return self._shares[user_idx]
        return torch.full(user_idx.shape, self.options.kept_share, device=self.device)


class Environment:
    """A block of simulated users, one per (user, target) pair.

    Call :meth:`reset`, then :meth:`step` once a round. Their vectors are hidden from policies;
    `interest` and `rank` are for the metrics.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._users: Tensor | None = None

    def reset(self, user_idx: IntArray, target_idx: IntArray, *, n_rounds: int) -> None:
        """Begin with these pairs, at round 1."""
        if len(user_idx) != len(target_idx):
            raise InvalidInputError(
                f"user_idx and target_idx must match, got {len(user_idx)} and {len(target_idx)}"
            )
        world, device = self.world, self.world.device
        users, targets = (
            torch.from_numpy(user_idx).to(device),
            torch.from_numpy(target_idx).to(device),
        )
        self._luck = world.luck(user_idx, target_idx, n_rounds)
        self._n_rounds = n_rounds
        self._noise = world.noise(target_idx)
        self._target_idx, self._targets = targets, world.item_vectors[targets]
        self._users, self._user_idx = world.user_vectors[users], users
        self._recent = world.recent_items(users)
        self.owned_penalty = penalties(world.owned, user_idx, len(world.item_vectors), device)
        self._share = world.share_of(users)
        self.is_owner = self.owned_penalty.gather(1, targets[:, None])[:, 0] < 0
        self.is_frozen = self.is_owner.clone()
        self._round = 0

    @property
    def user_vectors(self) -> Tensor:
        """Hidden interest of every pair's user now: (B, d)."""
        if self._users is None:
            raise NotFittedError("the environment must be reset before it is used")
        return self._users

    def minds(self) -> Minds:
        """What oracles may read; no policy of a real recommender can."""
        rows = torch.arange(len(self.user_vectors), device=self.world.device)
        noise = torch.zeros(len(rows), device=self.world.device) + self._noise
        return Minds(
            self.world,
            self.user_vectors,
            self._target_idx,
            self._kept_share(rows, None).to(self.user_vectors.dtype),
            noise.to(self.user_vectors.dtype),
            self._n_rounds - self._round,
        )

    def interest(self) -> Tensor:
        r"""Inner product with the target, :math:`e_t^\top e_u`: (B,)."""
        return (self.user_vectors * self._targets).sum(1)

    def rank(self, rows: Tensor) -> Tensor:
        """0-based place of the target among items outside the train history, of these rows."""
        return places(
            self.user_vectors[rows] @ self.world.item_vectors.T,
            self._target_idx[rows],
            self.owned_penalty[rows],
        )

    def step(self, item_idx: Tensor, policy_share: KeptShare | None = None) -> Feedback:
        """Show an item (0 = none) to every user; who accepts is moved, unless frozen.

        A user who accepts the target is frozen from the next round on. `policy_share` is asked
        only under ``receptivity="policy"``.
        """
        users, is_shown = self.user_vectors, item_idx > 0
        shown = self.world.item_vectors[item_idx]
        interest = (users * shown).sum(1)
        prob = self.world.response.respond(
            Shown(self._user_idx, item_idx, self._recent, interest, self._noise)
        )
        accepted = (self._luck[:, self._round] < prob) & is_shown
        moving = (accepted & ~self.is_frozen).nonzero()[:, 0]
        if len(moving):
            share = self._kept_share(moving, policy_share)
            self._users = users.index_copy(0, moving, moved(users[moving], shown[moving], share))
        rows = accepted.nonzero()[:, 0]
        newest = torch.cat([self._recent[rows, 1:], item_idx[rows, None]], 1)
        self._recent = self._recent.index_copy(0, rows, newest)
        self.is_frozen |= accepted & (item_idx == self._target_idx)
        self._round += 1
        return Feedback(accepted, prob.masked_fill(~is_shown, torch.nan))

    def _kept_share(self, rows: Tensor, policy_share: KeptShare | None) -> Tensor:
        options = self.world.options
        if options.receptivity == "policy" and policy_share is not None:
            return policy_share(rows)
        if options.receptivity != "arousal":
            return self._share[rows]
        coefficient = arousal(
            self.user_vectors[rows],
            self.world.item_vectors,
            self.owned_penalty[rows],
            self._target_idx[rows],
            n_curious=options.n_curious,
        )
        return kept_share(coefficient, form="one_minus", floor=0.2)


def _official_noise(n_targets: int) -> Tensor:
    # Seed 114514 of NumPy's legacy generator, as in the authors' code.
    return torch.from_numpy(np.random.RandomState(OFFICIAL_STREAM_SEED).rand(n_targets))
