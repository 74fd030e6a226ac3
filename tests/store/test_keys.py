"""Keys open what their scope says, of their tenant alone, until they are revoked."""

import hashlib

import pytest

from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.store import keys as module
from proactrec.store.database import Database
from proactrec.store.keys import ALLOWS, Access, Keys, Scope, create

from ..conftest import kind as kind
from .shop import CHEAP, NOON, TENANT, rows

OWN = module._HASHER


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing takes no time."""
    monkeypatch.setattr(module, "_HASHER", CHEAP)


def made(database: Database, scope: Scope = "decide", tenant: str = TENANT) -> str:
    with database.writing() as connection:
        return create(connection, tenant, scope, NOON)


@pytest.fixture
def n_verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was verified by argon2, one after the other."""
    found: list[str] = []
    real = module._is_hash_of

    def counted(hashed: str, secret: str) -> bool:
        found.append(secret)
        return real(hashed, secret)

    monkeypatch.setattr(module, "_is_hash_of", counted)
    return found


def test_a_key_says_whose_it_is_and_what_it_opens(database: Database) -> None:
    key = made(database, "operate")
    prefix, key_id, secret = key.split("_", 2)
    access = Keys(database).check(f"Bearer {key}")
    assert (prefix, access) == ("pr", Access(TENANT, "operate", key_id))
    assert len(secret) >= 43  # 256 bits
    assert [access.allows(scope) for scope in ALLOWS] == [True, True, True, False]
    stored = repr(rows(database, "SELECT * FROM keys"))
    assert secret not in stored
    assert hashlib.sha256(key.encode()).hexdigest() not in stored
    assert hashlib.sha256(secret.encode()).hexdigest()[:5] not in stored
    assert "$argon2id$" in stored


def test_whoever_steals_hashes_has_work_to_do() -> None:
    """At least what OWASP asks of argon2id: 19 MiB and two passes."""
    assert OWN.memory_cost >= 19 * 1024
    assert OWN.time_cost >= 2


@pytest.mark.parametrize(
    ("scope", "opens"),
    [("decide", "decide"), ("report", "report"), ("admin", "decide report operate admin")],
)
def test_scopes_open_no_more_than_they_say(scope: Scope, opens: str) -> None:
    assert {one for one in ALLOWS if Access("t", scope, "k").allows(one)} == set(opens.split())


def test_what_is_no_key_opens_nothing(database: Database) -> None:
    key, other, keys = made(database), made(database), Keys(database)
    _, key_id, secret = key.split("_", 2)
    wrong = [f"pr_{key_id}_{other.split('_', 2)[2]}", f"pr_{key_id}_", f"pr_{'0' * 12}_{secret}"]
    wrong += ["", "pr", "pr_", key_id, f"xx_{key_id}_{secret}", f"{key}x", key[:-1], "\ud800"]
    assert [keys.check(f"Bearer {one}") for one in wrong] == [None] * len(wrong)
    assert [keys.check(one) for one in ("", key, f"Basic {key}", "Bearer")] == [None] * 4
    assert keys.check(f"bearer {key}") is not None


def test_a_scope_that_is_none_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInputError, match="scope must be one of decide, report, operate"):
        made(database, "root")  # type: ignore[arg-type]


def test_a_key_is_verified_once(
    database: Database, n_verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, keys, now = made(database), Keys(database), [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for _ in range(3):
        assert keys.check(f"Bearer {key}") is not None
    now[0] += 61  # looked up again, but not verified
    assert keys.check(f"Bearer {key}") is not None
    assert len(n_verified) == 1


def test_a_revoked_key_is_refused_at_once_here_and_soon_elsewhere(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, here, elsewhere, now = made(database), Keys(database), Keys(database), [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    access = here.check(f"Bearer {key}")
    assert access == elsewhere.check(f"Bearer {key}") is not None
    here.revoke(TENANT, access.key_id, NOON)
    assert here.check(f"Bearer {key}") is None
    assert elsewhere.check(f"Bearer {key}") == access
    now[0] += module.REMEMBERED_SECONDS + 1
    assert elsewhere.check(f"Bearer {key}") is None
    with pytest.raises(UnknownIdError, match="there is no key"):
        here.revoke(TENANT, access.key_id, NOON)


def test_a_tenant_sees_and_revokes_its_own_keys_alone(database: Database) -> None:
    keys, own, other = Keys(database), made(database), made(database, tenant="other")
    (listed,) = keys.list(TENANT)
    assert listed.key_id == own.split("_")[1]
    assert (listed.scope, listed.made_at, listed.revoked_at) == ("decide", NOON, None)
    with pytest.raises(UnknownIdError):
        keys.revoke(TENANT, other.split("_")[1], NOON)
    keys.revoke(TENANT, listed.key_id, NOON + 1)
    assert [key.revoked_at for key in keys.list(TENANT)] == [NOON + 1]
    assert keys.check(f"Bearer {other}").tenant == "other"


def test_a_key_that_expired_opens_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [NOON]
    monkeypatch.setattr(module.time, "time_ns", lambda: now[0] * 1000)
    with database.writing() as connection:
        key = create(connection, TENANT, "report", NOON, name="till noon", expires_at=NOON + 2)
    here = Keys(database)
    now[0] += 1
    assert here.check(f"Bearer {key}") is not None
    now[0] += 1
    assert [keys.check(f"Bearer {key}") for keys in (here, Keys(database))] == [None, None]
    assert [(one.name, one.expires_at) for one in here.list(TENANT)] == [("till noon", NOON + 2)]
    with database.writing() as connection, pytest.raises(InvalidInputError, match="in the future"):
        create(connection, TENANT, "report", NOON, expires_at=NOON)


def test_wrong_secrets_are_refused_before_they_are_hashed(
    database: Database, n_verified: list[str]
) -> None:
    right, keys = made(database), Keys(database)
    for n in range(200):
        assert keys.check(f"Bearer pr_{right.split('_')[1]}_{n}") is None
    assert len(n_verified) <= 1  # one in 65,536 is hashed
    assert keys.check(f"Bearer {right}") is not None


def test_a_key_of_before_there_were_traces_still_opens(database: Database) -> None:
    key = made(database)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE keys SET trace = NULL, expires_at = NULL, name = NULL")
    assert Keys(database).check(f"Bearer {key}") is not None
    assert Keys(database).check(f"Bearer {key}x") is None
