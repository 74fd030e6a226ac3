"""What every stage of a run holds: formulas in bytes, read off the code that they name.

A stage that is not here (metrics, reports, forecasts, rails that span users) is not accounted for.
"""

from collections.abc import Iterator

from proactrec.estimating import companions
from proactrec.estimating.formula import Formula
from proactrec.estimating.kernels import BATCH
from proactrec.estimating.memory import (
    Part,
    block,
    hashing,
    item_vectors,
    learning,
    process,
    user_vectors,
    users,
)
from proactrec.estimating.size import ENCODER, FORESIGHT, Size
from proactrec.graphau import GraphAUOptions
from proactrec.intents import IntentOptions
from proactrec.policies.standing import AT_ONCE
from proactrec.policies.toward import MOST_KEPT
from proactrec.ranking import SCORE_BLOCK
from proactrec.simulator.response import N_RECENT

WEIGHING_TABLES = {"foresight": 14, "itmprec": 7, "ipg": 6, "next-item": 4}
"""Tables of a score each that a policy holds while it decides a block, with what may be shown."""
NARROWING_TABLES = 3
"""Such tables where few items are scored: what may be shown, while it is made."""


def tables(size: Size) -> float:
    """Numbers in a table of vectors for all users and items."""
    return size.dim * (size.users + size.n_rows)


def touches_interest(size: Size) -> bool:
    """Whether a step of GraphAU moves the rows of its batch only."""
    return GraphAUOptions().touches_rows(max(size.users, size.n_rows))


def rows_of_batch(size: Size) -> float:
    """Rows of the item table that a batch of sequences touches at most, each with a negative."""
    length = min(ENCODER.max_seq_len, size.history)
    return min(size.n_rows, 2 * min(size.users, ENCODER.batch_size) * length)


def activations(size: Size) -> float:
    """Bytes of a batch's states that training keeps for the way back (`encoders/layers.py`)."""
    a_token = 4 * (30 * size.dim + 4 * ENCODER.n_heads * ENCODER.max_seq_len)
    rows = min(size.users, ENCODER.batch_size)
    return 3 * rows * ENCODER.max_seq_len * ENCODER.n_layers * a_token


