r"""What plans are worth: steps toward a target, or the target itself, with what each leaves open.

A step i is accepted with chance :math:`p_i` and then gains interest :math:`g_i`; the next round's
best step gains :math:`V_i` in expectation, or :math:`V_{-i}` after a refusal. With the worth of a
target :math:`w_t`, of any accepted item :math:`w_a` and of interest :math:`w_s`, the chances
:math:`\lambda` that users leave after an acceptance and :math:`\lambda'` after a refusal,
:math:`a_i = p_i (1 - \lambda)` and :math:`b_i = (1 - p_i) (1 - \lambda')`, and the worth of waiting
T of :mod:`~proactrec.policies.stopping`, it is worth

.. math::
    p_i (w_s g_i + w_a) + w_s h\, (a_i V_i + b_i V_{-i})
    + w_t \big(a_i T(s + g_i, V_i) + b_i T(s, V_{-i})\big), \qquad
    h = \sum_{k=0}^{n - 1} (\delta q)^k

with the n rounds left after this one and :math:`q = a_i + b_i`. The target itself is worth
:math:`p\,(w_s g + w_a + w_t)` and what interest may gain after it; once refused, it is closed,
unless it may be shown again. Where another target takes its place, that one is taken to be like
it: :math:`w_t` times T after either answer is added. So it is shown as soon as nothing that may
come of waiting is worth more: its chance grows with interest, and users leave.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from proactrec.journeys import Journeys
from proactrec.policies.base import View
from proactrec.policies.stopping import WAITS, Stop, best_stop
from proactrec.worth import Worth


class Goal(NamedTuple):
    """The target, as users see it: all (n, 1), or scalars."""

    is_open: Tensor  # whether its acceptance is still to come, and of worth
    interest: Tensor  # in it, now
    slope: float
    offset: Tensor  # of the logit of its chance
    price: Tensor  # what a unit of interest is worth, with what it does for the target's chance

    @classmethod
    def of(
        cls, worth: Worth, is_open: Tensor, interest: Tensor, slope: float, offset: Tensor
    ) -> "Goal":
        """The goal and its price.

        A unit of interest adds to the target's chance what that lacks of a user's with full
        interest, by the interest that is lacking.
        """
        price = torch.full_like(interest, worth.interest)
        if worth.target:
            now, full = (torch.sigmoid(slope * x + offset) for x in (interest, 1.0))
            lacking = (full - now) / (1 - interest).clamp(min=1e-3)
            price = price + worth.target * is_open * lacking.clamp(min=0)
        return cls(is_open, interest, slope, offset, price.clamp(min=1e-6))


class Plans(NamedTuple):
    """Items to show now, for each journey, and what they lead to; all (n, n_plans).

    The first is the step that gains most now; a target that is waited for stands last.
    """

    column: Tensor
    now: Tensor  # expected worth of this round, -inf for what may not be shown
    chance: Tensor  # of acceptance
    gain: Tensor  # of interest, if accepted
    after: Tensor  # largest expected gain by a next step once accepted; 0 if guidance ends
    other: Tensor  # largest expected gain by another step once refused
    is_target: Tensor  # whether it is a target that is waited for
    lost: Tensor | None = None  # gain of interest, if refused; None: users stay where they are


class Ahead(NamedTuple):
    """What is to come."""

    rounds_left: Tensor  # (n,), after this round
    leaving: Tensor  # (n or 1, 2), chances after an acceptance and after a refusal
    shows_again: bool  # what was refused
    discount: float  # of a round's gain beside that of the one before
    longest: int = WAITS[-1]  # wait that is thought of
    another: bool = False  # target takes the place of one that was accepted or refused


def is_open(journeys: Journeys, *, shows_again: bool) -> Tensor:
    """Whether targets can still be accepted: (n, 1)."""
    is_closed = journeys.has_arrived
    if not shows_again:
        is_closed = is_closed | (journeys.shown == journeys.target_idx[:, None]).any(1)
    return ~is_closed[:, None]


def is_target(view: View, n_rows: int) -> Tensor:
    """Which candidate is the target: (n, C) bool; of the whole catalogue there are `n_rows`."""
    item_idx = view.candidates.item_idx
    if item_idx is None:
        item_idx = torch.arange(n_rows, device=view.places.device)[None]
    return item_idx == view.target_idx[:, None]


def worth_now(worth: Worth, goal: Goal, gains: Tensor, chance: Tensor) -> Tensor:
    """What steps are worth in their round, by their expected `gains` at the price of interest."""
    value = worth.interest * gains + (1 - worth.interest / goal.price) * worth.step * chance
    return value.masked_fill(gains == -torch.inf, -torch.inf)  # also where interest is worth 0


def target_now(worth: Worth, chance: Tensor, gain: Tensor) -> Tensor:
    """What targets are worth in their round."""
    return chance * (worth.target + worth.step + worth.interest * gain)


def refused_gains(first: Tensor, n_plans: int) -> Tensor:
    """Largest gain of another step than each, by the gains (n, K) of steps, largest first."""
    other = first[:, :1].repeat(1, n_plans)
    other[:, 0] = first[:, 1] if first.shape[1] > 1 else 0
    return other.clamp(min=0)


class Waiting(NamedTuple):
    """What comes of waiting with the target, by expectation over answers: all (n,).

    NaN where the target is closed or the only choice; where no round is left, of all but its chance
    now.
    """

    target_chance: Tensor  # of acceptance, now
    wait_rounds: Tensor  # from now until it is best shown, if the best step is walked now
    wait_chance: Tensor  # of acceptance then
    wait_risk: Tensor  # that the user has left by then


class Staying(NamedTuple):
    """Chances that users answer so and stay."""

    accepted: Tensor  # (n, n_plans)
    refused: Tensor  # (n, n_plans)
    of_first: Tensor  # (n, 1), whatever the answer to the first plan


def value_of(plans: Plans, goal: Goal, worth: Worth, ahead: Ahead) -> Tensor:
    """Value of every plan over the rounds that are left: (n, n_plans)."""
    accepted, refused, stays = staying = _staying(plans, ahead)
    gains = accepted * plans.after + refused * plans.other
    horizon = rounds_worth(ahead.discount * stays.double(), ahead.rounds_left[:, None])
    value = plans.now + worth.interest * horizon.to(gains.dtype) * gains
    if not worth.target:
        return value
    after, other = _by_answer(_stops(plans, goal, staying, ahead).value, plans)
    if not (ahead.shows_again or ahead.another):
        other = other.masked_fill(plans.is_target, 0)
    if not ahead.another:
        after = after.masked_fill(plans.is_target, 0)
    return value + worth.target * goal.is_open * (accepted * after + refused * other)


def waiting_of(plans: Plans, goal: Goal, worth: Worth, ahead: Ahead) -> Waiting:
    """What comes of waiting, by the numbers that plans are valued by."""
    accepted, refused, stays = staying = _staying(plans, ahead)
    value = value_of(plans, goal, worth, ahead).masked_fill(plans.is_target, -torch.inf)
    most, best = value.max(1, keepdim=True)
    stop = _stops(plans, goal, staying, ahead)

    def expected(part: Tensor) -> Tensor:
        after, other = _by_answer(part, plans)
        found = (accepted * after + refused * other) / (accepted + refused)
        return found.gather(1, best)

    now, rounds = torch.sigmoid(goal.slope * goal.interest + goal.offset), 1 + expected(stop.wait)
    is_last = ahead.rounds_left[:, None] <= 0
    is_silent = ~goal.is_open | ((most == -torch.inf) & ~is_last)
    rounds, then = (x.masked_fill(is_last, torch.nan) for x in (rounds, expected(stop.chance)))
    found = Waiting(now, rounds, then, 1 - stays**rounds)
    return Waiting(*(x.masked_fill(is_silent, torch.nan)[:, 0] for x in found))


def _staying(plans: Plans, ahead: Ahead) -> Staying:
    left, left_refused = ahead.leaving[:, :1], ahead.leaving[:, 1:]
    accepted, refused = plans.chance * (1 - left), (1 - plans.chance) * (1 - left_refused)
    return Staying(accepted, refused, (accepted + refused)[:, :1])


def _stops(plans: Plans, goal: Goal, staying: Staying, ahead: Ahead) -> Stop:
    """When waiting on is best ended: after acceptances (n, n_plans), then after refusals."""
    if plans.lost is None:
        another = plans.other[:, :2]  # the first's, and all others'
        refused = goal.interest.expand_as(another)
    else:
        another, refused = plans.other, goal.interest + plans.lost
    return best_stop(
        torch.cat([goal.interest + plans.gain, refused], 1),
        torch.cat([plans.after, another], 1),
        slope=goal.slope,
        offset=goal.offset,
        stays=staying.of_first,
        n_rounds=ahead.rounds_left[:, None].to(plans.now.dtype),
        longest=ahead.longest,
    )


def _by_answer(part: Tensor, plans: Plans) -> tuple[Tensor, Tensor]:
    """What is of :func:`_stops` after an acceptance and after a refusal: (n, n_plans) each."""
    n_plans = plans.now.shape[1]
    if plans.lost is not None:
        after, other = part.split(n_plans, 1)
        return after, other
    after, other = part[:, :n_plans], part[:, -1:].repeat(1, n_plans)
    other[:, :1] = part[:, n_plans : n_plans + 1]
    return after, other


def rounds_worth(discount: Tensor, n_rounds: Tensor) -> Tensor:
    """Worth of so many rounds, in rounds."""
    return (1 - discount ** n_rounds.double()) / (1 - discount)
