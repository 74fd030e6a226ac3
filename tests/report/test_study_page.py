"""Page, tables and plots of a study whose figures are invented."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from proactrec.report import study_plots
from proactrec.report.study_page import study_tables, write_study

from .conftest import HOSTILE

NAMES = ("distribution", "llm")


def interval(mean: float | None, half: float = 0.01) -> dict[str, float | None]:
    ends = (None, None) if mean is None else (mean - half, mean + half)
    return {"mean": mean, "low": ends[0], "high": ends[1]}


def discrimination(value: float) -> dict[str, Any]:
    return {
        "accuracy": interval(value),
        "auc": {"random": interval(value + 0.02), "popular": interval(None)},
        "mean_chance": dict.fromkeys(("real", "random", "popular"), interval(value)),
        "share_without_answer": 0.125,
        "share_graded": 1.0,
    }


def agreement(value: float | None) -> dict[str, Any]:
    return dict.fromkeys(
        ("correlation", "kappa", "same_decision", "mean_difference"), interval(value)
    )


def click_model(value: float) -> dict[str, Any]:
    return {
        **discrimination(value),
        "brier": interval(0.2),
        "calibration_error": interval(0.1),
        "reliability": [
            {"n": 30, "mean_chance": 0.15, "share_real": interval(0.2)},
            {"n": 1, "mean_chance": value, "share_real": interval(0.9)},
        ],
        "popularity": {
            "rank_correlation": interval(0.3),
            "fifths": [
                {"least": at, "most": at + at % 2, "n": 3, "mean_chance": interval(at / 10)}
                for at in range(1, 6)
            ],
        },
        "order": agreement(0.75),
    }


def guidance(gain: float) -> dict[str, Any]:
    return {
        "metrics": {"ioi": {"2": interval(gain)}},
        "outcome": {"target_accepted": interval(0.5)},
        "pairs": {"n_no_answer": 7},
        "curves": {metric: [interval(gain / 2), interval(gain)] for metric in ("ioi", "ior")},
    }


def journey(*accepted: bool) -> dict[str, Any]:
    return {
        "interest": [0.1, 0.4],
        "rank": [1234, 7],
        "rounds": [
            {"title": HOSTILE, "is_target": False, "accepted": yes, "chance": 0.25 if yes else None}
            for yes in accepted
        ],
    }


@pytest.fixture
def figures() -> dict[str, Any]:
    models = {"distribution": click_model(0.6), "llm": click_model(0.7)}
    return {
        "dataset": "toy",
        "synthetic": True,
        "policy": "itmprec",
        "protocol": "common",
        "world": "medium",
        "seed": 0,
        "targets": [{"title": HOSTILE}],
        "responses": {"llm": {"model": HOSTILE}},
        "held_out": {
            "n_users": 9,
            "n_negatives": 1,
            "share_real": 1 / 3,
            "click_models": models,
            "agreement": agreement(0.4321),
            "modes": {
                "probability": {**discrimination(0.7), "agreement": agreement(1.0)},
                "text": {**discrimination(0.65), "agreement": agreement(None)},
            },
        },
        "guidance": {"distribution": guidance(0.3), "llm": guidance(0.2)},
        "differences": [{"metric": "ioi", "round": 2, **interval(-0.1)}],
        "journeys": [
            {
                "user_id": "u1",
                "history": ["Alpha", HOSTILE],
                "target": HOSTILE,
                "click_models": {"distribution": journey(True), "llm": journey(False, True)},
            }
        ],
        "cost": {
            "prompt_tokens": 321.5,
            "answer_tokens": 1.0,
            "n_decisions": {"held_out": 108, "guidance": 1_900},
            "cost_of_1000": 0.25,
            "cost": {"held_out": 0.027, "guidance": 0.475},
        },
    }


@pytest.fixture
def spent() -> dict[str, Any]:
    return {
        "usage": {"n_requests": 12, "prompt_tokens": 3_000, "answer_tokens": 12, "cost": 0.003},
        "seconds": {"held_out": 3.5, "guidance": {"distribution": 0.5, "llm": 12.5}},
    }


def test_tables_say_what_was_found(figures: dict[str, Any], spent: dict[str, Any]) -> None:
    tables = study_tables(figures, spent)
    held_out = dict(tables["held-out items"].rows)
    assert tables["held-out items"].columns == ["calibrated users", "language model"]
    assert held_out["balanced accuracy at 0.5"] == ["0.600 (0.590–0.610)", "0.700 (0.690–0.710)"]
    assert held_out["AUC against popular items"] == ["–", "–"]  # not defined
    assert held_out["share without an answer"] == ["0.125", "0.125"]
    assert dict(tables["agreement"].rows)["Cohen's kappa at 0.5"] == ["0.432 (0.422–0.442)"]
    assert tables["reading an answer"].columns == ["probability", "text"]
    guided = dict(tables["guidance"].rows)
    assert guided["IoI@2"][1:] == ["0.200 (0.190–0.210)", "−0.100 (−0.110 – −0.090)"]
    assert guided["decisions without an answer"] == ["7", "7", "–"]
    cost = dict(tables["cost"].rows)
    assert cost["decisions, guidance"] == ["1,900"]
    assert cost["price of all of them"] == ["0.5020"]
    assert cost["sent now: tokens"] == ["3,012"]
    assert cost["seconds, guidance"] == ["12.5"]


def test_page_is_self_contained_and_escapes_titles(
    figures: dict[str, Any], spent: dict[str, Any], tmp_path: Path
) -> None:
    path = write_study(tmp_path / "deep" / "study.html", figures, spent, {"a": HOSTILE})
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "http" not in text
    assert text.count("<svg") == 4
    assert "A generated world" in text
    still_open: list[str] = []

    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "br"):
                still_open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert still_open.pop() == tag

    Page().feed(text)
    assert not still_open


def test_journeys_stand_beside_each_other(
    figures: dict[str, Any], spent: dict[str, Any], tmp_path: Path
) -> None:
    text = write_study(tmp_path / "study.html", figures, spent, {}).read_text(encoding="utf-8")
    body = re.search(r"<tbody>\s*<tr><td class=\"right\">1</td>(.*?)</tbody>", text, re.DOTALL)
    assert body is not None
    first, second = body[1].split('<td class="right">2</td>')
    assert re.findall("accepted|skipped", first) == ["accepted", "skipped"]
    assert re.findall("25 %|–", first) == ["25 %", "–"]  # the model gave no answer
    assert re.findall("accepted|skipped", second) == ["accepted"]  # the other pair had stopped
    assert second.count("<td></td>") == 3
    assert "interest 0.100 → 0.400, rank 1,234 → 7" in text
    figures["journeys"] = []
    text = write_study(tmp_path / "study.html", figures, spent, {}).read_text(encoding="utf-8")
    assert "Journeys side by side" not in text


def test_plots_draw_the_figures(figures: dict[str, Any]) -> None:
    drawn = study_plots.study_plots(figures)
    assert list(drawn) == ["reliability", "popularity", "ioi", "ior"]
    lines = {name: figure.axes[0].lines for name, (figure, _) in drawn.items()}
    assert [line.get_ydata().tolist() for line in lines["ioi"]] == [[0, 0.15, 0.3], [0, 0.1, 0.2]]
    assert lines["reliability"][2].get_xdata().tolist() == [0.15, 0.7]
    assert lines["popularity"][0].get_ydata().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    ticks = [label.get_text() for label in drawn["popularity"][0].axes[0].get_xticklabels()]
    assert ticks == ["1–2", "2", "3–4", "4", "5–6"]
    for name, (figure, _) in drawn.items():
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert [text.split(" 0.")[0] for text in texts] == ["calibrated users", "language model"], (
            name
        )
    assert lines["ioi"][0].get_color() != lines["ioi"][1].get_color()
