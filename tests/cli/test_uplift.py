"""What `proactrec uplift` prints: whole labels at 80 columns, and no claim about nothing."""

import json

import numpy as np
import pytest

from proactrec.cli.uplift import _row, _show
from proactrec.measurement.sums import Sums
from proactrec.measurement.uplift import Uplift, uplift
from proactrec.report.tables import number_text

FIGURES = [(name, 20) for name in ("hr", "target_accepted", "rounds_to_target", "ior200")]


@pytest.fixture
def found() -> list[Uplift]:
    """Nobody took a target; the rest differs from user to user."""
    rng = np.random.default_rng(0)

    def group(start: int, n: int, more: float) -> Sums:
        tops = np.stack(
            [rng.binomial(20, 0.4 + more, n), np.zeros(n), np.full(n, 20), rng.normal(-99, 50, n)],
            axis=1,
        )
        bottom = np.tile([20.0, 1, 1, 1], (n, 1))
        return Sums.of_users(np.arange(start, start + n), tops.astype(np.float64), bottom)

    return uplift(group(0, 800, 0.1), group(800, 200, 0), FIGURES)


def test_no_label_is_cut_at_80_columns(
    found: list[Uplift], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _show(found, [_row(one, 0.02) for one in found], 0.02)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for label in ("HR@20", "target accepted@20", "rounds to target@20", "IoR200@20"):
        assert any(line.strip().startswith(f"{label} ") for line in text.splitlines())
    low, high = (number_text(end, 3) for end in found[0].difference[1:])
    assert f"{low} to {high}" in text


def test_what_cannot_be_said_is_said_to_be_so(
    found: list[Uplift], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [_row(one, 0.02) for one in found]
    _show(found, rows, 0.02)
    text = " ".join(capsys.readouterr().out.split())
    assert "0.000 to 0.000" not in text
    assert text.count("no interval") == 2
    assert text.endswith("(as where nobody took a target): target accepted@20, rounds to target@20")
    hr, taken, *_ = json.loads(json.dumps(rows, allow_nan=False))
    assert hr["to_hold_out"] >= 10
    assert hr["detectable"] > 0
    assert hr["has_interval"]
    assert taken["difference"] == {"low": None, "high": None, "mean": 0.0}
    assert (taken["to_hold_out"], taken["detectable"], taken["has_interval"]) == (None, None, False)
