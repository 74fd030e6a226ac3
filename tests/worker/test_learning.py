"""What is known is a function of the set of events: learned from batches, again where needed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from sqlalchemy import insert, select, update

from proactrec.guidance.learned import tensors_of
from proactrec.guidance.ledger import Free
from proactrec.guidance.walks import journeys_of
from proactrec.serving.choosing import known_of, turn_of, walk_of
from proactrec.serving.requests import Ask
from proactrec.store import knowledge, tables
from proactrec.store.campaign import HOLD_OUT
from proactrec.store.care import Care
from proactrec.store.database import Database, Hot
from proactrec.testing.databases import fresh_database
from proactrec.worker.evidence import Lesson, batch_up_to, lesson_of
from proactrec.worker.expiry import settle
from proactrec.worker.learning import Learning

from ..serving.hosting import DAY, NOON, TENANT, Shop

N_ROUNDS, BATCH = 5, 20
COPIED = (
    tables.CAMPAIGNS,
    tables.CAMPAIGN_VERSIONS,
    tables.USERS,
    tables.CONSENTS,
    tables.ASSIGNMENTS,
    tables.DECISIONS,
)
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(guide_folder: Callable[..., Path]) -> Path:
    return guide_folder("foresight")


@contextmanager
def played(folder: Path, at: Path) -> Iterator[Shop]:
    """A shop in which all users went some rounds, and answered, or not, or were not shown."""
    (at / "played").mkdir()
    with fresh_database("sqlite", at / "played") as database:
        shop = Shop(database, folder)
        shop.campaign(hold_out=0.3, goal={"items": ("i04", "i05", "i10", "i20", "i25")})
        go_on(shop)
        yield shop


def go_on(shop: Shop) -> None:
    for number in range(N_ROUNDS):
        for user in range(24):
            answer = shop.ask(f"u{user:02}")
            luck = (user * 7 + number * 3 + user * number) % 5
            if luck < 4:
                shop.report(answer, "impression", *(("accept",), ("skip",), ("accept",), ())[luck])
            if number == 1 and user % 3 == 0:  # so many that not all of them are held out
                shop.consent(f"u{user:02}", guided=False)
            if (user, number) == (4, 1):
                shop.bought("u04", "i07")
        shop.now += 60_000_000


def learning(database: Database, shop: Shop, now: Callable[[], int]) -> Learning:
    return Learning(database, shop.guides, now, batch=BATCH)


def newest(database: Database, shop: Shop) -> tuple[bytes, list[knowledge.Lesson]]:
    with database.reading() as connection:
        chain = knowledge.lessons(connection, TENANT, shop.guides.name)
        last = chain[-1].version
        return knowledge.tensors_of(connection, TENANT, shop.guides.name, last), chain


def lesson(shop: Shop, after: int, up_to: int) -> Lesson:
    with shop.database.reading() as connection:
        batch = batch_up_to(Hot(connection), TENANT, after, up_to)
        return lesson_of(connection, TENANT, batch, shop.guides)


def content(database: Database, table: Any) -> Rows:
    with database.reading() as connection:
        order = table.c.seq if "seq" in table.c else next(iter(table.primary_key.columns))
        return [dict(row._mapping) for row in connection.execute(select(table).order_by(order))]


def put(database: Database, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        with database.writing() as connection:
            connection.execute(insert(table), list(rows))


def test_batches_teach_and_versions_go_on(folder: Path, tmp_path: Path) -> None:
    with played(folder, tmp_path) as shop:
        learner = learning(shop.database, shop, shop.clock)
        assert learner.learn(TENANT) == 0, "answers are waited for"
        shop.now += 2 * DAY
        settle(shop.database, shop.now)
        assert learner.learn(TENANT) == 0, "they were settled a moment ago"
        shop.now += DAY
        assert learner.learn(TENANT) == 24 * N_ROUNDS // BATCH
        assert learner.learn(TENANT) == 0
        _, chain = newest(shop.database, shop)
        assert [(one.version, one.parent) for one in chain] == [(n, n - 1) for n in range(1, 7)]
        assert [one.up_to_seq for one in chain[:-1]] == [one.after_seq for one in chain[1:]]
        assert 20 < sum(one.n_answers for one in chain) < 24 * N_ROUNDS


@pytest.mark.parametrize(
    ("kind", "seed"), [("sqlite", 0), ("postgresql", 1), ("sqlite", 2)], indirect=["kind"]
)
def test_order_and_lateness_of_events_change_nothing(
    seed: int, folder: Path, tmp_path: Path, database: Database
) -> None:
    """Answers that come days after their batch was learned without them, in any order."""
    with played(folder, tmp_path) as shop:
        events = content(shop.database, tables.EVENTS)
        for table in COPIED:
            put(database, table, content(shop.database, table))
        shop.now += 3 * DAY
        settle(shop.database, shop.now - DAY)
        learning(shop.database, shop, shop.clock).learn(TENANT)
        expected, on_time = newest(shop.database, shop)
        rng = np.random.default_rng(seed)
        learner, n_parts = learning(database, shop, shop.clock), 4
        for part in np.array_split(rng.permutation(len(events)), n_parts):
            put(database, tables.EVENTS, [events[n] | {"received_at": shop.now} for n in part])
            settle(database, shop.now)
            shop.now += DAY
            learner.learn(TENANT)
            if seed == 2:  # a worker that is started again knows nothing of what was looked at
                learner = learning(database, shop, shop.clock)
        found, late = newest(database, shop)
        assert found == expected
        assert [one.evidence for one in late] == [one.evidence for one in on_time]
        assert late[-1].version > on_time[-1].version, "nothing was learned again"


def test_features_are_those_that_the_decision_had(folder: Path, tmp_path: Path) -> None:
    """By the version that it names, where every answer came before the next decision."""
    with fresh_database("sqlite", tmp_path) as database:
        shop, expected = Shop(database, folder), []
        version = shop.campaign(hold_out=0)
        own: Any = shop.guides.saved.guide.knowledge
        of_laws = len(own.strengths)
        chances = own.weights[:-of_laws] * 1.5 + 0.1
        other = own._replace(weights=torch.cat([chances, own.strengths]))
        for number in range(4):
            if number == 2:
                publish(shop, other)
            guide = shop.guides.of(version, "guided")
            for user in ("u01", "u02", "a new one"):
                person, known = shop.person(user), known_of(user, shop.guides, ())
                live = shop.guides.live(version, Care())
                turn = turn_of(Ask(user), person, shop.now, [live], shop.guides, known)
                target = shop.items.index["i04"]
                journeys = journeys_of([walk_of(turn, target, known, shop.guides)])
                ruled = guide.decide(journeys, Free())
                answer = shop.ask(user)
                assert shop.items.index[answer.decided.made.item_id] == ruled.item_idx
                assert ruled.features is not None
                expected.append(ruled.features)
                shop.report(answer, ("skip", "accept")[number % 2])
                shop.now += 1000
        found = lesson(shop, 0, 12).evidence
        assert len(found.item_idx) == 12
        # Of laws they are differences of like logits, of other blocks: they agree to four digits.
        torch.testing.assert_close(found.features, torch.cat(expected), atol=1e-4, rtol=1e-4)
        assert found.accepted.tolist() == [False] * 3 + [True] * 3 + [False] * 3 + [True] * 3


def publish(shop: Shop, known: Any) -> None:
    made = knowledge.Lesson(1, 0, 0, 0, "", 0, shop.now)
    with shop.database.writing() as connection:
        content = save(tensors_of(known))
        knowledge.add(connection, TENANT, shop.guides.name, made, content)
    shop.guides.learned(TENANT, 1, known)


def test_held_out_and_opted_out_users_teach_nothing(folder: Path, tmp_path: Path) -> None:
    with played(folder, tmp_path) as shop:
        found = lesson(shop, 0, 24 * N_ROUNDS).evidence
        answered = shop.rows(
            "SELECT DISTINCT d.user_id, d.number, d.arm, d.not_guided_because, d.guided "
            "FROM decisions d JOIN events e ON e.user_id = d.user_id AND e.decision = d.number "
            "WHERE e.kind <> 'impression'"
        )
        may = [row for row in answered if row[2] != HOLD_OUT and row[3] != "opted_out"]
        assert len(found.item_idx) == len(may) < len(answered)
        assert {row[2] for row in answered} == {HOLD_OUT, "guided"}
        assert any(row[3] == "opted_out" for row in answered)


def test_decisions_in_an_arm_that_was_gone_teach_nothing(folder: Path, tmp_path: Path) -> None:
    with played(folder, tmp_path) as shop:
        whole = lesson(shop, 0, 24 * N_ROUNDS).evidence
        with shop.database.writing() as connection:
            row = tables.DECISIONS.c
            first = update(tables.DECISIONS).where(row.number == 1, row.arm == "guided")
            connection.execute(first.values(arm="gone"))
        found = lesson(shop, 0, 24 * N_ROUNDS).evidence
        assert 0 < len(found.item_idx) < len(whole.item_idx)


def test_a_policy_that_does_not_learn_is_left_alone(
    guide_folder: Callable[..., Path], database: Database
) -> None:
    shop = Shop(database, guide_folder("itmprec"))
    assert learning(database, shop, lambda: NOON).learn(TENANT) == 0


def test_later_knowledge_goes_on_from_what_decisions_were_made_with(
    folder: Path, tmp_path: Path
) -> None:
    with played(folder, tmp_path) as shop:
        shop.now += 3 * DAY
        settle(shop.database, shop.now - DAY)
        learner = learning(shop.database, shop, shop.clock)
        learner.learn(TENANT)
        first, chain = newest(shop.database, shop)
        shop.campaign(hold_out=0, name="second", goal={"items": ("i07", "i11")})
        go_on(shop)
        shop.now += 3 * DAY
        settle(shop.database, shop.now - DAY)
        assert learner.learn(TENANT) > 0
        second, longer = newest(shop.database, shop)
        assert longer[: len(chain)] == chain
        assert second != first
