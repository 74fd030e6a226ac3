import importlib
import os
import re
import sys
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

import proactrec
from proactrec.errors import InvalidInputError, MissingExtraError
from proactrec.measurement.results import Figure, RunResult
from proactrec.report import html


class Page(HTMLParser):
    """Tags, ids, and everything that would be fetched, of a page whose tags must match."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.note(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.note(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def note(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.links.append(value)


LEAST = [name for name, field in RunResult.model_fields.items() if field.is_required()]


@pytest.fixture
def write(write_drawn, monkeypatch):
    """The page without drawings, which take a second."""
    monkeypatch.setattr(html.drawing, "svg", lambda _figure: "<svg></svg>")
    return write_drawn


@pytest.fixture
def write_drawn(tmp_path, result, log, dataset, trace):
    def written(**changes):
        given = {"result": result, "log": log, "dataset": dataset, **trace, **changes}
        path = html.write_report(tmp_path / "deep" / "report.html", **given)
        return path.read_text(encoding="utf-8")

    return written


def test_page_is_self_contained_and_well_formed(write_drawn):
    text = write_drawn()
    page = Page(text)
    assert "http://" not in text
    assert "https://" not in text
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "@import" not in text
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)


def test_ids_of_all_drawings_are_unique(write_drawn):
    ids = Page(write_drawn()).ids
    assert ids
    assert len(ids) == len(set(ids))


def test_headline_and_table_show_the_numbers_of_the_result(write):
    text = write()
    for shown in ("HR@3", "0.523", "0.423–0.623", "IoI@3", "IoR@3", "34.5", "rounds to target"):
        assert shown in text
    tiles = text.partition('class="tiles"')[2].partition("</section>")[0]
    for shown in ("Target accepted@1", "0.123", "Target accepted@3", "0.456"):
        assert tiles.count(shown) == 1
    assert "whose user has accepted the target by the round" in text


def test_what_was_foreseen_stands_beside_what_came(write, result):
    assert "What was foreseen" not in write()
    last = max(result.rounds)
    figures = [
        {
            "segment": segment,
            "metric": metric,
            "round": number,
            "median": 0.5,
            "intervals": {"0.8": [low, 0.6], "0.95": [low - 0.1, 0.7]},
        }
        for segment in ("all", "some")
        for number in (1, last)
        for metric, low in (("hr", 0.4), ("ioi", 0.1))
    ]
    result.metrics["hr"][last] = Figure(mean=0.65)
    result.metrics["ioi"][last] = Figure(mean=0.9)
    text = write(forecast={"figures": figures, "caution": "They may not hold."})
    Page(text)
    section = text.partition("What was foreseen")[2].partition("</section>")[0]
    assert section.count("<tr>") == 3  # heads, HR and IoI of everybody at the last round
    assert "inside 95 %" in section
    assert "outside" in section
    assert "0.4" in section
    assert "They may not hold." in section
    assert "What was foreseen" in write(forecast={"figures": figures})  # made before there was one


def test_data_is_escaped_everywhere(write_drawn):
    text = write_drawn()
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text
    assert "&lt;b&gt;Noir&lt;/b&gt;" in text
    assert "&lt;i&gt;medium&lt;/i&gt;" in text
    assert "<span>&amp;</span>" in text  # of the command


def test_journeys_tell_every_round(write):
    text = write()
    assert "2 guided journeys" in text
    first, second = re.findall(r'<details class="card journey".*?</details>', text, flags=re.DOTALL)
    assert "User u0 → Epsilon" in first
    # User 0 touched items 1 to 4; the last two are held out.
    assert re.findall(r"<li>(.*?)</li>", first) == ["Alpha", "Beta"]
    assert first.count("✓ accepted") == 2
    assert first.count("skipped") == 1
    assert "target not accepted" in first
    assert "+0.300" in first
    assert "rank 6 → 3" in first
    assert "accepted the target in round 2" in second
    assert second.count('class="is-target"') == 1
    assert second.count("✓ accepted") == 2
    assert "nan" not in second


def test_a_journey_that_ends_early_says_why(write, log):
    log.item_idx[0, 1:] = 0
    log.is_counted[5] = False
    text = write()
    assert "target not accepted; nothing was left to show after round 1" in text
    assert "had the target before" in text
    assert "the user left" not in text


def test_who_left_is_said_to_have_left(write, log):
    log.item_idx[0, 1:] = 0
    log.left_after[0] = 1
    log.left_after[5] = 2
    text = write()
    assert "target not accepted; the user left after round 1" in text
    assert "accepted the target in round 2; the user left after round 2" in text
    assert "nothing was left" not in text


def test_heat_map_is_of_the_journey_that_moved_most(write, log):
    log.interest[0, -1] = -1.0
    assert f"User u{log.user_idx[5]} and" in write()


def test_heat_map_tells_how_its_journey_ended(write, log):
    log.interest[0] = 0
    for shown, told in (
        ([1, 6, 0], "accepted the target in round 2"),
        ([6, 1, 0], "accepted the target in round 1; nothing was left to show after round 2"),
        ([1, 2, 3], "target not accepted"),
    ):
        log.item_idx[5] = shown
        log.accepted[5] = [shown_item == 6 for shown_item in shown]
        caption = write().partition("The journey that moved most")[2].partition("</section>")[0]
        assert f"Not a typical one; {told}" in caption


def test_demo_world_is_named_as_such(write, result):
    assert "not real people" in write()
    assert "not real people" not in write(result=result.model_copy(update={"synthetic": False}))


@pytest.mark.parametrize(
    ("key", "heading"),
    [
        ("metrics", "Metrics over the rounds"),
        ("outcome", "Outcome of the whole run"),
        ("targets", "<h2>Targets</h2>"),
        ("interest_vectors", "Spread of the interest vectors"),
        ("options", "Every setting"),
        ("versions", "Versions"),
        ("command", '<pre class="command">'),
    ],
)
def test_a_section_without_data_is_left_out(write, result, key, heading):
    assert heading in write()
    lacking = {name: value for name, value in result.content().items() if name != key}
    text = write(result=RunResult(**lacking))
    Page(text)
    assert heading not in text


def test_a_command_breaks_at_its_spaces_only(write):
    _, _, after = write().partition('<pre class="command">')
    command = after.partition("</pre>")[0]
    assert command.startswith(
        "<span>proactrec</span> <span>simulate</span> <span>--category</span> "
    )
    assert unescape(re.sub("<.*?>", "", command)) == "proactrec simulate --category 'A & B'"


def test_the_least_result_makes_a_page(write_drawn, result, trace):
    nothing = {name: part[:0] for name, part in trace.items()}
    needed = {name: value for name, value in result.content().items() if name in LEAST}
    text = write_drawn(result=RunResult(**needed), **nothing)
    Page(text)
    assert "How guidance went" in text
    assert "journey" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_encoder_stands_beside_popularity(write):
    text = write()
    for shown in (
        "encoder, validation",
        "popularity, validation",
        "encoder, test",
        "0.1234",
        "0.0432",
    ):
        assert shown in text
    assert "popularity, test" not in text


def test_settings_are_yaml(write):
    assert "mean_accept: 0.5" in write()


def test_failed_rendering_leaves_the_old_page_and_no_other_file(write, tmp_path, monkeypatch):
    old = write()

    def broken(*_args):
        raise RuntimeError("no disk")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(RuntimeError, match="no disk"):
        write()
    monkeypatch.setattr(html, "journeys_of", broken)
    with pytest.raises(RuntimeError, match="no disk"):
        write()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8") == old


def test_trace_that_does_not_fit_is_refused(write, trace):
    with pytest.raises(InvalidInputError, match="vectors must be"):
        write(vectors=trace["vectors"][:, :-1])
    with pytest.raises(InvalidInputError, match="rows of the log"):
        write(traced_pairs=np.array([0, 10]))


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("jinja2", "html"),
        ("matplotlib", "plots"),
        ("matplotlib", "html"),
        ("matplotlib", "benchmark.plots"),
    ],
)
def test_missing_extra_names_the_install_line(monkeypatch, library, module):
    monkeypatch.setitem(sys.modules, library, None)
    for name in [name for name in sys.modules if name.startswith("proactrec.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(proactrec, "report")
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'proactrec[report]'")):
        importlib.import_module(f"proactrec.report.{module}")
