"""The page of `proactrec explain`: whole, escaped, and with a way out."""

from pathlib import Path
from typing import Any

import pytest

from proactrec.report.explain_page import write_explanations

from .test_html import Page

HOSTILE = "<script>alert('x')</script> & $co$t"


def item(title: str, *categories: str) -> dict[str, Any]:
    return {"item_id": title, "title": title, "categories": categories}


def shown(number: int, title: str, **changes: Any) -> dict[str, Any]:
    return {
        "round": number,
        "item": item(title, "Noir", "<b>War</b>"),
        "accepted": False,
        "is_target": False,
        "is_promoted": True,
        "knows_policy": True,
        "shared": ("Noir",),
        "figures": {"similarity_now": 0.1 * number},
        "words": [f"Reason of {title}."],
        **changes,
    }


@pytest.fixture
def content() -> dict[str, Any]:
    rounds = [
        shown(1, HOSTILE, accepted=True),
        shown(2, "Plain one", is_promoted=False, figures={}),
        shown(3, "Goal", accepted=True, is_target=True),
    ]
    return {
        "user_id": "u<1>",
        "for": "staff",
        "is_off": False,
        "dataset": "/srv/shop/toy",
        "synthetic": False,
        "policy": "/srv/policies/mine.py",
        "protocol": "common",
        "seed": 0,
        "opt_out": "echo 'u<1>' >> never-guide.txt\nproactrec run --out /srv/runs/a --opt-out x",
        "paths": [{"target": item("Goal", "Noir"), "left_out": None, "explanations": rounds}],
    }


def test_page_tells_the_path_and_how_to_end_it(content: dict[str, Any], tmp_path: Path) -> None:
    path = write_explanations(tmp_path / "deep" / "why.html", content)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert [link for link in page.links if link != "#stop"] == []
    assert "http" not in text
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text
    assert "&lt;b&gt;War&lt;/b&gt;" in text
    assert "3 shown, 2 taken; you took the target in round 3" in text
    assert text.count("✓ taken") == 2
    assert text.count('class="mark promoted"') == 2
    assert text.count('class="mark plain"') == 1
    assert text.count('class="is-target"') == 1
    assert text.count('class="bar"') == 2  # none where the policy tells no similarity
    assert "<code>--opt-out</code> names" in text
    assert "Add <code>u&lt;1&gt;</code> to that file" in text
    assert "Histories are real" in text
    assert "Reason of Plain one." in text


def test_page_of_a_user_who_opted_out_gives_no_command(
    content: dict[str, Any], tmp_path: Path
) -> None:
    content |= {"is_off": True, "opt_out": "", "synthetic": True}
    content["paths"][0]["left_out"] = item("Alpha")
    text = write_explanations(tmp_path / "why.html", content).read_text(encoding="utf-8")
    assert "Guidance is switched off for this user" in text
    assert "never-guide" not in text
    assert "A generated world, not real people" in text
    assert "what if “Alpha” were not in your history?" in text


def test_no_page_names_a_folder_of_the_server(content: dict[str, Any], tmp_path: Path) -> None:
    text = write_explanations(tmp_path / "why.html", content).read_text(encoding="utf-8")
    assert "/srv" not in text
    assert "<li><span>dataset</span>toy</li>" in text
    assert "<li><span>policy</span>mine.py</li>" in text


@pytest.mark.parametrize("is_off", [False, True])
def test_a_customer_sees_reasons_and_nothing_of_the_machine(
    is_off: bool, content: dict[str, Any], tmp_path: Path
) -> None:
    content = {
        "user_id": "u<1>",
        "for": "customer",
        "is_off": is_off,
        "synthetic": False,
        "paths": content["paths"],
    }
    for one in content["paths"][0]["explanations"]:
        del one["figures"]
    text = write_explanations(tmp_path / "why.html", content).read_text(encoding="utf-8")
    Page(text)
    words = text.partition("<body>")[2]
    for inside in (
        "rails",
        "opt-out",
        "opt_out",
        "proactrec explain",
        "cosine",
        "protocol",
        "simulated",
        "u&lt;",
    ):
        assert inside not in words
    assert "<h1>Why you were shown this</h1>" in text
    assert "you took the target in round 3" in text
    assert "Reason of Plain one." in text
    assert text.count('class="mark promoted"') == 2
    assert 'class="bar"' not in words
    assert ("switched off for you" in text) == is_off
    assert ("Say to the service that showed you these items" in text) != is_off


def test_page_of_a_round_without_items_is_whole(content: dict[str, Any], tmp_path: Path) -> None:
    content["paths"][0]["explanations"] = []
    page = Page(write_explanations(tmp_path / "why.html", content).read_text(encoding="utf-8"))
    assert "table" in page.tags
