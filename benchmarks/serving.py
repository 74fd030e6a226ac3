"""The service under load: decisions and events of many users together, on both databases.

Usage: python benchmarks/serving.py PAGE.md [--databases sqlite postgresql] [--instances 1 2]
       [--kinds catalogue offered] [--rates 125 250 500 700 1000] [--seconds 75] [--minutes M]
       [--n-users 100000] [--n-items 20000] [--store runs/serving]
The service runs as users start it, with its worker, on a guide as large as a shop's (big_guide.py).
Its users come from a process of their own (serving_load.py). A cell is one setting at one rate of
decisions, with as many events; cells that are done are kept in the store and not measured again.
`--minutes M`: every cell lasts so long, and is written as it goes; give one rate then.
"""

import argparse
import json
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from big_guide import big_guide
from proactrec.files import read_json, write_json
from serving_load import Load
from serving_parts.checks import checks
from serving_parts.page import body
from serving_parts.pictures import pictures
from serving_parts.site import Bare, Setting, Site, site
from shared.child import PROACTREC
from shared.page import origin, page_parser, write_page

CATEGORY, N_TARGETS = "kind 3", 300
CAMPAIGN: dict[str, Any] = {
    "name": "load",
    "goal": {"category": CATEGORY, "n_targets": N_TARGETS},
    "audience": {"everybody": True},
    "hold_out": 0.1,
    "rails": {"plain_share": 0.25, "item_cap_total": 500},
    "budget": {"total": 10_000_000},
}
N_OFFERED, WARM, N_BARE = 100, 25.0, 2000
EVERY, LOOK = 0.05, 10.0
"""Seconds between two bare commits while users come, and between two looks at processes."""
LATE_MS = 100.0
"""A rate is sustained while the median decision of the last seconds is no later than that."""


def main() -> None:
    """Measure what is not yet, and write the page."""
    arguments = _arguments()
    guide = arguments.store / f"guide-{arguments.n_users}-{arguments.n_items}"
    if not (guide / "guide.json").exists():
        big_guide(guide, n_users=arguments.n_users, n_items=arguments.n_items)
    settings = [
        Setting(database, n)
        for database, n in product(arguments.databases, arguments.instances)
        if database == "postgresql" or n == 1  # one writer: others would only wait
    ]
    groups = [
        group(one, kind, guide, arguments) for one, kind in product(settings, arguments.kinds)
    ]
    content = {"origin": origin(), "campaign": CAMPAIGN, "groups": [*map(kept, groups)]}
    text = body(groups, pictures(content, arguments.page.stem))
    write_page(arguments.page, "The service under load", content, text)
    print(text)


