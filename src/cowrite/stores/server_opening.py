"""From the URL of a database server to a database that is ready, or to one clear line."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from functools import partial
from typing import TypeVar

from sqlalchemy import URL

from cowrite.core.ports import StoreError
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.sqlalchemy.schema import NEWEST, Tables, ensure_schema, schema_version
from cowrite.stores.sqlalchemy.server_kinds import Place, ServerKind
from cowrite.stores.sqlalchemy.server_urls import server_place, server_scheme
from cowrite.stores.sqlalchemy.servers import ServerDatabase

T = TypeVar("T")


async def open_server(url: URL, *, tables: Tables, pool_size: int) -> ServerDatabase:
    """Connect, and see to the tables. Raises :class:`StoreSetupError`."""
    kind, place = _named(url)
    version = await _probe(kind, place)
    database = ServerDatabase(kind, place, version, pool_size=pool_size)
    try:
        found = await database.read(schema_version, _as_it_is)
        if found is None and tables is not Tables.LEAVE:
            await _change_tables(kind, place, version, tables)
        elif found != NEWEST:
            await database.read(partial(ensure_schema, place=database.place, tables=tables), _as_it_is)
    except BaseException as error:
        await database.close()
        if isinstance(error, StoreError):
            raise StoreSetupError(str(error)) from error
        raise
    return database


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
        raise StoreSetupError(str(error)) from error


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
    if importlib.util.find_spec(kind.package) is None:
        raise StoreSetupError(
            f"For {kind.title} the driver {kind.package} is missing; install it with:  pip install 'cowrite[{kind.extra}]'"
        )
    return kind


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
        version = await kind.probe(place)
    except TimeoutError:
        raise StoreSetupError(f"There is no answer from {place.name}: see host and port in the database's URL.") from None
    except (StoreError, StoreSetupError):
        raise
    except Exception as error:
        raise StoreSetupError(_why(kind, place, error)) from None
    needed = kind.too_old(version)
    if needed is not None:
        raise StoreSetupError(f"The server of {place.name} is {kind.title} {version}; cowrite needs {needed} or newer.")
    return version


def _as_it_is(found: T) -> T:
    return found
