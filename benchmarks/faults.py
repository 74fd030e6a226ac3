"""What the service loses, doubles or exceeds when something breaks under load: nothing.

Usage: python benchmarks/faults.py [PART ...] [--times 20] [--guide DIR] [--page PAGE.md]
"""

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from faults_instances import instances
from faults_outages import clock, disk, network
from faults_runs import Setting, kills

PARTS = {
    "kills-postgresql": lambda setting: kills(setting, "postgresql"),
    "kills-sqlite": lambda setting: kills(setting, "sqlite"),
    "clock-postgresql": lambda setting: clock(setting, "postgresql"),
    "clock-sqlite": lambda setting: clock(setting, "sqlite"),
    "disk-postgresql": lambda setting: disk(setting, "postgresql"),
    "disk-sqlite": lambda setting: disk(setting, "sqlite"),
    "network": network,
    "two-instances": lambda setting: instances(setting, 2),
    "three-instances": lambda setting: instances(setting, 3),
}


def main() -> None:
    """Play the parts that are asked for, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--guide", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for name in asked.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="proactrec-faults-") as folder:
            Path(folder).chmod(0o755)
            setting = Setting(asked.guide, Path(folder), random.Random(asked.seed), asked.times)
            found[name] = PARTS[name](setting)
            print(json.dumps({k: v for k, v in found[name].items() if k != "faults"}))
            Path(f"runs/{name}.log").write_text(Path(folder, "service.log").read_text())


main()
