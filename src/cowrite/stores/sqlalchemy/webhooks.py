"""How far webhooks have told of documents, in a relational database.

A document's row says what was told of it; the next message is the difference to what there is. It is written into the row in
the transaction that makes it, with what it covers: from then on it is the same message, however often it is sent. Whoever has
the claim sends it; a claim that is over is anybody's, by the database's own clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, insert, literal, or_, select, update
from sqlalchemy import func as sql_func

from cowrite.core.event_types import EventType
from cowrite.core.ports.webhooks import MAX_AUTHORS, DeadLetter, Happened, Message, Waiting, WebhookLog
from cowrite.core.records import Head
from cowrite.stores.encoding import MAX_UUID, check_id
from cowrite.stores.sqlalchemy.database import Database, insert_or_ignore, now_milliseconds, write
from cowrite.stores.sqlalchemy.tables import JSON_TEXT, documents, updates, versions
from cowrite.stores.sqlalchemy.webhook_tables import webhook_dead_letters, webhook_documents, webhook_start
from cowrite.stores.telling import end_of_message

_LOOK_BACK: Final = 60_000
"""Milliseconds by which processes' clocks may differ: a version may be made as long before the newest one, and come later."""
_TOLD: Final = {"there": EventType.UNDELETED, "deleted": EventType.DELETED, "purged": EventType.PURGED}
_Row: TypeAlias = Mapping[str, Any]

_documents, _dead = webhook_documents, webhook_dead_letters
_state = case((documents.c.purged_at.is_not(None), "purged"), (documents.c.deleted_at.is_not(None), "deleted"), else_="there")
_document = select(
    documents.c.epoch, documents.c.head_offset, documents.c.number, documents.c.deleted_at, documents.c.purged_at,
    documents.c.updated_at, _state.label("state"),
)  # fmt: skip
_behind = or_(
    _documents.c.document_id.is_(None),
    _documents.c.epoch != documents.c.epoch,
    _documents.c.entry_offset != documents.c.head_offset,
    _documents.c.state != _state,
    exists().where(versions.c.document_id == documents.c.document_id, versions.c.created_at > _documents.c.versions_at),
)


