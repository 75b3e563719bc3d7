"""Large updates on their way to a store that is slow or away, and in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from core.rooms.large_updates_tools import STRUCTS, embeds, receive, state, turn
from cowrite.brokers.local import LocalBroker
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.journal.entries import RUN_PARTS
from cowrite.core.limits import Limits
from cowrite.core.rooms.large_updates import is_large
from cowrite.core.rooms.pending import TRANSACTION_PARTS
from cowrite.core.rooms.received import Received
from cowrite.crdt.document import Document
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process, quiet
from cowrite.testing.yjs_writer import block, embed, gc, skip, write_update


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
async def server(database: MemoryDatabase) -> AsyncIterator[Process]:
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield process


# ---- a store that is slow or away --------------------------------------------------------------------------------------------


@pytest.fixture
async def narrow(database: MemoryDatabase) -> AsyncIterator[Process]:
    """Not even two slices may wait at a time, when half of the bytes are left to others."""
    limits = Limits(pending_document_bytes=100_000)
    async with Process(memory_storage(database), LocalBroker(), limits=limits) as process:
        yield process


@pytest.mark.rule("RO24")
async def test_no_faster_than_the_store(narrow: Process, database: MemoryDatabase) -> None:
    eve, ana = await narrow.join(user="eve"), await narrow.join(user="ana")
    await quiet(narrow)
    hold = database.hold_next("commit")
    work = asyncio.ensure_future(receive(narrow, eve, embeds(STRUCTS)))
    await turn(narrow, until=hold.reached.is_set, seconds=0)
    await turn(narrow, until=lambda: narrow.clock.monotonic() > 5)
    assert state(narrow) == SLICE_PARTS
    ana.client.text.insert(0, "half is left to others")
    assert not ana.peer.starved
    hold.release()
    await turn(narrow, until=work.done)
    assert state(narrow) == STRUCTS
    assert not eve.peer.starved


@pytest.mark.rule("RO24")
async def test_a_store_that_stays_away(narrow: Process, database: MemoryDatabase) -> None:
    """After 10 s the rest is refused, and the peer is asked for it once the store writes again."""
    eve = await narrow.join(user="eve")
    await quiet(narrow)
    known = eve.peer.acknowledgements.count
    database.unavailable = True
    update = write_update([block(1, 0, embed("x" * 60, root="t"), *[embed("x" * 60, origin=(1, n)) for n in range(STRUCTS)])])
    work = asyncio.ensure_future(receive(narrow, eve, update))
    await turn(narrow, until=work.done)
    assert 10 <= narrow.clock.monotonic() < 15
    assert eve.peer.starved
    assert state(narrow) == SLICE_PARTS
    eve.client.disconnect()
    database.unavailable = False
    await turn(narrow, until=lambda: not eve.peer.starved)
    assert eve.peer.acknowledgements.count == known


# ---- in the journal ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("JO40")
@pytest.mark.large
async def test_entries_and_transactions_are_of_limited_size(server: Process, database: MemoryDatabase) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    begin = database.hold_next("begin")
    structs = TRANSACTION_PARTS + 2 * RUN_PARTS
    await receive(server, eve, embeds(structs))
    await turn(server, until=begin.reached.is_set)
    begin.release()
    await turn(server, until=lambda: not server.room().pending)
    entries = await MemoryStore(database).entries("doc", start=1, limit=100)
    assert [one.ranges[0].end - one.ranges[0].start for one in entries] == [RUN_PARTS] * (structs // RUN_PARTS)
    groups = list(dict.fromkeys(one.group for one in entries))
    assert max(sum(one.group == group for one in entries) for group in groups) == TRANSACTION_PARTS // RUN_PARTS


@pytest.mark.rule("JO40")
async def test_the_loop_turns_between_entries(
    server: Process, database: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve, ana = await server.join(user="eve"), await server.join(user="ana")
    await quiet(server)
    assert isinstance(server.clock, ManualClock)
    ticks: Iterator[float] = iter(n * 0.011 for n in range(10**6))
    monkeypatch.setattr(server.clock, "monotonic", lambda: next(ticks))
    begin = database.hold_next("begin")
    await receive(server, eve, embeds(STRUCTS))
    await turn(server, until=begin.reached.is_set)
    states: list[int] = []
    derive = server.room().replicas.derive

    def watch(run: list[Received]) -> object:
        if len(states) < 3:
            ana.client.text.insert(0, "x")
        states.append(state(server, ana.client.doc.client_id))
        return derive(run)

    monkeypatch.setattr(server.room().replicas, "derive", watch)
    turns: list[int] = []

    async def count() -> None:
        while True:
            turns.append(len(states))
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    begin.release()
    await turn(server, until=lambda: not server.room().pending)
    counting.cancel()
    with suppress(asyncio.CancelledError):
        await counting
    assert {1, 2, 3} <= set(turns)
    await quiet(server)
    assert str(ana.client.text).startswith("xxx")
    log, live = server.room().replicas.log, server.room().replicas.live
    assert log is not None
    assert live is not None
    assert log.encode() == Document.from_state(live.encode()).encode()


def test_collected_structs_are_cut_too() -> None:
    outline = inspect(write_update([block(1, 0, *[gc(1), skip(1)] * SLICE_PARTS, gc(1))]), SYNC_LIMITS)
    assert is_large(outline)
