"""The simulated users at play: response and drift, for blocks of (user, target) pairs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proactrec.arousal import arousal, kept_share
from proactrec.errors import InvalidInputError, NotFittedError
from proactrec.gpu import rows_where
from proactrec.ranking import penalties, places
from proactrec.simulator.drifting import diminished, random_steps, refused, returned, wandered
from proactrec.simulator.dynamics import moved
from proactrec.simulator.minds import Minds
from proactrec.simulator.response import Shown
from proactrec.simulator.world import World
from proactrec.types import IntArray

KeptShare = Callable[[Tensor], Tensor]
"""Gives the kept share of these rows of the block, (n_rows,)."""


class Feedback(NamedTuple):
    """How a block of users answered; a policy is not told `accept_prob`."""

    accepted: Tensor  # (B,) bool
    accept_prob: Tensor  # (B,), of any item of the slate; NaN where nothing was shown
    item_idx: Tensor  # (B,), the accepted item, else the first of the slate; 0: nothing was shown
    slot: Tensor  # (B,), where that item stood


class Environment:
    """A block of simulated users, one per (user, target) pair.

    Call :meth:`reset`, then :meth:`step` once a round. Their vectors are hidden from policies;
    `interest` and `rank` are for the metrics. Users may be in different rounds: see
    :meth:`restart` and :meth:`redirect`.
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
        goal: IntArray | None = None,
    ) -> None:
        """Begin with these pairs, at round 1; with luck of their own `seeds`, if given.

        Parameters
        ----------
        goal : int array, shape (k,), optional
            Items to any of which users may be led, see :meth:`lead`. Luck then goes by target 0,
            whatever the target; interest is the mean interest in these, rank that of the best.
        """
        if len(user_idx) != len(target_idx):
            raise InvalidInputError(
                f"user_idx and target_idx must match, got {len(user_idx)} and {len(target_idx)}"
            )
        world, device = self.world, self.world.device
        users, targets = (torch.from_numpy(x).to(device) for x in (user_idx, target_idx))
        self._goal = None if goal is None else torch.from_numpy(goal).to(device)
        drawn_by = target_idx if goal is None else np.zeros_like(target_idx)
        luck = [
            world.luck(user_idx, drawn_by, n_rounds, slot=slot, seeds=seeds)
            for slot in range(world.options.n_slots)
        ]
        self._luck = torch.stack(luck, 1)  # (B, n_slots, n_rounds)
        self._n_rounds = n_rounds
        self._leaving = world.leaving(users)  # (B, 2)
        self._luck_of_leaving = world.luck_of_leaving(user_idx, drawn_by, n_rounds, seeds=seeds)
        self._noise = world.noise(target_idx)
        self._day = world.day(user_idx, drawn_by, n_rounds, seeds=seeds)
        self._drawn_by = torch.from_numpy(drawn_by).to(device)
        self._seeds = torch.full_like(users, world.seed)
        if seeds is not None:
            self._seeds = torch.from_numpy(seeds).to(device)
        self._target_idx, self._targets = targets, world.item_vectors[targets]
        self._users, self._user_idx = world.user_vectors[users], users
        self._recent, self._share = world.recent[users], world.kept_shares[users]
        self.is_owner = world.is_owner(user_idx, target_idx)
        self.is_frozen = self.is_owner.clone()
        self.has_left = torch.zeros_like(self.is_owner)
        self._n_skipped, self._round = torch.zeros_like(users), torch.zeros_like(users)
        self._n_accepted = torch.zeros_like(users)

    def restart(
        self, rows: Tensor, user_idx: IntArray, target_idx: IntArray, seeds: IntArray
    ) -> None:
        """Begin anew in some rows, with other pairs and luck."""
        fresh = Environment(self.world)
        fresh.reset(user_idx, target_idx, n_rounds=self._n_rounds, seeds=seeds)
        for name, value in vars(fresh).items():
            if isinstance(value, Tensor):
                vars(self)[name][rows] = value

    def redirect(self, rows: Tensor, target_idx: IntArray) -> None:
        """Lead the users of some rows to other targets, with the luck of these pairs.

        Where users stand stays, and what they accepted of late.
        """
        names = ("_users", "_recent", "_n_skipped", "_n_accepted")
        stay = {name: vars(self)[name][rows] for name in names}
        users = self._user_idx[rows].cpu().numpy()
        self.restart(rows, users, target_idx, np.full(len(users), self.world.seed))
        for name, value in stay.items():
            vars(self)[name][rows] = value

    def lead(self, target_idx: Tensor) -> None:
        """Lead users to these targets (B,) of their goal from now on.

        Luck stays, and all that they did.
        """
        self._target_idx, self._targets = target_idx, self.world.item_vectors[target_idx]
        self._noise = self.world.noise(target_idx.cpu().numpy())

    def has_arrived(self, item_idx: Tensor) -> Tensor:
        """Whether items (B,) are what users are led to: the target, or any item of the goal."""
        if self._goal is None:
            return item_idx == self._target_idx
        return torch.isin(item_idx, self._goal)

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
            self._leaving.to(self.user_vectors.dtype),
            self._user_idx,
            self._n_accepted,
            self._today(),
            self._n_rounds - int(self._round.max()),
        )

    def interest(self) -> Tensor:
        r"""Inner product with the target, :math:`e_t^\top e_u`; mean of a goal's items: (B,)."""
        users, world = self.user_vectors, self.world
        aim = self._targets if self._goal is None else world.item_vectors[self._goal].mean(0)
        return (users * aim).sum(1)

    def rank(self, rows: Tensor) -> Tensor:
        """0-based place of the target among items outside the train history, of these rows."""
        world, targets, users = self.world, self._target_idx[rows], self._user_idx[rows]
        scores = self.user_vectors[rows] @ world.item_vectors.T
        if self._goal is not None:  # the best item of it that they did not have
            open_to_them = (scores + self.owned_penalty(rows))[:, self._goal]
            targets = self._goal[open_to_them.argmax(1)]
        if world.held is not None:
            return world.held.places(scores, targets, users)
        return places(scores, targets, world.owned, users.numpy())

    def step(self, item_idx: Tensor, policy_share: KeptShare | None = None) -> Feedback:
        """Show items (0 = none) to every user; who accepts one is moved, unless frozen.

        A user who accepts the target is frozen from the next round on, unless the world lets
        users go on; who has left is shown nothing. `policy_share` is asked only under
        ``receptivity="policy"``.

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
        stays = self.is_frozen | self.has_left
        self._move(accepted & ~self.is_frozen, item_idx, policy_share)
        self._drift(~stays, ~accepted & (item_idx > 0), item_idx)
        self._n_accepted = self._n_accepted + accepted
        rows = rows_where(accepted)
        newest = torch.cat([self._recent[rows, 1:], item_idx[rows, None]], 1)
        newest = torch.where(accepted[rows, None], newest, self._recent[rows])
        self._recent = self._recent.index_copy(0, rows, newest)
        if options.after_success != "continue":
            self.is_frozen |= accepted & self.has_arrived(item_idx)
        self._n_skipped = (self._n_skipped + (item_idx > 0)).masked_fill(accepted, 0)
        self.has_left = self.has_left | self._leave(accepted, item_idx > 0)
        self._round += 1
        return feedback

    def moved_rows(self, feedback: Feedback) -> Tensor:
        """Rows of users who may stand elsewhere after the round of this feedback."""
        if self.world.options.laws.moves_without_acceptance:
            return torch.arange(len(feedback.accepted), device=self.world.device)
        return rows_where(feedback.accepted)

    def _move(self, moving: Tensor, item_idx: Tensor, policy_share: KeptShare | None) -> None:
        """Move the users of a mask (B,) by the items (B,) that they accepted."""
        rows = rows_where(moving)
        if len(rows):
            share, users = self._kept_share(rows, policy_share), self.user_vectors[rows]
            after = moved(users, self.world.item_vectors[item_idx[rows]], share)
            after = torch.where(moving[rows, None], after, users)
            self._users = self.user_vectors.index_copy(0, rows, after)

    def _drift(self, moving: Tensor, is_refused: Tensor, item_idx: Tensor) -> None:
        """Move users (B,) by laws that need no acceptance: what they refused, and time."""
        world, laws = self.world, self.world.options.laws
        if not laws.moves_without_acceptance:
            return
        before = after = self.user_vectors
        pushed = refused(after, world.item_vectors[item_idx], laws)
        after = torch.where(is_refused[:, None], pushed, after)
        after = returned(after, world.user_vectors[self._user_idx], laws)
        if laws.wandering:
            keys = (self._seeds, self._user_idx, self._drawn_by, self._round)
            seed, user, target, round_idx = (x.cpu().numpy() for x in keys)
            steps = random_steps(seed, user, target, round_idx, before.shape[1])
            after = wandered(after, steps.to(before.device), laws)
        self._users = torch.where(moving[:, None], after, before)

    def _today(self) -> Tensor:
        """What logits of acceptance gain in this round: (B,)."""
        last = self._day.shape[1] - 1
        return self._day.gather(1, self._round.clamp(max=last)[:, None])[:, 0]

    def _leave(self, accepted: Tensor, is_shown: Tensor) -> Tensor:
        """Who leaves after this round, out of patience or by chance: (B,)."""
        patience = self.world.options.patience
        leaves = self._n_skipped >= (torch.inf if patience is None else patience)
        if self._luck_of_leaving is not None:
            luck = self._luck_of_leaving.gather(1, self._round[:, None])[:, 0]
            after_refusal = (is_shown & ~accepted).long()[:, None]
            leaves = leaves | (luck < self._leaving.gather(1, after_refusal)[:, 0])
        return leaves

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
        shown = Shown(self._user_idx, item_idx, self._recent, interest, self._noise, boredom)
        prob = world.answered(shown, self._today())
        prob = prob * world.options.position_decay**slot
        luck = self._luck[:, slot].gather(1, self._round[:, None])[:, 0]
        is_shown = item_idx > 0
        return (luck < prob) & is_shown, prob.masked_fill(~is_shown, torch.nan)

    def owned_penalty(self, rows: Tensor) -> Tensor:
        """-inf for padding and what the users of these rows had at the start: dense."""
        world, users, n_rows = self.world, self._user_idx[rows], len(self.world.item_vectors)
        if world.held is not None:
            return world.held.penalties(users, n_rows)
        return penalties(world.owned, users.numpy(), n_rows, world.device)

    def _kept_share(self, rows: Tensor, policy_share: KeptShare | None) -> Tensor:
        share = self._first_kept_share(rows, policy_share)
        return diminished(share, self._n_accepted[rows], self.world.options.laws)

    def _first_kept_share(self, rows: Tensor, policy_share: KeptShare | None) -> Tensor:
        options = self.world.options
        if options.receptivity == "policy" and policy_share is not None:
            return policy_share(rows)
        if options.receptivity != "arousal":
            return self._share[rows]
        coefficient = arousal(
            self.user_vectors[rows],
            self.world.item_vectors,
            self.owned_penalty(rows),
            self._target_idx[rows],
            n_curious=options.n_curious,
        )
        return kept_share(coefficient, form="one_minus", floor=0.2)
