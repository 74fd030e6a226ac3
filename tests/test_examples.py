"""Examples use what exists, and what the README shows is what runs."""

import ast
import inspect
from functools import partial
from pathlib import Path

import pytest

import proactrec
from proactrec.graphau import GraphAUOptions

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "whole_job.py"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def code_of(example: Path) -> str:
    return example.read_text().split('"""\n\n', 1)[1]


def test_readme_shows_the_example_in_under_fifteen_lines() -> None:
    shown = (ROOT / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    assert shown == code_of(EXAMPLE)
    assert len(shown.strip().splitlines()) < 15


@pytest.mark.slow
def test_example_guides_users_of_the_demo_world(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two epochs of small models: training takes most of its half a minute."""
    few = {"stopping": {"n_epochs": 2}, "embedding_dim": 16}
    fit_encoder = proactrec.fit_encoder
    fit_graphau = partial(proactrec.fit_graphau, options=GraphAUOptions(**few))  # type: ignore[arg-type]
    monkeypatch.setattr(proactrec, "fit_graphau", fit_graphau)
    monkeypatch.setattr(
        proactrec,
        "fit_encoder",
        lambda *given, **how: fit_encoder(*given, **how | {"options": few}),
    )
    variables: dict[str, object] = {}
    exec(compile(code_of(EXAMPLE), EXAMPLE, "exec"), variables)
    log = variables["log"]
    assert log.interest[:, -1].mean() > log.interest[:, 0].mean() + 0.1  # type: ignore[attr-defined]
    assert capsys.readouterr().out.startswith("{'mean': 0.")


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
    assert used <= set(proactrec.__all__)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_calls_fit_their_signatures(path: Path) -> None:
    for call in ast.walk(ast.parse(path.read_text(), path)):
        if not isinstance(call, ast.Call) or not ast.unparse(call.func).startswith("pr."):
            continue
        signature = inspect.signature(
            getattr(proactrec, ast.unparse(call.func).removeprefix("pr."))
        )
        given = {word.arg: None for word in call.keywords if word.arg}
        if any(isinstance(value, ast.Starred) for value in call.args):
            signature.bind_partial(**given)
        else:
            signature.bind(*call.args, **given)
