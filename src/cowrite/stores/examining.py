"""What can be said of a database without a server on it, for ``cowrite doctor``."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from cowrite.core.ports import StoreError
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.opening import file_of, open_to_read
from cowrite.stores.sqlalchemy.database import now_milliseconds, write
from cowrite.stores.sqlalchemy.schema import ensure_writable
from cowrite.stores.sqlalchemy.tables import documents


@dataclass(frozen=True, slots=True)
class Examination:
    """A database whose tables are those of this program, and that can be written."""

    documents: int
    """How many there are, those that were deleted and can be undeleted included."""
    clock_ahead: float | None
    """Seconds that the clock of the database's server is ahead of this machine's; None: it is this machine's. Right to half of
    ``answer_seconds``."""
    newest_at: int | None
    """When something was last committed, in milliseconds since 1970; None: nothing was."""
    answer_seconds: float
    """How long a read took."""
    write_seconds: float
    """How long a transaction took that writes what is there already."""


async def examine(url: str) -> Examination:
    """Read the database that ``url`` names, and begin and end a transaction that changes nothing.

    A SQLite file must be there. Raises :class:`StoreSetupError` with one line for people.
    """
    database = await open_to_read(url)
    try:
        await database.read(_count, _as_it_is)  # the first read of a connection takes longer
        began = time.perf_counter()
        here = time.time() * 1000
        number, newest, there = await database.read(_count, _as_it_is)
        answered = time.perf_counter()
        await write(database, ensure_writable)
        written = time.perf_counter()
    except StoreError as error:
        raise StoreSetupError(str(error)) from error
    finally:
        await database.close()
    apart = (there - here) / 1000 - (answered - began) / 2
    return Examination(
        documents=number,
        clock_ahead=None if file_of(url) is not None else apart,
        newest_at=newest,
        answer_seconds=answered - began,
        write_seconds=written - answered,
    )


def _count(connection: Connection) -> tuple[int, int | None, int]:
    found = select(func.count(), func.max(documents.c.updated_at), now_milliseconds(connection.dialect)).select_from(documents)
    row = connection.execute(found).one()
    return row[0], row[1], row[2]


def _as_it_is(found: tuple[int, int | None, int]) -> tuple[int, int | None, int]:
    return found
