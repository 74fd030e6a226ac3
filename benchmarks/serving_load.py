"""Users of a shop, as many as come: asks the service what to show, and reports what became of it.

Usage: python benchmarks/serving_load.py SPEC, JSON with the fields of `Load`; run by serving.py.
Open loop: users arrive by a Poisson process whatever the service does, and go on some time after
each answer. One thread with select(), whose timeouts are in microseconds: timers of event loops
round to milliseconds, as much as is measured here. Latencies count from when a request was due.
"""

import heapq
import json
import random
import select
import socket
import sys
import time
from array import array
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proactrec.files import write_json

ROUNDS = 8
"""Of a user's visit."""
SEEN, ACCEPTED = 0.5, 0.3
"""Share of the decisions that users see and answer, by two events; of answers that are yes."""
LOOK, ANSWER, THINK = 0.2, 1.0, 1.0
"""Seconds until an item is seen, until it is answered, and on the average until the next ask."""
MOST_CONNECTIONS, WINDOW = 256, 10.0
IDLE = 3.0
"""Seconds after which a connection is not used again: the service closes those that rest."""
LISTS = 2000
"""Different lists of candidates."""


class Load(NamedTuple):
    """What is to be done."""

    port: int
    key: str
    campaign_id: str
    rate: float  # decisions a second, and events a second
    seconds: float
    warm: float  # seconds before those that are counted
    n_users: int
    n_items: int
    n_offered: int  # candidates of a request; 0: the whole catalogue
    seed: int
    out: str  # file of figures, written anew every window


class Request(NamedTuple):
    """One to be sent."""

    due: float
    path: str
    body: bytes
    user: int
    left: int  # rounds of the visit after this


class Figures:
    """Latencies by kind, in all and by window."""

    def __init__(self, load: Load, start: float) -> None:
        self._load, self._start = load, start
        self._kept = {kind: (array("f"), array("f"), array("f")) for kind in ("ask", "report")}
        self._from = dict.fromkeys(self._kept, 0)
        self.counts, self.windows = Counter[str](), list[dict[str, Any]]()
        self.acknowledged = Counter[str]()

    def add(self, request: Request, sent: float, done: float) -> None:
        """Take note of an answer."""
        kind = "ask" if request.path.endswith("decisions") else "report"
        self.acknowledged[kind] += 1
        if request.due >= self._start:
            times = (done - request.due, done - sent, sent - request.due)
            for kept, seconds in zip(self._kept[kind], times, strict=True):
                kept.append(seconds)

    def window(self, now: float, n_waiting: int) -> None:
        """Keep the figures of the time since the last one."""
        found: dict[str, Any] = {"seconds": round(now - self._start, 2), "waiting": n_waiting}
        for kind, (due, *_) in self._kept.items():
            found[kind] = told(due[self._from[kind] :])
            self._from[kind] = len(due)
        self.windows.append(found)
        write_json(Path(self._load.out), {"windows": self.windows})

    def write(self, now: float) -> None:
        """All of it: at the end, since it takes long."""
        names = ("due", "sent", "late")
        kinds = {
            kind: {name: told(part) for name, part in zip(names, kept, strict=True)}
            for kind, kept in self._kept.items()
        }
        whole = {
            "seconds": now - self._start,
            **kinds,
            "counts": self.counts,
            "acknowledged": self.acknowledged,
            "cpu_seconds": time.process_time(),
            "windows": self.windows,
        }
        write_json(Path(self._load.out), whole)


def told(seconds: "array[float]") -> dict[str, float]:
    """Number and quantiles, in milliseconds."""
    if not seconds:
        return {"n": 0}
    found = np.quantile(np.frombuffer(seconds, np.float32), [0.5, 0.9, 0.99, 0.999, 1]) * 1000
    names = ("p50", "p90", "p99", "p99.9", "most")
    values = zip(names, (round(float(one), 3) for one in found), strict=True)
    return {"n": len(seconds), **dict(values)}


