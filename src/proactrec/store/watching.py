"""What was seen of each version while it was decided by, and how learning is watched."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from proactrec.store.database import Hot
from proactrec.store.tables import WATCHED, WATCHES
from proactrec.store.watch import Watch

OF_WATCH, OF_VERSION = (WATCHES.c.tenant, WATCHES.c.guide), (WATCHED.c.tenant, WATCHED.c.guide)


class State(NamedTuple):
    """How a guide's learning is watched, and how far."""

    said: Watch
    up_to_seq: int  # decisions whose answers were looked at
    variety: Mapping[str, Any]  # of the newest guided items


class Seen(NamedTuple):
    """What became of decisions that name a version."""

    sums: Mapping[str, Any]  # of the calibration
    alarm: str  # sentence; empty: none


def state(connection: Connection, tenant: str, guide: str) -> State:
    """As it is now."""
    query = select(WATCHES.c.said, WATCHES.c.up_to_seq, WATCHES.c.variety)
    row = connection.execute(_of(query, OF_WATCH, tenant, guide)).one_or_none()
    if row is None:
        return State(Watch(), 0, {})
    return State(Watch.model_validate_json(row.said), row.up_to_seq, json.loads(row.variety))


def held(connection: Connection, tenant: str, guide: str) -> State:
    """The same, which nobody else changes, or learns by, until the transaction ends."""
    row = (tenant, guide, Watch().model_dump_json(), 0, "{}")
    Hot(connection).insert(WATCHES, [row], "ON CONFLICT DO NOTHING")
    one = _of(select(WATCHES.c.tenant), OF_WATCH, tenant, guide).with_for_update()
    connection.execute(one)
    return state(connection, tenant, guide)


def keep(connection: Connection, tenant: str, guide: str, new: State) -> None:
    """Write what was held."""
    values = {
        "said": new.said.model_dump_json(),
        "up_to_seq": new.up_to_seq,
        "variety": json.dumps(dict(new.variety)),
    }
    connection.execute(_of(update(WATCHES), OF_WATCH, tenant, guide).values(values))


def seen(connection: Connection, tenant: str, guide: str) -> dict[int, Seen]:
    """What was seen, by version; 0: what the guide was saved with."""
    query = select(WATCHED.c.version, WATCHED.c.sums, WATCHED.c.alarm)
    rows = connection.execute(_of(query, OF_VERSION, tenant, guide))
    return {version: Seen(json.loads(sums), alarm) for version, sums, alarm in rows}


def see(connection: Connection, tenant: str, guide: str, found: Mapping[int, Seen]) -> None:
    """Keep what was seen of versions, in place of what there was."""
    for version, one in found.items():
        same = _of(delete(WATCHED), OF_VERSION, tenant, guide)
        connection.execute(same.where(WATCHED.c.version == version))
        values = {"tenant": tenant, "guide": guide, "version": version, "alarm": one.alarm}
        connection.execute(insert(WATCHED).values(**values, sums=json.dumps(dict(one.sums))))


def _of(query: Any, keys: tuple[Any, Any], tenant: str, guide: str) -> Any:
    return query.where(keys[0] == tenant, keys[1] == guide)
