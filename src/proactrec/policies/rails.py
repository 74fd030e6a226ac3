"""Guard rails: what guidance may never do, whichever policy guides.

Rails know what was shown and accepted, categories and users; they hold no state of a run.
A campaign is the guidance of one user toward one target. What spans campaigns is settled in
:mod:`proactrec.policies.shared_rails`.
"""

import math
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, model_validator
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.policies.base import Past
from proactrec.rng import generator, uniforms
from proactrec.types import BoolArray, IntArray

UNLIMITED = 2**31
NO_ITEMS: IntArray = np.empty(0, dtype=np.int64)


class RailsOptions(Options):
    """Constraints of guidance; all are off by default.

    A plain item is the most relevant one, by the run's encoder, of those that may be shown: what
    the user would get without guidance.
    """

    relevance_floor: float | None = Field(
        None,
        gt=0,
        le=1,
        description="a guided item is among this share of the items that may be shown, most "
        "relevant first, by the run's encoder (at least the first)",
    )
    acceptance_floor: float | None = Field(
        None, gt=0, lt=1, description="least chance of acceptance, as the policy predicts it"
    )
    forbidden_categories: tuple[str, ...] = Field(
        (), description="their items are never shown to anybody"
    )
    protected_categories: tuple[str, ...] = Field(
        (), description="their items are no targets and no steps: shown only where plain"
    )
    category_caps: dict[str, NonNegativeInt] = Field(
        {},
        description="most items of a category shown in a campaign, by category; the last place is "
        "kept for a target of it",
    )
    item_cap: int | None = Field(
        None, ge=1, description="most times that one item is shown in a campaign"
    )
    plain_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="least share of plain rounds in any run of rounds, rounded down",
    )
    guided_budget: int | None = Field(
        None, ge=0, description="most guided rounds in a campaign; then plain ones"
    )
    pause_after: int | None = Field(
        None, ge=1, description="guided items refused in a row before plain rounds"
    )
    pause_rounds: int = Field(3, ge=1, description="number of those plain rounds")
    stop_after: int | None = Field(
        None, ge=1, description="items refused in a row after which nothing is shown any more"
    )
    item_cap_per_round: int | None = Field(
        None,
        ge=1,
        description="most campaigns, of all users and targets, that are guided to one item in one "
        "round; plain items are not counted",
    )
    item_cap_total: int | None = Field(
        None, ge=1, description="the same over all rounds: times that one item is a guided one"
    )
    daily_cap: int | None = Field(
        None,
        ge=1,
        description="most guided rounds of a user in a day, over all campaigns; who comes first "
        "goes by the order of targets",
    )
    rounds_per_day: int | None = Field(None, ge=1, description="length of that day, in rounds")
    guided_pairs: float | None = Field(
        None,
        ge=0,
        description="most campaigns that are guided at all, those with most left to gain: a share "
        "up to 1, or a number above; the other users see what they would without guidance",
    )
    equal_groups: Literal["activity"] | dict[str, str] | None = Field(
        None,
        description="guided_pairs is shared out evenly over groups of users: thirds by length of "
        "the train history (activity), or the group of every user id",
    )
    opt_out: tuple[str, ...] = Field(
        (), description="ids of users who are never guided: plain rounds only, for all targets"
    )
    opt_out_share: float = Field(
        0.0, ge=0, le=1, description="chance that a user, drawn by the seed, opts out as well"
    )

    @model_validator(mode="after")
    def _no_pause_without_a_reason(self) -> Self:
        if self.pause_after is None and self.pause_rounds != 3:
            raise InvalidInputError(
                f"pause_rounds needs pause_after, got {self.pause_rounds} without it"
            )
        return self

    @model_validator(mode="after")
    def _no_half_rail(self) -> Self:
        if (self.daily_cap is None) != (self.rounds_per_day is None):
            raise InvalidInputError(
                "daily_cap and rounds_per_day need each other, "
                f"got {self.daily_cap} and {self.rounds_per_day}"
            )
        if self.equal_groups is not None and self.guided_pairs is None:
            raise InvalidInputError("equal_groups needs guided_pairs, got None")
        most = self.guided_pairs
        if most is not None and most > 1 and most != int(most):
            raise InvalidInputError(
                f"guided_pairs must be a share up to 1 or a whole number, got {most}"
            )
        return self

    @property
    def is_on(self) -> bool:
        """Whether there is any rail."""
        return bool(self.said())

    @property
    def spans_users(self) -> bool:
        """Whether there is a rail that can only be held for all campaigns together."""
        caps = (self.item_cap_per_round, self.item_cap_total, self.daily_cap, self.guided_pairs)
        return any(cap is not None for cap in caps)

    @property
    def count_users(self) -> bool:
        """Whether a rail is a number, not a share, that holds for all users together."""
        caps = (self.item_cap_per_round, self.item_cap_total)
        return any(cap is not None for cap in caps) or (self.guided_pairs or 0) > 1

    def said(self) -> dict[str, object]:
        """The rails that are on."""
        return self.model_dump(mode="json", exclude_defaults=True)


