"""Campaigns as nightly batches: the same journeys as by calls, once however often they are run."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from proactrec.cli import campaign as command
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.serving.batches import all_users, planned, reported, reports_of
from proactrec.serving.schemas import Decision, micros
from proactrec.store import care
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.store.rebuild import differences

from .hosting import DAY, NOON, TENANT, Shop

N_DAYS = 4


def answer_of(user_id: str, day: int) -> str:
    return "accept" if (int(user_id[1:]) + day) % 3 else "skip"


def nightly(shop: Shop) -> None:
    users = all_users(shop.database, shop.guides, TENANT)
    for day in range(N_DAYS):
        shop.now = NOON + day * DAY
        told = planned(shop.hosts[0], TENANT, users, None, shop.now)
        again = planned(shop.hosts[0], TENANT, users, None, shop.now + 1)
        assert [one.decision_id for one in told] == [one.decision_id for one in again]
        table = pl.DataFrame(
            [
                {
                    "user_id": user,
                    "event_id": f"{day} {user}",
                    "kind": answer_of(user, day),
                    "item_id": one.item_id,
                    "decision_id": one.decision_id,
                    "at": None,
                }
                for user, one in zip(users, told, strict=True)
            ]
        )
        taken = reported(shop.hosts[0], TENANT, reports_of(table))
        assert (taken.accepted, taken.repeated, taken.refused) == (len(users), 0, ())
        assert reported(shop.hosts[0], TENANT, reports_of(table)).repeated == len(users)


def by_calls(shop: Shop) -> None:
    for day in range(N_DAYS):
        shop.now = NOON + day * DAY
        for user in reversed(all_users(shop.database, shop.guides, TENANT)):
            shop.report(shop.ask(user), answer_of(user, day))


def journeys(shop: Shop) -> list[Any]:
    return shop.rows(
        "SELECT user_id, number, target_id, item_id, guided, reason, not_guided_because, at "
        "FROM decisions ORDER BY user_id, number"
    )


def test_a_batch_campaign_gives_the_journeys_of_calls_over_the_same_days(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    found = []
    for name, run in (("nightly", nightly), ("calls", by_calls)):
        database = Database(str(tmp_path / f"{name}.sqlite"))
        database.migrate()
        shop = Shop(database, guide_folder())
        shop.campaign(rails={"plain_share": 0.25})
        run(shop)
        found.append(journeys(shop))
        database.close()
    assert found[0] == found[1]
    assert {row[4] for row in found[0]} == {0, 1}


def say(shop: Shop, **said: Any) -> None:
    with shop.database.writing() as connection:
        care.change(connection, TENANT, Care(**said), by="test", at=shop.now)


def test_a_plan_made_again_guides_nobody_who_may_not_be_any_more(shop: Shop) -> None:
    version, users = shop.campaign(), [f"u{n:02}" for n in range(12)]

    def plan() -> dict[str, Decision]:
        shop.now += 1
        rows = planned(shop.hosts[0], TENANT, users, None, shop.now)
        return dict(zip(users, rows, strict=True))

    def why() -> dict[str, str | None]:
        """Of those who are plain now, and were not; all others are as they were."""
        found = {}
        for user, one in plan().items():
            if one.decision_id is None:
                found[user] = one.not_guided_because
                assert (one.guided, one.label) == (False, None)
                assert one.item_id == plain[user]
            else:
                before = first[user]
                assert (one.decision_id, one.item_id) == (before.decision_id, before.item_id)
                assert one.guided == before.guided
        return found

    first = plan()
    plain = dict(shop.rows("SELECT user_id, plain_id FROM decisions"))
    guided = [user for user, one in first.items() if one.guided]
    assert len(guided) > 3
    assert any(first[user].item_id != plain[user] for user in guided)
    assert why() == {}
    shop.consent(guided[0], guided=False)
    shop.groups(guided[1], "minors")
    say(shop, excluded_groups=("minors",))
    assert why() == {guided[0]: "opted_out", guided[1]: "excluded_group"}
    shop.consent(guided[0], guided=True)
    assert why() == {guided[1]: "excluded_group"}
    say(shop, excluded_categories=("Comedy",))  # of the target, i04
    assert why() == dict.fromkeys(guided, "nothing_passes")
    say(shop)
    shop.change(version, state="paused")
    assert why() == dict.fromkeys(guided, "campaign_paused")
    shop.change(version, state="running")
    assert why() == {}
    assert shop.rows("SELECT COUNT(*) FROM decisions") == [(len(users),)]
    assert differences(shop.database, TENANT) == []


def test_two_nights_are_two_days_of_the_campaign(shop: Shop) -> None:
    """At half past one in Berlin, before and after clocks go forward; of UTC it is one day."""
    there = shop.campaign(budget={"time_zone": "Europe/Berlin"}).campaign_id
    nights = [micros(datetime(2027, 3, 28, hour, 30, tzinfo=UTC)) for hour in (0, 23)]

    def ids(campaign_id: str | None, **how: Any) -> list[str | None]:
        return [
            planned(shop.hosts[0], TENANT, ["u01"], campaign_id, at, **how)[0].decision_id
            for at in nights
        ]

    first, second = ids(there)
    assert first != second
    assert ids(there) == [first, second]
    once, again = ids(None)
    assert once == again
    assert ids(None, day=date(2027, 3, 28)) == [once, once]
    assert set(ids(None, day=date(2027, 3, 29))).isdisjoint({first, second, once})
    with pytest.raises(UnknownIdError, match="there is no campaign 'nothing'"):
        ids("nothing")


def test_a_row_that_is_no_event_is_named() -> None:
    rows = [{"user_id": "u", "event_id": "e", "kind": "accept", "item_id": "i"}] * 2
    table = pl.DataFrame([*rows, {**rows[0], "user_id": ""}])
    with pytest.raises(InvalidInputError, match="row 3 of the events: user_id"):
        reports_of(table)


def test_a_row_that_is_no_event_is_named_with_its_file(run: "Command", tmp_path: Path) -> None:
    path = tmp_path / "today.csv"
    path.write_text("user_id,event_id,kind,item_id,at\nu,e,accept,i,yesterday\n")
    told = run("ingest", "--events", str(path), fails=True)
    assert f"row 1 of {path}: at must be a time by RFC 3339, with its time zone, got {{" in told
    lists = tmp_path / "today.parquet"
    rows = {"user_id": [["u"]], "event_id": ["e"], "kind": ["skip"], "item_id": ["i"]}
    pl.DataFrame(rows).write_parquet(lists)
    told = run("ingest", "--events", str(lists), fails=True)
    assert f"columns of {lists} must be texts, got user_id List(String)" in told.replace(
        "event_id String, user_id", "user_id"
    )


class Command:
    """`proactrec campaign`, on an empty store of its own."""

    def __init__(self, folder: Path, guide: Path) -> None:
        self.store, self.guide = str(folder / "shop.sqlite"), str(guide)
        with closing(Database(self.store)) as database:
            database.migrate()

    def __call__(self, name: str, *arguments: str, fails: bool = False) -> str:
        given = [name, *arguments, "--store", self.store]
        if name in ("create", "plan", "ingest"):
            given += ["--guide", self.guide]
        done = CliRunner().invoke(command.app, given)
        assert (done.exit_code != 0) == fails, done.output
        return str(done.exception) if fails else done.stdout


@pytest.fixture
def run(guide_folder: Callable[..., Path], tmp_path: Path) -> Command:
    return Command(tmp_path, guide_folder())


def test_nights_of_a_campaign_by_commands(run: Command, tmp_path: Path) -> None:
    campaign = run("create", "--target", "i04", "--set", "budget.total=10").strip()
    assert "has no forecast" in run("start", campaign, fails=True)
    run("start", campaign, "--without-forecast", "a test")
    out, events = tmp_path / "tonight.csv", tmp_path / "events.csv"
    for _ in range(2):
        run("plan", "--out", str(out), "--at", "2026-12-01T02:00:00Z")
        plan = pl.read_csv(out, infer_schema=False)
    assert plan["decision_id"].n_unique() == plan.height
    assert (plan["guided"] == "true").sum() == 10
    assert set(plan["not_guided_because"].drop_nulls()) <= {"budget_spent", "hold_out", "finished"}
    plan.select(
        "user_id", "item_id", "decision_id", pl.format("e {}", "user_id").alias("event_id"),
        kind=pl.lit("accept"),
    ).drop_nulls().write_csv(events)  # fmt: skip
    run("ingest", "--events", str(events))
    run("plan", "--out", str(out), "--at", "2026-12-01T02:00:00Z", "--day", "2026-12-02")
    tomorrow = pl.read_csv(out, infer_schema=False)
    assert set(tomorrow["decision_id"]).isdisjoint(plan["decision_id"])
    run("rebuild", "--check")
    run("pause", campaign, "--reason", "a holiday")
    assert "paused" in run("list")
    run("stop", campaign, "--reason", "enough")
    assert "can't become" in run("pause", campaign, "--reason", "again", fails=True)


def test_a_state_that_differs_from_the_log_fails_the_check(run: Command) -> None:
    campaign = run("create", "--target", "i04").strip()
    run("start", campaign, "--without-forecast", "a test")
    run("plan", "--out", str(Path(run.store).with_suffix(".csv")))
    database = Database(run.store)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE users SET revision = 9 WHERE user_id = 'u00'")
    database.close()
    run("rebuild", "--check", fails=True)
    run("rebuild")
    run("rebuild", "--check")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create"], "Campaign.goal must be given"),
        (["create", "--target", "nothing"], "the guide knows no item 'nothing'"),
        (["create", "--target", "i04", "--set", "rails.rounds_per_day=2"], "simulated rounds"),
        (["plan", "--out", "x.txt"], "--out must end in .parquet or .csv, got x.txt"),
        (["plan", "--out", "x.csv", "--at", "soon"], "--at must be a time with its zone"),
        (["ingest", "--events", "nowhere.csv"], "--events must name a .parquet or .csv file"),
        (["measure", "--campaign", "abc"], "there is no campaign 'abc'"),
        (["start", "abc", "--without-forecast", "x"], "there is no campaign 'abc'"),
    ],
)
def test_bad_input_is_told_in_a_sentence(run: Command, arguments: list[str], message: str) -> None:
    assert message in run(arguments[0], *arguments[1:], fails=True)
