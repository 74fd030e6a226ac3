"""What the README shows is what runs."""

from functools import partial
from pathlib import Path

import pytest

import proactrec
from proactrec.graphau import GraphAUOptions

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "whole_job.py"


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
    """With two epochs of each model: training takes most of its half a minute."""
    few, fit_encoder = {"stopping": {"n_epochs": 2}}, proactrec.fit_encoder
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
