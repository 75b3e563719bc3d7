"""Versions that are told of when they are made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from cowrite.core.events import VersionCreated
from cowrite.core.ports import Versions
from cowrite.core.ports.events import Events
from cowrite.core.records import Version, VersionKind


class TellingVersions:
    """Those of a store. Of one whose COMMIT was in doubt nothing is told."""

    def __init__(self, versions: Versions, events: Events) -> None:
        self._versions = versions
        self._events = events

    async def add(self, version: Version) -> bool:
        return self._made(version, await self._versions.add(version))

    async def add_automatic(self, version: Version, *, interval: int) -> bool:
        return self._made(version, await self._versions.add_automatic(version, interval=interval))

    async def list(
        self, document_id: str, *, kinds: Collection[VersionKind] = (), before: str | None = None, limit: int = 100
    ) -> Sequence[Version]:
        return await self._versions.list(document_id, kinds=kinds, before=before, limit=limit)

    async def get(self, document_id: str, version_id: str) -> Version | None:
        return await self._versions.get(document_id, version_id)

    async def change(self, version: Version, *, was: Version | None = None) -> bool:
        return await self._versions.change(version, was=was)

    async def remove(self, document_id: str, version_id: str) -> bool:
        return await self._versions.remove(document_id, version_id)

    async def thin(self, document_id: str, *, now: int, keep: Sequence[tuple[int, int]], older: int | None) -> int:
        return await self._versions.thin(document_id, now=now, keep=keep, older=older)

    def _made(self, version: Version, made: bool) -> bool:
        if made:
            self._events.tell(event_of(version))
        return made


def event_of(version: Version) -> VersionCreated:
    """What is told of it."""
    return VersionCreated(
        version.document_id, version.id, version.offset, version.kind, version.author, version.name, version.created_at
    )


if TYPE_CHECKING:
    _: type[Versions] = TellingVersions
