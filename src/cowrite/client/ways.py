"""How a client comes to a document: the port that a server far away and one in the same process are behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from cowrite.client.errors import Failure

Grant = Literal["read", "comment", "write", "admin"]
"""What the user may do in the document; each includes those before it."""

Renewal = Literal["nothing", "session"]
"""What of the session that there is will not do any more."""

_WRITERS: Final = frozenset(("write", "admin"))


def writes(grant: Grant | None) -> bool:
    """Whether a grant allows writing. While nothing is known of it (None), it is hoped for."""
    return grant is None or grant in _WRITERS


@dataclass(frozen=True, slots=True)
class User:
    """Who the server takes the client's user for."""

    id: str
    name: str | None = None
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the client was let in with."""

    grant: Grant
    user: User


class Link(Protocol):
    """One connection over which messages go."""

    def send(self, frame: bytes) -> None:
        """Send one message. Never blocks, never raises; a link that is gone swallows it."""
        ...

    async def close(self) -> None:
        """Say goodbye, once what was sent has left. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what comes over a link. Neither may raise."""

    received: Callable[[bytes], None]
    lost: Callable[[Failure], None]
    """Once; nothing comes after it."""


class Way(Protocol):
    """To one document."""

    renewed: Callable[[Ticket], None]
    """Told when the ticket is another one, while a link is there."""

    async def admit(self, renew: Renewal) -> Ticket:
        """Be let in, or know that one is. Raises :class:`Failure`."""
        ...

    async def open(self, listener: Listener) -> Link:
        """Open a link, once admitted. Raises :class:`Failure`."""
        ...

    async def refresh(self) -> Ticket:
        """Ask anew what is granted, while a session is there. Raises :class:`Failure`."""
        ...

    async def leave(self) -> None:
        """It is over. Raises nothing."""
        ...
