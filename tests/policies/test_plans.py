"""What plans are worth, by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from proactrec.journeys import ACCEPTED, OPEN_ENDED, REFUSED
from proactrec.policies.plans import (
    Ahead,
    Goal,
    Plans,
    is_open,
    refused_gains,
    rounds_worth,
    value_of,
    waiting_of,
    worth_now,
)
from proactrec.policies.stopping import WAITS
from proactrec.worth import ONLY_INTEREST, Worth

from .conftest import best_wait, journeys_of

SLOPE, OFFSET, INTEREST = 4.0, -2.0, 0.25
WORTH = Worth(target=1.5, step=0.03, interest=0.4)
CHANCE, GAIN = (0.8, 0.5, 0.3), (0.02, 0.09, 0.3)
AFTER, OTHER = (0.05, 0.06, 0.02), (0.045, 0.016, 0.016)
LEAVING = (0.05, 0.2)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def goal_of(worth: Worth = WORTH, *, is_waited: bool = True) -> Goal:
    return Goal.of(worth, torch.tensor([[is_waited]]), row(INTEREST), SLOPE, row(OFFSET))


def plans_of(worth: Worth = WORTH) -> Plans:
    """Two steps, then the target, whose own gain is .3."""
    now = [p * (worth.interest * g + worth.step) for p, g in zip(CHANCE, GAIN, strict=True)]
    now[2] += CHANCE[2] * worth.target
    is_target = torch.tensor([[False, False, True]])
    parts = (row(*x) for x in (now, CHANCE, GAIN, AFTER, OTHER))
    return Plans(torch.tensor([[7, 3, 9]]), *parts, is_target)


def ahead_of(
    leaving: tuple[float, float] = LEAVING, *, n: float = 6, again: bool = False, **changes: Any
) -> Ahead:
    ends = torch.tensor([n], dtype=torch.float64)
    given: dict[str, Any] = {"discount": 0.7, "longest": WAITS[-1], **changes}
    return Ahead(ends, row(*leaving), again, **given)


def waited(s: float, r: float, q: float, n: float) -> float:
    return best_wait(s, r, q, n, SLOPE, OFFSET, WAITS)[0]


def by_hand(
    plan: int,
    worth: Worth,
    leaving: tuple[float, float],
    *,
    n: float = 6,
    again: bool = False,
    is_waited: bool = True,
) -> float:
    """The formula of the module, term by term."""
    p, g = CHANCE[plan], GAIN[plan]
    is_target = plan == 2
    a, b = p * (1 - leaving[0]), (1 - p) * (1 - leaving[1])
    q = CHANCE[0] * (1 - leaving[0]) + (1 - CHANCE[0]) * (1 - leaving[1])
    whole, part = int(n), n - int(n)
    rounds = sum((0.7 * q) ** k for k in range(whole))
    rounds += (0.7 * q) ** whole * (1 - (0.7 * q) ** part) / (1 - 0.7 * q)
    value = p * (worth.interest * g + worth.step + is_target * worth.target)
    value += worth.interest * rounds * (a * AFTER[plan] + b * OTHER[plan])
    if is_waited and not is_target:
        value += worth.target * a * waited(INTEREST + g, AFTER[plan], q, n)
    if is_waited and (again or not is_target):
        value += worth.target * b * waited(INTEREST, OTHER[plan], q, n)
    return value


@pytest.mark.parametrize("leaving", [(0.0, 0.0), (0.1, 0.1), LEAVING, (0.3, 0.0)])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("n", [1, 2.5, 6, 20])
def test_steps_and_the_target_are_worth_what_the_formula_says(
    leaving: tuple[float, float], again: bool, n: float
) -> None:
    found = value_of(plans_of(), goal_of(), WORTH, ahead_of(leaving, n=n, again=again))
    expected = [by_hand(plan, WORTH, leaving, n=n, again=again) for plan in range(3)]
    assert found[0].tolist() == pytest.approx(expected, rel=1e-9)


def test_a_refused_target_is_worth_more_only_where_it_may_be_shown_again() -> None:
    once, twice = (value_of(plans_of(), goal_of(), WORTH, ahead_of(again=x)) for x in (False, True))
    assert torch.equal(once[:, :2], twice[:, :2])
    refused_and_stays = (1 - CHANCE[2]) * (1 - LEAVING[1])
    q = CHANCE[0] * 0.95 + 0.2 * 0.8
    later = WORTH.target * refused_and_stays * waited(INTEREST, OTHER[2], q, 6)
    assert float(twice[0, 2] - once[0, 2]) == pytest.approx(later)


def test_where_another_target_follows_it_is_worth_what_this_one_would_be() -> None:
    alone, followed = (
        value_of(plans_of(), goal_of(), WORTH, ahead_of(another=x)) for x in (False, True)
    )
    assert torch.equal(alone[:, :2], followed[:, :2])
    q = CHANCE[0] * 0.95 + 0.2 * 0.8
    after = CHANCE[2] * 0.95 * waited(INTEREST + GAIN[2], AFTER[2], q, 6)
    after += (1 - CHANCE[2]) * 0.8 * waited(INTEREST, OTHER[2], q, 6)
    assert float(followed[0, 2] - alone[0, 2]) == pytest.approx(WORTH.target * after)


def test_of_a_closed_target_nothing_is_waited_for() -> None:
    found = value_of(plans_of(), goal_of(is_waited=False), WORTH, ahead_of())
    expected = [by_hand(plan, WORTH, LEAVING, is_waited=False) for plan in range(3)]
    assert found[0].tolist() == pytest.approx(expected, rel=1e-9)


def test_without_a_round_left_only_this_one_counts() -> None:
    found = value_of(plans_of(), goal_of(), WORTH, ahead_of(n=0))
    torch.testing.assert_close(found, plans_of().now)


def test_the_sooner_users_leave_the_sooner_the_target_is_shown() -> None:
    plans = plans_of()
    margins = []
    for share in (0.0, 0.05, 0.2, 0.5, 0.9):
        value = value_of(plans, goal_of(), WORTH, ahead_of((share, share), n=OPEN_ENDED))
        margins.append(float(value[0, 2] - value[0, :2].max()))
    assert margins == sorted(margins)
    assert margins[0] < 0 < margins[-1]


def test_what_may_not_be_shown_is_worth_nothing_whatever_interest_is_worth() -> None:
    for worth in (WORTH, WORTH.model_copy(update={"interest": 0.0}), ONLY_INTEREST):
        now = plans_of(worth).now
        now[0, 1] = -torch.inf
        found = value_of(plans_of(worth)._replace(now=now), goal_of(worth), worth, ahead_of())
        assert found[0, 1] == -torch.inf
        assert found[0, [0, 2]].isfinite().all()


@pytest.mark.parametrize("worth", [WORTH, Worth(interest=0), Worth(target=0, interest=0, step=0)])
def test_steps_are_worth_their_interest_and_their_acceptance(worth: Worth) -> None:
    """By gains at the goal's price; nothing is no number, even where interest is worth 0."""
    goal, chance, gain = goal_of(worth), row(0.8, 0.5, 0.3), row(0.02, 0.09, -0.1)
    gains = chance * (gain + worth.step / goal.price)
    gains[0, 1] = -torch.inf
    found = worth_now(worth, goal, gains, chance)[0]
    assert found[1] == -torch.inf
    for place in (0, 2):
        p, g = float(chance[0, place]), float(gain[0, place])
        expected = p * (worth.interest * g + worth.step)
        assert float(found[place]) == pytest.approx(expected, abs=1e-12)


