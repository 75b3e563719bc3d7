"""Presence in a relational database: ``collaboration_sessions``, and the leases in ``presence_processes``.

It stands here and not in ``cowrite.presence`` because it works with the store's connections and tables, and adapters do not
import one another; :attr:`cowrite.core.ports.Storage.presence` hands it out.

A lease that has run out is taken out by the next beat of any process, together with what its process wrote. What
is left nevertheless (a process wrote when its lease had been taken out, and ended) is found by looking through the table
once a minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    String,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    type_coerce,
)

from cowrite.core.ports import LEASE_SECONDS, Clock, LeasedPresence, PresenceError, PresenceRecord, StoreError
from cowrite.core.presence_records import (
    CLOCKS_APART,
    beginning_with_lease,
    check_document_ids,
    check_process,
    check_records,
    checked,
    decode_with_lease,
    encode_with_lease,
    expired,
)
from cowrite.stores.sqlalchemy.database import Database, now_milliseconds, upsert, write
from cowrite.stores.sqlalchemy.reading import Rows
from cowrite.stores.sqlalchemy.tables import collaboration_sessions, presence_processes

T = TypeVar("T")
R = TypeVar("R")

SWEEP_SECONDS: Final = 60.0
"""How often a process that beats looks for records that nobody keeps."""
_LEASE: Final = round(LEASE_SECONDS * 1000)
_AT_ONCE: Final = 500
"""Rows of one transaction, so that edits do not wait for presence; documents of one query."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log = structlog.get_logger(__name__)


