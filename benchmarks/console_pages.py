"""How long the figures of a large campaign take to come, over HTTP, on both databases.

Usage: python benchmarks/console_pages.py PAGE.md --guide FOLDER [--n-users 100000]
       [--n-decisions 1000000] [--databases sqlite postgresql] [--store runs/console-pages]
Rows are written into the store of a running service in bulk, as if users had come over a month.
`first` is what nobody has counted before, so that whoever asks waits; `kept` are the median and the
longest of ten looks once the worker has counted. Nothing is learned meanwhile.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Table, select

from proactrec.data.items import Items
from proactrec.serving.client import Client
from proactrec.store.campaign import HOLD_OUT
from proactrec.store.database import Database, columns_of
from proactrec.store.tables import ASSIGNMENTS, COUNTED, DECISIONS, EVENTS, JOURNEYS, USERS
from proactrec.store.watch import Watch
from serving_parts.site import Setting, site
from shared.page import origin, page_parser, write_page

TENANT, SECOND, DAY = "default", 1_000_000, 86_400_000_000
N_LOOKS, PATIENCE = 10, 900.0
Rows = Iterator[tuple[Any, ...]]


def main() -> None:
    """Fill stores, look, and write the page."""
    arguments = _arguments()
    found = {name: measured(Setting(name, 1), arguments) for name in arguments.databases}
    content = {"origin": origin(), "n_users": arguments.n_users, "databases": found}
    content["n_decisions"] = arguments.n_decisions
    write_page(arguments.page, "Pages of a large campaign", content, body(content))


def measured(setting: Setting, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of every figure, before and after it was counted."""
    categories = Items.load(arguments.guide / "items.parquet", "shop").category_names
    said = {"name": "large", "goal": {"category": categories[0]}, "hold_out": 0.1}
    with site(setting, arguments.guide, arguments.store / setting.database) as service:
        campaign_id = service.campaign(said)
        database = Database(service.url)
        with Client(f"http://127.0.0.1:{service.port}", service.key, timeout=600) as client:
            client.watch(Watch(frozen=True))
            begun = time.monotonic()
            fill(database, Crowd(campaign_id, arguments.n_users, arguments.n_decisions))
            filled = time.monotonic() - begun
            looks: dict[str, Callable[[], Any]] = {
                "campaign": lambda: client.campaign(campaign_id),
                "course by hour": lambda: client.course(campaign_id, "hour", 48),
                "course by day": lambda: client.course(campaign_id, "day", 48),
                "measurement": lambda: client.measurement(campaign_id),
            }
            first = {name: seconds(look) for name, look in looks.items()}
            took = counted(database, campaign_id)
            kept = {name: [seconds(look) for _ in range(N_LOOKS)] for name, look in looks.items()}
            n_told = sum(arm.decisions for arm in client.campaign(campaign_id).arms.values())
        assert n_told == arguments.n_decisions
    print(setting.database, first, took, kept, flush=True)
    return {"filled": filled, "first": first, "took": took, "kept": kept}


def seconds(look: Callable[[], Any]) -> float:
    """How long a call takes."""
    begun = time.monotonic()
    look()
    return time.monotonic() - begun


def counted(database: Database, campaign_id: str) -> dict[str, float]:
    """Seconds of every count, once the worker has made them of what there is now."""
    begun, query = time.time_ns() // 1000, select(COUNTED)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with database.reading() as connection:
            rows = connection.execute(query.where(COUNTED.c.campaign_id == campaign_id)).all()
        if len(rows) == 3 and all(row.at > begun for row in rows):
            return {row.what: row.took / SECOND for row in rows}
        time.sleep(1)
    raise SystemExit("the worker has counted nothing")


