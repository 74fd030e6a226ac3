"""Simulations in shards: the log of one process, in files that are the same however they came."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from proactrec.distributed.processes import Processes
from proactrec.distributed.running import Done, Part, Work, here
from proactrec.distributed.simulations import simulate
from proactrec.errors import DataError, InvalidInputError, UnknownIdError
from proactrec.guidance.log import GuidanceLog

from ..e2e.conftest import Command, Toy
from .conftest import Small, tree
from .test_plans import backwards, nobody, stopped_after

LEAVING = {"protocol.world.leaving": 0.2, "rails.plain_share": 0.3}
"""Users leave, and rails make rounds plain: the log has columns of its own for both."""


def rows_of(out: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(out / table / "*.parquet")


@pytest.mark.parametrize("changes", [{}, LEAVING, {"policy": "nearest-to-target"}])
def test_steps_are_the_log_of_one_process(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr("proactrec.guidance.guide.BLOCK_SCORES", 7 * 41)
    monkeypatch.setattr("proactrec.guidance.guide.BLOCK_USERS", 1)
    experiment = small.experiment(changes)
    log, out = experiment.log, tmp_path / "out"
    summary = simulate(experiment, out, shard_size=20)
    heights = [pl.read_parquet(path).height for path in sorted((out / "outcomes").iterdir())]
    assert set(heights[:-1]) == {14}, "two blocks"
    steps, whole = rows_of(out, "steps"), log.to_table()
    assert_frame_equal(steps.select(whole.columns), whole, check_exact=True)
    assert_frame_equal(GuidanceLog.from_table(steps).to_table(), whole, check_exact=True)
    assert {"guided", "left_after"} <= set(steps.columns)
    assert summary["journeys"] == len(log.user_idx)
    assert summary["targets_accepted"] == log.reached.sum()
    assert summary["left"] == log.has_left.sum()
    assert summary["guided"] == log.guided.sum() <= summary["shown"]
    gain = (log.interest[:, -1] - log.interest[:, 0]).mean()
    assert summary["interest_gain"] == pytest.approx(gain, abs=1e-6)
    counted = small.experiment(changes).result().policy_notes.get("rails", {})
    assert summary["rails"] == counted


def test_outcomes_are_those_of_the_steps(small: Small, tmp_path: Path) -> None:
    simulate(small.experiment(LEAVING), tmp_path, shard_size=20)
    steps, found = rows_of(tmp_path, "steps"), rows_of(tmp_path, "outcomes")
    ids = small.experiment().dataset
    by_journey = steps.group_by("user_idx", "target_idx", maintain_order=True)
    is_target = pl.col("accepted") & (pl.col("item_idx") == pl.col("target_idx"))
    wanted = by_journey.agg(
        shown=(pl.col("item_idx") > 0).sum().cast(pl.Int32),
        guided=pl.col("guided").sum().cast(pl.Int32),
        accepted=pl.col("accepted").sum().cast(pl.Int32),
        target_round=pl.col("round").filter(is_target).first(),
        left_after=pl.col("left_after").first().replace(0, None),
        interest_before=pl.col("interest").first(),
        interest_after=pl.col("interest").last(),
        rank_before=pl.col("rank").first(),
        rank_after=pl.col("rank").last(),
        is_counted=pl.col("is_counted").first(),
    ).select(
        pl.col("user_idx").map_elements(lambda row: ids.user_ids[row], pl.String).alias("user_id"),
        pl.col("target_idx")
        .map_elements(lambda item: ids.item_ids[item - 1], pl.String)
        .alias("target_id"),
        *found.columns[2:],
    )
    assert_frame_equal(found, wanted, check_exact=True)
    assert found["target_round"].null_count() < found.height
    assert found["left_after"].null_count() < found.height


def test_whoever_does_it(small: Small, tmp_path: Path) -> None:
    for name, how in (("here", here), ("two", Processes(2)), ("backwards", backwards)):
        simulate(small.experiment(), tmp_path / name, shard_size=20, run=how)
    whole = tree(tmp_path / "here")
    assert tree(tmp_path / "two") == whole
    assert tree(tmp_path / "backwards") == whole
    assert {"simulation.json", "summary.json", "steps/000001.parquet"} <= whole.keys()


def test_stopped_in_the_middle_it_goes_on(small: Small, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        told.append((stage, done, total))

    out = tmp_path / "out"
    simulate(small.experiment(), tmp_path / "whole", shard_size=20)
    with pytest.raises(KeyboardInterrupt):
        simulate(small.experiment(), out, shard_size=20, run=stopped_after(2))
    assert not (out / "summary.json").exists()
    (out / "outcomes" / "000001.parquet").unlink()  # its steps are there
    (out / "steps" / ".000002.parquet.123").write_text("left half written by a kill")
    first = out / "steps" / "000000.parquet"
    when = first.stat().st_mtime_ns
    simulate(small.experiment(), out, shard_size=20, run=backwards, progress=progress)
    assert tree(out) == tree(tmp_path / "whole")
    assert first.stat().st_mtime_ns == when
    assert told[0][:2] == ("simulation", 1)
    simulate(small.experiment(), out, shard_size=20, run=nobody)
    with pytest.raises(InvalidInputError, match="was begun otherwise: settings was"):
        simulate(small.experiment({"seed": 1}), out, shard_size=20)


def test_users_of_a_table_are_simulated_in_its_order(small: Small, tmp_path: Path) -> None:
    table = tmp_path / "users.parquet"
    simulate(small.experiment(), tmp_path / "all")
    whole = rows_of(tmp_path / "all", "outcomes")
    asked = whole["user_id"].unique(maintain_order=True)[[7, 3]].to_list()
    pl.DataFrame({"user_id": asked}).write_parquet(table)
    simulate(small.experiment(), tmp_path / "out", users=table)
    found = rows_of(tmp_path / "out", "outcomes")
    assert found["user_id"].unique(maintain_order=True).to_list() == asked
    same = found.join(whole, ["user_id", "target_id"], "left", suffix="_whole")
    for name in ("shown", "accepted", "rank_after"):
        assert same[name].to_list() == same[f"{name}_whole"].to_list()
    for ids, kind, sentence in (
        (["nobody"], UnknownIdError, "1 of 1 users are not in csv, first 'nobody'"),
        ([asked[0]] * 2, DataError, "2 of 2 rows break this"),
        ([None, asked[0]], DataError, "1 of 2 rows break this"),
    ):
        pl.DataFrame({"user_id": ids}).write_parquet(table)
        with pytest.raises(kind, match=sentence):
            simulate(small.experiment(), tmp_path / "other", users=table)
    pl.DataFrame({"id": ["a"]}).write_parquet(table)
    with pytest.raises(DataError, match="must have the column user_id"):
        simulate(small.experiment(), tmp_path / "other", users=table)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"policy": "foresight"}, "policy foresight, which learns from everybody's answers"),
        ({"rails.item_cap_total": 5}, r"rails that count them together \(item_cap_total\)"),
        ({"response": {"kind": "llm", "model": "x"}}, "journeys that ask a language model"),
    ],
)
def test_journeys_that_bear_on_each_other_are_refused_before_training(
    small: Small, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    experiment = small.experiment(changes, tmp_path / "store")
    with pytest.raises(InvalidInputError, match=sentence):
        simulate(experiment, tmp_path / "out")
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "out").exists()


def test_a_shard_holds_at_least_a_journey(small: Small, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="shard_size must be at least 1, got 0"):
        simulate(small.experiment(), tmp_path, shard_size=0)


def test_models_are_trained_by_who_asks_only(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers have only what is sent along: neither raw files nor the store."""

    def elsewhere(work: Work, parts: Iterable[Part]) -> Iterator[Done]:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("read or trained by a worker")

        for name in ("load", "fit_encoder", "fit_graphau"):
            monkeypatch.setattr(f"proactrec.fitting.models.{name}", refuse)
        for path in work.files:
            copy = tmp_path / "sent" / path.relative_to(work.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        do = work.opened(tmp_path / "sent")
        for part in parts:
            assert part is not None
            yield part[0], do(part[1])

    official = {"protocol.targets.space": "encoder", "protocol.world.noise": "per_target"}
    changes = {**official, "hidden": "other-seed"}
    simulate(small.experiment(changes), tmp_path / "here", shard_size=20)
    simulate(small.experiment(changes), tmp_path / "there", shard_size=20, run=elsewhere)
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def test_the_command(toy: Toy, copied: Path, here: Command) -> None:
    asked = ["simulate", *toy.run[1:], "--policy", "itmprec", "--out", copied]
    shards = ["--shard-size", "20", "--processes", "2", "--json"]
    outcome = here(*asked, *shards)
    assert (outcome.code, outcome.errors) == (0, []), outcome.stderr
    out, summary = copied / "simulation", json.loads(outcome.stdout)
    assert summary == json.loads((out / "summary.json").read_text())
    assert f"simulation {summary['files']}/{summary['files']}" in outcome.stderr
    about = json.loads(here(*asked, "--json").stdout)
    assert about["n_pairs"] == summary["journeys"]
    assert about["n_accepted"] == pytest.approx(summary["accepted"], abs=2)
    outcome = here(*asked, "--processes", "2", "--ray", "local")
    assert "give --processes or --ray, not both" in outcome.errors[0]
    outcome = here(*asked, "--policy", "foresight", "--shard-size", "5")
    assert (outcome.code, len(outcome.errors)) == (2, 1)
    assert "simulate them in one process" in outcome.errors[0]