def check_rails(rails: RailsOptions, dataset: Dataset, targets: IntArray = NO_ITEMS) -> None:
    """Refuse rails that name what does not exist, or forbid a target.

    Raises
    ------
    UnknownIdError
        For a category that no item carries, or a user that is not there.
    InvalidInputError
        For a target that is forbidden, protected or of a category with a cap of 0, or a user
        without a group.
    """
    for name in rails.category_caps:
        dataset.items_of(name)
    opted_out(rails, dataset, seed=0)
    if rails.equal_groups is not None:
        groups_of(rails, dataset)
    kinds = {
        "forbidden_categories": rails.forbidden_categories,
        "protected_categories": rails.protected_categories,
        "category_caps, with a cap of 0": [n for n, cap in rails.category_caps.items() if not cap],
    }
    for kind, categories in kinds.items():
        for category in categories:
            wrong = np.intersect1d(targets, dataset.items_of(category))
            if len(wrong):
                raise InvalidInputError(
                    f"target {dataset.titles[wrong[0] - 1]!r} is of the category {category!r} in "
                    f"rails.{kind}: choose other targets, or change the rail"
                )


def opted_out(rails: RailsOptions, dataset: Dataset, *, seed: int) -> BoolArray:
    """Who is never guided: (n_users,)."""
    user_idx = {user_id: row for row, user_id in enumerate(dataset.user_ids)}
    if unknown := [user_id for user_id in rails.opt_out if user_id not in user_idx]:
        raise UnknownIdError(f"rails.opt_out: user {unknown[0]!r} does not exist in {dataset.name}")
    is_out: BoolArray = generator(seed, "opt-out").random(dataset.n_users) < rails.opt_out_share
    is_out[[user_idx[user_id] for user_id in rails.opt_out]] = True
    return is_out


def groups_of(rails: RailsOptions, dataset: Dataset) -> tuple[tuple[str, ...], IntArray]:
    """Names of the groups of `equal_groups`, and every user's: (n_users,) places in the names.

    Users of the file that the data set does not have, e.g. those that a filter took out, are left
    aside. Users of one length of history are of one third, so thirds may differ in size.
    """
    if rails.equal_groups == "activity":
        lengths = dataset.before("train").lengths
        ends = np.quantile(lengths, [1 / 3, 2 / 3], method="lower")
        return ("least active", "middle", "most active"), np.searchsorted(ends, lengths)
    given = rails.equal_groups or {}
    if missing := [user_id for user_id in dataset.user_ids if user_id not in given]:
        raise InvalidInputError(
            f"rails.equal_groups must name the group of every user of {dataset.name}, "
            f"{len(missing)} have none, the first is {missing[0]!r}"
        )
    names, found = np.unique([given[user_id] for user_id in dataset.user_ids], return_inverse=True)
    return tuple(names.tolist()), found


class Course(NamedTuple):
    """Where pairs stand before a round: masks (n,); whoever is in none of them may be guided."""

    is_stopped: Tensor  # nothing more is shown
    is_paused: Tensor  # after refusals
    is_spent: Tensor  # no guided rounds are left
    is_due: Tensor  # a plain round, by the share


