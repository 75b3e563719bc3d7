"""A room with real Yjs clients, on a memory store, without sockets."""

from __future__ import annotations

import pytest

from core.rooms.room_tools import process
from cowrite.core.ports import Grant
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, Message, QueryAwareness, SyncStep2, Update
from cowrite.testing.process import Connection, quiet
from cowrite.testing.yjs_client import YjsClient


def kinds(connection: Connection) -> list[str]:
    return [type(yjs.decode(frame)).__name__ for frame in connection.incoming]


@pytest.mark.rule("RO1")
async def test_an_edit_reaches_the_others_and_is_acknowledged() -> None:
    """The way of one edit, whole."""
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.client.text.insert(0, "hello")
        await quiet(server)
        assert str(ben.client.text) == "hello"
        assert ana.client.saved
        assert ana.client.offset == 1


@pytest.mark.rule("RO1")
async def test_everybody_who_types_at_once_converges() -> None:
    async with process() as server:
        people = [await server.join(user=f"u{n}") for n in range(5)]
        await quiet(server)
        for turn in range(10):
            for n, person in enumerate(people):
                person.client.text.insert(len(person.client.text) // 2, f"{n}{turn} ")
            await quiet(server)
        texts = {str(person.client.text) for person in people}
        assert len(texts) == 1
        assert len(texts.pop()) == 5 * 10 * 3
        assert all(person.client.saved for person in people)


@pytest.mark.rule("RO2")
async def test_a_repeat_is_relayed_to_nobody() -> None:
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.client.text.insert(0, "once")
        await quiet(server)
        ben.reading = False
        ana.send(yjs.encode(Update(ana.client.doc.get_update())))
        ana.send(yjs.encode(SyncStep2(ana.client.doc.get_update())))
        await quiet(server)
        assert kinds(ben) == []


@pytest.mark.rule("RO3")
async def test_a_lone_sender_does_not_get_its_own_update_back() -> None:
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.reading = ben.reading = False
        ana.client.text.insert(0, "x")
        await quiet(server)
        assert kinds(ana) == ["Acknowledged"]
        assert kinds(ben) == ["Update"]


@pytest.mark.rule("RO3")
async def test_senders_in_one_flush_get_one_merged_frame() -> None:
    """The same bytes object for all of them."""
    async with process() as server:
        ana, ben, eve = [await server.join(user=user) for user in ("ana", "ben", "eve")]
        await quiet(server)
        for person in (ana, ben, eve):
            person.reading = False
        ana.client.text.insert(0, "a")
        ben.client.text.insert(0, "b")
        await quiet(server)
        frames = [next(f for f in person.incoming if isinstance(yjs.decode(f), Update)) for person in (ana, ben, eve)]
        assert frames[0] is frames[1] is frames[2]


@pytest.mark.rule("RO4")
async def test_a_joiner_misses_nothing() -> None:
    """Joins between every two keystrokes, with flushes that have not run yet."""
    async with process() as server:
        ana = await server.join(user="ana")
        await quiet(server)
        joiners = []
        for n in range(20):
            ana.client.text.insert(len(ana.client.text), f"{n},")
            joiners.append(await server.join(user=f"j{n}"))
            ana.client.text.insert(len(ana.client.text), f"{n}.")
        await quiet(server)
        assert {str(joiner.client.text) for joiner in joiners} == {str(ana.client.text)}


@pytest.mark.rule("RO4")
async def test_before_its_first_step_a_peer_gets_no_updates() -> None:
    async with process() as server:
        ana = await server.join(user="ana")
        async with server.registry.open("doc") as room:
            mute = Connection(server, room, YjsClient(), "mute", Grant.READ, acknowledges=False)
        await quiet(server)
        ana.client.text.insert(0, "x")
        await quiet(server)
        assert kinds(mute) == ["SyncStep1"]


def two_edits() -> tuple[YjsClient, bytes, bytes]:
    client = YjsClient()
    frames: list[bytes] = []
    client.connect(frames.append)
    client.text.insert(0, "first ")
    client.text.insert(6, "second")
    client.disconnect()
    return client, frames[1], frames[2]


@pytest.mark.rule("RO5")
async def test_an_update_waits_for_what_it_builds_on() -> None:
    _, first, second = two_edits()
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ana")
        await quiet(server)
        ana.reading = False
        ana.send(second)
        await quiet(server)
        assert str(ben.client.text) == ""
        assert kinds(ana) == ["SyncStep1"], "it is asked for what is missing"
        ben.send(first)
        await quiet(server)
        newcomer = await server.join(user="eve")
        await quiet(server)
        assert str(newcomer.client.text) == "first second"


@pytest.mark.rule("RO6")
async def test_a_peer_that_never_sends_what_is_missing_is_closed() -> None:
    _, _, second = two_edits()
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.reading = False
        ana.send(second)
        for _ in range(9):
            server.clock.advance(1)  # type: ignore[attr-defined]
        assert kinds(ana) == ["SyncStep1"] * 5
        for _ in range(2):
            server.clock.advance(1)  # type: ignore[attr-defined]
        assert ana.closed is not None
        assert ana.closed[0] == 4504
        assert ben.closed is None


@pytest.mark.rule("RO7")
async def test_a_sync_step_2_with_a_dangling_part_is_taken_as_far_as_it_goes() -> None:
    """Yjs clients send their own pending structs along; whoever has some must still be able to save the rest."""
    _, _, second = two_edits()
    async with process() as server:
        ben = await server.join(user="ben")
        broken = YjsClient()
        broken.text.insert(0, "mine")
        update = yjs.decode(second)
        assert isinstance(update, Update)
        merged = merge(broken.doc.get_update(), update.update)
        ana = await server.join(user="ana")
        await quiet(server)
        ana.send(yjs.encode(SyncStep2(merged)))
        await quiet(server)
        assert str(ben.client.text) == "mine"
        assert ana.closed is None
        assert ana.client.acknowledged < ana.client.sent + 1
        newcomer = await server.join(user="eve")
        await quiet(server)
        assert str(newcomer.client.text) == "mine"


def merge(*updates: bytes) -> bytes:
    from cowrite.crdt.merging import merge_updates

    return merge_updates(list(updates))


@pytest.mark.rule("RO12")
async def test_a_storm_of_joiners_costs_one_encoding() -> None:
    async with process() as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "x" * 1000)
        await quiet(server)
        joiners = [await server.join(user=f"j{n}") for n in range(10)]
        states = [frame for joiner in joiners for frame in joiner.incoming if isinstance(yjs.decode(frame), SyncStep2)]
        assert len(states) == 10
        assert all(state is states[0] for state in states)


