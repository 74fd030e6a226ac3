"""The grid: cells once each, the same figures side by side as one by one, resumed after a kill."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from proactrec.data.load import DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.distributed.grids import by
from proactrec.distributed.processes import Processes
from proactrec.errors import DataError, InvalidInputError, ProactrecError, UnknownIdError
from proactrec.evaluation.benchmark.figures import figures_table
from proactrec.evaluation.benchmark.grid import Cell, grid
from proactrec.evaluation.benchmark.run import run
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.comparison import compare_in, compared_logs
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import protocol_of
from proactrec.graphau import GraphAUOptions
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.bootstrap import Estimate
from proactrec.measurement.results import CELLS, CellResult
from proactrec.policies.irn import IRNPolicyOptions

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_policy.py"
METHODS = {
    "next": {"policy": "next-item", "encoder": "sasrec"},
    "ITMPRec": {},
    "oracle-lookahead": {"policy": "oracle-lookahead"},
    "mine": {"policy": str(EXAMPLE)},
}
WORLDS: tuple[dict[str, Any], ...] = (
    {},
    {"protocol.world.world": "steep", "protocol.world.receptivity": "per-user"},
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ExperimentOptions:
    """30 users, 20 items; everything as short as can be."""
    path = tmp_path_factory.mktemp("own") / "events.csv"
    lines = [
        f"{user},{(user * 7 + step * 3) % 20},{step}"
        for user in range(30)
        for step in range(4 + user % 5)
    ]
    path.write_text("user_id,item_id,timestamp\n" + "\n".join(dict.fromkeys(lines)) + "\n")
    once = {"n_epochs": 1}
    common = protocol_of("common")
    return ExperimentOptions(
        dataset=DatasetOptions(name="csv", filter="none", table=TableOptions(events=path)),
        target_items=("1", "2"),
        encoder_options={"embedding_dim": 8, "max_seq_len": 8, "stopping": once},
        graphau=GraphAUOptions(embedding_dim=8, stopping=once),
        protocol=common.model_copy(
            update={"intents": common.intents.model_copy(update={"n_intents": 3})}
        ),
    ).changed({"protocol.rollout.n_rounds": 4, "protocol.metrics.rounds": (2, 4)})


@pytest.fixture(scope="module")
def cells(base: ExperimentOptions) -> list[Cell]:
    return grid([base], METHODS, WORLDS, seeds=(0, 1))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def results(cells: list[Cell], store: Path) -> list[CellResult]:
    return run(cells, Workshop(store))


def test_grid_is_every_method_in_every_world_with_every_seed(cells: list[Cell]) -> None:
    assert len(cells) == len({cell.name for cell in cells}) == 4 * 2 * 2
    assert {cell.world for cell in cells} == {"medium", "steep, per-user"}
    with pytest.raises(InvalidInputError, match="differ"):
        grid([cells[0].options], METHODS, seeds=(0, 0))
    with pytest.raises(InvalidInputError, match="needs methods"):
        grid([], METHODS)


def test_named_worlds_stand_beside_the_others_under_their_names(cells: list[Cell]) -> None:
    named = ("bored-v1", "medium-v1")
    found = grid([cells[0].options], {"mine": {}}, [{}], named_worlds=named)
    assert [cell.world for cell in found] == ["medium", *named]
    assert found[1].options.protocol.world.boredom == 2
    assert found[2].options == found[0].options
    assert grid([cells[0].options], {"mine": {}}, [], named_worlds=named) == found[1:]
    with pytest.raises(UnknownIdError, match="named world 'x' does not exist"):
        grid([cells[0].options], {"mine": {}}, named_worlds=["x"])


def test_side_by_side_gives_what_one_by_one_gives(
    cells: list[Cell], results: list[CellResult], tmp_path: Path
) -> None:
    told: list[str] = []
    seen: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        seen.append((stage, done, total))

    again = run(
        cells,
        Workshop(tmp_path, how=by(Processes(2))),
        progress=progress,
        finished=lambda cell, result: told.append(cell.method),
    )
    assert [r.metrics for r in again] == [r.metrics for r in results]
    assert [r.curves for r in again] == [r.curves for r in results]
    assert sorted(told) == sorted(cell.method for cell in cells)
    assert ("interest vectors", 2, 2) in seen  # once for a seed
    assert ("encoders", 4, 4) in seen
    assert seen[-1] == ("guidance", 16, 16)


def test_a_cell_waits_for_its_own_encoder_only(base: ExperimentOptions, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        seen.append((stage, done))

    long = {"n_epochs": 250, "patience": 250}
    methods = {
        "slow": {"policy": "next-item", "encoder_options.stopping": long},
        "quick": {"policy": "next-item", "encoder": "sasrec"},
    }
    run(grid([base], methods), Workshop(tmp_path, how=by(Processes(2))), progress=progress)
    assert seen.index(("guidance", 1)) < seen.index(("encoders", 2))


def test_a_finished_cell_is_never_computed_again(
    cells: list[Cell], results: list[CellResult], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("computed again")

    for name in (
        "evaluation.experiment.rollout",
        "evaluation.experiment.evaluate",
        "fitting.models.fit_encoder",
        "fitting.models.fit_graphau",
    ):
        monkeypatch.setattr(f"proactrec.{name}", refuse)
    assert [r.metrics for r in run(cells, Workshop(store))] == [r.metrics for r in results]


def cell_that(does: str, name: str, cells: list[Cell], folder: Path) -> Cell:
    """A cell whose policy, the example, does something else before it decides."""
    text, path = EXAMPLE.read_text(), folder / f"{name}.py"
    path.write_text(text.replace("        relevance =", f"        {does}\n        relevance ="))
    return Cell(name, cells[0].options.changed({"policy": str(path)}))


def test_one_cell_that_fails_does_not_stop_the_others(
    cells: list[Cell], store: Path, results: list[CellResult], tmp_path: Path
) -> None:
    fails = 'from proactrec.errors import InvalidInputError as Wrong; raise Wrong("none such")'
    broken = cell_that(fails, "broken", cells, tmp_path)
    told: list[str] = []
    with pytest.raises(ProactrecError, match=r"1 of 3 cells failed: .*broken.*none such"):
        run(
            [cells[0], broken, cells[1]],
            Workshop(store),
            finished=lambda cell, result: told.append(cell.method),
        )
    assert told == [cells[0].method, cells[1].method]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target_items": ("none such",)}, "1 of 1 targets are not items of"),
        ({"policy_options.n_curios": 3}, "NoOptions.n_curios does not exist"),
    ],
)
def test_a_cell_that_cannot_be_is_named_before_anything_is_trained(
    changes: dict[str, Any], sentence: str, cells: list[Cell], tmp_path: Path
) -> None:
    wrong = Cell("wrong", cells[0].options.changed(changes))
    with pytest.raises(ProactrecError, match=f"^csv common medium wrong 0: .*{sentence}"):
        run([*cells, wrong], Workshop(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_what_a_killed_worker_had_is_done_again(cells: list[Cell], tmp_path: Path) -> None:
    once = f"import os, pathlib; mark = pathlib.Path({str(tmp_path / 'killed')!r})"
    kills = f"{once}; mark.exists() or (mark.touch(), os.kill(os.getpid(), 9))"
    cell = cell_that(kills, "kills", cells, tmp_path)
    (result,) = run([cell], Workshop(tmp_path / "store", how=by(Processes(2))))
    assert (tmp_path / "killed").exists()
    assert result.metrics["hr"].keys() == {2, 4}


@pytest.mark.parametrize("protocol", ["official", "common"])
def test_curves_and_shares_are_those_of_the_table(
    protocol: str, base: ExperimentOptions, tmp_path: Path
) -> None:
    """Also where owners count as 0 and figures are of the state before the last response."""
    alike = base.changed({"category": "A", "protocol": protocol_of(protocol).model_dump()})
    alike = alike.changed({"protocol.rollout.n_rounds": 4, "protocol.metrics.rounds": (2, 4)})
    cells = grid([alike], {"ITMPRec": {}, "oracle-lookahead": METHODS["oracle-lookahead"]})
    results = run(cells, Workshop(tmp_path))
    has_owners = results[0].pairs.n_owners_counted_as_zero > 0
    assert has_owners == (protocol == "official")
    for result in results:
        curve = result.curves["interest"]
        for number in (2, 4):
            ioi = result.metrics["ioi"][number].mean
            assert curve[number] - curve[0] == pytest.approx(ioi)
        by_round = result.curves["accepted"]
        assert (len(by_round), by_round[0]) == (5, 0)
        for number in (2, 4):
            assert by_round[number] == pytest.approx(result.metrics["target_accepted"][number].mean)
        waited = result.metrics["rounds_to_target"][4].mean
        assert waited == pytest.approx(sum(1 - share for share in by_round[:4]))
    accepted = figures_table(results).filter(metric="target_accepted", method="ITMPRec")
    assert accepted["round"].to_list() == [2, 4]  # the last of them once
    mine, oracle = (result.metrics["ioi"][4].mean for result in results)
    shares = figures_table(results).filter(metric="share_of_oracle", method="ITMPRec")
    assert shares["mean"].to_list() == pytest.approx([mine / oracle])


def test_all_methods_choose_their_targets_alike(base: ExperimentOptions) -> None:
    """By one encoder with one set of options, whichever they stand on themselves."""
    asked = {"target_encoder": "iclrec", "target_encoder_options": base.encoder_options}
    methods = {**METHODS, "other": {"encoder_options.embedding_dim": 4}}
    choosers = [cell.options.choosing_targets() for cell in grid([base.changed(asked)], methods)]
    assert {chooser.encoder for chooser in choosers} == {"iclrec"}
    assert all(chooser.encoder_options == base.encoder_options for chooser in choosers)


@pytest.mark.parametrize(
    ("protocol", "receptivity", "world"),
    [
        ("common", "constant", "medium"),
        ("common", "per-user", "medium, per-user"),
        ("official", "policy", "official"),
        ("official", "constant", "official, constant"),
    ],
)
def test_a_world_is_named_by_what_its_protocol_does_not_say(
    protocol: str, receptivity: str, world: str, base: ExperimentOptions
) -> None:
    options = base.model_copy(update={"protocol": protocol_of(protocol)})
    cell = Cell("x", options.changed({"protocol.world.receptivity": receptivity}))
    assert cell.world == world


def test_a_path_of_irn_is_as_long_as_the_run(base: ExperimentOptions, tmp_path: Path) -> None:
    options = base.changed({"policy": "irn", "protocol.rollout.n_rounds": 25})
    assert Experiment(options, tmp_path).fitting.policy_options(IRNPolicyOptions).n_rounds == 25


def test_training_is_no_time_of_guidance(base: ExperimentOptions, tmp_path: Path) -> None:
    """What IRN trains counts as training, also where it is used once more."""
    short = {"stopping": {"n_epochs": 1}, "embedding_dim": 8, "max_seq_len": 8, "min_piece_len": 2}
    cells = grid([base], {"IRN": {"policy": "irn", "policy_options.model": short}})
    first, again = (run(cells, Workshop(tmp_path))[0].seconds for _ in range(2))
    assert first["irn"] > 0
    assert {name: again[name] for name in first} == first
    table = figures_table(run(cells, Workshop(tmp_path)))
    training = table.filter(metric="training_seconds")["mean"].item()
    assert training == pytest.approx(first["interest"] + first["irn"])


def test_figures_are_those_of_the_cells(cells: list[Cell], results: list[CellResult]) -> None:
    table = figures_table(results)
    for cell, result in zip(cells, results, strict=True):
        own = table.filter(
            pl.col("method") == cell.method,
            pl.col("world") == cell.world,
            pl.col("seed") == cell.options.seed,
        )
        ioi = own.filter(pl.col("metric") == "ioi", pl.col("round") == 4)
        assert ioi["mean"].to_list() == [result.metrics["ioi"][4].mean]
        assert own["is_oracle"].unique().to_list() == [cell.method.startswith("oracle")]
        interest = own.filter(pl.col("metric") == "interest")
        assert interest["round"].to_list() == [0, 1, 2, 3, 4]
    shares = table.filter(pl.col("metric") == "share_of_oracle")
    oracle = shares.filter(pl.col("is_oracle"))
    assert oracle["mean"].to_list() == [1.0] * 4
    assert len(shares) == len(cells)


def logs_of(cells: list[Cell], results: list[CellResult], method: str) -> dict[int, GuidanceLog]:
    return {
        cell.options.seed: GuidanceLog.load(result.log)
        for cell, result in zip(cells, results, strict=True)
        if cell.method == method and cell.world == "medium"
    }


def test_paired_difference_is_that_of_the_means(
    cells: list[Cell], results: list[CellResult]
) -> None:
    oracle, mine = (logs_of(cells, results, name) for name in ("oracle-lookahead", "mine"))
    options = cells[0].options.protocol.metrics
    found = compared_logs(oracle, mine, options)
    assert [(d.metric, d.round) for d in found] == [
        (m, p) for m in ("hr", "ioi", "ior") for p in (2, 4)
    ]
    ioi = found[3]
    each = [
        (a.interest[:, -1] - a.interest[:, 0]) - (b.interest[:, -1] - b.interest[:, 0])
        for a, b in ((oracle[s], mine[s]) for s in (0, 1))
    ]
    assert ioi.per_seed == pytest.approx([e.mean() for e in each])
    n = [len(e) for e in each]
    pooled = sum(e.sum() for e in each) / sum(n)
    assert ioi.estimate.mean == pytest.approx(pooled)
    assert ioi.estimate.low < pooled < ioi.estimate.high
    mirrored = compared_logs(mine, oracle, options)[3]
    assert mirrored.estimate.mean == pytest.approx(-pooled)
    same = compared_logs(mine, mine, options)[3]
    assert same.estimate == Estimate(0, 0, 0)
    assert same.verdict == "no difference shown"


def test_what_was_not_run_alike_is_not_compared(
    cells: list[Cell], results: list[CellResult]
) -> None:
    mine = logs_of(cells, results, "mine")
    options = cells[0].options.protocol.metrics
    with pytest.raises(InvalidInputError, match="same seeds"):
        compared_logs(mine, {0: mine[0]}, options)
    other = cells[0].options.changed({"target_items": ("3",)})
    (result,) = run([Cell("other", other)], Workshop(results[0].log.parents[1]))
    log = GuidanceLog.load(result.log)
    with pytest.raises(InvalidInputError, match="differ in seed 0"):
        compared_logs({0: mine[0]}, {0: log}, options)
    short = {0: replace(mine[0], item_idx=mine[0].item_idx[:, :2])}
    with pytest.raises(InvalidInputError, match=r"same number of rounds, got \[2, 4\]"):
        compared_logs({0: mine[0]}, short, options)


def test_cells_without_a_log_are_not_compared(tmp_path: Path) -> None:
    cell = {"world": "medium", "dataset": "demo", "protocol": "common", "seed": 3}
    cells = {name: {**cell, "method": name} for name in ("IPG", "ITMPRec")}
    (tmp_path / CELLS).write_text(json.dumps(cells))
    with pytest.raises(DataError, match="IPG with seed 3 has no log noted"):
        compare_in(tmp_path, "IPG", "ITMPRec")
    with pytest.raises(UnknownIdError, match=r"'none' is not in .*; there are IPG, ITMPRec"):
        compare_in(tmp_path, "IPG", "none")
