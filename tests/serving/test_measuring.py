"""What a campaign brought, by the service and the command line: figures, words, who may read it."""

import json
import re
from typing import Any
from unittest import mock

import numpy as np
import pytest
from typer.testing import CliRunner

from proactrec.cli import campaign as command
from proactrec.measurement.effects import Cell
from proactrec.measurement.products import table_of
from proactrec.serving.brought import MeasurementNow
from proactrec.serving.measuring import measured
from proactrec.serving.requests import Ask, Noted, Report
from proactrec.store import campaigns, outcomes
from proactrec.store.campaigns import Version
from proactrec.store.outcomes import COLUMNS, Outcomes

from .hosting import DAY, NOON, TENANT, Shop

N_USERS, AT_ONCE = 400, 20


def lived(shop: Shop, uplift: float, *, n: int = N_USERS, **said: Any) -> Version:
    """A campaign whose users answer once; guided ones take what they are shown more often."""
    with mock.patch("proactrec.store.campaigns.secrets.token_hex", return_value="c1"):
        version = shop.campaign(hold_out=0.4, **said)  # whose arms are always the same
    rng, users = np.random.default_rng(5), [f"user {k:03}" for k in range(n)]
    for at in range(0, n, AT_ONCE):
        shop.now += AT_ONCE * DAY // n
        reports = []
        for answer in shop.handle([Ask(user) for user in users[at : at + AT_ONCE]]):
            made = answer.decided.made
            chance = 0.3 + uplift * (made.arm != "hold-out")
            kind = "accept" if rng.random() < chance else "skip"
            event_id = f"of {answer.decision_id}"
            reports.append(Report(answer.user_id, event_id, kind, made.item_id, answer.decision_id))
        assert all(isinstance(one, Noted) for one in shop.handle(reports))
    return version


def seen(shop: Shop, version: Version, days: float) -> MeasurementNow:
    with shop.database.reading() as connection:
        now = campaigns.current(connection, TENANT, version.campaign_id)
        return measured(connection, now, NOON + int(days * DAY))


def test_it_counts_who_is_known_for_good(shop: Shop) -> None:
    version = lived(shop, 0.3, measure={"metric": "acceptance", "window_hours": 48})
    early = seen(shop, version, 2.5)  # the first of them came at day 0, and are waited for till 3
    assert (early.users, early.matured) == (N_USERS, 0)
    assert "too few users are measured: 0 of guided and 0 of hold-out" in early.verdict
    late = seen(shop, version, 9)
    assert (late.users, late.matured, late.kind) == (N_USERS, N_USERS, "sequence")
    out, guided = late.arms
    assert (out.arm, guided.arm, late.compared_with) == ("hold-out", "guided", "hold-out")
    assert guided.sums["answered"] == guided.matured
    effect = guided.effects["acceptance"]
    share = guided.sums["accepted"] / guided.sums["answered"]
    assert effect.value == pytest.approx(share, abs=1e-9)
    assert effect.shown
    assert "share of answers that accept: credibly above hold-out" in late.verdict
    assert late.sample_ratio.sound
    counts = late.sample_ratio.epochs[0].users
    assert sum(counts.values()) == N_USERS
    assert abs(counts["hold-out"] - 0.4 * N_USERS) < 40


def test_at_the_planned_end_users_who_came_later_change_nothing(shop: Shop) -> None:
    measure = {"metric": "acceptance", "window_hours": 24, "users": 300}
    version = lived(shop, 0.0, measure=measure)
    end = seen(shop, version, 9)
    assert (end.users, end.matured, end.kind) == (N_USERS, 300, "final")
    assert "no difference from hold-out is shown" in end.verdict
    assert "in 4 of 5 cases" in end.verdict
    lived_on = seen(shop, version, 90)
    assert lived_on.arms == end.arms


