"""What `import proactrec` offers: one list, which type checkers, programs and examples share."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import proactrec

ROOT = Path(proactrec.__file__).parent
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def typed() -> dict[str, str]:
    """Module of every name that only type checkers import."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name  # so that it counts as offered
            found[alias.name] = str(node.module)
    return found


def test_type_checkers_and_programs_find_the_same_names() -> None:
    assert typed() == {name: f"proactrec.{home}" for name, home in proactrec._HOME.items()}
    assert proactrec.__all__ == sorted(proactrec._HOME)


@pytest.mark.parametrize("name", proactrec.__all__)
def test_a_name_is_defined_where_it_is_said_to_be_and_says_what_it_is(name: str) -> None:
    found = getattr(proactrec, name)
    assert found.__module__ == f"proactrec.{proactrec._HOME[name]}"
    assert found.__doc__


def test_no_name_is_also_a_module() -> None:
    assert not {path.stem for path in ROOT.iterdir()} & set(proactrec.__all__)


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="module 'proactrec' has no attribute 'nothing'"):
        _ = proactrec.nothing


def test_importing_proactrec_loads_nothing_that_takes_long() -> None:
    slow = {"torch", "polars", "numpy", "pydantic"}
    code = f"import sys, proactrec; print(*{slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_import_nothing_of_ours_but_proactrec(path: Path) -> None:
    imported: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append(str(node.module))
    ours = [name for name in imported if name.split(".")[0] == "proactrec"]
    assert ours == ["proactrec"]
