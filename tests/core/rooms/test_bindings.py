"""Whose Yjs clients are, on one process and on several, and what becomes of content under somebody else's."""

from __future__ import annotations

import pytest

from core.rooms.large_updates_tools import embeds, receive, state
from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.delivery.sync_statuses import SyncStatuses
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.ports import Access, Grant, StoreBusy
from cowrite.presence.local import LocalPresence
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate, PermissionDenied, SyncStep1, SyncStep2, Update
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.yjs_client import YjsClient
from cowrite.testing.yjs_writer import block, embed, text, write_update

VICTIM = 7


def process(database: MemoryDatabase, hub: LocalHub | None = None) -> Process:
    return Process(memory_storage(database), LocalBroker(hub))


def body(server: Process) -> str:
    live = server.room().replicas.live
    assert live is not None
    client = YjsClient()
    client.doc.apply_update(live.encode())
    return str(client.text)


def refusals(server: Process) -> int:
    return server.room()._ports.excess.counts["foreign_client"]


def forged(word: str, client: int, clock: int) -> bytes:
    """What a client of that id would write next, behind what it has written."""
    return write_update([block(client, clock, text(word, origin=(client, clock - 1)))])


def offer(connection: Connection, update: bytes, *, everything: bool = False) -> None:
    connection.send(yjs.encode(SyncStep2(update) if everything else Update(update)))


def told(connection: Connection) -> list[str]:
    return [type(yjs.decode(frame)).__name__ for frame in connection.incoming]


async def authors(database: MemoryDatabase) -> list[str]:
    return [entry.author for entry in await MemoryStore(database).entries("doc", start=1, limit=100)]


@pytest.mark.rule("BI1", "BI4", "BI6")
@pytest.mark.parametrize("everything", [False, True])
async def test_a_forged_client_id_does_not_make_the_victims_edits_vanish(*, everything: bool) -> None:
    """Without the refusal the server holds "EVIL" where the victim goes on, and the victim's words are gone for good."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, eve = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="eve")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        eve.reading = False
        for _ in range(3):
            offer(eve, forged("EVIL", VICTIM, 2), everything=everything)
        await quiet(server)
        assert eve.closed is None
        assert told(eve) == ["PermissionDenied"], "once"
        assert refusals(server) == 3
        ana.client.text.insert(2, " there")
        await quiet(server)
        assert body(server) == str(ana.client.text) == "hi there"
        assert ana.client.saved
        assert await authors(database) == ["ana", "ana"]
        assert database.clients("doc") == {VICTIM: "ana"}


@pytest.mark.rule("BI4", "BI6")
async def test_the_rest_of_a_message_is_taken() -> None:
    """An honest peer brings back what it has seen of Ana and the store has not; she is here, and brings it herself."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bo = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="bo")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        structs = (
            block(VICTIM, 2, text("!", origin=(VICTIM, 1))),
            block(30, 0, text("own ", right=(VICTIM, 0)), text("built on it", origin=(VICTIM, 2))),
        )
        before = bo.client.sent
        bo.client.sent += 1
        offer(bo, write_update(list(structs)), everything=True)
        await quiet(server)
        assert body(server) == "own hi"
        assert (bo.client.acknowledged, bo.closed) == (before, None)
        ana.client.text.insert(len(str(ana.client.text)), "!")  # the same, from her
        bo.client.doc.apply_update(write_update([structs[1]]))
        await quiet(server)
        assert body(server) == "own hi!built on it"
        assert bo.client.saved, "it was asked again, and had everything to say"


@pytest.mark.rule("BI4")
async def test_what_builds_on_it_is_not_waited_for() -> None:
    """Else its sender would be closed, and come back, for ever."""
    async with process(MemoryDatabase()) as server:
        ana, eve = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="eve")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        offer(eve, forged("EVIL", VICTIM, 2))
        offer(eve, write_update([block(9, 0, text("x", origin=(VICTIM, 4)))]))
        offer(eve, write_update(deletes={VICTIM: [(2, 3)]}))
        for _ in range(30):
            server.clock.advance(1)  # type: ignore[attr-defined] # turned by hand
            await quiet(server)
        assert (eve.closed, body(server)) == (None, "hi")


