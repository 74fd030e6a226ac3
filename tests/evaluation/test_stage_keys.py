"""What is in a store already must not change a result: stages are named by all they depend on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from proactrec.data.load import DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import COMMON, Protocol
from proactrec.graphau import GraphAUOptions

ONE_EPOCH = {"n_epochs": 1}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 users read 4 to 9 of 16 items."""
    path, rng = tmp_path_factory.mktemp("own") / "events.csv", np.random.default_rng(0)
    lines = [
        f"{user},{item},{time}"
        for user in range(24)
        for time, item in enumerate(rng.permutation(16)[: 4 + user % 6] + 1)
    ]
    path.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    return path


def run(events: Path, protocol: Protocol, store: Path) -> Experiment:
    options = ExperimentOptions(
        dataset=DatasetOptions(name="csv", filter="none", table=TableOptions(events=events)),
        target_items=("1",),
        encoder_options={
            "embedding_dim": 8,
            "n_layers": 1,
            "max_seq_len": 8,
            "n_intents": 3,
            "stopping": ONE_EPOCH,
        },
        graphau=GraphAUOptions(embedding_dim=8, stopping=ONE_EPOCH),
        protocol=protocol.model_copy(
            update={"intents": protocol.intents.model_copy(update={"n_intents": 3})}
        ),
    )
    return Experiment(options, store)


def test_intents_are_named_by_the_padding_that_they_are_made_with(
    events: Path, tmp_path: Path
) -> None:
    padded_right = COMMON.rollout.model_copy(update={"padding": "right"})
    right = COMMON.model_copy(update={"rollout": padded_right})
    alone = run(events, right, tmp_path / "alone").fitting.intents.prototypes
    left = run(events, COMMON, tmp_path / "shared").fitting.intents.prototypes
    after = run(events, right, tmp_path / "shared").fitting.intents.prototypes
    assert not torch.equal(alone, left)
    assert torch.equal(after, alone)
