"""One socket that says much, and the others."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from cowrite.testing.client import PING, PONG, encode_frame
from cowrite.testing.transport_contract.server import join
from cowrite.transports import read_turn
from cowrite.transports.read_turn import ALL_SECONDS, LITTLE_SECONDS, TURN_SECONDS, ReadTurn
from socket_writers import until
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
        await asyncio.sleep(0)
    assert flood.pauses == others.pauses == []
    turn.took(flood, TURN_SECONDS * 0.6)
    turn.took(flood, TURN_SECONDS * 0.6)
    assert len(flood.pauses) == 1
    await flood.read_again.wait()
    assert flood.rests[0] >= 3 * TURN_SECONDS


@pytest.mark.rule("TR45")
async def test_keystrokes_of_many_turns_do_not_add_up() -> None:
    """Between two turns of the loop there is time for all others, however many turns there are."""
    turn, sockets = ReadTurn(), (Socket(), Socket())
    at_once = turn.read_bytes
    for socket in sockets * 100:
        turn.took(socket, LITTLE_SECONDS * 1.5)
        await asyncio.sleep(0)
        assert turn.read_bytes == at_once
    assert sockets[0].pauses == sockets[1].pauses == []


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
    await asyncio.sleep(0)
    turn.took(socket, TURN_SECONDS * 0.9)
    turn.forget(socket)
    turn.took(socket, TURN_SECONDS * 0.9)
    assert socket.pauses == closing.pauses == []
    await asyncio.sleep(0)
    turn.took(socket, TURN_SECONDS)
    socket.closing = True
    await asyncio.sleep(20 * MS)
    assert len(socket.pauses) == 1
    assert socket.rests == []


@pytest.mark.rule("TR50", "TR45")
async def test_who_is_stopped_is_passed_over() -> None:
    """Until it may go on: then in its turn, if it rests."""
    turn, socket, resting, closing = ReadTurn(), Socket(), Socket(), Socket(closing=True)
    for one in (socket, resting, closing):
        turn.stop(one)
        turn.took(one, 2 * TURN_SECONDS)
    assert closing.pauses == []
    turn.go_on(resting)
    assert resting.rests == []
    await resting.read_again.wait()
    await asyncio.sleep(20 * MS)
    assert socket.rests == []
    for one in (socket, resting, closing):
        turn.go_on(one)
    assert [len(one.rests) for one in (socket, resting, closing)] == [1, 1, 0]
    turn.stop(socket)
    turn.forget(socket)
    turn.go_on(socket)
    assert len(socket.rests) == 1


@pytest.mark.rule("TR47")
async def test_what_all_take_in_one_turn_of_the_loop_is_bounded() -> None:
    """Beyond it those are set aside that took more than a little, and whoever was before; the next turn begins anew."""
    turn, before, quiet = ReadTurn(), Socket(), Socket()
    turn.took(before, 2 * TURN_SECONDS)
    await before.read_again.wait()
    sockets = [Socket() for _ in range(40)]
    for socket in sockets:
        turn.took(socket, TURN_SECONDS * 0.6)
    turn.took(quiet, LITTLE_SECONDS)
    held = [bool(socket.pauses) for socket in sockets]
    assert held == sorted(held)
    assert held.count(False) == pytest.approx(ALL_SECONDS / (TURN_SECONDS * 0.6), abs=2)
    assert (len(before.pauses), quiet.pauses) == (2, [])
    few = turn.read_bytes
    await asyncio.sleep(0)
    assert few < turn.read_bytes
    turn.took(sockets[0], TURN_SECONDS * 0.6)
    assert sockets[0].pauses == []
    await until(lambda: all(len(socket.rests) == len(socket.pauses) for socket in (before, *sockets)))


@pytest.mark.rule("TR47")
async def test_those_set_aside_go_on_one_by_one() -> None:
    """Who has taken least is first; what is gone is passed over. Together they have half of the time."""
    turn, order = ReadTurn(), list[str]()

    class Named(Socket):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def resume_reading(self) -> None:
            super().resume_reading()
            order.append(self.name)

    first, busy, modest, gone, closing = (Named(name) for name in ("first", "busy", "modest", "gone", "closing"))
    turn.took(first, 4 * TURN_SECONDS)  # while it is read the others join the line
    for _ in range(3):
        turn.took(busy, 4 * TURN_SECONDS)  # the second and third time it was on its way already
    for socket in (gone, closing, modest):
        turn.took(socket, 4 * TURN_SECONDS)
    turn.forget(gone)
    closing.closing = True
    async with asyncio.timeout(5):
        await modest.read_again.wait()
        began = time.monotonic()
        await busy.read_again.wait()
    assert order == ["first", "modest", "busy"]
    assert time.monotonic() - began >= 4 * TURN_SECONDS


@pytest.mark.rule("TR47")
async def test_what_a_socket_has_taken_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it after some time, and in the end that it was ever set aside."""
    monkeypatch.setattr(read_turn, "FORGET_SECONDS", 0.01)
    turn, socket = ReadTurn(), Socket()
    turn.took(socket, 4 * TURN_SECONDS)
    async with asyncio.timeout(5):
        await socket.read_again.wait()
    await until(lambda: not turn._aside and turn._halving is None)


@pytest.mark.rule("TR47")
async def test_many_floods_leave_the_loop_to_others(stack: AsyncExitStack) -> None:
    """Forty sockets send pings as fast as they are read. Somebody else's message is not kept waiting by all of them."""
    server = await serve(stack)
    floods = [await join(f"{server.url}/yjs/doc") for _ in range(40)]
    other = await join(f"{server.url}/yjs/doc")
    for flood in floods:
        flood.send_raw(encode_frame(b"", kind=PING) * 20_000)
    reading = []
    for number in range(20):
        other.send(b"%d" % number, kind=PING)
        async with asyncio.timeout(5000 * MS):
            while (await other.receive_frame()).payload != b"%d" % number:
                pass
        reading.append(sum(one._socket.is_reading() for one in protocols(server)))
    for flood in (*floods, other):
        flood.drop()
    assert min(reading) < 20


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