@pytest.mark.rule("RO13")
async def test_a_slow_reader_ends_with_the_same_document() -> None:
    async with process() as server:
        slow, ana = await server.join(user="slow"), await server.join(user="ana")
        await quiet(server)
        slow.reading = False
        for n in range(60):
            ana.client.text.insert(0, chr(97 + n % 26) * 50_000)
            await quiet(server)
        del ana.client.text[10:2_000_000]
        await quiet(server)
        assert sum(map(len, slow.incoming)) + slow.peer.outbox.waiting < 1_400_000
        slow.reading = True
        await quiet(server)
        assert str(slow.client.text) == str(ana.client.text)


@pytest.mark.rule("RO14")
async def test_silence_is_broken_every_25_seconds() -> None:
    async with process() as server:
        ana = await server.join(user="ana")
        await quiet(server)
        ana.reading = False
        for _ in range(6):
            server.clock.advance(5)  # type: ignore[attr-defined]
            server.room().tend(server.clock.monotonic())
        assert list(ana.incoming) == [yjs.encode(AwarenessUpdate(()))]


@pytest.mark.rule("RO15")
async def test_a_quick_reconnect_does_not_blink() -> None:
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.client.point('{"name":"ana"}')
        await quiet(server)
        seen = ben.client.states[ana.client.client_id]
        ana.lose()
        server.clock.advance(1)  # type: ignore[attr-defined]
        again = await server.join(client=ana.client, user="ana")
        again.client.point('{"name":"ana"}')
        server.clock.advance(5)  # type: ignore[attr-defined]
        await quiet(server)
        now = ben.client.states[ana.client.client_id]
        assert now.state == seen.state
        assert now.clock == seen.clock + 1


@pytest.mark.rule("RO15")
@pytest.mark.parametrize(("clean", "seconds"), [(True, 0), (False, 2)])
async def test_a_lost_connection_s_caret_goes(clean: bool, seconds: int) -> None:
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.client.point('{"name":"ana"}')
        await quiet(server)
        ana.lose(clean=clean)
        server.clock.advance(seconds - 0.5 if seconds else 0)  # type: ignore[attr-defined]
        await quiet(server)
        assert (ben.client.states[ana.client.client_id].state is None) == clean
        server.clock.advance(1)  # type: ignore[attr-defined]
        await quiet(server)
        assert ben.client.states[ana.client.client_id].state is None


class CountingDialect(yjs.YjsDialect):
    """Counts what is encoded."""

    def __init__(self) -> None:
        self.encoded: list[Message] = []

    def encode(self, message: Message) -> bytes:
        self.encoded.append(message)
        return super().encode(message)

    @property
    def announced(self) -> int:
        return sum(isinstance(message, AwarenessUpdate) for message in self.encoded)


@pytest.mark.rule("RO22")
async def test_everybodys_awareness_is_encoded_once() -> None:
    """However often it is asked for, until somebody moves."""
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.send(yjs.encode(AwarenessUpdate((AwarenessEntry(7, 1, '{"user":"ana"}'),))))
        await quiet(server)
        ben.peer.dialect = dialect = CountingDialect()
        ben.reading = False
        for _ in range(10):
            ben.send(yjs.encode(QueryAwareness()))
        assert dialect.announced == 1
        assert kinds(ben) == ["AwarenessUpdate"] * 10
        ana.send(yjs.encode(AwarenessUpdate((AwarenessEntry(7, 2, '{"user":"Ana"}'),))))
        ben.send(yjs.encode(QueryAwareness()))
        assert dialect.announced == 2
        assert yjs.decode(ben.incoming[-1]) == AwarenessUpdate((AwarenessEntry(7, 2, '{"user":"Ana"}'),))
        ana.lose(clean=True)
        ben.send(yjs.encode(QueryAwareness()))
        assert dialect.announced == 2


@pytest.mark.rule("RO22")
async def test_nothing_is_encoded_for_whoever_does_not_read() -> None:
    """It asks and asks for awareness, and is told once, when it reads again."""
    async with process() as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.send(yjs.encode(AwarenessUpdate((AwarenessEntry(7, 1, '{"user":"ana"}'),))))
        await quiet(server)
        ben.peer.dialect = dialect = CountingDialect()
        ben.reading = False
        ben.incoming.append(bytes(70_000))
        for _ in range(100):
            ben.send(yjs.encode(QueryAwareness()))
        assert dialect.announced == 0
        ben.incoming.clear()
        ben.peer.outbox.drained()
        assert dialect.announced == 1
        assert kinds(ben) == ["AwarenessUpdate"]
