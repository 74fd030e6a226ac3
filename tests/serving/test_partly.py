"""What is done of a batch stays done and is answered, whatever becomes of the rest."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain, cycle
from typing import Any

import pytest

from proactrec.errors import BusyError, StoreError
from proactrec.serving.host import MOST_TRIES, Host
from proactrec.serving.instance import Instance
from proactrec.serving.requests import Answer, Ask, Consent, Noted, Plain, Report, Request

from .hosting import TENANT, Shop

Batch = Sequence[tuple[int, Request]]


def before_each(host: Host, monkeypatch: pytest.MonkeyPatch, look: Callable[[Batch], bool]) -> None:
    """Call something before each transaction; if it says so, others were faster."""
    real = host._transaction

    def transaction(tenant: str, requests: Batch) -> dict[int, Any]:
        return {} if look(requests) else real(tenant, requests)

    monkeypatch.setattr(host, "_transaction", transaction)


def failing(*errors: Exception | None) -> Callable[[Batch], bool]:
    """Transactions that fail, or not; all that come later are well."""
    left = chain(errors, cycle([None]))

    def look(_: Batch) -> bool:
        if (error := next(left)) is not None:
            raise error
        return False

    return look


def outcomes(host: Host, *calls: list[Request]) -> tuple[list[Any], bool]:
    """What calls that come at once are answered, and whether the store is held to be out."""

    async def play() -> list[Any]:
        instance.start()
        asked = [instance.handle(TENANT, call) for call in calls]
        found = await asyncio.gather(*asked, return_exceptions=True)
        await instance.stop()
        return found

    instance = Instance(host)
    return asyncio.run(play()), instance.is_store_out


def n_decisions(shop: Shop) -> dict[str, int]:
    return dict(shop.rows("SELECT user_id, COUNT(*) FROM decisions GROUP BY user_id"))


def numbers(outcome: Sequence[Any]) -> list[int]:
    assert all(isinstance(one, Answer) for one in outcome), outcome
    return [one.decided.made.number for one in outcome]


def test_nobody_is_decided_for_again_because_another_ones_scoring_fails(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.campaign(budget={"total": 100})
    before_each(shop.hosts[0], monkeypatch, failing(None, ZeroDivisionError("a bug")))
    found, is_out = outcomes(shop.hosts[0], [Ask("u00"), Ask("u01")], [Ask("u00"), Ask("u02")])
    assert [numbers(one) for one in found] == [[1, 1], [2, 1]]
    assert n_decisions(shop) == {"u00": 2, "u01": 1, "u02": 1}
    assert shop.rows("SELECT used FROM budgets") == [(4,)]
    assert not is_out


@pytest.mark.parametrize("errors", [[None], [ZeroDivisionError("a bug"), None]])
def test_what_was_kept_when_the_store_goes_is_told_so(
    errors: list[Exception | None], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second transaction of a batch, or while requests are tried one by one."""
    before_each(shop.hosts[0], monkeypatch, failing(*errors, StoreError("it is cut off")))
    (found,), is_out = outcomes(shop.hosts[0], [Ask("u00"), Ask("u00")])
    assert numbers(found[:1]) == [1]
    assert isinstance(found[1], Plain)
    assert found[1].because == "store_unavailable"
    assert n_decisions(shop) == {"u00": 1}
    assert is_out == (errors == [None])


def test_events_of_a_call_that_is_done_are_taken_in_all_others_are_to_be_told_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_each(shop.hosts[0], monkeypatch, failing(None, StoreError("it is cut off")))
    first, second = (Report("u00", f"e{n}", "accept", f"i{n:02}") for n in (1, 2))
    say = Consent("u00", guided=False)
    found, _ = outcomes(shop.hosts[0], [first], [say], [second])
    assert isinstance(found[0][0], Noted)
    assert found[1] == [Noted()]
    assert isinstance(found[2], StoreError)
    assert shop.handle([first])[0].is_repeated
    assert not shop.handle([second])[0].is_repeated


def test_who_is_asked_for_everywhere_concerns_nobody_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.campaign()
    host, n_lost = shop.hosts[0], 0

    def look(batch: Batch) -> bool:
        nonlocal n_lost
        is_lost = all(request.user_id == "guest" for _, request in batch)
        n_lost += is_lost
        return is_lost

    real = host._transaction
    monkeypatch.setattr(
        host,
        "_transaction",
        lambda tenant, batch: real(tenant, [one for one in batch if one[1].user_id != "guest"]),
    )
    before_each(host, monkeypatch, look)
    event = Report("guest", "e", "accept", "i01")
    calls: list[list[Request]] = [[Ask("u00"), Ask("guest")], [event], [Consent("u01", True)]]
    found, is_out = outcomes(host, *calls)
    assert numbers(found[0][:1]) == [1]
    assert isinstance(found[0][1], Plain)
    assert found[0][1].because == "overloaded"
    assert found[0][1].item_id != ""
    assert isinstance(found[1], BusyError)
    assert found[2] == [Noted()]
    assert n_lost == MOST_TRIES
    assert not is_out


def test_only_tries_without_progress_count(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = cycle([True, True, False])
    before_each(shop.hosts[0], monkeypatch, lambda _: next(turns))
    found = shop.handle([Ask("guest")] * (MOST_TRIES + 5))
    assert numbers(found) == list(range(1, MOST_TRIES + 6))


def test_nobody_is_tried_again_when_time_is_over(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, n_tries = cycle([False, True]), 0

    def look(_: Batch) -> bool:
        nonlocal n_tries
        n_tries += 1
        return next(turns)

    before_each(shop.hosts[0], monkeypatch, look)
    done: dict[int, Any] = {}
    with pytest.raises(BusyError, match="others were faster for 2 requests: try again later"):
        shop.hosts[0].handle(TENANT, [Ask("guest")] * 3, done, seconds=0)
    assert n_tries == 2
    assert numbers([done[0]]) == [1]
    assert list(done) == [0]
