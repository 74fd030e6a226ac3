"""How much of a forecast is the luck of its draws: even draws of worlds beside independent ones.

Usage: python benchmarks/forecast_draws.py DATASET PAGE.md [--n-ensembles 8] [--n-tests 200]
    [--policy itmprec] [--n-users 100] [--n-targets 3] [--filter k-core] [--store runs/artefacts]
Many ensembles of as many worlds as a forecast has, of both kinds, forecast the same test worlds,
which are independent draws of the prior. Every world is kept in the store.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.forecast import Forecaster, ForecastOptions
from proactrec.evaluation.prediction import LEVELS, Summary, predicted
from proactrec.rng import generator
from proactrec.simulator.prior import N_DRAWN, PlausibleWorld, Prior, drawn_world, world_at
from shared.page import origin, page_parser, write_page

Draw = Callable[[Prior, int, int], PlausibleWorld]


def independent_world(
    prior: Prior, seed: int, number: int, purpose: str = "independent"
) -> PlausibleWorld:
    """A draw that knows of no other."""
    rng = generator(seed, purpose, number)
    return world_at(prior, rng.random(N_DRAWN).tolist(), int(rng.integers(2**32)))


DRAWS: dict[str, Draw] = {"independent": independent_world, "even": drawn_world}


def main() -> None:
    """Play what is missing, write the page."""
    parser = page_parser(__doc__, "dataset")
    parser.add_argument("--n-ensembles", type=int, default=8)
    parser.add_argument("--n-tests", type=int, default=200)
    parser.add_argument("--policy", default="itmprec")
    parser.add_argument("--n-users", type=int, default=100)
    parser.add_argument("--n-targets", type=int, default=3)
    parser.add_argument("--filter", default="k-core")
    parser.add_argument("--store", type=Path, default=Path("runs/artefacts"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = DatasetOptions(name=arguments.dataset, filter=arguments.filter)
    options = ExperimentOptions(dataset=data, policy=arguments.policy, n_users=arguments.n_users)
    options = options.changed({"protocol.targets.n_targets": arguments.n_targets})
    caster = Forecaster(Experiment(options, arguments.store), ForecastOptions())
    numbers = range(arguments.n_tests)
    tests = caster.summaries(
        [independent_world(caster.prior, 0, number, "tests of draws") for number in numbers]
    )
    rows = [
        row(
            name,
            caster,
            [ensemble(caster, draw, seed) for seed in range(arguments.n_ensembles)],
            tests,
        )
        for name, draw in DRAWS.items()
    ]
    content = {
        "origin": origin(),
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "rows": rows,
    }
    body = "\n".join([explained(arguments, caster), "", *table(rows)])
    write_page(
        arguments.page, f"The luck of a forecast's draws on {arguments.dataset}", content, body
    )
    print(body)


def ensemble(caster: Forecaster, draw: Draw, seed: int) -> list[Summary]:
    """The campaign in the worlds of one seed."""
    worlds = [draw(caster.prior, seed, number) for number in range(caster.options.n_worlds)]
    found = caster.summaries(worlds)
    print(f"{draw.__name__} {seed}", flush=True)
    return found


def row(
    name: str, caster: Forecaster, ensembles: Sequence[Sequence[Summary]], tests: Sequence[Summary]
) -> dict[str, Any]:
    """How often intervals hold, and how far that and their ends vary between ensembles."""
    held, ends = [], []
    truth = np.stack([test.mean for test in tests])  # (n_tests, n_segments, n_figures)
    for worlds in ensembles:
        median, bounds = predicted(worlds, caster.audience.n_users)
        is_in = (bounds[:, 0][:, None] <= truth) & (truth <= bounds[:, 1][:, None])
        held.append(is_in.mean((1, 2, 3)))
        ends.append(np.stack([bounds[0, 0], median, bounds[0, 1]]) / truth.std(0))
    share, place = np.stack(held), np.stack(ends)
    found: dict[str, Any] = {"draws": name}
    for at, level in enumerate(LEVELS):
        found[f"coverage_{level}"] = float(share[:, at].mean())
        found[f"deviation_{level}"] = float(share[:, at].std(ddof=1))
    for at, end in enumerate(("low", "median", "high")):
        found[f"deviation_{end}"] = float(place.std(0, ddof=1)[at].mean())
    return found


def explained(arguments: argparse.Namespace, caster: Forecaster) -> str:
    """What the table holds."""
    return (
        f"{arguments.n_ensembles} ensembles of {caster.options.n_worlds} worlds each way forecast "
        f"{arguments.n_tests} other worlds: {arguments.policy}, {arguments.n_users} users, "
        f"{arguments.n_targets} targets, before the campaign. Coverage: share of all figures of "
        "all segments inside their interval, in per cent, mean ± deviation between ensembles. The "
        "ends of the 80 % interval and the median: deviation between ensembles, as a share of the "
        "deviation between worlds, mean over figures."
    )


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Both kinds of draws."""
    return [
        "| draws | 80 % interval | 95 % interval | low end | median | high end |",
        "| --- | --- | --- | ---: | ---: | ---: |",
        *(
            f"| {row['draws']} | "
            + " | ".join(
                f"{100 * row[f'coverage_{level}']:.1f} ± {100 * row[f'deviation_{level}']:.1f}"
                for level in LEVELS
            )
            + " | "
            + " | ".join(f"{row[f'deviation_{end}']:.3f}" for end in ("low", "median", "high"))
            + " |"
            for row in rows
        ),
    ]


if __name__ == "__main__":
    main()
