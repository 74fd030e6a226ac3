import itertools
import re

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb

from proactrec.errors import InvalidInputError
from proactrec.report.benchmark.figures import ORACLES
from proactrec.report.benchmark.looks import COLOURS, main_methods
from proactrec.report.benchmark.plots import (
    SHORTEST,
    cost_plot,
    rounds_plot,
    sensitivity_plot,
    worlds_heat_map,
)
from proactrec.report.drawing import FAINT, svg

PLACE = ("toy", "common", "medium")
MANY = [*(f"method {n}" for n in range(12)), "oracle-greedy", "oracle-lookahead"]


def boxes_of_texts(figure):
    """Bounding boxes of all texts that are drawn, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [label for tick in ticks for label in (tick.label1, tick.label2)]
    shown = [text for text in texts if text.get_text().strip() and text.get_visible()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown]


def assert_no_overlap(figure):
    boxes = boxes_of_texts(figure)
    for (one, box), (other, other_box) in itertools.combinations(boxes, 2):
        assert not box.padded(-1).overlaps(other_box.padded(-1)), (one, other)
    for text, box in boxes:
        inside = figure.bbox.padded(1)
        assert inside.contains(*box.min), text
        assert inside.contains(*box.max), text


def method_lines(figure):
    return figure.axes[0].lines


def bands(figure):
    found = figure.axes[0].collections
    return [c for c in found if isinstance(c, PolyCollection)]


@pytest.mark.parametrize(("metric", "scale"), [("interest", 1), ("rank", 500), ("accepted", 0.5)])
def test_lines_are_gains_since_round_0(invented_benchmark, metric, scale):
    figure = rounds_plot(invented_benchmark(), *PLACE, metric)
    lines = method_lines(figure)
    assert len(lines) == 4
    # Mean over seeds of method k: (k + 1) / 4 · 0.4 + 0.01.
    for line, gain in zip(lines, (0.11, 0.21, 0.31, 0.41), strict=True):
        assert line.get_ydata() == pytest.approx(scale * gain * np.arange(21) / 20)


def test_a_band_is_the_interval_of_the_gain_over_seeds(invented_benchmark):
    figure = rounds_plot(invented_benchmark(), *PLACE, "interest")
    assert len(bands(figure)) == 4
    heights = bands(figure)[0].get_paths()[0].vertices[:, 1]
    half_width = 4.303 * 0.01 / np.sqrt(3)
    assert heights.max() == pytest.approx(0.11 + half_width)
    alone = rounds_plot(invented_benchmark(n_seeds=1), *PLACE, "interest")
    assert bands(alone) == []


def test_colours_tell_the_main_methods_apart_and_oracles_are_dashed(invented_benchmark):
    figure = rounds_plot(invented_benchmark(MANY), *PLACE, "interest")
    lines = method_lines(figure)
    colours = [to_hex(line.get_color()) for line in lines]
    assert colours[:6] == [FAINT] * 6
    assert colours[6:12] == list(COLOURS)
    assert len(set(colours[6:12])) == 6
    assert [line.is_dashed() for line in lines] == [False] * 12 + [True] * 2
    assert lines[12]._unscaled_dash_pattern != lines[13]._unscaled_dash_pattern
    assert any(ORACLES in text.get_text() for text in figure.axes[0].texts)


def test_main_methods_are_the_best_in_order_of_appearance_without_oracles(invented_benchmark):
    figures = invented_benchmark(["oracle", *"abcdefgh"])
    assert main_methods(figures) == [*"cdefgh"]
    assert main_methods(figures.filter(pl.col("metric") != "ioi")) == [*"abcdef"]


@pytest.mark.parametrize("metric", ["interest", "rank", "accepted"])
def test_labels_of_crowded_lines_do_not_overlap(invented_benchmark, metric):
    figures = invented_benchmark([f"quite a long name {n}" for n in range(14)] + MANY[-2:])
    crowded = figures.with_columns(
        pl.when(pl.col("metric") == metric)
        .then(pl.col("mean").mean().over("metric", "round") + pl.col("mean") / 1000)
        .otherwise("mean")
        .alias("mean")
    )
    figure = rounds_plot(crowded, *PLACE, metric)
    assert_no_overlap(figure)
    (leaders,) = (c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    assert len(leaders.get_segments()) == 16


def test_cost_has_a_labelled_dot_per_method(invented_benchmark):
    figure = cost_plot(invented_benchmark(MANY), *PLACE)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert set(MANY) <= {text.get_text() for text in axes.texts}
    dots = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx([1.3**n for n in range(14)])
    assert [dot.get_marker() for dot in dots] == ["o"] * 12 + ["D"] * 2
    assert_no_overlap(figure)


def test_cost_labels_do_not_overlap_where_methods_are_alike(invented_benchmark):
    seconds = pl.col("metric") == "guidance_seconds"
    figures = invented_benchmark(MANY).with_columns(
        pl.when(seconds).then(5.0).otherwise(pl.col("mean") / 3).alias("mean")
    )
    assert_no_overlap(cost_plot(figures, *PLACE))


def test_a_time_of_zero_is_drawn_as_the_shortest(invented_benchmark):
    seconds = pl.col("metric") == "guidance_seconds"
    figures = invented_benchmark().with_columns(
        pl.when(seconds).then(0.0).otherwise("mean").alias("mean")
    )
    axes = cost_plot(figures, *PLACE).axes[0]
    assert axes.lines[0].get_xdata()[0] == SHORTEST
    assert axes.get_xlim() == pytest.approx((0.0005, 0.002))


def test_sensitivity_is_by_the_value_of_the_method(invented_benchmark):
    figures = invented_benchmark(["Q=50", "Q=1", "Q=10", "other"])
    values = {"Q=50": 50, "Q=1": 1, "Q=10": 10}
    figure = sensitivity_plot(figures, *PLACE, values, ("ioi", "ior200"), "number of intents")
    left, right = figure.axes
    (line,) = (line for line in left.lines if len(line.get_xdata()) == 3)
    assert list(line.get_xdata()) == [1, 10, 50]
    assert line.get_ydata() == pytest.approx([0.21, 0.31, 0.11])
    assert len(left.collections) == 3  # error bars
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == (
        "IoI@20",
        "IoR@20 (cut 200)",
    )
    assert left.get_xscale() == "log"
    assert left.get_xlabel() == "number of intents"
    assert_no_overlap(figure)


def test_heat_map_writes_every_value_and_keeps_oracles_apart(invented_benchmark):
    places = [("common", "flat"), ("common", "medium"), ("official", "official")]
    figures = invented_benchmark(["oracle-greedy", "IPG", "ITMPRec"], places)
    figures = figures.filter(~((pl.col("method") == "IPG") & (pl.col("world") == "medium")))
    figure = worlds_heat_map(figures, "toy")
    common, official = figure.axes
    names = [label.get_text() for label in common.get_yticklabels()]
    assert names == ["IPG", "ITMPRec", ORACLES, "oracle-greedy"]
    assert [label.get_text() for label in common.get_xticklabels()] == ["flat", "medium"]
    # Row by row: strength · k / 3 + 0.01; IPG is missing in the medium world.
    texts = [text.get_text() for text in common.texts]
    assert texts == ["0.143", "–", "0.210", "0.410", "0.077", "0.143"]
    assert len(common.patches) == 5
    assert [text.get_text() for text in official.texts] == ["0.343", "0.510", "0.177"]
    assert_no_overlap(figure)


def test_values_are_readable_on_their_cells(invented_benchmark):
    figure = worlds_heat_map(invented_benchmark(MANY), "toy")
    axes = figure.axes[0]

    def luminance(colour):
        parts = np.array(to_rgb(colour))
        parts = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return parts @ [0.2126, 0.7152, 0.0722]

    for text, cell in zip(axes.texts, axes.patches, strict=True):
        dark, light = sorted([luminance(text.get_color()), luminance(cell.get_facecolor())])
        assert (light + 0.05) / (dark + 0.05) > 4.4


def test_every_colour_follows_the_theme_of_the_page(invented_benchmark):
    text = svg(rounds_plot(invented_benchmark(MANY), *PLACE, "interest"))
    fixed = re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})", text)
    assert set(fixed) <= {"#ffffff", "#000000"}
    assert "<title>Increase of interest" in text


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda f: rounds_plot(f, *PLACE, "hr"), "must be one of accepted, interest, rank"),
        (lambda f: rounds_plot(f.head(0), *PLACE, "rank"), "at least one mean"),
        (
            lambda f: rounds_plot(f, "other", "common", "medium", "rank"),
            "figures must hold other, protocol common, world medium; found: toy",
        ),
        (
            lambda f: rounds_plot(f.filter(metric="ioi"), *PLACE, "rank"),
            "figures must hold rank for toy",
        ),
        (
            lambda f: rounds_plot(f.filter(pl.col("round") > 0), *PLACE, "rank"),
            "rank at round 0",
        ),
        (
            lambda f: cost_plot(f.filter(metric="ioi"), *PLACE),
            "figures must hold guidance_seconds for toy",
        ),
        (
            lambda f: sensitivity_plot(f, *PLACE, {"Q=1": 1}, ["ioi"], "Q"),
            "found none of ['Q=1']",
        ),
        (lambda f: worlds_heat_map(f, "toy", "ioi", 7), "ioi at round 7 of toy"),
    ],
)
def test_missing_figures_end_in_one_sentence(invented_benchmark, draw, message):
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        draw(invented_benchmark())
