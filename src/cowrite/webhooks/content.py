"""What a document says, for webhooks that tell of changes: where the operator has asked for it, and up to a size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from traceback import format_exception
from typing import Any, Final
from urllib.parse import quote

import structlog

from cowrite.core.errors import RoomClosed
from cowrite.core.event_types import ContentFormat
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.state import State
from cowrite.core.ports import Store, StoreBusy, StoreUnavailable
from cowrite.core.records import Head
from cowrite.core.rooms.registry import Registry
from cowrite.core.seldom import Seldom
from cowrite.formats import to_html, to_markdown, to_prosemirror, to_text

_OF_STATE: Final = 64
"""How many times as large a document's state may be that is looked at: what was deleted is in it, and says nothing."""
_RENDERERS: Final[Mapping[ContentFormat, Callable[[State], Any]]] = {
    ContentFormat.TEXT: lambda state: to_text(state.content, None),
    ContentFormat.MARKDOWN: lambda state: to_markdown(state.content, None),
    ContentFormat.HTML: lambda state: to_html(state.content, None),
    ContentFormat.PROSEMIRROR: lambda state: to_prosemirror(state.content, None),
    ContentFormat.JSON: lambda state: json.loads(state.json),
}

_FAILED: Final = "what a document says could not be read for a webhook, which tells of the change without it"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """What a document says at one place of its log."""

    head: Head
    value: Any
    """None: it is too large for a message."""


class ContentReader:
    """Reads it, beside the event loop."""

    def __init__(
        self, store: Store, registry: Registry, reader: DocumentReader, seldom: Seldom, form: ContentFormat, *, most: int
    ) -> None:
        """``most``: the bytes of JSON that a message may have of it."""
        self._store = store
        self._registry = registry
        self._reader = reader
        self._seldom = seldom
        self._form = form
        self._most = most

    async def read(self, document_id: str) -> Said | None:
        """What it says now, or later than now. None: there is no such document, or it cannot be read, which is logged unless
        whoever follows the link is told. Raises ``StoreUnavailable`` and ``StoreBusy``, and nothing else: one document that
        cannot be read holds up no other.
        """
        try:
            head = (await self._store.heads([document_id])).get(document_id)
            return None if head is None else await self._said(document_id, head)
        except (StoreUnavailable, StoreBusy):
            raise
        except RoomClosed:
            return None  # it was deleted, or is damaged
        except Exception as error:
            trace = "".join(format_exception(error))  # not the error itself, which would hold the document for a minute
            self._seldom.say(_log, "error", _FAILED, document_id, document=document_id, exception=trace)
            return None

    async def _said(self, document_id: str, head: Head) -> Said:
        async with self._registry.open(document_id) as room:
            committed = await self._reader.committed(room, at_least=head)
            if len(committed.state) > _OF_STATE * self._most:
                return Said(committed.head, None)
            state = await self._reader.state(room, at_least=head)
        return Said(state.committed.head, await asyncio.to_thread(self._rendered, state))

    def told(self, document_id: str, said: Said | None) -> dict[str, Any]:
        """For a message. Without what it says there is where to read that."""
        path = f"/api/v2/documents/{quote(document_id, safe='')}?format={self._form}"
        return {"format": self._form, "value": None if said is None else said.value, "path": path}

    def _rendered(self, state: State) -> Any:
        value = _RENDERERS[self._form](state)
        return value if len(json.dumps(value)) <= self._most else None
