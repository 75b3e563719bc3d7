"""Peers that may not write, and what cannot be taken."""

from __future__ import annotations

import pytest

from core.rooms.room_tools import process
from cowrite.core.delivery.peer import Peer
from cowrite.core.ports import Grant
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.outline import Outline
from cowrite.protocol import yjs
from cowrite.protocol.messages import AwarenessUpdate, Message, PermissionDenied, SyncStep1, SyncStep2, Update
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import quiet
from cowrite.testing.yjs_client import YjsClient


@pytest.mark.rule("RO8")
async def test_a_reader_cannot_write() -> None:
    async with process() as server:
        reader, writer = await server.join(user="reader", grant=Grant.READ), await server.join(user="writer")
        await quiet(server)
        reader.client.text.insert(0, "no")
        reader.client.point('{"name":"reader"}')
        await quiet(server)
        assert str(writer.client.text) == ""
        assert reader.closed is None
        assert reader.peer.refused == 1, "the edit; the SyncStep2 of the handshake said nothing new"
        assert not reader.client.saved
        assert writer.client.states == {}


@pytest.mark.rule("RO8", "HP13")
async def test_a_reader_without_news_is_saved() -> None:
    """What a reader answers to the server's question is durable when it is nothing new; not what it cannot have read here."""
    async with process() as server:
        writer = await server.join(user="writer")
        writer.client.text.insert(0, "Hello")
        del writer.client.text[0:2]
        await quiet(server)
        reader = await server.join(user="reader", grant=Grant.READ)
        await quiet(server)
        assert reader.client.saved
        again = await server.join(client=reader.client, user="reader", grant=Grant.READ)
        await quiet(server)
        assert again.client.saved, "now it tells of deletions, too"
        for update in (b"\xff", reader.client.doc.get_update(b"\0") + bytes(20_000)):
            again.send(yjs.encode(SyncStep2(update)))
        assert again.peer.refused == 2
        assert again.closed is None


@pytest.mark.rule("RO8")
async def test_a_reader_is_told_once_until_its_grant_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with process() as server:
        reader = await server.join(user="reader", grant=Grant.READ)
        told: list[str] = []
        send = Peer.send

        def keep(peer: Peer, message: Message) -> None:
            if isinstance(message, PermissionDenied):
                told.append(message.reason)
            send(peer, message)

        monkeypatch.setattr(Peer, "send", keep)  # to look at what is sent
        for _ in range(3):
            reader.client.text.insert(0, "no")
            await quiet(server)
        assert told == ["the grant is read: edits are not taken"]
        reader.peer.session.grant = Grant.WRITE
        reader.client.text.insert(0, "yes")
        await quiet(server)
        reader.peer.session.grant = Grant.READ
        for _ in range(3):
            reader.client.text.insert(0, "no")
            await quiet(server)
        assert told == ["the grant is read: edits are not taken"] * 2


@pytest.mark.rule("RO9")
async def test_a_client_may_be_asked_again() -> None:
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        server.room().ask(ana.peer)
        assert [type(yjs.decode(frame)) for frame in ana.incoming][-1] is SyncStep1
        await quiet(server)
        assert (ana.closed, ben.closed) == (None, None)


@pytest.mark.rule("RO8")
async def test_a_commenter_may_point() -> None:
    async with process() as server:
        commenter, writer = await server.join(user="c", grant=Grant.COMMENT), await server.join(user="w")
        await quiet(server)
        commenter.client.point('{"name":"c"}')
        await quiet(server)
        assert writer.client.states[commenter.client.client_id].state == '{"name":"c"}'


@pytest.mark.rule("RO9")
async def test_other_content_for_the_same_clock_closes_its_sender() -> None:
    async with process() as server:
        ana, ben = await server.join(client=YjsClient(7), user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.client.text.insert(0, "true")
        await quiet(server)
        forger = await server.join(user="eve")
        forged = YjsClient(7)
        forged.text.insert(0, "evil")
        forger.send(yjs.encode(Update(forged.doc.get_update())))
        await quiet(server)
        assert forger.closed is not None
        assert forger.closed[0] == 4409
        assert (ana.closed, ben.closed) == (None, None)
        assert str(ben.client.text) == "true"


@pytest.mark.rule("RO10")
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (yjs.encode(Update(b"\x01\x01\x01")), 4422),
        (yjs.encode(Update(b"\x00" * (1 << 20) + b"\x00")), 4413),
        (yjs.encode(SyncStep1(b"\xff\xff")), 4400),
        (yjs.encode(AwarenessUpdate(()))[:-1] + b"\x01\x01\x01\x02{]", 4400),
    ],
)
async def test_what_cannot_be_taken_closes_its_sender_alone(frame: bytes, code: int) -> None:
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        if code == 4400 and frame[0] == 1:
            frame = bytes([1, 6, 1, 1, 1, 2]) + b"{]"
        ana.send(frame)
        assert ana.closed is not None
        assert ana.closed[0] == code
        ben.client.text.insert(0, "goes on")
        await quiet(server)
        assert ben.client.saved


@pytest.mark.rule("RO11")
@pytest.mark.parametrize("store", ["there", "away"])
async def test_when_the_engine_breaks_only_the_sender_goes(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """No update that does it is known (the guard refuses those), so the fault is put in by hand."""
    admit = Document.admit

    def break_(self: Document, update: bytes, outline: Outline) -> bytes | None:
        fresh = admit(self, update, outline)
        if b"poison" in update:
            self._fault = "put in by hand"
            raise EngineFault("the engine panicked")
        return fresh

    monkeypatch.setattr(Document, "admit", break_)
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        database.unavailable = store == "away"
        ben.client.text.insert(0, "kept")
        ana.client.text.insert(0, "poison")
        assert ana.closed is not None
        assert ana.closed[0] == 4422
        ben.client.text.insert(4, " and more")
        await quiet(server)
        assert ben.closed is None
        newcomer = await server.join(user="eve")
        await quiet(server)
        assert str(newcomer.client.text) == "kept and more"
