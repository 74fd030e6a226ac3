"""Plans: the rows of `next`, in files that are the same however they came about."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from proactrec.distributed.outputs import Output
from proactrec.distributed.planning import NO_ITEM, NOBODY, Planning
from proactrec.distributed.plans import plan
from proactrec.distributed.processes import Processes
from proactrec.distributed.running import Done, Part, Runner, Work, here
from proactrec.errors import ArtefactError, InvalidInputError, UnknownIdError
from proactrec.guidance.past import checked_journeys
from proactrec.guidance.saved import open_guide
from proactrec.guidance.tomorrow import People, next_items

from ..guidance.fitted import changed_json
from .conftest import TARGETS, Shop, contents, rows_of

SIZE = 10


def backwards(work: Work, parts: Iterable[Part]) -> Iterator[Done]:
    """Whoever is done first may be the last."""
    return reversed(list(here(work, parts)))


def nobody(work: Work, parts: Iterable[Part]) -> Iterator[Done]:
    """There is nothing left to do."""
    assert list(parts) == []
    return iter(())


def stopped_after(n: int) -> Runner:
    """Ends in the middle."""

    def run(work: Work, parts: Iterable[Part]) -> Iterator[Done]:
        for number, done in enumerate(here(work, parts)):
            if number == n:
                raise KeyboardInterrupt
            yield done

    return run


def asked(shop: Shop, guide: Path) -> tuple[People, pl.DataFrame]:
    """Everybody as `next` sees them, in the order of the table, and their rounds."""
    saved = open_guide(guide)
    user_ids = pl.read_parquet(shop.after / "*.parquet")["user_id"]
    people = People.of(saved, pl.read_parquet(shop.events), user_ids.to_list())
    rounds, left = checked_journeys(
        pl.read_parquet(shop.shown), people.index, saved.guide.items.index
    )
    assert left == []
    return people, rounds


class TestRows:
    def test_they_are_those_of_next(self, planned_shop: Shop, tmp_path: Path) -> None:
        people, rounds = asked(planned_shop, planned_shop.guide)
        wanted = Planning(planned_shop.guide, TARGETS, n_rounds=6)
        summary = plan(wanted, planned_shop.after, tmp_path)
        table = next_items(people, people.journeys(rounds, TARGETS, 6))
        assert_frame_equal(rows_of(tmp_path), table, check_exact=True)
        assert table["round"].n_unique() > 1
        assert summary["guided"] == table["guided"].sum()
        assert summary["nothing"] == table["item_id"].null_count()
        assert summary["guided"] + summary["plain"] + summary["nothing"] == summary["rows"]
        assert (summary["rows"], summary["problems"]) == (table.height, {})

    def test_a_category_is_planned_for_too(self, planned_shop: Shop, tmp_path: Path) -> None:
        people, rounds = asked(planned_shop, planned_shop.guide)
        plan(Planning(planned_shop.guide, category="war"), planned_shop.after, tmp_path)
        table = next_items(people, people.journeys_in(rounds, "war"))
        assert_frame_equal(rows_of(tmp_path), table, check_exact=True)

    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_they_are_the_same_in_shards_of_any_size(
        self, planned_shop: Shop, tmp_path: Path, size: int
    ) -> None:
        wanted = Planning(planned_shop.guide, TARGETS[:1])
        for n, name in ((size, "these"), (SIZE, "others")):
            plan(wanted, planned_shop.after, tmp_path / name, shard_size=n)
        found = rows_of(tmp_path / "these")
        assert_frame_equal(found, rows_of(tmp_path / "others"), abs_tol=1e-5)
        assert len(list((tmp_path / "these").glob("*.parquet"))) == -(-found.height // size)

    def test_what_cannot_be_used_is_counted(self, planned_shop: Shop, tmp_path: Path) -> None:
        """A shard of users of whom nothing is known is an empty file."""
        rows = [("u00", ["i01", "new"]), ("x", ["new"]), ("y", []), ("z", None)]
        lists = {"user_id": pl.String, "item_ids": pl.List(pl.String)}
        pl.DataFrame(rows, lists, orient="row").write_parquet(tmp_path / "users.parquet")
        wanted, out = Planning(planned_shop.guide, TARGETS), tmp_path / "out"
        summary = plan(wanted, tmp_path / "users.parquet", out, shard_size=2)
        assert summary["problems"] == {NO_ITEM: 2, NOBODY: 3}
        assert summary == json.loads((out / "summary.json").read_text())
        heights = [pl.read_parquet(path).height for path in sorted(out.glob("*.parquet"))]
        assert heights == [2, 0, 0, 0]
        assert rows_of(out)["user_id"].to_list() == ["u00", "u00"]

    def test_who_opted_out_is_not_guided(self, planned_shop: Shop, tmp_path: Path) -> None:
        wanted, tables = Planning(planned_shop.guide, TARGETS), []
        for out in (frozenset[str](), frozenset({"u00", "v0007", "somebody else"})):
            folder = tmp_path / str(len(out))
            plan(replace(wanted, opted_out=out), planned_shop.before, folder, shard_size=SIZE)
            tables.append(rows_of(folder))
        were, are = (table.filter("guided") for table in tables)
        changed = were.join(are, ["user_id", "target_id"], "anti")
        assert set(changed["user_id"]) == {"u00", "v0007"}
        assert set(tables[1].filter(reason="opted_out")["user_id"]) == {"u00", "v0007"}


class TestSameFiles:
    @pytest.mark.parametrize("run", [Processes(2), backwards], ids=["processes", "backwards"])
    def test_whoever_does_it(self, planned_shop: Shop, tmp_path: Path, run: Runner) -> None:
        wanted = Planning(planned_shop.guide, category="drama", opted_out=frozenset({"u03"}))
        for how, name in ((here, "here"), (run, "there")):
            plan(wanted, planned_shop.after, tmp_path / name, shard_size=SIZE, run=how)
        found = contents(tmp_path / "here")
        assert contents(tmp_path / "there") == found
        assert found.keys() == {f"{n:06}.parquet" for n in range(7)} | {"plan.json", "summary.json"}

    def test_stopped_in_the_middle_it_goes_on(self, planned_shop: Shop, tmp_path: Path) -> None:
        wanted, out = Planning(planned_shop.guide, TARGETS), tmp_path / "out"
        plan(wanted, planned_shop.after, tmp_path / "whole", shard_size=SIZE)
        with pytest.raises(KeyboardInterrupt):
            plan(wanted, planned_shop.after, out, shard_size=SIZE, run=stopped_after(3))
        first = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
        assert (len(first), (out / "summary.json").exists()) == (3, False)
        for name in (".000003.parquet.123", ".summary.json.123"):
            (out / name).write_text("left half written by a kill")
        plan(wanted, planned_shop.after, out, shard_size=SIZE, run=backwards)
        assert contents(out) == contents(tmp_path / "whole")
        assert {path: path.stat().st_mtime_ns for path in first} == first
        plan(wanted, planned_shop.after, out, shard_size=SIZE, run=nobody)
        assert contents(out) == contents(tmp_path / "whole")

    def test_a_plan_with_a_missing_file_is_not_whole(
        self, planned_shop: Shop, tmp_path: Path
    ) -> None:
        wanted = Planning(planned_shop.guide, TARGETS)
        plan(wanted, planned_shop.before, tmp_path, shard_size=SIZE)
        whole = contents(tmp_path)
        (tmp_path / "000002.parquet").unlink()
        with pytest.raises(KeyboardInterrupt):
            plan(wanted, planned_shop.before, tmp_path, shard_size=SIZE, run=stopped_after(0))
        assert not (tmp_path / "summary.json").exists()
        plan(wanted, planned_shop.before, tmp_path, shard_size=SIZE)
        assert contents(tmp_path) == whole


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"target_ids": TARGETS[:1]}, "target_ids"),
            ({"n_rounds": 5}, "n_rounds"),
            ({"seed": 5}, "seed"),
            ({"opted_out": frozenset({"u01"})}, "opted_out"),
        ],
    )
    def test_another_plan_in_its_place(
        self, planned_shop: Shop, tmp_path: Path, changes: dict[str, object], name: str
    ) -> None:
        wanted = Planning(planned_shop.guide, TARGETS)
        plan(wanted, planned_shop.before, tmp_path)
        was = contents(tmp_path)
        with pytest.raises(InvalidInputError, match=f"begun otherwise: {name} was"):
            plan(replace(wanted, **changes), planned_shop.before, tmp_path)
        assert contents(tmp_path) == was

    def test_another_guide_other_users_and_other_shards(
        self, planned_shop: Shop, tmp_path: Path
    ) -> None:
        wanted, out = Planning(planned_shop.guide, TARGETS), tmp_path / "out"
        plan(wanted, planned_shop.before, out)
        other = planned_shop.with_rails(tmp_path / "guide", plain_share=0.5)
        for changed, users, size, name in (
            (Planning(other, TARGETS), planned_shop.before, 10_000, "guide"),
            (wanted, planned_shop.after, 10_000, "users"),
            (wanted, planned_shop.before, 99, "shard_size"),
        ):
            with pytest.raises(InvalidInputError, match=f"begun otherwise: {name} was"):
                plan(changed, users, out, shard_size=size)

    def test_what_no_guide_can_do_before_anything_is_written(
        self, planned_shop: Shop, tmp_path: Path
    ) -> None:
        guide, out = planned_shop.guide, tmp_path / "out"
        protected = planned_shop.with_rails(tmp_path / "guide", protected_categories=["Drama"])
        few = planned_shop.with_rails(tmp_path / "few", guided_pairs=0.5)
        for wanted, kind, message in (
            (Planning(guide), InvalidInputError, "needs targets or a category"),
            (Planning(guide, TARGETS, "drama"), InvalidInputError, "needs targets or a category"),
            (Planning(guide, ("i10", "new")), UnknownIdError, "does not know the target 'new'"),
            (Planning(guide, category="opera"), UnknownIdError, "category 'opera' does not exist"),
            (Planning(protected, category="drama"), InvalidInputError, "protected_categories"),
            (Planning(few, TARGETS), InvalidInputError, "guided_pairs chooses among all"),
        ):
            with pytest.raises(kind, match=message):
                plan(wanted, planned_shop.before, out)
        with pytest.raises(InvalidInputError, match="shard_size must be at least 1, got 0"):
            plan(Planning(guide, TARGETS), planned_shop.before, out, shard_size=0)
        assert not out.exists()

    def test_a_folder_that_holds_something_else(self, planned_shop: Shop, tmp_path: Path) -> None:
        (tmp_path / "mine").touch()
        with pytest.raises(InvalidInputError, match="is not empty and holds no plan"):
            plan(Planning(planned_shop.guide, TARGETS), planned_shop.before, tmp_path)

    def test_workers_with_other_versions(self, planned_shop: Shop, tmp_path: Path) -> None:
        wanted = Planning(planned_shop.guide, TARGETS, made_by={"proactrec": "0.0.1"})
        with pytest.raises(ArtefactError, match="a worker has other versions"):
            plan(wanted, planned_shop.before, tmp_path)

    def test_rows_that_break_a_rule_in_a_process(self, planned_shop: Shop, tmp_path: Path) -> None:
        """What is wrong with a guide is said as it is said here."""
        broken = planned_shop.with_rails(tmp_path / "guide", plain_share=0.5)
        changed_json(broken / "guide.json", policy_version=99)
        with pytest.raises(ArtefactError, match="is not the one of guide"):
            plan(Planning(broken, TARGETS), planned_shop.before, tmp_path / "o", run=Processes(1))


class TestRailsThatCountUsers:
    """They are kept by one process, shard by shard."""

    CAPS = ({"item_cap_per_round": 2}, {"item_cap_total": 7})

    @pytest.fixture(params=CAPS, ids=["per round", "total"])
    def railed(self, request: pytest.FixtureRequest, planned_shop: Shop, tmp_path: Path) -> Path:
        return planned_shop.with_rails(tmp_path / "guide", **request.param)

    def test_whoever_does_it(self, railed: Path, planned_shop: Shop, tmp_path: Path) -> None:
        wanted = Planning(railed, TARGETS)
        for how, name in ((here, "here"), (Processes(2), "processes")):
            plan(wanted, planned_shop.after, tmp_path / name, shard_size=SIZE, run=how)
        whole = contents(tmp_path / "here")
        assert contents(tmp_path / "processes") == whole
        for name in ("000003.parquet", "000005.parquet"):
            (tmp_path / "here" / name).unlink()
        plan(wanted, planned_shop.after, tmp_path / "here", shard_size=SIZE)
        assert contents(tmp_path / "here") == whole

    def test_in_one_shard_they_grant_what_next_grants(
        self, railed: Path, planned_shop: Shop, tmp_path: Path
    ) -> None:
        people, rounds = asked(planned_shop, railed)
        plan(Planning(railed, TARGETS), planned_shop.after, tmp_path / "out")
        table = next_items(people, people.journeys(rounds, TARGETS))
        assert_frame_equal(rows_of(tmp_path / "out"), table, check_exact=True)

    def test_no_item_is_given_more_often_than_there_are_places(
        self, planned_shop: Shop, tmp_path: Path
    ) -> None:
        """And in shards as many get one as all together: what is left is given."""

        def taken(cap: dict[str, int], size: int) -> pl.DataFrame:
            name = "-".join([*cap, str(size)])
            guide = planned_shop.with_rails(tmp_path / f"guide-{name}", **cap)
            plan(Planning(guide, TARGETS), planned_shop.after, tmp_path / name, shard_size=size)
            return rows_of(tmp_path / name).filter("guided")["item_id"].value_counts(sort=True)

        shown = pl.read_parquet(planned_shop.shown).filter(pl.col("guided"))
        before = dict(shown["item_id"].value_counts().iter_rows())
        for size in (SIZE, 1000):
            now = dict(taken({"item_cap_per_round": 2}, size).iter_rows())
            assert max(now.values()) == 2
            now = dict(taken({"item_cap_total": 7}, size).iter_rows())
            assert all(n + before.get(item, 0) <= 7 for item, n in now.items())
            assert max(n + before.get(item, 0) for item, n in now.items()) == 7

    def test_who_stands_first_in_the_table_goes_first(
        self, planned_shop: Shop, tmp_path: Path
    ) -> None:
        guide = planned_shop.with_rails(tmp_path / "guide", item_cap_total=1)
        free = planned_shop.with_rails(tmp_path / "free")
        for folder, name in ((guide, "scarce"), (free, "free-for-all")):
            wanted = Planning(folder, TARGETS[:1])
            plan(wanted, planned_shop.before, tmp_path / name, shard_size=1)
        wished, got = rows_of(tmp_path / "free-for-all"), rows_of(tmp_path / "scarce")
        first = wished.filter("guided").unique("item_id", keep="first", maintain_order=True)[0]
        same = got.filter(user_id=first["user_id"][0])
        assert same["item_id"].to_list() == first["item_id"].to_list()
        assert same["guided"].to_list() == [True]
        assert got.filter("guided")["item_id"].is_duplicated().sum() == 0


def test_a_daily_cap_is_of_a_user_and_needs_no_order(planned_shop: Shop, tmp_path: Path) -> None:
    guide = planned_shop.with_rails(tmp_path / "guide", daily_cap=1, rounds_per_day=5)
    people, rounds = asked(planned_shop, guide)
    wanted = Planning(guide, TARGETS)
    plan(wanted, planned_shop.after, tmp_path / "out", shard_size=SIZE, run=backwards)
    together = next_items(people, people.journeys(rounds, TARGETS))
    found = rows_of(tmp_path / "out").sort("target_id", "user_id")
    assert_frame_equal(found, together.sort("target_id", "user_id"), abs_tol=1e-5)
    assert (found["reason"] == "daily_cap").any()


def test_progress_goes_on_from_what_is_there(planned_shop: Shop, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        told.append((stage, done, total))

    wanted = Planning(planned_shop.guide, TARGETS[:1])
    with pytest.raises(KeyboardInterrupt):
        plan(wanted, planned_shop.before, tmp_path, shard_size=30, run=stopped_after(1))
    plan(wanted, planned_shop.before, tmp_path, shard_size=30, progress=progress)
    assert told == [("plan", 1, 3), ("plan", 2, 3), ("plan", 3, 3)]


def test_only_what_nobody_writes_any_more_is_swept_away(tmp_path: Path) -> None:
    alive, gone = (tmp_path / f".000000.parquet.{pid}" for pid in (os.getppid(), 2**22 + 1))
    for partial in (alive, gone):
        partial.touch()
    Output(tmp_path, "plan").finish({})
    assert (alive.exists(), gone.exists()) == (True, False)
