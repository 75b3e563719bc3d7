"""Saving checkpoints, and thinning them out so that all of them together stay smaller than half of the log plus the newest."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from cowrite.stores.encoding import PackedCheckpoint, worth_keeping
from cowrite.stores.packing import pack_id
from cowrite.stores.sqlalchemy.tables import checkpoints, documents, updates

_entry = select(updates.c.log_bytes, documents.c.first_offset).where(
    documents.c.document_id == bindparam("document_id"),
    updates.c.document_number == documents.c.number,
    updates.c.entry_offset == bindparam("entry_offset"),
    updates.c.entry_id == bindparam("entry_id"),
    # Of what was forgotten or purged there may still be rows.
    updates.c.entry_offset.between(documents.c.first_offset, documents.c.head_offset),
)
_newest_others = (
    select(checkpoints.c.entry_offset, checkpoints.c.size, checkpoints.c.log_bytes)
    .where(checkpoints.c.document_id == bindparam("document_id"), checkpoints.c.entry_offset != bindparam("entry_offset"))
    .order_by(checkpoints.c.entry_offset.desc())
    .limit(2)
)
_delete = delete(checkpoints).where(
    checkpoints.c.document_id == bindparam("this_document"), checkpoints.c.entry_offset == bindparam("this_offset")
)


def save_checkpoint(connection: Connection, document_id: str, packed: PackedCheckpoint, *, now: int) -> None:
    """Keep it as the newest; nothing happens when its entry is not in the log, or a newer checkpoint is there."""
    place = {"document_id": document_id, "entry_offset": packed.offset}
    entry = connection.execute(_entry, place | {"entry_id": pack_id(packed.entry_id)}).one_or_none()
    others = connection.execute(_newest_others, place).all()
    if entry is None or (others and others[0].entry_offset > packed.offset):
        return
    # The one below the first offset is what is left of the entries before it.
    if others and others[0].entry_offset >= entry.first_offset:
        before = others[1].log_bytes if len(others) > 1 else 0
        if not worth_keeping(size=others[0].size, log_bytes=others[0].log_bytes, log_bytes_before=before):
            connection.execute(_delete, {"this_document": document_id, "this_offset": others[0].entry_offset})
    connection.execute(_delete, {"this_document": document_id, "this_offset": packed.offset})
    insert_checkpoint(connection, document_id, packed, log_bytes=entry.log_bytes, now=now)


def insert_checkpoint(connection: Connection, document_id: str, packed: PackedCheckpoint, *, log_bytes: int, now: int) -> None:
    """Its row; there must be none at that offset. ``log_bytes`` are those of the log up to there."""
    connection.execute(
        insert(checkpoints),
        {
            "document_id": document_id,
            "entry_offset": packed.offset,
            "entry_id": packed.entry_id,
            "state": packed.state,
            "checksum": packed.checksum,
            "size": len(packed.state),
            "roots": packed.roots,
            "log_bytes": log_bytes,
            "created_at": now,
        },
    )
