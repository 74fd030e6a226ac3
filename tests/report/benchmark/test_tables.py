import io
import math
import re

import polars as pl
import pytest
from rich.console import Console

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import COLUMNS, over_seeds
from proactrec.report.benchmark.formats import latex, markdown, terminal_table
from proactrec.report.benchmark.paper_table import caption, paper_table, wide_frame, write_parquet

PLACE = ("toy", "common", "medium")


def figures_of(values, metric="ioi", at=20):
    """A frame from {method: means of seeds 0, 1, …}; users' intervals are ± 0.5."""
    rows = [
        (
            *PLACE,
            method,
            method.startswith("oracle"),
            seed,
            metric,
            at,
            mean,
            mean - 0.5,
            mean + 0.5,
        )
        for method, means in values.items()
        for seed, mean in enumerate(means)
    ]
    return pl.DataFrame(rows, schema=list(COLUMNS), orient="row")


def cells(table, metric, at=20):
    column = table.columns.index((metric, at))
    return {row.method: row.cells[column] for row in table.rows}


def printed(table, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    console.print(terminal_table(table, width))
    return console.file.getvalue()


def test_mean_and_half_width_over_seeds_by_hand():
    (row,) = over_seeds(figures_of({"IPG": [1.0, 2.0, 6.0]})).rows(named=True)
    # Deviations −2, −1, 3: variance 14 / 2; t of 2 degrees of freedom is 4.303.
    half_width = 4.303 * math.sqrt(7 / 3)
    assert row["mean"] == 3
    assert row["n_seeds"] == 3
    assert row["half_width"] == pytest.approx(half_width)
    assert (row["low"], row["high"]) == pytest.approx((3 - half_width, 3 + half_width))


def test_one_seed_has_no_half_width_but_the_interval_over_users():
    (row,) = over_seeds(figures_of({"IPG": [1.0]})).rows(named=True)
    assert row["half_width"] is None
    assert (row["mean"], row["low"], row["high"]) == (1, 0.5, 1.5)


@pytest.mark.parametrize(("n", "t"), [(2, 12.706), (10, 2.262), (30, 2.045), (31, 1.96)])
def test_quantile_follows_the_number_of_seeds(n, t):
    means = [float(seed % 2) for seed in range(n)]
    (row,) = over_seeds(figures_of({"IPG": means})).rows(named=True)
    mean = sum(means) / n
    deviation = math.sqrt(sum((x - mean) ** 2 for x in means) / (n - 1))
    assert row["half_width"] == pytest.approx(t * deviation / math.sqrt(n))


def test_seeds_without_a_mean_are_left_out():
    figures = figures_of({"IPG": [1.0, float("nan")]})
    extra = figures.tail(1).with_columns(seed=pl.lit(2, pl.Int64), mean=pl.lit(None, pl.Float64))
    (row,) = over_seeds(pl.concat([figures, extra])).rows(named=True)
    assert (row["mean"], row["n_seeds"], row["half_width"]) == (1, 1, None)


def test_methods_keep_their_order():
    found = over_seeds(figures_of({"z": [1.0, 2.0], "a": [1.0, 3.0], "m": [1.0]}))
    assert found["method"].to_list() == ["z", "a", "m"]


def test_best_and_second_are_the_highest_and_oracles_never_win():
    values = {"oracle-greedy": [9.0], "a": [1.0], "b": [3.0], "c": [2.0], "d": [-5.0]}
    table = paper_table(figures_of(values), *PLACE)
    marks = {name: (c.is_best, c.is_second) for name, c in cells(table, "ioi").items()}
    assert [name for name, (best, _) in marks.items() if best] == ["b"]
    assert [name for name, (_, second) in marks.items() if second] == ["c"]
    assert [row.method for row in table.rows] == ["a", "b", "c", "d", "oracle-greedy"]


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        *((name, "high") for name in ("hr", "ioi", "ior200", "target_accepted", "worth")),
        ("share_of_oracle", "high"),
        ("rounds_to_target", "low"),
    ],
)
def test_higher_is_better_but_for_rounds_to_the_target(metric, best):
    values = {"low": [0.1], "high": [0.9], "oracle": [0.01]}
    figures = pl.concat([figures_of(values, name) for name in {"hr", metric}])
    table = paper_table(figures, *PLACE)
    found = cells(table, metric)
    assert [name for name, cell in found.items() if cell.is_best] == [best]
    assert {name for name, cell in found.items() if cell.is_second} == {"low", "high"} - {best}
    assert ("fewer rounds" in caption(table)) == (best == "low")


