"""Documents and their pasts without a server: what commands and host applications work with that only open the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from cowrite.brokers.local import LocalBroker
from cowrite.composition import Given, Parts, compose, open_database
from cowrite.core.clock import SystemClock
from cowrite.core.history.moments import Moment
from cowrite.core.ports import Access, AccessDenied, Storage
from cowrite.core.records import DocumentInfo
from cowrite.presence.local import LocalPresence
from cowrite.settings import Settings
from cowrite.startup import StartError
from cowrite.tokens import AccessTokens, ephemeral_keys
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.services import SocketTimes


@dataclass(frozen=True, slots=True)
class Archive:
    """A database, and the services on it: those of a server, without a server."""

    storage: Storage
    parts: Parts

    async def info(self, document_id: str) -> DocumentInfo:
        """Raises :class:`StartError` when there is no such document."""
        info = await self.storage.directory.info(document_id)
        if info is None or info.deleted_at is not None:
            there = "there is no document" if info is None else "deleted is the document"
            raise StartError(f"{there} {document_id!r} in this database")
        return info

    async def moment(self, document_id: str, at: str | None) -> Moment:
        """The moment that is meant, or the newest."""
        info = await self.info(document_id)
        moments = self.parts.past.moments
        return await moments.resolve(info, at) if at is not None else await moments.at(info, info.head.offset)


@asynccontextmanager
async def open_archive(settings: Settings) -> AsyncIterator[Archive]:
    """The archive that the settings name, while the block runs; tables are neither made nor changed. Servers may run meanwhile.

    Raises :class:`cowrite.stores.errors.StoreSetupError`. A SQLite file that is not there would be made.
    """
    clock = SystemClock()
    storage = await open_database(settings, clock, upgrade=False)
    parts = compose(
        Given(
            settings,
            storage,
            LocalBroker(),
            LocalPresence(clock),
            _nobody,
            AccessTokens(ephemeral_keys(), clock),
            clock,
            settings.limits,
            OriginPolicy(frozenset(), demo=False),
            SocketTimes(),
        )
    )
    journal = asyncio.get_running_loop().create_task(parts.journal.run())
    try:
        yield Archive(storage, parts)
    finally:
        await parts.journal.close()
        journal.cancel()
        with suppress(asyncio.CancelledError):
            await journal
        await parts.past.worker.close()
        await parts.registry.close()
        await storage.close()


async def _nobody(token: str | None, document_id: str) -> Access:
    raise AccessDenied("Nobody comes in here.", known=False)
