"""The application: its HTTP side, and how it starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from cowrite.app import create_app
from cowrite.composition import database_url
from cowrite.core.clock import SystemClock
from cowrite.core.history.erasing import Erasing
from cowrite.core.ports import AccessDenied, PresenceError, PresenceRecord, StoreError
from cowrite.core.rooms.registry import Registry
from cowrite.presence.local import LocalPresence
from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep1
from cowrite.runtime import Runtime
from cowrite.settings import Settings
from cowrite.stores import open_store
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.stores.sqlalchemy.database import uninterrupted
from cowrite.testing.transport_contract.server import edit, everybody_writes
from cowrite.testing.wire import FakeWire
from cowrite.transports.upgrade import Accepted
from cowrite.transports.yjs import YjsConnection
from http_api import PLAIN
from timing import MS

BASE = "http://127.0.0.1:8000"


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


def app_on(
    database: MemoryDatabase | None = None, *, demo: bool = False, drain_seconds: float = 5.0, **values: object
) -> FastAPI:
    storage = memory_storage(database)
    return create_app(settings(**values), demo=demo, storage=storage, authorize=everybody_writes, drain_seconds=drain_seconds)


def runtime_of(app: FastAPI) -> Runtime:
    runtime = app.state.cowrite
    assert isinstance(runtime, Runtime)
    return runtime


@asynccontextmanager
async def client_of(app: FastAPI, base: str = BASE) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=base, verify=PLAIN) as client:
        yield client


async def write(runtime: Runtime, text: str, document_id: str = "doc") -> FakeWire:
    """A connection that has sent an edit."""
    services = runtime.serving()
    assert services is not None
    wire = FakeWire()
    connection = YjsConnection(wire, Accepted(document_id, None, "cowrite.ack.v1"), services)
    connection.opened()
    while not wire.received:  # noqa: ASYNC110
        await asyncio.sleep(0)
    connection.receive(yjs.encode(SyncStep1(b"\0")))
    connection.receive(edit(text)[0])
    return wire


async def until_health(client: httpx.AsyncClient, name: str, value: object) -> None:
    async with asyncio.timeout(10):
        while (await client.get("/healthz")).json()[name] != value:  # noqa: ASYNC110
            await asyncio.sleep(MS)


# ---- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("TR33")
async def test_health() -> None:
    """Health tells whether edits reach the store, and how much waits."""
    database = MemoryDatabase()
    app = app_on(database)
    runtime = runtime_of(app)
    async with client_of(app) as client:
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).json()["status"] == "ok"
        async with runtime.lifespan(app):
            assert (await client.get("/readyz")).json() == {"status": "ready"}
            await write(runtime, "hello")
            await until_health(client, "pending_bytes", 0)
            counts = {"pending_bytes": 0, "documents": 1, "failing_documents": 0, "damaged_documents": 0, "connections": 1}
            expected = {"status": "ok", "store": "ok", "presence": "ok", "broker": "ok", **counts}
            assert (await client.get("/healthz")).json() == expected
            database.unavailable = True
            await write(runtime, "world")
            await until_health(client, "status", "degraded")
            health = (await client.get("/healthz")).json()
            assert (health["status"], health["store"]) == ("degraded", "failing")
            assert health["pending_bytes"] > 0
            database.unavailable = False
            await until_health(client, "status", "ok")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


@pytest.mark.rule("TR33", "JS6")
async def test_a_store_that_cannot_be_read_while_nothing_is_to_be_written() -> None:
    """Health, heartbeats and figures tell it, and that it is over."""
    database = MemoryDatabase()
    app = app_on(database)
    runtime = runtime_of(app)
    async with client_of(app) as client, runtime.lifespan(app):
        for unavailable, store, status in ((True, "failing", "degraded"), (False, "ok", "ok")):
            database.unavailable = unavailable
            await until_health(client, "store", store)
            health = (await client.get("/healthz")).json()
            assert (health["status"], health["pending_bytes"]) == (status, 0)
            figures = runtime.figures()
            assert (figures["cowrite_database_failing"], figures["cowrite_journal_failing"]) == (unavailable, 0)
            services = runtime.serving()
            assert services is not None
            services.load.lag = 0.0  # of this machine
            assert services.load.status == status


class Forgetful(LocalPresence):
    """Cannot be written while it is told so."""

    fails = False

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        if self.fails:
            raise PresenceError("it does not answer")
        return await super().read(document_ids)

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        if self.fails:
            raise PresenceError("it does not answer")
        await super().write(put, removed)


@pytest.mark.rule("PE17")
async def test_health_tells_of_presence() -> None:
    """Edits go on meanwhile."""
    presence = Forgetful(SystemClock())
    app = create_app(settings(), storage=memory_storage(), authorize=everybody_writes, presence=presence)
    runtime = runtime_of(app)
    async with client_of(app) as client, runtime.lifespan(app):
        presence.fails = True
        with capture_logs() as logs:
            await write(runtime, "hello")
            await until_health(client, "presence", "degraded")
            await until_health(client, "pending_bytes", 0)
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
            "presence neither written nor read; it is tried again"
        ]
        health = (await client.get("/healthz")).json()
        assert (health["status"], health["store"]) == ("degraded", "ok")
        headers = {"authorization": "Bearer ana"}
        assert (await client.get("/api/v2/documents/doc/presence", headers=headers)).status_code == 200, "it is open here"
        services = runtime.serving()
        assert services is not None
        (room,) = services.registry.rooms
        services.registry.forget(room)
        answer = await client.get("/api/v2/documents/doc/presence", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        presence.fails = False
        await until_health(client, "status", "ok")


@pytest.mark.rule("TR34")
async def test_problems() -> None:
    """Every error has the form of RFC 9457 and a code."""
    app = app_on()

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return 1 // number

    async with client_of(app) as client:
        cases = {
            "/nothing": (404, "not_found"),
            "/number/x": (422, "unprocessable_entity"),
            "/number/0": (500, "internal_server_error"),
        }
        for path, (status, code) in cases.items():
            answer = await client.get(path)
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
            assert problem["type"] == "about:blank"
            assert problem["title"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "division" not in answer.text
        assert "number" in (await client.get("/number/x")).json()["detail"]
        refused = await client.post("/healthz")
        assert (refused.status_code, refused.json()["code"], refused.headers["allow"]) == (405, "method_not_allowed", "GET")


@pytest.mark.rule("TR35")
async def test_security_headers() -> None:
    """Every answer tells browsers to be careful, errors too; the API's own docs may load what they need."""
    async with client_of(app_on()) as client:
        for path in ("/healthz", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["cross-origin-resource-policy"] == "same-origin"
        docs = (await client.get("/docs")).headers["content-security-policy"]
        assert "unsafe" not in docs.partition("script-src")[2].partition(";")[0]


@pytest.mark.rule("OR6")
async def test_what_the_api_answers_is_not_kept_and_does_nothing() -> None:
    """No cache keeps it that was not told to; opened in a browser it may load nothing and run nothing, errors too."""
    app = app_on()
    async with client_of(app) as client, runtime_of(app).lifespan(app):
        headers = {"authorization": "Bearer ana"}
        made = await client.post("/api/v2/documents", json={"document_id": "d"}, headers=headers)
        for answer in (
            made,
            await client.get("/api/v2/documents", headers=headers),
            await client.get("/api/v2/documents/none", headers=headers),
            await client.get("/api/nothing"),
        ):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-security-policy"].endswith("frame-ancestors 'none'; sandbox")
        page = await client.get("/api/v2/documents/d?format=html", headers=headers)
        assert page.headers["cache-control"] == "private, no-cache"
        policy = page.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "sandbox"} <= set(policy)
        assert "script-src" not in page.headers["content-security-policy"]


