"""The work of every stage: kernels by their operations and bytes, and how often a stage does each.

A kernel takes ``max(operations / rate, bytes / bandwidth) · factor``: the roofline, times what this
package was measured to take of it (:mod:`~proactrec.estimating.factors`). Operations are those of
matrix products, two for each multiplication and addition; bytes those of tables that are written
and read, whether or not they stay in a cache.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proactrec.content import OVERSAMPLING, POWER_STEPS
from proactrec.estimating import parts
from proactrec.estimating.memory import Part
from proactrec.estimating.parts import distinct_pairs, met_pairs
from proactrec.estimating.size import ENCODER, FORESIGHT, Size
from proactrec.graphau import GraphAUOptions
from proactrec.intents import N_ITERATIONS, N_RESTARTS, POINTS_PER_CENTROID, IntentOptions

ACCEPTED = 0.5
"""Share of rounds in which the item is accepted: what worlds are calibrated to."""
VIEWS_OF_ICLREC = 2
N_INTENTS, BATCH = IntentOptions().n_intents, GraphAUOptions().batch_size
PASSES = {"foresight": 40, "itmprec": 16, "ipg": 13, "next-item": 5}
"""Times that a policy writes or reads a number for every item, to decide one journey."""


class Kernel(NamedTuple):
    """A kind of work: of one unit, what it computes and moves."""

    unit: str
    operations: Callable[[Size], float]
    n_bytes: Callable[[Size], float]
    words: str  # operations; bytes


def _nothing(_: Size) -> float:
    return 0.0


def _layer(size: Size, n_read: float) -> float:
    """Operations of a transformer layer for one position of so many."""
    return 24 * size.dim**2 + 4 * n_read * size.dim


def _training(size: Size) -> float:
    length = ENCODER.max_seq_len
    return 3 * length * ENCODER.n_layers * _layer(size, length)


def _encoding(size: Size) -> float:
    """All layers but the last, which has one position."""
    whole = (ENCODER.n_layers - 1) * size.n_read * _layer(size, size.n_read)
    return whole + 24 * size.dim**2


def _states(size: Size, n_read: float) -> float:
    """Bytes of a layer's states for one position of so many, written and read."""
    return 4 * (25 * size.dim + 2 * ENCODER.n_heads * n_read)


def _weighing(n_passes: int) -> Kernel:
    """A policy's look at all items."""
    return Kernel(
        "decision",
        lambda size: 2 * size.place_dim * size.n_rows,
        lambda size: 4 * n_passes * size.n_rows,
        f"2 · dim · items; {n_passes} · 4 · items",
    )