class Users:
    """What users do: who comes, asks and answers."""

    def __init__(self, load: Load) -> None:
        self._load, self._random = load, random.Random(load.seed)
        self._events = (f"{load.seed}-{number}" for number in count())
        self._offers = [self._offer() for _ in range(LISTS if load.n_offered else 1)]

    def arrivals(self, start: float) -> Any:
        """First requests of visits, in the order of their times, without end."""
        at = start
        while True:
            at += self._random.expovariate(self._load.rate / ROUNDS)
            yield self.ask(at, self._random.randrange(self._load.n_users), ROUNDS - 1)

    def ask(self, due: float, user: int, left: int) -> Request:
        """What is shown next?"""
        head = f'{{"user_id":"u{user:07}","campaign_id":"{self._load.campaign_id}"'
        body = head + self._random.choice(self._offers) + "}"
        return Request(due, "/v1/decisions", body.encode(), user, left)

    def after(self, request: Request, decision: dict[str, Any], now: float) -> list[Request]:
        """What a user does after a decision: looks and answers, or not, and asks again."""
        found = []
        if self._random.random() < SEEN and decision["decision_id"]:
            kind = "accept" if self._random.random() < ACCEPTED else "skip"
            found.append(self._report(now + LOOK, request.user, decision, "impression"))
            found.append(self._report(now + ANSWER, request.user, decision, kind))
        if request.left:
            again = now + ANSWER + LOOK + self._random.expovariate(1 / THINK)
            found.append(self.ask(again, request.user, request.left - 1))
        return found

    def _report(self, due: float, user: int, decision: dict[str, Any], kind: str) -> Request:
        event = {
            "event_id": next(self._events),
            "user_id": f"u{user:07}",
            "decision_id": decision["decision_id"],
            "item_id": decision["item_id"],
            "kind": kind,
        }
        return Request(due, "/v1/events", json.dumps([event]).encode(), user, 0)

    def _offer(self) -> str:
        if not self._load.n_offered:
            return ""
        items = self._random.sample(range(1, self._load.n_items + 1), self._load.n_offered)
        return f',"candidates":{json.dumps([f"sku-{item:05}" for item in items])}'


class Wire:
    """Connections, each with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self._load, self._free = load, list[tuple[socket.socket, float]]()
        self.busy: dict[socket.socket, tuple[Request, float]] = {}
        self._head = {
            path: f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {load.key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
            for path in ("/v1/decisions", "/v1/events")
        }

    @property
    def has_room(self) -> bool:
        """Whether another request may be sent."""
        return bool(self._free) or len(self.busy) < MOST_CONNECTIONS

    def send(self, request: Request) -> None:
        """Send one."""
        one = self._connected()
        head = f"{self._head[request.path]}{len(request.body)}\r\n\r\n".encode()
        one.sendall(head + request.body)
        self.busy[one] = request, time.perf_counter()

    def received(self, wait: float) -> list[tuple[Request, float, int, bytes]]:
        """What is answered within some seconds: request, when it was sent, status and body."""
        found = []
        for one in select.select(list(self.busy), [], [], wait)[0]:
            status, body = _response(one)
            found.append((*self.busy.pop(one), status, body))
            self._free.append((one, time.perf_counter()))
        return found

    def _connected(self) -> socket.socket:
        while self._free:
            one, since = self._free.pop()
            if time.perf_counter() - since < IDLE:
                return one
            one.close()
        one = socket.create_connection(("127.0.0.1", self._load.port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return one


def _response(one: socket.socket) -> tuple[int, bytes]:
    data = one.recv(65536)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(one)
    head = data[:end].lower()
    at = head.index(b"content-length:") + 15
    length = int(head[at:].split(b"\r", 1)[0])
    while len(data) < end + 4 + length:
        data += _more(one)
    return int(data[9:12]), data[end + 4 :]


def _more(one: socket.socket) -> bytes:
    data = one.recv(65536)
    if not data:
        raise ConnectionError("the service hung up within an answer")
    return data


def play(load: Load) -> None:
    """Let users come until the time is over, and wait for what is under way."""
    users, wire, begin = Users(load), Wire(load), time.perf_counter()
    start, end = begin + load.warm, begin + load.warm + load.seconds
    figures, arrivals = Figures(load, start), users.arrivals(begin)
    waiting: list[tuple[float, int, Request]] = []
    number, next_window = count(), start + WINDOW
    coming = next(arrivals)
    while (now := time.perf_counter()) < end or (wire.busy and now < end + 30):
        while coming.due <= now:
            heapq.heappush(waiting, (coming.due, next(number), coming))
            coming = next(arrivals)
        while waiting and waiting[0][0] <= now < end and wire.has_room:
            wire.send(heapq.heappop(waiting)[2])
        upcoming = coming.due if not waiting else min(coming.due, waiting[0][0])
        pause = max(0.0, upcoming - time.perf_counter()) if wire.has_room and now < end else 0.1
        for request, sent, status, body in wire.received(pause):
            done = time.perf_counter()
            figures.add(request, sent, done)
            for more in _answered(users, figures.counts, request, status, body, done):
                heapq.heappush(waiting, (more.due, next(number), more))
        if now >= next_window:
            figures.window(now, sum(due < now for due, *_ in waiting))
            next_window += WINDOW
    figures.counts["unanswered"] += len(wire.busy)
    figures.write(min(time.perf_counter(), end))


def _answered(
    users: Users, counts: Counter[str], request: Request, status: int, body: bytes, now: float
) -> list[Request]:
    """What follows from an answer, which is counted."""
    if status != 200:
        counts[f"status {status}"] += 1
        return []
    found = json.loads(body)
    if request.path == "/v1/events":
        counts["refused events"] += found["accepted"] != 1
        return []
    counts["guided" if found["guided"] else f"plain: {found['not_guided_because']}"] += 1
    return users.after(request, found, now)


if __name__ == "__main__":
    play(Load(**json.loads(sys.argv[1])))
