"""From the URL of a database server to a database that is ready, or to one clear line."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from contextlib import suppress
from functools import partial
from typing import TypeVar

from sqlalchemy import URL

from cowrite.core.ports import StoreBusy, StoreError
from cowrite.stores.errors import StoreAway, StoreSetupError
from cowrite.stores.sqlalchemy.database import Stay, write
from cowrite.stores.sqlalchemy.schema import NEWEST, Tables, ensure_schema, ensure_writable, schema_version
from cowrite.stores.sqlalchemy.server_kinds import Place, ServerKind
from cowrite.stores.sqlalchemy.server_urls import server_place, server_scheme
from cowrite.stores.sqlalchemy.servers import ServerDatabase

T = TypeVar("T")

_LOOKS, _LOOK_AGAIN = 20, 0.1
"""How often it is looked which tables there are, and seconds between."""


async def open_server(url: URL, *, tables: Tables, pool_size: int, stay: Stay) -> ServerDatabase:
    """Connect, and see to the tables. Raises :class:`StoreSetupError`."""
    kind, place = _named(url)
    version = await _probe(kind, place)
    database = ServerDatabase(kind, place, version, pool_size=pool_size, stay=stay)
    try:
        found = await _version_of(database)
        if found is None and tables is not Tables.LEAVE:
            await _change_tables(kind, place, version, tables)
        elif found != NEWEST:
            await database.read(partial(ensure_schema, place=database.place, tables=tables), _as_it_is)
        if tables is not Tables.LEAVE:
            # Else a user who may only read, or a replica, would be found when the first edit cannot be stored.
            await write(database, ensure_writable)
    except BaseException as error:
        await database.close()
        if isinstance(error, StoreError):
            raise _setup_error(kind, error) from error
        raise
    return database


async def _version_of(database: ServerDatabase) -> str | None:
    """Which tables there are. While another process makes them MariaDB shows nothing of them."""
    for _ in range(_LOOKS):
        with suppress(StoreBusy):
            return await database.read(schema_version, _as_it_is)
        await asyncio.sleep(_LOOK_AGAIN)
    return await database.read(schema_version, _as_it_is)


async def migrate_server(url: URL) -> str | None:
    """Bring the tables up to date, or make them. Returns the version before; None: there were none."""
    kind, place = _named(url)
    return await _change_tables(kind, place, await _probe(kind, place), Tables.UPGRADE)


async def _change_tables(kind: ServerKind, place: Place, version: str, tables: Tables) -> str | None:
    """In a thread with a loop of its own: migrations read files, and take long."""

    async def change() -> str | None:
        database = ServerDatabase(kind, place, version, pool_size=1)
        try:
            return await database.change_tables(partial(ensure_schema, place=database.place, tables=tables))
        finally:
            await database.close()

    try:
        return await asyncio.to_thread(lambda: asyncio.run(change()))
    except StoreError as error:
        raise _setup_error(kind, error) from error


def _named(url: URL) -> tuple[ServerKind, Place]:
    scheme = server_scheme(url)
    assert scheme is not None, "the caller has looked"
    return _kind(scheme), server_place(url, scheme)


def _kind(scheme: str) -> ServerKind:
    kind: ServerKind
    if scheme == "postgresql":
        from cowrite.stores.sqlalchemy.postgresql import PostgreSQL

        kind = PostgreSQL()
    else:
        from cowrite.stores.sqlalchemy.mysql import MySQL

        kind = MySQL()
    try:
        importlib.import_module(kind.package)
    except ImportError as error:
        raise StoreSetupError(
            f"For {kind.title} the driver {kind.package} is missing ({error}); "
            f"install it with:  pip install 'cowrite[{kind.extra}]'"
        ) from None
    return kind


def _setup_error(kind: ServerKind, error: StoreError) -> StoreSetupError:
    cause = error.__cause__
    away = isinstance(error, StoreBusy) or (cause is not None and kind.is_away(cause))
    return (StoreAway if away else StoreSetupError)(str(error))


def _why(kind: ServerKind, place: Place, error: Exception) -> str:
    said = kind.said(error)
    if isinstance(error, ssl.SSLError) or (place.tls_required and "SSL" in said):
        return f"No TLS with {place.name} ({said}): see sslmode in the database's URL."
    if isinstance(error, OSError) or kind.code_of(error).startswith("20"):  # MySQL's errors of the network
        return f"Nobody answers at {place.name} ({said}): see host and port in the database's URL."
    return f"The server does not let us use {place.name} ({said}): {kind.advice_for(error)}."


async def _probe(kind: ServerKind, place: Place) -> str:
    """The server's version. Connecting without the pool tells best what is wrong."""
    try:
        # Drivers give up on the network; what takes a connection and says nothing, or nothing of this kind, they wait for.
        async with asyncio.timeout(kind.deadlines.connect):
            version = await kind.probe(place)
    except TimeoutError:
        raise StoreAway(
            f"There is no answer of {kind.title} from {place.name}: see host and port in the database's URL."
        ) from None
    except (StoreError, StoreSetupError):
        raise
    except Exception as error:
        raise (StoreAway if kind.is_away(error) else StoreSetupError)(_why(kind, place, error)) from None
    needed = kind.too_old(version)
    if needed is not None:
        raise StoreSetupError(f"The server of {place.name} is {kind.title} {version}; cowrite needs {needed} or newer.")
    return version


def _as_it_is(found: T) -> T:
    return found
