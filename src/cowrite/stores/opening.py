"""From a URL to storage that is ready."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from cowrite.core.clock import SystemClock
from cowrite.core.ports import Clock, Storage, StoreBusy, StoreError
from cowrite.stores.errors import StoreAway, StoreSetupError
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.stores.sqlalchemy.database import Stay, write
from cowrite.stores.sqlalchemy.schema import NEWEST, Tables, ensure_schema, ensure_writable, schema_version
from cowrite.stores.sqlalchemy.server_urls import SERVERS, server_place, server_scheme
from cowrite.stores.sqlalchemy.sqlite import PATIENCE, SqliteDatabase, processes_with
from cowrite.stores.sqlalchemy.storage import sql_storage

if TYPE_CHECKING:
    from cowrite.stores.sqlalchemy.servers import ServerDatabase

POOL_SIZE = 10
"""Connections to a database server, where nothing else is said."""
_AGAIN = 0.05
"""Seconds between attempts to prepare a file that another process is preparing."""
_LEAVE_SECONDS = 1.0
"""How long whoever wants a file alone waits for those who only have looked into it."""
_EXAMPLE = "for example sqlite:///data/cowrite.db"


async def open_store(
    url: str,
    *,
    clock: Clock | None = None,
    upgrade: bool = True,
    patience: float = PATIENCE,
    pool_size: int = POOL_SIZE,
) -> Storage:
    """Open the database that ``url`` names; make its tables when there are none, and a SQLite file with its folder, too.

    ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``postgresql://user:password@host/database``, ``mariadb://…``,
    ``mysql://…``, or ``memory://`` (forgotten at the end). Older tables are brought up to date in SQLite; on a server
    :func:`migrate` does that, and they are refused here. Where ``upgrade`` is false tables are neither made nor changed.
    ``patience`` is how many seconds a writer waits for another where the database has one lock for all (SQLite), before it gets
    ``StoreBusy``; ``pool_size``, how many connections to a server there are at most. Raises :class:`StoreSetupError` with one
    line for people.
    """
    clock = clock or SystemClock()
    parsed = _parse(url)
    match parsed.get_backend_name():
        case "memory":
            return memory_storage(MemoryDatabase(clock))
        case "sqlite":
            return sql_storage(await _open_sqlite(_sqlite_path(parsed), upgrade=upgrade, patience=patience), clock)
        case kind if kind in SERVERS:
            tables = Tables.CREATE if upgrade else Tables.LEAVE
            database = await _server_opening(kind).open_server(parsed, tables=tables, pool_size=pool_size, stay=Stay.AT_WORK)
            system = "mariadb" if kind == "mariadb" else SERVERS[kind]
            return sql_storage(database, clock, system=system, pool=lambda: database.pool.use)
        case other:
            raise StoreSetupError(
                f"Databases of the kind {other!r} are not supported; use PostgreSQL, MariaDB, MySQL or SQLite, {_EXAMPLE}."
            )


async def open_to_read(url: str) -> SqliteDatabase | ServerDatabase:
    """The database itself, as it is: nothing is written to it, so a disk that is full does not matter. Raises
    :class:`StoreSetupError`.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return await _open_server(parsed, Tables.LEAVE, stay=Stay.GUEST)
    database = await asyncio.to_thread(SqliteDatabase, _sqlite_path(parsed))
    try:
        look = partial(ensure_schema, place=database.place, tables=Tables.LEAVE)
        await database.read(look, lambda version: version)
    except BaseException as error:
        await database.close()
        if isinstance(error, StoreError):
            raise StoreSetupError(str(error)) from error
        raise
    return database


async def open_to_fill(url: str) -> SqliteDatabase | ServerDatabase:
    """The database itself, made with its tables where there is none, for this process alone until it is closed.

    Raises :class:`StoreSetupError`, also where somebody is at work on it; who wants to be meanwhile is told so.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return await _open_server(parsed, Tables.CREATE, stay=Stay.ALONE)
    return await _open_sqlite(_sqlite_path(parsed), upgrade=True, patience=_LEAVE_SECONDS, alone=True)


async def open_to_mend(url: str) -> SqliteDatabase | ServerDatabase:
    """The database itself, to write to it beside servers that work on it. Raises :class:`StoreSetupError`."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return await _open_server(parsed, Tables.LEAVE, stay=Stay.AT_WORK)
    return await _open_sqlite(_sqlite_path(parsed), upgrade=False, patience=PATIENCE)


async def _open_server(parsed: URL, tables: Tables, *, stay: Stay) -> ServerDatabase:
    if parsed.get_backend_name() not in SERVERS:
        raise StoreSetupError(f"A database of the kind {parsed.get_backend_name()!r} has no backups.")
    opening = _server_opening(parsed.get_backend_name())
    database: ServerDatabase = await opening.open_server(parsed, tables=tables, pool_size=1, stay=stay)
    return database


