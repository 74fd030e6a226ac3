"""Who is left alone, and who was erased, is so on the next request in every instance."""

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proactrec.data.items import Items
from proactrec.errors import BusyError
from proactrec.serving.batches import all_users
from proactrec.serving.choosing import known_of
from proactrec.serving.erasing import erased
from proactrec.serving.host import Host
from proactrec.serving.instance import Instance
from proactrec.serving.keeping import ErasureReceipt
from proactrec.serving.plain import plain_items
from proactrec.serving.refreshing import Refresher
from proactrec.serving.requests import Answer, Ask, Refused, Report
from proactrec.store import care
from proactrec.store.backup import backup, restore
from proactrec.store.campaign import Campaign, CampaignRails, Goal
from proactrec.store.care import Care, Heads
from proactrec.store.database import Database, Hot
from proactrec.store.erased import rows_of
from proactrec.store.rebuild import differences, rebuild
from proactrec.worker.expiry import settle

from .hosting import DAY, TENANT, Shop


@pytest.fixture
def two(database: Database, guide_folder: Callable[..., Path]) -> Shop:
    """A shop with two instances."""
    return Shop(database, guide_folder(), 2)


def say(shop: Shop, **said: Any) -> None:
    with shop.database.writing() as connection:
        care.change(connection, TENANT, Care(**said), by="test", at=shop.now)


def erase(shop: Shop, user_id: str) -> ErasureReceipt:
    guides = [shop.guides]
    return erased(shop.database, TENANT, user_id, guides, by="test", at=shop.now)


def why(answer: Answer) -> str:
    return "" if answer.decided.made.guided else answer.decided.not_guided_because


def test_an_excluded_group_is_left_alone_from_the_next_decision_on(two: Shop) -> None:
    two.campaign()
    two.groups("u01", "minors")
    two.groups("new", "minors", "gold")
    assert [why(two.ask("u01", host)) for host in (0, 1)] == ["", ""]
    say(two, excluded_groups=("minors",))
    for user in ("u01", "new"):
        for host in (0, 1):
            answer = two.ask(user, host)
            assert why(answer) == "excluded_group"
            assert answer.decided.made.item_id
    assert two.ask("u01").decided.made.arm == "guided"  # who was assigned stays there
    assert two.ask("new").decided.made.arm == ""
    assert [why(two.ask("u02", host)) for host in (0, 1)] == ["", ""]
    say(two)
    assert [why(two.ask("u01", host)) for host in (0, 1)] == ["", ""]


def test_a_campaign_leaves_groups_of_its_own_alone(two: Shop) -> None:
    audience = {"groups": ("gold",), "except_groups": ("staff",)}
    two.campaign(audience=audience)
    two.groups("u01", "gold")
    two.groups("u02", "gold", "staff")
    assert [why(two.ask(user)) for user in ("u01", "u02")] == ["", "excluded_group"]
    two.groups("u01", "staff")
    assert why(two.ask("u01", 1)) == "excluded_group"


def test_nobody_is_guided_to_excluded_categories(two: Shop) -> None:
    two.campaign(goal={"items": ("i04", "i05")})  # Comedy and War
    users = [f"u{n:02}" for n in range(24)]

    def targets() -> set[str]:
        found = [two.ask(user, host) for host, user in enumerate(users[:2])]
        found += [two.ask(user, 1) for user in users]
        guided = [one.decided.made for one in found if one.decided.made.guided]
        return {made.target_id for made in guided} | {made.item_id for made in guided}

    comedies = {f"i{n:02}" for n in range(1, 30, 3)}
    assert targets() & comedies
    say(two, excluded_categories=("Comedy", "a category that nothing has"))
    found = targets()
    assert "i05" in found
    assert not found & comedies
    say(two, excluded_categories=("Comedy", "War"))
    assert why(two.ask("u07")) == "nothing_passes"
    say(two)
    assert targets() & comedies


def test_an_excluded_name_means_all_its_places_in_a_tree() -> None:
    paths = (("Women > Sale",), ("Men > Sale",), ("Men > Shoes",))
    items = Items("shop", tuple("abc"), tuple("ABC"), paths, np.zeros(4, np.int64))
    said = Campaign(
        name="x", goal=Goal(items=("c",)), rails=CampaignRails(protected_categories=("Shoes",))
    )
    found = Care(excluded_categories=("sale", "none")).on(said, items)
    assert found.rails.protected_categories == ("Shoes", "Men > Sale", "Women > Sale")


