"""The port to presence: where it is written down who is in which document, so that all processes know.

Presence is a hint: it may be late, and is forgotten with its storage. Every process writes its own sessions down and reads the
others'. A process that is gone keeps nobody present: what it wrote lives as long as its *lease*, which it renews with
:meth:`Presence.beat`. So a session that does nothing costs nothing, and a beat is one small write, however
many sessions there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cowrite.protocol.strict_json import Json

LEASE_SECONDS: Final = 20.0
"""How long what a process wrote lives after its last beat."""


class PresenceError(Exception):
    """Presence can be neither read nor written now."""


@dataclass(frozen=True, slots=True)
class PresenceRecord:
    """One session in one document."""

    session_id: str
    """At most 36 characters."""
    user_id: str
    document_id: str
    last_active: int
    """When the session last did something, in milliseconds since 1970."""
    process: str | None = None
    """Whose lease keeps it. None: it lives until ``expires_at``."""
    expires_at: int | None = None
    """Milliseconds since 1970. None: it lives as long as the lease."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """What is told to others: name, colour, client, transport, state, cursor and the like."""


class Presence(Protocol):
    """Keeps one record of each session. Every method but :meth:`close` raises :class:`PresenceError`.

    Not promised: that what was written is still there (a storage may lose everything, or another one may have taken over:
    ``generation``), and an order between processes.
    """

    @property
    def generation(self) -> int:
        """Grows when what this process wrote may not be where it is read now: write all of it again."""
        ...

    @property
    def degraded(self) -> bool:
        """Not at its best: a fallback is in use, or nothing works."""
        ...

    async def beat(self, process: str) -> frozenset[str]:
        """Renew the lease of a process for ``LEASE_SECONDS``, and tell which processes' leases hold, this one's included."""
        ...

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        """Put records in the place of those of the same sessions, and remove others.

        A record is removed only while the one in the storage has the same ``process``: a session may have moved on.
        """
        ...

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        """The living records of these documents, in no order; a document without any may be missing."""
        ...

    async def leave(self, process: str) -> None:
        """A process stops: remove its lease, and with it what it wrote, at once."""
        ...

    async def close(self) -> None:
        """Let go of connections. Never raises."""
        ...


class LeasedPresence(Presence, Protocol):
    """A storage of presence itself, which another one may stand in for: it can be asked who lives."""

    async def processes(self) -> frozenset[str]:
        """The processes whose leases hold. Renews none."""
        ...