@pytest.mark.rule("BI4")
async def test_what_was_held_is_looked_at_when_it_can_be_taken() -> None:
    async with process(MemoryDatabase()) as server:
        eve = await server.join(user="eve")
        eve.reading = False
        offer(eve, forged("EVIL", VICTIM, 2))
        await quiet(server)
        ana = await server.join(client=YjsClient(VICTIM), user="ana")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        assert (body(server), eve.closed, refusals(server)) == ("hi", None, 1)


@pytest.mark.rule("BI5", "BI6")
async def test_what_somebody_left_behind_is_taken_as_theirs() -> None:
    """Somebody else has it, and the owner is gone: with the session it was refused, and then it is asked for again."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bo = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="bo")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        ana.client.disconnect()
        ana.client.text.insert(2, " there")
        bo.client.doc.apply_update(ana.client.doc.get_update())  # by another way, and sent as it is made
        await quiet(server)
        assert (body(server), bo.client.saved) == ("hi", False)
        ana.lose(clean=True)
        server.room().tend(server.clock.monotonic())
        await quiet(server)
        assert (body(server), bo.client.saved) == ("hi there", True)
        assert await authors(database) == ["ana", "ana"]
        (*_, entry) = await MemoryStore(database).entries("doc", start=1, limit=9)
        assert {operation.author for operation in entry.operations} == {"ana"}


@pytest.mark.rule("BI5")
async def test_another_user_in_the_same_page() -> None:
    """Ana logs out and Bo logs in, with the same Doc: refused while she is here elsewhere, else hers. He needs a new Doc."""
    database = MemoryDatabase()
    async with process(database) as server:
        page = YjsClient(VICTIM)
        ana = await server.join(client=page, user="ana")
        page.text.insert(0, "ana ")
        await quiet(server)
        ana.lose(clean=True)
        bo = await server.join(client=page, user="bo")
        page.text.insert(4, "bo")
        await quiet(server)
        del page.text[5:6]
        await quiet(server)
        assert page.saved
        assert await authors(database) == ["ana", "ana", "bo"], "he typed with what is hers, and deleted with nothing"
        tablet = await server.join(user="ana")
        page.text.insert(0, "not ")
        await quiet(server)
        assert (body(server), page.saved, bo.closed) == ("ana b", False, None)
        tablet.lose(clean=True)
        server.room().tend(server.clock.monotonic())
        await quiet(server)
        assert (body(server), page.saved) == ("not ana b", True)


@pytest.mark.rule("BI1", "BI2", "BI10")
async def test_a_crash_and_the_same_from_another_peer() -> None:
    """Bo brings back what Ana had typed: it has no author, until she shows up, though she then brings nothing new."""
    database = MemoryDatabase()
    async with process(database) as server:
        lost = YjsClient(VICTIM)
        lost.text.insert(0, "unsaved")
        bo = await server.join(user="bo")
        offer(bo, lost.doc.get_update(), everything=True)
        await quiet(server)
        assert database.clients("doc") == {}
        history = memory_storage(database).history
        (entry,) = await history.authored("doc", after=0, limit=9)
        assert (entry.author, entry.writers) == ("bo", ("",))
        ana = await server.join(client=lost, user="ana")
        lost.point("{}")
        lost.point("{}")
        await quiet(server)
        assert database.clients("doc") == {VICTIM: "ana"}
        (entry,) = await history.authored("doc", after=0, limit=9)
        assert entry.writers == ("ana",)
        commits = database.commits
        lost.point('{"a": 1}')
        await quiet(server)
        assert (database.commits, ana.client.saved) == (commits, True)


@pytest.mark.rule("BI1", "BI3")
async def test_an_awareness_entry_binds_with_what_is_committed() -> None:
    """Made offline, it comes as a SyncStep2: the page has said before that it is that client."""
    database = MemoryDatabase()
    async with process(database) as server:
        page, other = YjsClient(VICTIM), YjsClient(8)
        page.text.insert(0, "offline")
        other.text.insert(0, "x")
        reader = await server.join(user="reader", client=other, grant=Grant.COMMENT)
        other.point("{}")
        ana = await server.join(client=page, user="ana")
        page.point("{}")
        await quiet(server)
        assert database.clients("doc") == {VICTIM: "ana"}
        assert await authors(database) == ["ana"]
        assert (reader.closed, ana.client.saved) == (None, True)


@pytest.mark.rule("BI3")
async def test_what_was_announced_and_not_used_is_forgotten() -> None:
    """Nobody had written with it; whoever does now is its user. Before, it was not free."""
    database = MemoryDatabase()
    async with process(database) as server:
        page = YjsClient(VICTIM)
        ana, bo = await server.join(client=page, user="ana"), await server.join(user="bo")
        page.point("{}")
        await quiet(server)
        offer(bo, write_update([block(VICTIM, 0, text("x", root="body"))]))
        assert refusals(server) == 1
        ana.lose(clean=True)
        offer(bo, write_update([block(VICTIM, 0, text("x", root="body"))]))
        await quiet(server)
        assert database.clients("doc") == {VICTIM: "bo"}


@pytest.mark.rule("BI2")
async def test_guests_and_copies_bind_nothing() -> None:
    """A browser's copy of the document comes as an Update; of another's client nobody is robbed by it."""
    database = MemoryDatabase()
    async with process(database) as server:
        guest = await server.join(client=YjsClient(5), user="guest-1")
        guest.peer.session.access = Access("guest-1", Grant.WRITE, anonymous=True)
        guest.client.point("{}")
        guest.client.text.insert(0, "g")
        await quiet(server)
        assert database.clients("doc") == {}
        (entry,) = await memory_storage(database).history.authored("doc", after=0, limit=9)
        assert (entry.author, entry.writers) == ("guest-1", ())
        again = await server.join(user="guest-2")
        offer(again, forged("o", 5, 1))
        offer(again, write_update([block(40, 0, text("a", root="x")), block(41, 0, text("b", root="x"))]))
        await quiet(server)
        assert database.clients("doc") == {5: "guest-2"}
        assert body(server) == "go"
        entries = await memory_storage(database).history.authored("doc", after=1, limit=9)
        assert [one.writers for one in entries] == [(), ("", "")]


@pytest.mark.rule("BI2")
async def test_tabs_of_one_user_are_one_user() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        first, second = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="ana")
        first.client.text.insert(0, "hi")
        await quiet(server)
        first.client.disconnect()
        first.client.text.insert(2, "!")
        offer(second, first.client.doc.get_update())
        await quiet(server)
        assert (body(server), refusals(server)) == ("hi!", 0)
        reloaded = await server.join(client=YjsClient(9), user="ana")
        await quiet(server)
        reloaded.client.text.insert(0, "again ")
        await quiet(server)
        assert database.clients("doc") == {VICTIM: "ana", 9: "ana"}


@pytest.mark.rule("BI4", "BI8")
async def test_a_room_knows_what_was_bound_before() -> None:
    """After a restart, with an offline copy of all: what is in the log is repeated and new to nobody, the rest is refused."""
    database = MemoryDatabase()
    page = YjsClient(VICTIM)
    async with process(database) as server:
        await server.join(client=page, user="ana")
        page.text.insert(0, "hi")
        await quiet(server)
    copy = page.doc.get_update()
    async with process(database) as server:
        await server.join(user="ana")
        bo = await server.join(user="bo")
        offer(bo, copy, everything=True)
        offer(bo, copy)
        await quiet(server)
        assert (refusals(server), bo.closed) == (0, None)
        offer(bo, forged("EVIL", VICTIM, 2))
        await quiet(server)
        assert (body(server), refusals(server)) == ("hi", 1)


@pytest.mark.rule("BI8")
@pytest.mark.parametrize("broker", [True, False])
async def test_processes_see_each_others_bindings(*, broker: bool) -> None:
    database = MemoryDatabase()
    hubs = [LocalHub()] * 2 if broker else [LocalHub(), LocalHub()]
    async with process(database, hubs[0]) as one, process(database, hubs[1]) as other:
        eve = await other.join(user="eve")
        await other.join(user="ana")
        await quiet(one, other)
        ana = await one.join(client=YjsClient(VICTIM), user="ana")
        ana.client.text.insert(0, "hi")
        await quiet(one, other)
        if not broker:
            other.heads.behind(other.room())
            await quiet(one, other)
        assert body(other) == "hi"
        offer(eve, forged("EVIL", VICTIM, 2))
        await quiet(one, other)
        assert (refusals(other), body(one), body(other), eve.closed) == (1, "hi", "hi", None)


@pytest.mark.rule("BI4")
@pytest.mark.parametrize("everything", [True, False])
async def test_a_session_on_another_process_is_one(*, everything: bool) -> None:
    database, hub, clock = MemoryDatabase(), LocalHub(), ManualClock()
    presence = LocalPresence(clock)
    servers = [Process(memory_storage(database), LocalBroker(hub), clock=clock, presence=presence) for _ in range(2)]
    async with servers[0] as one, servers[1] as other:
        ana = await one.join(client=YjsClient(VICTIM), user="ana")
        eve = await other.join(user="eve")
        ana.client.text.insert(0, "hi")
        await quiet(one, other)
        for _ in range(20):
            clock.advance(0.2)
            await quiet(one, other)
        offer(eve, forged("EVIL", VICTIM, 2), everything=everything)
        await quiet(one, other)
        ana.client.text.insert(2, " there")
        await quiet(one, other)
        assert (body(one), body(other), eve.closed) == ("hi there", "hi there", None)


@pytest.mark.rule("BI7")
async def test_the_first_that_commits_has_bound_it() -> None:
    """Eve has Ana's first words by the process where they were typed, and goes on with them where nobody knows of her yet."""
    database = MemoryDatabase()
    async with process(database, LocalHub()) as one, process(database, LocalHub()) as other:
        await other.join(user="ana")
        eve, bo = await other.join(user="eve"), await other.join(user="bo")
        await quiet(one, other)
        ana = await one.join(client=YjsClient(VICTIM), user="ana")
        ana.client.text.insert(0, "hi")
        await quiet(one)
        offer(eve, write_update([block(VICTIM, 0, text("hiEVIL", root="body"))]))
        assert body(other) == "hiEVIL"
        await quiet(one, other)
        assert database.clients("doc") == {VICTIM: "ana"}
        assert bo.closed is not None
        ana.client.text.insert(2, " there")
        await quiet(one, other)
        assert (body(one), ana.client.saved) == ("hi there", True)
        (kept,) = database.tables.quarantined
        assert (kept.author, "another user" in kept.reason) == ("eve", True)


