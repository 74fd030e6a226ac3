"""Flags that stand for settings: what they take from the models, and what they give back."""

from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from proactrec.cli.flags import built, flags_of, given, parameters, takes
from proactrec.config import Options
from proactrec.errors import InvalidInputError


class Inner(Options):
    day: date | None = Field(None, description="first day")
    column: str | None = Field("time", description="column of times")
    names: tuple[str, ...] | None = Field(None, description="names")
    ends: tuple[float, float] = Field((0.0, 1.0), description="from and to")
    has_header: bool = Field(True, description="whether there is a header")


class Outer(Options):
    size: int = Field(3, ge=1, lt=9, description="size, in items")
    kind: Literal["red", "blue"] = Field("red", description="colour")
    parts: tuple[Literal["a", "b"], ...] = Field((), description="part")
    where: Path | None = Field(None, description="place")
    inner: Inner | None = None


FLAGS = {
    **flags_of(Outer, None, "size", "kind", "parts", "where"),
    **flags_of(
        Outer,
        "More",
        "inner.day",
        "inner.column",
        "inner.names",
        "inner.ends",
        no_header="inner.has_header",
    ),
}
PLAIN = {one.name: one.default for one in parameters(FLAGS)}


def outcome(*arguments: str, flags: Any = FLAGS) -> Any:
    """What the flags say of a command line: a text or settings."""
    found: list[dict[str, Any]] = []
    app = typer.Typer()

    @app.command()
    @takes(flags)
    def command(last: bool = False, **values: Any) -> None:
        found.append(given(flags, values))

    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return found[0] if found else result.output


def test_what_is_not_given_is_left_to_the_models() -> None:
    assert outcome() == {}
    assert built(Outer, FLAGS, PLAIN) == Outer()


def test_flags_give_settings_by_their_dotted_names() -> None:
    typed = "--size 4 --kind blue --parts a --parts b --where x --no-header --ends 1 2"
    assert outcome(*typed.split(), "--day", "2024-02-03", "--names", "n") == {
        "size": 4,
        "kind": "blue",
        "parts": ("a", "b"),
        "where": Path("x"),
        "inner.has_header": False,
        "inner.ends": (1.0, 2.0),
        "inner.day": date(2024, 2, 3),
        "inner.names": ("n",),
    }


def test_an_empty_text_says_none_where_only_it_can() -> None:
    assert outcome("--column", "", "--names", "") == {"inner.column": None, "inner.names": ()}


def test_help_is_what_the_models_say() -> None:
    text = outcome("--help")
    assert "Size, in items (at least 1, below 9)." in text
    assert "[default: 3]" in text
    assert "[red|blue]" in text
    assert "Part; repeatable." in text
    assert "More" in text


def test_a_default_that_something_else_decides_is_given_whatever_it_is() -> None:
    size = {"size": FLAGS["size"]._replace(default=None, decided_by="the weather's")}
    assert "the weather's" in outcome("--help", flags=size)
    assert outcome(flags=size) == {}
    assert outcome("--size", "3", flags=size) == {"size": 3}


def test_values_that_stand_for_settings_of_their_own() -> None:
    one = FLAGS["size"]._replace(repeats=True)
    (parameter,) = parameters({"size": one})
    assert parameter.default == [3]
    assert "Size, in items (at least 1, below 9); repeatable." in outcome(
        "--help", flags={"size": one}
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"size": 0}, r"^--size must be at least 1, got 0$"),
        ({"parts": ["a", "c"]}, r"^--parts must be 'a' or 'b', got 'c'$"),
        ({"day": datetime(2024, 1, 1), "ends": (0, "x")}, r"^--ends must be a number, got 'x'$"),
    ],
)
def test_a_refused_value_names_its_flag(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        built(Outer, FLAGS, PLAIN | values)


def test_an_error_that_no_flag_made_stays_as_it_is() -> None:
    with pytest.raises(InvalidInputError, match=r"got 0$"):
        built(Outer, {"kind": FLAGS["kind"]}, {"kind": "blue"}, size=0)
