"""Guard rails: what guidance may never do, whichever policy guides; options and their checks.

What they mean for a journey is in :mod:`proactrec.guidance.course`; what spans journeys is settled
in :mod:`proactrec.guidance.ledger`.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, NonNegativeInt, model_validator

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.data.items import Items
from proactrec.errors import InvalidInputError
from proactrec.rng import generator, keys_of, uniform_at
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
        description="most items of a category shown in a journey, by category; the last place is "
        "kept for a target of it",
    )
    item_cap: int | None = Field(
        None, ge=1, description="most times that one item is shown in a journey"
    )
    plain_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="least share of plain rounds in any run of rounds, rounded down",
    )
    guided_budget: int | None = Field(
        None, ge=0, description="most guided rounds in a journey; then plain ones"
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
        description="most journeys, of all users and targets, that are guided to one item in one "
        "round; plain items are not counted",
    )
    item_cap_total: int | None = Field(
        None, ge=1, description="the same over all rounds: times that one item is a guided one"
    )
    daily_cap: int | None = Field(
        None,
        ge=1,
        description="most guided rounds of a user in a day, over all journeys; who comes first "
        "goes by the order of targets",
    )
    rounds_per_day: int | None = Field(None, ge=1, description="length of that day, in rounds")
    guided_pairs: float | None = Field(
        None,
        ge=0,
        description="most journeys that are guided at all, those with most left to gain: a share "
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
        """Whether there is a rail that can only be held for all journeys together."""
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
        For a category that no item carries.
    InvalidInputError
        For a target that is forbidden, protected or of a category with a cap of 0, or a user
        without a group.
    """
    for name in rails.category_caps:
        dataset.items.of_category(name)
    if rails.equal_groups is not None:
        groups_of(rails, dataset)
    check_targets(rails, dataset.items, targets)


def check_targets(rails: RailsOptions, items: Items, targets: IntArray) -> None:
    """Refuse targets that rails forbid, protect or cap at 0.

    Raises
    ------
    InvalidInputError
        For the first of them.
    """
    for kind, categories in _without_targets(rails).items():
        for category in categories:
            wrong = np.intersect1d(targets, items.of_category(category))
            if len(wrong):
                raise InvalidInputError(
                    f"target {items.titles[wrong[0] - 1]!r} is of the category {category!r} in "
                    f"rails.{kind}: choose other targets, or change the rail"
                )


def targets_in(rails: RailsOptions, items: Items, category: str) -> IntArray:
    """Items of a category to which rails let anybody be led.

    Raises
    ------
    UnknownIdError
        If no item carries the category.
    InvalidInputError
        If rails leave none of its items.
    """
    found = items.of_category(category)
    left: IntArray = found[~items.carry(sum(_without_targets(rails).values(), ()))[found]]
    if not len(left):
        check_targets(rails, items, found)
    return left


def _without_targets(rails: RailsOptions) -> dict[str, tuple[str, ...]]:
    """Categories whose items can't be targets, by the rail that says so."""
    return {
        "forbidden_categories": rails.forbidden_categories,
        "protected_categories": rails.protected_categories,
        "category_caps, with a cap of 0": tuple(n for n, c in rails.category_caps.items() if not c),
    }


def opted_out(rails: RailsOptions, user_ids: Sequence[str], *, seed: int) -> BoolArray:
    """Who is never guided, named or drawn by hashed id: (n_users,).

    Ids that are not there are nobody's: see :func:`unknown_opt_outs`.
    """
    named = set(rails.opt_out)
    is_out = np.fromiter((user_id in named for user_id in user_ids), bool, len(user_ids))
    if rails.opt_out_share:
        nothing = np.zeros(len(user_ids), np.int64)
        luck = int(generator(seed, "opt-out").integers(2**63))
        is_out |= uniform_at(luck, keys_of(user_ids), nothing, nothing) < rails.opt_out_share
    return is_out


def unknown_opt_outs(rails: RailsOptions, user_ids: Sequence[str]) -> tuple[str, ...]:
    """Ids of `opt_out` that are not there: every real list holds some."""
    known = set(user_ids)
    return tuple(user_id for user_id in rails.opt_out if user_id not in known)


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