@pytest.mark.rule("BI8")
async def test_a_binding_without_an_entry_is_found_under_the_lock() -> None:
    """Another process has bound it meanwhile: whoever goes on with it here writes as its user, who is not here."""
    database = MemoryDatabase()
    async with process(database) as server:
        bo = await server.join(user="bo")
        offer(bo, write_update([block(VICTIM, 0, text("a", root="body"))]), everything=True)
        await quiet(server)
        async with MemoryStore(database).writing(["doc"]) as transaction:
            await transaction.append("doc", [], claims={VICTIM: "ana"})
        offer(bo, forged("b", VICTIM, 1))
        await quiet(server)
        assert await authors(database) == ["bo", "ana"]
        offer(bo, forged("c", VICTIM, 2))
        await quiet(server)
        assert await authors(database) == ["bo", "ana", "ana"]


@pytest.mark.rule("BI3")
async def test_a_binding_survives_a_transaction_that_fails() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, eve = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="eve")
        await quiet(server)
        database.fail_next("commit", StoreBusy("told to"))
        ana.client.text.insert(0, "hi")
        offer(eve, forged("EVIL", VICTIM, 2))
        assert refusals(server) == 1
        for _ in range(20):
            server.clock.advance(0.1)  # type: ignore[attr-defined] # turned by hand
            await quiet(server)
        assert (database.clients("doc"), body(server)) == ({VICTIM: "ana"}, "hi")