class SqlPresence:
    """The port :class:`cowrite.core.ports.Presence` on a relational database, which it does not close."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._statements = _Statements(database)
        self._beaten: set[str] = set()
        self._generation = 0
        self._failing = False
        self._told = False
        self._swept_at = -SWEEP_SECONDS
        self._orphans: frozenset[str] = frozenset()

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def degraded(self) -> bool:
        return self._failing

    async def beat(self, process: str) -> frozenset[str]:
        check_process(process)
        held, living = await self._write(partial(self._statements.beat, process=process))
        if process in self._beaten and not held:
            self._generation += 1
        self._beaten.add(process)
        if self._clock.monotonic() >= self._swept_at + SWEEP_SECONDS:
            self._swept_at = self._clock.monotonic()
            await self._sweep()
        return living

    async def processes(self) -> frozenset[str]:
        """Whose leases hold."""
        return await self._read(self._statements.living, frozenset)

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        check_records((*put, *removed))
        for some in _batches(removed):
            await self._write(partial(self._statements.remove, records=some))
        for some in _batches(put):
            await self._write(partial(self._statements.put, records=some))

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        check_document_ids(document_ids)
        records: dict[str, Sequence[PresenceRecord]] = {}
        for some in _batches(dict.fromkeys(document_ids)):
            records |= await self._read(partial(self._statements.read, document_ids=some), self._decode)
        return records

    async def leave(self, process: str) -> None:
        check_process(process)
        await self._write(partial(self._statements.leave, processes=[process]))
        self._beaten.discard(process)

    async def close(self) -> None:
        """Does nothing: the connections are the storage's."""

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Take out what has come to its own end, and what nobody keeps: nobody twice, because a process may write before it
        beats for the first time.
        """
        orphans, ended = await self._read(self._statements.look_through, partial(_unkept, now=self._clock.now() - CLOCKS_APART))
        lost, self._orphans = self._orphans & orphans, orphans
        if lost or ended:
            await self._write(partial(self._statements.sweep, processes=sorted(lost), ended=ended))

    def _decode(self, found: tuple[frozenset[str], Rows]) -> Mapping[str, Sequence[PresenceRecord]]:
        living, rows = found
        now, records = self._clock.now(), defaultdict[str, list[PresenceRecord]](list)
        for session_id, user_id, document_id, last_active, text in rows:
            try:
                process, expires_at, metadata = decode_with_lease(text or "{}")
                time = _milliseconds(last_active)
                record = checked(PresenceRecord(session_id, user_id, document_id, time, process, expires_at, metadata))
            except (ValueError, TypeError, AttributeError) as error:  # SQLite keeps values of any type in any column
                self._tell(document_id, session_id, str(error))
                continue
            if (process is None or process in living) and not expired(record, now):
                records[document_id].append(record)
        return records

    def _tell(self, document_id: str, session_id: str, reason: str) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "presence has records that this version cannot read; they are skipped",
                place="collaboration_sessions",
                document=document_id,
                session=session_id,
                reason=reason,
            )

    async def _read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        try:
            found = await self._database.read(work, decode)
        except StoreError as error:
            raise self._failed(error) from error
        self._failing = False
        return found

    async def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            result = await write(self._database, work)
        except StoreError as error:
            raise self._failed(error) from error
        self._failing = False
        return result

    def _failed(self, error: StoreError) -> PresenceError:
        self._failing = True
        return PresenceError(f"Presence cannot be kept in the database: {error}")


class _Statements:
    """Work for the database's connections; see ``database.py``."""

    def __init__(self, database: Database) -> None:
        dialect = database.dialect
        table, leases = collaboration_sessions.c, presence_processes.c
        # SQLite keeps a time as text, and SQLAlchemy gives up on a whole answer when one of them is none.
        last_active = type_coerce(table.last_active, String) if dialect.name == "sqlite" else table.last_active
        self._named = partial(_named, dialect=dialect)
        this_session = table.session_id == bindparam("this_session")
        self._now = select(now_milliseconds(dialect))
        self._leases = select(leases.process_id, leases.seen_at)
        self._renew = upsert(presence_processes, dialect)
        self._end = delete(presence_processes).where(leases.process_id == bindparam("this_process"))
        self._put = upsert(collaboration_sessions, dialect)
        these = table.session_id.in_(bindparam("sessions", expanding=True))
        self._remove = delete(collaboration_sessions).where(these, _is_of(dialect))
        self._remove_unkept = delete(collaboration_sessions).where(these, _is_nobodys(dialect))
        self._forget = delete(collaboration_sessions).where(_is_of(dialect))
        self._forget_ended = delete(collaboration_sessions).where(
            this_session, _text(dialect) == bindparam("this_text", type_=String)
        )
        self._found = select(table.session_id, table.user_id, table.document_id, last_active, table.metadata).where(
            table.document_id.in_(bindparam("document_ids", expanding=True))
        )
        self._all = select(table.session_id, table.metadata)

    def beat(self, connection: Connection, process: str) -> tuple[bool, frozenset[str]]:
        """Whether the lease held until now, and whose hold; those that have run out are taken out."""
        now, leases = self._look(connection)
        living = {name for name, seen_at in leases.items() if seen_at > now - _LEASE}
        connection.execute(self._renew, {"process_id": process, "seen_at": now})
        dead = leases.keys() - living - {process}
        if dead:
            self.leave(connection, sorted(dead))
        return process in living, frozenset(living | {process})

    def living(self, connection: Connection) -> frozenset[str]:
        now, leases = self._look(connection)
        return frozenset(name for name, seen_at in leases.items() if seen_at > now - _LEASE)

    def _look(self, connection: Connection) -> tuple[int, dict[str, int]]:
        now: int = connection.execute(self._now).scalar_one()
        return now, {row[0]: row[1] for row in connection.execute(self._leases)}

    def leave(self, connection: Connection, processes: Sequence[str]) -> None:
        connection.execute(self._end, [{"this_process": process} for process in processes])
        connection.execute(self._forget, [{"this_process": self._named(process)} for process in processes])

    def put(self, connection: Connection, records: Sequence[PresenceRecord]) -> None:
        connection.execute(self._put, [_row(record) for record in records])

    def remove(self, connection: Connection, records: Sequence[PresenceRecord]) -> None:
        sessions = defaultdict[str | None, list[str]](list)
        for record in records:
            sessions[record.process].append(record.session_id)
        for process, some in sessions.items():
            if process is None:
                connection.execute(self._remove_unkept, {"sessions": some})
            else:
                connection.execute(self._remove, {"sessions": some, "this_process": self._named(process)})

    def read(self, connection: Connection, document_ids: Sequence[str]) -> tuple[frozenset[str], Rows]:
        return self.living(connection), connection.execute(self._found, {"document_ids": document_ids}).all()

    def look_through(self, connection: Connection) -> tuple[Collection[str], Rows]:
        _, leases = self._look(connection)
        return leases.keys(), connection.execute(self._all).all()

    def sweep(self, connection: Connection, processes: Sequence[str], ended: Sequence[tuple[str, str]]) -> None:
        _, leases = self._look(connection)
        gone = [{"this_process": self._named(process)} for process in processes if process not in leases]
        if gone:
            connection.execute(self._forget, gone)
        if ended:
            ends = [{"this_session": session_id, "this_text": text} for session_id, text in ended]
            connection.execute(self._forget_ended, ends)


