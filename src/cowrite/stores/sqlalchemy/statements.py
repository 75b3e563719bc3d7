"""The SQL of the log: functions of a connection, run as *work* by a database (see ``database.py``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import bindparam, select

from cowrite.core.records import Head
from cowrite.stores.sqlalchemy.tables import content_operations, documents, updates

Values: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document's row."""

    head: Head
    first_offset: int
    log_bytes: int


_document = select(
    documents.c.document_id,
    documents.c.epoch,
    documents.c.head_offset,
    documents.c.head_entry_id,
    documents.c.first_offset,
    documents.c.log_bytes,
)
_these_documents = _document.where(documents.c.document_id.in_(bindparam("document_ids", expanding=True)))
_lock_documents = _these_documents.order_by(documents.c.document_id).with_for_update(skip_locked=True, key_share=True)

_update = select(
    updates.c.entry_offset,
    updates.c.entry_id,
    updates.c.group_id,
    updates.c.author_id,
    updates.c.created_at,
    updates.c.ranges,
    updates.c.update_bytes,
    updates.c.checksum,
)
_updates_from = (
    _update.where(updates.c.document_id == bindparam("document_id"), updates.c.entry_offset >= bindparam("start"))
    .order_by(updates.c.entry_offset)
    .limit(bindparam("limit"))
)
_operations_between = (
    select(
        content_operations.c.entry_offset,
        content_operations.c.id,
        content_operations.c.operation_type,
        content_operations.c.position,
        content_operations.c.content,
        content_operations.c.author_id,
        content_operations.c.timestamp,
        content_operations.c.vector_clock,
        content_operations.c.length,
        content_operations.c.attributes,
    )
    .where(
        content_operations.c.document_id == bindparam("document_id"),
        content_operations.c.entry_offset.between(bindparam("first"), bindparam("last")),
    )
    .order_by(content_operations.c.entry_offset, content_operations.c.sequence)
)
