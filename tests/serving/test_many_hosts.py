"""Several hosts on one database: caps and budgets are exact, and journeys those of one host."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proactrec.serving.requests import Ask, Report, Request
from proactrec.store.budgets import Limit
from proactrec.testing.databases import Kind, fresh_database

from .hosting import DAY, TENANT, Shop

ROW = "user_id, number, arm, target_id, item_id, plain_id, guided, reason, not_guided_because, at"
SLOW = settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Step(NamedTuple):
    """A host's turn."""

    host: int
    users: list[int]
    seconds: int
    answers: list[int]  # kinds of what users say to it


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 2),
        st.lists(st.integers(0, 9), min_size=1, max_size=8),
        st.sampled_from([0, 1, 600, 40_000]),
        st.lists(st.integers(0, 2), min_size=8, max_size=8),
    ),
    min_size=3,
    max_size=12,
)
CAPPED = st.fixed_dictionaries(
    {
        "rails": st.fixed_dictionaries(
            {
                "item_cap_total": st.sampled_from([None, 1, 3]),
                "item_cap_per_day": st.sampled_from([None, 1, 2]),
                "daily_cap": st.sampled_from([None, 2]),
                "plain_share": st.sampled_from([0, 0.25]),
            }
        ),
        "budget": st.sampled_from(
            [{}, {"total": 7}, {"per_day": 4}, {"per_day": 6, "pacing": "even"}]
        ),
        "goal": st.sampled_from([{"items": ("i04",)}, {"category": "War"}]),
        "hold_out": st.sampled_from([0, 0.3]),
    }
)


@contextmanager
def opened(kind: Kind, folder: Path, n_hosts: int) -> Iterator[Shop]:
    with TemporaryDirectory() as place, fresh_database(kind, Path(place)) as database:
        yield Shop(database, folder, n_hosts)


def played(shop: Shop, said: dict[str, Any], steps: list[Step]) -> list[tuple[Any, ...]]:
    """The log of decisions after hosts had their turns."""
    with mock.patch("proactrec.store.campaigns.secrets.token_hex", return_value="c1"):
        shop.campaign(**said)
    for step in steps:
        shop.now += step.seconds * 1_000_000
        host = step.host % len(shop.hosts)
        found = shop.handle([Ask(f"user {n}") for n in step.users], host)
        for answer, said_to_it in zip(found, step.answers, strict=False):
            kind = ("accept", "skip", None)[said_to_it]
            if kind and answer.decided.made.item_id:
                shop.report(answer, kind, host=host)
    return sorted(shop.rows(f"SELECT {ROW} FROM decisions"))


def check_caps(shop: Shop) -> None:
    """What is counted is what was guided, and nothing above what the campaign allows."""
    live = shop.hosts[0].campaigns(TENANT)
    for version in [one.version for one in live]:
        said, zone = version.said, version.said.budget.zone
        assert str(zone) == "UTC"
        guided = shop.rows(
            "SELECT item_id, at FROM decisions WHERE guided = 1 AND campaign_id = "
            f"'{version.campaign_id}'"
        )
        days = [str_of_day(at) for _, at in guided]
        items = [item for item, _ in guided]
        counts = {
            ("total", "all"): (len(guided), said.budget.total),
            **{(day, "all"): (days.count(day), said.budget.per_day) for day in set(days)},
            **{("total", f"item:{i}"): (items.count(i), said.rails.item_cap_total) for i in items},
            **{
                (d, f"item:{i}"): (list(zip(items, days, strict=True)).count((i, d)),
                                   said.rails.item_cap_per_day)
                for i, d in zip(items, days, strict=True)
            },
        }  # fmt: skip
        rows = shop.rows("SELECT campaign_id, scope, period, used FROM budgets")
        used = {Limit(*key): n for *key, n in rows if n}
        for (period, scope), (n, most) in counts.items():
            if most is not None:
                assert n <= most
                assert used.pop(Limit(version.campaign_id, scope, period), 0) == n
        assert used == {}


def str_of_day(at: int) -> str:
    from proactrec.store.people import day_of
    from zoneinfo import ZoneInfo

    return str(day_of(at, ZoneInfo("UTC")))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@SLOW
@given(said=CAPPED, steps=STEPS)
def test_hosts_that_take_turns_decide_as_one(
    guide_folder: Callable[..., Path], kind: Kind, said: dict[str, Any], steps: list[Step]
) -> None:
    found = []
    for n_hosts in (1, 2, 3):
        with opened(kind, guide_folder(), n_hosts) as shop:
            found.append(played(shop, said, steps))
            check_caps(shop)
    assert found[0] == found[1] == found[2]


@SLOW
@given(said=CAPPED, users=st.lists(st.integers(0, 9), min_size=2, max_size=12))
def test_together_is_one_by_one(
    guide_folder: Callable[..., Path], said: dict[str, Any], users: list[int]
) -> None:
    found = []
    for steps in ([Step(0, users, 0, [])], [Step(0, [n], 0, []) for n in users]):
        with opened("sqlite", guide_folder(), 1) as shop:
            found.append(played(shop, said, steps))
    assert found[0] == found[1]
