"""A TCP proxy that does as it is told: what may happen between a server and its database, in a test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

_READ_BYTES = 64 << 10
_Pipe: TypeAlias = asyncio.Queue[tuple[float, bytes]]


class TcpProxy:
    """Passes on what comes to a port of its own, in both directions. Made by :func:`tcp_proxy`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        """Where it listens, on 127.0.0.1."""
        self.delay = 0.0
        """Seconds for which everything that comes from now on is under way, in each direction."""
        self.refuses = False
        """True: who comes is turned away at once. What is connected already is left to :meth:`cut`."""
        self.connections = 0
        """How many there were."""
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def stall(self) -> None:
        """Nothing passes any more, and nothing ends: a cable that was pulled."""
        self._flows.clear()

    def flow(self) -> None:
        """It passes again, with all that has come meanwhile."""
        self._flows.set()

    def cut(self) -> None:
        """Break every connection that there is, with a reset."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.connections += 1
        try:
            if self.refuses:
                raise ConnectionRefusedError
            far, far_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=_READ_BYTES)
        except OSError:
            near_writer.transport.abort()
            return
        self._open |= {near_writer, far_writer}
        try:
            ways = [self._pass(near, far_writer), self._pass(far, near_writer)]
            await asyncio.wait([asyncio.ensure_future(way) for way in ways])
        finally:
            for writer in (near_writer, far_writer):
                writer.transport.abort()
                self._open.discard(writer)

    async def close(self) -> None:
        """Break all connections and wait for their ends."""
        self.flow()
        while self._serving:
            self.cut()
            await asyncio.wait(self._serving, timeout=0.1)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        pipe: _Pipe = asyncio.Queue(64)
        sending = asyncio.ensure_future(self._send(pipe, target))
        with suppress(OSError):
            while not sending.done() and (data := await source.read(_READ_BYTES)):
                await _put(pipe, sending, (asyncio.get_running_loop().time() + self.delay, data))
        await _put(pipe, sending, (0.0, b""))
        await sending

    async def _send(self, pipe: _Pipe, target: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while True:
                due, data = await pipe.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self._flows.wait()
                if not data:
                    break
                target.write(data)
                await target.drain()
            target.write_eof()
            return
        target.transport.abort()


async def _put(pipe: _Pipe, sending: asyncio.Future[None], piece: tuple[float, bytes]) -> None:
    """Unless nobody takes it any more."""
    putting = asyncio.ensure_future(pipe.put(piece))
    await asyncio.wait([putting, sending], return_when=asyncio.FIRST_COMPLETED)
    putting.cancel()


@asynccontextmanager
async def tcp_proxy(target: int) -> AsyncIterator[TcpProxy]:
    """In front of ``target``, a port of 127.0.0.1, while the block runs."""
    proxy = TcpProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=_READ_BYTES)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
