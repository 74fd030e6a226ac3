"""What a console costs: how fast pages open, what visits leave in memory, what others feel of it.

Usage: python benchmarks/console.py PAGE.md --guide FOLDER [--visits 10000] [--n-decisions 1000000]
       [--pairs 3] [--seconds 30] [--rate 60] [--store runs/console]
Pages are opened in Debian's Chromium, signed in, `N_LOOKS` times each, on a store with a campaign
of so many decisions. Visits are those of console_parts/visits.py. The service's latency is measured
with and without ten open consoles in turn, by the same load (serving_load.py). What was measured is
kept in `--store`: the same command goes on with what is left, also with a campaign of another size.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from console_pages import Crowd, counted, fill
from console_parts.visits import Visitors, signed_in
from proactrec.data.items import Items
from proactrec.files import read_json, write_json
from proactrec.serving.client import Client
from proactrec.store.database import Database
from proactrec.store.watch import Watch
from serving_load import Load
from serving_parts.site import Setting, Site, site
from shared.child import PROACTREC
from shared.page import origin, page_parser, write_page

CHROMIUM, FLAGS = "/usr/bin/chromium", ["--no-sandbox", "--disable-gpu"]
N_LOOKS, N_CONSOLES, EVERY, REST = 10, 10, 500, 8.0
MIB = 2**20


def main() -> None:
    """Measure all three, and write the page."""
    asked = _arguments()
    with site(Setting("sqlite", 1), asked.guide, asked.store / "site") as running:
        found = measured(running, asked)
    content = {"origin": origin(), **found}
    write_page(asked.page, "What a console costs", content, body(content))
    print(body(content))


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--guide", type=Path, required=True)
    parser.add_argument("--visits", type=int, default=10_000)
    parser.add_argument("--n-decisions", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=int, default=60)
    parser.add_argument("--store", type=Path, default=Path("runs/console"))
    return parser.parse_args()


def measured(running: Site, asked: argparse.Namespace) -> dict[str, Any]:
    """Pages, visits and latencies, of one service."""
    api = f"http://127.0.0.1:{running.port}"
    categories = Items.load(asked.guide / "items.parquet", "shop").category_names
    said = {"name": "large", "goal": {"category": categories[0]}, "hold_out": 0.1}
    campaign = running.campaign(said)
    with Client(api, running.key, timeout=600) as client:
        client.watch(Watch(frozen=True))
        fill(Database(running.url), Crowd(campaign, asked.n_decisions // 10, asked.n_decisions))
        client.measurement(campaign)
    counted(Database(running.url), campaign)
    paths = ["/", f"/campaigns/{campaign}", "/users?id=user 0000001", "/new", "/operation"]
    with console(api, asked.store) as (url, process):
        visitors = Visitors(url, signed_in(url, running.key), paths)
        parts: dict[str, Callable[[], Any]] = {
            "pages": lambda: opened(url, running.key, [*paths, "/policies", "/worlds"]),
            "memory": lambda: asyncio.run(visited(visitors, asked.visits, process)),
            "latency": lambda: felt(visitors, running, campaign, asked),
        }
        return {name: _kept(name, of, asked) for name, of in parts.items()}


def _kept(name: str, measure: Callable[[], Any], asked: argparse.Namespace) -> dict[str, Any]:
    """A part, measured unless an earlier call did; with the size of the campaign meanwhile."""
    place: Path = asked.store / f"{name}.json"
    if not place.exists():
        write_json(place, {"n_decisions": asked.n_decisions, "found": measure()})
    found: dict[str, Any] = read_json(place)
    return found


@contextmanager
def console(api: str, store: Path) -> Iterator[tuple[str, int]]:
    """A console's URL and process."""
    told = store / "console.log"
    with told.open("w") as log:
        process = subprocess.Popen([*PROACTREC, "console", "--api", api, "--port", "0"], stderr=log)
    try:
        while not (found := re.search(r"is at (http://[\d.:]+)", told.read_text())):
            if process.poll() is not None:
                raise SystemExit(f"the console did not start: {told.read_text()}")
            time.sleep(0.1)
        time.sleep(2)
        yield found[1], process.pid
    finally:
        process.terminate()
        process.wait(30)


