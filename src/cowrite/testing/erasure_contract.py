"""Every promise of the port ``Erasure``, as tests. An adapter's own tests subclass :class:`ErasureContract`, with the same
fixture ``backend`` as for :class:`cowrite.testing.store_contract.StoreContract`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cowrite.core.ports import DocumentDeleted, HistoryForgotten, InvalidId, Storage
from cowrite.core.records import Checkpoint, DocumentInfo, Entry, Head
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import ClockRange
from cowrite.testing.history_contract import opened, replayed, typed
from cowrite.testing.records import (
    fill,
    make_change,
    make_entry,
    make_operation,
    make_quarantined,
    make_session,
    make_submitted,
    make_version,
    new_id,
    write,
)
from cowrite.testing.store_contract import StoreBackend

SIZE = 1 << 20


def checkpoint_of(entry: Entry, state: bytes = b"state") -> Checkpoint:
    """A checkpoint at that entry."""
    return Checkpoint(entry.offset, entry.id, state, {})


async def info_of(storage: Storage, document_id: str = "doc") -> DocumentInfo:
    """What is known of it."""
    info = await storage.directory.info(document_id)
    assert info is not None
    return info


class ErasureContract:
    """All of them."""

    @pytest.fixture
    async def storage(self, backend: StoreBackend) -> Storage:
        """The storage on the test's database."""
        return await backend.open_storage()

    async def filled(self, storage: Storage, document_id: str = "doc") -> Sequence[Entry]:
        """A document with six entries and something in every table."""
        entries = [
            make_entry(
                offset,
                created_at=10 * offset,
                update=bytes([offset]) * 99 + b"\0",
                claims=(offset,),
                ranges=(ClockRange(offset, 0, 5), ClockRange(100, offset, 9)),
            )
            for offset in range(1, 7)
        ]
        records = [
            make_submitted(document_id, entry, update=entry.update if entry.offset % 2 else b"more") for entry in entries
        ]
        async with storage.store.writing([document_id]) as transaction:
            await transaction.append(document_id, entries, records)
            await transaction.quarantine([make_quarantined(document_id, created_at=at) for at in (29, 30, 31)])
        for entry in (entries[1], entries[4]):
            await storage.store.save_checkpoint(document_id, checkpoint_of(entry))
        for offset in range(7):
            assert await storage.versions.add(make_version(offset, document_id=document_id))
        return entries

    async def deleted(self, storage: Storage, document_id: str = "doc", *, at: int = 1000) -> None:
        """Delete it softly."""
        assert await storage.directory.delete(document_id, make_change(document_id=document_id, created_at=at))

    # ---- forgetting --------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS12")
    async def test_forgotten(self, backend: StoreBackend, storage: Storage) -> None:
        """All up to the offset is gone, from every table; all behind it stays as it was. Other documents keep theirs."""
        entries = await self.filled(storage)
        await self.filled(storage, "other")
        before = await info_of(storage)
        assert await storage.erasure.forget("doc", checkpoint_of(entries[2]))
        history, versions = storage.history, storage.versions
        assert await info_of(storage) == replace(before, first_offset=4)
        for found in (
            await storage.store.entries("doc", start=1, limit=99),
            await history.operations("doc", after=3, limit=99, size=SIZE),
        ):
            # Claims are written, and not read back everywhere.
            assert [replace(entry, claims=()) for entry in found] == [replace(entry, claims=()) for entry in entries[3:]]
        assert [one.offset for one in await history.authored("doc", after=0, limit=99)] == [4, 5, 6]
        assert [version.offset for version in await versions.list("doc")] == [6, 5, 4, 3]
        assert list(await backend.checkpoints("doc")) == [3, 5]
        assert {one.document_id for one in await backend.quarantined()} == {"other"}
        for offset in range(3):
            with pytest.raises(HistoryForgotten):
                await history.load_at("doc", offset)
        base = await history.load_at("doc", 3)
        assert base is not None
        assert (base.head, base.checkpoint, base.entries) == (
            Head(before.head.epoch, 3, entries[2].id),
            checkpoint_of(entries[2]),
            (),
        )
        assert await history.load_at("doc", 4) is not None
        assert await history.last_operation("doc", until=3) is None
        activity = await history.activity("doc", before=None, pause=99, limit=9)
        assert [(group.first_offset, group.last_offset) for group in activity] == [(4, 6)]
        assert len(await storage.store.entries("other", start=1, limit=99)) == 6
        assert len(await versions.list("other")) == 7
        assert [one.created_at for one in await backend.quarantined() if one.document_id == "other"] == [29, 30, 31]
        assert list(await backend.checkpoints("other")) == [2, 5]

    @pytest.mark.rule("HS24")
    async def test_submitted_is_remembered(self, backend: StoreBackend, storage: Storage) -> None:
        """What was submitted is known when it is sent again, without its content, and is not a session's own any more."""
        entries = await self.filled(storage)
        ids = [entry.operations[0].id for entry in entries]
        async with storage.store.writing(["doc"]) as transaction:
            before = await transaction.submitted(ids)
        session = before[ids[0]].session_id
        assert await storage.erasure.forget("doc", checkpoint_of(entries[2]))
        assert [await storage.history.locate("doc", id_) for id_ in ids] == [1, 2, 3, 4, 5, 6]
        async with storage.store.writing(["doc"]) as transaction:
            known = await transaction.submitted(ids)
            for number, id_ in enumerate(ids):
                emptied = replace(before[id_], operations=(), update=None)
                assert known[id_] == (emptied if number < 3 else before[id_])
            own = await transaction.own_updates("doc", session, after=3)
            assert [one.offset for one in own] == [4, 5, 6]
            assert await transaction.own_updates("doc", session, after=0) == own

    @pytest.mark.rule("HS12")
    async def test_present_is_untouched(self, backend: StoreBackend, storage: Storage) -> None:
        """The document is what it was, at the head and at every offset that is kept; and it can be written to."""
        updates = typed(30)
        entries = [make_entry(offset, update=update) for offset, update in enumerate(updates, 1)]
        await write(storage.store, "doc", *entries[:-1])
        for last in (7, 20, 29):
            at = replayed(updates[:last])
            checkpoint = Checkpoint(last, entries[last - 1].id, at.encode(), at.roots)
            assert await storage.erasure.forget("doc", checkpoint)
            for process in (storage, await backend.open_storage()):
                for offset in (*range(last + 1, 30), 29):
                    stored = await process.history.load_at("doc", offset)
                    assert stored is not None
                    assert opened(stored).content() == replayed(updates[:offset]).content()
        await write(storage.store, "doc", entries[-1])
        stored = await storage.store.load("doc")
        assert stored is not None
        assert (stored.head.offset, len(stored.entries)) == (30, 1)
        assert opened(stored).content() == replayed(updates).content()
        assert await storage.history.offset_at("doc", entries[-1].created_at) == 30

    @pytest.mark.rule("HS12")
    async def test_log_goes_on(self, storage: Storage) -> None:
        """The log's bytes go on from where they were, though nothing is left of it."""
        entries = await fill(storage.store, "doc", number=3, size=100)
        assert await storage.erasure.forget("doc", checkpoint_of(entries[-1]))
        assert (await info_of(storage)).log_bytes == 300
        await fill(storage.store, "doc", number=1, size=50)
        info = await info_of(storage)
        assert (info.log_bytes, info.head.offset, info.first_offset) == (350, 4, 4)

    @pytest.mark.rule("HS13")
    async def test_not_forgotten(self, backend: StoreBackend, storage: Storage) -> None:
        """Only with a checkpoint of an entry that is there; what is forgotten already is so."""
        entries = await self.filled(storage)
        erasure = storage.erasure
        assert not await erasure.forget("doc", replace(checkpoint_of(entries[2]), entry_id=new_id()))
        assert not await erasure.forget("doc", Checkpoint(7, new_id(), b"state", {}))
        assert not await erasure.forget("nobody", checkpoint_of(entries[2]))
        assert await erasure.forget("doc", Checkpoint(0, "", b"state", {}))
        assert (await info_of(storage)).first_offset == 1
        assert len(await storage.versions.list("doc")) == 7
        assert await erasure.forget("doc", checkpoint_of(entries[2]))
        before = await info_of(storage), await backend.checkpoints("doc"), await storage.versions.list("doc")
        for entry in entries[:3]:
            assert await erasure.forget("doc", checkpoint_of(entry, b"another, longer state"))
        assert (await info_of(storage), await backend.checkpoints("doc"), await storage.versions.list("doc")) == before

    @pytest.mark.rule("HS14")
    async def test_base_is_kept(self, backend: StoreBackend, storage: Storage) -> None:
        """What is left of the forgotten entries is not thinned out like other checkpoints, but with the entries behind it."""
        entries = await fill(storage.store, "doc", number=9, size=10)
        assert await storage.erasure.forget("doc", checkpoint_of(entries[2], bytes(range(256)) * 100))
        for entry in entries[3:]:
            await storage.store.save_checkpoint("doc", checkpoint_of(entry))
        assert next(iter(await backend.checkpoints("doc"))) == 3
        for offset in range(4, 10):
            assert await storage.history.load_at("doc", offset) is not None
        assert await storage.erasure.forget("doc", checkpoint_of(entries[6]))
        assert next(iter(await backend.checkpoints("doc"))) == 7

    @pytest.mark.rule("HS15")
    async def test_entries_under_the_lock(self, storage: Storage) -> None:
        """Who was behind is told so, and not that the log is damaged."""
        entries = await fill(storage.store, "doc", number=5)
        assert await storage.erasure.forget("doc", checkpoint_of(entries[2]))
        async with storage.store.writing(["doc"]) as transaction:
            for start in (0, 1, 3):
                with pytest.raises(HistoryForgotten) as caught:
                    await transaction.entries("doc", start=start)
                assert caught.value.first_offset == 4
            assert await transaction.entries("doc", start=4) == tuple(entries[3:])
            assert await transaction.entries("doc", start=6) == ()
        assert await storage.erasure.forget("doc", checkpoint_of(entries[4]))
        async with storage.store.writing(["doc"]) as transaction:
            with pytest.raises(HistoryForgotten):
                await transaction.entries("doc", start=5)
            assert await transaction.entries("doc", start=6) == ()

    @pytest.mark.rule("HS20")
    async def test_waits_for_writers(self, backend: StoreBackend, storage: Storage) -> None:
        """Forgetting and purging come after the transaction that is under way, which is kept."""
        other = await backend.open_storage()
        entries = await fill(storage.store, "doc", number=3)
        await fill(storage.store, "old", number=3)
        await self.deleted(storage, "old")
        async with storage.store.writing(["doc", "old"]) as transaction:
            forgetting = asyncio.create_task(other.erasure.forget("doc", checkpoint_of(entries[2])))
            purging = asyncio.create_task(other.erasure.purge("old", deleted_before=2000, at=3000))
            await asyncio.sleep(0.05)
            assert not forgetting.done()
            assert not purging.done()
            assert len(await transaction.entries("old", start=1)) == 3
            assert await transaction.entries("doc", start=1) == tuple(entries)
            await transaction.append("doc", [make_entry(4)])
        assert await forgetting
        assert await purging
        assert [entry.offset for entry in await storage.store.entries("doc", start=1, limit=9)] == [4]

    @pytest.mark.rule("HS25")
    async def test_nothing_is_left(self, storage: Storage) -> None:
        """When a call has returned that scrubs, nothing is left to do; finishing does no harm then."""
        entries = await self.filled(storage)
        await self.filled(storage, "old")
        await self.deleted(storage, "old")
        erasure = storage.erasure
        assert await erasure.forget("doc", checkpoint_of(entries[2]), scrub=False)
        assert list(await erasure.unfinished()) == ["doc"]
        assert await erasure.purge("old", deleted_before=2**50, at=1, scrub=False)
        assert list(await erasure.unfinished()) == ["doc", "old"]
        await erasure.finish("doc", scrub=False)
        assert list(await erasure.unfinished()) == ["doc", "old"]
        await erasure.finish("doc")
        assert list(await erasure.unfinished()) == []
        for name in ("doc", "old", "nobody"):
            await erasure.finish(name)
            await erasure.finish(name, scrub=False)
        assert [entry.offset for entry in await storage.store.entries("doc", start=1, limit=99)] == [4, 5, 6]

    # ---- purging -----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS16")
    async def test_purged(self, backend: StoreBackend, storage: Storage) -> None:
        """Nothing that it held is left; other documents keep theirs."""
        entries = await self.filled(storage)
        await self.filled(storage, "other")
        session, theirs = make_session(), make_session(document_id="other")
        for one in (session, theirs):
            await storage.access.begin_session(one)
        await self.deleted(storage, at=1000)
        before = await info_of(storage)
        assert await storage.erasure.purge("doc", deleted_before=1001, at=5000)
        info = await info_of(storage)
        assert (info.head.offset, info.head.entry_id, info.first_offset, info.log_bytes) == (0, "", 1, 0)
        assert (info.deleted_at, info.purged_at, info.created_at) == (1000, 5000, before.created_at)
        assert info.head.epoch != before.head.epoch
        assert await storage.store.entries("doc", start=1, limit=99) == ()
        loaded = await storage.store.load("doc")
        assert loaded is not None
        assert (loaded.head, loaded.checkpoint, loaded.entries) == (info.head, None, ())
        assert await storage.versions.list("doc") == ()
        assert await storage.history.authored("doc", after=0, limit=9) == ()
        assert await storage.history.activity("doc", before=None, pause=1, limit=9) == ()
        assert await backend.checkpoints("doc") == {}
        assert await backend.clients("doc") == {}
        assert {one.document_id for one in await backend.quarantined()} == {"other"}
        assert await storage.access.session(session.session_id) is None
        assert await storage.history.locate("doc", entries[3].operations[0].id) is None
        async with storage.store.writing(["doc"]) as transaction:
            assert await transaction.submitted([entry.operations[0].id for entry in entries]) == {}
        assert await storage.access.session(theirs.session_id) == theirs
        assert len(await storage.store.entries("other", start=1, limit=99)) == 6
        assert len(await storage.versions.list("other")) == 7
        assert len(await backend.clients("other")) == 6

    @pytest.mark.rule("HS16")
    async def test_not_purged(self, storage: Storage) -> None:
        """Only what was deleted long enough ago, and once."""
        await self.filled(storage)
        erasure = storage.erasure
        assert not await erasure.purge("doc", deleted_before=2**50, at=1)
        assert not await erasure.purge("nobody", deleted_before=2**50, at=1)
        await self.deleted(storage, at=1000)
        assert not await erasure.purge("doc", deleted_before=1000, at=1)
        assert len(await storage.store.entries("doc", start=1, limit=99)) == 6
        assert await erasure.purge("doc", deleted_before=1001, at=5000)
        assert not await erasure.purge("doc", deleted_before=2**50, at=6000)
        assert (await info_of(storage)).purged_at == 5000

    @pytest.mark.rule("HS16")
    async def test_stays_purged(self, storage: Storage) -> None:
        """It cannot be undeleted, deleted, created or written to; it is listed among those that are deleted."""
        await self.filled(storage)
        await self.deleted(storage)
        assert await storage.erasure.purge("doc", deleted_before=2**50, at=5000)
        before, changes = await info_of(storage), await storage.access.changes(after=0)
        assert not await storage.directory.undelete("doc", make_change())
        assert not await storage.directory.delete("doc", make_change())
        assert not await storage.directory.create("doc")
        async with storage.store.writing(["doc"]) as transaction:
            assert set(transaction.deleted) == {"doc"}
            with pytest.raises(DocumentDeleted):
                await transaction.append("doc", [make_entry(1)])
        with pytest.raises(DocumentDeleted):
            await storage.versions.add(make_version(0))
        assert await info_of(storage) == before
        assert await storage.access.changes(after=0) == changes
        assert await storage.directory.list(after=None, limit=9) == ()
        assert await storage.directory.list(after=None, limit=9, deleted=True) == (before,)

    @pytest.mark.rule("HS19")
    async def test_purgeable(self, storage: Storage) -> None:
        """Those that were deleted before a time, and are not purged yet."""
        for name, at in (("b", 10), ("a", 20), ("c", 15), ("later", 30), ("kept", None)):
            await fill(storage.store, name, number=1)
            if at is not None:
                await self.deleted(storage, name, at=at)
        erasure = storage.erasure
        assert list(await erasure.purgeable(deleted_before=30, limit=9)) == ["b", "c", "a"]
        assert list(await erasure.purgeable(deleted_before=30, limit=2)) == ["b", "c"]
        assert list(await erasure.purgeable(deleted_before=30, limit=0)) == []
        assert await erasure.purge("b", deleted_before=30, at=31)
        assert await storage.directory.undelete("c", make_change(document_id="c"))
        assert list(await erasure.purgeable(deleted_before=31, limit=9)) == ["a", "later"]

    @pytest.mark.rule("HS17")
    async def test_retired_clients(self, storage: Storage) -> None:
        """Everybody who wrote: in entries that are there, in those that were forgotten, and before earlier purges."""
        large = 2**53 - 1
        await write(storage.store, "doc", make_entry(1, ranges=(ClockRange(large, 0, 3), ClockRange(5, 1, 2))))
        assert await storage.erasure.retired_clients("doc") == frozenset()
        await self.deleted(storage)
        assert await storage.erasure.purge("doc", deleted_before=2**50, at=5000)
        assert await storage.erasure.retired_clients("doc") == {large, 5}
        assert await storage.erasure.recreate("doc", make_change())
        assert await storage.erasure.retired_clients("doc") == {large, 5}
        (update,) = typed(1)[-1:]
        document = LogDocument.empty()
        document.commit([update], [inspect(update)])
        assert {brought.client for brought in inspect(update).brings} == {7}
        forgotten = make_entry(1, update=update, ranges=inspect(update).brings)
        await write(storage.store, "doc", forgotten, make_entry(2, ranges=(ClockRange(9, 0, 1),)))
        assert await storage.erasure.forget("doc", checkpoint_of(forgotten, document.encode()))
        await self.deleted(storage)
        assert await storage.erasure.purge("doc", deleted_before=2**50, at=5000)
        assert await storage.erasure.retired_clients("doc") == {large, 5, 7, 9}
        assert await storage.erasure.retired_clients("nobody") == frozenset()

    @pytest.mark.rule("HS17")
    async def test_purged_though_damaged(self, backend: StoreBackend, storage: Storage) -> None:
        """A damaged checkpoint is no reason to keep a document; those whose entries are there are known."""
        entries = [make_entry(1), make_entry(2, ranges=(ClockRange(9, 0, 1),))]
        await write(storage.store, "doc", *entries)
        assert await storage.erasure.forget("doc", checkpoint_of(entries[0]))
        await backend.damage_checkpoint("doc", 1)
        await self.deleted(storage)
        assert await storage.erasure.purge("doc", deleted_before=2**50, at=5000)
        assert await storage.erasure.retired_clients("doc") == {9}

    @pytest.mark.rule("HS18")
    async def test_recreated(self, backend: StoreBackend, storage: Storage) -> None:
        """It is there again, empty and under a new epoch, with its change of access; once."""
        await self.filled(storage)
        erasure = storage.erasure
        assert not await erasure.recreate("doc", make_change())
        await self.deleted(storage)
        assert not await erasure.recreate("doc", make_change())
        assert await erasure.purge("doc", deleted_before=2**50, at=5000)
        purged = await info_of(storage)
        change = make_change(created_at=7000)
        others = [(await backend.open_storage()).erasure for _ in range(2)]
        attempts = [one.recreate("doc", replace(change, id=new_id())) for one in (erasure, *others)]
        assert sorted(await asyncio.gather(*attempts)) == [False, False, True]
        info = await info_of(storage)
        assert (info.head.offset, info.deleted_at, info.purged_at, info.created_at) == (0, None, None, 7000)
        assert info.head.epoch != purged.head.epoch
        changes = await storage.access.changes(after=0)
        assert [(one.revision, one.created_at) for one in changes] == [(1, 1000), (2, 7000)]
        await write(storage.store, "doc", make_entry(1, operations=(make_operation(),)))
        assert (await info_of(storage)).head.offset == 1
        assert not await erasure.recreate("nobody", make_change(document_id="nobody"))
        with pytest.raises(ValueError, match="'doc'"):
            await erasure.recreate("doc", make_change(document_id="other"))

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("text", ["", "a\0", "a\ud800", "x" * 256], ids=lambda text: repr(text)[:10])
    async def test_invalid_ids(self, storage: Storage, text: str) -> None:
        """Ids that no database can keep are refused by every call."""
        erasure = storage.erasure
        for call in (
            erasure.forget(text, Checkpoint(1, "x", b"", {})),
            erasure.purge(text, deleted_before=1, at=1),
            erasure.recreate(text, make_change(document_id=text)),
            erasure.retired_clients(text),
            erasure.finish(text),
        ):
            with pytest.raises(InvalidId):
                await call
