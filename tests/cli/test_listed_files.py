"""Files of ids with a group or a weight, a line each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proactrec.cli.setup import _listed_groups, _listed_weights
from proactrec.errors import InvalidInputError

LONG = "u" * 500


@pytest.mark.parametrize(
    ("read", "content", "wanted"),
    [
        (_listed_groups, "user_id,group\nu1,a\n\nu2, b,c \nu1,a\n", {"u1": "a", "u2": "b,c"}),
        (_listed_groups, "\ufeffu1,a", {"u1": "a"}),
        (_listed_groups, "\r\n", {}),
        (_listed_weights, "item_id,weight\ni1,0\nRed, blue,2.5\n", {"i1": 0.0, "Red, blue": 2.5}),
    ],
)
def test_a_value_of_every_id(
    read: Callable[[Path], Any], content: str, wanted: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(content, encoding="utf-8")
    assert read(path) == wanted


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (_listed_groups, "u1,a\nu2\n", "--groups must hold lines of user_id,group, a user once, "),
        (_listed_groups, "u1,a\nu1,b\n", "line 2 is 'u1,b'"),
        (_listed_groups, ",a\n", "line 1 is ',a'"),
        (_listed_groups, f"{LONG}\n", f"line 1 is '{LONG[:80]}'"),
        (_listed_weights, "i1,1\ni1,2\n", "item_id,weight, from 0 on and an item once, line 2 is"),
        *((_listed_weights, f"i1,{wrong}\n", "line 1") for wrong in ("-1", "nan", "inf", "x", "")),
    ],
)
def test_a_line_that_says_nothing_is_told(
    read: Callable[[Path], Any], content: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInputError) as told:
        read(path)
    assert said in str(told.value)
