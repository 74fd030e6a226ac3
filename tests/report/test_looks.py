"""Pages in a real browser: nobody is kept out, a phone is wide enough, and paper holds all."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from proactrec.data.importing.importer import Import
from proactrec.data.importing.options import ImportOptions
from proactrec.report import html
from proactrec.report.benchmark.page import write_benchmark
from proactrec.report.campaign_page import campaign_page
from proactrec.report.data_page import render
from proactrec.report.explain_page import write_explanations
from proactrec.report.study_page import write_study

from ..console.browsing import opened
from .test_campaign_page import parts  # noqa: F401  # a fixture
from .test_explain_page import content  # noqa: F401
from .test_study_page import figures, spent  # noqa: F401

SERIOUS = ("serious", "critical")
PAPER = 718  # px: A4 with the margins of a page
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


KINDS = ("view", "return", "hover")


def imported(folder: Path) -> str:
    """The data report of a log in which much is odd."""
    rows = [
        f"user-{n % 37},https://shop.example/items/{n * n % 83}/a-very-long-name-without-a-break,"
        f"2024-0{1 + n % 9}-{1 + n % 28:02}T10:{n % 60:02}:00Z,{KINDS[n % 3]},s{n}"
        for n in range(600)
    ]
    rows += [f"bot,item-{n},2024-02-01T10:00:{n // 5:02}Z,view,s" for n in range(290)]
    path = folder / "a-log-with-a-long-name.csv"
    path.write_text("user,item,time,event,session_id\n" + "\n".join(rows) + "\n,x,,view,s\n")
    items = folder / "items.csv"
    items.write_text(
        "item,title,genre,brand\n"
        + "".join(f"item-{n},Title {n},Genre {n % 7}|Other {n % 3},b\n" for n in range(200))
    )
    options = ImportOptions(events=(str(path),), items=(str(items),))
    with Import(options, folder / "out") as job:
        return render(job.run())


NAMES = ("data", "campaign", "benchmark", "report", "explain", "customer", "study")
Invented = Callable[..., pl.DataFrame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of pages that are written once: tests only look at them."""
    return tmp_path_factory.mktemp("looks")


@pytest.fixture
def pages(
    folder: Path,
    result: Any,
    log: Any,
    dataset: Any,
    trace: Any,
    invented_benchmark: Invented,
    parts: dict[str, Any],  # noqa: F811
    content: dict[str, Any],  # noqa: F811
    figures: dict[str, Any],  # noqa: F811
    spent: dict[str, Any],  # noqa: F811
) -> dict[str, Path]:
    """Every page that we write, by its name."""
    pages = {name: folder / f"{name}.html" for name in NAMES}
    if pages["study"].exists():
        return pages
    worlds = [("common", "flat"), ("common", "medium"), ("common", "steep"), ("official",) * 2]
    table = invented_benchmark(
        ["SASRec", "IPG", "Foresight (depth 3)", "oracle-greedy"], places=worlds
    )
    best = {("toy", "common", "medium"): {("Foresight (depth 3)", "ioi", 20)}}
    customer = {key: content[key] for key in ("user_id", "is_off", "synthetic", "paths")}
    pages["data"].write_text(imported(folder))
    pages["campaign"].write_text(campaign_page(**parts))
    write_benchmark(pages["benchmark"], table, {"seeds": [0]}, significant=best)
    html.write_report(pages["report"], result=result, log=log, dataset=dataset, **trace)
    write_explanations(pages["explain"], content)
    write_explanations(pages["customer"], {**customer, "for": "customer"})
    write_study(pages["study"], figures, spent, {"seed": 0})
    return pages


def shown(browser: Browser, path: Path, width: int, scheme: Any = "light") -> Page:
    size: Any = {"width": width, "height": 800}
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    return page


