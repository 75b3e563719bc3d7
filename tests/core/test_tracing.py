"""What core tells whoever traces: of each edit, and of each transaction, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from core.rooms.large_updates_tools import embeds
from cowrite.brokers.local import LocalBroker
from cowrite.core.delivery.edit_spans import EditSpans
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.limits import Limits
from cowrite.core.operations.submissions import Submission, SubmittedDraft, digest_of
from cowrite.core.ports import Access, Grant, StoreRefused, StoreUnavailable
from cowrite.core.sessions.session import Session
from cowrite.crdt.operations import OperationDraft
from cowrite.protocol import yjs
from cowrite.protocol.messages import Update
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.records import new_id
from cowrite.testing.yjs_writer import block, embed, text, write_update
from cowrite.tracing.spans import Spans
from traced_spans import Traced, attributes_of, failed, is_part_of, linked, traced
from traced_spans import context_of as ids


@pytest.fixture
def spans() -> Iterator[Traced]:
    with traced() as made:
        yield made


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


def process(database: MemoryDatabase, spans: Traced, limits: Limits | None = None) -> Process:
    return Process(memory_storage(database), LocalBroker(), limits=limits, tracing=Spans(spans.provider))


@pytest.fixture
async def server(database: MemoryDatabase, spans: Traced) -> AsyncIterator[Process]:
    async with process(database, spans) as started:
        yield started


def submission(content: str) -> Submission:
    session = Session(new_id(), "doc", Access("thin", Grant.WRITE), 0)
    draft = OperationDraft.from_json({"type": "insert", "position": ["body", 0], "content": content, "attributes": {}})
    return Submission(session, [SubmittedDraft(new_id(), draft, True, digest_of(draft))], 0, "", len(content))


async def type_by(connection: Connection, content: str) -> None:
    connection.client.text += content
    await asyncio.sleep(0)


@pytest.mark.rule("OT2", "OT3")
async def test_edits_and_the_commit_that_holds_them(server: Process, database: MemoryDatabase, spans: Traced) -> None:
    """A commit is a part of the first edit in it, and linked to all of them. Who only looks has no span."""
    ana, ben = await server.join(user="ana"), await server.join(user="ben")
    await quiet(server)
    opening = spans.one("open")
    assert attributes_of(opening) == {"cowrite.document.id": "doc"}
    assert spans.all() == [opening]
    commit = database.hold_next("commit")
    await type_by(ana, "first")
    await quiet(server)
    ben.send(yjs.encode(Update(b"\x00\x00")))
    await type_by(ana, "more")
    await type_by(ben, "and more")
    thin = submission("thin")
    server.room().submit(thin)
    await quiet(server)
    assert not spans.all("edit")
    commit.release()
    await quiet(server)
    assert spans.edits() == [("yjs", 1), ("yjs", 2), ("yjs", 3), ("json", thin.answer.result().offset)]
    alone, *together = spans.all("edit")
    one, three = spans.all("commit")
    assert is_part_of(one, alone)
    assert linked(one) == {ids(alone).span_id}
    assert is_part_of(three, together[0])
    assert linked(three) == {ids(edit).span_id for edit in together}
    told = attributes_of(three)
    assert (told["messaging.batch.message_count"], told["cowrite.documents"], told["cowrite.entries"]) == (3, 1, 3)
    first = attributes_of(alone)
    assert first["session.id"] == ana.peer.session.id
    assert first["cowrite.document.id"] == "doc"
    server.room().look_under_lock()
    await quiet(server)
    assert len(spans.all("commit")) == 2, "what nobody has edited is not traced"


@pytest.mark.rule("OT2")
def test_the_first_end_counts(spans: Traced) -> None:
    session = Session(new_id(), "doc", Access("ana", Grant.WRITE), 0)
    of_peer = EditSpans(Spans(spans.provider), session, "yjs")
    of_peer.begin(0)
    of_peer.refused(0, "quarantined")
    of_peer.refused(0, "connection_lost")
    of_peer.durable(0, 1)
    assert spans.edits() == [("yjs", "quarantined")]


@pytest.mark.rule("OT2")
async def test_what_becomes_of_edits_that_are_not_kept(server: Process, database: MemoryDatabase, spans: Traced) -> None:
    """A code each, and none is left without an end."""
    reader, ana = await server.join(user="reader", grant=Grant.READ), await server.join(user="ana")
    await quiet(server)
    reader.send(yjs.encode(Update(write_update([block(5, 0, text("no", root="body"))]))))
    assert spans.edits() == [("yjs", "refused")]
    ana.send(yjs.encode(Update(b"\x01\x01\xff")))
    assert ana.closed is not None
    assert spans.edits()[1:] == [("yjs", "hostile_update")]
    eve = await server.join(user="eve")
    await quiet(server)
    database.fail_next("append", StoreUnavailable("away"), times=1)
    eve.send(yjs.encode(Update(write_update([block(7, 0, text("kept", root="body"))]))))
    eve.send(yjs.encode(Update(write_update([block(8, 0, embed(1, origin=(99, 3)))]))))
    await quiet(server)
    eve.lose()
    assert spans.edits()[2:] == [("yjs", "connection_lost")], "it was held; the other one is on its way to the disk"
    for _ in range(30):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)
    assert spans.edits()[3:] == [("yjs", 1)]
    assert [failed(one) for one in spans.all("commit")] == ["StoreUnavailable", None]
    assert [failed(one) for one in spans.all("edit")] == ["refused", "hostile_update", "connection_lost", None]


@pytest.mark.rule("OT2")
async def test_what_is_put_into_quarantine(server: Process, database: MemoryDatabase, spans: Traced) -> None:
    ana = await server.join(user="ana")
    await quiet(server)
    database.fail_next("append", StoreRefused("too long"), times=2)
    await type_by(ana, "x")
    for _ in range(30):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)
    assert len(database.quarantined()) == 1
    assert spans.edits() == [("yjs", "quarantined")]


@pytest.mark.rule("OT2")
async def test_operations_that_are_refused(server: Process, database: MemoryDatabase, spans: Traced) -> None:
    await server.join(user="ana")
    await quiet(server)
    database.fail_next("begin", StoreUnavailable("away"), times=3)
    room, given_up, refused = server.room(), submission("a"), submission("b")
    room.submit(given_up)
    given_up.answer.cancel()
    await quiet(server)
    room.submit(refused)
    room.fail("the disk is gone")
    await quiet(server)
    assert spans.edits() == [("json", "withdrawn"), ("json", "unavailable")]


@pytest.mark.rule("OT4")
async def test_large_edits_and_the_process_that_looks_at_them(database: MemoryDatabase, spans: Traced) -> None:
    limits = replace(Limits(), import_cpu_seconds=30)
    async with process(database, spans, limits) as server:
        eve = await server.join(user="eve")
        await quiet(server)
        large = server.room().large
        await large.bring(eve.peer, embeds(SLICE_PARTS + 1))
        await quiet(server)
        [edit] = spans.all("edit")
        importing = spans.one("import")
        assert is_part_of(importing, edit)
        assert attributes_of(importing)["messaging.message.body.size"] == len(embeds(SLICE_PARTS + 1))
        assert failed(edit) is None
        slices = spans.all("commit")
        assert slices
        assert all(linked(one) == {ids(edit).span_id} for one in slices)


@pytest.mark.rule("OT5")
async def test_with_a_sampler_that_takes_nothing(database: MemoryDatabase) -> None:
    """Neither an edit nor its commit is recorded, and nothing is linked."""
    with traced(ALWAYS_OFF) as spans:
        async with process(database, spans) as server:
            ana = await server.join(user="ana")
            await quiet(server)
            await type_by(ana, "x")
            await quiet(server)
            assert ana.client.saved
        assert not spans.all()
