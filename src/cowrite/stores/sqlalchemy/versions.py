"""Versions in a relational database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Delete, Text, and_, bindparam, delete, func, or_, select, type_coerce, update

from cowrite.core.ports import StoreCorrupt, Versions
from cowrite.core.records import Version, VersionKind
from cowrite.stores.encoding import MAX_UUID, as_number, as_stored, check_appendable, check_id
from cowrite.stores.past import CLOCKS_DIFFER, check_moment, check_version, too_many
from cowrite.stores.sqlalchemy.database import Database, insert_or_ignore, write
from cowrite.stores.sqlalchemy.reading import Rows, lock_documents
from cowrite.stores.sqlalchemy.tables import versions

_columns = (
    versions.c.id,
    versions.c.document_id,
    versions.c.entry_offset,
    type_coerce(versions.c.kind, Text()),  # of another value its Enum raises an error that tells it
    versions.c.author_id,
    versions.c.created_at,
    versions.c.name,
    versions.c.note,
)
_of_document = select(*_columns).where(versions.c.document_id == bindparam("document_id"))
_one = _of_document.where(versions.c.id == bindparam("id"))
_automatic = _of_document.where(versions.c.kind == VersionKind.AUTOMATIC.value)
_this = and_(versions.c.id == bindparam("this_id"), versions.c.document_id == bindparam("this_document"))
_change = update(versions).where(_this)
_remove = delete(versions).where(_this)
_remove_automatic = _remove.where(versions.c.kind == VersionKind.AUTOMATIC.value)
_newest_automatic = select(func.max(versions.c.created_at)).where(
    versions.c.document_id == bindparam("document_id"),
    versions.c.kind == VersionKind.AUTOMATIC.value,
    versions.c.created_at <= bindparam("latest"),
)
_same_offset = (
    select(versions.c.id)
    .where(versions.c.document_id == bindparam("document_id"), versions.c.entry_offset == bindparam("entry_offset"))
    .limit(1)
)


class SqlVersions:
    """The port :class:`cowrite.core.ports.Versions` on a relational database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, version: Version) -> bool:
        check_version(version)
        return await write(self._database, partial(_add, version=version))

    async def add_automatic(self, version: Version, *, interval: int) -> bool:
        check_version(version)
        return await write(self._database, partial(_add_automatic, version=version, interval=interval))

    async def list(
        self, document_id: str, *, kinds: Collection[VersionKind] = (), before: str | None = None, limit: int = 100
    ) -> Sequence[Version]:
        check_id("The document id", document_id)
        if before is not None:
            check_id("The id of the version", before, longest=MAX_UUID)
        read = partial(_read_list, document_id=document_id, kinds=tuple(kinds), before=before, limit=max(0, limit))
        return await self._database.read(read, _decode)

    async def get(self, document_id: str, version_id: str) -> Version | None:
        check_id("The document id", document_id)
        check_id("The id of the version", version_id, longest=MAX_UUID)
        found = await self._database.read(partial(_read_one, document_id=document_id, version_id=version_id), _decode)
        return found[0] if found else None

    async def change(self, version: Version, *, was: Version | None = None) -> bool:
        check_version(version)
        return await write(self._database, partial(_set, version=version, was=was))

    async def remove(self, document_id: str, version_id: str) -> bool:
        check_id("The document id", document_id)
        check_id("The id of the version", version_id, longest=MAX_UUID)
        return await write(self._database, partial(_delete, document_id=document_id, ids=[version_id])) > 0

    async def thin(self, document_id: str, *, now: int, keep: Sequence[tuple[int, int]], older: int | None) -> int:
        check_id("The document id", document_id)
        return await write(self._database, partial(_thin, document_id=document_id, now=now, keep=keep, older=older))


