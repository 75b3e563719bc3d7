"""What the commands on documents' pasts do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from cowrite.app import database_url as url_of
from cowrite.core.history.verifying import Verified, verify
from cowrite.core.ports import Storage, StoreError
from cowrite.log import configure
from cowrite.settings import Settings, load_settings
from cowrite.startup import StartError
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.opening import open_store

_AT_ONCE = 1000

T = TypeVar("T")


def run(data_dir: str | None, database_url: str | None, work: Callable[[Storage], Awaitable[T]]) -> T:
    """Do something with the database that the settings name. Raises :class:`StartError` with a line for people."""
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    configure("error", settings.log_format)
    if settings.database_url is None and not settings.database_file.exists():
        raise StartError(f"there is no database {settings.database_file}; --data-dir or --database-url says where it is")
    return asyncio.run(_run(settings, work))


async def _run(settings: Settings, work: Callable[[Storage], Awaitable[T]]) -> T:
    try:
        storage = await open_store(url_of(settings), upgrade=False)
    except StoreSetupError as error:
        raise StartError(str(error)) from None
    try:
        return await work(storage)
    except StoreError as error:
        raise StartError(str(error)) from None
    finally:
        await storage.close()


async def verify_all(storage: Storage, documents: Sequence[str]) -> int:
    """Verify these documents, or all, and print a line for each. Returns 1 when something does not agree, else 0."""
    code = 0
    async for document_id in _each(documents) if documents else _all(storage):
        found = await verify(storage, document_id)
        if found is None:
            raise StartError(f"there is no document {document_id!r} in this database")
        print(_said(found), flush=True)
        code = code if found.difference is None else 1
    return code


def _said(found: Verified) -> str:
    name = repr(found.document_id)
    if found.difference is not None:
        return f"{name} differs at offset {found.difference.offset}: {found.difference.reason}"
    forgotten = f"; what was before offset {found.first_offset} is forgotten" if found.first_offset > 1 else ""
    return f"{name} agrees: entries replayed: {found.entries}, states compared: {found.states}{forgotten}"


async def _each(documents: Sequence[str]) -> AsyncIterator[str]:
    for document_id in documents:
        yield document_id


async def _all(storage: Storage) -> AsyncIterator[str]:
    after: str | None = None
    while infos := await storage.directory.list(after=after, limit=_AT_ONCE):
        for info in infos:
            yield info.document_id
        after = infos[-1].document_id
