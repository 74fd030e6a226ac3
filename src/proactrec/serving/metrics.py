"""Figures of an instance and of the worker, as Prometheus reads them: of all, and of nobody.

They name no tenant, campaign, user or item. Processes that one parent started keep them in files of
one folder, so that whichever instance is asked tells the sums of all; each has its files by its
name, and whoever is started in its place goes on with them.
"""

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from proactrec.serving.requests import Answer, Outcome, Plain, Refused
from proactrec.serving.supervisor import FIGURES, instance_name

__all__ = ["CONTENT_TYPE"]  # of what `exposition` gives

if FIGURES in os.environ:
    values.ValueClass = values.MultiProcessValue(instance_name)  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

REQUESTS = Counter(
    "proactrec_requests", "Requests answered.", ("method", "route", "status"), registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "proactrec_request_seconds",
    "From a request's head to its answer's.",
    ("route",),
    buckets=SECONDS,
    registry=REGISTRY,
)
DECISIONS = Counter(
    "proactrec_decisions",
    "Decisions; `because` says why one was not guided.",
    ("guided", "because"),
    registry=REGISTRY,
)
EVENTS = Counter(
    "proactrec_events", "Events: new, repeated or refused.", ("outcome",), registry=REGISTRY
)
BATCH_REQUESTS = Histogram(
    "proactrec_batch_requests",
    "Requests that were decided and committed together.",
    buckets=SIZES,
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "proactrec_batch_seconds",
    "Of scoring and committing a batch, tries included.",
    buckets=SECONDS,
    registry=REGISTRY,
)
TRIED_AGAIN = Counter(
    "proactrec_requests_tried_again",
    "Requests of transactions in which others were faster.",
    registry=REGISTRY,
)
WAITING = Gauge(
    "proactrec_requests_waiting",
    "Requests that no batch has taken yet.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
PEOPLE = Gauge(
    "proactrec_people_cached",
    "Users whose log is in memory.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
STORE_OUT = Gauge(
    "proactrec_store_out",
    "Instances that can't reach the database.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
GUIDES = Gauge(
    "proactrec_guide_instances",
    "Instances that decide by a guide (`name` of `proactrec guide show`).",
    ("guide",),
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
CHORE_SECONDS = Summary(
    "proactrec_worker_chore_seconds", "Of the worker's chores.", ("chore",), registry=REGISTRY
)
CHORES_FAILED = Counter(
    "proactrec_worker_chores_failed", "Chores that failed.", ("chore",), registry=REGISTRY
)
CHORE_DONE = Gauge(
    "proactrec_worker_chore_done_timestamp_seconds",
    "When a chore was done last.",
    ("chore",),
    registry=REGISTRY,
    multiprocess_mode="max",
)


def exposition() -> bytes:
    """All figures in Prometheus's text format."""
    if FIGURES not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def count_outcomes(outcomes: Iterable[Outcome]) -> None:
    """Count what became of a batch."""
    for one in outcomes:
        if isinstance(one, Answer):
            guided = bool(one.decided.made.guided)
            because = "" if guided else one.decided.not_guided_because
            DECISIONS.labels(str(guided).lower(), because).inc()
        elif isinstance(one, Plain):
            DECISIONS.labels("false", one.because).inc()
        elif isinstance(one, Refused):
            EVENTS.labels("refused").inc()
        elif one.event is not None:
            EVENTS.labels("repeated" if one.is_repeated else "new").inc()