@pytest.mark.rule("BI3")
async def test_a_binding_goes_with_what_is_not_kept() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(client=YjsClient(VICTIM), user="ana")
        await quiet(server)
        held = database.hold_next("commit")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        assert server.room().bindings.user_of(VICTIM) == "ana"
        server.room().rebuild(CloseCode.DOCUMENT_REBUILT, "told to")
        assert server.room().bindings.user_of(VICTIM) is None
        held.release()
        await quiet(server)
        assert database.clients("doc") == {VICTIM: "ana"}
        assert server.room().bindings.user_of(VICTIM) == "ana"


@pytest.mark.rule("BI6")
async def test_who_was_refused_and_leaves_is_not_asked() -> None:
    async with process(MemoryDatabase()) as server:
        ana, eve = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="eve")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        eve.reading = False
        offer(eve, forged("EVIL", VICTIM, 2))
        await quiet(server)
        server.room().tend(server.clock.monotonic())
        assert told(eve) == [PermissionDenied.__name__], "nothing has changed"
        eve.lose()
        ana.lose(clean=True)
        bo = await server.join(user="bo")
        await quiet(server)
        bo.reading = False
        server.room().tend(server.clock.monotonic())
        assert SyncStep1.__name__ not in told(bo)


@pytest.mark.rule("BI3")
async def test_another_user_announces_the_same_client() -> None:
    """It is not theirs by that while it is the first one's."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, eve = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="eve")
        ana.client.text.insert(0, "hi")
        eve.send(yjs.encode(AwarenessUpdate((AwarenessEntry(VICTIM, 1, "{}"),))))
        await quiet(server)
        assert database.clients("doc") == {VICTIM: "ana"}
        eve.lose(clean=True)
        assert server.room().bindings.user_of(VICTIM) == "ana"


@pytest.mark.rule("BI2", "BI4")
@pytest.mark.parametrize("everything", [False, True])
async def test_large_updates_are_looked_at_slice_by_slice(*, everything: bool) -> None:
    """Nothing of Ana's, nor what builds on that; and a copy that comes as one Update binds nothing."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, eve = await server.join(user="ana"), await server.join(user="eve")
        offer(ana, embeds(5, client=VICTIM))
        await quiet(server)
        mine = [embed(1, root="t"), *(embed(1, origin=(9, clock)) for clock in range(SLICE_PARTS))]
        hers = [embed(1, origin=(VICTIM, clock)) for clock in range(4, SLICE_PARTS)]
        more = [embed(1, origin=(VICTIM, 5)), *(embed(1, origin=(8, clock)) for clock in range(9))]
        update = write_update([block(9, 0, *mine), block(VICTIM, 5, *hers), block(8, 0, *more)])
        await receive(server, eve, update, everything=everything)
        await quiet(server)
        assert (state(server, 9), state(server, VICTIM), state(server, 8)) == (SLICE_PARTS + 1, 5, 0)
        assert eve.closed is None
        assert database.clients("doc") == {VICTIM: "ana"}
        ana.lose(clean=True)
        server.room().tend(server.clock.monotonic())
        await receive(server, eve, update, everything=everything)
        await quiet(server)
        assert (state(server, VICTIM), state(server, 8)) == (SLICE_PARTS + 1, 10)
        assert database.clients("doc") == {VICTIM: "ana"}


