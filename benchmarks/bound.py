"""What share of a bound that no policy can pass guidance reaches: of interest, and of worth.

Usage: python benchmarks/bound.py DATASET PAGE.md [--figures docs/results/worth-ml-100k.json]
    [--worlds medium flat steep] [--seeds 0 1 2] [--n-targets 20] [--n-users 300]
    [--data-dir DIR] [--store runs/artefacts]
The bounds are of the journeys that `worth.py` played, whose figures are read; data set, seeds,
users and targets must be those. What is computed is kept beside the store, so it goes on where it
was killed. The optimum of small instances comes from dynamic programming over all orders of items.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from proactrec.config import digest
from proactrec.evaluation.benchmark.tasks import Workshop
from proactrec.evaluation.bound import BoundOptions, upper_bounds
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.evaluation.oracles import OracleGreedy, OracleLookahead
from proactrec.evaluation.pairs import Pairs, guided_pairs
from proactrec.files import write_text
from proactrec.testing.optimum import drawn
from proactrec.worth import Worth
from shared.cells import parser_of, set_up
from shared.compact import read_figures
from shared.page import origin, write_page
from shared.tables import interval, table
from worth_parts.cases import Bases, named

INTEREST = Worth(target=0, step=0, interest=1)
GOALS: dict[str, tuple[str, str, float, str, Worth]] = {
    "IoI@20, nobody leaves": ("interest", "oracle-lookahead", 0.0, "ioi@20", INTEREST),
    "worth@20, 5% leave": ("grid", "oracle-worth", 0.05, "worth@20", Worth()),
}
"""Part and oracle of `worth.py`, share that leaves, figure, and what the bound is of."""
RIVALS = ("Foresight", "ITMPRec")
N_SMALL = 50
SMALL: dict[str, dict[str, Any]] = {
    f"{dim} dimensions, {n_rounds} rounds": {"dim": dim, "n_rounds": n_rounds}
    for dim in (2, 4, 8)
    for n_rounds in (2, 4)
}


def main() -> None:
    """Compute what is missing, and write the page."""
    parser = parser_of(__doc__, n_targets=20, n_users=300)
    parser.add_argument("--figures", type=Path, default=Path("docs/results/worth-ml-100k.json"))
    parser.add_argument("--worlds", nargs="+", default=["medium", "flat", "steep"])
    arguments = parser.parse_args()
    base, workshop = set_up(arguments)
    kept = Kept(arguments.store / f"{arguments.page.stem}-cells.json")
    figures = read_figures(arguments.figures)["rows"]
    rows = [
        row_of(Bases(base, tuple(arguments.worlds), 0), world, goal, arguments, workshop, kept)
        for world in arguments.worlds
        for goal in GOALS
    ]
    for row in rows:
        row["reached"] = reached(figures, row)
    small = [
        {"instances": name, **kept.of({**about, "n": N_SMALL}, partial(of_small, about))}
        for name, about in SMALL.items()
    ]
    content = {
        "origin": origin(),
        "options": BoundOptions().model_dump(),
        "figures": str(arguments.figures),
        "rows": rows,
        "small": small,
    }
    body = body_of(content, arguments)
    write_page(arguments.page, f"Shares of a bound, on {arguments.dataset}", content, body)
    print(body)


class Kept:
    """Figures that were computed, by what they are of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Any] = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        )

    def of(self, content: dict[str, Any], make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What was made of such content, or is made now."""
        key = digest({**content, "bound": BoundOptions().model_dump()})
        if key not in self._found:
            self._found[key] = make()
            write_text(self._path, json.dumps(self._found))
            print(time.strftime("%H:%M:%S"), self._found[key], flush=True)
        found: dict[str, float] = self._found[key]
        return found


def bound_of(options: ExperimentOptions, goal: str, workshop: Workshop) -> dict[str, float]:
    """Mean bound of an experiment's journeys, and the interest that they lack at first."""
    experiment = workshop.experiment(options)
    world, targets = experiment.world, experiment.targets.item_idx
    pairs, _ = guided_pairs(world, experiment.guided_users, targets)
    n_rounds = options.protocol.rollout.n_rounds
    bound = upper_bounds(world, pairs, GOALS[goal][4], n_rounds=n_rounds)
    users, items = world.user_vectors[pairs.user_idx], world.item_vectors[pairs.target_idx]
    lacking = float((1 - (users * items).sum(1)).mean())
    return {"bound": float(bound.mean()), "lacking": lacking}


def row_of(
    bases: Bases,
    world: str,
    goal: str,
    arguments: argparse.Namespace,
    workshop: Workshop,
    kept: Kept,
) -> dict[str, Any]:
    """Bounds of a world and a goal, by seed."""
    part, oracle, leaving, _, _ = GOALS[goal]
    found = []
    for seed in arguments.seeds:
        case = bases._replace(seed=seed).case(
            (part, world), leaving, oracle, {"policy": "oracle-lookahead"}
        )
        content = {**named(case.options), "goal": goal}
        found.append(kept.of(content, partial(bound_of, case.options, goal, workshop)))
    return {
        "world": world,
        "goal": goal,
        "seeds": arguments.seeds,
        "bound": [one["bound"] for one in found],
        "lacking": [one["lacking"] for one in found],
    }


def reached(figures: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, list[float]]:
    """What `worth.py` measured there, by method and seed."""
    part, oracle, leaving, figure, _ = GOALS[row["goal"]]
    found = {}
    for method in (oracle, *RIVALS):
        place = {"part": part, "world": row["world"], "leaving": f"{leaving:.0%}", "method": method}
        (one,) = (x for x in figures if all(x[name] == value for name, value in place.items()))
        by_seed = dict(zip(one["seeds"], one["figures"][figure], strict=True))
        found[method] = [by_seed[seed] for seed in row["seeds"]]
    return found


def of_small(about: dict[str, Any]) -> dict[str, float]:
    """Mean increase of interest in random instances of five items: bound, optimum and oracles."""
    many = [
        drawn(seed, slope=4.0, worth=INTEREST, after_success="continue", **about)
        for seed in range(N_SMALL)
    ]
    pairs = Pairs(np.array([0]), np.array([many[0].target]))
    bounds = [upper_bounds(x.world, pairs, x.worth, n_rounds=x.n_rounds)[0] for x in many]
    found = {"bound": bounds, "optimum": [one.best(0) for one in many]}
    for oracle in (OracleLookahead(), OracleGreedy()):
        found[oracle.name] = [one.played(0, one.choice_of(oracle, 0)) for one in many]
    return {name: float(np.mean(values)) for name, values in found.items()}


def body_of(content: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Both tables."""
    lines = []
    for row in content["rows"]:
        for method, values in row["reached"].items():
            shares = [100 * a / b for a, b in zip(values, row["bound"], strict=True)]
            cells = [interval(row[name], 3) for name in ("lacking", "bound")]
            share = interval(shares, 1)
            lines.append([row["goal"], row["world"], *cells, method, interval(values, 3), share])
    heads = ["figure", "world", "interest lacking", "bound", "method", "reached", "% of the bound"]
    names = ["bound", "optimum", "oracle-lookahead", "oracle-greedy"]
    small = [
        [
            one["instances"],
            *(f"{one[n]:.3f}" for n in names),
            f"{one['optimum'] / one['bound']:.0%}",
        ]
        for one in content["small"]
    ]
    said = (
        f"Bounds of `proactrec.evaluation.bound` ({arguments.n_users} users, "
        f"{arguments.n_targets} targets, 20 rounds), and what "
        f"[the same journeys]({arguments.figures.name.replace('.json', '.md')}) reached: means and "
        "95 % intervals over seeds (Student's t). Interest lacking is 1 less the interest before "
        f"guidance: without a proof, IoI cannot pass it. Below, {N_SMALL} random instances a row, "
        "five items, where dynamic programming over all orders gives the most that any policy can "
        "expect."
    )
    first = table(heads, lines)
    second = table(["instances", *names, "optimum, % of the bound"], small)
    return f"{said}\n\n## Journeys\n\n{first}\n\n## Small instances\n\n{second}"


if __name__ == "__main__":
    main()
