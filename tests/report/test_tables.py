import io

import pytest
from rich.console import Console

from proactrec.measurement.results import Figure, RunResult
from proactrec.report.tables import (
    decimals,
    interval_texts,
    metric_rows,
    number_text,
    percent_text,
    result_table,
)


def printed(result: RunResult) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(result_table(result))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_table_shows_the_means_and_intervals_of_the_input(result):
    text = printed(result)
    for shown in ("@1", "@3", "HR", "0.412", "0.312–0.512", "0.523", "0.423–0.623"):
        assert shown in text
    for shown in ("IoI", "−0.050", "−0.150 – 0.050", "IoR", "34.5", "34.4–34.6"):
        assert shown in text


def test_rounds_are_sorted_as_numbers(result):
    hr = {10: Figure(mean=0.5), 5: Figure(mean=0.25)}
    changed = result.model_copy(update={"metrics": {"hr": hr}})
    assert [str(column.header) for column in result_table(changed).columns] == [
        "metric",
        "@5",
        "@10",
    ]
    assert metric_rows(changed)[0].cells == [("0.250", ""), ("0.500", "")]


def test_a_metric_that_lacks_a_round_gets_a_dash(result):
    del result.metrics["ior"][3]
    rows = {row.label: row.cells for row in metric_rows(result)}
    assert rows["IoR"] == [("12.3", "12.2–12.4"), ("–", "")]


def test_without_metrics_the_table_is_empty(result):
    assert result_table(result.model_copy(update={"metrics": {}})).row_count == 0


def test_brackets_in_names_are_not_markup(result):
    assert "[b]toy[/b]" in printed(result.model_copy(update={"dataset": "[b]toy[/b]"}))


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
    assert percent_text(0.5432, 1) == "54.3\u00a0%"
    assert percent_text(None) == "–"
    assert interval_texts([Figure(mean=0.5)]) == [("0.500", "")]