DATA = Formula(
    "data set",
    "held",
    "72 · users + 330 · items + 16 · interactions: ids, titles, histories, times",
    lambda size: 72 * size.users + 330 * size.items + 16 * size.n_interactions,
)
READING = Formula(
    "joining tables",
    "once",
    "250 · interactions: events with their ids as text",
    lambda size: 250 * size.n_interactions,
)
LEFT = Formula(
    "left of joining tables",
    "held",
    "125 · interactions: what its allocator has not given back",
    lambda size: 125 * size.n_interactions,
)
INTEREST = Formula(
    "interest vectors", "held", "4 · dim · (users + items)", lambda size: 4 * tables(size)
)
OWN_MODELS = (
    Formula(
        "own interest models",
        "once",
        "8 · dim · models · (users + items): each, and side by side",
        lambda size: 8 * FORESIGHT.n_models * tables(size),
    ),
    Formula(
        "own interest",
        "held",
        f"4 · {FORESIGHT.model_dim} at most · (users + items)",
        lambda size: 4 * size.main_dim * (size.users + size.n_rows),
    ),
)
GRAPHAU = (
    Formula(
        "tables of GraphAU",
        "held",
        "4 · 4 · dim · (users + items): weights, the best so far, two moments of Adam",
        lambda size: 16 * tables(size),
    ),
    Formula(
        "edges",
        "held",
        "24 · interactions: users, items, their order",
        lambda size: 24 * size.n_interactions,
    ),
    Formula(
        "a step",
        "by turns",
        "3 · 4 · dim · (users + items), or of the rows that a batch touches: gradients, and what "
        "Adam makes of them",
        lambda size: 12 * size.dim * 2 * BATCH if touches_interest(size) else 12 * tables(size),
    ),
    Formula(
        "validating",
        "once",
        "40 · interactions + 2 · 4 · dim · (users + items) + 8 · 1 million scores",
        lambda size: 40 * size.n_interactions + 8 * tables(size) + 8 * SCORE_BLOCK,
    ),
    Formula(
        "a checkpoint",
        "once",
        "5 · 4 · dim · (users + items)",
        lambda size: 20 * tables(size),
    ),
)
TRAINED = (
    Formula(
        "tables of the encoder",
        "held",
        "4 · 4 · dim · items: weights, the best so far, two moments of Adam",
        lambda size: 16 * size.dim * size.n_rows,
    ),
    Formula(
        "sequences and answers",
        "held",
        f"2 · 8 · {ENCODER.max_seq_len} · users + 8 · interactions",
        lambda size: 16 * ENCODER.max_seq_len * size.users + 8 * size.n_interactions,
    ),
    Formula(
        "cutting sequences",
        "once",
        f"5 · 8 · {ENCODER.max_seq_len} · users",
        lambda size: 40 * ENCODER.max_seq_len * size.users,
    ),
    Formula(
        "a batch",
        "by turns",
        "3 · batch · length · layers · 4 · (30 · dim + 4 · heads · length): states for the way "
        "back, of a sequence and two views",
        activations,
    ),
    Formula(
        "a step",
        "by turns",
        "5 · 4 · dim · items, or of the rows that a batch touches: gradients, and what Adam makes "
        "of them",
        lambda size: (
            20
            * size.dim
            * (rows_of_batch(size) if ENCODER.touches_rows(size.n_rows) else size.n_rows)
        ),
    ),
    Formula(
        "validating",
        "once",
        f"5 · 8 · {ENCODER.max_seq_len} · users + 40 · interactions + 8 · 1 million scores",
        lambda size: (
            40 * (ENCODER.max_seq_len * size.users + size.n_interactions) + 8 * SCORE_BLOCK
        ),
    ),
)
OWN_VIEWS = (
    Formula(
        "what is known of items",
        "held",
        "40 · items: counts, surplus, information, offsets",
        lambda size: 40 * size.n_rows,
    ),
    Formula(
        "nearness to targets",
        "held",
        "4 · items · targets, 64 MB at most",
        lambda size: 4 * min(MOST_KEPT, size.n_rows * size.targets),
    ),
    Formula(
        "histories of the fit",
        "held",
        "8 · (interactions + users)",
        lambda size: 8 * (size.n_interactions + size.users),
    ),
)
AHEAD = Formula(
    "steps ahead",
    "by turns",
    "2 · 4 · 32 · dim · journeys of a block, in every thread",
    lambda size: 8 * FORESIGHT.n_considered * size.place_dim * size.block * size.n_threads,
)
PASSED = (
    Formula(
        "items in 8 bits",
        "held",
        "(dim + 12) · items",
        lambda size: (size.place_dim + 12) * size.n_rows,
    ),
    Formula(
        "a pass",
        "by turns",
        "16 · items, in every thread: which are in question, and by how much",
        lambda size: 16 * size.n_rows * size.n_threads,
    ),
)
ON_ENCODER = (
    Formula(
        "items of the encoder",
        "held",
        "(2 · 4 · dim + 4 · intents) · items: as they are, of length 1, scores of intents",
        lambda size: (8 * size.dim + 4 * IntentOptions().n_intents) * size.n_rows,
    ),
)
PLACING = "8 · places, and of what they are made of at most 128 MiB; or sequences of an encoder"
PLACES = Formula(
    "places",
    "held",
    "4 · (dim + (1 + laws) · (3 + rounds)) · (users + journeys); without laws, 4 · dim · (…)",
    lambda size: 4 * size.place_width * (size.users + size.at_once),
)
JOURNEYS = Formula(
    "journeys",
    "held",
    "(3 · 10 · rounds + 100) · journeys: begun, now, and while answered",
    lambda size: (30 * size.rounds + 100) * size.at_once,
)
ANSWERS = Formula(
    "decisions and answers",
    "by turns",
    "(180 + 8 · views) · journeys",
    lambda size: (180 + 8 * size.n_views) * size.at_once,
)
WORLD = Formula(
    "the world",
    "held",
    "8 · interactions + 180 · users, beside the interest vectors",
    lambda size: 8 * size.n_interactions + 180 * size.users,
)
STARTING = (
    Formula(
        "calibration",
        "once",
        "8 · dim · (4 · users + items), and 25 MB for pairs",
        lambda size: 8 * size.dim * (4 * size.users + size.n_rows) + 25e6,
    ),
    Formula(
        "who has which target",
        "once",
        "72 · journeys + 56 · interactions",
        lambda size: 72 * size.at_once + 56 * size.n_interactions,
    ),
    Formula(
        "placing everybody",
        "once",
        PLACING,
        lambda size: placing(size, size.users),
    ),
)
PLAYED = (
    Formula(
        "simulated users",
        "held",
        f"(8 · rounds + 2 · 4 · dim + {8 * N_RECENT + 70}) · journeys, of a policy that learns",
        lambda size: (
            (8 * size.rounds + 8 * size.dim + 8 * N_RECENT + 70)
            * (size.at_once if size.has_views else size.play * size.n_threads)
        ),
    ),
    Formula(
        "ranks of targets",
        "by turns",
        "4 · items · journeys that are played at once, in every thread",
        lambda size: 4 * size.n_rows * size.play * size.n_threads,
    ),
    Formula(
        "the log",
        "held",
        "(42 · rounds + 41) · journeys",
        lambda size: (42 * size.rounds + 41) * size.at_once,
    ),
    Formula(
        "the log as a table",
        "once",
        "76 · (rounds + 1) · journeys",
        lambda size: 76 * (size.rounds + 1) * size.at_once,
    ),
)
PLANNED = (
    Formula(
        "placing journeys",
        "once",
        PLACING,
        lambda size: placing(size, size.at_once),
    ),
    Formula(
        "the table of what is shown", "once", "150 · journeys", lambda size: 150 * size.at_once
    ),
)


