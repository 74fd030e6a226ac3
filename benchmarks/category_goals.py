"""A category as the goal: whichever of its items suits, beside a pre-matched target for each user.

Usage: python benchmarks/category_goals.py DATASET PAGE.md [--categories Sci-Fi Horror War Musical]
    [--policies Foresight ITMPRec target-now next-item] [--seeds 0 1 2] [--n-users 300]
    [--workers 1] [--data-dir DIR] [--store runs/artefacts] [--only-finished] [--tried]
One journey a user, 20 items shown to each, the same users and the same luck whoever guides and
whatever the targets. Finished cells lie in the store, so it goes on where it was killed; with
--only-finished it plays nothing and writes the page from what there is. --tried adds what was
weighed while this was made.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from category_goals_parts.page import body_of
from proactrec.evaluation.benchmark.grid import Cell
from proactrec.evaluation.benchmark.run import run
from proactrec.evaluation.benchmark.suites import Changes
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.evaluation.metrics import GOAL_METRICS
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.protocols import CAMPAIGN
from proactrec.files import write_text
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.comparison import paired_differences
from proactrec.measurement.results import CellResult
from proactrec.measurement.sums import Sums
from shared.cells import parser_of, say, set_up
from shared.page import origin, write_page

CATEGORIES = ("Sci-Fi", "Horror", "War", "Musical")
FORESIGHT, ITMPREC = "Foresight", "ITMPRec"
PREMATCHED, NEAREST, CHOSEN = "pre-matched", "nearest", "chosen"
WAYS: dict[str, Changes] = {
    PREMATCHED: {"goal.target": "prematched"},
    NEAREST: {"goal.target": "nearest"},
    CHOSEN: {"goal.target": "chosen"},
}
BY_FORESIGHT: Changes = {"goal.target": "chosen", "goal.chooser": "foresight"}
FOLLOW: Changes = {"policy_options.targets_follow": True}
METHODS: dict[tuple[str, str], Changes] = {
    **{(FORESIGHT, way): {"policy": "foresight", **asked} for way, asked in WAYS.items()},
    (FORESIGHT, "chosen, others follow"): {"policy": "foresight", **WAYS[CHOSEN], **FOLLOW},
    **{(ITMPREC, way): {"policy": "itmprec", **WAYS[way]} for way in (PREMATCHED, NEAREST)},
    (ITMPREC, "chosen by relevance"): {"policy": "itmprec", **WAYS[CHOSEN]},
    (ITMPREC, CHOSEN): {"policy": "itmprec", **BY_FORESIGHT},
    ("target-now", CHOSEN): {"policy": "target-now", **BY_FORESIGHT},
    ("next-item", "–"): {"policy": "next-item", **WAYS[PREMATCHED]},
}
"""Who guides, and toward what; `target-now` shows the target at once, `next-item` leads nowhere."""
TRIED: dict[tuple[str, str], Changes] = {
    (policy, f"{CHOSEN}, weighed every {n}"): {**METHODS[policy, CHOSEN], "goal.reweigh": n}
    for policy in (FORESIGHT, ITMPREC)
    for n in (1, 3, 5)
}
COMPARED = [
    (first, (first[0], fixed))
    for first in ((FORESIGHT, CHOSEN), (FORESIGHT, "chosen, others follow"), (ITMPREC, CHOSEN))
    for fixed in (PREMATCHED, NEAREST)
]
TARGET = "target_accepted"
FIGURES: dict[str, tuple[str, int]] = {
    "one@5": (TARGET, 5),
    "one@20": (TARGET, 20),
    "led@20": (TARGET, 20),
    "accepted@20": ("targets_accepted", 20),
    "hr@20": ("hr", 20),
    "ioi@20": ("ioi", 20),
}
"""Metrics at rounds; `led` counts only what users were led to when it was shown."""
TWICE = {f"twice {name}": name for name in ("one@5", "one@20", "led@20", "accepted@20")}
"""Differences from twice a figure of what is fixed."""
Logs = dict[tuple[str, str], dict[int, GuidanceLog]]


def main() -> None:
    """Play what is missing, seed by seed, and write the page."""
    parser = parser_of(__doc__, n_targets=50, n_users=300)
    parser.add_argument("--categories", nargs="+", default=list(CATEGORIES))
    parser.add_argument("--policies", nargs="+", default=list(dict(METHODS.keys())))
    parser.add_argument("--only-finished", action="store_true")
    parser.add_argument("--tried", action="store_true")
    arguments = parser.parse_args()
    base, workshop = set_up(arguments, {"protocol": CAMPAIGN.model_dump()})
    noted = arguments.store / f"{arguments.page.stem}-cells.json"
    done: dict[str, str] = json.loads(noted.read_text()) if noted.exists() else {}
    for seed in arguments.seeds:
        cells = list(cells_of(base, arguments, seed))
        if not arguments.only_finished:
            play(cells, workshop, done, noted)
    write(arguments, base, done)


def cells_of(base: ExperimentOptions, arguments: argparse.Namespace, seed: int) -> Iterator[Cell]:
    """All cells of a seed; the category stands for the kind of users in their names."""
    methods = {**METHODS, **(TRIED if arguments.tried else {})}
    for category in arguments.categories:
        for (policy, way), changes in methods.items():
            if policy not in arguments.policies:
                continue
            options = base.changed({**changes, "category": category, "seed": seed})
            yield Cell(f"{policy}, {way}", options, category)


def play(cells: list[Cell], workshop: Workshop, done: dict[str, str], noted: Path) -> None:
    """Play what is missing, and note where its log lies."""

    def note(cell: Cell, result: CellResult) -> None:
        done["/".join(cell.name)] = str(result.log)
        write_text(noted, json.dumps(done))
        print(f"{cell.text}: {result.seconds.get('guidance', 0):.0f} s", flush=True)

    left = [cell for cell in cells if "/".join(cell.name) not in done]
    if left:
        run(left, workshop, progress=say, finished=note)


def write(arguments: argparse.Namespace, base: ExperimentOptions, done: dict[str, str]) -> None:
    """Page and JSON, of what is finished."""
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    everything: Logs = defaultdict(dict)
    missing = []
    for number, category in enumerate(arguments.categories):
        logs: Logs = defaultdict(dict)
        for seed in arguments.seeds:
            for cell in cells_of(base, arguments, seed):
                if cell.named_world != category:
                    continue
                path = done.get("/".join(cell.name))
                policy, _, way = cell.method.partition(", ")
                if path is None:
                    missing.append(f"{policy}, seed {seed}")
                    continue
                log = GuidanceLog.load(Path(path))
                logs[policy, way][seed] = log
                everything[policy, way][seed * len(arguments.categories) + number] = log
        rows += [{"category": category, **row_of(*method, of)} for method, of in logs.items()]
        differences += [{"category": category, **one} for one in compared(logs)]
    rows += [{"category": "all", **row_of(*method, of)} for method, of in everything.items()]
    differences += [{"category": "all", **one} for one in compared(everything)]
    content = {
        "origin": origin(),
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "missing": sorted(set(missing)),
        "rows": rows,
        "differences": differences,
    }
    title = f"A category as the goal, on {arguments.dataset}"
    write_page(arguments.page, title, content, body_of(content))


def row_of(policy: str, way: str, logs: dict[int, GuidanceLog]) -> dict[str, Any]:
    """Figures of a method by seed (and category, where there are several)."""
    figures: dict[str, list[float]] = {name: [] for name in (*FIGURES, "shown", "targets")}
    for log in logs.values():
        for name in FIGURES:
            sums = sums_of(log, name)
            figures[name].append(float(sums.numerator.sum() / sums.denominator.sum()))
        figures["shown"].append(float(log.is_target.sum(1).mean()))
        figures["targets"].append(float(1 + (np.diff(log.targets, axis=1) != 0).sum(1).mean()))
    return {"policy": policy, "way": way, "n": len(logs), "figures": figures}


def compared(logs: Logs) -> Iterator[dict[str, Any]]:
    """Paired differences of what is chosen and what is fixed, and of it less twice the fixed."""
    for first, second in COMPARED:
        seeds = sorted(set(logs[first]) & set(logs[second]))
        if not seeds:
            continue
        for name in (*FIGURES, *TWICE):
            own, times = TWICE.get(name, name), 2 if name in TWICE else 1
            a = {seed: {name: sums_of(logs[first][seed], own)} for seed in seeds}
            b = {seed: {name: sums_of(logs[second][seed], own, times)} for seed in seeds}
            (found,) = paired_differences(a, b, (20,))
            yield {
                "policy": first[0],
                "way": first[1],
                "fixed": second[1],
                "figure": name,
                "difference": [round(value, 9) for value in found.estimate],
                "per_seed": list(found.per_seed),
            }


def sums_of(log: GuidanceLog, name: str, times: int = 1) -> Sums:
    """Sums of a figure, so many times."""
    metric, number = FIGURES[name]
    if name.startswith("led"):
        log = replace(log, of_goal=log.item_idx == log.led_to)
    sums = GOAL_METRICS[metric](log, MetricOptions(rounds=(number,)))
    return replace(sums, numerator=times * sums.numerator)


if __name__ == "__main__":
    main()
