"""The paper's Table 2 beside ours: users, items and interactions after each filter.

Usage: python benchmarks/table2.py PAGE.md
"""

import sys
from pathlib import Path

from page import origin, write_page
from proactrec.data.describe import describe
from proactrec.data.load import load_dataset

PAPER = {"ml-100k": (943, 1_348, 98_704), "lastfm": (945, 2_782, 246_368)}


def main() -> None:
    """Count and write the page."""
    lines = [
        "| data set | filter | users | items | interactions | mean length | density |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = {}
    for name, published in PAPER.items():
        counts = " | ".join(f"{count:,}" for count in published)
        lines.append(f"| {name} | published | {counts} | | |")
        for kept in ("paper", "k-core"):
            about = describe(load_dataset(name, filter=kept))
            found[f"{name} {kept}"] = about
            counts = " | ".join(
                f"{about[key]:,}" for key in ("n_users", "n_items", "n_interactions")
            )
            length, density = about["mean_length"], about["density"]
            lines.append(f"| {name} | {kept} | {counts} | {length:.2f} | {density:.4%} |")
    body = "\n".join(lines)
    print(body)
    write_page(Path(sys.argv[1]), "Table 2: data sets", {"origin": origin(), "counts": found}, body)


if __name__ == "__main__":
    main()