def test_what_prints_the_same_is_equally_good():
    values = {"a": [0.50001], "b": [0.50002], "c": [0.4]}
    found = cells(paper_table(figures_of(values), *PLACE), "ioi")
    assert [c.is_best for c in found.values()] == [True, True, False]
    assert [c.is_second for c in found.values()] == [False, False, True]


def test_columns_are_those_of_the_paper(invented_benchmark):
    table = paper_table(invented_benchmark(), *PLACE)
    rounds = (5, 10, 15, 20)
    main = ("hr", "ioi", "ior200", "target_accepted", "worth")
    expected = [(name, at) for name in main for at in rounds]
    assert table.columns == [*expected, ("rounds_to_target", 20), ("share_of_oracle", 20)]
    assert table.columns[8].label == "IoR@5 (cut 200)"
    official = paper_table(
        invented_benchmark(places=[("official", "official")]), "toy", "official", "official"
    )
    assert official.columns[8] == ("ior", 5)


def test_a_column_that_nobody_has_is_left_out_and_a_missing_cell_is_a_dash(invented_benchmark):
    figures = invented_benchmark().filter(pl.col("metric") != "share_of_oracle")
    figures = figures.filter(~((pl.col("metric") == "hr") & (pl.col("method") == "IPG")))
    table = paper_table(figures, *PLACE)
    assert ("share_of_oracle", 20) not in table.columns
    assert cells(table, "hr")["IPG"].mean is None
    assert "| IPG | – |" in markdown(table)


def test_markdown_marks_and_blocks():
    figures = figures_of({"oracle-greedy": [9.0], "a|b": [1.0], "*c*": [3.0]})
    table = paper_table(
        figures,
        *PLACE,
        significant={("*c*", "ioi", 20)},
        published={"a|b": {("ioi", 20): 0.5}, "unknown": {("ioi", 20): 7.0}},
    )
    assert markdown(table).splitlines()[:7] == [
        "| method | IoI@20 |",
        "| --- | ---: |",
        r"| a\|b | <u>1.0000</u> |",
        "| ↳ published | 0.5000 |",
        r"| \*c\* | **3.0000**† |",
        "| *reads the users’ minds* |  |",
        "| oracle-greedy | 9.0000 |",
    ]
    assert "† significantly better than the second best in a paired comparison" in caption(table)
    assert "may overlap" not in caption(table)  # with one seed no mean has an interval


def test_a_mark_beside_intervals_that_overlap_says_that_it_is_of_pairs():
    """Read as a test of the two means, a mark beside them would contradict their intervals."""
    figures = figures_of({"a": [1.0, 2.0, 6.0], "b": [1.0, 1.0, 2.0]})
    table = paper_table(figures, *PLACE, significant={("a", "ioi", 20)})
    told = caption(table)
    assert "† significantly better than the second best in a paired comparison: the same" in told
    assert "the ± of each mean, all by itself, does not show: they may overlap." in told
    assert "**3.0000**† ±" in markdown(table)
    assert "†" not in caption(paper_table(figures, *PLACE))


def test_intervals_stand_beside_the_means_and_the_caption_says_how_they_are_made():
    table = paper_table(figures_of({"a": [1.0, 2.0, 6.0], "b": [1.0, 1.0]}), *PLACE)
    assert "| a | **3.0000** ± 6.5729 |" in markdown(table)
    told = caption(table)
    assert "over 2 to 3 seeds ± half-width of the 95 % Student-t interval" in told
    assert "minds" not in told


def test_one_seed_is_called_one_seed():
    told = caption(paper_table(figures_of({"a": [1.0]}), *PLACE))
    assert "Mean over 1 seed;" in told


def test_terminal_table_is_styled_and_says_the_same(invented_benchmark):
    published = {"SASRec": {("hr", 20): 0.4016}}
    text = printed(paper_table(invented_benchmark(), *PLACE, published=published), 200)
    assert re.search(r"\x1b\[1m0\.3100", text)  # ITMPRec: IoI@20 is 3/4 · 0.4 + 0.01
    assert re.search(r"\x1b\[4m0\.2100", text)
    for shown in ("reads the users’ minds", "published", "0.4016", "±0.0248"):
        assert shown in text
    assert "…" not in text


def test_a_narrow_terminal_gets_the_last_round(invented_benchmark):
    text = printed(paper_table(invented_benchmark(), *PLACE), 80)
    assert "@20" in text
    assert "@15" not in text
    assert "…" not in text
    assert "Other rounds need" in text


