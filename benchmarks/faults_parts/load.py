"""Shops that ask and report without a pause, and remember all that the service acknowledged.

What was not acknowledged is told again until it is, with the same Idempotency-Key or event_id, as
every caller of the service may.
"""

import http.client
import json
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

HANGS_SECONDS = 20.0
"""No answer by then is an answer that never comes."""
PAUSE_SECONDS = 0.05
"""Before the same is told again."""
SAME = (
    *("decision_id", "item_id", "guided", "campaign_id", "arm", "target_id"),
    *("not_guided_because", "expires_at"),
)
"""What is acknowledged of a decision."""
RENEWED = 0.02
"""Share of visits after which a connection is renewed, so that all instances are met."""
KEPT = "decision: kept"
SHELF = 12
"""Items that the shop has room for: so few that caps of items are reached."""


class Told(NamedTuple):
    """An answer of the service."""

    status: int  # 0: the connection broke or was refused; -1: no answer in time
    body: Any
    has_retry_after: bool


class Event(NamedTuple):
    """One that was acknowledged."""

    user_id: str
    decision_id: str
    item_id: str
    kind: str


class Seen:
    """What all shops saw, together."""

    def __init__(self) -> None:
        self.decisions: dict[str, tuple[str, dict[str, Any]]] = {}  # user and answer, by key
        self.events: dict[str, Event] = {}
        self.contradictions: list[str] = []
        self.unanswered: list[str] = []  # told until the end, never acknowledged
        self.kept_since = 0.0  # when the newest request began whose decision was kept
        self._lock = threading.Lock()
        self._answers: Counter[str] = Counter()
        self._seconds: list[float] = []

    def note(self, kind: str, begun: float) -> None:
        """Count an answer to a request that was begun at a time."""
        with self._lock:
            self._answers[kind] += 1
            self._seconds.append(time.monotonic() - begun)
            if kind == KEPT:
                self.kept_since = max(self.kept_since, begun)

    def since(self) -> dict[str, Any]:
        """How often what was answered since the last call, and how long it took."""
        with self._lock:
            answers, seconds = self._answers, sorted(self._seconds)
            self._answers, self._seconds = Counter(), []
        slowest = round(seconds[-1], 3) if seconds else 0.0
        median = round(seconds[len(seconds) // 2], 4) if seconds else 0.0
        return {"answers": dict(answers), "slowest": slowest, "median": median}


class Shop(threading.Thread):
    """One connection over which users are decided for, one after the other."""

    def __init__(self, load: "Load", seed: int) -> None:
        super().__init__(daemon=True)
        self._load, self._rng = load, random.Random(seed)
        self._http: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Visits until the load ends."""
        while not self._load.ends.is_set():
            self._visit()
            self._load.ends.wait(self._load.pause)
            if self._rng.random() < RENEWED:
                self._close()
        self._close()

    def _visit(self) -> None:
        rng, seen = self._rng, self._load.seen
        user, key = rng.choice(self._load.users), secrets.token_hex(12)
        asked = {"user_id": user, "candidates": rng.sample(self._load.items, SHELF)}
        answer = self._until("/v1/decisions", asked, _is_kept, key)
        if answer is None:
            return
        seen.decisions[key] = user, answer
        if rng.random() < 0.1:
            again = self._until("/v1/decisions", asked, _is_kept, key)
            if again is not None and any(again[name] != answer[name] for name in SAME):
                seen.contradictions.append(f"key {key} got {answer}, then {again}")
        if rng.random() < 0.85 and answer["item_id"]:  # the others never come back
            self._report(user, answer)

    def _report(self, user: str, answer: Mapping[str, Any]) -> None:
        kinds = ["impression", self._rng.choice(("accept", "skip", "skip", "purchase"))]
        told = {
            secrets.token_hex(12): Event(user, answer["decision_id"], answer["item_id"], kind)
            for kind in kinds[: self._rng.choice((1, 2, 2))]
        }
        body = [{"event_id": event_id, **event._asdict()} for event_id, event in told.items()]
        for _ in range(1 + (self._rng.random() < 0.1)):
            taken = self._until("/v1/events", body, _is_taken, None)
            if taken is None:
                return
            if taken["refused"] or taken["accepted"] + taken["repeated"] != len(body):
                self._load.seen.contradictions.append(f"events {body} got {taken}")
            self._load.seen.events.update(told)

    def _until(
        self, path: str, body: Any, is_acknowledged: Callable[[Told], bool], key: str | None
    ) -> dict[str, Any] | None:
        """The answer that acknowledges it; None: it never came."""
        while True:
            begun = time.monotonic()
            told = self._told(path, json.dumps(body), key)
            self._load.seen.note(_kind(path, told), begun)
            if is_acknowledged(told):
                found: dict[str, Any] = told.body
                return found
            if _is_over(told):
                return None
            if time.monotonic() > self._load.gives_up_at:
                self._load.seen.unanswered.append(f"{path} {body}: {told}")
                return None
            time.sleep(PAUSE_SECONDS)

    def _told(self, path: str, body: str, key: str | None) -> Told:
        headers = {"Authorization": f"Bearer {self._load.key}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            if self._http is None:
                self._http = http.client.HTTPConnection(
                    "127.0.0.1", self._load.port, timeout=HANGS_SECONDS
                )
            self._http.request("POST", path, body, headers)
            answer = self._http.getresponse()
            content = answer.read()
        except TimeoutError:
            self._close()
            return Told(-1, None, False)
        except (OSError, http.client.HTTPException):
            self._close()
            return Told(0, None, False)
        return Told(answer.status, json.loads(content), answer.headers["Retry-After"] is not None)

    def _close(self) -> None:
        with suppress(OSError):
            if self._http is not None:
                self._http.close()
        self._http = None


class Load:
    """Shops on a service.

    Parameters
    ----------
    port : int
        Of the service, on this machine.
    key : str
    items : sequence of str
        What the shop has on its shelf, a dozen at a time.
    users : sequence of str
        Who comes; another list may be set at any time.
    n_shops : int, optional
        How many ask at once.
    pause : float, optional
        Seconds of each between two visits.
    """

    def __init__(
        self,
        port: int,
        key: str,
        items: Sequence[str],
        users: Sequence[str],
        n_shops: int = 12,
        pause: float = 0.0,
    ) -> None:
        self.port, self.key, self.items, self.users = port, key, list(items), list(users)
        self.seen, self.ends, self.pause = Seen(), threading.Event(), pause
        self.gives_up_at = float("inf")
        self._shops = [Shop(self, seed) for seed in range(n_shops)]

    def start(self) -> None:
        """Begin."""
        for shop in self._shops:
            shop.start()

    def stop(self, patience: float = 60.0) -> None:
        """End, once what is under way is acknowledged."""
        self.gives_up_at = time.monotonic() + patience
        self.ends.set()
        for shop in self._shops:
            shop.join()


def _is_kept(told: Told) -> bool:
    return told.status == 200 and told.body["decision_id"] is not None


def _is_over(told: Told) -> bool:
    """Whether its campaign was stopped meanwhile: nothing is kept of it then."""
    is_answer = told.status == 200 and "not_guided_because" in told.body
    return is_answer and told.body["not_guided_because"] == "campaign_stopped"


def _is_taken(told: Told) -> bool:
    return told.status == 200


def _kind(path: str, told: Told) -> str:
    """An answer in words, for counting."""
    what = "decision" if path == "/v1/decisions" else "events"
    if told.status <= 0:
        return f"{what}: connection broken" if told.status == 0 else f"{what}: no answer"
    if told.status != 200:
        return f"{what}: {told.status}{' with Retry-After' * told.has_retry_after}"
    if what == "decision" and told.body["decision_id"] is None:
        because = told.body["not_guided_because"]
        has_item = told.body["item_id"] is not None
        return f"decision: {'plain item' if has_item else 'no item'}, {because}"
    return f"{what}: kept"