def _add(connection: Connection, *, version: Version) -> bool:
    document = lock_documents(connection, [version.document_id], skip_locked=False).get(version.document_id)
    if document is None:
        return False
    check_appendable(version.document_id, deleted=document.deleted_at is not None)
    if version.offset > document.head.offset:
        return False
    check_moment(version.document_id, version.offset, first_offset=document.first_offset)
    row = {"id": version.id, "document_id": version.document_id, "entry_offset": version.offset, **_changeable(version)}
    row |= {"author_id": version.author, "created_at": version.created_at}
    return connection.execute(insert_or_ignore(versions, connection.dialect), row).rowcount > 0


def _add_automatic(connection: Connection, *, version: Version, interval: int) -> bool:
    place: dict[str, Any] = {"document_id": version.document_id}
    # The lock comes first: who looks before it does not see what another process is just adding.
    lock_documents(connection, [version.document_id], skip_locked=False)
    latest = version.created_at + CLOCKS_DIFFER
    newest: int | None = connection.execute(_newest_automatic, place | {"latest": latest}).scalar_one()
    if newest is not None and version.created_at - newest < interval:
        return False
    if connection.execute(_same_offset, place | {"entry_offset": version.offset}).first() is not None:
        return False
    return _add(connection, version=version)


def _changeable(version: Version) -> dict[str, Any]:
    return {"kind": version.kind.value, "name": version.name, "note": version.note}


def _read_list(
    connection: Connection, document_id: str, *, kinds: Collection[VersionKind], before: str | None, limit: int
) -> Rows:
    columns = versions.c
    wanted = _of_document.order_by(columns.entry_offset.desc(), columns.created_at.desc(), columns.id.desc()).limit(limit)
    if kinds:
        wanted = wanted.where(columns.kind.in_([kind.value for kind in kinds]))
    if before is not None:
        found = _read_one(connection, document_id, version_id=before)
        if not found:
            return ()
        _, _, offset, _, _, created_at, _, _ = found[0]
        same_time = and_(columns.created_at == created_at, columns.id < before)
        earlier = and_(columns.entry_offset == offset, or_(columns.created_at < created_at, same_time))
        wanted = wanted.where(or_(columns.entry_offset < offset, earlier))
    return connection.execute(wanted, {"document_id": document_id}).all()


def _read_one(connection: Connection, document_id: str, *, version_id: str) -> Rows:
    return connection.execute(_one, {"document_id": document_id, "id": version_id}).all()


def _decode(rows: Rows) -> tuple[Version, ...]:
    """Raises :class:`StoreCorrupt`."""
    return tuple(_version(*row) for row in rows)


def _version(
    id_: str, document_id: str, offset: int, kind: str, author: str, made: int, name: str | None, note: str | None
) -> Version:
    try:
        for text in (id_, author, name or "", note or ""):
            as_stored(text)
        return Version(id_, document_id, as_number(offset), VersionKind(kind), author, as_number(made), name, note)
    except ValueError as error:
        raise StoreCorrupt(f"A version of document {document_id!r} at offset {offset!r} is damaged.") from error


def _set(connection: Connection, *, version: Version, was: Version | None) -> bool:
    place = {"this_id": version.id, "this_document": version.document_id}
    change = _change.values(_changeable(version))
    for name, value in _changeable(was).items() if was is not None else ():
        change = change.where(versions.c[name].is_not_distinct_from(value))
    return connection.execute(change, place).rowcount > 0


def _delete(connection: Connection, *, document_id: str, ids: Collection[str], statement: Delete = _remove) -> int:
    return sum(connection.execute(statement, {"this_id": id_, "this_document": document_id}).rowcount for id_ in ids)


def _thin(connection: Connection, *, document_id: str, now: int, keep: Sequence[tuple[int, int]], older: int | None) -> int:
    found = _decode(connection.execute(_automatic, {"document_id": document_id}).all())
    going = too_many(found, now=now, keep=keep, older=older)
    # What somebody has named since it was read is not automatic any more.
    return _delete(connection, document_id=document_id, ids=[version.id for version in going], statement=_remove_automatic)


if TYPE_CHECKING:
    _versions: type[Versions] = SqlVersions
