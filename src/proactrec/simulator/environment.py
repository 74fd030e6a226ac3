"""The simulated users: hidden interest, response and drift, for blocks of (user, target) pairs."""

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from proactrec.arousal import arousal, kept_share
from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError, NotFittedError
from proactrec.ranking import penalties, places
from proactrec.rng import uniforms
from proactrec.simulator.boredom import carried_categories, share_alike
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

    later_fields: ClassVar[frozenset[str]] = frozenset(
        {"boredom", "patience", "n_slots", "position_decay"}
    )

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
    boredom: float = Field(
        0.0,
        ge=0,
        description="what the logit of acceptance loses if all of a user's newest 20 items carry "
        "one of the shown item's categories; in proportion if some do",
    )
    patience: int | None = Field(
        None, ge=1, description="rounds without acceptance, in a row, after which a user leaves"
    )
    n_slots: int = Field(
        1, ge=1, description="items shown in a round; a user takes the first one accepted"
    )
    position_decay: float = Field(
        1.0, gt=0, le=1, description="chance that slot k, from 0, is looked at: this to the k"
    )

    @model_validator(mode="after")
    def _slots_have_luck(self) -> Self:
        if self.n_slots > 1 and self.random_numbers != "per_pair":
            raise InvalidInputError(
                f"n_slots must be 1 where random_numbers is shared_stream, got {self.n_slots}"
            )
        return self


KeptShare = Callable[[Tensor], Tensor]
"""Gives the kept share of these rows of the block, (n_rows,)."""


class Feedback(NamedTuple):
    """How a block of users answered; a policy is not told `accept_prob`."""

    accepted: Tensor  # (B,) bool
    accept_prob: Tensor  # (B,), of any item of the slate; NaN where nothing was shown
    item_idx: Tensor  # (B,), the accepted item, else the first of the slate; 0: nothing was shown
    slot: Tensor  # (B,), where that item stood


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
    recent: Tensor  # (B, N_RECENT), newest items, which may bore
    leaves: Tensor  # (B,), whether a refusal now is the last that the user bears
    rounds_left: int

    def of(self, rows: Tensor) -> "Minds":
        """Of these users only."""
        return Minds(
            self.world,
            self.user_vectors[rows],
            self.target_idx[rows],
            self.kept_share[rows],
            self.noise[rows],
            self.recent[rows],
            self.leaves[rows],
            self.rounds_left,
        )

    def accepting(self, item_idx: Tensor) -> "Minds":
        """As they would be after accepting these items (B,)."""
        shown = self.world.item_vectors[item_idx]
        return self._replace(
            user_vectors=moved(self.user_vectors, shown, self.kept_share),
            recent=torch.cat([self.recent[:, 1:], item_idx[:, None]], 1),
            leaves=torch.full_like(self.leaves, self.world.options.patience == 1),
            rounds_left=self.rounds_left - 1,
        )

    def outlook(self) -> Outlook:
        """What every item would bring, in the first slot of a slate."""
        items, share, response = (
            self.world.item_vectors,
            self.kept_share[:, None],
            self.world.response,
        )
        if not isinstance(response, DistributionResponse):
            raise InvalidInputError("oracles know only the click model `distribution` by heart")
        interest = self.user_vectors @ items.T  # (B, n_items + 1)
        boredom = self.world.boredom(self.recent)
        prob = response.accept_prob(interest, self.noise[:, None], boredom)
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

    Raises
    ------
    InvalidInputError
        If users may be bored, but there are no categories, or the click model knows no boredom.
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
        self._carried = self._boring_categories(dataset) if self.options.boredom else None

    def luck(
        self,
        user_idx: IntArray,
        target_idx: IntArray,
        n_rounds: int,
        *,
        slot: int = 0,
        seeds: IntArray | None = None,
    ) -> Tensor:
        """Uniform numbers that decide acceptance in a slot: (n_pairs, n_rounds).

        `seeds` (n_pairs,) stand for the world's where luck is per pair.
        """
        if self.options.random_numbers == "per_pair":
            seed = self.seed if seeds is None else seeds
            drawn = uniforms(seed, user_idx, target_idx, n_rounds, slot=slot)
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

    def boredom(self, recent: Tensor, item_idx: Tensor | None = None) -> Tensor | float:
        """What logits of acceptance lose: of these items (B,), or of all, (B, n_items + 1)."""
        if self._carried is None:
            return 0.0
        return self.options.boredom * share_alike(self._carried, recent, item_idx)

    def share_of(self, user_idx: Tensor) -> Tensor:
        """Kept share where it does not change over rounds: (n_pairs,)."""
        if self._shares is not None:
            return self._shares[user_idx]
        return torch.full(user_idx.shape, self.options.kept_share, device=self.device)

    def _boring_categories(self, dataset: Dataset) -> Tensor:
        if not dataset.category_names:
            raise InvalidInputError(f"boredom needs categories, {dataset.name} has none")
        if not isinstance(self.response, DistributionResponse):
            raise InvalidInputError("boredom needs the click model `distribution`")
        return carried_categories(dataset).to(self.device)


