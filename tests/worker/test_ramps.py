"""Campaigns grow when they may, pause where guided users are worse off, end when all is spent."""

from collections.abc import Sequence

import numpy as np
import pytest

from proactrec.store import campaigns, log
from proactrec.store.budgets import limits_of, take
from proactrec.store.campaign import HOLD_OUT, Budget, Campaign, Goal, Guardrails, Ramp
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
from proactrec.store.leases import Leases
from proactrec.store.log import Change, Decided
from proactrec.store.people import SECOND, Event, Made, Person
from proactrec.worker.firsts import Firsts, firsts
from proactrec.worker.ramps import HOUR, began_at, steer

TENANT, K = "t", 3
KINDS = ("impression", "accept", "skip", "purchase", "complaint", "expired", "lapsed")


def running(database: Database, **changes: object) -> Version:
    said = Campaign(name="c", goal=Goal(items=("i1",)), **changes)
    with database.writing() as connection:
        draft = campaigns.create(connection, TENANT, said, by="me", at=0)
        return campaigns.changed(connection, draft, by="me", at=0, reason="go", state="running")


def current(database: Database, version: Version) -> Version:
    with database.reading() as connection:
        return campaigns.current(connection, TENANT, version.campaign_id)


def played(version: Version, user_id: str, arm: str, told: Sequence[tuple[str, ...]]) -> Change:
    """A user who got decisions of which these kinds of events were told."""
    before, made, events = Person(TENANT, user_id), [], []
    for number, kinds in enumerate(told, 1):
        guided, at = int(arm != HOLD_OUT), number * SECOND
        made.append(Made(number, version.campaign_id, version.version, arm, "i1", f"i{number}",
                         guided, 0, at, at + HOUR, at + 2 * HOUR))  # fmt: skip
        events += [Event(f"{number} {k}", number, f"i{number}", k, at, at) for k in kinds]
    decided = [Decided(one, "i9", "", "step", "", None, None) for one in made]
    return Change(before, before.after(made=made, events=events), decided, events)


def write(database: Database, changes: list[Change]) -> None:
    with database.writing() as connection:
        log.write(Hot(connection), TENANT, changes)
        # What the database knows of these tables may be from a test that left them empty.
        connection.exec_driver_sql("ANALYZE")


def seen(database: Database, version: Version) -> Firsts:
    with database.reading() as connection:
        return firsts(Hot(connection), TENANT, version.campaign_id, K)


def users(version: Version, arm: str, n: int, chance: float, seed: int = 0) -> list[Change]:
    taken = np.random.default_rng(seed).random((n, K)) < chance
    told = [[("accept",) if one else ("skip",) for one in row] for row in taken]
    return [played(version, f"{arm} {number}", arm, row) for number, row in enumerate(told)]


def test_first_answers_are_those_of_the_fold(database: Database) -> None:
    """The query of all users says what people, one by one, do."""
    version, rng = running(database), np.random.default_rng(1)
    changes = []
    for number in range(200):
        told = [tuple(rng.permutation(KINDS)[: rng.integers(0, 3)]) for _ in range(6)]
        changes.append(played(version, f"u{number}", ("guided", HOLD_OUT)[number % 2], told))
    write(database, changes)
    found, people = seen(database, version), [change.after for change in changes]
    for held_out in (True, False):
        own = [p for p in people if (p.arm(version.campaign_id) == HOLD_OUT) == held_out]
        answers = [
            [answer for _, answer in p.rounds(version.campaign_id, "i1") if answer >= 0][:K]
            for p in own
        ]
        shares = [sum(a) / K for a in answers if len(a) == K]
        moments = found.accepted(held_out=held_out)
        assert moments.n == len(shares)
        assert moments.mean == pytest.approx(float(np.mean(shares)))
        assert moments.variance == pytest.approx(
            (np.var(shares) * len(shares) + 0.25) / len(shares)
        )
        complaints = [any("complaint" in kinds for kinds in p.kinds.values()) for p in own]
        counted = [c for c, a in zip(complaints, answers, strict=True) if c or len(a) == K]
        assert found.objecting(held_out=held_out).mean == pytest.approx(np.mean(counted))


def test_who_opts_out_counts_at_once(database: Database) -> None:
    version = running(database)
    change = played(version, "a", "guided", [("impression",)])
    write(database, [change])
    assert seen(database, version).objecting(held_out=False).n == 0
    after = change.after
    write(database, [Change(after, after.consenting(False), said_at=2 * SECOND)])
    assert seen(database, version).objecting(held_out=False)[:2] == (1, 1.0)


def test_guided_users_who_are_worse_off_stop_the_campaign(database: Database) -> None:
    version = running(database, guardrails=Guardrails(acceptance=0.05))
    write(database, users(version, HOLD_OUT, 150, 0.6) + users(version, "guided", 400, 0.3))
    assert steer(database, 1) == 1
    found = current(database, version)
    assert (found.state, found.by) == ("paused", "worker")
    assert found.reason.startswith("guardrail acceptance: guided users accept 0.")
    assert steer(database, 2) == 0


