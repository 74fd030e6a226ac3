"""Tomorrow's users: histories, journeys so far, targets of a category, caps, reasons."""

import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from proactrec.data.catalogue import Catalogue
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.goals import WEIGHED
from proactrec.guidance.past import JOURNEY_COLUMNS, MOST_ROUNDS, checked_journeys, no_journeys
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.saved import SavedGuide, open_guide
from proactrec.guidance.tomorrow import People, next_items
from proactrec.journeys import OPEN_ENDED, Journeys
from proactrec.policies.base import Promises

from .fitted import KINDS, N_USERS, changed_json, fit, log, played

Row = tuple[object, ...]


def people_of(guide: SavedGuide, *rows: Row, **asked: object) -> People:
    """Users with the whole log and these events."""
    events = log().events
    more = pl.DataFrame(list(rows), events.schema, orient="row")
    return People.of(guide, pl.concat([events, more]), **asked)  # type: ignore[arg-type]


def ids_of(people: People, user_id: str) -> list[str]:
    _, item = people.history.rows(pl.Series([people.index[user_id]]).to_numpy())
    return [people.guide.guide.items.item_ids[one - 1] for one in item]


def owned(user_id: str) -> list[str]:
    return log().events.filter(user_id=user_id)["item_id"].to_list()


def not_owned(user_id: str) -> list[str]:
    return sorted(set(log().items["item_id"]) - set(owned(user_id)))


def past(*rows: Row) -> pl.DataFrame:
    names = dict.fromkeys(JOURNEY_COLUMNS, pl.String)
    return pl.DataFrame([[*map(str, row)] for row in rows], names, orient="row")


def rounds(people: People, *rows: Row) -> pl.DataFrame:
    found, left = checked_journeys(past(*rows), people.index, people.guide.guide.items.index)
    assert left == []
    return found


def row_of(table: pl.DataFrame, user_id: str) -> dict[str, object]:
    return table.row(by_predicate=pl.col("user_id") == user_id, named=True)


class TestHistories:
    def test_events_that_the_guide_was_fitted_on_do_no_harm(self, foresight: SavedGuide) -> None:
        known = foresight.known
        for events in (log().events, log().events.head(40), pl.concat([log().events] * 2)):
            people = People.of(foresight, events, known.user_ids)
            assert (people.history.item_idx == known.history.item_idx).all()
            assert (people.history.offsets == known.history.offsets).all()

    def test_later_events_come_after_in_the_order_of_time(self, foresight: SavedGuide) -> None:
        first, second = not_owned("u00")[:2]
        people = people_of(foresight, ("u00", second, 99), ("u00", first, 98), ("u00", first, 99))
        assert ids_of(people, "u00") == [*owned("u00"), first, second]

    def test_old_events_that_the_fit_left_out_come_before(self, foresight: SavedGuide) -> None:
        first, second = not_owned("u00")[:2]
        people = people_of(foresight, ("u00", first, -1), ("u00", second, 99))
        assert ids_of(people, "u00") == [first, *owned("u00"), second]

    def test_unknown_users_stand_on_their_events_alone(self, foresight: SavedGuide) -> None:
        people = people_of(foresight, ("007", "i03", 5), ("007", "i01", 4))
        assert ids_of(people, "007") == ["i01", "i03"]
        assert people.is_known == [True] * N_USERS + [False]
        shown = row_of(next_items(people, people.journeys(no_journeys(), ["i10"], 6)), "007")
        assert (shown["known_user"], shown["reason"]) == (False, "step")
        assert shown["item_id"] not in ("i01", "i03")

    def test_unknown_items_are_shown_and_said_to_be(self, fitted: Path) -> None:
        rows = [("later", "A later film", ["War"])]
        later = pl.DataFrame(rows, ["item_id", "title", "categories"], orient="row")
        guide = open_guide(fitted / "nearest", Catalogue(later))
        people = people_of(guide, ("007", "later", 5))
        table = next_items(people, people.journeys(no_journeys(), ["later"], 6))
        assert row_of(table, "007")["reason"] == "has_target"
        nobody = table.filter(pl.col("item_id") == "later")
        assert table["target_id"].unique().to_list() == ["later"]
        assert not nobody["known_item"].any()
        assert table.filter(pl.col("item_id") != "later")["known_item"].all()

    def test_who_has_no_event_and_is_not_known_is_named(self, foresight: SavedGuide) -> None:
        known = People.of(foresight, log().events.filter(user_id="u01"), ["u00", "u00"])
        assert ids_of(known, "u00") == owned("u00")
        assert known.user_ids == ("u00",)
        with pytest.raises(UnknownIdError, match=r"user 'x' has no event .* \(1 more "):
            people_of(foresight, user_ids=["u00", "x", "y"])


