"""From what a driver raises to what the port promises."""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy.exc import DBAPIError

from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreCorrupt, StoreError, StoreRefused, StoreUnavailable

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_REFUSED = {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_RANGE}
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "look at the disk and the system's log",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    sqlite3.SQLITE_PERM: "make the file and its folder readable and writable",
    sqlite3.SQLITE_CANTOPEN: "see that its folder exists and is writable",
    sqlite3.SQLITE_NOMEM: "give the process more memory",
}


_VALUES = (
    re.compile(r"\s*with text '.*", re.DOTALL),  # SQLite's driver
    re.compile(r"\s*DETAIL:.*", re.DOTALL),  # PostgreSQL: the row, or the key
    re.compile(r"(?<=value: )'.*'(?= for column)|(?<=Duplicate entry )'.*'(?= for key)", re.DOTALL),  # MySQL and MariaDB
)


def without_values(said: str) -> str:
    """What a driver or a server says, without what it tells of the data: that is people's, and this goes into logs."""
    for values in _VALUES:
        said = values.sub("", said)
    return said


def sqlite_code(error: BaseException | None) -> int | None:
    """SQLite's primary result code of what the driver raised; None for anything else."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def store_error(error: Exception, place: str) -> StoreError:
    """The port's exception for an error before COMMIT; ``place`` is the database's name for people."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code, said = sqlite_code(original), without_values(str(original))
    if code in _BUSY:
        return StoreBusy(f"Another process is writing to {place} for too long ({said}); try again.")
    if code in _CORRUPT:
        return StoreCorrupt(f"The file of {place} is damaged ({said}); restore it from a backup.")
    if code in _REFUSED or isinstance(original, OverflowError | UnicodeError | sqlite3.DataError):
        return StoreRefused(f"This data cannot be written to {place} ({said}).")
    advice = _ADVICE.get(code or 0, "the tables may have been changed by something else")
    return StoreUnavailable(f"Reading or writing {place} failed ({said}): {advice}.")


def commit_error(error: DBAPIError, place: str) -> StoreError:
    """The port's exception for an error of COMMIT itself.

    Only a lock that was not had means surely that nothing happened. When writing to the disk fails, the whole transaction may
    be in the write-ahead log already, and be found there after a crash.
    """
    if sqlite_code(error.orig) in _BUSY:
        return store_error(error, place)
    advice = _ADVICE.get(sqlite_code(error.orig) or 0, "look at the disk and the system's log")
    said = without_values(str(error.orig))
    return CommitDoubtful(f"A transaction may or may not have been committed to {place} ({said}): {advice}.")
