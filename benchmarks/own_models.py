"""How far it is from Foresight to an oracle because of what is known of users, by own models.

Usage: python benchmarks/own_models.py PAGE.md [--dataset ml-100k] [--seeds 0 1 2] [--users 200]
    [--targets 12] [--models 1 2 4 8] [--worlds medium-v2 reactance-v1] [--folder runs/laws]
    [--data-dir DIR] [--only-finished]
Foresight with so many interest models of its own, shortened to one length; with all of its columns;
and told where users stand at first, by the simulator's own vectors, which only a reference may
be. Same users, targets and luck. Cells are kept, so it goes on where it was killed, all but those
that are told, which are played again.
"""

import argparse
import dataclasses

from proactrec.evaluation.benchmark.grid import Cell, grid
from proactrec.evaluation.benchmark.suites import REFERENCES, Changes
from proactrec.evaluation.experiment import Experiment
from proactrec.evaluation.metrics import METRICS
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.rollout import rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.views import Views
from proactrec.simulator.worlds import WORLDS
from shared.kept import Kept, means_of, parser_of
from shared.page import origin, write_page
from shared.tables import interval, table

ORACLE, TOLD = "oracle-lookahead", "told where users stand at first"
Gains = dict[str, list[float]]
"""IoI@20 by method, of every seed."""
FORESIGHT: Changes = {"policy": "foresight"}
WHOLE = 4096
"""Columns, more than any number of models has."""


def main() -> None:
    """Play what is missing, and write the page."""
    arguments = _arguments()
    kept, gains = Kept(arguments), dict[str, Gains]()
    for world in arguments.worlds:
        of_world: Gains = {}
        for cell in grid(
            [kept.base], _methods(arguments.models), (), arguments.seeds, named_worlds=[world]
        ):
            if (found := kept.played(cell)) is None:
                raise SystemExit(f"not finished: {cell.text}")
            of_world.setdefault(cell.method, []).append(means_of(found)["ioi@20"])
        told = grid([kept.base], {TOLD: FORESIGHT}, (), arguments.seeds, named_worlds=[world])
        of_world[TOLD] = [_told(cell, kept) for cell in told]
        gains[world] = of_world
    about = {name: str(value) for name, value in vars(arguments).items()}
    content = {"origin": origin(), "arguments": about, "ioi@20": gains}
    title = f"What Foresight's own models know of users, on {arguments.dataset}"
    write_page(arguments.page, title, content, _body(gains))


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__, n_users=200, n_targets=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 4, 8])
    worlds = ["medium-v2", "reactance-v1"]
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=worlds)
    return parser.parse_args()


def _methods(numbers: list[int]) -> dict[str, Changes]:
    """With so many models, the default's in full as well, and the oracle."""
    usual = ForesightOptions().n_models
    return {
        **{
            f"{n} own model{'s' * (n > 1)}": {**FORESIGHT, "policy_options.n_models": n}
            for n in numbers
        },
        f"{usual} own models, all columns": {**FORESIGHT, "policy_options.model_dim": WHOLE},
        ORACLE: REFERENCES[ORACLE],
    }


def _told(cell: Cell, kept: Kept) -> float:
    """IoI@20 of a planner whose one view is the simulator's."""
    experiment = kept.workshop.experiment(cell.options)
    log = _played(experiment, Views.beside(experiment.hidden_interest))
    sums = METRICS["ioi"](log, MetricOptions(rounds=(20,))).by_user()
    gained = float(sums.numerator.sum() / sums.denominator.sum())
    print(f"{cell.text}: IoI@20 {gained:.4f}", flush=True)
    return gained


def _played(experiment: Experiment, views: Views) -> GuidanceLog:
    usual, known = experiment.guide, experiment.dataset.before("train")
    assert isinstance(usual.policy, Foresight)
    counts = experiment.dataset.train_counts
    policy = Foresight(views, counts, known, usual.policy.options)
    return rollout(
        dataclasses.replace(usual, policy=policy),
        experiment.world,
        experiment.dataset,
        experiment.targets.item_idx,
        experiment.protocol.rollout,
        user_idx=experiment.guided_users,
    ).log


def _body(gains: dict[str, Gains]) -> str:
    """IoI@20 and its share of the oracle's, by world."""
    heads = ["Foresight with"]
    for world in gains:
        heads += [f"{world}: IoI@20", "share of oracle"]
    rows = []
    for method in next(iter(gains.values())):
        row = [f"`{method}`" if method == ORACLE else method]
        for of_world in gains.values():
            whole, own = of_world[ORACLE], of_world[method]
            shares = [100 * x / y for x, y in zip(own, whole, strict=True)]
            row += [interval(own, 3), f"{interval(shares, 0)} %"]
        rows.append(row)
    explained = (
        "Means with 95 % intervals over seeds (Student's t). The last is told where users "
        "stand before the first round, by the vectors that the simulator moves; it learns the rest "
        "from answers as the others do."
    )
    return f"{explained}\n\n{table(heads, rows)}"


if __name__ == "__main__":
    main()
