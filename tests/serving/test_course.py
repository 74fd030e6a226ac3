"""The course of a campaign: hours are those that the log tells, days those of its time zone."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.journeys import ACCEPTED, UNKNOWN
from proactrec.measurement.ratios import linearised
from proactrec.measurement.sums import Sums
from proactrec.serving.coursing import Z, coursed, share_of
from proactrec.serving.schemas import EventReport, micros
from proactrec.store import campaigns
from proactrec.store.campaign import HOLD_OUT, Campaign
from proactrec.store.campaigns import Version
from proactrec.store.course import Answers, Hour, answers, hours
from proactrec.store.database import Database, Hot
from proactrec.store.outcomes import HOUR
from proactrec.store.people import answer_of
from proactrec.worker.expiry import settle

from .hosting import DAY, TENANT, Shop
from .live import Live, campaign, live

USERS = [f"user {n:02}" for n in range(12)]
KINDS = (
    *((), ("impression",), ("impression", "accept"), ("purchase",)),
    *(("skip",), ("complaint",), ("skip", "accept")),
)


def lived(shop: Shop, **said: Any) -> Version:
    """A campaign whose users do all that users may do, or nothing, over some days."""
    goal = {"category": "Drama", "n_targets": 3}
    ids = "proactrec.store.campaigns.secrets.token_hex"  # by which arms are drawn
    with mock.patch(ids, side_effect=["c1", "c2"]):
        version = shop.campaign(hold_out=0.3, goal=goal, **said)
        shop.campaign(name="another", priority=-1, goal={"category": "War"})
    rng = np.random.default_rng(1)
    for _ in range(8):
        for user in USERS:
            shop.now += int(rng.integers(HOUR // 4))
            answer, kinds = shop.ask(user), KINDS[rng.integers(len(KINDS))]
            if kinds:
                shop.report(answer, *kinds)
    shop.now += 3 * DAY
    settle(shop.database, shop.now)
    return version


def counted(shop: Shop, version: Version) -> tuple[list[Hour], list[Answers]]:
    with shop.database.reading() as connection:
        hot = Hot(connection)
        return hours(hot, version, shop.now), answers(hot, version)


def folded(shop: Shop, version: Version, shift: int) -> dict[tuple[int, str], Counter[str]]:
    """The same hours, made from what the log tells of each user."""
    found: dict[tuple[int, str], Counter[str]] = {}
    for user in USERS:
        person = shop.person(user)
        own = [made for made in person.made if made.campaign_id == version.campaign_id]
        for at, made in enumerate(own):
            begins = (made.at + shift) // HOUR * HOUR - shift
            answer = answer_of(person.kinds.get(made.number, frozenset()))
            is_answered, is_accepted = answer not in (None, UNKNOWN), answer == ACCEPTED
            found.setdefault((begins, made.arm), Counter()).update(
                decisions=1,
                guided=made.guided,
                answered=is_answered,
                accepted=is_accepted,
                guided_answered=made.guided * is_answered,
                guided_accepted=made.guided * is_accepted,
                targets_accepted=is_accepted and made.item_id == made.target_id,
                users=at == 0,
            )
    return found


@pytest.mark.parametrize(("zone", "shift"), [("UTC", 0), ("Asia/Kolkata", HOUR // 2)])
def test_hours_are_what_the_log_tells(shop: Shop, zone: str, shift: int) -> None:
    version = lived(shop, budget={"time_zone": zone})
    found, of_users = counted(shop, version)
    assert {one.arm for one in found} == {"guided", HOLD_OUT}
    expected = folded(shop, version, shift)
    assert [(one.at, one.arm) for one in found] == sorted(expected)
    for one in found:
        counts = expected[one.at, one.arm]
        assert one._asdict() == {"at": one.at, "arm": one.arm, **dict(counts)}
    assert sum(one.targets_accepted for one in found) > 0
    for sums in of_users:  # journeys, which are folded elsewhere, have the same answers
        own = [one for one in found if one.arm == sums.arm]
        assert (sums.n, sums.k) == (sum(one.answered for one in own), sum(o.accepted for o in own))


def test_an_interval_is_that_of_users_not_of_answers() -> None:
    rng = np.random.default_rng(2)
    n = rng.integers(1, 30, 200)
    k = rng.binomial(n, rng.random(200))
    sums = (int(one.sum()) for one in (n, k, n * n, n * k, k * k))
    found = share_of(Answers("guided", 200, *sums))
    users = Sums.of_users(np.arange(200), k[:, None].astype(float), n[:, None].astype(float))
    (value,), scores = linearised(users)
    error = np.sqrt((scores**2).sum() / 199 / 200)
    assert found.value == pytest.approx(value)
    assert (found.low, found.high) == pytest.approx((value - Z * error, value + Z * error))
    few = share_of(Answers("guided", 29, 58, 30, 116, 60, 40))
    assert (few.value, few.low, few.high) == (30 / 58, None, None)
    alike = share_of(Answers("guided", 50, 150, 50, 450, 150, 50))
    assert (alike.value, alike.low) == (1 / 3, None)


def said(**more: Any) -> Campaign:
    return Campaign(name="c", goal={"items": ("i04",)}, hold_out=0.1, **more)  # type: ignore[arg-type]


def hour(at: datetime, arm: str = "guided", n: int = 1) -> Hour:
    return Hour(micros(at), arm, *([n] * (len(Hour._fields) - 2)))


def test_days_are_those_of_the_campaigns_time_zone() -> None:
    """Also the one of 25 hours."""
    zone = ZoneInfo("Europe/Berlin")
    begin = micros(datetime(2026, 10, 24, 23, tzinfo=zone))
    rows = [hour(datetime.fromtimestamp((begin + n * HOUR) / 1e6, UTC)) for n in range(27)]
    budget = {"time_zone": "Europe/Berlin"}
    found = coursed(said(budget=budget), rows, [], by="day", last=9, counted_at=5)
    assert [one.decisions for one in found.bins] == [1, 25, 1]
    assert [one.at.astimezone(zone).hour for one in found.bins] == [0, 0, 0]
    assert found.since == found.bins[0].at
    two = coursed(said(budget=budget), rows, [], by="day", last=2, counted_at=5)
    assert two.bins == found.bins[1:]
    assert found.kept_at == datetime(1970, 1, 1, 0, 0, 0, 5, UTC)


def test_the_last_hours_end_at_the_newest_with_anything() -> None:
    rows = [hour(datetime(2026, 5, 1, n, tzinfo=UTC), arm) for n in (1, 5, 8) for arm in "ab"]
    found = coursed(said(), rows, [], by="hour", last=4, counted_at=0)
    assert [(one.at.hour, one.arm) for one in found.bins] == [
        (5, "a"),
        (5, "b"),
        (8, "a"),
        (8, "b"),
    ]
    assert set(found.arms) == {"guided", HOLD_OUT}
    assert found.arms["guided"].value is None
    nothing = coursed(said(), [], [], by="hour", last=4, counted_at=0)
    assert (nothing.since, nothing.bins) == (None, ())


@pytest.fixture
def service(database: Database, guide_folder: Callable[..., Path]) -> Iterator[Live]:
    with live(database, guide_folder()) as found:
        yield found


def test_the_service_tells_it(service: Live) -> None:
    client, campaign_id = service.client, service.running()
    assert client.course(campaign_id).bins == ()
    decision = client.decide("u01")
    client.report(
        [
            EventReport(
                event_id="e1",
                user_id="u01",
                decision_id=decision.decision_id,
                item_id=str(decision.item_id),
                kind="accept",
            )
        ]
    )
    (one,) = client.course(campaign_id, by="day", last=1).bins
    assert (one.users, one.decisions, one.accepted) == (1, 1, 1)
    share = client.course(campaign_id).arms["guided"]
    assert (share.n, share.k, share.value, share.low) == (1, 1, 1.0, None)
    for wrong in ({"by": "week"}, {"last": 0}, {"last": 1001}):
        with pytest.raises(InvalidInputError):
            client.course(campaign_id, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UnknownIdError, match="nobody"):
        client.course("nobody")


def test_policies_are_those_that_arms_may_have(service: Live) -> None:
    found = service.client.policies()
    assert [one.name for one in found if one.own] == ["itmprec"]
    names = [one.name for one in found]
    assert {"next-item", "random", "ipg"} <= set(names)
    assert not [name for name in names if name.startswith(("oracle", "llm"))]
    assert all(one.about for one in found)
    for name in names:
        service.client.create(campaign(arms=({"name": "one", "policy": name},)))


def test_a_study_is_asked_for_once_and_of_what_it_is_of(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, campaign_id = service.client, service.running()
    with pytest.raises(InvalidInputError, match="policy must be given, got none"):
        client.study(campaign_id, "off-policy")
    with pytest.raises(InvalidInputError, match="policies is not of a study of rails"):
        client.study(campaign_id, "rails", policies=["random"])
    for name in ("nobody", "oracle-greedy", "own.py"):
        with pytest.raises(
            UnknownIdError, match=f"can build no policy '{name}'; there are itmprec"
        ):
            client.study(campaign_id, "worlds", policies=["random", name])
    for names in (["random", "ipg"], ["ipg", "random", "random"]):
        assert client.study(campaign_id, "worlds").state == "waiting"
        assert client.study(campaign_id, "worlds", policies=names).state == "waiting"
        assert client.study(campaign_id, "off-policy", policy="random").state == "waiting"
    with service.service.database.reading() as connection:
        kinds = [kind for (kind,) in Hot(connection).rows("SELECT kind FROM jobs ORDER BY kind")]
        current = campaigns.current(connection, TENANT, campaign_id)
    assert kinds == ["off-policy", "worlds", "worlds"]
    assert current.version == 2
    path = f"/v1/campaigns/{campaign_id}/studies"
    assert service.ask("GET", f"{path}/worlds?policies=random&policies=ipg").is_success
    assert service.ask("GET", f"{path}/worlds?policies=ipg").status_code == 409
    assert service.ask("GET", f"{path}/worlds?policies=nobody").status_code == 409
    monkeypatch.setattr("proactrec.store.jobs.MOST_OPEN", 3)
    refused = service.ask("POST", f"{path}/rails")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert service.ask("GET", f"{path}/rails").status_code == 409
    assert service.ask("GET", f"{path}/nothing").status_code == 422
