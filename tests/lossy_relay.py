"""Between a client and a WebSocket server: passes on every message but those that a test wants lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


@asynccontextmanager
async def lossy_relay(upstream: str, loses: Callable[[bytes], bool]) -> AsyncIterator[str]:
    """In front of the server at ``upstream``; its own address.

    ``loses`` is asked about each message to a client that has not written an update itself.
    """

    async def between(client: ServerConnection) -> None:
        assert client.request is not None
        writes = False

        async def upwards() -> None:
            nonlocal writes
            with suppress(ConnectionClosed):
                async for message in client:
                    assert isinstance(message, bytes)
                    writes = writes or message[:2] == b"\x00\x02"
                    await server.send(message)
            await server.close()

        async def downwards() -> None:
            with suppress(ConnectionClosed):
                async for message in server:
                    assert isinstance(message, bytes)
                    if writes or not loses(message):
                        await client.send(message)
            await client.close()

        async with connect(upstream + client.request.path, proxy=None) as server:
            await asyncio.gather(upwards(), downwards())

    async with serve(between, "127.0.0.1", 0) as relay:
        (address,) = (found.getsockname() for found in relay.sockets)
        yield f"ws://127.0.0.1:{address[1]}"
