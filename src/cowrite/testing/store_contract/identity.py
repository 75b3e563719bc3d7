"""Contract of stores: ids, whose the clients are, quarantine."""

from __future__ import annotations

import pytest

from cowrite.core.ports import InvalidId, Store
from cowrite.core.records import Checkpoint
from cowrite.crdt.outline import ClockRange
from cowrite.testing.records import make_entry, make_operation, make_quarantined, write
from cowrite.testing.store_contract.backend import StoreBackend

DISTINCT = (
    "a",
    "A",
    "á",
    "a\N{COMBINING ACUTE ACCENT}",
    "a ",
    " a",
    "a\n",
    "\N{FULLWIDTH LATIN SMALL LETTER A}",
    "ß",
    "ss",
    "😀",
    "%",
    "_",
    "a/b",
    "'; --",
)
INVALID = ("", "a\0", "\0", "a\ud800", "x" * 256)


class IdentityContract:
    """Names."""

    @pytest.mark.rule("ST19")
    async def test_ids_are_bytes(self, store: Store) -> None:
        """Ids that differ in case, accents, blanks or form are different documents; 255 characters of any Unicode fit."""
        names = (*DISTINCT, "😀" * 255, "x" * 255)
        entries = {name: make_entry(1, author=name, ranges=(ClockRange(1, 0, 1),)) for name in names}
        async with store.writing(names) as transaction:
            assert transaction.heads.keys() == set(names)
            for name in names:
                await transaction.append(name, [entries[name]])
        heads = await store.heads(names)
        assert {name: head.entry_id for name, head in heads.items()} == {name: entry.id for name, entry in entries.items()}
        for name in names:
            assert await store.entries(name, start=1, limit=2) == (entries[name],)

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("name", INVALID, ids=lambda name: repr(name)[:10])
    async def test_invalid_document_ids(self, store: Store, name: str) -> None:
        """Document ids that no database can keep are refused by every call, as a ValueError too."""
        with pytest.raises(InvalidId):
            await store.load(name)
        with pytest.raises(InvalidId):
            await store.heads(["doc", name])
        with pytest.raises(InvalidId):
            await store.entries(name, start=1, limit=1)
        with pytest.raises(InvalidId):
            await store.save_checkpoint(name, Checkpoint(1, "x", b"", {}))
        with pytest.raises(ValueError, match="document id"):
            async with store.writing(["doc", name]):
                pytest.fail("entered")
        assert await store.heads(["doc"]) == {}

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("name", INVALID[1:], ids=lambda name: repr(name)[:10])
    async def test_invalid_authors(self, backend: StoreBackend, store: Store, name: str) -> None:
        """So are such authors, wherever they stand; but they may be empty. The transaction can go on."""
        async with store.writing(["doc"]) as transaction:
            with pytest.raises(InvalidId):
                await transaction.append("doc", [make_entry(1, author=name)])
            with pytest.raises(InvalidId):
                await transaction.append("doc", [make_entry(1), make_entry(2, operations=(make_operation(author=name),))])
            with pytest.raises(InvalidId):
                await transaction.quarantine([make_quarantined("doc"), make_quarantined("doc", author=name)])
            await transaction.append("doc", [make_entry(1, author="")])
        assert (await store.heads(["doc"]))["doc"].offset == 1
        assert await backend.quarantined() == ()

    @pytest.mark.rule("ST20")
    @pytest.mark.parametrize("name", ["", "a\0", "\ud800", "x" * 37], ids=lambda name: repr(name)[:10])
    async def test_invalid_entry_ids(self, store: Store, name: str) -> None:
        """Ids of entries, groups, operations and quarantined updates have 1 to 36 characters."""
        async with store.writing(["doc"]) as transaction:
            for entry in (
                make_entry(1, id=name),
                make_entry(1, group=name),
                make_entry(1, operations=(make_operation(id=name),)),
            ):
                with pytest.raises(InvalidId):
                    await transaction.append("doc", [entry])
            with pytest.raises(InvalidId):
                await transaction.quarantine([make_quarantined("doc", id=name)])
            await transaction.append("doc", [make_entry(1, id="x" * 36, operations=(make_operation(id="op_456"),))])

    @pytest.mark.rule("ST21")
    async def test_first_author_stays(self, backend: StoreBackend, store: Store) -> None:
        """A Yjs client belongs to the author who first claimed it in a document: across entries, transactions and stores."""
        await write(
            store,
            "doc",
            make_entry(1, author="ana", claims=(1, 2)),
            make_entry(2, author="ben", claims=(1, 2**53 - 1)),
        )
        async with (await backend.open()).writing(["doc", "other"]) as transaction:
            await transaction.append("doc", [make_entry(3, author="cem", claims=(2, 4))])
            await transaction.append("doc", [make_entry(4, author="dan", claims=(4,))])
            await transaction.append("other", [make_entry(1, author="eva", claims=(1,))])
        assert await backend.clients("doc") == {1: "ana", 2: "ana", 2**53 - 1: "ben", 4: "cem"}
        assert await backend.clients("other") == {1: "eva"}
        assert await store.clients("doc") == await backend.clients("doc")
        assert await store.clients("doc", [2**53 - 1, 3, 1]) == {1: "ana", 2**53 - 1: "ben"}
        assert await store.clients("doc", []) == await store.clients("nobody") == await store.clients("nobody", [1]) == {}

    @pytest.mark.rule("ST21")
    async def test_clients_without_an_entry(self, backend: StoreBackend, store: Store) -> None:
        """They are bound where they are nobody's, in the order in which that is said."""
        await write(store, "doc", make_entry(1, author="ana", claims=(1,)))
        async with store.writing(["doc"]) as transaction:
            await transaction.append("doc", [], claims={1: "ben", 2: "ben"})
            await transaction.append("doc", [make_entry(2, author="cem", claims=(2, 3))], claims={3: "dan", 4: "dan"})
        found = {1: "ana", 2: "ben", 3: "cem", 4: "dan"}
        assert await store.clients("doc") == found
        assert (await store.heads(["doc"]))["doc"].offset == 2
        async with store.writing(["doc"]) as transaction:
            with pytest.raises(InvalidId):
                await transaction.append("doc", [], claims={6: "d\0n"})
        many = {client: f"user {client % 7}" for client in range(100, 1700)}
        async with store.writing(["doc"]) as transaction:
            await transaction.append("doc", [], claims=many)
        assert await store.clients("doc") == found | many
        assert await store.clients("doc", [4, *many]) == many | {4: "dan"}

    @pytest.mark.rule("ST22")
    async def test_quarantine(self, backend: StoreBackend, store: Store) -> None:
        """What is put into quarantine stays there, of any size and for any document, with a reason that people can read."""
        kept = [
            make_quarantined("doc"),
            make_quarantined("doc", author="", update=bytes(5_000_000), reason="x" * 100_000),
            make_quarantined("elsewhere", update=b"", reason="ünïcode"),
        ]
        async with store.writing(["doc"]) as transaction:
            await transaction.quarantine(kept[:1])
            await transaction.quarantine(kept[1:])
            await transaction.quarantine([])
        assert await backend.quarantined() == tuple(kept)
        assert (await store.heads(["doc", "elsewhere"])).keys() == {"doc"}
        odd = make_quarantined("doc", reason="nul \0 and half a pair \ud800")
        async with store.writing([]) as transaction:
            await transaction.quarantine([odd])
        (*_, found) = await backend.quarantined()
        assert found.reason == "nul ? and half a pair ?"

    @pytest.mark.rule("ST22")
    async def test_quarantine_again(self, backend: StoreBackend, store: Store) -> None:
        """What comes again with its id is kept once, as it came first."""
        first, other = make_quarantined("doc", reason="first"), make_quarantined("doc")
        again = make_quarantined("doc", id=first.id, reason="again")
        async with store.writing(["doc"]) as transaction:
            await transaction.quarantine([first])
        async with store.writing(["doc"]) as transaction:
            await transaction.quarantine([again, other])
            await transaction.quarantine([other])
        assert set(await backend.quarantined()) == {first, other}
        assert len(await backend.quarantined()) == 2
