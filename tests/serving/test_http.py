"""The contract of the service over HTTP, on both databases."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proactrec.errors import (
    AccessError,
    CampaignStateError,
    InvalidInputError,
    UnknownIdError,
    UnknownKeyError,
)
from proactrec.serving.client import Client
from proactrec.serving.schemas import Decision, DecisionRequest, EventReport, Item
from proactrec.serving.words import NOT_GUIDED
from proactrec.store.database import Database

from .live import Live, campaign, live, made_key, until


@pytest.fixture
def service(database: Database, guide_folder: Callable[..., Path]) -> Iterator[Live]:
    with live(database, guide_folder()) as found:
        yield found


def event(decision: Decision, kind: str, event_id: str = "e1", user_id: str = "u01") -> EventReport:
    assert decision.item_id is not None
    return EventReport(
        event_id=event_id,
        user_id=user_id,
        decision_id=decision.decision_id,
        item_id=decision.item_id,
        kind=kind,
    )


def test_a_campaign_goes_its_way(service: Live) -> None:
    client = service.client
    made = client.create(campaign(label="Acme", goal={"category": "Drama", "n_targets": 3}))
    assert (made.version, made.state, made.campaign.label.on_behalf_of) == (1, "draft", "Acme")
    started = client.start(made.id, without_forecast="a test")
    assert (started.version, started.state, started.reason) == (2, "running", "a test")
    decision = client.decide("u01")
    assert decision.guided
    assert decision.not_guided_because is None
    assert (decision.campaign_id, decision.arm) == (made.id, "guided")
    assert decision.label == made.campaign.label
    assert decision.expires_at is not None
    assert timedelta(minutes=55) < decision.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert "'Film" in decision.reason
    assert "(Drama)" in decision.reason
    taken = client.report([event(decision, "impression"), event(decision, "accept", "e2")])
    assert (taken.accepted, taken.repeated, taken.refused) == (2, 0, ())
    assert client.report([event(decision, "accept", "e2")]).repeated == 1
    now = client.campaign(made.id)
    arm = now.arms["guided"]
    assert (arm.users, arm.decisions, arm.guided, arm.answered, arm.accepted) == (1, 1, 1, 1, 1)
    assert [(j.user_id, j.rounds, j.accepted) for j in client.journeys(made.id)] == [("u01", 1, 1)]
    (past,) = client.decisions("u01")
    assert past.decision_id == decision.decision_id
    assert past.reported == ("impression", "accept")
    brought = client.measurement(made.id)
    assert (brought.users, brought.matured, brought.compared_with) == (1, 0, "guided")
    assert client.pause(made.id, "lunch").state == "paused"
    assert client.decide("u02").not_guided_because == "campaign_paused"
    assert client.stop(made.id, "enough").state == "stopped"
    answer = service.ask("GET", f"/v1/campaigns/{made.id}/versions")
    found = [(one["version"], one["state"]) for one in answer.json()["versions"]]
    assert found == [(1, "draft"), (2, "running"), (3, "paused"), (4, "stopped")]


def test_a_decision_is_raw_json_as_the_contract_says(service: Live) -> None:
    campaign_id = service.running(hold_out=0.5)
    answer = service.ask("POST", "/v1/decisions", json={"user_id": "u01"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {
        *("decision_id", "item_id", "title", "guided", "campaign_id", "arm", "target_id"),
        *("reason", "not_guided_because", "label", "probability", "expires_at"),
    }
    users = [f"u{n:02}" for n in range(24)]
    found = service.client.decide_batch([DecisionRequest(user_id=one) for one in users])
    held = [one for one in found if one.arm == "hold-out"]
    assert 0 < len(held) < 24
    assert {one.not_guided_because for one in held} == {"hold_out"}
    assert {one.label for one in held} == {None}
    others = {one.not_guided_because for one in found if one.campaign_id != campaign_id}
    assert others == {"finished"}  # who has the target


def test_nobody_is_guided_without_a_campaign(service: Live) -> None:
    decision = service.client.decide("a new one")
    assert decision.item_id is not None
    assert (decision.guided, decision.not_guided_because) == (False, "no_campaign")
    assert decision.reason.endswith(NOT_GUIDED["no_campaign"])


def test_what_no_database_keeps_is_refused_wherever_it_comes(service: Live) -> None:
    made = service.running()
    said = {"name": "a\0", "goal": {"items": ["i04"]}}
    for method, path, body in [
        ("POST", "/v1/campaigns", said),
        ("POST", "/v1/campaigns", {**said, "name": "a", "label": "a\0"}),
        ("POST", f"/v1/campaigns/{made}/pause", {"reason": "a\0"}),
        ("PUT", "/v1/items", [{"item_id": "i77", "title": "a\0"}]),
        ("PUT", "/v1/items", [{"item_id": "i77", "text": "a\0"}]),
    ]:
        answer = service.ask(method, path, json=body)
        assert answer.status_code == 422, (path, answer.text)
    for path in (f"users/u/decisions?before={n}" for n in (0, 2**63, 10**30)):
        assert service.ask("GET", f"/v1/{path}").status_code == 422, path
    for path in ("campaigns/%00", f"campaigns/{made}/journeys?after=%00", "audit?about=a%00"):
        assert service.ask("GET", f"/v1/{path}").status_code < 500, path


def test_candidates_bound_what_is_shown(service: Live) -> None:
    service.running()
    offered = ("i20", "i21", "i22")
    assert service.client.decide("new", candidates=offered).item_id in offered
    other = service.client.decide("newer", candidates=("x1", "x2"))
    assert (other.item_id, other.not_guided_because) == ("x1", "unknown_candidates")


def test_the_same_key_gets_the_same_decision(service: Live) -> None:
    service.running()
    first = service.client.decide("u01", request_key="one")
    assert service.client.decide("u01", request_key="one") == first
    assert service.client.decide("u01", request_key="two").decision_id != first.decision_id
    both = [DecisionRequest(user_id="u02"), DecisionRequest(user_id="u03")]
    found = service.client.decide_batch(both, request_key="night")
    assert service.client.decide_batch(both, request_key="night") == found


def test_the_same_key_makes_one_campaign(service: Live) -> None:
    first = service.client.create(campaign(), request_key="one")
    assert service.client.create(campaign(), request_key="one").id == first.id
    with pytest.raises(InvalidInputError, match="another campaign"):
        service.client.create(campaign(name="other"), request_key="one")
    assert len(service.client.campaigns()) == 1


def test_the_same_user_asked_twice_at_once_goes_one_journey(service: Live) -> None:
    campaign_id = service.running()
    found: list[Decision] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        with Client(service.url, service.key) as client:
            barrier.wait()
            found.append(client.decide("u05"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    numbers = sorted(int(str(one.decision_id).split("-")[0]) for one in found)
    assert numbers == [1, 2, 3, 4]
    assert len({one.item_id for one in found}) == 4
    assert [(j.user_id, j.rounds) for j in service.client.journeys(campaign_id)] == [("u05", 4)]


def test_an_opt_out_holds_on_the_next_decision_of_another_instance(
    service: Live, guide_folder: Callable[..., Path]
) -> None:
    service.running()
    url = service.service.database.url.render_as_string(hide_password=False)
    with live(Database(url), guide_folder()) as other:
        assert other.client.decide("u01").guided
        service.client.consent("u01", guided=False)
        assert other.client.decide("u01").not_guided_because == "opted_out"
        service.client.consent("u01", guided=True)
        assert other.client.decide("u01").guided


def test_ids_of_users_may_have_any_signs(service: Live) -> None:
    service.running()
    for user_id in (*IDS, "bob"):
        service.client.consent(user_id, guided=False)
        service.client.groups(user_id, ["odd"])
        assert service.client.decide(user_id).not_guided_because == "opted_out"
        assert [one.number for one in service.client.decisions(user_id)] == [1]
        assert service.client.export(user_id).user_id == user_id
        seen = service.client.user(user_id)
        assert (seen.user_id, seen.guided, seen.groups) == (user_id, False, ("odd",))
    for user_id in IDS:
        assert service.client.erase(user_id).erased["decisions"] == 1
        assert service.client.decide(user_id).not_guided_because != "opted_out"
    assert service.client.decide("bob").not_guided_because == "opted_out", "another one was erased"


IDS = (
    "00012", "Jürgen Müller", "a/b", "a?b=c&d#e", "50%25", "../admin", "bob\n", "a\nb", "\r\n",
    "bob/decisions\n", "bob/export/", ".", "..", "...", " bob ",
)  # fmt: skip


def test_groups_say_who_is_meant(service: Live) -> None:
    service.running(audience={"groups": ["vip"]})
    assert service.client.decide("u01").not_guided_because == "not_in_audience"
    service.client.groups("u01", ["vip"])
    assert service.client.decide("u01").guided


def test_a_change_is_a_new_version_and_holds_at_once(service: Live) -> None:
    campaign_id = service.running()
    with pytest.raises(CampaignStateError, match="has version 2, not 1"):
        service.client.change(campaign_id, campaign(name="other"), "a test", version=1)
    nobody = campaign(audience={"users": ["nobody"]})
    changed = service.client.change(campaign_id, nobody, "a test", version=2)
    assert (changed.version, changed.state) == (3, "running")
    assert service.client.decide("u01").not_guided_because == "not_in_audience"


def test_no_start_without_a_forecast_or_a_reason(service: Live) -> None:
    made = service.client.create(campaign())
    with pytest.raises(CampaignStateError, match="no forecast of what it says now"):
        service.client.start(made.id)
    answer = service.ask("POST", f"/v1/campaigns/{made.id}/start", json={"without_forecast": True})
    assert answer.status_code == 422
    answer = service.ask("GET", f"/v1/campaigns/{made.id}/forecast")
    assert answer.status_code == 409
    answer = service.ask("POST", f"/v1/campaigns/{made.id}/forecast")
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    assert service.client.campaign(made.id).forecast == "waiting"
    assert service.client.start(made.id, without_forecast="hurry").state == "running"


def test_items_that_came_later_and_those_sold_out(service: Live) -> None:
    client = service.client
    client.items([Item(item_id="new", title="Film 99", categories=("Drama",))])
    until(lambda: client.decide("u01", candidates=("new",)).title == "Film 99")
    campaign_id = service.running(goal={"items": ["new"]})
    assert client.decide("u02", campaign_id=campaign_id).target_id == "new"
    client.items([Item(item_id="new", available=False, categories=("Drama",))])
    until(lambda: client.decide("u02").not_guided_because == "finished")


def test_items_of_one_tenant_are_not_shown_to_another(service: Live) -> None:
    service.client.items([Item(item_id="new", title="Film 99", categories=("Drama",))])
    until(lambda: service.client.decide("u01", candidates=("new",)).title == "Film 99")
    with Client(service.url, made_key(service.service.database, tenant="rival")) as other:
        assert other.decide("u01", candidates=("new",)).title == "new"
        with pytest.raises(UnknownIdError, match="no item 'new'"):
            other.create(campaign(goal={"items": ["new"]}))


def test_journeys_come_in_pages(service: Live) -> None:
    campaign_id = service.running()
    users = [f"u{n:02}" for n in range(7)]
    service.client.decide_batch([DecisionRequest(user_id=one) for one in users])
    found = [one.user_id for one in service.client.journeys(campaign_id, page=3)]
    assert found == users
    for _ in range(5):
        service.client.decide("u00")
    numbers = [one.number for one in service.client.decisions("u00", page=2)]
    assert numbers == [6, 5, 4, 3, 2, 1]


def test_an_apprentice_returns_what_the_caller_would_have_shown(service: Live) -> None:
    campaign_id = service.running(apprentice=True)
    found = service.client.decide("u01", candidates=("i20", "i21", "i22", "i23"))
    assert (found.item_id, found.guided, found.label) == ("i20", False, None)
    assert found.not_guided_because == "apprentice"
    now = service.client.campaign(campaign_id)
    assert now.apprentice is not None
    assert now.apprentice.decisions == 1
    assert now.budget_used.total is None


def test_budgets_are_counted(service: Live) -> None:
    campaign_id = service.running(budget={"total": 3, "per_day": 10})
    users = [f"u{n:02}" for n in range(8)]
    found = service.client.decide_batch([DecisionRequest(user_id=one) for one in users])
    assert sum(one.guided for one in found) == 3
    now = service.client.campaign(campaign_id)
    assert (now.budget_used.total, now.budget_used.today) == (3, 3)
    assert now.arms["guided"].not_guided_because == {"budget_spent": 5}


def test_what_was_guided_before_counts_against_a_budget_that_comes(service: Live) -> None:
    campaign_id = service.running()
    users = [DecisionRequest(user_id=f"u{n:02}") for n in range(8)]
    assert all(one.guided for one in service.client.decide_batch(users[:3]))
    used = service.client.campaign(campaign_id).budget_used
    assert (used.total, used.today) == (None, None)
    service.client.change(campaign_id, campaign(budget={"total": 5}), "a budget")
    used = service.client.campaign(campaign_id).budget_used
    assert (used.total, used.today) == (3, None)
    assert sum(one.guided for one in service.client.decide_batch(users[3:])) == 2
    with pytest.raises(CampaignStateError, match="its arms can't go or be renamed"):
        service.client.change(campaign_id, campaign(arms=[{"name": "other"}]), "others")


def test_events_that_cant_be_taken_in_are_told_one_by_one(service: Live) -> None:
    service.running()
    decision = service.client.decide("u01")
    taken = service.client.report(
        [
            event(decision, "accept"),
            event(decision, "liked", "e2"),
            event(decision, "accept", "e3", user_id="u02"),
            EventReport(event_id="e4", user_id="new", item_id="i01", kind="purchase"),
        ]
    )
    assert (taken.accepted, taken.repeated) == (2, 0)
    assert [one.event_id for one in taken.refused] == ["e2", "e3"]
    assert "kind must be one of" in taken.refused[0].why
    assert "is none of user" in taken.refused[1].why


def test_the_client_raises_the_right_kind(service: Live) -> None:
    with pytest.raises(UnknownIdError, match="there is no campaign 'none'"):
        service.client.campaign("none")
    with pytest.raises(UnknownIdError, match="no item 'i99'"):
        service.client.create(campaign(goal={"items": ["i99"]}))
    with Client(service.url, "pr_wrong") as other, pytest.raises(UnknownKeyError):
        other.campaigns()


def test_an_admin_makes_keys_of_the_own_tenant_which_open_what_they_say(service: Live) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    made = service.client.create_key("report", name="dashboard", expires_at=until)
    with Client(service.url, made.key) as reader:
        assert reader.campaigns() == ()
        with pytest.raises(AccessError, match="the scope admin, got report"):
            reader.list_keys()
    listed = {one.key_id: one for one in service.client.list_keys()}
    seen = listed[made.key_id]
    assert (seen.name, seen.scope, seen.expires_at) == ("dashboard", "report", until)
    service.client.revoke_key(made.key_id)
    with pytest.raises(UnknownIdError, match="there is no key"):
        service.client.revoke_key(made.key_id)
    with pytest.raises(InvalidInputError, match="must be in the future"):
        service.client.create_key("report", expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    with Client(service.url, made_key(service.service.database, tenant="rival")) as rival:
        assert len(rival.list_keys()) == 1
        with pytest.raises(UnknownIdError):
            rival.revoke_key(seen.key_id)


def test_nobody_erases_a_user_who_means_a_part_of_one(service: Live) -> None:
    client, odd = service.client, "u01/consent"
    client.consent(odd, guided=False)
    refused = service.ask("DELETE", f"/v1/users/{odd}")
    assert (refused.status_code, refused.headers["allow"]) == (405, "PUT")
    assert client.export(odd).consents


@pytest.mark.parametrize(
    "odd", ["u01/consent", "u/1/export", "/decisions", "a%2Fgroups", "ü b/?#", "..", "a/../u01"]
)
def test_whatever_an_id_holds_a_path_reaches_its_user(service: Live, odd: str) -> None:
    client = service.client
    client.consent("u01", guided=True)
    client.consent(odd, guided=False)
    assert client.user(odd).guided is False
    client.decide(odd)
    assert len(list(client.decisions(odd))) == 1
    assert client.export(odd).consents
    client.erase(odd)
    assert not client.export(odd).consents
    assert client.export("u01").consents
