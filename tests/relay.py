"""A connection to a server that can be held up and cut: what is between a broker and its server, in the test's hands."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress


class Relay:
    """Passes on what comes, in both directions."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.url = ""
        self.name = ""
        """What the server calls the newest connection."""
        self._flows = asyncio.Event()
        self._flows.set()
        self._left: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def stall(self) -> None:
        """Nothing of what the server sends is read any more: it fills the server's buffers."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    def cut_after(self, size: int) -> None:
        """The connections end when the server has sent so many more bytes."""
        self._left = size

    def cut(self) -> None:
        """They end now."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def ended(self) -> None:
        """Wait until no connection is left."""
        while self._serving:
            await asyncio.wait(self._serving)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        far = socket.socket()
        try:
            # What is not read waits at the server, and not in the system.
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            far.setblocking(False)
            await asyncio.get_running_loop().sock_connect(far, ("127.0.0.1", self._server_port))
            self.name = "{}:{}".format(*far.getsockname())
            far_reader, far_writer = await asyncio.open_connection(sock=far, limit=4096)
        except OSError:
            far.close()
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        ways = [
            asyncio.create_task(self._pass(reader, far_writer, from_server=False)),
            asyncio.create_task(self._pass(far_reader, writer, from_server=True)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, far_writer):
            each.transport.abort()
            self._writers.discard(each)
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(4096):
                if from_server:
                    await self._flows.wait()
                    if self._left is not None:
                        data, self._left = data[: self._left], self._left - len(data[: self._left])
                        if not self._left:
                            self._left = None
                            writer.write(data)
                            await writer.drain()
                            return
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[Relay]:
    """In front of the server at ``port``."""
    between = Relay(port)
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    between.url = f"redis://127.0.0.1:{between.port}"
    try:
        yield between
    finally:
        between.flow()
        between.cut()
        server.close()
        between.cut()
        await between.ended()
        await server.wait_closed()
        await _let_go()


@asynccontextmanager
async def talking(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """The URL of something that is no Redis: it talks as it is told to."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        with suppress(OSError):
            await talk(reader, writer)
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        if served:
            await asyncio.wait(served)
        await server.wait_closed()
        await _let_go()


async def _let_go() -> None:
    """The event loop closes a socket in a turn of its own."""
    for _ in range(3):
        await asyncio.sleep(0)
