"""What the contract suite of stores needs from a store's own tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from cowrite.core.ports import Store
from cowrite.core.records import Quarantined


class StoreBackend(ABC):
    """One empty database for one test: stores are opened on it, and it can be looked into and damaged behind their backs."""

    locks_documents = True
    """A lock for each document; False: one for the whole database."""

    def __init__(self) -> None:
        self._opened: list[Store] = []

    async def open(self, *, patient: bool = True) -> Store:
        """Another store on the database: another process, or the same one after a restart."""
        store = await self.connect(patient=patient)
        self._opened.append(store)
        return store

    async def close(self) -> None:
        """Close all stores that were opened."""
        for store in self._opened:
            await store.close()

    @abstractmethod
    async def connect(self, *, patient: bool) -> Store:
        """Open a store. One that is not patient, where there is one lock for the whole database, gives up waiting for it after
        less than a second.
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
    async def lose_entry(self, document_id: str, offset: int) -> None:
        """Take one entry out of the log."""

    @abstractmethod
    async def damage_update(self, document_id: str, offset: int) -> None:
        """Change a bit in an update."""

    @abstractmethod
    async def damage_checkpoint(self, document_id: str, offset: int) -> None:
        """Change a bit in a checkpoint."""
