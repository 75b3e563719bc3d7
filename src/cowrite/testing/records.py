"""Records to write into stores, with some value in every field."""

from __future__ import annotations

from collections.abc import Sequence

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import Grant, Store
from cowrite.core.records import AccessChange, Entry, Quarantined, SessionRecord, Submitted, Version, VersionKind
from cowrite.crdt.operations import ContentOperation, OperationType
from cowrite.crdt.outline import ClockRange

new_id = Ids(SystemClock()).new
"""A fresh id."""


def make_operation(offset: int = 1, **changes: object) -> ContentOperation:
    """An operation with some value in every field."""
    fields: dict[str, object] = {
        "id": new_id(),
        "type": OperationType.INSERT,
        "position": ("body", 12),
        "author": "user_7",
        "created_at": 1790000000000,
        "vector_clock": {"812345678": 41, "offset": offset},
        "content": "text",
        "length": 3,
        "attributes": {"bold": True},
    }
    return ContentOperation(**(fields | changes))  # type: ignore[arg-type]


def make_entry(offset: int, **changes: object) -> Entry:
    """An entry with one operation."""
    fields: dict[str, object] = {
        "id": new_id(),
        "group": new_id(),
        "offset": offset,
        "author": "user_7",
        "created_at": 1790000000000,
        "update": b"update %d\0" % offset,  # deletes nothing
        "ranges": (ClockRange(812345678, offset - 1, offset),),
        "operations": (make_operation(offset),),
    }
    return Entry(**(fields | changes))  # type: ignore[arg-type]


def make_quarantined(document_id: str, **changes: object) -> Quarantined:
    """An update that could not be committed."""
    fields: dict[str, object] = {
        "id": new_id(),
        "document_id": document_id,
        "author": "user_7",
        "created_at": 1790000000000,
        "reason": "it broke the engine",
        "update": b"\x00broken",
    }
    return Quarantined(**(fields | changes))  # type: ignore[arg-type]


def make_submitted(document_id: str, entry: Entry, **changes: object) -> Submitted:
    """Something that was submitted and became all of this entry."""
    fields: dict[str, object] = {
        "id": entry.operations[0].id if entry.operations else new_id(),
        "document_id": document_id,
        "author": entry.author,
        "session_id": "session 1",
        "offset": entry.offset,
        "digest": f"{entry.offset:064x}",
        "operations": entry.operations,
        "update": entry.update,
    }
    return Submitted(**(fields | changes))  # type: ignore[arg-type]


def make_session(**changes: object) -> SessionRecord:
    """A session with some value in every field."""
    fields: dict[str, object] = {
        "session_id": new_id(),
        "document_id": "doc",
        "user_id": "user_7",
        "grant": Grant.WRITE,
        "issued_at": 1790000000000,
        "created_at": 1790000000001,
        "expires_at": 1790000600000,
        "name": "Ana Ω",
        "colour": "#30bced",
    }
    return SessionRecord(**(fields | changes))  # type: ignore[arg-type]


def make_change(**changes: object) -> AccessChange:
    """A change with some value in every field: one user may only read any more."""
    fields: dict[str, object] = {
        "id": new_id(),
        "changed_by": "user_1",
        "created_at": 1790000000002,
        "document_id": "doc",
        "user_id": "user_7",
        "session_id": "session 1",
        "grant": Grant.READ,
        "reason": "the review is over",
    }
    return AccessChange(**(fields | changes))  # type: ignore[arg-type]


def make_version(offset: int = 1, **changes: object) -> Version:
    """A version with some value in every field."""
    fields: dict[str, object] = {
        "id": new_id(),
        "document_id": "doc",
        "offset": offset,
        "kind": VersionKind.NAMED,
        "author": "user_7",
        "created_at": 1790000000003,
        "name": "Ω draft",
        "note": "before the review",
    }
    return Version(**(fields | changes))  # type: ignore[arg-type]


async def write(store: Store, document_id: str, *entries: Entry) -> None:
    """Append entries in a transaction of their own."""
    async with store.writing([document_id], wait=5) as transaction:
        await transaction.append(document_id, entries)


async def fill(store: Store, document_id: str, *, number: int, size: int = 100) -> Sequence[Entry]:
    """Append that many entries of ``size`` bytes."""
    head = (await store.heads([document_id])).get(document_id)
    start = head.offset + 1 if head else 1
    entries = [make_entry(offset, update=bytes(size)) for offset in range(start, start + number)]
    await write(store, document_id, *entries)
    return entries
