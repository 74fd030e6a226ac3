"""Spans of requests, and of the transactions that they became together: OpenTelemetry's, if asked.

A collector is named by `OTEL_EXPORTER_OTLP_ENDPOINT`; without it nothing is recorded, and nothing
of OpenTelemetry is loaded. Spans name routes and numbers, never who asks or for whom.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from proactrec.errors import MissingExtraError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
FLUSH_SECONDS = 2.0
"""At the end the collector is waited for so long."""


class Traces:
    """What spans are made with; without a tracer there are none.

    Parameters
    ----------
    provider : opentelemetry.sdk.trace.TracerProvider, optional
    """

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("proactrec")

    @contextmanager
    def request(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Any]:
        """The span of a request, which goes on where its caller's begins; None: there is none."""
        if self._tracer is None:
            yield None
            return
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        parent = TraceContextTextMapPropagator().extract(given)
        with self._tracer.start_as_current_span(
            method, parent, SpanKind.SERVER, record_exception=False
        ) as span:
            yield span

    def answered(self, span: Any, method: str, route: str, status: int) -> None:
        """Say of a request's span what it was."""
        if span is None:
            return
        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)

    @contextmanager
    def batch(self, spans: Iterable[Any], n_requests: int) -> Iterator[None]:
        """The span of a transaction, with links to the requests that are in it."""
        if self._tracer is None:
            yield
            return
        from opentelemetry.trace import Link

        links = [Link(span.get_span_context()) for span in spans if span is not None]
        with self._tracer.start_as_current_span(
            "transaction", links=links, record_exception=False
        ) as span:
            span.set_attribute("proactrec.requests", n_requests)
            yield

    def close(self) -> None:
        """Tell the collector what it does not know yet, if it answers soon."""
        if self._provider is None:
            return
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(FLUSH_SECONDS)


OFF = Traces()


def traces_of(instance: str) -> Traces:
    """Those of a process, as its environment says.

    Raises
    ------
    MissingExtraError
        If a collector is named, and what speaks to it is missing.
    """
    if not os.environ.get(ENDPOINT):
        return OFF
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError(
            f"{ENDPOINT} needs opentelemetry: pip install 'proactrec[telemetry]'"
        ) from error
    about = {"service.name": "proactrec", "service.instance.id": instance}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
