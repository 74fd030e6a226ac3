"""A host on either database: who is guided where, what is counted, and why not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from proactrec.serving.choosing import known_of
from proactrec.serving.requests import Ask, Noted, Refused, Report
from proactrec.store.campaign import HOLD_OUT, Campaign
from proactrec.store.tables import CAMPAIGN_VERSIONS

from .hosting import DAY, NOON, TENANT, Shop


def test_a_user_is_guided_until_the_target_is_accepted(shop: Shop) -> None:
    campaign = shop.campaign()
    shown = []
    for number in range(1, 30):
        answer = shop.ask("u00")
        made = answer.decided.made
        if made.campaign_id == "":
            assert answer.decided.not_guided_because == "finished"
            break
        assert (made.number, made.guided, made.arm) == (number, 1, "guided")
        assert made.target_id == "i04"
        assert made.campaign_id == campaign.campaign_id
        assert answer.decided.reason == ("target" if made.item_id == "i04" else "step")
        assert answer.probability == 1
        shop.report(answer, "impression", "accept")
        shown.append(made.item_id)
    assert shown[-1] == "i04"
    assert len(set(shown)) == len(shown)
    (row,) = shop.rows("SELECT n_rounds, n_guided, n_accepted, accepted_in FROM journeys")
    assert row == (len(shown),) * 4


def test_nobody_guides_without_a_campaign(shop: Shop) -> None:
    answer = shop.ask("u00")
    assert answer.decided.not_guided_because == "no_campaign"
    assert answer.decided.made.item_id == answer.decided.plain_id != ""
    assert answer.decided.reason == "plain"
    draft = shop.draft()
    assert shop.ask("u00").decided.not_guided_because == "no_campaign"
    asked = shop.ask("u00", campaign_id=draft.campaign_id)
    assert asked.decided.not_guided_because == "campaign_draft"
    asked = shop.ask("u00", campaign_id="nobody's")
    assert asked.decided.not_guided_because == "unknown_campaign"
    assert asked.decided.made.item_id == asked.decided.plain_id != ""


def test_outside_campaigns_items_change_as_well(shop: Shop) -> None:
    shown = [shop.ask("u00").decided.made.item_id for _ in range(5)]
    assert len(set(shown)) == 5


def test_unknown_users_are_guided_from_what_they_did(shop: Shop) -> None:
    shop.campaign()
    assert shop.ask("nobody knows").decided.made.guided
    assert shop.bought("a buyer", "i07") is not None
    assert shop.ask("a buyer").decided.made.item_id != "i07"


def test_who_is_held_out_gets_plain_items(shop: Shop) -> None:
    shop.campaign(hold_out=0.5)
    arms = {}
    for user in range(24):
        answer = shop.ask(f"u{user:02}")
        if answer.decided.made.campaign_id:
            arms[f"u{user:02}"] = answer.decided.made.arm
            is_out = answer.decided.made.arm == HOLD_OUT
            assert answer.decided.made.guided == (not is_out)
            assert (answer.decided.not_guided_because == "hold_out") == is_out
            assert answer.decided.made.target_id == "i04"
    assert set(arms.values()) == {HOLD_OUT, "guided"}
    assert dict(shop.rows("SELECT user_id, arm FROM assignments")) == arms


def test_consent_holds_from_the_next_decision_on(shop: Shop) -> None:
    shop.campaign()
    assert shop.ask("u00").decided.made.guided
    shop.consent("u00", False)
    answer = shop.ask("u00")
    assert (answer.decided.made.guided, answer.decided.not_guided_because) == (0, "opted_out")
    shop.consent("u00", True)
    assert shop.ask("u00").decided.made.guided


def test_who_opted_out_before_is_no_user_of_a_campaign(shop: Shop) -> None:
    shop.campaign()
    shop.consent("u00", False)
    answer = shop.ask("u00")
    assert answer.decided.not_guided_because == "opted_out"
    assert answer.decided.made.campaign_id == ""
    assert shop.rows("SELECT * FROM assignments") == []


def test_audience_by_ids_groups_and_activity(shop: Shop) -> None:
    shop.campaign(audience={"users": ("u00",), "groups": ("gold",), "least_items": 5})
    shop.groups("u01", "gold")
    shop.groups("newcomer", "gold")
    found = [shop.ask(user).decided for user in ("u00", "u01", "u02", "newcomer")]
    assert [one.made.guided for one in found] == [1, 1, 0, 0]
    assert {one.not_guided_because for one in found[2:]} == {"not_in_audience"}


def test_campaigns_have_turns_in_their_order(shop: Shop) -> None:
    first = shop.campaign(audience={"users": ("u00",)})
    shop.now += 1
    second = shop.campaign(goal={"items": ("i05",)})
    assert shop.ask("u00").decided.made.campaign_id == first.campaign_id
    assert shop.ask("u01").decided.made.campaign_id == second.campaign_id
    asked = shop.ask("u00", campaign_id=second.campaign_id)
    assert asked.decided.made.campaign_id == second.campaign_id
    shop.change(second, said=second.said.model_copy(update={"priority": 1}))
    assert shop.ask("u00").decided.made.campaign_id == second.campaign_id


def test_days_have_caps_that_all_campaigns_share_unless_told(shop: Shop) -> None:
    shop.campaign(rails={"daily_cap": 2})
    shop.now += 1
    own = shop.campaign(
        goal={"items": ("i05",)}, rails={"daily_cap": 2, "daily_cap_counts": "campaign"}
    )

    def guided(campaign_id: str | None = None) -> tuple[int, str]:
        decided = shop.ask("user 0", campaign_id=campaign_id).decided
        return decided.made.guided, decided.not_guided_because

    assert [guided() for _ in range(3)] == [(1, ""), (1, ""), (0, "daily_cap")]
    assert [guided(own.campaign_id)[0] for _ in range(3)] == [1, 1, 0]
    shop.now += DAY
    assert guided() == (1, "")


def test_an_items_cap_leads_others_elsewhere(shop: Shop) -> None:
    shop.campaign(rails={"item_cap_total": 2})
    users = [f"user {user}" for user in range(24)]
    together = shop.handle([Ask(user) for user in users])
    shown = [one.decided.made.item_id for one in together if one.decided.made.guided]
    assert len(shown) == 24
    assert max(map(shown.count, shown)) == 2
    used = dict(shop.rows("SELECT scope, used FROM budgets"))
    assert used == {f"item:{item}": shown.count(item) for item in set(shown)}


def test_an_items_cap_of_a_day_holds_for_that_day(shop: Shop) -> None:
    shop.campaign(rails={"item_cap_per_day": 1})
    first = shop.ask("user 0").decided.made.item_id
    assert first not in [shop.ask(f"user {n}").decided.made.item_id for n in range(1, 9)]
    shop.now += DAY
    again = {shop.ask(f"new{n}").decided.made.item_id for n in range(9)}
    assert len(again) == 9
    assert all(shop.rows("SELECT used = 1 FROM budgets"))


@pytest.mark.parametrize("budget", [{"total": 3}, {"per_day": 3}])
def test_a_spent_budget_leaves_plain_items(shop: Shop, budget: dict[str, int]) -> None:
    shop.campaign(budget=budget)
    found = [shop.ask(f"user {n}").decided for n in range(4)]
    found += [one.decided for one in shop.handle([Ask(f"user {n}") for n in range(5, 9)])]
    assert [one.made.guided for one in found] == [1] * 3 + [0] * 5
    assert {one.not_guided_because for one in found[3:]} == {"budget_spent"}
    assert {one.made.arm for one in found} == {"guided"}
    shop.now += DAY
    assert shop.ask("user 10").decided.made.guided == ("per_day" in budget)


def test_an_even_pace_is_kept(shop: Shop) -> None:
    shop.now = NOON - NOON % DAY
    shop.campaign(budget={"per_day": 4, "pacing": "even"})
    n_guided = []
    for hour in range(0, 24, 3):
        shop.now = NOON - NOON % DAY + hour * DAY // 24
        found = shop.handle([Ask(f"user {hour} {n}") for n in range(3)])
        assert {one.decided.not_guided_because for one in found} <= {"", "pacing", "budget_spent"}
        n_guided.append(sum(one.decided.made.guided for one in found))
    assert n_guided == [1, 0, 1, 0, 1, 0, 1, 0]


def test_only_what_the_caller_offers_is_shown(shop: Shop) -> None:
    shop.campaign(hold_out=0.5)
    offered = ("i20", "i21", "i04", "unheard of")
    for user in range(24):
        decided = shop.ask(f"user {user}", candidates=offered).decided
        assert decided.made.item_id in offered[:3]
        assert decided.plain_id == "i20"
        if not decided.made.guided:
            assert decided.made.item_id == "i20"
    only = shop.ask("user 99", candidates=("unheard of",)).decided
    assert only.made.item_id != ""


def test_an_apprentice_shows_what_the_caller_would(shop: Shop) -> None:
    shop.campaign(apprentice=True, budget={"total": 1})
    for user in ("u00", "u01"):
        decided = shop.ask(user, candidates=("i20", "i04", "i21")).decided
        assert (decided.made.item_id, decided.made.guided) == ("i20", 0)
        assert decided.not_guided_because == "apprentice"
        assert decided.proposed_id in ("i04", "i20", "i21")
    assert shop.rows("SELECT * FROM budgets") == []


def test_exploration_says_how_likely_each_item_was(
    shop: Shop, guide_folder: Callable[..., Path]
) -> None:
    shop.campaign(explore={"loss": 10, "share": 0.5, "most": 4})
    found = shop.handle([Ask(f"user {n}") for n in range(400)])
    n_best = 0
    for one in found:
        assert len(one.decided.among) == 4
        is_best = one.decided.made.item_id == one.decided.among[0]
        assert one.probability == (0.625 if is_best else 0.125)
        n_best += is_best
    assert abs(n_best / 400 - 0.625) < 4 * (0.625 * 0.375 / 400) ** 0.5


def test_a_category_gives_another_target_when_one_is_done(shop: Shop) -> None:
    shop.campaign(goal={"category": "War"})
    targets = []
    for _ in range(60):
        answer = shop.ask("u00")
        made = answer.decided.made
        if not made.campaign_id:
            break
        is_target = made.item_id == made.target_id
        shop.report(answer, "skip" if is_target and len(targets) % 2 else "accept")
        if is_target:
            targets.append(made.target_id)
    assert len(set(targets)) == len(targets) > 2
    assert {shop.items.categories[shop.items.index[one] - 1] for one in targets} == {("War",)}


def test_a_target_that_is_sold_out_is_left_for_another(shop: Shop) -> None:
    shop.campaign(goal={"category": "War"})
    first = shop.ask("u00").decided.made.target_id
    host = shop.hosts[0]
    host.replace_guides(type(shop.guides)(shop.guides.folder, unavailable=frozenset([first])))
    second = shop.ask("u00").decided.made
    assert second.target_id not in ("", first)
    host.replace_guides(shop.guides)
    assert shop.ask("u00").decided.made.target_id == second.target_id


def test_a_target_that_a_cap_closed_is_left_for_another(shop: Shop) -> None:
    shop.campaign(goal={"category": "War"}, rails={"item_cap_total": 1})
    war = set(shop.items.of_category("War").tolist())
    offered, led, n_left = set[int](), dict[str, int](), 0
    for _ in range(3):
        for user in ("u00", "u01", "u02", "u03"):
            own = war.difference(known_of(user, shop.guides, ()).items)
            made = shop.ask(user).decided.made
            target = shop.items.index[made.target_id]
            assert target not in offered or own <= offered
            n_left += led.get(user, target) in offered - {target}
            led[user] = target
            if made.guided:
                offered.add(shop.items.index[made.item_id])
    assert n_left


def test_rounds_end_a_journey(shop: Shop) -> None:
    shop.campaign(rounds=2)
    found = [shop.ask("u00").decided for _ in range(3)]
    assert [one.not_guided_because for one in found] == ["", "", "finished"]


def test_a_paused_campaign_goes_on_where_it_was(shop: Shop) -> None:
    campaign = shop.campaign()
    before = shop.ask("u00").decided
    shop.change(campaign, state="paused")
    paused = shop.ask("u00").decided
    assert (paused.not_guided_because, paused.made.campaign_id) == ("campaign_paused", "")
    shop.change(campaign, state="running")
    after = shop.ask("u00").decided
    assert after.made.version == 4
    assert after.made.item_id not in ("", before.made.item_id)
    (row,) = shop.rows("SELECT n_rounds FROM journeys")
    assert row == (2,)


def test_a_change_takes_effect_between_decisions(shop: Shop) -> None:
    campaign = shop.campaign()
    assert shop.ask("u00").decided.made.guided
    rails = campaign.said.rails.model_copy(update={"guided_budget": 1})
    shop.change(campaign, said=campaign.said.model_copy(update={"rails": rails}))
    decided = shop.ask("u00").decided
    assert (decided.made.version, decided.made.guided) == (3, 0)
    assert decided.not_guided_because == "budget_spent"


def test_whose_arm_is_gone_is_a_plain_user(shop: Shop) -> None:
    """In stores of before, when a change could take it away."""
    campaign = shop.campaign(arms=[{"name": "one"}, {"name": "other"}])
    made = [shop.ask(f"u{n:02}") for n in range(12)]
    arms = {one.user_id: one.decided.made.arm for one in made if one.decided.made.guided}
    assert set(arms.values()) == {"one", "other"}
    whole = campaign.said.model_dump(mode="json")
    said = Campaign(**{**whole, "arms": [{"name": "one"}]})
    version = shop.change(campaign, reason="so")
    with shop.database.writing() as connection:
        changed = update(CAMPAIGN_VERSIONS).where(CAMPAIGN_VERSIONS.c.version == version.version)
        connection.execute(changed.values(said=said.model_dump_json()))
    for user, arm in arms.items():
        decided = shop.ask(user).decided
        because = "" if arm == "one" else "not_in_audience"
        assert (bool(decided.made.guided), decided.not_guided_because) == (not because, because)


def test_the_ramp_reaches_more_users_and_keeps_those_it_had(shop: Shop) -> None:
    campaign = shop.campaign(ramp={"steps": (0.2, 1)})
    users = [f"user {n}" for n in range(100)]
    early = {u for u in users if shop.ask(u).decided.made.guided}
    assert 10 <= len(early) <= 30
    shop.change(campaign, ramp_step=1)
    assert {u for u in users if shop.ask(u).decided.made.guided} == set(users)


def test_the_same_key_gets_the_same_decision(shop: Shop) -> None:
    shop.campaign()
    once, twice = shop.handle([Ask("u00", request_key="k"), Ask("u00", request_key="k")])
    assert once.decided == twice.decided
    assert shop.ask("u00", request_key="k").decided == once.decided
    assert shop.ask("u00").decided.made.number == 2


def test_several_asks_of_a_user_are_rounds_of_one_journey(shop: Shop) -> None:
    shop.campaign()
    found = shop.handle([Ask("u00"), Ask("u01"), Ask("u00"), Ask("u00")])
    assert [one.decided.made.number for one in found] == [1, 1, 2, 3]
    assert len({one.decided.made.item_id for one in found if one.user_id == "u00"}) == 3


def test_reports_are_taken_once_and_wrong_ones_refused(shop: Shop) -> None:
    shop.campaign()
    answer = shop.ask("u00")
    made = answer.decided.made
    good = Report("u00", "e1", "accept", made.item_id, answer.decision_id)
    first, again = shop.handle([good, good])
    assert (first.is_repeated, again.is_repeated) == (False, True)
    assert shop.handle([good])[0].is_repeated
    wrong = [
        good._replace(event_id="e2", kind="stared at"),
        good._replace(event_id="~mine"),
        good._replace(event_id=""),
        good._replace(event_id="e2", item_id="i99"),
        good._replace(event_id="e2", decision_id="7-abc"),
        good._replace(event_id="e2", user_id="u01"),
        good._replace(kind="skip"),
    ]
    assert all(isinstance(one, Refused) for one in shop.handle(wrong))
    assert len(shop.rows("SELECT * FROM events")) == 1


def test_a_late_acceptance_counts_as_if_it_had_come_in_time(shop: Shop) -> None:
    shop.campaign()
    first, second = shop.ask("u00"), shop.ask("u00")
    shop.report(second, "accept")
    shop.report(first, "skip")
    shop.report(first, "accept")
    person = shop.person("u00")
    assert [one.answer for one in person.standing] == [1, 1]
    assert [item for _, item, _ in person.acquired] == [
        first.decided.made.item_id,
        second.decided.made.item_id,
    ]


def test_a_clock_that_goes_back_moves_no_decision(shop: Shop) -> None:
    shop.campaign()
    first = shop.ask("u00").decided.made.at
    shop.now -= DAY
    assert shop.ask("u00").decided.made.at == first


def test_another_tenant_sees_nothing_of_it(shop: Shop) -> None:
    shop.campaign()
    (found,) = shop.hosts[0].handle("other", [Ask("u00")])
    assert found.decided.not_guided_because == "no_campaign"
    assert shop.person("u00").made == ()
    assert shop.hosts[0].handle(TENANT, []) == []


def test_an_event_of_no_decision_is_part_of_the_history(shop: Shop) -> None:
    shop.campaign()
    assert isinstance(shop.bought("u00", "i04"), Noted)
    assert shop.ask("u00").decided.not_guided_because == "finished"
