"""Parts of a process's memory: what each takes, how long it is held, and the most at one time."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from proactrec.journeys import HASHED_USERS

Held = Literal["held", "by turns", "once"]
"""All the time; over and over, while others by turns may be there too; alone, and then no more."""
PROCESS_MIB = 400
BLOCK_TABLES = 14
"""Tables of a score each that Foresight, which has the most, holds while it decides a block."""


class Part(NamedTuple):
    """What something takes."""

    name: str
    held: Held
    words: str  # the formula
    n_bytes: int


def at_most(parts: Iterable[Part]) -> int:
    """The most bytes at one time: all that is held, and the largest of what is not."""
    of: dict[Held, list[int]] = {"held": [], "by turns": [], "once": []}
    for part in parts:
        of[part.held].append(part.n_bytes)
    return sum(of["held"]) + max(sum(of["by turns"]), *of["once"], 0)


def process() -> Part:
    """What is there before any data."""
    return Part("Python and torch", "held", f"{PROCESS_MIB} MiB", PROCESS_MIB * 2**20)


def user_vectors(n_users: int, dim: int) -> Part:
    """Where the policy believes users to stand at first."""
    return Part("user vectors", "held", "4 · dim · users", 4 * dim * n_users)


def item_vectors(n_rows: int, dim: int) -> Part:
    """Of a policy whose knowledge weighs them."""
    words = "3 · 4 · dim · items: plain, weighted by knowledge, and while made"
    return Part("item vectors", "held", words, 3 * 4 * dim * n_rows)


def users(n_users: int, history: float) -> Part:
    """Users as journeys refer to them."""
    words = "(8 · history + 57) · users: items, offset, keys, row, hash, opt-out"
    return Part("users", "held", words, round((8 * history + 57) * n_users))


def hashing(n_users: int, history: float) -> Part:
    """While histories are hashed."""
    words = "10 · 8 · history · users that are hashed at once"
    return Part(
        "hashing histories", "once", words, round(80 * history * min(n_users, HASHED_USERS))
    )


def block(n_scores: float, *, n_tables: int = BLOCK_TABLES, n_threads: int = 1) -> Part:
    """While threads decide a block of so many scores each."""
    words = f"{n_tables} tables of 4 bytes, a score each" + ", in every thread" * (n_threads > 1)
    return Part("a block", "by turns", words, round(n_threads * n_tables * 4 * n_scores))


def learning(n_weights: int, n_answers: int) -> Part:
    """While the acceptance model takes in a round's answers."""
    words = "6 · 8 · (views + laws + 2) · journeys"
    return Part("learning", "once", words, 6 * 8 * n_weights * n_answers)
