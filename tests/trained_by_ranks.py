"""Trains small models as one of the ranks that a test started, and keeps weights and records.

Usage: python tests/trained_by_ranks.py OUT CASES [--checkpoint FILE] [--n-epochs N] [--die-at N]
CASES is a JSON object of names with the kind of a model and its options.
"""

import argparse
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from proactrec.encoders.fitting import fit_encoder
from proactrec.graphau import GraphAUOptions, fit_graphau
from proactrec.irn.fitting import fit_irn
from proactrec.irn.network import IRNOptions
from proactrec.testing.toys import dataset_of
from proactrec.threads import one_thread
from proactrec.training import TrainingRecord

SMALL = {"embedding_dim": 16, "max_seq_len": 8, "item_start": "random", "learning_rate": 0.01}


@one_thread()
def main(given: Sequence[str] | None = None) -> None:
    """Train, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", type=json.loads)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--n-epochs", type=int, default=2)
    parser.add_argument("--die-at", type=int)
    arguments = parser.parse_args(given)
    rank = int(os.environ.get("RANK", 0))

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        if done == arguments.die_at and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    same = {"checkpoint": arguments.checkpoint, "progress": progress}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, (kind, options) in arguments.cases.items():
        weights, record = trained(kind, options, arguments.n_epochs, same)
        save_file(weights, arguments.out / f"{name}-{rank}.safetensors")
        (arguments.out / f"{name}-{rank}.json").write_text(record.model_dump_json())


def trained(
    kind: str, options: Mapping[str, Any], n_epochs: int, same: Mapping[str, Any]
) -> tuple[dict[str, Tensor], TrainingRecord]:
    """The weights of a kind of model, and how it was trained."""
    rng = np.random.default_rng(0)
    # 91 users: batches don't divide by two.
    data = dataset_of([(rng.permutation(30)[:8] + 1).tolist() for _ in range(91)])
    stopping = {"n_epochs": n_epochs, "patience": n_epochs}
    if kind == "graphau":
        wanted = GraphAUOptions(batch_size=64, stopping=stopping, **options)
        vectors, record = fit_graphau(data, wanted, **same)
        return vectors._asdict(), record
    own = {**SMALL, "batch_size": 32, "stopping": stopping, **options}
    if kind == "irn":
        model, record = fit_irn(data, options=IRNOptions(min_piece_len=4, **own), **same)
    else:
        model, record = fit_encoder(kind, data, options=own, **same)
    return {name: weight.clone() for name, weight in model.state_dict().items()}, record


if __name__ == "__main__":
    main()
