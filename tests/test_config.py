"""Options say in one sentence which field broke which rule with what value."""

from typing import Any, Literal

import pytest
from pydantic import Field

from proactrec.config import Options
from proactrec.errors import InvalidInputError


class Inner(Options):
    n: int = Field(1, ge=1)


class Outer(Options):
    inner: Inner = Inner()
    groups: Literal["activity"] | dict[str, str] | None = None
    kinds: tuple[Literal["a", "b"], ...] = ()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"groups": "age"},
            "Outer.groups: input should be 'activity', or input should be a valid dictionary, "
            "got 'age'",
        ),
        ({"groups": {"u1": 3}}, "Outer.groups.u1: input should be a valid string, got 3"),
        ({"kinds": ["a", "c"]}, "Outer.kinds.1: input should be 'a' or 'b', got 'c'"),
        ({"inner": {"n": 0}}, "Inner.n: input should be greater than or equal to 1, got 0"),
        ({"nothing": 1}, "Outer.nothing: extra inputs are not permitted"),
    ],
)
def test_a_broken_rule_is_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Outer(**values)
    assert str(caught.value) == sentence
