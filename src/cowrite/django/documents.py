"""What stands in documents, read from cowrite's database: in views, commands and tasks, whether a server runs or not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from asgiref.sync import async_to_sync

from cowrite.archive import open_archive
from cowrite.django.conf import collaboration
from cowrite.http.document_formats import Format, rendered


async def aread(document_id: str, form: str = "text", root: str | None = None) -> bytes:
    """What is committed of a document, as ``text``, ``markdown``, ``html``, ``json`` or ``yjs``; of one root, if it is named.

    A document that nobody has written in is empty. Raises ``ValueError`` for another form, and
    :class:`cowrite.stores.errors.StoreSetupError` when the database cannot be opened.
    """
    asked = Format(form)
    settings = (await asyncio.to_thread(collaboration)).settings
    if settings.database_file is not None and not await asyncio.to_thread(settings.database_file.exists):
        return b""
    async with open_archive(settings) as archive:
        info = await archive.storage.directory.info(document_id)
        if info is None or info.deleted_at is not None:
            return b""
        moments = archive.parts.past.moments
        state = await moments.state(await moments.at(info, info.head.offset))
        return await rendered(state, document_id, asked, root)


def read(document_id: str, form: str = "text", root: str | None = None) -> bytes:
    """As :func:`aread`, where no event loop runs."""
    found: bytes = async_to_sync(aread)(document_id, form, root)
    return found


def content(document_id: str) -> Any:
    """All roots of a document as JSON has them; an empty object for one that nobody has written in."""
    found = read(document_id, "json")
    return json.loads(found)["content"] if found else {}
