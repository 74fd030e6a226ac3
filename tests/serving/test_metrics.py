"""What Prometheus reads, of nobody in particular; of all instances together: test_pair.py."""

from collections.abc import Callable
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from proactrec.serving.schemas import EventReport
from proactrec.store.database import Database

from .live import Live, live, made_key


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
