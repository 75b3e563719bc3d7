"""Every promise of the port ``Erasure`` about purging, as tests; :class:`cowrite.testing.erasure_contract.ErasureContract` has
them, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cowrite.core.ports import DocumentDeleted, Storage
from cowrite.core.records import Checkpoint, DocumentInfo, Entry
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import ClockRange
from cowrite.testing.history_contract import typed
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


class PurgingContract:
    """Those about documents that are deleted for good."""

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

    @pytest.mark.rule("HS17")
    async def test_claimed_clients_are_retired(self, storage: Storage) -> None:
        """Also one that has brought nothing yet: whoever it is may hold what the document was."""
        await write(storage.store, "doc", make_entry(1, ranges=(ClockRange(5, 0, 3),), claims=(5, 77)))
        await self.deleted(storage)
        assert await storage.erasure.purge("doc", deleted_before=2**50, at=1)
        assert await storage.erasure.retired_clients("doc") >= {5, 77}

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