def _server_opening(scheme: str) -> ModuleType:
    """The module with the ways to database servers. Loaded late: it takes a tenth of the start of those without."""
    try:
        return importlib.import_module("cowrite.stores.server_opening")
    except ImportError as error:  # SQLAlchemy's own part for asyncio needs greenlet, which comes with the extras
        extra = "postgres" if SERVERS[scheme] == "postgresql" else "mysql"
        raise StoreSetupError(
            f"What database servers need is missing ({error}); install it with:  pip install 'cowrite[{extra}]'"
        ) from None


def place_name(url: str) -> str:
    """The database that ``url`` names, for people: without user and password. Raises :class:`StoreSetupError`."""
    parsed = _parse(url)
    if (scheme := server_scheme(parsed)) is not None:
        return server_place(parsed, scheme).name
    return f"the database {_sqlite_path(parsed).absolute()}"


async def migrate(url: str) -> tuple[str | None, str]:
    """Bring the tables of the database that ``url`` names up to date, or make them.

    Returns their version before (None: there were none) and after. Raises :class:`StoreSetupError` with one line for people.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() in SERVERS:
        return await _server_opening(parsed.get_backend_name()).migrate_server(parsed), NEWEST
    if parsed.get_backend_name() != "sqlite":
        raise StoreSetupError("There is nothing to migrate in what is forgotten at the end.")
    before = await _sqlite_version(_sqlite_path(parsed))
    await (await open_store(url)).close()
    return before, NEWEST


def file_of(url: str) -> Path | None:
    """The file that opening the URL would make, or open; None: its database is no file. Raises :class:`StoreSetupError`."""
    parsed = _parse(url)
    return _sqlite_path(parsed) if parsed.get_backend_name() == "sqlite" else None


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # The URL itself is not repeated: it may hold a password.
        raise StoreSetupError(f"The database's URL is not a URL; write it as kind://…, {_EXAMPLE}.") from None


def _sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise StoreSetupError(f"The database's URL names no file ({_EXAMPLE}); what may be forgotten is memory://")
    if url.query or url.host:
        raise StoreSetupError(
            f"The database's URL has more than a file's path in it; write sqlite:/// and the path, {_EXAMPLE}."
        )
    return Path(url.database)


async def _sqlite_version(path: Path) -> str | None:
    if not await asyncio.to_thread(path.exists):
        return None
    database = await asyncio.to_thread(SqliteDatabase, path)
    try:
        return await database.read(schema_version, lambda version: version)
    except StoreError as error:
        raise StoreSetupError(str(error)) from error
    finally:
        await database.close()


async def _open_sqlite(path: Path, *, upgrade: bool, patience: float, alone: bool = False) -> SqliteDatabase:
    await asyncio.to_thread(_make_file, path)
    # In a thread: SQLAlchemy looks at the file system.
    database = await asyncio.to_thread(SqliteDatabase, path, patience=patience, alone=alone)
    try:
        tables = Tables.UPGRADE if upgrade else Tables.LEAVE
        await _prepare(database, partial(_ensure_usable, place=database.place, tables=tables), patience)
    except BaseException as error:
        await database.close()
        if isinstance(error, StoreBusy):
            users = await asyncio.to_thread(processes_with, path)
            raise StoreAway(_in_use(database.place, users) if alone else f"{error} It is {_open_in(users)}.") from error
        if isinstance(error, StoreError):
            raise StoreSetupError(str(error)) from error
        raise
    return database


def _in_use(place: str, users: Sequence[int]) -> str:
    said = f"a server works on {place}, or another program has it open ({_open_in(users)})"
    return f"{said}; stop it, and try again. Nothing was changed"


def _open_in(users: Sequence[int]) -> str:
    return f"open in process {', '.join(map(str, users))}" if users else "open in a process that the system does not tell"


async def _prepare(database: SqliteDatabase, ensure: Callable[[Connection], None], patience: float) -> None:
    clock = asyncio.get_running_loop()
    give_up = clock.time() + patience
    while True:
        try:
            return await write(database, ensure)
        except StoreBusy:
            # Changing a new file to write-ahead logging does not wait for another process that is just doing the same.
            if clock.time() > give_up:
                raise
            await asyncio.sleep(_AGAIN)


def _ensure_usable(connection: Connection, *, place: str, tables: Tables) -> None:
    ensure_schema(connection, place=place, tables=tables)
    ensure_writable(connection)


def _make_file(path: Path) -> None:
    """What is made here is its owner's alone: a folder (0700), a file (0600); SQLite's files beside it take that over."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreSetupError(f"The folder {path.parent} for the database cannot be made ({error.strerror}).") from error
    if path.is_dir():
        raise StoreSetupError(f"The database's URL names the folder {path}; name a file in it.")
    # Where a file cannot be made, SQLite says why.
    with suppress(OSError):
        path.touch(mode=0o600)
