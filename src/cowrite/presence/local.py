"""Presence in memory: complete for a single process; several apps in one process may share a hub."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from cowrite.core.ports import LEASE_SECONDS, Clock, Presence, PresenceRecord


class LocalPresenceHub:
    """What the presences of one process have in common."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, PresenceRecord]] = {}
        """By document and session."""
        self.leases: dict[str, float] = {}
        """By process, when it ends: monotonic seconds."""


class LocalPresence:
    """Keeps records as long as it lives."""

    def __init__(self, clock: Clock, hub: LocalPresenceHub | None = None) -> None:
        self._clock = clock
        self._hub = hub if hub is not None else LocalPresenceHub()

    @property
    def generation(self) -> int:
        return 0

    @property
    def degraded(self) -> bool:
        return False

    async def beat(self, process: str) -> frozenset[str]:
        now = self._clock.monotonic()
        self._hub.leases[process] = now + LEASE_SECONDS
        return frozenset(one for one, until in self._hub.leases.items() if until > now)

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        for record in put:
            self._hub.records.setdefault(record.document_id, {})[record.session_id] = record
        for record in removed:
            there = self._hub.records.get(record.document_id, {})
            if (known := there.get(record.session_id)) is not None and known.process == record.process:
                del there[record.session_id]
                if not there:
                    del self._hub.records[record.document_id]

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        found = {}
        for document_id in document_ids:
            living = [one for one in self._hub.records.get(document_id, {}).values() if self._lives(one)]
            if living:
                found[document_id] = living
        return found

    async def leave(self, process: str) -> None:
        self._hub.leases.pop(process, None)

    async def close(self) -> None:
        pass

    def _lives(self, record: PresenceRecord) -> bool:
        if record.expires_at is not None:
            return record.expires_at > self._clock.now()
        return self._hub.leases.get(record.process or "", 0.0) > self._clock.monotonic()


if TYPE_CHECKING:
    _: type[Presence] = LocalPresence
