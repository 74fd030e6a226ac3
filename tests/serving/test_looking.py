"""What is looked at before a campaign is made, and of a user: over HTTP, on both databases."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proactrec.errors import AccessError, InvalidInputError, ProactrecError, UnknownIdError
from proactrec.guidance.known import KnownUsers
from proactrec.serving import shelf
from proactrec.serving.client import Client
from proactrec.serving.finding import categories_seen, items_found
from proactrec.serving.guides import Guides
from proactrec.serving.looking import CategorySeen, ItemSeen, as_tree
from proactrec.serving.schemas import DecisionRequest, Item
from proactrec.serving.shelf import Shelf
from proactrec.serving.words import NOT_GUIDED
from proactrec.store.campaign import Campaign
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.store.keys import ALLOWS

from .live import TENANT, Live, campaign, live, made_key, until


@pytest.fixture
def service(database: Database, guide_folder: Callable[..., Path]) -> Iterator[Live]:
    with live(database, guide_folder()) as found:
        yield found


@pytest.fixture
def guides(guide_folder: Callable[..., Path]) -> Guides:
    return Guides(guide_folder())


def rival(service: Live) -> Client:
    """A client of another tenant."""
    return Client(service.url, made_key(service.service.database, tenant="rival"))


# The key


def test_any_key_tells_whose_it_is(service: Live) -> None:
    for scope in ALLOWS:
        with Client(service.url, made_key(service.service.database, scope)) as client:
            found = client.access()
            assert (found.tenant, found.scope, found.name) == (TENANT, scope, None)
    made = service.client.create_key("report", name="dashboard")
    with Client(service.url, made.key) as client:
        assert (client.access().key_id, client.access().name) == (made.key_id, "dashboard")
    with rival(service) as other:
        assert other.access().tenant == "rival"


# Items


def test_items_come_in_pages_most_users_first(service: Live) -> None:
    found: list[ItemSeen] = []
    after: str | None = None
    while True:
        page = service.client.find_items(after=after, limit=7)
        found += page.items
        after = page.next
        if after is None:
            break
    assert len({one.item_id for one in found}) == len(found) == 30
    users = [one.users for one in found]
    assert users == sorted(users, reverse=True)
    assert sum(users) == 24 * 9
    assert all(one.available for one in found)


def test_items_are_found_by_what_they_are_called(service: Live) -> None:
    def found(*search: str, **more: Any) -> set[str]:
        return {one.item_id for one in service.client.find_items(*search, **more).items}

    assert found("fILM 2") == {"i02", *(f"i2{n}" for n in range(10))}
    assert found("I0") == {f"i0{n}" for n in range(10)}
    assert found("nothing") == set()
    assert found(category="drama") == {f"i{n:02}" for n in range(0, 30, 3)}
    assert found("film 2", category="Drama") == {"i21", "i24", "i27"}
    assert found(ids=("i03", "none", "i01")) == {"i01", "i03"}
    assert found(ids=("none",)) == set()
    assert found("film 1", category="Comedy", ids=("i01", "i02")) == {"i01"}
    (one,) = service.client.find_items(ids=("i04",)).items
    assert (one.title, one.categories) == ("Film 4", ("Comedy",))


def test_what_items_cant_be_found_by_is_refused(service: Live) -> None:
    with pytest.raises(UnknownIdError, match="category 'Jazz' does not exist"):
        service.client.find_items(category="Jazz")
    with pytest.raises(InvalidInputError, match="after must be the `next` of a page, got 'x'"):
        service.client.find_items(after="x")
    with pytest.raises(InvalidInputError, match="200"):
        service.client.find_items(ids=[f"i{n}" for n in range(201)])
    with pytest.raises(InvalidInputError, match="1000"):
        service.client.find_items(limit=1001)


def test_items_of_a_tenant_are_its_own(service: Live) -> None:
    new = Item(item_id="new", title="Film 99", categories=("Drama",), available=False)
    service.client.items([new])
    until(lambda: bool(service.client.find_items(ids=("new",)).items))
    (seen,) = service.client.find_items("film 99").items
    assert seen == ItemSeen(
        item_id="new", title="Film 99", categories=("Drama",), available=False, users=0
    )
    drama = next(one for one in service.client.categories() if one.name == "Drama")
    assert (drama.items, drama.available) == (11, 10)
    with rival(service) as other:
        assert other.find_items("film 99").items == ()
        drama = next(one for one in other.categories() if one.name == "Drama")
        assert (drama.items, drama.available) == (10, 10)


# Categories


def test_a_tree_is_told_from_its_roots_and_else_as_it_was() -> None:
    def seen(name: str) -> CategorySeen:
        figures = {"items": 1, "available": 1, "reach": 0.0, "seen": 0.0, "score": 0.0}
        return CategorySeen(name=name, **figures, distance=None, reasons=())

    order = ["A > B", "C > D > E", "F", "A", "A > G", "A > B > H", "C", "A > B > I"]
    told = [one.name for one in as_tree([seen(name) for name in order])]
    assert told == ["F", "A", "A > B", "A > B > H", "A > B > I", "A > G", "C", "C > D > E"]
    assert [one.name for one in as_tree([seen("b"), seen("a")])] == ["b", "a"]


def test_categories_are_judged_by_what_known_users_had(service: Live, guides: Guides) -> None:
    found = service.client.categories()
    assert sorted(one.name for one in found) == ["Comedy", "Drama", "War"]
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    known = guides.saved.known.history
    for one in found:
        pool = service.client.find_items(category=one.name).items
        seen = sum(item.users for item in pool) / len(pool) / 24  # fewer than 50: all are targets
        n_warm = sum(item.users >= 5 for item in pool)
        assert one.distance is not None
        nearness = 1 / (1 + np.exp(one.distance))
        assert one.seen == pytest.approx(seen)
        assert one.score == pytest.approx(np.cbrt(n_warm / 50 * (1 - seen) * nearness))
        has_met = np.isin(known.item_idx, [guides.items.index[item.item_id] for item in pool])
        assert one.reach == len(set(known.user_idx[has_met])) / 24
        assert f"only {n_warm} known items for 50 targets" in one.reasons[0]


def test_of_many_users_the_same_few_stand_for_all(
    guides: Guides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "MOST_USERS", 5)
    one, two = (Shelf(guides.saved)._some_users() for _ in range(2))
    assert len(one.lengths) == 5
    assert one.item_idx.tolist() == two.item_idx.tolist()
    whole = [tuple(guides.saved.known.history.of(row)) for row in range(24)]
    assert {tuple(one.of(row)) for row in range(5)} <= set(whole)
    monkeypatch.setattr(shelf, "MOST_CATEGORIES", 2)
    assert len(Shelf(guides.saved).suggestions) == 2


def test_a_guide_that_knows_nobody_judges_nothing(guides: Guides) -> None:
    known, none = guides.saved.known, np.zeros(24, np.int64)
    nobody = KnownUsers(("",) * 24, known.history.first(none), none)
    guides.saved = replace(guides.saved, known=nobody)
    found = categories_seen(guides).categories
    assert [(one.name, one.items, one.distance, one.score) for one in found] == [
        (name, 10, None, 0.0) for name in ("Comedy", "Drama", "War")
    ]
    assert {one.users for one in items_found(guides, "", None, (), None, 50).items} == {0}


# A campaign that is not made yet


def test_a_look_tells_where_a_campaign_would_lead(service: Live, guides: Guides) -> None:
    said = campaign(goal={"category": "Drama", "n_targets": 3}, hold_out=0.1)
    with Client(service.url, made_key(service.service.database, "report")) as client:
        found = client.look(said)
        with pytest.raises(AccessError):
            client.create(said)
    expected = [guides.items.item_ids[idx - 1] for idx in guides.targets(said)]
    assert [one.item.item_id for one in found.targets] == expected
    assert (found.n_targets, found.audience_known) == (3, 24)
    for place, one in enumerate(found.targets, start=1):
        assert one.share_who_have_it == one.item.users / 24
        assert f"of Drama, best known first: number {place} of 3" in one.reason
    assert not [one for one in found.warnings if "held out" in one]
    assert service.client.campaigns() == ()
    assert not list(service.client.audit(what="campaign"))


def test_a_look_warns_of_what_is_to_be_minded(service: Live) -> None:
    client = service.client

    def warned(**said: Any) -> str:
        return "; ".join(client.look(campaign(**said)).warnings)

    assert "nobody is held out" in warned()
    assert "only 10 items for 60 targets" in warned(goal={"category": "War", "n_targets": 60})
    assert "knows nobody of the audience" in warned(audience={"users": ["x"]})
    client.items([Item(item_id="i05", available=False), Item(item_id="new", title="New")])
    until(lambda: not client.find_items(ids=("i05",)).items[0].available)
    both = {"items": ["i04", "i05"]}
    assert "1 of 2 targets sold out" in warned(goal=both)
    client.care(Care(excluded_categories=("Comedy",)))
    found = client.look(campaign(goal=both))
    assert [one.item.item_id for one in found.targets] == ["i05"]
    assert "1 of 2 targets left out: nobody is led to what care excludes" in found.warnings
    found = client.look(campaign(goal={"items": ["new"]}))
    assert "a guess by what it is" in found.targets[0].reason
    assert "1 of 1 targets had by fewer than 5 users: little is known" in found.warnings
    client.erase("u01")
    assert client.look(campaign()).audience_known == 23


def test_a_look_counts_whom_the_audience_means(service: Live) -> None:
    client = service.client

    def known(**audience: Any) -> int:
        return client.look(campaign(audience=audience)).audience_known

    for user_id, groups in {"u01": ["gold"], "u02": ["gold", "50%"], "new": ["gold"]}.items():
        client.groups(user_id, groups)
    client.groups("u03", ["gold"])
    client.groups("u03", ["silver"])
    assert known(everybody=True, least_items=10) == 0
    assert known(users=["u01", "u07", "nobody"]) == 2
    assert known(groups=["gold"]) == 2
    assert known(groups=["50%"]) == known(groups=["GOLD", "50%"]) == 1
    assert known(groups=["50_"]) == 0
    assert known(groups=["gold"], except_groups=["50%"]) == 1
    assert known(everybody=True, except_groups=["silver"]) == 23
    assert known(groups=["gold", *(f"g{n}" for n in range(2000))]) == 2
    typo = client.look(campaign(audience={"groups": ["gold", "glod"], "except_groups": ["sliver"]}))
    assert typo.audience_known == 2
    assert "nobody in these groups: 'glod', 'sliver'" in "; ".join(typo.warnings)
    many = client.look(campaign(audience={"groups": ["gold", *map(str, range(9))]}))
    assert "'3', '4' and 4 more" in "; ".join(many.warnings)
    right = client.look(campaign(audience={"groups": ["gold"], "except_groups": ["silver"]}))
    assert not [one for one in right.warnings if "nobody in" in one]
    client.care(Care(excluded_groups=("gold",)))
    assert known(everybody=True) == 22
    with rival(service) as other:
        assert other.look(campaign(audience={"groups": ["gold"]})).audience_known == 0


@pytest.mark.parametrize(
    "said",
    [
        {"goal": {"items": ["i99"]}},
        {"goal": {"category": "Jazz"}},
        {"goal": {"category": "War"}, "rails": {"forbidden_categories": ["War"]}},
        {"arms": [{"name": "a", "policy": "none"}]},
        {"arms": [{"name": "a", "policy": "foresight"}]},
    ],
)
@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_look_refuses_what_can_t_be_made(service: Live, said: dict[str, Any]) -> None:
    def refused(call: Callable[[Campaign], object]) -> tuple[type, str]:
        with pytest.raises(ProactrecError) as told:
            call(campaign(**said))
        return type(told.value), str(told.value)

    assert refused(service.client.look) == refused(service.client.create)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_nobody_runs_code_by_naming_it(service: Live, tmp_path: Path) -> None:
    code, ran = tmp_path / "own.py", tmp_path / "ran"
    code.write_text(f"open({str(ran)!r}, 'w')")
    said = campaign(arms=[{"name": "a", "policy": str(code)}])
    for call in (service.client.look, service.client.create):
        with pytest.raises(InvalidInputError, match=r"arms\.policy must be a name or the guide's"):
            call(said)
    assert not ran.exists()


def test_looks_at_many_worths_fill_no_memory(guide_folder: Callable[..., Path]) -> None:
    guides = Guides(guide_folder("foresight"))
    guides.check(campaign(), keeps=False)
    assert len(guides._policies) == 1
    for step in (0.1, 0.2, 0.3):
        guides.check(campaign(worth={"step": step}), keeps=False)
    assert len(guides._policies) == 1
    guides.check(campaign(worth={"step": 0.1}))
    assert len(guides._policies) == 2


def test_drafts_of_many_worths_fill_no_memory(
    guide_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proactrec.serving.guides.MOST_POLICIES", 3)
    guides = Guides(guide_folder("foresight"))
    for step in (0.1, 0.2, 0.3, 0.1, 0.4):
        guides.check(campaign(worth={"step": step}))
    kept = [options for _, options in guides._policies]
    steps = [step for one in kept for step in (0.1, 0.2, 0.3, 0.4) if f"'step': {step}" in one]
    assert steps == [0.3, 0.1, 0.4], "that which was used last is the last to go"


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_look_is_no_campaign(service: Live) -> None:
    for method in ("GET", "PUT", "DELETE"):
        refused = service.ask(method, "/v1/campaigns/look", json={})
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    for path in ("looks", "alook"):
        assert service.ask("GET", f"/v1/campaigns/{path}").status_code == 404


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_users_that_are_needed_are_those_of_the_command(service: Live) -> None:
    found = service.client.power(effect=0.02, rate=0.1, hold_out=0.2)
    assert (found.users, found.effect, found.rate, found.hold_out) == (12198, 0.02, 0.1, 0.2)
    assert service.client.power(effect=-0.02, rate=0.1).users > found.users
    for wrong, said in (
        ({"effect": 0, "rate": 0.1}, "effect must be 1e-06 or more off 0, got 0.0"),
        ({"effect": 0.5, "rate": 0.7}, r"rate \+ effect must be in \[0, 1\], got 1.2"),
        ({"effect": 0.1, "rate": "nan"}, "rate"),
        ({"effect": 0.1, "rate": 0.1, "hold_out": 0}, "hold_out"),
        ({"effect": 0.1, "rate": 0.1, "hold_out": 1}, "hold_out"),
    ):
        given: Any = wrong
        with pytest.raises(InvalidInputError, match=said):
            service.client.power(**given)


# Users


def test_of_a_user_is_told_what_is_known(service: Live) -> None:
    client, campaign_id = service.client, service.running(name="toward four")
    before = client.user("u01")
    assert (before.guided, before.groups, before.excluded_because) == (None, (), None)
    assert (before.decisions, before.first_at, before.last_at) == (0, None, None)
    assert (before.known_items, before.journeys) == (9, ())
    newest = [one.item_id for one in before.newest_items]
    assert newest == list(reversed(client.export("u01").guide_items))
    for _ in range(2):
        client.decide("u01")
    client.consent("u01", guided=True)
    client.consent("u01", guided=False)
    client.groups("u01", ["minors", "gold"])
    client.care(Care(excluded_groups=("others", "minors")))
    found = client.user("u01")
    assert (found.guided, found.groups) == (False, ("gold", "minors"))
    assert found.excluded_because == "minors"
    assert found.decisions == 2
    assert found.first_at is not None
    assert found.last_at is not None
    assert found.first_at < found.last_at
    (journey,) = found.journeys
    assert (journey.campaign_id, journey.campaign_name) == (campaign_id, "toward four")
    assert (journey.target_id, journey.target_title, journey.rounds) == ("i04", "Film 4", 2)
    client.consent("u01", guided=True)
    assert client.user("u01").guided is True
    with rival(service) as other:
        assert other.user("u01") == before


def test_journeys_that_went_on_last_come_first(service: Live) -> None:
    first = service.running(name="first", priority=1)
    service.client.decide("u01")
    second = service.running(name="second", priority=2, goal={"items": ["i05"]})
    service.client.decide("u01")
    assert [one.campaign_id for one in service.client.user("u01").journeys] == [second, first]
    service.client.stop(second, "enough")
    service.client.decide("u01")
    found = service.client.user("u01").journeys
    assert [(one.campaign_name, one.rounds) for one in found] == [("first", 2), ("second", 1)]


def test_of_nobody_nothing_is_told_nor_of_whoever_was_erased(service: Live) -> None:
    client = service.client
    service.running()
    nothing = client.user("nobody").model_dump(exclude={"user_id"})
    assert {key: value for key, value in nothing.items() if value} == {}
    client.decide("u01")
    client.groups("u01", ["gold"])
    client.consent("u01", guided=True)
    client.erase("u01")
    assert client.user("u01").model_dump(exclude={"user_id"}) == nothing


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_users_of_any_signs_are_found_whole(service: Live) -> None:
    client = service.client
    for user_id in ("00012", "Jürgen Müller", "a/b", "a?b=c&d#e", "50%25", "../admin", "decisions"):
        client.consent(user_id, guided=False)
        found = client.user(user_id)
        assert (found.user_id, found.guided) == (user_id, False)
    client.decide("a/b")
    assert set(service.ask("GET", "/v1/users/a/b/decisions").json()) == {"decisions", "next"}
    assert len(list(client.decisions("a/b"))) == 1
    assert client.export("a/b").consents
    for part in ("consent", "groups"):
        refused = service.ask("GET", f"/v1/users/a/b/{part}")
        assert (refused.status_code, refused.headers["allow"]) == (405, "PUT")
    assert client.user("a/b").decisions == 1


def test_past_decisions_are_told_for_people(service: Live) -> None:
    client = service.client
    explore = {"share": 1, "loss": 0.9}
    campaign_id = service.running(goal={"category": "Drama"}, hold_out=0.5, explore=explore)
    users = [f"u{n:02}" for n in range(20)]
    made = client.decide_batch([DecisionRequest(user_id=one) for one in users])
    assert {one.guided for one in made} == {True, False}
    said = client.campaign(campaign_id).campaign
    client.change(campaign_id, said.model_copy(update={"goal": campaign().goal}), "a test")
    for user_id, decision in zip(users, made, strict=True):
        (past,) = client.decisions(user_id)
        assert (past.item_id, past.title) == (decision.item_id, decision.title)
        if decision.guided:
            head, _, drawn = past.why.partition(", drawn among ")
            assert decision.reason.startswith(head)
            assert decision.reason.endswith(drawn)
            assert f"'{past.target_title}' (Drama)" in past.why  # as the campaign was then
        else:
            assert past.why == decision.reason
            assert past.why.endswith(NOT_GUIDED[str(past.not_guided_because)])
    client.stop(campaign_id, "enough")
    client.decide("new", candidates=("x1",))
    (past,) = client.decisions("new")
    assert (past.title, past.target_title) == ("x1", None)