class TestPast:
    def test_pending_answers_are_neither_accepted_nor_refused(self, foresight: SavedGuide) -> None:
        people = people_of(foresight, user_ids=["u00"])
        shown = not_owned("u00")[2:5]
        target = not_owned("u00")[0]
        answers = ("1", "0", "")
        told = rounds(
            people,
            *(
                ("u00", target, n, i, 1, a)
                for n, i, a in zip((1, 2, 3), shown, answers, strict=True)
            ),
        )
        journeys = people.journeys(told, [target], 6)
        assert journeys.answer[0].tolist() == [1, 0, -1, -1, -1, -1]
        assert (journeys.round.tolist(), journeys.rounds_left.tolist()) == ([4], [2])
        assert next_items(people, journeys)["item_id"][0] not in shown

    def test_without_a_number_of_rounds_nobody_knows_the_end(self, foresight: SavedGuide) -> None:
        people, (shown, target) = people_of(foresight), not_owned("u00")[:2]
        none, after = no_journeys(), rounds(people, ("u00", target, 30, shown, 1, 0))
        for past, number in ((none, 1), (after, 31)):
            journeys, anywhere = people.journeys(past, [target]), people.journeys_in(past, "drama")
            assert (journeys.rounds_left == OPEN_ENDED).all()
            assert (anywhere.rounds_left == OPEN_ENDED).all()
            assert int(journeys.round[0]) == number <= journeys.n_rounds
        table = next_items(people, people.journeys(after, [target]))
        assert row_of(table, "u00")["round"] == 31

    def test_who_has_no_last_round_waits_for_none(self, foresight: SavedGuide) -> None:
        """An end that is far away is none."""
        people, target = people_of(foresight), not_owned("u00")[0]
        last, early, open_ended = (
            next_items(people, people.journeys(no_journeys(), [target], n)) for n in (1, 500, None)
        )
        assert_frame_equal(early, open_ended, abs_tol=1e-4)
        assert last["score"].to_list() != open_ended["score"].to_list()

    def test_rows_that_cannot_be_used_are_counted_by_why(self, foresight: SavedGuide) -> None:
        people = people_of(foresight)
        good = ("u00", "i03", "1.0", "i04", "True", "1.0")
        table = past(
            good,
            ("nobody", "i03", 1, "i04", 1, 1),
            ("u01", "i03", 1, "", 0, ""),
            ("u01", "i03", 1, "none", 1, 1),
            ("u01", "none", 1, "i04", 1, 1),
            ("u01", "i03", 0, "i04", 1, 1),
            ("u01", "i03", 1.5, "i04", 1, 1),
            ("u01", "i03", MOST_ROUNDS + 1, "i04", 1, 1),
            ("u01", "i03", "first", "i04", 1, 1),
            ("u01", "i03", 1, "i04", 1, 0.5),
            ("u01", "i03", 1, "i04", 1, "yes"),
            ("u01", "i03", 1, "i04", "maybe", 1),
        )
        found, left = checked_journeys(table, people.index, foresight.guide.items.index)
        assert found.rows() == [(0, 4, 1, 5, True, 1)]
        assert {one.why: one.n for one in left} == {
            "users who are not asked about": 1,
            "nothing was shown": 1,
            "targets or items that the guide does not know": 2,
            "rounds other than 1 to 1,000": 4,
            "answers other than 1, 0 and empty": 2,
            "guided other than 1 and 0": 1,
        }
        assert found.height + sum(one.n for one in left) == table.height

    def test_of_a_round_told_again_the_last_row_counts(self, foresight: SavedGuide) -> None:
        people = people_of(foresight)
        rows = [("u00", "i03", 1, "i04", 1, answer) for answer in ("", "0", "1")]
        found, left = checked_journeys(past(*rows), people.index, foresight.guide.items.index)
        assert found["answer"].to_list() == [1]
        assert [str(one) for one in left] == [
            "2 rows left aside: a round told again; the last row counts"
        ]

    @pytest.mark.parametrize("absent", JOURNEY_COLUMNS)
    def test_a_missing_column_is_named(self, absent: str, foresight: SavedGuide) -> None:
        with pytest.raises(InvalidInputError, match=f"{absent} is missing"):
            checked_journeys(past().drop(absent), {}, {})

    def test_what_was_accepted_counts_once_though_it_is_an_event_too(
        self, foresight: SavedGuide
    ) -> None:
        target, item = not_owned("u00")[:2]
        told = ("u00", target, 1, item, 1, 1)
        without, logged = people_of(foresight), people_of(foresight, ("u00", item, 99))
        tables = [
            next_items(people, people.journeys(rounds(people, told), [target], 6))
            for people in (without, logged)
        ]
        assert_frame_equal(*tables, check_exact=True)

    def test_accepted_on_the_way_to_another_target_it_is_history(
        self, foresight: SavedGuide
    ) -> None:
        target, item, other = not_owned("u00")[:3]
        told = ("u00", other, 1, item, 1, 1)
        people = people_of(foresight)
        journeys = people.journeys(rounds(people, told), [target, other], 6)
        index = foresight.guide.items.index
        for number, is_history in ((0, True), (N_USERS, False)):
            _, items = journeys.users.history.rows(journeys.user_rows[number : number + 1])
            assert (index[item] in items) is is_history
        assert journeys.round[[0, N_USERS]].tolist() == [1, 2]


