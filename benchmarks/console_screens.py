"""Pictures of the console's pages, of a service that simulated shoppers visit.

Usage: python benchmarks/console_screens.py FOLDER --console URL --api URL --key KEY
For example of `make serve`, which prints all three; after some minutes of visits there is more to
see. A draft is made, forecast and priced first.
"""

import argparse
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from proactrec.serving.client import Client
from proactrec.store.campaign import Campaign

CHROMIUM, FLAGS = "/usr/bin/chromium", ["--no-sandbox", "--disable-gpu"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
N_COLOURS, MOST_HEIGHT, PATIENCE = 256, 1500, 600.0


def main() -> None:
    """Sign in, and take a picture of every page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--console", required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--key", required=True)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    asked.draft = draft(asked.api, asked.key)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        taken(browser, asked)
        browser.close()


def draft(api: str, key: str) -> str:
    """A campaign that has a forecast and prices, and has not started."""
    said = {"name": "Horror for autumn", "goal": {"category": "Horror", "n_targets": 20}}
    said |= {"rails": {"plain_share": 0.2, "acceptance_floor": 0.3}, "budget": {"total": 50_000}}
    with Client(api, key) as client:
        made = client.create(Campaign(**said), request_key="a draft for pictures").id
        client.forecast(made, patience=PATIENCE)
        client.study(made, "rails", patience=PATIENCE)
        client.study(made, "worlds", patience=PATIENCE)
    return made


def taken(browser: Browser, asked: argparse.Namespace) -> None:
    """Pictures in light and dark, wide and narrow."""
    for scheme, size, mark in (("light", WIDE, ""), ("dark", NARROW, "-phone")):
        context = browser.new_context(
            base_url=asked.console,
            viewport=size,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.goto("/sign-in")
        page.screenshot(path=asked.folder / f"sign-in{mark}.png")
        page.get_by_label("Key of the service").fill(asked.key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("table").first.wait_for()
        campaign = page.locator("table a").first.get_attribute("href")
        paths = {"overview": "/", "campaign": campaign, "forecast": f"/campaigns/{asked.draft}"}
        paths |= {"new": "/new", "worlds": f"/worlds?campaign={asked.draft}"}
        page.goto(str(campaign))
        guided = page.locator("tr", has=page.get_by_role("cell", name="guided", exact=True))
        user = guided.locator("a[href^='/users?id=']").first.get_attribute("href")
        paths |= {"user": user, "policies": "/policies", "operation": "/operation"}
        for name, path in paths.items():
            page.goto(str(path))
            page.wait_for_timeout(1500)
            expect(page.locator(".busy")).to_have_count(0, timeout=60_000)
            file = asked.folder / f"{name}{mark}.png"
            page.screenshot(path=file, full_page=True)
        context.close()
    for file in asked.folder.glob("*.png"):
        smaller(file)


def smaller(file: Path) -> None:
    """The upper part, in few colours, rare ones among them."""
    picture = Image.open(file).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, MOST_HEIGHT)))
    picture = picture.quantize(N_COLOURS, method=Image.Quantize.MAXCOVERAGE)
    picture.save(file, optimize=True)


if __name__ == "__main__":
    main()
