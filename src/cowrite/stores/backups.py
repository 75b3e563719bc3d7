"""Backups: made while servers work on the database, and restored into any kind of database."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import Connection

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.stores.backup_file import BackupError, BackupWriter, Contents, look_through, not_written, rows_of
from cowrite.stores.opening import open_to_fill, open_to_read
from cowrite.stores.sqlalchemy.copying import Copied, check_columns, copy_in, copy_out, header
from cowrite.stores.sqlalchemy.database import Database

UNFINISHED: Final = ".unfinished"
"""What the name of a backup ends with that is being written; one that is left was cut, and may be deleted."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made."""

    copied: Copied
    size: int
    """Bytes of the file."""


async def back_up(url: str, path: Path, *, force: bool = False) -> Backup:
    """Copy all that the database of that URL holds at one moment into a file, whatever servers do meanwhile.

    When it returns, the file is on the disk under its name, for its owner alone, and was read again. Until then there is only
    one of another name. A file that is there already is replaced only with ``force``. Raises :class:`BackupError`,
    ``StoreSetupError``, ``StoreError``.
    """
    await asyncio.to_thread(_check_free, path, force=force)
    database = await open_to_read(url)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        file = await asyncio.to_thread(_new_file, unfinished)
        try:
            copied = await _copy(database, file)
            contents = await asyncio.to_thread(_finish, file, unfinished, path, force=force)
        finally:
            await asyncio.to_thread(_remove, file, unfinished)
    finally:
        await database.close()
    return Backup(copied, contents.size)


async def _copy(database: Database, file: BinaryIO) -> Copied:
    writer = BackupWriter(file)
    program = await asyncio.to_thread(version, "cowrite")
    work = partial(copy_out, writer=writer, beginning=header(program, SystemClock().now()))
    try:
        return await database.at_length(work, writing=False)
    except asyncio.CancelledError:
        writer.stopped = True  # the thread that reads goes on otherwise
        raise


async def restore(url: str, path: Path, *, replace: bool = False) -> tuple[Contents, Mapping[str, int]]:
    """Fill the database of that URL, which is made where it is not there, from a backup, all or nothing.

    Returns what the backup holds, and how many rows each table was given. Nothing is touched before all of the file was read
    and found whole. ``replace``: what is in the database goes. Raises as :func:`back_up`.
    """
    contents = await asyncio.to_thread(look_through, path)
    check_columns(contents.header)
    database = await open_to_fill(url)
    try:
        ids = Ids(SystemClock())

        def fill(connection: Connection) -> Mapping[str, int]:
            return copy_in(connection, rows_of(path, contents), new_epoch=ids.new, replace=replace)

        return contents, await database.at_length(fill, writing=True)
    finally:
        await database.close()


def _check_free(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise BackupError(f"{path} is a folder; name a file in it")
    if path.exists() and not force:
        raise BackupError(f"{path} is there already; name another file, or let --force replace it")


def _new_file(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
    except OSError as error:
        raise not_written(error) from None


def _remove(file: BinaryIO, path: Path) -> None:
    with suppress(OSError):  # what could not be written was told
        file.close()
    path.unlink(missing_ok=True)


def _finish(file: BinaryIO, unfinished: Path, path: Path, *, force: bool) -> Contents:
    """On the disk, read again, and only then under its name."""
    try:
        file.flush()
        os.fsync(file.fileno())
        contents = look_through(unfinished)
        if force:
            unfinished.replace(path)
        else:
            _link(unfinished, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise not_written(error) from None
    return contents


def _link(unfinished: Path, path: Path) -> None:
    """Give it its name, unless somebody was first. (Renaming would replace that one.)"""
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        raise BackupError(f"{path} was made meanwhile by somebody else; name another file") from None
    except OSError:
        unfinished.rename(path)  # a file system without links
