"""The example that shows the library is the one in the README, and uses what exists.

It is not run here: with the demo world's full training it takes minutes.
"""

import ast
import inspect
import re
from pathlib import Path

import pytest

import proactrec as pr

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
JOB = ROOT / "examples" / "whole_job.py"


def code_of(path: Path) -> str:
    """The example without its docstring."""
    source = path.read_text()
    docstring = ast.parse(source).body[0]
    assert isinstance(docstring, ast.Expr)
    return "\n".join(source.splitlines()[docstring.end_lineno :]).strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_compiles_and_uses_only_public_names(path: Path) -> None:
    tree = ast.parse(path.read_text(), path)
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "pr"
    }
    assert used
    assert used <= set(pr.__all__)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_calls_fit_their_signatures(path: Path) -> None:
    for call in ast.walk(ast.parse(path.read_text(), path)):
        if not isinstance(call, ast.Call) or not ast.unparse(call.func).startswith("pr."):
            continue
        signature = inspect.signature(getattr(pr, ast.unparse(call.func).removeprefix("pr.")))
        given = {word.arg: None for word in call.keywords if word.arg}
        if any(isinstance(value, ast.Starred) for value in call.args):
            signature.bind_partial(**given)
        else:
            signature.bind(*call.args, **given)


def test_whole_job_is_done_in_under_15_lines() -> None:
    assert len([line for line in code_of(JOB).splitlines() if line.strip()]) < 15


def test_readme_shows_the_example() -> None:
    section = re.search(
        r"^#+ Library$(.*?)(?=^#+ |\Z)", (ROOT / "README.md").read_text(), re.M | re.S
    )
    if section is None:
        pytest.skip("README.md has no section Library yet")
    blocks = re.findall(r"```python\n(.*?)```", section[1], re.S)
    assert code_of(JOB) in [block.strip() for block in blocks]