class Environment:
    """A block of simulated users, one per (user, target) pair.

    Call :meth:`reset`, then :meth:`step` once a round. Their vectors are hidden from policies;
    `interest` and `rank` are for the metrics. Users may be in different rounds: see
    :meth:`restart`.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._users: Tensor | None = None

    def reset(
        self,
        user_idx: IntArray,
        target_idx: IntArray,
        *,
        n_rounds: int,
        seeds: IntArray | None = None,
    ) -> None:
        """Begin with these pairs, at round 1; with luck of their own `seeds`, if given."""
        if len(user_idx) != len(target_idx):
            raise InvalidInputError(
                f"user_idx and target_idx must match, got {len(user_idx)} and {len(target_idx)}"
            )
        world, device = self.world, self.world.device
        users, targets = (
            torch.from_numpy(user_idx).to(device),
            torch.from_numpy(target_idx).to(device),
        )
        n_slots = world.options.n_slots
        luck = [
            world.luck(user_idx, target_idx, n_rounds, slot=slot, seeds=seeds)
            for slot in range(n_slots)
        ]
        self._luck = torch.stack(luck, 1)  # (B, n_slots, n_rounds)
        self._n_rounds = n_rounds
        self._noise = world.noise(target_idx)
        self._target_idx, self._targets = targets, world.item_vectors[targets]
        self._users, self._user_idx = world.user_vectors[users], users
        self._recent = world.recent_items(users)
        self.owned_penalty = penalties(world.owned, user_idx, len(world.item_vectors), device)
        self._share = world.share_of(users)
        self.is_owner = self.owned_penalty.gather(1, targets[:, None])[:, 0] < 0
        self.is_frozen = self.is_owner.clone()
        self.has_left = torch.zeros_like(self.is_owner)
        self._n_skipped, self._round = torch.zeros_like(users), torch.zeros_like(users)

    def restart(
        self, rows: Tensor, user_idx: IntArray, target_idx: IntArray, seeds: IntArray
    ) -> None:
        """Begin anew in some rows, with other pairs and luck."""
        fresh = Environment(self.world)
        fresh.reset(user_idx, target_idx, n_rounds=self._n_rounds, seeds=seeds)
        for name, value in vars(fresh).items():
            if isinstance(value, Tensor):
                vars(self)[name][rows] = value

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
        patience = self.world.options.patience
        return Minds(
            self.world,
            self.user_vectors,
            self._target_idx,
            self._kept_share(rows, None).to(self.user_vectors.dtype),
            noise.to(self.user_vectors.dtype),
            self._recent,
            self._n_skipped + 1 >= (torch.inf if patience is None else patience),
            self._n_rounds - int(self._round.max()),
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
        """Show items (0 = none) to every user; who accepts one is moved, unless frozen.

        A user who accepts the target is frozen from the next round on; who has left is shown
        nothing. `policy_share` is asked only under ``receptivity="policy"``.

        Parameters
        ----------
        item_idx : int tensor, shape (B,) or (B, n_slots)
        """
        users, options = self.user_vectors, self.world.options
        slate = item_idx.reshape(len(users), -1) * ~self.has_left[:, None]  # (B, n_slots)
        if slate.shape[1] != options.n_slots:
            raise InvalidInputError(
                f"item_idx must name {options.n_slots} items a user, got {slate.shape[1]}"
            )
        feedback = self._answer(slate)
        accepted, item_idx = feedback.accepted, feedback.item_idx
        moving = (accepted & ~self.is_frozen).nonzero()[:, 0]
        if len(moving):
            share = self._kept_share(moving, policy_share)
            taken = self.world.item_vectors[item_idx[moving]]
            self._users = users.index_copy(0, moving, moved(users[moving], taken, share))
        rows = accepted.nonzero()[:, 0]
        newest = torch.cat([self._recent[rows, 1:], item_idx[rows, None]], 1)
        self._recent = self._recent.index_copy(0, rows, newest)
        self.is_frozen |= accepted & (item_idx == self._target_idx)
        self._round += 1
        if options.patience is not None:
            self._n_skipped = (self._n_skipped + (item_idx > 0)).masked_fill(accepted, 0)
            self.has_left = self._n_skipped >= options.patience
        return feedback

    def _answer(self, slate: Tensor) -> Feedback:
        """What users take of a slate (B, n_slots): the first item that they accept."""
        item_idx = slate[:, 0]
        accepted, prob = self._slot_answer(item_idx, 0)
        taken = torch.zeros_like(item_idx)
        for slot in range(1, slate.shape[1]):
            accepts, chance = self._slot_answer(slate[:, slot], slot)
            takes = accepts & ~accepted
            item_idx = torch.where(takes, slate[:, slot], item_idx)
            taken.masked_fill_(takes, slot)
            accepted = accepted | takes
            prob = 1 - (1 - prob.nan_to_num()) * (1 - chance.nan_to_num())
        return Feedback(accepted, prob.masked_fill(item_idx == 0, torch.nan), item_idx, taken)

    def _slot_answer(self, item_idx: Tensor, slot: int) -> tuple[Tensor, Tensor]:
        """Whether users would accept these items (B,) in a slot, and the chance of it."""
        world = self.world
        interest = (self.user_vectors * world.item_vectors[item_idx]).sum(1)
        boredom = world.boredom(self._recent, item_idx)
        prob = world.response.respond(
            Shown(self._user_idx, item_idx, self._recent, interest, self._noise, boredom)
        )
        prob = prob * world.options.position_decay**slot
        luck = self._luck[:, slot].gather(1, self._round[:, None])[:, 0]
        is_shown = item_idx > 0
        return (luck < prob) & is_shown, prob.masked_fill(~is_shown, torch.nan)

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
