"""Targets that nobody has touched, placed by content, beside the same targets known from the log.

Usage: python benchmarks/cold_targets.py DATASET PAGE.md [--policies foresight itmprec]
    [--seeds 0 1 2] [--n-targets 20] [--n-users 300] [--filter paper]
All interactions with the targets are taken out of the log, and the policy's models are fitted on
what is left. Users answer as in the world of the whole log: the same users, vectors, chances and
luck, so that the two differ in nothing but what the policy could know. Pairs whose user has the
target in the whole log are left out of both. Finished stages lie in runs/artefacts.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.rollout import rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.rng import generator
from proactrec.simulator.world import World
from proactrec.types import FloatArray, IntArray
from shared.page import origin, page_parser, write_page
from shared.tables import interval, table

STORE = Path("runs/artefacts")


def main() -> None:
    """Measure and write the page."""
    parser = page_parser(__doc__, "dataset")
    parser.add_argument("--policies", nargs="+", default=["foresight", "itmprec"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n-targets", type=int, default=20)
    parser.add_argument("--n-users", type=int, default=300)
    parser.add_argument("--filter", default="paper")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        measured(arguments, policy, seed)
        for policy in arguments.policies
        for seed in arguments.seeds
    ]
    body = figures_table(rows, arguments.policies)
    title = f"Cold targets on {arguments.dataset}"
    write_page(arguments.page, title, {"origin": origin(), "rows": rows}, body)
    print(body)


def measured(arguments: argparse.Namespace, policy: str, seed: int) -> dict[str, Any]:
    """Mean increase of interest at the last round with the targets warm and cold."""
    data = DatasetOptions(name=arguments.dataset, filter=arguments.filter)
    options = ExperimentOptions(dataset=data, policy=policy, seed=seed).changed(
        {"protocol.targets.n_targets": arguments.n_targets, "protocol.filter": arguments.filter}
    )
    warm = Experiment(options, STORE)
    item_ids = tuple(warm.dataset.item_ids[item - 1] for item in warm.targets.item_idx)
    left = without(warm.dataset, warm.targets.item_idx)
    cold = Experiment(
        options.changed({"dataset.cold_items": True, "target_items": item_ids}), STORE
    )
    cold.fitting.dataset = left
    assert left.user_ids == warm.dataset.user_ids, "a user had nothing but targets"
    assert left.item_ids == warm.dataset.item_ids, "items are in another order"
    users = np.sort(generator(seed, "cold targets").choice(left.n_users, arguments.n_users, False))
    gains = {}
    for name, experiment in (("warm", warm), ("cold", cold)):
        log = guided(experiment, warm.world, users)
        gains[name] = float(gain(log, warm.dataset).mean())
    found = {"policy": policy, "seed": seed, **gains, "share": gains["cold"] / gains["warm"]}
    print(found, flush=True)
    return found


def without(dataset: Dataset, targets: IntArray) -> Dataset:
    """The data set without any interaction of these items, which its catalogue keeps."""
    user, item = dataset.histories.user_idx, dataset.histories.item_idx
    kept = ~np.isin(item, targets)
    events = pl.DataFrame(
        {
            "user_id": np.array(dataset.user_ids)[user[kept]],
            "item_id": np.array(dataset.item_ids)[item[kept] - 1],
            "timestamp": np.flatnonzero(kept),
        }
    )
    catalogue = pl.DataFrame(
        {
            "item_id": dataset.item_ids,
            "title": dataset.titles,
            "categories": [list(names) for names in dataset.categories],
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )
    return Dataset.build(dataset.name, Interactions(events), Catalogue(catalogue), keep_cold=True)


def guided(experiment: Experiment, world: World, users: IntArray) -> GuidanceLog:
    """The policy of this experiment among the users of that world."""
    dataset, targets = experiment.dataset, experiment.targets.item_idx
    same = World(
        dataset,
        world.user_vectors,
        world.item_vectors,
        targets,
        world.options,
        seed=world.seed,
        response=world.response,
    )
    options = experiment.protocol.rollout
    return rollout(experiment.guide, same, dataset, targets, options, user_idx=users).log


def gain(log: GuidanceLog, dataset: Dataset) -> FloatArray:
    """Increase of interest of the pairs whose user lacks the target in this data set."""
    train = dataset.before("train")
    have = set(zip(train.user_idx.tolist(), train.item_idx.tolist(), strict=True))
    pairs = zip(log.user_idx.tolist(), log.target_idx.tolist(), strict=True)
    lacks = np.array([pair not in have for pair in pairs])
    increase: FloatArray = (log.interest[:, -1] - log.interest[:, 0])[lacks]
    return increase


def figures_table(rows: list[dict[str, Any]], policies: list[str]) -> str:
    """Means and intervals over seeds."""
    lines = []
    for policy in policies:
        own = [row for row in rows if row["policy"] == policy]
        cells = [interval([row[name] for row in own], 3) for name in ("warm", "cold", "share")]
        lines.append([policy, *cells])
    return table(["policy", "IoI@20, warm", "IoI@20, cold", "cold as a share"], lines)


if __name__ == "__main__":
    main()
