"""What exactly the metrics are; sums that a real campaign can know, of what was shown to whom."""

from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import Field, NonNegativeFloat

from proactrec.config import Options
from proactrec.measurement.sums import Sums, floats
from proactrec.types import BoolArray, IntArray
from proactrec.worth import ONLY_INTEREST, Worth

ROUNDS = (5, 10, 15, 20)


class MetricOptions(Options):
    """What exactly the metrics are; defaults as in the protocol `common`."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"worth", "watch", "item_weights"})

    rounds: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        ROUNDS, min_length=1, description="rounds P at which figures are given"
    )
    timing: Literal["after", "before"] = Field(
        "after", description="state after P rounds, or as the code logs it: after P - 1 (D22)"
    )
    hr: Literal["rounds", "first_targets"] = Field(
        "rounds",
        description="clicks of the first P rounds, or of all rounds for the first P targets (D23)",
    )
    rank_cut: int | None = Field(
        None, ge=1, description="ranks from this on count as the last one before it (D24)"
    )
    worth: Worth = Field(ONLY_INTEREST, description="what journeys are for")
    watch: tuple[str, ...] = Field(
        (),
        description="category whose figures are told, whatever is promoted: who accepts of it, its "
        "share of what is accepted, interest in it",
    )
    item_weights: dict[str, NonNegativeFloat] = Field(
        {},
        description="what items weigh in the interest in a category, by id; 1 if not given",
    )

    def up_to(self, n_rounds: int) -> "MetricOptions":
        """The same for guidance of so many rounds: no round that was not played."""
        rounds = tuple(p for p in self.rounds if p <= n_rounds) or (n_rounds,)
        return self.model_copy(update={"rounds": rounds})


class Observed(Protocol):
    """What these metrics may look at: of a log, nothing that is in users' minds."""

    @property
    def user_idx(self) -> IntArray:
        """(n_pairs,)."""

    @property
    def target_idx(self) -> IntArray:
        """(n_pairs,)."""

    @property
    def item_idx(self) -> IntArray:
        """(n_pairs, n_rounds), 0 where nothing was shown."""

    @property
    def accepted(self) -> BoolArray:
        """(n_pairs, n_rounds)."""


@runtime_checkable
class KnowsTargets(Protocol):
    """A log that says itself what is a target: of users who are led to any item of a goal."""

    @property
    def is_target(self) -> BoolArray:
        """(n_pairs, n_rounds), whether what was shown is the target, or an item of the goal."""


def hit_ratio(log: Observed, options: MetricOptions) -> Sums:
    r"""HR@P: share of shown items that were accepted in the first P rounds.

    :math:`\mathrm{HR@P} = \sum_{p \le P} \sum_u a_{up} / \sum_{p \le P} \sum_u s_{up}`, with s = 1
    where an item was shown; the paper's :math:`1 / P|U|` when everybody is shown one in all
    rounds. `hr="first_targets"` is what the public code computes: all rounds, first P targets.
    """
    accepted, shown, rounds = log.accepted, log.item_idx > 0, options.rounds
    if options.hr == "first_targets":
        order = {item: rank for rank, item in enumerate(dict.fromkeys(log.target_idx.tolist()))}
        rank = np.array([order[item] for item in log.target_idx.tolist()])
        chosen = [np.broadcast_to((rank < p)[:, None], accepted.shape) for p in rounds]
    else:
        played = np.arange(accepted.shape[1])
        chosen = [np.broadcast_to(played < p, accepted.shape) for p in rounds]
    hits, offers = (
        floats(np.stack([(what & c).sum(1) for c in chosen], 1)) for what in (accepted, shown)
    )
    return Sums(log.user_idx, log.target_idx, hits, offers)


def target_acceptance(log: Observed, options: MetricOptions) -> Sums:
    """Share of pairs whose user accepted the target itself in the first P rounds.

    On the way to a goal: any item of it.
    """
    reached = floats(_waited(log)[:, None] <= np.array(options.rounds))
    return Sums(log.user_idx, log.target_idx, reached, np.ones_like(reached))


def targets_accepted(log: Observed, options: MetricOptions) -> Sums:
    """Mean number of targets accepted in the first P rounds: one at most, or of a goal's items."""
    hit = _hits(log)
    n_accepted = floats(np.stack([hit[:, :p].sum(1) for p in options.rounds], 1))
    n_accepted = np.where(log.target_idx[:, None] > 0, n_accepted.clip(max=1), n_accepted)
    return Sums(log.user_idx, log.target_idx, n_accepted, np.ones_like(n_accepted))


def rounds_to_target(log: Observed, options: MetricOptions) -> Sums:
    r"""Restricted mean of the round T of the target's acceptance: mean over pairs of min(T, P).

    Who has not accepted it by round P, or has left before, counts P. It is the area above the curve
    of the share A that has accepted it, :math:`\sum_{t < P} (1 - A_t)`; the less, the better.
    """
    waited = floats(np.minimum(_waited(log)[:, None], np.array(options.rounds)))
    return Sums(log.user_idx, log.target_idx, waited, np.ones_like(waited))


def observed_worth(log: Observed, options: MetricOptions) -> Sums:
    """Worth@P but for interest: of accepted targets, and of all accepted items, by round P.

    Mean over pairs of `worth.target` where the target was accepted, for each item of a goal that
    was, and `worth.step` for each accepted item, the target among them.
    """
    n_accepted = np.stack([log.accepted[:, :p].sum(1) for p in options.rounds], 1)
    reached, worth = targets_accepted(log, options), options.worth
    gained = worth.target * reached.numerator + worth.step * n_accepted
    return Sums(log.user_idx, log.target_idx, gained, reached.denominator)


def _waited(log: Observed) -> IntArray:
    """Round in which the target was first accepted, past all others where it never was."""
    hit = _hits(log)
    return np.where(hit.any(1), hit.argmax(1) + 1, np.iinfo(np.int64).max)


def _hits(log: Observed) -> BoolArray:
    """Whether the target, or an item of the goal, was accepted: (n_pairs, n_rounds)."""
    is_target: BoolArray = log.item_idx == log.target_idx[:, None]
    if isinstance(log, KnowsTargets):
        is_target = log.is_target
    hits: BoolArray = log.accepted & is_target
    return hits
