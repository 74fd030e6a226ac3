"""The service's figures, as it tells them to Prometheus, read for people."""

import math
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

MAKESHIFT = ("failed", "overloaded", "store_unavailable")
"""Why decisions were not guided that had to be made without the log."""


class Route(NamedTuple):
    """How fast a route is: seconds within which so many requests were answered."""

    route: str
    n: float
    median: float | None
    p99: float | None


class Chore(NamedTuple):
    """Work of the worker."""

    name: str
    age: float | None  # seconds since it was done last
    failed: float


class Figures(NamedTuple):
    """Of the whole service, since it started."""

    guides: Mapping[str, float]  # instances by guide
    n_out: int  # instances without a database
    decisions: float
    guided: float
    makeshift: float  # decisions that failed, came too late or had no database: plain items
    events: float
    refused: float
    answers: float
    errors: float  # of the answers, those that are the service's fault
    waiting: float
    routes: list[Route]
    chores: list[Chore]


def read(text: str) -> Figures:
    """From the text of `/metrics`."""
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]

    def of(name: str, **labels: str) -> list[Sample]:
        return [
            one
            for one in samples
            if one.name == f"proactrec_{name}" and labels.items() <= one.labels.items()
        ]

    def total(name: str, **labels: str) -> float:
        return sum(one.value for one in of(name, **labels))

    errors = [one for one in of("requests_total") if one.labels["status"].startswith("5")]
    return Figures(
        guides={one.labels["guide"]: one.value for one in of("guide_instances") if one.value},
        n_out=int(total("store_out")),
        decisions=total("decisions_total"),
        guided=total("decisions_total", guided="true"),
        makeshift=sum(total("decisions_total", because=one) for one in MAKESHIFT),
        events=total("events_total"),
        refused=total("events_total", outcome="refused"),
        answers=total("requests_total"),
        errors=sum(one.value for one in errors),
        waiting=total("requests_waiting"),
        routes=_routes(of("request_seconds_bucket")),
        chores=_chores(of("worker_chore_done_timestamp_seconds"), of("worker_chores_failed_total")),
    )


def _routes(buckets: Iterable[Sample]) -> list[Route]:
    by_route: dict[str, list[tuple[float, float]]] = {}
    for one in buckets:
        bound = (float(one.labels["le"]), one.value)
        by_route.setdefault(one.labels["route"], []).append(bound)
    found = [_route(route, sorted(bounds)) for route, bounds in by_route.items()]
    return sorted((one for one in found if one.n), key=lambda one: -one.n)


def _route(route: str, bounds: list[tuple[float, float]]) -> Route:
    n = bounds[-1][1]

    def within(share: float) -> float | None:
        least = next((bound for bound, count in bounds if count >= share * n), math.inf)
        return least if math.isfinite(least) else None

    return Route(route, n, within(0.5), within(0.99))


def _chores(done: Iterable[Sample], failed: Iterable[Sample]) -> list[Chore]:
    now, broken = time.time(), {one.labels["chore"]: one.value for one in failed}
    at = {one.labels["chore"]: one.value for one in done}
    return [
        Chore(name, now - at[name] if at.get(name) else None, broken.get(name, 0.0))
        for name in sorted(at.keys() | broken.keys())
    ]
