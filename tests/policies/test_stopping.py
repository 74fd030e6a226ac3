"""The best round to stop waiting, against a plain loop over rounds."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from proactrec.journeys import OPEN_ENDED
from proactrec.policies.stopping import WAITS, Stop, best_stop

from .conftest import best_wait


def drawn(n: int = 400, seed: int = 3) -> list[Tensor]:
    """Interest, rate and chance to stay: (n, 1) each."""
    rng = torch.Generator().manual_seed(seed)
    s, r, q = torch.rand(3, n, 1, generator=rng, dtype=torch.float64)
    return [1.8 * s - 0.9, 0.3 * r - 0.05, 0.6 + 0.4 * q]


def stop(
    interest: Tensor | float,
    rate: Tensor | float,
    stays: Tensor | float,
    n_rounds: float,
    slope: float = 5.0,
    offset: float = -2.5,
    longest: int = WAITS[-1],
) -> Stop:
    parts = torch.broadcast_tensors(
        *(torch.as_tensor(x, dtype=torch.float64).reshape(-1, 1) for x in (interest, rate, stays))
    )
    return best_stop(
        parts[0],
        parts[1],
        slope=slope,
        offset=torch.full_like(parts[0], offset),
        stays=parts[2],
        n_rounds=torch.full_like(parts[0], n_rounds),
        longest=longest,
    )


@pytest.mark.parametrize("n_rounds", [0.4, 1, 1.5, 5, 13.25, 20, OPEN_ENDED])
def test_it_is_what_a_loop_over_the_waits_finds(n_rounds: float) -> None:
    interest, rate, stays = drawn()
    found = stop(interest, rate, stays, n_rounds)
    for row in range(len(interest)):
        s, r, q = (float(x[row]) for x in (interest, rate, stays))
        value, wait = best_wait(s, r, q, n_rounds, 5.0, -2.5, WAITS)
        assert float(found.value[row]) == pytest.approx(value, rel=1e-9)
        assert int(found.wait[row]) == wait
        there = q**wait * min(n_rounds - wait, 1)
        assert float(found.chance[row]) == pytest.approx(value / there, rel=1e-9)


def test_the_rounds_that_are_not_compared_lose_little() -> None:
    """A loop over every round, where some wait between the sparse ones."""
    interest, rate, stays = drawn()
    rate, stays = 0.1 * rate, 0.97 + 0.03 * stays
    found, skipped = stop(interest, rate, stays, OPEN_ENDED), 0
    for row in range(len(interest)):
        s, r, q = (float(x[row]) for x in (interest, rate, stays))
        value, wait = best_wait(s, r, q, OPEN_ENDED, 5.0, -2.5, range(65))
        assert value * 0.98 < float(found.value[row]) <= value + 1e-12
        skipped += wait not in WAITS
    assert skipped > 20


def test_without_a_round_it_is_worth_nothing() -> None:
    found = stop(0.3, 0.1, 0.9, 0)
    assert (float(found.value), float(found.wait)) == (0, 0)


def test_who_surely_leaves_or_comes_no_nearer_is_shown_it_at_once() -> None:
    now = 1 / (1 + math.exp(-(5.0 * 0.3 - 2.5)))
    for rate, stays in [(0.1, 0.0), (0.0, 1.0), (-0.2, 1.0), (0.0, 0.9)]:
        found = stop(0.3, rate, stays, OPEN_ENDED)
        assert int(found.wait) == 0
        assert float(found.value) == float(found.chance) == pytest.approx(now)


def test_full_interest_gains_no_more() -> None:
    full = 1 / (1 + math.exp(-2.5))
    for rate in (-0.1, 0.0, 0.1, 5.0):
        found = stop(1.0, rate, 0.99, OPEN_ENDED)
        assert int(found.wait) == 0
        assert float(found.value) == pytest.approx(full, abs=1e-5)


def test_a_rate_that_leaves_nothing_lacking_is_waited_for_one_round() -> None:
    found = stop(0.2, 3.0, 0.9, OPEN_ENDED)
    assert int(found.wait) == 1
    assert float(found.value) == pytest.approx(0.9 / (1 + math.exp(-2.5)))


def test_where_nobody_leaves_it_waits_for_the_last_round_there_is() -> None:
    for n_rounds, wait in [(1, 0), (2, 1), (7, 6), (20, 19), (OPEN_ENDED, WAITS[-1])]:
        assert int(stop(0.0, 0.02, 1.0, n_rounds).wait) == wait


def test_the_more_users_leave_the_sooner_it_is_shown() -> None:
    interest, rate, _ = drawn()
    shares = [stop(interest, rate, q, OPEN_ENDED) for q in (1.0, 0.99, 0.95, 0.9, 0.8, 0.5, 0.0)]
    for stays, leaves in pairwise(shares):
        assert (leaves.wait <= stays.wait).all()
        assert (leaves.value <= stays.value).all()
    assert shares[0].wait.double().mean() > shares[3].wait.double().mean() + 1 > 1.5


def test_the_more_interest_counts_the_more_waiting_is_worth() -> None:
    """At the same chance now: whoever waits still waits, and for no less."""
    interest, rate, stays = drawn()
    found = [
        best_stop(
            interest,
            rate,
            slope=slope,
            offset=-1 - slope * interest,
            stays=stays,
            n_rounds=torch.full_like(interest, 20),
        )
        for slope in (0.0, 1.0, 3.0, 9.0)
    ]
    for less, more in pairwise(found):
        assert (more.value >= less.value - 1e-12).all()
        assert (more.wait > 0)[less.wait > 0].all()
    assert not found[0].wait.any()
    assert (found[3].wait > 0).double().mean() > 0.3


def test_no_longer_wait_than_the_longest_is_thought_of() -> None:
    interest, rate, _ = drawn()
    for longest in (0, 1, 5, 11):
        found = stop(interest, rate, 1.0, OPEN_ENDED, longest=longest)
        for row in range(40):
            s, r = float(interest[row]), float(rate[row])
            waits = tuple(k for k in WAITS if k <= longest)
            value, wait = best_wait(s, r, 1.0, OPEN_ENDED, 5.0, -2.5, waits)
            assert float(found.value[row]) == pytest.approx(value, rel=1e-9)
            assert int(found.wait[row]) == wait
        assert found.wait.max() == max(waits)


def test_rows_of_several_plans_and_ends_stand_together() -> None:
    """(n, m) interest, one chance to stay and one end a row: as each alone."""
    interest, rate, stays = drawn(60)
    wide = [x.reshape(12, 5) for x in (interest, rate)]
    few, ends = stays[:12], torch.tensor([[0.0, 0.3, 1, 2, 2.5, 3, 5, 8, 13, 20, 50, OPEN_ENDED]]).T
    offset = torch.full((12, 1), -2.5, dtype=torch.float64)
    found = best_stop(*wide, slope=5.0, offset=offset, stays=few, n_rounds=ends.double())
    for row in range(12):
        alone = stop(wide[0][row], wide[1][row], float(few[row]), float(ends[row]))
        for together, single in zip(found, alone, strict=True):
            torch.testing.assert_close(together[row], single[:, 0], rtol=1e-12, atol=0)
