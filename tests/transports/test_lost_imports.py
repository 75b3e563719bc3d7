"""Sockets that break, or say goodbye, while something very large of theirs is looked at."""

from __future__ import annotations

import pytest

from core.rooms.large_updates_tools import LONG, embeds, is_gone, looking
from cowrite.core.limits import Limits
from cowrite.core.rooms.room import Room
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import SyncStep2, Update
from cowrite.testing.client import CLOSE
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.provider import Provider
from cowrite.testing.transport_contract.server import join
from cowrite.transports.services import SocketTimes
from live_server import LiveServer, live_server
from socket_writers import until
from timing import MS

LIMITS = Limits(import_bytes=20_000)
COUNT, PART = 5000, 900_000


def room_of(server: LiveServer) -> Room:
    services = server.runtime.serving()
    assert services is not None
    room = services.registry.get("doc")
    assert room is not None
    return room


def state_of(room: Room, client: int) -> int:
    assert room.replicas.live is not None
    return room.replicas.live.state.get(client, 0)


async def looked_at(room: Room) -> int:
    """Wait until a process looks at something; returns its id."""

    def found() -> list[int]:
        return [process for peer in room.peers if (process := looking(room.large, peer)) is not None]

    await until(lambda: bool(found()))
    return found()[0]


@pytest.mark.rule("IM4")
async def test_what_a_lost_socket_has_brought_is_looked_at_no_longer() -> None:
    """Nor waited for: who comes back sends it again, and finds the place free, and so do others."""
    async with live_server(ServerOptions(limits=LIMITS), picows=True) as server:
        services = server.runtime.serving()
        assert services is not None
        eve, ana = await join(f"{server.url}/yjs/doc?token=eve"), await Provider.enter(server.url, token="ana")
        room = room_of(server)
        eve.send(yjs.encode(SyncStep2(LONG)))
        process = await looked_at(room)
        ana.say(SyncStep2(LONG))
        await until(lambda: len(room.large._places) == 2)
        assert services.incoming.bytes == 2 * len(LONG)
        ana.socket.drop()
        await until(lambda: services.incoming.bytes == len(LONG))
        assert len(room.large._places) == 1
        assert not is_gone(process)
        eve.drop()
        await until(lambda: is_gone(process))
        await until(lambda: services.incoming.bytes == 0)
        eve = await join(f"{server.url}/yjs/doc?token=eve")
        eve.send(yjs.encode(SyncStep2(embeds(COUNT))))
        await until(lambda: state_of(room, 1) == COUNT)
        await eve.close()


@pytest.mark.rule("IM4")
async def test_who_says_goodbye_has_brought_what_it_has_sent() -> None:
    """Nobody could send it again."""
    async with live_server(ServerOptions(limits=LIMITS), picows=True) as server:
        eve = await join(f"{server.url}/yjs/doc?token=eve")
        ana = await Provider.enter(server.url, token="ana")
        room = room_of(server)
        eve.send(yjs.encode(SyncStep2(embeds(COUNT, client=1))))
        eve.send(b"", kind=CLOSE)
        ana.say(SyncStep2(embeds(COUNT, client=2)))
        ana.socket.send(b"", kind=CLOSE)
        await until(lambda: state_of(room, 1) == state_of(room, 2) == COUNT)
        for socket in (eve, ana.socket):
            socket.drop()


@pytest.mark.rule("LM20")
async def test_what_waited_behind_an_import_is_forgotten_with_its_socket() -> None:
    """However the socket ends: nothing of it is counted when the process that has held its lane has ended. Of one that is not
    read, because much waits behind it, a ping finds the end.
    """
    async with live_server(ServerOptions(limits=LIMITS), picows=True, times=SocketTimes(pong_within=100 * MS)) as server:
        services = server.runtime.serving()
        assert services is not None
        eve, ana = await join(f"{server.url}/yjs/doc?token=eve"), await Provider.enter(server.url, token="ana")
        room = room_of(server)
        eve.send(yjs.encode(SyncStep2(LONG)))
        await looked_at(room)
        ana.say(SyncStep2(LONG))
        for _ in range(3):
            eve.send(yjs.encode(Update(bytes(PART))))
            ana.say(Update(bytes(PART)))
        await until(lambda: services.incoming.bytes > 2 * len(LONG) + 4 * PART)
        assert services.incoming.bytes < 2 * len(LONG) + 5 * PART
        eve.drop()
        for connection in list(services.connections):
            if connection.user == "ana":
                connection.close(CloseCode.TOO_FAST, "it was enough")
        await until(lambda: not (room.large._places or services.connections))
        await until(lambda: services.incoming.bytes == 0)
        ana.socket.drop()
