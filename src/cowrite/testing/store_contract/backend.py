"""What the contract suite of stores needs from a store's own tests, and the records that it writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import Store
from cowrite.core.records import Entry, Quarantined
from cowrite.crdt.operations import ContentOperation, OperationType
from cowrite.crdt.outline import ClockRange

new_id = Ids(SystemClock()).new


class StoreBackend(ABC):
    """One empty database for one test: stores are opened on it, and it can be looked into and damaged behind their backs."""

    locks_documents = True
    """A lock for each document. False: one for the whole database; then the stores must be opened so that a writer gets
    ``StoreBusy`` after less than a second."""

    def __init__(self) -> None:
        self._opened: list[Store] = []

    async def open(self) -> Store:
        """Another store on the database: another process, or the same one after a restart."""
        store = await self.connect()
        self._opened.append(store)
        return store

    async def close(self) -> None:
        """Close all stores that were opened."""
        for store in self._opened:
            await store.close()

    @abstractmethod
    async def connect(self) -> Store:
        """Open a store."""

    @abstractmethod
    async def clients(self, document_id: str) -> Mapping[int, str]:
        """The authors that are recorded for a document's Yjs clients."""

    @abstractmethod
    async def quarantined(self) -> Sequence[Quarantined]:
        """What is in quarantine, in the order of ids."""

    @abstractmethod
    async def checkpoints(self, document_id: str) -> Mapping[int, int]:
        """Offset and stored bytes of the checkpoints that are kept."""

    @abstractmethod
    async def lose_entry(self, document_id: str, offset: int) -> None:
        """Take one entry out of the log."""

    @abstractmethod
    async def damage_update(self, document_id: str, offset: int) -> None:
        """Change a bit in an update."""

    @abstractmethod
    async def damage_checkpoint(self, document_id: str, offset: int) -> None:
        """Change a bit in a checkpoint."""


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
        "update": b"update %d" % offset,
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
