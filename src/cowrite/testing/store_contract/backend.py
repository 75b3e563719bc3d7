"""What the contract suites of storage need from its own tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from cowrite.core.ports import Storage, Store
from cowrite.core.records import Quarantined


class StoreBackend(ABC):
    """One empty database for one test: storage is opened on it, and it can be looked into and damaged behind its back."""

    locks_documents = True
    """A lock for each document; False: one for the whole database."""

    def __init__(self) -> None:
        self._opened: list[Storage] = []

    async def open_storage(self, *, patient: bool = True) -> Storage:
        """Open the database once more: another process, or the same one after a restart."""
        storage = await self.connect(patient=patient)
        self._opened.append(storage)
        return storage

    async def open(self, *, patient: bool = True) -> Store:
        """As :meth:`open_storage`: another store on the database."""
        return (await self.open_storage(patient=patient)).store

    async def close(self) -> None:
        """Close all that was opened."""
        for storage in self._opened:
            await storage.close()

    @abstractmethod
    async def connect(self, *, patient: bool) -> Storage:
        """Open the storage. When it is not patient, and there is one lock for the whole database, it gives up waiting for that
        after less than a second.
        """

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
    async def forget_history(self, document_id: str, first_offset: int) -> None:
        """Take away all entries before that offset, with their operations and what was submitted with them."""

    @abstractmethod
    async def kept_updates(self) -> Mapping[str, bytes | None]:
        """What is kept of the updates of submitted operations, by id; None for what the entry has."""

    @abstractmethod
    async def lose_entry(self, document_id: str, offset: int) -> None:
        """Take one entry out of the log."""

    @abstractmethod
    async def damage_update(self, document_id: str, offset: int) -> None:
        """Change a bit in an update."""

    @abstractmethod
    async def damage_checkpoint(self, document_id: str, offset: int) -> None:
        """Change a bit in a checkpoint."""
