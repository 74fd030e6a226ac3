"""Several hosts on one database: caps and budgets are exact, and journeys those of one host."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proactrec.serving.requests import Answer, Ask, Noted, Report
from proactrec.store.budgets import Limit
from proactrec.store.database import Database
from proactrec.store.people import day_of
from proactrec.testing.databases import Kind, fresh_database

from .hosting import DAY, NOON, TENANT, Shop

ROW = "user_id, number, arm, target_id, item_id, plain_id, guided, reason, not_guided_because, at"
N_EXAMPLES = int(os.environ.get("PROACTREC_HOST_EXAMPLES", "6"))
SLOW = settings(
    deadline=None,
    max_examples=N_EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
        guided = shop.rows(
            "SELECT item_id, at FROM decisions WHERE guided = 1 AND campaign_id = "
            f"'{version.campaign_id}'"
        )
        counted = Counter[tuple[str, str]]()
        for item_id, at in guided:
            day = str(day_of(at, zone))
            counted.update(
                (scope, period) for scope in ("all", f"item:{item_id}") for period in (day, "total")
            )
        most_of = {
            ("all", True): said.budget.total,
            ("all", False): said.budget.per_day,
            ("item", True): said.rails.item_cap_total,
            ("item", False): said.rails.item_cap_per_day,
        }
        rows = shop.rows("SELECT campaign_id, scope, period, used FROM budgets")
        used = {Limit(*key): n for *key, n in rows if n}
        for (scope, period), n in counted.items():
            most = most_of[scope.split(":")[0], period == "total"]
            if most is not None:
                assert n <= most
                assert used.pop(Limit(version.campaign_id, scope, period), 0) == n
        assert used == {}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@SLOW
@given(said=CAPPED, steps=STEPS)
def test_hosts_that_take_turns_decide_as_one(
    guide_folder: Callable[..., Path], kind: Kind, said: dict[str, Any], steps: list[Step]
) -> None:
    """Whose requests come at once may get the last of a budget in another order: caps hold anyway,
    but who it is depends on what a host remembers. So here they come one by one.
    """
    found, one_by_one = (
        [],
        [
            Step(step.host, [user], step.seconds if at == 0 else 0, step.answers[at:])
            for step in steps
            for at, user in enumerate(step.users)
        ],
    )
    for n_hosts in (1, 3):
        with opened(kind, guide_folder(), n_hosts) as shop:
            found.append(played(shop, said, one_by_one))
            check_caps(shop)
    assert found[0] == found[1]


N_DECISIONS = int(os.environ.get("PROACTREC_CAP_DECISIONS", "1500"))
BATCH, N_DAYS = 64, 4


APART = get_context("forkserver")
"""Processes that load torch together, once."""
APART.set_forkserver_preload([__name__])


def visits(url: str, folder: Path, seed: int, n: int, lease_block: int) -> None:
    """One instance's traffic: users come at random, and answer what they are shown."""
    rng = np.random.default_rng(seed)
    database = Database(url)
    shop = Shop(database, folder, lease_block=lease_block)
    n_users = max(50, N_DECISIONS // 10)
    for at in range(0, n, BATCH):
        shop.now = NOON + at * N_DAYS * DAY // n
        users = rng.integers(0, n_users, BATCH)
        reports: list[Report] = []
        for answer in shop.handle([Ask(f"user {user}") for user in users]):
            made = answer.decided.made
            if made.item_id and rng.random() < 0.7:
                kind = "accept" if rng.random() < 0.5 else "skip"
                event_id = f"{answer.decision_id}-{kind}"
                reports.append(
                    Report(answer.user_id, event_id, kind, made.item_id, answer.decision_id)
                )
        assert all(isinstance(one, Noted) for one in shop.handle(reports))
    shop.hosts[0].leave()
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "lease_block"), [("sqlite", 0), ("postgresql", 0), ("postgresql", 20)]
)
def test_caps_are_exact_whatever_instances_do_at_once(
    guide_folder: Callable[..., Path], kind: Kind, lease_block: int, tmp_path: Path
) -> None:
    folder = guide_folder("nearest")
    n = N_DECISIONS // 3
    caps = {"item_cap_total": max(1, N_DECISIONS // 40), "item_cap_per_day": N_DECISIONS // 100}
    budget = {"total": N_DECISIONS // 2, "per_day": N_DECISIONS // 5, "pacing": "even"}
    with fresh_database(kind, tmp_path) as database:
        shop = Shop(database, folder)
        shop.campaign(rails={"daily_cap": 3, **caps}, budget=budget, goal={"category": "War"})
        url = database.url.render_as_string(hide_password=False)
        begun = [
            APART.Process(target=visits, args=(url, folder, seed, n, lease_block))
            for seed in range(3)
        ]
        for process in begun:
            process.start()
        for process in begun:
            process.join()
        assert [process.exitcode for process in begun] == [0, 0, 0]
        shop.ask("somebody")
        check_caps(shop)
        n_made, n_guided = shop.rows("SELECT COUNT(*), SUM(guided) FROM decisions")[0]
        assert n_made == 3 * -(-n // BATCH) * BATCH + 1
        assert n_guided > n_made // 4
        gaps = shop.rows(
            "SELECT user_id FROM decisions GROUP BY user_id HAVING MAX(number) <> COUNT(*)"
        )
        assert gaps == []
        for user_id, day, n_of_day in guided_by_day(shop):
            assert n_of_day <= 3, (user_id, day)


def guided_by_day(shop: Shop) -> list[tuple[Any, ...]]:
    day = f"at / {DAY}"
    return shop.rows(
        f"SELECT user_id, {day}, COUNT(*) FROM decisions WHERE guided = 1 "
        f"GROUP BY user_id, {day} ORDER BY 3 DESC LIMIT 5"
    )


def test_a_user_who_asks_twice_at_once_has_one_journey(shop: Shop) -> None:
    shop.campaign()
    shop.hosts += Shop(shop.database, shop.guides.folder, 3).hosts
    for host in shop.hosts:
        host.clock = shop.clock
    found: list[Answer] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(shop.ask("u00", n))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.decided.made.number for one in found) == [1, 2, 3, 4]
    assert len({one.decided.made.item_id for one in found}) == 4
    assert shop.rows("SELECT n_rounds FROM journeys") == [(4,)]


@SLOW
@given(said=CAPPED, users=st.lists(st.integers(0, 19), min_size=2, max_size=12, unique=True))
def test_together_is_one_by_one(
    guide_folder: Callable[..., Path], said: dict[str, Any], users: list[int]
) -> None:
    found = []
    for steps in ([Step(0, users, 0, [])], [Step(0, [n], 0, []) for n in users]):
        with opened("sqlite", guide_folder(), 1) as shop:
            found.append(played(shop, said, steps))
    assert found[0] == found[1]