def opened(url: str, key: str, paths: list[str]) -> dict[str, Any]:
    """Seconds from the address to a page on which nothing is waited for."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(base_url=url)
        first = _seconds(page, "/sign-in", "Key of the service")
        page.get_by_label("Key of the service").fill(key)
        begun = time.perf_counter()
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("table")).to_be_visible()
        signed = time.perf_counter() - begun
        found = {
            path.split("?")[0].rsplit("/", 1)[0] or path.split("?")[0]: [
                _seconds(page, path, "proactrec") for _ in range(N_LOOKS)
            ]
            for path in paths
        }
        browser.close()
    return {"sign-in, first": first, "overview, first": signed, "looks": found}


def _seconds(page: Page, path: str, seen: str) -> float:
    begun = time.perf_counter()
    page.goto(path, wait_until="commit")
    expect(page.get_by_text(seen).first).to_be_visible()
    expect(page.locator(".busy")).to_have_count(0, timeout=60_000)
    return time.perf_counter() - begun


async def visited(visitors: Visitors, n: int, process: int) -> list[tuple[int, float]]:
    """MiB of the console after so many visits."""
    found: list[tuple[int, float]] = []

    async def look(n_visits: int) -> None:
        await asyncio.sleep(REST)  # who has left is forgotten after some seconds
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
        found.append((n_visits, pages * 4096 / MIB))
        print(found[-1], flush=True)

    await visitors.come(n, look, EVERY)
    print(f"{len(visitors.failed)} visits found no channel: {visitors.failed[:3]}", flush=True)
    if len(visitors.failed) > n / 1000:
        raise SystemExit("too many visits failed")
    return found


def felt(
    visitors: Visitors, running: Site, campaign: str, asked: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Latencies of decisions, ms, with and without consoles that stay open, in turn."""
    found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    for number in range(2 * asked.pairs):
        how = ("without", "with")[(number + number // 2) % 2]
        if how == "without":
            found[how].append(_loaded(running, campaign, number, asked))
            continue
        ends, loop = asyncio.Event(), asyncio.new_event_loop()
        thread = threading.Thread(
            target=loop.run_until_complete, args=(visitors.stay(N_CONSOLES, ends),)
        )
        thread.start()
        time.sleep(3)
        found[how].append(_loaded(running, campaign, number, asked))
        loop.call_soon_threadsafe(ends.set)
        thread.join()
    return found


def _loaded(
    running: Site, campaign: str, number: int, asked: argparse.Namespace
) -> dict[str, float]:
    out = asked.store / f"load-{number}.json"
    n_users = asked.n_decisions // 10
    fixed = (running.port, running.key, campaign, asked.rate, asked.seconds, 5.0)
    load = Load(*fixed, n_users, 1000, 20, 9000 + number, str(out))
    command = [sys.executable, str(Path(__file__).with_name("serving_load.py"))]
    subprocess.run([*command, json.dumps(load._asdict())], check=True)
    due: dict[str, float] = read_json(out)["ask"]["due"]
    return due


def body(found: dict[str, Any]) -> str:
    """The page's tables."""
    pages, memory, latency = (found[name]["found"] for name in ("pages", "memory", "latency"))
    large, middle = (found[name]["n_decisions"] for name in ("pages", "memory"))
    lines = [
        f"Pages, signed in, with a campaign of {large:,} decisions; the browser keeps nothing "
        f"before the first.",
        "",
        "| page | median | longest |",
        "| --- | --: | --: |",
        f"| sign-in, first | {pages['sign-in, first']:.2f} s | |",
        f"| overview, first, from the key on | {pages['overview, first']:.2f} s | |",
    ]
    for path, looks in pages["looks"].items():
        lines.append(f"| {path} | {statistics.median(looks):.2f} s | {max(looks):.2f} s |")
    visits = f"Memory of the console's process, with a campaign of {middle:,} decisions:"
    lines += ["", visits, "", "| visits | MiB |", "| --: | --: |"]
    shown = [memory[0], *memory[len(memory) // 4 :: max(1, len(memory) // 4)], memory[-1]]
    lines += [f"| {n:,} | {mib:.0f} |" for n, mib in dict(shown).items()]
    lines += [
        "",
        f"Latency of decisions, ms, without and with {N_CONSOLES} consoles open, in turn:",
        "",
        "| | p50 | p99 |",
        "| --- | --- | --- |",
    ]
    for how, runs in latency.items():
        cells = (", ".join(f"{run[name]:.1f}" for run in runs) for name in ("p50", "p99"))
        lines.append(f"| {how} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
