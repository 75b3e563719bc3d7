"""Documents that are deleted while they are open, and those that are made again after they were purged.

Deleting is a row of the directory and, in the same transaction, an access change about the document that concerns no session:
so the news of it takes the same way to all processes as changed grants do, and nobody's grant is touched by it.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, Directory, Erasure, StoreError
from cowrite.core.records import AccessChange
from cowrite.core.rooms.registry import Registry

NO_SESSION: Final = "00000000-0000-0000-0000-000000000000"
"""The nil UUID: no session has it."""

_MADE_AGAIN: Final = "made again"

_log = structlog.get_logger(__name__)


class Deletion:
    """Deletes documents, takes it back, and closes the rooms of those that were deleted elsewhere."""

    def __init__(self, directory: Directory, erasure: Erasure, registry: Registry, clock: Clock, ids: Ids) -> None:
        self._directory = directory
        self._erasure = erasure
        self._registry = registry
        self._clock = clock
        self._ids = ids
        self._looking: set[asyncio.Task[None]] = set()

    async def delete(self, document_id: str, by: str) -> bool:
        """Delete softly. False: there is no such document, or it is deleted already. Raises :class:`StoreError`."""
        deleted = await self._directory.delete(document_id, self._news(document_id, by, "deleted"))
        if deleted:
            await self._registry.opened(document_id)  # one that is being opened may have been read before this
            self._registry.deleted(document_id)
        return deleted

    async def undelete(self, document_id: str, by: str) -> bool:
        """Take it back. False: there is no such document, or it is not deleted. Raises :class:`StoreError`."""
        return await self._directory.undelete(document_id, self._news(document_id, by, "undeleted"))

    async def recreate(self, document_id: str, by: str) -> bool:
        """Make a purged document again, empty. False: there is no such document, or it is not purged.

        Nothing is taken that was written before it was purged (see ``Registry``). Raises :class:`StoreError`.
        """
        return await self._erasure.recreate(document_id, self._news(document_id, by, _MADE_AGAIN))

    def heard(self, change: AccessChange) -> None:
        """A change was learned: if it is about a document that is open here, look whether that was deleted, or history of it
        forgotten.
        """
        document_id = change.document_id if change.session_id == NO_SESSION else None
        if document_id is not None and self._registry.is_known(document_id):
            again = change.reason == _reason(_MADE_AGAIN)
            task = asyncio.get_running_loop().create_task(self._look(document_id, again=again))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look(self, document_id: str, *, again: bool) -> None:
        room = await self._registry.opened(document_id)
        try:
            info = await self._directory.info(document_id)
        except StoreError as error:
            # The journal finds out under its lock, as soon as there is something to write.
            _log.warning("not known whether the document was deleted", document=document_id, reason=str(error))
            return
        if info is None:
            return
        if info.deleted_at is not None:
            self._registry.deleted(document_id)
        elif room is not None and again and room.replicas.head.epoch != info.head.epoch:
            # Open since before it was purged, it does not know whose updates must not be taken.
            room.delete()
        elif room is not None and room.readership.feed is not None:
            room.readership.feed.forget(info.first_offset - 1)  # perhaps its history was forgotten elsewhere

    def _news(self, document_id: str, by: str, what: str) -> AccessChange:
        now = self._clock.now()
        return AccessChange(self._ids.new(), by, now, document_id, session_id=NO_SESSION, reason=_reason(what), restores=True)


def _reason(what: str) -> str:
    return f"the document was {what}"
