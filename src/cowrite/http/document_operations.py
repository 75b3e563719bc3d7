"""What has happened to a document, as pages of operations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from cowrite.core.history.errors import HistoryRefused
from cowrite.core.operations.feed import encode_entry
from cowrite.core.ports import InvalidId, StoreCorrupt
from cowrite.core.records import DocumentInfo, Entry
from cowrite.http.backend import Backend
from cowrite.http.problems import Refusal

_PORTION_BYTES: Final = 1 << 20
"""Operations of more bytes come in several pages."""


async def operations_page(backend: Backend, info: DocumentInfo, after: str | None, limit: int) -> bytes:
    """The operations behind ``after`` (an operation or another moment; None: all), with the next page's ``after``. It ends
    before an entry that is damaged.

    Raises 404 ``unknown_operation``, and what reading the store raises.
    """
    document_id = info.document_id
    offset = 0 if after is None else await _place(backend, info, after)
    entries: Sequence[Entry] = ()
    readable: int | None = None
    while offset < info.head.offset and readable is None and not any(entry.operations for entry in entries):
        entries, readable = await _entries(backend, document_id, offset, limit)
        if not entries:
            break
        offset = entries[-1].offset
    last = next((entry.operations[-1].id for entry in reversed(entries) if entry.operations), None)
    following = json.dumps(last if offset < info.head.offset and readable is None else None)
    operations = b",".join(encode_entry(entry) for entry in entries if entry.operations)
    damage = b"" if readable is None else b',"readable_offset":%d' % readable
    return b'{"operations":[%s],"next":%s%s}' % (operations, following.encode(), damage)


async def _entries(backend: Backend, document_id: str, after: int, limit: int) -> tuple[Sequence[Entry], int | None]:
    """A portion of the entries behind that offset; and where that ends before a damaged one, the last offset before it."""
    read = partial(backend.history.operations, document_id, after=after, size=_PORTION_BYTES)
    try:
        return await read(limit=limit), None
    except StoreCorrupt as error:
        if error.offset is None:
            raise
        readable = error.offset - 1
        return await read(limit=min(limit, readable - after)), readable


async def _place(backend: Backend, info: DocumentInfo, after: str) -> int:
    """The offset of an operation, or of another moment. What may be both is an operation: `next` of a page is one."""
    try:
        located = await backend.history.locate(info.document_id, after)
    except InvalidId:  # longer than an operation's id can be
        located = None
    if located is not None:
        return located
    try:
        return await backend.past.moments.offset_of(info, after)
    except HistoryRefused:
        detail = f"No operation of this document has the id {after!r}, and it names no other moment of it."
        raise Refusal(HTTPStatus.NOT_FOUND, "unknown_operation", detail) from None