@pytest.mark.rule("TR35")
async def test_demo_answers_to_this_machine_only() -> None:
    """In the demo a foreign name gets 421, whatever it asks for; outside of it a server has any name."""
    for demo, status in ((True, 421), (False, 200)):
        app = await asyncio.to_thread(app_on, demo=demo)
        async with client_of(app, "http://evil.example") as client:
            answer = await client.get("/healthz")
            assert answer.status_code == status
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_routes_are_made_once() -> None:
    """FastAPI takes 60 ms for them: neither a second application nor a first request waits for that."""
    first, second = [(await asyncio.to_thread(app_on)).router.routes for _ in range(2)]
    both = [route for route in first if isinstance(route, APIRoute) and route in second]
    assert len([route for route in both if route.path.startswith("/api/v2/")]) > 20
    assert not [route for route in first if hasattr(route, "original_router")], "FastAPI makes what is included anew"


@pytest.mark.rule("TR36")
async def test_pages() -> None:
    """The demo page, with headers under which it works and is cached as it should be; outside the demo there is none."""
    app = await asyncio.to_thread(app_on, demo=True)
    async with client_of(app) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-cache"
        policy = page.headers["content-security-policy"]
        (asset, *_) = [part for part in page.text.split('"') if part.startswith("./assets/") and part.endswith(".js")]
        script = await client.get(asset.removeprefix("."))
        assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "javascript" in script.headers["content-type"]
        again = await client.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.headers["content-security-policy"]) == (304, policy)
        assert (await client.get("/assets/nothing.js")).status_code == 404
        assert (await client.get("/../app.py")).status_code == 404
    async with client_of(app_on()) as client:
        assert (await client.get("/")).status_code == 404


