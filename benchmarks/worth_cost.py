"""What a decision of Foresight costs that serves worth, beside one that serves interest alone.

Usage: python benchmarks/worth_cost.py DATASET PAGE.md [--store runs/artefacts] [--data-dir DIR]
    [--repeats 15]
The same journeys, some rounds on their way, are decided in turn by both; times are of one thread,
ratios those of neighbours in time. Interest alone decides as Foresight did before worth existed.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import CAMPAIGN
from proactrec.guidance.guide import Guide
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import View
from proactrec.worth import Worth
from shared.page import origin, page_parser, write_page

SIZES = (1, 100, 2000)
ROUND = 4


def main() -> None:
    """Time both, write the page."""
    parser = page_parser(__doc__, "dataset")
    parser.add_argument("--store", type=Path, default=Path("runs/artefacts"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = {name: experiment(arguments, worth) for name, worth in Worth.named.items()}
    rows = [timed(runs, n_journeys, arguments.repeats) for n_journeys in SIZES]
    lines = [
        "| journeys at once | interest alone, ms | worth, ms | ratio (median, quartiles) |",
        "| --- | --- | --- | --- |",
        *(
            f"| {row['n_journeys']} | {row['only-interest']:.2f} | {row['provider']:.2f} | "
            f"{row['ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f}) |"
            for row in rows
        ),
    ]
    content = {"origin": origin(), "rows": rows}
    title = f"What a decision that serves worth costs, on {arguments.dataset}"
    write_page(arguments.page, title, content, "\n".join(lines))
    print("\n".join(lines))


def experiment(arguments: argparse.Namespace, worth: Worth) -> Experiment:
    """A campaign of Foresight."""
    data = DatasetOptions(name=arguments.dataset)
    options = ExperimentOptions(dataset=data, policy="foresight", protocol=CAMPAIGN).changed(
        {"protocol.targets.n_targets": 20, "protocol.worth": worth.model_dump()}
    )
    return Experiment(options, arguments.store, data_dir=arguments.data_dir)


def timed(runs: dict[str, Experiment], n_journeys: int, repeats: int) -> dict[str, Any]:
    """Milliseconds that deciding so many journeys takes, and their ratio."""
    views = {name: viewed(run.guide, run, n_journeys) for name, run in runs.items()}
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):  # the first is not counted
        for name, run in runs.items():
            start = time.perf_counter()
            run.guide.policy.decide(views[name])
            spent[name].append(1000 * (time.perf_counter() - start))
    first, second = (np.array(spent[name][1:]) for name in ("only-interest", "provider"))
    low, middle, high = np.quantile(second / first, [0.25, 0.5, 0.75])
    return {
        "n_journeys": n_journeys,
        **{name: round(median(times[1:]), 3) for name, times in spent.items()},
        "ratio": round(float(middle), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
    }


def viewed(guide: Guide, run: Experiment, n_journeys: int) -> View:
    """Journeys in their fourth round; every other item was accepted."""
    users = train_users(run.dataset, guide, "left")
    rng = np.random.default_rng(0)
    user = torch.from_numpy(rng.integers(run.dataset.n_users, size=n_journeys))
    target = torch.from_numpy(rng.choice(run.targets.item_idx, n_journeys))
    journeys = Journeys.begun(users, user, target, 20)
    for number in range(1, ROUND):
        shown = torch.from_numpy(rng.integers(1, run.dataset.n_items + 1, size=n_journeys))
        shown = torch.where(shown == target, 0, shown)
        accepted = torch.full((n_journeys,), number % 2 == 0) & (shown > 0)
        journeys = journeys.after(shown, accepted, shown > 0)
    return guide.view(journeys, guide.places(journeys))


if __name__ == "__main__":
    main()
