"""The whole life of campaigns, in any order that anybody may think of."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proactrec.errors import CampaignStateError
from proactrec.serving.requests import Answer, Noted, Refused, Report
from proactrec.store.budgets import Limit
from proactrec.store.campaign import GOES_TO, Campaign, State
from proactrec.store.campaigns import current, history
from proactrec.store.database import Database
from proactrec.store.people import KINDS
from proactrec.store.rebuild import differences
from proactrec.worker.expiry import settle

from .hosting import DAY, TENANT, Shop

USERS = [f"u{n:02}" for n in range(4)]
CAP, BUDGET = 2, 7


class Life(RuleBasedStateMachine):
    """Two hosts, some users, a campaign or two."""

    folder: Path  # of the guide
    ids = Bundle("ids")  # of campaigns
    answers = Bundle("answers")

    @initialize()
    def open(self) -> None:
        self.place = tempfile.mkdtemp()
        self.database = Database(f"{self.place}/life.sqlite")
        self.database.migrate()
        self.shop = Shop(self.database, self.folder, 2)
        self.n_reported = 0
        self.wants: dict[str, bool] = {}

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            shutil.rmtree(self.place)

    @rule(
        target=ids,
        hold_out=st.sampled_from([0, 0.3]),
        apprentice=st.sampled_from([False, False, True]),
        starts=st.sampled_from([True, True, False]),
    )
    def create(self, hold_out: float, apprentice: bool, starts: bool) -> str:
        make = self.shop.campaign if starts else self.shop.draft
        return make(
            hold_out=hold_out,
            apprentice=apprentice,
            goal={"items": ("i04", "i07")},
            budget={"total": BUDGET},
            rails={"daily_cap": CAP, "daily_cap_counts": "campaign"},
        ).campaign_id

    @rule(campaign_id=ids, state=st.sampled_from(list(GOES_TO)))
    def become(self, campaign_id: str, state: State) -> None:
        with self.database.reading() as connection:
            version = current(connection, TENANT, campaign_id)
        may = state in GOES_TO[version.state]
        if may or (state == version.state and state in ("draft", "running", "paused")):
            assert self.shop.change(version, state=state).version == version.version + 1
        else:
            with pytest.raises(CampaignStateError):
                self.shop.change(version, state=state)

    @rule(campaign_id=ids, share=st.sampled_from([0, 0.2]))
    def say_otherwise(self, campaign_id: str, share: float) -> None:
        with self.database.reading() as connection:
            version = current(connection, TENANT, campaign_id)
        if version.state in ("finished", "stopped"):
            return
        content = version.said.model_dump(mode="json", exclude_defaults=True)
        content["rails"] = {**content["rails"], "plain_share": share}
        self.shop.change(version, said=Campaign(**content))

    @rule(target=answers, host=st.integers(0, 1))
    def ask(self, host: int) -> object:
        found = [self.shop.ask(user, host) for user in USERS]
        for one in found:
            made = one.decided.made
            assert one.version is None or one.version.state == "running"
            assert not (made.guided and not self.wants.get(one.user_id, True))
        return multiple(*found)

    @rule(
        answer=answers,
        kind=st.sampled_from(KINDS),
        host=st.integers(0, 1),
        times=st.integers(1, 3),
    )
    def report(self, answer: Answer, kind: str, host: int, times: int) -> None:
        if not answer.decided.made.item_id:
            return
        self.n_reported += 1
        told = Report(
            answer.user_id,
            f"e{self.n_reported}",
            kind,
            answer.decided.made.item_id,
            answer.decision_id,
        )
        found = self.shop.handle([told] * times, host)
        assert [one.is_repeated for one in found] == [False] + [True] * (times - 1)
        other = told._replace(kind="skip" if kind != "skip" else "accept")
        assert isinstance(self.shop.handle([other], 1 - host)[0], Refused)

    @rule(user=st.sampled_from(USERS), item=st.integers(1, 9), host=st.integers(0, 1))
    def buy(self, user: str, item: int, host: int) -> None:
        self.n_reported += 1
        told = Report(user, f"e{self.n_reported}", "purchase", f"i{item:02}")
        assert isinstance(self.shop.handle([told], host)[0], Noted)

    @rule(user=st.sampled_from(USERS), wants=st.booleans(), host=st.integers(0, 1))
    def consent(self, user: str, wants: bool, host: int) -> None:
        self.shop.consent(user, wants, host)
        self.wants[user] = wants

    @rule(days=st.sampled_from([0.1, 1, 3]))
    def wait(self, days: float) -> None:
        self.shop.now += int(days * DAY)

    @rule()
    def work(self) -> None:
        settle(self.database, self.shop.now)
        assert not any(settle(self.database, self.shop.now))

    @rule(target=ids, campaign_id=ids)
    def look_back(self, campaign_id: str) -> object:
        with self.database.reading() as connection:
            versions = history(connection, TENANT, campaign_id)
        assert [one.version for one in versions] == list(range(1, len(versions) + 1))
        assert versions[0].state == "draft"
        return multiple()

    @precondition(lambda self: hasattr(self, "shop"))
    @invariant()
    def promises_hold(self) -> None:
        assert differences(self.database, TENANT) == []
        used = self.shop.rows("SELECT campaign_id, scope, period, used FROM budgets")
        assert all(Limit(*key).period and n <= BUDGET for *key, n in used)
        guided = self.shop.rows(  # an offer that nobody was shown in time is given back
            "SELECT COUNT(*) FROM decisions d WHERE guided = 1 AND NOT EXISTS (SELECT 1 FROM "
            "events e WHERE e.user_id = d.user_id AND decision = number AND kind = 'expired') "
            f"GROUP BY campaign_id, d.user_id, d.at / {DAY}"
        )
        assert max(guided, default=(0,))[0] <= CAP


def test_the_whole_life_of_campaigns(guide_folder: Callable[..., Path]) -> None:
    Life.folder = guide_folder()
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    how = settings(
        max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=slow
    )
    run_state_machine_as_test(Life, settings=how)