def test_an_erased_user_is_new_to_every_instance(two: Shop) -> None:
    two.campaign()
    first = [two.ask("u01", host) for host in (0, 1)]
    two.report(first[0], "impression", "accept")
    two.consent("u01", guided=False)
    new = two.ask("somebody nobody knows").decided.made
    receipt = erase(two, "u01")
    assert receipt.guides == (str(two.guides.folder),)
    assert receipt.erased["decisions"] == 2
    late = Report("u01", "late", "accept", "i04", first[1].decision_id)
    assert isinstance(two.handle([late], 1)[0], Refused)
    for host in (0, 1):
        answer = two.ask("u01", host)
        assert answer.decided.made.number == host + 1
        assert why(answer) == ""  # what was said of guidance is gone too
        assert two.hosts[host]._known(TENANT, "u01").row == -1
    assert two.person("u01").made[0].item_id == new.item_id
    assert differences(two.database, TENANT) == []
    assert erase(two, "u01").guides == (str(two.guides.folder),)


def test_a_user_who_comes_back_as_far_as_before_is_not_taken_for_the_old_one(two: Shop) -> None:
    two.campaign()
    two.consent("u01", guided=False, host=0)
    assert not two.hosts[0]._memory.see(TENANT, _Read(two.database), ["u01"])["u01"].is_guided
    erase(two, "u01")
    two.consent("u01", guided=True, host=1)  # one row of the log, as before
    assert why(two.ask("u01", 0)) == ""


class _Read(Hot):
    """Looks in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        with database.reading() as connection:
            super().__init__(connection)
        self._database = database

    def rows_of(self, *args: Any) -> list[tuple[Any, ...]]:
        with self._database.reading() as connection:
            return Hot(connection).rows_of(*args)


@pytest.mark.parametrize("comes_back", [False, True])
def test_who_is_erased_while_it_is_decided_is_decided_for_again(
    two: Shop, comes_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what was read and what is written, the user is erased, and may come back."""
    two.campaign()
    for user in ("u01", "u02"):
        two.consent(user, guided=False)
    from proactrec.serving import host as module

    real, n_times = module.scored, 0

    def meanwhile(*args: Any) -> Any:
        nonlocal n_times
        n_times += 1
        if n_times == 1:
            erase(two, "u01")
            erase(two, "u03")
            if comes_back:
                two.consent("u01", guided=True, host=1)
        return real(*args)

    monkeypatch.setattr(module, "scored", meanwhile)
    found = two.handle([Ask("u01"), Ask("u02"), Ask("u03")])
    assert [why(one) for one in found] == ["", "opted_out", ""]
    assert n_times == 2  # of u02 nothing had to be decided again
    new = two.ask("nobody knows me")
    assert found[0].decided.made.item_id == new.decided.made.item_id
    assert found[2].decided.made.item_id == new.decided.made.item_id
    assert differences(two.database, TENANT) == []


def test_without_the_store_an_erased_user_is_unknown_too(two: Shop) -> None:
    two.campaign()
    two.ask("u05")
    erase(two, "u05")
    two.ask("u01")
    rows = two.hosts[0].unknown.rows(two.guides.name, TENANT)
    row = two.guides.saved.known.index["u05"]
    assert rows == {row}
    ask, other = Ask("u05"), Ask("somebody nobody knows")
    found = plain_items([ask, other], two.guides, "store_unavailable", rows)
    assert found[0] == found[1]
    assert known_of("u05", two.guides, ()).items != known_of("u05", two.guides, rows).items == ()


def test_without_ever_having_read_who_was_erased_nobody_is_known(two: Shop) -> None:
    rows = two.hosts[0].unknown.rows(two.guides.name, TENANT)
    assert rows is None
    found = plain_items([Ask("u05"), Ask("new")], two.guides, "store_unavailable", rows)
    assert found[0] == found[1]


def test_who_was_erased_is_read_of_tenants_that_nobody_decides_for(two: Shop) -> None:
    host, name, row = two.hosts[0], two.guides.name, two.guides.saved.known.index
    refresher = Refresher(two.database, Instance(host))
    refresher.look()
    assert host.unknown.rows(name, TENANT) == frozenset()
    erase(two, "u05")
    erased(two.database, "other", "u07", [two.guides], by="test", at=two.now)
    erased(two.database, "third", "nobody knows them", [two.guides], by="test", at=two.now)
    refresher.look()
    assert host.unknown.rows(name, TENANT) == {row["u05"]}
    assert host.unknown.rows(name, "other") == {row["u07"]}
    assert host.unknown.rows(name, "third") == frozenset()
    assert host.unknown.rows("another guide", TENANT) is None
    erase(two, "u06")
    two.ask("u01")  # which sees it at once
    assert host.unknown.rows(name, TENANT) == {row["u05"], row["u06"]}


def test_nobody_plans_for_who_is_gone(two: Shop) -> None:
    two.campaign()
    two.ask("u01")
    two.ask("new")
    assert {"u01", "new"} <= set(all_users(two.database, two.guides, TENANT))
    erase(two, "u01")
    erase(two, "new")
    left = all_users(two.database, two.guides, TENANT)
    assert left == [f"u{n:02}" for n in range(24) if n != 1]
    two.ask("u01")  # who comes back is somebody
    assert "u01" in all_users(two.database, two.guides, TENANT)