@pytest.mark.rule("BI5")
async def test_who_brings_several_users_edits_is_the_author() -> None:
    """And so is who deletes with what they bring; each edit is credited by its client."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bo = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(client=YjsClient(8), user="bo")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        bo.client.text.insert(0, "oh ")
        await quiet(server)
        ana.lose(clean=True)
        both = [block(VICTIM, 2, text("!", origin=(VICTIM, 1))), block(8, 3, text("?", origin=(VICTIM, 2)))]
        offer(bo, write_update(both), everything=True)
        await quiet(server)
        hers = [block(VICTIM, 3, text("!", origin=(VICTIM, 2)))]
        offer(bo, write_update(hers, deletes={VICTIM: [(0, 1)]}), everything=True)
        await quiet(server)
        assert await authors(database) == ["ana", "bo", "bo", "bo"]
        entries = await memory_storage(database).history.authored("doc", after=2, limit=9)
        credited = [dict(zip([one.client for one in entry.ranges], entry.writers, strict=True)) for entry in entries]
        assert credited == [{VICTIM: "ana", 8: "bo"}, {VICTIM: "ana"}]


@pytest.mark.rule("BI1", "BI3")
async def test_only_what_the_log_holds_something_of_is_bound() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(client=YjsClient(VICTIM), user="ana")
        ana.client.point("{}")
        offer(ana, write_update([block(9, 0, text("x", root="body"))]))
        await quiet(server)
        assert database.clients("doc") == {9: "ana"}


@pytest.mark.rule("BI6")
async def test_who_is_told_of_each_message_is_told_nothing_else() -> None:
    """As Hocuspocus providers are: "not stored"."""
    async with process(MemoryDatabase()) as server:
        ana, eve = await server.join(client=YjsClient(VICTIM), user="ana"), await server.join(user="eve")
        ana.client.text.insert(0, "hi")
        await quiet(server)
        eve.reading = False
        eve.peer.acknowledgements = SyncStatuses(b"stored", b"not stored")
        offer(eve, forged("EVIL", VICTIM, 2))
        await quiet(server)
        assert list(eve.incoming) == [b"not stored"]