def test_interest_has_its_price_by_what_it_does_for_the_target() -> None:
    now, full = sigmoid(SLOPE * INTEREST + OFFSET), sigmoid(SLOPE + OFFSET)
    expected = WORTH.interest + WORTH.target * (full - now) / (1 - INTEREST)
    assert float(goal_of().price) == pytest.approx(expected)
    assert float(goal_of(is_waited=False).price) == pytest.approx(WORTH.interest)
    assert float(goal_of(ONLY_INTEREST).price) == 1
    nothing = Worth(target=0, interest=0)
    assert 0 < float(goal_of(nothing).price) <= 1e-6  # one divides by it
    full_of_it = Goal.of(WORTH, torch.tensor([[True]]), row(1.0), SLOPE, row(OFFSET))
    assert float(full_of_it.price) == pytest.approx(WORTH.interest)


def test_a_target_is_open_until_it_was_accepted_or_refused() -> None:
    """Not shown; shown without an answer yet; refused; accepted; another item accepted."""
    begun = journeys_of(torch.full((5,), 9))
    shown = begun.shown.clone()
    shown[:, 2] = torch.tensor([0, 9, 9, 9, 4])
    answer = begun.answer.clone()
    answer[2:, 2] = torch.tensor([REFUSED, ACCEPTED, ACCEPTED], dtype=torch.int8)
    journeys = begun._replace(shown=shown, answer=answer, round=begun.round + 3)
    assert is_open(journeys, shows_again=False)[:, 0].tolist() == [True, False, False, False, True]
    assert is_open(journeys, shows_again=True)[:, 0].tolist() == [True, True, True, False, True]


def test_after_a_refusal_another_step_is_the_best() -> None:
    first = row(0.5, 0.3, 0.2)
    assert refused_gains(first, 3).tolist() == [[0.3, 0.5, 0.5]]
    assert refused_gains(row(0.5), 2).tolist() == [[0, 0.5]]
    assert refused_gains(row(-0.1, -torch.inf), 2).tolist() == [[0, 0]]


def test_rounds_are_worth_their_discounted_sum() -> None:
    for discount, n in [(0.7, 5), (0.0, 4), (0.99, 20)]:
        expected = sum(discount**k for k in range(n))
        found = rounds_worth(row(discount), torch.tensor([[n]]))
        assert float(found) == pytest.approx(expected)
    assert float(rounds_worth(row(0.8), torch.tensor([[OPEN_ENDED]]))) == pytest.approx(5)
    assert float(rounds_worth(row(0.8), torch.tensor([[0]]))) == 0


def test_what_comes_of_waiting_is_of_the_best_step() -> None:
    found = waiting_of(plans_of(), goal_of(), WORTH, ahead_of())
    values = [by_hand(plan, WORTH, LEAVING) for plan in (0, 1)]
    best = values.index(max(values))
    p, q = CHANCE[best], CHANCE[0] * 0.95 + 0.2 * 0.8
    a, b = p * (1 - LEAVING[0]), (1 - p) * (1 - LEAVING[1])
    stops = [
        best_wait(s, r, q, 6, SLOPE, OFFSET, WAITS)
        for s, r in ((INTEREST + GAIN[best], AFTER[best]), (INTEREST, OTHER[best]))
    ]
    rounds = 1 + (a * stops[0][1] + b * stops[1][1]) / (a + b)
    chances = [value / q**wait / min(6 - wait, 1) for value, wait in stops]
    assert float(found.target_chance) == pytest.approx(sigmoid(SLOPE * INTEREST + OFFSET))
    assert float(found.wait_rounds) == pytest.approx(rounds)
    assert float(found.wait_chance) == pytest.approx((a * chances[0] + b * chances[1]) / (a + b))
    assert float(found.wait_risk) == pytest.approx(1 - q**rounds)
