"""What a transaction does with a room whose documents do not fit together any more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cowrite.brokers.local import LocalBroker
from cowrite.core.journal import entries as entries_module
from cowrite.core.journal.entries import RUN_UPDATES
from cowrite.core.ports import CommitDoubtful
from cowrite.crdt.document import Document
from cowrite.crdt.engine import get_state, rebuild_at
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import Outline
from cowrite.protocol import yjs
from cowrite.protocol.messages import Update
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.yjs_client import YjsClient
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update


def process(database: MemoryDatabase) -> Process:
    return Process(memory_storage(database), LocalBroker())


async def step(server: Process, seconds: float) -> None:
    for _ in range(int(seconds * 10)):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)


def send(connection: Connection, client: int, clock: int, *structs: bytes) -> None:
    """The connection sends an Update with these structs of one Yjs client."""
    connection.send(yjs.encode(Update(write_update([block(client, clock, *structs)]))))


def reasons(database: MemoryDatabase) -> list[tuple[str, str]]:
    return [(one.author, one.reason) for one in database.quarantined()]


async def log_of(database: MemoryDatabase) -> LogDocument:
    entries = await MemoryStore(database).entries("doc", start=1, limit=1000)
    return rebuild_at(None, {}, [entry.update for entry in entries])


def break_once(monkeypatch: pytest.MonkeyPatch, word: bytes, *, of: Document | None = None) -> None:
    """The engine breaks on the next update with that word, of this document or of any that is live."""
    apply = Document.apply
    broken: list[Document] = []

    def break_(self: Document, update: bytes, outline: Outline) -> bytes | None:
        if word in update and (self is of if of is not None else not isinstance(self, LogDocument)) and not broken:
            broken.append(self)
            self._call(lambda: 1 / 0)
        return apply(self, update, outline)

    monkeypatch.setattr(Document, "apply", break_)


@pytest.mark.rule("JO21")
async def test_a_live_document_that_breaks_on_entries_of_others_costs_nobody_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ben.client.text.insert(0, "x")
        await quiet(one, two)
        break_once(monkeypatch, b"frail", of=two.room().replicas.live)
        ana.client.text.insert(0, "frail")
        await quiet(one)
        ben.client.text.insert(1, "y")
        await quiet(two)
        await step(two, 1)
        assert ben.closed is not None
        assert ben.closed[0] == 4505
        assert reasons(database) == []
        again = await two.join(client=ben.client, user="ben")
        await quiet(two)
        assert again.client.saved
        assert {"xy", "frail"} == {str(again.client.text).replace("frail", ""), str(again.client.text).replace("xy", "")}


@pytest.mark.rule("JO21")
async def test_a_log_that_breaks_on_entries_of_others_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = LogDocument.commit
    broken: list[LogDocument] = []

    def break_(self: LogDocument, updates: Sequence[bytes], outlines: Sequence[Outline]) -> object:
        if self is log and not broken:
            broken.append(self)
            self._call(lambda: 1 / 0)
        return commit(self, updates, outlines)

    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        log = two.room().replicas.log
        monkeypatch.setattr(LogDocument, "commit", break_)
        ana.client.text.insert(0, "a")
        await quiet(one)
        ben.client.text.insert(0, "b")
        await quiet(two)
        await step(two, 1)
        assert broken
        assert ben.closed is None
        assert ben.client.saved
        assert sorted(str(ben.client.text)) == ["a", "b"]


@pytest.mark.rule("JO21")
async def test_of_what_waits_only_what_breaks_the_engine_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, eve, ben = [await server.join(user=name) for name in ("ana", "eve", "ben")]
        await quiet(server)
        begin = database.hold_next("begin")
        ana.client.text.insert(0, "one ")
        eve.client.text.insert(0, "frail ")
        ben.client.text.insert(0, "two ")
        await quiet(server)
        break_once(monkeypatch, b"frail")
        server.room().replicas.live = None
        begin.release()
        await step(server, 1)
        assert [author for author, _ in reasons(database)] == ["eve"]
        assert "the engine broke on it" in reasons(database)[0][1]
        again = await server.join(client=eve.client, user="eve")
        await quiet(server)
        assert again.closed is not None
        assert again.closed[0] == 4424, "what broke the engine once is not taken again"
    content = get_state(await log_of(database))["body"]
    assert sorted(str(content).count(word) for word in ("one", "two", "frail")) == [0, 1, 1]


@pytest.mark.rule("JO18", "JO21")
async def test_a_log_that_cannot_be_applied_is_still_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    commit = LogDocument.commit

    def break_(self: LogDocument, updates: Sequence[bytes], outlines: Sequence[Outline]) -> object:
        if any(b"frail" in update for update in updates):
            raise EngineFault("the engine panicked")
        return commit(self, updates, outlines)

    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "frail")
        await quiet(one)
        monkeypatch.setattr(LogDocument, "commit", break_)
        ben.client.text.insert(0, "lost")
        await step(two, 1)
        assert ben.closed is not None
        assert [author for author, _ in reasons(database)] == ["ben"]
        assert reasons(database)[0][1].startswith("the document cannot be read")
        assert two.registry.get("doc") is None


@pytest.mark.rule("JO22")
async def test_what_builds_on_contradicted_content_takes_nobody_elses_edit_with_it() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, eve, ben = await one.join(user="ana"), await two.join(user="eve"), await two.join(user="ben")
        await quiet(one, two)
        send(ana, 5, 0, values(1, root="a"))
        send(eve, 5, 0, shared_type("array", root="a"))
        send(eve, 6, 0, values(2, parent=(5, 0)))
        await quiet(one)
        ben.client.text.insert(0, "ben's")
        await quiet(two)
        await step(two, 1)
        assert reasons(database) == [
            ("eve", "it gives other content to something that was committed before it"),
            ("eve", "it does not fit the log any more: a struct's parent is no shared type"),
        ]
        again = await two.join(client=ben.client, user="ben")
        await quiet(two)
        assert again.closed is not None
        assert again.closed[0] == 4424, "it was shown what is not kept"
        repeats = await two.join(user="ana")
        send(repeats, 5, 0, values(1, root="a"))
        assert repeats.closed is None, "what is in the log may be repeated"
        assert get_state(await log_of(database)) == {"a": {"$array": [1]}, "body": {"$text": [{"insert": "ben's"}]}}


@pytest.mark.rule("JO22")
async def test_levels_are_counted_in_the_log_that_is_there() -> None:
    def chain(client: int, levels: int, **first: object) -> list[bytes]:
        return [
            shared_type("array", **first),  # type: ignore[arg-type]
            *(shared_type("array", parent=(client, level)) for level in range(levels - 1)),
        ]

    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, eve = await one.join(user="ana"), await two.join(user="eve")
        await quiet(one, two)
        send(ana, 5, 0, *chain(5, 100, root="a"))
        send(eve, 5, 0, values(*range(99), root="a"), shared_type("array", origin=(5, 98)))
        send(eve, 6, 0, *chain(6, 99, parent=(5, 99)))
        assert (ana.closed, eve.closed) == (None, None)
        await quiet(one)
        await quiet(two)
        await step(two, 1)
        assert [author for author, _ in reasons(database)] == ["eve", "eve"]
        assert "levels deep" in reasons(database)[1][1]
        assert 6 not in (await log_of(database)).state


@pytest.mark.rule("JO16", "JO22")
@pytest.mark.parametrize("gone", [False, True])
async def test_a_contradiction_is_seen_when_it_is_learned_outside_of_a_transaction(gone: bool) -> None:
    """Also when what was shown here is deleted already, so that nothing is left to compare."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(client=YjsClient(5), user="ana"), await two.join(user="ben")
        await quiet(one, two)
        begin = database.hold_next("begin")
        send(ben, 5, 0, text("b", root="body"))
        if gone:
            ben.send(yjs.encode(Update(write_update(deletes={5: [(0, 1)]}))))
        await quiet(two)
        ana.client.text.insert(0, "a")
        await quiet(one)
        assert ana.client.saved
        begin.release()
        await two.heads.look([two.room()])
        await step(two, 2)
        assert reasons(database) == [("ben", "it gives other content to something that was committed before it")]
        reader = await two.join(user="reader")
        await quiet(two)
        assert str(reader.client.text) == ("" if gone else "a")
        assert get_state(await log_of(database))["body"] == {"$text": [] if gone else [{"insert": "a"}]}