class TestCategory:
    def targets(self, people: People, *told: Row) -> Journeys:
        return people.journeys_in(rounds(people, *told), "drama", 6)

    def test_everybody_is_led_to_an_item_that_they_do_not_have(self, foresight: SavedGuide) -> None:
        people = people_of(foresight)
        journeys = self.targets(people)
        items = foresight.guide.items
        for user, target in zip(people.user_ids, journeys.target_idx.tolist(), strict=True):
            assert items.categories[target - 1] == ("Drama",)
            assert items.item_ids[target - 1] not in owned(user)
        assert not journeys.is_over.any()

    def test_the_target_under_way_stays_until_they_have_it(self, foresight: SavedGuide) -> None:
        first, other = [
            item for item in not_owned("u00") if int(item[1:]) % len(KINDS) == KINDS.index("Drama")
        ][-2:]
        index, shown = foresight.guide.items.index, not_owned("u00")[-1]
        people = people_of(foresight)
        for answer in ("0", "1", ""):
            assert (
                self.targets(people, ("u00", first, 1, shown, 1, answer)).target_idx[0]
                == (index[first])
            )
        later = self.targets(people, ("u00", first, 1, shown, 1, 0), ("u00", other, 2, shown, 1, 0))
        assert later.target_idx[0] == index[other]
        reached = self.targets(people, ("u00", first, 1, first, 1, 1))
        assert reached.target_idx[0] != index[first]
        assert (reached.round[0], reached.is_over[0]) == (1, False)
        bought = people_of(foresight, ("u00", first, 99))
        assert self.targets(bought, ("u00", first, 1, shown, 1, 0)).target_idx[0] != index[first]

    def test_a_target_refused_for_good_gives_way_to_another(self, foresight: SavedGuide) -> None:
        first = next(i for i in not_owned("u00") if int(i[1:]) % len(KINDS) == KINDS.index("Drama"))
        told = ("u00", first, 1, first, 1, 0)
        index, again = foresight.guide.items.index, replace(foresight.guide, shows_again=True)
        assert self.targets(people_of(foresight), told).target_idx[0] != index[first]
        shows_again = people_of(replace(foresight, guide=again))
        assert self.targets(shows_again, told).target_idx[0] == index[first]

    def test_foresight_leads_to_what_promises_most(self, foresight: SavedGuide) -> None:
        people, guide = people_of(foresight), foresight.guide
        chosen, policy = self.targets(people), guide.policy
        assert isinstance(policy, Promises)
        dramas = [i for i, kinds in zip(guide.items.item_ids, guide.items.categories, strict=True)
                  if kinds == ("Drama",)]  # fmt: skip
        promise = {}
        for item in dramas:
            toward = people.journeys(no_journeys(), [item], 6)
            promise[item] = policy.promise(guide.view(toward, guide.places(toward)))
        n_weighed = 0
        for row, user_id in enumerate(people.user_ids):
            free = {i: float(promise[i][row]) for i in dramas if i not in owned(user_id)}
            if len(free) <= WEIGHED:
                found = guide.items.item_ids[int(chosen.target_idx[row]) - 1]
                assert free[found] == max(free.values())
                n_weighed += len(free) > 1
        assert n_weighed > 10

    def test_owners_have_the_target(self, foresight: SavedGuide) -> None:
        target = owned("u00")[0]
        people = people_of(foresight, ("x", "i00", 1))
        table = next_items(people, people.journeys(no_journeys(), [target], 6))
        owners = log().events.filter(item_id=target)["user_id"].to_list()
        having = table.filter(pl.col("reason") == "has_target")
        assert sorted(having["user_id"]) == sorted(owners)
        assert having["item_id"].null_count() == having["score"].null_count() == len(owners)
        assert not having["guided"].any()
        dramas = [(f"u{0:02}", f"i{n:02}", 99) for n in range(0, 30, 3)]
        everything = people_of(foresight, *dramas)
        assert bool(self.targets(everything).is_over[0])

    def test_the_target_itself_is_shown_as_the_target(self, fitted: Path) -> None:
        people = people_of(open_guide(fitted / "nearest"))
        table = next_items(people, people.journeys(no_journeys(), ["i03"], 6))
        free = table.filter(pl.col("reason") != "has_target")
        assert free.filter(pl.col("item_id") == "i03")["reason"].unique().to_list() == ["target"]
        assert free.filter(pl.col("item_id") != "i03")["reason"].unique().to_list() in (
            [],
            ["step"],
        )


