"""Every promise of the port ``Directory``, as tests. An adapter's own tests subclass :class:`DirectoryContract`, with the same
fixture ``backend`` as for :class:`cowrite.testing.store_contract.StoreContract`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ports import Directory, DocumentDeleted, InvalidId, Storage
from cowrite.core.records import DocumentInfo
from cowrite.testing.records import fill, make_change, make_entry, new_id, write
from cowrite.testing.store_contract import StoreBackend

NAMES = (
    "a",
    "A",
    "á",
    "a\N{COMBINING ACUTE ACCENT}",
    "a ",
    " a",
    "a\n",
    "ab",
    "a%",
    "a_",
    "a/b",
    "B",
    "b",
    "\ud7ff",
    "\ud7ffx",
    "\ue000",
    "\uffff",
    "😀",
    "\U0010ffff",
    "\U0010ffff\U0010ffff",
    "\U0010ffffx",
    "x" * 255,
)
"""Ids whose order depends on how they are compared."""


def bytewise(names: Sequence[str]) -> list[str]:
    """In the order of their bytes in UTF-8."""
    return sorted(names, key=str.encode)


async def listed(directory: Directory, **options: object) -> list[str]:
    """The ids of all documents, read page by page."""
    found: list[DocumentInfo] = []
    after: str | None = None
    while page := await directory.list(after=after, limit=4, **options):  # type: ignore[arg-type]
        assert len(page) <= 4
        found += page
        after = found[-1].document_id
    return [info.document_id for info in found]


class DirectoryContract:
    """All of them."""

    @pytest.fixture
    async def storage(self, backend: StoreBackend) -> Storage:
        """The storage on the test's database."""
        return await backend.open_storage()

    # ---- reading -----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("ST46")
    async def test_list(self, storage: Storage) -> None:
        """All documents are listed in the bytewise order of their ids, by pages, from any place, that of no document too."""
        async with storage.store.writing(NAMES):
            pass
        ordered = bytewise(NAMES)
        assert await listed(storage.directory) == ordered
        for after in (*NAMES, "0", "aa", "\ud7ffa"):
            found = await storage.directory.list(after=after, limit=100)
            assert [info.document_id for info in found] == bytewise([name for name in NAMES if name.encode() > after.encode()])
        assert len(await storage.directory.list(after=None, limit=0)) == 0
        assert len(await storage.directory.list(after=None, limit=-1)) == 0

    @pytest.mark.rule("ST46")
    @pytest.mark.parametrize("prefix", ["a", "A", "a ", "a%", "_", "\ud7ff", "\ue000", "\U0010ffff", "😀", "x" * 255, "zz"])
    async def test_prefix(self, storage: Storage, prefix: str) -> None:
        """Only documents whose ids begin with the prefix, exactly so; paging stays within it."""
        async with storage.store.writing(NAMES):
            pass
        matching = bytewise([name for name in NAMES if name.startswith(prefix)])
        assert await listed(storage.directory, prefix=prefix) == matching
        found = await storage.directory.list(after="", limit=100, prefix=prefix)
        assert [info.document_id for info in found] == matching
        assert await storage.directory.list(after="\U0010ffff" * 255, limit=100, prefix=prefix) == ()

    @pytest.mark.rule("ST46")
    async def test_info(self, backend: StoreBackend, storage: Storage) -> None:
        """What is known of a document: its head, the bytes of its log, when it was made and last written to."""
        before = SystemClock().now()
        entries = await fill(storage.store, "doc", number=3, size=100)
        await write(storage.store, "other", make_entry(1, update=b""))
        head = (await storage.store.heads(["doc"]))["doc"]
        directory = (await backend.open_storage()).directory
        info = await directory.info("doc")
        assert info is not None
        assert info == DocumentInfo("doc", head, info.created_at, info.updated_at, None, 300)
        assert info.head.entry_id == entries[-1].id
        assert before <= info.created_at <= info.updated_at <= SystemClock().now()
        await asyncio.sleep(0.005)
        await fill(storage.store, "doc", number=1, size=50)
        again = await directory.info("doc")
        assert again is not None
        assert (again.log_bytes, again.created_at, again.head.offset) == (350, info.created_at, 4)
        assert again.updated_at > info.updated_at
        assert [found.document_id for found in await directory.list(after=None, limit=1)] == ["doc"]
        assert (await directory.list(after=None, limit=1))[0] == again
        assert await directory.info("Doc") is None

    # ---- making ------------------------------------------------------------------------------------------------------

    @pytest.mark.rule("ST47")
    async def test_create(self, backend: StoreBackend, storage: Storage) -> None:
        """A document that is created is there and empty, with an epoch; one that is there already stays as it is."""
        assert await storage.directory.create("doc")
        info = await storage.directory.info("doc")
        assert info is not None
        assert (info.head.offset, info.head.entry_id, info.log_bytes, info.deleted_at) == (0, "", 0, None)
        assert info.head.epoch
        await fill(storage.store, "doc", number=1)
        other = (await backend.open_storage()).directory
        assert not await other.create("doc")
        kept = await other.info("doc")
        assert kept is not None
        assert (kept.head.epoch, kept.head.offset) == (info.head.epoch, 1)

    @pytest.mark.rule("ST47")
    async def test_created_once(self, backend: StoreBackend) -> None:
        """Of many that create a document at once, exactly one is told that it has."""
        directories = [(await backend.open_storage()).directory for _ in range(3)]
        answers = await asyncio.gather(*(directory.create("doc") for directory in directories for _ in range(3)))
        assert sorted(answers) == [False] * 8 + [True]

    # ---- deleting ----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("ST48")
    async def test_delete(self, backend: StoreBackend, storage: Storage) -> None:
        """Deleting marks a document, at the time of the change, and adds the change; nothing else of it is touched, and the
        deletion can be taken back.
        """
        await fill(storage.store, "doc", number=2)
        await fill(storage.store, "other", number=1)
        before = await storage.directory.info("doc")
        loaded = await storage.store.load("doc")
        assert before is not None
        deletion, return_ = (make_change(user_id=None, session_id=None, grant=None, created_at=at) for at in (1234, 5678))
        directory = (await backend.open_storage()).directory
        assert await directory.delete("doc", deletion)
        assert await storage.directory.info("doc") == replace(before, deleted_at=1234)
        assert await storage.store.load("doc") == loaded
        assert await listed(storage.directory) == ["other"]
        assert await listed(storage.directory, deleted=True) == ["doc", "other"]
        assert await storage.access.changes(after=0) == (replace(deletion, revision=1),)
        assert not await storage.directory.create("doc")
        assert await directory.undelete("doc", return_)
        assert await storage.directory.info("doc") == before
        assert await listed(storage.directory) == ["doc", "other"]
        assert await storage.access.changes(after=1) == (replace(return_, revision=2),)

    @pytest.mark.rule("ST48")
    async def test_nothing_to_delete(self, storage: Storage) -> None:
        """What is not there, or deleted already, is not deleted, and no change is added; so with taking it back. The change of
        another document is the caller's mistake.
        """
        await fill(storage.store, "doc", number=1)
        directory = storage.directory
        assert not await directory.delete("nobody", make_change(document_id="nobody"))
        assert not await directory.undelete("nobody", make_change(document_id="nobody"))
        assert not await directory.undelete("doc", make_change())
        assert await directory.delete("doc", make_change(created_at=1))
        assert not await directory.delete("doc", make_change(created_at=2))
        info = await directory.info("doc")
        assert info is not None
        assert info.deleted_at == 1
        for call in (directory.delete, directory.undelete):
            for document_id in ("Doc", None):
                with pytest.raises(ValueError, match="'doc'"):
                    await call("doc", make_change(document_id=document_id))
        assert len(await storage.access.changes(after=0)) == 1
        assert await directory.info("nobody") is None

    @pytest.mark.rule("ST48")
    async def test_nothing_is_written_to_a_deleted_document(self, storage: Storage) -> None:
        """A transaction knows which of its documents are deleted, and can go on with the others."""
        await fill(storage.store, "doc", number=1)
        assert await storage.directory.delete("doc", make_change())
        async with storage.store.writing(["doc", "other"]) as transaction:
            assert set(transaction.deleted) == {"doc"}
            assert transaction.access_revision == 1
            assert transaction.heads["doc"].offset == 1
            assert [entry.offset for entry in await transaction.entries("doc", start=1)] == [1]
            with pytest.raises(DocumentDeleted, match="'doc'"):
                await transaction.append("doc", [make_entry(2)])
            await transaction.append("other", [make_entry(1)])
        heads = await storage.store.heads(["doc", "other"])
        assert {document_id: head.offset for document_id, head in heads.items()} == {"doc": 1, "other": 1}
        assert await storage.directory.undelete("doc", make_change())
        async with storage.store.writing(["doc"]) as transaction:
            assert set(transaction.deleted) == set()
            await transaction.append("doc", [make_entry(2)])

    @pytest.mark.rule("ST48")
    async def test_deletion_waits_for_writers(self, backend: StoreBackend, storage: Storage) -> None:
        """A deletion comes after the transaction that is under way, which is kept."""
        other = await backend.open_storage()
        await fill(storage.store, "doc", number=1)
        async with storage.store.writing(["doc"]) as transaction:
            deleting = asyncio.create_task(other.directory.delete("doc", make_change()))
            await asyncio.sleep(0.1)
            assert not deleting.done()
            assert set(transaction.deleted) == set()
            await transaction.append("doc", [make_entry(2)])
        assert await deleting
        info = await other.directory.info("doc")
        assert info is not None
        assert (info.head.offset, info.deleted_at is not None) == (2, True)

    @pytest.mark.rule("ST48")
    async def test_deleted_once(self, backend: StoreBackend, storage: Storage) -> None:
        """Of many that delete a document at once exactly one has, and its change is there."""
        await fill(storage.store, "doc", number=1)
        directories = [(await backend.open_storage()).directory for _ in range(3)]
        answers = await asyncio.gather(
            *(directory.delete("doc", make_change(id=new_id())) for directory in directories for _ in range(3))
        )
        assert sorted(answers) == [False] * 8 + [True]
        assert [change.revision for change in await storage.access.changes(after=0)] == [1]

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("text", ["a\0", "a\ud800", "x" * 256], ids=lambda text: repr(text)[:10])
    async def test_invalid_ids(self, storage: Storage, text: str) -> None:
        """Ids and prefixes that no database can keep are refused by every call."""
        directory = storage.directory
        for call in (
            directory.info(text),
            directory.create(text),
            directory.delete(text, make_change(document_id=text)),
            directory.undelete(text, make_change(document_id=text)),
            directory.delete("doc", make_change(reason="\0")),
            directory.list(after=text, limit=1),
            directory.list(after=None, limit=1, prefix=text),
            directory.info(""),
            directory.create(""),
        ):
            with pytest.raises(InvalidId):
                await call
        assert await directory.list(after=None, limit=1, deleted=True) == ()
