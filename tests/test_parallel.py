"""Two processes train what one does: real ones, which torchrun starts, over the loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import proactrec
from proactrec.parallel import ALONE, Ranks
from proactrec.training import TrainingRecord

from .e2e.conftest import FAST, Command, Toy
from .e2e.conftest import here as here
from .e2e.conftest import toy as toy
from .trained_by_ranks import main as train

SCRIPT = Path(__file__).with_name("trained_by_ranks.py")
ROOT = Path(proactrec.__file__).parents[1]
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sasrec": ("sasrec", {"dropout": 0.0}),
    "cross-entropy": ("sasrec", {"dropout": 0.0, "next_item_loss": "cross_entropy"}),
    "bsarec": ("bsarec", {"dropout": 0.0}),
    "irn": ("irn", {"dropout": 0.0}),
    "graphau": ("graphau", {}),
    "graphau, deep": ("graphau", {"n_layers": 2}),
    "graphau, touched rows": ("graphau", {"table_steps": "touched"}),
    "sasrec, touched rows": ("sasrec", {"dropout": 0.0, "table_steps": "touched"}),
}
KILLED = {"own": ("icsrec", {"stopping": {"n_epochs": 4, "patience": 4}})}
"""It draws partners and dropout, and contrasts rows: not what one process comes to."""


class Trained(NamedTuple):
    """What each rank came to."""

    weights: list[dict[str, Tensor]]
    records: list[TrainingRecord]


def started(*command: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command that has ended so."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    return done


def trained(out: Path, cases: Any, *more: object, code: int = 0) -> None:
    """Train by two ranks."""
    started(*LAUNCH, 2, SCRIPT, out, json.dumps(cases), *more, code=code)


def read(out: Path, name: str) -> Trained:
    """What the ranks of a training kept."""
    weights = [load_file(path) for path in sorted(out.glob(f"{name}-?.safetensors"))]
    records = [path.read_text() for path in sorted(out.glob(f"{name}-?.json"))]
    return Trained(weights, [TrainingRecord.model_validate_json(text) for text in records])


def assert_near(one: dict[str, Tensor], other: dict[str, Tensor], atol: float) -> None:
    for name, weight in one.items():
        own, wanted = weight, other[name]
        if name.endswith("query_key_value.bias"):
            # Keys' biases change nothing, so that their gradient is rounding, which Adam enlarges.
            own, wanted = (torch.cat(x.chunk(3)[::2]) for x in (own, wanted))
        torch.testing.assert_close(own, wanted, rtol=0, atol=atol, msg=name)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What one process and two ranks came to."""
    folder = tmp_path_factory.mktemp("ranks")
    trained(folder / "2", CASES | KILLED)
    train([str(folder / "1"), json.dumps(CASES)])
    return [folder / "1", folder / "2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_come_to_what_one_process_does(name: str, outs: list[Path]) -> None:
    alone, both = (read(out, name) for out in outs)
    assert (len(alone.weights), len(both.weights)) == (1, 2)
    assert_same(*both.weights)
    assert both.records[0] == both.records[1]
    # GraphAU's steps are of 0.1 at first, whatever the size of a gradient.
    assert_near(both.weights[0], alone.weights[0], 1e-4 if "graphau" in name else 1e-5)
    for found, wanted in zip(both.records[0].epochs, alone.records[0].epochs, strict=True):
        assert found.loss == pytest.approx(wanted.loss, abs=1e-5)
        assert found.score == pytest.approx(wanted.score, abs=1e-5)


@pytest.mark.slow
def test_ranks_that_were_killed_go_on_as_if_they_had_not_been(
    outs: list[Path], tmp_path: Path
) -> None:
    killed, at = tmp_path / "killed", ("--checkpoint", tmp_path / "checkpoint.safetensors")
    trained(killed, KILLED, *at, "--die-at", 2, code=1)
    assert not read(killed, "own").weights
    trained(killed, KILLED, *at)
    expected, found = read(outs[1], "own"), read(killed, "own")
    assert_same(*expected.weights)
    assert_same(found.weights[0], expected.weights[0])
    assert found.records == expected.records


@pytest.mark.slow
def test_the_command_trains_by_ranks_and_one_process_finds_the_models(
    here: Command, toy: Toy, tmp_path: Path
) -> None:
    settings = [one for one in FAST if one.startswith("--set") and "intents" not in one]
    arguments: list[str | Path] = ["train", *toy.files, "--filter", "none", *settings]
    arguments += ["--encoder", "sasrec", "--out", tmp_path / "run"]
    both = started(*LAUNCH, 2, "-m", "proactrec", *arguments)
    assert both.stdout.count("popularity") == 2, "one rank speaks, of validation and test"
    alone = here(*arguments)
    assert (alone.code, alone.stdout) == (0, both.stdout)
    assert "GraphAU" in both.stderr
    assert "GraphAU" not in alone.stderr


def test_ranks_do_nothing_but_train(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = here("run")
    assert refused.code == 2
    assert refused.errors[0].startswith("error: processes of torchrun must train, got 'run'")


def test_ranks_share_out_every_row_once() -> None:
    for n in (0, 1, 2, 7, 64):
        for count in (1, 2, 3, 5):
            parts = [Ranks(rank, count).rows(n) for rank in range(count)]
            assert [row for part in parts for row in range(n)[part]] == list(range(n))


def test_parts_of_a_mean_sum_to_it() -> None:
    values, answers = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]), torch.tensor([1, 0, 0, 1, 1])

    def mean(batch: Any) -> Tensor:
        part, answer = batch
        return part[answer > 0].mean()

    def counted(batch: Any) -> int:
        return int((batch[1] > 0).sum())

    whole = ALONE.part((values, answers), counted, mean)
    for count in (2, 3, 5, 8):
        parts = [Ranks(rank, count).part((values, answers), counted, mean) for rank in range(count)]
        assert torch.stack(parts).sum() == pytest.approx(whole)
