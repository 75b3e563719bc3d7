"""Two applications on one hub, real sockets: who changes over from one to the other does not blink."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import ClientConnection, connect

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.limits import Limits
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.transport_contract import ServerOptions
from live_server import LiveServer, live_server
from timing import MS

MOVER = 7


async def enter(server: LiveServer, entry: AwarenessEntry) -> ClientConnection:
    """As y-websocket does: it speaks of itself first."""
    socket = await connect(f"{server.url}/yjs/doc", compression=None)
    await socket.send(yjs.encode(AwarenessUpdate((entry,))))
    return socket


async def entries_of_the_mover(watcher: ClientConnection, until: AwarenessEntry) -> list[AwarenessEntry]:
    came: list[AwarenessEntry] = []
    async with asyncio.timeout(20):
        while until not in came:
            frame = await watcher.recv()
            assert isinstance(frame, bytes)
            message = yjs.decode(frame)
            if isinstance(message, AwarenessUpdate):
                came += [entry for entry in message.entries if entry.client_id == MOVER]
    return came


@pytest.mark.rule("AW52")
@pytest.mark.parametrize("clock", [1, 2], ids=["equal clock", "higher clock"])
async def test_somebody_changes_over(clock: int) -> None:
    """The old socket breaks without a goodbye; the grace goes by; the watchers, one on each, never hear of an end."""
    database, hub, grace = MemoryDatabase(), LocalHub(), 1000 * MS

    def options() -> ServerOptions:
        return ServerOptions(demo=True, storage=memory_storage(database), limits=Limits(loss_grace_seconds=grace))

    async with (
        live_server(options(), picows=True, broker=LocalBroker(hub)) as one,
        live_server(options(), picows=True, broker=LocalBroker(hub)) as two,
    ):
        watchers = [await enter(one, AwarenessEntry(11, 1, "{}")), await enter(two, AwarenessEntry(12, 1, "{}"))]
        first, again, last = AwarenessEntry(MOVER, 1, "{}"), AwarenessEntry(MOVER, clock, "{}"), AwarenessEntry(MOVER, 3, "{}")
        mover = await enter(one, first)
        for watcher in watchers:
            assert await entries_of_the_mover(watcher, first) == [first]
        mover.transport.abort()
        back = await enter(two, again)
        await asyncio.sleep(1.5 * grace)
        await back.send(yjs.encode(AwarenessUpdate((last,))))
        for watcher in watchers:
            came = await entries_of_the_mover(watcher, last)
            assert all(entry.state is not None for entry in came)
        for socket in (*watchers, back):
            await socket.close()
