"""Traces of a real server in this process, on SQLite: of sockets, polls and requests, down to the database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from cowrite import Settings, create_app
from cowrite.brokers.local import LocalBroker
from cowrite.core.ports import News
from cowrite.log import _with_trace
from cowrite.settings import SettingsError
from cowrite.stores import open_store
from cowrite.stores.memory import memory_storage
from cowrite.testing.client import live_client
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.server import everybody_writes
from cowrite.tracing.spans import Spans
from http_api import Api, api, token
from live_server import serving
from traced_spans import Traced, attributes_of, context_of, failed, is_part_of, linked, traced

SECRETS = ("plums", "pears", "apples")
"""What is written."""
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Api, Traced]]:
    storage = await open_store(f"sqlite:///{tmp_path / 'cowrite.db'}")
    with traced() as spans:
        async with api(storage=storage, tracer_provider=spans.provider) as started:
            yield started, spans


def everything(spans: Sequence[ReadableSpan]) -> str:
    """All that is told by them."""
    return "".join(span.to_json() for span in spans)


@pytest.mark.rule("OT2", "OT3", "OT4", "OT6", "OT7", "OT8")
async def test_from_the_socket_to_the_database(server: tuple[Api, Traced]) -> None:
    started, spans = server
    plums, pears, apples = SECRETS
    secret = token("ana")
    async with live_client(f"{started.url.replace('http', 'ws')}/yjs/soup?token={secret}") as ana:
        ana.yjs.text += plums
        await ana.until(lambda: ana.yjs.saved)
        edit, commit = spans.one("edit"), spans.one("commit")
        opening, load = spans.one("open"), spans.one("load sqlite")
        write = spans.one("write sqlite")
        assert opening.parent is None
        assert is_part_of(load, opening)
        assert (edit.parent, edit.kind) == (None, SpanKind.CONSUMER)
        assert is_part_of(commit, edit)
        assert linked(commit) == {context_of(edit).span_id}
        assert is_part_of(write, commit)
        assert attributes_of(write)["db.system.name"] == "sqlite"
        assert attributes_of(write)["cowrite.rows"] == 3, "an entry, an operation, the head"
        assert [event.name for event in write.events] == ["locked", "commit"]
        assert edit.end_time is not None
        assert write.end_time is not None
        assert edit.end_time >= write.end_time, "it lasts until it is on the disk"
    spans.exporter.clear()
    baggage = f"a=1{' ' * 8000}b"  # its reader in OpenTelemetry takes 55 ms for it, and is not asked
    headers = {"traceparent": CALLER, "x-request-id": "mine", "baggage": baggage}
    member = await started.connect("soup", secret)
    written = await started.client.post(
        "/api/v2/realtime/operations",
        json={
            "document_id": "soup",
            "base": None,
            "operations": [{"type": "insert", "position": ["body", 0], "content": pears}],
        },
        headers=member.headers | headers,
    )
    assert written.status_code == 200, written.text
    request = next(span for span in spans.all() if attributes_of(span).get("cowrite.request_id") == "mine")
    assert request.kind is SpanKind.SERVER
    assert f"{context_of(request).trace_id:032x}" == CALLER.split("-")[1]
    assert request.name == "POST /api/v2/realtime/operations"
    assert attributes_of(request)["http.response.status_code"] == 200
    [thin] = spans.all("edit")
    assert is_part_of(thin, request)
    assert attributes_of(thin)["cowrite.dialect"] == "json"
    assert is_part_of(spans.one("commit"), thin)
    spans.exporter.clear()
    bot = await JsonClient.connect(started.url.replace("http", "ws"), "soup", member.answer["access_token"])
    bot.write({"type": "insert", "position": ["body", 0], "content": apples})
    await bot.expect("acknowledged")
    assert spans.one("edit").parent is None
    await bot.socket.close()
    for path in ("/healthz", "/readyz", "/metrics"):
        await started.client.get(path)
    found = await started.client.get("/api/v2/documents/soup%2F1?secret=query", headers=member.headers)
    assert found.status_code >= 400
    names = [span.name for span in spans.all()]
    assert "GET /api/v2/documents/{document_id}" in names
    assert not any("healthz" in name or "readyz" in name or "metrics" in name for name in names)
    told = everything(spans.all())
    for hidden in (*SECRETS, secret, member.answer["access_token"], "secret=query"):
        assert hidden not in told


WITHOUT = """
import asyncio, sys
from cowrite import Settings, create_app
import cowrite.log, cowrite.server
app = create_app(Settings(_env_file=None), demo=True)
assert not {"opentelemetry.sdk", "opentelemetry.exporter", "cowrite.tracing.spans"} & sys.modules.keys()
import httpx
from opentelemetry import trace
from traced_spans import traced
with traced() as spans:
    trace.set_tracer_provider(spans.provider)
    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            print((await client.get("/api/v2/nowhere?token=secret")).status_code)
    asyncio.run(ask())
    print(spans.all())
