"""What is damaged in one document's log, put back from a backup while servers work on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from cowrite.stores.backup_file import BackupError, Contents, look_through, rows_of
from cowrite.stores.opening import open_to_mend
from cowrite.stores.sqlalchemy.copying import check_columns
from cowrite.stores.sqlalchemy.database import write
from cowrite.stores.sqlalchemy.mending import Kept, find_damage, keep_of, mend


async def mend_from(url: str, path: Path, document_id: str) -> Mapping[int, str | None]:
    """Put back the entries of a document that are missing in the database of that URL, or are not what was stored.

    Only those are touched, under the document's lock, all in one transaction, and only where the backup has that very entry,
    whole. Returns for each that was damaged why it was left as it is, or None: it was put back. Checkpoints are not looked at,
    nor whether operations say what the updates do.
    Raises :class:`BackupError`, ``StoreSetupError``, ``StoreError``.
    """
    contents = await asyncio.to_thread(look_through, path)
    check_columns(contents.header)
    database = await open_to_mend(url)
    try:
        damaged = await database.at_length(partial(find_damage, document_id=document_id), writing=False)
        if damaged is None:
            raise BackupError(f"there is no document {document_id!r} in this database")
        if not damaged:
            return {}
        kept = await asyncio.to_thread(_kept, path, contents, document_id, damaged)
        return await write(database, partial(mend, document_id=document_id, kept=kept))
    finally:
        await database.close()


def _kept(path: Path, contents: Contents, document_id: str, offsets: Sequence[int]) -> Kept:
    kept = keep_of(rows_of(path, contents), document_id, offsets)
    if kept is None:
        raise BackupError(f"there is no document {document_id!r} in {path}; nothing was changed")
    return kept
