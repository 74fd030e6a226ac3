"""The parts of the site's build that must not miss anything: links, pages, formulas, docstrings."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from .blocks import ROOT

REPOSITORY = "https://example.com/own"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Gives a module of docs/site."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    return import_module


def test_what_leads_nowhere_is_found(part: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "a b.png").touch()
    (tmp_path / "other" / "index.html").write_text('<h2 id="here">Here</h2><a href="../">up</a>')
    good = '<p id="top"><a href="#top">a</a><a href="other/#here">b</a><img src="a%20b.png">'
    page = tmp_path / "index.html"
    page.write_text(good + '<a href="https://example.com/nowhere">c</a>')
    assert part("links").broken(tmp_path) == []
    for lead in ("#nowhere", "other/#nowhere", "nowhere/", "other/nowhere.html"):
        page.write_text(f'{good}<a href="{lead}">d</a>')
        assert part("links").broken(tmp_path) == [f"index.html leads to {lead}"]
    page.write_text(f'{good}<img src="nowhere.png">')
    assert part("links").broken(tmp_path) == ["index.html leads to nowhere.png"]


def test_links_out_of_the_pages_lead_to_the_repository(part: Callable[[str], Any]) -> None:
    page = part("pages").page
    text = "[a](../../src/proactrec/intents.py#L3) [b](rails.md#caps) [c](https://x.org) [d](#e)"
    assert page(text, "guide/x.md", REPOSITORY) == (
        f"[a]({REPOSITORY}/blob/main/src/proactrec/intents.py#L3) "
        "[b](rails.md#caps) [c](https://x.org) [d](#e)"
    )
    assert page("[a](../src)", "x.md", REPOSITORY) == f"[a]({REPOSITORY}/tree/main/src)"
    with pytest.raises(part("pages").BrokenLinkError, match=r"docs/guide/x\.md leads to .*nowhere"):
        page("[a](../../src/nowhere.py)", "guide/x.md", REPOSITORY)


def test_fences_lose_their_marks_and_nothing_else(part: Callable[[str], Any]) -> None:
    text = "```console run\ncosts=$1 [a](../nowhere)$\n```\n\n```python save=x.py\ny = 1\n```\n"
    assert part("pages").page(text, "x.md", REPOSITORY) == text.replace(" run", "").replace(
        " save=x.py", ""
    )


def test_formulas_become_mathml_and_code_stays(part: Callable[[str], Any]) -> None:
    text = part("pages").page(r"| $a_u \lvert b \rvert$ | `$HOME` and $5 |", "x.md", REPOSITORY)
    assert text.count("|") == 3
    assert "<msub><mi>a</mi><mi>u</mi></msub>" in text
    assert text.endswith("`$HOME` and $5 |")


def test_an_interval_breaks_into_two_lines_at_most(part: Callable[[str], Any]) -> None:
    text = part("pages").page(
        "| **0.58**† ± 0.01 | +0.1 (-0.2 to +0.4) | `1 ± 2` to 3 |", "x.md", REPOSITORY
    )
    assert text == "| **0.58**† ±\u00a00.01 | +0.1 (−0.2\u00a0to +0.4) | `1 ± 2` to 3 |"


def test_intervals_in_brackets_stay_whole(part: Callable[[str], Any]) -> None:
    text = part("pages").page("| 0.8 (0.83–0.84) | 0.2 [+0.1, +0.3] |", "x.md", REPOSITORY)
    assert text == '| 0.8 <span class="whole">(0.83–0.84)</span> | 0.2 [+0.1,\u00a0+0.3] |'


def test_a_picture_leads_to_its_file_and_a_day_stays_whole(part: Callable[[str], Any]) -> None:
    text = part("pages").page("![A plot](a.png)\n\n| 2026-11-28 |\n", "x.md", REPOSITORY)
    assert text == ('[![A plot](a.png)](a.png)\n\n| <span class="whole">2026-11-28</span> |\n')


def test_an_index_stands_beside_a_letter_with_an_accent(part: Callable[[str], Any]) -> None:
    for tex in (r"\hat R_g", r"\hat{R}_g", r"\hat R_g^2", r"\bar\mu^{(l)}"):
        made = part("formulas").mathml(tex)
        assert "munder" not in made, tex
        assert "</mover><ms" in made, tex


def test_one_half_is_not_twelve_parts_of_what_follows(part: Callable[[str], Any]) -> None:
    mathml = part("formulas").mathml
    assert mathml(r"\frac12 x") == mathml(r"\frac{1}{2} x")
    assert mathml(r"\tfrac1n x") == mathml(r"\tfrac{1}{n} x")


def test_formulas_of_docstrings_begin_on_either_line(part: Callable[[str], Any]) -> None:
    markdown = part("docstrings").markdown
    made = markdown(".. math:: a_b\n\nAfter.", None)
    assert made == markdown(".. math::\n    a_b\n\nAfter.", None)
    assert made.startswith('<span class="formula"><math')
    assert made.endswith("</math></span>\n\nAfter.")


def test_patterns_of_the_navigation_take_what_nothing_else_names(
    part: Callable[[str], Any], tmp_path: Path
) -> None:
    build, page = part("build"), part("reference").Page
    for name in ("index", "results/b", "results/a", "results/index", "results/named"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.md").touch()
    nav = ["index.md", {"R": ["results/named.md", {"M": "results/*.md"}]}, {"Reference": ["r.md"]}]
    made = [
        page("reference/commands/run.md", "run", ""),
        page("reference/modules/a/b.md", "a.b", ""),
        page("reference/modules/c.md", "c", ""),
    ]
    found = build.navigation(nav, tmp_path, made)
    measured = ["results/index.md", "results/a.md", "results/b.md"]
    assert found[1] == {"R": ["results/named.md", {"M": measured}]}
    assert list(build.listed(found[2])) == ["r.md", *(one.path for one in made)]


def test_every_public_name_has_a_place_and_a_line(part: Callable[[str], Any]) -> None:
    reference = part("reference")
    known = dict(reference.modules())
    for name, home in reference.public_names().items():
        module, _, there = home.rpartition(".")
        assert reference.first_line(known[module], there), name


def test_versions_lie_side_by_side_and_the_newest_is_led_to(
    part: Callable[[str], Any], tmp_path: Path
) -> None:
    site, versions = tmp_path / "site", tmp_path / "versions"
    site.mkdir()
    (site / "index.html").write_text("x")
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        part("build").publish(site, versions, version)
    told = (versions / "versions.json").read_text()
    assert told.index("0.10.0") < told.index("0.9.0") < told.index("0.2.0")
    assert "url=0.10.0/" in (versions / "index.html").read_text()


def test_a_formula_of_its_own_line_is_shown_so(part: Callable[[str], Any]) -> None:
    tex = r"a_b = \frac{1}{2}"
    text = part("pages").page(f"Before\n\n$$ {tex} $$\n\nafter.", "x.md", REPOSITORY)
    assert text == f"Before\n\n{part('formulas').mathml(tex, display=True)}\n\nafter."


def test_figures_have_a_minus_and_room_before_per_cent(part: Callable[[str], Any]) -> None:
    text = part("pages").page(
        "| **-0.05** (-0.1 to +0.2) | 54% | ml-100k | `-1 5%` | [a](https://x.org/1%20b) |",
        "x.md",
        REPOSITORY,
    )
    assert text == (
        "| **−0.05** (−0.1\u00a0to +0.2) | 54\u00a0% | ml-100k | `-1 5%` "
        "| [a](https://x.org/1%20b) |"
    )


def test_a_long_command_goes_on_before_an_option(part: Callable[[str], Any]) -> None:
    reference = part("reference")
    assert reference._folded("run --dataset demo") == "proactrec run --dataset demo"
    line = "benchmark --dataset ml-100k --protocol official --seed 0 --seed 1 --seed 2 --out runs/a"
    first, second = reference._folded(line).split(" \\\n")
    assert f"{first} {second.strip()}" == f"proactrec {line}"
    assert second.startswith("    --")
    assert len(first) <= reference.WIDTH


def test_nothing_that_is_untold_leaves_a_dash(part: Callable[[str], Any]) -> None:
    made = part("rendered").on_page_content
    told = '– <div class="doc-md-description"><p>x</p></div>'
    empty = '<li><code>int</code>\n –\n <div class="doc-md-description">\n </div></li>'
    assert made(told + empty) == f"{told}<li><code>int</code></li>"
    both = '<code>(<a href="#">DataError</a>, InvalidInputError)</code>'
    assert made(both) == '<code><a href="#">DataError</a>, InvalidInputError</code>'
    assert made("<code>(B, d)</code>") == "<code>(B, d)</code>"


def test_help_shows_options_as_code(part: Callable[[str], Any]) -> None:
    safe = part("reference")._safe
    assert safe("with `run --a`, --b-c or a--d") == "with `run --a`, `--b-c` or a--d"