sys.modules["opentelemetry.exporter"] = None
sys.argv = ["cowrite", "serve", "--demo", "--port", "0", "--trace", "true"]
from cowrite.cli import main
main()
"""


@pytest.mark.rule("OT1", "OT8")
def test_without_it_nothing_is_loaded_nor_traced(tmp_path: Path) -> None:
    """Not even by FastAPI itself, where the process has a provider. Without the packages the server says what to install."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}  # the tests' own modules
    command = [sys.executable, "-c", WITHOUT]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    line = "COWRITE_TRACE is true, and OpenTelemetry is not installed; install it with:  pip install 'cowrite[otel]'"
    # What comes before is a line of the log: nobody has started the application.
    assert (ended.returncode, ended.stdout.splitlines()[-2:]) == (2, ["404", "[]"]), ended.stderr
    assert ended.stderr.splitlines()[-1] == f"cowrite: {line}"


@pytest.mark.rule("OT6", "OT9", "OT10")
async def test_within_an_application_that_is_traced(tmp_path: Path) -> None:
    """The host's provider is used, and its span for the request goes on; log lines name the innermost."""
    with traced() as spans:
        make = Settings(_env_file=None, data_dir=tmp_path, secret=SecretStr("A" * 43))  # type: ignore[call-arg]
        app = await asyncio.to_thread(create_app, make, tracer_provider=spans.provider)
        lines: list[structlog.typing.EventDict] = []

        @app.get("/boom")
        async def boom() -> None:
            lines.append(_with_trace(None, "", {"event": "now"}))
            raise RuntimeError("with something that nobody may see")

        app.router.routes.insert(0, app.router.routes.pop())
        host = FastAPI()
        host.mount("/collab", app)
        client = AsyncClient(transport=ASGITransport(host, raise_app_exceptions=False), base_url="http://127.0.0.1")
        async with client:
            with spans.provider.get_tracer("host").start_as_current_span("host"):
                answer = await client.get("/collab/boom", headers={"traceparent": CALLER})
                assert answer.status_code == 500
            await client.get("/collab/healthz")
    inner, outer = spans.all()
    assert (inner.name, outer.name) == ("GET /collab/boom", "host")
    assert inner.kind is SpanKind.INTERNAL
    assert is_part_of(inner, outer)
    assert failed(inner) in {"500", "RuntimeError"}
    assert "nobody may see" not in everything([inner])
    [line] = lines
    assert line["trace_id"] == f"{context_of(inner).trace_id:032x}"
    assert line["span_id"] == f"{context_of(inner).span_id:016x}"
    assert _with_trace(None, "", {"event": "later"}) == {"event": "later"}


@pytest.mark.rule("OT2", "OT6")
async def test_sockets_in_an_application_that_traces_them() -> None:
    """An edit is no part of the span for its socket, but linked to it, and a trace of its own."""
    with traced() as spans:
        make = Settings(_env_file=None)  # type: ignore[call-arg]
        app = await asyncio.to_thread(
            create_app, make, storage=memory_storage(), authorize=everybody_writes, tracer_provider=spans.provider
        )

        async def host(scope: Scope, receive: Receive, send: Send) -> None:
            """As the instrumentation of ASGI does."""
            if scope["type"] == "lifespan":
                await app(scope, receive, send)
                return
            with spans.provider.get_tracer("host").start_as_current_span(f"host {scope['type']}"):
                await app(scope, receive, send)

        config = uvicorn.Config(host, ws="websockets-sansio", lifespan="on", log_config=None)
        async with serving(config, app.state.cowrite) as url:
            socket = f"{url.replace('http', 'ws')}/yjs/soup"
            async with live_client(socket) as ana:
                for _ in range(2):
                    ana.yjs.text += "x"
                    await ana.until(lambda: ana.yjs.saved)
        of_socket = context_of(spans.one("host websocket"))
    edits = spans.all("edit")
    assert [edit.parent for edit in edits] == [None, None]
    assert all(linked(edit) == {of_socket.span_id} for edit in edits)
    assert len({context_of(span).trace_id for span in edits} | {of_socket.trace_id}) == 3
    assert all(is_part_of(*pair) for pair in zip(spans.all("commit"), edits, strict=True))


@pytest.mark.rule("OT7")
async def test_what_others_are_told_is_a_part_of_the_commit() -> None:
    """And nothing else that goes by the broker is anything."""
    with traced() as spans:
        made, heard = Spans(spans.provider), list[News]()
        broker = made.broker(LocalBroker(), "redis")
        subscription = await broker.subscribe("soup", heard.append)  # type: ignore[arg-type]
        news = News("soup", "epoch", 7, ())
        await broker.publish(news)
        assert not spans.all()
        with made.opening("soup"):
            await broker.publish(news)
        await subscription.close()
        assert (broker.reaches_others, broker.degraded) == (False, False)
        await broker.close()
    published, opened = spans.all()
    assert heard == [news, news]
    assert published.name == "publish redis"
    assert published.kind is SpanKind.PRODUCER
    assert is_part_of(published, opened)
    assert attributes_of(published)["messaging.destination.name"] == "soup"


@pytest.mark.rule("OT1")
def test_it_is_wanted_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cowrite.tracing.spans", None)
    monkeypatch.delattr("cowrite.tracing.spans", raising=False)
    settings = Settings(_env_file=None, trace=True)  # type: ignore[call-arg]
    with pytest.raises(SettingsError, match="pip install 'cowrite\\[otel\\]'"):
        create_app(settings, demo=True)
