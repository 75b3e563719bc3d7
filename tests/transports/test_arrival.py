"""Messages that come in parts: what is too long in coming, and what all that have begun may hold, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import psutil
import pytest

from cowrite.core.limits import Limits
from cowrite.protocol.close_codes import CloseCode
from cowrite.testing.client import BINARY, CONTINUATION, PONG, ConnectionEnded, WebSocketClient, encode_frame
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.server import edit, ended, join
from cowrite.transports.services import Services, SocketTimes
from live_server import LiveServer, live_server
from socket_writers import until
from timing import MS

MB = 1 << 20
SLOW = Limits(arrival_seconds=400 * MS, arrival_bytes=1000)
OFTEN = SocketTimes(ping_after=100 * MS, pong_within=200 * MS)


def services_of(server: LiveServer) -> Services:
    services = server.runtime.serving()
    assert services is not None
    return services


def state_of(services: Services) -> Mapping[int, int]:
    room = services.registry.get("d")
    assert room is not None
    assert room.replicas.live is not None
    return room.replicas.live.state


async def drip(client: WebSocketClient, data: bytes, *, step: int, pause: float) -> None:
    for at in range(0, len(data), step):
        client.send_raw(data[at : at + step])
        await asyncio.sleep(pause)


async def goes_on(client: WebSocketClient) -> None:
    """Answer pings, and never finish the message."""
    client.send(b"\0", kind=BINARY, final=False)
    while True:
        frame = await client.receive_frame()
        client.send(frame.payload, kind=PONG)
        client.send(b"", kind=CONTINUATION, final=False)


@pytest.mark.rule("LM21", "LM3")
async def test_messages_that_never_end() -> None:
    """A frame that comes byte by byte; one of which the rest does not come; and a message whose parts have no last one."""
    async with live_server(ServerOptions(limits=SLOW), picows=True, times=OFTEN) as server:
        clients = [await join(f"{server.url}/yjs/d?token=user{number}") for number in range(3)]
        frame = encode_frame(bytes(60_000))
        dripping = [
            asyncio.create_task(drip(clients[0], frame, step=1, pause=50 * MS)),
            asyncio.create_task(drip(clients[1], frame[:200], step=200, pause=0)),
            asyncio.create_task(goes_on(clients[2])),
        ]
        try:
            for client in clients[:2]:
                assert (await ended(client)).code == CloseCode.IDLE
            with pytest.raises(ConnectionEnded) as caught:
                await dripping[2]
            assert caught.value.code == CloseCode.IDLE
            assert "a message has not come to its end" in caught.value.reason
        finally:
            for task in dripping:
                task.cancel()
        counts = services_of(server).excess.counts
        assert counts["idle"] == 3
        assert counts["arrival_seconds"] >= 2, "the second one may have been silent before it was late"


@pytest.mark.rule("LM21")
async def test_messages_that_come_slowly_and_do_end() -> None:
    """What has come of a message gives it more time; and another one has its own, without a pause between them."""
    async with live_server(ServerOptions(limits=replace(SLOW, arrival_bytes=round(8000 / (1000 * MS)))), picows=True) as server:
        client = await join(f"{server.url}/yjs/d?token=ana")
        (first, _), (second, _) = edit("a" * 20_000), edit("b" * 300)
        slow = encode_frame(first)
        await drip(client, slow, step=len(slow) // 20, pause=50 * MS)  # a second for 20 KB
        frames = b"".join(encode_frame(second) for _ in range(20))
        await drip(client, frames, step=len(frames) // 20 + 1, pause=50 * MS)
        await until(lambda: sum(state_of(services_of(server)).values()) == 20_300)
        assert services_of(server).excess.counts["arrival_seconds"] == 0
        assert services_of(server).incoming.bytes == 0
        await client.close()


@pytest.mark.rule("LM20", "LM3")
async def test_many_sockets_with_half_a_message_each() -> None:
    """One user's take a quarter, and others' go on; beyond the limit they are sent away before more of them is kept."""
    limits = Limits(incoming_bytes=32 * MB)
    async with live_server(ServerOptions(limits=limits), picows=True) as server:
        services = services_of(server)
        half = encode_frame(bytes(30 * MB))[: 2 * MB]
        eves = [await join(f"{server.url}/yjs/d?token=eve") for _ in range(20)]
        before = psutil.Process().memory_info().rss
        for eve in eves:
            eve.send_raw(half)
        over = [asyncio.create_task(ended(eve)) for eve in eves]
        await until(lambda: sum(end.done() for end in over) >= 16 and services.incoming.bytes >= 6 * MB)
        assert {end.result().code for end in over if end.done()} == {CloseCode.TOO_FAST}
        assert services.incoming.bytes <= 8 * MB
        assert services.excess.counts["incoming_bytes"] == sum(end.done() for end in over)
        assert psutil.Process().memory_info().rss - before < 60 * MB
        ana = await join(f"{server.url}/yjs/d?token=ana")
        ana.send(edit("x" * 500_000)[0])
        await until(lambda: sum(state_of(services).values()) == 500_000)
        for end in over:
            end.cancel()
        for client in (*eves, ana):
            client.drop()
        await until(lambda: not services.connections)
        assert services.incoming.bytes == 0


@pytest.mark.rule("LM20")
async def test_parts_of_a_message_count_together() -> None:
    async with live_server(ServerOptions(limits=Limits(incoming_bytes=4 * MB)), picows=True) as server:
        services = services_of(server)
        first, second = [await join(f"{server.url}/yjs/d?token=eve") for _ in range(2)]
        first.send(bytes(600_000), final=False)
        await until(lambda: services.incoming.bytes == 600_000)
        second.send(bytes(300_000), final=False)
        await until(lambda: services.incoming.bytes == 900_000)
        second.send(bytes(300_000), kind=CONTINUATION, final=False)
        assert (await ended(second)).code == CloseCode.TOO_FAST
        first.send(b"", kind=CONTINUATION)
        assert (await ended(first)).code == CloseCode.MALFORMED_FRAME
        await until(lambda: not services.connections)
        assert services.incoming.bytes == 0
