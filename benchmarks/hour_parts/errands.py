"""What whoever runs a service, and users who leave it, ask beside decisions and events."""

import heapq
import random
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

import httpx2
import numpy as np

from serving_parts.site import Site

TIMEOUT = 30.0


class Errand(NamedTuple):
    """One kind of request."""

    every: float  # seconds
    method: str
    path: str  # with {user} and {campaign}
    body: Any = None
    may_miss: bool = False  # this version may not have the route


ERRANDS = {
    "opt-out": Errand(1.0, "PUT", "/v1/users/{user}/consent", {"guided": False}),
    "a user's decisions": Errand(2.0, "GET", "/v1/users/{user}/decisions"),
    "campaigns": Errand(5.0, "GET", "/v1/campaigns"),
    "the campaign": Errand(10.0, "GET", "/v1/campaigns/{campaign}"),
    "figures": Errand(15.0, "GET", "/metrics"),
    "export of a user": Errand(20.0, "GET", "/v1/users/{user}/export", None, True),
    "journeys, a page": Errand(30.0, "GET", "/v1/campaigns/{campaign}/journeys?limit=500"),
    "measurement": Errand(60.0, "GET", "/v1/campaigns/{campaign}/measurement", None, True),
}


class Errands:
    """All of them, each in its rhythm, one at a time."""

    def __init__(self, running: Site, campaign_id: str, n_users: int, *, seed: int) -> None:
        self._running, self._campaign_id, self._n_users = running, campaign_id, n_users
        self._random = random.Random(seed)
        self._took: dict[str, list[float]] = {name: [] for name in ERRANDS}
        self._statuses: dict[str, Counter[int]] = {name: Counter() for name in ERRANDS}

    def run(self, ends: threading.Event) -> None:
        """Ask until it is over."""
        headers = {"Authorization": f"Bearer {self._running.key}"}
        url = f"http://127.0.0.1:{self._running.port}"
        start = time.monotonic()
        due = [(start + one.every * self._random.random(), name) for name, one in ERRANDS.items()]
        heapq.heapify(due)
        with httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT) as client:
            while due and not ends.wait(max(0.0, due[0][0] - time.monotonic())):
                at, name = heapq.heappop(due)
                if self._asked(client, name):
                    heapq.heappush(due, (at + ERRANDS[name].every, name))

    def told(self) -> dict[str, Any]:
        """By errand: how often, statuses, and quantiles in ms; what is missing says so."""
        return {
            name: {
                "statuses": dict(self._statuses[name]),
                "is_missing": ERRANDS[name].may_miss and set(self._statuses[name]) == {404},
                **_quantiles(took),
            }
            for name, took in self._took.items()
        }

    def _asked(self, client: httpx2.Client, name: str) -> bool:
        """Whether to ask again: not for a route that this version does not have."""
        one = ERRANDS[name]
        user = f"u{self._random.randrange(self._n_users):07}"
        path = one.path.format(user=user, campaign=self._campaign_id)
        start = time.perf_counter()
        try:
            status = client.request(one.method, path, json=one.body).status_code
        except httpx2.TransportError:
            status = 0
        self._took[name].append(time.perf_counter() - start)
        self._statuses[name][status] += 1
        return not (one.may_miss and status == 404)


def _quantiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {"n": 0}
    found = np.quantile(seconds, [0.5, 0.99, 1]) * 1000
    return {"n": len(seconds), **dict(zip(("p50", "p99", "most"), found.tolist(), strict=True))}
