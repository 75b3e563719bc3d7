"""Saving checkpoints, and thinning them out so that all of them together stay smaller than the log plus the newest."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from cowrite.stores.encoding import PackedCheckpoint, worth_keeping
from cowrite.stores.sqlalchemy.tables import checkpoints, updates

_log_bytes = select(updates.c.log_bytes).where(
    updates.c.document_id == bindparam("document_id"),
    updates.c.entry_offset == bindparam("entry_offset"),
    updates.c.entry_id == bindparam("entry_id"),
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
    log_bytes = connection.execute(_log_bytes, place | {"entry_id": packed.entry_id}).scalar_one_or_none()
    others = connection.execute(_newest_others, place).all()
    if log_bytes is None or (others and others[0].entry_offset > packed.offset):
        return
    if others:
        before = others[1].log_bytes if len(others) > 1 else 0
        if not worth_keeping(size=others[0].size, log_bytes=others[0].log_bytes, log_bytes_before=before):
            connection.execute(_delete, {"this_document": document_id, "this_offset": others[0].entry_offset})
    connection.execute(_delete, {"this_document": document_id, "this_offset": packed.offset})
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
