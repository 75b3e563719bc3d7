"""Very large updates, which a process of their own looks at, into real rooms."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from core.rooms.large_updates_tools import LONG, embeds, is_gone, looking, state, turn
from cowrite.brokers.local import LocalBroker
from cowrite.core.errors import PeerError
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.limits import Limits
from cowrite.core.ports import Grant
from cowrite.core.rooms.received import Received
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Update
from cowrite.stores.memory import memory_storage
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.yjs_writer import block, skip, text, write_update

STRUCTS = 2 * SLICE_PARTS


@pytest.fixture
async def server() -> AsyncIterator[Process]:
    limits = replace(Limits(), import_cpu_seconds=30)
    async with Process(memory_storage(), LocalBroker(), limits=limits) as process:
        yield process


def bring(server: Process, peer: Connection, update: bytes) -> asyncio.Task[float]:
    return asyncio.get_running_loop().create_task(server.room().large.bring(peer.peer, update))


@pytest.mark.rule("IM1", "RO23")
async def test_all_of_it_is_taken_and_acknowledged_while_others_type(server: Process) -> None:
    eve, ana = await server.join(user="eve"), await server.join(user="ana")
    await quiet(server)
    known = eve.peer.acknowledgements.count
    task = bring(server, eve, embeds(STRUCTS))
    await asyncio.sleep(0)
    ana.client.text.insert(0, "meanwhile")
    await quiet(server)
    assert not task.done()
    assert ana.client.saved
    assert await task == 0
    await quiet(server)
    assert state(server) == STRUCTS
    assert eve.peer.acknowledgements.count == known + 1
    assert ana.client.state == {1: STRUCTS, ana.client.doc.client_id: len("meanwhile")}


@pytest.mark.rule("IM1")
async def test_what_is_there_already_is_acknowledged(server: Process) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    eve.send(yjs.encode(Update(embeds(3))))
    await quiet(server)
    for update in (embeds(3), write_update([block(5, 0, skip(3))])):
        known = eve.peer.acknowledgements.count
        await bring(server, eve, update)
        await quiet(server)
        assert eve.peer.acknowledgements.count == known + 1


@pytest.mark.rule("IM1")
async def test_what_builds_on_something_unknown_is_taken_in_part_and_not_acknowledged(server: Process) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    known = eve.peer.acknowledgements.count
    await bring(server, eve, write_update([block(1, 0, text("a", root="t")), block(2, 0, text("b", origin=(9, 0)))]))
    await bring(server, eve, write_update([block(2, 0, text("b", origin=(9, 0)))]))
    await quiet(server)
    assert (state(server), state(server, 2)) == (1, 0)
    assert eve.peer.acknowledgements.count == known


@pytest.mark.rule("IM2")
@pytest.mark.parametrize(
    ("update", "code", "fault"),
    [
        (write_update([block(1, 0, text("aX", root="t"))]), CloseCode.CONTRADICTING_CONTENT, None),
        (write_update([block(1, 2, text("c", origin=(1, 1), right=(1, 1)))]), CloseCode.HOSTILE_UPDATE, "neighbours"),
        (write_update([block(1, 1 << 31, text("c", origin=(1, 1)))]), CloseCode.HOSTILE_UPDATE, "clock"),
    ],
    ids=["contradicts", "neighbours", "clock"],
)
async def test_what_is_refused_closes_its_sender(server: Process, update: bytes, code: CloseCode, fault: str | None) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    eve.send(yjs.encode(Update(write_update([block(1, 0, text("ab", root="t"))]))))
    with pytest.raises(PeerError) as caught:
        await bring(server, eve, update)
    assert (caught.value.code, caught.value.fault) == (code, fault)
    assert state(server) == 2


@pytest.mark.rule("IM2")
async def test_what_is_larger_than_a_message_may_be_is_not_looked_at(server: Process) -> None:
    eve = await server.join(user="eve")
    with pytest.raises(PeerError) as caught:
        await bring(server, eve, b"\0" * (server.limits.sync_bytes + 1))
    assert caught.value.code == CloseCode.MESSAGE_TOO_LARGE


@pytest.mark.rule("IM3")
async def test_without_a_process_the_sender_may_come_again(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(PeerError) as caught:
        await bring(server, eve, embeds(3))
    assert caught.value.code == CloseCode.INTERNAL_ERROR
    assert caught.value.code.reconnect


async def looked_at(server: Process, peer: Connection) -> int:
    """Wait until a process looks at something of the peer; returns its id."""
    large = server.room().large
    await turn(server, until=lambda: looking(large, peer.peer))
    found = looking(large, peer.peer)
    assert found is not None
    return found


@pytest.mark.rule("IM4")
async def test_who_leaves_takes_the_process_along(server: Process) -> None:
    """The next one, which has waited for its turn, is looked at."""
    eve, ana, ben = [await server.join(user=user) for user in ("eve", "ana", "ben")]
    await quiet(server)
    large = server.room().large
    assert not large.waits(eve.peer)
    tasks = [bring(server, eve, LONG)]
    pid = await looked_at(server, eve)
    tasks += [bring(server, ana, embeds(3)), bring(server, ben, embeds(3, client=2))]
    await asyncio.sleep(0)
    assert all(large.waits(one.peer) for one in (eve, ana, ben))
    ben.lose()
    eve.lose()
    assert await asyncio.gather(*tasks) == [0, 0, 0]
    assert is_gone(pid)
    assert (state(server), state(server, 2)) == (3, 0)


@pytest.mark.rule("IM4")
async def test_what_has_begun_to_be_taken_does_not_wait_any_more(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport whose socket is lost lets it go on."""
    eve = await server.join(user="eve")
    await quiet(server)
    room, waits = server.room(), list[bool]()
    take = room._intake.take_slice

    def looking_on(received: Received, checked: Mapping[int, int]) -> None:
        waits.append(room.large.waits(eve.peer))
        take(received, checked)

    monkeypatch.setattr(room._intake, "take_slice", looking_on)
    await bring(server, eve, embeds(STRUCTS))
    assert waits == [False] * (STRUCTS // SLICE_PARTS)


@pytest.mark.rule("IM4")
async def test_who_may_not_write_any_more_is_refused(server: Process) -> None:
    eve = await server.join(user="eve", grant=Grant.READ)
    await quiet(server)
    await bring(server, eve, embeds(3))
    assert state(server) == 0


@pytest.mark.rule("IM4")
async def test_the_process_ends_with_the_server(server: Process) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    task = bring(server, eve, LONG)
    pid = await looked_at(server, eve)
    server.room().close_peers(CloseCode.GOING_AWAY, "the server is shutting down")
    assert await task == 0
    assert is_gone(pid)
    again = bring(server, (ana := await server.join(user="ana")), LONG)
    pid = await looked_at(server, ana)
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again
    assert is_gone(pid)
