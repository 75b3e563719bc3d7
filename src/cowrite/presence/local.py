"""Presence in memory: complete for a single process; several apps in one process may share a hub."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from cowrite.core.ports import LEASE_SECONDS, Clock, LeasedPresence, PresenceError, PresenceRecord
from cowrite.core.presence_records import CLOCKS_APART, as_kept, check_document_ids, check_process, check_records, expired


class LocalPresenceHub:
    """What the presences of one process have in common."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, PresenceRecord]] = {}
        """By document and session."""
        self.leases: dict[str, float] = {}
        """When each process was last heard of, in the clock's monotonic seconds."""


class LocalPresence:
    """The port :class:`cowrite.core.ports.Presence` in memory."""

    def __init__(self, clock: Clock, hub: LocalPresenceHub | None = None) -> None:
        self._clock = clock
        self._hub = hub if hub is not None else LocalPresenceHub()
        self._beaten: set[str] = set()
        self._generation = 0
        self._closed = False

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def degraded(self) -> bool:
        return False

    async def beat(self, process: str) -> frozenset[str]:
        self._check_open()
        check_process(process)
        self._forget()
        if process in self._beaten and process not in self._hub.leases:
            self._generation += 1
        self._beaten.add(process)
        self._hub.leases[process] = self._clock.monotonic()
        return self._living()

    async def processes(self) -> frozenset[str]:
        """Whose leases hold."""
        self._check_open()
        return self._living()

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        self._check_open()
        check_records((*put, *removed))
        for record in removed:
            sessions = self._hub.documents.get(record.document_id, {})
            known = sessions.get(record.session_id)
            if known is not None and known.process == record.process:
                self._drop(known)
        for record in put:
            self._hub.documents.setdefault(record.document_id, {})[record.session_id] = as_kept(record)

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        self._check_open()
        check_document_ids(document_ids)
        living, now = self._living(), self._clock.now()
        return {
            document_id: [
                as_kept(record)
                for record in self._hub.documents.get(document_id, {}).values()
                if (record.process is None or record.process in living) and not expired(record, now)
            ]
            for document_id in document_ids
        }

    async def leave(self, process: str) -> None:
        self._check_open()
        check_process(process)
        self._forget(process)
        self._beaten.discard(process)

    async def close(self) -> None:
        self._closed = True

    def _living(self) -> frozenset[str]:
        since = self._clock.monotonic() - LEASE_SECONDS
        return frozenset(process for process, beaten in self._hub.leases.items() if beaten > since)

    def _forget(self, *processes: str) -> None:
        """Take out these processes, those whose leases have run out, and what has come to its own end."""
        gone = {*processes, *(self._hub.leases.keys() - self._living())}
        for process in gone:
            self._hub.leases.pop(process, None)
        now = self._clock.now()
        for sessions in list(self._hub.documents.values()):
            for record in list(sessions.values()):
                if record.process in gone or expired(record, now - CLOCKS_APART):
                    self._drop(record)

    def _drop(self, record: PresenceRecord) -> None:
        sessions = self._hub.documents[record.document_id]
        del sessions[record.session_id]
        if not sessions:
            del self._hub.documents[record.document_id]

    def _check_open(self) -> None:
        if self._closed:
            raise PresenceError("This process has closed its presence.")


if TYPE_CHECKING:
    _: type[LeasedPresence] = LocalPresence
