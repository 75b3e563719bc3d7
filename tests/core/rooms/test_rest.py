"""A document that nothing happens to is kept as bytes."""

from __future__ import annotations

import pytest

from core.rooms.room_tools import process
from cowrite.core.rooms.rest import REST_SECONDS
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Process, quiet

pytestmark = pytest.mark.rule("RO25")


def resting(server: Process) -> bool:
    replicas = server.room().replicas
    assert replicas.log is not None
    assert replicas.live is not None
    assert replicas.log.resting == replicas.live.resting
    return replicas.live.resting


async def tend(server: Process, seconds: float) -> bool:
    server.clock.advance(seconds)  # type: ignore[attr-defined]
    rested = server.room().tend(server.clock.monotonic())
    await quiet(server)
    return rested


async def test_a_quiet_document_rests_until_somebody_writes() -> None:
    async with process() as server:
        ana = await server.join(user="ana")
        ana.client.text += "hello"
        await quiet(server)
        await tend(server, 5)
        await tend(server, REST_SECONDS - 1)
        assert not resting(server)
        assert await tend(server, 1)
        assert resting(server)
        assert not await tend(server, 1), "it rests already"
        ben = await server.join(user="ben")
        await quiet(server)
        assert str(ben.client.text) == "hello"
        assert resting(server), "who comes in is served from the bytes"
        ben.client.text += " world"
        await quiet(server)
        assert not resting(server)
        assert str(ana.client.text) == "hello world"
        assert ben.client.saved
        stored = await server.storage.store.entries("doc", start=1, limit=10)
        assert [operation.content for entry in stored for operation in entry.operations] == ["hello", " world"]


async def test_it_does_not_rest_while_something_happens() -> None:
    async with process() as server:
        ana = await server.join(user="ana")
        for _ in range(4):
            ana.client.text += "a"
            await quiet(server)
            await tend(server, REST_SECONDS - 1)
            assert not resting(server)
        ana.reading = False
        await tend(server, REST_SECONDS)
        assert resting(server)


async def test_it_does_not_rest_while_something_waits_for_the_store() -> None:
    """What others have been shown is nowhere but in the document that is worked with."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text += "hello"
        await quiet(server)
        await tend(server, 5)
        database.unavailable = True
        ana.client.text += " world"
        await quiet(server)
        for _ in range(3):
            assert not await tend(server, REST_SECONDS)
        ben = await server.join(user="ben")
        await quiet(server)
        assert str(ben.client.text) == "hello world"
        assert not ana.client.saved
        database.unavailable = False
        await tend(server, REST_SECONDS)
        assert ana.client.saved


@pytest.mark.parametrize("which", ["live", "log"])
async def test_a_document_that_broke_is_made_again(which: str) -> None:
    async with process() as server:
        ana = await server.join(user="ana")
        ana.client.text += "hello"
        await quiet(server)
        await tend(server, 5)
        broken = getattr(server.room().replicas, which)
        broken._fault = "it broke"
        broken._encoded = None
        await tend(server, REST_SECONDS)
        await quiet(server)
        ben = await server.join(user="ben")
        await quiet(server)
        assert str(ben.client.text) == "hello"
