"""The embedded demo world: invented films and users, made from a seed in less than a second.

Films belong to small topics and come in a watching order inside their topic; a topic has one main
category and lies near topics of related categories. A user goes through sessions. At each step the
user stays in the topic, goes on to one that usually follows it, starts a new session by long-term
taste, or takes something popular on the side and then comes back. Taste moves from one place to
another over the user's history.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.synthetic_titles import CATEGORIES, film_titles
from proactrec.rng import generator
from proactrec.types import BoolArray, FloatArray, IntArray

N_USERS = 1000
N_TOPICS = 150
TOPIC_SIZE = 10
N_ITEMS = N_TOPICS * TOPIC_SIZE
N_DIMENSIONS = 6
MOVES = ("stay", "follow", "aside", "new")
MOVE_CHANCES = (0.35, 0.2, 0.15, 0.3)
"""Stay in the topic, go to one that follows it, something popular on the side, a new session."""
FOLLOWER_CHANCES = (0.6, 0.25, 0.15)
TASTE = 5.0
"""How strongly taste decides the topic of a new session: logit per unit of cosine."""
ORDER = 1.5
"""How strongly the next film in the topic's order is preferred: added logit."""
SECOND_CATEGORY, THIRD_CATEGORY = 0.6, 0.2
START = 1_577_836_800  # 2020-01-01 in Unix seconds
HOUR = 3_600.0


class _World(NamedTuple):
    """What the users move through."""

    main: IntArray  # (n_topics,), main category
    place: FloatArray  # (n_topics, n_dimensions), unit length
    followers: IntArray  # (n_topics, n_followers)
    topic_pull: FloatArray  # (n_topics,), log popularity
    film_pull: FloatArray  # (n_topics, topic_size), log popularity


def demo_world(seed: int = 0) -> tuple[Interactions, Catalogue]:
    """About 1,000 users, 1,500 films in 12 categories and 60,000 events, in time order.

    Films have one to three categories. Popularity has a long tail; the next event depends on the
    last few and on a drifting long-term taste. All names are invented. The same seed gives the same
    world.
    """
    world = _world(generator(seed, "demo-world"))
    rng = generator(seed, "demo-users")
    length = np.clip(rng.lognormal(np.log(54), 0.46, N_USERS), 15, 160).astype(np.int64)
    watched, is_new = _watch(world, length, rng)
    times = _times(is_new, rng)
    rng = generator(seed, "demo-catalogue")
    ids = np.array([f"m{number:04d}" for number in 1 + rng.permutation(N_ITEMS)])
    step, user = np.nonzero(np.arange(length.max())[:, None] < length)
    events = pl.DataFrame(
        {
            "user_id": [f"u{number:04d}" for number in 1 + user],
            "item_id": ids[watched[step, user]],
            "timestamp": times[step, user],
        }
    )
    films = pl.DataFrame(
        {
            "item_id": ids,
            "title": film_titles(world.main, TOPIC_SIZE, rng),
            "categories": _film_categories(world, rng),
        }
    )
    return Interactions(events.sort("timestamp", maintain_order=True)), Catalogue(
        films.sort("item_id")
    )


def _world(rng: np.random.Generator) -> _World:
    share = np.linspace(1.6, 0.7, len(CATEGORIES))
    ends = np.round(np.cumsum(share) / share.sum() * N_TOPICS)
    main = np.searchsorted(ends, np.arange(N_TOPICS), side="right")
    spread = 0.25 * rng.standard_normal((N_TOPICS, N_DIMENSIONS))
    place = _unit(_category_places()[main] + spread)
    near = place @ place.T + 0.1 * rng.standard_normal((N_TOPICS, N_TOPICS))
    np.fill_diagonal(near, -np.inf)
    film_order = -0.12 * np.arange(TOPIC_SIZE)
    return _World(
        main=main,
        place=place,
        followers=np.argsort(-near, axis=1)[:, : len(FOLLOWER_CHANCES)],
        topic_pull=0.7 * rng.standard_normal(N_TOPICS),
        film_pull=film_order + 0.4 * rng.standard_normal((N_TOPICS, TOPIC_SIZE)),
    )