def test_guided_users_who_are_not_worse_off_go_on(database: Database) -> None:
    version = running(database, guardrails=Guardrails(acceptance=0.0, opt_outs=0.0))
    write(database, users(version, HOLD_OUT, 150, 0.5) + users(version, "guided", 400, 0.5, 1))
    assert steer(database, 1) == 0


def test_complaints_stop_the_campaign(database: Database) -> None:
    version = running(database, guardrails=Guardrails(opt_outs=0.01))
    angry = [played(version, f"g{n}", "guided", [("complaint",)] * K) for n in range(60)]
    write(database, users(version, HOLD_OUT, 60, 0.5) + angry)
    steer(database, 1)
    assert "guardrail opt_outs: 1 of guided users opt out" in current(database, version).reason


def test_what_is_never_shown_stops_the_campaign(database: Database) -> None:
    version = running(database, guardrails=Guardrails(errors=0.2))
    write(database, [played(version, f"g{n}", "guided", [("expired",)] * K) for n in range(100)])
    steer(database, 1)
    assert "guardrail errors: 1 of what" in current(database, version).reason


def test_a_ramp_goes_on_after_its_time_with_enough_users(database: Database) -> None:
    ramp = Ramp(steps=(0.1, 0.5, 1), hold_hours=2, least_users=50)
    version = running(database, ramp=ramp)
    write(database, users(version, "guided", 49, 0.5))
    assert steer(database, 3 * HOUR) == 0, "too few users"
    write(database, users(version, HOLD_OUT, 1, 0.5))
    assert steer(database, 2 * HOUR - 1) == 0, "too early"
    assert steer(database, 2 * HOUR) == 1
    assert current(database, version).share == 0.5
    assert steer(database, 4 * HOUR - 1) == 0
    assert steer(database, 4 * HOUR) == 1
    assert current(database, version).share == 1
    assert steer(database, 100 * HOUR) == 0


def test_a_step_lasts_from_its_beginning_and_pauses_do_not_count() -> None:
    said = Campaign(name="c", goal=Goal(items=("i1",)), ramp=Ramp(steps=(0.1, 1)))
    states = [("draft", 0), ("running", 0), ("paused", 0), ("running", 0), ("running", 0)]
    history = [
        Version(TENANT, "c", n, state, said, step, "", "", n)  # type: ignore[arg-type]
        for n, (state, step) in enumerate(states)
    ]
    assert began_at(history) == 3
    assert began_at([*history, history[-1]._replace(ramp_step=1, at=9)]) == 9


def test_a_campaign_whose_budget_is_spent_is_finished(database: Database) -> None:
    version = running(database, budget=Budget(total=2))
    write(database, users(version, "guided", 2, 1.0))
    offers = [limits_of(version.campaign_id, version.said, "i1", SECOND)] * 2
    with database.writing() as connection:
        take(Hot(connection), TENANT, offers[:1])
    assert steer(database, 10 * HOUR) == 0
    with database.writing() as connection:
        take(Hot(connection), TENANT, offers[:1])
    assert steer(database, 10 * HOUR) == 1
    assert current(database, version).state == "finished"


def test_it_is_not_while_an_offer_may_come_back(database: Database) -> None:
    """The newest one was seen; of an older one, which may be shown for longer, nothing is known."""
    version = running(database, budget=Budget(total=2))
    old, new = (played(version, user, "guided", [()]) for user in ("old", "new"))
    write(database, [old])
    with database.writing() as connection:
        said = version.said.model_copy(update={"offer_seconds": 1})
        version = campaigns.changed(connection, version, by="me", at=2, reason="x", said=said)
    write(database, [new])
    offers = [limits_of(version.campaign_id, version.said, "i1", SECOND)] * 2
    with database.writing() as connection:
        take(Hot(connection), TENANT, offers)
    write(database, [Change(new.after, *told(new.after, "impression"))])
    assert steer(database, 10 * HOUR) == 0
    write(database, [Change(old.after, *told(old.after, "skip"))])
    assert steer(database, 10 * HOUR) == 1


def told(person: Person, kind: str) -> tuple[Person, tuple[()], list[Event]]:
    """What a change of a user says to whom this happened."""
    event = Event(f"1 {kind}", 1, "i1", kind, SECOND, SECOND)
    return person.after(events=[event]), (), [event]


def test_what_is_only_leased_is_not_spent(database: Database) -> None:
    version = running(database, budget=Budget(total=8))
    write(database, users(version, "guided", 3, 1.0))
    leases = Leases("one")  # takes two
    offers = [limits_of(version.campaign_id, version.said, "i1", SECOND)] * 6
    with database.writing() as connection:
        leases.take(Hot(connection), TENANT, offers[:1])
        assert take(Hot(connection), TENANT, offers).refused == [None] * 6
    assert steer(database, 10 * HOUR) == 0
    with database.writing() as connection:
        leases.take(Hot(connection), TENANT, offers[:1])
    assert steer(database, 10 * HOUR) == 1