class Crowd:
    """What so many users have left, in equal numbers of decisions."""

    def __init__(self, campaign_id: str, n_users: int, n_decisions: int) -> None:
        rng, self.rounds = np.random.default_rng(1), n_decisions // n_users
        self._campaign_id = campaign_id
        came = time.time_ns() // 1000 - 30 * DAY + rng.integers(20 * DAY, size=n_users)
        self._at = (came[:, None] + np.arange(self.rounds) * (DAY // 2)).tolist()
        self._taken = (rng.random((n_users, self.rounds)) < 0.4).tolist()
        arms = [HOLD_OUT if n % 10 == 0 else "guided" for n in range(n_users)]
        self._users = [(n, f"user {n:07}", arm) for n, arm in enumerate(arms)]

    def rows(self) -> dict[Table, Rows]:
        """By table."""
        return {
            USERS: ((TENANT, user, 3 * self.rounds, None) for _, user, _ in self._users),
            ASSIGNMENTS: (
                (TENANT, user, self._campaign_id, arm, self._at[n][0])
                for n, user, arm in self._users
            ),
            JOURNEYS: self._journeys(),
            DECISIONS: self._decisions(),
            EVENTS: self._events(),
        }

    def _journeys(self) -> Rows:
        rounds = self.rounds
        for n, user, arm in self._users:
            counts = rounds, rounds * (arm != HOLD_OUT), rounds, sum(self._taken[n]), 0
            ends = self._at[n][0], self._at[n][-1]
            yield TENANT, user, self._campaign_id, "t", arm, *counts, *ends

    def _decisions(self) -> Rows:
        for n, user, arm in self._users:
            guided = int(arm != HOLD_OUT)
            why = "" if guided else "hold_out"
            for number, at in enumerate(self._at[n], 1):
                whose = TENANT, user, number, self._campaign_id, 2, arm, "t", f"i{number}"
                what = "p", "", guided, "own", why, None, 0
                yield *whose, *what, at, at + 3600 * SECOND, at + DAY, None, None

    def _events(self) -> Rows:
        for n, user, _ in self._users:
            for number, (at, taken) in enumerate(zip(self._at[n], self._taken[n], strict=True), 1):
                for kind in ("impression", "accept" if taken else "skip"):
                    told = f"{number}-{kind}", number, f"i{number}", kind
                    yield TENANT, user, *told, at + 60 * SECOND, at + 60 * SECOND


def fill(database: Database, crowd: Crowd) -> None:
    """Write what a crowd has left."""
    with database.writing() as connection:
        raw = connection.connection.cursor()
        for table, rows in crowd.rows().items():
            write(raw, columns_of(table), table.name, rows, is_sqlite=database.is_sqlite)


def write(cursor: Any, names: tuple[str, ...], table: str, rows: Rows, *, is_sqlite: bool) -> None:
    """Add many rows."""
    if is_sqlite:
        seq = ", seq" if table == "decisions" else ""
        marks = ", ".join("?" * len(names)) + (", ?" if seq else "")
        given = ((*row, n) for n, row in enumerate(rows, 1)) if seq else rows
        cursor.executemany(f"INSERT INTO {table} ({', '.join(names)}{seq}) VALUES ({marks})", given)
        return
    with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def body(content: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        f"{content['n_decisions']:,} decisions of {content['n_users']:,} users, two events each, "
        "one instance of the service with its worker.",
        "",
        "| database | figure | first, s | kept: median, s | longest, s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in content["databases"].items():
        for figure, looks in found["kept"].items():
            middle, longest = np.median(looks), max(looks)
            first = found["first"][figure]
            lines.append(f"| {name} | {figure} | {first:.2f} | {middle:.3f} | {longest:.3f} |")
    lines += ["", "| database | the worker counts | s |", "| --- | --- | --- |"]
    for name, found in content["databases"].items():
        lines += [f"| {name} | {what} | {took:.2f} |" for what, took in found["took"].items()]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--guide", type=Path, required=True)
    parser.add_argument("--n-users", type=int, default=100_000)
    parser.add_argument("--n-decisions", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--store", type=Path, default=Path("runs/console-pages"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