@pytest.mark.rule("TR36")
async def test_policy_is_the_pages_own() -> None:
    """The page's own policy and the header say the same, but for what a page cannot say."""
    app = await asyncio.to_thread(app_on, demo=True)
    async with client_of(app) as client:
        page = await client.get("/")
    own = page.text.partition('Content-Security-Policy" content="')[2].partition('"')[0]
    assert page.headers["content-security-policy"] == f"{own}; frame-ancestors 'none'"


# ---- starting and stopping -------------------------------------------------------------------------------------------


@pytest.mark.rule("TR37")
async def test_stop_stores_what_was_taken() -> None:
    """What clients sent before the application stops is in the store afterwards, and they are told to come back."""
    database = MemoryDatabase()
    app = app_on(database)
    runtime = runtime_of(app)
    async with runtime.lifespan(app):
        wire = await write(runtime, "last words")
    assert wire.closed == (1012, "the server is restarting")
    stored = await MemoryStore(database).load("doc")
    assert stored is not None
    assert b"last words" in stored.entries[0].update
    assert runtime.serving() is None
    await runtime.stop()


@pytest.mark.rule("TR37", "JO23")
async def test_stop_tries_again_what_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that rests after a failure of its own does not rest until the end."""
    monkeypatch.setattr("cowrite.core.journal.journal._FIRST_RETRY", 20.0)
    database = MemoryDatabase()
    app = app_on(database)
    runtime = runtime_of(app)
    async with runtime.lifespan(app):
        database.fail_next("append", StoreError("of no kind in particular"))
        await write(runtime, "last words")
        parts = runtime._parts
        assert parts is not None
        while not parts.journal.failing_documents:  # noqa: ASYNC110
            await asyncio.sleep(0)
    stored = await MemoryStore(database).load("doc")
    assert stored is not None
    assert stored.head.offset == 1


@pytest.mark.rule("TR37")
async def test_stop_counts_what_could_not_be_stored() -> None:
    """A store that fails does not keep the application from stopping; the log says what was not stored."""
    database = MemoryDatabase()
    app = app_on(database, drain_seconds=200 * MS)
    runtime = runtime_of(app)
    with capture_logs() as logs:
        async with runtime.lifespan(app):
            await write(runtime, "stored")
            database.unavailable = True
            await write(runtime, "not stored")
    (line,) = [line for line in logs if line["event"].startswith("edits not stored")]
    assert (line["log_level"], line["documents"]) == ("error", 1)
    assert line["updates"] >= 1
    assert line["bytes"] > 0
    assert runtime.left_behind == line["updates"]


@pytest.mark.rule("WK24")
async def test_stop_does_not_wait_for_what_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that a database holds up, and that cannot be called back: everything else is closed meanwhile."""
    monkeypatch.setattr("cowrite.runtime._END_SECONDS", 50 * MS)
    sweeping, go = asyncio.Event(), asyncio.Event()

    async def sweep(_: Erasing) -> int:
        sweeping.set()
        await uninterrupted(go.wait())
        return 0

    monkeypatch.setattr(Erasing, "sweep", sweep)
    closed: list[str] = []
    presence, storage = LocalPresence(SystemClock()), memory_storage()
    monkeypatch.setattr(presence, "close", partial(_closing, closed, "presence", presence.close))
    monkeypatch.setattr(storage.store, "close", partial(_closing, closed, "storage", storage.store.close))
    app = create_app(settings(), storage=storage, authorize=everybody_writes, presence=presence)
    with capture_logs() as logs:
        async with asyncio.timeout(20), runtime_of(app).lifespan(app):
            await sweeping.wait()
    assert closed == ["presence", "storage"]
    assert [line["tasks"] for line in logs if line["event"].startswith("background work has not ended")] == [1]
    sweep_of = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    go.set()
    await asyncio.wait(sweep_of)


