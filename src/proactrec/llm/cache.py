"""Answers of language models on disk: one SQLite file, shared by threads and processes."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from proactrec.errors import ArtefactError

FORMAT = 1
BUSY_S = 60.0
N_KEYS_A_QUERY = 500
SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY,
    text TEXT NOT NULL,
    top_logprobs TEXT,
    prompt_tokens INTEGER NOT NULL,
    answer_tokens INTEGER NOT NULL,
    cost REAL NOT NULL,
    n_paid INTEGER NOT NULL DEFAULT 1
)"""
# The first answer stays, so that all processes and every replay see the same one.
PUT = """
INSERT INTO answers (key, text, top_logprobs, prompt_tokens, answer_tokens, cost)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET cost = cost + excluded.cost, n_paid = n_paid + 1
RETURNING text, top_logprobs, prompt_tokens, answer_tokens, cost"""
FIELDS = "text, top_logprobs, prompt_tokens, answer_tokens, cost"


class Answer(NamedTuple):
    """What the model said to one prompt."""

    text: str
    top_logprobs: dict[str, float] | None  # of the first answer token, if the endpoint tells
    prompt_tokens: int
    answer_tokens: int
    cost: float  # all that was paid for it


class CacheStatistics(NamedTuple):
    """What a cache holds. A prompt that two processes paid for at the same time counts twice."""

    n_entries: int
    n_paid: int
    prompt_tokens: int
    answer_tokens: int
    cost: float


class AnswerCache:
    """Answers by the SHA-256 of model, parameters and messages; prompts are not stored.

    The file is in WAL mode with ``synchronous=NORMAL``, and `put` commits before it returns. So an
    answer that was put outlives the process, whatever kills it; a power failure may take the last
    few. The file must be on a local disk, since WAL needs shared memory.

    Parameters
    ----------
    path : Path
        The file; it is made with its folder if it is missing.

    Raises
    ------
    ArtefactError
        If the file is something else, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(self._connection)
        except (sqlite3.DatabaseError, ArtefactError) as error:
            self._connection.close()
            raise ArtefactError(f"{path} is no cache of answers: {error}") from error

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """Those of the answers that are there, by key."""
        found: dict[bytes, Answer] = {}
        for start in range(0, len(keys), N_KEYS_A_QUERY):
            some = keys[start : start + N_KEYS_A_QUERY]
            marks = ",".join("?" * len(some))
            # Only question marks are put into the text of the query.
            query = f"SELECT key, {FIELDS} FROM answers WHERE key IN ({marks})"
            with self._lock:
                rows = self._connection.execute(query, some).fetchall()
            found |= {row[0]: _answer(row[1:]) for row in rows}
        return found

    def put(self, key: bytes, entry: Answer) -> Answer:
        """Store one answer for good; the stored one, which is another's if that came first."""
        top = None if entry.top_logprobs is None else json.dumps(entry.top_logprobs)
        try:
            with self._lock:
                rows = self._connection.execute(PUT, (key, entry.text, top, *entry[2:])).fetchall()
        except sqlite3.Error as error:
            raise ArtefactError(f"{self.path} takes no more answers: {error}") from error
        return _answer(rows[0])

    def statistics(self) -> CacheStatistics:
        """Number of entries, and what was paid for them."""
        query = """SELECT count(*), coalesce(sum(n_paid), 0),
            coalesce(sum(n_paid * prompt_tokens), 0), coalesce(sum(n_paid * answer_tokens), 0),
            coalesce(sum(cost), 0.0) FROM answers"""
        with self._lock:
            return CacheStatistics(*self._connection.execute(query).fetchone())

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            self._connection.close()


def _answer(row: Sequence[object]) -> Answer:
    text, top, *numbers = row
    return Answer(text, None if top is None else json.loads(top), *numbers)  # type: ignore[arg-type]


def _prepare(connection: sqlite3.Connection) -> None:
    """Set the modes of a connection, and make the table if there is none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    names = {name for (name,) in connection.execute("SELECT tbl_name FROM sqlite_master")}
    if names - {"answers"}:
        raise ArtefactError(f"it holds the table {min(names - {'answers'})!r}")
    if version not in (0, FORMAT):
        raise ArtefactError(f"it is of format {version}, this program reads {FORMAT}")
    _into_wal(connection)
    _run(connection, ("PRAGMA synchronous=NORMAL", "PRAGMA cache_size=-65536"))
    if version == 0:
        _run(connection, ("BEGIN IMMEDIATE", SCHEMA, f"PRAGMA user_version={FORMAT}", "COMMIT"))


def _into_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait for others that switch at the same time, so we do."""
    give_up = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _run(connection: sqlite3.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement)
