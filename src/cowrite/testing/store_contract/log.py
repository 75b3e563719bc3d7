"""Contract of stores: what is written is read, exactly, in order, all or nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cowrite.core.ports import Store, StoreRefused
from cowrite.crdt.operations import OperationType
from cowrite.crdt.outline import ClockRange
from cowrite.testing.records import fill, make_entry, make_operation, make_quarantined, new_id, write
from cowrite.testing.store_contract.backend import StoreBackend


class LogContract:
    """Writing and reading entries."""

    @pytest.mark.rule("ST1")
    async def test_durable(self, backend: StoreBackend, store: Store) -> None:
        """What a transaction has committed is there when all stores were closed and the database is opened anew."""
        entries = await fill(store, "doc", number=3)
        head = (await store.heads(["doc"]))["doc"]
        await store.close()
        again = await backend.open()
        assert await again.entries("doc", start=1, limit=10) == tuple(entries)
        assert (await again.heads(["doc"])) == {"doc": head}
        assert (head.offset, head.entry_id) == (3, entries[2].id)

    @pytest.mark.rule("ST2")
    async def test_all_or_nothing(self, backend: StoreBackend, store: Store) -> None:
        """An exception in the block is passed on, and nothing of the transaction stays, in none of its documents."""
        await write(store, "a", make_entry(1))
        before = await store.heads(["a", "b"])

        async def fail() -> None:
            async with store.writing(["a", "b"]) as transaction:
                await transaction.append("a", [make_entry(2)])
                await transaction.append("b", [make_entry(1, claims=(5,))])
                await transaction.renew_epoch("a", new_id())
                await transaction.quarantine([make_quarantined("a")])
                await transaction.entries("a", start=1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert (await store.heads(["a"])) == {"a": before["a"]}
        assert len(await store.entries("a", start=1, limit=10)) == 1
        assert await store.entries("b", start=1, limit=10) == ()
        assert await backend.quarantined() == ()
        assert 5 not in await backend.clients("b")

    @pytest.mark.rule("ST2")
    async def test_unseen_before_commit(self, backend: StoreBackend, store: Store) -> None:
        """Nobody sees anything of a transaction that is not committed."""
        other = await backend.open()
        async with store.writing(["doc"]) as transaction:
            await transaction.append("doc", [make_entry(1)])
            await transaction.entries("doc", start=1)
            assert (await other.heads(["doc"]))["doc"].offset == 0
            assert await other.entries("doc", start=1, limit=10) == ()
        assert (await other.heads(["doc"]))["doc"].offset == 1

    @pytest.mark.rule("ST3")
    @pytest.mark.parametrize(
        "content",
        [
            "text",
            "",
            "a\0b",
            "half a pair \ud83d",
            "ω😀" * 50_000,
            None,
            0,
            1.5,
            False,
            {"embed": {"src": "\0"}},
            ["x", {"$xml": "p", "children": ["\udc00"]}],
            2**60,
        ],
        ids=lambda content: repr(content)[:20].encode("ascii", "backslashreplace").decode(),
    )
    async def test_exact_content(self, store: Store, content: object) -> None:
        """Every JSON value comes back equal: U+0000, half surrogate pairs, 100 KB of text, whole numbers as such."""
        entry = make_entry(1, operations=(make_operation(content=content),))
        await write(store, "doc", entry)
        (found,) = await store.entries("doc", start=1, limit=1)
        assert found == entry
        assert type(found.operations[0].content) is type(content)

    @pytest.mark.rule("ST3")
    async def test_exact_operations(self, store: Store) -> None:
        """All fields of operations come back equal, and they in their order, also those of one entry and many."""
        operations = (
            make_operation(position=("body", "k\0\ud800", 0), attributes={"a\0": None, "ä": [1, {"x": 1.5}]}, content=None),
            make_operation(type=OperationType.DELETE, length=0, attributes=None, content=None, vector_clock={}),
            make_operation(type=OperationType.FORMAT, length=2**40, attributes={}, author="", position=()),
            *(make_operation(length=number) for number in range(40)),
        )
        entries = [make_entry(1, operations=operations), make_entry(2, operations=()), make_entry(3, operations=())]
        await write(store, "doc", *entries)
        assert await store.entries("doc", start=1, limit=10) == tuple(entries)

    @pytest.mark.rule("ST3")
    async def test_exact_entry(self, store: Store) -> None:
        """Updates are kept byte by byte, empty or of 17 MB; clients have up to 53 bits."""
        large = random.Random(1).randbytes(17_000_000)
        ranges = (ClockRange(2**53 - 1, 0, 2**31), ClockRange(0, 7, 8))
        entries = [
            make_entry(1, update=b""),
            make_entry(2, update=large, ranges=ranges, author="", created_at=0),
            make_entry(3, ranges=()),
        ]
        await write(store, "doc", *entries)
        assert await store.entries("doc", start=1, limit=10) == tuple(entries)
        loaded = await store.load("doc")
        assert loaded is not None
        assert loaded.entries == tuple(replace(entry, operations=()) for entry in entries)

    @pytest.mark.rule("ST3")
    async def test_what_is_read_is_the_readers(self, store: Store) -> None:
        """Changing a value that was written or read changes nothing in the store."""
        content, attributes = ["x"], {"bold": [True]}
        entry = make_entry(1, operations=(make_operation(content=content, attributes=attributes),))
        await write(store, "doc", entry)
        content.append("y")
        (found,) = await store.entries("doc", start=1, limit=1)
        found.operations[0].content.append("z")
        (again,) = await store.entries("doc", start=1, limit=1)
        assert again.operations[0].content == ["x"]

    @pytest.mark.rule("ST4")
    async def test_order_start_and_limit(self, store: Store) -> None:
        """Entries come in the order of their offsets, from ``start``, at most ``limit``; beyond the head there are none."""
        entries = tuple(await fill(store, "doc", number=12))
        assert await store.entries("doc", start=0, limit=100) == entries
        assert await store.entries("doc", start=4, limit=3) == entries[3:6]
        assert await store.entries("doc", start=12, limit=100) == entries[11:]
        assert await store.entries("doc", start=13, limit=100) == ()
        assert await store.entries("doc", start=1, limit=0) == ()
        assert await store.entries("nobody", start=1, limit=100) == ()

    @pytest.mark.rule("ST5")
    @pytest.mark.parametrize("offsets", [(3,), (1,), (2, 4), (2, 2), (0,)])
    async def test_gap_refused(self, store: Store, offsets: Sequence[int]) -> None:
        """Entries that do not follow the head one by one are refused, and the call leaves nothing behind."""
        await write(store, "doc", make_entry(1))
        async with store.writing(["doc"]) as transaction:
            with pytest.raises(ValueError, match="cannot follow"):
                await transaction.append("doc", [make_entry(offset) for offset in offsets])
            assert transaction.heads["doc"].offset == 1
        assert (await store.heads(["doc"]))["doc"].offset == 1
        assert len(await store.entries("doc", start=1, limit=10)) == 1

    @pytest.mark.rule("ST5")
    async def test_only_locked_documents(self, store: Store) -> None:
        """A transaction writes and reads its own documents alone."""
        async with store.writing(["doc"]) as transaction:
            with pytest.raises(ValueError, match="not locked"):
                await transaction.append("other", [make_entry(1)])
            with pytest.raises(ValueError, match="not locked"):
                await transaction.entries("other", start=1)
            with pytest.raises(ValueError, match="not locked"):
                await transaction.renew_epoch("other", new_id())

    @pytest.mark.rule("ST6")
    async def test_taken_operation_id(self, store: Store) -> None:
        """An operation whose id is in the store already is refused with its whole transaction."""
        operation = make_operation()
        await write(store, "a", make_entry(1, operations=(operation,)))
        with pytest.raises(StoreRefused):
            await write(store, "b", make_entry(1, operations=(operation,)))
        assert await store.entries("b", start=1, limit=10) == ()

    @pytest.mark.rule("ST6")
    async def test_refused_values(self, store: Store) -> None:
        """What cannot be written is refused as such, and the transaction can go on without it."""
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        async with store.writing(["doc"]) as transaction:
            for content in (float("nan"), float("inf"), {1, 2}, b"bytes", deep):
                with pytest.raises(StoreRefused):
                    await transaction.append("doc", [make_entry(1, operations=(make_operation(content=content),))])
            await transaction.append("doc", [make_entry(1)])
        assert len(await store.entries("doc", start=1, limit=10)) == 1
