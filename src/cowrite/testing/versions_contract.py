"""Every promise of the port ``Versions``, as tests. An adapter's own tests subclass :class:`VersionsContract`, with the same
fixture ``backend`` as for :class:`cowrite.testing.store_contract.StoreContract`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from cowrite.core.ports import DocumentDeleted, HistoryForgotten, InvalidId, Storage
from cowrite.core.records import Version, VersionKind
from cowrite.testing.records import fill, make_change, make_entry, make_version, new_id
from cowrite.testing.store_contract import StoreBackend

HOUR = 3_600_000
DAY = 24 * HOUR
KEEP = ((DAY, HOUR), (7 * DAY, DAY), (90 * DAY, 7 * DAY))
"""All for a day, one an hour for a week, one a day for 90 days, then one a week."""
NOW = 20_001 * DAY


def automatic(offset: int, at: int, **changes: object) -> Version:
    """A version that nobody asked for."""
    return make_version(offset, kind=VersionKind.AUTOMATIC, created_at=at, name=None, note=None, **changes)


class VersionsContract:
    """All of them."""

    @pytest.fixture
    async def storage(self, backend: StoreBackend) -> Storage:
        """The storage on the test's database; the document ``doc`` has ten entries."""
        storage = await backend.open_storage()
        await fill(storage.store, "doc", number=10)
        return storage

    async def keep(self, storage: Storage, versions: Iterable[Version]) -> None:
        """Add them all."""
        for version in versions:
            assert await storage.versions.add(version)

    async def left(self, storage: Storage, document_id: str = "doc") -> Sequence[Version]:
        """All versions of a document."""
        return tuple(await storage.versions.list(document_id, limit=1000))

    # ---- adding ------------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS7")
    @pytest.mark.parametrize("kind", VersionKind)
    async def test_exact(self, backend: StoreBackend, storage: Storage, kind: VersionKind) -> None:
        """Every field comes back equal, in another process too."""
        plain = make_version(0, kind=kind, name=None, note=None, author="", created_at=0)
        full = make_version(10, kind=kind, name="ü😀" * 100, note="line\n" * 2000)
        await self.keep(storage, [plain, full])
        other = (await backend.open_storage()).versions
        assert await other.get("doc", plain.id) == plain
        assert await other.get("doc", full.id) == full
        assert tuple(await other.list("doc")) == (full, plain)

    @pytest.mark.rule("HS7")
    async def test_not_added(self, storage: Storage) -> None:
        """A version whose id is taken, of no such document, or beyond the head is not added."""
        version = make_version(3)
        await self.keep(storage, [version])
        await fill(storage.store, "other", number=5)
        for refused in (
            version,
            replace(version, name="another"),
            replace(version, document_id="other"),
            make_version(11),
            make_version(0, document_id="nobody"),
        ):
            assert not await storage.versions.add(refused)
        assert await self.left(storage) == (version,)
        assert await self.left(storage, "other") == ()
        assert await storage.store.heads(["nobody"]) == {}
        with pytest.raises(ValueError, match="-1"):
            await storage.versions.add(make_version(-1))

    @pytest.mark.rule("HS7")
    async def test_moments_that_are_gone(self, backend: StoreBackend, storage: Storage) -> None:
        """What was forgotten is told so; a deleted document gets no versions, and keeps those that it has."""
        await backend.forget_history("doc", 4)
        for offset in (0, 2):
            with pytest.raises(HistoryForgotten) as caught:
                await storage.versions.add(make_version(offset))
            assert caught.value.first_offset == 4
        kept = [make_version(4), make_version(3)]
        await self.keep(storage, kept)
        assert await storage.directory.delete("doc", make_change())
        with pytest.raises(DocumentDeleted):
            await storage.versions.add(make_version(5))
        assert await self.left(storage) == tuple(kept)

    @pytest.mark.rule("HS7")
    async def test_with_entries(self, backend: StoreBackend, storage: Storage) -> None:
        """Versions are kept in the transaction of entries, all or nothing; one whose id is taken stays as it is."""
        known, new = make_version(3), [make_version(10, kind=VersionKind.RESTORE), make_version(11)]
        await self.keep(storage, [known])

        async def append_and_fail() -> None:
            async with storage.store.writing(["doc"]) as transaction:
                await transaction.append("doc", [make_entry(11)], versions=new)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await append_and_fail()
        assert await self.left(storage) == (known,)
        async with storage.store.writing(["doc"]) as transaction:
            await transaction.append("doc", [make_entry(11)], versions=[*new, replace(known, name="another"), new[0]])
        assert await self.left(storage) == (new[1], new[0], known)

    @pytest.mark.rule("HS7")
    async def test_with_entries_of_another(self, backend: StoreBackend, storage: Storage) -> None:
        """Those of another document or log are refused, and those of what was forgotten."""
        await backend.forget_history("doc", 4)
        async with storage.store.writing(["doc"]) as transaction:
            for wrong in (make_version(12), make_version(-1), make_version(5, document_id="other")):
                with pytest.raises(ValueError, match=r"-1|'doc'"):
                    await transaction.append("doc", [make_entry(11)], versions=[wrong])
            with pytest.raises(InvalidId):
                await transaction.append("doc", [make_entry(11)], versions=[make_version(5, author="a\0")])
            with pytest.raises(HistoryForgotten):
                await transaction.append("doc", [make_entry(11)], versions=[make_version(2)])
            assert transaction.heads["doc"].offset == 10
            kept = make_version(3)
            await transaction.append("doc", [make_entry(11)], versions=[kept])
        assert await self.left(storage) == (kept,)

    @pytest.mark.rule("HS10")
    async def test_automatic(self, storage: Storage) -> None:
        """Not while the newest automatic one is young, and not where there is a version of that moment already."""
        versions = storage.versions
        first = automatic(3, 1000)
        assert await versions.add_automatic(first, interval=100)
        assert not await versions.add_automatic(automatic(4, 1099), interval=100)
        assert not await versions.add_automatic(automatic(3, 1100), interval=100)
        second = automatic(4, 1100)
        assert await versions.add_automatic(second, interval=100)
        named = make_version(6, created_at=5000)
        await self.keep(storage, [named])
        assert not await versions.add_automatic(automatic(6, 9000), interval=100)
        third = automatic(7, 5001)  # young only beside a named one
        assert await versions.add_automatic(third, interval=100)
        assert not await versions.add_automatic(automatic(11, 9999), interval=1)
        assert not await versions.add_automatic(automatic(1, 9999, document_id="nobody"), interval=1)
        assert await self.left(storage) == (third, named, second, first)

    @pytest.mark.rule("HS26")
    async def test_automatic_behind_one_of_the_future(self, storage: Storage) -> None:
        """A clock that was far wrong once does not keep versions from being made; clocks that differ a little do no harm."""
        versions = storage.versions
        await self.keep(storage, [automatic(1, NOW + 5 * DAY), automatic(2, NOW)])
        assert not await versions.add_automatic(automatic(3, NOW - 60_000), interval=HOUR)
        assert not await versions.add_automatic(automatic(3, NOW + HOUR - 1), interval=HOUR)
        assert await versions.add_automatic(automatic(3, NOW - 60_001), interval=HOUR)
        assert await versions.add_automatic(automatic(4, NOW + HOUR), interval=HOUR)

    @pytest.mark.rule("HS26")
    async def test_thin_the_future(self, storage: Storage) -> None:
        """Versions from the future are thinned as old ones are; however old, none of them is removed for its age alone."""
        begin = NOW + 7 * DAY - NOW % (7 * DAY)
        future = [automatic(number, begin + number * DAY) for number in range(3)]
        near = [automatic(number, NOW + 60_000 - number) for number in (3, 4)]
        await self.keep(storage, [*future, *near])
        assert await storage.versions.thin("doc", now=NOW, keep=KEEP, older=0) == 2
        assert set(await self.left(storage)) == {future[2], *near}
        assert await storage.versions.thin("doc", now=NOW, keep=(), older=0) == 0

    @pytest.mark.rule("HS10")
    async def test_one_automatic(self, backend: StoreBackend, storage: Storage) -> None:
        """Of several processes that try at once one adds it."""
        others = [(await backend.open_storage()).versions for _ in range(3)]
        attempts = [other.add_automatic(automatic(10, 1000 + number), interval=100) for number, other in enumerate(others * 2)]
        assert sorted(await asyncio.gather(*attempts)) == [False] * 5 + [True]
        assert len(await self.left(storage)) == 1

    # ---- listing -----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS8")
    async def test_list(self, storage: Storage) -> None:
        """Newest moment first, then what was made last; by kinds and by pages, without those of other documents."""
        await fill(storage.store, "other", number=5)
        ids = sorted(new_id() for _ in range(3))
        expected = [
            make_version(10, created_at=1),
            make_version(4, created_at=7, kind=VersionKind.RESTORE),
            make_version(4, created_at=5, id=ids[2]),
            automatic(4, 5, id=ids[1]),
            make_version(4, created_at=5, id=ids[0], kind=VersionKind.RESTORE),
            make_version(0, created_at=9),
        ]
        await self.keep(storage, [*reversed(expected), make_version(3, document_id="other")])
        versions = storage.versions
        assert list(await versions.list("doc")) == expected
        for limit in (1, 2, 5):
            found: list[Version] = []
            while page := await versions.list("doc", before=found[-1].id if found else None, limit=limit):
                assert len(page) <= limit
                found += page
            assert found == expected
        for kinds in ([VersionKind.NAMED], [VersionKind.NAMED, VersionKind.RESTORE], list(VersionKind)):
            wanted = [version for version in expected if version.kind in kinds]
            assert list(await versions.list("doc", kinds=kinds)) == wanted
            assert list(await versions.list("doc", kinds=kinds, before=wanted[0].id, limit=2)) == wanted[1:3]
        assert await versions.list("doc", limit=0) == await versions.list("doc", limit=-1) == ()
        assert await versions.list("nobody") == ()
        assert await versions.list("doc", before=new_id()) == ()

    @pytest.mark.rule("HS8")
    async def test_get(self, storage: Storage) -> None:
        """A version is found in its own document only."""
        await fill(storage.store, "other", number=5)
        mine, theirs = make_version(1), make_version(1, document_id="other")
        await self.keep(storage, [mine, theirs])
        assert await storage.versions.get("doc", mine.id) == mine
        assert await storage.versions.get("doc", theirs.id) is None
        assert await storage.versions.get("nobody", mine.id) is None
        assert await storage.versions.list("doc", before=theirs.id) == ()

    # ---- changing ----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS9")
    async def test_change(self, storage: Storage) -> None:
        """Name, note and kind are replaced, and nothing else."""
        version, other = automatic(2, 50), make_version(3)
        await self.keep(storage, [version, other])
        changed = replace(version, kind=VersionKind.NAMED, name="kept", note="important")
        assert await storage.versions.change(replace(changed, offset=9, author="eve", created_at=1))
        assert await self.left(storage) == (other, changed)
        assert await storage.versions.change(version)
        assert await self.left(storage) == (other, version)
        assert not await storage.versions.change(replace(version, document_id="other"))
        assert not await storage.versions.change(make_version(1))
        assert await self.left(storage) == (other, version)

    @pytest.mark.rule("HS9")
    async def test_remove(self, storage: Storage) -> None:
        """A version is removed once, and the history that it points to stays."""
        version, other = make_version(2), make_version(2)
        await self.keep(storage, [version, other])
        assert not await storage.versions.remove("other", version.id)
        assert await storage.versions.remove("doc", version.id)
        assert not await storage.versions.remove("doc", version.id)
        assert await self.left(storage) == (other,)
        assert await storage.history.load_at("doc", 2) is not None

    # ---- thinning ----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("HS11")
    async def test_thin(self, storage: Storage) -> None:
        """The last one in each distance stays, by age; what is not automatic stays whatever its age."""
        await fill(storage.store, "other", number=5)
        stay = [
            automatic(10, NOW - 1),
            automatic(10, NOW - 2),
            automatic(9, NOW - DAY),  # just not older than a day
            automatic(8, NOW - 2 * DAY - 1),  # the last in its hour
            automatic(8, NOW - 2 * DAY),
            automatic(7, NOW - 10 * DAY + 23 * HOUR),  # the last in its day
            automatic(6, NOW - 100 * DAY + DAY),
        ]
        go = [
            automatic(8, NOW - 2 * DAY - 2),
            automatic(8, NOW - 2 * DAY - HOUR),
            automatic(7, NOW - 10 * DAY),
            automatic(6, NOW - 100 * DAY),
        ]
        others = [
            make_version(8, created_at=NOW - 2 * DAY - 3),
            make_version(1, created_at=0, kind=VersionKind.RESTORE),
            automatic(3, NOW - 2 * DAY - 2, document_id="other"),
        ]
        week = 7 * DAY
        assert (NOW - 100 * DAY) // week == (NOW - 99 * DAY) // week, "of one week"
        await self.keep(storage, [*stay, *go, *others])
        before = set(stay) | set(others[:2])
        assert await storage.versions.thin("doc", now=NOW, keep=(), older=None) == 0
        assert await storage.versions.thin("doc", now=NOW, keep=KEEP, older=None) == len(go)
        assert set(await self.left(storage)) == before
        assert await storage.versions.thin("doc", now=NOW, keep=KEEP, older=None) == 0
        assert await storage.versions.thin("doc", now=NOW, keep=KEEP, older=10 * DAY) == 1
        assert set(await self.left(storage)) == before - {stay[-1]}
        assert await self.left(storage, "other") == (others[2],)
        assert await storage.versions.thin("nobody", now=NOW, keep=KEEP, older=0) == 0

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("text", ["", "a\0", "a\ud800", "x" * 256], ids=lambda text: repr(text)[:10])
    async def test_invalid_texts(self, storage: Storage, text: str) -> None:
        """Ids and texts that no database can keep are refused by every call."""
        versions = storage.versions
        fields = ["name", "note", "author"] if text and len(text) < 256 else ["name", "author"] if text else []
        for call in (
            versions.list(text),
            versions.list("doc", before=text),
            versions.get(text, "a"),
            versions.get("doc", text),
            versions.remove(text, "a"),
            versions.remove("doc", text),
            versions.thin(text, now=0, keep=(), older=None),
            *(versions.add(make_version(1, **{field: text})) for field in (*fields, "id", "document_id")),
            *(versions.change(make_version(1, **{field: text})) for field in (*fields, "id", "document_id")),
            versions.add_automatic(make_version(id=text), interval=1),
        ):
            with pytest.raises(InvalidId):
                await call
        with pytest.raises(InvalidId):
            await versions.add(make_version(note="x" * 10_001))
