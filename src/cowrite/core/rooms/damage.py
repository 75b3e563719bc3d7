"""Finds how far damaged documents can be read, and remembers which they are."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from cowrite.core.damaged import Damaged
from cowrite.core.errors import DocumentDamaged
from cowrite.core.ports import History, HistoryForgotten, StoreCorrupt
from cowrite.core.rooms.replicas import Replicas, open_replicas
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

    async def open(self, document_id: str, error: StoreCorrupt | EngineFault) -> tuple[Damaged, Replicas]:
        """The document up to where ``error`` was met. The log is told once: clients come back again and again.

        Raises :class:`DocumentDamaged` when nothing of it can be read, and what reading the store raises when it cannot be
        reached.
        """
        found = await self._read(document_id, error.offset if isinstance(error, StoreCorrupt) else None)
        readable = found[0].readable if found is not None else None
        if self._found.get(document_id) != str(error):
            event = "document damaged; it is not opened" if found is None else "document damaged; it is opened for reading only"
            _log.error(event, document=document_id, readable_at=readable, reason=str(error))
        self._found[document_id] = str(error)
        if found is None:
            raise DocumentDamaged from error
        return found

    def gone(self, document_id: str) -> None:
        """It could be opened as a whole."""
        if self._found.pop(document_id, None) is not None:
            _log.info("document can be read again", document=document_id)

    def deleted(self, document_id: str) -> None:
        """Nobody reads it any more."""
        self._found.pop(document_id, None)

    async def _read(self, document_id: str, damaged: int | None) -> tuple[Damaged, Replicas] | None:
        """None: it is not known where the damage is, or there is nothing before it that could be read."""
        if damaged is None or damaged <= 1 or self._history is None:
            return None
        try:
            stored = await self._history.load_at(document_id, damaged - 1)
            return (Damaged(damaged - 1), await open_replicas(stored)) if stored is not None else None
        except (StoreCorrupt, HistoryForgotten, EngineFault):
            return None
