"""Compact JSON gives back what was written, but for digits that nobody sees."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

RESULTS = Path(__file__).parents[2] / "docs" / "results"
NAMES = st.text("abc @/.", min_size=1, max_size=4)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "x", "-"]))
CONTENT = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=5)
)


@given(CONTENT)
def test_what_is_packed_unpacks_to_itself(content: Any) -> None:
    from shared.compact import packed, unpacked

    again = unpacked(json.loads(json.dumps(packed(content))))
    assert json.dumps(again, sort_keys=True) == json.dumps(content, sort_keys=True)


def test_like_records_become_a_table_and_others_stay() -> None:
    from shared.compact import packed

    figure = {"hr": {"5": {"mean": 0.5, "low": 0.25}}}
    cells = [{"method": name, "seed": 0, **figure} for name in "abc"]
    cells[2]["left"] = 7
    assert packed({"cells": cells, "two": cells[:2]}) == {
        "cells": {
            "same": {"seed": 0, "hr::5::mean": 0.5, "hr::5::low": 0.25},
            "columns": ["method", "left"],
            "rows": [["a", "(absent)"], ["b", "(absent)"], ["c", 7]],
        },
        "two": cells[:2],
    }
    by_name = packed({name: {"ndcg": at, "n": 9} for at, name in enumerate("abc")})
    rows = {"a": [0], "b": [1], "c": [2]}
    assert by_name == {"same": {"n": 9}, "columns": ["ndcg"], "rows": rows}
    unlike = [{"a": 1}, {"b": 1}, {"c": 1}]
    assert packed(unlike) == unlike


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.123456789, 0.1234568),
        (1 / 3, 0.3333333),
        (12345678.91, 12345679.0),  # a page may show it as a whole number
        (1025.4999999, 1025.4999999),  # 1025.500 would be rounded up, the number is not
        (2.5, 2.5),
        (-0.0, -0.0),
        (2.1601063851133708e-19, 2.160106e-19),
    ],
)
def test_no_digit_is_dropped_that_a_page_could_show(value: float, expected: float) -> None:
    from shared.compact import shortened

    assert repr(shortened(value)) == repr(expected)


@given(st.floats(-1e9, 1e9))
def test_rounding_a_shortened_number_gives_what_rounding_the_number_gives(value: float) -> None:
    from shared.compact import shortened

    short = shortened(value)
    assert abs(short - value) <= 5e-7 * abs(value)
    assert [f"{short:.{n}g}" for n in range(1, 6)] == [f"{value:.{n}g}" for n in range(1, 6)]
    assert f"{short:.0f}" == f"{value:.0f}"


def test_what_stands_for_something_else_is_refused(tmp_path: Path) -> None:
    from shared.compact import read_figures, write_figures

    path = tmp_path / "figures.json"
    write_figures(path, {"rows": [{"a::b": 1}, {"a": 1}]})
    assert read_figures(path) == {"rows": [{"a::b": 1}, {"a": 1}]}
    with pytest.raises(ValueError, match="stand for other things"):
        write_figures(path, {"rows": [{"a::b": n} for n in range(3)]})
    assert read_figures(path) == {"rows": [{"a::b": 1}, {"a": 1}]}


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_figures_of_a_page_are_compact(path: Path) -> None:
    from shared.compact import read_figures, text_of

    text = path.read_text()
    again = text_of(read_figures(path))  # its columns may stand in another order
    assert len(text) == len(again), "write it by shared.compact.write_figures"
    numbers = [float(one) for one in re.findall(r"(?<=[\[:,])-?\d+\.\d+(?:e-?\d+)?", text)]
    longer = [one for one in numbers if float(f"{one:.10g}") != one]
    assert len(longer) <= 3 + len(numbers) // 100  # where fewer digits would be rounded otherwise
