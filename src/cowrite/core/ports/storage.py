"""The ports to what is stored beside the documents' logs, and the bundle of all that a database keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cowrite.core.ports.history import Erasure, History, Versions
from cowrite.core.ports.presence import LeasedPresence
from cowrite.core.ports.store import Store
from cowrite.core.ports.webhooks import WebhookLog
from cowrite.core.records import AccessChange, DocumentInfo, SessionRecord


class Sessions(Protocol):
    """Users' stays in documents, and tokens that are good for one of them. Each call is durable when it returns.

    Every method raises :class:`StoreUnavailable` and :class:`StoreBusy`, and :class:`StoreRefused` for texts that no database
    can keep. Not promised: that sessions that are over are forgotten.
    """

    async def begin_session(self, session: SessionRecord) -> None:
        """Keep a new session. Raises :class:`StoreRefused` when its id is taken."""
        ...

    async def session(self, session_id: str) -> SessionRecord | None:
        """The session as it is now, ended or not; None for an unknown one."""
        ...

    async def update_session(self, session: SessionRecord) -> bool:
        """Replace what is kept of the session but ``ended_at``: prolong it, or change name, colour and grant. False, and
        nothing happens: it has ended, or there is none of this id, document and user.
        """
        ...

    async def end_session(self, session_id: str, at: int) -> None:
        """The session has ended at that time. Does nothing when it has already, or there is none."""
        ...

    async def ended_sessions(self, *, since: int) -> Mapping[str, int]:
        """The sessions that have ended at that time or later, by id, and when. Milliseconds since 1970."""
        ...

    async def use_token(self, jti: str, expires_at: int) -> bool:
        """Use up a token. True for exactly one caller; False: it was used before. Forgotten an hour after it expires."""
        ...


class AccessChanges(Protocol):
    """Grants that were changed or revoked while people are connected. Changes are only ever added.

    Promised: revisions are 1, 2, 3 … without gaps, and whoever sees one sees all before it. When a change is there, no
    transaction of a :class:`Store` that has read a lower ``access_revision`` can be committed any more.
    """

    async def change(self, change: AccessChange) -> int:
        """Add a change and return its revision (the record's own is not looked at); durable when it returns. It waits for the
        writing transactions that are open. A change whose id is there already is not added again: its revision is returned; so
        after :class:`CommitDoubtful` it is sent again. Raises :class:`StoreBusy`, :class:`StoreRefused`.
        """
        ...

    async def changes(self, *, after: int) -> Sequence[AccessChange]:
        """All changes with ``revision > after``, in order."""
        ...


class AccessLog(Sessions, AccessChanges, Protocol):
    """Who is let in, and what changed since."""


class Directory(Protocol):
    """Which documents there are. A document is there from its first transaction on, or when it was created; deleting is soft.

    Every method raises :class:`StoreUnavailable`, and :class:`InvalidId` for ids and prefixes that no database can keep; those
    that write raise :class:`StoreBusy` and :class:`CommitDoubtful`, too.
    """

    async def list(self, *, after: str | None, limit: int, prefix: str = "", deleted: bool = False) -> Sequence[DocumentInfo]:
        """At most ``limit`` documents whose ids begin with ``prefix`` and come behind ``after``, in the bytewise order of ids;
        those that are deleted only if asked for.
        """
        ...

    async def info(self, document_id: str) -> DocumentInfo | None:
        """What is known of one document, deleted or not; None when it is not there."""
        ...

    async def create(self, document_id: str) -> bool:
        """Make an empty document, with a new epoch. False: it is there already, perhaps deleted or purged."""
        ...

    async def delete(self, document_id: str, change: AccessChange) -> bool:
        """Delete softly, at the change's time, and add the change (which must be about this document), both or neither.

        Waits for the writers of the document; whoever writes after it finds it ``deleted``. False, and the change is not
        added: there is no such document, or it is deleted already. Raises ``ValueError`` for another document's change.
        """
        ...

    async def undelete(self, document_id: str, change: AccessChange) -> bool:
        """Take the deletion back, as :meth:`delete`. False: there is no such document, or it is not deleted, or
        purged (see :class:`Erasure`).
        """
        ...


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The connections to a database server, of one process."""

    size: int
    """How many there may be."""
    in_use: int
    waits: int
    """How often somebody had to wait for one, since the start."""
    waited_seconds: float
    """How long, all together."""


@dataclass(frozen=True, slots=True)
class Storage:
    """All that one database keeps. Its parts share their connections: what one has committed the others see."""

    store: Store
    history: History
    access: AccessLog
    directory: Directory
    versions: Versions
    erasure: Erasure
    presence: LeasedPresence | None = None
    """None: it keeps no presence. Its connections are those of the others, so closing the storage closes it, too."""
    pool: Callable[[], PoolUse] | None = None
    """None: it has no connections to a server."""
    webhooks: WebhookLog | None = None
    """None: it does not keep how far webhooks have told."""
    system: str = "memory"
    """What kind of database it is, as OpenTelemetry calls them: ``sqlite``, ``postgresql``, ``mariadb`` …"""
    lasting: bool = True
    """False: when the process ends, all of it is forgotten."""

    async def close(self) -> None:
        """Release the connections of all parts. None is usable afterwards."""
        await self.store.close()
