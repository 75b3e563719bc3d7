"""Sockets of which it is not known yet whose they are, and many that come and go at once, at a real server."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest

from cowrite.core.limits import Limits
from cowrite.core.turn_share import SHARE_SECONDS
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import Addressed, Authenticate, Authenticated, HocuspocusDialect, decode
from cowrite.protocol.messages import QueryAwareness
from cowrite.testing.client import PING, PONG, WebSocketClient, encode_frame
from cowrite.testing.transport_contract.provider import Provider
from cowrite.testing.transport_contract.server import ended, join
from cowrite.transports.read_turn import ALL_SECONDS, ReadTurn
from cowrite.transports.websocket import SocketProtocol, Upgrades
from socket_writers import until
from transports.metric import refused
from transports.own_server import serve

MOST = Limits().stranger_messages
MANY = 40
UPGRADE = (
    b"GET /yjs/doc?token=ana HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.mark.rule("LM31", "LM3")
async def test_whoever_floods_before_anybody_has_logged_in_is_closed(stack: AsyncExitStack) -> None:
    """Pings and messages count together, at any address; those of somebody who is known do not."""
    server = await serve(stack)
    query = encode_frame(HocuspocusDialect("doc").encode(QueryAwareness()))
    ping = encode_frame(b"", kind=PING)
    known = await join(f"{server.url}/yjs/doc?token=ana")
    known.send_raw(ping * 2 * MOST)
    for address, flood in (("hocuspocus", ping), ("hocuspocus", query), ("api/v2/realtime/ws", ping)):
        stranger = await WebSocketClient.connect(f"{server.url}/{address}")
        stranger.send_raw(flood * (MOST // 2) + ping * (MOST - MOST // 2))
        stranger.send(b"the last", kind=PING)  # one more than may be
        end = await ended(stranger)
        assert (end.code, end.reason) == (CloseCode.TOO_FAST, f"more than {MOST} messages before anybody has logged in")
        stranger.drop()
    known.send(b"and now", kind=PING)
    while (await known.receive_frame()).payload != b"and now":
        pass
    assert await refused(server) == {"stranger_messages": 3, "too_fast": 3}
    known.drop()


@pytest.mark.rule("LM31")
async def test_a_provider_that_opens_many_documents_at_once_is_let_in(stack: AsyncExitStack) -> None:
    """As many as a socket may have, with some messages for each before the first token was checked."""
    server = await serve(stack)
    provider = await Provider.connect(server.url)
    addresses = {f"page-{number}" for number in range(Limits().documents_per_socket)}
    for address in addresses:
        provider.say(Authenticate("ana", "4.8.0"), address)
        provider.say(QueryAwareness(), address)
    entered = set[str]()
    async with asyncio.timeout(20):
        while entered < addresses:
            one = decode(await provider.socket.receive())
            if isinstance(one, Addressed) and isinstance(one.message, Authenticated):
                entered.add(one.address)
    assert await refused(server) == {}
    provider.socket.drop()


@pytest.mark.rule("LM31")
async def test_little_is_read_of_strangers_at_a_time() -> None:
    """And least where all have had their turn."""
    turn, socket = ReadTurn(), asyncio.Transport()
    before = turn.read_bytes_of_strangers
    assert before < turn.read_bytes
    turn.took(socket, 0.0001)
    for _ in range(100):
        turn.took(asyncio.Transport(), 1.1 * ALL_SECONDS / 100)
    assert turn.read_bytes_of_strangers < before
    await asyncio.sleep(0)
    assert turn.read_bytes_of_strangers == before


class Turns:
    """What was called in which turn of the loop, and how long it took."""

    def __init__(self) -> None:
        self.turn = 0
        self.seconds: defaultdict[int, list[float]] = defaultdict(list)
        self._loop = asyncio.get_running_loop()
        self._next()

    def _next(self) -> None:
        self.turn += 1
        self._handle = self._loop.call_soon(self._next)

    def watch(self, work: Callable[..., None]) -> Callable[..., None]:
        def watched(*arguments: object) -> None:
            began = time.monotonic()
            try:
                work(*arguments)
            finally:
                self.seconds[self.turn].append(time.monotonic() - began)

        return watched

    @property
    def count(self) -> int:
        return sum(map(len, self.seconds.values()))

    def stop(self) -> None:
        """Raises ``AssertionError`` where a turn went on when its share was used up."""
        self._handle.cancel()
        for pieces in self.seconds.values():
            assert sum(pieces[:-1]) <= SHARE_SECONDS


@pytest.mark.rule("TR49", "RO26")
async def test_many_come_and_go_at_once(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few in each turn of the loop. All are let in and heard, and whoever is gone is not written to any more."""
    server = await serve(stack)
    target = f"{server.url}/yjs/doc?token=ana"
    # Their clients are done with the slow part of opening before the first of them asks.
    coming = Turns()
    monkeypatch.setattr(Upgrades, "_answer", coming.watch(Upgrades._answer))
    sockets = await asyncio.gather(*(WebSocketClient.connect(target) for _ in range(MANY)))
    coming.stop()
    assert coming.count == MANY
    kinds = Counter[int]()
    for socket in sockets:
        socket.send(b"here", kind=PING)
    for socket in sockets:
        async with asyncio.timeout(20):
            while (frame := await socket.receive_frame()).payload != b"here":
                pass
        kinds[frame.kind] += 1
    assert kinds == {PONG: MANY}
    going = Turns()
    leave = SocketProtocol._leave

    def leaves(protocol: SocketProtocol) -> None:
        assert protocol._wire.closing
        leave(protocol)

    monkeypatch.setattr(SocketProtocol, "_leave", going.watch(leaves))
    for socket in sockets:
        socket.drop()
    await until(lambda: going.count == MANY)
    going.stop()
    services = server.runtime.serving()
    assert services is not None
    assert not services.connections


@pytest.mark.rule("TR49")
async def test_who_waits_to_come_in_is_not_read(stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is its turn; and one whose connection has ended meanwhile has none."""
    server = await serve(stack)
    services = server.runtime.serving()
    assert services is not None
    waiting = list[Callable[[], None]]()

    def wait(work: Callable[[], None]) -> bool:
        waiting.append(work)
        return False

    monkeypatch.setattr(services.arrivals, "do", wait)
    host, _, port = server.url.removeprefix("ws://").partition(":")
    ends = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
    for _, writer in ends:
        writer.write(UPGRADE)
    await until(lambda: len(waiting) == 2)
    transports = [work.args[2] for work in waiting]  # type: ignore[attr-defined]
    assert [transport.is_reading() for transport in transports] == [False, False]
    transports[1].close()
    for work in waiting:
        work()
    assert transports[0].is_reading()
    assert sorted([(await reader.read(12))[9:] for reader, _ in ends]) == [b"", b"101"]
    for _, writer in ends:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
