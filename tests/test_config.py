"""Options say in one sentence which field broke which rule with what value."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from proactrec.config import Options, merged, numbers_as_they_are, set_nested
from proactrec.errors import InvalidInputError


class Inner(Options):
    n: int = Field(1, ge=1)
    name: str | None = None


class Outer(Options):
    inner: Inner = Inner()
    groups: Literal["activity"] | dict[str, str] | None = None
    kinds: tuple[Literal["a", "b"], ...] = ()
    names: tuple[str, ...] = ()


class Counted(Options):
    n: int = 1
    few: int = Field(1, le=9)
    share: float | None = None
    sizes: tuple[int, ...] = ()
    is_on: bool = False
    either: bool | int = 1
    anything: dict[str, Any] | None = None
    file: Path | None = None
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"file": []}, "Counted.file must be a path, got []"),
        ({"n": True}, "Counted.n must not be true or false, got True"),
        ({"share": False}, "Counted.share must not be true or false, got False"),
        ({"sizes": [2, True]}, "Counted.sizes must not be true or false, got True"),
        ({"inner": {"n": True}}, "Inner.n must not be true or false, got True"),
        ({"n": "x" * 100}, f"Counted.n must be a whole number, got '{'x' * 76}..."),
        ({"share": float("inf")}, "Counted.share must be a finite number, got inf"),
        ({"n": 2**63}, f"Counted.n must be at most {2**63 - 1}, got {2**63}"),
        (
            {"sizes": [1, -(2**63)]},
            f"Counted.sizes must be at least {1 - 2**63}, got {-(2**63)}",
        ),
        ({"few": 2**63}, f"Counted.few must be at most 9, got {2**63}"),
        ({"n": 10**5000}, "Counted.n must be at most 9223372036854775807, got about 2**16610"),
        ({"m": 1}, "Counted.m does not exist"),
        ({"size": (1,)}, "Counted.size does not exist (did you mean sizes?)"),
        ({"is_on": "perhaps"}, "Counted.is_on must be true or false, got 'perhaps'"),
    ],
)
def test_truth_is_no_number_and_rules_are_told_in_few_words(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Counted(**values)
    assert str(caught.value) == sentence


def test_truth_is_taken_where_it_may_be() -> None:
    found = Counted(is_on=True, either=True, anything={"a": True})
    assert (found.is_on, found.either, found.anything) == (True, True, {"a": True})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"groups": "age"},
            "Outer.groups must be 'activity' or a mapping, got 'age'",
        ),
        ({"groups": {"u1": 3}}, "Outer.groups.u1 must be a text, got 3"),
        ({"kinds": ["a", "c"]}, "Outer.kinds.1 must be 'a' or 'b', got 'c'"),
        ({"inner": {"n": 0}}, "Inner.n must be at least 1, got 0"),
        ({"nothing": 1}, "Outer.nothing does not exist"),
        ({"groups": {"u1": "a\0"}}, "Outer.groups must hold no NUL, got {'u1': 'a\\x00'}"),
        ({"groups": {"u\0": "a"}}, "Outer.groups must hold no NUL, got {'u\\x00': 'a'}"),
        ({"inner": {"name": "a\0b"}}, "Inner.name must hold no NUL, got 'a\\x00b'"),
        ({"names": ["a", "\0"]}, "Outer.names must hold no NUL, got ['a', '\\x00']"),
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
    wanted = {"first": 1, "n": 3, "inner": {"n": 2, "name": None}, "kinds": ["b"]}
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


class Read(Options):
    n: int = 1
    share: float | None = None
    steps: tuple[float, ...] = ()
    caps: dict[str, int] | None = None
    is_on: bool = False
    either: float | str = 1.0
    group: Literal["activity"] | float = 1.0


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"n": "5"}, "n must be a whole number, got '5'"),
        ({"share": "1e-3"}, "share must be a number, got '1e-3'"),
        ({"steps": [0.1, "1"]}, "steps must be a number, got '1'"),
        ({"caps": {"a": "2"}}, "caps must be a whole number, got '2'"),
        ({"is_on": "true"}, "is_on must be true or false, got 'true'"),
    ],
)
def test_text_is_a_number_on_command_lines_alone(values: dict[str, Any], rule: str) -> None:
    Read(**values)
    with numbers_as_they_are(), pytest.raises(InvalidInputError) as raised:
        Read(**values)
    assert str(raised.value) == f"Read.{rule}"
    Read(**values)


def test_what_may_be_a_text_stays_one() -> None:
    with numbers_as_they_are():
        read = Read(either="5", group="activity", n=5)
    assert (read.either, read.group, read.n) == ("5", "activity", 5)
