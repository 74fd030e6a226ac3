"""Learning watched: how well each version foretold, alarms, and a way back that stays."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.walks import journeys_of
from proactrec.serving import knowledge as serving
from proactrec.serving.choosing import known_of, turn_of, walk_of
from proactrec.serving.opening import taught
from proactrec.serving.requests import Answer, Ask
from proactrec.store import knowledge
from proactrec.store.campaign import HOLD_OUT
from proactrec.store.care import Care
from proactrec.store.database import Database
from proactrec.store.knowledge import Lesson
from proactrec.store.watch import Watch
from proactrec.store.watching import Seen
from proactrec.worker.expiry import settle
from proactrec.worker.learning import Learning
from proactrec.worker.watching import Watcher, way_back

from ..serving.hosting import DAY, TENANT, Shop

BATCH = 20


@pytest.fixture(scope="module")
def folder(guide_folder: Callable[..., Path]) -> Path:
    return guide_folder("foresight")


class Learned:
    """A shop with its learner and its watcher.

    Nobody is held out unless that is asked for: whom it meets goes by the campaign's random id, and
    so do all figures then.
    """

    def __init__(
        self, database: Database, folder: Path, *, hold_out: float = 0, **watch: Any
    ) -> None:
        self.shop = Shop(database, folder)
        self.answers: list[Answer] = []
        shop, guides = self.shop, self.shop.guides
        shop.campaign(hold_out=hold_out, goal={"items": ("i04", "i05", "i10", "i20", "i25")})
        self.learner = Learning(database, guides, shop.clock, batch=BATCH)
        self.watcher = Watcher(database, guides, shop.clock, batch=BATCH)
        if watch:
            with database.writing() as connection:
                serving.watch(connection, TENANT, guides, Watch(**watch), by="test", at=shop.now)

    def play(self, *kinds: str, n_rounds: int = 2, n_users: int = 20) -> None:
        """Rounds that all users answer alike, and days in which all is settled."""
        for _ in range(n_rounds):
            for user in range(n_users):
                self.answers.append(self.shop.ask(f"u{user:02}"))
                self.shop.report(self.answers[-1], "impression", *kinds)
        self.shop.now += 3 * DAY
        settle(self.shop.database, self.shop.now - DAY)

    def late(self, kind: str) -> None:
        """A user of the first batch changes their mind, days later; another one each time."""
        guided = next(one for one in self.answers if self.guided(one))
        self.shop.report(guided, kind)
        self.answers.remove(guided)
        self.shop.now += DAY

    @staticmethod
    def guided(answer: Answer) -> bool:
        """Whether a campaign decided, and not for somebody who is held out."""
        made = answer.decided.made
        return bool(made.campaign_id) and made.arm != HOLD_OUT

    def take_up(self) -> None:
        """As instances do within a second."""
        with self.shop.database.reading() as connection:
            known = taught(connection, self.shop.guides, TENANT, self.newest())
        self.shop.guides.learned(TENANT, self.newest(), known)

    def restored(self, version: int, **how: Any) -> Lesson:
        with self.shop.database.writing() as connection:
            return serving.restored(
                connection, TENANT, self.shop.guides, version, by="test", at=self.shop.now,
                reason="a test", **how,
            )  # fmt: skip

    def told(self) -> Any:
        with self.shop.database.reading() as connection:
            return serving.told(connection, TENANT, self.shop.guides, 100)

    def tensors(self, version: int) -> bytes:
        with self.shop.database.reading() as connection:
            return knowledge.tensors_of(connection, TENANT, self.shop.guides.name, version)

    def newest(self) -> int:
        with self.shop.database.reading() as connection:
            name = self.shop.guides.name
            return knowledge.newest_versions(connection, name).get(TENANT, 0)


def test_answers_count_for_the_version_that_foretold_them(database: Database, folder: Path) -> None:
    learned = Learned(database, folder, hold_out=0.3, off=0.9)
    learned.play("accept")
    n_guided = sum(learned.guided(one) for one in learned.answers)
    assert learned.watcher.look(TENANT) == []
    assert learned.learner.learn(TENANT) == 2
    learned.take_up()
    learned.play("skip")
    assert learned.watcher.look(TENANT) == []
    told = learned.told()
    seen = {one.version: one.calibration for one in told.versions}
    assert seen[1] is None, "nothing was decided by it"
    assert seen[0].answers == n_guided == told.versions[0].answers, "who is held out isn't there"
    assert seen[0].accepted == 1 > seen[0].foretold
    assert seen[2].accepted == 0
    assert seen[2].foretold > seen[0].foretold, "it had learned that all accept"
    tenths = [one for one in seen[2].tenths if one.answers]
    assert sum(one.answers for one in tenths) == seen[2].answers
    assert learned.watcher.look(TENANT) == [], "nothing is counted twice"
    assert learned.told() == told


def test_what_is_foretold_is_what_the_guide_foretold(database: Database, folder: Path) -> None:
    """By an instance's own policy, asked at the moment of the decision."""
    shop, expected = Shop(database, folder), []
    version, target = shop.campaign(), shop.items.index["i04"]
    guide, live = shop.guides.of(version, "guided"), shop.guides.live(version, Care())
    for user in (f"u{n:02}" for n in range(BATCH)):
        person, known = shop.person(user), known_of(user, shop.guides, ())
        turn = turn_of(Ask(user), person, shop.now, [live], shop.guides, known)
        journeys = journeys_of([walk_of(turn, target, known, shop.guides)])
        chances = guide.policy.chances(guide.view(journeys, guide.places(journeys)))
        answer = shop.ask(user)
        shop.report(answer, "accept")
        if answer.decided.made.campaign_id:  # has not got the target yet
            expected.append(float(chances[0, shop.items.index[answer.decided.made.item_id]]))
    shop.now += 3 * DAY
    settle(database, shop.now - DAY)
    Watcher(database, shop.guides, shop.clock, batch=BATCH).look(TENANT)
    with database.reading() as connection:
        found = serving.told(connection, TENANT, shop.guides, 1).versions[0].calibration
    assert found is not None
    assert found.answers == len(expected) > BATCH / 2
    assert found.foretold == pytest.approx(sum(expected) / len(expected), rel=1e-6)