def test_few_methods_stand_side_by_side_on_a_narrow_terminal(invented_benchmark):
    """Three of them, with one seed: every round is kept."""
    few = invented_benchmark(["next-item", "ITMPRec", "oracle-greedy"], n_seeds=1)
    table = paper_table(few, *PLACE, significant={("ITMPRec", "ioi", 5)})
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(table, 80))
    lines = [line.split() for line in text.splitlines()]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text
    assert "Other rounds" not in text
    for at in (5, 10, 15, 20):
        (shown,) = [line for line in lines if line[:1] == [f"IoI@{at}"]]
        means = [f"{cells(table, 'ioi', at)[row.method].mean:.4f}" for row in table.rows]
        assert [figure.removesuffix("†") for figure in shown[1:]] == means
    assert sum("†" in line for line in text.splitlines()) == 2  # the figure, and what it means
    assert "minds)" in text


def test_what_was_published_is_never_left_out(invented_benchmark):
    published = {"ITMPRec": {("hr", 20): 0.4016}}
    few = invented_benchmark(["next-item", "ITMPRec"], n_seeds=1)
    text = printed(paper_table(few, *PLACE, published=published), 80)
    assert "0.4016" in text
    assert "Other rounds need" in text


def test_a_narrow_terminal_keeps_every_metric(invented_benchmark):
    """Rounds of guidance that are no multiple of 5: single figures are later than the others."""
    later = pl.when(pl.col("metric") == "share_of_oracle").then(25).otherwise("round")
    figures = invented_benchmark().with_columns(later.alias("round"))
    text = printed(paper_table(figures, *PLACE), 80)
    assert all(name in text for name in ("HR", "IoI", "accepted", "@20", "@25"))
    assert "Other rounds need" in text


def test_latex_is_balanced_and_every_row_has_all_columns(invented_benchmark):
    names = ["SAS_Rec & co", "50% {x}", r"a\b~^#$", "oracle-greedy"]
    table = paper_table(invented_benchmark(names), *PLACE, significant={(names[2], "ioi", 20)})
    text = latex(table)
    unescaped = re.sub(r"\\[&%$#_{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert unescaped.count("$") % 2 == 0
    assert "%" not in unescaped
    assert "#" not in unescaped
    for line in unescaped.splitlines():
        if line.endswith(r"\\"):
            spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            assert line.count("&") + 1 + sum(spans) == 1 + len(table.columns), line
    opened = re.findall(r"\\begin\{([a-z*]+)\}", text)
    assert opened == ["table*", "tabular"]
    assert re.findall(r"\\end\{([a-z*]+)\}", text) == opened[::-1]
    assert r"\textbf{0.3100}$^{\dagger}$" in text
    assert r"\underline{0.2100}" in text
    assert r"\label{tab:toy-common-medium}" in text
    assert r"\textit{reads the users' minds}" in text
    assert text.isascii()


def test_parquet_holds_the_numbers(invented_benchmark, tmp_path):
    figures = invented_benchmark()
    path = write_parquet(paper_table(figures, *PLACE), tmp_path / "deep" / "t.parquet")
    wide = pl.read_parquet(path)
    assert wide["method"].to_list() == ["SASRec", "IPG", "ITMPRec", "oracle-greedy"]
    assert wide["is_oracle"].to_list() == [False, False, False, True]
    # Seeds add 0, 0.01 and 0.02: their standard deviation is 0.01.
    assert wide["ioi@20"].to_list() == pytest.approx([0.11, 0.21, 0.31, 0.41])
    assert wide["ioi@20_half_width"].to_list() == pytest.approx([4.303 * 0.01 / math.sqrt(3)] * 4)


def test_parquet_of_one_seed_has_empty_half_widths(invented_benchmark):
    wide = wide_frame(paper_table(invented_benchmark(n_seeds=1), *PLACE))
    assert wide["ioi@20_half_width"].dtype == pl.Float64
    assert wide["ioi@20_half_width"].null_count() == 4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.head(0), "at least one mean"),
        (lambda f: f.drop("seed", "low"), "seed, low not found"),
        (lambda f: pl.concat([f, f]), "once; twice: toy, common, medium, SASRec"),
        (
            lambda f: f.with_columns(world=pl.lit("steep")),
            "found: toy, protocol common, world steep",
        ),
        (lambda f: f.filter(metric="rank"), "must hold hr, ioi or ior"),
    ],
)
def test_bad_figures_end_in_one_sentence(invented_benchmark, spoil, message):
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        paper_table(spoil(invented_benchmark()), *PLACE)
