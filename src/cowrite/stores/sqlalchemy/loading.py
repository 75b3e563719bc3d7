"""Opening a document, as it is or as it was, without the checkpoints that are damaged."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog

from cowrite.core.records import StoredDocument
from cowrite.stores.encoding import PackedCheckpoint, damage_of
from cowrite.stores.sqlalchemy.database import Database
from cowrite.stores.sqlalchemy.reading import CheckpointDamaged, decode_document, read_checkpoint, read_document

log = structlog.get_logger(__name__)

NO_OFFSET = 2**62
"""Beyond every offset."""


async def load_document(database: Database, document_id: str, *, until: int | None = None) -> StoredDocument | None:
    """The document at its head, or at the offset ``until``; None where there is no such."""
    before = NO_OFFSET
    while True:
        try:
            return await database.read(
                partial(read_document, document_id=document_id, before=before, until=until), decode_document
            )
        except CheckpointDamaged as damage:
            log.error("checkpoint ignored", document_id=document_id, offset=damage.offset, reason=str(damage))
            before = damage.offset


async def damaged_checkpoints(database: Database, document_id: str) -> Mapping[int, str]:
    """See :meth:`cowrite.core.ports.History.damaged_checkpoints`. One at a time: each is as large as the document."""
    found: dict[int, str] = {}
    before = NO_OFFSET
    while True:
        looked = await database.read(partial(read_checkpoint, document_id=document_id, before=before), _looked_at)
        if looked is None:
            return found
        before, damage = looked
        if damage is not None:
            found[before] = damage


def _looked_at(packed: PackedCheckpoint | None) -> tuple[int, str | None] | None:
    return None if packed is None else (packed.offset, damage_of(packed))
