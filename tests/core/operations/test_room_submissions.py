"""Submitted operations and readers of operations, as the room and its transaction treat them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cowrite.brokers.local import LocalBroker
from cowrite.core.operations.submissions import Submission, SubmissionRefused, SubmittedDraft, digest_of
from cowrite.core.ports import Access, Grant
from cowrite.core.presence.present import PresenceChange
from cowrite.core.rooms.replicas import Committed
from cowrite.core.sessions.session import Session
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.outline import Outline
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import make_change, new_id


def process(database: MemoryDatabase) -> Process:
    return Process(memory_storage(database), LocalBroker())


async def step(server: Process, seconds: float) -> None:
    for _ in range(int(seconds * 10)):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)


def submission(content: str, user: str = "thin") -> Submission:
    """A text at the beginning of ``body``, made for the empty document."""
    session = Session(new_id(), "doc", Access(user, Grant.WRITE), 0)
    draft = OperationDraft.from_json({"type": "insert", "position": ["body", 0], "content": content, "attributes": {}})
    return Submission(session, [SubmittedDraft(new_id(), draft, True, digest_of(draft))], 0, "", len(content))


def refusal(submitted: Submission) -> str | None:
    error = submitted.answer.exception() if submitted.answer.done() else None
    return error.code if isinstance(error, SubmissionRefused) else None


class Listener:
    """A reader that counts what it is told."""

    def __init__(self) -> None:
        self.reads = 0
        self.closed: CloseCode | None = None

    def read(self) -> None:
        self.reads += 1

    def people(self, change: PresenceChange) -> None:
        pass

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed = code


@pytest.mark.rule("JO30")
async def test_submitted_operations_are_shown_once_they_are_committed() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        room, listener = server.room(), Listener()
        room.feed()
        room.enter(listener)
        commit = database.hold_next("commit")
        one, two = submission("one"), submission("two")
        room.submit(one)
        room.submit(two)
        await quiet(server)
        assert commit.reached.is_set()
        assert (str(ana.client.text), listener.reads) == ("", 0)
        waiting = [asyncio.ensure_future(room.committed()) for _ in range(3)]
        await quiet(server)
        waiting[0].cancel()
        commit.release()
        await quiet(server)
        assert sorted([one.answer.result().offset, two.answer.result().offset]) == [1, 2]
        assert str(ana.client.text) in ("onetwo", "twoone")
        assert listener.reads == 1
        found = waiting[1].result()
        assert isinstance(found, Committed)
        assert found.head.offset == 2
        assert waiting[2].result() is found
        again = await room.committed()
        assert again is not None
        assert again.state == found.state


@pytest.mark.rule("RE3")
async def test_a_reader_keeps_the_room() -> None:
    async with process(MemoryDatabase()) as server:
        ana = await server.join(user="ana")
        room, listener = server.room(), Listener()
        room.enter(listener)
        ana.lose(clean=True)
        server.clock.advance(31)  # type: ignore[attr-defined]
        assert len(server.registry) == 1
        ben = await server.join(user="ben")
        room.leave(listener)
        room.leave(listener)
        server.clock.advance(31)  # type: ignore[attr-defined]
        assert len(server.registry) == 1
        ben.lose(clean=True)
        server.clock.advance(31)  # type: ignore[attr-defined]
        assert len(server.registry) == 0
        async with server.registry.open("doc") as room:
            room.enter(listener)
        server.clock.advance(31)  # type: ignore[attr-defined]
        assert len(server.registry) == 1
        room.leave(listener)
        server.clock.advance(31)  # type: ignore[attr-defined]
        assert len(server.registry) == 0


@pytest.mark.rule("JO21", "JO30")
async def test_what_breaks_live_when_it_is_shown_is_committed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Document.apply
    broken: list[Document] = []

    def break_(self: Document, update: bytes, outline: Outline) -> bytes | None:
        if b"frail" in update and not isinstance(self, LogDocument) and not broken:
            broken.append(self)
            self._call(lambda: 1 / 0)
        return apply(self, update, outline)

    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        monkeypatch.setattr(Document, "apply", break_)
        one = submission("frail")
        server.room().submit(one)
        await quiet(server)
        assert one.answer.result().offset == 1
        assert ana.closed is not None
        assert ana.closed[0] == 4505
        again = await server.join(client=ana.client, user="ana")
        await quiet(server)
        assert str(again.client.text) == "frail"


@pytest.mark.rule("JO30")
async def test_operations_that_are_committed_while_live_is_gone_are_in_the_next_one() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        commit = database.hold_next("commit")
        one = submission("thin")
        server.room().submit(one)
        await quiet(server)
        server.room().rebuild(CloseCode.DOCUMENT_REBUILT, "a test")
        commit.release()
        await quiet(server)
        assert one.answer.result().offset == 1
        again = await server.join(client=ana.client, user="ana")
        await quiet(server)
        assert str(again.client.text) == "thin"


@pytest.mark.rule("JO31")
async def test_nothing_is_written_to_a_document_that_was_deleted() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "before ")
        await quiet(server)
        room, listener = server.room(), Listener()
        room.enter(listener)
        begin = database.hold_next("begin")
        ana.client.text.insert(0, "after ")
        one = submission("after, too")
        room.submit(one)
        await quiet(server)
        assert begin.reached.is_set()
        change = make_change(document_id="doc", user_id=None, session_id=None, grant=None, created_at=server.clock.now())
        assert await server.storage.directory.delete("doc", change)
        begin.release()
        await step(server, 1)
        assert refusal(one) == "document_deleted"
        assert ana.closed is not None
        assert ana.closed[0] == CloseCode.DOCUMENT_DELETED
        assert listener.closed is CloseCode.DOCUMENT_DELETED
        assert [kept.author for kept in database.quarantined()] == ["ana"]
        assert server.registry.get("doc") is None
        assert len(await MemoryStore(database).entries("doc", start=1, limit=9)) == 1


@pytest.mark.rule("JO8", "JO30")
async def test_operations_that_the_store_refuses_are_refused_alone() -> None:
    database = MemoryDatabase()
    database.refuse = lambda _, entry: b"poison" in entry.update
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        begin = database.hold_next("begin")
        bad, good = submission("poison"), submission("fine")
        server.room().submit(bad)
        server.room().submit(good)
        ana.client.text.insert(0, "ana's ")
        await quiet(server)
        begin.release()
        await step(server, 2)
        assert refusal(bad) == "not_storable"
        assert good.answer.result().offset > 0
        assert ana.client.saved
        assert ana.closed is None, "nobody has seen it"
        assert not database.quarantined()


@pytest.mark.rule("JO30")
async def test_operations_on_which_the_engine_breaks_are_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = LogDocument.commit

    def break_(self: LogDocument, updates: Sequence[bytes], outlines: Sequence[Outline]) -> object:
        if any(b"poison" in update for update in updates):
            self._call(lambda: 1 / 0)
        return commit(self, updates, outlines)

    monkeypatch.setattr(LogDocument, "commit", break_)
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        begin = database.hold_next("begin")
        good, bad = submission("fine"), submission("poison")
        server.room().submit(good)
        server.room().submit(bad)
        ana.client.text.insert(0, "ana's ")
        await quiet(server)
        begin.release()
        await step(server, 2)
        assert refusal(bad) == "unsupported"
        assert good.answer.result().offset > 0
        assert ana.client.saved
        assert ana.closed is None


@pytest.mark.rule("JO32")
async def test_what_was_shown_by_somebody_whose_grant_is_taken_away_is_not_kept() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        begin = database.hold_next("begin")
        ana.client.text.insert(0, "ana's ")
        ben.client.text.insert(0, "ben's ")
        await quiet(server)
        ana.peer.session.grant = Grant.READ
        begin.release()
        await step(server, 2)
        assert [(kept.author, kept.reason[:9]) for kept in database.quarantined()] == [("ana", "the grant")]
        entries = await MemoryStore(database).entries("doc", start=1, limit=9)
        assert [entry.author for entry in entries] == ["ben"]


@pytest.mark.rule("JO18")
async def test_operations_for_a_document_that_cannot_be_read_may_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        one = submission("two")

        def break_(self: LogDocument, *_: object) -> object:
            raise EngineFault("the engine panicked")

        monkeypatch.setattr(LogDocument, "commit", break_)
        server.room().replicas.abandon()
        server.room().submit(one)
        await quiet(server)
        error = one.answer.exception()
        assert isinstance(error, SubmissionRefused)
        assert (error.code, error.retry) == ("unavailable", True)