class Standing(NamedTuple):
    """What has been counted of pairs so far: all (n,)."""

    n_guided: Tensor
    n_refused: Tensor  # guided items in a row, since the last pause
    n_in_a_row: Tensor  # items in a row, guided or plain
    pause: Tensor  # plain rounds to come
    is_stopped: Tensor


class Rails:
    """The rails of a run: what may be shown, and who may be guided now.

    Parameters
    ----------
    options : RailsOptions
    dataset : Dataset
    seed : int
        Draws who opts out, and which rounds are plain.
    """

    def __init__(self, options: RailsOptions, dataset: Dataset, *, seed: int = 0) -> None:
        self.options = options
        self.opted_out = torch.from_numpy(opted_out(options, dataset, seed=seed))
        self.is_forbidden = _items_of(dataset, options.forbidden_categories)
        self.is_protected = _items_of(dataset, options.protected_categories)
        capped = [_items_of(dataset, (name,)) for name in options.category_caps]
        self._capped = torch.stack(capped) if capped else None  # (n_caps, n_items + 1)
        self._caps = torch.tensor(list(options.category_caps.values()))
        self._seed = int(generator(seed, "rails").integers(2**63))

    def may_not(self, past: Past, n_rows: int) -> Tensor:
        """What caps leave nothing of: (n, n_items + 1) bool, or (1, n_items + 1) if for all."""
        device = past.shown.device
        found = torch.zeros(1, n_rows, dtype=torch.bool, device=device)
        if self._capped is not None:
            found = self._full(past, self._capped.to(device))
        if self.options.item_cap is not None:
            once = torch.ones_like(past.shown)
            times = past.shown.new_zeros(len(past.shown), n_rows).scatter_add(1, past.shown, once)
            found = found | (times >= self.options.item_cap)
        return found

    def course(self, past: Past) -> Course:
        """What earlier answers mean for the round that comes."""
        now = self._standing(past)
        budget = UNLIMITED if self.options.guided_budget is None else self.options.guided_budget
        is_due = self._is_due(self._phase(past), past.round)
        return Course(now.is_stopped, now.pause > 0, now.n_guided >= budget, is_due)

    def rounds_left(self, past: Past, n_left: int) -> Tensor:
        """Guided rounds left to every pair after this one, of `n_left` rounds: (n,).

        Share, budget and days say how many there are at most. Where refusals end or interrupt
        guidance, as many as are to be expected if acceptances keep their share so far (one
        acceptance and one refusal added).
        """
        options, now = self.options, self._standing(past)
        most = math.ceil((1 - options.plain_share) * n_left - 1e-9)
        left = torch.full_like(past.user_idx, most, dtype=torch.float64)
        if options.daily_cap is not None and options.rounds_per_day is not None:
            by_days = _left_by_days(past, n_left, options.daily_cap, options.rounds_per_day)
            left = left.minimum(by_days)
        n_accepted, n_shown = past.accepted.sum(1), (past.shown > 0).sum(1)
        chance = (1 + n_accepted) / (2 + n_shown.double())
        for limit, n_refused, rest in (
            (options.stop_after, now.n_in_a_row, n_left + 1),
            (options.pause_after, now.n_refused, options.pause_rounds),
        ):
            if limit is not None:
                left = left * _share_left(chance, n_refused, limit, rest, n_left)
        if options.guided_budget is not None:
            left = left.minimum(options.guided_budget - 1 - now.n_guided)
        return left.clamp(min=0)

    def _standing(self, past: Past) -> Standing:
        options = self.options
        if past.guided is None:
            raise InvalidInputError("rails need past.guided: in which rounds the policy chose")
        n_refused = torch.zeros_like(past.user_idx)
        n_in_a_row, pause = n_refused, n_refused
        is_stopped = torch.zeros_like(n_refused, dtype=torch.bool)
        for number in range(past.round - 1):
            is_shown, accepted = past.shown[:, number] > 0, past.accepted[:, number]
            n_refused = (n_refused + past.guided[:, number]) * ~(accepted & past.guided[:, number])
            n_in_a_row = (n_in_a_row + is_shown) * ~accepted
            is_stopped = is_stopped | (n_in_a_row >= (options.stop_after or UNLIMITED))
            is_tired = n_refused >= (options.pause_after or UNLIMITED)
            pause = torch.where(is_tired, options.pause_rounds, (pause - 1).clamp(min=0))
            n_refused = n_refused * ~is_tired
        return Standing(past.guided.sum(1), n_refused, n_in_a_row, pause, is_stopped)

    def _full(self, past: Past, capped: Tensor) -> Tensor:
        """What is of a full category: (n, n_items + 1); the last place is kept for the target."""
        targets, caps = past.target_idx, self._caps.to(capped.device)
        n_shown = capped[:, past.shown].sum(2).T  # (n, n_caps)
        is_targets = capped[:, targets].T  # (n, n_caps)
        is_to_come = ~(past.shown == targets[:, None]).any(1, keepdim=True)
        is_full = n_shown + (is_targets & is_to_come) >= caps
        found = is_full.float() @ capped.float() > 0
        own = (is_targets & (n_shown >= caps)).any(1, keepdim=True)
        return found.scatter(1, targets[:, None], own)

    def _phase(self, past: Past) -> Tensor:
        """Where in the cycle of plain rounds a pair begins: (n,) in [0, 1)."""
        users, targets = (x.cpu().numpy() for x in (past.user_idx, past.target_idx))
        drawn = torch.from_numpy(uniforms(self._seed, users, targets, 1)[:, 0])
        return drawn.to(past.user_idx.device)

    def _is_due(self, phase: Tensor, number: int) -> Tensor:
        """Whether a round is plain by the share: in w rounds, at least ⌊share · w⌋ are."""
        share = self.options.plain_share
        return (number * share + phase).floor() > ((number - 1) * share + phase).floor()


