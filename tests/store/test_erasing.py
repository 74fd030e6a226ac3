"""An erased user is in no table and no file, and the log says what it said of everybody else."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData, Table, select

from proactrec.errors import CampaignStateError, StoreError
from proactrec.store import audit, campaigns, log, scrubbing
from proactrec.store.campaign import Audience, Budget
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
from proactrec.store.erased import KnownTo, rows_of
from proactrec.store.erasing import Receipt, erase
from proactrec.store.log import Change
from proactrec.store.people import NOBODY, Event, Person
from proactrec.store.rebuild import differences, rebuild
from proactrec.store.scrubbing import rewrite, scrub
from proactrec.store.tables import METADATA

from .shop import MINUTE, NOON, TENANT, begun, decide, decided, happened, known, made, rows, said

ADA = "ada.lovelace@example.org"
OTHERS = ("bob", "eve")


@pytest.fixture
def lived(database: Database) -> Version:
    """A campaign in which Ada and others were guided, answered and said what they want."""
    version = begun(database, said(budget=Budget(total=60, per_day=20)))
    for day in range(3):
        decide(database, version, (ADA, *OTHERS), at=NOON + day * 1440 * MINUTE)
    for user in (ADA, "bob"):
        answers = [
            Event(f"{user} {kind}", n, "lamp", kind, NOON + n, NOON + n)
            for n, kind in ((1, "impression"), (1, "accept"), (2, "skip"))
        ]
        alone = Event(f"{user} bought", 0, "secret", "purchase", NOON, NOON)
        happened(database, user, *answers, alone, Event("~expired:3", 3, "lamp", "expired", 9, 9))
        one = known(database, user)[user]
        plain = made(one, "secret", campaign_id="", target_id="", guided=0)
        after = one.after(made=[plain]).consenting(False).belonging(["minors"])
        change = Change(one, after, [decided(plain, f"{user} asked")], said_at=NOON)
        with database.writing() as connection:
            log.write(Hot(connection), TENANT, [change])
    rebuild(database, TENANT)  # what expired here was not given back to the budget
    return version


def erase_ada(database: Database, *known_to: KnownTo) -> Receipt:
    with database.writing() as connection:
        return erase(connection, TENANT, ADA, by="test", at=NOON, known=known_to)


def dump(database: Database) -> str:
    """Every row of every table."""
    with database.reading() as connection:
        tables = [connection.execute(select(one)).all() for one in METADATA.sorted_tables]
    return repr(tables)


def test_nothing_in_any_table_says_ada(database: Database, lived: Version) -> None:
    assert ADA in dump(database)
    assert "secret" in dump(database)
    receipt = erase_ada(database)
    left = dump(database)
    assert ADA not in left
    of_bob = sum(left.count(word) for word in ("bob asked", "bob bought"))
    assert of_bob == 2
    table_counts = {"users": 1, "consents": 1, "memberships": 1, "assignments": 1, "journeys": 1}
    assert receipt.erased == {**table_counts, "decisions": 4, "events": 5, "audiences": 0}
    kept = {"consents": 1, "assignments": 1, "journeys": 1, "decisions": 4, "events": 5}
    assert receipt.kept == {**kept, "memberships": 0}  # a group that no campaign looks at
    assert known(database, ADA)[ADA].revision == 0


def test_the_log_still_says_what_happened_but_not_to_whom(
    database: Database, lived: Version
) -> None:
    one = "SELECT {} FROM decisions WHERE campaign_id <> '' ORDER BY seq"
    what = one.format("seq, arm, item_id, guided, at")
    before, used = rows(database, what), rows(database, "SELECT * FROM budgets ORDER BY 3, 4")
    seqs = rows(database, "SELECT seq FROM decisions ORDER BY seq")
    erase_ada(database)
    assert rows(database, what) == before
    assert rows(database, "SELECT seq FROM decisions ORDER BY seq") == seqs
    assert rows(database, "SELECT * FROM budgets ORDER BY 3, 4") == used
    assert differences(database, TENANT) == []
    nobody = next(
        user for (user,) in rows(database, "SELECT user_id FROM users") if user[:8] == NOBODY
    )
    person = known(database, nobody)[nobody]
    assert [answer for _, answer in person.standing] == [1, 0, -1]
    assert not person.is_guided
    assert person.groups == frozenset()
    plain = rows(database, "SELECT item_id, plain_id, among, request_key FROM decisions "
                 f"WHERE user_id = '{nobody}' AND campaign_id = ''")  # fmt: skip
    assert plain == [("", "", None, None)]
    assert sorted(person.events) == [f"{NOBODY}{n}" for n in (1, 2, 3, 4)] + ["~expired:3"]


def test_an_id_that_is_in_a_longer_one_is_not_confused(database: Database, lived: Version) -> None:
    decide(database, lived, ["bo", "bobby"])
    with database.writing() as connection:
        erase(connection, TENANT, "bo", by="test", at=NOON)
    assert known(database, "bob")["bob"].made
    assert known(database, "bobby")["bobby"].made
    assert not known(database, "bo")["bo"].made


def test_another_shop_keeps_its_user_of_the_same_id(database: Database, lived: Version) -> None:
    with database.writing() as connection:
        erase(connection, "other", ADA, by="test", at=NOON)
    assert known(database, ADA)[ADA].made


def test_an_audience_goes_on_without_the_one_it_named(database: Database) -> None:
    odd = 'a "quoted" \\ ä\n user'
    draft = said(audience=Audience(users=(odd, "bob")))
    version = begun(database, draft)
    only = begun(database, said(audience=Audience(users=(odd,))))
    with database.writing() as connection:
        campaigns.changed(connection, only, by="t", at=NOON, reason="over", state="stopped")
        receipt = erase(connection, TENANT, odd, by="test", at=NOON)
        assert receipt.erased["audiences"] == 5
        now = campaigns.current(connection, TENANT, version.campaign_id)
        assert (now.version, now.state, now.reason) == (3, "running", "a user was erased")
        nobody, bob = now.said.audience.users
        assert bob == "bob"
        assert nobody.startswith(NOBODY)
        stopped = campaigns.current(connection, TENANT, only.campaign_id)
        assert (stopped.version, stopped.said.audience.users) == (3, (nobody,))
    assert "quoted" not in dump(database)


def test_two_who_are_erased_at_once_both_leave_an_audience(database: Database) -> None:
    version = begun(database, said(audience=Audience(users=(ADA, *OTHERS))))

    def bob() -> None:
        with database.writing() as connection:
            erase(connection, TENANT, "bob", by="test", at=NOON)

    with ThreadPoolExecutor(1) as thread:
        with database.writing() as connection:
            erase(connection, TENANT, ADA, by="test", at=NOON)
            other = thread.submit(bob)
            time.sleep(0.3)
            assert not other.done()
        other.result()
    left = dump(database)
    assert ADA not in left
    assert "bob" not in left
    with database.reading() as connection:
        now = campaigns.current(connection, TENANT, version.campaign_id)
    assert [one[:8] == NOBODY for one in now.said.audience.users] == [True, True, False]


@pytest.mark.parametrize("erases_first", [False, True])
def test_a_change_meanwhile_does_not_bring_an_id_back(
    database: Database, erases_first: bool
) -> None:
    version = begun(database, said(audience=Audience(users=(ADA, "bob"))))

    def changes(connection: Connection) -> None:
        other = version.said.model_copy(update={"rounds": 7})
        campaigns.changed(connection, version, by="t", at=NOON, reason="more", said=other)

    def erases(connection: Connection) -> None:
        erase(connection, TENANT, ADA, by="test", at=NOON)

    def waits(job: Callable[[Connection], None]) -> None:
        with database.writing() as connection:
            job(connection)

    first, second = (erases, changes) if erases_first else (changes, erases)
    with ThreadPoolExecutor(1) as thread:
        with database.writing() as connection:
            first(connection)
            other = thread.submit(waits, second)
            time.sleep(0.3)
            assert not other.done()
        refused = other.exception()
    assert isinstance(refused, CampaignStateError) if erases_first else refused is None
    assert ADA not in dump(database)
    with database.reading() as connection:
        now = campaigns.current(connection, TENANT, version.campaign_id)
    assert now.said.rounds == (None if erases_first else 7)


def test_who_was_erased_is_marked_for_guides_by_rows(database: Database, lived: Version) -> None:
    receipt = erase_ada(database, KnownTo("g1", "guides/one", 7), KnownTo("g2", "guides/two", 9))
    assert receipt.guides == ("guides/one", "guides/two")
    erase_ada(database)
    with database.reading() as connection:
        hot = Hot(connection)
        assert rows_of(hot, TENANT, "g1") == {7}
        assert rows_of(hot, TENANT, "g2") == {9}
        assert rows_of(hot, "other", "g1") == frozenset()
        (last, first) = audit.entries(connection, TENANT, what="erasure")
    assert rows(database, "SELECT MAX(number) FROM erased") == [(3,)]
    assert first.about == receipt.receipt_id
    assert first.detail["erased"] == receipt.erased
    assert sum(last.detail["erased"].values()) == 0


def test_erasures_at_once_are_all_counted(database: Database, lived: Version) -> None:
    def gone(n: int) -> None:
        with database.writing() as connection:
            erase(connection, TENANT, OTHERS[n % 2], by="test", at=NOON)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(gone, range(8)))
    assert rows(database, "SELECT COUNT(*), MAX(number) FROM erased") == [(8, 8)]
    assert differences(database, TENANT) == []
    assert known(database, ADA)[ADA].made


def test_whoever_is_decided_for_while_they_are_erased_is_new(
    database: Database, lived: Version
) -> None:
    def decides(_: int) -> None:
        decide(database, lived, (ADA, "bob"))

    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(decides, n) for n in range(6)]
        jobs += [threads.submit(erase_ada, database) for _ in range(6)]
        for job in jobs:
            job.result()
    assert differences(database, TENANT) == []
    erase_ada(database)
    assert ADA not in dump(database)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_no_byte_is_left_in_the_file(database: Database, lived: Version, tmp_path: Path) -> None:
    with database.writing() as connection:  # as the pages that grow leave copies behind
        for n in range(300):
            decide_row = Person(TENANT, f"{ADA} {n}").consenting(True)
            before = Person(TENANT, f"{ADA} {n}")
            log.write(Hot(connection), TENANT, [Change(before, decide_row, said_at=NOON)])
    assert any(ADA.encode() in path.read_bytes() for path in tmp_path.iterdir())
    with database.writing() as connection:
        for n in range(300):
            erase(connection, TENANT, f"{ADA} {n}", by="test", at=NOON)
    erase_ada(database)
    assert scrub(database, ADA)
    for path in tmp_path.iterdir():
        assert ADA.encode() not in path.read_bytes(), path.name
    assert differences(database, TENANT) == []


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_copy_that_pages_left_behind_goes_too(database: Database, tmp_path: Path) -> None:
    """Without overwriting, what is deleted stays in free room until the file is written anew."""
    decide(database, begun(database, said()), [ADA])
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA secure_delete = OFF")
        for table in ("users", "decisions", "assignments", "journeys"):
            connection.execute(METADATA.tables[table].delete())
        connection.commit()
    assert any(ADA.encode() in path.read_bytes() for path in tmp_path.iterdir())
    assert scrub(database, ADA)
    assert not any(ADA.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_connections_are_as_before_a_scrub(database: Database, lived: Version) -> None:
    erase_ada(database)
    assert scrub(database, ADA) == database.is_sqlite
    rewrite(database)
    decide(database, lived, ["bob"])
    if not database.is_sqlite:
        with database.reading() as connection:
            for _ in range(5):
                timeout = connection.exec_driver_sql("SHOW statement_timeout").scalar_one()
                assert timeout == "30s"


def test_a_store_that_can_t_be_scrubbed_says_so(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite somebody reads an old moment; PostgreSQL has no such table."""
    monkeypatch.setattr(scrubbing, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(scrubbing, "OF_USERS", (Table("nowhere", MetaData()),))
    begun(database, said())
    with database.reading() as connection:
        connection.exec_driver_sql("SELECT COUNT(*) FROM users").scalar_one()
        begun(database, said())
        assert not scrub(database, ADA)
        with pytest.raises(StoreError, match="could not be"):
            rewrite(database)
    assert database.is_sqlite or "could not be overwritten" in caplog.text


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_postgresql_holds_the_bytes_in_its_own_log_alone(
    database: Database, lived: Version
) -> None:
    """Once tables were written anew; a vacuum alone leaves them in free room of pages."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")
        assert "base" in _holding(connection)
        erase_ada(database)
        assert not scrub(database, ADA)
        rewrite(database)
        connection.exec_driver_sql("CHECKPOINT")
        assert _holding(connection) <= {"pg_wal"}


def _holding(connection: Connection) -> set[str]:
    """Folders of the server with a file that holds Ada; other tests have databases beside it."""
    place = Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())
    own = "SELECT oid FROM pg_database WHERE datname = current_database()"
    others = set(place.glob("base/*")) - {
        place / "base" / str(connection.exec_driver_sql(own).scalar_one())
    }
    found = {path for path in place.rglob("*") if path.is_file() and _says_ada(path)}
    return {path.relative_to(place).parts[0] for path in found if not others & {*path.parents}}


def _says_ada(path: Path) -> bool:
    try:
        return ADA.encode() in path.read_bytes()
    except FileNotFoundError:  # it goes on meanwhile
        return False
