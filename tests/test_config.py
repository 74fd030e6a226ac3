"""Options say in one sentence which field broke which rule with what value."""

from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from proactrec.config import Options, merged, set_nested
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


class Later(Options):
    later_fields: ClassVar[frozenset[str]] = frozenset({"inner", "kinds", "n"})

    first: int = 1
    n: int = 2
    inner: Inner = Inner()
    kinds: tuple[str, ...] = ("a",)


def test_nested_settings_leave_what_they_were_given_alone() -> None:
    given: dict[str, Any] = {"inner": {"a": 1}}
    content: dict[str, Any] = {}
    set_nested(content, "part", given)
    set_nested(content, "part.inner.a", 2)
    assert (content, given) == ({"part": {"inner": {"a": 2}}}, {"inner": {"a": 1}})


def test_fields_that_came_later_are_left_out_of_a_dump_while_they_have_their_default() -> None:
    """Single values, nested options and lists, in both modes."""
    for dumped in (Later().model_dump(), Later().model_dump(mode="json")):
        assert dumped == {"first": 1}
    changed = Later(n=3, inner=Inner(n=2), kinds=("b",))
    wanted = {"first": 1, "n": 3, "inner": {"n": 2}, "kinds": ["b"]}
    assert changed.model_dump(mode="json") == wanted
    assert Later(**wanted) == changed
    assert Later(**Later().model_dump()) == Later()


def test_changes_go_into_nested_content_and_replace_all_else() -> None:
    content = {"a": {"x": 1, "y": {"z": 2, "w": [1, 2]}}, "b": 3, "c": {"k": 1}}
    changes = {"a": {"y": {"w": [5]}, "v": 7}, "b": {"n": 1}, "c": None, "d": {"m": 1}}
    assert merged(content, changes) == {
        "a": {"x": 1, "y": {"z": 2, "w": [5]}, "v": 7},
        "b": {"n": 1},
        "c": None,
        "d": {"m": 1},
    }
    assert content == {"a": {"x": 1, "y": {"z": 2, "w": [1, 2]}}, "b": 3, "c": {"k": 1}}
    assert merged(content, {}) == content
    assert merged({}, changes) == changes
