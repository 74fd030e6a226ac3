"""What a campaign is going to bring: known answers, kills between worlds, and whom it means."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proactrec.errors import InvalidInputError
from proactrec.evaluation.prediction import CAUTION
from proactrec.fitting.artefacts import ArtefactStore
from proactrec.serving.audience import audience_of
from proactrec.serving.guides import Guides
from proactrec.store.campaign import Campaign
from proactrec.store.campaigns import Version
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.worker.forecasts import METRICS, Plan, Scene, forecast

from ..serving.hosting import TENANT, Shop

EVERYBODY = np.arange(24)


@pytest.fixture(scope="module")
def guides(guide_folder: Callable[..., Path]) -> Guides:
    return Guides(guide_folder("foresight"))


def plan(guides: Guides, audience: Any = EVERYBODY, **said: Any) -> Plan:
    goal = {"category": "Drama", "n_targets": 3}
    whole = Campaign(**{"name": "c", "goal": goal, "rounds": 6, **said})
    return Plan(Version(TENANT, "c", 1, "draft", whole, 0, "", "", 0), guides, audience)


def test_figures_have_intervals_that_hold_their_means(guides: Guides, tmp_path: Path) -> None:
    found = forecast(plan(guides, hold_out=0.25), tmp_path)
    assert found["rounds"] == [5, 6]
    assert found["n_users"]["audience"] == 24
    assert (found["n_users"]["guided"], found["n_users"]["held_out"]) == (18, 6)
    for group in ("guided", "plain", "difference"):
        assert set(found[group]) == set(METRICS)
        for by_round in found[group].values():
            for figure in by_round.values():
                (low, high), (lower, higher) = (figure["intervals"][n] for n in ("0.8", "0.95"))
                assert lower <= low <= figure["mean"] <= high <= higher
    shares = [found[g]["acceptance"]["5"]["mean"] for g in ("guided", "plain")]
    assert found["difference"]["acceptance"]["5"]["mean"] == pytest.approx(shares[0] - shares[1])
    assert any("6 rounds" in sentence for sentence in found["assumed"])
    assert found["caution"] == CAUTION


def test_who_guides_to_what_is_plain_adds_nothing(guides: Guides, tmp_path: Path) -> None:
    """Guided and plain users have the same luck."""
    found = forecast(
        plan(guides, arms=[{"name": "plain", "policy": "next-item"}], rounds=2), tmp_path
    )
    assert found["guided"] == found["plain"]
    for by_round in found["difference"].values():
        for figure in by_round.values():
            assert figure == {"mean": 0, "intervals": {"0.8": [0, 0], "0.95": [0, 0]}}


def test_killed_between_two_worlds_it_goes_on(guides: Guides, tmp_path: Path) -> None:
    """With the next world, to the same figures."""
    short = plan(guides, rounds=2)
    whole, seen = forecast(short, tmp_path / "one"), []

    def told(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "worlds":
            seen.append(done)
        if seen[-1:] == [7] and seen.count(7) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forecast(short, tmp_path / "other", progress=told)
    assert forecast(short, tmp_path / "other", progress=told) == whole
    assert seen[:9] == [0, 1, 2, 3, 4, 5, 6, 7, 7]
    n = len(seen)
    assert forecast(short, tmp_path / "other", progress=told) == whole
    assert len(seen) == n


def test_every_user_goes_to_one_target_that_they_do_not_have(
    guides: Guides, tmp_path: Path
) -> None:
    scene = Scene(plan(guides, audience=np.arange(3, 20)), ArtefactStore(tmp_path))
    assert len(np.unique(scene.pairs.user_idx)) == len(scene.pairs.user_idx)
    assert set(scene.pairs.target_idx) <= set(scene.targets)
    for user, target in zip(*scene.pairs, strict=True):
        assert target not in scene.users.history.of(user)
        assert scene.dataset.user_ids[user] == guides.saved.known.user_ids[user + 3]
    assert scene.users.known.tolist() == list(range(3, 20))


def test_what_is_sold_out_is_nobodys_target(guides: Guides, tmp_path: Path) -> None:
    first = guides.targets(plan(guides).version.said)[0]
    other = guides.selling(frozenset([guides.items.item_ids[first - 1]]))
    assert first not in Scene(plan(other), ArtefactStore(tmp_path)).pairs.target_idx


@pytest.mark.parametrize("goal", [{"items": ("i04", "i05")}, {"category": "War", "n_targets": 3}])
def test_it_is_played_with_the_targets_that_care_leaves(
    guides: Guides, tmp_path: Path, goal: dict[str, Any]
) -> None:
    """As it is decided; not as if care were a rail of the campaign."""
    cared = plan(guides, goal=goal)._replace(care=Care(excluded_categories=("Comedy", "nothing")))
    scene = Scene(cared, ArtefactStore(tmp_path))
    said, items = cared.version.said, guides.items
    live = guides.live(cared.version, cared.care)
    assert scene.targets.tolist() == live.targets.tolist()
    assert len(scene.targets) == (1 if goal.get("items") else 3)
    assert said.rails.protected_categories == ()
    assert scene.guides[0].rails.is_protected.tolist() == items.carry(["Comedy"]).tolist()
    nothing = cared._replace(care=Care(excluded_categories=("Comedy", "War")))
    with pytest.raises(InvalidInputError, match="care excludes all targets"):
        Scene(nothing, ArtefactStore(tmp_path))


def test_arms_share_the_users(guides: Guides, tmp_path: Path) -> None:
    arms = [{"name": "a", "share": 0.25}, {"name": "b", "policy": "next-item", "share": 0.75}]
    scene = Scene(plan(guides, arms=arms), ArtefactStore(tmp_path))
    parts = scene._by_arm(scene._sampled(0))
    n = len(scene.pairs.user_idx)
    assert [len(pairs.user_idx) for _, pairs in parts] == [round(n / 4), n - round(n / 4)]
    names = [scene.guides[arm].policy.name for arm, _ in parts]
    assert names == ["foresight", "next-item"]


def test_what_is_impossible_is_said(guides: Guides, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="the guide knows nobody of the audience"):
        forecast(plan(guides, audience=np.array([], np.int64)), tmp_path)


def test_the_audience_is_whom_the_campaign_means(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    shop = Shop(database, guide_folder("foresight"))
    shop.groups("u01", "gold")
    shop.groups("u02", "gold")
    shop.groups("u02", "silver")
    known = shop.guides.saved.known
    version = shop.draft(audience={"groups": ("gold",), "users": ("u07", "nobody knows")})

    def found(**audience: Any) -> list[str]:
        said = version.said.audience.model_copy(update=audience)
        with database.reading() as connection:
            rows = audience_of(connection, TENANT, said, known)
        return [known.user_ids[row] for row in rows]

    assert found() == ["u01", "u07"]
    assert found(groups=("silver",), users=()) == ["u02"]
    assert len(found(everybody=True)) == 24
    assert found(least_items=10) == []
    shorter = replace(known, history=known.history.first(np.arange(24) % 9))
    with database.reading() as connection:
        said = version.said.audience.model_copy(
            update={"everybody": True, "least_items": 2, "most_items": 3}
        )
        rows = audience_of(connection, TENANT, said, shorter)
    assert rows.tolist() == [2, 3, 11, 12, 20, 21]
