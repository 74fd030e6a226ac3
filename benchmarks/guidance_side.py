"""What one process of guidance_speed.py plays, with the proactrec that is on its path.

Usage: python benchmarks/guidance_side.py STORE DATASET N_TARGETS [--data-dir DIR] [--case NAME]
Stands on nothing but what older checkouts have as well. Models are trained, briefly, where the
store has none. Prints a JSON object: seconds of every rollout, and a hash of what was shown and
accepted.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import proactrec
from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import protocol_of
from proactrec.evaluation.rollout import rollout

SHORT = {"n_epochs": 6, "min_epochs": 1}
"""Training: speed does not ask how good models are."""
CASES: dict[str, dict[str, Any]] = {
    "ITMPRec, official": {"protocol": "official", "policy": "itmprec"},
    "ITMPRec, common": {"protocol": "common", "policy": "itmprec"},
    "ITMPRec within rails, common": {
        "protocol": "common",
        "policy": "itmprec",
        "rails.relevance_floor": 0.1,
        "rails.plain_share": 0.25,
        "rails.stop_after": 8,
    },
    "Foresight, common": {
        "protocol": "common",
        "policy": "foresight",
        "policy_options.graphau": {"stopping": SHORT},
    },
    "next-item, common": {"protocol": "common", "policy": "next-item"},
}


def main() -> None:
    """Play every case once and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("n_targets", type=int)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--case", choices=CASES, help="this one only")
    arguments = parser.parse_args()
    cases = [arguments.case] if arguments.case else list(CASES)
    found = {name: played(CASES[name], arguments) for name in cases}
    print(json.dumps({"package": proactrec.__file__, "cases": found}))


def played(changes: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """One rollout of all users, its seconds without training and without the first calls."""
    experiment: Any = made(changes, arguments)
    guide = experiment.guide if hasattr(experiment, "guide") else experiment.policy
    world, dataset, targets = experiment.world, experiment.dataset, experiment.targets.item_idx
    options = experiment.protocol.rollout
    rollout(guide, world, dataset, targets[:1], options)
    wall, cpu = time.perf_counter(), time.process_time()
    log = rollout(guide, world, dataset, targets, options).log
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    shown = hashlib.sha256(log.item_idx.tobytes() + log.accepted.tobytes()).hexdigest()
    return {"cpu": cpu, "wall": wall, "n_decisions": int(log.is_shown.sum()), "shown": shown}


def made(changes: dict[str, Any], arguments: argparse.Namespace) -> Experiment:
    """The run of a case."""
    changes = dict(changes)
    protocol = protocol_of(changes.pop("protocol"))
    data = DatasetOptions(name=arguments.dataset, filter=protocol.filter)
    options = ExperimentOptions(dataset=data, protocol=protocol).changed(
        {
            "protocol.targets.n_targets": arguments.n_targets,
            "graphau.stopping": SHORT,
            "encoder_options": {"stopping": SHORT},
            **changes,
        }
    )
    return Experiment(options, arguments.store, data_dir=arguments.data_dir)


if __name__ == "__main__":
    main()
