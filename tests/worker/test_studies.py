"""Studies of a campaign: known answers of worlds and rails, and jobs that tell what they found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.fitting.artefacts import ArtefactStore
from proactrec.serving.guides import Guides
from proactrec.store import campaigns, jobs
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.worker.forecasts import METRICS, Plan, Scene, forecast
from proactrec.worker.off_policy import NEEDED
from proactrec.worker.studies import rails, worlds
from proactrec.worker.work import Errands

from ..serving.hosting import TENANT, Shop
from . import test_forecasts


@pytest.fixture(scope="module")
def guides(guide_folder: Callable[..., Path]) -> Guides:
    return Guides(guide_folder("foresight"))


def plan(guides: Guides, **said: Any) -> Plan:
    """Of a short campaign of its own: what guides keep ready goes by its id."""
    made = test_forecasts.plan(guides, **{"rounds": 2, **said})
    return made._replace(version=made.version._replace(campaign_id=str(sorted(said.items()))))


@pytest.fixture(scope="module")
def whole(guides: Guides, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A study that nothing stopped, of a campaign that says nothing special."""
    return worlds(plan(guides), tmp_path_factory.mktemp("whole"))


def means(figures: dict[str, Any]) -> list[float]:
    return [one["mean"] for of_metric in figures.values() for one in of_metric.values()]


def test_the_own_policy_does_what_the_forecast_says(guides: Guides, tmp_path: Path) -> None:
    """Beside others, in the same worlds and with the same luck; plain adds nothing to plain."""
    own = plan(guides, hold_out=0.25)
    found = worlds(own, tmp_path, ["foresight", "next-item", "random"])
    foreseen = forecast(own, tmp_path)
    assert found["policies"]["foresight"]["value"] == foreseen["guided"]
    assert found["policies"]["foresight"]["difference"] == foreseen["difference"]
    assert found["plain"] == foreseen["plain"]
    assert set(means(found["policies"]["next-item"]["difference"])) == {0.0}
    values, plain = means(found["policies"]["random"]["value"]), means(found["plain"])
    less = [one - other for one, other in zip(values, plain, strict=True)]
    assert means(found["policies"]["random"]["difference"]) == pytest.approx(less)
    assert any(less)


def test_worlds_are_told_by_kind_of_interest(
    guides: Guides, whole: dict[str, Any], tmp_path: Path
) -> None:
    found = whole
    assert list(found["policies"]) == ["foresight"]
    scene = Scene(plan(guides), ArtefactStore(tmp_path))
    drawn = [scene.world(number) for number in range(39)]
    kinds = found["by_interest"]
    assert {kind: one["n_worlds"] for kind, one in kinds.items()} == {
        kind: sum(kind in world.hidden for world in drawn) for kind in scene.prior.hidden
    }
    rarest = min(kinds, key=lambda kind: kinds[kind]["n_worlds"])
    mean = np.mean([scene.played(one).mean[0] for one in drawn if rarest in one.hidden], axis=0)
    size, n_rounds = len(mean) // 3, len(found["rounds"])
    expected = mean[2 * size :][n_rounds - 1 :: n_rounds]
    told = kinds[rarest]["difference"]["foresight"]
    assert list(told) == list(METRICS)
    assert list(told.values()) == pytest.approx(expected.tolist())


def test_killed_between_two_worlds_a_study_goes_on(
    guides: Guides, whole: dict[str, Any], tmp_path: Path
) -> None:
    seen: list[int] = []

    def told(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "worlds":
            seen.append(done)
        if seen == [0, 1, 2, 3]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worlds(plan(guides), tmp_path / "one", progress=told)
    found = worlds(plan(guides), tmp_path / "one", progress=told)
    assert seen[4] == 3
    assert found == whole


def test_a_rail_that_forbids_costs_what_it_forbids(guides: Guides, tmp_path: Path) -> None:
    """Without its budget of no guided rounds at all, a campaign would bring what it would bring."""
    said = {"guided_budget": 0, "item_cap": 50, "daily_cap": 3}
    found = rails(plan(guides, rails=said), tmp_path)
    assert list(found["rails"]) == ["item_cap", "guided_budget"]
    assert found["rails"]["guided_budget"]["said"] == 0
    assert found["not_played"] == ["daily_cap"]
    free = forecast(plan(guides, rails={"item_cap": 50}), tmp_path)
    assert found["guided"] == free["plain"]
    price = found["rails"]["guided_budget"]["price"]
    assert means(price) == pytest.approx(means(free["difference"]))
    assert any(means(price))
    assert set(means(found["rails"]["item_cap"]["price"])) == {0.0}, "nothing is shown 50 times"


def test_a_pause_is_one_rail(guides: Guides, tmp_path: Path) -> None:
    found = rails(plan(guides, rails={"pause_after": 1, "pause_rounds": 2}), tmp_path)
    assert list(found["rails"]) == ["pause_after"]
    with pytest.raises(InvalidInputError, match="no rails of a journey: there is nothing to price"):
        rails(plan(guides, rails={"daily_cap": 3}), tmp_path)


def test_what_care_excludes_is_no_rail_of_the_campaign(guides: Guides, tmp_path: Path) -> None:
    cared = {"care": Care(excluded_categories=("Comedy",))}
    with pytest.raises(InvalidInputError, match="no rails of a journey: there is nothing to price"):
        rails(plan(guides)._replace(**cared), tmp_path)
    own = plan(guides, rails={"item_cap": 50})._replace(**cared)
    found = rails(own, tmp_path)
    assert list(found["rails"]) == ["item_cap"]
    assert set(means(found["rails"]["item_cap"]["price"])) == {0.0}, "it stays excluded"


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)  # of jobs on SQLite: test_work.py
def test_jobs_tell_what_they_found(database: Database, guide_folder: Callable[..., Path]) -> None:
    shop = Shop(database, guide_folder("foresight"))
    version = shop.campaign(
        explore={"loss": 100, "share": 0.8, "most": 4}, rounds=2, rails={"item_cap": 1}
    )
    for user in range(24):
        shop.report(shop.ask(f"u{user:02}"), "impression", "accept")
    asked = {
        "worlds": {"policies": ["random"], "policy": None},
        "rails": {"policies": [], "policy": None},
        "off-policy": {"policies": [], "policy": "random"},
    }
    with database.writing() as connection:
        for kind, what in asked.items():
            about = campaigns.about_study(version, kind)
            given = {"campaign_id": version.campaign_id, "version": 2, "asked": what}
            jobs.enqueue(connection, TENANT, kind, about, given)
    Errands(database, shop.guides.folder).all()
    found = {}
    with database.reading() as connection:
        for kind in asked:
            job = jobs.newest(connection, TENANT, campaigns.about_study(version, kind))
            assert job is not None
            assert (job.state, job.error) == ("done", None)
            found[kind] = job.result or {}
    assert list(found["worlds"]["policies"]) == ["random"]
    assert list(found["rails"]["rails"]) == ["item_cap"]
    told = found["off-policy"]
    assert (told["policy"], told["needed"]) == ("random", NEEDED)
    assert 10 < told["n_users"] <= 24
    assert told["refused"]
    assert told["estimates"] == {}
