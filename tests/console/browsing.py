"""A real browser, and hands that use a page: with the mouse, or with the keyboard alone."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = {1280: 800, 390: 844}
Scheme = Literal["light", "dark"]
PATIENCE = 30_000  # ms
MOST_TABS = 150
SERIOUS = ("serious", "critical")
COLOURS = {"runOnly": ["color-contrast"]}
"""Of axe's rules, those that another scheme of colours may break."""


def chromium() -> str:
    """The browser of Debian, fetched where it is missing."""
    with (Path(gettempdir()) / "proactrec-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the suite may be fetching it
        found = shutil.which("chromium")
        if found is None and shutil.which("apt-get") and os.geteuid() == 0:
            for words in (("update", "-qq"), ("install", "-y", "-qq", "chromium")):
                subprocess.run(["apt-get", *words], check=False, capture_output=True, timeout=600)
            found = shutil.which("chromium")
    if found is None:
        pytest.skip("there is no chromium, and apt-get can't fetch it")
    return found


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser that is closed afterwards."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page of a visitor, with all that it asked for and all that it complained of."""

    def __init__(
        self, browser: Browser, url: str, width: int = 1280, scheme: str = "light"
    ) -> None:
        size = {"width": width, "height": WIDTHS[width]}
        self._context = browser.new_context(
            base_url=url, viewport=size, color_scheme=scheme, accept_downloads=True
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        self.page.on("request", lambda asked: self.hosts.add(str(urlsplit(asked.url).hostname)))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("console", self._heard)

    def _heard(self, message: object) -> None:
        if getattr(message, "type", "") == "error":
            self.complaints.append(str(getattr(message, "text", message)))

    def sign_in(self, key: str) -> None:
        self.page.goto("/sign-in")
        self.page.get_by_label("Key of the service").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Overview")

    def let_in(self, key: str) -> None:
        """The same without a page: what is looked at comes next."""
        told = self._context.request.post("/sign-in", form={"key": key}, max_redirects=0)
        assert told.status == 303

    def close(self) -> None:
        self._context.close()


class Hands(Protocol):
    """How somebody uses a page."""

    page: Page

    def press(self, name: str) -> None:
        """A button."""

    def follow(self, name: str) -> None:
        """A link."""

    def fill(self, label: str, value: str) -> None:
        """A field."""

    def choose(self, label: str, value: str) -> None:
        """One of a list, by its value."""

    def unfold(self, summary: str) -> None:
        """What stands behind a line."""


class Mouse:
    """Or a finger."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name).first.click()

    def fill(self, label: str, value: str) -> None:
        self.page.get_by_label(label).fill(value)

    def choose(self, label: str, value: str) -> None:
        self.page.get_by_label(label).select_option(value)

    def unfold(self, summary: str) -> None:
        self.page.locator("summary", has_text=summary).click()


class Keys:
    """The keyboard alone: what can't be reached by Tab, or hit by a finger, is not there."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, name: str) -> None:
        self._reach(self.page.get_by_role("button", name=name).first)
        self.page.keyboard.press("Space")

    def follow(self, name: str) -> None:
        self._reach(self.page.get_by_role("link", name=name).first)
        self.page.keyboard.press("Enter")

    def fill(self, label: str, value: str) -> None:
        self._reach(self.page.get_by_label(label))
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(value)

    def choose(self, label: str, value: str) -> None:
        field = self.page.get_by_label(label)
        self._reach(field)
        for _ in range(MOST_TABS):
            if field.input_value() == value:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{value} can't be chosen in {label}")

    def unfold(self, summary: str) -> None:
        self._reach(self.page.locator("summary", has_text=summary))
        self.page.keyboard.press("Enter")

    def _reach(self, wanted: Locator) -> None:
        wanted.click(trial=True)  # there, enabled, still, and covered by nothing
        one = wanted.element_handle()  # looked for by its role at every key, it takes long
        for _ in range(MOST_TABS):
            is_there = one.evaluate("e => e.isConnected ? e === document.activeElement : null")
            if is_there:
                return
            if is_there is None:  # the page was drawn anew
                one = wanted.element_handle()
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} can't be reached by Tab")


def violations(page: Page, rules: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """What axe calls serious, by all rules or some, and where; it is loaded once a page."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"resultTypes": ["violations"], "preload": False, **(rules or {})}
    run = "options => axe.run(document, options).then(found => found.violations)"
    found = page.evaluate(run, options)
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in SERIOUS]


def save_draft(hands: Hands) -> None:
    """Save what the form of a campaign says, whatever there is to be minded."""
    page = hands.page
    hands.press("Save as a draft")
    anyway = page.get_by_role("button", name="Save anyway")
    start = page.get_by_role("button", name="Start", exact=True)
    expect(anyway.or_(start)).to_be_visible()
    if anyway.is_visible():
        hands.press("Save anyway")
    page.wait_for_url("**/campaigns/*")
