"""What an explanation holds; :mod:`proactrec.guidance.explanations` finds it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ItemName:
    """What people call an item."""

    item_id: str
    title: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Cause:
    """An item of a user's history that a choice builds on."""

    item: ItemName
    accepted_in: int | None
    """Round of this journey in which it was accepted; None: it was there before."""


@dataclass(frozen=True)
class Explanation:
    """Why one item was shown; :mod:`proactrec.guidance.wording` makes sentences of it."""

    round: int
    item: ItemName
    accepted: bool
    is_target: bool
    is_promoted: bool
    rail: str | None
    """What made the round plain; None: no rail."""
    knows_policy: bool
    """False: the policy gives no reasons, and causes are no more than the nearest items."""
    causes: tuple[Cause, ...]
    """The strongest first; each was found with those before it left out."""
    instead: ItemName | None
    """Shown if the causes had not been in the history; None: the same item still, or unknown."""
    shared: tuple[str, ...]
    """Categories that the item shares with the target."""
    figures: dict[str, float]
    """As :meth:`proactrec.policies.base.Explains.reasons` has them; else cosines of the run's item
    vectors: `similarity_now`, `similarity_after` and `item_to_target`."""
    what_if: ItemName | None
    """Shown if the item asked about had not been in the history; None: unknown, or not asked."""


@dataclass(frozen=True)
class Former:
    """The target that a user was led to before this one, on the way to the same goal."""

    item: ItemName
    because: str
    """Why another took its place: accepted, refused, or other (closed, or suits less)."""


@dataclass(frozen=True)
class ToldJourney:
    """What one user was shown on the way to one target."""

    user_id: str
    target: ItemName
    n_rounds: int
    left_out: ItemName | None
    """What `what_if` leaves out of the history."""
    explanations: tuple[Explanation, ...]
    former: Former | None = None
