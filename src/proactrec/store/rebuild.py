"""The state of a store compared with a fold of its log, and brought back to it.

What follows from the log is kept beside it only to be found quickly: revisions, arms, journeys, and
what is used of budgets, of which leases hold a part that nobody has used yet.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table

from proactrec.progress import Progress, silent
from proactrec.store import budgets, campaigns, log
from proactrec.store.budgets import Limit
from proactrec.store.database import Database, Hot, columns_of, replacing
from proactrec.store.leases import unused
from proactrec.store.people import Person
from proactrec.store.recounts import Counting
from proactrec.store.tables import (
    ASSIGNMENTS,
    BUDGETS,
    CONSENTS,
    DECISIONS,
    EVENTS,
    JOURNEYS,
    MEMBERSHIPS,
    METADATA,
    USERS,
)

PAGE = 500
"""Users in memory at once."""
Row = tuple[Any, ...]
Countings = Callable[[str], Counting]
OF_USERS = (USERS, CONSENTS, MEMBERSHIPS, ASSIGNMENTS, JOURNEYS, DECISIONS, EVENTS)


class Difference(NamedTuple):
    """A row that is not what the log says; None: there is none."""

    table: str
    key: tuple[str, ...]
    stored: Row | None
    folded: Row | None


def differences(database: Database, tenant: str, progress: Progress = silent) -> list[Difference]:
    """Where the state of a tenant is not a fold of its log, at one moment."""
    with database.reading() as connection:
        return differences_in(connection, tenant, progress)


def differences_in(
    connection: Connection, tenant: str, progress: Progress = silent
) -> list[Difference]:
    """The same, in a transaction."""
    hot, counting = Hot(connection), _countings(connection, tenant)
    found: list[Difference] = []
    used: Counter[Limit] = Counter()
    for people in _pages(hot, tenant, progress):
        found += _of_users(hot, tenant, people)
        used.update(_counted(people, counting))
    return found + _of_budgets(hot, tenant, used)


def rebuild(database: Database, tenant: str, progress: Progress = silent) -> list[Difference]:
    """Write what the log says in place of what is stored otherwise, and tell what that was.

    Every page of users is a transaction: killed at any time, the same call finds what is left.
    Instances may go on meanwhile; whoever needs a budget waits while those are counted.
    """
    found: list[Difference] = []
    with database.reading() as connection:
        n_users = _count(Hot(connection), tenant)
    done, last = 0, None
    while True:
        with database.writing() as connection:
            hot = Hot(connection)
            ids = _ids(hot, tenant, last)
            if not ids:
                break
            log.locked(hot, tenant, ids)
            wrong = _of_users(hot, tenant, _people(hot, tenant, ids))
            _put_right(connection, tenant, wrong)
            log.let_go(hot, tenant, ids)
        found += wrong
        done, last = done + len(ids), ids[-1]
        progress("users", done, max(done, n_users))
    return found + _rebuilt_budgets(database, tenant, progress)


def _rebuilt_budgets(database: Database, tenant: str, progress: Progress) -> list[Difference]:
    with database.writing() as connection:
        hot, counting = Hot(connection), _countings(connection, tenant)
        if not hot.is_sqlite:  # in the order in which they are needed for a decision
            connection.exec_driver_sql("LOCK TABLE leases, budgets IN EXCLUSIVE MODE")
        used: Counter[Limit] = Counter()
        for people in _pages(hot, tenant, progress, "budgets"):
            used.update(_counted(people, counting))
        wrong = _of_budgets(hot, tenant, used)
        folded = {Limit(*one.key): one.folded[-1] if one.folded else 0 for one in wrong}
        budgets.put(hot, tenant, folded)
    return wrong


def _pages(
    hot: Hot, tenant: str, progress: Progress, stage: str = "users"
) -> Iterator[list[Person]]:
    """All users as the log tells of them, in order."""
    done, last = 0, None
    n_users = _count(hot, tenant)
    while ids := _ids(hot, tenant, last):
        yield _people(hot, tenant, ids)
        done, last = done + len(ids), ids[-1]
        progress(stage, done, max(done, n_users))


def _count(hot: Hot, tenant: str) -> int:
    return int(hot.rows("SELECT COUNT(*) FROM users WHERE tenant = ?", (tenant,))[0][0])


def _ids(hot: Hot, tenant: str, after: str | None) -> list[str]:
    """The next users of whom there is anything, at most a page."""
    found: set[str] = set()
    for table in OF_USERS:
        sql = (
            f"SELECT DISTINCT user_id FROM {table.name} WHERE tenant = ? "
            f"AND user_id {'>=' if after is None else '>'} ? ORDER BY user_id LIMIT {PAGE}"
        )
        found.update(row[0] for row in hot.rows(sql, (tenant, after or "")))
    return sorted(found)[:PAGE]


def _people(hot: Hot, tenant: str, ids: list[str]) -> list[Person]:
    found = log.people(hot, tenant, dict.fromkeys(ids, 1))  # whatever revision is stored
    return [found[user_id] for user_id in ids]


def _of_users(hot: Hot, tenant: str, people: list[Person]) -> list[Difference]:
    """What is stored otherwise of some users."""
    folded: dict[Table, list[Row]] = {
        USERS: [(tenant, p.user_id, p.revision, p.due_at) for p in people if p.revision],
        ASSIGNMENTS: [row for person in people for row in log.assignments(person)],
        JOURNEYS: [row for person in people for row in log.journeys(person)],
    }
    ids, found = [person.user_id for person in people], []
    for table, rows in folded.items():
        sql = f"SELECT {', '.join(columns_of(table))} FROM {table.name} WHERE tenant = ?"
        if table is USERS:  # who was only locked, by older versions, has none
            sql += " AND revision > 0"
        stored = hot.rows_of(f"{sql} AND user_id IN (?ids)", ids, (tenant,))
        found += _differing(table, stored, rows)
    return found


def _of_budgets(hot: Hot, tenant: str, used: Mapping[Limit, int]) -> list[Difference]:
    """Where more or less is used than was decided and is leased."""
    folded = Counter(used) + unused(hot, tenant)
    sql = f"SELECT {', '.join(columns_of(BUDGETS))} FROM budgets WHERE tenant = ? AND used <> 0"
    rows: list[Row] = [(tenant, *limit, n) for limit, n in folded.items() if n]
    return _differing(BUDGETS, hot.rows(sql, (tenant,)), rows)


def _differing(table: Table, stored: Iterable[Row], folded: Iterable[Row]) -> list[Difference]:
    n = len(table.primary_key.columns)
    one, other = ({row[:n]: row for row in rows} for rows in (stored, folded))
    wrong = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return [Difference(table.name, key[1:], one.get(key), other.get(key)) for key in wrong]


def _put_right(connection: Connection, tenant: str, wrong: Iterable[Difference]) -> None:
    for name, key, _, folded in wrong:
        table = METADATA.tables[name]
        if folded is not None:
            Hot(connection).insert(table, [folded], replacing(table))
        else:
            whole = zip(table.primary_key.columns, (tenant, *key), strict=True)
            connection.execute(table.delete().where(*(column == value for column, value in whole)))


def _counted(people: Iterable[Person], counting: Countings) -> Iterator[Limit]:
    """Limits that guided decisions count against, as often as they do."""
    for person in people:
        for made in person.made:
            if made.guided and not person.is_given_back(made):
                yield from counting(made.campaign_id).limits(made)


def _countings(connection: Connection, tenant: str) -> Countings:
    """What decisions of campaigns count against, the versions of each read once."""

    @cache
    def counting(campaign_id: str) -> Counting:
        return Counting(campaigns.history(connection, tenant, campaign_id))

    return counting