def _text(dialect: Dialect) -> ColumnElement[str]:
    """``metadata`` as it was written."""
    column = collaboration_sessions.c.metadata
    return cast(column, Text) if dialect.name == "postgresql" else type_coerce(column, String)


def _is_of(dialect: Dialect) -> ColumnElement[bool]:
    """Whether the object in ``metadata`` is of the process ``this_process``, as :func:`_named` gives it."""
    name = bindparam("this_process", type_=String)
    if dialect.name == "sqlite":
        return _process_in_sqlite() == name
    # Not by their functions for JSON: those do not read what has U+0000 or half of a surrogate pair anywhere in it.
    return func.left(_text(dialect), func.char_length(name)) == name


def _is_nobodys(dialect: Dialect) -> ColumnElement[bool]:
    if dialect.name == "sqlite":
        return _process_in_sqlite().is_(None)
    return or_(_text(dialect).is_(None), ~_text(dialect).startswith('{"process":', autoescape=True))


def _process_in_sqlite() -> ColumnElement[str]:
    column = collaboration_sessions.c.metadata
    # SQLite takes any text for JSON, and gives up on a whole statement when one is none.
    return case((func.json_valid(type_coerce(column, String)) == 1, column["process"].as_string()))


def _named(process: str, dialect: Dialect) -> str:
    return process if dialect.name == "sqlite" else beginning_with_lease(process)


def _unkept(found: tuple[Collection[str], Rows], *, now: int) -> tuple[frozenset[str], Sequence[tuple[str, str]]]:
    """The processes of records that have no lease, and the sessions that have come to their own end, with what says so."""
    leases, rows = found
    orphans, ended = set(), []
    for session_id, text in rows:
        try:
            process, expires_at, _ = decode_with_lease(text or "{}")
        except (ValueError, TypeError):
            continue  # another version's: it knows what to do with it
        if process is not None and process not in leases:
            orphans.add(process)
        if expires_at is not None and expires_at <= now:
            ended.append((session_id, text))
    return frozenset(orphans), ended


def _batches(things: Iterable[T]) -> Iterator[Sequence[T]]:
    everything = list(things)
    for start in range(0, len(everything), _AT_ONCE):
        yield everything[start : start + _AT_ONCE]


def _row(record: PresenceRecord) -> Mapping[str, Any]:
    return {
        "session_id": record.session_id,
        "user_id": record.user_id,
        "document_id": record.document_id,
        "last_active": _EPOCH + timedelta(milliseconds=record.last_active),
        "metadata": encode_with_lease(record),
    }


def _milliseconds(time: datetime | str) -> int:
    """Raises ``ValueError``."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // timedelta(milliseconds=1)


if TYPE_CHECKING:
    _: type[LeasedPresence] = SqlPresence
