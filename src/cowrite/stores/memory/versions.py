"""Versions in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cowrite.core.ports import Versions
from cowrite.core.records import Version, VersionKind
from cowrite.stores.encoding import MAX_UUID, check_appendable, check_id
from cowrite.stores.memory.database import Call, Connection
from cowrite.stores.past import CLOCKS_DIFFER, check_moment, check_version, place_of_version, too_many


class MemoryVersions:
    """The port :class:`cowrite.core.ports.Versions` on a :class:`MemoryDatabase`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = connection.database.tables

    async def add(self, version: Version) -> bool:
        check_version(version)
        await self._connection.begin("add_version", [version.document_id])
        return self._add(version)

    async def add_automatic(self, version: Version, *, interval: int) -> bool:
        check_version(version)
        await self._connection.begin("add_version", [version.document_id])
        for known in self._of(version.document_id):
            young = -CLOCKS_DIFFER <= version.created_at - known.created_at < interval
            if known.offset == version.offset or (known.kind is VersionKind.AUTOMATIC and young):
                return False
        return self._add(version)

    def _add(self, version: Version) -> bool:
        document = self._tables.documents.get(version.document_id)
        if document is None:
            return False
        check_appendable(version.document_id, deleted=document.deleted_at is not None)
        head = document.head.offset
        if version.offset > head:
            return False
        check_moment(version.document_id, version.offset, first_offset=document.first_offset)
        if version.id in self._tables.versions:
            return False
        self._tables.versions[version.id] = version
        return True

    async def list(
        self, document_id: str, *, kinds: Collection[VersionKind] = (), before: str | None = None, limit: int = 100
    ) -> Sequence[Version]:
        await self._begin("list_versions", document_id, before)
        found = sorted(self._of(document_id), key=place_of_version, reverse=True)
        if before is not None:
            known = self._get(document_id, before)
            if known is None:
                return ()
            found = [version for version in found if place_of_version(version) < place_of_version(known)]
        return tuple(version for version in found if not kinds or version.kind in kinds)[: max(0, limit)]

    async def get(self, document_id: str, version_id: str) -> Version | None:
        await self._begin("version", document_id, version_id)
        return self._get(document_id, version_id)

    async def change(self, version: Version) -> bool:
        check_version(version)
        await self._connection.begin("change_version", [version.document_id])
        known = self._get(version.document_id, version.id)
        if known is None:
            return False
        self._tables.versions[version.id] = replace(known, kind=version.kind, name=version.name, note=version.note)
        return True

    async def remove(self, document_id: str, version_id: str) -> bool:
        await self._begin("remove_version", document_id, version_id)
        found = self._get(document_id, version_id) is not None
        if found:
            del self._tables.versions[version_id]
        return found

    async def thin(self, document_id: str, *, now: int, keep: Sequence[tuple[int, int]], older: int | None) -> int:
        await self._begin("thin", document_id)
        going = too_many(self._of(document_id), now=now, keep=keep, older=older)
        for version in going:
            del self._tables.versions[version.id]
        return len(going)

    def _of(self, document_id: str) -> Sequence[Version]:
        return tuple(version for version in self._tables.versions.values() if version.document_id == document_id)

    def _get(self, document_id: str, version_id: str) -> Version | None:
        known = self._tables.versions.get(version_id)
        return known if known is not None and known.document_id == document_id else None

    async def _begin(self, call: Call, document_id: str, version_id: str | None = None) -> None:
        if version_id is not None:
            check_id("The id of the version", version_id, longest=MAX_UUID)
        await self._connection.begin(call, [document_id])


if TYPE_CHECKING:
    _versions: type[Versions] = MemoryVersions