def test_who_foretells_badly_is_told_once_logged_and_noted(
    database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learned = Learned(database, folder, off=0.05, alpha=0.2)
    learned.play("skip", n_rounds=5)
    found = learned.watcher.look(TENANT)
    assert [alarm.version for alarm in found] == [0]
    assert found[0].sentence.startswith("acceptance is foretold badly: chances are off by at least")
    assert found[0].sentence in caplog.text
    noted = learned.shop.rows("SELECT what, about, detail FROM audit WHERE what = 'alarm'")
    assert noted == [("alarm", "knowledge 0", json.dumps({"sentence": found[0].sentence}))]
    learned.play("skip", n_rounds=3)
    assert learned.watcher.look(TENANT) == []
    assert learned.told().versions[0].alarm == found[0].sentence
    assert learned.learner.learn(TENANT) > 0, "an alarm stops nothing unless it is told to"


@pytest.mark.parametrize(
    ("kind", "limits", "sentence"),
    [
        ("sqlite", {"most_shown": 0.01}, "steps, 1% is tolerated"),
        ("postgresql", {"most_shown": 1.0, "least_items": 30.0}, "items, at least 30 are wanted"),
    ],
    indirect=["kind"],
)
def test_decisions_that_lose_their_variety_raise_an_alarm(
    limits: dict[str, float], sentence: str, database: Database, folder: Path
) -> None:
    learned = Learned(database, folder, off=0.9, window=30, **limits)
    learned.play("skip", n_rounds=1)
    assert learned.watcher.look(TENANT) == []
    assert learned.told().variety is None, "too few were shown"
    learned.play("skip", n_rounds=4)
    alarms = learned.watcher.look(TENANT)
    assert [alarm.version for alarm in alarms] == [0]
    assert alarms[0].sentence.endswith(sentence)
    assert 1 <= learned.told().variety.items < 30


def test_a_restored_version_stays_and_is_not_learned_over(database: Database, folder: Path) -> None:
    learned = Learned(database, folder)
    learned.play("accept", n_rounds=4)
    assert learned.learner.learn(TENANT) == 4
    assert learned.tensors(4) != learned.tensors(2)
    back = learned.restored(2)
    assert (back.version, back.parent, back.restores) == (5, 2, 2)
    assert learned.tensors(5) == learned.tensors(2)
    assert learned.restored(2) == back == learned.restored(5), "again changes nothing"
    learned.play("skip")
    assert learned.learner.learn(TENANT) == 0, "it is frozen"
    assert learned.newest() == 5


def test_learning_goes_on_from_a_restored_version_by_what_is_decided_since(
    database: Database, folder: Path
) -> None:
    learned = Learned(database, folder)
    learned.play("skip", n_rounds=4)
    assert learned.learner.learn(TENANT) == 4
    learned.late("accept")
    assert learned.learner.learn(TENANT) == 4, "late answers change all of it"
    told = learned.told().versions
    back = learned.restored(6, learns=True)
    assert back.up_to_seq == told[0].up_to_decision
    assert back.n_answers == told[2].answers
    assert learned.learner.learn(TENANT) == 0, "nothing new was decided"
    learned.late("accept")
    other = Learning(database, learned.shop.guides, learned.shop.clock, batch=BATCH)
    assert other.learn(TENANT) == 0, "late answers don't change what was restored"
    learned.take_up()
    learned.play("skip")
    assert learned.learner.learn(TENANT) == 2
    with database.reading() as connection:
        chain = knowledge.lessons(connection, TENANT, learned.shop.guides.name)
    assert [(one.version, one.parent) for one in chain] == [(9, 6), (10, 9), (11, 10)]
    assert chain[1].after_seq == back.up_to_seq


def test_a_batch_that_was_learned_while_somebody_went_back_is_thrown_away(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = Learned(database, folder)
    learned.play("accept", n_rounds=3)
    learned.learner.learn(TENANT)
    learned.play("accept")
    publish = learned.learner._publish

    def late(*given: Any) -> Any:
        learned.restored(1, learns=True)
        return publish(*given)

    monkeypatch.setattr(learned.learner, "_publish", late)
    assert learned.learner.learn(TENANT) == 0
    assert learned.tensors(learned.newest()) == learned.tensors(1)


def test_what_the_guide_was_saved_with_can_be_restored(database: Database, folder: Path) -> None:
    learned = Learned(database, folder)
    learned.play("accept")
    learned.learner.learn(TENANT)
    back = learned.restored(0)
    assert (back.parent, back.n_answers) == (0, 0)
    learned.take_up()
    _, known = learned.shop.guides.knowledge[TENANT]
    saved = learned.shop.guides.saved.guide.knowledge
    assert float(known.information.abs().sum()) == float(saved.information.abs().sum())
    with pytest.raises(UnknownIdError, match="no version 9 of its knowledge"):
        learned.restored(9)


def test_a_policy_that_learns_nothing_has_no_way_back(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    learned = Learned(database, guide_folder("itmprec"))
    with pytest.raises(InvalidInputError, match="policy learns nothing"):
        learned.restored(0)
    assert learned.watcher.look(TENANT) == []


def test_on_alarm_it_goes_back_to_the_last_version_that_foretold_well(
    database: Database, folder: Path
) -> None:
    learned = Learned(database, folder, off=0.25, alpha=0.2, on_alarm="go_back")
    for kinds in (("accept",), ("skip",)) * 2:
        learned.play(*kinds, n_rounds=1)
    assert learned.watcher.look(TENANT) == [], "the guide's own is near one half"
    learned.learner.learn(TENANT)
    learned.take_up()
    version = learned.newest()
    learned.play("skip", n_rounds=8)
    alarms = learned.watcher.look(TENANT)
    assert [alarm.version for alarm in alarms] == [version]
    back = learned.told().versions[0]
    assert back.restores == 0
    assert learned.told().watch.frozen
    noted = learned.shop.rows("SELECT by, detail FROM audit WHERE what = 'restored'")
    assert noted[0][0] == "worker"
    assert json.loads(noted[0][1])["reason"].startswith(f"version {version}: acceptance")


def test_the_way_back_passes_by_what_was_alarmed_and_what_nobody_used() -> None:
    known = {n: Lesson(n, n - 1, 0, 0, "", 0, 0) for n in range(1, 5)}
    sound, bad = Seen({"n": []}, ""), Seen({"n": []}, "bad")
    assert way_back(known, {0: sound, 1: sound, 2: bad, 4: bad}) == 1
    assert way_back(known, {0: bad, 4: bad}) is None
    again = {**known, 5: Lesson(5, 1, 0, 0, "", 0, 0, restores=1)}
    assert way_back(again, {0: sound, 1: sound, 5: bad}) == 0, "1 is the same as 5"
    assert way_back({}, {0: bad}) is None
