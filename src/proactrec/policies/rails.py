"""Guard rails: what guidance may never do, whichever policy guides.

Rails know what was shown and accepted, categories and users; they hold no state of a run.
A campaign is the guidance of one user toward one target.
"""

import math
from typing import NamedTuple, Self

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

    @property
    def is_on(self) -> bool:
        """Whether there is any rail."""
        return bool(self.said())

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
        For a target that is forbidden or protected.
    """
    for name in rails.category_caps:
        dataset.items_of(name)
    opted_out(rails, dataset, seed=0)
    for kind in ("forbidden_categories", "protected_categories"):
        for category in getattr(rails, kind):
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


class Course(NamedTuple):
    """Where pairs stand before a round: masks (n,); whoever is in none of them may be guided."""

    is_stopped: Tensor  # nothing more is shown
    is_paused: Tensor  # after refusals
    is_spent: Tensor  # no guided rounds are left
    is_due: Tensor  # a plain round, by the share


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
        options, phase = self.options, self._phase(past)
        budget = UNLIMITED if options.guided_budget is None else options.guided_budget
        n_guided = torch.zeros_like(past.user_idx)
        n_refused, n_in_a_row, pause = n_guided, n_guided, n_guided
        is_stopped = torch.zeros_like(n_guided, dtype=torch.bool)
        for number in range(1, past.round):
            is_shown, accepted = past.shown[:, number - 1] > 0, past.accepted[:, number - 1]
            is_plain = (pause > 0) | (n_guided >= budget) | self._is_due(phase, number)
            is_guided = is_shown & ~is_plain
            n_guided = n_guided + is_guided
            n_refused = (n_refused + is_guided) * ~accepted
            n_in_a_row = (n_in_a_row + is_shown) * ~accepted
            is_stopped = is_stopped | (n_in_a_row >= (options.stop_after or UNLIMITED))
            is_tired = n_refused >= (options.pause_after or UNLIMITED)
            pause = torch.where(is_tired, options.pause_rounds, (pause - 1).clamp(min=0))
            n_refused = n_refused * ~is_tired
        is_due = self._is_due(phase, past.round)
        return Course(is_stopped, pause > 0, n_guided >= budget, is_due)

    def rounds_left(self, number: int, n_left: int) -> int:
        """Guided rounds left after this one, as share and budget have it, of rounds left.

        The same for all pairs: pauses and refusals are not counted in.
        """
        guided_share = 1 - self.options.plain_share
        n_left = math.ceil(guided_share * n_left - 1e-9)
        if self.options.guided_budget is None:
            return n_left
        n_before = math.floor(guided_share * (number - 1) + 1e-9)
        return max(0, min(n_left, self.options.guided_budget - n_before - 1))

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


def _items_of(dataset: Dataset, categories: tuple[str, ...]) -> Tensor:
    """Whether an item is of any of these categories: (n_items + 1,)."""
    found = torch.zeros(dataset.n_items + 1, dtype=torch.bool)
    for name in categories:
        found[torch.from_numpy(dataset.items_of(name))] = True
    return found
