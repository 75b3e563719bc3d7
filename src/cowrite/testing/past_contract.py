"""Every promise of the port ``History`` about who did what and when, as tests. An adapter's own tests subclass
:class:`PastContract`, with the same fixture ``backend`` as for :class:`cowrite.testing.store_contract.StoreContract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from pycrdt import Text

from cowrite.core.ports import HistoryForgotten, InvalidId, Storage, StoreCorrupt
from cowrite.core.records import ActivityGroup, Authored, Cause, CauseKind, Entry
from cowrite.crdt.operations import OperationType
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.utf16 import utf16_document
from cowrite.testing.records import fill, make_entry, make_operation, write
from cowrite.testing.store_contract import StoreBackend

RESTORE = Cause(CauseKind.RESTORE, 2, root="body", copies=((7, 0, 3, 8, 2**31), (2**53 - 1, 0, 1, 9, 9)))
UNDO = Cause(CauseKind.UNDO, 3, after=1, author="ána")


def timed(*times: int, author: str = "ana") -> list[Entry]:
    """Entries of these times."""
    return [make_entry(offset, created_at=at, author=author) for offset, at in enumerate(times, 1)]


def authored(entry: Entry, inserted: int, deleted: int) -> Authored:
    """What is to be known of it."""
    return Authored(entry.offset, entry.author, entry.created_at, entry.ranges, inserted, deleted, entry.cause)


class PastContract:
    """All of them."""

    @pytest.fixture
    async def storage(self, backend: StoreBackend) -> Storage:
        """The storage on the test's database."""
        return await backend.open_storage()

    # ---- causes ------------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS3")
    async def test_causes(self, storage: Storage) -> None:
        """The cause of an entry comes back with it, from every call that gives entries; its copies only where authors are asked
        for.
        """
        made = [make_entry(1), make_entry(2, cause=RESTORE), make_entry(3, cause=UNDO)]
        without = replace(RESTORE, copies=())
        entries = [made[0], replace(made[1], cause=without), made[2]]
        async with storage.store.writing(["doc"]) as transaction:
            await transaction.append("doc", made)
            assert await transaction.entries("doc", start=1) == tuple(entries)
        assert await storage.store.entries("doc", start=1, limit=9) == tuple(entries)
        assert await storage.history.operations("doc", after=0, limit=9, size=1 << 20) == tuple(entries)
        for stored in (await storage.store.load("doc"), await storage.history.load_at("doc", 3)):
            assert stored is not None
            assert [entry.cause for entry in stored.entries] == [None, without, UNDO]
        assert [one.cause for one in await storage.history.authored("doc", after=0, limit=9)] == [None, RESTORE, UNDO]

    # ---- times -------------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS4")
    @pytest.mark.parametrize("times", [(), (5,), (5, 5, 5), (1, 3, 3, 3, 8, 9, 9, 20), tuple(range(0, 100, 3))])
    async def test_offset_at(self, storage: Storage, times: Sequence[int]) -> None:
        """It is found at every time, before the first entry and behind the last one too, where several have the same time."""
        await write(storage.store, "doc", *timed(*times))
        await write(storage.store, "other", *timed(2, 4))
        for at in range(-1, max(times, default=0) + 3):
            assert await storage.history.offset_at("doc", at) == sum(1 for time in times if time <= at)
        assert await storage.history.offset_at("nobody", 5) == 0

    @pytest.mark.rule("HS4")
    @pytest.mark.parametrize("times", [(9, 1), (5, 9, 3, 7), (1, 2, 900, 900, 3, 4, 5, 6), (8, 7, 6, 5, 4), (3, 9, 1, 9, 1, 9)])
    async def test_offset_at_where_time_steps_back(self, storage: Storage, times: Sequence[int]) -> None:
        """It is an entry made by then whose next one was made later, or the beginning or the end."""
        await write(storage.store, "doc", *timed(*times))
        for at in range(max(times) + 2):
            found = await storage.history.offset_at("doc", at)
            assert found == 0 or times[found - 1] <= at
            assert found == len(times) or times[found] > at

    @pytest.mark.rule("HS4")
    async def test_offset_at_forgotten(self, backend: StoreBackend, storage: Storage) -> None:
        """Before the first entry that is kept nothing is known any more."""
        await write(storage.store, "doc", *timed(10, 20, 30, 40))
        await backend.forget_history("doc", 3)
        assert [await storage.history.offset_at("doc", at) for at in (30, 39, 40)] == [3, 3, 4]
        for at in (0, 20, 29):
            with pytest.raises(HistoryForgotten) as caught:
                await storage.history.offset_at("doc", at)
            assert caught.value.first_offset == 3

    @pytest.mark.rule("HS4")
    async def test_offset_at_a_gap(self, backend: StoreBackend, storage: Storage) -> None:
        """An entry that is looked at and is not there is told."""
        await write(storage.store, "doc", *timed(10, 20, 30))
        for offset in (1, 2, 3):
            await backend.lose_entry("doc", offset)
        with pytest.raises(StoreCorrupt, match="'doc'"):
            await storage.history.offset_at("doc", 15)

    # ---- who ---------------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS2")
    @pytest.mark.rule("HS5")
    async def test_authored(self, backend: StoreBackend, storage: Storage) -> None:
        """Everything but the updates, in order, in parts."""
        ranges = (ClockRange(2**53 - 1, 0, 2**31), ClockRange(5, 7, 8))
        delete = make_operation(type=OperationType.DELETE, content=None, length=2**40)
        entries = [
            make_entry(1, operations=(make_operation(content="aé😀"), make_operation(content=["x", "y"])), ranges=ranges),
            make_entry(2, operations=(delete,), author="", created_at=0, ranges=()),
            make_entry(3, operations=(make_operation(type=OperationType.FORMAT, content=None),), cause=RESTORE),
        ]
        await write(storage.store, "doc", *entries)
        await fill(storage.store, "other", number=5)
        counted = [(6, 0), (0, 2**40), (0, 0)]
        expected = tuple(authored(entry, *count) for entry, count in zip(entries, counted, strict=True))
        history = storage.history
        assert await history.authored("doc", after=0, limit=9) == expected
        assert await history.authored("doc", after=1, limit=1) == expected[1:2]
        for after, limit in ((3, 9), (9, 9), (0, 0), (0, -1)):
            assert await history.authored("doc", after=after, limit=limit) == ()
        assert await history.authored("nobody", after=0, limit=9) == ()
        with pytest.raises(ValueError, match="-1"):
            await history.authored("doc", after=-1, limit=9)
        await backend.forget_history("doc", 2)
        assert await history.authored("doc", after=0, limit=1) == expected[1:2]
        await backend.lose_entry("doc", 2)
        with pytest.raises(StoreCorrupt, match="'doc' has a gap: offset 2"):
            await history.authored("doc", after=0, limit=9)

    @pytest.mark.rule("HS5")
    @pytest.mark.rule("HI10")
    async def test_what_entries_deleted(self, storage: Storage) -> None:
        """It is in the update's own delete set, whether that brings something besides or not."""
        doc = utf16_document(7)
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(event.update))
        text = doc.get("body", type=Text)
        text.insert(0, "abcdef")
        del text[1:3]
        with doc.transaction():
            del text[0:1]
            text.insert(1, "x" * 20_000)
        doc.unobserve(subscription)
        await write(storage.store, "doc", *(make_entry(at, update=update) for at, update in enumerate(updates, 1)))
        entries = await storage.history.authored("doc", after=0, limit=9)
        assert [entry.deletes for entry in entries] == [(), (ClockRange(7, 1, 3),), (ClockRange(7, 0, 1),)]

    @pytest.mark.rule("HI13")
    async def test_what_entries_carried_of_others(self, storage: Storage) -> None:
        """Ranges of several clients, and of one that the author has not typed with, are those authors' who claimed them; what
        was carried is nobody's until then.
        """
        ben, other, free, big = (ClockRange(client, 0, 2) for client in (8, 9, 10, 2**53 - 1))
        many = tuple(ClockRange(client, 0, 1) for client in range(100, 1300))
        entries = [
            make_entry(1, author="ben", ranges=(ben,), claims=(8, 2**53 - 1, 1299)),
            make_entry(2, author="ana", ranges=(other,), claims=(9,)),
            make_entry(3, author="ana", ranges=(other, ben, free, big)),
            make_entry(4, author="ana", ranges=(ClockRange(8, 2, 3), ClockRange(8, 4, 5))),
            make_entry(5, author="ana", ranges=(other, free)),
            make_entry(6, author="ana", ranges=many),
            make_entry(7, author="ana", ranges=(ClockRange(8, 5, 6), ClockRange(8, 7, 8)), claims=(8,)),
            make_entry(8, author="ana", ranges=(ClockRange(9, 5, 6),)),
            make_entry(9, author="ana", ranges=()),
            make_entry(10, author="ana", ranges=(free, ben), carries=True),
            make_entry(11, author="ana", ranges=(free,), carries=True),
            make_entry(12, author="ana", ranges=(other,), claims=(9,), carries=True),
        ]
        await write(storage.store, "doc", *entries)
        await write(storage.store, "other", make_entry(1, author="eve", claims=(9, 10)))
        found = await storage.history.authored("doc", after=0, limit=12)
        kept = ("ana",) * 1199
        assert [one.writers for one in found] == [
            (),
            (),
            ("ana", "ben", "ana", "ben"),
            ("ben", "ben"),
            (),
            (*kept, "ben"),
            (),
            (),
            (),
            ("", "ben"),
            ("",),
            (),
        ]
        assert found[2].ranges == (other, ben, free, big)
        async with storage.store.writing(["doc"]) as transaction:
            await transaction.append("doc", [], claims={10: "cem"})
        found = await storage.history.authored("doc", after=9, limit=2)
        assert [one.writers for one in found] == [("cem", "ben"), ("cem",)]
        assert [one.ranges for one in found] == [(free, ben), (free,)]

    # ---- activity ----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS6")
    async def test_activity(self, storage: Storage) -> None:
        """Groups end at another author, a longer pause, and what the server made."""
        made = [("ana", 10), ("ana", 20), ("ana", 31), ("bob", 31), ("ana", 32), ("ana", 33), ("ana", 34), ("ana", 30)]
        causes = {6: RESTORE}
        entries = [
            make_entry(
                offset,
                author=author,
                created_at=at,
                cause=causes.get(offset),
                operations=(make_operation(content="a" * offset), make_operation(type=OperationType.DELETE, length=1)),
            )
            for offset, (author, at) in enumerate(made, 1)
        ]
        await write(storage.store, "doc", *entries)
        await fill(storage.store, "other", number=2)
        expected = [
            ActivityGroup("ana", 7, 8, 34, 30, 15, 2, entries=2),
            ActivityGroup("ana", 6, 6, 33, 33, 6, 1, replace(RESTORE, copies=())),
            ActivityGroup("ana", 5, 5, 32, 32, 5, 1),
            ActivityGroup("bob", 4, 4, 31, 31, 4, 1),
            ActivityGroup("ana", 3, 3, 31, 31, 3, 1),
            ActivityGroup("ana", 1, 2, 10, 20, 3, 2, entries=2),
        ]
        history = storage.history
        assert list(await history.activity("doc", before=None, pause=10, limit=100)) == expected
        assert list(await history.activity("doc", before=99, pause=10, limit=6)) == expected
        assert [group.entries for group in expected] == [2, 1, 1, 1, 1, 2]
        assert [group.entries for group in await history.activity("doc", before=None, pause=11, limit=99)] == [2, 1, 1, 1, 3]
        for limit in (1, 2, 5):
            pages: list[ActivityGroup] = []
            before: int | None = None
            while page := await history.activity("doc", before=before, pause=10, limit=limit):
                assert len(page) <= limit
                pages += page
                before = page[-1].first_offset
            assert pages == expected
        cut = await history.activity("doc", before=2, pause=10, limit=9)
        assert [(group.first_offset, group.last_offset) for group in cut] == [(1, 1)]
        assert await history.activity("doc", before=None, pause=10, limit=0) == ()
        assert await history.activity("doc", before=1, pause=10, limit=9) == ()
        assert await history.activity("nobody", before=None, pause=10, limit=9) == ()

    @pytest.mark.rule("HS6")
    async def test_activity_by_author(self, storage: Storage) -> None:
        """Those who write at the same time have one group each; a longer pause of theirs, and what the server made, ends it."""
        made = [("ana", 10), ("bob", 11), ("ana", 12), ("bob", 13), ("eve", 14), ("ana", 15), ("ana", 16), ("bob", 20)]
        made += [("ana", 27), ("bob", 28)]
        entries = [
            make_entry(offset, author=author, created_at=at, cause=RESTORE if offset == 5 else None)
            for offset, (author, at) in enumerate(made, 1)
        ]
        await write(storage.store, "doc", *entries)

        async def told(limit: int, before: int | None = None) -> list[tuple[str, int, int, int]]:
            page = await storage.history.activity("doc", before=before, pause=10, limit=limit, by_author=True)
            return [(group.author, group.first_offset, group.last_offset, group.entries) for group in page]

        newer = [("bob", 8, 10, 2), ("ana", 9, 9, 1), ("ana", 6, 7, 2)]
        older = [("eve", 5, 5, 1), ("bob", 2, 4, 2), ("ana", 1, 3, 2)]
        assert await told(99) == newer + older
        assert await told(3) == newer
        assert await told(3, before=6) == older
        for limit in (1, 2, 4):
            seen, before = 0, None
            while page := await told(limit, before):
                assert len(page) <= limit
                assert [last for _, _, last, _ in page] == sorted((last for _, _, last, _ in page), reverse=True)
                seen += sum(entries for _, _, _, entries in page)
                before = min(first for _, first, _, _ in page)
            assert seen == len(made), "each entry is in exactly one group"

    @pytest.mark.rule("HS6")
    async def test_activity_of_what_is_kept(self, backend: StoreBackend, storage: Storage) -> None:
        """It ends where the history does that is kept."""
        await write(storage.store, "doc", *timed(1, 2, 3, 4))
        await backend.forget_history("doc", 3)
        groups = await storage.history.activity("doc", before=None, pause=10, limit=9)
        assert [(group.first_offset, group.last_offset) for group in groups] == [(3, 4)]
        assert await storage.history.activity("doc", before=3, pause=10, limit=9) == ()

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("text", ["", "a\0", "a\ud800", "x" * 256], ids=lambda text: repr(text)[:10])
    async def test_invalid_ids(self, storage: Storage, text: str) -> None:
        """Ids that no database can keep are refused by every call."""
        history = storage.history
        for call in (
            history.offset_at(text, 0),
            history.authored(text, after=0, limit=1),
            history.activity(text, before=None, pause=1, limit=1),
        ):
            with pytest.raises(InvalidId):
                await call
