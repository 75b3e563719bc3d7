"""How long one peer's large things keep the event loop from everybody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cowrite.brokers.local import LocalBroker
from cowrite.core.clock import SystemClock
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import SyncStep1, SyncStep2, Update
from cowrite.stores.memory import memory_storage
from cowrite.stores.opening import open_store
from cowrite.testing.process import Process
from cowrite.testing.transport_contract.server import everybody_writes
from cowrite.testing.wire import FakeWire
from cowrite.testing.yjs_writer import block, embed, gc, shared_type, text, write_update
from cowrite.transports.upgrade import Accepted
from cowrite.transports.yjs import YjsConnection
from timing import MS
from transports.process_services import services_of

STRUCTS = 60_000
LONGEST = 200 * MS
"""CPU time of the loop between two of its turns. It is below 50 ms; asyncio's debug mode and garbage collection come on top."""


class Meter:
    """The CPU time that the loop's thread uses between its turns: that does not grow with what else the machine does."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            began = time.thread_time()
            # Not 0: a loop that never rests keeps the writing thread from the interpreter, for minutes on a busy machine.
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.thread_time() - began)


@asynccontextmanager
async def measured() -> AsyncIterator[Meter]:
    meter = Meter()
    task = asyncio.create_task(meter.run())
    try:
        yield meter
    finally:
        task.cancel()
        await asyncio.wait([task])


async def join(process: Process) -> tuple[YjsConnection, FakeWire]:
    wire = FakeWire()
    connection = YjsConnection(wire, Accepted("doc", "ana", None), services_of(process, everybody_writes))
    wire.drained = connection.drained
    connection.opened()
    await until(lambda: wire.received)
    connection.receive(yjs.encode(SyncStep1(b"\0")))
    return connection, wire


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - only the event loop has to turn
        await asyncio.sleep(0.01)


@pytest.mark.rule("RO23")
@pytest.mark.rule("JO40")
@pytest.mark.rule("RE20")
@pytest.mark.rule("RE40")
@pytest.mark.timeout(240)
async def test_nobody_waits_for_a_large_document(tmp_path: Path) -> None:
    """A SyncStep2 with 60 000 structs is taken and stored, and the document opened again and written in."""
    first = embed(1, root="t")
    update = write_update([block(1, 0, first, *[embed(1, origin=(1, clock)) for clock in range(STRUCTS - 1)])])
    storage = await open_store(f"sqlite:///{tmp_path}/cowrite.db")
    try:
        async with Process(storage, LocalBroker(), clock=SystemClock()) as process:
            eve, _ = await join(process)
            ana, shown = await join(process)
            async with measured() as taking:
                eve.receive(yjs.encode(SyncStep2(update)))
                await until(lambda: process.backlog.updates)
                ana.receive(yjs.encode(Update(write_update([block(2, 0, text("meanwhile", root="u"))]))))
                room = process.room()
                live = room.replicas.live
                assert live is not None
                assert live.state[2] == len("meanwhile")
                assert live.state[1] < STRUCTS
                known = live.state
                await until(lambda: known[1] == STRUCTS and not process.backlog.updates)
            assert shown.closed is None
        async with Process(storage, LocalBroker(), clock=SystemClock()) as process, measured() as opening:
            ana, _ = await join(process)
            ana.receive(yjs.encode(Update(write_update([block(3, 0, shared_type("array", root="v"))]))))
            live = process.room().replicas.live
            assert live is not None
            known = live.state
            await until(lambda: known.get(3))  # it waits until the engine has the document
            assert known == {1: STRUCTS, 2: len("meanwhile"), 3: 1}
    finally:
        await storage.close()
    assert taking.longest < LONGEST
    assert opening.longest < LONGEST


@pytest.mark.rule("IM1", "IM2", "HB2")
async def test_nobody_waits_while_20_megabytes_are_looked_at() -> None:
    """Hostile at their end; and what came behind them, of the same client, is not taken."""
    update = write_update([block(1, 0, text("x" * 20_000_000, root="t"), *[gc(1)] * 100_000)]) + b"\0"
    async with Process(memory_storage(), LocalBroker(), clock=SystemClock()) as process:
        eve, shown = await join(process)
        ana, kept = await join(process)
        async with measured() as meter:
            eve.receive(yjs.encode(SyncStep2(update)))
            eve.receive(yjs.encode(Update(write_update([block(3, 0, text("behind", root="u"))]))))
            ana.receive(yjs.encode(Update(write_update([block(2, 0, text("meanwhile", root="u"))]))))
            await until(lambda: shown.closed)
        assert shown.closed is not None
        assert shown.closed[0] == CloseCode.HOSTILE_UPDATE
        assert kept.closed is None
        live = process.room().replicas.live
        assert live is not None
        assert live.state == {2: len("meanwhile")}
    assert meter.longest < LONGEST


@pytest.mark.rule("IM1")
async def test_what_comes_back_from_the_process_is_taken() -> None:
    update = write_update([block(1, 0, text("x" * 2_000_000, root="t"))])
    async with Process(memory_storage(), LocalBroker(), clock=SystemClock()) as process:
        eve, shown = await join(process)
        eve.receive(yjs.encode(SyncStep2(update)))
        eve.receive(yjs.encode(Update(write_update([block(1, 2_000_000, text("behind", origin=(1, 1_999_999)))]))))
        live = process.room().replicas.live
        assert live is not None
        known = live.state
        await until(lambda: known.get(1) == 2_000_000 + len("behind"))
        assert shown.closed is None