UNSHADED = ".scroll { background-image: none !important }"
"""Axe judges no contrast over a gradient; the one at the edges ends in the card's colour."""


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1280, "dark")])
def test_no_page_keeps_anybody_out(
    browser: Browser, pages: dict[str, Path], width: int, scheme: str
) -> None:
    wrong = []
    for name, path in pages.items():
        page = shown(browser, path, width, scheme)
        page.add_style_tag(content=UNSHADED)
        wrong += [
            (name, one["id"], one["nodes"][0]["html"][:160])
            for one in Axe().run(page).response["violations"]
            if one["impact"] in SERIOUS
        ]
        page.context.close()
    assert wrong == []


OVER = """() => [...document.querySelectorAll('main *')]
    .filter(e => !e.closest('.scroll') && !e.closest('svg')
        && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(e => e.outerHTML.slice(0, 120))"""
CUT = """() => [...document.querySelectorAll('.scroll')]
    .filter(e => e.getBoundingClientRect().left + e.scrollWidth > innerWidth + 2)
    .map(e => e.outerHTML.slice(0, 200))"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll('figure svg text')]
    .map(e => parseFloat(getComputedStyle(e).fontSize)
        * Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b)))"""


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_no_page_is_wider_than_the_screen(
    browser: Browser, pages: dict[str, Path], width: int
) -> None:
    for name, path in pages.items():
        page = shown(browser, path, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (
            name,
            page.evaluate(OVER)[:3],
        )
        assert page.evaluate(OVER) == [], name
        page.context.close()


def test_plots_can_be_read_on_a_phone(browser: Browser, pages: dict[str, Path]) -> None:
    """Their letters are no smaller than 9 px; what is wider than the screen scrolls by itself."""
    for name in ("benchmark", "report", "study", "campaign"):
        page = shown(browser, pages[name], 375)
        assert page.evaluate(SMALLEST) >= 9, name
        page.context.close()


def test_paper_holds_all(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    """Nothing is cut where there is no scrolling, and folded parts are open."""
    for name, path in pages.items():
        page = shown(browser, path, 1065 if name == "benchmark" else PAPER, "dark")
        page.emulate_media(media="print")
        assert page.evaluate(CUT) == [], name
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(255, 255, 255)", name
        page.context.close()


def test_paper_has_one_line_of_a_target_that_is_closed(
    browser: Browser,
    content: dict[str, Any],  # noqa: F811
    tmp_path: Path,
) -> None:
    content["paths"] *= 2
    page = browser.new_page()
    page.goto(write_explanations(tmp_path / "two.html", content).as_uri())
    page.emulate_media(media="print")
    first, second = (e.bounding_box() for e in page.locator("details.journey").all())
    assert first is not None
    assert second is not None
    assert second["height"] < 80 < first["height"]
    page.close()


BARS = """() => [...document.querySelectorAll('.bar i')]
    .filter(e => getComputedStyle(e).printColorAdjust !== 'exact').length"""


def test_paper_keeps_bars(browser: Browser, pages: dict[str, Path]) -> None:
    """A browser prints no backgrounds unless told to, and a bar is nothing else."""
    for name in ("data", "report", "explain"):
        page = shown(browser, pages[name], PAPER)
        page.emulate_media(media="print")
        assert page.locator(".bar i").count(), name
        assert page.evaluate(BARS) == 0, name
        page.context.close()


BESIDE = """() => [...document.querySelectorAll('.rows, .verdicts, .outcomes, .path')]
    .filter(e => e.parentElement.scrollWidth > e.parentElement.clientWidth + 1)
    .map(e => e.outerHTML.slice(0, 120))"""


def test_a_phone_shows_whole_rows(browser: Browser, pages: dict[str, Path]) -> None:
    """Tables of sentences and journeys are stacked, so that nothing of a row is beyond the edge."""
    for name in ("data", "report", "explain", "customer"):
        page = shown(browser, pages[name], 375)
        assert page.evaluate(BESIDE) == [], name
        page.context.close()
