"""Contract of stores: heads, their locks, epochs."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from cowrite.core.ports import InvalidId, Store, StoreBusy, StoreUnavailable
from cowrite.core.records import Head
from cowrite.testing.records import fill, make_entry, make_quarantined, new_id, write
from cowrite.testing.store_contract.backend import StoreBackend


class HeadContract:
    """Heads and who may move them."""

    @pytest.mark.rule("ST7")
    async def test_one_writer_at_a_time(self, backend: StoreBackend) -> None:
        """Writers of one document come one after the other, each finding what the ones before have committed."""
        stores = [await backend.open() for _ in range(3)]
        random_source = random.Random(7)

        async def writer(store: Store, number: int) -> None:
            written = 0
            while written < number:
                try:
                    async with store.writing(["a", "b"], wait=random_source.choice([None, 5])) as transaction:
                        for document_id, head in transaction.heads.items():
                            seen = await transaction.entries(document_id, start=max(1, head.offset))
                            assert [entry.id for entry in seen] == ([head.entry_id] if head.offset else [])
                            await transaction.append(document_id, [make_entry(head.offset + 1)])
                            written += document_id == "a"
                except StoreBusy:
                    await asyncio.sleep(random_source.random() / 100)

        await asyncio.gather(*(writer(store, 5) for store in stores for _ in range(2)))
        assert [entry.offset for entry in await stores[0].entries("a", start=1, limit=1000)] == list(range(1, 31))
        heads = await stores[0].heads(["a", "b"])
        assert len(await stores[1].entries("b", start=1, limit=1000)) == heads["b"].offset
        assert heads["a"].offset == 30

    @pytest.mark.rule("ST8")
    async def test_held_document(self, backend: StoreBackend, store: Store) -> None:
        """A document whose lock is held is left out, or waited for as long as was said."""
        other = await backend.open(patient=False)
        await write(store, "a", make_entry(1))
        await write(store, "b", make_entry(1))
        async with store.writing(["a"]) as holder:
            assert holder.heads["a"].offset == 1
            if backend.locks_documents:
                async with other.writing(["a", "b"]) as transaction:
                    assert list(transaction.heads) == ["b"]
                    await transaction.append("b", [make_entry(2)])
            with pytest.raises(StoreBusy):
                await write_within(other, "a", seconds=0.1)
            await holder.append("a", [make_entry(2)])
        async with other.writing(["a", "b"]) as transaction:
            assert transaction.heads["a"].offset == 2

    @pytest.mark.rule("ST8")
    async def test_lock_is_waited_for(self, backend: StoreBackend, store: Store) -> None:
        """A writer that waits goes on when the lock is free, and finds the head as it is then."""
        other = await backend.open()
        async with store.writing(["doc"]) as holder:
            waiting = asyncio.create_task(write_within(other, "doc", seconds=5))
            await asyncio.sleep(0.05)
            await holder.append("doc", [make_entry(1)])
        assert (await waiting).offset == 1

    @pytest.mark.rule("ST8")
    async def test_lock_is_free_after_failure(self, backend: StoreBackend, store: Store) -> None:
        """A transaction that failed, was refused its lock or was cancelled holds nothing any more."""
        impatient = await backend.open(patient=False)
        with pytest.raises(ZeroDivisionError):
            await fail(impatient, "doc")
        async with store.writing(["doc"]):
            with pytest.raises(StoreBusy):
                await write_within(impatient, "doc", seconds=0.05)
        await write_within(store, "doc", seconds=5)
        await write_within(impatient, "doc", seconds=5)

    @pytest.mark.rule("ST9")
    @pytest.mark.parametrize("turns", range(12))
    async def test_cancellation(self, backend: StoreBackend, store: Store, turns: int) -> None:
        """Cancelled at any moment, a transaction is rolled back or committed, never half; the store goes on working."""
        await write(store, "doc", make_entry(1))
        entered = asyncio.Event()

        async def victim() -> None:
            entered.set()
            async with store.writing(["doc"], wait=5) as transaction:
                await transaction.append("doc", [make_entry(2), make_entry(3)])
                await transaction.entries("doc", start=1)

        task = asyncio.create_task(victim())
        await entered.wait()
        # Through all the places where it can wait: first some turns of the loop, then some time for threads.
        for turn in range(turns):
            await asyncio.sleep(0 if turn < 4 else 0.0005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        offset = (await store.heads(["doc"]))["doc"].offset
        assert offset in (1, 3)
        assert len(await store.entries("doc", start=1, limit=10)) == offset
        await write_within(await backend.open(), "doc", seconds=5)
        await write_within(store, "doc", seconds=5)

    @pytest.mark.rule("ST10")
    async def test_unknown_document(self, backend: StoreBackend, store: Store) -> None:
        """Reading a document that nobody has written to finds nothing, and makes no row."""
        assert await store.load("doc") is None
        assert await store.entries("doc", start=1, limit=5) == ()
        assert await (await backend.open()).heads(["doc"]) == {}
        assert await store.heads([]) == {}

    @pytest.mark.rule("ST11")
    async def test_two_creators(self, backend: StoreBackend) -> None:
        """Writers that make a document at the same time agree on its epoch; it stays when they write nothing or fail."""
        stores = [await backend.open() for _ in range(4)]

        async def create(store: Store) -> Head:
            async with store.writing(["new"], wait=5) as transaction:
                return transaction.heads["new"]

        heads = await asyncio.gather(*map(create, stores))
        assert len(set(heads)) == 1
        assert (heads[0].offset, heads[0].entry_id, len(heads[0].epoch)) == (0, "", 36)
        with pytest.raises(ZeroDivisionError):
            await fail(stores[0], "new", "newer")
        found = await stores[1].heads(["new", "newer"])
        assert found["new"] == heads[0]
        assert found["newer"].epoch != heads[0].epoch

    @pytest.mark.rule("ST11")
    async def test_many_documents(self, store: Store) -> None:
        """One transaction takes a thousand documents, of which some are new, in any order, also named twice."""
        names = [f"doc {number:04}" for number in range(1000)]
        async with store.writing(names[::2]) as transaction:
            for name in names[::2]:
                await transaction.append(name, [make_entry(1)])
        random.Random(3).shuffle(names)
        async with store.writing([*names, *names]) as transaction:
            assert list(transaction.heads) == sorted(names)
            for name in names:
                await transaction.append(name, [make_entry(transaction.heads[name].offset + 1)])
        assert {head.offset for head in (await store.heads(names)).values()} == {1, 2}

    @pytest.mark.rule("ST12")
    async def test_epoch(self, backend: StoreBackend, store: Store) -> None:
        """A new epoch keeps the offsets; all stores see it; it works together with entries, and before them."""
        first, second = await fill(store, "doc", number=2)
        epochs = [new_id(), new_id()]
        async with store.writing(["doc"]) as transaction:
            await transaction.renew_epoch("doc", epochs[0])
            assert transaction.heads["doc"] == Head(epochs[0], 2, second.id)
            await transaction.append("doc", [make_entry(3)])
            await transaction.renew_epoch("doc", epochs[1])
        loaded = await (await backend.open()).load("doc")
        assert loaded is not None
        assert (loaded.head.epoch, loaded.head.offset) == (epochs[1], 3)
        assert loaded.entries[0].id == first.id
        async with store.writing(["doc"]) as transaction:
            with pytest.raises(InvalidId):
                await transaction.renew_epoch("doc", "x" * 37)

    @pytest.mark.rule("ST7")
    async def test_transaction_reads(self, store: Store) -> None:
        """Inside a transaction the log is read from any offset to its end, with what was appended in it."""
        entries = await fill(store, "doc", number=3)
        added = [make_entry(4), make_entry(5)]
        async with store.writing(["doc"]) as transaction:
            assert await transaction.entries("doc", start=2) == tuple(entries[1:])
            assert await transaction.entries("doc", start=4) == ()
            assert await transaction.entries("doc", start=9) == ()
            await transaction.append("doc", added[:1])
            await transaction.append("doc", [])
            assert transaction.heads["doc"].entry_id == added[0].id
            assert await transaction.entries("doc", start=3) == (entries[2], added[0])
            await transaction.append("doc", added[1:])
        assert await store.entries("doc", start=0, limit=10) == (*entries, *added)

    @pytest.mark.rule("ST13")
    async def test_closed(self, store: Store) -> None:
        """A store that was closed says that it is; closing it twice is no harm."""
        await store.close()
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.load("doc")
        with pytest.raises(StoreUnavailable, match="closed"):
            await write(store, "doc", make_entry(1))

    @pytest.mark.rule("ST13")
    async def test_close_waits(self, backend: StoreBackend, store: Store) -> None:
        """Closing lets the transaction that is under way end as it would."""
        async with store.writing(["doc"]) as transaction:
            closing = asyncio.create_task(store.close())
            await asyncio.sleep(0.02)
            await transaction.append("doc", [make_entry(1)])
            await transaction.quarantine([make_quarantined("doc")])
        await closing
        assert (await (await backend.open()).heads(["doc"]))["doc"].offset == 1


async def fail(store: Store, *document_ids: str) -> None:
    """A transaction that does something and then fails."""
    async with store.writing(document_ids) as transaction:
        for document_id, head in transaction.heads.items():
            await transaction.append(document_id, [make_entry(head.offset + 1)])
        raise ZeroDivisionError


async def write_within(store: Store, document_id: str, *, seconds: float) -> Head:
    """Append one entry; returns the head that was found."""
    async with store.writing([document_id], wait=seconds) as transaction:
        head = transaction.heads[document_id]
        await transaction.append(document_id, [make_entry(head.offset + 1)])
    return head