def kept(group: dict[str, Any]) -> dict[str, Any]:
    """What the page says: of all looks the first, the middle and the last, and no window."""
    cells = []
    for cell in group["cells"]:
        looks = cell["looks"]
        three = [looks[0], looks[len(looks) // 2], looks[-1]]
        cells.append({n: x for n, x in cell.items() if n != "windows"} | {"looks": three})
    return {**group, "cells": cells}


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--instances", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--kinds", nargs="+", default=["catalogue", "offered"])
    parser.add_argument("--rates", nargs="+", type=int, default=[125, 250, 500, 700, 1000])
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--minutes", type=float, help="instead of seconds")
    parser.add_argument("--n-users", type=int, default=100_000)
    parser.add_argument("--n-items", type=int, default=20_000)
    parser.add_argument("--store", type=Path, default=Path("runs/serving"))
    found = parser.parse_args()
    if found.minutes is not None:
        found.seconds = 60 * found.minutes
    return found


def group(
    setting: Setting, kind: str, guide: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """All rates of a setting, one after the other on one database, and what it holds then."""
    name = f"{setting.database}-{setting.instances}-{kind}-{arguments.seconds:.0f}"
    place = arguments.store / name
    file = place.with_suffix(".json")
    if file.exists() and "checks" in (found := read_json(file)):
        return found
    found = {"setting": setting.name, "kind": kind, "campaign": CAMPAIGN, "cells": []}
    with site(setting, guide, place) as running:
        campaign_id = running.campaign(CAMPAIGN)
        for rate in arguments.rates:
            cell = measured(running, campaign_id, kind, rate, place, arguments)
            found["cells"].append(cell)
            write_json(file, found)
            print(json.dumps({"group": name, **_short(cell)}), flush=True)
            if not cell["is_sustained"]:
                break
        url = running.url
        acknowledged = _acknowledged(found["cells"])
        found["checks"] = checks(url, campaign_id, CAMPAIGN, acknowledged)
        found["checks"]["rebuild"] = _rebuilt(url)
    write_json(file, found)
    return found


def measured(
    running: Site, campaign_id: str, kind: str, rate: int, place: Path, asked: argparse.Namespace
) -> dict[str, Any]:
    """One rate: latencies, bare commits before and meanwhile, and what processes took."""
    bare = Bare(running.url)
    before = [bare.commit() for _ in range(N_BARE)]
    out = place / f"load-{rate}.json"
    load = Load(
        running.port,
        running.key,
        campaign_id,
        rate,
        asked.seconds,
        WARM,
        asked.n_users,
        asked.n_items,
        N_OFFERED if kind == "offered" else 0,
        rate,
        str(out),
    )
    command = [sys.executable, str(Path(__file__).with_name("serving_load.py"))]
    users = subprocess.Popen([*command, json.dumps(load._asdict())])
    found = _watched(running, bare, users, out)
    bare.close()
    if users.returncode:
        raise SystemExit(f"the users of {place.name} at {rate}/s failed")
    loaded = read_json(out)
    found["bare_before"] = _quantiles(before)
    return {"rate": rate, **found, **loaded, "is_sustained": _is_sustained(loaded)}


def _watched(
    running: Site, bare: Bare, users: "subprocess.Popen[bytes]", out: Path
) -> dict[str, Any]:
    """Bare commits and processes until the users are gone."""
    _wait(users, WARM)
    meanwhile: list[float] = []
    looks: list[dict[str, Any]] = []
    start, cpu = time.monotonic(), running.cpu()
    while users.poll() is None:
        if time.monotonic() >= start + LOOK * len(looks):
            now = {kind: seconds - cpu[kind] for kind, seconds in running.cpu().items()}
            memory = {k: [round(x, 1) for x in v] for k, v in running.memory().items()}
            at = round(time.monotonic() - start, 1)
            looks.append({"seconds": at, "cpu": now, "mib": memory})
            write_json(out.with_name(f"{out.stem}-processes.json"), {"looks": looks})
        meanwhile.append(bare.commit())
        _wait(users, EVERY)
    took = {kind: seconds - cpu[kind] for kind, seconds in running.cpu().items()}
    return {"bare": _quantiles(meanwhile), "cpu": took, "looks": looks}


def _wait(users: "subprocess.Popen[bytes]", seconds: float) -> None:
    try:
        users.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _quantiles(seconds: list[float]) -> dict[str, float]:
    found = np.quantile(seconds, [0.5, 0.9, 0.99]) * 1000
    return {"n": len(seconds), **dict(zip(("p50", "p90", "p99"), found.tolist(), strict=True))}


def _is_sustained(loaded: dict[str, Any]) -> bool:
    """Whether what comes is answered as fast as it comes, without any error."""
    last = loaded["windows"][-1]["ask"].get("p50", np.inf)
    errors = sum(n for what, n in loaded["counts"].items() if is_error(what))
    return bool(last < LATE_MS and not errors)


def is_error(what: str) -> bool:
    """Whether a count is of what must not be."""
    named = ("status", "refused events", "unanswered", "plain: failed", "plain: store_unavailable")
    return what.startswith(named)


def _acknowledged(cells: list[dict[str, Any]]) -> dict[str, int]:
    return {kind: sum(c["acknowledged"].get(kind, 0) for c in cells) for kind in ("ask", "report")}


def _rebuilt(url: str) -> str:
    """What `proactrec campaign rebuild --check` says."""
    command = [*PROACTREC, "campaign", "rebuild", "--store", url, "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    return "equal" if done.returncode == 0 else (done.stdout + done.stderr)[-2000:]


def _short(cell: dict[str, Any]) -> dict[str, Any]:
    return {
        "rate": cell["rate"],
        "ask": cell["ask"]["due"],
        "report": cell["report"]["due"],
        "bare": cell["bare"],
        "cpu": cell["cpu"],
        "counts": cell["counts"],
        "is_sustained": cell["is_sustained"],
    }


if __name__ == "__main__":
    main()