class SqlWebhookLog:
    """The port :class:`cowrite.core.ports.webhooks.WebhookLog` on a relational database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self) -> None:
        await write(self._database, _begin)

    async def waiting(self, *, limit: int, thorough: bool) -> Waiting:
        return await self._database.read(partial(_read_waiting, limit=limit, thorough=thorough), lambda found: found)

    async def claim(
        self,
        document_id: str,
        process: str,
        *,
        seconds: float,
        wanted: Collection[EventType],
        write: Callable[[Happened], tuple[str, str]] | None,
        until: Head | None = None,
    ) -> Message | Happened | float | None:
        check_id("The document id", document_id)
        claim = _Claim(document_id, process, int(seconds * 1000), frozenset(wanted), write, until)
        return await _write(self._database, claim)

    async def claim_dead(self, event_id: str) -> Message | None:
        check_id("The id of the message", event_id, longest=MAX_UUID)
        return await write(self._database, partial(_claim_dead, event_id=event_id))

    async def sent(self, message: Message, process: str) -> None:
        await write(self._database, partial(_sent, message=message, process=process))

    async def failed(self, message: Message, process: str, *, reason: str, again: float | None) -> None:
        work = partial(_failed, message=message, process=process, reason=reason, again=again)
        await write(self._database, work)

    async def dead(self, *, after: str | None = None, limit: int = 100) -> Sequence[DeadLetter]:
        return await self._database.read(partial(_read_dead, after=after, limit=limit), tuple)

    async def dead_letter(self, event_id: str) -> DeadLetter | None:
        check_id("The id of the message", event_id, longest=MAX_UUID)
        found = await self._database.read(partial(_read_dead, only=event_id, limit=1), tuple)
        return found[0] if found else None

    async def count_dead(self) -> int:
        return await self._database.read(_count_dead, lambda number: number)

    async def retry(self, event_id: str) -> bool:
        check_id("The id of the message", event_id, longest=MAX_UUID)
        return await write(self._database, partial(_retry, event_id=event_id))

    async def drop(self, event_id: str) -> bool:
        check_id("The id of the message", event_id, longest=MAX_UUID)
        return await write(self._database, partial(_drop, event_id=event_id))


_write = write  # claim() has an argument of that name


def _now(connection: Connection) -> ColumnElement[int]:
    return now_milliseconds(connection.dialect)


def _begin(connection: Connection) -> None:
    now: int = connection.execute(select(_now(connection))).scalar_one()
    first = connection.execute(insert_or_ignore(webhook_start, connection.dialect), {"id": 1, "started_at": now})
    if not first.rowcount:
        return
    values: dict[str, Any] = {
        "document_id": documents.c.document_id,
        "epoch": documents.c.epoch,
        "entry_offset": documents.c.head_offset,
        "versions_at": literal(now + _LOOK_BACK),  # those of the last minute are of before
        "versions_told": literal("[]", JSON_TEXT),
        "state": _state,
        "claimed_by": literal(""),
        "claimed_until": literal(0),
        "attempts": literal(0),
    }
    known = select(_documents.c.document_id)
    new = select(*values.values()).where(documents.c.document_id.not_in(known))
    connection.execute(insert(_documents).from_select(list(values), new))


def _read_waiting(connection: Connection, *, limit: int, thorough: bool) -> Waiting:
    now = _now(connection)
    free = _documents.c.claimed_until <= now
    due = select(_documents.c.document_id).where(_documents.c.due_at <= now, free).order_by(_documents.c.due_at).limit(limit)
    found = list(connection.execute(due).scalars())
    if thorough:
        both = documents.outerjoin(_documents, _documents.c.document_id == documents.c.document_id)
        # One that waits for its time is told of what came since when it has been sent.
        idle = or_(_documents.c.document_id.is_(None), and_(_documents.c.due_at.is_(None), free))
        behind = select(documents.c.document_id).select_from(both).where(idle, _behind).limit(limit)
        found += connection.execute(behind).scalars()
    dead = select(_dead.c.event_id).where(_dead.c.due_at <= now).order_by(_dead.c.event_id).limit(limit)
    oldest = select(now - sql_func.min(_documents.c.made_at)).where(_documents.c.due_at.is_not(None))
    return Waiting(found, list(connection.execute(dead).scalars()), connection.execute(oldest).scalar_one())


@dataclass(frozen=True, slots=True)
class _Claim:
    """Work."""

    document_id: str
    process: str
    milliseconds: int
    wanted: frozenset[EventType]
    write: Callable[[Happened], tuple[str, str]] | None
    until: Head | None

    def __call__(self, connection: Connection) -> Message | Happened | float | None:
        document = self._document(connection)
        if document is None:
            return None
        now: int = connection.execute(select(_now(connection))).scalar_one()
        connection.execute(insert_or_ignore(_documents, connection.dialect), self._new(document["epoch"]))
        mine = or_(_documents.c.claimed_until <= now, _documents.c.claimed_by == self.process)
        claim = self._update.where(mine).values(claimed_by=self.process, claimed_until=now + self.milliseconds)
        if not connection.execute(claim).rowcount:
            return None
        row = dict(connection.execute(select(_documents).where(self._this)).mappings().one())
        if row["event_id"] is None:
            # Read again, now that nobody else makes a message of it.
            document = self._document(connection)
            assert document is not None, "documents stay"
            unwritten = self._make(connection, row, document, now)
            if unwritten is not None:
                return unwritten
        if row["event_id"] is None or row["due_at"] > now:
            connection.execute(self._update.values(claimed_by="", claimed_until=0))
            return None if row["event_id"] is None else max(0.0, (row["due_at"] - now) / 1000)
        return Message(row["event_id"], self.document_id, row["event_type"], row["body"], row["attempts"])

    def _document(self, connection: Connection) -> _Row | None:
        found = connection.execute(_document.where(documents.c.document_id == self.document_id)).mappings().first()
        return None if found is None else dict(found)

    @property
    def _this(self) -> ColumnElement[bool]:
        return _documents.c.document_id == self.document_id

    @property
    def _update(self) -> Any:
        return update(_documents).where(self._this)

    def _new(self, epoch: str) -> dict[str, Any]:
        told = {"epoch": epoch, "entry_offset": 0, "versions_at": 0, "versions_told": "[]", "state": "there"}
        return {"document_id": self.document_id, **told, "claimed_by": "", "claimed_until": 0, "attempts": 0}

    def _make(self, connection: Connection, row: dict[str, Any], document: _Row, now: int) -> Happened | None:
        """The next message, into the row; what is not wanted is passed over. Returns what cannot be written: it is not told."""
        before = dict(row)
        while (happened := self._next(connection, row, document)) is not None:
            if happened.type in self.wanted:
                if self.write is None:
                    return happened
                event_id, body = self.write(happened)
                row |= {"event_id": event_id, "event_type": happened.type.value, "body": body}
                row |= {"made_at": now, "due_at": now, "attempts": 0}
                break
        if row != before:
            connection.execute(self._update.values(**{name: row[name] for name in row if row[name] != before[name]}))
        return None

    def _next(self, connection: Connection, row: dict[str, Any], document: _Row) -> Happened | None:
        """What is to be told next; the row says then that it was."""
        if row["epoch"] != document["epoch"]:
            row |= {"epoch": document["epoch"], "entry_offset": 0}
        if row["entry_offset"] < document["head_offset"]:
            return self._changed(connection, row, document)
        if (version := self._version(connection, row)) is not None:
            return version
        if row["state"] == document["state"]:
            return None
        row["state"] = document["state"]
        at = document["purged_at"] or document["deleted_at"] or document["updated_at"]
        return Happened(_TOLD[document["state"]], self.document_id, at)

    def _changed(self, connection: Connection, row: dict[str, Any], document: _Row) -> Happened:
        after = row["entry_offset"]
        head = end_of_message(document["epoch"], after, document["head_offset"], self.until)
        row["entry_offset"] = head
        mine = updates.c.document_number == document["number"]
        some = (
            select(updates.c.author_id)
            .where(mine, updates.c.entry_offset > after, updates.c.entry_offset <= head)
            .distinct()
            .limit(MAX_AUTHORS + 1)
        )
        authors = sorted(connection.execute(some).scalars())
        last = select(updates.c.created_at).where(mine, updates.c.entry_offset == head)
        at = connection.execute(last).scalar_one_or_none() or document["updated_at"]
        told = {"epoch": document["epoch"], "after": after, "offset": head}
        people = {"authors": authors[:MAX_AUTHORS], "more_authors": len(authors) > MAX_AUTHORS}
        return Happened(EventType.CHANGED, self.document_id, at, told | people)

    def _version(self, connection: Connection, row: dict[str, Any]) -> Happened | None:
        told: list[str] = json.loads(row["versions_told"])
        some = select(versions).where(
            versions.c.document_id == self.document_id, versions.c.created_at > row["versions_at"] - _LOOK_BACK
        )
        if told:
            some = some.where(versions.c.id.not_in(told))
        found = connection.execute(some.order_by(versions.c.created_at, versions.c.id).limit(1)).mappings().first()
        if found is None:
            return None
        row["versions_at"] = max(row["versions_at"], found["created_at"])
        recent = select(versions.c.id).where(
            versions.c.document_id == self.document_id,
            versions.c.created_at > row["versions_at"] - _LOOK_BACK,
            versions.c.id.in_([*told, found["id"]]),
        )
        row["versions_told"] = json.dumps(sorted(connection.execute(recent).scalars()))
        fields = {"version_id": found["id"], "offset": found["entry_offset"], "kind": found["kind"], "name": found["name"]}
        return Happened(
            EventType.VERSION_CREATED, self.document_id, found["created_at"], {**fields, "authors": [found["author_id"]]}
        )


def _mine(message: Message, process: str) -> ColumnElement[bool]:
    return and_(
        _documents.c.document_id == message.document_id,
        _documents.c.event_id == message.event_id,
        _documents.c.claimed_by == process,
    )


_NOTHING: Final[Mapping[str, Any]] = {
    "event_id": None, "event_type": None, "body": None, "made_at": None, "due_at": None, "attempts": 0,
    "claimed_by": "", "claimed_until": 0,
}  # fmt: skip


def _sent(connection: Connection, message: Message, process: str) -> None:
    if not connection.execute(update(_documents).where(_mine(message, process)).values(**_NOTHING)).rowcount:
        _drop(connection, event_id=message.event_id)


def _failed(connection: Connection, message: Message, process: str, *, reason: str, again: float | None) -> None:
    now: int = connection.execute(select(_now(connection))).scalar_one()
    attempts = message.attempts + 1
    mine = _mine(message, process)
    if again is not None:
        later = {"attempts": attempts, "due_at": now + int(again * 1000), "claimed_by": "", "claimed_until": 0}
        connection.execute(update(_documents).where(mine).values(**later))
        return
    made_at = connection.execute(select(_documents.c.made_at).where(mine)).scalar_one_or_none()
    if made_at is None:
        # A dead letter that was sent again. Or it is another process's meanwhile, whose word counts.
        known = _dead.c.event_id == message.event_id
        connection.execute(update(_dead).where(known).values(attempts=attempts, died_at=now, reason=reason, due_at=None))
        return
    letter = {"event_id": message.event_id, "document_id": message.document_id, "event_type": message.type}
    letter |= {"body": message.body, "reason": reason}
    connection.execute(insert(_dead), {**letter, "made_at": made_at, "died_at": now, "attempts": attempts})
    connection.execute(update(_documents).where(mine).values(**_NOTHING))


def _claim_dead(connection: Connection, event_id: str) -> Message | None:
    wanted = and_(_dead.c.event_id == event_id, _dead.c.due_at.is_not(None))
    if not connection.execute(update(_dead).where(wanted).values(due_at=None)).rowcount:
        return None
    row = connection.execute(select(_dead).where(_dead.c.event_id == event_id)).mappings().one()
    return Message(event_id, row["document_id"], row["event_type"], row["body"], row["attempts"])


def _read_dead(connection: Connection, *, after: str | None = None, only: str | None = None, limit: int) -> list[DeadLetter]:
    some = select(
        _dead.c.event_id, _dead.c.document_id, _dead.c.event_type, _dead.c.body, _dead.c.made_at, _dead.c.died_at,
        _dead.c.attempts, _dead.c.reason, _dead.c.due_at,
    )  # fmt: skip
    if after is not None:
        some = some.where(_dead.c.event_id > after)
    if only is not None:
        some = some.where(_dead.c.event_id == only)
    return [DeadLetter(*row) for row in connection.execute(some.order_by(_dead.c.event_id).limit(limit)).all()]


def _count_dead(connection: Connection) -> int:
    number: int = connection.execute(select(sql_func.count()).select_from(_dead)).scalar_one()
    return number


def _retry(connection: Connection, event_id: str) -> bool:
    return connection.execute(
        update(_dead).where(_dead.c.event_id == event_id).values(due_at=_now(connection))
    ).rowcount > 0  # fmt: skip


def _drop(connection: Connection, event_id: str) -> bool:
    return connection.execute(delete(_dead).where(_dead.c.event_id == event_id)).rowcount > 0


if TYPE_CHECKING:
    _: type[WebhookLog] = SqlWebhookLog
