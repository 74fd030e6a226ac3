"""Files and functions that one person reads in one go."""

import ast
from pathlib import Path

import pytest

import proactrec

ROOT = Path(proactrec.__file__).parent
FILES = [str(path.relative_to(ROOT)) for path in sorted(ROOT.rglob("*.py"))]
MOST_LINES, MOST_OF_A_FUNCTION = 400, 49


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body: a list of options and the docstring are read as a declaration is."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def sizes(source: str) -> tuple[int, int, str]:
    """Lines of a file, those of its longest function, and that function's name."""
    functions = [
        (lines_of(node), node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return (len(source.splitlines()), *max(functions, default=(0, "")))


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_at_most_400_lines_and_a_function_is_under_50(name: str) -> None:
    n_lines, longest, function = sizes((ROOT / name).read_text())
    assert n_lines <= MOST_LINES, f"{name} has {n_lines} lines"
    assert longest <= MOST_OF_A_FUNCTION, f"{name}: {function} has {longest} lines"


def test_lines_are_counted_without_signature_and_docstring() -> None:
    source = 'def f(\n    a,\n    b,\n):\n    """Two\n    lines."""\n    x = (\n        1\n    )\n'
    assert sizes(source) == (9, 3, "f")
    assert sizes(
        "class A:\n    def f(self):\n        ...\n\n    async def g(self):\n        x\n        y\n"
    ) == (
        7,
        2,
        "g",
    )
    assert sizes("x = 1\n") == (1, 0, "")
