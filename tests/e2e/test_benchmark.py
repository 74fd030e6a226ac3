"""`proactrec benchmark` and `compare` on the toy world, as somebody would type them."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from proactrec.cli.benchmark import _methods as methods_of

from .conftest import FAST, Command, Toy

MINE = Path(__file__).parents[2] / "examples" / "my_policy.py"
METHODS = ["ITMPRec", "nearest-to-target", "oracle-lookahead", "my-policy"]


@pytest.fixture(scope="module")
def arguments(toy: Toy) -> list[str]:
    chosen = [part for name in METHODS for part in ("--only", name)]
    return [
        "benchmark", *toy.files, "--category", "Drama", *FAST, "--also", str(MINE), *chosen,
        "--seed", "0", "--seed", "1", "--world", "medium", "--world", "steep", "--workers", "1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def done(
    arguments: list[str], here_first: Command, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("benchmark") / "out"
    outcome = here_first(*arguments, "--out", out)
    assert outcome.code == 0, outcome.stderr
    return out


def test_everything_that_was_asked_for_is_there(done: Path) -> None:
    figures = pl.read_parquet(done / "figures.parquet")
    assert figures["method"].unique(maintain_order=True).to_list() == METHODS
    assert set(figures["world"]) == {"medium", "steep"}
    assert set(figures["seed"]) == {0, 1}
    for world in ("medium", "steep"):
        text = (done / "tables" / f"csv-campaign-{world}.md").read_text()
        assert all(f"| {name} |" in text for name in METHODS)
        for kind in ("interest", "rank", "cost"):
            png = (done / "plots" / f"csv-campaign-{world}-{kind}.png").read_bytes()
            assert png.startswith(b"\x89PNG")
    assert "my-policy" in (done / "benchmark.html").read_text()
    cells = json.loads((done / "cells.json").read_text())
    assert len(cells) == 4 * 2 * 2
    assert all(Path(cell["log"]).is_absolute() for cell in cells.values())


def test_once_more_is_quick_and_gives_the_same(
    arguments: list[str], done: Path, here: Command
) -> None:
    before = (done / "figures.parquet").read_bytes()
    stages = sorted(path.name for path in (done / "artefacts").iterdir())
    outcome = here(*arguments, "--out", done, "--json")
    assert outcome.code == 0, outcome.stderr
    cells: list[dict[str, Any]] = json.loads(outcome.stdout)
    assert [cell["method"] for cell in cells[:4]] == ["ITMPRec"] * 2 + ["nearest-to-target"] * 2
    assert sorted(path.name for path in (done / "artefacts").iterdir()) == stages
    assert (done / "figures.parquet").read_bytes() == before


@pytest.mark.parametrize("protocol", ["official", "common"])
def test_figure_4_is_drawn(protocol: str, toy: Toy, here: Command, tmp_path: Path) -> None:
    arguments = ["benchmark", *toy.files, "--category", "Drama", *FAST, "--suite", "figure4"]
    outcome = here(*arguments, "--protocol", protocol, "--workers", "1", "--out", tmp_path)
    assert outcome.code == 0, outcome.stderr
    drawn = {path.name for path in (tmp_path / "plots").glob("*-by-*.png")}
    world = "official" if protocol == "official" else "medium"
    assert drawn == {f"csv-{protocol}-{world}-by-{kind}.png" for kind in ("favourites", "intents")}


def test_the_short_suite_goes_on_from_a_run_and_shows_three_policies_by_round(
    toy: Toy, here: Command, tmp_path: Path
) -> None:
    """As `make demo` does, but for the order."""
    store = tmp_path / "store"
    shared = [*toy.files, "--category", "Drama", *FAST, "--n-rounds", "10", "--store", str(store)]
    outcome = here("run", *shared, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.stderr
    before = {path.name for path in store.iterdir()}
    out = tmp_path / "benchmark"
    outcome = here("benchmark", "--suite", "short", *shared, "--workers", "1", "--out", out)
    assert outcome.code == 0, outcome.stderr
    made = [path.name.split("-")[0] for path in store.iterdir() if path.name not in before]
    assert not {"interest", "encoder", "intents"} & set(made)
    assert made.count("guidance") == 2  # those of next-item and Foresight
    shown = [line.split() for line in outcome.stdout.splitlines()]
    assert ["metric@round", "next-item", "ITMPRec", "Foresight"] in shown
    for label in ("HR@5", "HR@10", "worth@5", "worth@10"):
        assert [len(line) for line in shown if line[:1] == [label]] == [4]
    found = here("compare", "Foresight", "next-item", "--out", out)
    assert found.code == 0, found.stderr


def test_compare_says_who_is_better_in_which_world(done: Path, here: Command) -> None:
    outcome = here("compare", "oracle-lookahead", "nearest-to-target", "--out", done, "--json")
    assert outcome.code == 0, outcome.stderr
    rows = {
        (row["world"], row["metric"]): row
        for row in json.loads(outcome.stdout)
        if row["round"] == 5
    }
    figures = pl.read_parquet(done / "figures.parquet").filter(
        metric="ioi", round=5, world="medium"
    )
    seeds = [
        [figures.filter(method=name, seed=seed)["mean"].item() for seed in (0, 1)]
        for name in ("oracle-lookahead", "nearest-to-target")
    ]
    by_when = {"target_accepted", "rounds_to_target", "worth"}
    assert {metric for _, metric in rows} == {"hr", "ioi", "ior", "ior200"} | by_when
    found = rows["csv, campaign, medium", "ioi"]
    assert found["per_seed"] == pytest.approx([a - b for a, b in zip(*seeds, strict=True)])
    assert found["verdict"] == "better"
    text = here("compare", "oracle-lookahead", "nearest-to-target", "--out", done).stdout
    assert "ioi: oracle-lookahead is better than nearest-to-target in csv, campaign, medium" in text
    same = here("compare", "ITMPRec", "ITMPRec", "--out", done).stdout
    assert "ITMPRec is not shown to differ from ITMPRec in csv, campaign, medium" in same


def test_compare_in_protocols_of_different_metrics(toy: Toy, here: Command, tmp_path: Path) -> None:
    """The cut of ranks is a metric of its own where the protocol does not cut them anyway."""
    asked = ["benchmark", *toy.files, "--category", "Drama", *FAST, "--workers", "1"]
    both = ["--protocol", "official", "--protocol", "common", "--out", tmp_path]
    outcome = here(*asked, *both, "--only", "ITMPRec", "--only", "nearest-to-target")
    assert outcome.code == 0, outcome.stderr
    found = here("compare", "ITMPRec", "nearest-to-target", "--out", tmp_path)
    assert found.code == 0, found.stderr
    sentences = dict(line.split(": ", 1) for line in found.stdout.splitlines() if ": " in line)
    assert "official" in sentences["ior"]
    assert "common" in sentences["ior200"]
    assert "official" not in sentences["ior200"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (["--suite", "table5"], "suite 'table5' does not exist; there are table4, table3, figure4"),
        (["--only", "nobody"], "method 'nobody' is not among"),
        (["--only", "itmpec"], "(did you mean ITMPRec?)"),
        (["--also", "nowhere.py"], "policy file nowhere.py does not exist"),
        (["--seed", "0"], "seeds that differ"),
        (["--world", "windy"], "world"),
        (["--category", "Nope"], "csv campaign medium ITMPRec 0: category 'Nope' does not exist"),
    ],
)
def test_bad_input_is_one_sentence(
    changed: list[str], sentence: str, arguments: list[str], here: Command, tmp_path: Path
) -> None:
    outcome = here(*arguments, *changed, "--out", tmp_path)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert sentence in outcome.errors[0]
    assert "Traceback" not in outcome.stderr


def test_compare_needs_a_benchmark_and_known_methods(
    done: Path, here: Command, tmp_path: Path
) -> None:
    outcome = here("compare", "a", "b", "--out", tmp_path)
    assert (outcome.code, "holds no benchmark" in outcome.errors[0]) == (2, True)
    outcome = here("compare", "a", "ITMPRec", "--out", done)
    assert (outcome.code, "method 'a' is not in" in outcome.errors[0]) == (2, True)


@pytest.mark.parametrize("damage", ['{"a": {"method"', "[]", '{"a": {"method": "x"}}'])
def test_compare_says_that_cells_are_damaged(damage: str, here: Command, tmp_path: Path) -> None:
    (tmp_path / "cells.json").write_text(damage)
    outcome = here("compare", "a", "b", "--out", tmp_path)
    assert outcome.code == 2
    assert "cells.json is damaged" in outcome.errors[0]


def test_two_policies_of_one_name_are_refused(
    arguments: list[str], here: Command, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.py"
    copy.write_text(MINE.read_text())
    outcome = here(*arguments, "--also", copy, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "a method 'my-policy' is there already" in outcome.errors[0]


def test_only_leaves_in_what_else_was_asked_for_by_name() -> None:
    asked = {"suite": ["Table4"], "only": ["ITMPREC", "Random"], "response": "distribution"}
    found = methods_of({**asked, "also": [str(MINE), "Popular"], "llm_model": None})
    assert list(found) == ["ITMPRec", "random", "my-policy", "popular"]
    own = {"llm_url": "http://x/v1", "llm_model": "m", "replay": False}
    found = methods_of({**asked, "also": None, **own})
    assert list(found) == ["ITMPRec", "random", "LLM-IPP"]


def test_methods_are_compared_whatever_their_capitals(done: Path, here: Command) -> None:
    typed = here("compare", "itmprec", "My-Policy", "--out", done)
    assert typed.code == 0, typed.stderr
    assert typed.stdout == here("compare", "ITMPRec", "my-policy", "--out", done).stdout
