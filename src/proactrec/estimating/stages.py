"""The stages of a run and of planning: how often each does every kernel, and what it holds."""

from collections.abc import Iterator
from typing import NamedTuple

from proactrec.estimating import companions, parts
from proactrec.estimating.kernels import BATCH, N_INTENTS
from proactrec.estimating.memory import Part
from proactrec.estimating.size import ENCODER, Size
from proactrec.intents import POINTS_PER_CENTROID

ACCEPTED = 0.5
"""Share of rounds in which the item is accepted: what worlds are calibrated to."""
VIEWS_OF_ICLREC = 2


class Stage(NamedTuple):
    """A part of a job: how often it is done, what each time takes, what it holds."""

    name: str
    times: int
    counts: dict[str, float]  # units of kernels, each time
    parts: tuple[Part, ...]
    is_shared: bool = False  # by threads and processes
    is_in_run: bool = True  # else something else than a run does it


def stages(size: Size) -> Iterator[Stage]:
    """All stages of a run, in order, and planning for real users."""
    yield Stage("read data", 1, {"reading": size.n_interactions}, tuple(parts.of_reading(size)))
    yield Stage(
        "GraphAU, an epoch",
        size.n_interest_models * size.epochs,
        graphau_epoch(size),
        tuple(parts.of_graphau(size)),
    )
    if size.has_views:
        yield Stage("companions", 1, companions.counts(size), tuple(parts.of_companions(size)))
    else:
        epoch = encoder_epoch(size)
        yield Stage("encoder, an epoch", size.epochs, epoch, tuple(parts.of_encoder(size)))
        counts = {"training": size.users / 3, "clustering": clustered(size)}
        yield Stage("intents", 1, counts, tuple(parts.of_intents(size)))
    encoded = 0 if size.has_views else size.users
    start: dict[str, float] = {"scores": size.n_journeys, "encoding": encoded}
    begun, played = tuple(parts.of_start(size)), tuple(parts.of_rollout(size))
    yield Stage("rollout, its start", 1, start, begun, is_shared=True)
    yield Stage("rollout, a round", size.rounds, rollout_round(size), played, is_shared=True)
    yield Stage(
        "planning, a round",
        1,
        deciding(size),
        tuple(parts.of_planning(size)),
        is_shared=True,
        is_in_run=False,
    )


def graphau_epoch(size: Size) -> dict[str, float]:
    """All interactions in batches, each of which moves its rows or all; validation."""
    n_batches = -(-size.n_interactions // BATCH)
    steps = {"step": n_batches * (size.users + size.n_rows)}
    if parts.touches_interest(size):
        steps = {"step of touched rows": n_batches * 2 * BATCH}
    return {"uniformity": size.n_interactions, **steps, "scores": size.n_validated}


def encoder_epoch(size: Size) -> dict[str, float]:
    """ICLRec: intents, all sequences with two views each, validation."""
    n_batches = -(-size.users // ENCODER.batch_size)
    forward = size.users / 3  # a third of what training does
    steps: dict[str, float] = {"step": n_batches * size.n_rows}
    if ENCODER.touches_rows(size.n_rows):
        steps = {"step of touched rows": n_batches * parts.rows_of_batch(size)}
    return {
        "training": (1 + VIEWS_OF_ICLREC) * size.users + forward,
        **steps,
        "clustering": clustered(size),
        "encoding": size.n_validated,
        "scores": size.n_validated,
    }


def clustered(size: Size) -> float:
    """Users whom k-means looks at."""
    return min(size.users, N_INTENTS * POINTS_PER_CENTROID)


def deciding(size: Size) -> dict[str, float]:
    """What is shown to every journey in the middle of its rounds, places made anew."""
    n, look = size.n_journeys, "narrowing" if size.is_narrowed else "weighing"
    found = {"hiding": n, f"{look} by {size.policy}": n}
    if size.has_views:
        return {**found, "planning": n, "moving": n * size.rounds / 2}
    return {**found, "encoding": n}


def rollout_round(size: Size) -> dict[str, float]:
    """Decisions and answers of every journey; who accepts is encoded and ranked anew."""
    n = size.n_journeys
    counts = deciding(size) | {"scores": ACCEPTED * n, "answering": n}
    if size.has_views:
        return counts | {"learning": n}
    return counts | {"encoding": ACCEPTED * n}
