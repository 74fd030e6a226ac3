"""Users who ask and answer all the time, without ever trying anything twice."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

N_THREADS = 4


@dataclass
class Crowd:
    """What was answered, and what failed."""

    decisions: dict[str, list[str]] = field(default_factory=dict)  # ids by user
    events: list[str] = field(default_factory=list)  # ids of the decisions that were answered
    failed: list[str] = field(default_factory=list)

    @property
    def n_decisions(self) -> int:
        return sum(map(len, self.decisions.values()))

    def grows(self, by: int = 20) -> None:
        """Wait until so many more decisions were answered."""
        end, least = time.monotonic() + 120, self.n_decisions + by
        while self.n_decisions < least:
            assert not self.failed, self.failed[:3]
            assert time.monotonic() < end
            time.sleep(0.02)


@contextmanager
def crowd(url: str, key: str) -> Iterator[Crowd]:
    """Who ask a service until the end of the block; then nothing may have failed."""
    found, ends = Crowd(), threading.Event()

    def come(number: int) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
            n = 0
            while not ends.is_set():
                n += 1
                user = f"{number}-{n % 7}"
                try:
                    decided = _sent(client, "/v1/decisions", {"user_id": user})
                    event = {
                        "event_id": f"of {decided['decision_id']}",
                        "user_id": user,
                        "decision_id": decided["decision_id"],
                        "item_id": decided["item_id"],
                        "kind": "skip",
                    }
                    assert decided["decision_id"], decided
                    found.decisions.setdefault(user, []).append(decided["decision_id"])
                    assert _sent(client, "/v1/events", [event])["accepted"] == 1
                    found.events.append(decided["decision_id"])
                except Exception as error:
                    found.failed.append(f"{type(error).__name__}: {error}")
                time.sleep(0.04)  # more visits take the processors from what is tried

    threads = [threading.Thread(target=come, args=(n,)) for n in range(N_THREADS)]
    for one in threads:
        one.start()
    try:
        found.grows()
        yield found
        found.grows()
    finally:
        ends.set()
        for one in threads:
            one.join()
    assert found.failed == []


def _sent(client: httpx2.Client, path: str, body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()
