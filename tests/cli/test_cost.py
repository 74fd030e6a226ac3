"""What a command is about to cost is told before it starts, or refused."""

from pathlib import Path

import pytest

from proactrec.cli.cost import _check_vectors, long_one, size_of
from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions


def demo(folder: Path, **changes: object) -> Experiment:
    """An experiment on the demo world, of which nothing is trained yet."""
    options = ExperimentOptions(category="Thriller").changed(changes)
    return Experiment(options, folder)


def test_the_size_of_an_experiment(tmp_path: Path) -> None:
    run = demo(tmp_path, policy="irn")
    size, data = size_of(run), run.dataset
    assert (size.users, size.items) == (data.n_users, data.n_items)
    assert (size.targets, size.rounds) == (run.protocol.targets.n_targets, 20)
    assert (size.policy, size.dim, size.interactions) == ("next-item", 64, data.n_interactions)
    named = size_of(demo(tmp_path, target_items=("m0001", "m0002"), policy="ipg"))
    assert (named.targets, named.policy) == (2, "ipg")


def test_a_usual_run_starts_without_a_word(tmp_path: Path) -> None:
    usual = demo(tmp_path)
    assert long_one(usual, size_of(usual)) is None


@pytest.mark.parametrize("n_users", [None, 500])
def test_a_run_of_many_rounds_says_what_it_takes(tmp_path: Path, n_users: int | None) -> None:
    long = demo(tmp_path, n_users=n_users, **{"protocol.rollout.n_rounds": 1_000_000})
    sentence = long_one(long, size_of(long))
    assert sentence is not None
    n_guided = n_users or long.dataset.n_users
    assert sentence.startswith(f"{n_guided:,} users, ")
    assert " targets and 1,000,000 rounds are up to " in sentence
    assert "000,000,000 decisions: about " in sentence
    assert "that are free; see `proactrec estimate`" in sentence


def test_vectors_that_memory_can_not_hold_are_refused(tmp_path: Path) -> None:
    size = size_of(demo(tmp_path)).model_copy(update={"dim": 512})
    rows = size.users + size.n_rows
    _check_vectors(size, 16 * 512 * rows)
    with pytest.raises(
        InvalidInputError, match=r"embedding_dim must be at most 511 for .* got 512"
    ):
        _check_vectors(size, 16 * 512 * rows - 1)
