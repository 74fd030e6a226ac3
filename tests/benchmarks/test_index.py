"""Every result is listed, cited and comes from somewhere; every study says what it is."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from .conftest import BENCHMARKS

RESULTS = BENCHMARKS.parent / "docs" / "results"
PAGES = sorted(path for path in RESULTS.glob("*.md") if path.stem != "index")
SCRIPTS = sorted(BENCHMARKS.glob("*.py"))
COMMIT_UNKNOWN = {"encoding-guidance"}
"""Measured from outside the repository, when the commit was asked of the current folder."""
AGAIN = "run python benchmarks/index.py"


def test_tables_of_results_and_studies_are_up_to_date() -> None:
    import index

    assert index.OF_RESULTS.read_text() == index.results_text(), AGAIN
    assert index.OF_STUDIES.read_text() == index.studies_text(), AGAIN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_listed_cited_and_has_an_origin(page: Path) -> None:
    import index

    assert f"]({page.name})" in index.OF_RESULTS.read_text(), AGAIN
    assert index.cited().get(page), f"no page of docs/ cites {page.name}"
    origin = index.page_of(page).origin
    assert {"command", "commit", "machine", "date"} <= origin.keys()
    assert re.fullmatch(r"[0-9a-f]{40}", origin["commit"]) or page.stem in COMMIT_UNKNOWN
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", origin["date"])


def test_figures_and_pages_go_together() -> None:
    assert [path.stem for path in sorted(RESULTS.glob("*.json"))] == [page.stem for page in PAGES]


def test_every_picture_of_a_page_is_drawn_or_kept() -> None:
    import plots

    drawn = {name for page in PAGES for name in plots.pictures_of(page.with_suffix(".json"))}
    kept = set(plots.KEPT)
    assert not kept & drawn, "pictures that are drawn are not kept"
    assert all((RESULTS / name).exists() for name in kept)
    ignored = (BENCHMARKS.parent / ".gitignore").read_text().split()
    assert [f"!docs/results/{name}" for name in plots.KEPT] == [x for x in ignored if x[0] == "!"]
    for page in PAGES:
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            assert name in drawn | kept, f"{page.name} shows {name}, which nobody draws"


def test_pictures_are_drawn_from_the_figures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import plots

    of_a_kind = ("figure4-ml-100k", "table4-timed-ml-100k", "worth-movietweetings", "serving-load",
                 "rails-guided-pairs-ml-100k", "acceptance-worth-ml-100k", "table2")  # fmt: skip
    for stem in of_a_kind:
        shutil.copy(RESULTS / f"{stem}.json", tmp_path)
    monkeypatch.setattr("sys.argv", ["plots.py", "--results", str(tmp_path)])
    plots.main()
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {
        *("figure4-ml-100k-favourites.png", "figure4-ml-100k-intents.png"),
        "table4-timed-ml-100k-ml-100k-official-official.png",
        *(f"{stem}.png" for stem in of_a_kind[2:-1]),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_says_what_it_is_and_how_it_is_run(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    first, _, rest = said.partition("\n")
    assert first.endswith((".", "?")), first
    assert f"benchmarks/{path.name}" in rest.partition("Usage:")[2]


@pytest.mark.parametrize(
    "path", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: str(path.relative_to(BENCHMARKS))
)
def test_studies_do_not_import_the_command_line(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        assert not any(name.startswith("proactrec.cli") for name in names), names