KERNELS = {
    "reading": Kernel("interaction", _nothing, lambda size: 200, "0; 200"),
    "uniformity": Kernel(
        "interaction",
        lambda size: 8 * BATCH * size.dim,
        lambda size: 32 * BATCH,
        "8 · batch · dim; 32 · batch",
    ),
    "step": Kernel(
        "row of a table, a batch",
        _nothing,
        lambda size: 48 * size.dim,
        "0; 12 · 4 · dim: gradient, weights and moments of Adam, read and written",
    ),
    "scores": Kernel(
        "user",
        lambda size: 2 * size.dim * size.n_rows,
        lambda size: 16 * size.n_rows,
        "2 · dim · items; 4 · 4 · items",
    ),
    "training": Kernel(
        "sequence",
        _training,
        lambda size: (
            3
            * ENCODER.max_seq_len
            * ENCODER.n_layers
            * 2
            * _states(size, ENCODER.max_seq_len)
        ),
        "3 · length · layers · (24 · dim² + 4 · length · dim); "
        "6 · length · layers · 4 · (25 · dim + 2 · heads · length)",
    ),
    "encoding": Kernel(
        "history",
        _encoding,
        lambda size: (
            (ENCODER.n_layers - 1) * size.n_read * _states(size, size.n_read)
            + 8 * size.n_read * size.dim
        ),
        "(layers - 1) · length · (24 · dim² + 4 · length · dim) + 24 · dim²; "
        "(layers - 1) · length · 4 · (25 · dim + 2 · heads · length) + 8 · length · dim",
    ),
    "clustering": Kernel(
        "user, of so many a centre at most",
        lambda size: 2 * N_INTENTS * size.dim * N_ITERATIONS * N_RESTARTS,
        lambda size: 4 * size.dim * N_ITERATIONS * N_RESTARTS,
        "2 · intents · dim · iterations · restarts; 4 · dim · iterations · restarts",
    ),
    "counting": Kernel("pair in a history", _nothing, lambda size: 64, "0; 64"),
    "decomposing": Kernel(
        "distinct pair",
        lambda size: 2 * (FORESIGHT.view_dim + OVERSAMPLING) * (2 * POWER_STEPS + 2),
        lambda size: (16 + 8 * (FORESIGHT.view_dim + OVERSAMPLING)) * (2 * POWER_STEPS + 2),
        "2 · probes · products; (16 + 8 · probes) · products",
    ),
    "hiding": Kernel(
        "decision",
        _nothing,
        lambda size: 8 * size.n_rows + 24 * size.history,
        "0; 2 · 4 · items + 24 · history",
    ),
    **{f"weighing by {policy}": _weighing(n_passes) for policy, n_passes in PASSES.items()},
    "planning": Kernel(
        "decision",
        lambda size: (
            2 * (FORESIGHT.n_candidates + 1) * FORESIGHT.n_considered * size.place_dim
        ),
        lambda size: 8 * FORESIGHT.n_considered * size.place_dim,
        "2 · 7 · 32 · dim; 2 · 4 · 32 · dim",
    ),
    "moving": Kernel(
        "answer so far",
        _nothing,
        lambda size: 4 * 12 * size.place_dim,
        "0; 12 · 4 · dim",
    ),
    "answering": Kernel(
        "journey", _nothing, lambda size: 4 * 6 * size.dim + 400, "0; 6 · 4 · dim + 400"
    ),
    "learning": Kernel(
        "journey",
        _nothing,
        lambda size: 12 * 3 * 8 * (size.n_views + 2),
        "0; 12 · 3 · 8 · (views + 2)",
    ),
}
"""What everything is made of; the words say operations, then bytes."""


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
        counts = {"counting": met_pairs(size), "decomposing": distinct_pairs(size)}
        yield Stage("companions", 1, counts, tuple(parts.of_companions(size)))
    else:
        epoch = encoder_epoch(size)
        yield Stage("encoder, an epoch", size.epochs, epoch, tuple(parts.of_encoder(size)))
        counts = {"training": size.users / 3, "clustering": clustered(size)}
        yield Stage("intents", 1, counts, tuple(parts.of_intents(size)))
    start = {"scores": size.n_journeys, **({} if size.has_views else {"encoding": size.users})}
    held = tuple(parts.of_rollout(size))
    yield Stage("rollout, its start", 1, start, held, is_shared=True)
    yield Stage("rollout, a round", size.rounds, rollout_round(size), held, is_shared=True)
    yield Stage(
        "planning, a round",
        1,
        deciding(size),
        tuple(parts.of_planning(size)),
        is_shared=True,
        is_in_run=False,
    )


def graphau_epoch(size: Size) -> dict[str, float]:
    """All interactions in batches, each of which moves all rows of both tables; validation."""
    n_batches = -(-size.n_interactions // BATCH)
    n_steps = n_batches * (size.users + size.n_rows)
    return {"uniformity": size.n_interactions, "step": n_steps, "scores": size.users}


def encoder_epoch(size: Size) -> dict[str, float]:
    """ICLRec: intents, all sequences with two views each, validation."""
    n_batches = -(-size.users // ENCODER.batch_size)
    forward = size.users / 3  # a third of what training does
    return {
        "training": (1 + VIEWS_OF_ICLREC) * size.users + forward,
        "step": n_batches * size.n_rows,
        "clustering": clustered(size),
        "encoding": size.users,
        "scores": size.users,
    }


def clustered(size: Size) -> float:
    """Users whom k-means looks at."""
    return min(size.users, N_INTENTS * POINTS_PER_CENTROID)


def deciding(size: Size) -> dict[str, float]:
    """What is shown to every journey in the middle of its rounds, places made anew."""
    n = size.n_journeys
    if size.has_views:
        own = {"planning": n, "moving": n * size.rounds / 2}
    else:
        own = {"encoding": n}
    return {"hiding": n, f"weighing by {size.policy}": n, **own}


def rollout_round(size: Size) -> dict[str, float]:
    """Decisions and answers of every journey; who accepts is encoded and ranked anew."""
    n = size.n_journeys
    counts = deciding(size) | {"scores": ACCEPTED * n, "answering": n}
    if size.has_views:
        return counts | {"learning": n}
    return counts | {"encoding": ACCEPTED * n}
