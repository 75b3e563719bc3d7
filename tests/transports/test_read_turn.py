"""One socket that says much, and the others."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from cowrite.testing.client import PING, PONG, encode_frame
from cowrite.testing.transport_contract.server import join
from cowrite.transports.read_turn import TURN_SECONDS, ReadTurn
from timing import MS
from transports.own_server import protocols, serve


class Socket(asyncio.Transport):
    """Notes when it is read and when it is not."""

    def __init__(self, *, closing: bool = False) -> None:
        super().__init__()
        self.closing = closing
        self.pauses: list[float] = []
        self.rests: list[float] = []
        self.read_again = asyncio.Event()

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.pauses.append(time.monotonic())

    def resume_reading(self) -> None:
        self.rests.append(time.monotonic() - self.pauses[-1])
        self.read_again.set()


@pytest.mark.rule("TR45")
async def test_whoever_says_much_at_once_rests() -> None:
    """After a millisecond, for three times as long as it took; who says little between others does not."""
    turn, flood, others = ReadTurn(), Socket(), Socket()
    for _ in range(100):
        turn.took(flood, TURN_SECONDS * 0.6)
        turn.took(others, TURN_SECONDS * 0.6)
    assert flood.pauses == others.pauses == []
    turn.took(flood, TURN_SECONDS * 0.6)
    turn.took(flood, TURN_SECONDS * 0.6)
    assert len(flood.pauses) == 1
    await flood.read_again.wait()
    assert flood.rests[0] >= 3 * TURN_SECONDS


@pytest.mark.rule("TR45")
async def test_a_process_that_had_to_wait_makes_nobody_deaf() -> None:
    """A second on the clock is a rest of 10 ms."""
    turn, socket = ReadTurn(), Socket()
    turn.took(socket, 1.0)
    async with asyncio.timeout(1):
        await socket.read_again.wait()


@pytest.mark.rule("TR45")
async def test_a_socket_that_closes_is_left_alone() -> None:
    """Before its rest, and during it; what is gone has no turn."""
    turn, socket, closing = ReadTurn(), Socket(), Socket(closing=True)
    turn.took(closing, 1.0)
    turn.took(socket, TURN_SECONDS * 0.9)
    turn.forget(socket)
    turn.took(socket, TURN_SECONDS * 0.9)
    assert socket.pauses == closing.pauses == []
    turn.took(socket, TURN_SECONDS)
    socket.closing = True
    await asyncio.sleep(20 * MS)
    assert len(socket.pauses) == 1
    assert socket.rests == []


@pytest.mark.rule("TR45", "TR41")
async def test_a_flood_of_pings_waits_in_its_own_socket(stack: AsyncExitStack) -> None:
    """It is not read for moments, most of its pings have no answer, the last one has, and somebody else is served meanwhile."""
    server = await serve(stack)
    flood = await join(f"{server.url}/yjs/doc")
    (protocol,) = protocols(server)
    other = await join(f"{server.url}/yjs/doc")
    count, pauses, answered = 60_000, 0, 0
    flood.send_raw(encode_frame(b"", kind=PING) * count)
    flood.send(b"the last", kind=PING)

    async def pongs() -> int:
        found = 0
        while (frame := await flood.receive_frame()).payload != b"the last":
            found += frame.kind == PONG
        return found

    reading = asyncio.create_task(pongs())
    while not reading.done():
        pauses += not protocol._socket.is_reading()
        other.send(b"%d" % answered, kind=PING)
        while (await other.receive_frame()).payload != b"%d" % answered:
            pass
        answered += 1
    assert pauses > 0
    assert answered > 5
    assert await reading < count / 5
    await flood.close()
    await other.close()
