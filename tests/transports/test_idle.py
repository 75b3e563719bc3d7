"""Sockets on which nothing comes, at a real server."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.core.limits import Limits
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import HocuspocusDialect
from cowrite.protocol.messages import SyncStep2
from cowrite.testing.client import PING, ConnectionEnded, WebSocketClient, encode_frame, live_client
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.operations import PATH, PROTOCOL, JsonClient
from cowrite.testing.transport_contract.provider import Provider, content
from cowrite.testing.transport_contract.server import ended, join
from cowrite.transports.hocuspocus import HocuspocusConnection
from cowrite.transports.services import Services
from live_server import live_server
from socket_writers import until
from timing import MS
from transports.metric import refused

IDLE = 200 * MS
OPTIONS = ServerOptions(limits=Limits(idle_seconds=IDLE, hocuspocus_idle_seconds=2 * IDLE, hello_seconds=2 * IDLE))


async def silently(client: WebSocketClient) -> int | None:
    """Read and never answer, not even pings; the code with which the server ends that."""
    try:
        while True:
            await client.receive_frame()
    except ConnectionEnded as end:
        return end.code


@pytest.mark.rule("TR27", "HP24", "JS1", "LM3")
async def test_who_says_nothing_is_closed() -> None:
    """Who answers pings, or sends some, stays; who does not, is closed in the time that the limits say."""
    async with live_server(OPTIONS, picows=True) as server, live_client(f"{server.url}/yjs/d?token=ana") as ana:
        silent = await join(f"{server.url}/yjs/d?token=eve")
        bot = await JsonClient.connect(server.url, "d", "bot")
        provider, pinging = await Provider.enter(server.url, "d"), await join(f"{server.url}/yjs/d?token=ben")
        stranger = await Provider.connect(server.url)
        mute = await WebSocketClient.connect(f"{server.url}{PATH}", protocols=[PROTOCOL])
        alive = asyncio.create_task(silently(pinging))
        began = asyncio.get_running_loop().time()
        codes = asyncio.gather(silently(silent), silently(bot.socket), silently(provider.socket))
        # These two answer the pings of their sockets, and say nothing.
        ends = asyncio.gather(ended(stranger.socket), ended(mute))
        while not (codes.done() and ends.done()):
            pinging.send(b"", kind=PING)
            await asyncio.sleep(IDLE / 4)
        assert list(await codes) == [CloseCode.IDLE, CloseCode.IDLE, CloseCode.CONNECTION_TIMEOUT]
        assert [end.code for end in await ends] == [CloseCode.CONNECTION_TIMEOUT, CloseCode.IDLE]
        assert asyncio.get_running_loop().time() - began >= 2 * IDLE * 0.9
        assert not alive.done()
        assert ana.socket.ended is None
        assert await refused(server) == {"idle": 3, "connection_timeout": 2, "hello_seconds": 1}
        alive.cancel()
        await asyncio.wait([alive])
        await pinging.close()


def holds_something(services: Services, name: str) -> bool:
    room = services.registry.get(name)
    return room is not None and room.replicas.live is not None and bool(room.replicas.live.state)


@pytest.mark.rule("HP24")
async def test_a_provider_that_is_long_in_sending_is_no_silent_one() -> None:
    """Its answers stand behind the message that is coming, as in any WebSocket; nor is one silent whose messages wait here."""
    async with live_server(OPTIONS, picows=True) as server:
        slow, waiting = await Provider.enter(server.url, "slow"), await Provider.enter(server.url, "waiting")
        services = server.runtime.serving()
        assert services is not None
        (held,) = (one for one in services.connections if isinstance(one, HocuspocusConnection) and "waiting" in one._documents)
        held.lane.hold()
        waiting.say(SyncStep2(content("behind")), "waiting")
        frame = encode_frame(HocuspocusDialect("slow").encode(SyncStep2(content("x" * 30_000))))
        ends = asyncio.gather(silently(slow.socket), silently(waiting.socket))
        parts = 24
        for start in range(0, len(frame), -(-len(frame) // parts)):
            slow.socket.send_raw(frame[start : start - (-len(frame) // parts)])
            waiting.socket.send(b"", kind=PING)  # its system is there
            assert not ends.done()
            await asyncio.sleep(6 * IDLE / parts)
        held.lane.release()
        await until(lambda: all(holds_something(services, name) for name in ("slow", "waiting")))
        assert list(await ends) == [CloseCode.CONNECTION_TIMEOUT] * 2
