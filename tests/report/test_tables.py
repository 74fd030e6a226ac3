import io
from typing import Any

import pytest
from rich.console import Console

from proactrec.report.tables import (
    decimals,
    interval_texts,
    number_text,
    result_markdown,
    result_table,
)


def printed(result: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(result_table(result))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_table_shows_the_means_and_intervals_of_the_input(result):
    text = printed(result)
    for shown in ("@1", "@3", "HR", "0.412", "0.312–0.512", "0.523", "0.423–0.623"):
        assert shown in text
    for shown in ("IoI", "−0.050", "−0.150 – 0.050", "IoR", "34.5", "34.4–34.6"):
        assert shown in text


def test_markdown_shows_the_same_numbers(result):
    assert result_markdown(result).splitlines() == [
        "| metric | @1 | @3 |",
        "| --- | ---: | ---: |",
        "| HR | 0.412 (0.312–0.512) | 0.523 (0.423–0.623) |",
        "| IoI | −0.050 (−0.150 – 0.050) | 0.250 (0.150–0.350) |",
        "| IoR | 12.3 (12.2–12.4) | 34.5 (34.4–34.6) |",
    ]


def test_rounds_are_sorted_as_numbers():
    one = {"mean": 0.5, "low": 0.4, "high": 0.6}
    header = result_markdown({"metrics": {"hr": {"10": one, "5": one}}}).splitlines()[0]
    assert header == "| metric | @5 | @10 |"


def test_a_metric_that_lacks_a_round_gets_a_dash(result):
    del result["metrics"]["ior"]["3"]
    assert "| IoR | 12.3 (12.2–12.4) | – |" in result_markdown(result)


def test_without_metrics_there_is_no_markdown_and_an_empty_table():
    assert result_markdown({}) == ""
    assert result_table({}).row_count == 0


def test_brackets_in_names_are_not_markup(result):
    result["dataset"] = "[bold]toy[/bold]"
    assert "[bold]toy[/bold]" in printed(result)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.412], 3), ([0.05], 4), ([12.3], 1), ([512.0], 1), ([0.0], 3), ([None, float("nan")], 3)],
)
def test_decimals_show_three_digits_of_the_largest(values, expected):
    assert decimals(values) == expected


def test_numbers_that_are_missing_or_negative_zero():
    assert number_text(None, 2) == "–"
    assert number_text(float("nan"), 2) == "–"
    assert number_text(-0.001, 2) == "0.00"
    assert number_text(-1234.5, 1) == "−1,234.5"
    assert interval_texts([{"mean": 0.5}]) == [("0.500", "")]