class TestRails:
    def test_who_opted_out_gets_plain_items(self, foresight: SavedGuide) -> None:
        people = people_of(foresight, opted_out={"u00", "u05", "not here"})
        target = next(item for item in not_owned("u00") if item in not_owned("u05"))
        table = next_items(people, people.journeys(no_journeys(), [target], 6))
        out = table.filter(pl.col("reason") == "opted_out")
        assert sorted(out["user_id"]) == ["u00", "u05"]
        assert not out["guided"].any()
        recommender = foresight.guide.recommender
        assert recommender is not None
        plain = replace(foresight.guide, policy=recommender).decide(
            people.journeys(no_journeys(), [target], 6)
        )
        names = foresight.guide.items.item_ids
        for user, item in out.select("user_id", "item_id").iter_rows():
            assert item == names[int(plain.item_idx[people.index[user]]) - 1]

    @pytest.fixture
    def capped(self, fitted: Path, tmp_path: Path) -> SavedGuide:
        guide = fit(fitted, "foresight", rails=RailsOptions(item_cap_total=3))
        guide.save(tmp_path / "capped")
        return open_guide(tmp_path / "capped")

    def test_caps_count_what_journeys_showed_before(self, capped: SavedGuide) -> None:
        people = people_of(capped)
        tables, before = played(people, ("i03",), 4)
        led = pl.concat(
            [before.select("item_id", "guided"), tables[-1].select("item_id", "guided")]
        )
        counts = led.filter("guided")["item_id"].value_counts()["count"]
        assert counts.max() == 3
        assert (counts == 3).sum() > 3, "the cap must bind"

    def test_guided_pairs_are_a_campaigns(self, fitted: Path, tmp_path: Path) -> None:
        fit(fitted, "popular").save(tmp_path / "guide")
        changed_json(tmp_path / "guide" / "guide.json", rails={"guided_pairs": 0.5})
        people = people_of(open_guide(tmp_path / "guide"))
        with pytest.raises(InvalidInputError, match="guided_pairs chooses among all journeys"):
            next_items(people, people.journeys(no_journeys(), ["i03"], 6))

    def test_targets_that_rails_forbid_are_not_chosen(self, fitted: Path, tmp_path: Path) -> None:
        fit(fitted, "popular").save(tmp_path / "guide")
        changed_json(tmp_path / "guide" / "guide.json", rails={"forbidden_categories": ["Drama"]})
        people = people_of(open_guide(tmp_path / "guide"))
        with pytest.raises(InvalidInputError, match=re.escape("'Drama' in rails.forbidden_cat")):
            people.journeys_in(no_journeys(), "Drama", 6)
        with pytest.raises(InvalidInputError, match=re.escape("'Drama' in rails.forbidden_cat")):
            people.journeys(no_journeys(), ["i00"], 6)


@pytest.mark.parametrize(
    "policy", ["foresight", "itmprec", "irn, plan once", "prorl, plan once", "random"]
)
def test_users_together_are_users_one_by_one(policy: str, fitted: Path) -> None:
    guide, targets = open_guide(fitted / policy), ("i03", "i10")
    together, before = played(people_of(guide), targets)
    for user in ("u03", "u11", "u20"):
        alone = people_of(guide, user_ids=[user])
        told, _ = checked_journeys(before, alone.index, guide.guide.items.index)
        table = next_items(alone, alone.journeys(told, targets, 6))
        whole = together[-1].filter(user_id=user)
        for column in ("item_id", "reason", "round", "guided", "target_id"):
            assert table[column].to_list() == whole[column].to_list()
        assert_frame_equal(table, whole, abs_tol=1e-5)