def _left_by_days(past: Past, n_left: int, cap: int, length: int) -> Tensor:
    """Guided rounds of `n_left` that a daily cap leaves to each pair, if its user has no other."""
    assert past.guided is not None
    begin = (past.round - 1) // length * length
    n_today = past.guided[:, begin : past.round - 1].sum(1)
    today = min(n_left, begin + length - past.round)
    days, rest = divmod(n_left - today, length)
    later = days * min(length, cap) + min(rest, cap)
    return later + (cap - 1 - n_today).clamp(min=0, max=today)


def _share_left(chance: Tensor, n_refused: Tensor, limit: int, rest: int, n_left: int) -> Tensor:
    """Expected share of `n_left` rounds that are played, where refusals in a row cost rounds.

    Parameters
    ----------
    chance : float tensor, shape (n,)
        Of acceptance, in every round.
    n_refused : int tensor, shape (n,)
        Refusals in a row before this round.
    limit, rest : int
        So many in a row cost so many rounds; then it begins anew.
    """
    if limit > int(n_refused.max()) + n_left + 1 or not n_left:
        return torch.ones_like(chance)
    chance = chance[:, None]
    played = [chance.new_zeros(len(chance), limit)]  # by refusals in a row before it
    for n_rounds in range(1, n_left + 2):
        before, after_rest = played[-1], played[max(0, n_rounds - 1 - rest)]
        refused = torch.cat([before[:, 1:], after_rest[:, :1]], 1)
        played.append(1 + chance * before[:, :1] + (1 - chance) * refused)
    start = n_refused.clamp(max=limit - 1)[:, None]
    return (played[-1].gather(1, start)[:, 0] - 1) / n_left


def _items_of(dataset: Dataset, categories: tuple[str, ...]) -> Tensor:
    """Whether an item is of any of these categories: (n_items + 1,)."""
    found = torch.zeros(dataset.n_items + 1, dtype=torch.bool)
    for name in categories:
        found[torch.from_numpy(dataset.items_of(name))] = True
    return found
