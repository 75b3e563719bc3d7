"""The past of documents in a relational database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, Text, bindparam, cast, func, select, union_all

from cowrite.core.ports import History, HistoryForgotten
from cowrite.core.records import ActivityGroup, Authored, Entry, StoredDocument
from cowrite.stores.encoding import MAX_UUID, check_id, check_kept, check_offset
from cowrite.stores.sqlalchemy.authored import decode_authored, read_activity, read_authored, read_offset_at
from cowrite.stores.sqlalchemy.database import Database
from cowrite.stores.sqlalchemy.loading import NO_OFFSET, damaged_checkpoints, load_document
from cowrite.stores.sqlalchemy.reading import RawEntries, decode_entries, number_of_document, read_documents, read_range
from cowrite.stores.sqlalchemy.tables import content_operations, documents, submitted, updates

T = TypeVar("T")

_places = union_all(
    *(
        select(table.c.entry_offset).where(
            table.c.id == bindparam("operation_id"), table.c.document_id == bindparam("document_id")
        )
        for table in (content_operations, submitted)
    )
)
_nth_operation = (
    select(content_operations.c.entry_offset)
    .where(content_operations.c.document_number == number_of_document, content_operations.c.entry_offset > bindparam("after"))
    .order_by(content_operations.c.entry_offset, content_operations.c.sequence)
    .limit(1)
    .offset(bindparam("skipped"))
)
_last_operation = (
    select(content_operations.c.id)
    .where(documents.c.document_id == bindparam("document_id"), content_operations.c.document_number == documents.c.number)
    # Of what was forgotten its last operation is still named.
    .where(content_operations.c.entry_offset.between(documents.c.first_offset - 1, bindparam("until")))
    .where(documents.c.head_offset > 0)
    .order_by(content_operations.c.entry_offset.desc(), content_operations.c.sequence.desc())
    .limit(1)
)
_operations_size = (
    select(
        func.sum(
            func.length(cast(content_operations.c.position, Text)) + func.coalesce(func.length(content_operations.c.content), 0)
        )
    )
    .where(content_operations.c.document_number == updates.c.document_number)
    .where(content_operations.c.entry_offset == updates.c.entry_offset)
    .scalar_subquery()
)
_sizes = (
    select(func.length(updates.c.update_bytes) + func.coalesce(_operations_size, 0))
    .where(updates.c.document_number == number_of_document)
    .where(updates.c.entry_offset.between(bindparam("first"), bindparam("last")))
    .order_by(updates.c.entry_offset)
)
"""About what each entry takes in memory: a position can be as long as the keys on its path."""


class SqlHistory:
    """The port :class:`cowrite.core.ports.History` on a relational database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_at(self, document_id: str, offset: int) -> StoredDocument | None:
        check_id("The document id", document_id)
        check_offset(offset)
        return await load_document(self._database, document_id, until=offset)

    async def damaged_checkpoints(self, document_id: str) -> Mapping[int, str]:
        check_id("The document id", document_id)
        return await damaged_checkpoints(self._database, document_id)

    async def locate(self, document_id: str, operation_id: str) -> int | None:
        check_id("The document id", document_id)
        check_id("The operation id", operation_id, longest=MAX_UUID)
        return await self._database.read(partial(_locate, document_id=document_id, operation_id=operation_id), _as_it_is)

    async def operations(self, document_id: str, *, after: int, limit: int, size: int) -> Sequence[Entry]:
        check_id("The document id", document_id)
        check_offset(after)
        return await self._database.read(
            partial(_read_operations, document_id=document_id, after=after, limit=limit, size=size), decode_entries
        )

    async def entries(self, document_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        check_id("The document id", document_id)
        check_offset(after)
        read = partial(_read_entries, document_id=document_id, after=after, limit=max(0, limit))
        return await self._database.read(read, decode_entries)

    async def last_operation(self, document_id: str, *, until: int) -> str | None:
        check_id("The document id", document_id)
        return await self._database.read(partial(_read_last_operation, document_id=document_id, until=until), _as_it_is)

    async def offset_at(self, document_id: str, at: int) -> int:
        check_id("The document id", document_id)
        return await self._database.read(partial(read_offset_at, document_id=document_id, at=at), _as_it_is)

    async def authored(self, document_id: str, *, after: int, limit: int) -> Sequence[Authored]:
        check_id("The document id", document_id)
        check_offset(after)
        read = partial(read_authored, document_id=document_id, after=after, limit=max(0, limit))
        return await self._database.read(read, decode_authored)

    async def activity(
        self, document_id: str, *, before: int | None, pause: int, limit: int, by_author: bool = False
    ) -> Sequence[ActivityGroup]:
        check_id("The document id", document_id)
        end = NO_OFFSET if before is None else before
        read = partial(read_activity, document_id=document_id, before=end, pause=pause, limit=limit, by_author=by_author)
        return await self._database.read(read, _as_it_is)


def _as_it_is(found: T) -> T:
    return found


def _locate(connection: Connection, document_id: str, operation_id: str) -> int | None:
    # An operation that keeps its client's id is found twice: at the same offset, unless it is the end of what was forgotten.
    places = connection.execute(_places, {"document_id": document_id, "operation_id": operation_id}).scalars()
    return max(places, default=None)


def _read_entries(connection: Connection, *, document_id: str, after: int, limit: int) -> RawEntries:
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None:
        return RawEntries(document_id, after + 1, after, ())
    head = document.head.offset
    check_kept(document_id, after + 1, end=head, first_offset=document.first_offset)
    return read_range(connection, document_id, start=after + 1, end=min(head, after + limit), operations=False)


def _read_last_operation(connection: Connection, document_id: str, *, until: int) -> str | None:
    place = {"document_id": document_id, "until": until}
    found: str | None = connection.execute(_last_operation, place).scalar_one_or_none()
    return found


def _read_operations(connection: Connection, document_id: str, *, after: int, limit: int, size: int) -> RawEntries:
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None or limit <= 0 or after >= document.head.offset:
        return RawEntries(document_id, after + 1, after, ())
    if after + 1 < document.first_offset:
        raise HistoryForgotten(document_id, document.first_offset)
    place = {"document_id": document_id, "after": after, "skipped": limit - 1}
    last: int | None = connection.execute(_nth_operation, place).scalar_one_or_none()
    end = min(document.head.offset, after + limit, document.head.offset if last is None else last)
    return read_range(connection, document_id, start=after + 1, end=_end_within(connection, document_id, after, end, size))


def _end_within(connection: Connection, document_id: str, after: int, end: int, size: int) -> int:
    """The last of the entries behind ``after`` up to ``end`` with which they are not larger than that, or the first."""
    sizes = connection.execute(_sizes, {"document_id": document_id, "first": after + 1, "last": end}).scalars()
    within = sum(1 for _ in takewhile(lambda total: total <= size, accumulate(sizes)))
    return after + max(1, within)


if TYPE_CHECKING:
    _history: type[History] = SqlHistory
