"""Guidance beside the loop that ITMPRec's authors published, by turns in one run (A B A B).

Usage: python benchmarks/authors_loop.py PAGE.md CHECKOUT [--data-dir DIR] [--n-targets 2]
       [--n-times 2] [--store runs/authors-loop]
CHECKOUT is github.com/DRec4AI/ProactRec2025. Their script runs as it is published, on the CPU, at
its own sizes, with ML-100k as they filtered it; their weights are not published, so encoder and
interest vectors are random, which costs the same. Ours plays `official` with ITMPRec and an encoder
that was trained briefly. Both are timed from the first target to the last, start and data left out.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from shared.page import origin, page_parser, write_page

SIDES = {"ours": "guidance_side.py", "authors": "authors_side.py"}
CASE = "ITMPRec, official"
THREADS = 2


def main() -> None:
    """Play by turns and write the page."""
    asked = _arguments()
    turns = [name for _ in range(asked.n_times) for name in SIDES]
    load = os.getloadavg()[0]
    runs: list[dict[str, Any]] = []
    for number, side in enumerate(turns, start=1):
        runs.append({"side": side, **played(side, asked)})
        print(f"{number}/{len(turns)} {json.dumps(runs[-1])}", flush=True)
    content = {"origin": origin(), "load": load, "n_targets": asked.n_targets, "runs": runs}
    body = page(content)
    write_page(asked.page, "Guidance beside the authors' loop", content, body)
    print(body)


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--n-targets", type=int, default=2)
    parser.add_argument("--n-times", type=int, default=2)
    parser.add_argument("--store", type=Path, default=Path("runs/authors-loop"))
    return parser.parse_args()


def played(side: str, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds a target, by the clock and of the processor."""
    script = Path(__file__).with_name(SIDES[side])
    command = [sys.executable, str(script), str(asked.store), "ml-100k", str(asked.n_targets)]
    command += ["--checkout", str(asked.checkout)] if side == "authors" else ["--case", CASE]
    if asked.data_dir is not None:
        command += ["--data-dir", str(asked.data_dir)]
    threads = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, env=threads, stdout=subprocess.PIPE, text=True, check=True)
    taken = json.loads(done.stdout.splitlines()[-1])["cases"][CASE]
    return {kind: taken[kind] / asked.n_targets for kind in ("wall", "cpu")}


def page(found: dict[str, Any]) -> str:
    """Markdown: a row per turn and what the medians say."""
    lines = ["| turn | seconds a target | CPU seconds |", "| --- | ---: | ---: |"]
    lines += [f"| {run['side']} | {run['wall']:.2f} | {run['cpu']:.2f} |" for run in found["runs"]]

    def times(kind: str) -> float:
        ours, authors = (
            median(run[kind] for run in found["runs"] if run["side"] == side) for side in SIDES
        )
        return float(authors / ours)

    told = (
        f"943 users, 20 rounds, {found['n_targets']} targets after each other, {THREADS} threads. "
        f"The authors' loop takes {times('wall'):.1f} times our seconds by the clock and "
        f"{times('cpu'):.1f} times by the processor, medians of the turns. Load of the machine "
        f"before: {found['load']:.1f} on {os.cpu_count()} cores."
    )
    return "\n".join([*lines, "", told])


if __name__ == "__main__":
    main()
