"""The package as it is published: what wheel and sdist hold, and that what they install works."""

import re
import sys
import sysconfig
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from proactrec.cli.doctor import EXTRAS

from .installed import ran, works

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "proactrec"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
OPTIONAL = PROJECT["project"]["optional-dependencies"]
NAMED = f"proactrec-{VERSION}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    ran(out, sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return out


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_licence_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    assert wheel.name == f"{NAMED}-py3-none-any.whl"
    paths = [path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file()]
    own = {f"proactrec/{path}" for path in paths if "__pycache__" not in path.parts}
    assert {name for name in names if not name.startswith(f"{NAMED}.dist-info/")} == own
    assert f"{NAMED}.dist-info/licenses/LICENSE" in names
    parts = ("py.typed", "console/static", "report/templates", "store/migrations", "llm/prompts")
    assert all(any(name.startswith(f"proactrec/{part}") for name in own) for part in parts)


@pytest.mark.slow
def test_the_sdist_holds_what_a_build_needs_and_no_tests_or_data(built: Path) -> None:
    with tarfile.open(built / f"{NAMED}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAMED}/") for name in archive.getnames()}
    about = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "SECURITY.md"}
    files = {".gitignore", "PKG-INFO", "constraints.txt", "pyproject.toml"}
    assert {name.split("/")[0] for name in names} == about | files | {"src"}


@pytest.mark.slow
def test_the_wheel_does_a_job_where_nothing_of_the_repository_is(
    built: Path, tmp_path: Path
) -> None:
    """In an environment that sees this one's dependencies, but not its editable install."""
    (wheel,) = built.glob("*.whl")
    fresh, outside = tmp_path / "fresh", tmp_path / "outside"
    outside.mkdir()
    ran(outside, sys.executable, "-m", "venv", "--without-pip", fresh)
    here = {"base": str(fresh), "platbase": str(fresh)}
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=here))
    pip = (sys.executable, "-m", "pip", "--python", fresh / "bin" / "python")
    ran(outside, *pip, "install", "--no-deps", "--no-index", wheel)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    works(fresh / "bin", outside)


def test_all_is_every_extra_and_none_is_for_developers() -> None:
    others = sorted(set(OPTIONAL) - {"all"})
    assert OPTIONAL["all"] == [f"proactrec[{','.join(others)}]"]
    assert not set(OPTIONAL) & (set(PROJECT["dependency-groups"]) | {"dev", "tests"})


def test_every_extra_is_explained_and_looked_for_by_doctor() -> None:
    told = (ROOT / "docs" / "guide" / "installing.md").read_text()
    assert [name for name in OPTIONAL if f"| `{name}` |" not in told] == []
    assert set(EXTRAS) == set(OPTIONAL) - {"all"}


def test_whoever_is_told_to_install_an_extra_can() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *SOURCE.rglob("*.py")]
    named = [re.findall(r"proactrec\[([\w,]+)\]", page.read_text()) for page in pages]
    found = {name for texts in named for text in texts for name in text.split(",")}
    assert {"report", "serve"} <= found <= set(OPTIONAL)


def test_the_version_is_the_same_wherever_it_is_told() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    at = re.fullmatch(r"(.+) - (unreleased|\d{4}-\d\d-\d\d)", newest[1])
    assert at is not None
    assert version("proactrec") == VERSION == citation["version"] == at[1]
    assert str(citation.get("date-released", "unreleased")) == at[2]
