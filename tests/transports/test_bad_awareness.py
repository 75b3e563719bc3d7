"""Awareness that no client would send: refused for its sender alone, with a code, and one line in the log."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker
from cowrite.core.presence.awareness import MAX_CLOCK
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process
from cowrite.testing.wire import FakeWire
from cowrite.transports.upgrade import Accepted
from cowrite.transports.yjs import YjsConnection
from transports.hocuspocus_desk import CARET, Desk, until

BAD = {
    "not JSON": AwarenessUpdate((AwarenessEntry(8, 1, "{]"),)),
    "1 MB": AwarenessUpdate((AwarenessEntry(8, 1, '"' + "x" * (1 << 20) + '"'),)),
    "17 KB": AwarenessUpdate((AwarenessEntry(8, 1, '"' + "x" * (17 << 10) + '"'),)),
    "10 000 ids": AwarenessUpdate(tuple(AwarenessEntry(number, 1, "{}") for number in range(10_000))),
}
FORGED = AwarenessUpdate((AwarenessEntry(8, MAX_CLOCK + 1, "{}"), AwarenessEntry(7, 2**52, None)))


async def yjs_connection(desk: Desk) -> tuple[FakeWire, YjsConnection]:
    wire = FakeWire()
    connection = YjsConnection(wire, Accepted("doc", "eve", None), desk.services)
    connection.opened()
    await until(lambda: wire.received)
    return wire, connection


@pytest.mark.rule("AW3")
@pytest.mark.rule("AW22")
@pytest.mark.parametrize("kind", BAD)
async def test_bad_awareness_ends_its_sender_alone(kind: str) -> None:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        desk = Desk(process, database)
        ana, eve = await desk.enter(), await desk.enter(token="eve")
        wire, connection = await yjs_connection(desk)
        ana.say(CARET)
        with capture_logs() as lines:
            for _ in range(3):
                eve.say(BAD[kind])
                connection.receive(yjs.encode(BAD[kind]))
            await desk.settle()
            await asyncio.sleep(0)
        assert wire.closed is not None
        assert wire.closed[0] in (CloseCode.MALFORMED_FRAME, CloseCode.MESSAGE_TOO_LARGE)
        assert ana.code is None
        assert process.room().awareness.entries() == list(CARET.entries)
        assert len([line for line in lines if "closed" in line["event"]]) == 2, lines


@pytest.mark.rule("AW15")
async def test_forged_clocks_are_skipped() -> None:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        desk = Desk(process, database)
        ana, eve = await desk.enter(), await desk.enter(token="eve")
        ana.say(CARET)
        eve.say(FORGED)
        await desk.settle()
        assert eve.code is None
        assert process.room().awareness.entries() == list(CARET.entries)
        assert process.room().awareness.skipped == 2
