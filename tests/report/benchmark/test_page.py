import re
from html.parser import HTMLParser

import polars as pl
import pytest

from proactrec.report.benchmark import page

PLACES = [("common", "flat"), ("common", "medium"), ("official", "official")]


@pytest.fixture
def write(tmp_path, invented_benchmark, monkeypatch):
    """The page without drawings, which take seconds."""
    monkeypatch.setattr(page, "svg", lambda _figure: "<svg></svg>")

    def written(figures=None, settings=None, **how):
        given = invented_benchmark(places=PLACES) if figures is None else figures
        path = page.write_benchmark(tmp_path / "deep" / "page.html", given, settings or {}, **how)
        return path.read_text(encoding="utf-8")

    return written


def test_page_has_a_table_and_plots_for_every_place(write):
    text = write(settings={"seeds": [0, 1, 2]})
    heads = re.findall(r"<h3>(.*?)</h3>", text)
    assert heads == [
        "toy, protocol common, world flat",
        "toy, protocol common, world medium",
        "toy, protocol official",
    ]
    assert text.count("<table") == 3
    assert text.count("<svg>") == 3 * 4 + 3  # four plots a place, three heat maps
    assert text.count("has accepted the target by the round") == 3
    assert "<b>0.3100</b>" in text
    assert "<u>0.2100</u>" in text
    assert text.count('class="block"') == 3
    assert "seeds:" in text
    assert "Student-t" in text


def test_page_is_self_contained_and_its_tags_match(tmp_path, invented_benchmark):
    figures = invented_benchmark(["<script>alert(1)</script>", "a & b"], PLACES[1:2], 1)
    path = page.write_benchmark(tmp_path / "page.html", figures, {"a": "<i>"})
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<i>" not in text
    assert "http" not in text
    still_open = []

    class Page(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br"):
                still_open.append(tag)

        def handle_endtag(self, tag):
            assert still_open.pop() == tag

    Page().feed(text)
    assert still_open == []


def test_marks_and_published_figures_are_of_their_place(write):
    place = ("toy", "common", "medium")
    text = write(
        significant={place: {("ITMPRec", "ioi", 20)}},
        published={place: {"IPG": {("ioi", 20): 0.4690}}},
    )
    assert text.count("<b>0.3100</b>†") == 1
    assert text.count('<span class="interval">† paired</span>') == 1
    assert text.count('<tr class="published">') == 1
    assert "<td>0.4690</td>" in text


def test_a_plot_without_its_metric_is_left_out(write, invented_benchmark):
    figures = invented_benchmark().filter(pl.col("metric").is_in(["hr", "ioi", "interest"]))
    text = write(figures)
    assert text.count("<svg>") == 1
    assert "<h2>Settings</h2>" not in text
