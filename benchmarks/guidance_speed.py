"""How fast guidance is, beside an older checkout of this repository if there is one.

Usage: python benchmarks/guidance_speed.py [--beside CHECKOUT] [--dataset ml-100k] [--n-targets 10]
       [--n-times 3] [--data-dir DIR] [--store runs/guidance-speed] [--page PAGE.md]
The same rollouts in processes of their own, this tree and the other by turns (A B A B A), each with
models that it trained itself, briefly, from one seed; nothing but the rollout is timed. Speed is
the other's CPU seconds by this tree's, of every two processes that ran one after the other.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from shared.page import origin, write_page
from speed import has_movielens

HERE = Path(__file__).resolve().parent
THREADS = 2
Played = dict[str, Any]


def main() -> None:
    """Play by turns, print the table; keep it as a page if asked."""
    arguments = _arguments()
    trees = {"this": HERE.parent}
    if arguments.beside is not None:
        trees["other"] = arguments.beside.resolve()
    for name, tree in trees.items():
        play(name, tree, arguments)  # trains, and warms the disk's cache
    turns = [*list(trees) * (arguments.n_times - 1), "this"]
    runs = []
    for number, name in enumerate(turns, start=1):
        runs.append((name, play(name, trees[name], arguments)))
        print(f"{number}/{len(turns)} {name}", flush=True)
    cases = [case_of(name, runs) for name in runs[0][1]]
    body = table(cases, arguments)
    print(body)
    if arguments.page:
        content = {"origin": origin(), "other": _commit(arguments.beside), "cases": cases}
        title = f"Speed of guidance on {arguments.dataset}"
        write_page(arguments.page, title, content, body)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="checkout to compare with")
    parser.add_argument("--dataset", default="ml-100k" if has_movielens() else "demo")
    parser.add_argument("--n-targets", type=int, default=10)
    parser.add_argument("--n-times", type=int, default=3, help="that this tree plays")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--store", type=Path, default=Path("runs/guidance-speed"))
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    return parser.parse_args()


def play(name: str, tree: Path, arguments: argparse.Namespace) -> Played:
    """All cases once, with the package of a checkout."""
    command = [sys.executable, str(HERE / "guidance_side.py"), str(arguments.store / name)]
    command += [arguments.dataset, str(arguments.n_targets)]
    if arguments.data_dir is not None:
        command += ["--data-dir", str(arguments.data_dir)]
    threads = {"OMP_NUM_THREADS": str(THREADS), "PYTHONPATH": str(tree / "src")}
    done = subprocess.run(
        command, env={**os.environ, **threads}, stdout=subprocess.PIPE, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    if not Path(found["package"]).is_relative_to(tree):
        raise SystemExit(f"{tree} was to be measured, but {found['package']} was")
    cases: Played = found["cases"]
    return cases


def case_of(name: str, runs: list[tuple[str, Played]]) -> dict[str, Any]:
    """Seconds of a case, and speeds of neighbouring processes."""
    found = {"case": name, "n_decisions": runs[0][1][name]["n_decisions"]}
    found["cpu"] = {tree: [run[name]["cpu"] for t, run in runs if t == tree] for tree, _ in runs}
    found["wall"] = {tree: [run[name]["wall"] for t, run in runs if t == tree] for tree, _ in runs}
    sides = [{tree: run[name]["cpu"] for tree, run in two} for two in pairwise(runs)]
    found["speeds"] = [side["other"] / side["this"] for side in sides if "other" in side]
    found["same_items"] = len({run[name]["shown"] for _, run in runs}) == 1
    return found


def table(cases: list[dict[str, Any]], arguments: argparse.Namespace) -> str:
    """Markdown: a row per case."""
    lines = [
        "| rollout | decisions | CPU seconds, median | wall | the other's CPU | speed, median "
        "| lowest | same items |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for case in cases:
        cpu, speeds = case["cpu"], case["speeds"]
        other = f"{median(cpu['other']):.2f}" if "other" in cpu else "–"
        speed = f"{median(speeds):.3f} | {min(speeds):.3f}" if speeds else "– | –"
        lines.append(
            f"| {case['case']} | {case['n_decisions']:,} | {median(cpu['this']):.2f} "
            f"| {median(case['wall']['this']):.2f} | {other} | {speed} "
            f"| {'yes' if case['same_items'] else 'no'} |"
        )
    of = f"All users, {arguments.n_targets} targets, 20 rounds, {THREADS} threads; "
    by = f"beside commit `{_commit(arguments.beside)[:12]}`: " if arguments.beside else ""
    told = "speed is the other's CPU seconds by ours, of neighbouring processes."
    return "\n".join([*lines, "", of + by + told])


def _commit(tree: Path | None) -> str:
    if tree is None:
        return ""
    command = ["git", "-C", str(tree), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
