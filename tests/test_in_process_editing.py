"""Documents that are edited in the application's own process, beside people on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cowrite import Settings, create_app
from cowrite.app import Application
from cowrite.client import Forbidden, NotConnected, NotSaved, ReadOnly, Status
from cowrite.core.ports import Grant
from cowrite.core.records import AccessChange
from cowrite.documents import Documents
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.client import live_client
from cowrite.testing.transport_contract.server import ServerOptions, everybody_writes
from live_server import LiveServer, live_server
from python_clients import until


@pytest.fixture
async def server() -> AsyncIterator[LiveServer]:
    async with live_server(ServerOptions(authorize=everybody_writes), picows=True) as one:
        yield one


@pytest.fixture
def documents(server: LiveServer) -> Documents:
    return Documents(server.runtime.serving)


async def change_grant(server: LiveServer, user: str, grant: Grant | None) -> None:
    backend = server.runtime.backend()
    assert backend is not None
    change = AccessChange(
        id=backend.ids.new(),
        changed_by="root",
        created_at=backend.clock.now(),
        document_id="notes",
        user_id=user,
        session_id=None,
        grant=grant,
        reason=None,
        restores=False,
    )
    await backend.access.catch_up(await backend.access_log.change(change))


@pytest.mark.rule("PY30")
async def test_beside_somebody_on_a_socket(server: LiveServer, documents: Documents) -> None:
    """Both see what the other does; who wrote what stands in the log, and nobody is left when the block has ended."""
    async with live_client(f"{server.url}/yjs/notes") as stock:
        async with documents.edit("notes", user="bot", name="Bot", colour="#0b72ae") as doc:
            assert (doc.grant, doc.status, doc.synced) == ("write", Status.CONNECTED, True)
            assert doc.user is not None
            assert (doc.user.id, doc.user.name, doc.user.colour) == ("bot", "Bot", "#0b72ae")
            doc.text("body").append("from the 😀 bot")
            await doc.saved()
            await stock.until(lambda: str(stock.yjs.text) == "from the 😀 bot")
            stock.yjs.text += ", and not only"
            await until(lambda: str(doc.text("body")).endswith(", and not only"))
            await stock.until(lambda: stock.yjs.states)
            (entry,) = stock.yjs.states.values()
            assert entry.state == '{"user":{"name":"Bot","color":"#0b72ae"}}'
            doc.text("body").append("x" * 700_000)
            await doc.saved()
            room = server.runtime.serving().registry.get("notes")  # type: ignore[union-attr]
            assert room is not None
            assert room.replicas.head.offset >= 2
        await stock.until(lambda: [one.state for one in stock.yjs.states.values()] == [None])
        await stock.until(lambda: len(stock.yjs.text) > 700_000)
    services = server.runtime.serving()
    assert services is not None
    await until(lambda: not services.connections)


@pytest.mark.rule("PY30", "PY12")
async def test_it_comes_back(server: LiveServer, documents: Documents) -> None:
    """When the room sends it away, as any client does."""
    services = server.runtime.serving()
    assert services is not None
    async with documents.edit("notes", user="bot") as doc:
        doc.text("body").append("a")
        services.close_connections(CloseCode.DOCUMENT_REBUILT, "start again")
        doc.text("body").append("b")
        await doc.saved()
        assert doc.status is Status.CONNECTED
        assert len(services.connections) == 1
    async with documents.edit("notes", user="bot") as doc:
        assert str(doc.text("body")) == "ab"


@pytest.mark.rule("PY30", "PY14")
async def test_grants_hold(server: LiveServer, documents: Documents) -> None:
    """The one that the host gives, and those that are changed meanwhile, for later links too."""
    services = server.runtime.serving()
    assert services is not None
    async with documents.edit("notes", user="reader", grant="read") as doc:
        with pytest.raises(ReadOnly):
            doc.text("body").append("a")

    async def lowered() -> None:
        async with documents.edit("notes", user="bot") as doc:
            await change_grant(server, "bot", Grant.READ)
            doc.text("body").append("a")
            with pytest.raises(ReadOnly):
                await doc.saved()
            services.close_connections(CloseCode.DOCUMENT_REBUILT, "start again")
            await until(lambda: doc.status is Status.DISCONNECTED)
            await until(lambda: doc.synced)
            assert doc.grant == "read"
            await doc.refresh()
            assert (doc.grant, doc.unsaved) == ("read", 1)

    with pytest.raises(NotSaved, match="the grant is 'read' now"):
        await lowered()

    async with documents.edit("notes", user="eve") as doc:
        await change_grant(server, "eve", None)
        await until(lambda: doc.status is Status.CLOSED)
        with pytest.raises(Forbidden):
            await doc.refresh()


@pytest.mark.rule("PY30", "PY10", "PY15")
async def test_an_application_that_does_not_run() -> None:
    """Before it runs and after it; what it has not stored when it stops is told."""
    database = MemoryDatabase()
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    app = create_app(settings, storage=memory_storage(database), authorize=everybody_writes)
    assert isinstance(app, Application)
    with pytest.raises(NotConnected, match="the application does not run"):
        async with app.documents.edit("notes", user="bot", connect_seconds=0.05):
            pass

    async def over_the_end() -> Any:
        async with app.documents.edit("notes", user="bot", save_seconds=0.05) as doc:
            doc.text("body").append("kept ")
            await doc.saved()
            stopping.set()
            await until(lambda: doc.status is not Status.CONNECTED)
            doc.text("body").append("late")

    stopping = asyncio.Event()
    async with app.router.lifespan_context(app):
        editing = asyncio.ensure_future(over_the_end())
        await stopping.wait()
    with pytest.raises(NotSaved, match="1 edits") as left:
        await editing
    assert left.value.update


@pytest.mark.rule("PY30")
@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("a document's id is", {"document": "", "user": "bot"}),
        ("a document's id is", {"document": "x" * 256, "user": "bot"}),
        ("its user_id is empty", {"document": "notes", "user": ""}),
        ("has 300 characters", {"document": "notes", "user": "bot", "name": "x" * 300}),
        ("not a valid Grant", {"document": "notes", "user": "bot", "grant": "none"}),
    ],
)
def test_what_cannot_be(what: str, named: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=what):
        Documents(lambda: None).edit(**named)
