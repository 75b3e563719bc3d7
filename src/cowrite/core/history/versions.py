"""Versions of a document: moments that somebody has marked, or that a pause in editing did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.moments import Moment
from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, InvalidId, Versions
from cowrite.core.records import Version, VersionKind

MAX_NAME: Final = 255
"""Characters of a version's name."""
MAX_NOTE: Final = 10_000
"""Characters of its note."""


class VersionKeeper:
    """Makes, changes and removes versions for people."""

    def __init__(self, versions: Versions, clock: Clock, ids: Ids) -> None:
        self._versions = versions
        self._clock = clock
        self._ids = ids

    async def mark(
        self,
        moment: Moment,
        author: str,
        *,
        kind: VersionKind = VersionKind.NAMED,
        name: str | None = None,
        note: str | None = None,
    ) -> Version:
        """Mark a moment. Raises :class:`HistoryRefused` when the document's history was replaced meanwhile,
        :class:`HistoryForgotten`, :class:`DocumentDeleted`, and what writing raises.
        """
        version = Version(self._ids.new(), moment.document_id, moment.offset, kind, author, self._clock.now(), name, note)
        if not await self._versions.add(version):
            raise HistoryRefused("history_replaced", "the document's history was replaced meanwhile; ask again")
        return version

    async def list(
        self, document_id: str, *, kind: VersionKind | None, before: str | None, limit: int
    ) -> tuple[Sequence[Version], str | None]:
        """At most ``limit`` versions behind the version ``before``, newest moment first; and what is ``before`` of the next
        page, None: there is none. Raises :class:`HistoryRefused` (``version_not_found``) for an unknown ``before``.
        """
        if before is not None:
            await self.get(document_id, before)
        kinds = () if kind is None else (kind,)
        found = await self._versions.list(document_id, kinds=kinds, before=before, limit=limit + 1)
        shown = found[:limit]
        return shown, shown[-1].id if len(found) > limit else None

    async def get(self, document_id: str, version_id: str) -> Version:
        """One version. Raises :class:`HistoryRefused` (``version_not_found``)."""
        try:
            version = await self._versions.get(document_id, version_id)
        except InvalidId:
            version = None
        if version is None:
            raise _not_found()
        return version

    async def change(self, version: Version, **changes: str | None) -> Version:
        """Replace ``name``, ``note`` or both; what is left out stays, whoever changes it meanwhile. An automatic version that
        gets a name is ``named`` from then on: age does not take it away.

        Raises :class:`HistoryRefused` (``version_not_found``).
        """
        while True:
            name, note = changes.get("name", version.name), changes.get("note", version.note)
            kept = version.kind is VersionKind.AUTOMATIC and name is not None
            changed = replace(version, kind=VersionKind.NAMED if kept else version.kind, name=name, note=note)
            if await self._versions.change(changed, was=version):
                return changed
            version = await self.get(version.document_id, version.id)

    async def remove(self, document_id: str, version_id: str) -> None:
        """Remove the mark; what it points to stays. Raises :class:`HistoryRefused` (``version_not_found``)."""
        await self.get(document_id, version_id)
        if not await self._versions.remove(document_id, version_id):
            raise _not_found()


def _not_found() -> HistoryRefused:
    return HistoryRefused("version_not_found", "this document has no version of that id")
