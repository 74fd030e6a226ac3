"""The site: nothing in it leads nowhere, and nobody is kept out, on paper or on a phone."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import proactrec as pr

from ..console.browsing import COLOURS, Visit, opened, violations
from .blocks import ROOT

pytestmark = pytest.mark.slow
BUILD = ROOT / "docs" / "site" / "build.py"
DARK = "slate"
"""What the site's generator calls the dark scheme."""
PAGES = (
    *("", "start/first-study/", "start/glossary/", "guide/rails/", "guide/protocols/"),
    *("findings/", "results/demo/", "gallery/", "reference/", "reference/commands/guide/"),
    *("reference/modules/measurement/sums/", "reference/modules/content/", "methods/foresight/"),
)
OF_EACH_KIND = ("", "guide/rails/", "results/demo/", "reference/modules/content/")
"""One page of each kind."""


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the built site lies as a version of itself."""
    pytest.importorskip("material", reason="the group docs is not installed")
    folder = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [sys.executable, str(BUILD), "--into", str(folder), "--publish", str(folder / "versions")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "versions"


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing of what it serves."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site(versions: Path) -> Iterator[str]:
    """Where the site of this version is."""
    (newest,) = json.loads((versions / "versions.json").read_text())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(versions)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{newest['version']}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


def test_no_page_keeps_anybody_out(browser: Browser, site: str) -> None:
    """In the dark, elements are the same: there only colours of each kind of page are looked at."""
    visit, wrong = Visit(browser, site), []
    visit.page.emulate_media(reduced_motion="reduce")  # no colour is looked at half-way
    for path in PAGES:
        visit.page.goto(path)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 1280, path
        wrong += [(path, *one) for one in violations(visit.page)]
        if path in OF_EACH_KIND:
            visit.page.evaluate(f"document.body.dataset.mdColorScheme = '{DARK}'")
            wrong += [(path, *one) for one in violations(visit.page, COLOURS)]
    assert wrong == []
    assert visit.complaints == []
    assert visit.hosts == {"127.0.0.1"}
    visit.close()


def test_on_a_phone_nothing_is_too_wide_or_out_of_reach(browser: Browser, site: str) -> None:
    """Pages are laid out in one way there; what differs is how wide their parts are."""
    visit = Visit(browser, site, width=390, scheme="dark")
    visit.page.emulate_media(reduced_motion="reduce")
    for path in PAGES:
        visit.page.goto(path)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390, path
        if path in OF_EACH_KIND:
            assert violations(visit.page) == []
    assert visit.page.evaluate("document.body.dataset.mdColorScheme") == DARK, "as the reader's is"
    visit.close()


def test_the_reference_has_every_public_name(versions: Path) -> None:
    (version,) = (path for path in versions.iterdir() if path.is_dir())
    page = (version / "reference" / "index.html").read_text()
    assert [name for name in pr.__all__ if f"pr.{name}<" not in page] == []


def test_no_formula_is_left_as_it_was_written(versions: Path) -> None:
    for page in versions.rglob("*.html"):
        text = re.sub(r"<code.*?</code>", "", page.read_text(), flags=re.S)
        assert re.search(r"\$\$|\\(frac|sum|quad)\b", text) is None, page


def test_search_finds_pages_and_names(browser: Browser, site: str) -> None:
    visit = Visit(browser, site)
    visit.page.goto("")
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("receptivity")
    visit.page.get_by_role("link", name="Protocols").first.wait_for()
    visit.close()


def test_nothing_moves_off_paper(browser: Browser, site: str) -> None:
    visit = Visit(browser, site)
    visit.page.emulate_media(media="print")
    visit.page.set_viewport_size({"width": 720, "height": 1000})  # A4 at 96 dots an inch
    for path in ("guide/service/", "findings/"):
        visit.page.goto(path)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 720, path
    visit.close()