def _category_places() -> FloatArray:
    """Places on a closed curve, neighbours in the list near each other: (n_categories, 6)."""
    angle = 2 * np.pi * np.arange(len(CATEGORIES)) / len(CATEGORIES)
    waves = [wave(turns * angle) for turns in (1, 2, 3) for wave in (np.cos, np.sin)]
    return _unit(np.stack(waves, axis=1))


def _watch(world: _World, length: IntArray, rng: np.random.Generator) -> tuple[IntArray, BoolArray]:
    """Film of every step of every user, and whether a session starts: both (n_steps, n_users)."""
    everyone = np.arange(len(length))
    first, last = (_unit(rng.standard_normal((len(length), N_DIMENSIONS))) for _ in range(2))
    is_seen = np.zeros((len(length), N_TOPICS, TOPIC_SIZE), dtype=bool)
    n_seen = np.zeros((len(length), N_TOPICS), dtype=np.int64)
    topic = np.zeros(len(length), dtype=np.int64)
    position = np.zeros_like(topic)
    items, starts = [], []
    for step in range(length.max()):
        progress = np.minimum(step / length, 1.0)[:, None]
        taste = _unit((1 - progress) * first + progress * last)
        is_used_up = n_seen == TOPIC_SIZE
        move = rng.choice(len(MOVES), p=MOVE_CHANCES, size=len(length))
        if step == 0:
            move[:] = MOVES.index("new")
        follower = world.followers[topic, rng.choice(3, p=FOLLOWER_CHANCES, size=len(length))]
        goes_to = np.where(move == MOVES.index("follow"), follower, topic)
        is_aside = move == MOVES.index("aside")
        is_new = (move == MOVES.index("new")) | (is_used_up[everyone, goes_to] & ~is_aside)
        shown = goes_to.copy()
        for is_free, strength in ((is_aside, 0.0), (is_new, TASTE)):
            pull = world.topic_pull + strength * taste[is_free] @ world.place.T
            shown[is_free] = _draw(np.where(is_used_up[is_free], -np.inf, pull), rng)
        follows = (shown == topic) & ~is_aside
        is_next = np.arange(TOPIC_SIZE) == np.where(follows, position + 1, 0)[:, None]
        logit = world.film_pull[shown] + ORDER * is_next
        chosen = _draw(np.where(is_seen[everyone, shown], -np.inf, logit), rng)
        is_seen[everyone, shown, chosen] = True
        n_seen[everyone, shown] += 1
        items.append(shown * TOPIC_SIZE + chosen)
        starts.append(is_new)
        topic, position = np.where(is_aside, (topic, position), (shown, chosen))
    return np.stack(items), np.stack(starts)


def _draw(logit: FloatArray, rng: np.random.Generator) -> IntArray:
    """One column of every row, with softmax chances (the Gumbel trick)."""
    chosen: IntArray = np.argmax(logit - np.log(rng.standard_exponential(logit.shape)), axis=1)
    return chosen


def _times(is_new: BoolArray, rng: np.random.Generator) -> IntArray:
    """Unix seconds, rising for every user, with days between sessions: (n_steps, n_users)."""
    gap = np.where(is_new, 240.0, 6.0) * rng.standard_exponential(is_new.shape) + 1.5
    joined = rng.uniform(0, 365 * 24, is_new.shape[1])
    return (START + HOUR * (joined + np.cumsum(gap, axis=0))).astype(np.int64)


def _film_categories(world: _World, rng: np.random.Generator) -> list[list[str]]:
    near = np.argsort(-world.place @ _category_places().T, axis=1)
    chance = rng.random(N_ITEMS)
    rows = []
    for film, topic in enumerate(np.repeat(np.arange(N_TOPICS), TOPIC_SIZE)):
        others = [category for category in near[topic] if category != world.main[topic]]
        more = int(chance[film] < SECOND_CATEGORY) + int(chance[film] < THIRD_CATEGORY)
        rows.append([CATEGORIES[category] for category in (world.main[topic], *others[:more])])
    return rows


def _unit(x: FloatArray) -> FloatArray:
    rows: FloatArray = x / np.linalg.norm(x, axis=1, keepdims=True)
    return rows
