"""Kernels, the kinds of work that every stage is made of, by their operations and bytes.

A kernel takes ``max(operations / rate, bytes / bandwidth) · factor``: the roofline, times what it
was measured to take of it (:mod:`~proactrec.estimating.factors`). Operations are those of matrix
products, two for each multiplication and addition; bytes those of tables that are written and
read, whether or not they stay in a cache.
"""

from collections.abc import Callable
from typing import NamedTuple

from proactrec.content import OVERSAMPLING, POWER_STEPS
from proactrec.estimating.size import ENCODER, FORESIGHT, Size
from proactrec.graphau import GraphAUOptions
from proactrec.intents import N_ITERATIONS, N_RESTARTS, IntentOptions

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


def _narrowing() -> Kernel:
    """A pass over all items in 8 bits, and a policy's look at the few that it leaves."""
    return Kernel(
        "decision",
        _nothing,
        lambda size: (size.place_dim + 16) * size.n_rows,
        "0; (dim + 16) · items: 8-bit vectors, what is known of them, what may be shown",
    )


def _step(size: Size) -> float:
    return 48 * size.dim


def _decomposing(n_bytes_a_pair: int, n_bytes: int) -> Kernel:
    """Products of a sparse table and its transpose with all probes."""
    n_probes, n_products = FORESIGHT.view_dim + OVERSAMPLING, 2 * POWER_STEPS + 2
    return Kernel(
        "distinct pair",
        lambda size: 2 * n_probes * n_products,
        lambda size: (n_bytes_a_pair + n_bytes * n_probes) * n_products,
        f"2 · probes · products; ({n_bytes_a_pair} + {n_bytes} · probes) · products",
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
        _step,
        "0; 12 · 4 · dim: gradient, weights and moments of Adam, read and written",
    ),
    "step of touched rows": Kernel(
        "row that a batch touches", _nothing, _step, "0; 12 · 4 · dim: the same, row by row"
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
            3 * ENCODER.max_seq_len * ENCODER.n_layers * 2 * _states(size, ENCODER.max_seq_len)
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
    "decomposing": _decomposing(16, 8),
    "counting by item": Kernel("pair in a history", _nothing, lambda size: 64, "0; 64"),
    "decomposing kept pairs": _decomposing(8, 4),
    "hiding": Kernel(
        "decision",
        _nothing,
        lambda size: 8 * size.n_rows + 24 * size.history,
        "0; 2 · 4 · items + 24 · history",
    ),
    **{f"weighing by {policy}": _weighing(n_passes) for policy, n_passes in PASSES.items()},
    **{f"narrowing by {policy}": _narrowing() for policy in PASSES},
    "planning": Kernel(
        "decision",
        lambda size: 2 * (FORESIGHT.n_candidates + 1) * FORESIGHT.n_considered * size.place_dim,
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
        lambda size: 12 * 3 * 8 * size.n_weights,
        "0; 12 · 3 · 8 · (views + laws + 2)",
    ),
}
"""What everything is made of; the words say operations, then bytes."""
