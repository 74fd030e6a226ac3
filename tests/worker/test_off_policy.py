"""What another policy would have brought, from what a campaign drew among."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proactrec.cli.campaign import app
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.rng import keys_of
from proactrec.store.database import Database
from proactrec.worker.off_policy import acceptance_under, rows_of

from ..serving.hosting import TENANT, Shop

EVEN = 0.7
"""Acceptance of items with an even number, in a world that knows no users; of odd ones: 0.2."""


@pytest.fixture(scope="module")
def folder(guide_folder: Callable[..., Path]) -> Path:
    return guide_folder("foresight")


def explored(database: Database, folder: Path, n_rounds: int) -> tuple[Shop, str]:
    """A campaign that draws among four, and users who answer by chance, or not at all."""
    shop = Shop(database, folder)
    version = shop.campaign(explore={"loss": 100, "share": 0.8, "most": 4})
    for number in range(n_rounds):
        for user in range(24):
            answer = shop.ask(f"u{user:02}")
            item_id = answer.decided.made.item_id
            (luck,) = keys_of([f"{user} {number} {item_id}"])
            taken = EVEN if int(item_id[1:]) % 2 == 0 else 0.2
            if number % 5 < 4:
                is_taken = (int(luck) % 1000) / 1000 < taken
                shop.report(answer, "impression", "accept" if is_taken else "skip")
    return shop, version.campaign_id


def test_rows_are_of_what_was_drawn_and_answered(database: Database, folder: Path) -> None:
    shop, campaign_id = explored(database, folder, 5)
    answered = shop.rows(
        "SELECT d.item_id, d.among FROM decisions d JOIN events e ON e.user_id = d.user_id "
        "AND e.decision = d.number WHERE d.among IS NOT NULL AND e.kind IN ('accept', 'skip') "
        "ORDER BY d.seq"
    )
    expected = []
    for item_id, among in answered:
        drawn = json.loads(among)
        expected.append(0.8 / len(drawn) + 0.2 * (item_id == drawn[0]))
    with database.reading() as connection:
        own = list(rows_of(connection, TENANT, campaign_id, "foresight", shop.guides))
        other = list(rows_of(connection, TENANT, campaign_id, "random", shop.guides))
    assert [round(row.propensity, 9) for row in own] == [round(one, 9) for one in expected]
    is_best = [float(item_id == json.loads(among)[0]) for item_id, among in answered]
    assert [row.wanted for row in own] == is_best, "the policy itself chooses what it found best"
    assert {row.unseen for row in own} == {0.0}
    assert [row.propensity for row in other] == [row.propensity for row in own]
    assert sum(row.wanted for row in other) < sum(row.wanted for row in own)
    assert all(0 < row.of_shown < 1 for row in own)


def test_a_policy_is_estimated_or_refused_in_words(database: Database, folder: Path) -> None:
    shop, campaign_id = explored(database, folder, 5)
    found = acceptance_under(database, TENANT, campaign_id, "foresight", shop.guides)
    assert found.n_users <= 24
    assert "independent decisions of this policy" in found.refused
    with pytest.raises(UnknownIdError, match="policy 'nobody' does not exist"):
        acceptance_under(database, TENANT, campaign_id, "nobody", shop.guides)
    other = shop.campaign(name="without")
    with pytest.raises(InvalidInputError, match="no answered decision that was drawn"):
        acceptance_under(database, TENANT, other.campaign_id, "foresight", shop.guides)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_the_command_says_the_same(database: Database, folder: Path) -> None:
    shop, campaign_id = explored(database, folder, 2)
    given = ["--store", str(database.url.database), "--guide", str(folder), "--tenant", TENANT]
    command = ["off-policy", *given, "--campaign", campaign_id, "--policy", "foresight"]
    done = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    found = acceptance_under(database, TENANT, campaign_id, "foresight", shop.guides)
    assert json.loads(done.stdout) == {**found._asdict(), "estimates": {}}
    assert found.refused in CliRunner().invoke(app, command, catch_exceptions=False).stdout
