"""The study of laws: cells that are kept and not played again, their table, and even trials."""

import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proactrec.data.load import DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.evaluation.benchmark.grid import Cell, grid
from proactrec.evaluation.benchmark.suites import RIVALS
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.guidance.log import GuidanceLog
from proactrec.policies.foresight import ForesightOptions
from proactrec.policies.registry import policy_type
from proactrec.simulator.worlds import WORLDS

METHODS: dict[str, dict[str, Any]] = {
    "ITMPRec": {"policy": "itmprec"},
    "nearest-to-target": {"policy": "nearest-to-target"},
    "oracle-lookahead": {"policy": "oracle-lookahead"},
}
SMALL: dict[str, Any] = {
    "target_items": ("1", "2"),
    "encoder_options": {"embedding_dim": 8, "max_seq_len": 8, "stopping": {"n_epochs": 1}},
    "graphau.embedding_dim": 8,
    "graphau.stopping.n_epochs": 1,
    "protocol.intents.n_intents": 3,
}


@pytest.fixture
def arguments(tmp_path: Path) -> Namespace:
    return Namespace(
        folder=tmp_path,
        only_finished=False,
        data_dir=None,
        dataset="csv",
        users=25,
        targets=2,
    )


@pytest.fixture
def kept(arguments: Namespace, tmp_path: Path) -> Any:
    """Cells of 30 users and 20 items; everything as short as can be."""
    from shared.kept import Kept

    path = tmp_path / "events.csv"
    steps = [(user, step) for user in range(30) for step in range(4 + user % 5)]
    lines = [f"{user},{(user * 7 + step * 3) % 20},{step}" for user, step in steps]
    path.write_text("user_id,item_id,timestamp\n" + "\n".join(dict.fromkeys(lines)) + "\n")
    found = Kept(arguments)
    data = DatasetOptions(name="csv", filter="none", table=TableOptions(events=path))
    found.base = found.base.model_copy(update={"dataset": data}).changed(SMALL)
    return found


def cells_of(kept: Any, seeds: tuple[int, ...] = (0,)) -> list[Cell]:
    return grid([kept.base], METHODS, (), seeds, named_worlds=["reactance-v1"])


def test_a_cell_is_played_once_and_kept_as_its_logs_sums(kept: Any, arguments: Namespace) -> None:
    from shared.kept import Kept, means_of

    cell = cells_of(kept)[0]
    assert kept.of(cell) is None
    found = kept.played(cell)
    log = GuidanceLog.load(Path(found["log"]))
    gained = log.interest[:, 20] - log.interest[:, 0]
    assert means_of(found)["ioi@20"] == pytest.approx(gained.mean(), abs=1e-6)
    assert means_of(found)["hr@5"] == pytest.approx(
        log.accepted[:, :5].sum() / log.is_shown[:, :5].sum()
    )
    assert np.all(np.diff(found["user_idx"]) > 0)
    shutil.rmtree(arguments.folder / "store")  # a killed study goes on without playing it again
    later = Kept(Namespace(**{**vars(arguments), "only_finished": True}))
    assert later.played(cell) == found
    other = cell._replace(options=cell.options.changed({"protocol.world.laws.reactance": 0.2}))
    assert later.played(other) is None, "other settings are another cell"


def test_the_table_compares_what_was_played(kept: Any) -> None:
    from laws_parts.page import body_of, content_of
    from shared.kept import means_of

    cells = cells_of(kept, (0, 1))
    for cell in cells[:-1]:  # the oracle's second seed is missing
        assert kept.played(cell) is not None
    content = content_of(cells, kept)
    assert content["missing"] == [cells[-1].text]
    rows = {row["method"]: row for row in content["rows"]}
    oracle, beside = rows["oracle-lookahead"], rows["ITMPRec"]
    assert oracle["share"] == [1.0]
    first = {m: means_of(kept.of(c))["ioi@20"] for m, c in zip(METHODS, cells[::2], strict=True)}
    assert beside["share"] == pytest.approx([first["ITMPRec"] / first["oracle-lookahead"]])
    assert "less" not in beside
    mean, low, high, _ = oracle["less"]["ioi@20"]
    assert mean == pytest.approx(first["oracle-lookahead"] - first["ITMPRec"])
    assert low <= mean <= high
    body = body_of(content)
    assert "## reactance-v1" in body
    assert all(f"| {method} |" in body for method in METHODS)


def test_a_planner_is_told_what_moves_users_and_only_what_it_can_be_told() -> None:
    from laws_parts.told import told_in

    paper = {"kept": 0.8, "returning": 0.0, "refusal": 0.0, "diminishing": 0.0}
    for world, own in {
        "medium-v2": {},
        "reactance-v1": {"refusal": -0.1},
        "exposure-v1": {"refusal": 0.05},
        "returning-v1": {"returning": 0.1},
        "weak-receptivity-v1": {"kept": 0.95},
        "appeal-v1": {"appeal": 1.0},
        "users-differ-v1": {"bias": 1.0},
        "lapses-v1": {},
    }.items():
        told = told_in(WORLDS[world].options)["policy_options.told"]
        assert told == {**paper, **own}
        options = ForesightOptions(laws=tuple(told), told=told)
        assert {name: getattr(options.law, name) for name in told} == told


def test_trials_are_the_defaults_and_others_each_once() -> None:
    from tuned_policies import SPACES, drawn

    for name, space in SPACES.items():
        found = drawn(space, 16, seed=3)
        assert found[0] == {option: values[0] for option, values in space.items()}
        assert len({str(one) for one in found}) == len(found) == (8 if name == "IPG" else 16)
        assert found == drawn(space, 16, seed=3)
        assert found[1:] != drawn(space, 16, seed=4)[1:]


def test_the_first_choice_of_every_option_is_its_default() -> None:
    """So that the first trial of a policy is the policy as it comes."""
    from tuned_policies import SPACES

    for name, space in SPACES.items():
        plain = ExperimentOptions().changed(RIVALS[name])
        first = plain.changed({option: values[0] for option, values in space.items()})
        assert first.protocol == plain.protocol
        kind = policy_type(plain.policy).options_type
        given = plain.protocol.policy_defaults(kind)
        one, other = (kind(**{**given, **options.policy_options}) for options in (plain, first))
        assert one == other