def stored_ids(shop: Shop) -> set[str]:
    """Ids of the table that locks users."""
    return {user for (user,) in shop.rows("SELECT user_id FROM users") if user[0] != "~"}


def test_what_is_refused_does_not_bring_an_id_back(two: Shop) -> None:
    two.campaign()
    answer = two.ask("new")
    erase(two, "new")
    assert isinstance(two.report(answer, "accept")[0], Refused)
    wrong = Report("unheard of", "e", "stared at", "i01")
    assert isinstance(two.handle([wrong], 1)[0], Refused)
    assert two.hosts[1].n_people == 0
    assert stored_ids(two) == set()
    two.ask("new")
    assert stored_ids(two) == {"new"}


def test_who_is_erased_while_a_report_comes_in_is_gone(
    two: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.campaign()
    answer = two.ask("new")
    from proactrec.serving import host as module

    real, waits = module.works_of, iter([True])

    def meanwhile(*args: Any) -> Any:
        if next(waits, False):
            erase(two, "new")
        return real(*args)

    monkeypatch.setattr(module, "works_of", meanwhile)
    assert isinstance(two.report(answer, "accept")[0], Refused)
    assert stored_ids(two) == set()


@pytest.mark.parametrize("how", ["a campaign changes", "an item is taken"])
def test_a_new_user_for_whom_it_was_tried_in_vain_is_nobody(
    two: Shop, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from proactrec.serving import host as module

    if how == "a campaign changes":  # between reading and writing, again and again
        turns = count()
        monkeypatch.setattr(module, "heads", lambda *_: Heads({"c": next(turns)}, 0))
    else:
        monkeypatch.setattr(Host, "_settled", lambda *_: {})
    with pytest.raises(BusyError):
        two.ask("new")
    assert stored_ids(two) == set()


def test_who_was_only_locked_by_older_versions_is_unknown(two: Shop) -> None:
    with two.database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO users VALUES ('shop', 'ghost', 0, NULL)")
    assert "ghost" not in all_users(two.database, two.guides, TENANT)
    assert rebuild(two.database, TENANT) == []
    assert stored_ids(two) == set()


def test_another_tenant_of_the_guide_keeps_its_user(two: Shop) -> None:
    erase(two, "u01")
    with two.database.reading() as connection:
        assert rows_of(Hot(connection), "other", two.guides.name) == frozenset()
    two.hosts[0].handle("other", [Ask("u01")])
    assert two.hosts[0]._known("other", "u01").row >= 0


def test_what_nobody_answered_of_the_erased_is_given_back(two: Shop) -> None:
    """The worker goes on with decisions that are nobody's now."""
    two.campaign(budget={"total": 5})
    two.ask("u01")
    two.report(two.ask("u02"), "impression")
    for user in ("u01", "u02"):
        erase(two, user)
    assert two.rows("SELECT used FROM budgets") == [(2,)]
    assert settle(two.database, two.now + 3 * DAY) == (1, 1)
    assert two.rows("SELECT used FROM budgets") == [(1,)]
    assert differences(two.database, TENANT) == []


def test_instances_take_up_what_was_restored(two: Shop, tmp_path: Path) -> None:
    """Also where a user is as far as before, and a campaign has the version that it had."""
    version = two.campaign()
    backup(two.database, tmp_path / "backup")
    two.consent("u01", guided=False)
    two.change(version, said=version.said.model_copy(update={"apprentice": True}))
    assert why(two.ask("u02", 0)) == "apprentice"
    assert why(two.ask("u01", 0)) == "opted_out"
    restore(two.database, tmp_path / "backup", force=True)
    two.change(version, said=version.said.model_copy(update={"rounds": 3}))
    two.consent("u01", guided=True, host=1)
    two.ask("u01", 1)  # two rows of the log, as before
    assert why(two.ask("u01", 0)) == ""
    assert two.person("u01").next_number == 3
    assert differences(two.database, TENANT) == []


def test_erasures_and_decisions_at_once(two: Shop) -> None:
    """Nothing fails, nothing of the erased stays but what came after the last erasure."""
    two.campaign(rails={"item_cap_total": 40}, budget={"total": 60})
    failed: list[BaseException] = []

    def asks(host: Host) -> None:
        try:
            for n in range(12):
                host.handle(TENANT, [Ask(f"u{n % 4:02}"), Ask(f"u{(n + 1) % 4:02}")])
        except BaseException as error:  # told by the test
            failed.append(error)

    def erases() -> None:
        try:
            for n in range(8):
                erase(two, f"u{n % 4:02}")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=asks, args=(host,)) for host in two.hosts]
    threads.append(threading.Thread(target=erases))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert differences(two.database, TENANT) == []
    for n in range(4):
        erase(two, f"u{n:02}")
    assert two.rows("SELECT user_id FROM users WHERE user_id < 'v' AND user_id > 'u'") == []
    assert differences(two.database, TENANT) == []
