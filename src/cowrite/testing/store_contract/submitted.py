"""Contract of stores: what clients without a CRDT submitted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cowrite.core.ports import InvalidId, Store, StoreCorrupt, StoreRefused
from cowrite.core.records import Entry, OwnUpdate, Submitted
from cowrite.testing.records import fill, make_entry, make_operation, make_submitted, new_id, write
from cowrite.testing.store_contract.backend import StoreBackend


async def submit(store: Store, document_id: str, entries: Sequence[Entry], submitted: Sequence[Submitted]) -> None:
    """Append in a transaction of its own."""
    async with store.writing([document_id], wait=5) as transaction:
        await transaction.append(document_id, entries, submitted)


async def known(store: Store, *operation_ids: str) -> dict[str, Submitted]:
    """What a new transaction knows of these ids."""
    async with store.writing([]) as transaction:
        return dict(await transaction.submitted(operation_ids))


class SubmittedContract:
    """Operations that are sent again, and sessions' own updates."""

    @pytest.mark.rule("ST35")
    async def test_submitted(self, backend: StoreBackend, store: Store) -> None:
        """What was submitted is known by its id, in every field, whatever it became: in its transaction, in others, and when
        the database is opened again.
        """
        one, three, without = (make_entry(offset) for offset in (1, 2, 3))
        three = make_entry(2, operations=tuple(make_operation(2, content=f"\0{number}") for number in range(3)))
        records = [
            make_submitted("doc", one),
            make_submitted("doc", three, id="client's own", author="", update=b"made otherwise"),
            make_submitted("doc", three, operations=three.operations[:0:-1], id=new_id()),
            make_submitted("doc", without, id="x" * 36, operations=(), update=b"nothing new"),
            make_submitted("doc", without, id="none", operations=(), update=None),
        ]
        later = make_submitted("doc", without, id="at the head", operations=(), session_id="session 2")
        expected = {record.id: record for record in (*records, later)}
        async with store.writing(["doc"]) as transaction:
            await transaction.append("doc", [one, three, without], records)
            await transaction.append("doc", [], [later])
            assert await transaction.submitted([*expected, "unknown"]) == expected
            assert transaction.heads["doc"].offset == 3
        assert await known(store, *expected) == expected
        assert await known(await backend.open(), *expected, "unknown", "Client's own") == expected
        assert await known(store) == {}

    @pytest.mark.rule("ST35")
    async def test_more_ids_than_a_statement_takes(self, store: Store) -> None:
        """PostgreSQL takes 32 767 parameters; what was restored may have become more operations than that."""
        entry = make_entry(1, operations=(make_operation(), make_operation()))
        record = make_submitted("doc", entry)
        await submit(store, "doc", [entry], [record])
        ids = [*(f"unknown {number}" for number in range(33_000)), record.id, entry.operations[1].id]
        assert (await known(store, *ids)).keys() == {record.id, entry.operations[1].id}

    @pytest.mark.rule("ST35")
    async def test_never_submitted(self, store: Store) -> None:
        """An operation that came by Yjs has its id, too: it is known with its place, and as nobody's."""
        entry = make_entry(1, operations=(make_operation(), make_operation()))
        async with store.writing(["doc"]) as transaction:
            await transaction.append("doc", [entry])
            within = await transaction.submitted([entry.operations[1].id])
        operation = entry.operations[1]
        expected = {operation.id: Submitted(operation.id, "doc", "", "", 1, "", (operation,), None)}
        assert within == expected == await known(store, operation.id)

    @pytest.mark.rule("ST35")
    async def test_many_at_once(self, store: Store) -> None:
        """A batch of 1000 is looked up as one."""
        entries = [make_entry(offset) for offset in range(1, 1001)]
        records = [make_submitted("doc", entry) for entry in entries]
        await submit(store, "doc", entries, records)
        assert await known(store, *(record.id for record in records)) == {record.id: record for record in records}

    @pytest.mark.rule("ST36")
    async def test_own_updates(self, backend: StoreBackend, store: Store) -> None:
        """What a session has submitted to a document after an offset comes in the order of offsets, as it was made; at one
        offset the entry's own comes first.
        """
        entries = [make_entry(offset) for offset in range(1, 6)]
        nothing = make_submitted("doc", entries[2], id="a", operations=(), update=b"nothing new")
        records = [
            make_submitted("doc", entries[0]),
            make_submitted("doc", entries[1], session_id="session 2"),
            nothing,
            make_submitted("doc", entries[2], id="b"),
            make_submitted("doc", entries[3], update=b"more than was new"),
            make_submitted("doc", entries[3], id="c", operations=(), update=None),
        ]
        other = make_entry(1)
        await submit(store, "other", [other], [make_submitted("other", other)])
        own = [
            OwnUpdate(1, entries[0].update),
            OwnUpdate(3, entries[2].update),
            OwnUpdate(3, b"nothing new"),
            OwnUpdate(4, b"more than was new"),
        ]
        async with store.writing(["doc"]) as transaction:
            await transaction.append("doc", entries, records)
            assert list(await transaction.own_updates("doc", "session 1", after=0)) == own
        async with (await backend.open()).writing(["doc"]) as transaction:
            for after, number in ((0, 4), (1, 3), (2, 3), (3, 1), (4, 0)):
                assert list(await transaction.own_updates("doc", "session 1", after=after)) == own[4 - number :]
            assert list(await transaction.own_updates("doc", "Session 1", after=0)) == []
            with pytest.raises(ValueError, match="not locked"):
                await transaction.own_updates("other", "session 1", after=0)

    @pytest.mark.rule("ST36")
    async def test_kept_once(self, backend: StoreBackend, store: Store) -> None:
        """An update that is the entry's is not kept a second time."""
        entries = [make_entry(1, update=bytes(1_000_000)), make_entry(2), make_entry(3)]
        records = [
            make_submitted("doc", entries[0], id="same"),
            make_submitted("doc", entries[1], id="other", update=b"other"),
            make_submitted("doc", entries[2], id="none", update=None, operations=()),
        ]
        await submit(store, "doc", entries, records)
        assert await backend.kept_updates() == {"same": None, "other": b"other", "none": b""}
        assert {id_: record.update for id_, record in (await known(store, "same", "other", "none")).items()} == {
            "same": bytes(1_000_000),
            "other": b"other",
            "none": None,
        }

    @pytest.mark.rule("ST36")
    async def test_damaged_update_of_an_entry(self, backend: StoreBackend, store: Store) -> None:
        """What was made is not told when the entry that holds it is damaged or missing."""
        entries = [make_entry(offset) for offset in (1, 2)]
        await submit(store, "doc", entries, [make_submitted("doc", entry) for entry in entries])
        await backend.damage_update("doc", 2)
        async with store.writing(["doc"]) as transaction:
            with pytest.raises(StoreCorrupt, match=r"'doc' at offset 2\b"):
                await transaction.own_updates("doc", "session 1", after=1)
        await backend.lose_entry("doc", 2)
        async with store.writing(["doc"]) as transaction:
            with pytest.raises(StoreCorrupt, match=r"'doc' .*offset 2\b"):
                await transaction.own_updates("doc", "session 1", after=1)
            with pytest.raises(StoreCorrupt):
                await transaction.submitted([entries[1].operations[0].id])

    @pytest.mark.rule("ST37")
    async def test_taken_ids(self, store: Store) -> None:
        """An id that was submitted before, or twice at once, is refused with its whole transaction."""
        first, second = make_entry(1), make_entry(2)
        record = make_submitted("doc", first, id="taken")
        await submit(store, "doc", [first], [record])
        again = make_submitted("other", make_entry(1), id="taken", operations=())
        twice = make_submitted("doc", second, id="twice")
        for document_id, entries, records in (
            ("other", [make_entry(1)], [again]),
            ("doc", [second], [twice, twice]),
            ("doc", [], [make_submitted("doc", first, id="taken", operations=())]),
        ):
            with pytest.raises(StoreRefused, match="taken already"):
                await submit(store, document_id, entries, records)
        assert await known(store, "taken", "twice") == {"taken": record}
        assert {document_id: head.offset for document_id, head in (await store.heads(["doc", "other"])).items()} == {
            "doc": 1,
            "other": 0,
        }

    @pytest.mark.rule("ST37")
    async def test_rollback_leaves_nothing(self, store: Store) -> None:
        """A transaction that failed has submitted nothing."""
        entry = make_entry(1)
        record = make_submitted("doc", entry)

        async def failing() -> None:
            async with store.writing(["doc"]) as transaction:
                await transaction.append("doc", [entry], [record])
                assert await transaction.submitted([record.id]) == {record.id: record}
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await failing()
        assert await known(store, record.id) == {}
        await submit(store, "doc", [entry], [record])
        assert await known(store, record.id) == {record.id: record}

    @pytest.mark.rule("ST37")
    async def test_out_of_place(self, store: Store) -> None:
        """What was submitted elsewhere, at an offset that the log will not have, or became operations that do not come with it,
        is the caller's mistake; nothing of the call takes effect.
        """
        await fill(store, "doc", number=2)
        entry = make_entry(3)
        async with store.writing(["doc"]) as transaction:
            for record in (
                make_submitted("other", entry),
                make_submitted("doc", entry, offset=4),
                make_submitted("doc", entry, offset=-1),
                make_submitted("doc", entry, offset=2),
                make_submitted("doc", entry, operations=(make_operation(),)),
            ):
                with pytest.raises(ValueError, match=r"cannot stand in the log|cannot have become"):
                    await transaction.append("doc", [entry], [record])
            assert transaction.heads["doc"].offset == 2
            await transaction.append("doc", [entry], [make_submitted("doc", entry)])
        assert (await store.heads(["doc"]))["doc"].offset == 3

    @pytest.mark.rule("ST20", "ST37")
    @pytest.mark.parametrize("text", ["a\0", "\ud800", "x" * 256], ids=lambda text: repr(text)[:10])
    async def test_invalid_texts(self, store: Store, text: str) -> None:
        """Ids and authors that no database can keep are refused, and the transaction can go on."""
        entry = make_entry(1)
        async with store.writing(["doc"]) as transaction:
            for field in ("id", "author", "session_id", "digest"):
                with pytest.raises(InvalidId):
                    await transaction.append("doc", [entry], [make_submitted("doc", entry, **{field: text})])
            with pytest.raises(InvalidId):
                await transaction.submitted(["fine", text])
            with pytest.raises(InvalidId):
                await transaction.own_updates("doc", text, after=0)
            for field in ("id", "session_id", "digest"):
                with pytest.raises(InvalidId, match="empty"):
                    await transaction.append("doc", [entry], [make_submitted("doc", entry, **{field: ""})])
            assert transaction.heads["doc"].offset == 0
            await transaction.append("doc", [entry])
        await write(store, "doc", make_entry(2))
