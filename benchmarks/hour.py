"""An hour of everything: decisions, events, looks, opt-outs, exports and the learner together.

Usage: python benchmarks/hour.py PAGE.md [--minutes 60] [--rate 60] [--database postgresql]
       [--instances 1] [--kind catalogue] [--n-users 100000] [--n-items 20000]
       [--store runs/serving] [--before docs/results/serving-load.json]
The service, its guide and its users are those of serving.py. Beside them whoever runs the service
looks at it, and users leave or want their data (hour_parts/errands.py). Figures are kept every five
minutes: the same command, after it was stopped, goes on with the minutes that are left, on the same
database. What the same rate took without the rest is read from `--before`.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from big_guide import big_guide
from hour_parts.errands import Errands
from hour_parts.page import body
from proactrec.files import read_json, write_json
from serving import CAMPAIGN, N_OFFERED, WARM
from serving_load import Load
from serving_parts.checks import checks
from serving_parts.site import Setting, Site, site
from shared.compact import read_figures
from shared.page import origin, page_parser, write_page

PART_MINUTES, LOOK = 5.0, 60.0


def main() -> None:
    """Play what is left of the time, and write the page."""
    asked = _arguments()
    guide = asked.store / f"guide-{asked.n_users}-{asked.n_items}"
    if not (guide / "guide.json").exists():
        big_guide(guide, n_users=asked.n_users, n_items=asked.n_items)
    setting = Setting(asked.database, asked.instances)
    place = asked.store / f"hour-{setting.database}-{setting.instances}-{asked.kind}-{asked.rate}"
    found = _played(setting, guide, place, asked)
    parts = found["parts"]
    content = {"origin": origin(), "campaign": CAMPAIGN, **found, "parts": [*map(kept, parts)]}
    before = _before(asked, setting)
    write_page(asked.page, "An hour of everything", content, body(found, before))
    print(body(found, before))


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=60)
    parser.add_argument("--database", default="postgresql", choices=("postgresql", "sqlite"))
    parser.add_argument("--instances", type=int, default=1)
    parser.add_argument("--kind", default="catalogue", choices=("catalogue", "offered"))
    parser.add_argument("--n-users", type=int, default=100_000)
    parser.add_argument("--n-items", type=int, default=20_000)
    parser.add_argument("--store", type=Path, default=Path("runs/serving"))
    parser.add_argument("--before", type=Path, default=Path("docs/results/serving-load.json"))
    return parser.parse_args()


def kept(part: dict[str, Any]) -> dict[str, Any]:
    """What the page says: of all looks the last, and no window."""
    return {n: x for n, x in part.items() if n != "windows"} | {"looks": part["looks"][-1:]}


def _before(asked: argparse.Namespace, setting: Setting) -> dict[str, Any] | None:
    """The cell of the load test that had the same rate, and nothing else to do."""
    if not asked.before.exists():
        return None
    for group in read_figures(asked.before)["groups"]:
        if (group["setting"], group["kind"]) == (setting.name, asked.kind):
            for cell in group["cells"]:
                if cell["rate"] == asked.rate:
                    return dict(cell)
    return None


def _played(
    setting: Setting, guide: Path, place: Path, asked: argparse.Namespace
) -> dict[str, Any]:
    """Parts of the time, those included that an earlier run played."""
    file = place.with_suffix(".json")
    old: dict[str, Any] = read_json(file) if file.exists() else {}
    found = old or {"setting": setting.name, "kind": asked.kind, "rate": asked.rate, "parts": []}
    played = sum(part["minutes"] for part in found["parts"])
    if "checks" in found and played >= asked.minutes:
        return found
    with site(setting, guide, place, key=found.get("key")) as running:
        found["key"] = running.key
        found.setdefault("campaign_id", None)
        found["campaign_id"] = found["campaign_id"] or running.campaign(CAMPAIGN)
        while played < asked.minutes:
            minutes = min(PART_MINUTES, asked.minutes - played)
            found["n_begun"] = found.get("n_begun", 0) + 1  # events of one cut short have ids too
            write_json(file, found)
            part = _part(running, found["campaign_id"], minutes, found["n_begun"], place, asked)
            found["parts"].append(part)
            played += minutes
            write_json(file, found)
            print(json.dumps({"minutes": played, **part["ask"]["due"]}), flush=True)
        parts = found["parts"]
        acknowledged = {
            kind: sum(part["acknowledged"].get(kind, 0) for part in parts)
            for kind in ("ask", "report")
        }
        found["checks"] = checks(running.url, found["campaign_id"], CAMPAIGN, acknowledged)
    write_json(file, found)
    return {name: value for name, value in found.items() if name != "key"}


def _part(
    running: Site,
    campaign_id: str,
    minutes: float,
    number: int,
    place: Path,
    asked: argparse.Namespace,
) -> dict[str, Any]:
    """Some minutes: latencies of decisions, events and errands, and memory once a minute."""
    out = place / f"part-{number}.json"
    load = Load(
        running.port,
        running.key,
        campaign_id,
        asked.rate,
        60 * minutes,
        WARM,
        asked.n_users,
        asked.n_items,
        N_OFFERED if asked.kind == "offered" else 0,
        1000 + number,
        str(out),
    )
    command = [sys.executable, str(Path(__file__).with_name("serving_load.py"))]
    users = subprocess.Popen([*command, json.dumps(load._asdict())])
    errands, ends = Errands(running, campaign_id, asked.n_users, seed=number), threading.Event()
    thread = threading.Thread(target=errands.run, args=(ends,))
    thread.start()
    looks = _looks(running, users)
    ends.set()
    thread.join()
    if users.returncode:
        raise SystemExit(f"the users of part {number} failed")
    return {"minutes": minutes, "looks": looks, "errands": errands.told(), **read_json(out)}


def _looks(running: Site, users: "subprocess.Popen[bytes]") -> list[dict[str, Any]]:
    """Memory of every process, MiB, until the users are gone."""
    found: list[dict[str, Any]] = []
    start = time.monotonic()
    while users.poll() is None:
        if time.monotonic() >= start + LOOK * len(found):
            mib = {k: [round(x, 1) for x in v] for k, v in running.memory().items()}
            found.append({"seconds": round(time.monotonic() - start), "mib": mib})
        time.sleep(0.2)
    return found


if __name__ == "__main__":
    main()
