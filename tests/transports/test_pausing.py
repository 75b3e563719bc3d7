"""Who has much to say waits, on real sockets: nothing more is read of one while much of it waits, and nobody is sent away."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest

from cowrite.core.limits import Limits
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import SyncStatus
from cowrite.protocol.messages import SyncStep2
from cowrite.testing.client import TEXT, WebSocketClient
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import Provider, content, update
from cowrite.testing.transport_contract.server import edit, ended, join, text_of
from cowrite.transports.hocuspocus import HocuspocusConnection
from cowrite.transports.lane import LONG_BYTES
from cowrite.transports.picows_wire import PicowsWire
from cowrite.transports.services import Services, SocketTimes
from live_server import LiveServer, live_server
from socket_writers import until
from timing import MS

KB, MB = 1 << 10, 1 << 20
OFTEN = SocketTimes(ping_after=100 * MS, pong_within=50 * MS, idle_after=200 * MS)


def services_of(server: LiveServer) -> Services:
    services = server.runtime.serving()
    assert services is not None
    return services


def connection_of(services: Services, user: str) -> HocuspocusConnection:
    return next(one for one in services.connections if one.user == user and isinstance(one, HocuspocusConnection))


def wire_of(connection: HocuspocusConnection) -> PicowsWire:
    return cast("PicowsWire", connection._wire)


def is_read(connection: HocuspocusConnection) -> bool:
    return wire_of(connection)._socket.is_reading()


@pytest.mark.rule("TR50", "HP25", "LM20", "JS11")
@pytest.mark.parametrize("picows", [True, False])
async def test_many_large_messages_at_once(*, picows: bool) -> None:
    """Whatever they speak: more than a user may have waiting is taken, one after the other, from one socket."""
    limits = Limits(incoming_bytes=8 * MB, rate_bytes=16 * MB, burst_bytes=2 * MB)
    async with live_server(ServerOptions(limits=limits), picows=picows) as server:
        names = [f"d{number}" for number in range(6)]
        provider, stock = await Provider.enter(server.url, *names), await join(f"{server.url}/yjs/other?token=ben")
        for name in names:
            provider.say(SyncStep2(content(name * 300_000)), name)
            stock.send(yjs.encode(SyncStep2(content(name * 300_000))))
        stock.send(edit("the last one")[0])
        for name in names:
            assert await provider.hear(SyncStatus, name) == SyncStatus(True)
        assert await text_of(f"{server.url}/yjs/d5") == "d5" * 300_000
        room = services_of(server).registry.get("other")
        assert room is not None
        live = room.replicas.live
        assert live is not None
        await until(lambda: b"the last one" in live.encode())
        bot = await JsonClient.connect(server.url, "d", "bot")
        for number in range(300):
            bot.write({"type": "insert", "position": ["body", 0], "content": "x"}, request=number)
        assert [(await bot.expect("acknowledged"))["request"] for _ in range(300)] == list(range(300))
        for number in range(200):
            bot.socket.send(json.dumps({"type": "heartbeat", "echo": number}).encode() + b" " * 30_000, kind=TEXT)
        while (await bot.receive()).get("echo") != 199:
            pass
        assert not any(services_of(server).excess.counts.values())
        assert services_of(server).incoming.bytes == 0
        for socket in (provider.socket, stock, bot.socket):
            socket.drop()


async def paused(server: LiveServer, *names: str) -> tuple[list[Provider], list[HocuspocusConnection]]:
    """Providers of whom something is in the way, and much waits behind it, the last of it half come."""
    providers = [await Provider.enter(server.url, token=name) for name in names]
    connections = [connection_of(services_of(server), name) for name in names]
    for provider, connection in zip(providers, connections, strict=True):
        connection.lane.hold()
        for number in range(4):
            provider.say(update(f"{number}" * 400_000))
    await until(lambda: not any(is_read(one) for one in connections))
    return providers, connections


@pytest.mark.rule("TR50", "LM21", "TR27", "HP24")
async def test_who_is_not_read_is_neither_silent_nor_late() -> None:
    """Who is gone is found all the same; who is sent away reads why; and what waited with its peer is taken in the end."""
    limits = Limits(arrival_seconds=200 * MS, arrival_bytes=100 * MB)
    async with live_server(ServerOptions(limits=limits), picows=True, times=OFTEN) as server:
        services = services_of(server)
        (ana, ben, eve), (waits, refused, lost) = await paused(server, "ana", "ben", "eve")
        assert services.incoming.bytes < 3 * (LONG_BYTES + 500_000)
        eve.socket.drop()
        await until(lambda: wire_of(lost)._lost)
        refused.close(CloseCode.SERVICE_RESTART, "the server is restarting")
        assert (await ended(ben.socket)).code == CloseCode.SERVICE_RESTART
        await asyncio.sleep(600 * MS)
        assert services.connections == {waits, lost}
        waits.lane.release()
        lost.lane.release()
        for _ in range(4):
            assert await ana.hear(SyncStatus) == SyncStatus(True)
        assert len(await text_of(f"{server.url}/yjs/doc")) >= 4 * 400_000
        await until(lambda: services.connections == {waits})
        assert services.excess.counts["idle"] == services.excess.counts["arrival_seconds"] == 0
        assert services.incoming.bytes == 0
        ana.socket.drop()


@pytest.mark.rule("LM20", "TR50")
async def test_half_a_message_waits_for_room_that_its_own_socket_makes() -> None:
    """It would be sent away for what it has brought itself, and bring it again. Another one of its user is."""
    async with live_server(ServerOptions(limits=Limits(incoming_bytes=8 * MB)), picows=True) as server:
        services = services_of(server)
        provider, other = await Provider.enter(server.url, token="ana"), await Provider.enter(server.url, token="ben")
        connection = connection_of(services, "ana")
        connection.lane.hold()
        provider.say(update("a" * 900_000))
        large = update("b" * 1_000_000)
        held = services.incoming.share("ana")
        assert held.hold(MB)
        provider.say(large)
        await until(lambda: not is_read(connection))
        assert services.incoming.bytes <= 2 * MB
        second = await WebSocketClient.connect(f"{server.url}/yjs/d?token=ana")
        second.send(bytes(500_000), final=False)
        assert (await ended(second)).code == CloseCode.TOO_FAST
        held.release()
        connection.lane.release()
        for _ in range(2):
            assert await provider.hear(SyncStatus) == SyncStatus(True)
        provider.socket.drop()
        other.socket.drop()
