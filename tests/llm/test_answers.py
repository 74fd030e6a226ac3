"""Reading answers: a chance, a digit, a list of titles, or nothing."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactrec.llm.answers import click_digit, click_probability, digit_probability, path_titles


class Said(NamedTuple):
    text: str
    top_logprobs: Mapping[str, float] | None = None


def logs(**chances: float) -> dict[str, float]:
    return {token: math.log(chance) for token, chance in chances.items()}


@pytest.mark.parametrize(
    ("text", "digit"),
    [
        ("1", 1),
        ("0", 0),
        (" 1\n", 1),
        ("1.", 1),
        ('"0"', 0),
        ("A: 1", 1),
        ("A:0", 0),
        ("answer: 1", 1),
        ('{"answer": 1}', 1),
        ('{"answer": "0"}', 0),
        ('{"A": 1}', 1),
        ('```json\n{"answer": 0}\n```', 0),
        ("```\n1\n```", 1),
    ],
)
def test_a_single_digit_is_read(text: str, digit: int) -> None:
    assert click_digit(text) == digit
    assert click_probability(Said(text)) == float(digit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "10",
        "01",
        "1 0",
        "1 or 0",
        "yes",
        "１",
        "-1",
        "1.0",
        "0.7",
        '"1',
        "I say 1",
        "1 because",
        "Answer: 1\nAnswer: 0",
        "B: 1",
        '{"answer": true}',
        '{"answer": 2}',
        '{"answer": 1.0}',
        '{"answer": 1, "sure": 0}',
        '{"confidence": 1}',
        '{"answer": [1]}',
        '{"answer": 1',
        "{" * 100_000,
        '{"answer": 1' + " " * 1_000 + "}",
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    assert click_digit(text) is None
    assert click_probability(Said(text)) is None


def test_all_ways_to_write_a_digit_are_added() -> None:
    tops = {"1": 0.2, " 1": 0.1, "A: 1": 0.05, '"1': 0.05, "0": 0.06, "Ġ0": 0.04, "yes": 0.5}
    found = digit_probability({token: math.log(p) for token, p in tops.items()})
    assert found == pytest.approx(0.4 / (0.4 + 0.1))


@pytest.mark.parametrize(
    ("tops", "probability"),
    [
        ({"1": -0.1}, 1.0),
        ({"0": -0.1}, 0.0),
        ({"1": -2.0, "0": -2.0}, 0.5),
        ({"1": -2000.0, "0": -2000.0}, 0.5),
        ({"1": -math.inf, "0": -1.0}, 0.0),
        ({"1": -math.inf}, None),
        ({"1": math.nan}, None),
        ({"10": -0.1, "yes": -0.2}, None),
        ({}, None),
    ],
)
def test_the_chance_of_one_among_the_digits(
    tops: dict[str, float], probability: float | None
) -> None:
    assert digit_probability(tops) == probability


def test_chances_come_before_the_text() -> None:
    tops = {"1": math.log(0.6), "0": math.log(0.2)}
    assert click_probability(Said("1", tops)) == pytest.approx(0.75)
    assert click_probability(Said(" 0", tops)) == pytest.approx(0.75)
    assert click_probability(Said("whatever", tops)) == pytest.approx(0.75)


def test_the_text_counts_where_the_first_token_is_not_the_answer() -> None:
    tops = {"{": math.log(0.98), "0": math.log(0.01)}
    assert click_probability(Said('{"answer": 1}', tops)) == 1.0
    assert click_probability(Said("A: 1", {"A": -0.01, "0": -6.0})) == 1.0
    assert click_probability(Said("A: 1", {"A: 1": math.log(0.3), "A: 0": math.log(0.1)})) == (
        pytest.approx(0.75)
    )


def test_chances_without_digits_leave_it_to_the_text() -> None:
    assert click_probability(Said('{"answer": 1}', {"{": -0.01})) == 1.0
    assert click_probability(Said("Sure", {"Sure": -0.01})) is None


@given(st.floats(-50, 0), st.floats(-50, 0))
def test_it_is_a_probability_and_the_two_add_up_to_one(one: float, zero: float) -> None:
    p, q = digit_probability({"1": one, "0": zero}), digit_probability({"1": zero, "0": one})
    assert p is not None
    assert q is not None
    assert 0 <= p <= 1
    assert p + q == pytest.approx(1)


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    assert click_digit(text) in (None, 0, 1)
    path_titles(text)


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ('["A", "B"]', ["A", "B"]),
        ('["A", "B",]', ["A", "B"]),
        ('["A"\n,\n ]', ["A"]),
        ('```json\n["A", "B"]\n```', ["A", "B"]),
        ('Here is the path: ["A"]. Enjoy!', ["A"]),
        ("[]", []),
        ('["[REC] (2007)", "Don\'t"]', ["[REC] (2007)", "Don't"]),
        (r'["Am\u00e9lie", "\u005bREC\u005d", "a\"b"]', ["Amélie", "[REC]", 'a"b']),
        ('["a, ]"]', ["a, ]"]),
    ],
)
def test_a_list_of_titles_is_read(text: str, titles: list[str]) -> None:
    assert path_titles(text) == titles


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A, B",
        "] [",
        "['A', 'B']",
        '["A", 1]',
        '["A", null]',
        '[["A"], ["B"]]',
        '["A" "B"]',
        '["A",,]',
        "[,]",
        '["A", "B"',
        '["A"] and ["B"]',
        '1. "A"\n2. "B"',
        '{"path": "A"}',
        "[" * 100_000 + "]",
    ],
)
def test_what_is_no_list_of_strings_is_none(text: str) -> None:
    assert path_titles(text) is None
