"""What a command is about to cost: refused where it can't be, and told where it takes long."""

from typing import Any, get_args

from proactrec.cli import console
from proactrec.cli.estimate import GIB, duration
from proactrec.cli.setup import Setup
from proactrec.errors import InvalidInputError
from proactrec.estimating.estimate import estimated
from proactrec.estimating.rates import Rates, free_memory
from proactrec.estimating.size import PolicyName, Size
from proactrec.evaluation.experiment import Experiment
from proactrec.progress import Progress

MANY = 10_000_000
"""Decisions from which on the machine is measured, which takes a second."""
LONG_S = 3600.0
BYTES_OF_A_NUMBER = 4 * 4
"""Of tables of vectors while they are trained: the number, its best so far, Adam's two moments."""


def begun(asked: Setup, progress: Progress) -> Experiment:
    """The experiment of a command that begins one.

    Raises
    ------
    InvalidInputError
        If memory can't hold its vectors.
    """
    experiment = asked.experiment(progress)
    size = size_of(experiment)
    _check_vectors(size, free_memory())
    if (warning := long_one(experiment, size)) is not None:
        console.warn([warning])
    return experiment


def size_of(experiment: Experiment) -> Size:
    """The size of an experiment, with everybody guided; of a policy without estimate the least."""
    data, options = experiment.dataset, experiment.options
    named: Any = options.policy if options.policy in get_args(PolicyName) else "next-item"
    n_targets = len(options.target_items) or experiment.protocol.targets.n_targets
    return Size(
        users=data.n_users,
        items=data.n_items,
        targets=min(n_targets, data.n_items),
        rounds=experiment.protocol.rollout.n_rounds,
        policy=named,
        dim=options.graphau.embedding_dim,
        interactions=min(data.n_interactions, data.n_users * data.n_items),
    )


def long_one(experiment: Experiment, size: Size) -> str | None:
    """A sentence on the cost of guidance that takes over an hour, or more memory than is free."""
    n_users = len(experiment.guided_users)
    n_decisions = n_users * size.targets * size.rounds
    if n_decisions < MANY:
        return None
    found = estimated(size, Rates.measured())
    share = n_users / size.users
    parts = [stage for stage in found.stages if stage.name.startswith("rollout")]
    seconds = share * sum(stage.times * stage.seconds for stage in parts)
    memory = share * max(stage.memory for stage in parts)
    if seconds < LONG_S and memory <= found.rates.memory:
        return None
    return (
        f"{n_users:,} users, {size.targets:,} targets and {size.rounds:,} rounds are up to "
        f"{n_decisions:,} decisions: about {duration(seconds)} and {memory / GIB:,.1f} GiB of the "
        f"{found.rates.memory / GIB:,.1f} that are free; see `proactrec estimate`"
    )


def _check_vectors(size: Size, free: int) -> None:
    a_dimension = BYTES_OF_A_NUMBER * (size.users + size.n_rows)
    most = free // a_dimension
    if size.dim > most:
        raise InvalidInputError(
            f"graphau.embedding_dim must be at most {most:,} for {size.users:,} users and "
            f"{size.items:,} items in the {free / GIB:,.1f} GiB that are free, got {size.dim:,}"
        )
