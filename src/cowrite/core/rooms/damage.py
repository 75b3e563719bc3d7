"""Documents that cannot be read to their end: how far they can, and whether that was told already."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from cowrite.core.errors import DocumentDamaged
from cowrite.core.ports import History, StoreCorrupt, StoreError
from cowrite.core.rooms.replicas import open_replicas
from cowrite.crdt.errors import EngineFault

_log = structlog.get_logger(__name__)


class Damage:
    """The damaged documents that this process has met. They are only read."""

    def __init__(self, history: History | None) -> None:
        self._history = history
        self._found: dict[str, str] = {}

    @property
    def documents(self) -> Mapping[str, str]:
        """By id, and why."""
        return self._found

    async def found(self, document_id: str, error: StoreCorrupt | EngineFault) -> DocumentDamaged:
        """What whoever wants it is told. The log is told once: clients come back again and again."""
        readable = await self._readable(document_id, error.offset if isinstance(error, StoreCorrupt) else None)
        if self._found.get(document_id) != str(error):
            _log.error("document damaged; it is not opened", document=document_id, readable_at=readable, reason=str(error))
        self._found[document_id] = str(error)
        return DocumentDamaged(readable)

    def gone(self, document_id: str) -> None:
        """It could be opened."""
        if self._found.pop(document_id, None) is not None:
            _log.info("document can be read again", document=document_id)

    async def _readable(self, document_id: str, damaged: int | None) -> int | None:
        """The last offset before the damage, if it can be had as it was there."""
        if damaged is None or damaged <= 1 or self._history is None:
            return None
        try:
            await open_replicas(await self._history.load_at(document_id, damaged - 1))
        except (StoreError, EngineFault):
            return None
        return damaged - 1
