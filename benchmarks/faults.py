"""What the service loses, doubles or exceeds when something breaks under load.

Usage: python benchmarks/faults.py [PART ...] [--times 20] [--guide DIR] [--page PAGE.md]
Shops ask and report without a pause, tell again whatever was not acknowledged (with the same
Idempotency-Key or event_id), and remember what was. Meanwhile processes are killed, the clock is
moved, the disk filled, the network cut, instances restarted. At the end the database is held
against what was acknowledged, against every limit of every campaign, and against a fold of its log.
Exits 1 if anything is not as promised. Needs Linux, root, `ip`, `mount`, a C compiler, the extra
`serve` and the dependency group `test`; without --guide a small one is fitted on the demo data.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faults_parts.instances import in_small, instances
from faults_parts.outages import clock, disk, network
from faults_parts.page import body
from faults_parts.runs import Setting, kills
from proactrec.files import write_json
from shared.child import PROACTREC
from shared.page import origin, write_page

READY_SECONDS = 10.0
"""After every fault the service must be ready again by then."""
PARTS: Mapping[str, Callable[[Setting], dict[str, Any]]] = {
    "kills-postgresql": lambda setting: kills(setting, "postgresql"),
    "kills-sqlite": lambda setting: kills(setting, "sqlite"),
    "clock-postgresql": lambda setting: clock(setting, "postgresql"),
    "clock-sqlite": lambda setting: clock(setting, "sqlite"),
    "disk-postgresql": lambda setting: disk(setting, "postgresql"),
    "disk-sqlite": lambda setting: disk(setting, "sqlite"),
    "network-postgresql": network,
    "2-instances-postgresql": lambda setting: instances(setting, 2),
    "3-instances-postgresql": lambda setting: instances(setting, 3),
}
SMALL: Mapping[str, Callable[[Setting], dict[str, Any]]] = {"small-postgresql": in_small}
"""Done only if asked for."""
FIT = ("encoder_options.stopping.n_epochs=2", "graphau.stopping.n_epochs=2",
       "graphau.stopping.min_epochs=1")  # fmt: skip


def main() -> None:
    """Run the parts that are asked for, and say how they ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--times", type=int, default=20, help="kills of each process")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between visits of a shop")
    parser.add_argument("--guide", type=Path, help="folder of a guide")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    asked = parser.parse_args()
    parts = {**PARTS, **SMALL}
    if unknown := set(asked.parts) - set(parts):
        parser.error(f"there is no part {min(unknown)}")
    load = os.getloadavg()[0]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="proactrec-faults-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL's user passes through
        guide = asked.guide or fitted(folder / "guide")
        for part in asked.parts or PARTS:
            rng = random.Random(asked.seed)
            setting = Setting(guide, folder / part, rng, asked.times, asked.pause)
            setting.folder.mkdir()
            found[part] = parts[part](setting)
            found[part]["broken_promises"] = broken(found[part])
            print(part, json.dumps(found[part], indent=1), flush=True)
    content = {"origin": origin(), "load_before": load, "parts": found}
    if asked.json:
        write_json(asked.json, content)
    if asked.page:
        write_page(asked.page, "Faults under load", content, body(found, load))
    sys.exit(any(part["broken_promises"] for part in found.values()))


def broken(part: Mapping[str, Any]) -> list[str]:
    """Sentences on whatever is not as promised."""
    late = [
        f"{one['fault']}: ready after {one['ready_after']} s"
        for one in part["faults"]
        if one["ready_after"] > READY_SECONDS
    ]
    unclear = [f"{one['fault']}: {why}" for one in part["faults"] for why in one.get("unclear", ())]
    failed = [
        f"{one['fault']}: {one['failed']}" for one in part.get("restarts", ()) if one["failed"]
    ]
    return [*part["wrong"], *late, *unclear, *failed]


def fitted(folder: Path) -> Path:
    """A guide of the demo data."""
    command = [*PROACTREC, "guide", "fit", "--dataset", "demo", "--out", str(folder)]
    command += [f"--set={setting}" for setting in FIT]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


if __name__ == "__main__":
    main()