def placing(size: Size, n: int) -> float:
    """While places of so many are made: the vectors they are made of, or sequences and masks."""
    if size.has_views:
        walked = min(AT_ONCE, n * (1 + size.rounds) * size.place_dim)
        return 8 * (size.place_width * n + walked)
    return (40 * ENCODER.max_seq_len + 12 * size.dim) * n


def of_reading(size: Size) -> Iterator[Part]:
    """Files to a data set."""
    return _all(size, DATA, READING)


def of_graphau(size: Size) -> Iterator[Part]:
    """An interest model."""
    return _all(size, DATA, LEFT, *GRAPHAU)


def of_encoder(size: Size) -> Iterator[Part]:
    """The sequence encoder."""
    return _all(size, DATA, LEFT, INTEREST, *TRAINED)


def of_intents(size: Size) -> Iterator[Part]:
    """What users are after, of the encoder."""
    return _all(size, DATA, LEFT, INTEREST, *ON_ENCODER, STARTING[-1])


def of_companions(size: Size) -> Iterator[Part]:
    """Items by those that the same users have."""
    return _all(size, DATA, LEFT, INTEREST, *OWN_MODELS, *companions.held(size))


def of_start(size: Size) -> Iterator[Part]:
    """The world, and where users stand before any round."""
    yield from _all(size, DATA, LEFT, INTEREST, WORLD, PLACES, *STARTING)
    yield from _of_guide(size)
    yield hashing(size.users, size.history)


def of_rollout(size: Size) -> Iterator[Part]:
    """Guidance of simulated users."""
    yield from _all(size, DATA, LEFT, INTEREST, WORLD, PLACES, JOURNEYS, ANSWERS, *PLAYED)
    yield from _of_guide(size)
    yield from _of_block(size)
    if size.has_views:
        yield learning(size.n_weights, size.at_once)


def of_planning(size: Size) -> Iterator[Part]:
    """What real users are shown next."""
    yield from _all(size, PLACES, JOURNEYS, ANSWERS, *PLANNED)
    yield from _of_guide(size)
    yield from _of_block(size)
    yield hashing(size.users, size.history)


def _all(size: Size, *formulas: Formula) -> Iterator[Part]:
    """A process, and these."""
    yield process()
    yield from (formula.of(size) for formula in formulas)


def _of_guide(size: Size) -> Iterator[Part]:
    """A policy, and those whom it guides."""
    yield users(size.users, size.history)
    if size.has_views:
        yield user_vectors(size.users, size.place_dim)
        yield item_vectors(size.n_rows, size.place_dim)
    own = OWN_VIEWS if size.has_views else ON_ENCODER
    yield from (formula.of(size) for formula in (*own, *(PASSED if size.is_passed else ())))


def _of_block(size: Size) -> Iterator[Part]:
    """What threads hold that decide."""
    n_scores = size.block * size.n_rows
    n_tables = NARROWING_TABLES if size.is_narrowed else WEIGHING_TABLES[size.policy]
    yield block(n_scores, n_tables=n_tables, n_threads=size.n_threads)
    if size.has_views:
        yield AHEAD.of(size)
