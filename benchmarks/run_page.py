"""A results page from a finished `proactrec run`.

Usage: python benchmarks/run_page.py RUN docs/results/NAME.md
"""

import argparse
import json
from pathlib import Path
from typing import Any

from page import origin, write_page

LABELS = {"hr": "HR", "ioi": "IoI", "ior": "IoR", "ior200": "IoR (ranks cut at 200)"}


def main() -> None:
    """Write the page and its JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    result, about = (
        json.loads((arguments.run / f"{name}.json").read_text()) for name in ("metrics", "run")
    )
    name, policy = result["dataset"], result["policy"]
    body = "\n".join([*facts(result, about), *figures(result), *next_item(result)])
    title = f"{policy} on {name}, protocol {result['protocol']}"
    write_page(arguments.page, title, {"origin": origin(), "run": {**result, **about}}, body)
    print(body)


def facts(result: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """What was run, on what."""
    pairs, outcome = result["pairs"], result["outcome"]
    seconds = ", ".join(f"{kind} {value:.0f} s" for kind, value in about["seconds"].items())
    titles = ", ".join(target["title"] for target in result["targets"])
    return [
        f"`{about['command']}`",
        "",
        f"{result['n_users']:,} users, {result['n_items']:,} items, "
        f"{result['n_interactions']:,} interactions; category {result['category']}, "
        f"{len(result['targets'])} targets ({titles}).",
        f"{pairs['n_pairs']:,} pairs of user and target, {pairs['n_owners_left_out']:,} owners "
        f"left out; the target was accepted by {outcome['target_accepted']['mean']:.1%}. "
        f"{seconds}; {about['peak_memory_mb'] / 1000:.1f} GB at the most.",
        "",
    ]


def figures(result: dict[str, Any]) -> list[str]:
    """HR, IoI and IoR with their intervals over users."""
    rounds = list(result["metrics"]["ioi"])
    lines = [
        f"| | {' | '.join(f'@{number}' for number in rounds)} |",
        f"| --- | {'---: | ' * len(rounds)}",
    ]
    for metric, label in LABELS.items():
        decimals = 1 if metric.startswith("ior") else 3
        cells = [
            f"{e['mean']:.{decimals}f} ({e['low']:.{decimals}f} to {e['high']:.{decimals}f})"
            for e in result["metrics"][metric].values()
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, "", "In brackets: 95 % bootstrap interval over users; one seed.", ""]


def next_item(result: dict[str, Any]) -> list[str]:
    """How well the encoder and popularity predict the test item."""
    if not result["next_item"]:
        return []
    names = list(result["next_item"]["test"])
    lines = [
        f"| test item | {' | '.join(name.upper() for name in names)} |",
        f"| --- | {'---: | ' * len(names)}",
    ]
    for label, by_split in (
        (result["encoder"], result["next_item"]),
        ("popularity", result["popularity"]),
    ):
        cells = " | ".join(f"{by_split['test'][name]:.4f}" for name in names)
        lines.append(f"| {label} | {cells} |")
    return lines


if __name__ == "__main__":
    main()
