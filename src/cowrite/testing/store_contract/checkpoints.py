"""Contract of stores: opening a document, checkpoints, what happens when stored bytes are damaged."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from cowrite.core.ports import Store, StoreCorrupt
from cowrite.core.records import Checkpoint, Entry
from cowrite.crdt.roots import RootKind
from cowrite.testing.records import fill, make_entry, make_quarantined, new_id, write
from cowrite.testing.store_contract.backend import StoreBackend

ROOTS = {"body": RootKind.TEXT, "meta\0": RootKind.MAP, "list": RootKind.ARRAY, "default": RootKind.XML}


def checkpoint_of(entry: Entry, state: bytes = b"state") -> Checkpoint:
    """A checkpoint at this entry."""
    return Checkpoint(entry.offset, entry.id, state, ROOTS)


class CheckpointContract:
    """Loading."""

    @pytest.mark.rule("ST14")
    async def test_load(self, backend: StoreBackend, store: Store) -> None:
        """A document is opened from its newest checkpoint and the entries after it, without their operations."""
        entries = await fill(store, "doc", number=6)
        bare = tuple(replace(entry, operations=()) for entry in entries)
        loaded = await store.load("doc")
        assert loaded is not None
        assert (loaded.checkpoint, loaded.entries) == (None, bare)
        assert loaded.head == (await store.heads(["doc"]))["doc"]
        for entry, state in ((entries[1], b""), (entries[3], random.Random(1).randbytes(3_000_000))):
            await store.save_checkpoint("doc", checkpoint_of(entry, state))
            loaded = await (await backend.open()).load("doc")
            assert loaded is not None
            assert (loaded.checkpoint, loaded.entries) == (checkpoint_of(entry, state), bare[entry.offset :])
        await store.save_checkpoint("doc", checkpoint_of(entries[5]))
        loaded = await store.load("doc")
        assert loaded is not None
        assert (loaded.checkpoint, loaded.entries) == (checkpoint_of(entries[5]), ())

    @pytest.mark.rule("ST14")
    async def test_load_empty(self, store: Store) -> None:
        """A document that has a head and no entry yet is empty, not unknown."""
        async with store.writing(["doc"]) as transaction:
            head = transaction.heads["doc"]
        loaded = await store.load("doc")
        assert loaded is not None
        assert (loaded.head, loaded.checkpoint, loaded.entries) == (head, None, ())

    @pytest.mark.rule("ST15")
    async def test_checkpoint_of_another_log(self, backend: StoreBackend, store: Store) -> None:
        """A checkpoint is ignored when the entry at its offset is another one, or there is none, or there is no document."""
        entries = await fill(store, "doc", number=2)
        await store.save_checkpoint("doc", replace(checkpoint_of(entries[1]), entry_id=new_id()))
        await store.save_checkpoint("doc", replace(checkpoint_of(entries[1]), offset=3))
        await store.save_checkpoint("doc", Checkpoint(0, "", b"state", ROOTS))
        await store.save_checkpoint("nobody", checkpoint_of(entries[1]))
        assert await backend.checkpoints("doc") == {}
        assert await store.heads(["nobody"]) == {}

    @pytest.mark.rule("ST15")
    async def test_older_checkpoint(self, backend: StoreBackend, store: Store) -> None:
        """A checkpoint older than the newest is ignored; one at the same offset takes its place."""
        entries = await fill(store, "doc", number=3)
        await store.save_checkpoint("doc", checkpoint_of(entries[2], b"old"))
        await store.save_checkpoint("doc", checkpoint_of(entries[1], b"late"))
        assert list(await backend.checkpoints("doc")) == [3]
        await store.save_checkpoint("doc", checkpoint_of(entries[2], b"new"))
        loaded = await store.load("doc")
        assert loaded is not None
        assert loaded.checkpoint == checkpoint_of(entries[2], b"new")

    @pytest.mark.rule("ST16")
    @pytest.mark.parametrize("seed", range(2))
    async def test_thinning(self, backend: StoreBackend, store: Store, seed: int) -> None:
        """The newest is always kept; the others together are never larger than half of the log, and some of them stay."""
        random_source = random.Random(seed)
        log_bytes = kept_at_most = 0
        for _ in range(25):
            size = random_source.choice([10, 100, 1000])
            entries = await fill(store, "doc", number=3, size=size)
            log_bytes += 3 * size
            state = random_source.randbytes(random_source.randrange(1, log_bytes))
            await store.save_checkpoint("doc", checkpoint_of(entries[-1], state))
            kept = await backend.checkpoints("doc")
            newest = max(kept)
            assert newest == entries[-1].offset
            assert 2 * (sum(kept.values()) - kept[newest]) <= log_bytes
            kept_at_most = max(kept_at_most, len(kept))
        assert 3 <= kept_at_most < 20

    @pytest.mark.rule("ST16")
    async def test_what_thinning_keeps(self, backend: StoreBackend, store: Store) -> None:
        """A checkpoint stays when the updates since the kept one before it have at least twice as many bytes as itself."""
        random_source = random.Random(2)
        for size in (800, 800, 180, 400, 800):
            (entry,) = await fill(store, "doc", number=1, size=size)
            # Random bytes do not compress: stored they are a little over 200.
            await store.save_checkpoint("doc", checkpoint_of(entry, random_source.randbytes(200)))
        assert list(await backend.checkpoints("doc")) == [1, 2, 4, 5]

    @pytest.mark.rule("ST17")
    async def test_damaged_checkpoint(self, backend: StoreBackend, store: Store) -> None:
        """A checkpoint that is damaged is ignored and told in the log; the one before it is used, or the whole log."""
        entries = await fill(store, "doc", number=5, size=1000)
        await store.save_checkpoint("doc", checkpoint_of(entries[1]))
        await store.save_checkpoint("doc", checkpoint_of(entries[3]))
        for damaged, rest in ((4, 2), (2, 0)):
            await backend.damage_checkpoint("doc", damaged)
            loaded = await store.load("doc")
            assert loaded is not None
            assert loaded.checkpoint == (checkpoint_of(entries[rest - 1]) if rest else None)
            assert [entry.id for entry in loaded.entries] == [entry.id for entry in entries[rest:]]
        await store.save_checkpoint("doc", checkpoint_of(entries[4]))
        loaded = await store.load("doc")
        assert loaded is not None
        assert loaded.checkpoint == checkpoint_of(entries[4])

    @pytest.mark.rule("ST17")
    async def test_damaged_checkpoints_are_told(self, backend: StoreBackend) -> None:
        """Whoever asks for them is told which are damaged, and of no others; of a document that is not there, of none."""
        storage = await backend.open_storage()
        entries = await fill(storage.store, "doc", number=5, size=1000)
        for entry in (entries[1], entries[3]):
            await storage.store.save_checkpoint("doc", checkpoint_of(entry))
        assert await storage.history.damaged_checkpoints("doc") == {}
        await backend.damage_checkpoint("doc", 2)
        assert list(await storage.history.damaged_checkpoints("doc")) == [2]
        await backend.damage_checkpoint("doc", 4)
        told = await storage.history.damaged_checkpoints("doc")
        assert sorted(told) == [2, 4]
        assert set(told.values()) == {"its checksum does not match"}
        assert await storage.history.damaged_checkpoints("nobody") == {}

    @pytest.mark.rule("ST18")
    async def test_damaged_update(self, backend: StoreBackend, store: Store) -> None:
        """A damaged update is told with its document and offset wherever it is read; other entries are readable."""
        entries = await fill(store, "doc", number=5)
        await backend.damage_update("doc", 3)
        for read in (store.load("doc"), store.entries("doc", start=1, limit=10), store.entries("doc", start=3, limit=1)):
            with pytest.raises(StoreCorrupt, match=r"'doc' at offset 3\b"):
                await read
        assert await store.entries("doc", start=4, limit=10) == tuple(entries[3:])
        await write(store, "other", make_entry(1))

    @pytest.mark.rule("ST18")
    @pytest.mark.parametrize("lost", [1, 3, 5])
    async def test_gap(self, backend: StoreBackend, store: Store, lost: int) -> None:
        """A gap in the offsets, at the beginning, inside or at the end, is told with its document and offset."""
        await fill(store, "doc", number=5)
        await backend.lose_entry("doc", lost)
        for read in (store.load("doc"), store.entries("doc", start=1, limit=10), store.entries("doc", start=lost, limit=1)):
            with pytest.raises(StoreCorrupt, match="'doc'") as caught:
                await read
            assert str(lost) in str(caught.value)

    @pytest.mark.rule("ST18")
    async def test_damage_behind_a_checkpoint(self, backend: StoreBackend, store: Store) -> None:
        """A document whose damaged entry is older than its checkpoint still opens."""
        entries = await fill(store, "doc", number=5)
        await store.save_checkpoint("doc", checkpoint_of(entries[3]))
        await backend.lose_entry("doc", 2)
        loaded = await store.load("doc")
        assert loaded is not None
        assert [entry.offset for entry in loaded.entries] == [5]

    @pytest.mark.rule("ST18")
    async def test_damage_in_a_transaction(self, backend: StoreBackend, store: Store) -> None:
        """A transaction that meets a damaged document can go on with the others, and put updates into quarantine."""
        await fill(store, "doc", number=2)
        await backend.damage_update("doc", 2)
        kept = make_quarantined("doc")
        async with store.writing(["doc", "other"]) as transaction:
            with pytest.raises(StoreCorrupt):
                await transaction.entries("doc", start=1)
            await transaction.quarantine([kept])
            await transaction.append("other", [make_entry(1)])
        assert await backend.quarantined() == (kept,)
        assert (await store.heads(["other"]))["other"].offset == 1
