"""What of a document's history is still kept, asked of the store when somebody is about to be given some of it from memory."""

from __future__ import annotations

import asyncio

from cowrite.core.ports import Directory


class Keeping:
    """Whoever asks is told what was so after they asked. Those who ask about one document at the same time share one read."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._next: dict[str, asyncio.Task[int]] = {}
        self._reading: dict[str, asyncio.Task[int]] = {}

    async def first_offset(self, document_id: str) -> int:
        """The oldest entry that is kept; 1 of no document. Raises :class:`StoreUnavailable`."""
        asked = self._next.get(document_id)
        if asked is None:
            before = self._reading.get(document_id)
            asked = self._next[document_id] = asyncio.get_running_loop().create_task(self._read(document_id, before))
            asked.add_done_callback(_retrieve)
        return await asyncio.shield(asked)

    async def _read(self, document_id: str, before: asyncio.Task[int] | None) -> int:
        if before is not None:
            await asyncio.wait([before])
        # Who asks from here on may ask about what happens while it is read.
        self._reading[document_id] = self._next.pop(document_id)
        try:
            info = await self._directory.info(document_id)
        finally:
            del self._reading[document_id]
        return info.first_offset if info is not None else 1


def _retrieve(asked: asyncio.Task[int]) -> None:
    """Whoever asked may have gone: then nobody looks at what went wrong."""
    if not asked.cancelled():
        asked.exception()
