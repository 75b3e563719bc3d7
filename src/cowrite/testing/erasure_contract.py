"""Every promise of the port ``Erasure``, as tests. An adapter's own tests subclass :class:`ErasureContract`, with the same
fixture ``backend`` as for :class:`cowrite.testing.store_contract.StoreContract`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cowrite.core.ports import HistoryForgotten, InvalidId, Storage
from cowrite.core.records import Checkpoint, Head
from cowrite.testing.history_contract import opened, replayed, typed
from cowrite.testing.purging_contract import PurgingContract, checkpoint_of, info_of
from cowrite.testing.records import (
    fill,
    make_change,
    make_entry,
    new_id,
    write,
)
from cowrite.testing.store_contract import StoreBackend

SIZE = 1 << 20


class ErasureContract(PurgingContract):
    """All of them."""

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
        assert await history.last_operation("doc", until=3) == entries[2].operations[-1].id
        assert await history.locate("doc", entries[2].operations[-1].id) == 3
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

    @pytest.mark.rule("ER5")
    async def test_the_last_operation_stays_as_an_id(self, storage: Storage) -> None:
        """Also one that nobody submitted, and where the last entries have none; until more is forgotten or it is purged."""
        first, second, third, fourth = [make_entry(offset) for offset in range(1, 5)]
        third = replace(third, operations=())
        await write(storage.store, "doc", first, second, third, fourth)
        kept, history = second.operations[-1].id, storage.history
        assert await storage.erasure.forget("doc", checkpoint_of(third))
        assert await history.last_operation("doc", until=3) == kept
        assert await history.last_operation("doc", until=2) is None
        assert [await history.locate("doc", one.operations[-1].id) for one in (first, second, fourth)] == [None, 3, 4]
        async with storage.store.writing(["doc"]) as transaction:
            assert (await transaction.submitted([kept]))[kept].operations == ()
        assert await history.activity("doc", before=None, pause=0, limit=9) != ()
        assert await storage.erasure.forget("doc", checkpoint_of(fourth))
        assert await history.locate("doc", kept) is None
        assert await history.last_operation("doc", until=4) == fourth.operations[-1].id
        await self.deleted(storage, at=1000)
        assert await storage.erasure.purge("doc", deleted_before=1001, at=5000)
        assert await history.locate("doc", fourth.operations[-1].id) is None

    @pytest.mark.rule("HV10")
    async def test_a_time_when_all_is_forgotten(self, storage: Storage) -> None:
        """One behind the last change means the head; one before it means something that is not kept."""
        entries = await fill(storage.store, "doc", number=3)
        assert await storage.erasure.forget("doc", checkpoint_of(entries[-1]))
        assert await storage.history.offset_at("doc", (await info_of(storage)).updated_at) == 3
        assert await storage.history.offset_at("doc", 2**50) == 3
        with pytest.raises(HistoryForgotten):
            await storage.history.offset_at("doc", 0)

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
