"""Every promise of the port ``History``, as tests. An adapter's own tests subclass :class:`HistoryContract`, with the same
fixture ``backend`` as for :class:`cowrite.testing.store_contract.StoreContract`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cowrite.core.ports import HistoryForgotten, InvalidId, Storage, StoreCorrupt
from cowrite.core.records import Checkpoint, Entry, Head, StoredDocument
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.protocol import yjs
from cowrite.protocol.messages import Update
from cowrite.testing.records import fill, make_entry, make_operation, make_submitted, new_id, write
from cowrite.testing.store_contract import StoreBackend
from cowrite.testing.yjs_client import YjsClient

SIZE = 1 << 20


def typed(number: int) -> Sequence[bytes]:
    """The updates of somebody who types and deletes."""
    sent: list[bytes] = []
    client = YjsClient(7)
    client.connect(sent.append)
    random_source = random.Random(number)
    while len(sent) < number + 1:
        length = len(client.text)
        if length > 5 and random_source.random() < 0.3:
            del client.text[random_source.randrange(length)]
        else:
            client.text.insert(random_source.randint(0, length), random_source.choice("abcdef"))
    messages = (yjs.decode(frame) for frame in sent)
    return [message.update for message in messages if isinstance(message, Update)]


def replayed(updates: Sequence[bytes], start: LogDocument | None = None) -> LogDocument:
    """The document after these updates."""
    document = start if start is not None else LogDocument.empty()
    for update in updates:
        document.commit([update], [inspect(update)])
    return document


def opened(stored: StoredDocument) -> LogDocument:
    """The document that was loaded."""
    checkpoint = stored.checkpoint
    start = LogDocument.from_state(checkpoint.state, checkpoint.roots) if checkpoint is not None else None
    return replayed([entry.update for entry in stored.entries], start)


class HistoryContract:
    """All of them."""

    @pytest.fixture
    async def storage(self, backend: StoreBackend) -> Storage:
        """The storage on the test's database."""
        return await backend.open_storage()

    # ---- the state at an offset --------------------------------------------------------------------------------------

    @pytest.mark.rule("ST38")
    async def test_every_offset_equals_replay(self, storage: Storage) -> None:
        """At every offset the document is what its log gives up to there, whatever checkpoints there are; so is its head."""
        updates = typed(40)
        entries = [make_entry(offset, update=update) for offset, update in enumerate(updates, 1)]
        await write(storage.store, "doc", *entries)
        for offset in (10, 11, 25, 40):
            at = replayed(updates[:offset])
            checkpoint = Checkpoint(offset, entries[offset - 1].id, at.encode(), at.roots)
            await storage.store.save_checkpoint("doc", checkpoint)
        epoch = (await storage.store.heads(["doc"]))["doc"].epoch
        for offset in range(41):
            stored = await storage.history.load_at("doc", offset)
            assert stored is not None
            assert stored.head == Head(epoch, offset, entries[offset - 1].id if offset else "")
            assert opened(stored).content() == replayed(updates[:offset]).content()
        assert await storage.history.load_at("doc", 40) == await storage.store.load("doc")
        used = await storage.history.load_at("doc", 39)
        assert used is not None
        assert used.checkpoint is not None

    @pytest.mark.rule("ST38")
    async def test_no_such_state(self, storage: Storage) -> None:
        """There is no state of unknown documents and beyond the head; a negative offset is the caller's mistake. Nothing is
        written.
        """
        await fill(storage.store, "doc", number=2)
        assert await storage.history.load_at("doc", 3) is None
        assert await storage.history.load_at("nobody", 0) is None
        assert await storage.store.heads(["nobody"]) == {}
        with pytest.raises(ValueError, match="-1"):
            await storage.history.load_at("doc", -1)

    @pytest.mark.rule("ST38")
    async def test_damaged_checkpoint(self, backend: StoreBackend, storage: Storage) -> None:
        """A checkpoint that is damaged is ignored here, too."""
        entries = await fill(storage.store, "doc", number=6, size=1000)
        for entry in (entries[1], entries[3]):
            await storage.store.save_checkpoint("doc", Checkpoint(entry.offset, entry.id, b"state", {}))
        for offset, damaged, start in ((5, 4, 3), (4, 2, 1)):
            await backend.damage_checkpoint("doc", damaged)
            stored = await storage.history.load_at("doc", offset)
            assert stored is not None
            assert [entry.offset for entry in stored.entries] == list(range(start, offset + 1))

    @pytest.mark.rule("ST38")
    async def test_damaged_log(self, backend: StoreBackend, storage: Storage) -> None:
        """What is damaged is reported; offsets before it can be had."""
        await fill(storage.store, "doc", number=5)
        await backend.damage_update("doc", 4)
        for offset in (4, 5):
            with pytest.raises(StoreCorrupt, match=r"'doc' at offset 4\b"):
                await storage.history.load_at("doc", offset)
        assert await storage.history.load_at("doc", 3) is not None
        await backend.lose_entry("doc", 2)
        with pytest.raises(StoreCorrupt, match="'doc'"):
            await storage.history.load_at("doc", 2)

    @pytest.mark.rule("ST39")
    async def test_forgotten(self, backend: StoreBackend, storage: Storage) -> None:
        """What is older than the history that is kept is told as forgotten, with where it begins; what is kept can be had."""
        entries = await fill(storage.store, "doc", number=6)
        await storage.store.save_checkpoint("doc", Checkpoint(4, entries[3].id, b"state", {}))
        await backend.forget_history("doc", 4)
        for offset in range(3):
            with pytest.raises(HistoryForgotten, match="'doc'") as caught:
                await storage.history.load_at("doc", offset)
            assert caught.value.first_offset == 4
        for offset in (4, 6):
            stored = await storage.history.load_at("doc", offset)
            assert stored is not None
            assert stored.head.entry_id == entries[offset - 1].id
        assert await storage.history.load_at("doc", 7) is None
        for after in range(3):
            with pytest.raises(HistoryForgotten):
                await storage.history.operations("doc", after=after, limit=1, size=SIZE)
        assert await storage.history.operations("doc", after=3, limit=10, size=SIZE) == tuple(entries[3:])
        assert await storage.history.locate("doc", entries[0].operations[0].id) is None
        assert await storage.store.entries("doc", start=1, limit=10) == tuple(entries[3:])

    @pytest.mark.rule("ST51")
    async def test_entries(self, backend: StoreBackend, storage: Storage) -> None:
        """Entries are read without their operations, in portions, and never with a gap."""
        entries = await fill(storage.store, "doc", number=5)
        bare = tuple(replace(entry, operations=()) for entry in entries)
        assert await storage.history.entries("doc", after=0, limit=9) == bare
        assert await storage.history.entries("doc", after=1, limit=2) == bare[1:3]
        assert await storage.history.entries("doc", after=5, limit=9) == ()
        assert await storage.history.entries("doc", after=9, limit=9) == ()
        assert await storage.history.entries("doc", after=0, limit=0) == ()
        assert await storage.history.entries("other", after=0, limit=9) == ()
        with pytest.raises(ValueError, match="-1"):
            await storage.history.entries("doc", after=-1, limit=9)
        await backend.forget_history("doc", 4)
        with pytest.raises(HistoryForgotten):
            await storage.history.entries("doc", after=2, limit=9)
        assert await storage.history.entries("doc", after=3, limit=9) == bare[3:]

    # ---- where an operation is ---------------------------------------------------------------------------------------

    @pytest.mark.rule("ST40")
    async def test_locate(self, backend: StoreBackend, storage: Storage) -> None:
        """An operation is found at its entry; one that was submitted under another id, or became none, at the offset that it
        led to. Unknown ones and those of other documents are not.
        """
        entries = [make_entry(1), make_entry(2, operations=(make_operation(), make_operation())), make_entry(3)]
        records = [
            make_submitted("doc", entries[1]),
            make_submitted("doc", entries[1], id="another id", operations=entries[1].operations[1:]),
            make_submitted("doc", entries[2], id="none", operations=()),
            make_submitted("doc", entries[2], id="a", operations=()),
        ]
        elsewhere = make_entry(1)
        async with storage.store.writing(["doc", "other"]) as transaction:
            await transaction.append("doc", entries, records)
            await transaction.append("other", [elsewhere], [make_submitted("other", elsewhere, id="of other")])
        history = (await backend.open_storage()).history
        found = {operation.id: await history.locate("doc", operation.id) for entry in entries for operation in entry.operations}
        assert found == {operation.id: entry.offset for entry in entries for operation in entry.operations}
        located = [await history.locate("doc", record.id) for record in records]
        assert located == [2, 2, 3, 3]
        for unknown in ("A", "á", "a ", new_id(), "of other", elsewhere.operations[0].id):
            assert await history.locate("doc", unknown) is None
        assert await history.locate("nobody", "a") is None
        assert await history.locate("other", "of other") == 1

    # ---- operations in order -----------------------------------------------------------------------------------------

    @pytest.mark.rule("ST41")
    async def test_operations(self, storage: Storage) -> None:
        """Whole entries, with their operations, until so many operations are reached."""
        numbers = [1, 3, 0, 2, 0, 0, 1]
        entries = tuple(
            make_entry(offset, operations=tuple(make_operation(offset) for _ in range(number)))
            for offset, number in enumerate(numbers, 1)
        )
        await write(storage.store, "doc", *entries)

        async def found(after: int, limit: int) -> tuple[Entry, ...]:
            return tuple(await storage.history.operations("doc", after=after, limit=limit, size=SIZE))

        assert await found(0, 1) == entries[:1]
        assert await found(0, 2) == await found(0, 4) == entries[:2]
        assert await found(0, 5) == entries[:4]
        assert await found(0, 7) == await found(0, 100) == entries
        assert await found(1, 1) == entries[1:2]
        assert await found(4, 100) == entries[4:]
        assert await found(7, 100) == await found(8, 100) == await found(0, 0) == ()
        assert await storage.history.operations("nobody", after=0, limit=5, size=SIZE) == ()
        with pytest.raises(ValueError, match="-1"):
            await found(-1, 5)

    @pytest.mark.rule("ST41")
    async def test_entries_without_operations(self, storage: Storage) -> None:
        """Entries that nothing can be seen of count as well, so that an answer has an end; asking on reaches the head."""
        entries = tuple(make_entry(offset, operations=()) for offset in range(1, 8))
        await write(storage.store, "doc", *entries)
        read: list[Entry] = []
        while found := await storage.history.operations("doc", after=len(read), limit=3, size=SIZE):
            assert len(found) <= 3
            read += found
        assert tuple(read) == entries

    @pytest.mark.rule("ST41")
    async def test_bytes_of_operations(self, storage: Storage) -> None:
        """Entries, their positions and contents included, are read up to a size; one that is larger comes alone."""
        deep, long = make_operation(2, position=("k" * 5000, 0)), make_operation(4, content="x" * 5000)
        operations = [(make_operation(1),), (deep,), (), (long,), (make_operation(5),)]
        entries = tuple(make_entry(offset, operations=some) for offset, some in enumerate(operations, 1))
        await write(storage.store, "doc", *entries)

        async def found(after: int, size: int) -> tuple[Entry, ...]:
            return tuple(await storage.history.operations("doc", after=after, limit=100, size=size))

        assert await found(0, 20_000) == entries
        assert await found(0, 6000) == entries[:3]
        assert await found(0, 4000) == await found(0, 0) == entries[:1]
        assert await found(1, 4000) == entries[1:2]
        assert await found(2, 6000) == entries[2:]

    @pytest.mark.rule("ST50")
    async def test_last_operation(self, backend: StoreBackend, storage: Storage) -> None:
        """The last operation of the log up to an offset, which may be in an entry before it."""
        numbers = [0, 2, 1, 0, 0]
        entries = [
            make_entry(offset, operations=tuple(make_operation(offset) for _ in range(number)))
            for offset, number in enumerate(numbers, 1)
        ]
        await write(storage.store, "doc", *entries)
        await fill(storage.store, "other", number=1)
        history = storage.history
        second, third = entries[1].operations[-1].id, entries[2].operations[0].id
        assert [await history.last_operation("doc", until=offset) for offset in range(7)] == [
            *(None, None, second),
            *(third, third, third, third),
        ]
        assert await history.last_operation("nobody", until=5) is None
        await storage.store.save_checkpoint("doc", Checkpoint(4, entries[3].id, b"state", {}))
        await backend.forget_history("doc", 4)
        assert await history.last_operation("doc", until=5) is None

    @pytest.mark.rule("ST41")
    async def test_not_before_commit(self, backend: StoreBackend, storage: Storage) -> None:
        """History is what is committed."""
        other = (await backend.open_storage()).history
        entry = make_entry(1)
        async with storage.store.writing(["doc"]) as transaction:
            await transaction.append("doc", [entry])
            await transaction.entries("doc", start=1)
            assert await other.operations("doc", after=0, limit=5, size=SIZE) == ()
            assert await other.locate("doc", entry.operations[0].id) is None
            assert await other.load_at("doc", 1) is None
        assert await other.operations("doc", after=0, limit=5, size=SIZE) == (entry,)
        assert await other.locate("doc", entry.operations[0].id) == 1
        assert await other.load_at("doc", 1) is not None

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("text", ["", "a\0", "a\ud800", "x" * 256], ids=lambda text: repr(text)[:10])
    async def test_invalid_ids(self, storage: Storage, text: str) -> None:
        """Ids that no database can keep are refused by every call."""
        history = storage.history
        for call in (
            history.load_at(text, 0),
            history.operations(text, after=0, limit=1, size=SIZE),
            history.last_operation(text, until=1),
            history.locate(text, "a"),
            history.locate("doc", text),
        ):
            with pytest.raises(InvalidId):
                await call