async def _closing(closed: list[str], name: str, close: Callable[[], Awaitable[None]]) -> None:
    closed.append(name)
    await close()


@pytest.mark.rule("SB4")
async def test_nobody_comes_in_before_the_ends_of_sessions_are_known() -> None:
    """An access token of a session that was ended before the process started opens nothing from the first moment on."""
    database = MemoryDatabase()
    first = runtime_of(app_on(database, secret="A" * 43))
    await first.start()
    services = first.serving()
    assert services is not None
    admission = await services.bridge.connect(None, "doc")
    await services.bridge.disconnect(admission.access_token)
    await first.stop()

    second = runtime_of(app_on(database, secret="A" * 43))
    held = database.hold_next("ended_sessions")
    starting = asyncio.create_task(second.start())
    await held.reached.wait()
    assert second.serving() is None
    held.release()
    await starting
    services = second.serving()
    assert services is not None
    with pytest.raises(AccessDenied, match="has ended"):
        services.bridge.resume(admission.access_token)
    await second.stop()


async def test_edits_survive(tmp_path: Path) -> None:
    """With the settings alone, documents are in an SQLite file in the data folder."""
    chosen = settings(data_dir=tmp_path / "data", secret="A" * 43)
    app = await asyncio.to_thread(create_app, chosen)
    async with runtime_of(app).lifespan(app):
        pass
    assert chosen.database_file is not None
    assert chosen.database_file.exists()
    storage = await open_store(database_url(chosen))
    assert await storage.store.load("doc") is None
    await storage.close()


def test_database_url() -> None:
    """The setting wins over the file in the data folder."""
    assert database_url(settings(database_url="sqlite:///x.db")) == "sqlite:///x.db"
    assert database_url(settings(data_dir=Path("/data"))) == "sqlite:////data/cowrite.sqlite3"


def test_somebody_must_decide_who_comes_in() -> None:
    """An application that nobody could enter is not made."""
    with pytest.raises(ValueError, match="COWRITE_SECRET"):
        create_app(settings())


@pytest.mark.rule("TR40")
async def test_background_tasks_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A background task that fails is logged, and started again."""
    monkeypatch.setattr("cowrite.runtime.TEND_SECONDS", MS)
    monkeypatch.setattr("cowrite.runtime._RESTART_SECONDS", MS)
    calls = 0

    def rooms(_: Registry) -> tuple[()]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug")
        return ()

    app = app_on()
    with capture_logs() as logs:
        async with runtime_of(app).lifespan(app):
            monkeypatch.setattr(Registry, "rooms", property(rooms))
            async with asyncio.timeout(10):
                while calls < 3:  # noqa: ASYNC110
                    await asyncio.sleep(MS)
            monkeypatch.undo()
    assert "background task failed" in [line["event"] for line in logs]


async def test_rooms_are_tended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few seconds rooms are looked after."""
    monkeypatch.setattr("cowrite.runtime.TEND_SECONDS", MS)
    app = app_on()
    runtime = runtime_of(app)
    async with runtime.lifespan(app):
        await write(runtime, "x")
        services = runtime.serving()
        assert services is not None
        room = services.registry.get("doc")
        assert room is not None
        tended = asyncio.Event()
        monkeypatch.setattr(room, "tend", lambda now: tended.set())
        async with asyncio.timeout(10):
            await tended.wait()