def test_segments_are_groups_of_users_as_they_came(shop: Shop) -> None:
    for k in range(0, 200, 2):
        shop.groups(f"user {k:03}", "regulars")
    version = lived(shop, 0.2, n=200, measure={"window_hours": 24, "segments": ("regulars",)})
    found = seen(shop, version, 9)
    of_all, regulars = found.arms[1:]
    assert (of_all.segment, regulars.segment) == (None, "regulars")
    assert regulars.matured == sum(
        version.arm_of(f"user {k:03}") == "guided" for k in range(0, 200, 2)
    )
    assert regulars.effects == {}  # fewer than a hundred of each


def test_without_a_hold_out_the_first_arm_is_compared_with(shop: Shop) -> None:
    arms = ({"name": "one"}, {"name": "two"})
    version = shop.campaign(hold_out=0, arms=arms)
    found = seen(shop, version, 1)
    assert found.compared_with == "one"
    assert [one.arm for one in found.arms] == ["one", "two"]
    alone = seen(shop, shop.campaign(hold_out=0), 1)
    assert alone.verdict == "there is one arm and nobody is held out: nothing can be compared"


def test_a_broken_split_silences_all_figures(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    version = shop.campaign(hold_out=0.5)
    rng = np.random.default_rng(0)
    cells = [
        Cell(1, arm, frozenset(), table_of(rng.random((n, len(COLUMNS)))))
        for arm, n in (("hold-out", 400), ("guided", 600))
    ]
    counts = {1: {"hold-out": 400, "guided": 600}}
    found = Outcomes({1: version.said.shares}, counts, cells)
    monkeypatch.setattr("proactrec.serving.measuring.outcomes", lambda *_: found)
    told = seen(shop, version, 9)
    assert not told.sample_ratio.sound
    assert told.verdict.startswith("users did not come to arms in the shares that were meant (p =")
    assert outcomes.outcomes is not found


def test_who_is_held_out_may_be_guided_by_others_where_that_is_said(shop: Shop) -> None:
    first = shop.campaign(hold_out=0.99, hold_out_sees="others", priority=1)
    second = shop.campaign(hold_out=0, goal={"category": "War"})
    user = next(u for u in map(str, range(99)) if first.arm_of(u) == "hold-out")
    one, two = shop.ask(user), shop.ask(user)
    assert one.decided.made.campaign_id == first.campaign_id
    assert one.decided.not_guided_because == "hold_out"
    assert two.decided.made.campaign_id == second.campaign_id
    assert two.decided.made.guided


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        # (2.0537 + 0.8416)² · (0.12 · 0.88 / 0.8 + 0.1 · 0.9 / 0.2) / 0.02²
        (["--effect", "0.02", "--rate", "0.1", "--hold-out", "0.2"], "12198"),
        (["--effect", "0.5", "--deviation", "2", "--hold-out", "0.5"], "537"),
        (["--effect", "0.5"], "give --rate or --deviation, one of them"),
        (["--effect", "0.5", "--rate", "0.7"], "rate + effect must be in [0, 1], got 1.2"),
    ],
)
def test_users_that_are_needed(arguments: list[str], said: str) -> None:
    told = CliRunner().invoke(command.app, ["power", *arguments])
    assert said in (told.output if told.exit_code == 0 else str(told.exception))


def test_the_command_tells_the_same(shop: Shop) -> None:
    version = lived(shop, 0.2, n=300, measure={"window_hours": 1})
    url = shop.database.url.render_as_string(hide_password=False)
    arguments = ["measure", "--store", url, "--campaign", version.campaign_id, "--tenant", TENANT]
    told = CliRunner().invoke(command.app, [*arguments, "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.output)
    expected = json.loads(seen(shop, version, 900).model_dump_json())
    for one in (found, expected):
        del one["at"]
    assert found == expected
    table = CliRunner().invoke(command.app, arguments, env={"COLUMNS": "160"})
    assert re.search(r"guided.*all.*target", table.output)
    assert found["verdict"] in table.output