@pytest.mark.rule("JO25")
async def test_what_is_quarantined_by_a_commit_in_doubt_is_kept_once() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, eve = await one.join(user="ana"), await two.join(user="eve")
        await quiet(one, two)
        send(ana, 5, 0, values(1, root="a"))
        send(eve, 5, 0, values(2, root="a"))
        await quiet(one)
        database.fail_next("commit", CommitDoubtful("connection lost"), times=2, applied=True)
        await quiet(two)
        await step(two, 8)
        assert [author for author, _ in reasons(database)] == ["eve"]
        assert not two.room().pending


@pytest.mark.rule("JO25")
async def test_what_the_store_refused_is_quarantined_once() -> None:
    database = MemoryDatabase()
    database.refuse = lambda _, entry: b"poison" in entry.update
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        begin = database.hold_next("begin")
        ana.client.text.insert(0, "poison")
        await quiet(server)
        # The first two attempts fail with the group and alone; the third is the quarantine.
        database.fail_next("commit", CommitDoubtful("connection lost"), applied=True)
        begin.release()
        await step(server, 8)
        assert [author for author, _ in reasons(database)] == ["ana"]
        assert not server.room().pending


@pytest.mark.rule("JO40")
async def test_what_somebody_typed_fast_becomes_entries_of_limited_size() -> None:
    """However little each keystroke is: so many at a time are looked at in one turn of the loop."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        begin = database.hold_next("begin")
        keys = 2 * RUN_UPDATES + 3
        for number in range(keys):
            send(ana, 9, number, text("x", root="body") if not number else text("x", origin=(9, number - 1)))
        await quiet(server)
        begin.release()
        await step(server, 1)
    entries = await MemoryStore(database).entries("doc", start=1, limit=10)
    assert sum(one.ranges[0].end - one.ranges[0].start for one in entries) == keys
    assert max(one.ranges[0].end - one.ranges[0].start for one in entries) == RUN_UPDATES


@pytest.mark.rule("OP2")
@pytest.mark.large
async def test_a_log_may_hold_an_entry_that_no_peer_could_send_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one author's run is one entry, its updates together may be over the limits of each."""
    for limit in ("RUN_PARTS", "RUN_UPDATES"):
        monkeypatch.setattr(entries_module, limit, 1_000_000)
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        for number in range(11):
            roots = [values(number, root=f"{number}.{root}") for root in range(1000)]
            send(ana, 9, 1000 * number, *roots)
        assert ana.closed is None
        await quiet(server)
    entries = await MemoryStore(database).entries("doc", start=1, limit=10)
    assert len(entries) == 1
    assert len((await log_of(database)).roots) == 11_000
