"""`cowrite serve` sends its traces: to a collector that decodes what it gets, and to none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs

from cowrite.testing.client import live_client
from cowrite.tracing import sending as sending_module
from cowrite.tracing.sending import sending
from cowrite.tracing.spans import Spans
from demo_server import DemoServer
from timing import MS
from valkey_server import ValkeyServer


class Collector:
    """What an OTLP receiver got."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: set[str] = set()

    def spans(self) -> dict[str, list[dict[str, object]]]:
        """By name, the attributes of each."""
        found: dict[str, list[dict[str, object]]] = {}
        for request in self.requests:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        attributes = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
                        found.setdefault(span.name, []).append(attributes)
        return found

    def services(self) -> set[str]:
        return {
            one.value.string_value
            for request in self.requests
            for resource in request.resource_spans
            for one in resource.resource.attributes
            if one.key == "service.name"
        }


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.paths.add(self.path)
            collector.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.rule("OT7", "OT10")
async def test_spans_arrive_at_the_collector(tmp_path: Path, shared_valkey: ValkeyServer) -> None:
    with (
        collecting() as (address, collector),
        DemoServer(
            tmp_path, COWRITE_TRACE="true", COWRITE_REDIS_URL=shared_valkey.url, OTEL_EXPORTER_OTLP_ENDPOINT=address
        ) as server,
    ):
        async with live_client(f"ws://127.0.0.1:{server.port}/yjs/soup") as ana:
            ana.yjs.text += "plums"
            await ana.until(lambda: ana.yjs.saved)
        server.stop()
    spans = collector.spans()
    assert {"edit", "commit", "open", "load sqlite", "write sqlite", "publish redis"} <= spans.keys()
    assert [one["cowrite.document.id"] for one in spans["edit"]] == ["soup"]
    assert collector.paths == {"/v1/traces"}
    assert collector.services() == {"cowrite"}
    assert b"plums" not in b"".join(request.SerializeToString() for request in collector.requests)


@pytest.mark.rule("OT10")
def test_a_collector_that_is_away_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not take in time is left, and the log says so; a service may have a name of its own."""
    monkeypatch.setattr(sending_module, "_LAST_SECONDS", 50 * MS)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with capture_logs() as lines, sending(wanted=True) as provider:
        assert isinstance(provider, TracerProvider)
        assert provider.resource.attributes["service.name"] == "mine"
        Spans(provider).edit("soup", "session", "yjs").durable(1)
    assert [line["log_level"] for line in lines] == ["warning"]
    with sending(wanted=False) as nothing:
        assert nothing is None
